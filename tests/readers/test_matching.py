"""Rows of other tools find their items by key, by text, and by position only if asked."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import foreign_rows
from dfar_toolkit.readers.matching import WAYS, match_items

DESK = "I deserve the desk in the classroom because I am "


def _items(statements: list[str], *, split: str = "test", contexts: list[list[str]] | None = None) -> pl.DataFrame:
    given_contexts = contexts or [[] for _ in statements]
    context = [[{"field": "c", "role": "c", "text": t} for t in texts] for texts in given_contexts]
    struct = pl.Struct({"field": pl.String, "role": pl.String, "text": pl.String})
    return pl.DataFrame(
        {
            "item_id": [f"dfar:{split}:{k:05d}" for k in range(len(statements))],
            "split": [split] * len(statements),
            "statement": statements,
            "context": context,
        },
        schema_overrides={"statement": pl.String, "context": pl.List(struct)},
    )


THREE = _items([DESK + "the janitor.", DESK + "the teacher.", "=cmd()"])


def test_key_before_text() -> None:
    rows = foreign_rows([{"key": "dfar:test:00001", "texts": [DESK + "the janitor."]}, {"texts": ["\t=cmd() \n"]}])
    found = match_items(rows, THREE)
    assert found.rows["item_id"].to_list() == ["dfar:test:00001", "dfar:test:00002"]
    assert found.rows["matched_by"].to_list() == ["key", "text"]
    assert {way: count for way, count in found.by.items() if count} == {"key": 1, "text": 1}
    assert list(found.by) == [*WAYS, "ambiguous", "unmatched"]
    assert found.notes == ("rows matched with items: 1 by key, 1 by text",)


def test_an_item_id_among_the_texts_is_a_key() -> None:
    rows = foreign_rows([{"key": "7", "texts": ["dfar:test:00002", "ethical"]}])
    assert match_items(rows, THREE).rows.select("item_id", "matched_by").row(0) == ("dfar:test:00002", "key")


def test_the_last_part_of_an_id_needs_the_split() -> None:
    rows = foreign_rows([{"key": "1"}, {"key": "0002"}])
    assert match_items(rows, THREE).by["unmatched"] == 2
    found = match_items(rows, THREE, split="test")
    assert found.rows["item_id"].to_list() == ["dfar:test:00001", "dfar:test:00002"]
    assert found.by["own_key"] == 2
    assert "keys were taken for the last parts of the item ids" in found.notes


def test_last_parts_that_repeat_are_no_keys() -> None:
    both = pl.concat([THREE, THREE.with_columns(item_id=pl.col("item_id").str.replace("dfar", "other"))])
    found = match_items(foreign_rows([{"key": "1"}]), both, split="test")
    assert found.by["unmatched"] == 1
    assert found.notes[1] == "keys were not taken for the last parts of the item ids, which are not unique"


def test_an_id_with_other_signs_between_its_parts() -> None:
    found = match_items(foreign_rows([{"key": "dfar-test-2"}, {"key": "dfar-test-3"}]), THREE)
    assert found.rows.select("item_id", "matched_by").rows() == [("dfar:test:00002", "spelt_key")]
    assert found.unmatched["key"].to_list() == ["dfar-test-3"]


def test_keys_that_count_from_one_are_not_taken_where_the_texts_say_otherwise() -> None:
    rows = foreign_rows([{"key": "1", "texts": [DESK + "the janitor."]}, {"key": "2"}])
    found = match_items(rows, THREE, split="test")
    assert found.rows.select("item_id", "matched_by").rows() == [("dfar:test:00000", "text")]
    assert found.by["unmatched"] == 1
    assert "in 1 of 1 rows with a known text it is not the statement of the item that the key names" in found.notes[1]


def test_a_text_that_items_share_is_ambiguous_unless_a_context_tells() -> None:
    items = _items(["No.", "No.", "No."], contexts=[["Shall we?"], ["Must we?"], []])
    texts = [["No."], ["No.", "Must we? "], ["No.", "Shall we?", "Must we?"]]
    rows = foreign_rows([{"texts": t} for t in texts])
    found = match_items(rows, items)
    assert found.rows.select("position", "item_id").rows() == [(1, "dfar:test:00001")]
    assert found.by["ambiguous"] == 2
    assert found.unmatched["why"].str.starts_with("ambiguous").all()


def test_the_same_statement_in_two_splits_needs_the_split() -> None:
    both = pl.concat([THREE, THREE.with_columns(item_id=pl.col("item_id").str.replace("test", "train"),
                                                split=pl.lit("train"))])  # fmt: skip
    rows = foreign_rows([{"texts": ["=cmd()"]}])
    assert match_items(rows, both).by["ambiguous"] == 1
    assert match_items(rows, both, split="train").rows["item_id"].to_list() == ["dfar:train:00002"]
    with pytest.raises(TableError, match='no split "dev"; found "test", "train"'):
        match_items(rows, both, split="dev")


def test_text_is_matched_letter_for_letter() -> None:
    rows = foreign_rows([{"texts": [t]} for t in ("=CMD()", "=cmd() .", "", "  ", "the =cmd()")])
    found = match_items(rows, THREE)
    assert found.by["unmatched"] == 5


def test_what_is_not_matched_is_listed_and_cut() -> None:
    rows = foreign_rows([{"key": "__proto__", "texts": ["x" * 100]}, {"texts": None}])
    lost = match_items(rows, THREE).unmatched
    assert lost.columns == ["position", "key", "text", "why"]
    assert lost["text"].to_list() == ["x" * 79 + "…", None]
    assert lost["key"].to_list() == ["__proto__", None]


def test_position_only_if_asked_and_only_if_the_counts_agree() -> None:
    rows = foreign_rows([{"position": p, "sample": s} for p in (4, 9, 7) for s in (0, 1)])
    assert match_items(rows, THREE).by["position"] == 0
    found = match_items(rows, THREE, split="test", by_position=True)
    assert found.rows["item_id"].str.tail(1).to_list() == ["0", "0", "2", "2", "1", "1"]
    assert found.by["position"] == 6
    with pytest.raises(TableError, match='found 2 positions in the file and 3 items in the split "test"'):
        match_items(rows.head(4), THREE, split="test", by_position=True)
    with pytest.raises(TableError, match="Give the split"):
        match_items(rows.head(4), THREE, by_position=True)


def test_positions_may_not_contradict_texts() -> None:
    rows = foreign_rows([{"texts": ["=cmd()"]}, {}, {}])
    with pytest.raises(TableError, match=r"positions do not follow the items: 1 rows .* is item"):
        match_items(rows, THREE, by_position=True)
    agree = foreign_rows([{}, {}, {"texts": ["=cmd()"]}])
    assert match_items(agree, THREE, by_position=True).rows["matched_by"].to_list() == ["position", "position", "text"]


def test_no_rows() -> None:
    found = match_items(foreign_rows([]), THREE)
    assert found.rows.height == found.unmatched.height == 0
    assert found.notes == ("no row matched an item: no rows",)


@settings(max_examples=20)
@given(order=st.permutations(range(6)), keyed=st.lists(st.booleans(), min_size=6, max_size=6))
def test_the_order_of_rows_and_items_never_counts(order: list[int], keyed: list[bool]) -> None:
    items = _items([f"statement {k} 😀" for k in range(6)])
    rows = foreign_rows(
        [{"key": f"dfar:test:{k:05d}"} if key else {"texts": [f" statement {k} 😀"]} for k, key in enumerate(keyed)]
    )
    found = match_items(rows[order], items.sample(fraction=1, shuffle=True, seed=1))
    assert found.rows["item_id"].to_list() == [f"dfar:test:{k:05d}" for k in order]
    assert sum(found.by[way] for way in WAYS) == 6


@pytest.mark.real
def test_published_statements_are_ambiguous_where_they_leak(shared_data: Path) -> None:
    """189 test statements stand word for word in the training file (reference 1.2)."""
    parts = []
    for split in ("train", "test"):
        rows = pl.read_csv(shared_data / "dfar" / f"DFAR_{split}set.csv")
        parts.append(_items(rows["Statement"].to_list(), split=split))
    rows = foreign_rows([{"texts": [s, "x"]} for s in parts[1]["statement"]])
    everywhere, within = match_items(rows, pl.concat(parts)), match_items(rows, pl.concat(parts), split="test")
    assert (everywhere.by["text"], everywhere.by["ambiguous"]) == (311, 189)
    assert within.rows["item_id"].to_list() == parts[1]["item_id"].to_list()
