"""The waist of all statistics: point, intervals, collapsing, Wilson."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from dfar_toolkit.estimate import (
    ESTIMATE_SCHEMA,
    Estimate,
    bootstrap_weights,
    collapse,
    estimate,
    estimate_by_weights,
    estimates_frame,
    proportion,
)

small = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=2, max_size=30)


def mean(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


def rows_of(values: list[float]) -> np.ndarray:
    return np.column_stack([values, np.ones(len(values))])


class TestCollapse:
    def test_equal_rows_become_one_pattern(self) -> None:
        patterns = collapse([[1, 2], [3, 4], [1, 2], [1, 2]])
        assert patterns.rows.tolist() == [[1, 2], [3, 4]]
        assert patterns.times.tolist() == [3, 1]
        assert (patterns.n, patterns.n_units, patterns.unit) == (4, 4, "items")

    def test_rows_of_a_group_are_added_up(self) -> None:
        patterns = collapse([[1], [2], [5]], groups=["a", "a", "b"])
        assert patterns.rows.tolist() == [[3], [5]]
        assert (patterns.n, patterns.n_units, patterns.unit) == (3, 2, "groups")

    def test_groups_of_one_are_items(self) -> None:
        assert collapse([1, 0], groups=["a", "b"]).unit == "items"

    def test_no_rows(self) -> None:
        patterns = collapse(np.empty((0, 2)))
        assert (patterns.rows.shape, patterns.n_units) == ((0, 2), 0)

    def test_a_missing_group_is_refused(self) -> None:
        with pytest.raises(ValueError, match="1 items have no group"):
            collapse([1, 0], groups=pl.Series(["a", None]))

    @given(small, st.randoms(use_true_random=False))
    def test_order_never_matters(self, rows: list[tuple[int, int]], random: object) -> None:
        shuffled = list(rows)
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        one, two = (collapse([a for a, _ in r], groups=[g for _, g in r]) for r in (rows, shuffled))
        assert one.rows.tolist() == two.rows.tolist()
        assert one.times.tolist() == two.times.tolist()


class TestEstimate:
    def test_point_by_hand(self) -> None:
        # (1 + 1 + 0 + 2) / 4 = 1
        assert estimate("mean", collapse(rows_of([1, 1, 0, 2])), mean, ci=None).value == 1.0

    def test_same_seed_same_interval(self) -> None:
        patterns = collapse(rows_of([1, 0, 0, 1, 1, 0, 1]))
        one, two, other = (estimate("mean", patterns, mean, seed=s) for s in (1, 1, 2))
        assert (one.low, one.high) == (two.low, two.high)
        assert (one.low, one.high) != (other.low, other.high)

    def test_collapsing_is_the_exact_item_bootstrap(self) -> None:
        """The draws of pattern weights have the mean and variance of the item bootstrap of a mean."""
        values = [1.0] * 30 + [0.0] * 70
        patterns = collapse(rows_of(values))
        rng = np.random.default_rng(0)
        draws = bootstrap_weights(patterns.times, 20_000, rng) @ patterns.rows
        # standard error of the mean of draws: sqrt(.3 * .7 / 100 / 20000) = .0003
        assert abs((draws[:, 0] / draws[:, 1]).mean() - 0.3) < 0.0015
        assert abs((draws[:, 0] / draws[:, 1]).var() - 0.3 * 0.7 / 100) < 0.0001

    def test_both_ways_of_drawing_weights_have_the_same_law(self) -> None:
        rng = np.random.default_rng(0)
        many = bootstrap_weights(np.ones(50), 4000, rng)  # counts drawn units
        few = bootstrap_weights(np.array([25.0, 25.0]), 4000, rng)  # multinomial
        assert many.sum(axis=1).tolist() == [50.0] * 4000
        assert few.sum(axis=1).tolist() == [50.0] * 4000
        halves = many[:, :25].sum(axis=1)
        assert abs(halves.mean() - few[:, 0].mean()) < 0.3
        assert abs(halves.var() - few[:, 0].var()) < 1.0

    def test_jackknife_of_a_mean_is_its_standard_error(self) -> None:
        values = [1.0, 2.0, 4.0, 4.0, 9.0]
        found = estimate("mean", collapse(rows_of(values)), mean, ci="jackknife")
        half = norm.ppf(0.975) * np.std(values, ddof=1) / np.sqrt(5)
        assert found.high - found.value == pytest.approx(half, abs=1e-12)

    def test_a_jackknife_without_spread_is_no_interval(self) -> None:
        found = estimate("mean", collapse(rows_of([0.1] * 7)), mean, ci="jackknife")
        assert (found.value, np.isnan(found.low), np.isnan(found.high)) == (pytest.approx(0.1), True, True)
        assert found.note == "no interval: the value is the same whichever unit is left out"

    def test_groups_widen_the_interval(self) -> None:
        values = np.repeat([1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0], 4)
        groups = np.repeat(np.arange(8), 4)
        alone = estimate("mean", collapse(rows_of(list(values))), mean)
        grouped = estimate("mean", collapse(rows_of(list(values)), groups=groups), mean)
        assert grouped.value == alone.value
        assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)
        assert (grouped.n, grouped.n_units, grouped.unit) == (32, 8, "groups")

    def test_no_items(self) -> None:
        found = estimate("mean", collapse(np.empty((0, 2))), mean)
        assert np.isnan(found.value)
        assert found.note == "no items"

    def test_one_unit_has_no_interval(self) -> None:
        found = estimate("mean", collapse(rows_of([1.0])), mean)
        assert (found.value, np.isnan(found.low)) == (1.0, True)
        assert found.note == "no interval: one unit (items) only"

    def test_undefined_is_nan_with_the_note(self) -> None:
        found = estimate("mean", collapse([[1, 0], [2, 0]]), mean, undefined="nobody answered")
        assert np.isnan(found.value)
        assert str(found) == "mean is undefined: nobody answered (n = 2)"

    def test_undefined_draws_are_counted(self) -> None:
        # Of three items two have the denominator: a draw misses both with probability (1/3)^3 = 1/27.
        found = estimate("ratio", collapse([[1, 1], [3, 1], [0, 0]]), mean, n_boot=1000)
        missed = int(found.note.split()[0])
        assert found.note.endswith("of 1000 bootstrap draws undefined")
        assert 15 < missed < 50
        assert found.low < found.high

    def test_many_undefined_draws_leave_no_interval(self) -> None:
        # One item in four has the denominator: a draw misses it with probability (3/4)^4 = 81/256, far above 5 %.
        found = estimate("ratio", collapse([[1, 1], [0, 0], [0, 0], [3, 0]]), mean, n_boot=1000)
        assert (found.value, np.isnan(found.low), np.isnan(found.high)) == (4.0, True, True)
        assert found.note.startswith("no interval: ")
        assert found.note.endswith(" of 1000 bootstrap draws undefined")

    def test_five_percent_of_undefined_draws_is_the_limit(self) -> None:
        for undefined, interval in ((5, True), (6, False)):

            def statistic(weights: np.ndarray, undefined: int = undefined) -> np.ndarray:
                values = np.arange(len(weights), dtype=float)
                return np.where(values < undefined, np.nan, values) if len(weights) > 1 else np.ones(1)

            found = estimate_by_weights("x", np.ones(3), statistic, n=3, n_boot=100)
            assert (found.low < found.high) is interval
            assert f"{undefined} of 100 bootstrap draws undefined" in found.note

    def test_ends_that_coincide_are_no_interval_though_the_draws_differ(self) -> None:
        # One of 100 draws differs: both quantiles are 1, but not every draw is.
        def statistic(weights: np.ndarray) -> np.ndarray:
            values = np.ones(len(weights))
            values[1:2] = 0
            return values

        found = estimate_by_weights("x", np.ones(3), statistic, n=3, n_boot=100)
        assert (found.value, np.isnan(found.low), found.note) == (1.0, True, "no interval: both ends coincide")

    def test_equal_draws_are_no_interval(self) -> None:
        found = estimate("mean", collapse(rows_of([1.0, 1.0, 1.0])), mean)
        assert (found.value, np.isnan(found.low), np.isnan(found.high)) == (1.0, True, True)
        assert found.note == "no interval: every bootstrap draw gives the same value"

    @pytest.mark.parametrize("bad", [{"confidence": 1.0}, {"confidence": 0}, {"n_boot": 0}, {"ci": "student"}])
    def test_bad_arguments(self, bad: dict[str, object]) -> None:
        with pytest.raises(ValueError, match="estimate:"):
            estimate("mean", collapse(rows_of([1, 0])), mean, **bad)  # type: ignore[arg-type]

    def test_chunks_do_not_change_the_shape(self) -> None:
        """More patterns than fit at once: the draws come in pieces and are as many as asked for."""
        rng = np.random.default_rng(0)
        seen = []

        def statistic(weights: np.ndarray) -> np.ndarray:
            seen.append(len(weights))
            return weights @ values / weights.sum(axis=1)

        values = rng.normal(size=30_000)
        found = estimate_by_weights("mean", np.ones(30_000), statistic, n=30_000, n_boot=300)
        assert sum(seen) == 301
        assert len(seen) > 2
        assert found.low < found.value < found.high

    @given(small)
    def test_duplicating_every_item_keeps_the_point(self, rows: list[tuple[int, int]]) -> None:
        one = estimate("mean", collapse(rows_of([a for a, _ in rows])), mean, ci=None)
        two = estimate("mean", collapse(rows_of([a for a, _ in rows + rows])), mean, ci=None)
        assert one.value == pytest.approx(two.value, abs=1e-12)


class TestProportion:
    def test_wilson_by_hand(self) -> None:
        # p = 1/2, n = 4, z = 2: centre 1/2, half width z / (2 sqrt(n + z^2)) = 1 / sqrt(8)
        found = proportion("share", [1, 1, 0, 0], confidence=2 * norm.cdf(2) - 1)
        half = float(Fraction(1, 8)) ** 0.5
        assert found.low == pytest.approx(0.5 - half, abs=1e-12)
        assert found.high == pytest.approx(0.5 + half, abs=1e-12)

    @pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (1, 20), (313, 500), (7, 9)])
    def test_wilson_against_statsmodels(self, k: int, n: int) -> None:
        found = proportion("share", [1] * k + [0] * (n - k))
        low, high = proportion_confint(k, n, method="wilson")
        assert (found.low, found.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))
        assert found.method == "Wilson"

    def test_equal_items_in_groups_count_as_the_groups(self) -> None:
        """Items that only repeat their group carry no information of their own: n_e = G (up to G / (G - 1))."""
        single = [1, 0, 1, 1, 0, 1, 0, 0, 1, 1]
        repeated = np.repeat(single, 5)
        found = proportion("share", repeated, groups=np.repeat(np.arange(10), 5))
        alone = proportion("share", single)
        assert found.method == "Wilson (effective n)"
        # v = G/(G-1) p(1-p)/G, so n_e = G - 1 = 9, one less than the plain interval takes.
        assert found.high - found.low > alone.high - alone.low
        nine = proportion_confint(0.6 * 9, 9, method="wilson")
        assert (found.low, found.high) == (pytest.approx(nine[0], abs=1e-12), pytest.approx(nine[1], abs=1e-12))

    def test_all_hits_in_groups(self) -> None:
        found = proportion("share", [1, 1, 1, 1], groups=["a", "a", "b", "b"])
        low, high = proportion_confint(2, 2, method="wilson")
        assert (found.low, found.high) == (pytest.approx(low, abs=1e-12), high)

    @pytest.mark.parametrize("split", [(1, 0), (0.7, 0.1), (0.1, 0.2, 0.4)])
    def test_groups_of_equal_share_count_every_item(self, split: tuple[float, ...]) -> None:
        """Groups that all have the share p: v = 0 (or rounding), and p (1 - p) / v has no bound but N."""
        hits = list(split) * 6
        found = proportion("share", hits, groups=np.repeat(np.arange(6), len(split)))
        p = sum(split) / len(split)
        low, high = proportion_confint(p * len(hits), len(hits), method="wilson")
        assert (found.low, found.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))

    @pytest.mark.parametrize("confidence", [0.0, 1.0, 95, -0.1, float("nan")])
    def test_a_confidence_outside_is_refused(self, confidence: float) -> None:
        with pytest.raises(ValueError, match="proportion: confidence must lie between 0 and 1"):
            proportion("share", [1, 0], confidence=confidence)

    def test_no_items(self) -> None:
        assert np.isnan(proportion("share", []).value)

    def test_one_group(self) -> None:
        found = proportion("share", [1, 0], groups=["a", "a"])
        assert (found.value, np.isnan(found.low), found.note) == (0.5, True, "no interval: one group only")

    @given(st.lists(st.integers(0, 1), min_size=1, max_size=40))
    def test_holds_its_value_and_stays_inside(self, hits: list[int]) -> None:
        found = proportion("share", hits)
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_frame_has_the_fields_and_what_stands_beside() -> None:
    frame = estimates_frame([proportion("share", [1, 0])], beside=[{"subset": "all"}])
    assert frame.columns == ["subset", *ESTIMATE_SCHEMA]
    assert estimates_frame([]).schema == ESTIMATE_SCHEMA


def test_printed_form() -> None:
    found = Estimate("Krippendorff's alpha", 0.3471, 0.311, 0.383, 1200, 1120, "groups")
    assert str(found) == "Krippendorff's alpha = 0.347 [0.311, 0.383] (95 % bootstrap over 1120 groups)"
