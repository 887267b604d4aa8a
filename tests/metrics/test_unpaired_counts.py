"""Bounds from two counts: every overlap tried, statsmodels, a published interval, the likelihood searched."""

from __future__ import annotations

from math import isnan, log, sqrt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar

from dfar_toolkit.metrics import mcnemar_test
from dfar_toolkit.metrics.comparing.unpaired_counts import mcnemar_bounds

Z = float(norm.ppf(0.975))


def brute(correct_a: int, correct_b: int, n: int) -> list[float]:
    """McNemar's p for every number of items that both may have right, most first."""
    found = []
    for both in range(min(correct_a, correct_b), max(0, correct_a + correct_b - n) - 1, -1):
        a, b = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        a[:correct_a] = True
        b[:both] = True
        b[correct_a : correct_a + correct_b - both] = True
        found.append(mcnemar_test(a, b).value)
    return found


def test_by_hand() -> None:
    # 1 and 3 right of 4. Nested: only the second right on 2, p = 2 (1/2)^2. Apart: 1 against 3, p = 2 (1 + 4) / 16.
    found = mcnemar_bounds(1, 3, 4)
    assert found["p_value"].to_list() == [1 / 2, 10 / 16]
    assert found.select("overlap", "both_right", "only_a", "only_b").rows() == [("most", 1, 0, 2), ("least", 0, 1, 3)]
    assert found["value"].to_list() == [0.5, 0.5]
    assert found["method"].unique().to_list() == ["Tango score"]


@given(st.integers(1, 14).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n))))
@settings(max_examples=40)
def test_no_overlap_lies_outside_and_p_only_grows(counts: tuple[int, int, int]) -> None:
    tried, found = brute(*counts), mcnemar_bounds(*counts)["p_value"].to_list()
    assert tried == sorted(tried)
    assert found == [tried[0], tried[-1]]


@pytest.mark.parametrize(("a", "b", "n"), [(447, 411, 500), (411, 237, 500), (182, 202, 500), (393, 393, 500)])
def test_p_equals_statsmodels_at_both_ends(a: int, b: int, n: int) -> None:
    for row in mcnemar_bounds(a, b, n).iter_rows(named=True):
        table = [
            [row["both_right"], row["only_a"]],
            [row["only_b"], n - row["both_right"] - row["only_a"] - row["only_b"]],
        ]
        assert min(map(min, table)) == 0
        oracle = min(1.0, mcnemar(table, exact=True).pvalue)
        assert row["p_value"] == pytest.approx(oracle, rel=1e-9)


def likely_share(delta: float, only_a: int, only_b: int, n: int) -> float:
    """The share of items that only A has right, most likely when B - A is delta: the likelihood searched for it."""
    low, high = max(0.0, -delta), (1 - delta) / 2

    def loss(q: float) -> float:
        cells = ((only_a, q), (only_b, q + delta), (n - only_a - only_b, 1 - 2 * q - delta))
        return -sum(count * log(max(p, 1e-300)) for count, p in cells if count)

    inner = float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x)
    return min((low, inner, high), key=loss)


@pytest.mark.parametrize(
    ("a", "b", "n"), [(3, 7, 10), (7, 3, 10), (5, 5, 9), (0, 4, 12), (40, 31, 60), (59, 60, 60), (447, 411, 500)]
)
def test_interval_inverts_the_score_test(a: int, b: int, n: int) -> None:
    for row in mcnemar_bounds(a, b, n).iter_rows(named=True):
        only_a, only_b = row["only_a"], row["only_b"]

        def score(delta: float, only_a: int = only_a, only_b: int = only_b) -> float:
            spread = 2 * likely_share(delta, only_a, only_b, n) + delta * (1 - delta)
            return (only_b - only_a - n * delta) / sqrt(n * spread) if spread > 1e-12 else np.inf

        for end, wanted in (("low", Z), ("high", -Z)):
            if abs(row[end]) < 1 and only_a + only_b:
                assert score(row[end]) == pytest.approx(wanted, abs=2e-4)
        if 0 < only_a + only_b < n:
            inverted = brentq(lambda d: score(d) - Z, -0.999999, row["value"], xtol=1e-10)
            assert row["low"] == pytest.approx(inverted, abs=1e-5)


def test_interval_and_p_equal_published_ones() -> None:
    # R package contingencytables 3.0.0 on cavo_2012, discordant 6 and 16 of 161: Tango's score interval
    # "-0.0621 (95% CI -0.1240 to -0.0054)", McNemar's exact conditional test "P = 0.052479". Counts of 16 and 6 leave
    # these two cells where no item is right in both.
    least = mcnemar_bounds(16, 6, 161).row(1, named=True)
    assert (least["only_a"], least["only_b"]) == (16, 6)
    assert [round(least[x], 4) for x in ("value", "low", "high")] == [-0.0621, -0.1240, -0.0054]
    assert round(least["p_value"], 6) == 0.052479


def test_one_overlap_only() -> None:
    # None right, or all right, on one side: nothing is left open, and both rows are the same.
    for a, b, n in ((0, 4, 12), (12, 5, 12), (0, 12, 12), (0, 0, 7), (7, 7, 7)):
        most, least = mcnemar_bounds(a, b, n).drop("overlap").rows()
        assert most == least


def test_closed_forms_at_the_edges() -> None:
    z2 = Z * Z
    # Nothing differs: n delta^2 = z^2 |delta| (1 - |delta|), so z^2 / (n + z^2).
    alike = mcnemar_bounds(0, 0, 20).row(0, named=True)
    assert (alike["low"], alike["high"]) == pytest.approx((-z2 / (20 + z2), z2 / (20 + z2)), abs=1e-12)
    assert alike["p_value"] == 1
    # All differ one way: n (1 - delta) = z^2 (1 + delta), so (n - z^2) / (n + z^2).
    apart = mcnemar_bounds(0, 20, 20).row(0, named=True)
    assert (apart["low"], apart["high"]) == pytest.approx(((20 - z2) / (20 + z2), 1.0), abs=1e-12)
    # One way on some: from 0 up q is 0, and n (d - delta)^2 = z^2 delta (1 - delta) above d: Wilson's upper end.
    some = mcnemar_bounds(0, 5, 20).row(0, named=True)
    d = 0.25
    wilson = (d + z2 / 40 + Z * sqrt(d * (1 - d) / 20 + z2 / 1600)) / (1 + z2 / 20)
    assert some["high"] == pytest.approx(wilson, abs=1e-12)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n))))
@settings(max_examples=30)
def test_laws(counts: tuple[int, int, int]) -> None:
    a, b, n = counts
    found, turned = mcnemar_bounds(a, b, n), mcnemar_bounds(b, a, n)
    wrong = mcnemar_bounds(n - a, n - b, n)
    assert found["p_value"].to_list() == turned["p_value"].to_list() == wrong["p_value"].to_list()
    assert found["low"].to_list() == pytest.approx((-turned["high"]).to_list(), abs=1e-12)
    assert found["low"].to_list() == pytest.approx((-wrong["high"]).to_list(), abs=1e-12)
    (low, wide_low), (high, wide_high) = found["low"], found["high"]
    assert -1 <= wide_low <= low <= (b - a) / n <= high <= wide_high <= 1
    assert found.equals(mcnemar_bounds(a, b, n))


def test_higher_confidence_is_wider() -> None:
    narrow, wide = mcnemar_bounds(30, 36, 50, confidence=0.8), mcnemar_bounds(30, 36, 50, confidence=0.99)
    assert (wide["low"] < narrow["low"]).all()
    assert (wide["high"] > narrow["high"]).all()
    assert wide["confidence"].to_list() == [0.99, 0.99]


def test_no_items() -> None:
    found = mcnemar_bounds(0, 0, 0)
    assert all(isnan(x) for x in found.select("p_value", "value", "low", "high").row(0))
    assert found["note"].unique().to_list() == ["no items"]


def test_many_items() -> None:
    found = mcnemar_bounds(600_000, 601_000, 1_000_000)
    assert found["p_value"].to_list() == [pytest.approx(0, abs=1e-12), pytest.approx(0.264, abs=0.001)]
    # both at the least: 201,000, discordant 799,000: |1000| / sqrt(799,000) = 1.1187
    assert found["p_value"][1] == pytest.approx(2 * norm.sf((1000 - 1) / sqrt(799_000)), abs=1e-5)


@pytest.mark.parametrize(
    ("a", "b", "n", "message"),
    [
        (11, 5, 10, "correct_a must be a whole number from 0 to n = 10, found 11"),
        (5, -1, 10, "correct_b must be a whole number from 0 to n = 10, found -1"),
        (89.4, 5, 500, "correct_a must be a whole number from 0 to n = 500, found 89.4"),
        (float("nan"), 5, 500, "correct_a must be a whole number from 0 to n = 500, found nan"),
        (0, 0, -1, "n must be a whole number of items, found -1"),
        (1, 1, float("inf"), "n must be a whole number of items, found inf"),
    ],
)
def test_what_is_refused(a: int, b: int, n: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^mcnemar_bounds: {message}"):
        mcnemar_bounds(a, b, n)
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1, found 95"):
        mcnemar_bounds(1, 1, 2, confidence=95)


def test_the_frame_is_typed() -> None:
    schema = mcnemar_bounds(1, 2, 3).schema
    assert (schema["both_right"], schema["p_value"], schema["low"]) == (pl.Int64, pl.Float64, pl.Float64)
