"""Records that are JSON but not in the layout: one clear line, never a dataset made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from dfar_toolkit.cli import app
from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import eraser, esnli, ethics, hatexplain, lewidi, medical_bios, scruples
from dfar_toolkit.sources.layout import SourceTables
from dfar_toolkit.sources.line_records import line_records

SCORES = {"AUTHOR": 3, "OTHER": 1, "EVERYBODY": 0, "NOBODY": 0, "INFO": 0}
POST = {"id": "a1", "title": "AITA?", "text": "I kept it.", "label_scores": SCORES, "label": "AUTHOR"}
EVIDENCE = {"docid": "r1", "start_token": 0, "end_token": 1, "text": "bad"}
REVIEW = {"annotation_id": "r1", "query": "Good?", "classification": "NEG", "docids": ["r1"], "evidences": [[EVIDENCE]]}
BIO: dict[str, Any] = {"text": "He fills", "label": 3, "foil": 1, "words": ["He", "fills"]}
BIO |= {"rationales": [0, 1], "contrastive_rationales": [0, 1], "annotations": [[0, 1], [1, 1]]}
BIO |= {"contrastive_annotations": [[0, 1]]}
HATE = {"post_tokens": ["they"], "rationales": [], "annotators": [{"label": "normal", "annotator_id": 1, "target": []}]}
BREXIT = {"text": "They lie.", "annotation task": "hate speech detection", "annotations": "0,1", "annotators": "A,B"}


def _lines(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _scruples(raw: Path, **changes: object) -> SourceTables:
    _lines(raw / "dev.scruples-anecdotes.jsonl", [POST | {"id": "a0"}, POST | changes])
    return scruples.read(raw, set_name="anecdotes")


def _eraser(raw: Path, **changes: object) -> SourceTables:
    _lines(raw / "docs.jsonl", [{"docid": "r1", "document": "bad ."}])
    _lines(raw / "test.jsonl", [REVIEW | {"annotation_id": "r0"}, REVIEW | changes])
    return eraser.read(raw, set_name="mine")


def _bios(raw: Path, **changes: object) -> SourceTables:
    _lines(raw / "rationales_test.jsonl", [BIO, BIO | changes])
    return medical_bios.read(raw)


def _hatexplain(raw: Path, **changes: object) -> SourceTables:
    (raw / "dataset.json").write_text(json.dumps({"p": HATE | changes}))
    (raw / "post_id_divisions.json").write_text(json.dumps({"train": ["p"]}))
    return hatexplain.read(raw)


def _lewidi(raw: Path, **changes: object) -> SourceTables:
    (raw / "HS-Brexit_dev.json").write_text(json.dumps({"1": BREXIT | {"other_info": changes}}))
    return lewidi.read(raw)


NAN = float("nan")


@pytest.mark.parametrize(
    ("read", "changes", "said"),
    [
        (_scruples, {"text": NAN}, "record 2: holds NaN"),
        (_scruples, {"text": "\ud800"}, "record 2: a text holds half a surrogate"),
        (_scruples, {"text": ["I kept it."]}, "record 2: wanted a text as text"),
        (_scruples, {"id": [1]}, "record 2: wanted an id"),
        (_scruples, {"label_scores": SCORES | {"INFO": 10**30}}, "wanted whole numbers of votes"),
        (_eraser, {"query": NAN}, "record 2: holds NaN"),
        (_eraser, {"query": {"a": 1}}, "wanted a text as query"),
        (_eraser, {"annotation_id": [1]}, "wanted a text as annotation_id"),
        (_eraser, {"classification": ["NEG"]}, "wanted a text as classification"),
        (_eraser, {"docids": [["r1"]]}, "wanted docids as a list of texts"),
        (_eraser, {"evidences": [[EVIDENCE | {"start_token": "a\nb"}]]}, r"found 'a\\nb' to 1"),
        (_eraser, {"evidences": [[EVIDENCE | {"start_token": True, "end_token": 2}]]}, "found True to 2"),
        (_bios, {"annotations": "x"}, "wanted under annotations one list of 0 and 1 per annotator"),
        (_bios, {"annotations": [["", 1]]}, "wanted under annotations one list of 0 and 1 per annotator"),
        (_bios, {"annotations": [0, 1]}, "wanted under annotations one list of 0 and 1 per annotator"),
        (_bios, {"text": [1]}, r"row 1 \(from 0\): wanted a text under text"),
        (_bios, {"text": NAN}, "record 2: holds NaN"),
        (_hatexplain, {"annotators": [{"label": "normal", "annotator_id": {}}]}, "wanted a number or a text as annot"),
        (_lewidi, {"other annotations": "0,1"}, "wanted an object under other annotations; found a str"),
    ],
)
def test_a_record_outside_the_layout_is_one_line(
    tmp_path: Path, read: Callable[..., SourceTables], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        read(tmp_path, **changes)
    assert "\n" not in str(caught.value)


def test_labels_that_are_lists_are_refused(tmp_path: Path) -> None:
    _lines(tmp_path / "standard_test.jsonl", [{"text": "He fills teeth.", "label": [3]}])
    with pytest.raises(SourceError, match='a number or a name in the column "label"; found lists'):
        medical_bios.read(tmp_path)


def test_nan_beside_the_layout_stays_json_in_extra(tmp_path: Path) -> None:
    tables = _lewidi(tmp_path, odd=[NAN, {"x": float("inf")}])
    wanted = {"odd": ["nan", {"x": "inf"}]}
    assert {k: v for k, v in json.loads(tables.items["extra"][0]).items() if k == "odd"} == wanted


def test_columns_called_as_ours_are_kept_apart(tmp_path: Path) -> None:
    head = "pairID,gold_label,Sentence1,Sentence2,Explanation_1,Sentence1_marked_1,Sentence2_marked_1,row,item_id"
    (tmp_path / "esnli_dev.csv").write_text(f"{head}\n9#1,neutral,It rained.,It is wet.,Why?,,,r7,i7\n")
    tables = esnli.read(tmp_path)
    extra = {"row": 0, "published_row": "r7", "published_item_id": "i7"}
    assert (tables.items["item_id"][0], json.loads(tables.items["extra"][0])) == ("esnli:dev:9#1", extra)
    (tmp_path / "justice_test.csv").write_text("label,scenario,run\n1,I rest because I ran.,r7\n")
    assert json.loads(ethics.read(tmp_path, set_name="justice").items["extra"][0]) == {"run": "r7"}


def test_train_without_its_authors_is_said(tmp_path: Path) -> None:
    head = "pairID,gold_label,Sentence1,Sentence2,Explanation_1,Worker,Sentence1_marked_1,Sentence2_marked_1"
    (tmp_path / "esnli_train_1.csv").write_text(f"{head}\n9#1,neutral,It rained.,It is wet.,Why?,w7,,\n")
    assert any("has no column WorkerId" in said for said in esnli.read(tmp_path).repairs)


def test_files_in_the_folders_of_an_archive_are_found(tmp_path: Path) -> None:
    inner = tmp_path / "ethics" / "justice"
    inner.mkdir(parents=True)
    (inner / "justice_test.csv").write_text("label,scenario\n1,I rest because I ran.\n")
    (tmp_path / "fetched.json").write_text("{}")
    assert ethics.read(tmp_path, set_name="justice").items.height == 1
    (inner / "justice_test.csv").rename(tmp_path / "other.csv")
    with pytest.raises(SourceError, match='here or in a sub-folder; found "ethics", "fetched'):
        ethics.read(tmp_path)


def test_texts_without_words_are_not_alike() -> None:
    frame = pl.DataFrame({"t": ["...", "!!!", ""]})
    assert frame.select(ethics.runs_alike(pl.col("t"))).to_series().to_list() == [None, None, None]


def test_keys_and_types_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    _lines(path, [{"id": 1}, {"id": "1", "more": [1, "a"]}])
    assert line_records(path, ["more"]) == [{"id": 1}, {"id": "1", "more": [1, "a"]}]
    with pytest.raises(SourceError, match='wanted the column "idd"; found "id", "more"'):
        line_records(path, ["idd"])


def test_a_file_of_a_header_only_is_said(tmp_path: Path) -> None:
    (tmp_path / "justice_test.csv").write_text("label,scenario\n1,I rest because I ran.\n")
    (tmp_path / "justice_train.csv").write_text("label,scenario\n")
    done = CliRunner().invoke(app, ["build", "ethics:justice", "--raw", str(tmp_path), "--out", str(tmp_path / "out")])
    assert (done.exit_code, "note: justice_train.csv: holds no rows" in done.output) == (0, True)
