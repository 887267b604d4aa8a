"""Soft cross-entropy and KL: published unit values, infinite items, floors, the anecdotes, the two legacy scores."""

from __future__ import annotations

import json
from math import e, isnan, log
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.soft_labels.cross_entropy import kl_divergence, soft_cross_entropy
from dfar_toolkit.metrics.soft_labels.legacy import double_softmax_cross_entropy, unnormalised_dirichlet_loss


def _softmax(z: list[list[float]]) -> np.typing.NDArray[np.float64]:
    odds = np.exp(z)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def test_unit_values_of_the_scruples_repository() -> None:
    one = soft_cross_entropy(gold=[[0.5, 0.5]], pred=_softmax([[0.0, 0.0]]))
    assert one.value == pytest.approx(0.69314718, abs=5e-9)
    two = soft_cross_entropy(gold=[[0.3, 0.7], [0.6, 0.4]], pred=_softmax([[0.0, 0.0], [-1.0986123, 1.0986123]]))
    assert two.value == pytest.approx(1.05842122, abs=1e-8)


def test_equals_scipy_item_by_item_with_zeros_and_unnormalised_predictions() -> None:
    rng = np.random.default_rng(0)
    gold = rng.dirichlet([0.3] * 4, 50)
    gold[:10, 0] = 0
    gold /= gold.sum(axis=1, keepdims=True)
    pred = rng.dirichlet([1.0] * 4, 50)
    kl = float(np.mean([scipy.stats.entropy(p, q) for p, q in zip(gold, pred, strict=True)]))
    own = float(np.mean([scipy.stats.entropy(p) for p in gold]))
    assert kl_divergence(gold=gold, pred=0.3 * pred).value == pytest.approx(kl, abs=1e-12)
    assert soft_cross_entropy(gold=gold, pred=0.3 * pred).value == pytest.approx(kl + own, abs=1e-12)


def test_probability_zero_where_people_voted_is_undefined_and_counted() -> None:
    gold, pred = [[0.5, 0.5], [1.0, 0.0], [0.2, 0.8]], [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    for score in (soft_cross_entropy, kl_divergence):
        found = score(gold=gold, pred=pred)
        assert isnan(found.value)
        assert isnan(found.low)
        assert "2 of 3 items give probability 0 to an option that people chose" in found.note
    # 0 log 0 = 0: the second item alone is perfectly predicted.
    assert soft_cross_entropy(gold=gold[1:2], pred=pred[1:2]).value == 0.0


def test_a_floor_clips_openly_and_leaves_the_rest_as_it_is() -> None:
    gold, pred = [[0.5, 0.5], [0.5, 0.5]], [[1.0, 0.0], [0.75, 0.25]]
    found = soft_cross_entropy(gold=gold, pred=pred, floor=0.25)
    # (1, 1/4) / (5/4) = (4/5, 1/5); the second row has no probability below 1/4.
    expected = (-(log(4 / 5) + log(1 / 5)) / 2 - (log(3 / 4) + log(1 / 4)) / 2) / 2
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert "floor = 0.25" in found.note
    assert "1 of 2 items" in found.note
    assert soft_cross_entropy(gold=gold[1:], pred=pred[1:], floor=0.25).note == "no interval: one unit (items) only"
    for impossible in (0.0, 0.5, -1.0):
        with pytest.raises(ValueError, match="soft_cross_entropy: floor must lie above 0"):
            soft_cross_entropy(gold=gold, pred=pred, floor=impossible)


def test_nulls_are_left_out_and_counted_and_nothing_is_no_items() -> None:
    frame = pl.DataFrame(
        {"label_probs": [[0.5, 0.5], None, [1.0, 0.0]], "label_probs_pred": [[0.5, 0.5], [0.5, 0.5], None]},
        schema_overrides={"label_probs": pl.List(pl.Float64), "label_probs_pred": pl.List(pl.Float64)},
    )
    found = soft_cross_entropy(frame)
    assert found.n == 1
    assert found.value == pytest.approx(log(2), abs=1e-12)
    assert "2 of 3 items" in found.note
    empty = soft_cross_entropy(frame.head(0))
    assert isnan(empty.value)
    assert empty.note == "no items"
    unanswered = soft_cross_entropy(gold=frame["label_probs"], pred=pl.Series([None, None, None], dtype=pl.Null))
    assert (unanswered.n, isnan(unanswered.value)) == (0, True)
    assert "3 of 3 items" in unanswered.note


def test_a_single_option_and_a_single_item() -> None:
    found = soft_cross_entropy(gold=[[1.0]], pred=[[0.2]])
    assert found.value == 0.0
    assert "one unit" in found.note


def test_groups_widen_the_interval_and_the_seed_fixes_it() -> None:
    rng = np.random.default_rng(1)
    pred = np.repeat(rng.dirichlet([1.0, 1.0], 20), 5, axis=0)
    gold = np.tile([[0.5, 0.5]], (100, 1))
    group = [f"stem {i // 5} 🙂" for i in range(100)]
    alone = soft_cross_entropy(gold=gold, pred=pred, n_boot=200)
    grouped = soft_cross_entropy(gold=gold, pred=pred, group=group, n_boot=200)
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)
    assert (grouped.n, grouped.n_units, grouped.unit) == (100, 20, "groups")
    assert grouped == soft_cross_entropy(gold=gold, pred=pred, group=group, n_boot=200)
    assert isnan(soft_cross_entropy(gold=gold, pred=pred, ci=None).low)


def test_what_is_no_distribution_is_refused() -> None:
    with pytest.raises(TableError, match="must be numbers of at least 0"):
        soft_cross_entropy(gold=[[0.5, 0.5]], pred=[[-0.1, 1.1]])
    with pytest.raises(TableError, match="probability 0"):
        soft_cross_entropy(gold=[[0.5, 0.5]], pred=[[0.0, 0.0]])
    with pytest.raises(ValueError, match="no column"):
        soft_cross_entropy(pl.DataFrame({"label_probs": [[1.0]]}))


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_laws_order_renaming_duplication_and_the_truth_is_best(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    gold, pred = rng.dirichlet([1.0] * k, 12), rng.dirichlet([1.0] * k, 12)
    found = soft_cross_entropy(gold=gold, pred=pred, n_boot=50)
    order, options = rng.permutation(12), rng.permutation(k)
    assert soft_cross_entropy(gold=gold[order], pred=pred[order], n_boot=50) == found
    renamed = soft_cross_entropy(gold=gold[:, options], pred=pred[:, options], ci=None)
    assert renamed.value == pytest.approx(found.value, abs=1e-12)
    twice = soft_cross_entropy(gold=np.tile(gold, (2, 1)), pred=np.tile(pred, (2, 1)), ci=None)
    assert twice.value == pytest.approx(found.value, abs=1e-12)
    assert soft_cross_entropy(gold=gold, pred=gold, ci=None).value <= found.value
    assert kl_divergence(gold=gold, pred=gold, ci=None).value == pytest.approx(0, abs=1e-12)


def _anecdotes(shared_data: Path) -> np.typing.NDArray[np.float64]:
    path = shared_data / "scruples" / "dev.scruples-anecdotes_label-counts.json"
    return np.asarray(json.loads(path.read_text(encoding="utf-8")), dtype=np.float64)


@pytest.mark.real
def test_anecdotes_five_options(shared_data: Path) -> None:
    votes = _anecdotes(shared_data)
    shares = votes / votes.sum(axis=1, keepdims=True)

    def score(pred: np.typing.NDArray[np.float64]) -> float:
        return soft_cross_entropy(gold=None, counts=votes, pred=np.broadcast_to(pred, votes.shape), ci=None).value

    assert score(np.full(5, 0.2)) == pytest.approx(1.609438, abs=5e-7)
    assert score(shares.mean(axis=0)) == pytest.approx(1.137026, abs=5e-7)
    assert score(shares) == pytest.approx(0.552008, abs=5e-7)  # the entropy floor
    posterior = votes + np.array([0.502931, 1.547188, 0.193102, 0.317405, 0.165884])
    assert score(posterior) == pytest.approx(0.664272, abs=5e-6)  # alpha is given to six digits


# Means over the 2,500 anecdotes, right against wrong: proper, legacy double softmax, legacy Dirichlet.
TWO_OPTIONS = {
    "human": (0.2842, 0.4550, 7.4699),
    "uniform": (0.6931, 0.6931, 7.9955),
    "mean": (0.5653, 0.6011, 7.8257),
    "majority": (0.5918, 0.4466, 8.8974),
    "mass .1": (0.6931, 0.6931, 8.6461),
    "mass .0002": (0.6931, 0.6931, 12.1437),
}


@pytest.mark.real
@pytest.mark.parametrize("name", TWO_OPTIONS)
def test_anecdotes_two_options_and_what_the_legacy_scores_make_of_them(shared_data: Path, name: str) -> None:
    five = _anecdotes(shared_data)
    votes = np.column_stack([five[:, 1] + five[:, 3], five[:, 0] + five[:, 2]])
    shares = votes / votes.sum(axis=1, keepdims=True)
    lead = votes - votes[:, ::-1]
    pred = {
        "human": np.clip(shares, 1e-6, None),
        "uniform": np.full_like(shares, 0.5),
        "mean": np.tile(shares.mean(axis=0), (2500, 1)),
        "majority": np.where(lead >= 0, 0.99, 0.01),  # .99 for both of a tie
        "mass .1": np.full_like(shares, 0.05),
        "mass .0002": np.full_like(shares, 1e-4),
    }[name]
    found = (
        soft_cross_entropy(gold=None, counts=votes, pred=pred, ci=None).value,
        double_softmax_cross_entropy(gold=None, counts=votes, pred=pred, ci=None).value,
        unnormalised_dirichlet_loss(counts=votes, pred=pred, ci=None).value,
    )
    assert found == pytest.approx(TWO_OPTIONS[name], abs=5e-5)


def test_the_double_softmax_is_confined_and_says_so() -> None:
    right = double_softmax_cross_entropy(gold=[[1.0, 0.0]], pred=[[1.0, 0.0]])
    wrong = double_softmax_cross_entropy(gold=[[0.0, 1.0]], pred=[[1.0, 0.0]])
    assert (right.value, wrong.value) == pytest.approx((log(1 + 1 / e), log(1 + e)), abs=1e-12)
    assert "defective" in right.note
    assert "DEFECTIVE" in (double_softmax_cross_entropy.__doc__ or "")


def test_the_unnormalised_dirichlet_loss_needs_votes_and_positive_probabilities() -> None:
    found = unnormalised_dirichlet_loss(counts=[[1, 1], [2, 0]], pred=[[0.3, 0.0], [0.5, 0.0]])
    assert isnan(found.value)
    assert "1 of 2 items" in found.note
    with pytest.raises(ValueError, match="give gold"):
        unnormalised_dirichlet_loss(counts=None, pred=[[0.5, 0.5]])


def test_sides_of_different_shape_are_refused_and_a_side_of_nulls_is_not() -> None:
    with pytest.raises(ValueError, match=r"gold has shape \(1, 2\), pred has \(1, 3\)"):
        soft_cross_entropy(gold=[[0.5, 0.5]], pred=[[0.2, 0.3, 0.5]])
    with pytest.raises(ValueError, match=r"gold has shape \(0, 2\), pred has \(1, 2\)"):
        soft_cross_entropy(gold=np.zeros((0, 2)), pred=[[0.5, 0.5]])
    nothing = pl.Series([None], dtype=pl.Null)
    assert soft_cross_entropy(gold=nothing, pred=[[0.5, 0.5]]).n == 0
    with pytest.raises(TableError, match="give gold alone"):
        soft_cross_entropy(gold=[[0.75, 0.25]], counts=[[2, 1]], pred=[[0.5, 0.5]])
