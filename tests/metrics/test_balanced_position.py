"""Balanced position calibration, position consistency, and ratings against rankings."""

from __future__ import annotations

import json
from math import isnan, log
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.judging.balanced_position import (
    balanced_position,
    balanced_position_rates,
    position_consistency,
)
from dfar_toolkit.metrics.judging.rating_versus_ranking import rating_ranking_consistency

Scores = list[list[float]]


def samples(first: Scores, second: Scores, pair: str = "x") -> pl.DataFrame:
    rows = [(pair, 1, float(a), float(b)) for a, b in first] + [(pair, 2, float(a), float(b)) for a, b in second]
    return pl.DataFrame(rows, schema=["pair_id", "order", "score_first", "score_second"], orient="row")


def test_first_place_bias_by_hand() -> None:
    # answer 1: 9, 8, 9 first and 7, 8, 7 second; answer 2: 8, 8, 7 second and 9, 9, 8 first
    found = balanced_position(samples([[9, 8], [8, 8], [9, 7]], [[9, 7], [9, 8], [8, 7]])).row(0, named=True)
    assert (found["score_1"], found["score_2"]) == pytest.approx((8, 49 / 6), abs=1e-12)
    assert (found["verdict"], found["naive_verdict"], found["samples"], found["unread"]) == ("loss", "win", 6, 0)
    # wins 2, ties 1, losses 3
    entropy = -(2 / 6 * log(2 / 6) + 1 / 6 * log(1 / 6) + 3 / 6 * log(3 / 6))
    assert found["bpde"] == pytest.approx(entropy, abs=1e-12)


def test_a_pair_seen_in_one_order_is_not_balanced() -> None:
    one = samples([[9, 8]], []).row(0)
    frame = pl.concat([samples([[9, 8]], [[7, 7]]), samples([[9, 8]], [], "y"), samples([], [[9, 8]], "z")])
    unread = frame.with_columns(score_second=pl.when(pl.col("pair_id") != "z").then("score_second"))
    found = balanced_position(unread)
    assert found["verdict"].to_list() == ["win", None, None]
    assert found["naive_verdict"].to_list() == ["win", "win", None]
    assert found["unread"].to_list() == [0, 0, 1]
    assert found["bpde"].to_list()[2] is None
    assert one[0] == "x"
    rates = balanced_position_rates(found)
    assert dict(rates.select("metric", "value").rows())["balanced_win"] == 1
    assert set(rates["n"]) == {1}
    assert isnan(balanced_position_rates(found.clear())["value"][0])


@settings(max_examples=20)
@given(seed=st.integers(0, 999))
def test_liking_a_place_cancels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.integers(1, 9, (3, 2)).astype(float)
    fair = balanced_position(samples(first.tolist(), first[:, ::-1].tolist()))
    bias = np.array([2.0, 0.0])
    biased = balanced_position(samples((first + bias).tolist(), (first[:, ::-1] + bias).tolist()))
    assert biased["verdict"].to_list() == fair["verdict"].to_list()
    gaps = [f["score_1"][0] - f["score_2"][0] for f in (fair, biased)]
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-12)
    swapped = balanced_position(samples(first[:, ::-1].tolist(), first.tolist()))
    assert swapped["score_1"][0] == pytest.approx(fair["score_2"][0], abs=1e-12)


def test_refused() -> None:
    with pytest.raises(TableError, match="order must be 1 or 2, found 3"):
        balanced_position(samples([[1, 2]], []).with_columns(order=3))
    with pytest.raises(ValueError, match='no column "order"'):
        balanced_position(samples([[1, 2]], []).drop("order"))
    with pytest.raises(TableError, match="a verdict must be a, b or tie; found 'A'"):
        position_consistency(pl.DataFrame({"first_order": ["A"], "second_order": ["a"]}))


def test_consistency_by_hand() -> None:
    two = pl.DataFrame({"first_order": ["a", "a", "tie", "b", None], "second_order": ["a", "b", "tie", "a", "a"]})
    found = position_consistency(two)
    assert dict(found.select("metric", "value").rows()) == {
        "position_consistency": 0.5, "position_bias_to_first": 0.25, "position_bias_to_second": 0.25,
        "conservative_a": 0.25, "conservative_b": 0.0, "conservative_tie": 0.75,
    }  # fmt: skip
    assert set(found["note"]) == {"1 pairs without both verdicts left out"}
    assert found["method"][0] == "Wilson"
    assert isnan(position_consistency(two.clear())["value"][0])


@pytest.mark.real
def test_published_cases(shared_cases: Path) -> None:
    cases = json.loads((shared_cases / "judge_cases.json").read_text(encoding="utf-8"))
    assert len(cases["fair_eval"]["cases"]) == 3
    for case in cases["fair_eval"]["cases"]:
        found = balanced_position(samples(case["original_order_scores"], case["swapped_order_scores_as_shown"]))
        row, want = found.row(0, named=True), case["expected"]
        assert (row["score_1"], row["score_2"]) == pytest.approx((want["score1"], want["score2"]), abs=1e-12)
        assert (row["verdict"], row["naive_verdict"]) == (want["verdict"], want["naive_verdict"])
    shown = {"win": [2.0, 1.0], "lose": [1.0, 2.0], "tie": [1.0, 1.0]}
    for case in cases["fair_eval"]["bpde"]["cases"]:
        half = len(case["verdicts"]) // 2
        first = [shown[v] for v in case["verdicts"][:half]]
        second = [shown[v][::-1] for v in case["verdicts"][half:]]
        assert balanced_position(samples(first, second))["bpde"][0] == pytest.approx(case["bpde"], abs=1e-12)
    case = cases["position_consistency"]
    verdicts = [[v.lower() for v in pair] for pair in case["verdicts"]]
    frame = pl.DataFrame(verdicts, schema=["first_order", "second_order"], orient="row")
    found = dict(position_consistency(frame).select("metric", "value").rows())
    assert found["position_consistency"] == case["consistency"]
    assert found["position_bias_to_first"] == case["bias_to_first"]
    assert found["position_bias_to_second"] == case["bias_to_second"]
    kept = {"A": "conservative_a", "B": "conservative_b", "tie": "conservative_tie"}
    assert {k: found[m] * len(verdicts) for k, m in kept.items()} == case["conservative"]


def test_ratings_against_rankings_by_hand() -> None:
    pairs = pl.DataFrame(
        {
            "score_a": [5.0, 2, 3, 3, 4, None, 4],
            "score_b": [4.0, 4, 3, 3, 2, 1, 3.5],
            "winner": ["a", "a", "tie", "b", "tie", "a", "a"],
        }
    )
    found = rating_ranking_consistency(pairs)
    values = dict(found.select("metric", "value").rows())
    # decided by both: rows 0, 1, 6; same side: 0 and 6
    assert values == pytest.approx(
        {
            "rating_ranking_consistency": 2 / 3, "rating_ranking_inversion": 1 / 3, "both_tie": 1 / 6,
            "tie_in_rating_only": 1 / 6, "tie_in_ranking_only": 1 / 6,
        }
    )  # fmt: skip
    assert found["n"].to_list() == [3, 3, 6, 6, 6]
    assert found["note"][0] == "1 pairs without a rating or a verdict left out"
    wide = dict(rating_ranking_consistency(pairs, margin=0.5).select("metric", "value").rows())
    assert wide["rating_ranking_consistency"] == 0.5
    tied = rating_ranking_consistency(pairs.with_columns(winner=pl.lit("tie")))
    assert (isnan(tied["value"][0]), tied["value"][2]) == (True, pytest.approx(2 / 6))
    with pytest.raises(TableError, match="winner must be a, b or tie; found '1'"):
        rating_ranking_consistency(pairs.with_columns(winner=pl.lit("1")))
    with pytest.raises(ValueError, match="margin must be at least 0"):
        rating_ranking_consistency(pairs, margin=-1)
    grouped = rating_ranking_consistency(pl.concat([pairs] * 9).with_columns(group=pl.int_range(63) % 21))
    assert (grouped["method"][0], grouped["n_units"][0]) == ("Wilson (effective n)", 9)
