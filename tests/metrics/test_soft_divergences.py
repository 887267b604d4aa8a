"""Distances of distributions against scipy and by hand, transport along ordered options, and the top option."""

from __future__ import annotations

import math
from math import isnan, log, sqrt

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.soft_labels.divergences import (
    hellinger_distance,
    jensen_shannon_distance,
    jensen_shannon_divergence,
)
from dfar_toolkit.metrics.soft_labels.entropy import entropy_correlation, entropy_error
from dfar_toolkit.metrics.soft_labels.entropy_rank import entropy_rank_correlation
from dfar_toolkit.metrics.soft_labels.mass import option_mass, option_mass_below_half
from dfar_toolkit.metrics.soft_labels.top_label import top_label_agreement
from dfar_toolkit.metrics.soft_labels.total_variation import manhattan_distance, total_variation
from dfar_toolkit.metrics.soft_labels.transport import wasserstein_distance

Matrix = np.typing.NDArray[np.float64]


def _pair(k: int = 4, n: int = 40, seed: int = 0) -> tuple[Matrix, Matrix]:
    rng = np.random.default_rng(seed)
    gold = rng.multinomial(5, rng.dirichlet([0.4] * k, n)) / 5
    return gold, rng.dirichlet([0.6] * k, n)


def _entropies(shares: Matrix) -> Matrix:
    return np.asarray(scipy.stats.entropy(shares, axis=1))


@pytest.mark.parametrize("base", [2.0, math.e, 10.0])
def test_jensen_shannon_equals_scipy_with_zeros(base: float) -> None:
    gold, pred = _pair()
    distances = np.array(
        [scipy.spatial.distance.jensenshannon(p, q, base=base) for p, q in zip(gold, pred, strict=True)]
    )
    assert jensen_shannon_distance(gold=gold, pred=pred, base=base, ci=None).value == pytest.approx(
        distances.mean(), abs=1e-12
    )
    divergence = jensen_shannon_divergence(gold=gold, pred=pred, base=base, ci=None)
    assert divergence.value == pytest.approx((distances**2).mean(), abs=1e-12)
    assert ("nats" if base == math.e else f"base {base:g}") in divergence.name


def test_jensen_shannon_of_nearly_equal_shares_keeps_its_digits() -> None:
    # JS ~ sum_k d_k^2 / (8 p_k) for small differences d: 2 (1e-9)^2 / 4 at p = (1/2, 1/2).
    found = jensen_shannon_divergence(gold=[[0.5, 0.5]], pred=[[0.5 + 1e-9, 0.5 - 1e-9]], base=math.e, ci=None)
    assert found.value == pytest.approx(2 * 1e-18 / 4, rel=1e-6)
    assert jensen_shannon_distance(gold=[[1 / 3, 2 / 3]], pred=[[1 / 3, 2 / 3]], ci=None).value == 0.0
    with pytest.raises(ValueError, match="base must be a number above 1"):
        jensen_shannon_divergence(gold=[[1.0]], pred=[[1.0]], base=1.0)


def test_total_variation_manhattan_and_hellinger_by_hand() -> None:
    gold, pred = [[0.25, 0.75, 0.0], [1.0, 0.0, 0.0]], [[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]
    assert manhattan_distance(gold=gold, pred=pred).value == pytest.approx((1 / 4 + 1 / 2 + 1 / 4) / 2, abs=1e-12)
    assert total_variation(gold=gold, pred=pred).value == pytest.approx(1 / 4, abs=1e-12)
    affinity = sqrt(1 / 8) + sqrt(3 / 16)
    assert hellinger_distance(gold=gold, pred=pred).value == pytest.approx(sqrt(1 - affinity) / 2, abs=1e-12)


def test_total_variation_is_best_at_the_wrong_place() -> None:
    # theta = .3 and 5 votes: the expected distance is least at .2, although .3 is the truth.
    theta, n = 0.3, 5
    chances = scipy.stats.binom.pmf(np.arange(n + 1), n, theta)
    gold = np.column_stack([np.arange(n + 1) / n, 1 - np.arange(n + 1) / n])
    grid = np.round(np.arange(0, 1.01, 0.05), 2)
    values = [
        float(chances @ [total_variation(gold=[g], pred=[[q, 1 - q]], ci=None).value for g in gold]) for q in grid
    ]
    assert grid[int(np.argmin(values))] == 0.2


@pytest.mark.parametrize("values", [None, [0.0, 1.0, 4.0, 4.5]])
def test_wasserstein_equals_scipy(values: list[float] | None) -> None:
    gold, pred = _pair(seed=3)
    places = values or [0, 1, 2, 3]
    expected = np.mean(
        [scipy.stats.wasserstein_distance(places, places, p, q) for p, q in zip(gold, pred, strict=True)]
    )
    assert wasserstein_distance(gold=gold, pred=pred, values=values, ci=None).value == pytest.approx(
        expected, abs=1e-12
    )
    share = wasserstein_distance(gold=gold, pred=pred, values=values, normalised=True, ci=None).value
    assert share == pytest.approx(expected / (places[-1] - places[0]), abs=1e-12)


def test_wasserstein_refuses_places_that_do_not_rise_and_a_single_option_has_no_range() -> None:
    for values in ([0.0, 0.0], [1.0, 0.0], [0.0], [0.0, float("nan")]):
        with pytest.raises(ValueError, match="2 rising numbers"):
            wasserstein_distance(gold=[[0.5, 0.5]], pred=[[0.5, 0.5]], values=values)
    alone = wasserstein_distance(gold=[[1.0], [1.0]], pred=[[1.0], [1.0]], normalised=True)
    assert isnan(alone.value)
    assert "single option" in alone.note
    assert wasserstein_distance(gold=[[1.0]], pred=[[1.0]]).value == 0.0


def test_entropies_equal_numpy_and_scipy() -> None:
    gold, pred = _pair(seed=5)
    h, g = _entropies(gold), _entropies(pred)
    assert entropy_correlation(gold=gold, pred=pred, ci=None).value == pytest.approx(np.corrcoef(h, g)[0, 1], abs=1e-12)
    assert entropy_error(gold=gold, pred=pred, ci=None).value == pytest.approx(np.abs(h - g).mean(), abs=1e-12)
    # Shares of 5 votes give many ties, which differ by rounding where the options are permuted.
    rank = scipy.stats.spearmanr(np.round(h, 10), g).statistic
    assert entropy_rank_correlation(gold=gold, pred=pred).value == pytest.approx(rank, abs=1e-12)


def test_equal_entropies_have_no_correlation() -> None:
    gold = np.tile([[0.1, 0.2, 0.7], [0.2, 0.7, 0.1], [0.7, 0.1, 0.2]], (5, 1))
    pred = np.random.default_rng(0).dirichlet([1.0] * 3, 15)
    for sides in ((gold, pred), (pred, gold)):
        found = entropy_correlation(gold=sides[0], pred=sides[1])
        assert isnan(found.value)
        assert "all entropies on one side are equal" in found.note
        assert isnan(entropy_rank_correlation(gold=sides[0], pred=sides[1]).value)
    assert isnan(entropy_correlation(gold=gold[:1], pred=pred[:1]).value)


def test_the_linearised_interval_of_the_ranks_agrees_with_a_bootstrap() -> None:
    rng = np.random.default_rng(2)
    gold = rng.multinomial(5, rng.dirichlet([1.0] * 3, 300)) / 5
    pred = (gold + rng.dirichlet([1.0] * 3, 300)) / 2
    found = entropy_rank_correlation(gold=gold, pred=pred)
    h, g = np.round(_entropies(gold), 10), _entropies(pred)
    draws = [scipy.stats.spearmanr(h[i], g[i]).statistic for i in rng.integers(0, 300, (300, 300))]
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * np.std(draws), rel=0.15)
    assert found.low < found.value < found.high
    assert found.method == "linearised (Fisher z)"
    twice = entropy_rank_correlation(gold=np.tile(gold, (2, 1)), pred=np.tile(pred, (2, 1)), group=[*range(300)] * 2)
    assert twice.value == pytest.approx(found.value, abs=1e-12)
    assert twice.high - twice.low == pytest.approx(found.high - found.low, rel=1e-9)  # copies are no evidence
    few = entropy_rank_correlation(gold=gold[:3], pred=pred[:3])
    assert isnan(few.low)


def test_top_label_by_hand_with_ties_on_both_sides() -> None:
    gold = [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    pred = [[0.9, 0.1, 0.0], [0.4, 0.2, 0.4], [0.1 + 0.2, 0.3, 0.4 - 0.1 - 1e-17], [0.9, 0.1, 0.0]]
    # {0, 1} and {0}: 1/2. {0, 1} and {0, 2}: 1/4. {0} and all three up to rounding: 1/3. {1} and {0}: 0.
    found = top_label_agreement(gold=gold, pred=pred)
    assert found.value == pytest.approx((1 / 2 + 1 / 4 + 1 / 3) / 4, abs=1e-12)
    assert "2 items tied among people, 2 items tied among predictions" in found.note


def test_option_mass_by_hand_and_of_weights() -> None:
    pred = [[0.1, 0.2], [0.5, 0.5], [0.25, 0.25]]
    assert option_mass(pred=pred).value == pytest.approx((0.3 + 1 + 0.5) / 3, abs=1e-12)
    half = option_mass_below_half(pred=pred)
    assert half.value == pytest.approx(1 / 3, abs=1e-12)
    assert "Wilson" in half.method
    none = option_mass_below_half(pred=[[0.5, 0.5]] * 10)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high > 0.2  # Wilson, where a bootstrap would say [0, 0]
    assert "1 of 2 items sum to more than 1" in option_mass(pred=[[1.0, 3.0], [0.5, 0.5]]).note
    assert "1 of 2 items" in option_mass(pred=[[0.5, 0.5], [float("nan")] * 2]).note
    with pytest.raises(TableError, match="pred must be numbers of at least 0"):
        option_mass(pred=[[-0.5, 1.0]])


SCORES = [
    total_variation, manhattan_distance, hellinger_distance, jensen_shannon_divergence, jensen_shannon_distance,
    entropy_correlation, entropy_error, top_label_agreement,
]  # fmt: skip


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_laws_order_and_renaming(seed: int, k: int) -> None:
    gold, pred = _pair(k, 10, seed)
    rng = np.random.default_rng(seed)
    order, options = rng.permutation(10), rng.permutation(k)
    for score in SCORES:
        found = score(gold=gold, pred=pred, n_boot=20)
        moved = score(gold=gold[order], pred=pred[order], n_boot=20)
        assert (str(moved), moved.note) == (str(found), found.note)
        assert moved.value == found.value or isnan(found.value)
        renamed = score(gold=gold[:, options], pred=pred[:, options], ci=None)
        assert renamed.value == pytest.approx(found.value, abs=1e-9, nan_ok=True)
    ranks = entropy_rank_correlation(gold=gold, pred=pred)
    assert str(entropy_rank_correlation(gold=gold[order], pred=pred[order])) == str(ranks)


def test_bounds_are_reached_where_nothing_is_shared() -> None:
    gold, pred = [[1.0, 0.0]], [[0.0, 1.0]]
    assert total_variation(gold=gold, pred=pred).value == 1.0
    assert manhattan_distance(gold=gold, pred=pred).value == 2.0
    assert hellinger_distance(gold=gold, pred=pred).value == pytest.approx(1.0, abs=1e-12)
    assert jensen_shannon_divergence(gold=gold, pred=pred, base=math.e).value == pytest.approx(log(2), abs=1e-12)
