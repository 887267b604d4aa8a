"""Differences of agreement: values, paired intervals against units left out by hand, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from dfar_toolkit.agreement import (
    brennan_prediger,
    cohen_kappa,
    conger_kappa,
    fleiss_kappa,
    gwet_ac1,
    gwet_ac2,
    krippendorff_alpha,
    light_kappa,
    percent_agreement,
    randolph_kappa,
    scott_pi,
)
from dfar_toolkit.agreement.difference import agreement_difference
from dfar_toolkit.errors import TableError

PUBLIC: dict[str, Callable[..., Any]] = {
    "percent_agreement": percent_agreement,
    "krippendorff_alpha": krippendorff_alpha,
    "fleiss_kappa": fleiss_kappa,
    "gwet_ac1": gwet_ac1,
    "gwet_ac2": gwet_ac2,
    "brennan_prediger": brennan_prediger,
    "randolph_kappa": randolph_kappa,
    "conger_kappa": conger_kappa,
    "light_kappa": light_kappa,
    "cohen_kappa": cohen_kappa,
    "scott_pi": scott_pi,
}
CATEGORIES = ["1", "2", "3", "4"]
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("percent_agreement", {}),
    ("percent_agreement", {"weights": "linear", "order": CATEGORIES}),
    ("krippendorff_alpha", {}),
    ("krippendorff_alpha", {"level": "ordinal"}),
    ("krippendorff_alpha", {"level": "interval"}),
    ("krippendorff_alpha", {"level": "circular", "bounds": (1, 4)}),
    ("fleiss_kappa", {}),
    ("fleiss_kappa", {"weights": "quadratic", "order": CATEGORIES}),
    ("gwet_ac1", {"categories": CATEGORIES}),
    ("gwet_ac2", {"order": CATEGORIES}),
    ("brennan_prediger", {"categories": CATEGORIES}),
    ("randolph_kappa", {"categories": CATEGORIES}),
    ("conger_kappa", {}),
    ("light_kappa", {}),
]
OF_TWO: list[tuple[str, dict[str, Any]]] = [
    ("cohen_kappa", {}),
    ("cohen_kappa", {"weights": "linear", "order": CATEGORIES}),
    ("scott_pi", {}),
]


def some(seed: int, items: range, raters: int = 4, missing: float = 0.2, values: int = 4) -> pl.DataFrame:
    """Ratings with missing cells; items of one stem (in threes) share the truth."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in items:
        truth = np.random.default_rng(100 + i // 3).integers(1, values + 1)
        for r in range(raters):
            value = truth if rng.random() < 0.6 else rng.integers(1, values + 1)
            if rng.random() >= missing or r == i % raters:
                rows.append((i, f"r{r}", int(value), f"stem {i // 3}"))
    return pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "stem"], orient="row")


def left_out(a: pl.DataFrame, b: pl.DataFrame, of: Callable[[pl.DataFrame], float], column: str) -> tuple[float, float]:
    """The ends of the jackknife by definition: every unit with a pair on either side left out of both sides."""
    pairs = pl.concat([f.filter(pl.len().over("item_id") > 1).select(column) for f in (a, b)])
    units = pairs[column].unique().sort()
    value = of(b) - of(a)
    without = np.array([of(b.filter(pl.col(column) != u)) - of(a.filter(pl.col(column) != u)) for u in units])
    n = len(units)
    half = norm.ppf(0.975) * np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    return value - half, value + half


def test_by_hand() -> None:
    # A: n-n, n-y. Scott's shares 3/4, 1/4: 1/2 of pairs agree, 10/16 by chance: (8 - 10) / (16 - 10) = -1/3.
    # B: n-n, y-y, n-y: shares 1/2, 1/2: 2/3 agree, 1/2 by chance: 1/3. B - A = 2/3.
    a = [("x", "ann", "n"), ("x", "bob", "n"), ("y", "ann", "n"), ("y", "bob", "y")]
    b = [(i, who, v) for i, pair in enumerate(["nn", "yy", "ny"]) for who, v in zip(("ann", "bob"), pair, strict=True)]
    b = [(f"item {i}", who, v) for i, who, v in b]
    found = agreement_difference(a, b, statistic="scott_pi", ci=None)
    assert found.value == pytest.approx(float(Fraction(2, 3)), abs=1e-15)
    assert (found.n, found.n_units, found.unit, found.scope) == (5, 5, "items", "items")
    assert found.note == "A: 2 items, B: 3 items, 0 in both"
    assert found.name == "difference in Scott's pi (B - A)"


@pytest.mark.parametrize(("statistic", "options"), OPTIONS)
@pytest.mark.parametrize("column", ["item_id", "stem"])
def test_jackknife_leaves_a_unit_out_of_both_sides(statistic: str, options: dict[str, Any], column: str) -> None:
    a, b = some(1, range(0, 24)), some(2, range(9, 36))  # 15 items in both
    group = None if column == "item_id" else column

    def of(frame: pl.DataFrame) -> float:
        return float(PUBLIC[statistic](frame, ci=None, **options).value)

    found = agreement_difference(a, b, statistic=statistic, ci="jackknife", group=group, **options)  # type: ignore[arg-type]
    assert found.value == pytest.approx(of(b) - of(a), abs=1e-12)
    assert (found.low, found.high) == pytest.approx(left_out(a, b, of, column), abs=1e-10)
    assert found.unit == ("items" if group is None else "groups")


@pytest.mark.parametrize(("statistic", "options"), OF_TWO)
@pytest.mark.parametrize("column", ["item_id", "stem"])
def test_two_raters(statistic: str, options: dict[str, Any], column: str) -> None:
    a, b = some(3, range(0, 24), raters=2), some(4, range(0, 30), raters=2)
    group = None if column == "item_id" else column

    def of(frame: pl.DataFrame) -> float:
        return float(PUBLIC[statistic](frame, ci=None, **options).value)

    found = agreement_difference(a, b, statistic=statistic, ci="jackknife", group=group, **options)  # type: ignore[arg-type]
    assert (found.low, found.high) == pytest.approx(left_out(a, b, of, column), abs=1e-10)


def test_many_values_take_another_path_to_the_same_end() -> None:
    a, b = some(5, range(0, 40), values=150, missing=0), some(6, range(0, 40), values=150, missing=0)

    def of(frame: pl.DataFrame) -> float:
        return float(krippendorff_alpha(frame, ci=None).value)

    found = agreement_difference(a, b, ci="jackknife")
    assert (found.low, found.high) == pytest.approx(left_out(a, b, of, "item_id"), abs=1e-10)


def test_bootstrap_draws_an_item_on_both_sides_at_once() -> None:
    rng = np.random.default_rng(7)
    hard = rng.random(300)  # the chance to guess, the same for both questions
    rows: list[list[tuple[int, int, int]]] = [[], []]
    for side in rows:
        truth = rng.integers(0, 3, 300)
        for i in range(300):
            for r in range(3):
                side.append((i, r, int(rng.integers(0, 3)) if rng.random() < hard[i] else int(truth[i])))
    a, b = rows
    paired = agreement_difference(a, b, statistic="percent_agreement")
    apart = agreement_difference(a, [(i + 300, r, v) for i, r, v in b], statistic="percent_agreement")
    by_theory = agreement_difference(a, b, statistic="percent_agreement", ci="jackknife")
    assert paired.value == pytest.approx(apart.value, abs=1e-12)
    assert paired.high - paired.low < 0.93 * (apart.high - apart.low)
    assert (paired.low, paired.high) == pytest.approx((by_theory.low, by_theory.high), abs=0.01)
    assert (paired.n, apart.n) == (300, 600)


def test_the_same_on_both_sides_has_no_interval() -> None:
    a = some(8, range(20))
    found = agreement_difference(a, a)
    assert found.value == 0.0
    assert np.isnan(found.low)
    assert found.note.startswith("no interval: every bootstrap draw gives the same value")


@settings(max_examples=20)
@given(st.integers(0, 50), st.sampled_from(["krippendorff_alpha", "gwet_ac1", "conger_kappa"]))
def test_laws(seed: int, statistic: Any) -> None:
    a, b = some(seed, range(0, 15)), some(seed + 1, range(5, 20))
    found = agreement_difference(a, b, statistic=statistic, n_boot=50)
    shuffled = agreement_difference(
        a.sample(fraction=1, shuffle=True, seed=seed), b.reverse(), statistic=statistic, n_boot=50
    )
    assert found == shuffled
    renamed = [
        f.with_columns(pl.format("🙂 item {}", "item_id").alias("item_id"), pl.col("value").cast(pl.String))
        for f in (a, b)
    ]
    turned = agreement_difference(renamed[1], renamed[0], statistic=statistic, ci="jackknife")
    there = agreement_difference(a, b, statistic=statistic, ci="jackknife")
    assert turned.value == pytest.approx(-there.value, abs=1e-12)
    assert (turned.low, turned.high) == pytest.approx((-there.high, -there.low), abs=1e-9, nan_ok=True)


def test_seed_and_group_make_the_interval() -> None:
    a, b = some(9, range(0, 60)), some(10, range(0, 60))
    first, again = (agreement_difference(a, b, seed=3, n_boot=200) for _ in range(2))
    other = agreement_difference(a, b, seed=4, n_boot=200)
    grouped = agreement_difference(a, b, seed=3, n_boot=200, group="stem")
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)
    assert (first.low, first.high) != (grouped.low, grouped.high)
    assert (grouped.n_units, grouped.unit, grouped.n) == (20, "groups", 60)
    alone = agreement_difference(a, b, seed=3, n_boot=200, group="item_id")
    assert (alone.low, alone.high, alone.unit) == (first.low, first.high, "items")


def test_undefined_says_on_which_side() -> None:
    a = some(11, range(6), missing=0)
    one = agreement_difference(a, a.with_columns(pl.lit(1).alias("value")))
    assert np.isnan(one.value)
    assert one.note.startswith("B: only one value is in use")
    alone = agreement_difference(a.filter(pl.col("annotator_id") == "r0"), a)
    assert np.isnan(alone.value)
    assert "A: no item has two or more ratings" in alone.note
    nothing = agreement_difference([], a)
    assert np.isnan(nothing.value)
    assert (nothing.n, nothing.note) == (6, "A: no item has two or more ratings; A: 0 items, B: 6 items, 0 in both")
    neither = agreement_difference([], [])
    assert (neither.n, neither.note[:8]) == (0, "no items")


def test_two_items_and_notes_of_each_side() -> None:
    a = [("x", 1, "a"), ("x", 2, "a"), ("y", 1, "b"), ("y", 2, "b"), ("z", 1, "a")]
    b = [("x", 1, "a"), ("x", 2, "b"), ("y", 1, "b"), ("y", 2, "b")]
    found = agreement_difference(a, b, ci="jackknife", statistic="percent_agreement")
    assert found.value == -0.5
    assert "A: 1 item with one rating left out" in found.note


def test_unlike_values_in_use_are_noted_where_they_count() -> None:
    a, b = some(12, range(10), values=3), some(13, range(10), values=4)
    assert "give categories=" in agreement_difference(a, b, statistic="gwet_ac1", ci=None).note
    given_ = agreement_difference(a, b, statistic="gwet_ac1", categories=CATEGORIES, ci=None)
    assert "give categories=" not in given_.note
    assert "give order=" in agreement_difference(a, b, statistic="fleiss_kappa", weights="linear", ci=None).note
    assert "give" not in agreement_difference(a, b, ci=None).note


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"statistic": "kappa"}, "statistic must be one of percent_agreement, krippendorff_alpha"),
        ({"statistic": "fleiss_kappa", "level": "ordinal"}, "fleiss_kappa takes no level"),
        ({"weights": "linear"}, "krippendorff_alpha takes no weights"),
        ({"level": "cardinal"}, "level must be one of nominal"),
        ({"categories": ["1"]}, "krippendorff_alpha takes no categories"),
        ({"statistic": "gwet_ac1", "bounds": (0, 1)}, "gwet_ac1 takes no bounds"),
        ({"level": "bipolar"}, "alpha at the bipolar level needs bounds="),
        ({"scope": "items+raters"}, "the interval is over items, with these raters"),
        ({"ci": "analytic"}, "ci must be"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    a = some(14, range(5))
    with pytest.raises(ValueError, match=message):
        agreement_difference(a, a, **arguments)


def test_ids_must_mean_the_same_on_both_sides() -> None:
    a = some(15, range(9))
    with pytest.raises(TableError, match="ids of items must have one type; found Int64 in a and String in b"):
        agreement_difference(a, a.with_columns(pl.col("item_id").cast(pl.String)))
    moved = a.with_columns(pl.when(pl.col("item_id") == 4).then(pl.lit("stem 9")).otherwise("stem").alias("stem"))
    with pytest.raises(TableError, match=r'same group on both sides; 1 do not \(e.g. item "4" in stem 1 and stem 9\)'):
        agreement_difference(a, moved, group="stem")
    with pytest.raises(TableError, match="cohen_kappa compares exactly two raters; found 4"):
        agreement_difference(a, a, statistic="cohen_kappa")
