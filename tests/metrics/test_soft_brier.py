"""Brier scores: by hand, unbiased where the plug-in is not, and what becomes of items with one vote."""

from __future__ import annotations

from fractions import Fraction
from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.metrics.soft_labels.brier import brier_score, brier_score_unbiased


def test_by_hand() -> None:
    # Votes (3, 1), prediction (1/2, 1/2): 2 (1/4)^2 = 1/8; noise 2 (3/4)(1/4) / 3 = 1/8.
    # Votes (2, 0), prediction (3/4, 1/4): 2 (1/4)^2 = 1/8; noise 0.
    counts, pred = [[3, 1], [2, 0]], [[0.5, 0.5], [0.75, 0.25]]
    assert brier_score(gold=None, counts=counts, pred=pred).value == pytest.approx(1 / 8, abs=1e-12)
    unbiased = Fraction(1, 2) * (Fraction(1, 8) - Fraction(1, 8) + Fraction(1, 8))
    assert brier_score_unbiased(counts=counts, pred=pred).value == pytest.approx(float(unbiased), abs=1e-12)


def test_items_with_one_vote_are_left_out_and_counted() -> None:
    counts, pred = [[3, 1], [1, 0], [0, 1]], [[0.5, 0.5]] * 3
    found = brier_score_unbiased(counts=counts, pred=pred)
    assert found.value == pytest.approx(0.0, abs=1e-12)
    assert "2 of 3 items with one vote" in found.note
    alone = brier_score_unbiased(counts=counts[1:], pred=pred[1:])
    assert isnan(alone.value)
    assert "no item has two or more votes" in alone.note


def test_shares_without_votes_have_no_unbiased_value() -> None:
    found = brier_score_unbiased(gold=[[0.5, 0.5]], counts=None, pred=[[0.5, 0.5]])
    assert isnan(found.value)
    assert "number of votes is not known" in found.note


def test_is_unbiased_for_the_distance_from_the_true_distribution() -> None:
    # Every outcome of n votes with its probability: an exact expectation, no simulation.
    n, theta, q = 5, 0.3, np.array([0.5, 0.5])
    outcomes = [[x, n - x] for x in range(n + 1)]
    chances = [float(np.prod([n - j for j in range(x)]) / np.prod(range(1, x + 1))) * theta**x * (1 - theta) ** (n - x)
               for x in range(n + 1)]  # fmt: skip
    truth = 2 * (theta - 0.5) ** 2

    def expected(score: str) -> float:
        values = [
            (brier_score_unbiased(counts=[o], pred=[q], ci=None) if score == "unbiased"
             else brier_score(gold=None, counts=[o], pred=[q], ci=None)).value for o in outcomes
        ]  # fmt: skip
        return float(np.dot(chances, values))

    assert expected("unbiased") == pytest.approx(truth, abs=1e-12)
    assert expected("plug-in") == pytest.approx(truth + 2 * theta * (1 - theta) / n, abs=1e-12)


def test_a_perfect_model_of_many_items_is_at_zero_and_the_plug_in_is_not() -> None:
    rng = np.random.default_rng(0)
    theta = rng.dirichlet([0.5, 1.0, 1.5], 4000)
    n = rng.integers(2, 8, 4000)
    votes = rng.multinomial(n, theta)
    unbiased = brier_score_unbiased(counts=votes, pred=theta, n_boot=200, confidence=0.99)
    assert unbiased.low < 0 < unbiased.high
    plug_in = brier_score(gold=None, counts=votes, pred=theta, n_boot=200, confidence=0.99)
    noise = float(((theta * (1 - theta)).sum(axis=1) / n).mean())
    assert plug_in.low < noise < plug_in.high
    assert plug_in.low > 0.05


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_laws_order_and_renaming(seed: int) -> None:
    rng = np.random.default_rng(seed)
    votes, pred = rng.integers(0, 4, (10, 3)) + np.array([1, 0, 0]), rng.dirichlet([1.0] * 3, 10)
    found = brier_score_unbiased(counts=votes, pred=pred, n_boot=50)
    order, options = rng.permutation(10), rng.permutation(3)
    assert brier_score_unbiased(counts=votes[order], pred=pred[order], n_boot=50) == found
    renamed = brier_score_unbiased(counts=votes[:, options], pred=pred[:, options], ci=None)
    assert renamed.value == pytest.approx(found.value, abs=1e-12, nan_ok=True)
