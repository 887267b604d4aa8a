"""Rogan-Gladen by hand, as a law, and where it has no value."""

from __future__ import annotations

import json
from math import isnan, nan
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.metrics.judging.rogan_gladen import rogan_gladen, rogan_gladen_rate


def test_by_hand() -> None:
    # sens 2/3, spec 3/4, the judge calls 5 of 12 bad: (5/12 + 3/4 - 1) / (2/3 + 3/4 - 1) = (1/6) / (5/12) = 2/5
    human = [1, 1, 1, 0, 0, 0, 0, *[nan] * 5]
    judge = [1, 1, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0]
    found = rogan_gladen(human=human, judge=judge, ci=None)
    assert found.value == pytest.approx(2 / 5, abs=1e-12)
    assert (found.n, found.note) == (12, "7 of 12 rows judged by people")
    # Twice the chance for those the judge calls bad: sens 4 / (4 + 4) = 1/2, spec 12 / (12 + 2) = 6/7
    chances = [0.5 if j else 0.25 for j in judge]
    weighted = rogan_gladen(human=human, judge=judge, inclusion_prob=chances, ci=None)
    assert weighted.value == pytest.approx((5 / 12 + 6 / 7 - 1) / (1 / 2 + 6 / 7 - 1), abs=1e-12)


@pytest.mark.real
def test_published_case(shared_cases: Path) -> None:
    case = json.loads((shared_cases / "judge_cases.json").read_text(encoding="utf-8"))["rogan_gladen"]["case1"]
    found = rogan_gladen_rate(case["apparent"], case["sensitivity"], case["specificity"])
    assert found == pytest.approx(case["rogan_gladen"], abs=1e-12)


@settings(max_examples=20)
@given(seed=st.integers(0, 999))
def test_laws(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.permutation([1.0] * 12 + [0.0] * 18)
    f = np.where(rng.random(30) < 0.85, y, 1 - y)
    everybody = rogan_gladen(human=y, judge=f, ci=None)
    assert everybody.value == pytest.approx(12 / 30, abs=1e-12) or isnan(everybody.value)
    frame = pl.DataFrame({"human": np.where(rng.random(30) < 0.6, y, nan), "judge": f})
    own = rogan_gladen(frame, n_boot=40)
    assert str(rogan_gladen(frame.sample(fraction=1, shuffle=True, seed=seed), n_boot=40)) == str(own)
    assert isnan(own.value) or 0 <= own.low <= own.high <= 1 or isnan(own.low)


def test_a_judge_that_says_nothing_is_not_divided_by() -> None:
    assert isnan(rogan_gladen_rate(0.3, 0.5, 0.5))
    assert isnan(rogan_gladen_rate(0.3, 0.6, 0.45))
    assert rogan_gladen_rate(0.1, 0.9, 0.8) == 0.0  # below 0, cut
    coin = rogan_gladen(human=[1, 1, 0, 0], judge=[1, 0, 1, 0])
    assert coin.note == (
        "sensitivity 0.50 + specificity 0.50 - 1 is below 0.1: the judge says too little; 4 of 4 rows judged by people"
    )
    alike = rogan_gladen(human=[1, 1, nan], judge=[1, 0, 1])
    assert (isnan(alike.value), alike.note.split(":")[0]) == (True, "people call every row bad")
    assert rogan_gladen(human=[nan], judge=[1]).note.startswith("people judged no row")
    assert isnan(rogan_gladen(human=[], judge=[]).value)
    weak = rogan_gladen(human=[1, 1, 0, 0, 0] * 4, judge=[1, 0, 1, 0, 0] * 4, n_boot=200)
    assert "bootstrap draws undefined" in weak.note
    assert isnan(weak.low)


def test_groups_change_the_interval() -> None:
    rng = np.random.default_rng(2)
    y = np.repeat(rng.random(60) < 0.4, 4).astype(float)
    f = np.where(np.repeat(rng.random(60) < 0.9, 4), y, 1 - y)
    alone = rogan_gladen(human=y, judge=f, n_boot=200)
    grouped = rogan_gladen(human=y, judge=f, group=np.repeat(np.arange(60), 4), n_boot=200)
    assert grouped.value == alone.value
    assert grouped.high - grouped.low > 1.4 * (alone.high - alone.low)
    assert (grouped.unit, grouped.n_units) == ("groups", 60)


def test_few_verdicts_of_one_kind_are_said() -> None:
    y = np.array([1.0] * 6 + [0.0] * 54)
    found = rogan_gladen(human=y, judge=np.roll(y, 1), n_boot=200)
    assert found.note.endswith("fewer than 10 bad human verdicts: the interval is too short")
    many = rogan_gladen(human=np.repeat(y, 2), judge=np.repeat(np.roll(y, 1), 2), n_boot=200)
    assert many.note == "120 of 120 rows judged by people"
