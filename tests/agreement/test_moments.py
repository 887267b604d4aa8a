"""Alpha of many values by sums and ranks: the definition in exact fractions, and the same numbers as by counting."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import krippendorff
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfar_toolkit.agreement import alpha_moments, krippendorff_alpha, slices
from dfar_toolkit.agreement.block_draws import bootstrap_sums
from dfar_toolkit.agreement.ratings import read_ratings
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimates_frame

NUMBERS = ("value", "low", "high")


def slider(
    seed: int, *, n: int = 60, step: float = 2.0**-20, offset: float = 0.0, spread: float = 1.0, singles: bool = True
) -> pl.DataFrame:
    """Up to four ratings an item on multiples of ``step`` (a power of two), about ``offset``; three items a context."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 1, n)
    rows = []
    for i in range(n):
        for j in range(rng.integers(1 if singles else 2, 5)):
            x = step * round((truth[i] + rng.normal(0, 0.5)) / step)
            rows.append((f"item {i}", f"r{j}", offset + spread * x, f"c{i // 3}", i % 2))
    return pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "context", "part"], orient="row")


def table(found: Estimate | pl.DataFrame) -> pl.DataFrame:
    return estimates_frame([found]) if isinstance(found, Estimate) else found


def same(a: Estimate | pl.DataFrame, b: Estimate | pl.DataFrame, within: float = 1e-12) -> None:
    a, b = table(a), table(b)
    assert a.drop(NUMBERS).equals(b.drop(NUMBERS))
    for name in NUMBERS:
        assert np.allclose(a[name], b[name], rtol=0, atol=within, equal_nan=True)


def by_counts(monkeypatch: pytest.MonkeyPatch, *args: Any, **how: Any) -> Estimate | pl.DataFrame:
    with monkeypatch.context() as patch:
        patch.setattr(slices, "MANY", 10**9)
        return krippendorff_alpha(*args, **how)


def exact(frame: pl.DataFrame, difference: Callable[[Fraction, Fraction], Any], *, ranked: bool = False) -> float:
    """Alpha from its definition: all pairs of ratings within items, and of all."""
    units = [[Fraction(v) for v in u] for u in frame.group_by("item_id").agg("value")["value"].to_list() if len(u) > 1]
    every = [v for u in units for v in u]
    if ranked:
        order = sorted(every)
        rank = {v: Fraction(2 * order.index(v) + order.count(v), 2) for v in set(every)}
        units, every = [[rank[v] for v in u] for u in units], [rank[v] for v in every]
    n = len(every)
    observed = sum(sum(difference(a, b) for a in u for b in u) / (len(u) - 1) for u in units)
    return float(1 - (n - 1) * observed / sum(difference(a, b) for a in every for b in every))


@pytest.mark.parametrize(("offset", "spread"), [(0.0, 1.0), (1e9, 1.0), (-1e9, 2.0**-3), (0, 2.0**-300), (0, 2.0**400)])
def test_exact_fractions(offset: float, spread: float) -> None:
    frame = slider(1, offset=offset, spread=spread)
    assert not read_ratings(frame, most=64).listed
    interval = krippendorff_alpha(frame, level="interval", ci=None)
    ordinal = krippendorff_alpha(frame, level="ordinal", ci=None)
    assert interval.value == pytest.approx(exact(frame, lambda a, b: (a - b) ** 2), abs=1e-12)
    assert ordinal.value == pytest.approx(exact(frame, lambda a, b: (a - b) ** 2, ranked=True), abs=1e-12)
    assert "items with one rating left out" in interval.note


def test_ties_and_whole_numbers() -> None:
    frame = slider(2, n=200, step=1 / 32).with_columns((pl.col("value") * 32).cast(pl.Int16))
    assert 64 < frame["value"].n_unique() < len(frame) / 2
    for level, ranked in (("interval", False), ("ordinal", True)):
        expected = exact(frame, lambda a, b: (a - b) ** 2, ranked=ranked)
        assert krippendorff_alpha(frame, level=level, ci=None).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("bounds", [None, (-5.0, 7.0), (-1e7, 1e7)])
def test_circular_from_its_definition(bounds: tuple[float, float] | None) -> None:
    frame = slider(3)
    low, high = bounds or (frame["value"].min(), frame["value"].max())
    turn = np.longdouble(np.pi) / np.longdouble(high - low + 1)  # type: ignore[operator]
    expected = exact(frame, lambda a, b: np.sin(turn * np.longdouble(float(a - b))) ** 2)
    found = krippendorff_alpha(frame, level="circular", bounds=bounds, ci=None)
    assert found.value == pytest.approx(expected, abs=1e-12)
    with pytest.raises(TableError, match="bounds must hold every value"):
        krippendorff_alpha(frame, level="circular", bounds=(0, 1))


def test_another_library_with_missing_cells() -> None:
    rng = np.random.default_rng(4)
    matrix = rng.normal(size=(1, 80)) + rng.normal(size=(5, 80)) * 0.7
    matrix[rng.random(matrix.shape) < 0.3] = np.nan
    rows = [(i, j, float(matrix[j, i])) for i in range(80) for j in range(5)]
    for level in ("interval", "ordinal"):
        theirs = krippendorff.alpha(reliability_data=matrix, level_of_measurement=level)
        found = krippendorff_alpha(rows, level=level, ci=None)
        assert found.value == pytest.approx(theirs, abs=1e-12)
        assert "NaN values taken as missing" in found.note


@pytest.mark.parametrize("ci", [None, "analytic", "jackknife", "bootstrap"])
@pytest.mark.parametrize("level", ["interval", "ordinal", "circular"])
def test_the_way_taken_does_not_show(monkeypatch: pytest.MonkeyPatch, level: Any, ci: Any) -> None:
    frame = slider(5, n=90)
    for how in ({}, {"group": "context"}, {"by": "part"}, {"by": ["part"], "group": "context"}):
        kw: dict[str, Any] = {"level": level, "ci": ci, "n_boot": 100, **how}
        same(krippendorff_alpha(frame, **kw), by_counts(monkeypatch, frame, **kw))


@pytest.mark.parametrize("n_values", [64, 65, 100, 129, 200])
def test_around_the_border(monkeypatch: pytest.MonkeyPatch, n_values: int) -> None:
    rng = np.random.default_rng(n_values)
    value = np.concatenate([np.arange(n_values), rng.integers(0, n_values, 300 - n_values)]).astype(float)
    rows = [(i // 3, i % 3, v) for i, v in enumerate(np.sort(value) + rng.permutation([0.0, 0.0, 1.0] * 100) * 0)]
    assert read_ratings(rows, most=64).listed == (n_values <= 64)
    for level in ("interval", "ordinal"):
        kw: dict[str, Any] = {"level": level, "ci": "analytic"}
        same(krippendorff_alpha(rows, **kw), by_counts(monkeypatch, rows, **kw))


def test_a_single_rating_out_of_all_reason_costs_nothing() -> None:
    frame = slider(6, singles=False)
    wild = pl.DataFrame({"item_id": ["typo"], "annotator_id": ["r0"], "value": [1e140], "context": ["c0"], "part": [0]})
    for level in ("interval", "ordinal"):
        sane = krippendorff_alpha(frame, level=level, ci="jackknife")
        odd = krippendorff_alpha(pl.concat([frame, wild]), level=level, ci="jackknife")
        assert [getattr(odd, x) for x in NUMBERS] == [getattr(sane, x) for x in NUMBERS]
        assert odd.note == "1 item with one rating left out"


def test_slices_have_scales_of_their_own() -> None:
    small, large = slider(7, singles=False), slider(8, singles=False, offset=1e15, spread=2.0**10)
    one = small.with_columns(value=pl.lit(0.1))
    alone = small.unique("item_id")
    parts = {"small": small, "large": large, "one": one, "alone": alone}
    frame = pl.concat([f.with_columns(part=pl.lit(name)) for name, f in parts.items()])
    for level in ("interval", "ordinal", "circular"):
        found = krippendorff_alpha(frame, level=level, by="part", ci="jackknife")
        rows = dict(zip(found["part"], found.rows(named=True), strict=True))
        for name in ("small", "large"):
            own = krippendorff_alpha(parts[name], level=level, ci="jackknife")
            assert [rows[name][x] for x in NUMBERS] == pytest.approx([getattr(own, x) for x in NUMBERS], abs=1e-12)
        assert np.isnan(rows["one"]["value"])
        assert "only one value is in use" in rows["one"]["note"]
        assert np.isnan(rows["alone"]["value"])
        assert rows["alone"]["n"] == 0
        assert "no item has two or more ratings" in rows["alone"]["note"]


def test_perfect_agreement_is_one_without_an_interval() -> None:
    rows = [(i, j, i * 0.1) for i in range(100) for j in range(3)]
    for level in ("interval", "ordinal"):
        for ci in ("analytic", "bootstrap", "jackknife"):
            found = krippendorff_alpha(rows, level=level, ci=ci, n_boot=20)
            assert found.value == pytest.approx(1, abs=1e-15)
            assert np.isnan(found.low)
            assert "no interval" in found.note


@given(st.randoms(use_true_random=False))
def test_row_order_and_names_change_no_bit(random: Any) -> None:
    frame = slider(9, n=40)
    rows = frame.select("item_id", "annotator_id", "value").rows()
    mixed = list(rows)
    random.shuffle(mixed)
    for level in ("interval", "ordinal", "circular"):
        for ci in ("analytic", "bootstrap"):
            kw: dict[str, Any] = {"level": level, "ci": ci, "n_boot": 20}
            assert krippendorff_alpha(rows, **kw) == krippendorff_alpha(mixed, **kw)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e3))
def test_interval_alpha_keeps_under_a_change_of_units(offset: float, scale: float) -> None:
    frame = slider(10, n=40)
    moved = frame.with_columns(pl.col("value") * scale + offset)
    before, after = (krippendorff_alpha(f, level="interval", ci="analytic") for f in (frame, moved))
    assert [getattr(after, x) for x in NUMBERS] == pytest.approx([getattr(before, x) for x in NUMBERS], abs=1e-7)
    bent = frame.with_columns(pl.col("value").exp())
    ordinal = [krippendorff_alpha(f, level="ordinal", ci="analytic") for f in (frame, bent)]
    assert ordinal[0] == ordinal[1]


def test_refusals_are_the_same() -> None:
    frame = slider(11)
    for level in ("interval", "ordinal"):
        with pytest.raises(TableError, match="rated an item twice, 1 time"):
            krippendorff_alpha(pl.concat([frame, frame.head(1).with_columns(value=pl.lit(0.5))]), level=level)
        with pytest.raises(TableError, match="same group on all its rows"):
            krippendorff_alpha(frame, level=level, group="annotator_id")
        with pytest.raises(TableError, match='values are not: "inf"'):
            krippendorff_alpha(pl.concat([frame, frame.tail(1).with_columns(value=np.inf, annotator_id=pl.lit("q"))]),
                               level=level)  # fmt: skip
        with pytest.raises(ValueError, match="confidence"):
            krippendorff_alpha(frame, level=level, confidence=95)
    assert read_ratings(frame.with_columns(pl.col("value") * 1e160), most=64).listed


def test_counts_are_taken_where_they_are_needed() -> None:
    frame = slider(12, n=40)
    named = krippendorff_alpha(frame, level="interval", ci="hayes-krippendorff", n_boot=50)
    assert named.method == "hayes-krippendorff"
    two_way = krippendorff_alpha(frame, level="interval", scope="items+raters", n_boot=20)
    assert two_way.scope == "items+raters"
    assert two_way.value == pytest.approx(named.value, abs=1e-12)


def test_too_many_draws_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = slider(13, singles=False)
    ratings, items = len(frame), frame["item_id"].n_unique()
    monkeypatch.setattr(alpha_moments, "MOST_RANKED", 100 * ratings)
    monkeypatch.setattr(alpha_moments, "MOST_DRAWN", 100 * items)
    assert np.isfinite(krippendorff_alpha(frame, level="ordinal", n_boot=100).low)
    refused = krippendorff_alpha(frame, level="ordinal", n_boot=101)
    assert np.isnan([refused.low, refused.high]).all()
    assert refused.value == krippendorff_alpha(frame, level="ordinal", ci=None).value
    assert f'no interval: 101 draws of {ratings} ratings are more than {100 * ratings:,}; ci="analytic"' in refused.note
    assert f"101 draws of {items} items" in krippendorff_alpha(frame, level="interval", n_boot=101).note
    assert np.isfinite(krippendorff_alpha(frame, level="interval", ci="jackknife").low)
    monkeypatch.setattr(alpha_moments, "MOST_RANKED", items * ratings - 1)
    assert f"{items} draws of {ratings} ratings" in krippendorff_alpha(frame, level="ordinal", ci="jackknife").note
    assert np.isfinite(krippendorff_alpha(frame, level="ordinal", ci="analytic").low)


def test_block_draws_are_resamples() -> None:
    rows = np.stack([np.ones(20_000), np.arange(20_000.0)], axis=1)
    sums = bootstrap_sums(rows, 400, seed=1)
    assert (sums[:, 0] == 20_000).all()
    assert (bootstrap_sums(rows, 400, seed=1) == sums).all()
    means = sums[:, 1] / 20_000
    expected = np.std(rows[:, 1]) / np.sqrt(20_000)  # about 41 around 9999.5
    assert means.mean() == pytest.approx(9999.5, abs=4 * expected / 20)
    assert means.std() == pytest.approx(expected, rel=0.15)  # its own standard error: 3.5 %
    # A unit in the last, shorter block is drawn as often as any other.
    marked = np.zeros((20_000, 1))
    marked[-50:] = 1
    assert bootstrap_sums(marked, 400, seed=2).mean() == pytest.approx(50, abs=4 * np.sqrt(50 / 400))


def test_blocks_give_the_interval_that_weights_give(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = slider(14, n=400, singles=False)
    plain = krippendorff_alpha(frame, level="interval", group="context", n_boot=4000)
    monkeypatch.setattr(alpha_moments, "SMALLEST", 1)
    blocks = krippendorff_alpha(frame, level="interval", group="context", n_boot=4000)
    assert (blocks.value, blocks.unit, blocks.method, blocks.note) == (
        plain.value, plain.unit, plain.method, plain.note,
    )  # fmt: skip
    assert blocks.low != plain.low
    assert blocks.high - blocks.low == pytest.approx(plain.high - plain.low, rel=0.1)
    for level in ("interval", "ordinal"):
        widths = [
            found.high - found.low
            for found in (krippendorff_alpha(frame, level=level, ci=ci) for ci in ("bootstrap", "analytic"))
        ]
        assert all(a == pytest.approx(b, rel=0.1) for a, b in pairwise(widths))
