from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports import ExportSettings, mturk
from dfar_toolkit.sources.layout import SourceTables

ROW = {
    "HITId": "3A",
    "HITTypeId": "3T",
    "Title": "Judge",
    "AssignmentId": "3B",
    "WorkerId": "A1",
    "AssignmentStatus": "Approved",
    "SubmitTime": "Wed May 01 09:00:00 PDT 2024",
    "WorkTimeInSeconds": "41",
    "Input.text": "I kept the change.",
    "Input.forum": "a",
}


def _row(**more: str) -> dict[str, str]:
    return {**ROW, **{name.replace("__", "."): value for name, value in more.items()}}


def _read(folder: Path, *rows: dict[str, str], name: str = "batch.csv", **asked: Any) -> SourceTables:
    names = list(dict.fromkeys(column for row in rows for column in row))
    with (folder / name).open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, names, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    return mturk.read(folder, settings=ExportSettings(name="own", **asked))


def test_assignments_become_annotations_with_work_time(tmp_path: Path) -> None:
    tables = _read(
        tmp_path,
        _row(Answer__label="unethical", Answer__why="Not theirs."),
        _row(Answer__label="ethical", Answer__why="", WorkerId="A2", WorkTimeInSeconds="7"),
        _row(Answer__label="ethical", WorkerId="A3", AssignmentStatus="Rejected"),
        _row(Answer__label="", WorkerId="A4"),
    )
    assert tables.items.select("item_id", "statement", "extra").rows() == [
        ("own:train:3A", "I kept the change.", '{"forum": "a"}')
    ]
    rows = tables.annotations.select("annotator_id", "value", "reason", "seconds", "at").rows()
    assert rows == [
        ("own:A1", "unethical", "Not theirs.", 41.0, "Wed May 01 09:00:00 PDT 2024"),
        ("own:A2", "ethical", None, 7.0, "Wed May 01 09:00:00 PDT 2024"),
    ]
    assert {(drop.reason, drop.count) for drop in tables.dropped} == {
        ("the assignment was rejected", 1),
        ("no answer is given", 1),
    }


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ({"label": {"ethical": False, "unethical": True}}, ["unethical"]),
        ({"label": {"label": "unethical"}}, ["unethical"]),
        ({"label": {"labels": ["b", "a"]}}, ["b", "a"]),
        ({"label": {"a": {"on": True}, "b": {"on": False}}}, ["a"]),
        ({"label": "unethical"}, ["unethical"]),
        ({"label": 7}, ["7"]),
    ],
)
def test_the_answers_of_the_form_element(tmp_path: Path, form: dict[str, Any], values: list[str]) -> None:
    tables = _read(tmp_path, _row(Answer__taskAnswers=json.dumps([{**form, "why": "Not theirs."}])))
    assert tables.annotations["value"].to_list() == values
    assert tables.annotations["reason"].unique().to_list() == ["Not theirs."]
    assert tables.annotations["rating_id"].n_unique() == 1


def test_flattened_and_classic_answers(tmp_path: Path) -> None:
    tables = _read(tmp_path, _row(**{"Answer__label__bad": "true", "Answer__label__good": "false"}))
    assert tables.annotations["value"].to_list() == ["bad"]
    tables = _read(tmp_path, _row(**{"Answer__label__label": "bad"}))
    assert tables.annotations["value"].to_list() == ["bad"]
    tables = _read(tmp_path, _row(Answer__label="a|b"), kind="set")
    assert tables.annotations["value"].to_list() == ["a", "b"]


def test_a_worker_twice_is_in_order_of_time_across_batches(tmp_path: Path) -> None:
    _read(tmp_path, _row(Answer__label="late", SubmitTime="Thu May 02 08:00:00 PDT 2024"), name="a.csv")
    early = _row(Answer__label="early", SubmitTime="Wed May 01 10:00:00 PDT 2024")
    tables = _read(tmp_path, early, name="b.csv")
    assert tables.annotations.select("occasion", "value").rows() == [(0, "early"), (1, "late")]
    assert len(tables.files) == 2
    other = {**early, "SubmitTime": "Fri Nov 15 10:00:00 PST 2024"}  # two zones: the order of the files counts
    assert _read(tmp_path, other, name="b.csv").annotations["value"].to_list() == ["late", "early"]


def test_several_inputs_or_answers_need_a_name(tmp_path: Path) -> None:
    two = _row(Answer__label="a", Answer__sure="b", Input__own="k1")
    with pytest.raises(SourceError, match=r'the answers may be any of "label", "sure"; .* question="label"'):
        _read(tmp_path, two)
    tables = _read(tmp_path, two, question="sure", statement="forum", context=("text",), id="own")
    assert tables.annotations["value"].to_list() == ["b"]
    assert tables.items.select("item_id", "statement", "context_key").row(0) == (
        "own:train:k1",
        "a",
        "I kept the change.",
    )
    assert tables.repairs == ('answers that are not asked for are left out: "label"',)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"HITId": "1", "Answer.label": "x"}, 'wanted the columns "WorkerId", "AssignmentStatus"'),
        (dict(ROW), "wanted columns Answer.*"),
        (_row(Answer__taskAnswers="[{"), "row 1: Answer.taskAnswers: line 1, column"),
        (_row(Answer__taskAnswers="[1]"), "row 1: wanted a list of objects"),
        (_row(Answer__label="x", HITId=""), 'wanted "HITId" in every row'),
    ],
)
def test_files_that_are_not_such_results(tmp_path: Path, row: dict[str, str], said: str) -> None:
    with pytest.raises(SourceError) as caught:
        _read(tmp_path, row)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_hit_with_two_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match='wanted one text per item; "3A" has several'):
        _read(tmp_path, _row(Answer__label="a"), _row(Answer__label="a", **{"Input__text": "Other."}))
