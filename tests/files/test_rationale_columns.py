"""Rationales in outputs files of anybody's making: lists, numbers of words, shares."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.rationale_columns import rationale_columns

WORD = {"field": "statement", "start": 0, "end": 4}


def read(**columns: Any) -> pl.DataFrame:
    return rationale_columns(pl.DataFrame({name: [value] for name, value in columns.items()}, strict=False), where="f")


@pytest.mark.parametrize("given", [[WORD], '[{"start": 0, "end": 4, "field": "statement"}]', [{**WORD, "more": "x"}]])
def test_places_are_read_from_lists_and_from_json_text(given: object) -> None:
    found = read(words=given, evidence=given)
    assert found["words"].to_list() == [[WORD]]
    assert found["evidence"].to_list() == [[{**WORD, "set": 0}]]


def test_nothing_stays_nothing() -> None:
    found = read(words=None, evidence="", word_scores="[]", shares=[])
    assert found.row(0) == (None, None, [], [])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("words", "x"), ("words", [[0, 4]]), ("words", [{"start": 0, "end": 4}]),
        ("words", [{"field": "s", "start": None, "end": 4}]), ("evidence", [{"start": 0}]), ("evidence", 3),
        ("word_scores", ["a"]), ("word_scores", {"a": 1}), ("shares", "0.1;0.2"), ("shares", [0.5, 7.0]),
        ("share", -1.0), ("share", float("nan")), ("n_words", "many"), ("n_words", -1), ("k", -2), ("draw", -1),
        ("target", ["a"]),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_the_name_of_its_column(column: str, value: object) -> None:
    with pytest.raises(TableError, match=rf"^f: the column \[?\"{column}\""):
        read(**{column: value})
