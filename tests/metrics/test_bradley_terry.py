"""Bradley-Terry scores: published numbers, the likelihood itself, existence, intervals; verdicts as battles."""

from __future__ import annotations

import json
from math import isnan, log
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import norm

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.judging.bradley_terry import bradley_terry
from dfar_toolkit.metrics.judging.bradley_terry_fit import information
from dfar_toolkit.metrics.judging.pair_verdicts import pair_verdicts

POINTS = 400 / log(10)
# FastChat's 56 battles: a, b, wins of a, wins of b, ties
BATTLES = [("A", "B", 7, 3, 2), ("A", "C", 9, 2, 1), ("B", "C", 6, 4, 0), ("C", "D", 5, 5, 2), ("A", "D", 8, 1, 1)]


def battles(counts: list[tuple[str, str, int, int, int]]) -> pl.DataFrame:
    rows = [
        (a, b, said)
        for a, b, *times in counts
        for said, n in zip(("a", "b", "tie"), times, strict=True)
        for _ in range(n)
    ]
    return pl.DataFrame(rows, schema={"run_a": pl.String, "run_b": pl.String, "winner": pl.String}, orient="row")


def made(seed: int, n: int = 60) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    pairs = [rng.choice(4, size=2, replace=False) for _ in range(n)]
    rows = [(f"run {i}", f"run {j}", str(rng.choice(["a", "b", "tie"], p=[0.5, 0.35, 0.15]))) for i, j in pairs]
    frame = pl.DataFrame(rows, schema=["run_a", "run_b", "winner"], orient="row")
    return frame.with_columns(group=pl.Series(rng.integers(0, 20, n)))


def scores(frame: pl.DataFrame, **how: object) -> dict[str, float]:
    found = bradley_terry(frame, ci=None, **how)  # type: ignore[arg-type]
    return dict(found.select("run_id", "value").rows())


def test_like_choix_and_arena_rank() -> None:
    # choix 0.4.1 ilsr_pairwise, arena-rank 0.1.1: A 1158.4030574, B 1016.7500094, C 922.8650084, D 901.9819248
    expected = {"A": 1158.4030573883892, "B": 1016.7500093825495, "C": 922.8650084179127, "D": 901.9819248111485}
    assert scores(battles(BATTLES)) == pytest.approx(expected, abs=1e-6)
    found = bradley_terry(battles(BATTLES), n_boot=50)
    assert found.row(0, named=True) | {"run_id": "A", "battles": 34, "wins": 24, "losses": 6, "ties": 4, "n": 34} == (
        found.row(0, named=True)
    )


def test_odds_by_hand() -> None:
    # a of b: 3 wins of 4 and 2 ties: odds (3 + 1) / (1 + 1) = 2
    found = scores(battles([("x", "y", 3, 1, 2)]))
    assert found["x"] - found["y"] == pytest.approx(400 * log(2, 10), abs=1e-9)
    assert found["x"] + found["y"] == pytest.approx(2000, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_maximises_the_likelihood(seed: int) -> None:
    frame = made(seed)
    names = sorted(set(frame["run_a"]) | set(frame["run_b"]))
    credit = {"a": 1.0, "b": 0.0, "tie": 0.5}

    def loss(strength: np.ndarray) -> float:
        total = 0.0
        for a, b, said, _ in frame.rows():
            gap = strength[names.index(a)] - strength[names.index(b)]
            total += np.log1p(np.exp(-gap)) * credit[said] + np.log1p(np.exp(gap)) * (1 - credit[said])
        return total + strength.mean() ** 2

    best = minimize(loss, np.zeros(len(names)), tol=1e-12).x
    expected = {name: 1000 + POINTS * (b - best.mean()) for name, b in zip(names, best, strict=True)}
    assert scores(frame) == pytest.approx(expected, abs=2e-3)


@settings(max_examples=20)
@given(seed=st.integers(0, 999))
def test_laws(seed: int) -> None:
    frame = made(seed, n=40)
    found = bradley_terry(frame, n_boot=20)
    shuffled = bradley_terry(frame.sample(fraction=1, shuffle=True, seed=seed), n_boot=20)
    assert shuffled.equals(found, null_equal=True)
    turned = frame.select(
        pl.col("run_b").alias("run_a"), pl.col("run_a").alias("run_b"), "group",
        pl.col("winner").replace({"a": "b", "b": "a"}),
    )  # fmt: skip
    assert bradley_terry(turned, n_boot=20).equals(found, null_equal=True)
    doubled = scores(pl.concat([frame, frame]))
    assert doubled == pytest.approx(scores(frame), abs=1e-6, nan_ok=True)


def test_without_a_way_back_there_is_no_score() -> None:
    frame = battles([*BATTLES, ("A", "unbeaten ☺", 0, 4, 0), ("hopeless", "D", 0, 3, 0), ("x", "y", 1, 1, 0)])
    found = bradley_terry(frame, n_boot=50)
    why = dict(found.filter(pl.col("value").is_nan()).select("run_id", "note").rows())
    assert why == {
        "hopeless": "never won or tied: its score has no lower end",
        "unbeaten ☺": "never lost or tied: its score has no upper end",
        "x": "met none of the runs that are rated",
        "y": "met none of the runs that are rated",
    }
    assert scores(battles(BATTLES)) == pytest.approx({r: v for r, v in scores(frame).items() if r in "ABCD"}, abs=1e-9)
    # two strong ones that only win against two weak ones
    split = bradley_terry(battles([("a", "b", 1, 1, 0), ("c", "d", 1, 2, 0), ("a", "c", 3, 0, 0)]), ci=None)
    assert split.filter(pl.col("value").is_nan())["note"][0] == "only won or only lost against the runs that are rated"
    one_sided = bradley_terry(battles([("a", "b", 2, 0, 0)]))
    assert all(isnan(v) for v in one_sided["value"])
    nothing = bradley_terry(battles([]))
    assert (len(nothing), nothing.columns) == (0, found.columns)


def test_the_sandwich_is_that_of_arena_rank_without_its_ridge() -> None:
    found = bradley_terry(battles(BATTLES), ci="sandwich").sort("run_id")
    errors = (found["high"] - found["low"]).to_numpy() / 2 / norm.ppf(0.975)
    strengths = (found["value"].to_numpy() - 1000) / POINTS
    wins, meat = np.zeros((4, 4)), np.zeros((4, 4))
    for a, b, *times in BATTLES:
        i, j = "ABCD".index(a), "ABCD".index(b)
        for n, credit in zip(times, (1, 0, 0.5), strict=True):
            wins[i, j] += n * credit
            wins[j, i] += n * (1 - credit)
            slope = np.zeros(4)
            slope[i] = credit - 1 / (1 + np.exp(strengths[j] - strengths[i]))
            slope[j] = -slope[i]
            meat += n * np.outer(slope, slope)
    bread = information(wins[None], strengths[None])[0]
    own = np.diag(np.linalg.pinv(bread) @ meat @ np.linalg.pinv(bread)) * POINTS**2
    assert errors**2 == pytest.approx(own, rel=1e-9)
    # arena-rank 0.1.1 adds 1e-5 x battles to the diagonal; its variances are then
    ridged = np.linalg.inv(bread + 1e-5 * 56 * np.eye(4))
    with_ridge = np.diag(ridged @ meat @ ridged) * POINTS**2
    assert with_ridge == pytest.approx(
        [2333.476649499692, 3643.7423006022914, 2182.8901314200666, 3410.089350721323], rel=1e-6
    )


@pytest.mark.real
def test_published_case(shared_cases: Path) -> None:
    case = json.loads((shared_cases / "judge_cases.json").read_text(encoding="utf-8"))["bradley_terry"]
    frame = battles([(c["a"], c["b"], c["a_wins"], c["b_wins"], c["ties"]) for c in case["battles"]])
    choix = case["choix_ilsr_strengths_times_400_over_ln10_centered_plus_1000"]
    assert scores(frame) == pytest.approx(choix, abs=1e-5)
    arena = case["arena_rank_0_1_1"]
    for row in bradley_terry(frame, ci="sandwich").iter_rows(named=True):
        want = arena[row["run_id"]]
        assert row["value"] == pytest.approx(want["rating"], abs=1e-6)
        assert row["high"] - row["low"] == pytest.approx(want["upper"] - want["lower"], rel=2e-4)  # their ridge
    assert scores(frame) == pytest.approx(case["fastchat_compute_bt"], abs=2e-3)  # stops early, as the case says


def test_intervals() -> None:
    frame = made(1, n=300)
    alone = bradley_terry(frame.drop("group"), n_boot=300)
    sandwich = bradley_terry(frame.drop("group"), ci="sandwich")
    widths = [(t["high"] - t["low"]).to_numpy() for t in (alone, sandwich)]
    assert widths[0] == pytest.approx(widths[1], rel=0.2)
    copies = pl.concat([frame.drop("group").with_row_index("group")] * 4)
    for ci in ("bootstrap", "sandwich"):
        grouped = bradley_terry(copies, ci=ci, n_boot=300)
        assert (grouped["unit"][0], grouped["n_units"][0]) == ("groups", 300)
        width = (grouped["high"] - grouped["low"]).to_numpy()
        assert width == pytest.approx(widths[ci == "sandwich"], rel=0.15)
    few = bradley_terry(battles([("x", "y", 3, 1, 0)]), n_boot=200)
    assert "bootstrap draws undefined" in few["note"][0]
    assert isnan(few["low"][0])
    again = bradley_terry(frame, n_boot=30, seed=3)
    assert again.equals(bradley_terry(frame, n_boot=30, seed=3), null_equal=True)


def test_refused() -> None:
    with pytest.raises(TableError, match="winner must be a, b or tie; found 'A'"):
        bradley_terry(pl.DataFrame({"run_a": ["x"], "run_b": ["y"], "winner": ["A"]}))
    with pytest.raises(TableError, match="'x' meets itself"):
        bradley_terry(battles([("x", "x", 1, 0, 0)]))
    with pytest.raises(ValueError, match='no column "winner"'):
        bradley_terry(battles(BATTLES).drop("winner"))
    with pytest.raises(ValueError, match="ci must be"):
        bradley_terry(battles(BATTLES), ci="jackknife")  # type: ignore[arg-type]
    silent = battles(BATTLES).with_columns(pl.when(pl.int_range(pl.len()) > 1).then("winner").alias("winner"))
    assert bradley_terry(silent, ci=None)["note"][0] == "2 battles without a verdict left out"


def test_pair_verdicts() -> None:
    frame = pl.DataFrame(
        {
            "judge_id": ["j"] * 4, "question": ["q"] * 4, "output_id": ["m/1", "n/1", "m/2", "n/2"],
            "other_output_id": ["n/1", "m/1", "n/2", ""], "position": [1, 1, 2, 0], "item_id": ["1", "1", "2", "2"],
            "run_id": ["m", "n", "m", "n"], "value": ["Win ", "loss", "tie", "good"],
        }
    )  # fmt: skip
    outputs = pl.DataFrame({"output_id": ["m/1", "n/1", "m/2", "n/2"], "run_id": ["m", "n", "m", "n"]})
    items = pl.DataFrame({"item_id": ["1", "2"], "group": ["g", "g"]})
    found = pair_verdicts(frame, outputs=outputs, items=items)
    assert found.select("run_a", "run_b", "first", "winner").rows() == [
        ("m", "n", "a", "a"), ("m", "n", "b", "a"), ("m", "n", "b", "tie"),
    ]  # fmt: skip
    assert set(found["group"]) == {"g"}
    assert bradley_terry(found, ci=None)["n_units"][0] == 1
    with pytest.raises(TableError, match="who the other side is must be known"):
        pair_verdicts(frame)
    with pytest.raises(TableError, match="the run of 1 outputs compared is not known"):
        pair_verdicts(frame, outputs=outputs.filter(pl.col("output_id") != "m/1"))
    with pytest.raises(TableError, match="found 'better'"):
        pair_verdicts(frame.with_columns(value=pl.lit("better")), outputs=outputs)
    with pytest.raises(TableError, match="compared with itself"):
        pair_verdicts(frame.with_columns(other_output_id="output_id", value=pl.lit("win")), outputs=outputs)
