"""Kendall's W and correlations of raters: by hand, against SciPy and naive resamples, ties, missing cells, refusals."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import friedmanchisquare, kendalltau, pearsonr, rankdata, spearmanr

from dfar_toolkit.agreement.continuous.correlation import mean_correlation, pairwise_correlation
from dfar_toolkit.agreement.continuous.kendall_w import kendall_w
from dfar_toolkit.agreement.continuous.weighted_ranks import concordance, in_blocks, midranks, untied
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import ESTIMATE_SCHEMA

METHODS = {"pearson": pearsonr, "spearman": spearmanr, "kendall": kendalltau}
# Twelve items rated 1 to 5 by three raters, with many ties.
LIKERT = np.array(
    [[3, 2, 3], [4, 2, 3], [1, 1, 1], [2, 1, 2], [3, 2, 1], [1, 2, 2], [2, 3, 2], [4, 5, 4], [2, 3, 2], [2, 2, 2],
     [2, 4, 5], [2, 4, 4]], dtype=float,
)  # fmt: skip


def long(table: np.ndarray) -> pl.DataFrame:
    """Items by raters, nan where missing, as long ratings."""
    cells = [(int(i), f"r{j}", float(table[i, j])) for i, j in np.argwhere(~np.isnan(table))]
    return pl.DataFrame(cells, schema=["item_id", "annotator_id", "value"], orient="row")


def tied(seed: int, n: int = 20, k: int = 4, share: float = 0.3) -> np.ndarray:
    """Whole numbers with ties and missing cells."""
    rng = np.random.default_rng(seed)
    table = np.round(rng.normal(size=(n, 1)) * 2 + rng.normal(size=(n, k)) * 1.5)
    table[rng.random(table.shape) < share] = np.nan
    return table


def w_by_definition(table: np.ndarray) -> float:
    """12 S / (m^2 (n^3 - n) - m sum T)."""
    n, m = table.shape
    ranks = np.column_stack([rankdata(column) for column in table.T])
    total = ranks.sum(axis=1)
    ties = sum((t**3 - t).sum() for t in (np.unique(column, return_counts=True)[1] for column in table.T))
    return float(12 * ((total - total.mean()) ** 2).sum() / (m**2 * (n**3 - n) - m * ties))


def test_w_by_hand() -> None:
    # Ranks 1 2 3 4, 2 1 4 3, 1 2 3 4: sums 4, 5, 10, 11, mean 15/2; S = 49/4 + 25/4 + 25/4 + 49/4 = 37.
    rows = long(np.array([[1, 20, 0.1], [2, 10, 0.2], [3, 40, 0.3], [4, 30, 0.4]]))
    found = kendall_w(rows, ci=None)
    assert found.value == pytest.approx(float(Fraction(12 * 37, 9 * (64 - 4))), abs=1e-15)
    assert found.n == 4
    # With ties 1 1 2 against 1 2 3: midranks 3/2 3/2 3 and 1 2 3, sums 5/2, 7/2, 6, mean 4, S = 9/4 + 1/4 + 4 = 13/2.
    tie = kendall_w(long(np.array([[1, 1], [1, 2], [2, 3.0]])), ci=None)
    assert tie.value == pytest.approx(float(Fraction(12 * 13, 2) / (4 * 24 - 2 * 6)), abs=1e-15)


def test_w_equals_pingouin_and_friedman() -> None:
    # pingouin 0.7.0, friedman(): W of the items as conditions, the raters as subjects.
    assert kendall_w(long(LIKERT), ci=None).value == pytest.approx(0.6442721791559001, abs=1e-12)
    chi2 = friedmanchisquare(*LIKERT).statistic
    assert kendall_w(long(LIKERT), ci=None).value == pytest.approx(chi2 / (3 * 11), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_w_equals_its_definition_and_the_mean_spearman(seed: int) -> None:
    table = tied(seed, share=0)
    assert kendall_w(long(table), ci=None).value == pytest.approx(w_by_definition(table), abs=1e-12)
    smooth = table + np.random.default_rng(seed).random(table.shape) / 10
    rho = mean_correlation(long(smooth), method="spearman", ci=None).value
    assert kendall_w(long(smooth), ci=None).value == pytest.approx((3 * rho + 1) / 4, abs=1e-12)


@pytest.mark.parametrize("grouped", [False, True])
def test_w_jackknife_ranks_anew(grouped: bool) -> None:
    table = tied(1, n=12, share=0)
    rows = long(table).with_columns(context=pl.col("item_id") // (3 if grouped else 1))
    found = kendall_w(rows, ci="jackknife", group="context")
    context = np.arange(12) // (3 if grouped else 1)
    left = np.array([w_by_definition(table[context != g]) for g in np.unique(context)])
    se = np.sqrt((len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum())
    assert (found.high - found.low) / 2 == pytest.approx(1.959963984540054 * se, abs=1e-12)
    assert found.unit == ("groups" if grouped else "items")


def test_w_refuses_or_drops_missing_cells() -> None:
    table = LIKERT.copy()
    table[3, 0] = np.nan
    with pytest.raises(TableError, match="kendall_w needs a rating of every item by every rater; 1 of 12 items lack"):
        kendall_w(long(table))
    found = kendall_w(long(table), incomplete="drop", ci=None)
    assert found.value == pytest.approx(w_by_definition(np.delete(LIKERT, 3, axis=0)), abs=1e-12)
    assert found.note == "1 item without a rating by every rater left out"
    nothing = kendall_w([("x", "a", 1), ("y", "b", 1)], incomplete="drop")
    assert np.isnan(nothing.value)
    assert nothing.n == 0


def test_w_undefined() -> None:
    for table, why in (
        (np.ones((4, 3)), "every rater ties all items"),
        (np.array([[1.0, 2.0]]), "fewer than two items"),
        (np.array([[1.0], [2.0]]), "fewer than two raters"),
    ):
        found = kendall_w(long(table))
        assert np.isnan([found.value, found.low, found.high]).all()
        assert why in found.note
    assert np.isnan(kendall_w([]).value)
    two = kendall_w(long(np.array([[1, 1], [2, 2.0]])))  # every draw ranks alike or not at all
    assert two.value == 1.0
    assert np.isnan(two.low)
    assert "draws undefined" in two.note


def test_a_rater_who_ties_everything_says_nothing_for_w() -> None:
    table = np.column_stack([[1.0, 2, 3, 4], [1.0, 2, 3, 4], [5.0, 5, 5, 5]])
    # R = 2 r, sum of squares 4 * 5 = 20; 3 * (5 + 5 + 0) = 30.
    assert kendall_w(long(table), ci=None).value == pytest.approx(2 / 3, abs=1e-15)


@pytest.mark.parametrize(("n", "values"), [(1, 2), (2, 2), (9, 3), (30, 100), (40, 5), (33, 2)])
def test_weighted_ranks_are_those_of_repeated_numbers(n: int, values: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.integers(0, values, (2, n)).astype(float)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=6).astype(float)
    ranks, difference, pairs = midranks(x)(weights), concordance(x, y)(weights), untied(x)(weights)
    assert np.array_equal(difference, in_blocks(concordance(x, y), 4_000_000)(weights))
    for b, times in enumerate(weights.astype(int)):
        who = np.repeat(np.arange(n), times)
        plain = rankdata(x[who])
        assert ranks[b][who] == pytest.approx(plain - plain.mean(), abs=1e-12)
        signs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i, j in combinations(who, 2)]
        assert difference[b] == sum(p * q for p, q in signs)
        assert pairs[b] == sum(p != 0 for p, _ in signs)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(3))
def test_pairs_equal_scipy_on_the_items_both_rated(method: Any, seed: int) -> None:
    table = tied(seed)
    found = pairwise_correlation(long(table), method=method, ci=None)
    assert found.columns == ["rater_a", "rater_b", *ESTIMATE_SCHEMA]
    assert found.select("rater_a", "rater_b").rows() == list(combinations(["r0", "r1", "r2", "r3"], 2))
    for (j, k), row in zip(combinations(range(4), 2), found.iter_rows(named=True), strict=True):
        both = ~np.isnan(table[:, [j, k]]).any(axis=1)
        theirs = METHODS[method](table[both, j], table[both, k]).statistic
        assert row["value"] == pytest.approx(theirs, abs=1e-12)
        assert row["n"] == both.sum()
    mean = mean_correlation(long(table), method=method, ci=None)
    assert mean.value == pytest.approx(found["value"].mean(), abs=1e-12)
    assert mean.n == (np.isfinite(table).sum(axis=1) >= 2).sum()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("grouped", [False, True])
def test_jackknife_of_the_mean_correlates_anew(method: Any, grouped: bool) -> None:
    table = tied(5, n=16, k=3, share=0.1)
    context = np.arange(16) // (4 if grouped else 1)
    rows = long(table).join(pl.DataFrame({"item_id": np.arange(16), "context": context}), on="item_id")
    found = mean_correlation(rows, method=method, ci="jackknife", group="context")
    left = np.array([mean_correlation(long(table[context != g]), method=method, ci=None).value for g in set(context)])
    se = np.sqrt((len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum())
    assert (found.high - found.low) / 2 == pytest.approx(1.959963984540054 * se, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_the_only_pair_is_the_mean(method: Any) -> None:
    rows = long(tied(2, k=2, share=0)).with_columns(context=pl.col("item_id") // 4)
    for group in (None, "context"):
        mean = mean_correlation(rows, method=method, group=group, n_boot=200)
        pair = pairwise_correlation(rows, method=method, group=group, n_boot=200).row(0, named=True)
        assert (mean.value, mean.low, mean.high, mean.unit) == pytest.approx(
            (pair["value"], pair["low"], pair["high"], pair["unit"]), abs=1e-12
        )
    assert mean.unit == "groups"


def test_pairs_of_a_pairs_own_groups() -> None:
    # The two share one item of each group: for them items are the units.
    table = tied(3, n=12, k=2, share=0)
    table[1::2, 1] = np.nan
    rows = long(table).with_columns(context=pl.col("item_id") // 2)
    found = pairwise_correlation(rows, group="context", n_boot=100)
    assert found.select("unit", "n_units", "n").row(0) == ("items", 6, 6)


def test_pairs_left_out_are_counted() -> None:
    table = np.array([[1, 2, 5, np.nan], [2, 1, 5, np.nan], [3, 3, 5, 1], [4, 5, 5, 2.0]])
    found = mean_correlation(long(table), ci=None)
    assert found.value == pytest.approx(pearsonr(table[:, 0], table[:, 1]).statistic, abs=1e-12)
    assert found.note == (
        "5 of 6 pairs of raters left out: 3 with fewer than 3 items both rated, 2 with a rater who gave one number only"
    )
    pairs = pairwise_correlation(long(table))
    assert pairs["note"].to_list()[1:] == [
        "one of the two gave one number only", "fewer than 3 items were rated by both",
        "one of the two gave one number only", "fewer than 3 items were rated by both",
        "fewer than 3 items were rated by both",
    ]  # fmt: skip
    assert pairs["value"].is_nan().sum() == 5


@pytest.mark.parametrize("method", METHODS)
def test_undefined(method: Any) -> None:
    for rows, why in (
        (long(np.full((5, 3), 0.1)), "no pair of raters has a correlation"),
        (long(np.array([[1, 2], [2, 1.0]])), "no pair of raters has a correlation"),
        (long(np.array([[1.0], [2.0]])), "fewer than two raters"),
        ([("x", "a", 1), ("y", "b", 2)], "1 with fewer than 3 items both rated"),
    ):
        found = mean_correlation(rows, method=method)
        assert np.isnan([found.value, found.low, found.high]).all()
        assert why in found.note
    lonely = pairwise_correlation([("x", "a", 1), ("y", "b", 2)], method=method).row(0, named=True)
    assert (lonely["n"], lonely["note"]) == (0, "no item was rated by both")
    assert pairwise_correlation([], method=method).columns == ["rater_a", "rater_b", *ESTIMATE_SCHEMA]
    assert np.isnan(mean_correlation([], method=method).value)


@pytest.mark.parametrize("method", METHODS)
def test_opposed_raters_and_a_large_offset(method: Any) -> None:
    x = np.arange(10.0)
    assert mean_correlation(long(np.column_stack([x, -x])), method=method, ci=None).value == pytest.approx(
        -1, abs=1e-14
    )
    far = pairwise_correlation(long(LIKERT + 2.0**40), method=method, ci=None)["value"].to_list()
    assert far == pytest.approx(
        pairwise_correlation(long(LIKERT), method=method, ci=None)["value"].to_list(), abs=1e-12
    )


@given(st.integers(0, 10_000), st.sampled_from(["W", *METHODS]))
def test_row_order_and_names_do_not_matter(seed: int, what: Any) -> None:
    table = tied(seed, n=8, k=3, share=0)
    rows = long(table)
    renamed = rows.with_columns(pl.format("an item 🙂 {}", 50 - pl.col("item_id")).alias("item_id"))
    arguments: dict[str, Any] = {} if what == "W" else {"method": what}
    statistic: Any = kendall_w if what == "W" else mean_correlation
    usual = statistic(rows, n_boot=50, **arguments)
    shuffled = statistic(rows.sample(fraction=1, shuffle=True, seed=seed), n_boot=50, **arguments)
    assert shuffled.as_row() == pytest.approx(usual.as_row(), nan_ok=True, abs=0)
    assert statistic(renamed, ci=None, **arguments).value == pytest.approx(usual.value, abs=1e-12, nan_ok=True)
    if what != "pearson":  # ranks see the order of the numbers alone
        cubes = rows.with_columns(pl.col("value") ** 3)
        assert statistic(cubes, ci=None, **arguments).value == pytest.approx(usual.value, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("statistic", [kendall_w, mean_correlation])
def test_intervals_repeat_and_groups_change_them(statistic: Any) -> None:
    rows = long(tied(4, n=40, share=0)).with_columns(context=pl.col("item_id") // 5)
    first, again = statistic(rows, n_boot=300, seed=3), statistic(rows, n_boot=300, seed=3)
    grouped = statistic(rows, n_boot=300, seed=3, group="context")
    assert first == again
    assert first.low < first.value < first.high
    assert (grouped.n, grouped.n_units, grouped.unit) == (40, 8, "groups")
    assert (grouped.low, grouped.high) != (first.low, first.high)
    assert grouped.value == pytest.approx(first.value, abs=1e-12)


def test_many_raters_without_merging() -> None:
    table = tied(6, n=15, k=18, share=0)
    assert kendall_w(long(table), n_boot=50).value == pytest.approx(w_by_definition(table), abs=1e-12)
    pairs = [spearmanr(table[:, j], table[:, k]).statistic for j, k in combinations(range(18), 2)]
    assert mean_correlation(long(table), method="spearman", n_boot=20).value == pytest.approx(np.mean(pairs), abs=1e-12)


def test_slices_words_and_refusals() -> None:
    rows = long(LIKERT).with_columns(part=pl.col("item_id") % 2)
    by_part = pairwise_correlation(rows, by="part", ci=None)
    assert by_part.columns == ["part", "rater_a", "rater_b", *ESTIMATE_SCHEMA]
    assert len(by_part) == 6
    alone = pairwise_correlation(rows.filter(part=1), ci=None)
    assert by_part.filter(part=1).drop("part").equals(alone)
    assert kendall_w(rows, by="part", ci=None).columns == ["part", *ESTIMATE_SCHEMA]
    words = ["a", "b", "c", "d", "e"]
    named = rows.with_columns(value=pl.col("value").cast(pl.Int64).map_elements(lambda v: words[v - 1], pl.String))
    assert kendall_w(named, order=words, ci=None).value == kendall_w(rows, ci=None).value
    with pytest.raises(TableError, match="kendall_w reads every value as a number"):
        kendall_w(named)
    with pytest.raises(ValueError, match='mean_correlation: method must be one of "pearson"'):
        mean_correlation(rows, method="cosine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pairwise_correlation: ci must be one of"):
        pairwise_correlation(rows, ci="analytic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='by cannot be "rater_a"'):
        pairwise_correlation(rows.with_columns(rater_a=1), by="rater_a")
    crowd = pl.DataFrame({"item_id": range(2001), "annotator_id": range(2001), "value": [1] * 2001})
    with pytest.raises(TableError, match="at most 2000 of them; found 2001"):
        mean_correlation(crowd)
