from __future__ import annotations

import itertools
import math
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfar_toolkit.agreement.disagreement import item_disagreement
from dfar_toolkit.errors import TableError


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
    assert found.select("n_ratings", "disagreement", "n_values").row(0) == (3, pytest.approx(2 / 3, abs=1e-12), 2)


def test_rows_without_a_value_are_left_out_and_no_rows_are_no_items() -> None:
    frame = _frame({"a": ["x", "y"]}).with_columns(value=pl.lit(None, dtype=pl.String))
    assert item_disagreement(frame).height == 0
    assert item_disagreement(frame).columns == ["item_id", "n_ratings", "disagreement", "entropy", "n_values"]


def test_entropy_in_nats_by_hand() -> None:
    # a: shares 2/3, 1/3: ln 3 - (2/3) ln 2.  b: all alike, exactly 0.  c: 2/5, 2/5, 1/5.  d: one rating, undefined.
    found = item_disagreement(_frame({"a": ["x", "x", "y"], "b": ["x"] * 4, "c": list("xxyyz"), "d": ["x"]}))
    assert found["entropy"][0] == pytest.approx(math.log(3) - 2 / 3 * math.log(2), abs=1e-12)
    assert str(found["entropy"][1]) == "0.0"
    assert found["entropy"][2] == pytest.approx(-0.8 * math.log(0.4) - 0.2 * math.log(0.2), abs=1e-12)
    assert math.isnan(found["entropy"][3])
    assert found["n_values"].to_list() == [2, 1, 3, 1]


def test_entropy_grows_with_the_number_of_ratings_and_disagreement_does_not() -> None:
    # Fair coins: the mean over all outcomes of n throws. The entropy of the coin is ln 2 = .693, its disagreement 1/2.
    means = []
    for n in (2, 3, 6):
        outcomes = {"".join(o): list(o) for o in itertools.product("ht", repeat=n)}
        means.append(item_disagreement(_frame(outcomes)).select("disagreement", "entropy").mean().row(0))
    assert [mean[0] for mean in means] == pytest.approx([0.5] * 3, abs=1e-12)
    assert means[0][1] < means[1][1] < means[2][1] < math.log(2)
    assert means[0][1] == pytest.approx(math.log(2) / 2, abs=1e-12)


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
    shares = [[v.count(c) / len(v) for c in set(v)] for v in votes]
    assert found["entropy"].to_list() == pytest.approx([-sum(p * math.log(p) for p in s) for s in shares], abs=1e-12)
    # Order of rows and names of values do not matter.
    assert item_disagreement(frame.sample(fraction=1, shuffle=True, seed=1)).equals(found)
    renamed = frame.with_columns(pl.col("value").replace({"a": "d", "d": "a"}))
    assert item_disagreement(renamed).equals(found)


def test_triples_and_frames_of_others_and_rows_without_rating_ids() -> None:
    rows = [("x", "a", 1), ("x", "b", 2), ("y", "a", 1), ("y", "b", 1)]
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    expected = [1.0, 0.0]
    for form in (rows, frame, frame.lazy(), frame.to_pandas(), frame.to_arrow()):
        assert item_disagreement(form)["disagreement"].to_list() == expected
    with pytest.raises(TableError, match='item_disagreement needs the column "value"'):
        item_disagreement(frame.drop("value"))
