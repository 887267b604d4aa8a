"""Laws that hold whatever the ratings are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.agreement import (
    brennan_prediger,
    cohen_kappa,
    conger_kappa,
    fleiss_kappa,
    gwet_ac1,
    gwet_ac2,
    krippendorff_alpha,
    light_kappa,
    pairwise_kappa,
    percent_agreement,
    randolph_kappa,
    scott_pi,
)
from dfar_toolkit.estimate import Estimate

ratings = st.dictionaries(
    st.tuples(st.integers(0, 7), st.integers(0, 4)), st.integers(0, 3), min_size=1, max_size=30
).map(lambda cells: [(f"i{i}", f"r{r}", str(v)) for (i, r), v in cells.items()])

FEW = settings(max_examples=25)
FEWER = settings(max_examples=8)  # many statistics an example


def all_of(rows: list[tuple[Any, Any, Any]], **how: Any) -> list[Estimate]:
    return [
        percent_agreement(rows, **how),
        krippendorff_alpha(rows, **how),
        krippendorff_alpha(rows, level="ordinal", **how),
        krippendorff_alpha(rows, level="interval", **how),
        krippendorff_alpha(rows, level="ratio", **how),
        fleiss_kappa(rows, **how),
        gwet_ac1(rows, **how),
    ]


WEIGHTED: tuple[Any, ...] = (percent_agreement, fleiss_kappa, gwet_ac2, brennan_prediger, conger_kappa, light_kappa)
NOMINAL: tuple[Any, ...] = (*WEIGHTED[:2], gwet_ac1, *WEIGHTED[3:], krippendorff_alpha, randolph_kappa)


def further(rows: list[tuple[Any, Any, Any]], **how: Any) -> list[Estimate]:
    return [
        krippendorff_alpha(rows, level="circular", **how),
        krippendorff_alpha(rows, level="bipolar", **how),
        *(statistic(rows, **how) for statistic in (brennan_prediger, conger_kappa, light_kappa)),
        *(statistic(rows, weights="quadratic", **how) for statistic in WEIGHTED),
        *(statistic(rows, weights="ordinal", **how) for statistic in WEIGHTED),
    ]


def same(left: list[Estimate], right: list[Estimate], tolerance: float = 1e-12) -> None:
    for a, b in zip(left, right, strict=True):
        assert a.value == pytest.approx(b.value, abs=tolerance, nan_ok=True), a.name


@FEW
@given(ratings, st.randoms(use_true_random=False))
def test_row_order_changes_nothing_at_all(rows: list[Any], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    before, after = all_of(rows, n_boot=50), all_of(shuffled, n_boot=50)
    for a, b in zip(before, after, strict=True):
        assert repr(a) == repr(b)  # to the last bit, intervals and notes too
    assert pairwise_kappa(rows, n_boot=20).equals(pairwise_kappa(shuffled, n_boot=20), null_equal=True) or any(
        math.isnan(v) for v in pairwise_kappa(rows, n_boot=20)["value"]
    )


@FEWER
@given(ratings, st.randoms(use_true_random=False))
def test_row_order_changes_nothing_in_the_rest_of_the_family(rows: list[Any], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    for how in ({"n_boot": 20}, {"ci": "jackknife"}):
        assert repr(further(rows, **how)) == repr(further(shuffled, **how))


@FEWER
@given(ratings)
def test_names_of_items_and_raters_do_not_matter(rows: list[Any]) -> None:
    renamed = [(f"other {item[::-1]}", f"someone-{rater}", value) for item, rater, value in rows]
    same(all_of(rows, ci=None), all_of(renamed, ci=None))
    same(further(rows, ci=None), further(renamed, ci=None))


@FEW
@given(ratings, st.permutations("0123"))
def test_names_of_values_do_not_matter_at_the_nominal_level(rows: list[Any], names: list[str]) -> None:
    renamed = [(item, rater, f"v{names[int(value)]}") for item, rater, value in rows]
    for statistic in NOMINAL:
        same([statistic(rows, ci=None)], [statistic(renamed, ci=None)])


@FEW
@given(ratings)
def test_scales_only_matter_up_to_what_their_level_keeps(rows: list[Any]) -> None:
    def moved(change: Any) -> list[Any]:
        return [(item, rater, change(float(value))) for item, rater, value in rows]

    for level, change in (("ordinal", math.exp), ("interval", lambda v: 7 - 3 * v), ("ratio", lambda v: 3 * v)):
        how: dict[str, Any] = {"level": level, "ci": None}
        same([krippendorff_alpha(rows, **how)], [krippendorff_alpha(moved(change), **how)], 1e-10)
    turned, circle = moved(lambda v: (v + 1) % 4), {"level": "circular", "bounds": (0, 3), "ci": None}
    same([krippendorff_alpha(rows, **circle)], [krippendorff_alpha(turned, **circle)], 1e-10)
    pole: dict[str, Any] = {"level": "bipolar", "ci": None}
    same([krippendorff_alpha(rows, **pole)], [krippendorff_alpha(moved(lambda v: 7 - 3 * v), **pole)], 1e-10)


@FEWER
@given(ratings)
def test_weights_only_see_what_they_say(rows: list[Any]) -> None:
    def moved(change: Any) -> list[Any]:
        return [(item, rater, change(float(value))) for item, rater, value in rows]

    affine, ranks, scaled = moved(lambda v: 7 - 3 * v), moved(lambda v: math.exp(2 * v)), moved(lambda v: 3 * v)
    for statistic in WEIGHTED:
        plain = {name: statistic(rows, weights=name, ci=None) for name in ("linear", "quadratic", "radical", "bipolar")}
        for name, found in plain.items():
            same([found], [statistic(affine, weights=name, ci=None)], 1e-9)
        ordinal = statistic(rows, weights="ordinal", ci=None)
        same([ordinal, ordinal], [statistic(ranks, weights="ordinal", ci=None), statistic(
            moved(lambda v: -v), weights="ordinal", ci=None
        )], 1e-10)  # fmt: skip
        ratio = statistic(rows, weights="ratio", ci=None)
        same([ratio], [statistic(scaled, weights="ratio", ci=None)], 1e-10)


@FEWER
@given(ratings)
def test_two_values_are_as_far_apart_as_can_be_by_any_weights(rows: list[Any]) -> None:
    rows = [(item, rater, int(value) // 2) for item, rater, value in rows]
    for statistic in WEIGHTED:
        plain = gwet_ac1(rows, ci=None) if statistic is gwet_ac2 else statistic(rows, ci=None)
        for name in ("linear", "quadratic", "ordinal", "radical", "ratio", "circular", "bipolar"):
            same([plain], [statistic(rows, weights=name, ci=None)])


@FEWER
@given(ratings)
def test_every_item_twice(rows: list[Any]) -> None:
    """All but alpha stay; its (n - 1) becomes (2 n - 1) / 2."""
    twice = rows + [(f"{item} again", rater, value) for item, rater, value in rows]
    for statistic in NOMINAL:
        if statistic is not krippendorff_alpha:
            same([statistic(rows, ci=None)], [statistic(twice, ci=None)])
    counts = pl.DataFrame(rows, schema=["item", "rater", "value"], orient="row").group_by("item").len()
    n = int(counts.filter(pl.col("len") > 1)["len"].sum())
    for level in ("nominal", "ordinal", "interval", "ratio"):
        one = krippendorff_alpha(rows, level=level, ci=None).value  # type: ignore[arg-type]
        two = krippendorff_alpha(twice, level=level, ci=None).value  # type: ignore[arg-type]
        if not math.isnan(one):
            assert 1 - two == pytest.approx((1 - one) * (2 * n - 1) / (2 * (n - 1)), abs=1e-10)


@FEW
@given(ratings)
def test_bounds(rows: list[Any]) -> None:
    share, *others = (found.value for found in all_of(rows, ci=None))
    assert math.isnan(share) or 0 <= share <= 1
    others += [found.value for found in further(rows, ci=None)]
    assert all(math.isnan(value) or value <= 1 + 1e-12 for value in others)


@FEWER
@given(ratings)
def test_perfect_agreement_is_one_or_undefined(rows: list[Any]) -> None:
    first: dict[str, str] = {}
    for item, _, value in rows:
        first.setdefault(item, value)
    alike = [(item, rater, first[item]) for item, rater, _ in rows]
    for found in (*all_of(alike, ci=None), *further(alike, ci=None)):
        assert math.isnan(found.value) or found.value == 1.0, found.name


@settings(max_examples=12)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=25))
def test_cohen_does_not_mind_which_rater_comes_first(pairs: list[tuple[int, int]]) -> None:
    rows = [(i, who, v) for i, pair in enumerate(pairs) for who, v in zip("ab", pair, strict=True)]
    turned = [(i, who, v) for i, pair in enumerate(pairs) for who, v in zip("ba", pair, strict=True)]
    for name in (None, "quadratic", "ordinal"):
        for statistic in (cohen_kappa, scott_pi):
            how: dict[str, Any] = {"weights": name, "ci": "analytic"}
            one, other = statistic(rows, **how), statistic(turned, **how)
            assert [one.value, one.low] == pytest.approx([other.value, other.low], abs=1e-12, nan_ok=True)


@FEW
@given(ratings)
def test_pandas_and_lazy_frames_and_triples_agree(rows: list[Any]) -> None:
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    for other in (frame, frame.lazy(), frame.to_pandas(), frame.to_arrow()):
        assert repr(krippendorff_alpha(other, n_boot=20)) == repr(krippendorff_alpha(rows, n_boot=20))


@FEWER
@given(ratings)
def test_a_slice_is_what_filtering_gives(rows: list[Any]) -> None:
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    frame = frame.with_columns(pl.col("item_id").str.slice(1).cast(pl.Int64).mod(3).alias("part"))
    for statistic in NOMINAL:
        sliced = statistic(frame, by="part", n_boot=30)
        assert sliced["part"].to_list() == sorted(set(frame["part"]))
        for row in sliced.iter_rows(named=True):
            alone = statistic(frame.filter(pl.col("part") == row["part"]), n_boot=30)
            expected = [alone.value, alone.low, alone.high, alone.n]
            assert np.allclose([row[k] for k in ("value", "low", "high", "n")], expected, equal_nan=True, atol=1e-12)
            assert row["note"] == alone.note
