"""Temperature, vector scaling and the cross-entropy after it."""

from __future__ import annotations

from math import isnan, log
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.calibration.calibrated_cross_entropy import (
    calibrated_cross_entropy,
    calibrated_cross_entropy_in_sample,
    calibrated_cross_entropy_rows,
)
from dfar_toolkit.metrics.calibration.temperature import apply_temperature, fit_temperature
from dfar_toolkit.metrics.calibration.vector_scaling import apply_vector_scaling, fit_vector_scaling
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions


def paired(gold: Any, pred: Any, **how: Any) -> PairedDistributions:
    return pair_distributions("test", None, gold=gold, pred=pred, **how)


def logits(n: int, k: int, seed: int) -> Any:
    return np.random.default_rng(seed).normal(0, 2, (n, k))


@pytest.mark.parametrize("temperature", [0.6, 2.0, 6.0, 1.0, 0.02, 50.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    z = logits(300, 3, 0) * min(1.0, 10 * temperature)
    found = fit_temperature(paired(softmax(z / temperature, axis=1), softmax(z, axis=1)))
    assert found.value == pytest.approx(temperature, rel=1e-9)


@pytest.mark.parametrize("temperature", [0.6, 2.0, 6.0])
def test_it_is_found_in_votes_with_an_interval_around_it(temperature: float) -> None:
    z = logits(600, 3, 1)
    rng = np.random.default_rng(2)
    votes = np.stack([rng.multinomial(5, p) for p in softmax(z / temperature, axis=1)])
    pairs = paired(None, softmax(z, axis=1), counts=votes)
    found = fit_temperature(pairs)
    assert found.low < temperature < found.high
    assert found.high / found.low < 1.4

    def loss(log_t: float) -> float:
        return -float((pairs.gold * log_softmax(np.log(pairs.pred) * np.exp(-log_t), axis=1)).sum(axis=1).mean())

    oracle = minimize_scalar(loss, bounds=(log(1e-2), log(1e2)), method="bounded", options={"xatol": 1e-10})
    assert log(found.value) == pytest.approx(float(oracle.x), abs=1e-6)
    twice = paired(None, np.repeat(pairs.pred, 2, axis=0), counts=np.repeat(votes, 2, axis=0), group=[*range(600)] * 2)
    wrong = fit_temperature(paired(None, np.repeat(pairs.pred, 2, axis=0), counts=np.repeat(votes, 2, axis=0)))
    again = fit_temperature(twice._replace(groups=pl.Series(np.repeat(np.arange(600), 2))))
    assert (again.value, again.low) == (pytest.approx(found.value), pytest.approx(found.low, rel=1e-6))
    assert log(wrong.high / wrong.low) == pytest.approx(log(found.high / found.low) / 2**0.5, rel=1e-2)


def test_the_sandwich_interval_covers() -> None:
    covered = 0
    for seed in range(100):
        z = logits(80, 2, seed)
        rng = np.random.default_rng(seed)
        label = (rng.random(80) < softmax(z / 2, axis=1)[:, 1]).astype(int)
        found = fit_temperature(paired(np.eye(2)[label], softmax(z, axis=1)))
        covered += found.low <= 2 <= found.high
    assert 89 <= covered <= 99


def test_bounds_and_undefined_are_said() -> None:
    right, wrong = [[0.9, 0.1], [0.2, 0.8]], [[0.1, 0.9], [0.8, 0.2]]
    low, high = fit_temperature(paired([[1, 0], [0, 1]], right)), fit_temperature(paired([[1, 0], [0, 1]], wrong))
    assert (low.value, high.value) == (1e-2, 1e2)
    assert "lower bound" in low.note
    assert "upper bound" in high.note
    assert isnan(low.low)
    assert isnan(high.high)
    flat = fit_temperature(paired([[1, 0], [0, 1]], [[0.5, 0.5]] * 2))
    assert isnan(flat.value)
    assert "uniform" in flat.note
    assert fit_temperature(paired(np.empty((0, 2)), np.empty((0, 2)))).note == "no items"
    assert "one unit" in fit_temperature(paired([[0.7, 0.3]], [[0.9, 0.1]])).note
    assert isnan(fit_temperature(paired([[1.0]], [[1.0]])).value)
    with pytest.raises(TableError, match="1 of 2 predictions hold a 0"):
        fit_temperature(paired([[1, 0], [0, 1]], [[1.0, 0.0], [0.5, 0.5]]))
    with pytest.raises(ValueError, match="confidence must lie"):
        fit_temperature(paired([[1, 0]], [[0.5, 0.5]]), confidence=1.0)


def test_temperature_one_is_the_identity_and_zeros_stay() -> None:
    probs = np.array([[0.7, 0.3, 0.0], [1e-300, 0.5, 0.5]])
    np.testing.assert_allclose(apply_temperature(probs, 1.0), probs, rtol=1e-12)
    np.testing.assert_allclose(apply_temperature(apply_temperature(probs, 3.0), 1 / 3), probs, rtol=1e-9)
    assert apply_temperature([[0.99, 0.01]], 1e-2)[0].tolist() == pytest.approx([1.0, 0.0], abs=1e-12)
    assert np.isnan(apply_temperature([[np.nan, np.nan]], 2.0)).all()
    assert apply_temperature(np.empty((0, 3)), 2.0).shape == (0, 3)
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="temperature must be"):
            apply_temperature(probs, bad)
    with pytest.raises(ValueError, match="items, options"):
        apply_temperature([0.5, 0.5], 1.0)


def test_vector_scaling_finds_known_weights_and_biases() -> None:
    q = softmax(logits(400, 3, 3), axis=1)
    weights, biases = np.array([0.5, 1.5, 1.0]), np.array([0.6, -0.4, -0.2])
    gold = softmax(weights * np.log(q) + biases, axis=1)
    found = fit_vector_scaling(paired(gold, q))
    np.testing.assert_allclose(found.weights, weights, atol=1e-4)
    np.testing.assert_allclose(found.biases, biases, atol=1e-4)
    np.testing.assert_allclose(apply_vector_scaling(q, found), gold, atol=1e-5)
    assert found.cross_entropy == pytest.approx(float(-(gold * np.log(gold)).sum(axis=1).mean()), abs=1e-9)
    assert found.note == ""


def test_vector_scaling_fits_no_worse_than_a_temperature_and_says_what_is_wrong() -> None:
    z = logits(200, 3, 5)
    labels = np.eye(3)[np.random.default_rng(5).integers(0, 3, 200)]
    pairs = paired(labels, softmax(z, axis=1))
    fitted = fit_temperature(pairs)
    scaled = calibrated_cross_entropy_in_sample(pairs, ci=None).value
    assert fit_vector_scaling(pairs).cross_entropy <= scaled + 1e-9
    assert scaled == pytest.approx(log_loss(labels.argmax(axis=1), apply_temperature(pairs.pred, fitted.value)))
    told_apart = fit_vector_scaling(paired([[1, 0], [0, 1]], [[0.9, 0.1], [0.2, 0.8]]))
    assert np.isfinite(told_apart.weights).all()
    assert told_apart.cross_entropy < 1e-6
    assert fit_vector_scaling(paired(np.empty((0, 2)), np.empty((0, 2)))).note == "no items"
    with pytest.raises(ValueError, match="found shape"):
        apply_vector_scaling([[0.5, 0.3, 0.2]], told_apart)
    with pytest.raises(ValueError, match="above 0"):
        apply_vector_scaling([[1.0, 0.0]], told_apart)


def test_calibrated_cross_entropy_takes_its_temperature_elsewhere() -> None:
    z = logits(300, 3, 7)
    gold, pred = softmax(z / 2, axis=1), softmax(z, axis=1)
    dev, test = paired(gold[:150], pred[:150]), paired(gold[150:], pred[150:])
    found = calibrated_cross_entropy(test, dev, ids=range(150, 300), dev_ids=range(150), n_boot=100)
    entropy = float(-(gold[150:] * np.log(gold[150:])).sum(axis=1).mean())
    assert found.value == pytest.approx(entropy, abs=1e-9)
    assert found.low < found.value < found.high
    assert "temperature 2 from 150 other items" in found.note
    inside = calibrated_cross_entropy_in_sample(test, n_boot=100)
    assert inside.name != found.name
    assert "scored items themselves" in inside.note
    noisy = paired(np.eye(3)[gold[150:].argmax(axis=1)], pred[150:])
    assert calibrated_cross_entropy_in_sample(noisy).value < calibrated_cross_entropy(noisy, dev).value


def test_what_calibrated_cross_entropy_refuses() -> None:
    dev, test = paired([[0.8, 0.2]], [[0.9, 0.1]]), paired([[0.6, 0.4]], [[0.7, 0.3]])
    with pytest.raises(ValueError, match="another split"):
        calibrated_cross_entropy(dev, dev)
    with pytest.raises(TableError, match=r"1 are in both splits, e\.g\. 'a b'"):
        calibrated_cross_entropy(test, dev, ids=["a b"], dev_ids=["a b"])
    with pytest.raises(ValueError, match="ids and dev_ids, or neither"):
        calibrated_cross_entropy(test, dev, ids=["a"])
    with pytest.raises(ValueError, match="dev_ids has 2 values"):
        calibrated_cross_entropy(test, dev, ids=["a"], dev_ids=["b", "c"])
    with pytest.raises(TableError, match="hold a 0"):
        calibrated_cross_entropy(paired([[1, 0]], [[1, 0]]), dev)
    flat = calibrated_cross_entropy(test, paired([[0.5, 0.5]], [[0.5, 0.5]]))
    assert isnan(flat.value)
    assert "no temperature" in flat.note
    assert isnan(calibrated_cross_entropy_rows(test, 1.0).rows[:, 0].mean()) is False
    both = calibrated_cross_entropy(
        paired([[0.6, 0.4]] * 2, [[0.7, 0.3]] * 2, group=["x", "y"]), paired([[0.8, 0.2]], [[0.9, 0.1]], group=["y"])
    )
    assert "1 of 2 groups are in both splits" in both.note
