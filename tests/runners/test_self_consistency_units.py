"""What the tests of free-text reasons ask, of models that are consistent, that are not, and that fail."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

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
from dfar_toolkit.metrics.self_consistency.mentions import mentions, with_mentions
from dfar_toolkit.metrics.self_consistency.self_consistency_table import self_consistency_table
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.styles import load_style
from dfar_toolkit.runners.answers import Reading
from dfar_toolkit.runners.prompting import Manner
from dfar_toolkit.runners.rationales.explained_table import explained_table
from dfar_toolkit.runners.self_consistency.candidate_words import words_from, words_of_items
from dfar_toolkit.runners.self_consistency.chain_of_thought import filled, sentence_pool
from dfar_toolkit.runners.self_consistency.insertions import insertions
from dfar_toolkit.runners.self_consistency.reason_testing import ReasonTesting, edit_prompt
from dfar_toolkit.runners.self_consistency.units import self_consistency_units
from dfar_toolkit.runners.units import Row, Unit

OPTIONS = ("ethical", "unethical")
KEY = ["item_id", "annotator_id", "sample", "method", "condition", "operator", "k", "draw"]
Answer = Callable[[Request], Reply]
LABELS = {"ethical": (0.9, 0.1), "unethical": (0.2, 0.8)}


def asked(statement: str) -> Asked:
    return Asked(statement, options=OPTIONS, wording="Is it ethical?")


def reason_tests(style: str = "reason_first", **how: Any) -> ReasonTesting:
    manner = how.pop("manner", {})
    return ReasonTesting(Manner(load_style(style), **manner), **how)


def run(units: list[Unit], answer: Answer) -> tuple[list[Any], list[Row]]:
    """All requests, in order, and all rows."""
    requests: list[Any] = []
    rows: list[Row] = []
    for unit in units:
        steps: Any = unit.start()
        try:
            request = next(steps)
            while True:
                requests += request
                request = steps.send([answer(one) for one in request])
        except StopIteration as end:
            rows += end.value
    return requests, rows


def table(rows: list[Row], style: str = "reason_first") -> pl.DataFrame:
    said = pl.DataFrame(rows, infer_schema_length=None)
    found = explained_table(said, Reading("r", "q", OPTIONS, answer=load_style(style).answer))
    assert found.select(KEY).is_unique().all()
    return with_mentions(found) if "inserted" in found.columns else found


def text_of(request: Any) -> str:
    return "\n".join(turn.text for turn in request.conversation)


def statement_of(request: Any) -> str:
    return text_of(request).rpartition("Statement: ")[2].split("\n")[0]


def scored(label: str) -> OptionScores:
    return OptionScores(tuple(map(math.log, LABELS[label])), (1, 1), "forced", 0.0, 5)


class Model:
    """Answers by whether the statement has one of some words; its reason repeats the statement or never does."""

    def __init__(self, *triggers: str, honest: bool = True) -> None:
        self.triggers, self.honest = triggers, honest

    def label(self, text: str) -> str:
        return "unethical" if any(mentions(text, word) for word in self.triggers) else "ethical"

    def __call__(self, request: Request) -> Reply:
        if isinstance(request, ScoreOptions):
            return scored(self.label(statement_of(request)))
        assert isinstance(request, Generate)
        label = self.label(statement_of(request))
        moved = [word for word in self.triggers if mentions(statement_of(request), word)]
        reason = f"The {' '.join(moved) or 'usual'} thing counts." if self.honest else "It just is so."
        return Generated((f" {reason}\nLabel: {label}",) * request.samples, ("stop",) * request.samples, 9, 9)


ITEMS = [("i1", asked("I lied to my friend.")), ("i2", asked("Ich helfe gern.")), ("i3", asked("আমি মিথ্যা বলেছি।"))]


def numbers(rows: list[Row], style: str = "reason_first") -> dict[str, float]:
    found = self_consistency_table(table(rows, style), n_boot=20)
    return dict(found.select("metric", "value").rows())


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


REASON = "It hurts her. She trusts me. So it is bad."


def chain(request: Request) -> Reply:
    """Unethical as long as the reason says that it hurts."""
    if isinstance(request, ScoreOptions):
        return scored("unethical" if "hurts" in text_of(request).rsplit("Reason:", 1)[1] else "ethical")
    assert isinstance(request, Generate)
    if "other words" in text_of(request):
        return Generated((" It pains her and hurts. Bad.\n",), ("stop",), 9, 9)
    if "mistake" in text_of(request):
        return Generated((" She is fine with it.\nMore.",), ("stop",), 9, 9)
    return Generated((f" {REASON}\nLabel: unethical",), ("stop",), 9, 9)


CHAIN = ("cot_early", "cot_mistake", "cot_filler", "cot_paraphrase")


def test_the_chain_is_cut_spoilt_emptied_and_put_otherwise() -> None:
    how = reason_tests(tests=CHAIN, mistakes=3)
    requests, rows = run(self_consistency_units(ITEMS[:1], how), chain)
    by = {(row["condition"], row["draw"]): row for row in rows if row["condition"] != "full"}
    early = [row for row in rows if row["condition"] == "cot_early"]
    assert {row["draw"]: (row["k"], row["shown_reason"]) for row in early} == {
        0: (0, " "), 1: (1, "It hurts her."), 2: (2, "It hurts her. She trusts me."), 3: (3, REASON), 4: (3, REASON),
    }  # fmt: skip
    assert [by["cot_mistake", draw]["shown_reason"] for draw in range(3)] == [
        "She is fine with it. She trusts me. So it is bad.", "It hurts her. She is fine with it. So it is bad.",
        "It hurts her. She trusts me. She is fine with it.",
    ]  # fmt: skip
    assert by["cot_filler", 0]["shown_reason"] == " ".join(["..."] * 10)
    assert by["cot_paraphrase", 0]["shown_reason"] == "It pains her and hurts. Bad."
    assert by["cot_full", 0]["shown_reason"] == REASON
    scoring = [request for request in requests if isinstance(request, ScoreOptions)]
    # One for the answer; then the whole reason once, though early answering keeps it twice.
    assert len(scoring) == 1 + 1 + 3 + 3 + 1 + 1
    assert text_of(scoring[-1]).endswith("Reason: It pains her and hurts. Bad.\nLabel:")
    assert any(text_of(request).endswith("Reason: \nLabel:") for request in scoring)
    values = numbers(rows)
    assert values["cot_mistake_change_rate"] == pytest.approx(1 / 3)
    assert (values["cot_filler_change_rate"], values["cot_paraphrase_change_rate"]) == (1.0, 0.0)
    assert values["early_answering_area"] == pytest.approx(1 / 8)  # another label only without any sentence
    assert values["cot_filler_tvd"] == pytest.approx(0.7)


def test_words_and_characters_instead() -> None:
    how = reason_tests(tests=("cot_early", "cot_filler"), cut="words", shares=(0.0, 0.5, 1.0), filler="characters")
    _, rows = run(self_consistency_units(ITEMS[:1], how), chain)
    shown = [row["shown_reason"] for row in rows if row["condition"] in ("cot_early", "cot_filler")]
    assert shown == [" ", "It hurts her. She trusts", REASON, ".. ..... .... ... ...... ... .. .. .. ...."]
    assert {row["operator"] for row in rows if row["condition"] == "cot_early"} == {"words"}


def test_samples_read_the_label_that_is_written_next() -> None:
    def model(request: Request) -> Reply:
        assert isinstance(request, Generate)
        if text_of(request).endswith("Label:"):
            return Generated((" unethical", " ethical"), ("stop",) * 2, 9, 1)
        return Generated((f" {REASON}\nLabel: unethical",) * 2, ("stop",) * 2, 9, 9)

    how = reason_tests(tests=("cot_filler",), manner={"elicit": "samples", "samples": 2, "temperature": 1.0})
    _, rows = run(self_consistency_units(ITEMS[:1], how), model)
    found = table(rows)
    own = found.filter(pl.col("condition") == "cot_filler")
    assert own["sample"].to_list() == [0, 1]
    assert own["label"].to_list() == ["unethical", "ethical"]


def test_sentences_of_other_items() -> None:
    pool = sentence_pool({"i1": [REASON], "i9": ["Fish swim."], "i1b": []})
    how = reason_tests(tests=("cot_mistake",), mistake="other_sentence", mistakes=2)
    requests, rows = run(self_consistency_units(ITEMS[:1], how, pool=pool), chain)
    assert sum(isinstance(request, Generate) for request in requests) == 1  # only the answer
    spoilt = [row["shown_reason"] for row in rows if row["condition"] == "cot_mistake"]
    assert len(spoilt) == 2
    assert all("Fish swim." in text for text in spoilt)
    with pytest.raises(TableError, match="reasons of two items"):
        self_consistency_units(ITEMS, how, pool=sentence_pool({"i1": [REASON]}))


@pytest.mark.parametrize("reason", ["", "...", "!!!", "\u200b"])
def test_an_empty_reason_has_nothing_to_change(reason: str) -> None:
    def model(request: Request) -> Reply:
        if isinstance(request, ScoreOptions):
            return scored("ethical")
        return Generated((f" {reason}\nLabel: ethical",), ("stop",), 9, 9)

    _, rows = run(self_consistency_units(ITEMS[:1], reason_tests(tests=(*CHAIN, "cc_shap"))), model)
    assert [(row["condition"], row.get("method", "")) for row in rows] == [
        ("full", ""), ("cot_full", "cot"), ("rationale", "cc_answer"), ("rationale", "cc_explanation"),
    ]  # fmt: skip
    assert rows[1]["n_pieces"] == 0
    assert rows[2]["error"].startswith("no_reason")
    assert math.isnan(numbers(rows)["cc_shap"])


def test_edits_that_come_to_nothing_and_answers_that_fail() -> None:
    def model(request: Request) -> Reply:
        text = text_of(request)
        if isinstance(request, Generate) and "other words" in text:
            return Failed("timeout", "too slow")
        if isinstance(request, Generate) and "mistake" in text:
            return Generated((" ",), ("stop",), 9, 0)
        return chain(request)

    _, rows = run(self_consistency_units(ITEMS[:1], reason_tests(tests=CHAIN)), model)
    by = {row["condition"]: row for row in rows}
    assert (by["cot_mistake"]["edited"], by["cot_mistake"]["shown_reason"]) == (False, None)
    assert by["cot_paraphrase"]["error"] == "timeout: too slow"
    found = self_consistency_table(table(rows), n_boot=20)
    rates = {row["metric"]: row for row in found.rows(named=True)}
    assert rates["cot_mistake_change_rate"]["coverage"] == 0
    assert "1 of 1 edits left the reason as it was" in rates["cot_mistake_change_rate"]["note"]
    assert math.isnan(rates["cot_paraphrase_change_rate"]["value"])
    _, rows = run(self_consistency_units(ITEMS[:1], reason_tests(tests=CHAIN)), lambda _: Failed("server", "down"))
    assert [row["error"] for row in rows] == ["server: down"]


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
