"""Agreement on an items folder: questions apart, sets as yes/no questions, unknown people left out."""

from __future__ import annotations

import polars as pl
import pytest

from dfar_toolkit.agreement import krippendorff_alpha
from dfar_toolkit.corpus.annotator_agreement import folder_agreement, single_valued_questions, with_units
from dfar_toolkit.errors import TableError
from dfar_toolkit.tables import conform

QUESTIONS = pl.DataFrame(
    {
        "question": ["kind", "how"],
        "kind": ["set", "ordinal"],
        "options": [["a", "b"], ["low", "middle", "high"]],
        "wording": ["", ""],
    }
)
ITEMS = pl.DataFrame({"item_id": ["i", "j", "k"], "group": ["g", "g", "k"], "split": ["x", "x", "y"]})


def annotations() -> pl.DataFrame:
    rows = [
        ("i", "s:1", "kind", "i#1", "a"), ("i", "s:1", "kind", "i#1", "b"), ("i", "s:2", "kind", "i#2", "a"),
        ("j", "s:1", "kind", "j#1", "b"), ("j", "s:2", "kind", "j#2", "b"),
        ("k", "s:1", "kind", "k#1", "a"), ("k", "s:2", "kind", "k#2", "b"),
        ("i", "s:1", "how", "i#h#1", "low"), ("i", "s:2", "how", "i#h#2", "middle"),
        ("j", "s:1", "how", "j#h#1", "high"), ("j", "s:2", "how", "j#h#2", "high"),
        ("k", "s:unknown", "how", "k#h#1", "low"),
    ]  # fmt: skip
    names = ["item_id", "annotator_id", "question", "rating_id", "value"]
    return conform(pl.DataFrame(rows, schema=names, orient="row"), "annotations")


def test_a_set_becomes_a_yes_no_question_per_option() -> None:
    parts = {p.question: p for p in single_valued_questions(with_units(annotations(), ITEMS), QUESTIONS)}
    assert list(parts) == ["kind=a", "kind=b", "how"]
    said = parts["kind=a"].ratings.sort("item_id", "annotator_id")["value"].to_list()
    assert said == ["yes", "yes", "no", "no", "yes", "no"]
    assert parts["how"].order == ["low", "middle", "high"]


def test_every_question_stands_alone() -> None:
    table = folder_agreement(annotations(), QUESTIONS, ITEMS, n_boot=100)
    alpha = table.filter((pl.col("statistic") == "krippendorff_alpha") & (pl.col("question") == "kind=a"))
    rows = [("i", 1, "y"), ("i", 2, "y"), ("j", 1, "n"), ("j", 2, "n"), ("k", 1, "y"), ("k", 2, "n")]
    # Do = 2/6, De = 2 * 3 * 3 / (6 * 5) = 18/30: alpha = 1 - (1/3) / (3/5) = 4/9
    assert alpha["value"].item() == pytest.approx(4 / 9, abs=1e-12)
    assert krippendorff_alpha(rows, level="nominal", ci=None).value == pytest.approx(4 / 9, abs=1e-12)
    assert alpha["n_units"].item() == 2
    assert set(table.filter(pl.col("question") == "how")["level"].drop_nulls()) == {"nominal", "ordinal"}


def test_nobody_known_gives_nothing() -> None:
    unknown = annotations().with_columns(annotator_id=pl.lit("s:unknown"))
    assert folder_agreement(unknown, QUESTIONS, ITEMS).height == 0


def test_a_column_to_slice_by_is_found_wherever_it_stands() -> None:
    raters = pl.DataFrame({"annotator_id": ["s:1", "s:2"], "band": ["young", "old"]})
    assert "split" in with_units(annotations(), ITEMS, by="split").columns
    assert "band" in with_units(annotations(), ITEMS, raters=raters, by="band").columns
    with pytest.raises(TableError, match="no column 'moon' to slice by"):
        with_units(annotations(), ITEMS, raters=raters, by="moon")
