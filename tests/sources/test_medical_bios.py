"""MedicalBios: exports in several shapes, marks per annotator as ratings of their own, and marks there and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.corpus.targets import aggregate, with_published
from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import medical_bios
from dfar_toolkit.sources.token_masks import mask_evidence, mask_fault
from dfar_toolkit.spans import joined_tokens, units_of_spans

BIO: dict[str, Any] = {
    "text": "He fills teeth.",
    "label": 3,
    "foil": 1,
    "words": ["He", "fills", "teeth", "."],
    "rationales": [0, 1, 1, 0],
    "contrastive_rationales": [0, 0, 1, 0],
    "annotations": [[0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0]],
    "contrastive_annotations": [[0, 0, 1, 0]],
}


def _lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_every_list_of_marks_is_a_rating_by_nobody_in_particular(tmp_path: Path) -> None:
    _lines(tmp_path / "rationales_test.jsonl", [BIO])
    tables = medical_bios.read(tmp_path)
    item = "medical_bios.rationales:test:00000"
    assert tables.items.select("item_id", "split", "statement").rows() == [(item, "test", "He fills teeth .")]
    assert json.loads(tables.items["extra"][0]) == {
        "text": "He fills teeth.",
        "rationales": [0, 1, 1, 0],
        "contrastive_rationales": [0, 0, 1, 0],
    }
    assert tables.questions.select("question", "kind").rows() == [
        ("profession", "nominal"),
        ("why", "span"),
        ("why_rather_than", "span"),
    ]
    assert tables.questions["options"][0].to_list() == ["psychologist", "surgeon", "nurse", "dentist", "physician"]
    rows = tables.annotations.select("question", "rating_id", "value", "foil").rows()
    assert rows == [
        *(("why", f"{item}#why.{k}", "dentist", None) for k in (1, 2, 3)),
        ("why_rather_than", f"{item}#why_rather_than.1", "dentist", "surgeon"),
    ]
    assert tables.annotations["annotator_id"].unique().to_list() == ["medical_bios.rationales:unknown"]
    places = [[(s["start"], s["end"]) for s in spans] for spans in tables.annotations["evidence"].to_list()]
    assert places == [[(3, 14)], [(0, 2), (9, 14)], [], [(9, 14)]]
    target = with_published(aggregate(tables.annotations, tables.questions), tables.targets)
    assert target.filter(pl.col("question") == "profession").select("label", "method").rows() == [
        ("dentist", "published")
    ]
    assert tables.repairs == ()
    assert tables.info.licence == "cc-by-nc-sa-4.0"


def test_marks_of_another_length_are_counted_and_unknown(tmp_path: Path) -> None:
    card = {("rationale" if k == "rationales" else k): v for k, v in BIO.items()}
    short = {**card, "annotations": [[0, 1], [0, 2, 1, 0], [1, 0, 0, 0]], "contrastive_annotations": None, "foil": None}
    _lines(tmp_path / "rationales" / "test.jsonl", [short, {**card, "label": None}, {**card, "words": []}])
    tables = medical_bios.read(tmp_path)
    assert tables.annotations["evidence"].is_null().to_list() == [True, True, False, False]
    assert tables.annotations["foil"].null_count() == 4
    item = '("medical_bios.rationales:test:00000")'
    assert tables.repairs == (
        f"annotations: a list of marks is of another length than its tokens; its evidence is unknown: 1 time {item}",
        f"annotations: a list of marks is of other values than 0 and 1; its evidence is unknown: 1 time {item}",
        "contrastive_annotations: absent, so contrastive_rationales stands for it as one rating: 1 time " + item,
        f"the foil is absent, so it is unknown against what was marked: 1 time {item}",
    )
    assert [(d.reason, d.count, d.examples) for d in tables.dropped] == [
        ("the label is empty", 1, ("medical_bios.rationales:test:00001",)),
        ("the text is empty", 1, ("medical_bios.rationales:test:00002",)),
    ]


def test_the_standard_set_from_shards_of_parquet(tmp_path: Path) -> None:
    (tmp_path / "standard").mkdir()
    for number, rows in enumerate([[("A.", 0), ("B.", 4)], [("C.", 2)]]):
        frame = pl.DataFrame(rows, schema={"text": pl.String, "label": pl.Int64}, orient="row")
        frame.write_parquet(tmp_path / "standard" / f"train-{number:05}-of-00002.parquet")
    _lines(tmp_path / "standard" / "validation.jsonl", [{"label": "Nurse", "text": "D."}, {"label": -1, "text": "E."}])
    tables = medical_bios.read(tmp_path)
    assert tables.items.select("item_id", "split", "statement").rows() == [
        ("medical_bios.standard:train:00000", "train", "A."),
        ("medical_bios.standard:train:00001", "train", "B."),
        ("medical_bios.standard:train:00002", "train", "C."),
        ("medical_bios.standard:validation:00000", "validation", "D."),
    ]
    assert tables.targets is not None
    assert tables.targets["label"].to_list() == ["psychologist", "physician", "nurse", "nurse"]
    assert tables.annotations.height == 0
    assert tables.questions["question"].to_list() == ["profession"]
    assert [drop.count for drop in tables.dropped] == [1]
    (tmp_path / "standard" / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(SourceError, match=r"wanted the split train once and whole; found .*train-00000-of-00002"):
        medical_bios.read(tmp_path)


def test_sets_and_files_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"wanted exported files of medical_bios"):
        medical_bios.read(tmp_path)
    _lines(tmp_path / "standard_test.jsonl", [{"text": "A.", "label": 9}])
    with pytest.raises(SourceError, match=r'in the column "label" a number 0 to 4 .*; found "9" in 1 row'):
        medical_bios.read(tmp_path)
    path = _lines(tmp_path / "test.jsonl", [BIO])
    with pytest.raises(SourceError, match=r'several sets \("rationales", "standard"\); name one'):
        medical_bios.read(tmp_path)
    assert medical_bios.read(tmp_path, set_name="Rationales").items.height == 1
    with pytest.raises(SourceError, match=r'no set "rationale".*Is it "rationales"'):
        medical_bios.read(tmp_path, set_name="rationale")
    _lines(path, [{("fool" if k == "foil" else k): v for k, v in BIO.items()}])
    with pytest.raises(SourceError, match=r'wanted the column "foil"; .*Is it "fool"'):
        medical_bios.read(tmp_path, set_name="rationales")
    _lines(path, [{**BIO, "words": "He fills teeth ."}])
    with pytest.raises(SourceError, match=r"row 0 \(from 0\): wanted a list of texts under words"):
        medical_bios.read(tmp_path, set_name="rationales")
    path.write_text('{"text": "A.", "la')
    with pytest.raises(SourceError, match="line 1, column"):
        medical_bios.read(tmp_path, set_name="rationales")
    path.with_suffix(".parquet").write_bytes(path.read_bytes())
    path.unlink()
    with pytest.raises(SourceError, match="not a Parquet file"):
        medical_bios.read(tmp_path, set_name="rationales")


@given(
    st.lists(st.tuples(st.text(alphabet="aé😀,", min_size=1, max_size=3), st.integers(0, 1)), min_size=1, max_size=12)
)
@settings(max_examples=30)
def test_masks_survive_the_way_to_spans_and_back(marked: list[tuple[str, int]]) -> None:
    text, units = joined_tokens([word for word, _ in marked])
    mask = [mark for _, mark in marked]
    assert mask_fault(mask, len(units)) == ""
    places = [(int(str(s["start"])), int(str(s["end"]))) for s in mask_evidence(mask, units)]
    assert units_of_spans(units, places) == [k for k, mark in enumerate(mask) if mark]
    assert all(text[a:b] == text[a:b].strip() for a, b in places)
