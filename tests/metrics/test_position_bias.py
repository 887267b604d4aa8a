"""Consistency under permuted options, position pull, and what is left without it."""

from __future__ import annotations

import json
from itertools import permutations
from math import isnan
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.bias.debiased_labels import debiased_accuracy, debiased_labels
from dfar_toolkit.metrics.bias.position import position_bias, position_consistency

XY = [["x", "y"], ["y", "x"]]


def _two(*answers: tuple[str | None, str | None], **columns: list[object]) -> pl.DataFrame:
    """Each item shown as x, y and as y, x."""
    return pl.DataFrame(
        {
            "item_id": [f"i{k}" for k in range(len(answers)) for _ in range(2)],
            "options": XY * len(answers),
            "label": [a for pair in answers for a in pair],
            **columns,
        },
        schema_overrides={"label": pl.String, "options": pl.List(pl.String)},
    )


def _value(table: pl.DataFrame, metric: str, position: int | None = None) -> float:
    own = table.filter(pl.col("metric") == metric, pl.col("position").eq_missing(pl.lit(position, dtype=pl.Int64)))
    return float(own["value"].item())


@pytest.mark.real
def test_published_case_of_two_orders(shared_cases: Path) -> None:
    case = json.loads((shared_cases / "judge_cases.json").read_text())["position_consistency"]
    verdicts = case["verdicts"]
    frame = pl.DataFrame(
        {
            "item_id": [i for i in range(len(verdicts)) for _ in range(2)],
            "options": [["A", "B"], ["B", "A"]] * len(verdicts),
            "label": [v for pair in verdicts for v in pair],
        }
    )
    table = position_bias(frame, neutral=["tie"], ci=None)
    assert _value(table, "position_consistency") == case["consistency"]
    assert _value(table, "always_at", 1) == case["bias_to_first"]
    assert _value(table, "always_at", 2) == case["bias_to_second"]
    one = debiased_labels(frame, neutral=["tie"], rule="unanimous")["label"].fill_null("tie")
    assert dict(one.value_counts().iter_rows()) == case["conservative"]


def test_two_orders_by_hand() -> None:
    # Item 0 always x; items 1 and 2 whatever stands first; item 3 whatever stands second.
    frame = _two(("x", "x"), ("x", "y"), ("x", "y"), ("y", "x"))
    table = position_bias(frame, n_boot=50)
    assert _value(table, "position_consistency") == 0.25
    assert _value(table, "position_share", 1) == (0.5 + 1 + 1 + 0) / 4
    assert _value(table, "position_excess", 1) == 0.125
    assert [_value(table, "always_at", j) for j in (1, 2)] == [0.5, 0.25]
    # Excesses 0, 1/2, 1/2, -1/2: |sum| at least 1/2 in all 8 patterns of signs.
    assert _value(table, "position_pull_p") == 1.0


def test_exact_test_of_items_that_all_follow_the_first_position() -> None:
    table = position_bias(_two(*[("x", "y")] * 6), ci=None)
    assert _value(table, "position_pull_p") == 2 / 2**6


def test_excess_is_the_share_less_its_mean_over_all_deals_of_the_answers() -> None:
    # Three orders of three options that do not rotate; the answers dealt to the orders in all 6 ways.
    orders = [["a", "b", "c"], ["a", "c", "b"], ["b", "a", "c"]]
    answers = ["a", "c", "b"]
    frame = pl.DataFrame({"item_id": ["i"] * 3, "options": orders, "label": answers})
    deals = [[order.index(a) for order, a in zip(orders, dealt, strict=True)] for dealt in permutations(answers)]
    expected = np.array([[np.mean(np.array(d) == j) for j in range(3)] for d in deals]).mean(axis=0)
    table = position_bias(frame, ci=None)
    real = [np.mean([o.index(a) == j for o, a in zip(orders, answers, strict=True)]) for j in range(3)]
    assert [_value(table, "position_share", j + 1) for j in range(3)] == pytest.approx(real, abs=1e-12)
    found = [_value(table, "position_excess", j + 1) for j in range(3)]
    assert found == pytest.approx(list(real - expected), abs=1e-12)


def test_rotations_compare_with_equal_shares() -> None:
    orders = [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]
    frame = pl.DataFrame({"item_id": ["i"] * 3, "options": orders, "label": ["a", "b", "a"]})
    table = position_bias(frame, ci=None)
    assert [_value(table, "position_excess", j) for j in (1, 2, 3)] == pytest.approx([1 / 3, 0, -1 / 3], abs=1e-12)


def test_debiased_by_probabilities_vote_and_unanimity() -> None:
    frame = _two(("x", "y"), ("x", "x"), probs=[[0.9, 0.1], [0.6, 0.4], [1.0, 1.0], [0.5, 1.5]])
    # Item 0: x (.9 + .4)/2; item 1: renormalised x .5 and, as x stands second, .75.
    by_probs = debiased_labels(frame, probs="probs")
    assert by_probs["label"].to_list() == ["x", "x"]
    assert by_probs["label_probs"].to_list()[0] == pytest.approx([0.65, 0.35], abs=1e-12)
    assert by_probs["label_probs"].to_list()[1] == pytest.approx([0.625, 0.375], abs=1e-12)
    assert debiased_labels(frame)["label"].to_list() == [None, "x"]
    assert debiased_labels(frame, rule="unanimous")["label"].to_list() == [None, "x"]
    assert by_probs.select("n_orders", "n_answers", "same", "always_at").rows() == [
        (2, 2, False, 1),
        (2, 1, True, None),
    ]


def test_equal_mean_probabilities_decide_nothing_and_are_wrong() -> None:
    frame = _two(("x", "y"), probs=[[0.75, 0.25], [0.75, 0.25]], gold=["x", "x"])
    assert debiased_labels(frame, probs="probs")["label"].to_list() == [None]
    table = debiased_accuracy(frame, gold="gold", probs="probs", ci=None)
    assert _value(table, "debiased_accuracy") == 0.0
    assert "1 items undecided by mean_probs" in table["note"][0]


def test_debiased_accuracy_by_hand() -> None:
    frame = _two(("x", "y"), ("y", "y"), ("x", None), gold=["x", "x", "y", "y", "x", "x"])
    table = debiased_accuracy(frame, gold="gold", n_boot=50)
    # Votes: tied (wrong), y (right), x (right). Single orders: 1/2, 1, 1/2.
    assert _value(table, "debiased_accuracy") == pytest.approx(2 / 3, abs=1e-12)
    assert _value(table, "single_order_accuracy") == pytest.approx(2 / 3, abs=1e-12)
    assert _value(table, "debiased_gain") == pytest.approx(0, abs=1e-12)
    # Gold first: x of item 0 right, y of item 1 (second order) right, x of item 2 right; gold second: only item 1.
    assert _value(table, "accuracy_gold_at", 1) == 1.0
    assert _value(table, "accuracy_gold_at", 2) == pytest.approx(1 / 3, abs=1e-12)


def test_what_is_left_out_is_counted() -> None:
    frame = pl.concat([_two(("x", "x"), ("x", None)), _two(("x", "x")).head(1).with_columns(item_id=pl.lit("lone"))])
    found = position_consistency(frame)
    assert (found.value, found.n) == (1.0, 1)
    assert "1 of 2 items not answered in every order" in found.note
    assert "1 of 3 items shown in one order only" in found.note
    nothing = position_bias(frame.filter(pl.col("item_id") == "lone"))
    assert nothing["value"].is_nan().all()
    assert isnan(position_consistency(frame.clear()).value)


def test_groups_are_the_unit() -> None:
    frame = _two(*[("x", "y"), ("x", "x")] * 10).with_columns(group=pl.col("item_id").str.slice(1).cast(pl.Int64) // 4)
    found = position_bias(frame, n_boot=100)
    assert set(found["unit"]) == {"groups"}
    assert found["n_units"].to_list() == [5] * len(found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": ["x", "z"]}, "answer what is no option"),
        ({"options": [["x", "y"], ["y", "z"]]}, "are not permutations of one set"),
        ({"options": [["x", "y"], ["x", "y"]]}, "show an order of an item a second time"),
        ({"options": [["x", "x"], ["y", "x"]]}, "name an option twice"),
        ({"item_id": [None, None]}, "have no item"),
        ({"group": ["a", "b"]}, "have another group"),
    ],
)
def test_refusals(change: dict[str, list[object]], message: str) -> None:
    frame = _two(("x", "x")).with_columns(**{c: pl.Series(v) for c, v in change.items()})
    with pytest.raises(TableError, match=message):
        position_bias(frame)


def test_refusals_of_arguments_and_probabilities() -> None:
    with pytest.raises(ValueError, match='no column "order"'):
        position_consistency(_two(("x", "x")), options="order")
    with pytest.raises(ValueError, match="rule mean_probs needs probs"):
        debiased_labels(_two(("x", "x")), rule="mean_probs")
    with pytest.raises(TableError, match="positive sum"):
        debiased_labels(_two(("x", "x"), probs=[[0.0, 0.0], [0.5, 0.5]]), probs="probs")
    with pytest.raises(TableError, match="do not fit the options"):
        debiased_labels(_two(("x", "x"), probs=[[0.5], [0.5]]), probs="probs")
    three = pl.DataFrame({"item_id": ["j"], "options": [["x", "y", "z"]], "label": ["x"]})
    with pytest.raises(TableError, match="same number of options, found 2, 3"):
        position_bias(pl.concat([_two(("x", "x")), three]))


@settings(max_examples=5)
@given(st.lists(st.tuples(*[st.sampled_from(["x", "y", None])] * 2), min_size=1, max_size=8))
def test_row_order_and_names_never_matter(answers: list[tuple[str | None, str | None]]) -> None:
    frame = _two(*answers)
    turned = frame.sample(fraction=1, shuffle=True, seed=len(answers))
    assert position_bias(frame, n_boot=20).equals(position_bias(turned, n_boot=20))
    names = {"x": "zürich 🙂", "y": "a b"}
    renamed = frame.with_columns(
        pl.col("label").replace(names), pl.col("options").list.eval(pl.element().replace(names))
    )
    assert position_bias(renamed, ci=None)["value"].to_list() == pytest.approx(
        position_bias(frame, ci=None)["value"].to_list(), nan_ok=True, abs=1e-12
    )
