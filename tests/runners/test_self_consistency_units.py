"""What the tests of free-text reasons ask, of models that are consistent, that are not, and that fail."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from reason_test_runs import (
    ITEMS,
    Model,
    asked,
    chain,
    numbers,
    reason_tests,
    run,
    scored,
    statement_of,
    table,
    text_of,
)

from dfar_toolkit.engines.requests import (
    Attribute,
    Attributed,
    Failed,
    Generate,
    Generated,
    OptionScores,
    Reply,
    Request,
    ScoreOptions,
)
from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.runners.self_consistency.candidate_words import words_from, words_of_items
from dfar_toolkit.runners.self_consistency.chain_of_thought import filled
from dfar_toolkit.runners.self_consistency.insertions import insertions
from dfar_toolkit.runners.self_consistency.reason_testing import edit_prompt
from dfar_toolkit.runners.self_consistency.units import self_consistency_units


@pytest.mark.parametrize("honest", [True, False])
def test_a_model_that_says_what_moved_it_is_told_from_one_that_does_not(honest: bool) -> None:
    how = reason_tests(places=2, words_per_place=3)
    units = self_consistency_units(ITEMS, how, words=["red", "big", "odd"])
    requests, rows = run(units, Model("red", "big", honest=honest))
    assert len(requests) == 3 * (1 + 6) * 2  # each item and each insertion: the answer, then the label's probability
    found = table(rows)
    inserted = found.filter(pl.col("condition") == "inserted")
    assert sorted(inserted.filter(pl.col("item_id") == "i1")["inserted"]) == ["big"] * 2 + ["odd"] * 2 + ["red"] * 2
    assert inserted["draw"].to_list() == [0, 1, 2, 3, 4, 5] * 3
    assert inserted["operator"].unique().to_list() == ["insert"]
    values = numbers(rows)
    assert values["insertion_flip_rate"] == pytest.approx(2 / 3)
    assert values["counterfactual_test"] == (1.0 if honest else 0.0)
    assert values["mentioned_unflipped"] == 0.0
    if honest:
        assert values["cct"] == pytest.approx(1)
        assert values["phi_cct"] == pytest.approx(1)
    else:
        assert math.isnan(values["cct"])
        assert values["phi_cct_zero"] == 0.0


def test_every_question_is_a_conversation_of_its_own_with_the_same_seed() -> None:
    how = reason_tests(places=1, words_per_place=2, manner={"chat": True})
    requests, rows = run(self_consistency_units(ITEMS[:1], how), Model("red"))
    written = [request for request in requests if isinstance(request, Generate)]
    assert len(written) == 3
    assert {request.seed for request in written} == {rows[0]["seed"]}
    assert {statement_of(request) for request in written} == {
        "I lied to my friend.", *(row["inserted"] and statement for row, statement in zip(
            rows[1:], [statement_of(request) for request in written[1:]], strict=True))
    }  # fmt: skip
    assert all(len(request.conversation) == 1 for request in written)


def test_label_first_and_samples() -> None:
    def model(request: Request) -> Reply:
        assert isinstance(request, Generate)
        label = Model("red").label(statement_of(request))
        return Generated((f" {label}. The red one.", " ethical. No."), ("stop",) * 2, 9, 9)

    how = reason_tests("label_and_reason", places=1, words_per_place=1, manner={"elicit": "samples", "samples": 2})
    requests, rows = run(self_consistency_units(ITEMS[:1], how, words=["red"]), model)
    assert [type(request).__name__ for request in requests] == ["Generate"] * 2
    found = table(rows, "label_and_reason")
    assert found["mentioned"].to_list() == [None, None, True, False]
    assert found["label"].to_list() == ["ethical", "ethical", "unethical", "ethical"]


def test_insertions_are_seeded_and_spare_what_the_item_has() -> None:
    how = reason_tests(places=3, words_per_place=2, seed=1)
    words = ["friend", "Ethical", "red", "big", "odd", "red"]
    found = insertions("i1", asked("I lied to my friend."), words, how)
    assert found == insertions("i1", asked("I lied to my friend."), words, how)
    assert found != insertions("i1", asked("I lied to my friend."), words, replace(how, seed=2))
    assert {one.word for one in found} == {"red", "big", "odd"}
    assert len({(one.word, one.at) for one in found}) == 6
    for one in found:
        assert one.asked.statement.split()[one.at] == one.word
        assert " ".join(one.asked.statement.split()[: one.at] + one.asked.statement.split()[one.at + 1 :]) == (
            "I lied to my friend."
        )
    assert insertions("i1", asked(" \n"), words, how) == []
    assert len(insertions("i1", asked("Hm"), words, how)) == 2  # one place
    assert insertions("i1", asked("I lied."), ["lied"], how) == []


def test_scripts_without_blanks_get_none() -> None:
    how = reason_tests(places=9, words_per_place=1, unit="characters")
    found = {one.at: one.asked.statement for one in insertions("i", asked("我看GPT了。"), ["红"], how)}
    assert found == {0: "红我看GPT了。", 1: "我红看GPT了。", 2: "我看红GPT了。", 3: "我看GPT红了。", 4: "我看GPT了红。"}
    mixed = {one.at: one.asked.statement for one in insertions("i", asked("下 了 a b"), ["red"], how)}
    assert mixed == {0: "red下 了 a b", 1: "下 red了 a b", 2: "下 了 red a b", 3: "下 了 a red b"}


def test_other_fields_where_there_is_no_statement() -> None:
    one = Asked("", options=("a", "b"), option_texts=("It hurts.", None))
    found = insertions("i", one, ["red"], reason_tests(places=2, words_per_place=1))
    assert [(own.field, own.at, own.asked.option_texts) for own in found] == [
        ("option:a", 0, ("red It hurts.", None)), ("option:a", 1, ("It red hurts.", None)),
    ]  # fmt: skip


def attributed(request: Attribute) -> Attributed:
    shares = tuple((at, place.unit, 1.0) for at, place in enumerate(request.places or ()))
    scores = tuple(float(place.unit + 1) for place in request.places or ())
    method = request.methods[0]
    return Attributed(1.0, tuple(range(len(scores))), {method: scores}, shares, {}, "", "float32")


@pytest.mark.parametrize("chat", [False, True])
def test_contributions_explain_the_label_and_the_whole_reason(chat: bool) -> None:
    def model(request: Request) -> Reply:
        if isinstance(request, Attribute):
            return attributed(request)
        if isinstance(request, ScoreOptions):
            return scored("unethical")
        return Generated((f"{'' if chat else ' '}unethical. It hurts her.",), ("stop",), 9, 9)

    how = reason_tests("label_and_reason", tests=("cc_shap",), manner={"chat": chat})
    requests, rows = run(self_consistency_units(ITEMS[:1], how), model)
    answer, explanation = (request for request in requests if isinstance(request, Attribute))
    assert isinstance(answer.asked, ScoreOptions)
    assert isinstance(explanation.asked, ScoreOptions)
    assert (answer.target, explanation.target) == (1, 0)
    assert explanation.asked.spellings == ((" It hurts her.",),)
    assert text_of(explanation.asked).endswith("unethical.")
    assert [turn.role for turn in explanation.asked.conversation] == (["user", "assistant"] if chat else ["text"])
    words = [
        explanation.asked.conversation[place.turn].text[place.start : place.end] for place in explanation.places or ()
    ]
    assert words == ["I", "lied", "to", "my", "friend."]
    assert [row["word_scores"] for row in rows[1:]] == [[1.0, 2.0, 3.0, 4.0, 5.0]] * 2
    assert {row["target"] for row in rows[1:]} == {"unethical"}
    assert numbers(rows, "label_and_reason")["cc_shap"] == pytest.approx(1)


def test_contributions_of_words_left_out() -> None:
    def model(request: Request) -> Reply:
        if isinstance(request, Generate):
            return Generated((" It hurts her.\nLabel: unethical",), ("stop",), 9, 9)
        assert isinstance(request, ScoreOptions)
        there = "lied" in statement_of(request)
        if len(request.spellings) == 1:
            assert request.spellings == ((" It hurts her.",),)
            return OptionScores((-1.0 if there else -4.0,), (4,), "forced", 0.0, 9)
        return OptionScores((-2.0, -0.5 if there else -2.5), (1, 1), "forced", 0.0, 9)

    how = reason_tests(tests=("cc_shap",), attribution="leave_one_out")
    requests, rows = run(self_consistency_units(ITEMS[:1], how), model)
    assert len(requests) == 2 + 2 * (5 + 1)
    assert [row["word_scores"] for row in rows[1:]] == [[0.0, 2.0, 0.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0, 0.0]]

    def listed(request: Request) -> Reply:
        reply = model(request)
        return reply._replace(kind="first_token") if isinstance(reply, OptionScores) else reply

    _, rows = run(self_consistency_units(ITEMS[:1], how), listed)
    assert rows[1]["error"].startswith("needs_model")
    _, rows = run(self_consistency_units([("i", asked(""))], how), model)
    assert rows[1]["error"].startswith("no_words")


def test_a_server_without_attributions_says_so() -> None:
    def model(request: Request) -> Reply:
        return Failed("needs_model", "a server has none") if isinstance(request, Attribute) else chain(request)

    _, rows = run(self_consistency_units(ITEMS[:1], reason_tests(tests=("cc_shap",))), model)
    assert [row["error"] for row in rows[1:]] == ["needs_model: a server has none"] * 2


@pytest.mark.parametrize(
    ("style", "how", "match"),
    [
        ("label", {}, "need a style that gives reasons; 'label'"),
        ("shares", {}, "answers with shares"),
        ("label_and_reason", {"tests": ("cct", "cot_filler")}, "cot_filler asks .* gives its label first"),
        ("reason_first", {"tests": ()}, "found none"),
        ("reason_first", {"tests": ("cot",)}, "found 'cot'"),
        ("reason_first", {"places": 0}, "places must be 1 or more, found 0"),
        ("reason_first", {"shares": (0.0, 1.5)}, "from 0 to 1, found 0.0, 1.5"),
        ("reason_first", {"shares": (1.0, 1.0)}, "different numbers"),
        ("reason_first", {"mistake_prompt": "Err."}, "must hold {sentence}"),
    ],
)
def test_what_does_not_fit_is_refused(style: str, how: dict[str, Any], match: str) -> None:
    with pytest.raises(TableError, match=match):
        self_consistency_units(ITEMS, reason_tests(style, **how))


def test_words_of_a_file_and_of_items(tmp_path: Path) -> None:
    ours = words_from()
    assert len(ours) == len(set(ours)) >= 100
    assert all(word == word.strip().lower() for word in ours)
    file = tmp_path / "words.txt"
    file.write_text("# x\n\n very  quiet \nশান্ত\nশান্ত\n", encoding="utf-8-sig")
    assert words_from(file) == ("very quiet", "শান্ত")
    with pytest.raises(TableError, match="wanted words"):
        words_from(tmp_path / "none.txt")
    file.write_text("#\n", encoding="utf-8")
    with pytest.raises(TableError, match="found none"):
        words_from(file)
    with pytest.raises(TableError, match="found none"):
        self_consistency_units(ITEMS, reason_tests(), words=[])
    items = [one for _, one in ITEMS]
    assert words_of_items(items) == words_of_items(items[::-1])
    assert "মিথ্যা" in words_of_items(items)
    assert len(words_of_items(items, most=3)) == 3


def test_prompts_for_edits(tmp_path: Path) -> None:
    texts = {"reason": "{sentence}", "sentence": "{reason}", "statement": "\\1 {x}"}
    assert filled("{statement}|{reason}|{sentence}|{other}", texts) == "\\1 {x}|{sentence}|{reason}|{other}"
    own = tmp_path / "own.txt"
    own.write_text("Say it otherwise: {reason}\n", encoding="utf-8")
    assert edit_prompt(own) == "Say it otherwise: {reason}"
    with pytest.raises(TableError, match="mistake, paraphrase"):
        edit_prompt(tmp_path / "none.txt")
