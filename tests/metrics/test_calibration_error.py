"""Calibration errors: by hand, against loops, unbiased by enumeration, and where an interval would lie."""

from __future__ import annotations

from itertools import combinations, product
from math import isnan, nan
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import estimate_together
from dfar_toolkit.metrics.calibration.bins import bin_values
from dfar_toolkit.metrics.calibration.calibration_table import calibration_table
from dfar_toolkit.metrics.calibration.debiased_calibration_error import (
    debiased_squared_calibration_error,
    debiased_squared_calibration_error_rows,
)
from dfar_toolkit.metrics.calibration.distinct_pairs import squared_means
from dfar_toolkit.metrics.calibration.expected_calibration_error import (
    adaptive_calibration_error,
    classwise_calibration_error,
    expected_calibration_error,
    maximum_calibration_error,
)
from dfar_toolkit.metrics.soft_labels.paired import pair_distributions


def calibrated(n: int, seed: int) -> tuple[Any, Any]:
    """Labels drawn from the predictions themselves: confidence uniform on (0.5, 1)."""
    rng = np.random.default_rng(seed)
    top = 0.5 + rng.random(n) / 2
    return (rng.random(n) >= top).astype(int), np.column_stack([top, 1 - top])


def loop_ece(confidence: list[float], hit: list[float], n_bins: int, norm: float) -> float:
    """From the definition: bins (a, b], 0 in the first."""
    total = 0.0
    for b in range(n_bins):
        inside = [
            (c, h) for c, h in zip(confidence, hit, strict=True)
            if b / n_bins < c <= (b + 1) / n_bins or (b == 0 and c == 0)
        ]  # fmt: skip
        if inside:
            gap = abs(sum(c for c, _ in inside) / len(inside) - sum(h for _, h in inside) / len(inside))
            total += len(inside) / len(confidence) * gap**norm
    return total ** (1 / norm)


@pytest.mark.parametrize(("n", "k", "n_bins", "norm"), [(1, 2, 15, 1), (40, 2, 10, 1), (57, 4, 7, 2), (60, 5, 1, 1)])
def test_ece_is_the_loop_of_its_definition(n: int, k: int, n_bins: int, norm: float) -> None:
    rng = np.random.default_rng(n)
    pred = rng.dirichlet(np.ones(k), n)
    gold = rng.integers(0, k, n)
    hits = (pred.argmax(axis=1) == gold).astype(float)
    found = expected_calibration_error(gold=gold, pred=pred, n_bins=n_bins, norm=norm)
    assert found.value == pytest.approx(loop_ece(pred.max(axis=1).tolist(), hits.tolist(), n_bins, norm), abs=1e-12)
    each = [
        loop_ece(pred[:, option].tolist(), (gold == option).astype(float).tolist(), n_bins, 1) for option in range(k)
    ]
    classwise = classwise_calibration_error(gold=gold, pred=pred, n_bins=n_bins)
    assert classwise.value == pytest.approx(float(np.mean(each)), abs=1e-12)
    assert isnan(found.low)
    assert isnan(classwise.low)


def test_by_hand_with_shares_and_with_labels() -> None:
    # Confidences .9 .9 .6; people give the top option 1, .5, .6: bins (.8, 1] and (.4, .6] of five.
    pred = [[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]]
    shares = [[1, 0], [0.5, 0.5], [0.6, 0.4]]
    found = expected_calibration_error(gold=shares, pred=pred, n_bins=5)
    assert found.value == pytest.approx(2 / 3 * abs(0.75 - 0.9) + 0, abs=1e-12)
    assert maximum_calibration_error(gold=shares, pred=pred, n_bins=5).value == pytest.approx(0.15, abs=1e-12)
    named = expected_calibration_error(gold=["no", "yes 🙂", "yes 🙂"], pred=pred, n_bins=5, options=["no", "yes 🙂"])
    assert named.value == pytest.approx(2 / 3 * 0.1 + 1 / 3 * 0.6, abs=1e-12)
    frame = pl.DataFrame({"label": ["no", None, "no"], "q": pred})
    left = expected_calibration_error(frame, gold="label", pred="q", options=["no", "yes"])
    assert left.n == 2
    assert "1 of 3" in left.note


def test_options_tied_for_the_top_count_by_a_random_one_of_them() -> None:
    for gold in (0, 1):
        found = expected_calibration_error(gold=[gold], pred=[[0.5, 0.5, 0.0]])
        assert found.value == pytest.approx(0.0, abs=1e-12)
    assert expected_calibration_error(gold=[2], pred=[[0.5, 0.5, 0.0]]).value == pytest.approx(0.5, abs=1e-12)


def test_bins_of_equal_mass_keep_ties_together() -> None:
    values = np.array([0.3, 0.1, 0.3, 0.3, 0.2, 0.9])
    assert bin_values(values, n_bins=3, binning="mass").codes.tolist() == [1, 0, 1, 1, 0, 2]
    assert bin_values(np.full(7, 0.4), n_bins=5, binning="mass").codes.tolist() == [2] * 7
    adaptive = adaptive_calibration_error(gold=[0, 0, 0, 1], pred=[[0.7, 0.3]] * 3 + [[0.9, 0.1]], n_bins=2)
    assert adaptive.value == pytest.approx(0.75 * 0.3 + 0.25 * 0.9, abs=1e-12)
    even = bin_values(np.random.default_rng(0).random(60), n_bins=6, binning="mass")
    assert np.bincount(even.codes).tolist() == [10] * 6
    # 0.3 is not a binary number: it still lies on the edge, in the lower bin.
    assert bin_values(np.array([0.1 + 0.2, 0.3]), n_bins=10).codes.tolist() == [2, 2]


def test_a_calibrated_model_has_an_ece_of_about_five_hundredths_and_no_percentile_interval_reaches_zero() -> None:
    found = [expected_calibration_error(gold=g, pred=q) for g, q in (calibrated(311, seed) for seed in range(20))]
    assert float(np.mean([e.value for e in found])) == pytest.approx(0.051, abs=0.006)
    said = float(found[0].note.split("gets ")[1].split(" ")[0])
    assert said == pytest.approx(0.051, abs=0.006)
    gold, pred = calibrated(311, 0)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(60):
        take = rng.integers(0, 311, 311)
        hits = (gold[take] == 0).astype(float)
        draws.append(loop_ece(pred[take, 0].tolist(), hits.tolist(), 15, 1))
    assert min(draws) > 0.02
    assert all(isnan(e.low) and "no interval" in e.note for e in found)


def test_the_debiased_square_is_unbiased_by_enumeration_and_the_plug_in_is_not() -> None:
    confidence = np.array([0.55, 0.6, 0.9, 0.9])
    pred = np.column_stack([confidence, 1 - confidence])
    debiased = plug_in = 0.0
    for labels in product([0, 1], repeat=4):
        chance = float(np.prod(np.where(np.array(labels) == 0, confidence, 1 - confidence)))
        found = debiased_squared_calibration_error(gold=labels, pred=pred, n_bins=1, ci=None)
        debiased += chance * found.value
        plug_in += chance * expected_calibration_error(gold=labels, pred=pred, n_bins=1, norm=2).value ** 2
    assert debiased == pytest.approx(0.0, abs=1e-12)
    # Variance of the mean hit: (.2475 + .24 + .09 + .09) / 16.
    assert plug_in == pytest.approx(0.6675 / 16, abs=1e-12)


def test_one_prediction_per_bin_is_the_published_correction() -> None:
    # 5 items at .8, 3 right; 4 items at .55, 1 right: (o - c)^2 - o (1 - o) / (n - 1), weighted 5/9 and 4/9.
    gold, pred = [0, 0, 0, 1, 1, 0, 1, 1, 1], [[0.8, 0.2]] * 5 + [[0.55, 0.45]] * 4
    expected = 5 / 9 * (0.2**2 - 0.24 / 4) + 4 / 9 * (0.3**2 - 0.1875 / 3)
    found = debiased_squared_calibration_error(gold=gold, pred=pred, n_bins=10, binning="width")
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert isnan(found.low)
    assert "2 bins" in found.note


@pytest.mark.parametrize("seed", range(4))
def test_products_of_different_units_are_those_of_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, codes, units = rng.normal(size=30), rng.integers(0, 4, 30), rng.integers(0, 9, 30)
    total = used = 0.0
    for b in range(4):
        pairs = [(i, j) for i, j in combinations(np.flatnonzero(codes == b), 2) if units[i] != units[j]]
        if pairs:
            size = float((codes == b).sum())
            total += size * float(np.mean([x[i] * x[j] for i, j in pairs]))
            used += size
    found = squared_means(x, codes, 4, units)
    assert found.value == pytest.approx(total / used, abs=1e-12)
    assert float(found.psi.mean()) == pytest.approx(found.value, abs=1e-12)
    alone = squared_means(x, codes, 4, np.arange(30))
    assert alone.value == pytest.approx(squared_means(x, codes, 4, None).value, abs=1e-12)


def test_the_linearised_items_are_the_derivative_by_the_weight_of_a_unit() -> None:
    rng = np.random.default_rng(1)
    x, codes, units = rng.normal(size=24), rng.integers(0, 3, 24), np.repeat(np.arange(8), 3)

    def value(weights: Any) -> float:
        total = size = 0.0
        for b in range(3):
            here = codes == b
            own = np.bincount(units[here], weights=x[here], minlength=8)
            many = np.bincount(units[here], minlength=8).astype(float)
            both = [(weights[g] * weights[h], g, h) for g in range(8) for h in range(8) if g != h]
            top = sum(w * own[g] * own[h] for w, g, h in both)
            total += float(weights @ many) * top / sum(w * many[g] * many[h] for w, g, h in both)
            size += float(weights @ many)
        return total / size

    found, step = squared_means(x, codes, 3, units), 1e-6
    for unit in range(8):
        shift = np.eye(8)[unit] * step
        slope = (value(np.ones(8) + shift) - value(np.ones(8) - shift)) / (2 * step)
        ours = float((found.psi - found.value)[units == unit].sum()) / 24
        assert ours == pytest.approx(slope, abs=1e-8)


def test_the_interval_of_the_debiased_square_covers_zero_for_a_calibrated_model_and_not_for_another() -> None:
    covered = 0
    for seed in range(60):
        gold, pred = calibrated(150, seed)
        found = debiased_squared_calibration_error(gold=gold, pred=pred, n_boot=200)
        covered += found.low <= 0 <= found.high
    assert covered >= 53
    gold, pred = calibrated(600, 0)
    sure = pred**4 / (pred**4).sum(axis=1, keepdims=True)
    found = debiased_squared_calibration_error(gold=gold, pred=sure, n_boot=200)
    assert found.low > 0
    assert found.method == "linearised bootstrap"


def test_groups_widen_the_interval_and_the_seed_fixes_it() -> None:
    gold, pred = calibrated(200, 3)
    sure = pred**3 / (pred**3).sum(axis=1, keepdims=True)
    four = {"gold": np.repeat(gold, 4), "pred": np.repeat(sure, 4, axis=0), "n_boot": 200}
    group = np.repeat(np.arange(200), 4)
    alone = debiased_squared_calibration_error(**four)
    together = debiased_squared_calibration_error(**four, group=group)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    assert (together.unit, together.n_units, together.n) == ("groups", 200, 800)
    single = debiased_squared_calibration_error(gold=gold, pred=sure, n_boot=200)
    assert together.value == pytest.approx(single.value, abs=1e-12)
    assert together == debiased_squared_calibration_error(**four, group=group)


def test_undefined_says_why() -> None:
    one = debiased_squared_calibration_error(gold=[0], pred=[[0.8, 0.2]])
    assert isnan(one.value)
    assert "two independent units" in one.note
    empty = expected_calibration_error(gold=np.empty((0, 2)), pred=np.empty((0, 2)))
    assert isnan(empty.value)
    assert empty.note == "no items"
    assert isnan(debiased_squared_calibration_error(gold=np.empty((0, 2)), pred=np.empty((0, 2))).value)
    assert expected_calibration_error(gold=[0, 0], pred=[[1.0], [1.0]]).value == 0.0
    tied = expected_calibration_error(gold=[-1, -1], pred=[[1.0, 0.0]] * 2)
    assert isnan(tied.value)


def test_an_undefined_one_leaves_others_drawn_with_it_alone() -> None:
    pairs = pair_distributions("x", None, gold=[[1, 0], [0, 1], [1, 0]], pred=[[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    undefined = debiased_squared_calibration_error_rows(pairs, binning="width")
    both = estimate_together([undefined, undefined._replace(formula=lambda s: s[:, 0] + 1)], n_boot=20)
    assert isnan(both[0].value)
    assert both[1].value == 1.0


def test_bad_arguments_are_named() -> None:
    pred = [[0.8, 0.2]]
    with pytest.raises(ValueError, match="n_bins must be"):
        expected_calibration_error(gold=[0], pred=pred, n_bins=0)
    with pytest.raises(ValueError, match="binning must be"):
        expected_calibration_error(gold=[0], pred=pred, binning="depth")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="norm must be"):
        expected_calibration_error(gold=[0], pred=pred, norm=nan)
    with pytest.raises(ValueError, match="view must be"):
        debiased_squared_calibration_error(gold=[0], pred=pred, view="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give options="):
        expected_calibration_error(gold=["a"], pred=pred)
    with pytest.raises(TableError, match="found 'c'"):
        expected_calibration_error(gold=["c"], pred=pred, options=["a", "b"])
    with pytest.raises(TableError, match="found 2"):
        expected_calibration_error(gold=[2], pred=pred)
    with pytest.raises(ValueError, match='no column "y"'):
        expected_calibration_error(pl.DataFrame({"x": [1]}), gold="y", pred=pred)
    with pytest.raises(ValueError, match="no frame is given"):
        expected_calibration_error(gold="y", pred=pred)
    with pytest.raises(ValueError, match="not both"):
        expected_calibration_error(gold=[0], counts=[[1, 0]], pred=pred)
    with pytest.raises(ValueError, match="lists of shares"):
        expected_calibration_error(gold=[0.5], pred=pred)


def _votes(n: int, k: int, seed: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(np.ones(k), n)
    votes = np.stack([rng.multinomial(5, p) for p in truth])
    pred = truth**2 / (truth**2).sum(axis=1, keepdims=True)
    top = votes == votes.max(axis=1, keepdims=True)
    return votes, pred, np.where(top.sum(axis=1) == 1, votes.argmax(axis=1), -1)


def test_the_table_puts_people_first_and_the_majority_by_its_name() -> None:
    votes, pred, labels = _votes(120, 3, 0)
    pairs = pair_distributions("x", None, gold=None, counts=votes, pred=pred)
    table = calibration_table(pairs, labels, n_boot=100)
    names = table["metric"].to_list()
    assert names[:4] == [
        "human_calibration_error", "entropy_calibration_error", "rank_calibration", "classwise_ece_human",
    ]  # fmt: skip
    assert len(set(names)) == len(names)
    rows = {row["metric"]: row for row in table.to_dicts()}
    assert rows["ece_majority"]["n"] == rows["aurc"]["n"] == int((labels >= 0).sum())
    parts = [rows[f"corp_{t}_majority"]["value"] for t in ("miscalibration", "discrimination", "uncertainty")]
    assert rows["corp_brier_score_majority"]["value"] == pytest.approx(parts[0] - parts[1] + parts[2], abs=1e-12)
    without = [m for m in names if isnan(rows[m]["low"])]
    assert [m for m in without if "ece" in m or "mce" in m or m.startswith("corp_")] == without
    keep = labels >= 0
    direct = debiased_squared_calibration_error(gold=labels[keep], pred=pred[keep], ci=None)
    assert rows["squared_calibration_error_majority"]["value"] == pytest.approx(direct.value, abs=1e-12)
    assert calibration_table(pairs, None, n_boot=20)["metric"].to_list() == names[:4]
    with pytest.raises(ValueError, match="labels must be 120"):
        calibration_table(pairs, [0, 1])


def test_the_table_of_labels_alone_and_of_nothing() -> None:
    gold, pred = calibrated(60, 1)
    pairs = pair_distributions("x", None, gold=np.eye(2)[gold], pred=pred)
    table = calibration_table(pairs, n_boot=20)
    assert table["metric"][0] == "squared_calibration_error_majority"
    assert table.equals(calibration_table(pairs, gold, n_boot=20))
    empty = pair_distributions("x", None, gold=np.empty((0, 2)), pred=np.empty((0, 2)))
    assert all(isnan(v) for v in calibration_table(empty, np.empty(0, dtype=int))["value"])
    one = pair_distributions("x", None, gold=[[0.5, 0.5]], pred=[[0.9, 0.1]])
    assert all(isnan(low) for low in calibration_table(one, [-1], n_boot=20)["low"])


@settings(max_examples=6)
@given(seed=st.integers(0, 1000), k=st.integers(2, 4), rounded=st.booleans())
def test_neither_the_order_of_items_nor_that_of_options_plays_a_part(seed: int, k: int, rounded: bool) -> None:
    votes, pred, labels = _votes(40, k, seed)
    pred = np.round(pred, 1) + 0.01 if rounded else pred
    groups = np.arange(40) // 2
    rng = np.random.default_rng(seed)
    items, options = rng.permutation(40), rng.permutation(k)
    place = np.append(np.argsort(options), -1)
    one = pair_distributions("x", None, gold=None, counts=votes, pred=pred, group=groups)
    other = pair_distributions(
        "x", None, gold=None, counts=votes[items][:, options], pred=pred[items][:, options], group=groups[items]
    )
    columns = ["value", "low", "high", "n"]
    before = calibration_table(one, labels, n_boot=40).select(columns).to_numpy()
    after = calibration_table(other, place[labels[items]], n_boot=40).select(columns).to_numpy()
    np.testing.assert_allclose(before, after, atol=1e-9)
