"""Decompositions of the Brier score: they add up, their parts equal oracles, and only valid intervals are given."""

from __future__ import annotations

from math import isnan
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss

from dfar_toolkit.metrics.calibration.brier_decomposition import brier_decomposition
from dfar_toolkit.metrics.calibration.corp_decomposition import corp_decomposition, corp_rows, isotonic_fit
from dfar_toolkit.metrics.soft_labels.paired import pair_distributions


def values(table: pl.DataFrame) -> dict[str, float]:
    return dict(table.select("metric", "value").iter_rows())


def sample(n: int, k: int, seed: int, rounded: bool, shares: bool) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    pred = rng.dirichlet(np.ones(k), n)
    pred = np.round(pred, 1) + 0.01 if rounded else pred
    votes = rng.multinomial(3 if shares else 1, np.ones(k) / k, size=n)
    return votes / votes.sum(axis=1, keepdims=True), pred


@settings(max_examples=12)
@given(
    n=st.integers(1, 60), k=st.integers(1, 4), seed=st.integers(0, 99), n_bins=st.integers(1, 20),
    rounded=st.booleans(), shares=st.booleans(), mass=st.booleans(),
)  # fmt: skip
def test_parts_add_up_to_the_brier_score(
    n: int, k: int, seed: int, n_bins: int, rounded: bool, shares: bool, mass: bool
) -> None:
    gold, pred = sample(n, k, seed, rounded, shares)
    brier = float(np.square(gold - pred / pred.sum(axis=1, keepdims=True)).sum(axis=1).mean())
    found = values(
        brier_decomposition(gold=gold, pred=pred, n_bins=n_bins, binning="mass" if mass else "width", ci=None)
    )
    total = found["reliability"] - found["resolution"] + found["uncertainty"]
    total += found["within_bin_variance"] - found["within_bin_covariance"]
    assert found["brier_score"] == pytest.approx(brier, abs=1e-12)
    assert total == pytest.approx(brier, abs=1e-12)
    corp = values(corp_decomposition(gold=gold, pred=pred, ci=None))
    assert corp["miscalibration"] - corp["discrimination"] + corp["uncertainty"] == pytest.approx(brier, abs=1e-12)
    assert corp["miscalibration"] >= -1e-12
    assert corp["discrimination"] >= -1e-12


def test_murphy_by_hand() -> None:
    # .8: 5 items, 3 right; .55: 4 items, 1 right. Mean 4/9; one option of two, so everything twice.
    gold, pred = [0, 0, 0, 1, 1, 0, 1, 1, 1], [[0.8, 0.2]] * 5 + [[0.55, 0.45]] * 4
    found = values(brier_decomposition(gold=gold, pred=pred, n_bins=10, binning="width", ci=None))
    reliability = 5 / 9 * 0.2**2 + 4 / 9 * 0.3**2
    resolution = 5 / 9 * (3 / 5 - 4 / 9) ** 2 + 4 / 9 * (1 / 4 - 4 / 9) ** 2
    assert found["reliability"] == pytest.approx(2 * reliability, abs=1e-12)
    assert found["resolution"] == pytest.approx(2 * resolution, abs=1e-12)
    assert found["uncertainty"] == pytest.approx(2 * 20 / 81, abs=1e-12)
    assert found["within_bin_variance"] == pytest.approx(0.0, abs=1e-12)
    # Published corrections: reliability minus the variances of the bin means, resolution too, plus that of the mean.
    bins = 5 / 9 * 0.24 / 4 + 4 / 9 * 0.1875 / 3
    assert found["reliability_debiased"] == pytest.approx(2 * (reliability - bins), abs=1e-12)
    assert found["resolution_debiased"] == pytest.approx(2 * (resolution - bins + 20 / 81 / 8), abs=1e-12)


def test_the_score_equals_scikit_learn_and_groups_widen_intervals() -> None:
    rng = np.random.default_rng(0)
    q = rng.random(80)
    gold = (rng.random(80) < q).astype(int)
    pred = np.column_stack([1 - q, q])
    assert values(brier_decomposition(gold=gold, pred=pred, ci=None))["brier_score"] == pytest.approx(
        2 * brier_score_loss(gold, q), abs=1e-12
    )
    many = {"gold": np.repeat(gold, 4), "pred": np.repeat(pred, 4, axis=0), "n_boot": 200}
    for decomposition in (brier_decomposition, corp_decomposition):
        alone = decomposition(**many).filter(metric="uncertainty").row(0, named=True)
        group = decomposition(**many, group=np.repeat(np.arange(80), 4)).filter(metric="uncertainty").row(0, named=True)
        assert group["high"] - group["low"] > 1.4 * (alone["high"] - alone["low"])
        assert group["n_units"] == 80


@pytest.mark.parametrize(("n", "decimals"), [(1, 3), (50, 1), (200, 8), (60, 0)])
def test_the_isotonic_regression_equals_scikit_learn(n: int, decimals: int) -> None:
    rng = np.random.default_rng(n)
    x = np.round(rng.random(n), decimals)
    y = np.round(rng.random(n), 2)
    oracle = IsotonicRegression().fit(x, y).predict(x)
    found = isotonic_fit(x, y)
    np.testing.assert_allclose(found.fitted, oracle, atol=1e-9)
    assert len(np.unique(found.fitted)) == len(np.unique(found.blocks))


def test_what_has_an_interval_and_what_is_refused() -> None:
    rng = np.random.default_rng(2)
    q = rng.random(300)
    gold = (rng.random(300) < q).astype(int)
    pred = np.column_stack([1 - q, q])
    murphy = brier_decomposition(gold=gold, pred=pred, n_boot=200)
    corp = corp_decomposition(gold=gold, pred=pred, n_boot=200)
    without = {r["metric"] for t in (murphy, corp) for r in t.to_dicts() if isnan(r["low"])}
    assert without == {"reliability", "resolution", "miscalibration", "discrimination"}
    for row in murphy.to_dicts() + corp.to_dicts():
        assert isnan(row["low"]) == ("no interval" in row["note"])
        assert isnan(row["low"]) or row["low"] <= row["value"] <= row["high"]
    # The truth: discrimination 2 Var(q) = 1/6, miscalibration 0 of which the fit alone makes what the note says.
    rows = {r["metric"]: r for r in corp.to_dicts()}
    assert rows["discrimination_debiased"]["low"] < 1 / 6 < rows["discrimination_debiased"]["high"]
    said = float(rows["miscalibration"]["note"].split("gets ")[1].split(" ")[0])
    assert rows["miscalibration"]["value"] == pytest.approx(said, abs=0.015)
    few = brier_decomposition(gold=gold, pred=pred, n_bins=3, n_boot=50).filter(metric="reliability_debiased")
    assert "at least 5" in few["note"][0]


def test_rows_are_the_derivative_of_a_refitted_decomposition() -> None:
    rng = np.random.default_rng(3)
    q = np.sort(rng.random(40))
    y = (rng.random(40) < q).astype(float)
    pairs = pair_distributions("x", None, gold=np.column_stack([1 - y, y]), pred=np.column_stack([1 - q, q]))
    for row, place in zip(corp_rows(pairs)[1:3], ("miscalibration", "discrimination"), strict=True):
        step, item = 1e-6, 7
        moved = []
        for shift in (step, -step):
            w = np.ones(40)
            w[item] += shift
            fitted = IsotonicRegression().fit(q, y, sample_weight=w).predict(q)
            mean = np.average(y, weights=w)
            reference = (q - y) ** 2 if place == "miscalibration" else (y - mean) ** 2
            moved.append(2 * np.average(reference - (y - fitted) ** 2, weights=w))
        slope = (moved[0] - moved[1]) / (2 * step)
        psi = row.rows[:, 0]
        assert (psi[item] - psi.mean()) / 40 == pytest.approx(slope, abs=1e-7)


def test_nothing_and_one_item() -> None:
    for decomposition in (brier_decomposition, corp_decomposition):
        empty = decomposition(gold=np.empty((0, 2)), pred=np.empty((0, 2)))
        assert all(isnan(v) for v in empty["value"])
        assert all("no items" in n for n in empty["note"])
        one = decomposition(gold=[0], pred=[[0.8, 0.2]]).filter(metric="brier_score").row(0, named=True)
        assert one["value"] == pytest.approx(0.08, abs=1e-12)
        assert "one unit" in one["note"]
