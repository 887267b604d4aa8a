from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports import ExportSettings, label_studio
from dfar_toolkit.sources.exports.marks import placed


def _choice(*names: str) -> dict[str, Any]:
    return {"from_name": "label", "to_name": "t", "type": "choices", "value": {"choices": list(names)}}


def _why(*lines: str) -> dict[str, Any]:
    return {"from_name": "why", "to_name": "t", "type": "textarea", "value": {"text": list(lines)}}


def _mark(start: int, end: int, words: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": words, "labels": ["act"]}
    return {"from_name": "marks", "to_name": "t", "type": "labels", "value": value}


def _by(who: object, *results: dict[str, Any], at: str = "2024-05-01T09:00:00Z", **more: Any) -> dict[str, Any]:
    return {"completed_by": who, "created_at": at, "lead_time": 12.5, "result": list(results), **more}


def _task(key: int, text: str, *annotations: dict[str, Any], **data: str) -> dict[str, Any]:
    return {"id": key, "data": {"text": text, **data}, "annotations": list(annotations), "predictions": []}


TASKS = [
    _task(
        7,
        "I kept the change.",
        _by(4, _choice("unethical"), _why("It is not theirs.", "Ask first."), _mark(7, 17, "the change")),
        _by({"id": 5, "email": "b@example.org"}, _why("No harm."), _choice("ethical"), lead_time=3),
        _by(6, was_cancelled=True),
        forum="a",
    ),
    _task(8, "I lied 😀 to him.", _by(4, _choice("unethical"), _mark(10, 16, "to him"))),
]


def _write(folder: Path, document: object, name: str = "export.json") -> Path:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def test_tasks_become_items_and_people_annotations(tmp_path: Path) -> None:
    tables = label_studio.read(_write(tmp_path, TASKS), set_name="own")
    assert tables.items.select("item_id", "statement", "split", "extra").row(0) == (
        "own:train:7",
        "I kept the change.",
        "train",
        '{"forum": "a"}',
    )
    rows = tables.annotations.select("item_id", "annotator_id", "value", "reason", "at", "seconds", "occasion").rows()
    assert rows == [
        ("own:train:7", "own:4", "unethical", "It is not theirs.\nAsk first.", "2024-05-01T09:00:00Z", 12.5, 0),
        ("own:train:7", "own:5", "ethical", "No harm.", "2024-05-01T09:00:00Z", 3.0, 0),
        ("own:train:8", "own:4", "unethical", None, "2024-05-01T09:00:00Z", 12.5, 0),
    ]
    assert tables.questions.row(0)[:3] == ("label", "nominal", ["ethical", "unethical"])
    assert [(drop.reason, drop.count) for drop in tables.dropped] == [("skipped by the annotator (was_cancelled)", 1)]
    assert tables.files[0].rows == 2


def test_marks_are_characters_of_the_stored_text_though_published_in_utf_16(tmp_path: Path) -> None:
    tables = label_studio.read(_write(tmp_path, TASKS))
    texts = dict(tables.items.select("item_id", "statement").rows())
    marks = [
        [texts[item][span["start"] : span["end"]] for span in spans]
        for item, spans in tables.annotations.select("item_id", "evidence").rows()
    ]
    assert marks == [["the change"], [], ["to him"]]  # the second person could mark and did not
    assert tables.annotations["evidence"][0].to_list() == [{"field": "statement", "start": 7, "end": 17, "set": 0}]
    assert "UTF-16" in tables.repairs[0]


def test_a_mark_on_other_words_is_left_out_and_counted(tmp_path: Path) -> None:
    task = _task(1, "I lied.", _by(1, _choice("a"), _mark(0, 4, "lied")))
    tables = label_studio.read(_write(tmp_path, [task]))
    assert tables.annotations["evidence"].to_list() == [[]]
    assert tables.dropped[0].count == 1


def test_a_mark_in_the_context_is_found_by_its_words(tmp_path: Path) -> None:
    task = _task(1, "I lied.", _by(1, _choice("a"), _mark(3, 8, "asked")), before="He asked me.")
    tables = label_studio.read(_write(tmp_path, [task]), settings=ExportSettings(context=("before",)))
    assert tables.annotations["evidence"][0].to_list() == [{"field": "before", "start": 3, "end": 8, "set": 0}]
    assert tables.items["context_key"].to_list() == ["He asked me."]


@settings(max_examples=30)
@given(text=st.text(min_size=1, max_size=12), data=st.data())
def test_a_mark_counted_either_way_comes_back_as_its_words(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    text = "".join(c for c in text if not 0xD800 <= ord(c) < 0xE000).ljust(end, "x")
    words = text[start:end]
    a, b = (len(text[:at].encode("utf-16-le")) // 2 for at in (start, end))
    place = placed({"t": text}, a, b, words)
    assert place is not None
    assert text[place[1] : place[2]] == words


def test_several_choices_are_one_rating_and_ratings_a_scale(tmp_path: Path) -> None:
    several = _task(1, "I lied.", _by(1, _choice("a", "b")), _by(2, _choice("b")))
    tables = label_studio.read(_write(tmp_path, [several]))
    assert tables.questions["kind"].to_list() == ["set"]
    assert tables.annotations.select("rating_id", "value").rows() == [
        ("label_studio:train:1#1", "a"),
        ("label_studio:train:1#1", "b"),
        ("label_studio:train:1#2", "b"),
    ]
    with pytest.raises(SourceError, match=r'wanted one answer per person; 1 answers hold several, e.g. item "1"'):
        label_studio.read(tmp_path, settings=ExportSettings(kind="nominal"))
    rated = [{"from_name": "stars", "type": "rating", "value": {"rating": n}} for n in (5, 2, 3)]
    _write(tmp_path, [_task(1, "I lied.", *(_by(n, result) for n, result in enumerate(rated, start=1)))])
    tables = label_studio.read(tmp_path)
    assert tables.questions.row(0)[1:3] == ("ordinal", ["1", "2", "3", "4", "5"])
    assert tables.annotations["value_num"].to_list() == [5.0, 2.0, 3.0]


def test_the_same_person_again_is_a_further_occasion_in_order_of_time(tmp_path: Path) -> None:
    late, early = _by(1, _choice("b"), at="2024-05-02T09:00:00Z"), _by(1, _choice("a"), at="2024-05-01T09:00:00Z")
    tables = label_studio.read(_write(tmp_path, [_task(1, "I lied.", late, early)]))
    assert tables.annotations.select("occasion", "value").rows() == [(0, "a"), (1, "b")]
    assert tables.repairs[0].startswith("1 times the same person answered an item more than once")


def test_predictions_and_drafts_are_no_answers(tmp_path: Path) -> None:
    task = {**_task(1, "I lied.", _by(1, _choice("a"))), "predictions": [_by(9, _choice("b"))], "drafts": [{}, {}]}
    tables = label_studio.read(_write(tmp_path, [task]))
    assert tables.annotations["value"].to_list() == ["a"]
    assert tables.repairs == (
        "1 predictions are no answers of people: left out",
        "2 drafts are no answers of people: left out",
    )


def test_several_controls_or_fields_need_a_name(tmp_path: Path) -> None:
    other = {"from_name": "topic", "type": "choices", "value": {"choices": ["x"]}}
    path = _write(tmp_path, [_task(1, "I lied.", _by(1, _choice("a"), other))])
    with pytest.raises(SourceError, match=r'may be any of "label", "topic"; .* question="label"'):
        label_studio.read(path)
    tables = label_studio.read(path, settings=ExportSettings(question="topic"))
    assert tables.annotations["value"].to_list() == ["x"]
    assert tables.repairs == ('controls that are not asked for are left out: "label"',)
    with pytest.raises(SourceError, match=r'in "lable"; found "label", "topic". Is it "label"'):
        label_studio.read(path, settings=ExportSettings(question="lable"))
    task = {"id": 1, "data": {"a": "I lied.", "b": "He knew."}, "annotations": [_by(1, _choice("a"))]}
    with pytest.raises(SourceError, match=r'the statement may be any of "a", "b"; .* statement="a"'):
        label_studio.read(_write(tmp_path, [task]))


def test_labels_are_mapped_and_unknown_answers_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, TASKS)
    asked = ExportSettings(options=("bad", "good"), labels={"unethical": "bad", "ethical": "good"})
    tables = label_studio.read(path, settings=asked)
    assert tables.annotations["value"].to_list() == ["bad", "good", "bad"]
    assert "Published values of label: unethical = bad, ethical = good." in tables.info.notes
    with pytest.raises(SourceError, match=r'wanted one of "ethical"; found "unethical" \(2 x\)'):
        label_studio.read(path, settings=ExportSettings(options=("ethical",)))


def test_json_min_is_refused_without_annotators_and_read_with_them(tmp_path: Path) -> None:
    row = {"id": 7, "text": "I lied.", "label": "bad", "why": "Trust.", "created_at": "x", "lead_time": 2.0}
    with pytest.raises(SourceError, match="This looks like JSON-MIN, which does not say who answered"):
        label_studio.read(_write(tmp_path, [row]))
    rows = [{**row, "annotator": 3}, {**row, "annotator": 4, "label": {"choices": ["bad", "rude"]}}]
    with pytest.raises(SourceError, match='any of "text", "label", "why" may hold the answer'):
        label_studio.read(_write(tmp_path, rows))
    tables = label_studio.read(tmp_path, settings=ExportSettings(question="label", reason="why"))
    assert tables.items["item_id"].to_list() == ["label_studio:train:7"]
    assert tables.annotations.select("annotator_id", "value", "reason", "seconds").rows() == [
        ("label_studio:3", "bad", "Trust.", 2.0),
        ("label_studio:4", "bad", "Trust.", 2.0),
        ("label_studio:4", "rude", "Trust.", 2.0),
    ]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ('[{"id": 7, "data": {"text": "I l', "line 1, column"),
        ({"id": 7}, "wanted a list of objects; found an object"),
        ([], "wanted a list of tasks; found none"),
        ([{"id": 1, "annotations": []}], "task 1: wanted an object under data"),
        ([_task(1, "I lied.")], "wanted a control with choices, ratings or marks; found none"),
        ([_task(1, "a", _by(1, _choice("x"))), _task(1, "b")], 'wanted one text per item; "1" has several'),
        ([_task(1, "\ud800", _by(1, _choice("x")))], "half a surrogate pair"),
        ([{**_task(1, "a", _by(1, _choice("x"))), "id": None}], 'wanted "id" in every task'),
    ],
)
def test_files_that_are_not_such_an_export(tmp_path: Path, document: object, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        label_studio.read(_write(tmp_path, document))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=30)
@given(cut=st.integers(1, len(json.dumps(TASKS)) - 1))
def test_a_file_that_was_cut_short_is_never_read(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = _write(tmp_path_factory.getbasetemp(), json.dumps(TASKS)[:cut], "cut.json")
    with pytest.raises(SourceError):
        label_studio.read(path)


def test_an_empty_statement_and_an_answer_without_a_choice_are_counted(tmp_path: Path) -> None:
    tasks = [_task(1, " ", _by(1, _choice("x"))), _task(2, "I lied.", _by(1, _why("Hm.")), _by(2, _choice("x")))]
    tables = label_studio.read(_write(tmp_path, copy.deepcopy(tasks)))
    assert {(drop.reason, drop.count) for drop in tables.dropped} == {
        ("the statement is empty", 1),
        ("no answer is given, a reason is", 1),
    }
    assert tables.items["item_id"].to_list() == ["label_studio:train:2"]


def test_a_split_that_is_a_field_is_asked_about(tmp_path: Path) -> None:
    raw = _write(tmp_path, [_task(1, "I lied.", _by(4, _choice("bad")), part="test")])
    with pytest.raises(SourceError, match="give split_field=part"):
        label_studio.read(raw, settings=ExportSettings(split="part"))
    assert label_studio.read(raw, settings=ExportSettings(split_field="part")).items["split"].to_list() == ["test"]
    assert label_studio.read(raw, settings=ExportSettings(split="dev")).items["split"].to_list() == ["dev"]


def test_the_same_file_twice_is_said(tmp_path: Path) -> None:
    _write(tmp_path, TASKS, "a.json")
    _write(tmp_path, TASKS, "b.json")
    tables = label_studio.read(tmp_path)
    assert tables.repairs[0].startswith("b.json holds the same bytes as a.json")


def test_options_that_differ_in_spelling_are_said_and_can_be_joined(tmp_path: Path) -> None:
    tasks = [_task(k, f"I lied {k}.", _by(4, _choice(label))) for k, label in enumerate(("Bad", "bad", "good"))]
    raw = _write(tmp_path, tasks)
    apart = label_studio.read(raw)
    assert apart.questions["options"][0].to_list() == ["Bad", "bad", "good"]
    assert apart.repairs[0].startswith('label: "Bad", "bad" differ only in spelling')
    with pytest.raises(SourceError, match="--column labels=Bad:bad"):
        label_studio.read(raw, settings=ExportSettings(options=("bad", "good")))
    joined = label_studio.read(raw, settings=ExportSettings(options=("bad", "good"), labels={"Bad": "bad"}))
    assert (joined.annotations["value"].to_list(), joined.repairs) == (["bad", "bad", "good"], ())


def test_stars_that_nobody_gave_are_not_called_chosen(tmp_path: Path) -> None:
    def stars(n: int) -> dict[str, Any]:
        return {"from_name": "stars", "to_name": "t", "type": "rating", "value": {"rating": n}}

    tasks = [_task(k, f"I lied {k}.", _by(4, stars(n))) for k, n in enumerate((2, 4, 5))]
    tables = label_studio.read(_write(tmp_path, tasks))
    assert tables.questions["options"][0].to_list() == ["1", "2", "3", "4", "5"]
    assert "whole numbers" in tables.info.notes[-1]
    assert "at least once" not in tables.info.notes[-1]


def test_an_export_of_argilla_is_named(tmp_path: Path) -> None:
    raw = _write(tmp_path, [{"id": "a", "fields": {"text": "I lied."}, "responses": {}}])
    with pytest.raises(SourceError, match="Argilla"):
        label_studio.read(raw)
