"""Krippendorff's alpha: by hand, against the krippendorff package, and where it has no value."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from typing import Any

import krippendorff
import numpy as np
import polars as pl
import pytest

from dfar_toolkit.agreement import krippendorff_alpha
from dfar_toolkit.agreement import units as units_module
from dfar_toolkit.errors import TableError

LEVELS = ("nominal", "ordinal", "interval", "ratio")


def triples(matrix: np.ndarray) -> list[tuple[int, int, float]]:
    return [(int(i), int(j), float(matrix[j, i])) for j, i in np.argwhere(~np.isnan(matrix))]


def incomplete(seed: int, n_values: int, *, step: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    n_raters, n_items = rng.integers(2, 9), rng.integers(3, 40)
    matrix = rng.integers(0, n_values, (n_raters, n_items)) * step
    matrix[rng.random(matrix.shape) < rng.uniform(0, 0.6)] = np.nan
    return matrix


def by_hand(units: list[list[int]]) -> Fraction:
    """Nominal alpha by counting pairs of ratings, as exact fractions."""
    pairable = [unit for unit in units if len(unit) > 1]
    n = sum(len(unit) for unit in pairable)
    observed = sum(Fraction(2 * sum(a != b for a, b in combinations(u, 2)), len(u) - 1) for u in pairable) / n
    ratings = [value for unit in pairable for value in unit]
    expected = Fraction(2 * sum(a != b for a, b in combinations(ratings, 2)), n * (n - 1))
    return 1 - observed / expected


def test_three_items_by_hand() -> None:
    # Items (1,1), (1,2), (2,2): n = 6, one of three items differs: D_o = 2/6. Values: three 1, three 2, so of the
    # 30 ordered pairs 2 * 3 * 3 = 18 differ: D_e = 18/30. alpha = 1 - (1/3) / (3/5) = 4/9.
    rows = [("x", "a", 1), ("x", "b", 1), ("y", "a", 1), ("y", "b", 2), ("z", "a", 2), ("z", "b", 2)]
    for level in ("nominal", "ordinal", "interval"):  # two values: one distance, which cancels
        assert krippendorff_alpha(rows, level=level, ci=None).value == pytest.approx(float(Fraction(4, 9)), abs=1e-15)


def test_interval_by_hand() -> None:
    # Items (0,1), (3,3), n = 4. D_o = (2 * 1/1) / 4 = 1/2. Ordered pairs of the ratings 0, 1, 3, 3:
    # 2 * (1 + 9 + 9 + 4 + 4 + 0) / 12 = 54/12 = 9/2. alpha = 1 - 1/9 = 8/9.
    rows = [("x", "a", 0), ("x", "b", 1), ("y", "a", 3), ("y", "b", 3)]
    assert krippendorff_alpha(rows, level="interval", ci=None).value == pytest.approx(8 / 9, abs=1e-15)
    # Ordinal: midranks 1, 2, 3.5, 3.5. D_o = 2 * 1 / 4; pairs 2 * (1 + 2.5^2 * 2 + 1.5^2 * 2) / 12 = 36/12 = 3.
    assert krippendorff_alpha(rows, level="ordinal", ci=None).value == pytest.approx(1 - 0.5 / 3, abs=1e-15)
    # Ratio: (0,1) -> 1, (0,3) -> 1, (1,3) -> 1/4. D_o = 2/4; pairs 2 * (1 + 2 * 1 + 2 * 1/4) / 12 = 7/12.
    assert krippendorff_alpha(rows, level="ratio", ci=None).value == pytest.approx(1 - Fraction(1, 2) / Fraction(7, 12))


@pytest.mark.parametrize("seed", range(6))
def test_nominal_equals_exact_fractions(seed: int) -> None:
    matrix = incomplete(seed, 4)
    units = [[int(v) for v in column[~np.isnan(column)]] for column in matrix.T]
    assert krippendorff_alpha(triples(matrix), ci=None).value == pytest.approx(float(by_hand(units)), abs=1e-14)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("n_values", "step"), [(2, 1.0), (5, 0.1), (60, 1.0), (400, 0.37)])
def test_equals_the_krippendorff_package(level: Any, n_values: int, step: float) -> None:
    compared = 0
    for seed in range(12):
        matrix = incomplete(seed, n_values, step=step)
        try:
            theirs = krippendorff.alpha(reliability_data=matrix, level_of_measurement=level)
        except ValueError:  # one value in use
            theirs = np.nan
        ours = krippendorff_alpha(triples(matrix), level=level, ci=None).value
        assert ours == pytest.approx(theirs, abs=1e-12, nan_ok=True)
        compared += bool(np.isfinite(theirs))
    assert compared >= 10


@pytest.mark.parametrize("level", LEVELS)
def test_more_values_than_fit_into_words(level: Any) -> None:
    rng = np.random.default_rng(5)
    matrix = np.round(rng.normal(50, 20, 300)[None, :] + rng.normal(0, 8, (3, 300)), 1).clip(min=0)
    theirs = krippendorff.alpha(reliability_data=matrix, level_of_measurement=level)
    assert krippendorff_alpha(triples(matrix), level=level, ci=None).value == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("grouped", [False, True])
def test_sparse_rows_give_the_same_numbers(level: Any, grouped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pl.DataFrame(triples(incomplete(3, 30)), schema=["item_id", "annotator_id", "value"], orient="row")
    rows = rows.with_columns(pl.col("item_id") // 3 if grouped else pl.col("item_id"), group=pl.col("item_id") // 3)
    rows = rows.unique(["item_id", "annotator_id"], maintain_order=True)
    dense = krippendorff_alpha(rows, level=level, group="group", ci="jackknife")
    monkeypatch.setattr(units_module, "_DENSE", 0)
    monkeypatch.setattr(units_module, "_NARROW", 0)
    thin = krippendorff_alpha(rows, level=level, group="group", ci="jackknife")
    wanted = (dense.value, dense.low, dense.high)
    assert (thin.value, thin.low, thin.high) == pytest.approx(wanted, abs=1e-12, nan_ok=True)


def test_ordinal_bootstrap_ranks_each_draw_anew() -> None:
    """The jackknife of the ordinal level equals leaving items out and computing from scratch."""
    matrix = incomplete(1, 5)
    rows = triples(matrix)
    found = krippendorff_alpha(rows, level="ordinal", ci="jackknife")
    items = [i for i in range(matrix.shape[1]) if (~np.isnan(matrix[:, i])).sum() > 1]
    left_out = [krippendorff_alpha([r for r in rows if r[0] != i], level="ordinal", ci=None).value for i in items]
    n = len(items)
    se = np.sqrt((n - 1) / n * np.sum((np.array(left_out) - np.mean(left_out)) ** 2))
    assert found.high - found.value == pytest.approx(1.959963984540054 * se, abs=1e-10)


def test_group_resamples_whole_groups() -> None:
    # Two copies of each item in one group: as wide as the interval over the items alone, not narrower.
    rng = np.random.default_rng(2)
    single = [(i, j, int(rng.random() < 0.3 + 0.4 * (i % 2))) for i in range(40) for j in range(3)]
    double = [(i + 100 * k, j, v) for i, j, v in single for k in range(2)]
    frame = pl.DataFrame(double, schema=["item_id", "annotator_id", "value"], orient="row")
    frame = frame.with_columns(pl.col("item_id").mod(100).cast(pl.String).alias("context"))
    grouped = krippendorff_alpha(frame, group="context", n_boot=4000)
    alone = krippendorff_alpha(single, n_boot=4000)
    naive = krippendorff_alpha(frame, n_boot=4000)
    assert (grouped.unit, grouped.n_units, grouped.n) == ("groups", 40, 80)
    assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert naive.high - naive.low < 0.85 * (grouped.high - grouped.low)


def test_item_bootstrap_equals_resampling_items_directly() -> None:
    rows = triples(incomplete(4, 3))
    found = krippendorff_alpha(rows, n_boot=4000)
    rng = np.random.default_rng(0)
    items = sorted({i for i, _, _ in rows if sum(1 for r in rows if r[0] == i) > 1})
    per_item = {i: [v for k, _, v in rows if k == i] for i in items}
    draws = []
    for _ in range(1500):
        drawn = rng.choice(items, len(items))
        counts = np.array([[per_item[i].count(float(v)) for v in range(3)] for i in drawn])
        draws.append(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))
    assert np.quantile(draws, [0.025, 0.975]) == pytest.approx([found.low, found.high], abs=0.03)


def test_undefined_says_why() -> None:
    one_value = krippendorff_alpha([("x", "a", 1), ("x", "b", 1), ("y", "a", 1), ("y", "b", 1)], level="interval")
    assert np.isnan(one_value.value)
    assert "only one value is in use" in one_value.note
    assert one_value.n == 2
    single = krippendorff_alpha([("x", "a", 1), ("y", "b", 2)])
    assert np.isnan(single.value)
    assert "no item has two or more ratings" in single.note
    assert single.n == 0
    assert "no item has two or more ratings" in krippendorff_alpha([]).note
    assert np.isnan(krippendorff_alpha(pl.DataFrame({"item_id": [], "annotator_id": [], "value": []})).value)


def test_one_item_has_a_value_but_no_interval() -> None:
    found = krippendorff_alpha([("x", "a", 1), ("x", "b", 2)])
    assert found.value == 0.0
    assert np.isnan(found.low)
    assert "one unit" in found.note


def test_undefined_draws_are_counted() -> None:
    rows = [("x", "a", 1), ("x", "b", 1), ("y", "a", 2), ("y", "b", 2)]
    found = krippendorff_alpha(rows, n_boot=1000)
    assert found.value == 1.0
    assert "of 1000 bootstrap draws undefined" in found.note  # half of the draws hold one value only


def test_single_ratings_are_counted_in_the_note() -> None:
    rows = [("x", "a", 1), ("x", "b", 2), ("y", "a", 1), ("y", "b", 1), ("z", "a", 2)]
    found = krippendorff_alpha(rows, ci=None)
    assert found.n == 2
    assert found.note == "1 item with one rating left out"


def test_a_text_called_nan_is_a_value() -> None:
    rows = [("x", "a", "nan"), ("x", "b", "nan"), ("y", "a", "b"), ("y", "b", "nan"), ("z", "a", "b"), ("z", "b", "b")]
    assert krippendorff_alpha(rows, ci=None).value == pytest.approx(4 / 9)
    with pytest.raises(TableError, match='"b", "nan"'):
        krippendorff_alpha(rows, level="interval", ci=None)


def test_numbers_as_text_and_equal_numbers_are_one_value() -> None:
    texts = [("x", "a", "1"), ("x", "b", "1.0"), ("y", "a", "1"), ("y", "b", "2"), ("z", "a", "2.0"), ("z", "b", "2")]
    for level in ("ordinal", "interval"):
        assert krippendorff_alpha(texts, level=level, ci=None).value == pytest.approx(4 / 9)


def test_text_that_is_no_number_is_refused_with_advice() -> None:
    rows = [("x", "a", "low"), ("x", "b", "high"), ("y", "a", "low"), ("y", "b", "3")]
    with pytest.raises(TableError, match=r'2 of 3 distinct values are not: "high", "low"; give order='):
        krippendorff_alpha(rows, level="ordinal", ci=None)
    with pytest.raises(TableError, match=r'value="value_num"'):
        krippendorff_alpha(rows, level="interval", ci=None)


def test_infinity_is_no_number() -> None:
    with pytest.raises(TableError, match='not: "inf"'):
        krippendorff_alpha([("x", "a", 1.0), ("x", "b", float("inf"))], level="interval")


def test_order_gives_text_its_ranks() -> None:
    names = ["never", "rarely", "often"]
    matrix = incomplete(2, 3)
    words = [(i, j, names[int(v)]) for i, j, v in triples(matrix)]
    theirs = krippendorff.alpha(reliability_data=matrix, level_of_measurement="ordinal")
    assert krippendorff_alpha(words, level="ordinal", order=names, ci=None).value == pytest.approx(theirs, abs=1e-12)
    with pytest.raises(TableError, match='found "rarely" beside "never", "often"'):
        krippendorff_alpha(words, level="ordinal", order=["never", "often"])
    with pytest.raises(ValueError, match="order names a value twice"):
        krippendorff_alpha(words, level="ordinal", order=["never", "never"])
    with pytest.raises(ValueError, match="order is for level ordinal"):
        krippendorff_alpha(words, level="nominal", order=names)


def test_ratio_refuses_negative_values_and_too_many() -> None:
    with pytest.raises(TableError, match=r"at least 0.*found -1"):
        krippendorff_alpha([("x", "a", -1), ("x", "b", 2)], level="ratio")
    many = [(i, j, float(i + 0.1 * j)) for i in range(1100) for j in range(2)]
    with pytest.raises(TableError, match="at most 2000 distinct values; found 2200"):
        krippendorff_alpha(many, level="ratio")


def test_unknown_level_is_a_wrong_argument() -> None:
    with pytest.raises(ValueError, match=r"^krippendorff_alpha: level must be one of nominal"):
        krippendorff_alpha([("x", "a", 1)], level="cyclic")  # type: ignore[arg-type]


def test_name_and_text() -> None:
    three = [("x", "a", 1), ("x", "b", 2), ("y", "a", 1), ("y", "b", 1), ("z", "a", 2), ("z", "b", 2)]
    # Four times over: with three items alone, 7 % of the draws hold one value only.
    rows = [(f"{item}{n}", rater, value) for n in range(4) for item, rater, value in three]
    found = krippendorff_alpha(rows, level="ordinal")
    assert found.name == "Krippendorff's alpha (ordinal)"
    assert str(found).startswith("Krippendorff's alpha (ordinal) = 0.361 [")


@pytest.mark.parametrize("level", [*LEVELS, "circular", "bipolar"])
def test_numbers_as_text_sort_as_numbers(level: Any) -> None:
    rows = [("x", "a", 1), ("x", "b", 10), ("y", "a", 2), ("y", "b", 2), ("z", "a", 10), ("z", "b", 2), ("u", "a", 1)]
    texts = [(i, j, str(v)) for i, j, v in rows]
    for ci in ("jackknife", "analytic", None):
        numbers, as_text = (krippendorff_alpha(data, level=level, ci=ci) for data in (rows, texts))  # type: ignore[arg-type]
        assert repr(numbers) == repr(as_text)


@pytest.mark.parametrize("level", LEVELS)
def test_booleans_are_two_values(level: Any) -> None:
    rows = [
        ("x", "a", True),
        ("x", "b", True),
        ("y", "a", True),
        ("y", "b", False),
        ("z", "a", False),
        ("z", "b", False),
    ]
    assert krippendorff_alpha(rows, level=level, ci=None).value == pytest.approx(4 / 9)
    named = krippendorff_alpha(rows, level="ordinal", order=[False, True], ci=None)  # type: ignore[list-item]
    assert named.value == pytest.approx(4 / 9)


def test_order_may_name_numbers_as_they_are_written_and_values_that_nobody_gave() -> None:
    matrix = incomplete(2, 4)
    theirs = krippendorff.alpha(reliability_data=matrix, level_of_measurement="ordinal")
    floats = triples(matrix)
    whole = [(i, j, int(v)) for i, j, v in floats]
    texts = [(i, j, str(v)) for i, j, v in whole]
    orders: list[Any] = [[0, 1, 2, 3], [-1, 0, 1, 1.5, 2, 3, 99], ["0", "1", "2", "3"]]
    for rows, called in ((floats, [*orders, [0.0, 1.0, 2.0, 3.0]]), (whole, orders), (texts, orders)):
        for order in called:
            found = krippendorff_alpha(rows, level="ordinal", order=order, ci=None)
            assert found.value == pytest.approx(theirs, abs=1e-12)
    backwards = krippendorff_alpha(whole, level="ordinal", order=[3, 2, 1, 0], ci=None)  # type: ignore[list-item]
    assert backwards.value == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("level", [*LEVELS, "circular", "bipolar"])
def test_all_missing_but_two(level: Any) -> None:
    rows = [(i, j, None if (i, j) not in ((3, 1), (3, 4)) else float(j)) for i in range(5) for j in range(6)]
    found = krippendorff_alpha(rows, level=level)
    assert (found.value, found.n) == (0.0, 1)
    assert "one unit" in found.note


@pytest.mark.parametrize("level", LEVELS)
def test_a_thousand_values(level: Any) -> None:
    rng = np.random.default_rng(3)
    base = rng.permutation(1000)
    matrix = np.stack([base, base + rng.integers(0, 30, 1000), base]).astype(float)
    matrix[rng.random(matrix.shape) < 0.2] = np.nan
    wide = krippendorff_alpha(triples(matrix), level=level, ci="analytic")
    text = krippendorff_alpha([(i, j, str(v)) for i, j, v in triples(matrix)], level=level, ci="analytic")
    assert [wide.value, wide.low] == pytest.approx([text.value, text.low], abs=1e-12)
    assert wide.low < wide.value < wide.high
    few = matrix[:, :150]  # the package takes V x V for every item
    theirs = krippendorff.alpha(reliability_data=few, level_of_measurement=level)
    assert krippendorff_alpha(triples(few), level=level, ci=None).value == pytest.approx(theirs, abs=1e-12)
