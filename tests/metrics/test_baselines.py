"""Constant predictors and the label mix."""

from __future__ import annotations

from math import isnan

import polars as pl
import pytest

from dfar_toolkit import metrics
from dfar_toolkit.errors import TableError


def test_majority_and_minority_by_hand() -> None:
    gold = ["a", "b", "a", "c", "a", "b"]  # 3, 2, 1 of 6
    found = metrics.majority_baseline(gold=gold)
    assert (found.value, found.note) == (0.5, 'always "a"')
    assert metrics.minority_baseline(gold=gold).value == pytest.approx(1 / 6, abs=1e-12)
    assert metrics.minority_baseline(gold=gold).note == 'always "c"'


def test_ties_are_named_in_the_order_of_the_options() -> None:
    assert metrics.majority_baseline(gold=["a", "b"], options=["b", "a"]).note == 'always "b"; tied with "a"'


def test_an_option_that_no_item_has_is_the_minority() -> None:
    found = metrics.minority_baseline(gold=["a", "a"], options=["a", "b"])
    assert (found.value, found.note) == (0.0, 'always "b"')
    assert found.high > 0


def test_is_the_accuracy_of_the_constant_predictor() -> None:
    frame = pl.DataFrame({"label": list("aabab"), "label_pred": ["a"] * 5, "group": list("xxyyz")})
    constant, baseline = metrics.accuracy(frame), metrics.majority_baseline(frame)
    assert (baseline.value, baseline.low, baseline.high) == (constant.value, constant.low, constant.high)


def test_label_shares_add_up_and_keep_the_order_of_options() -> None:
    found = metrics.label_shares(gold=["a", "b", "b"], options=["c", "b", "a"])
    assert found["label"].to_list() == ["c", "b", "a"]
    assert found["value"].to_list() == pytest.approx([0, 2 / 3, 1 / 3], abs=1e-12)


def test_no_items_and_null_gold() -> None:
    assert isnan(metrics.majority_baseline(gold=[]).value)
    assert metrics.majority_baseline(gold=[]).note == "no items"
    assert metrics.label_shares(gold=[]).height == 0
    with pytest.raises(TableError, match="majority_baseline: every item needs a gold label; 1 of 2"):
        metrics.majority_baseline(gold=["a", None])
    with pytest.raises(TableError, match="label_shares: labels must be one of a; found 'b'"):
        metrics.label_shares(gold=["a", "b"], options=["a"])
