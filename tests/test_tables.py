"""The tables as contracts: defaults, casts, rules, and messages that name the row."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.tables import TABLES, conform, empty, normalised_text, text_key


@pytest.mark.parametrize("table", sorted(TABLES))
def test_an_empty_table_conforms(table: str) -> None:
    assert conform(empty(table), table).columns == list(TABLES[table].columns())


def test_defaults_fill_absent_columns_and_nulls() -> None:
    rows = pl.DataFrame({"run_id": ["r"], "item_id": ["i"], "question": ["q"], "output_id": ["o"], "k": [None]})
    found = conform(rows, "outputs").row(0, named=True)
    assert (found["sample"], found["condition"], found["k"], found["draw"], found["label"]) == (0, "full", -1, 0, None)


def test_columns_beside_stay_behind_the_declared_ones() -> None:
    found = conform(pl.DataFrame({"age": ["18-29"], "annotator_id": ["a"]}), "raters")
    assert found.columns == ["annotator_id", "kind", "age"]


def test_a_missing_column_names_the_nearest() -> None:
    with pytest.raises(
        TableError, match=r'run\.csv: .* needs the column "annotator_id".* Is it the column "annotator"'
    ):
        conform(pl.DataFrame({"annotator": ["a"]}), "raters", where="run.csv")


def test_a_cast_that_fails_names_the_column() -> None:
    rows = pl.DataFrame({"run_id": ["r"], "item_id": ["i"], "question": ["q"], "output_id": ["o"], "sample": ["one"]})
    with pytest.raises(TableError, match='the column "sample" of the table outputs must be Int64, found String'):
        conform(rows, "outputs")


def test_a_broken_rule_names_rows_and_count() -> None:
    rows = pl.DataFrame({"annotator_id": ["a", "a", "b"], "kind": ["human"] * 3})
    with pytest.raises(TableError, match=r"annotator_id\) occurs more than once: 2 rows \(e\.g\. annotator_id='a'\)"):
        conform(rows, "raters")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(TableError, match='"kind" of the table raters must be Enum'):
        conform(pl.DataFrame({"annotator_id": ["a"], "kind": ["dog"]}), "raters")


@pytest.mark.parametrize(
    ("one", "other"),
    [("I lied.", "i  LIED"), ("Straße", "STRASSE"), ("ﬁne", "fine"), ("don’t", "don't"), ("a\u00a0b", "a b")],
)
def test_the_same_text_has_one_key(one: str, other: str) -> None:
    assert pl.DataFrame({"t": [one, other]}).select(text_key(pl.col("t")).n_unique()).item() == 1


def test_vowel_signs_are_part_of_words() -> None:
    assert pl.DataFrame({"t": ["করি", "কর"]}).select(text_key(pl.col("t")).n_unique()).item() == 2


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = pl.DataFrame({"t": [text]}).select(normalised_text(pl.col("t")))
    assert once.select(normalised_text(pl.col("t"))).item() == once.item()
