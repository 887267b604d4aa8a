"""Length-controlled win rates: AlpacaEval's synthetic case, scikit-learn, the likelihood's laws, separation."""

from __future__ import annotations

import json
from math import isnan, tanh
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import root
from sklearn.linear_model import LogisticRegression

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.judging.length_control import length_controlled_win_rate, win_rate

LENGTHS = [120, 200, 80, 150, 300, 90, 110, 60, 400, 130, 170, 210]
OTHERS = [180, 150, 160, 300, 280, 200, 100, 140, 380, 260, 150, 330]
PREFERRED = [0.8, 0.3, 0.9, 0.95, 0.4, 0.85, 0.45, 0.7, 0.35, 0.9, 0.4, 0.75]  # of the second answer


def sigmoid(z: np.ndarray | float) -> np.ndarray | float:
    return 1 / (1 + np.exp(-np.asarray(z)))


def made(seed: int, n: int = 60) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    own, other = rng.integers(20, 300, n), rng.integers(20, 300, n)
    chance = sigmoid(0.4 + np.tanh((own - other) / 100))
    return pl.DataFrame(
        {
            "preference": (rng.random(n) < chance).astype(float),
            "length": own,
            "other_length": other,
            "group": rng.integers(0, 15, n),
        }
    )


def fitted(preference: list[float], x: np.ndarray, penalty: float) -> np.ndarray:
    """Zero of the gradient of the penalised likelihood; the signs of both coefficients are taken as (+, +)."""

    def slope(c: np.ndarray) -> np.ndarray:
        left = np.asarray(preference) - sigmoid(c[0] + c[1] * x)
        return np.array([left.sum() - penalty, (left * x).sum() - penalty])

    return np.asarray(root(slope, np.zeros(2), tol=1e-13).x)


def test_alpaca_eval_but_for_its_penalty() -> None:
    # alpaca_eval 0.6.6, L1 with C = 100: intercept .06753358126, slope 1.78570136 of tanh, 51.687698144591984 %
    delta = np.array(OTHERS) - np.array(LENGTHS)
    x = np.tanh(delta / delta.std(ddof=1))
    found = length_controlled_win_rate(preference=PREFERRED, length=OTHERS, other_length=LENGTHS, n_boot=200)
    assert found.value == pytest.approx(sigmoid(fitted(PREFERRED, x, 0.0)[0]), abs=1e-12)
    assert found.note == "effect of length +1.80 (tanh of the standardised difference)"
    with_penalty = fitted(PREFERRED, x, 1 / 100)
    assert with_penalty == pytest.approx([0.06753358126, 1.78570136], abs=2e-4)  # liblinear stops early
    assert sigmoid(with_penalty[0]) == pytest.approx(0.51687698144591984, abs=5e-5)
    assert found.value == pytest.approx(0.51687698144591984, abs=2e-3)
    assert found.low < found.value < found.high
    assert win_rate(preference=PREFERRED, ci=None).value == pytest.approx(0.6458333333333334, abs=1e-12)


@pytest.mark.real
def test_published_case(shared_cases: Path) -> None:
    case = json.loads((shared_cases / "judge_cases.json").read_text(encoding="utf-8"))["alpaca_eval_synthetic"]
    preferred = case["preference_for_model2"]
    found = length_controlled_win_rate(preference=preferred, length=case["len_2"], other_length=case["len_1"], ci=None)
    assert 100 * found.value == pytest.approx(case["lc_winrate"], abs=0.2)
    assert 100 * win_rate(preference=preferred, ci=None).value == pytest.approx(case["raw_winrate"], abs=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_like_scikit_learn_without_a_penalty(seed: int) -> None:
    frame = made(seed)
    delta = (frame["length"] - frame["other_length"]).to_numpy().astype(float)
    x = np.tanh(delta / delta.std(ddof=1))[:, None]
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, frame["preference"].to_numpy())
    found = length_controlled_win_rate(frame, ci=None)
    assert found.value == pytest.approx(float(sigmoid(model.intercept_[0])), abs=1e-6)


@settings(max_examples=15)
@given(seed=st.integers(0, 999))
def test_laws(seed: int) -> None:
    frame = made(seed, n=40)
    found = length_controlled_win_rate(frame, n_boot=20)
    shuffled = frame.sample(fraction=1, shuffle=True, seed=seed)
    assert str(length_controlled_win_rate(shuffled, n_boot=20)) == str(found)
    sides = frame.select(
        preference=1 - pl.col("preference"), length="other_length", other_length="length", group="group"
    )
    mirrored = length_controlled_win_rate(sides, ci=None)
    assert mirrored.value == pytest.approx(1 - found.value, abs=1e-9)
    longer = length_controlled_win_rate(frame.with_columns(pl.col("length", "other_length") * 7), ci=None)
    assert longer.value == pytest.approx(found.value, abs=1e-9)


def test_two_lengths_by_hand() -> None:
    # delta -1 and 1, three each: the fit goes through both means, 1/3 and 2/3, so half way on the logit scale: 1/2
    even = length_controlled_win_rate(
        preference=[0, 0, 1, 1, 1, 0], length=[1] * 3 + [3] * 3, other_length=[2] * 6, ci=None
    )
    assert even.value == pytest.approx(1 / 2, abs=1e-12)
    sd = (6 / 5) ** 0.5
    assert even.note.startswith(f"effect of length {2 * np.log(2) / 2 / tanh(1 / sd):+.2f}")


def test_no_finite_maximum() -> None:
    separated = length_controlled_win_rate(
        preference=[0, 0, 0, 1, 1, 1], length=[1, 2, 3, 7, 8, 9], other_length=[5] * 6
    )
    assert isnan(separated.value)
    assert separated.note.startswith("no finite maximum")
    always = length_controlled_win_rate(preference=[1] * 6, length=[1, 2, 3, 7, 8, 9], other_length=[5] * 6)
    assert isnan(always.value)
    assert isnan(length_controlled_win_rate(preference=[0, 1, 1], length=[4, 4, 4], other_length=[2, 2, 2]).value)
    assert isnan(length_controlled_win_rate(preference=[0.5], length=[4], other_length=[2]).value)
    none = length_controlled_win_rate(preference=[], length=[], other_length=[])
    assert (isnan(none.value), none.note) == (True, "no items")
    few = length_controlled_win_rate(
        preference=[0, 1, 1, 0], length=[3, 4, 9, 8], other_length=[5, 5, 5, 5], n_boot=200
    )
    assert "bootstrap draws undefined" in few.note


def test_groups_and_gaps() -> None:
    frame = made(3, n=80)
    alone = length_controlled_win_rate(frame.drop("group"), n_boot=200)
    copies = length_controlled_win_rate(pl.concat([frame.with_columns(group=pl.int_range(80))] * 4), n_boot=200)
    assert (copies.unit, copies.n_units, copies.n) == ("groups", 80, 320)
    # 4 copies change n - 1 under the sd a little, and the interval hardly
    assert copies.value == pytest.approx(alone.value, abs=1e-2)
    assert copies.high - copies.low == pytest.approx(alone.high - alone.low, rel=0.2)
    gaps = frame.with_columns(length=pl.when(pl.int_range(pl.len()) > 4).then("length"))
    assert "5 items without a preference or a length left out" in length_controlled_win_rate(gaps, n_boot=20).note
    with pytest.raises(TableError, match=r"a preference must lie in \[0, 1\], found 2"):
        win_rate(preference=[0.5, 2])
    with pytest.raises(TableError, match="a length is below 0"):
        length_controlled_win_rate(preference=[0.5], length=[-1], other_length=[2])
    with pytest.raises(ValueError, match='no column "length" for length'):
        length_controlled_win_rate(frame.drop("length"))
    with pytest.raises(ValueError, match="length has 1 values for 2 items"):
        length_controlled_win_rate(preference=[0.5, 1], length=[1], other_length=[2, 3])


def test_many_items_are_linearised() -> None:
    frame = made(5, n=5100).drop("group")
    found = length_controlled_win_rate(frame)
    drawn = length_controlled_win_rate(frame.with_columns(group=pl.int_range(5100) // 2), n_boot=150)
    assert (found.method, drawn.method) == ("linearised", "bootstrap")
    assert found.value == pytest.approx(drawn.value, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((drawn.low, drawn.high), abs=0.003)
    assert length_controlled_win_rate(frame, ci=None).method == "none"
