from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports import ExportSettings, argilla
from dfar_toolkit.sources.layout import SourceTables

MARK = {"start": 7, "end": 17, "label": "act"}
NESTED: dict[str, Any] = {
    "id": "r1",
    "fields": {"text": "I kept the change."},
    "metadata": {"forum": "a"},
    "suggestions": {"label": {"value": "ethical", "score": 0.9, "agent": "m"}},
    "responses": {
        "label": [{"value": "unethical", "user_id": "u1"}, {"value": "ethical", "user_id": "u2"}],
        "why": [{"value": "Not theirs.", "user_id": "u1"}],
        "marks": [{"value": [MARK], "user_id": "u1"}],
    },
    "vectors": {},
    "_server_id": "s1",
}
FLAT: dict[str, Any] = {
    "id": "r1",
    "_server_id": "s1",
    "text": "I kept the change.",
    "forum": "a",
    "label.responses": ["unethical", "ethical", "ethical"],
    "label.responses.users": ["u1", "u2", "u3"],
    "label.responses.status": ["submitted", "submitted", "draft"],
    "why.responses": ["Not theirs."],
    "why.responses.users": ["u1"],
    "why.responses.status": ["submitted"],
    "marks.responses": [[MARK]],
    "marks.responses.users": ["u1"],
    "marks.responses.status": ["submitted"],
    "label.suggestion": "ethical",
    "label.suggestion.score": 0.9,
}
FIRST: dict[str, Any] = {
    "external_id": "r1",
    "fields": {"text": "I kept the change."},
    "metadata": {"forum": "a"},
    "responses": [
        {
            "user_id": "u1",
            "status": "submitted",
            "values": {"label": {"value": "unethical"}, "why": {"value": "Not theirs."}, "marks": {"value": [MARK]}},
        },
        {"user_id": "u2", "status": "submitted", "values": {"label": {"value": "ethical"}}},
        {"user_id": "u3", "status": "discarded", "values": {}},
        {"user_id": "u4", "status": "discarded", "values": {"label": {"value": "ethical"}}},
    ],
    "suggestions": [{"question_name": "label", "value": "ethical"}],
}


def _read(folder: Path, document: object, **asked: Any) -> SourceTables:
    path = folder / "records.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return argilla.read(path, settings=ExportSettings(name="own", **asked))


@pytest.mark.parametrize(
    "document",
    [
        [NESTED],
        {"r1": NESTED},
        {name: [value] for name, value in NESTED.items()},
        [FLAT],
        {name: [value] for name, value in FLAT.items()},
        [FIRST],
    ],
    ids=["nested", "by id", "columns", "flat", "flat columns", "first"],
)
def test_every_form_gives_the_same_tables(tmp_path: Path, document: object) -> None:
    tables = _read(tmp_path, document)
    assert tables.items.select("item_id", "statement", "extra").rows() == [
        ("own:train:r1", "I kept the change.", '{"forum": "a"}')
    ]
    assert tables.annotations.select("annotator_id", "value", "reason").rows() == [
        ("own:u1", "unethical", "Not theirs."),
        ("own:u2", "ethical", None),
    ]
    spans = tables.annotations["evidence"].to_list()
    assert spans == [[{"field": "statement", "start": 7, "end": 17, "set": 0}], []]
    assert "I kept the change."[spans[0][0]["start"] : spans[0][0]["end"]] == "the change"
    assert tables.questions.row(0)[:3] == ("label", "nominal", ["ethical", "unethical"])


def test_what_was_not_submitted_is_counted_and_a_missing_status_is_said(tmp_path: Path) -> None:
    drops = _read(tmp_path, [FLAT]).dropped
    assert [(d.reason, d.count) for d in drops] == [("the response was not submitted (draft)", 1)]
    tables = _read(tmp_path, [FIRST])
    assert [(d.reason, d.count) for d in tables.dropped] == [("the response was not submitted (discarded)", 1)]
    assert tables.repairs == ()
    assert _read(tmp_path, [NESTED]).repairs[0].startswith("the export does not say whether responses were submitted")


def test_several_labels_a_rating_and_questions_that_need_a_name(tmp_path: Path) -> None:
    responses = {
        "topics": [{"value": ["b", "a"], "user_id": "u1"}],
        "stars": [{"value": 4, "user_id": "u1"}],
        "note": [{"value": "Long text.", "user_id": "u1"}],
    }
    record = {"id": "1", "fields": {"text": "I lied."}, "responses": responses}
    with pytest.raises(SourceError, match=r'question may be any of "topics", "stars", "note"'):
        _read(tmp_path, [record])
    tables = _read(tmp_path, [record], question="topics", reason="note")
    assert tables.annotations.select("value", "reason").rows() == [("b", "Long text."), ("a", "Long text.")]
    assert tables.annotations["rating_id"].n_unique() == 1
    assert 'questions that are not asked for are left out: "stars"' in tables.repairs
    tables = _read(tmp_path, [record], question="stars", kind="ordinal")
    assert tables.annotations.select("value", "value_num").rows() == [("4", 4.0)]
    assert tables.questions["options"].to_list() == [["1", "2", "3", "4"]]


def test_marks_need_their_field_where_there_is_a_context(tmp_path: Path) -> None:
    record = {**NESTED, "fields": {"text": "I kept the change.", "before": "He paid me too much."}}
    with pytest.raises(SourceError, match=r'marks may stand in any of "text", "before"; .* evidence_field'):
        _read(tmp_path, [record], context=("before",))
    tables = _read(tmp_path, [record], context=("before",), evidence_field="before")
    assert tables.annotations["evidence"][0].to_list() == [{"field": "before", "start": 7, "end": 17, "set": 0}]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "wanted records; found none"),
        ({"a": [1], "b": [1, 2]}, "wanted columns of the same length"),
        ({"a": 1}, "wanted records as a list, as columns or by id"),
        ([{"x": 1}], "record 1: wanted fields and responses"),
        ([{**NESTED, "responses": {}}], "wanted responses; found none in any record"),
        ([NESTED, NESTED], 'wanted one record per id; "r1" stands twice'),
        ([{**FLAT, "label.responses.users": ["u1"]}], 'wanted one user per response to "label"'),
        ([{**NESTED, "responses": {"label": [{"value": "a", "user_id": "u1"}] * 2}}], '"u1" answers "label" twice'),
    ],
)
def test_records_that_are_not_in_the_layout(tmp_path: Path, document: object, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        _read(tmp_path, document)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
