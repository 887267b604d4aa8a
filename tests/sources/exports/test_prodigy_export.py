from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports import ExportSettings, prodigy
from dfar_toolkit.sources.layout import SourceTables

TEXT = "I kept the change."
TOKENS = [
    {"text": "I", "start": 0, "end": 1, "id": 0},
    {"text": "kept", "start": 2, "end": 6, "id": 1},
    {"text": "the", "start": 7, "end": 10, "id": 2},
    {"text": "change", "start": 11, "end": 17, "id": 3},
    {"text": ".", "start": 17, "end": 18, "id": 4},
]
OPTIONS = [{"id": "ok", "text": "Fine"}, {"id": "bad", "text": "Not fine"}]


def _line(**more: Any) -> dict[str, Any]:
    return {"text": TEXT, "_input_hash": 11, "_task_hash": 21, "answer": "accept", "_view_id": "choice", **more}


def _read(folder: Path, *lines: dict[str, Any], **asked: Any) -> SourceTables:
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return prodigy.read(path, settings=ExportSettings(name="own", **asked))


def test_choices_with_the_options_in_the_order_of_the_file(tmp_path: Path) -> None:
    tables = _read(
        tmp_path,
        _line(options=OPTIONS, accept=["bad"], _annotator_id="set-anna", _timestamp=200, why="Not theirs."),
        _line(options=OPTIONS, accept=["ok"], _annotator_id="set-anna", _timestamp=100),
        _line(options=OPTIONS, accept=[], answer="ignore", _annotator_id="set-ben"),
        _line(options=OPTIONS, accept=["ok"], answer="reject", _annotator_id="set-ben"),
        _line(options=OPTIONS, accept=[], _annotator_id="set-cleo"),
        _line(options=OPTIONS, accept=["ok"], _session_id="2024-05-01_09-00-00", meta={"score": 1}),
    )
    assert tables.questions.row(0)[:3] == ("choice", "nominal", ["ok", "bad"])
    assert tables.annotations.select("annotator_id", "value", "occasion", "at", "reason").rows() == [
        ("own:set-anna", "ok", 0, "100", None),
        ("own:set-anna", "bad", 1, "200", "Not theirs."),
        ("own:unknown", "ok", 0, None, None),
    ]
    assert tables.items["item_id"].to_list() == ["own:train:11"]
    assert {(drop.reason, drop.count) for drop in tables.dropped} == {
        ("the task was not answered (ignore)", 1),
        ("the task was not answered (reject)", 1),
        ("no answer is given", 1),
    }
    assert "1 answers name no annotator" in tables.repairs[1]


def test_a_multiple_choice_is_a_set(tmp_path: Path) -> None:
    config = {"choice_style": "multiple"}
    tables = _read(tmp_path, _line(options=OPTIONS, config=config, accept=["ok"], _annotator_id="a"))
    assert tables.questions["kind"].to_list() == ["set"]


def test_yes_or_no_about_one_label_at_a_time(tmp_path: Path) -> None:
    lines = [
        _line(label="THEFT", answer="reject", _annotator_id="a"),
        _line(label="LIE", answer="accept", _annotator_id="a"),
        _line(label="THEFT", answer="ignore", _annotator_id="b"),
    ]
    with pytest.raises(SourceError, match=r'the label may be any of "THEFT", "LIE"; .* question="THEFT"'):
        _read(tmp_path, *lines)
    tables = _read(tmp_path, *lines, question="THEFT")
    assert tables.questions.row(0)[:3] == ("THEFT", "nominal", ["reject", "accept"])
    assert tables.annotations["value"].to_list() == ["reject"]
    assert {(d.reason, d.count) for d in tables.dropped} == {
        ("asked about another label", 1),
        ("the task was not answered (ignore)", 1),
    }


def test_marks_by_characters_and_by_tokens_are_the_same(tmp_path: Path) -> None:
    by_token = {"token_start": 2, "token_end": 3, "label": "act"}
    by_character = {**by_token, "start": 7, "end": 17}
    tables = _read(
        tmp_path,
        _line(tokens=TOKENS, spans=[by_token], _annotator_id="a"),
        _line(tokens=TOKENS, spans=[by_character], _annotator_id="b"),
        _line(tokens=TOKENS, spans=[{"token_start": 2, "token_end": 9, "label": "act"}], _annotator_id="c"),
        _line(tokens=TOKENS, spans=[], _annotator_id="d"),
    )
    assert tables.questions.row(0)[:2] == ("spans", "set")
    first, second, third = tables.annotations["evidence"].to_list()
    assert first == second == [{"field": "statement", "start": 7, "end": 17, "set": 0}]
    assert third == []
    covered = [t["id"] for t in TOKENS if t["start"] >= 7 and t["end"] <= 17]
    assert covered == [2, 3]  # the last token is inside
    assert {(d.reason[:14], d.count) for d in tables.dropped} == {("a mark lies ou", 1), ("no answer is g", 1)}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([{"text": TEXT}], 'wanted lines with "answer"'),
        ([_line()], "wanted choices (accept), a label or marks (spans)"),
        ([_line(label="A", answer="yes")], 'wanted "accept", "reject" or "ignore"'),
        ([_line(label="A", _input_hash=None)], 'wanted "_input_hash" in every line'),
        ([_line(label="A"), _line(label="A", text="Other.")], "wanted one text per item"),
        ([_line(label="A", note="x", text=None)], 'wanted the statement in "text"'),
    ],
)
def test_lines_that_are_not_in_the_layout(tmp_path: Path, lines: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(SourceError) as caught:
        _read(tmp_path, *lines, statement="text" if "note" in lines[0] else None)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
