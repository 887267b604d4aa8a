"""Who leads a vote: against sums over all votes written from the definition."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, dirichlet_multinomial, multivariate_hypergeom

from dfar_toolkit.agreement.planning.dirichlet_multinomial import Dirichlets, Prior
from dfar_toolkit.agreement.planning.plurality import PANEL, lone_winners, vote_leader
from dfar_toolkit.agreement.planning.two_panels import (
    expected_chances,
    list_votes,
    observed_chances,
    split_chances,
    sub_votes,
)

FEW = settings(max_examples=20)


def dirichlets(parameters: np.ndarray) -> Dirichlets:
    total = parameters.sum(axis=1)
    return Dirichlets(parameters / total[:, None], 1 / total)


def all_votes(size: int, n_values: int) -> list[tuple[int, ...]]:
    return [v for v in product(range(size + 1), repeat=n_values) if sum(v) == size]


def naive_winners(parameters: list[np.ndarray], sizes: list[int]) -> np.ndarray:
    found = np.zeros(len(parameters[0]))
    for given_votes in product(*(all_votes(size, len(found)) for size in sizes)):
        chance = math.prod(
            float(dirichlet_multinomial.pmf(v, a, sum(v))) for v, a in zip(given_votes, parameters, strict=True)
        )
        total = np.sum(given_votes, axis=0)
        leaders = np.flatnonzero(total == total.max())
        if len(leaders) == 1:
            found[leaders[0]] += chance
    return found


@pytest.mark.parametrize(("n_values", "sizes"), [(2, [1]), (2, [4]), (3, [5]), (4, [4]), (3, [2, 3]), (2, [3, 1, 2])])
def test_against_all_votes(n_values: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(0)
    parameters = [rng.gamma(1.0, 1.0, n_values) + 0.05 for _ in sizes]
    found = lone_winners([dirichlets(p[None]) for p in parameters], sizes)[0]
    assert found == pytest.approx(naive_winners(parameters, sizes), abs=1e-12)


def test_two_values_are_a_beta_binomial_sum() -> None:
    found = lone_winners([dirichlets(np.array([[1.3, 0.4]]))], [7])[0, 0]
    assert found == pytest.approx(float(betabinom.sf(3, 7, 1.3, 0.4)), abs=1e-12)


def test_known_shares_are_a_binomial_sum() -> None:
    # p = .7, three raters: .343 + 3 * .49 * .3 = .784.
    found = lone_winners([Dirichlets(np.array([[0.7, 0.3]]), np.zeros(1))], [3])[0]
    assert found == pytest.approx([0.784, 0.216], abs=1e-12)


def test_a_value_nobody_gives_never_wins_and_the_largest_panel_holds() -> None:
    found = lone_winners([Dirichlets(np.array([[0.6, 0.4, 0.0]]), np.array([0.5]))], [PANEL])[0]
    assert found[2] == 0
    assert found.sum() == pytest.approx(1 - float(betabinom.pmf(PANEL // 2, PANEL, 1.2, 0.8)), abs=1e-10)


@FEW
@given(st.lists(st.floats(0.05, 5), min_size=2, max_size=4), st.integers(1, 6))
def test_names_do_not_matter_and_groups_alike_are_one_by_sum(values: list[float], size: int) -> None:
    parameters = np.array([values])
    found = lone_winners([dirichlets(parameters)], [size])[0]
    order = np.random.default_rng(size).permutation(len(values))
    assert lone_winners([dirichlets(parameters[:, order])], [size])[0] == pytest.approx(found[order], abs=1e-12)
    certain = Dirichlets(parameters / parameters.sum(), np.zeros(1))  # known shares: raters of two groups are alike
    apart = lone_winners([certain, certain], [size, 2])[0]
    assert apart == pytest.approx(lone_winners([certain], [size + 2])[0], abs=1e-12)


def test_vote_leader() -> None:
    assert vote_leader(np.array([[2.0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 4]])).tolist() == [0, -1, -1, 2]


def naive_same(first: tuple[int, ...], second: tuple[int, ...]) -> float:
    leaders = [{k for k, x in enumerate(v) if x == max(v)} for v in (first, second)]
    return len(leaders[0] & leaders[1]) / (len(leaders[0]) * len(leaders[1]))


def test_splits_by_hand_and_by_loop() -> None:
    # Votes a, a, b, b in two halves: aa|bb (2 of 6 ways), ab|ab (4 of 6): same by lot 4/6 * 1/2 = 1/3, tied 2/3.
    assert split_chances(np.array([[2, 2]])) == pytest.approx(np.array([[1 / 3, 2 / 3]]), abs=1e-12)
    for total in ([3, 2, 1], [4, 0, 4], [1, 1, 1, 1], [5, 3]):
        size = sum(total) // 2
        same = tied = 0.0
        for half in all_votes(size, len(total)):
            if all(x <= t for x, t in zip(half, total, strict=True)):
                rest = tuple(t - x for x, t in zip(half, total, strict=True))
                chance = float(multivariate_hypergeom.pmf(half, total, size))
                same += chance * naive_same(half, rest)
                tied += chance * (sorted(half)[-1] == sorted(half)[-2])
        assert split_chances(np.array([total]))[0] == pytest.approx([same, tied], abs=1e-12)


def test_sub_votes_are_all_and_only_those() -> None:
    found = sub_votes(np.array([2, 0, 3]), 3).tolist()
    assert sorted(found) == [[0, 0, 3], [1, 0, 2], [2, 0, 1]]


def test_two_panels_of_the_model_by_loop() -> None:
    pi, rho, size = np.array([0.5, 0.3, 0.2]), 0.4, 3
    parameters = pi * (1 - rho) / rho
    same = tied = 0.0
    for first, second in product(all_votes(size, 3), repeat=2):
        # Two panels of one item: the chance of the first, then of the second given the first.
        chance = float(dirichlet_multinomial.pmf(first, parameters, size))
        chance *= float(dirichlet_multinomial.pmf(second, parameters + np.array(first), size))
        same += chance * naive_same(first, second)
        tied += chance * (sorted(first)[-1] == sorted(first)[-2])
    prior = Prior(pi[None], np.array([rho]), np.array([rho]))
    assert expected_chances(prior, list_votes(prior, size, 0))[0] == pytest.approx([same, tied], abs=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_a_sample_of_votes_is_near_the_sum_and_bends_to_other_priors(rho: float) -> None:
    pi = np.full(8, 0.125)
    there = Prior(pi[None], np.array([rho]), np.array([rho]))
    near = Prior(pi[None], np.array([rho + 0.02]), np.array([rho + 0.02]))
    exact = list_votes(there, 2, 0)  # 330 votes
    sample = list_votes(there, 5, 0)  # 19,448 of which 10,000 are drawn
    assert exact.proposal is None
    assert sample.proposal is not None
    # One vote each: 1/8 + rho 7/8. Two panels of five agree more often than two raters where items differ.
    single = 0.125 + (rho + 0.02) * 0.875
    assert expected_chances(near, list_votes(near, 1, 0))[0, 0] == pytest.approx(single, abs=1e-12)
    direct = expected_chances(near, list_votes(near, 5, 1))[0]
    assert expected_chances(near, sample)[0] == pytest.approx(direct, abs=0.03)


def test_certain_agreement() -> None:
    one = Prior(np.array([[0.5, 0.5]]), np.ones(1), np.ones(1))
    half = Prior(np.array([[0.5, 0.5]]), np.array([0.5]), np.array([0.5]))
    assert expected_chances(one, list_votes(half, 3, 0)).tolist() == [[1.0, 0.0]]


def test_panels_out_of_an_items_own_raters() -> None:
    votes = np.array([[3.0, 2, 1], [6, 0, 0], [4, 3, 0]])
    found, sampled = observed_chances(votes, 3, seed=0)
    assert not sampled
    assert found[0] == pytest.approx(split_chances(np.array([[3, 2, 1]]))[0], abs=1e-12)
    assert found[1].tolist() == [1.0, 0.0]
    # Seven raters: six of them are left with (3, 3) by 4 of 7 ways, with (4, 2) by 3 of 7.
    mixed = 4 / 7 * split_chances(np.array([[3, 3]]))[0] + 3 / 7 * split_chances(np.array([[4, 2]]))[0]
    assert found[2] == pytest.approx(mixed, abs=1e-12)


def test_many_raters_are_sampled_and_near_the_binomial() -> None:
    found, sampled = observed_chances(np.array([[400.0, 200, 0, 200, 100]]), 5, seed=0)
    assert sampled
    again, _ = observed_chances(np.array([[400.0, 200, 0, 200, 100]]), 5, seed=1)
    assert found[0] == pytest.approx(again[0], abs=0.05)
