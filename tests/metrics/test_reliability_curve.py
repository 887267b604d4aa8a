"""The reliability curve: against scikit-learn, its interval, its band."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.calibration import calibration_curve

from dfar_toolkit.estimate import ESTIMATE_SCHEMA, proportion
from dfar_toolkit.metrics.calibration.reliability_curve import reliability_curve


@pytest.mark.parametrize(("n", "n_bins"), [(200, 10), (37, 5), (1, 4)])
def test_points_equal_scikit_learn(n: int, n_bins: int) -> None:
    rng = np.random.default_rng(n)
    q = np.round(rng.random(n), 2)
    gold = (rng.random(n) < q).astype(int)
    observed, predicted = calibration_curve(gold, q, n_bins=n_bins)
    found = reliability_curve(gold=gold, pred=np.column_stack([1 - q, q]), view="classwise", n_bins=n_bins)
    one = found.filter(option="1")
    np.testing.assert_allclose(one["value"], observed, atol=1e-12)
    np.testing.assert_allclose(one["mean_predicted"], predicted, atol=1e-12)
    assert int(one["n"].sum()) == n
    assert found.columns[-len(ESTIMATE_SCHEMA) :] == list(ESTIMATE_SCHEMA)


def test_interval_and_band_of_one_bin_by_hand() -> None:
    # 20 labels, all at .7, 11 of them the top option.
    gold = np.array([0] * 11 + [1] * 9)
    row = reliability_curve(gold=gold, pred=[[0.7, 0.3]] * 20, n_bins=10).row(0, named=True)
    wilson = proportion("x", gold == 0)
    assert (row["low"], row["high"]) == (pytest.approx(wilson.low), pytest.approx(wilson.high))
    assert row["band_low"] == pytest.approx(binom.ppf(0.025, 20, 0.7) / 20)
    assert row["band_high"] == pytest.approx(binom.ppf(0.975, 20, 0.7) / 20)
    assert (row["bin"], row["bin_low"], row["bin_high"]) == (6, pytest.approx(0.6), pytest.approx(0.7))
    # The same items twice, as groups: as wide as the items once, up to the normal for the binomial.
    twice = {"gold": np.repeat(gold, 2), "pred": [[0.7, 0.3]] * 40, "n_bins": 10}
    grouped = reliability_curve(**twice, group=np.repeat(np.arange(20), 2)).row(0, named=True)  # type: ignore[arg-type]
    half = 1.959963984540054 * np.sqrt(0.55 * 0.45 / 19)
    assert grouped["band_low"] == pytest.approx(0.7 - half, abs=1e-12)
    assert grouped["method"] == "Wilson (effective n)"
    assert grouped["n_units"] == 20


def test_a_calibrated_model_stays_in_its_band() -> None:
    rng = np.random.default_rng(4)
    q = rng.random(20_000)
    gold = (rng.random(20_000) < q).astype(int)
    curve = reliability_curve(gold=gold, pred=np.column_stack([1 - q, q]), view="classwise", n_bins=20)
    outside = (curve["value"] < curve["band_low"]) | (curve["value"] > curve["band_high"])
    assert 0 <= int(outside.sum()) <= 6
    off = reliability_curve(gold=gold, pred=np.column_stack([1 - q**2, q**2]), view="classwise", n_bins=20)
    assert ((off["value"] > off["band_high"]) | (off["value"] < off["band_low"])).mean() > 0.8


def test_shares_bins_of_equal_mass_and_what_has_no_band() -> None:
    shares = [[0.8, 0.2], [0.6, 0.4], [0.4, 0.6], [1, 0]]
    pred = [[0.9, 0.1], [0.7, 0.3], [0.7, 0.3], [0.7, 0.3]]
    curve = reliability_curve(gold=shares, pred=pred, n_bins=2, binning="mass")
    assert curve["value"].to_list() == pytest.approx([2 / 3, 0.8])
    assert curve.select("bin_low", "bin_high").rows() == [(0.7, 0.7), (0.9, 0.9)]
    assert np.isnan(curve["band_low"].to_list()).tolist() == [False, True]
    empty = reliability_curve(gold=np.empty((0, 2)), pred=np.empty((0, 2)))
    assert len(empty) == 0
    assert empty.columns == curve.columns
    with pytest.raises(ValueError, match="confidence must lie"):
        reliability_curve(gold=[0], pred=pred[:1], confidence=95)
