"""The sets of LeWiDi that stand beside the three of the other file, in invented records of the published layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import lewidi, read_source

MP: dict[str, Any] = {
    "annotation task": "irony detection",
    "text": {"post": "The bus is late again.", "reply": "What a surprise."},
    "annotators": "Ann0,Ann20,Ann59",
    "number of annotations": 3,
    "annotations": {"Ann0": "0", "Ann20": "1", "Ann59": "1"},
    "soft_label": {"0.0": 0.3333333333333333, "1.0": 0.6666666666666666},
    "split": "dev",
    "lang": "es",
    "other_info": {"source": "reddit", "level": 1.0, "language_variety": "mx"},
}
PAR: dict[str, Any] = {
    "annotation task": "paraphrase detection",
    "text": {"Question1": "How do I boil an egg?", "Question2": "How long does an egg boil?"},
    "number of annotators": 2,
    "annotators": "Ann1,Ann2",
    "number of annotations": 2,
    "annotations": {"Ann2": "5", "Ann1": "-4"},
    "soft_label": {str(step): 0.5 if step in (-4, 5) else 0.0 for step in range(-5, 6)},
    "split": "dev",
    "lang": "en",
    "other_info": {"explanations": ["One asks for the time only.", " the same egg"]},
}
TURNS = {"prev_agent": "Hello.", "prev_user": None, "agent": "How are you?", "user": "Shut up, toaster."}
CONV: dict[str, Any] = {
    "text": json.dumps(TURNS),
    "annotation task": "abusive language detection",
    "number of annotations": 3,
    "annotations": "-2,0,-1",
    "annotators": "Ann1,Ann4,Ann8",
    "lang": "en",
    "hard_label": "1",
    "soft_label": {"0": 0.33, "1": 0.67},
    "split": "train",
    "other_info": {
        "bot": "toaster",
        "conversation_id(s)": "17",
        "other annotations": {"sexist": "0,0,0", "target.system": "1,0,1", "explicit": "1,0"},
    },
}
MD: dict[str, Any] = {
    "text": "They closed the park.",
    "annotation task": "offensiveness detection",
    "number of annotations": 5,
    "annotations": "0,1,0,0,0",
    "annotators": "Ann1,Ann2,Ann3,Ann4,Ann5",
    "lang": "en",
    "hard_label": "0",
    "soft_label": {"0": 0.8, "1": 0.2},
    "split": "test",
    "other_info": {"domain": "Covid-19"},
}
ARMIS: dict[str, Any] = {
    "text": "جملة مخترعة.",
    "annotation task": "misogyny detection",
    "number of annotations": 3,
    "annotations": "1,0,1",
    "annotators": "Ann1,Ann2,Ann3",
    "lang": "ar",
    "hard_label": "1",
    "soft_label": {"0": 0.33, "1": 0.67},
    "split": "dev",
    "other_info": {"annotators group": "Mod_Female , Lib_Female , Cons_Male"},
}


def _write(folder: Path, name: str, record: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps({"7": record}), encoding="utf-8")


def test_mp_judges_the_reply_in_the_light_of_the_post(tmp_path: Path) -> None:
    _write(tmp_path, "MP_dev.json", MP)
    tables = read_source("lewidi:mp", tmp_path)
    item = tables.items.row(0, named=True)
    assert (item["item_id"], item["statement"], item["context_key"]) == (
        "lewidi.mp:dev:7",
        "What a surprise.",
        "The bus is late again.",
    )
    assert json.loads(item["extra"])["language_variety"] == "mx"
    assert tables.questions.row(0)[:3] == ("irony", "nominal", ["not_ironic", "ironic"])
    assert tables.annotations["value"].to_list() == ["not_ironic", "ironic", "ironic"]
    assert tables.info.languages == ("es",)
    assert tables.repairs == ()
    assert tables.dropped == ()


@pytest.mark.parametrize("prefix", ["Paraphrase", "Par"])
@pytest.mark.parametrize("asked", ["paraphrase", "Par", ""])
def test_par_is_a_scale_with_explanations_under_either_name(tmp_path: Path, prefix: str, asked: str) -> None:
    _write(tmp_path, f"{prefix}_dev.json", PAR)
    (tmp_path / f"{prefix}_annotators_meta.json").write_text('{"Ann1": {"Age": "26",}, "Ann2": {"Age": "30",}}')
    tables = lewidi.read(tmp_path, set_name=asked)
    assert tables.questions.row(0)[:3] == ("paraphrase", "ordinal", [str(step) for step in range(-5, 6)])
    assert tables.annotations.select("annotator_id", "value", "value_num", "reason").rows() == [
        ("lewidi.paraphrase:Ann2", "5", 5.0, " the same egg"),
        ("lewidi.paraphrase:Ann1", "-4", -4.0, "One asks for the time only."),
    ]
    item = tables.items.row(0, named=True)
    assert (item["statement"], item["context_key"]) == ("How long does an egg boil?", "How do I boil an egg?")
    assert tables.raters["age"].to_list() == ["26", "30"]
    assert len(tables.repairs) == 1  # the commas of the metadata


@pytest.mark.parametrize("text", [json.dumps(TURNS), TURNS])
def test_convabuse_is_a_dialogue_whose_last_turn_is_judged(tmp_path: Path, text: object) -> None:
    _write(tmp_path, "ConvAbuse_train.json", {**CONV, "text": text})
    tables = read_source("lewidi:convabuse", tmp_path)
    item = tables.items.row(0, named=True)
    assert item["statement"] == "Shut up, toaster."
    assert [(part["field"], part["role"], part["text"]) for part in item["context"]] == [
        ("prev_agent", "agent", "Hello."),
        ("prev_user", "user", ""),
        ("agent", "agent", "How are you?"),
    ]
    extra = json.loads(item["extra"])
    assert (extra["hard_label"], extra["bot"]) == ("1", "toaster")
    assert tables.questions.row(0)[:3] == (
        "abuse",
        "ordinal",
        ["very_strongly_abusive", "strongly_abusive", "mildly_abusive", "ambivalent", "not_abusive"],
    )
    abuse = tables.annotations.filter(question="abuse")
    assert abuse.select("value", "value_num").rows() == [
        ("strongly_abusive", -2.0),
        ("ambivalent", 0.0),
        ("mildly_abusive", -1.0),
    ]
    assert tables.annotations.filter(question="target_system")["value"].to_list() == ["yes", "no", "yes"]
    assert [(drop.reason, drop.count) for drop in tables.dropped] == [
        ('"explicit": the values are not one per annotator', 1)
    ]
    assert tables.repairs == ()  # the soft label is the share of people below 0


def test_convabuse_says_when_its_soft_label_is_not_the_share_of_abusive(tmp_path: Path) -> None:
    _write(tmp_path, "ConvAbuse_train.json", {**CONV, "soft_label": {"0": 0.67, "1": 0.33}})
    assert lewidi.read(tmp_path).repairs[0].startswith("ConvAbuse_train.json: soft_label differs")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": "{'user': 'hi'}"}, "wanted a dialogue as JSON under text"),
        (
            {"text": '{"user": "hi"}'},
            'wanted the turns "prev_agent", "prev_user", "agent", "user" under text',
        ),
        ({"text": "[1]"}, "under text; found a list"),
        ({"annotations": "-4,0,1"}, '"Ann1" gave "-4"'),
        ({"annotations": "1,0"}, "wanted 3 values"),
    ],
)
def test_dialogues_that_are_not_in_the_layout(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    _write(tmp_path, "ConvAbuse_train.json", {**CONV, **changes})
    with pytest.raises(SourceError) as caught:
        lewidi.read(tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("task", ["offensiveness detection", "offensive language detection"])
def test_md_agreement_whatever_its_file_calls_the_task(tmp_path: Path, task: str) -> None:
    _write(tmp_path, "MD-Agreement_test.json", {**MD, "annotation task": task})
    tables = read_source("lewidi:md-agreement", tmp_path)
    assert tables.questions.row(0)[:3] == ("offensive", "nominal", ["not_offensive", "offensive"])
    assert tables.annotations["value"].to_list().count("offensive") == 1
    assert json.loads(tables.items["extra"][0])["domain"] == "Covid-19"
    assert tables.repairs == ()


def test_armis_keeps_the_groups_of_its_annotators(tmp_path: Path) -> None:
    _write(tmp_path, "ArMIS_dev.json", ARMIS)
    tables = read_source("lewidi:armis", tmp_path)
    assert tables.questions["question"].to_list() == ["misogyny"]
    assert tables.annotations["value"].to_list() == ["misogynistic", "not_misogynistic", "misogynistic"]
    assert tables.raters["group_name"].to_list() == ["Mod_Female", "Lib_Female", "Cons_Male"]
    assert tables.info.languages == ("ar",)


def test_the_facts_name_every_set_of_both_editions() -> None:
    assert lewidi.INFO.sets == (
        *("varierrnli", "csc", "mp", "paraphrase"),
        *("hs-brexit", "md-agreement", "convabuse", "armis"),
    )
