"""ERASER layout: token numbers become characters of the stored documents and back; groups stay apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import eraser
from dfar_toolkit.sources.eraser_documents import document
from dfar_toolkit.sources.eraser_evidence import evidence_spans
from dfar_toolkit.sources.layout import SourceTables
from dfar_toolkit.spans import units_of_spans

REVIEW = "it was long .\r\n\n  a  joy , though \n"


def _evidence(docid: str, start: int, end: int, text: object) -> dict[str, object]:
    sentences = {"start_sentence": -1, "end_sentence": -1}
    return {"docid": docid, "start_token": start, "end_token": end, "text": text, **sentences}


def _line(key: str, groups: object, **changes: object) -> dict[str, object]:
    base = {"annotation_id": key, "query": "Is it good ?", "classification": "POS", "query_type": None, "docids": None}
    return {**base, "evidences": groups, **changes}


def _lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _movies(at: Path, rows: list[dict[str, Any]], name: str = "val.jsonl") -> Path:
    (at / "docs").mkdir(parents=True, exist_ok=True)
    (at / "docs" / "r1.txt").write_bytes(REVIEW.encode())
    (at / "docs" / "r2.txt").write_text("bad .\n")
    _lines(at / name, rows)
    return at


def _marked(tables: SourceTables, row: int = 0) -> list[tuple[int, str]]:
    item = tables.items.row(row, named=True)
    texts = {"statement": item["statement"], **{part["field"]: part["text"] for part in item["context"]}}
    return [(s["set"], texts[s["field"]][s["start"] : s["end"]]) for s in tables.annotations["evidence"][row].to_list()]


def test_a_folder_of_documents(tmp_path: Path) -> None:
    groups = [[_evidence("r1.txt", 4, 6, "a joy")], [_evidence("r1.txt", 3, 5, ". a"), _evidence("r1.txt", 0, 1, "it")]]
    rows = [_line("r1.txt", groups), _line("r2.txt", [], classification="NEG", docids=["r2.txt"])]
    tables = eraser.read(_movies(tmp_path / "Movies", rows))
    assert tables.items.select("item_id", "source", "split", "statement").rows() == [
        ("eraser.movies:val:r1.txt", "eraser.movies", "validation", "Is it good ?"),
        ("eraser.movies:val:r2.txt", "eraser.movies", "validation", "Is it good ?"),
    ]
    assert tables.items["context"][0].to_list() == [
        {"field": "r1.txt", "role": "document", "text": "it was long .\na joy , though"}
    ]
    assert _marked(tables) == [(0, "a joy"), (1, ".\na"), (1, "it")]
    assert tables.annotations["evidence"][1].to_list() == []
    assert tables.annotations.select("annotator_id", "value").row(1) == ("eraser.movies:unknown", "NEG")
    assert tables.questions["options"][0].to_list() == ["NEG", "POS"]
    assert tables.items["context_key"].n_unique() == 2
    assert [(file.name, file.rows) for file in tables.files] == [("val.jsonl", 2), ("docs", 2)]
    assert tables.repairs == ()


def test_e_snli_has_two_documents_named_after_the_annotation_and_no_query(tmp_path: Path) -> None:
    docs = [
        ("a_premise", "It  rains ."),
        ("a_hypothesis", "It is wet ."),
        ("b_premise", "It  rains ."),
        ("b_hypothesis", "No"),
    ]
    _lines(tmp_path / "docs.jsonl", [{"docid": k, "document": v} for k, v in docs])
    groups = [[_evidence("a_hypothesis", 2, 3, "wet"), _evidence("a_premise", 1, 3, "rains")]]
    _lines(
        tmp_path / "train.jsonl",
        [
            _line("a", groups, query=None, classification="entailment"),
            _line("b", None, query="", classification="neutral"),
        ],
    )
    tables = eraser.read(tmp_path, set_name="eSNLI")
    assert tables.info.name == "eraser.esnli"
    assert tables.items.select("statement", "split").rows() == [("It is wet .", "train"), ("No", "train")]
    assert tables.items["context"][0].to_list() == [
        {"field": "a_premise", "role": "document", "text": "It  rains ."}  # an empty token counts in docs.jsonl
    ]
    assert tables.items["context_key"].n_unique() == 1
    assert json.loads(tables.items["extra"][0]) == {"docid": "a_hypothesis"}
    assert tables.annotations["evidence"][0].to_list() == [
        {"field": "statement", "start": 6, "end": 9, "set": 0},
        {"field": "a_premise", "start": 3, "end": 9, "set": 0},
    ]
    assert tables.annotations["evidence"][1] is None
    assert tables.questions["options"][0].to_list() == ["entailment", "neutral", "contradiction"]


def test_without_a_query_the_only_document_is_the_statement(tmp_path: Path) -> None:
    rows = [
        _line("r1.txt", [[_evidence("r1.txt", 5, 6, "joy")]], query=" "),
        _line("x", [], query=None, docids=["r2.txt"]),
    ]
    tables = eraser.read(_movies(tmp_path, rows), set_name="movies")
    assert tables.items["statement"].to_list() == ["it was long .\na joy , though", "bad ."]
    assert tables.items["context"].to_list() == [[], []]
    assert tables.annotations["evidence"][0].to_list() == [{"field": "statement", "start": 16, "end": 19, "set": 0}]
    _movies(tmp_path, [_line("x", [], query=None, docids=["r1.txt", "r2.txt"])])
    with pytest.raises(SourceError, match=r'annotation "x": wanted a query or one document; found no query and "r1'):
        eraser.read(tmp_path)


def test_warts_are_counted(tmp_path: Path) -> None:
    rows = [
        _line("r1.txt", [[_evidence("r1.txt", 4, 6, "a job"), _evidence("r1.txt", 4, 6, [3, 4])]]),
        _line("two", [[_evidence("r2.txt", 0, 1, "bad")]], docids=["r1.txt"]),
        _line("none", [], classification=None),
    ]
    tables = eraser.read(_movies(tmp_path, rows), set_name="movies")
    assert _marked(tables) == [(0, "a joy")]
    assert _marked(tables, 1) == [(0, "bad")]
    assert tables.repairs == (
        "the text of an evidence is not that of its tokens; the token numbers count: 1 annotation "
        '("eraser.movies:val:r1.txt")',
        'an evidence cites a document that docids leaves out: 1 annotation ("eraser.movies:val:two")',
    )
    assert [(d.file, d.reason, d.count) for d in tables.dropped] == [("val.jsonl", "the classification is empty", 1)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (_line("r1.txt", [[_evidence("r1.txt", 4, 99, "a joy")]]), r'"r1.txt": wanted start_token .* 0 to 8.*4 to 99'),
        (_line("r1.txt", [[_evidence("r1.txt", -1, -1, "a joy")]]), "found -1 to -1"),
        (_line("r1.txt", [[_evidence("r1.txt", 4, 4, "")]]), "found 4 to 4"),
        (_line("r1.txt", [[_evidence("r3.txt", 0, 1, "a")]]), r'no document "r3.txt" among 2. Is it "r'),
        (_line("../r1.txt", [], docids=["../val.jsonl"]), 'no document "../val.jsonl"'),
        (_line("lost", []), "docids and evidences name none"),
        (_line("r1.txt", [{"docid": "r1.txt"}]), "wanted evidences as a list of groups"),
        (_line("", []), r"wanted an annotation_id of its own in row 0 \(from 0\); found none"),
    ],
)
def test_what_cannot_be_placed_is_refused(tmp_path: Path, line: dict[str, Any], said: str) -> None:
    with pytest.raises(SourceError, match=said):
        eraser.read(_movies(tmp_path, [line]))


def test_files_and_folders_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"wanted train.jsonl, val.jsonl, test.jsonl"):
        eraser.read(tmp_path)
    one, two = (_movies(tmp_path / name, [_line("r2.txt", [])]) for name in ("movies", "other"))
    assert eraser.read(tmp_path, set_name="Other").info.name == "eraser.other"
    with pytest.raises(
        SourceError, match=r'found several data sets \("movies", "other"\); name one, as in eraser:movies'
    ):
        eraser.read(tmp_path)
    with pytest.raises(SourceError, match=r'wanted the data set "movie".*Is it "movies"'):
        eraser.read(tmp_path, set_name="movie")
    _lines(one / "docs.jsonl", [{"docid": "r2.txt", "document": "bad ."}])
    with pytest.raises(SourceError, match=r"found both docs and docs.jsonl"):
        eraser.read(one)
    (two / "docs" / "r2.txt").write_bytes("schön".encode("cp1252"))
    with pytest.raises(SourceError, match="invalid UTF-8 at offset 3"):
        eraser.read(two)
    (two / "val.jsonl").write_text('{"annotation_id": "r2.txt", "evid')
    with pytest.raises(SourceError, match="line 1, column"):
        eraser.read(two)
    _lines(two / "val.jsonl", [{"annotation_id": "r1.txt", "evidence": [], "classification": "NEG"}])
    with pytest.raises(SourceError, match=r'wanted the column "evidences".*Is it "evidence"'):
        eraser.read(two)
    _lines(two / "val.jsonl", [_line("r1.txt", []), _line("r1.txt", [])])
    with pytest.raises(SourceError, match=r'found "r1.txt" a second time'):
        eraser.read(two)


SENTENCES = st.lists(
    st.lists(st.text(alphabet="aé😀.", min_size=1, max_size=3), min_size=1, max_size=5), min_size=1, max_size=4
)


@given(SENTENCES, st.data())
@settings(max_examples=30)
def test_token_ranges_survive_the_way_to_characters_and_back(sentences: list[list[str]], data: st.DataObject) -> None:
    doc = document(sentences)
    flat = [token for sentence in sentences for token in sentence]
    assert doc.text == "\n".join(" ".join(sentence) for sentence in sentences)
    start = data.draw(st.integers(0, len(flat) - 1))
    end = data.draw(st.integers(start + 1, len(flat)))
    one = _evidence("d", start, end, " ".join(flat[start:end]))
    found = evidence_spans([[one]], {"d": doc}, {"d": "d"}, "here")
    places = [(int(str(s["start"])), int(str(s["end"]))) for s in found.spans]
    assert units_of_spans(doc.units, places) == list(range(start, end))
    assert [doc.text[a:b].split() for a, b in places] == [flat[start:end]]
    assert found.n_differing == 0
