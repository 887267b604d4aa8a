"""Selective prediction: against every order of the ties, by hand, and the linearised interval."""

from __future__ import annotations

from itertools import pairwise, permutations
from math import isnan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.estimate import ESTIMATE_SCHEMA, proportion
from dfar_toolkit.metrics.calibration.risk_coverage import (
    aurc,
    excess_aurc,
    linearised_area,
    risk_coverage_curve,
)


def naive_area(scores: Any, losses: Any) -> float:
    """Mean over all orders that the scores allow."""
    areas = []
    n = len(scores)
    for order in permutations(range(n)):
        if all(scores[a] >= scores[b] for a, b in pairwise(order)):
            ordered = [losses[i] for i in order]
            areas.append(np.mean([np.mean(ordered[: m + 1]) for m in range(n)]))
    return float(np.mean(areas))


@settings(max_examples=20)
@given(
    data=st.lists(
        st.tuples(st.sampled_from([0.5, 0.6, 0.9]), st.sampled_from([0.0, 0.25, 1.0])), min_size=1, max_size=6
    )
)
def test_ties_are_the_mean_over_all_their_orders(data: list[tuple[float, float]]) -> None:
    scores, losses = np.array([s for s, _ in data]), np.array([x for _, x in data])
    assert float(linearised_area(scores, losses).mean()) == pytest.approx(naive_area(scores, losses), abs=1e-12)


def binary(confidence: Any, right: Any) -> dict[str, Any]:
    c = np.asarray(confidence)
    return {"gold": 1 - np.asarray(right).astype(int), "pred": np.column_stack([c, 1 - c])}


def test_by_hand() -> None:
    # Right, wrong, right, wrong in falling confidence: risks 0, 1/2, 1/3, 1/2; best order 0, 0, 1/3, 1/2.
    data = binary([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])
    assert aurc(**data, ci=None).value == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 4, abs=1e-12)
    assert excess_aurc(**data, ci=None).value == pytest.approx(1 / 2 / 4, abs=1e-12)
    curve = risk_coverage_curve(**data)
    assert curve["value"].to_list() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2], abs=1e-12)
    assert curve["coverage"].to_list() == [0.25, 0.5, 0.75, 1.0]
    assert curve["threshold"].to_list() == [0.9, 0.8, 0.7, 0.6]
    assert curve.columns == ["threshold", "coverage", *ESTIMATE_SCHEMA]
    tied = binary([0.8] * 4, [1, 0, 1, 0])
    assert aurc(**tied, ci=None).value == pytest.approx(0.5, abs=1e-12)
    # Votes: the loss is the share of people who chose otherwise.
    assert aurc(gold=[[0.7, 0.3]], pred=[[0.9, 0.1]], ci=None).value == pytest.approx(0.3, abs=1e-12)


def test_perfect_orders_have_no_excess_and_nothing_is_undefined() -> None:
    perfect = excess_aurc(**binary([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0]))
    assert perfect.value == pytest.approx(0.0, abs=1e-12)
    assert "every bootstrap draw gives the same value" in perfect.note
    empty = {"gold": np.empty((0, 2)), "pred": np.empty((0, 2))}
    assert aurc(**empty).note == "no items"  # type: ignore[arg-type]
    assert len(risk_coverage_curve(**empty)) == 0  # type: ignore[arg-type]
    assert "one unit" in aurc(gold=[0], pred=[[0.9, 0.1]]).note
    with pytest.raises(ValueError, match="confidence must lie"):
        risk_coverage_curve(gold=[0], pred=[[0.9, 0.1]], confidence=0)


def noisy(n: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    c = np.round(0.5 + rng.random(n) / 2, 2)
    return binary(c, rng.random(n) < c)


def test_the_interval_is_as_wide_as_that_of_resampling_everything() -> None:
    data = noisy(300, 0)
    found, excess = aurc(**data, n_boot=1000), excess_aurc(**data, n_boot=1000)
    rng = np.random.default_rng(1)
    c, loss = data["pred"][:, 0], data["gold"].astype(float)
    areas, above = [], []
    for _ in range(600):
        take = rng.integers(0, 300, 300)
        areas.append(linearised_area(c[take], loss[take]).mean())
        above.append(areas[-1] - linearised_area(-loss[take], loss[take]).mean())
    for ours, draws in ((found, areas), (excess, above)):
        low, high = np.quantile(draws, [0.025, 0.975])
        assert ours.high - ours.low == pytest.approx(high - low, rel=0.12)
        assert ours.method == "linearised bootstrap"


def test_the_curve_has_the_interval_of_a_share_with_groups_and_without() -> None:
    data = noisy(60, 3)
    groups = np.random.default_rng(3).integers(0, 12, 60)
    for group in (None, groups):
        curve = risk_coverage_curve(**data, group=group)
        for row in curve.to_dicts()[4::7]:
            inside = data["pred"][:, 0] >= row["threshold"] - 1e-12
            oracle = proportion("x", data["gold"][inside], groups=None if group is None else groups[inside])
            assert row["value"] == pytest.approx(oracle.value, abs=1e-12)
            assert (row["low"], row["high"]) == (
                pytest.approx(oracle.low, abs=1e-9),
                pytest.approx(oracle.high, abs=1e-9),
            )
            assert (row["n"], row["n_units"], row["method"]) == (oracle.n, oracle.n_units, oracle.method)
    alone = risk_coverage_curve(**binary([0.9, 0.9, 0.6], [1, 0, 1]), group=["a", "a", "b"]).row(0, named=True)
    assert isnan(alone["low"])
    assert "one group" in alone["note"]


def test_groups_and_the_order_of_items() -> None:
    data = noisy(100, 5)
    many = {"gold": np.repeat(data["gold"], 4), "pred": np.repeat(data["pred"], 4, axis=0)}
    alone, together = aurc(**many, n_boot=300), aurc(**many, n_boot=300, group=np.repeat(np.arange(100), 4))
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    shuffled = np.random.default_rng(0).permutation(100)
    other = aurc(gold=data["gold"][shuffled], pred=data["pred"][shuffled], n_boot=300)
    same = aurc(**data, n_boot=300)
    assert (other.value, other.low, other.high) == pytest.approx((same.value, same.low, same.high), abs=1e-9)
