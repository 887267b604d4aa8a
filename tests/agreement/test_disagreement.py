from __future__ import annotations

import itertools
import math
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfar_toolkit.agreement.disagreement import item_disagreement


def _frame(items: dict[str, list[str]]) -> pl.DataFrame:
    rows = [(i, f"{i}#{k}", v) for i, values in items.items() for k, v in enumerate(values)]
    return pl.DataFrame(rows, schema=["item_id", "rating_id", "value"], orient="row")


def test_hand_worked() -> None:
    # a: 2 of 3 alike: 1 - 2*1/(3*2) = 2/3.  b: all alike: 0.  c: 2, 2, 1 of 5: 1 - (2 + 2)/20 = 4/5.  d: 1.
    votes = {"a": ["x", "x", "y"], "b": ["x"] * 4, "c": ["x", "x", "y", "y", "z"], "d": ["x", "y"]}
    found = item_disagreement(_frame(votes))
    wanted = [Fraction(2, 3), Fraction(0), Fraction(4, 5), Fraction(1)]
    assert found["item_id"].to_list() == ["a", "b", "c", "d"]
    assert found["n_ratings"].to_list() == [3, 4, 5, 2]
    assert found["disagreement"].to_list() == pytest.approx([float(w) for w in wanted], abs=1e-12)


def test_one_rating_is_undefined() -> None:
    found = item_disagreement(_frame({"a": ["x"]}))
    assert math.isnan(found["disagreement"][0])
    assert found["n_ratings"][0] == 1


def test_a_set_valued_rating_is_one_rating() -> None:
    rows = [("i", "1", "x"), ("i", "1", "y"), ("i", "2", "y"), ("i", "2", "x"), ("i", "3", "x")]
    found = item_disagreement(pl.DataFrame(rows, schema=["item_id", "rating_id", "value"], orient="row"))
    # {x, y}, {x, y}, {x}: one of three pairs agrees.
    assert found.row(0)[1:] == (3, pytest.approx(2 / 3, abs=1e-12))


def test_rows_without_a_value_are_left_out_and_no_rows_are_no_items() -> None:
    frame = _frame({"a": ["x", "y"]}).with_columns(value=pl.lit(None, dtype=pl.String))
    assert item_disagreement(frame).height == 0
    assert item_disagreement(frame).columns == ["item_id", "n_ratings", "disagreement"]


def test_questions_are_not_pooled() -> None:
    frame = _frame({"a": ["x", "y"]}).with_columns(question=pl.Series(["p", "q"]))
    with pytest.raises(ValueError, match=r"^item_disagreement: wanted the annotations of one question, found p, q"):
        item_disagreement(frame)


_votes = st.lists(st.sampled_from("abcd"), min_size=2, max_size=9)


@given(st.lists(_votes, min_size=1, max_size=6))
def test_laws(votes: list[list[str]]) -> None:
    items = {f"i{k}": v for k, v in enumerate(votes)}
    frame = _frame(items)
    found = item_disagreement(frame)
    # Oracle: the share of differing pairs, counted one by one.
    pairs = [list(itertools.combinations(v, 2)) for v in votes]
    assert found["disagreement"].to_list() == pytest.approx([sum(a != b for a, b in p) / len(p) for p in pairs])
    # Order of rows and names of values do not matter.
    assert item_disagreement(frame.sample(fraction=1, shuffle=True, seed=1)).equals(found)
    renamed = frame.with_columns(pl.col("value").replace({"a": "d", "d": "a"}))
    assert item_disagreement(renamed).equals(found)
