from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports import ExportSettings, potato
from dfar_toolkit.sources.layout import SourceTables

TEXT = "I kept the change."
SPAN = {"schema": "marks", "start": 7, "end": 17}


def _own(**asked: Any) -> ExportSettings:
    return ExportSettings(name="own", **asked)


def _lines(folder: Path, user: str, *lines: dict[str, Any]) -> None:
    person = folder / "annotation_output" / user
    person.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (person / "annotated_instances.jsonl").write_text(text, encoding="utf-8")


def _state(folder: Path, user: str, **state: Any) -> None:
    person = folder / "annotation_output" / user
    person.mkdir(parents=True, exist_ok=True)
    named = {f"instance_id_to_{name}": value for name, value in state.items()}
    (person / "user_state.json").write_text(json.dumps({"user_id": user, **named}), encoding="utf-8")


def _line(labels: dict[str, Any], spans: object = (), key: str = "7", text: str = TEXT) -> dict[str, Any]:
    spent = {"time_string": "Time spent: 0d 0h 1m 5s "}
    line = {"id": key, "displayed_text": text, "label_annotations": labels, "behavioral_data": spent}
    return {**line, "span_annotations": spans}


def _checked(tables: SourceTables) -> None:
    assert tables.items.select("item_id", "statement").rows() == [("own:train:7", TEXT)]
    assert tables.annotations.select("annotator_id", "value", "reason").rows() == [
        ("own:anna", "bad", "Not theirs."),
        ("own:ben", "good", None),
    ]
    assert tables.questions.row(0)[:3] == ("label", "nominal", ["bad", "good"])


def test_a_folder_of_lines_per_annotator(tmp_path: Path) -> None:
    mark = {**SPAN, "annotation": "act", "span": "the change"}
    _lines(tmp_path, "anna", _line({"label": {"bad": "true"}, "why": {"text_box": "Not theirs."}}, [mark]))
    _lines(tmp_path, "ben", _line({"label": {"good": "true", "bad": "false"}}, []))
    tables = potato.read(tmp_path, settings=_own())
    _checked(tables)
    assert tables.annotations["seconds"].to_list() == [65.0, 65.0]
    spans = tables.annotations["evidence"].to_list()
    assert spans == [[{"field": "statement", "start": 7, "end": 17, "set": 0}], []]
    assert TEXT[7:17] == mark["span"]
    assert potato.read(tmp_path / "annotation_output", settings=_own()).annotations.equals(tables.annotations)


@pytest.mark.parametrize("pairs", [True, False])
def test_a_state_per_annotator_with_the_texts_of_the_data_file(tmp_path: Path, pairs: bool) -> None:
    anna: Any = {"label": {"labels": {"bad": True}}, "why": {"text_box": "Not theirs."}}
    ben: Any = {"label": {"good": "true"}}
    spans: Any = {"marks": [{**SPAN, "label": "act"}]}
    if pairs:
        anna = [[{"schema": "label", "name": "bad"}, "bad"], [{"schema": "why", "name": "text_box"}, "Not theirs."]]
        ben = [[{"schema": "label", "name": "good"}, True]]
        spans = [[{**SPAN, "name": "act"}, "true"]]
    timed = {"7": {"total_time_ms": 5500}}
    _state(tmp_path, "anna", label_to_value={"7": anna}, span_to_value={"7": spans}, behavioral_data=timed)
    _state(tmp_path, "ben", label_to_value={"7": ben}, span_to_value={})
    (tmp_path / "data.jsonl").write_text(json.dumps({"id": 7, "text": TEXT}) + "\n")
    with pytest.raises(SourceError, match=r"user_state.json holds no texts; name the project's data file"):
        potato.read(tmp_path)
    tables = potato.read(tmp_path, settings=_own(items_file="data.jsonl"))
    _checked(tables)
    assert tables.annotations["seconds"].to_list() == [5.5, None]
    assert [len(spans) for spans in tables.annotations["evidence"].to_list()] == [1, 0]
    (tmp_path / "data.jsonl").write_text(json.dumps({"id": 8, "text": TEXT}) + "\n")
    with pytest.raises(SourceError, match='the instance "7" is not in the project\'s data file'):
        potato.read(tmp_path, settings=_own(items_file="data.jsonl"))
    with pytest.raises(SourceError, match="leads out of it"):
        potato.read(tmp_path, settings=_own(items_file="../data.jsonl"))


@pytest.mark.parametrize("name", ["annotated_instances.tsv", "annotated_instances.csv"])
def test_the_table_with_a_column_per_option(tmp_path: Path, name: str) -> None:
    rows = [
        ["user", "instance_id", "displayed_text", "label:::bad", "label:::good", "why:::text_box"],
        ["anna", "7", TEXT, "label:::bad", "", "Not theirs."],
        ["ben", "7", TEXT, "", "good", ""],
    ]
    mark = "\t" if name.endswith("tsv") else ","
    (tmp_path / name).write_text("".join(mark.join(row) + "\n" for row in rows))
    _checked(potato.read(tmp_path, settings=_own()))
    _checked(potato.read(tmp_path / name, settings=_own()))


def test_scales_sets_and_other_schemas(tmp_path: Path) -> None:
    labels = {"scale": {"scale_4": "4"}, "topics": {"a": "true", "b": "true"}, "note": {"text_box": "Hm."}}
    _lines(tmp_path, "anna", _line(labels))
    with pytest.raises(SourceError, match=r'schema may be any of "scale", "topics"'):
        potato.read(tmp_path)
    tables = potato.read(tmp_path, settings=_own(question="scale", options=("1", "2", "3", "4", "5")))
    assert tables.annotations.select("value", "value_num", "reason").rows() == [("4", 4.0, "Hm.")]
    assert tables.repairs == ('schemas that are not asked for are left out: "topics"',)
    tables = potato.read(tmp_path, settings=_own(question="topics"))
    assert (tables.questions["kind"][0], tables.annotations["value"].to_list()) == ("set", ["a", "b"])


def test_two_people_who_saw_different_texts_are_refused(tmp_path: Path) -> None:
    _lines(tmp_path, "anna", _line({"label": {"bad": "true"}}))
    _lines(tmp_path, "ben", _line({"label": {"bad": "true"}}, text="Other."))
    with pytest.raises(SourceError, match='wanted one text per item; "7" has several'):
        potato.read(tmp_path)


def test_folders_that_are_none_of_the_layouts(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"wanted sub-folders of annotators .* found none"):
        potato.read(tmp_path)
    with pytest.raises(SourceError, match="there is no such file or folder"):
        potato.read(tmp_path / "x")
    _lines(tmp_path, "anna", {"id": "7", "text": "x"})
    with pytest.raises(
        SourceError, match='line 1: wanted id, displayed_text and label_annotations; found "id", "text"'
    ):
        potato.read(tmp_path)
    _lines(tmp_path, "anna", _line({"why": {"text_box": "Hm."}}))
    with pytest.raises(SourceError, match='wanted a schema with options or marks; found "why"'):
        potato.read(tmp_path)
