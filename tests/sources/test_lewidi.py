from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import lewidi, read_source
from dfar_toolkit.sources.layout import SourceTables

NLI: dict[str, Any] = {
    "annotation task": "natural language inference",
    "text": {"context": "It rained all night.", "statement": "The street was wet."},
    "annotators": "Ann1,Ann2,Ann2,Ann3",
    "number of annotations": 4,
    "annotations": {"Ann1": "neutral", "Ann2": "entailment,neutral", "Ann3": "entailment"},
    "soft_label": {
        "contradiction": {"0": 1.0, "1": 0.0},
        "entailment": {"0": 0.33, "1": 0.67},
        "neutral": {"0": 0.33, "1": 0.67},
    },
    "split": "dev",
    "lang": "en",
    "other_info": {"explanations": ["Which street?", "Rain wets streets.", "It may have dried.", ""]},
}
CSC: dict[str, Any] = {
    "annotation task": "sarcasm detection",
    "text": {"context": "Steve drops the cake.", "response": "Well done, Steve."},
    "annotators": "Ann7,Ann8",
    "number of annotations": 2,
    "annotations": {"Ann7": "6", "Ann8": "4"},
    "soft_label": {"1": 0.0, "2": 0.0, "3": 0.0, "4": 0.5, "5": 0.0, "6": 0.5},
    "split": "test",
    "lang": "en",
    "other_info": {"context+speaker": "1_2"},
}
HS: dict[str, Any] = {
    "text": "They all lie.",
    "annotation task": "hate speech detection",
    "number of annotations": 3,
    "annotations": "0,1,1",
    "annotators": "Ann1,Ann2,Ann3",
    "lang": "en",
    "hard_label": "1",
    "soft_label": {"0": 0.33, "1": 0.67},
    "split": "train",
    "other_info": {
        "other annotations": {"aggressive language detection": "1,0,1", "offensive language detection": "0,No,1"},
        "annotators group": "group1,group1,group2",
        "group1": "target group",
        "group2": "control group",
    },
}


def _write(folder: Path, name: str, document: object) -> Path:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def _with(record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(record), **changes}


def _accounted(tables: SourceTables) -> None:
    """Every record is an item, every item stands in one file."""
    records = sum(file.rows for file in tables.files if "annotators_meta" not in file.name)
    assert records == tables.items.height
    assert tables.annotations.join(tables.items, on="item_id", how="anti").height == 0
    assert tables.annotations.join(tables.raters, on="annotator_id", how="anti").height == 0


def test_third_edition_with_several_values_and_an_explanation_each(tmp_path: Path) -> None:
    _write(tmp_path, "VariErrNLI_dev.json", {"17": NLI})
    tables = read_source("lewidi", tmp_path)
    _accounted(tables)
    item = tables.items.row(0, named=True)
    assert item["item_id"] == "lewidi.varierrnli:dev:17"
    assert (item["source"], item["statement"], item["context_key"]) == (
        "lewidi.varierrnli",
        "The street was wet.",
        "It rained all night.",
    )
    assert item["context"] == [{"field": "context", "role": "", "text": "It rained all night."}]
    assert json.loads(item["extra"])["soft_label"] == NLI["soft_label"]
    assert tables.annotations.select("annotator_id", "rating_id", "value", "reason", "value_num").rows() == [
        ("lewidi.varierrnli:Ann1", "lewidi.varierrnli:dev:17#1", "neutral", "Which street?", None),
        ("lewidi.varierrnli:Ann2", "lewidi.varierrnli:dev:17#2", "entailment", "Rain wets streets.", None),
        ("lewidi.varierrnli:Ann2", "lewidi.varierrnli:dev:17#2", "neutral", "It may have dried.", None),
        ("lewidi.varierrnli:Ann3", "lewidi.varierrnli:dev:17#3", "entailment", None, None),
    ]
    assert tables.questions.row(0)[:3] == ("nli", "set", ["contradiction", "entailment", "neutral"])
    assert tables.repairs == ()


def test_explanations_follow_annotators_not_the_order_of_the_object(tmp_path: Path) -> None:
    info = {"explanations": ["first of 2", "of 3", "of 1", "second of 2"]}
    _write(tmp_path, "VariErrNLI_dev.json", {"17": _with(NLI, annotators="Ann2,Ann3,Ann1,Ann2", other_info=info)})
    reasons = lewidi.read(tmp_path).annotations.select("annotator_id", "value", "reason").rows()
    assert [(who[-1], value, reason) for who, value, reason in reasons] == [
        ("1", "neutral", "of 1"),
        ("2", "entailment", "first of 2"),
        ("2", "neutral", "second of 2"),
        ("3", "entailment", "of 3"),
    ]


def test_ordinal_scale_and_metadata(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "CSC_test.json",
        {"9": CSC, "10": _with(CSC, annotators="Ann7", annotations={"Ann7": "1"}, soft_label={})},
    )
    meta = {
        "Ann7": {"Gender": "Male", "Age": "30", "CountryOfBirth": "DATA_EXPIRED", "Kind": "x"},
        "Ann9": {"Age": "20"},
    }
    _write(tmp_path, "CSC_annotators_meta.json", meta)
    tables = read_source("lewidi:csc", tmp_path)
    _accounted(tables)
    assert tables.items.select("item_id", "statement").rows() == [
        ("lewidi.csc:test:9", "Well done, Steve."),
        ("lewidi.csc:test:10", "Well done, Steve."),
    ]
    assert tables.annotations["value_num"].to_list() == [6.0, 4.0, 1.0]
    assert tables.annotations["value"].to_list() == ["6", "4", "1"]
    assert tables.questions.row(0)[1:3] == ("ordinal", ["1", "2", "3", "4", "5", "6"])
    assert tables.raters.to_dicts() == [
        {"annotator_id": "lewidi.csc:Ann7", "kind": "human", "gender": "Male", "age": "30"}
        | {"country_of_birth": "DATA_EXPIRED", "published_kind": "x"},
        {"annotator_id": "lewidi.csc:Ann8", "kind": "human", "gender": None, "age": None}
        | {"country_of_birth": None, "published_kind": None},
    ]
    assert [(d.file, d.count, d.examples) for d in tables.dropped] == [
        ("CSC_annotators_meta.json", 1, ("lewidi.csc:Ann9",))
    ]
    assert tables.repairs == (
        'CSC_test.json: "number of annotations" is not the number found in 1 of 2 items ("lewidi.csc:test:10")',
        'CSC_annotators_meta.json: says nothing about 1 annotators ("lewidi.csc:Ann8")',
    )


def test_second_edition_with_groups_further_questions_and_a_word_for_a_number(tmp_path: Path) -> None:
    _write(tmp_path, "HS-Brexit_train.json", {"1": HS})
    tables = read_source("lewidi:HS-Brexit", tmp_path)
    _accounted(tables)
    assert tables.questions["question"].to_list() == ["hate_speech", "aggressive_language", "offensive_language"]
    item = "lewidi.hs-brexit:train:1"
    assert tables.annotations.select("question", "rating_id", "value").rows() == [
        ("hate_speech", f"{item}#1", "no_hate_speech"),
        ("hate_speech", f"{item}#2", "hate_speech"),
        ("hate_speech", f"{item}#3", "hate_speech"),
        ("aggressive_language", f"{item}#aggressive_language#1", "aggressive"),
        ("aggressive_language", f"{item}#aggressive_language#2", "not_aggressive"),
        ("aggressive_language", f"{item}#aggressive_language#3", "aggressive"),
        ("offensive_language", f"{item}#offensive_language#1", "not_offensive"),
        ("offensive_language", f"{item}#offensive_language#2", "offensive"),
    ]
    assert [(d.reason, d.count, d.examples) for d in tables.dropped] == [
        ('offensive_language: the value "No" is none of "0", "1"', 1, (item,))
    ]
    assert tables.raters["group_name"].to_list() == ["target group", "target group", "control group"]
    extra = json.loads(tables.items["extra"][0])
    assert extra["hard_label"] == "1"
    assert extra["value_names"] == {"0": "no_hate_speech", "1": "hate_speech"}
    assert "Published values of hate_speech: 0 = no_hate_speech, 1 = hate_speech." in tables.info.notes


def test_other_sets_of_both_layouts_load_by_their_content(tmp_path: Path) -> None:
    third = _with(CSC, text={"post": "Nice.", "reply": "Very."}, annotations={"a": "1", "b": "0"}, annotators="a,b")
    third |= {"annotation task": "irony detection", "soft_label": {"0.0": 0.5, "1.0": 0.5}, "lang": "es"}
    _write(tmp_path, "Own_train.json", {"x": third})
    tables = lewidi.read(tmp_path)
    assert tables.repairs == (
        'Own_train.json: 1 of 1 items name another split ("lewidi.own:train:x"); the file\'s is used',
    )
    assert tables.questions.row(0)[:3] == ("irony", "nominal", ["0", "1"])
    assert tables.items.select("statement", "context_key").row(0) == ("Very.", "Nice.")
    assert tables.info.languages == ("es",)
    second = _with(HS, annotations="-1,2,10", soft_label={}, other_info={}, text={"user": "Hi", "agent": "No"})
    _write(tmp_path, "Talk_dev.json", {"1": second})
    tables = lewidi.read(tmp_path, set_name="talk")
    assert tables.questions.row(0)[1:3] == ("ordinal", ["-1", "2", "10"])
    assert tables.annotations["value_num"].to_list() == [-1.0, 2.0, 10.0]


def test_empty_and_repeated_values_are_counted(tmp_path: Path) -> None:
    given = {"Ann1": "neutral,neutral", "Ann2": "", "Ann3": "entailment"}
    info = {"explanations": ["a", "b", "c"]}
    record = _with(NLI, annotations=given, annotators="Ann1,Ann1,Ann3", other_info=info, soft_label={})
    _write(
        tmp_path, "VariErrNLI_dev.json", {"17": record, "18": _with(NLI, annotations={}, annotators="", other_info={})}
    )
    tables = lewidi.read(tmp_path)
    assert tables.items.height == 2
    assert tables.annotations.select("value", "reason").rows() == [("neutral", "a"), ("entailment", "c")]
    assert {(d.reason, d.count) for d in tables.dropped} == {
        ("no value given", 1),
        ("the same value twice in one rating", 1),
    }


def test_soft_labels_and_splits_that_disagree_are_said_not_dropped(tmp_path: Path) -> None:
    off = _with(HS, soft_label={"0": 0.31, "1": 0.69}, split="test")
    _write(tmp_path, "HS-Brexit_train.json", {"1": HS, "2": off, "3": _with(HS, soft_label={"0": 1.0})})
    tables = lewidi.read(tmp_path)
    assert tables.items.height == 3
    assert tables.repairs[0].startswith(
        "HS-Brexit_train.json: soft_label differs from the annotations by more than its rounding (0.01) in 2 of 3 items"
    )
    assert "1 of 3 items name another split" in tables.repairs[1]


def test_several_sets_need_a_name(tmp_path: Path) -> None:
    _write(tmp_path, "CSC_test.json", {"9": CSC})
    (tmp_path / "HS-Brexit_dataset").mkdir()
    _write(tmp_path, "VariErrNLI_dev.json", {"17": NLI})
    with pytest.raises(SourceError, match=r'found several sets \("csc", "varierrnli"\); name one, as in lewidi:csc'):
        read_source("lewidi", tmp_path)
    with pytest.raises(SourceError, match=r'wanted the set "cscs"; found "csc", "varierrnli". Is it "csc"'):
        read_source("lewidi:cscs", tmp_path)


def test_sets_in_sub_folders(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    _write(tmp_path / "one", "CSC_test.json", {"9": CSC})
    assert lewidi.read(tmp_path).items.height == 1
    _write(tmp_path / "two", "CSC_test.json", {"9": CSC})
    with pytest.raises(SourceError, match=r"CSC_test.json stands in two folders"):
        lewidi.read(tmp_path)


def test_metadata_with_trailing_commas_is_repaired_and_said_or_refused(tmp_path: Path) -> None:
    _write(tmp_path, "VariErrNLI_dev.json", {"17": NLI})
    _write(tmp_path, "VariErrNLI_annotators_meta.json", '{"Ann1": {"Age": "22",}, "Ann2": {"Age": "33",}}')
    tables = read_source("lewidi:varierrnli", tmp_path)
    assert "VariErrNLI_annotators_meta.json: removed 2 trailing commas" in tables.repairs
    assert tables.raters["age"].to_list() == ["22", "33", None]
    with pytest.raises(SourceError, match=r"VariErrNLI_annotators_meta.json: line 1, column \d+: not valid JSON"):
        read_source("lewidi:varierrnli", tmp_path, repair=False)


@pytest.mark.parametrize(
    ("name", "record", "said"),
    [
        ("CSC", _with(CSC, annotations={"Ann7": "7", "Ann8": "1"}), '"Ann7" gave "7"'),
        ("CSC", _with(CSC, annotations={"Ann7": "1,2", "Ann8": "1"}), "wanted one value per person for sarcasm"),
        ("CSC", _with(CSC, text={"context": "x"}), 'wanted the text "response"; found "context"'),
        ("CSC", _with(CSC, **{"annotation task": "irony"}), 'wanted the tasks "sarcasm detection"; found "irony"'),
        (
            "CSC",
            {"text": "x"},
            'wanted the fields "text", "annotations", "annotators", "annotation task"; found "text"',
        ),
        ("CSC", [1], "wanted an object; found a list"),
        ("CSC", _with(CSC, text=3), "wanted a text, or an object of texts"),
        (
            "HS-Brexit",
            _with(HS, annotations="0,1"),
            'wanted 3 values of "hate speech detection", one per annotator; found 2',
        ),
        (
            "VariErrNLI",
            _with(NLI, other_info={"explanations": ["a"]}),
            "one explanation per entry of annotators (4); found 1",
        ),
        ("VariErrNLI", _with(NLI, annotators="Ann1,Ann1,Ann2,Ann3"), '"Ann1" gave 1 values and stands 2 times'),
    ],
)
def test_records_that_are_not_in_the_layout(tmp_path: Path, name: str, record: object, said: str) -> None:
    path = _write(tmp_path, f"{name}_dev.json", {"5": record})
    with pytest.raises(SourceError) as caught:
        lewidi.read(tmp_path)
    assert str(caught.value).startswith(f'{path}: record "5": ')
    assert said in str(caught.value)


def test_a_file_that_is_no_object_and_a_folder_without_sets(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"wanted files <SET>_train.json, .* found none"):
        lewidi.read(tmp_path)
    _write(tmp_path, "CSC_dev.json", [CSC])
    with pytest.raises(SourceError, match="wanted an object of records by their keys; found a list"):
        lewidi.read(tmp_path)


@pytest.fixture(scope="module")
def published(shared_data: Path) -> Callable[[str], SourceTables]:
    return lambda name: read_source(f"lewidi:{name}", shared_data / "lewidi")


@pytest.mark.real
def test_published_varierrnli(published: Callable[[str], SourceTables]) -> None:
    tables = published("varierrnli")
    _accounted(tables)
    assert [file.rows for file in tables.files] == [388, 50, 50, 4]
    assert tables.annotations.height == 1891
    assert tables.annotations["rating_id"].n_unique() == 1891 - 75  # 75 ratings hold two values
    assert tables.annotations["reason"].null_count() == 0
    assert tables.repairs == ("VariErrNLI_annotators_meta.json: removed 4 trailing commas",)
    assert tables.dropped == ()
    assert tables.raters.columns == ["annotator_id", "kind", "gender", "age", "nationality", "education"]


@pytest.mark.real
def test_published_csc(published: Callable[[str], SourceTables]) -> None:
    tables = published("csc")
    _accounted(tables)
    assert tables.items.group_by("split").len().sort("split").rows() == [("dev", 704), ("test", 704)]
    assert tables.items["context_key"].n_unique() == 71
    assert tables.annotations.height == 6410
    assert tables.raters.height == 872
    assert tables.raters["age"].null_count() == 32
    assert tables.dropped == ()
    assert len(tables.repairs) == 1
    first = tables.annotations.filter(pl.col("item_id") == "lewidi.csc:dev:3944")
    assert first["annotator_id"].to_list() == [f"lewidi.csc:Ann{n}" for n in range(844, 848)]


@pytest.mark.real
def test_published_hs_brexit(published: Callable[[str], SourceTables]) -> None:
    tables = published("hs-brexit")
    _accounted(tables)
    assert [file.rows for file in tables.files] == [784, 168, 168]
    assert tables.annotations.height + sum(d.count for d in tables.dropped) == 3 * 6 * 1120
    assert sum(d.count for d in tables.dropped) == 3
    assert tables.raters["group_name"].value_counts().sort("group_name").rows() == [
        ("control group", 3),
        ("target group", 3),
    ]
    assert tables.repairs == ()


@pytest.mark.real
def test_published_folder_without_a_set_and_without_repair(shared_data: Path) -> None:
    with pytest.raises(SourceError, match=r'found several sets \("csc", "hs-brexit", "varierrnli"\)'):
        read_source("lewidi", shared_data / "lewidi")
    with pytest.raises(SourceError, match="The only damage is 4 trailing commas"):
        read_source("lewidi:varierrnli", shared_data / "lewidi", repair=False)
