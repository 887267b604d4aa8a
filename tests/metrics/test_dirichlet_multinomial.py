"""Dirichlet-multinomial loss against published unit values and scipy, and the fit of its concentration."""

from __future__ import annotations

import json
from math import isnan, log
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln

from dfar_toolkit.metrics.soft_labels.concentration import fit_concentration
from dfar_toolkit.metrics.soft_labels.dirichlet_multinomial import (
    Per,
    dirichlet_multinomial_nll,
    dirichlet_multinomial_nll_rows,
    sequence_losses,
)
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions

Matrix = np.typing.NDArray[np.float64]


def _nll(a: list[float], counts: list[int], per: Per = "item") -> float:
    found = dirichlet_multinomial_nll(counts=[counts], pred=[a], concentration=sum(a), per=per, ci=None)
    return found.value


@pytest.mark.parametrize(
    ("a", "counts", "value"),
    [
        ([1, 1], [3, 2], 4.09434456),
        ([1, 1], [5, 0], 1.79175947),
        ([0.5, 1.5, 0.2, 0.3, 0.16], [0, 3, 1, 0, 0], 4.58314771),
        ([10, 10], [3, 2], 3.55897783),
        ([1e-20, 1e-20], [3, 0], 0.693147),
    ],
)
def test_unit_values_of_the_scruples_repository(a: list[float], counts: list[int], value: float) -> None:
    assert _nll(a, counts) == pytest.approx(value, abs=5e-7)
    assert _nll(a, counts, "rating") == pytest.approx(value / sum(counts), abs=5e-7)


def test_equals_scipy_less_the_coefficient() -> None:
    rng = np.random.default_rng(0)
    pred = rng.dirichlet([1.0] * 4, 30)
    n = rng.integers(1, 40, 30)
    counts = rng.multinomial(n, pred)
    s = 3.7
    logs = np.array([scipy.stats.dirichlet_multinomial.logpmf(y, s * q, m)
                     for y, q, m in zip(counts, pred, n, strict=True)])  # fmt: skip
    coefficient = gammaln(n + 1) - gammaln(counts + 1).sum(axis=1)
    expected = coefficient - logs
    assert dirichlet_multinomial_nll(counts=counts, pred=pred, concentration=s, ci=None).value == pytest.approx(
        expected.mean(), abs=1e-11
    )
    per_rating = dirichlet_multinomial_nll(counts=counts, pred=pred, concentration=s, per="rating", ci=None)
    assert per_rating.value == pytest.approx(expected.sum() / n.sum(), abs=1e-12)


def test_sums_of_logarithms_hold_where_differences_of_lgamma_do_not() -> None:
    # One vote each way at a = (s/2, s/2): -log[(s/2)^2 / (s (s + 1))] = log 4 + log(1 + 1/s).
    s = 1e15
    found = sequence_losses(np.array([[1.0, 1.0]]), np.array([[s / 2, s / 2]]), s)[0]
    assert found == pytest.approx(log(4), abs=1e-12)
    by_lgamma = gammaln(s + 2) - gammaln(s) - 2 * (gammaln(s / 2 + 1) - gammaln(s / 2))
    assert abs(by_lgamma - log(4)) > 1e-3


def test_many_votes_on_one_item_and_few_on_others() -> None:
    rng = np.random.default_rng(1)
    counts = np.vstack([rng.integers(0, 4, (200, 3)) + np.array([1, 0, 0]), [[3000, 400, 98]]]).astype(float)
    a = rng.gamma(1.0, 1.0, counts.shape) + 0.01
    total = a.sum(axis=1)
    expected = gammaln(total + counts.sum(axis=1)) - gammaln(total) - (gammaln(a + counts) - gammaln(a)).sum(axis=1)
    assert sequence_losses(counts, a, total) == pytest.approx(expected, abs=1e-9)


def test_zero_probability_zero_counts_and_missing_votes() -> None:
    undefined = dirichlet_multinomial_nll(counts=[[1, 1], [2, 0]], pred=[[1.0, 0.0]] * 2, concentration=1)
    assert isnan(undefined.value)
    assert "1 of 2 items give probability 0" in undefined.note
    assert "concentration s = 1" in undefined.note
    assert dirichlet_multinomial_nll(counts=[[2, 0]], pred=[[1.0, 0.0]], concentration=1).value == 0.0
    # An item without votes has no shares and is left out; the loss of no votes at all would be 0.
    assert sequence_losses(np.zeros((1, 2)), np.ones((1, 2)), 2.0).tolist() == [0.0]
    pairs = pair_distributions("x", None, gold=[[0.5, 0.5]], pred=[[0.5, 0.5]])
    with pytest.raises(ValueError, match="give counts"):
        dirichlet_multinomial_nll_rows(pairs, concentration=1.0)
    with pytest.raises(ValueError, match="give counts"):
        fit_concentration(pairs)
    for s in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="concentration must be a number above 0"):
            dirichlet_multinomial_nll(counts=[[1, 1]], pred=[[0.5, 0.5]], concentration=s)


def _drawn(s: float, n_items: int = 400, seed: int = 0) -> PairedDistributions:
    rng = np.random.default_rng(seed)
    q = rng.dirichlet([1.0] * 3, n_items)
    theta = np.array([rng.dirichlet(s * row) for row in q])
    votes = rng.multinomial(rng.integers(2, 9, n_items), theta)
    return pair_distributions("test", None, gold=None, counts=votes, pred=q)


@pytest.mark.parametrize("s", [0.8, 5.0, 40.0])
def test_the_fit_recovers_s_and_is_the_minimum(s: float) -> None:
    pairs = _drawn(s)
    found = fit_concentration(pairs, confidence=0.99)
    assert found.low < s < found.high
    rows = [
        dirichlet_multinomial_nll_rows(pairs, concentration=found.value * f).rows[:, 0].sum() for f in (0.99, 1, 1.01)
    ]
    assert rows[1] < min(rows[0], rows[2])


def test_the_fit_has_no_value_where_s_drops_out() -> None:
    single = pair_distributions("x", None, gold=None, counts=[[1, 0], [0, 1]], pred=[[0.5, 0.5]] * 2)
    assert isnan(fit_concentration(single).value)
    assert "no item has two or more votes" in fit_concentration(single).note
    zero = pair_distributions("x", None, gold=None, counts=[[1, 1]], pred=[[1.0, 0.0]])
    assert "1 of 1 items give probability 0" in fit_concentration(zero).note
    none = pair_distributions("x", None, gold=None, counts=np.zeros((0, 2)), pred=np.zeros((0, 2)))
    assert fit_concentration(none).note == "no items"


def test_votes_that_differ_less_than_by_chance_push_s_to_its_bound() -> None:
    even = pair_distributions("x", None, gold=None, counts=[[2, 2]] * 20, pred=[[0.5, 0.5]] * 20)
    found = fit_concentration(even)
    assert (found.value, isnan(found.low)) == (1e6, True)
    assert "upper bound" in found.note
    apart = pair_distributions("x", None, gold=None, counts=[[4, 0], [0, 4]] * 10, pred=[[0.5, 0.5]] * 20)
    assert fit_concentration(apart).value == 1e-3
    with pytest.raises(ValueError, match="two rising numbers"):
        fit_concentration(even, bounds=(1.0, 1.0))


def test_copies_in_groups_are_no_evidence() -> None:
    pairs = _drawn(5.0, 60)
    alone = fit_concentration(pairs)
    assert pairs.counts is not None
    copied = pair_distributions(
        "x", None, gold=None, counts=np.tile(pairs.counts, (2, 1)), pred=np.tile(pairs.pred, (2, 1)),
        group=[*range(60)] * 2,
    )  # fmt: skip
    found = fit_concentration(copied)
    assert (found.value, found.low, found.high) == pytest.approx((alone.value, alone.low, alone.high), rel=1e-6)
    assert (found.n, found.n_units, found.unit) == (120, 60, "groups")


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_laws_order_and_renaming(seed: int) -> None:
    pairs = _drawn(3.0, 15, seed)
    assert pairs.counts is not None
    rng = np.random.default_rng(seed)
    order, options = rng.permutation(15), rng.permutation(3)

    def again(counts: Matrix, pred: Matrix) -> PairedDistributions:
        return pair_distributions("x", None, gold=None, counts=counts, pred=pred)

    found = fit_concentration(pairs)
    moved = fit_concentration(again(pairs.counts[order], pairs.pred[order]))
    assert (moved.value, moved.low, moved.high) == pytest.approx(
        (found.value, found.low, found.high), rel=1e-9, nan_ok=True
    )
    renamed = fit_concentration(again(pairs.counts[:, options], pairs.pred[:, options]))
    assert renamed.value == pytest.approx(found.value, rel=1e-6)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "value"), [("human", 7.2094), ("uniform", 8.0895), ("mean", 7.7995), ("majority", 8.6400)]
)
def test_anecdotes_two_options_at_concentration_two(shared_data: Path, name: str, value: float) -> None:
    path = shared_data / "scruples" / "dev.scruples-anecdotes_label-counts.json"
    five = np.asarray(json.loads(path.read_text(encoding="utf-8")), dtype=np.float64)
    votes = np.column_stack([five[:, 1] + five[:, 3], five[:, 0] + five[:, 2]])
    shares, lead = votes / votes.sum(axis=1, keepdims=True), votes - votes[:, ::-1]
    pred = {
        "human": np.clip(shares, 1e-6, None),
        "uniform": np.full_like(shares, 0.05),  # masses do not matter: renormalised
        "mean": np.tile(shares.mean(axis=0), (2500, 1)),
        "majority": np.where(lead > 0, 0.99, np.where(lead < 0, 0.01, 0.5)),
    }[name]
    found = dirichlet_multinomial_nll(counts=votes, pred=pred, concentration=2, n_boot=100)
    assert found.value == pytest.approx(value, abs=5e-5)
    assert found.low < found.value < found.high
