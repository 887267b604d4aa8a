from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports import ExportSettings, doccano

TEXT = "I kept the change."


def _write(folder: Path, name: str, *lines: dict[str, Any]) -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_file_per_annotator(tmp_path: Path) -> None:
    _write(tmp_path, "anna.jsonl", {"id": 3, "text": TEXT, "label": ["bad"], "why": "Not theirs.", "Comments": []})
    _write(tmp_path, "ben.jsonl", {"id": 3, "text": TEXT, "label": ["good"]}, {"id": 4, "text": "I lied.", "label": []})
    tables = doccano.read(tmp_path, set_name="own")
    assert tables.items["item_id"].to_list() == ["own:train:3", "own:train:4"]
    assert tables.annotations.select("item_id", "annotator_id", "value", "reason").rows() == [
        ("own:train:3", "own:anna", "bad", "Not theirs."),
        ("own:train:3", "own:ben", "good", None),
    ]
    assert tables.annotations["evidence"].to_list() == [None, None]
    assert [(drop.reason, drop.count) for drop in tables.dropped] == [("no answer is given", 1)]
    assert tables.repairs[0].startswith("no line names the annotator: the names of 2 files do")
    assert [file.name for file in tables.files] == ["annotator_01.jsonl", "annotator_02.jsonl"]  # no person's name
    assert "anna" not in str((tables.files, tables.dropped, tables.repairs, tables.info))


@pytest.mark.parametrize(
    "line",
    [
        {"label": [[7, 17, "act"], [0, 1, "who"]]},
        {"labels": [[7, 17, "act"], [0, 1, "who"]]},
        {
            "entities": [
                {"id": 1, "label": "act", "start_offset": 7, "end_offset": 17},
                {"id": 2, "label": "who", "start_offset": 0, "end_offset": 1},
            ],
            "relations": [{"id": 1, "from_id": 1, "to_id": 2, "type": "of"}],
        },
    ],
)
def test_marks_alone_are_a_set_of_their_names_with_evidence(tmp_path: Path, line: dict[str, Any]) -> None:
    tables = doccano.read(_write(tmp_path, "anna.jsonl", {"id": 3, "text": TEXT, **line}))
    assert tables.annotations["value"].to_list() == ["act", "who"]
    assert tables.questions["kind"].to_list() == ["set"]
    spans = tables.annotations["evidence"][0].to_list()
    assert [TEXT[span["start"] : span["end"]] for span in spans] == ["I", "the change"]
    assert json.loads(tables.items["extra"][0]) == {}


def test_labels_and_marks_together_and_a_mark_outside(tmp_path: Path) -> None:
    line = {"id": 3, "text": TEXT, "cats": ["bad"], "entities": [[7, 17, "act"], [10, 99, "far"]], "username": "eva"}
    tables = doccano.read(_write(tmp_path, "all.jsonl", line))
    assert tables.annotations.select("annotator_id", "value").rows() == [("doccano:eva", "bad")]
    assert tables.annotations["evidence"][0].to_list() == [{"field": "statement", "start": 7, "end": 17, "set": 0}]
    assert [(drop.count, drop.examples) for drop in tables.dropped] == [(1, ("3",))]
    assert tables.repairs == ()


def test_a_shared_project_names_nobody(tmp_path: Path) -> None:
    tables = doccano.read(
        _write(tmp_path, "all.jsonl", {"text": TEXT, "label": ["bad"]}, {"text": "B", "label": ["x"]})
    )
    assert tables.annotations["annotator_id"].unique().to_list() == ["doccano:unknown"]
    assert tables.items["item_id"].to_list() == ["doccano:train:00000", "doccano:train:00001"]
    assert tables.repairs == ("2 answers name no annotator: they are doccano:unknown",)


def test_without_ids_equal_texts_of_several_files_are_one_item(tmp_path: Path) -> None:
    _write(tmp_path, "anna.jsonl", {"text": TEXT, "label": ["a"]}, {"text": "B", "label": ["b"]})
    _write(tmp_path, "ben.jsonl", {"text": "B", "label": ["a"]})
    tables = doccano.read(tmp_path)
    assert tables.annotations.select("item_id", "annotator_id").rows() == [
        ("doccano:train:00000", "doccano:anna"),
        ("doccano:train:00001", "doccano:anna"),
        ("doccano:train:00001", "doccano:ben"),
    ]
    _write(tmp_path, "ben.jsonl", {"text": "B", "label": ["a"]}, {"text": "B", "label": ["b"]})
    with pytest.raises(SourceError, match='"B" stands twice in this one: export with ids'):
        doccano.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"text": "a"}\n', "wanted a text and its labels"),
        ('{"text": "a", "label": ["x"]', "line 1, column"),
        ('{"text": "a", "label": ["x"], "id": 1}\n{"text": "b", "label": ["x"]}\n', 'wanted "id" in every line'),
        ('{"text": "a", "label": ["x"], "cats": ["y"]}\n', 'the labels may be any of "label", "cats"'),
        ("text,label\na,x\n", "line 1, column 1"),
        ("", "the file is empty"),
    ],
)
def test_files_that_are_not_such_an_export(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(SourceError) as caught:
        doccano.read(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_zip_and_windows_letters_are_refused_with_a_way_out(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "a.jsonl"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("anna.jsonl", "{}")
    with pytest.raises(SourceError, match="this is a zip; unpack it first"):
        doccano.read(path)
    path.write_bytes('{"text": "ä", "label": ["x"]}'.encode("cp1252"))
    with pytest.raises(SourceError, match="invalid UTF-8: byte 0xe4 at offset 10"):
        doccano.read(path)


def test_settings_that_contradict_themselves() -> None:
    with pytest.raises(SourceError, match="it begins every id"):
        ExportSettings(name="a:b")
    with pytest.raises(SourceError, match="wanted letters, digits"):
        ExportSettings(split="a/b")
    with pytest.raises(SourceError, match="wanted each once"):
        ExportSettings(options=("a", "a"))
    with pytest.raises(SourceError, match='"c" is none of the options'):
        ExportSettings(options=("a",), labels={"1": "c"})


def test_lines_of_prodigy_are_refused_by_name(tmp_path: Path) -> None:
    raw = _write(tmp_path, "a.jsonl", {"text": TEXT, "accept": ["bad"], "answer": "accept", "_input_hash": 7})
    with pytest.raises(SourceError, match="Prodigy"):
        doccano.read(raw)


def test_comments_that_are_not_read_are_counted(tmp_path: Path) -> None:
    raw = _write(tmp_path, "a.jsonl", {"id": 3, "text": TEXT, "label": ["bad"], "Comments": ["Not theirs."]})
    assert doccano.read(raw).repairs[0].startswith("1 lines hold Comments, which are not read")
    tables = doccano.read(raw, settings=ExportSettings(reason="Comments"))
    assert tables.annotations["reason"].to_list() == ["Not theirs."]
    assert not any("Comments" in note for note in tables.repairs)
