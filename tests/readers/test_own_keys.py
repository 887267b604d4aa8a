"""Rows of our own format that hold the own key of an item alone."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.own_keys import with_whole_ids

ITEMS = pl.DataFrame(
    {
        "item_id": ["x:test:q0", "x:test:00017", "x:train:q0", "x:train:a:b", "x:train:t1"],
        "split": ["test", "test", "train", "train", "train"],
        "statement": ["one", "two", "three", "four", "five"],
    }
)


def _ids(*given_ids: str | None, **how: str) -> tuple[list[str | None], tuple[str, ...]]:
    rows = pl.DataFrame({"item_id": given_ids}, schema={"item_id": pl.String})
    found, notes = with_whole_ids(rows, ITEMS, where="f.csv", **how)
    return found["item_id"].to_list(), notes


def test_own_keys_become_whole_ids_and_are_counted() -> None:
    ids, notes = _ids("17", "a:b", "t1 ", "x:test:q0", None)
    assert ids == ["x:test:00017", "x:train:a:b", "x:train:t1", "x:test:q0", None]
    assert notes == ('3 rows matched by the own key of an item (e.g. "17" for "x:test:00017")',)


def test_other_ids_stay_as_they_are() -> None:
    assert _ids("y:test:t1", "test:t1", "b", "") == (["y:test:t1", "test:t1", "b", ""], ())
    rows = pl.DataFrame({"id": ["t1"]})
    assert with_whole_ids(rows, ITEMS, where="f")[0].equals(rows)


def test_a_key_of_several_items_is_refused_unless_the_split_tells() -> None:
    said = (
        r'f.csv: 1 item ids are own keys that several items have: "q0" \(e.g. "q0" could be "x:test:q0", '
        r'"x:train:q0"\); write whole item ids, or choose the split'
    )
    with pytest.raises(TableError, match=said):
        _ids("q0", "t1")
    assert _ids("q0", "17", split="test")[0] == ["x:test:q0", "x:test:00017"]
    assert _ids("q0", "t1", split="test")[0] == ["x:test:q0", "t1"]


def test_a_statement_of_another_item_is_refused() -> None:
    rows = pl.DataFrame({"item_id": ["17", "t1"], "statement": ["two ", "six"]})
    with pytest.raises(TableError, match=r'1 rows name .* e.g. item_id "t1", which would be "x:train:t1"; write'):
        with_whole_ids(rows, ITEMS, where="f.csv")
    assert with_whole_ids(rows.head(1), ITEMS, where="f.csv")[0]["item_id"].to_list() == ["x:test:00017"]


@settings(max_examples=25)
@given(keys=st.lists(st.text("ab01:", min_size=1, max_size=4), min_size=1, max_size=6, unique=True))
def test_whole_ids_are_never_changed(keys: list[str]) -> None:
    ids = [f"s:test:{key}" for key in keys]
    items = pl.DataFrame({"item_id": ids, "split": "test", "statement": keys})
    rows = pl.DataFrame({"item_id": ids})
    found, notes = with_whole_ids(rows, items, where="f")
    assert found.equals(rows)
    assert notes == ()
