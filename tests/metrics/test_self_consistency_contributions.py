"""CC-SHAP and its five other distances: published cases, scipy, and where they have no value."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import correlation, cosine, jensenshannon
from scipy.special import softmax
from scipy.stats import entropy

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.self_consistency.contribution_consistency import (
    DISTANCES,
    cc_shap,
    cc_shap_scores,
    contribution_distances,
    contribution_shares,
)

NAMES = {
    "cosine": "cosine_distance", "correlation": "correlation_distance", "mse": "mse", "var": "var", "kl": "kl_div",
    "js": "js_div",
}  # fmt: skip


@pytest.mark.real
def test_all_cases_of_the_file(shared_cases: Path) -> None:
    every = json.loads((shared_cases / "faith_cases.json").read_text(encoding="utf-8"))["cases"]
    cases = [case for case in every if case["group"] == "cc_shap"]
    assert len(cases) == 3
    for case in cases:
        given = case["input"]
        found = contribution_distances(
            given["contribution_ratios_prediction"], given["contribution_ratios_explanation"]
        )
        for name in DISTANCES:
            assert found[name] == pytest.approx(case["expected"][NAMES[name]], abs=1e-9), (case["id"], name)


def test_scores_by_hand() -> None:
    # Shares (50, -50) and (-50, 50): cosine -1. (75, 25) and (25, 75): cosine 3750 / 6250 = 3/5, MSE 2500, var 0.
    rows = pl.DataFrame(
        {
            "item_id": ["a", "a", "b", "b", "c", "c", "d"],
            "method": ["cc_answer", "cc_explanation"] * 3 + ["cc_answer"],
            "word_scores": [[2.0, -2.0], [-0.1, 0.1], [3.0, 1.0], [1.0, 3.0], [0.0, 0.0], [1.0, 0.0], [1.0]],
        }
    )
    scores = cc_shap_scores(rows)
    assert scores["item_id"].to_list() == ["a", "b", "c", "d"]
    assert scores["cosine"][:2].to_list() == pytest.approx([-1, 3 / 5], abs=1e-12)
    assert scores["mse"][1] == pytest.approx(1 - 2500, abs=1e-9)
    assert scores["var"][1] == pytest.approx(1, abs=1e-9)
    assert scores["cosine"].is_nan().to_list() == [False, False, True, True]
    found = cc_shap(rows, n_boot=200)
    assert found.value == pytest.approx((-1 + 3 / 5) / 2, abs=1e-12)
    assert (found.n, found.n_units) == (2, 2)
    assert "2 of 4 without two vectors that are not 0 left out" in found.note
    mse = cc_shap(rows, distance="mse", ci=None).value
    assert mse == pytest.approx((1 - 100**2 + 1 - 2500) / 2, abs=1e-9)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=6))
def test_as_scipy_has_them(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    found = contribution_distances(a, b)
    back = contribution_distances(b, a)
    if not a.any() or not b.any():
        assert all(isnan(value) for value in found.values())
        return
    assert found["cosine"] == pytest.approx(cosine(a, b), abs=1e-12)
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert found["correlation"] == pytest.approx(correlation(a, b), abs=1e-12)
    else:
        assert isnan(found["correlation"])
    assert found["mse"] == pytest.approx(np.mean((a - b) ** 2), abs=1e-12)
    assert found["var"] == pytest.approx(np.var((a - b) ** 2), abs=1e-9)
    assert found["kl"] == pytest.approx(entropy(softmax(b), softmax(a)), abs=1e-9)
    assert found["js"] == pytest.approx(jensenshannon(softmax(a), softmax(b)), abs=1e-7)
    for name in ("cosine", "correlation", "mse", "var", "js"):
        assert found[name] == pytest.approx(back[name], abs=1e-12, nan_ok=True)  # all but KL are symmetric


@settings(max_examples=20)
@given(st.lists(st.floats(-1e6, 1e6), max_size=6), st.floats(1e-3, 1e3))
def test_shares_do_not_hang_on_the_scale(values: list[float], scale: float) -> None:
    if not any(abs(value) > 1e-200 for value in values):
        return
    shares = contribution_shares(values)
    assert np.abs(shares).sum() == pytest.approx(100, abs=1e-9)
    assert contribution_shares([value * scale for value in values]) == pytest.approx(shares, abs=1e-9)


def test_far_apart_contributions_do_not_overflow() -> None:
    found = contribution_distances([100.0, 0.0, 0.0], [0.0, 0.0, -100.0])
    assert found["kl"] == pytest.approx(50 - np.log(2), abs=1e-9)  # 1/2, 1/2 against 1, e^-100
    assert 0 < found["js"] < np.sqrt(np.log(2))


def test_undefined_and_wrong() -> None:
    for pair in (([], []), ([0.0], [1.0]), ([float("nan")], [1.0]), ([float("inf")], [1.0])):
        assert all(isnan(value) for value in contribution_distances(*pair).values())
    assert contribution_shares([]).tolist() == []
    assert np.isnan(contribution_shares([float("nan"), 1.0])).all()
    with pytest.raises(ValueError, match="2 words in the answer, 1 in the explanation"):
        contribution_distances([1.0, 2.0], [1.0])
    rows = pl.DataFrame(
        {"item_id": ["a", "a"], "method": ["cc_answer", "cc_explanation"], "word_scores": [[1.0], None]}
    )
    found = cc_shap(rows)
    assert isnan(found.value)
    assert "all 1 items are without two vectors" in found.note
    with pytest.raises(TableError, match="found 1 for the answer, 2 for the explanation"):
        cc_shap(rows.with_columns(word_scores=pl.Series([[1.0], [1.0, 2.0]])))
    with pytest.raises(TableError, match='"word_scores"'):
        cc_shap(rows.drop("word_scores"))
    with pytest.raises(TableError, match="one run, found 2"):
        cc_shap(rows.with_columns(run_id=pl.Series(["r", "s"])))
    with pytest.raises(ValueError, match="'euclid'"):
        cc_shap(rows, distance="euclid")  # type: ignore[arg-type]


def test_group_is_the_unit_and_order_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    rows = pl.DataFrame(
        [
            {"item_id": f"i{i}", "method": m, "word_scores": rng.normal(size=4).tolist(), "group": f"g{i % 5}"}
            for i in range(20)
            for m in ("cc_answer", "cc_explanation")
        ]
    )
    found = cc_shap(rows, n_boot=200)
    assert (found.n, found.n_units, found.unit) == (20, 5, "groups")
    assert cc_shap(rows.sample(fraction=1, shuffle=True, seed=3), n_boot=200) == found
    alone = cc_shap(rows.drop("group"), n_boot=200)
    assert alone.value == pytest.approx(found.value, abs=1e-12)
    assert alone.low != found.low
