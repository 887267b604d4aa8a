"""Calibration against the distribution of people's votes."""

from __future__ import annotations

from math import isnan, log
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import entropy

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.calibration.human_distribution import (
    entropy_calibration_error,
    human_calibration_error,
    rank_calibration,
)


def people(n: int, k: int, votes: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(np.ones(k), n)
    return np.stack([rng.multinomial(votes, p) for p in truth]), truth


@pytest.mark.parametrize("votes", [1, 3, 20])
def test_a_perfect_model_has_an_error_of_zero_at_any_number_of_votes(votes: int) -> None:
    values, covered = [], 0
    for seed in range(80):
        counts, truth = people(120, 3, votes, seed)
        found = human_calibration_error(gold=None, counts=counts, pred=truth, n_boot=100)
        values.append(found.value)
        covered += found.low <= 0 <= found.high
    assert abs(np.mean(values)) < 3 * np.std(values) / 80**0.5
    assert covered >= 72
    counts, truth = people(400, 3, votes, 99)
    sure = truth**3 / (truth**3).sum(axis=1, keepdims=True)
    wrong = human_calibration_error(gold=None, counts=counts, pred=sure, n_boot=100)
    assert wrong.low > 0


def test_by_hand_and_by_a_loop() -> None:
    # Both items at (.8, .2): d = (-.3, -.1) for the first option, (.3, .1) for the second; the only pair .03.
    gold = [[0.5, 0.5], [0.7, 0.3]]
    assert human_calibration_error(gold=gold, pred=[[0.8, 0.2]] * 2).value == pytest.approx(0.03, abs=1e-12)
    rng = np.random.default_rng(0)
    shares, pred = rng.dirichlet(np.ones(3), 30), rng.dirichlet(np.ones(3), 30)
    total = 0.0
    for k in range(3):
        order = np.argsort(pred[:, k])
        for members in np.split(order, 5):
            d = (shares - pred)[members, k]
            total += (d.sum() ** 2 - (d**2).sum()) / 30 * (6 / 30) / 3
    assert human_calibration_error(gold=shares, pred=pred, n_bins=5).value == pytest.approx(total, abs=1e-12)


def test_entropy_gap_equals_scipy_and_says_what_a_perfect_model_gets() -> None:
    counts, truth = people(200, 4, 5, 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    found = entropy_calibration_error(gold=None, counts=counts, pred=truth, n_boot=100)
    assert found.value == pytest.approx(float((entropy(truth, axis=1) - entropy(shares, axis=1)).mean()), abs=1e-12)
    said = float(found.note.split("gets ")[1].split(" ")[0])
    assert found.low < said < found.high
    assert said > 0.05
    without = entropy_calibration_error(gold=shares, pred=truth, n_boot=100)
    assert (without.value, without.note) == (pytest.approx(found.value), "")
    assert entropy_calibration_error(gold=[[1, 0]], pred=[[0.5, 0.5]]).value == pytest.approx(log(2), abs=1e-12)


def test_rank_by_hand_with_ties_of_people_and_of_the_model() -> None:
    gold = [[0.6, 0.3, 0.1], [0.5, 0.25, 0.25], [0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.6, 0.4, 0.0]]
    pred = [[0.5, 0.4, 0.1], [0.6, 0.1, 0.3], [0.1, 0.8, 0.1], [0.9, 0.1, 0.0], [0.4, 0.4, 0.2]]
    # Alike; alike up to people's tie; no: first and last tied by the model; no order; no: the model ties two.
    found = rank_calibration(gold=gold, pred=pred, ci=None)
    assert found.value == pytest.approx(2 / 4, abs=1e-12)
    assert "1 items left out" in found.note
    none = rank_calibration(gold=[[0.5, 0.5]], pred=[[0.9, 0.1]])
    assert isnan(none.value)
    assert none.note.startswith("people order the options of no item")
    assert isnan(rank_calibration(gold=[[1.0]], pred=[[1.0]]).value)
    one_option = rank_calibration(gold=None, counts=[[3], [2]], pred=[[1.0], [1.0]])  # no draw orders anything either
    assert isnan(one_option.value)
    assert "perfect model" not in one_option.note
    counts, truth = people(300, 3, 5, 2)
    perfect = rank_calibration(gold=None, counts=counts, pred=truth, n_boot=100)
    said = float(perfect.note.split("gets ")[1].split(" ")[0])
    assert perfect.low < said < perfect.high


def test_frames_groups_nulls_and_labels() -> None:
    counts, truth = people(60, 2, 4, 3)
    frame = pl.DataFrame(
        {"label_probs": (counts / 4).tolist(), "label_probs_pred": truth.tolist(), "group": np.arange(60) // 3}
    )
    found = human_calibration_error(frame, n_boot=100)
    assert (found.unit, found.n_units, found.n) == ("groups", 20, 60)
    hole = frame.with_columns(pl.when(pl.int_range(pl.len()) > 1).then("label_probs_pred").alias("label_probs_pred"))
    assert "2 of 60 items" in human_calibration_error(hole, n_boot=50).note
    labels = human_calibration_error(gold=[0, 1, 0], pred=[[0.8, 0.2]] * 3)
    assert "labels, not shares" in labels.note
    for metric in (human_calibration_error, entropy_calibration_error, rank_calibration):
        assert isnan(metric(gold=np.empty((0, 2)), pred=np.empty((0, 2))).value)
        with pytest.raises(TableError, match="sum to 1"):
            metric(gold=[[0.5, 0.6]], pred=[[0.5, 0.5]])
        assert metric(frame, n_boot=50) == metric(frame, n_boot=50)
