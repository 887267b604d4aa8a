"""Errors, correlations, quadratic kappa and ordinal accuracy."""

from __future__ import annotations

from fractions import Fraction
from math import isnan, sqrt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr
from sklearn.metrics import cohen_kappa_score

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.correlation import pearson_correlation, spearman_correlation
from dfar_toolkit.metrics.number_pairs import numbers_of, pair_numbers
from dfar_toolkit.metrics.ordinal import (
    mean_absolute_error,
    mean_signed_error,
    ordinal_rows,
    ordinal_table,
    quadratic_kappa,
    root_mean_squared_error,
)
from dfar_toolkit.metrics.ordinal_accuracy import accuracy_within

SCALE = ["not at all", "a bit", "😀 quite", "very"]


def _value(table: pl.DataFrame, metric: str) -> float:
    return float(table.filter(pl.col("metric") == metric)["value"].item())


def test_by_hand_from_labels_and_from_votes() -> None:
    # Positions 0, 1, 3 against 1, 1, 0; the fourth has no answer.
    gold, pred = ["not at all", "a bit", "very", "very"], ["a bit", "a bit", "not at all", None]
    table = ordinal_table(gold=gold, pred=pred, options=SCALE, n_boot=50)
    assert _value(table, "mean_absolute_error") == pytest.approx(float(Fraction(4, 3)), abs=1e-12)
    assert _value(table, "root_mean_squared_error") == pytest.approx(sqrt(10 / 3), abs=1e-12)
    assert _value(table, "mean_signed_error") == pytest.approx(float(Fraction(-2, 3)), abs=1e-12)
    assert _value(table, "accuracy_within") == 0.5  # two of all four
    assert "1 of 4 items without a number on both sides left out" in table["note"][0]
    # Votes 1, 0, 1, 2 stand at (2 + 6) / 4 = 2; with values 1, 2, 4, 8 at 21/4.
    assert numbers_of("t", None, [[1, 0, 1, 2]], "gold", options=SCALE).tolist() == [2.0]
    assert numbers_of("t", None, [[1, 0, 1, 2]], "gold", values=[1, 2, 4, 8]).tolist() == [5.25]
    mean = mean_absolute_error(gold=[[1, 0, 1, 2]], pred=[[0.0, 0.5, 0.5, 0.0]], options=SCALE, ci=None)
    assert mean.value == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn_and_scipy_with_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 4, size=80)
    pred = np.clip(gold + rng.integers(-1, 2, size=80), 0, 3)
    found = ordinal_table(gold=gold, pred=pred, n_boot=20)
    assert _value(found, "quadratic_kappa") == pytest.approx(
        cohen_kappa_score(gold, pred, weights="quadratic", labels=[0, 1, 2, 3]), abs=1e-12
    )
    assert _value(found, "pearson_correlation") == pytest.approx(pearsonr(gold, pred)[0], abs=1e-12)
    assert _value(found, "spearman_correlation") == pytest.approx(spearmanr(gold, pred)[0], abs=1e-12)


def test_unequal_values_weigh_the_kappa() -> None:
    values = [0.0, 1.0, 10.0, 11.0]
    rng = np.random.default_rng(0)
    g, p = rng.integers(0, 4, size=50), rng.integers(0, 4, size=50)
    found = quadratic_kappa(
        gold=[SCALE[k] for k in g], pred=[SCALE[k] for k in p], options=SCALE, values=values, ci=None
    )
    x, y = np.array(values)[g], np.array(values)[p]
    assert found.value == pytest.approx(1 - np.mean((x - y) ** 2) / np.mean((x[:, None] - y[None, :]) ** 2), abs=1e-12)
    lin = 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert found.value == pytest.approx(lin, abs=1e-12)


def test_spearman_interval_is_that_of_the_jackknife_for_many_items() -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 6, size=400)
    y = np.clip(x + rng.integers(-2, 3, size=400), 0, 5)
    found = spearman_correlation(gold=x, pred=y)
    left_out = [spearmanr(np.delete(x, i), np.delete(y, i))[0] for i in range(0, 400)]
    se = sqrt(399 / 400 * np.sum((left_out - np.mean(left_out)) ** 2))
    half = (np.arctanh(found.high) - np.arctanh(found.low)) / 2 * (1 - found.value**2) / 1.959963984540054
    assert half == pytest.approx(se, rel=0.01)
    assert found.method == "linearised (Fisher's z)"


def test_spearman_by_group_and_its_refusals() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=40)
    y = x + rng.normal(size=40)
    doubled = spearman_correlation(gold=[*x, *x], pred=[*y, *y], group=[*range(40)] * 2)
    once = spearman_correlation(gold=x, pred=y)
    assert (doubled.value, doubled.low) == pytest.approx((once.value, once.low), abs=1e-12)
    assert (doubled.n, doubled.n_units, doubled.unit) == (80, 40, "groups")
    few = spearman_correlation(gold=[1, 2, 3], pred=[1, 3, 2])
    assert few.value == pytest.approx(0.5, abs=1e-12)
    assert "no interval: fewer than 10 items" in few.note
    same = spearman_correlation(gold=range(12), pred=range(12))
    assert "every rank agrees" in same.note
    with pytest.raises(ValueError, match='ci must be "linearised" or None'):
        spearman_correlation(gold=[1], pred=[1], ci="bootstrap")


def test_undefined_says_why() -> None:
    constant = [0.1] * 5
    for score in (pearson_correlation, spearman_correlation):
        found = score(gold=constant, pred=[1.0, 2.0, 3.0, 4.0, 5.0], ci=None)
        assert isnan(found.value)
        assert found.note == "gold or prediction is one number throughout"
    assert isnan(quadratic_kappa(gold=constant, pred=constant).value)
    assert quadratic_kappa(gold=constant, pred=[0.2] * 5, ci=None).value == pytest.approx(0, abs=1e-12)
    none = ordinal_table(gold=[None], pred=[1.0])
    assert none["value"].is_nan().all()
    assert none["note"].str.contains("no item").all()
    one = mean_absolute_error(gold=[1.0], pred=[3.0])
    assert (one.value, isnan(one.low)) == (2.0, True)


def test_large_numbers_lose_no_digits() -> None:
    rng = np.random.default_rng(0)
    x = 1e9 + rng.normal(size=50)
    y = x + rng.normal(size=50)
    expected = np.corrcoef(x - 1e9, y - 1e9)[0, 1]
    assert pearson_correlation(gold=x, pred=y, ci=None).value == pytest.approx(expected, abs=1e-6)


def test_groups_change_the_interval_and_the_same_seed_gives_the_same_one() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"label": rng.normal(size=60), "label_pred": rng.normal(size=60)})
    alone = root_mean_squared_error(frame, n_boot=100)
    grouped = root_mean_squared_error(frame.with_columns(group=pl.int_range(60) // 6), n_boot=100)
    assert alone.value == pytest.approx(grouped.value, abs=1e-12)
    assert (alone.unit, grouped.unit, grouped.n_units) == ("items", "groups", 10)
    assert alone.low != grouped.low
    assert alone == root_mean_squared_error(frame.reverse(), n_boot=100)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=3, max_size=10))
def test_laws(pairs: list[tuple[int, int]]) -> None:
    gold, pred = [float(g) for g, _ in pairs], [float(p) for _, p in pairs]
    moved = ordinal_table(gold=[3 * g - 7 for g in gold], pred=[3 * p - 7 for p in pred], ci=None)
    plain = ordinal_table(gold=gold, pred=pred, ci=None)
    unchanged = ["quadratic_kappa", "pearson_correlation", "spearman_correlation"]
    for metric in unchanged:
        assert _value(moved, metric) == pytest.approx(_value(plain, metric), abs=1e-9, nan_ok=True)
    assert _value(moved, "mean_absolute_error") == pytest.approx(3 * _value(plain, "mean_absolute_error"), abs=1e-9)
    ranks = pearson_correlation(gold=rankdata(gold), pred=rankdata(pred), ci=None).value
    assert _value(plain, "spearman_correlation") == pytest.approx(ranks, abs=1e-12, nan_ok=True)
    assert mean_signed_error(gold=gold, pred=pred, ci=None).value == pytest.approx(
        -mean_signed_error(gold=pred, pred=gold, ci=None).value, abs=1e-12
    )


def test_within_counts_the_unanswered_and_leaves_out_what_has_no_gold() -> None:
    found = accuracy_within(gold=[1.0, 1.0, None, 2.0], pred=[1.25, None, 1.0, 0.0], step=0.25)
    assert (found.value, found.n) == (pytest.approx(1 / 3), 3)
    assert "1 of 4 items without gold left out" in found.note
    assert [s.metric for s in ordinal_rows(pair_numbers("t", None, gold=[1.0], pred=[1.0]))][
        -1
    ] == "pearson_correlation"


@pytest.mark.parametrize(
    ("gold", "how", "error", "message"),
    [
        (["odd"], {"options": SCALE}, TableError, "gold must be one of not at all, .*found 'odd'"),
        (["very"], {}, ValueError, "give options, the labels from lowest to highest"),
        ([float("inf")], {}, TableError, "gold must be finite; 1 values are infinite"),
        ([[0.5, -0.5]], {}, TableError, "at least 0 with a positive sum"),
        ([[0.5, 0.5]], {"options": SCALE}, TableError, r"one number per option \(4\); found lengths 2"),
        ([True], {}, ValueError, "must hold numbers, labels or lists"),
        ([1.0, 2.0], {}, ValueError, "gold has 2 values, pred has 1"),
        (["very"], {"options": SCALE, "values": [1, 2]}, ValueError, "4 options but 2 values"),
    ],
)
def test_refusals(gold: list[object], how: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        mean_absolute_error(gold=gold, pred=[1.0], **how)  # type: ignore[arg-type]


def test_missing_column_and_negative_step() -> None:
    with pytest.raises(ValueError, match='no column "label_pred" for pred; found "label"'):
        mean_absolute_error(pl.DataFrame({"label": [1.0]}))
    with pytest.raises(ValueError, match="step must be at least 0"):
        accuracy_within(gold=[1.0], pred=[1.0], step=-1)
