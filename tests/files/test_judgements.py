"""Judgements files to the table, with the ids of what was judged."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.files.outputs import read_outputs

QUESTIONS = pl.DataFrame(
    {"question": ["ethical"], "kind": ["nominal"], "options": [["ethical", "unethical"]], "wording": [""]}
)
HEADER = "judge_id,run_id,item_id,rating,value\n"


def read(tmp_path: Path, text: str) -> pl.DataFrame:
    (tmp_path / "judged.csv").write_text(text)
    return read_judgements(tmp_path / "judged.csv", questions=QUESTIONS)


def test_ids_join_the_outputs_and_the_ratings(tmp_path: Path) -> None:
    found = read(tmp_path, HEADER + "j1,run-a,s:test:1,,good\nj1,human,s:test:1,2,bad\n")
    (tmp_path / "run-a.csv").write_text("item_id,label\ns:test:1,ethical\n")
    outputs = read_outputs(tmp_path / "run-a.csv", questions=QUESTIONS)
    assert found["output_id"].to_list() == [outputs["output_id"][0], "human/s:test:1#2"]
    assert found["question"].unique().to_list() == ["reason_ok"]


def test_the_same_judge_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="occurs more than once"):
        read(tmp_path, HEADER + "j1,run-a,i,,good\nj1,run-a,i,,bad\n")


def test_case_and_blanks_around_a_verdict_do_not_matter(tmp_path: Path) -> None:
    text = "\n".join(f"j{k},run-a,i,,{value}" for k, value in enumerate(["Good", " BAD", "bad", '" "', "Okay"]))
    assert read(tmp_path, HEADER + text + "\n")["value"].to_list() == ["good", "bad", "bad", None, "Okay"]


def test_neither_value_nor_score(tmp_path: Path) -> None:
    with pytest.raises(TableError, match='need "value"'):
        read(tmp_path, "judge_id,run_id,item_id\nj,r,i\n")


def test_without_items_the_outputs_must_be_named(tmp_path: Path) -> None:
    (tmp_path / "judged.csv").write_text(HEADER + "j1,run-a,i,,good\n")
    with pytest.raises(TableError, match="the items are needed"):
        read_judgements(tmp_path / "judged.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("judge_id,run_id,item_id,value\nj,human,i,good\n", 'needs the column "rating"'),
        (HEADER + "j,human,i,,good\n", 'needs the column "rating"'),
        (HEADER + "j,human,i,x,good\n", '"rating" must hold whole numbers'),
        ("judge_id,run_id,item_id,value,inclusion_prob\nj,r,i,good,-1\n", "inclusion_prob must lie above 0"),
        ("judge_id,run_id,item_id,value,inclusion_prob\nj,r,i,good,often\n", "inclusion_prob must lie above 0"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TableError, match=said):
        read(tmp_path, text)
