"""Leakage-adjusted simulatability, and whether a reason gives its label away."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics import faithfulness as fa


def test_las_is_the_mean_of_both_means() -> None:
    rng = np.random.default_rng(0)
    both, alone, reason = (rng.integers(0, 2, size=50) for _ in range(3))
    gain = both - alone
    wanted = (gain[reason == 1].mean() + gain[reason == 0].mean()) / 2
    found = fa.leakage_adjusted_simulatability(with_both=both, with_input=alone, with_reason=reason, n_boot=100)
    assert found.value == pytest.approx(wanted, abs=1e-12)
    assert found.low < found.value < found.high
    order = rng.permutation(50)
    again = fa.leakage_adjusted_simulatability(
        with_both=both[order], with_input=alone[order], with_reason=reason[order], n_boot=100
    )
    assert again == found
    table = fa.simulatability_table(with_both=both, with_input=alone, with_reason=reason, n_boot=100)
    parts = dict(zip(table["metric"], table["value"], strict=True))
    assert parts["simulatability_leaked"] == pytest.approx(gain[reason == 1].mean())
    assert parts["simulatability_not_leaked"] == pytest.approx(gain[reason == 0].mean())
    assert parts["leaked_share"] == pytest.approx(reason.mean())


@pytest.mark.parametrize(("leaked", "why"), [(1, "every reason gives"), (0, "no reason gives")])
def test_las_without_one_of_the_groups(leaked: int, why: str) -> None:
    found = fa.leakage_adjusted_simulatability(with_both=[1, 0], with_input=[0, 0], with_reason=[leaked] * 2)
    assert math.isnan(found.value)
    assert found.note.startswith(why)


def test_las_leaves_out_what_is_not_known() -> None:
    frame = pl.DataFrame({"correct_both": [1, 0, None], "correct_input": [0, 0, 1], "correct_reason": [1, 0, 1],
                          "group": ["x", "y", "y"]})  # fmt: skip
    found = fa.leakage_adjusted_simulatability(frame, ci=None)
    assert (found.value, found.n) == (0.5, 2)
    assert found.note == "1 of 3 items without all three answers left out"
    with pytest.raises(ValueError, match="with_input must be 0 or 1, found 2"):
        fa.leakage_adjusted_simulatability(with_both=[1], with_input=[2], with_reason=[0])
    assert fa.leakage_adjusted_simulatability(with_both=[], with_input=[], with_reason=[]).note == "no items"


def test_reasons_that_name_their_label() -> None:
    reasons = ["It is ethical.", "Unethical, though some say ethical.", "A lie 😀", "It is unethical."]
    labels = ["ethical", "ethical", "ethical", "ethical"]
    found = fa.named_label_share(reason=reasons, label=labels, options=["ethical", "unethical"])
    assert found.value == 0.5
    assert found.method.startswith("Wilson")
    with pytest.raises(TableError, match="labels must be one of"):
        fa.named_label_share(reason=["x"], label=["other"], options=["ethical", "unethical"])


def test_giveaway() -> None:
    found = fa.giveaway_table(
        label=["a", "a", "a", "b", None], guess=["a", "a", "b", None, "a"], named=[1, 0, 0, None, 0], ci=None
    )
    assert found.select("metric", "value", "n").rows() == [
        ("giveaway_rate", 0.5, 4),
        ("giveaway_over_majority", -0.25, 4),
        ("giveaway_unnamed", 0.5, 2),
    ]
    assert "1 of 5 without a label of the model left out" in found["note"][0]
    bounded = fa.giveaway_table(label=["a"] * 5, guess=["a"] * 5)
    assert bounded["low"][0] == pytest.approx(0.5655, abs=1e-4)  # Wilson at 5 of 5


def test_names_of_equally_frequent_labels_decide_nothing() -> None:
    label, guess = ["a", "a", "b", "b", "c", "d"], ["a", "b", "b", "b", "b", "d"]
    other = {"a": "z", "b": "y", "c": "x", "d": "w"}
    renamed = [[other[one] for one in side] for side in (label, guess)]
    tables = [fa.giveaway_table(label=own, guess=said, n_boot=200) for own, said in ((label, guess), renamed)]
    rows = [table.filter(metric="giveaway_over_majority").row(0, named=True) for table in tables]
    assert rows[0]["value"] == pytest.approx(4 / 6 - 2 / 6)
    assert [rows[0][end] for end in ("low", "high")] == [rows[1][end] for end in ("low", "high")]
    assert [row["note"].split(";")[0] for row in rows] == ["most frequent: 'a', 'b'", "most frequent: 'y', 'z'"]
    (many,) = fa.giveaway_table(label=list("abcde"), guess=list("abcde"), ci=None)["note"].to_list()[1:]
    assert many == "most frequent: 'a', 'b', 'c' and 2 more"
    nobody = fa.giveaway_table(pl.DataFrame({"count": [None], "g": ["a"]}), label="count", guess="g", ci=None)
    assert nobody["value"].is_nan().all()
