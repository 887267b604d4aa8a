"""Lin's concordance, the overall one, and limits of agreement: by hand, other tools, identities, refusals."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, pearsonr

from dfar_toolkit.agreement.continuous.limits import limits_of_agreement
from dfar_toolkit.agreement.continuous.lin import lin_ccc, overall_ccc
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import ESTIMATE_SCHEMA


def long(table: np.ndarray) -> pl.DataFrame:
    """Items by raters, nan where missing, as long ratings."""
    cells = [(int(i), f"r{j}", float(table[i, j])) for i, j in np.argwhere(~np.isnan(table))]
    return pl.DataFrame(cells, schema=["item_id", "annotator_id", "value"], orient="row")


def noisy(seed: int, n: int = 60, k: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 1)) + 0.3 * np.arange(k) + 0.6 * rng.normal(size=(n, k))


def ccc(x: np.ndarray, y: np.ndarray) -> float:
    shared = ((x - x.mean()) * (y - y.mean())).mean()
    return float(2 * shared / (x.var() + y.var() + (x.mean() - y.mean()) ** 2))


def test_lin_by_hand() -> None:
    # x = 1, 2, 4; y = 2, 2, 5: means 7/3, 3; squares 14/9, 2; shared (1*2 + 2*2 + 4*5)/3 - 7 = 5/3.
    expected = 2 * Fraction(5, 3) / (Fraction(14, 9) + 2 + Fraction(4, 9))
    rows = long(np.array([[1, 2], [2, 2], [4, 5.0]]))
    assert lin_ccc(rows, ci=None).value == pytest.approx(float(expected), abs=1e-15)
    assert overall_ccc(rows, ci=None).value == pytest.approx(float(expected), abs=1e-15)


def test_lin_equals_audmetric() -> None:
    # audmetric 1.4.2, concordance_cc of the first two judges of Shrout and Fleiss, and of twelve tied ratings.
    judges = np.array([[9, 2], [6, 1], [8, 4], [7, 1], [10, 5], [6, 2.0]])
    assert lin_ccc(long(judges), ci=None).value == pytest.approx(0.106951871657754, abs=1e-12)
    x, y = [3, 4, 1, 2, 3, 1, 2, 4, 2, 2, 2, 2], [2, 2, 1, 1, 2, 2, 3, 5, 3, 2, 4, 4]
    assert lin_ccc(long(np.column_stack([x, y]).astype(float)), ci=None).value == pytest.approx(
        0.3294117647058823, abs=1e-12
    )


@pytest.mark.parametrize("seed", range(4))
def test_overall_is_the_weighted_mean_of_the_pairs(seed: int) -> None:
    table = noisy(seed, n=12, k=4)
    above = below = 0.0
    for j, k in combinations(range(4), 2):
        weight = table[:, j].var() + table[:, k].var() + (table[:, j].mean() - table[:, k].mean()) ** 2
        above, below = above + weight * ccc(table[:, j], table[:, k]), below + weight
    assert overall_ccc(long(table), ci=None).value == pytest.approx(above / below, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_lin_analytic_is_the_published_variance(seed: int) -> None:
    table = noisy(seed)
    found = lin_ccc(long(table), ci="analytic", confidence=0.9)
    x, y = table.T
    c, r, n = ccc(x, y), pearsonr(x, y).statistic, 60
    u = (x.mean() - y.mean()) / np.sqrt(x.std() * y.std())
    # Lin's variance of the coefficient itself, then over (1 - c^2)^2 for its z.
    first = (1 - r**2) * c**2 * (1 - c**2) / r**2
    variance = (first + 2 * c**3 * (1 - c) * u**2 / r - c**4 * u**4 / (2 * r**2)) / (n - 2)
    half = norm.ppf(0.95) * np.sqrt(variance) / (1 - c**2)
    assert (found.low, found.high) == pytest.approx(
        (np.tanh(np.arctanh(c) - half), np.tanh(np.arctanh(c) + half)), abs=1e-12
    )
    assert found.method == "Fisher z"
    drawn = lin_ccc(long(table), confidence=0.9)
    assert (drawn.low, drawn.high) == pytest.approx((found.low, found.high), abs=0.06)


def test_lin_without_an_analytic_interval() -> None:
    rows = long(noisy(1)).with_columns(context=pl.col("item_id") // 3)
    assert "items come in groups" in lin_ccc(rows, ci="analytic", group="context").note
    line = np.column_stack([np.arange(5.0), np.arange(5.0) + 1])
    flat = np.column_stack([np.arange(5.0), np.full(5, 2.0)])
    for table in (line, flat, line[:2]):
        found = lin_ccc(long(table), ci="analytic")
        assert np.isfinite(found.value)
        assert np.isnan(found.low)
        assert "no analytic interval" in found.note
    assert lin_ccc(long(flat), ci=None).value == 0.0


@pytest.mark.parametrize("statistic", [lin_ccc, overall_ccc])
def test_concordance_undefined(statistic: Any) -> None:
    for table, why in (
        (np.full((4, 2), 0.1), "the numbers of no rater vary"),
        (np.tile([0.1, 0.7], (4, 1)), "the numbers of no rater vary"),
        (np.array([[1.0, 2.0]]), "fewer than two items"),
    ):
        for ci in ("bootstrap", "jackknife", None):
            found = statistic(long(table), ci=ci)
            assert np.isnan([found.value, found.low, found.high]).all()
            assert why in found.note
    assert "fewer than two raters" in overall_ccc([("x", "a", 1), ("y", "a", 2)]).note


def test_overall_refuses_or_drops_missing_cells() -> None:
    table = noisy(2, n=10, k=3)
    table[4, 1] = np.nan
    with pytest.raises(TableError, match="overall_ccc needs a rating of every item by every rater; 1 of 10"):
        overall_ccc(long(table))
    found = overall_ccc(long(table), incomplete="drop", ci=None)
    assert found.value == pytest.approx(overall_ccc(long(np.delete(table, 4, axis=0)), ci=None).value, abs=1e-14)
    assert found.n == 9


def test_only_items_both_rated_count() -> None:
    table = noisy(3, n=12)
    table[0, 0] = table[5, 1] = np.nan
    both = np.delete(table, [0, 5], axis=0)
    found = lin_ccc(long(table), ci=None)
    assert found.value == pytest.approx(ccc(*both.T), abs=1e-12)
    assert (found.n, found.note) == (10, "2 items rated by one of the two left out")
    limits = limits_of_agreement(long(table), ci=None)
    assert limits["value"][0] == pytest.approx(float((both[:, 0] - both[:, 1]).mean()), abs=1e-12)
    assert limits["n"].to_list() == [10, 10, 10]
    apart = limits_of_agreement([("x", "a", 1), ("y", "b", 1)])
    assert apart["value"].is_nan().all()
    assert "no item was rated by both" in apart["note"][0]
    assert np.isnan(lin_ccc([("x", "a", 1), ("y", "b", 1)], ci="analytic").value)


@pytest.mark.parametrize("statistic", [lin_ccc, limits_of_agreement])
def test_exactly_two_raters(statistic: Any) -> None:
    with pytest.raises(TableError, match="compares exactly two raters; found 3; filter to two of them"):
        statistic(long(noisy(0, k=3)))
    with pytest.raises(TableError, match="found 1"):
        statistic([("x", "a", 1)])


def test_limits_by_hand() -> None:
    # Differences 1, 1, 4, 6: mean 3, s^2 = (4 + 4 + 1 + 9) / 3 = 6.
    rows = long(np.array([[1, 0], [2, 1], [5, 1], [8, 2.0]]))
    found = limits_of_agreement(rows, share=0.9)
    reach = 1.6448536269514722 * np.sqrt(6)
    assert found["value"].to_list() == pytest.approx([3.0, 3 - reach, 3 + reach], abs=1e-12)
    assert found.columns == ["rater_a", "rater_b", *ESTIMATE_SCHEMA]
    assert found["name"].to_list() == ["Bias", "Lower limit of agreement", "Upper limit of agreement"]
    # t with 3 degrees of freedom at .975 is 3.182446305284263.
    assert found["low"][0] == pytest.approx(3 - 3.182446305284263 * np.sqrt(6 / 4), abs=1e-10)
    # The limits mirror each other about the bias.
    below, above = 3 - found["high"][1], found["low"][2] - 3
    assert below == pytest.approx(above, abs=1e-10)
    assert found["method"].to_list() == ["t", "noncentral t", "noncentral t"]


def test_exact_limits_are_where_the_chance_of_the_data_is_half_of_what_is_left() -> None:
    # By numerical integration over s instead of the noncentral t: the chance that the limit estimated from n = 8
    # differences with mean mu and deviation 1 lies below the one found, where mu + z is the end of its interval.
    from scipy.integrate import quad
    from scipy.stats import chi

    table = noisy(5, n=8)
    d = table[:, 0] - table[:, 1]
    found = limits_of_agreement(long(table)).row(2, named=True)
    z, s = norm.ppf(0.975), float(d.std(ddof=1))
    for end, chance in ((found["low"], 0.975), (found["high"], 0.025)):
        shift = (end - d.mean()) / s  # t with (mu + z sigma) = mean + shift s at the end

        def below(root: float, shift: float = shift) -> float:
            # P(z - Z / sqrt(8) <= shift root / sqrt(7)), root = chi with 7 degrees of freedom
            return float(norm.sf((z - shift * root / np.sqrt(7)) * np.sqrt(8)) * chi.pdf(root, 7))

        assert quad(below, 0, 20)[0] == pytest.approx(1 - chance, abs=1e-6)


def test_limits_undefined_or_without_interval() -> None:
    one = limits_of_agreement([("x", "a", 3), ("x", "b", 1)])
    assert one["value"][0] == 2
    assert one["value"].is_nan().to_list() == [False, True, True]
    assert one["note"].to_list() == ["no interval: one unit (items) only", "one item only", "one item only"]
    same = limits_of_agreement(long(np.array([[1, 0.9], [2, 1.9], [5, 4.9]])))
    assert same["value"].to_list() == pytest.approx([0.1, 0.1, 0.1], abs=1e-12)
    assert same["low"].is_nan().all()
    assert set(same["note"]) == {"no interval: all differences are equal"}
    grouped = long(noisy(1)).with_columns(context=pl.col("item_id") // 3)
    refused = limits_of_agreement(grouped, group="context")
    assert set(refused["note"]) == {'no analytic interval: items come in groups; ask for ci="bootstrap"'}
    drawn = limits_of_agreement(grouped, group="context", ci="bootstrap", n_boot=200)
    assert (drawn["low"] < drawn["value"]).all()
    assert drawn["unit"].to_list() == ["groups"] * 3
    assert drawn["note"][1] == "bootstrap intervals are too short below 100 groups"


def test_slices_and_arguments() -> None:
    rows = long(noisy(2)).with_columns(part=pl.col("item_id") % 2)
    limits = limits_of_agreement(rows, by="part")
    assert limits.columns == ["part", "rater_a", "rater_b", *ESTIMATE_SCHEMA]
    assert limits.filter(part=1).drop("part").equals(limits_of_agreement(rows.filter(part=1)))
    assert lin_ccc(rows, by="part", ci=None)["n"].to_list() == [30, 30]
    with pytest.raises(ValueError, match=r"share must lie between 0 and 1, found 1\.5"):
        limits_of_agreement(rows, share=1.5)
    with pytest.raises(ValueError, match="lin_ccc: ci must be one of"):
        lin_ccc(rows, ci="f")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='by cannot be "rater_b"'):
        limits_of_agreement(rows.with_columns(rater_b=1), by="rater_b")
    with pytest.raises(TableError, match="lin_ccc reads every value as a number"):
        lin_ccc(rows.with_columns(value=pl.lit("often")))


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_row_order_and_names_do_not_matter(seed: int) -> None:
    table = np.round(noisy(seed, n=8) * 2)
    rows = long(table)
    shuffled = rows.sample(fraction=1, shuffle=True, seed=seed)
    renamed = rows.with_columns(item_id=pl.format("an item 🙂 {}", 50 - pl.col("item_id")))
    usual = overall_ccc(rows, n_boot=50)
    assert overall_ccc(shuffled, n_boot=50) == usual
    assert overall_ccc(renamed, n_boot=50).value == pytest.approx(usual.value, abs=1e-12)
    assert overall_ccc(renamed, n_boot=50).low == pytest.approx(usual.low, abs=1e-12, nan_ok=True)
    swapped = limits_of_agreement(long(table[:, ::-1]), ci=None)["value"].to_list()
    bias, low, high = limits_of_agreement(rows, ci=None)["value"].to_list()
    assert swapped == pytest.approx([-bias, -high, -low], abs=1e-12)


def test_a_large_offset_costs_no_digits() -> None:
    table = np.round(noisy(6) * 4)
    for ci in ("analytic", "bootstrap"):
        near, far = lin_ccc(long(table), ci=ci, n_boot=100), lin_ccc(long(table + 2.0**40), ci=ci, n_boot=100)
        assert (far.value, far.low, far.high) == pytest.approx((near.value, near.low, near.high), abs=1e-10)
    assert limits_of_agreement(long(table + 2.0**40))["high"].to_list() == pytest.approx(
        limits_of_agreement(long(table))["high"].to_list(), abs=1e-10
    )
