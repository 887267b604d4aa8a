"""Fleiss' and Cohen's kappa and Gwet's AC1: by hand, against statsmodels and scikit-learn, and the refusals."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations, permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from nltk.metrics.agreement import AnnotationTask
from scipy.stats import norm
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, cohens_kappa
from statsmodels.stats.inter_rater import fleiss_kappa as their_fleiss

from dfar_toolkit.agreement import (
    brennan_prediger,
    cohen_kappa,
    conger_kappa,
    fleiss_kappa,
    gwet_ac1,
    pairwise_kappa,
    percent_agreement,
    randolph_kappa,
    scott_pi,
)
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import ESTIMATE_SCHEMA


def long(matrix: np.ndarray) -> pl.DataFrame:
    """Raters by items, nan where missing."""
    cells = [(int(i), int(j), int(matrix[j, i])) for j, i in np.argwhere(~np.isnan(matrix))]
    return pl.DataFrame(cells, schema=["item_id", "annotator_id", "value"], orient="row")


def incomplete(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    matrix = rng.integers(0, 4, (5, 40)).astype(float)
    matrix[rng.random(matrix.shape) < 0.4] = np.nan
    return matrix


def test_by_hand_with_a_single_rating() -> None:
    # Items (a,a,b), (a,a), (b). p_a = (1/3 + 1) / 2 = 2/3 over the two pairable items. Mean distribution over all
    # three: a: (2/3 + 1 + 0) / 3 = 5/9, b: 4/9.
    rows = [("x", 1, "a"), ("x", 2, "a"), ("x", 3, "b"), ("y", 1, "a"), ("y", 2, "a"), ("z", 1, "b")]
    observed, share = Fraction(2, 3), (Fraction(5, 9), Fraction(4, 9))
    fleiss_chance = sum(p**2 for p in share)
    gwet_chance = sum(p * (1 - p) for p in share)  # q = 2
    assert percent_agreement(rows, ci=None).value == pytest.approx(float(observed), abs=1e-15)
    assert fleiss_kappa(rows, ci=None).value == pytest.approx(
        float((observed - fleiss_chance) / (1 - fleiss_chance)), abs=1e-15
    )
    assert gwet_ac1(rows, ci=None).value == pytest.approx(
        float((observed - gwet_chance) / (1 - gwet_chance)), abs=1e-15
    )
    assert fleiss_kappa(rows, ci=None).n == 2


def test_cohen_by_hand() -> None:
    # Table [[20, 5], [10, 15]]: p_o = 35/50, p_e = (25 * 30 + 25 * 20) / 2500 = 1/2, kappa = 2/5.
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    rows = [(i, who, v) for i, pair in enumerate(pairs) for who, v in zip(("ann", "bob"), pair, strict=True)]
    found = cohen_kappa(rows, ci="jackknife")
    assert found.value == pytest.approx(0.4, abs=1e-15)
    assert found.n == 50
    assert found.low < 0.4 < found.high


@pytest.mark.parametrize("seed", range(5))
def test_fleiss_equals_statsmodels_on_complete_data(seed: int) -> None:
    matrix = np.random.default_rng(seed).integers(0, 4, (5, 30)).astype(float)
    theirs = their_fleiss(aggregate_raters(matrix.T.astype(int))[0], method="fleiss")
    assert fleiss_kappa(long(matrix), ci=None).value == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_pairs_equal_scikit_learn_on_the_items_both_rated(seed: int) -> None:
    matrix = incomplete(seed)
    found = pairwise_kappa(long(matrix), ci=None)
    assert found.columns == ["rater_a", "rater_b", *ESTIMATE_SCHEMA]
    assert found.select("rater_a", "rater_b").rows() == list(combinations(range(5), 2))
    for row in found.iter_rows(named=True):
        both = ~np.isnan(matrix[[row["rater_a"], row["rater_b"]]]).any(axis=0)
        theirs = cohen_kappa_score(matrix[row["rater_a"], both], matrix[row["rater_b"], both])
        assert row["value"] == pytest.approx(theirs, abs=1e-12)
        assert row["n"] == both.sum()


def test_cohen_is_the_only_pair() -> None:
    frame = long(incomplete(1)[:2]).with_columns(context=pl.col("item_id") // 4)
    alone = cohen_kappa(frame, group="context", n_boot=200)
    pair = pairwise_kappa(frame, group="context", n_boot=200)
    assert alone.as_row() == pair.drop("rater_a", "rater_b").row(0, named=True)
    assert alone.unit == "groups"


def test_cohen_refuses_other_numbers_of_raters_with_advice() -> None:
    with pytest.raises(TableError, match=r"exactly two raters; found 5; use pairwise_kappa"):
        cohen_kappa(long(incomplete(0)))
    with pytest.raises(TableError, match="found 1"):
        cohen_kappa([("x", "ann", 1), ("y", "ann", 2)])


def test_cohen_by_slice() -> None:
    rows = long(incomplete(2)[:2]).with_columns(part=pl.col("item_id") % 2)
    found = cohen_kappa(rows, by="part", ci=None)
    assert found.columns == ["part", *ESTIMATE_SCHEMA]
    for part in (0, 1):
        alone = cohen_kappa(rows.filter(part=part), ci=None)
        assert found.filter(part=part)["value"].item() == pytest.approx(alone.value)
    lonely = rows.filter((pl.col("part") == 0) | (pl.col("annotator_id") == 0))
    with pytest.raises(TableError, match="found 1 where part = 1"):
        cohen_kappa(lonely, by="part")


def test_pairs_without_a_common_item_are_listed() -> None:
    rows = [("x", "a", 1), ("x", "b", 2), ("y", "b", 1), ("y", "c", 1), ("z", "b", 2), ("z", "c", 2)]
    found = pairwise_kappa(rows, ci=None)
    assert found.select("rater_a", "rater_b", "n").rows() == [("a", "b", 1), ("a", "c", 0), ("b", "c", 2)]
    lonely = found.row(1, named=True)
    assert np.isnan(lonely["value"])
    assert lonely["note"] == "no item was rated by both"


def test_undefined_cohen() -> None:
    found = cohen_kappa([("x", "a", 1), ("x", "b", 1), ("y", "a", 1), ("y", "b", 1)])
    assert np.isnan(found.value)
    assert "one and the same value" in found.note


def test_pairwise_refuses_a_crowd() -> None:
    crowd = pl.DataFrame({"item_id": range(2001), "annotator_id": range(2001), "value": [1] * 2001})
    with pytest.raises(TableError, match="at most 2000 of them; found 2001"):
        pairwise_kappa(crowd)


def test_pairwise_of_nothing() -> None:
    assert pairwise_kappa([]).columns == ["rater_a", "rater_b", *ESTIMATE_SCHEMA]
    assert len(pairwise_kappa([("x", "a", 1)])) == 0


@pytest.mark.parametrize("statistic", [fleiss_kappa, gwet_ac1])
def test_one_value_in_use_is_undefined(statistic: Any) -> None:
    found = statistic([("x", "a", 1), ("x", "b", 1)])
    assert np.isnan(found.value)
    assert "only one value is in use" in found.note


@pytest.mark.parametrize("statistic", [fleiss_kappa, gwet_ac1, percent_agreement])
def test_nothing_to_pair_is_undefined(statistic: Any) -> None:
    for rows in ([("x", "a", 1), ("y", "b", 2)], []):
        found = statistic(rows)
        assert np.isnan(found.value)
        assert "no item has two or more ratings" in found.note
        assert found.n == 0


def test_categories_on_offer_count_for_ac1() -> None:
    # p_a = 1/2, pi = (3/4, 1/4): p_e = 3/8 / (q - 1).
    rows = [("x", "a", "no"), ("x", "b", "no"), ("y", "a", "no"), ("y", "b", "yes")]
    three = gwet_ac1(rows, categories=["no", "unsure", "yes"], ci=None).value
    assert three == pytest.approx(float((Fraction(1, 2) - Fraction(3, 16)) / (1 - Fraction(3, 16))), abs=1e-15)
    with pytest.raises(TableError, match="every value in use; 1 are missing"):
        gwet_ac1(rows, categories=["no"])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weights", ["linear", "quadratic"])
def test_weighted_pairs_equal_scikit_learn(seed: int, weights: Any) -> None:
    matrix = incomplete(seed)
    for row in pairwise_kappa(long(matrix), weights=weights, ci=None).iter_rows(named=True):
        both = ~np.isnan(matrix[[row["rater_a"], row["rater_b"]]]).any(axis=0)
        first, second = matrix[row["rater_a"], both], matrix[row["rater_b"], both]
        # With all labels named: scikit-learn takes ranks among those in use otherwise.
        theirs = cohen_kappa_score(first, second, labels=[0, 1, 2, 3], weights=weights)
        assert row["value"] == pytest.approx(theirs, abs=1e-12)


def test_randolph_equals_statsmodels() -> None:
    matrix = np.random.default_rng(4).integers(0, 4, (5, 30)).astype(float)
    theirs = their_fleiss(aggregate_raters(matrix.T.astype(int))[0], method="randolph")
    assert randolph_kappa(long(matrix), ci=None).value == pytest.approx(theirs, abs=1e-12)
    assert brennan_prediger(long(matrix), ci=None).value == pytest.approx(theirs, abs=1e-12)
    # With a fifth category on offer: (p_a - 1/5) / (4/5) from p_a = (k * 3 + 1) / 4.
    five = randolph_kappa(long(matrix), categories=range(5), ci=None)  # type: ignore[arg-type]
    assert five.value == pytest.approx(((theirs * 3 + 1) / 4 - 1 / 5) / (4 / 5), abs=1e-12)


def test_scott_by_hand() -> None:
    # Table [[20, 5], [10, 15]]: p_o = 7/10; y stands 55 times of 100: p_e = (55^2 + 45^2) / 10^4 = 101/200.
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    rows = [(i, who, v) for i, pair in enumerate(pairs) for who, v in zip(("ann", "bob"), pair, strict=True)]
    wanted = (Fraction(7, 10) - Fraction(101, 200)) / (1 - Fraction(101, 200))
    assert scott_pi(rows, ci=None).value == pytest.approx(float(wanted), abs=1e-15)
    with pytest.raises(TableError, match=r"scott_pi compares exactly two raters; found 3"):
        scott_pi([*rows, (0, "cyd", "y")])


def test_single_items_and_pairs_of_one_value() -> None:
    found = cohen_kappa([("x", "a", "yes 🙂"), ("x", "b", "no, thanks")])
    assert (found.value, found.n) == (0.0, 1)
    assert "one unit" in found.note
    frame = pairwise_kappa([("x", "a", 1), ("x", "b", 1), ("x", "c", 2)], ci="jackknife")
    assert (
        frame["note"].to_list()[0]
        == "both raters use one and the same value, so agreement beyond chance has no meaning"
    )
    assert frame["value"].to_list()[1:] == [0.0, 0.0]


def test_pairs_of_raters_missing_from_a_slice() -> None:
    frame = long(incomplete(6)).with_columns(part=pl.col("item_id") % 2)
    frame = frame.filter((pl.col("part") == 0) | (pl.col("annotator_id") < 3))
    found = pairwise_kappa(frame, by="part", weights="ordinal", n_boot=30)
    assert found.group_by("part", maintain_order=True).len().rows() == [(0, 10), (1, 3)]
    for part in (0, 1):
        alone = pairwise_kappa(frame.filter(part=part), weights="ordinal", n_boot=30)
        assert found.filter(part=part).drop("part").equals(alone)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_cohen_equals_scikit_learn_and_statsmodels(seed: int, weights: Any) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 60))
    first = rng.integers(0, 4, n)
    second = np.where(rng.random(n) < 0.5, first, rng.integers(0, 4, n))
    if len(set(first) | set(second)) < 4:  # all four in use: both others go by ranks then
        first, second = np.append(first, range(4)), np.append(second, range(4))
    rows = [(i, who, int(v)) for i, pair in enumerate(zip(first, second, strict=True)) for who, v in enumerate(pair)]
    found = cohen_kappa(rows, weights=weights, ci="analytic")
    theirs = cohen_kappa_score(first, second, weights=weights)
    assert found.value == pytest.approx(theirs, abs=1e-12)
    table = np.zeros((4, 4))
    np.add.at(table, (first, second), 1)
    theirs = cohens_kappa(table, weights=np.arange(4) if weights else None, wt=weights)
    assert found.value == pytest.approx(theirs.kappa, abs=1e-12)
    if math.isnan(found.low):
        assert "no interval" in found.note
    else:
        assert found.method == "linearised, normal"
        assert (found.value - found.low) / norm.ppf(0.975) == pytest.approx(theirs.std_kappa, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_scott_equals_nltk_and_is_fleiss_of_two(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 40))
    rows = [(f"item {i} 🙂", f"rater {j}", f"value {rng.integers(3)}") for i in range(n) for j in range(2)]
    theirs = AnnotationTask([(j, i, v) for i, j, v in rows])
    assert scott_pi(rows, ci=None).value == pytest.approx(theirs.pi(), abs=1e-12)
    assert brennan_prediger(rows, ci=None).value == pytest.approx(theirs.S(), abs=1e-12)
    assert cohen_kappa(rows, ci=None).value == pytest.approx(theirs.kappa(), abs=1e-12)
    for name in (None, "quadratic", "ordinal"):
        numbers = [(i, j, int(v.split()[1])) for i, j, v in rows]
        two = scott_pi(numbers, weights=name, ci=None).value  # type: ignore[arg-type]
        assert two == pytest.approx(fleiss_kappa(numbers, weights=name, ci=None).value, abs=1e-12)  # type: ignore[arg-type]


def test_weighted_kappa_equals_nltk() -> None:
    # nltk (3.10.4) takes distances between 0 and 1.
    rng = np.random.default_rng(3)
    rows = [(i, j, int(rng.integers(5))) for i in range(40) for j in range(2)]
    rows[:10] = [(i, j, i) for i in range(5) for j in range(2)]
    task = AnnotationTask([(j, i, v) for i, j, v in rows], distance=lambda a, b: abs(a - b) / 4)
    assert cohen_kappa(rows, weights="linear", ci=None).value == pytest.approx(task.weighted_kappa(), abs=1e-12)


@pytest.mark.parametrize("name", [None, "quadratic", "ordinal"])
def test_a_thousand_values(name: Any) -> None:
    rng = np.random.default_rng(7)
    base = rng.permutation(1000)
    rows = [(i, j, int(base[i] + rng.integers(0, 3) * (j == 1))) for i in range(1000) for j in range(3)]
    x = sorted({float(v) for _, _, v in rows})
    n, q = 1000, len(x)
    codes = np.array([x.index(float(v)) for _, _, v in rows]).reshape(n, 3)
    if name is None:
        a = np.eye(q)
    else:
        gap = np.abs(np.subtract.outer(x, x) if name == "quadratic" else np.subtract.outer(range(q), range(q)))
        apart = gap**2 if name == "quadratic" else gap * (gap + 1) / 2
        a = 1 - apart / apart.max()
    observed = np.mean([[a[r[g], r[h]] for g, h in permutations(range(3), 2)] for r in codes])
    share = np.bincount(codes.ravel(), minlength=q) / (3 * n)
    wanted = (observed - share @ a @ share) / (1 - share @ a @ share)
    assert fleiss_kappa(rows, weights=name, ci=None).value == pytest.approx(wanted, abs=1e-12)
    own = [np.bincount(codes[:, j], minlength=q) / n for j in range(3)]
    chance = np.mean([own[g] @ a @ own[h] for g, h in permutations(range(3), 2)])
    assert conger_kappa(rows, weights=name, ci=None).value == pytest.approx(
        (observed - chance) / (1 - chance), abs=1e-12
    )
