"""Prompted rationales: what is asked in which round, what is read, and what becomes of answers that are none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from dfar_toolkit.engines.requests import Failed, Generate, Generated, OptionScores, Reply, Request, ScoreOptions
from dfar_toolkit.prompts.asking import Asked, Context
from dfar_toolkit.prompts.item_words import Word, item_words
from dfar_toolkit.prompts.styles import load_style
from dfar_toolkit.runners.prompting import Manner
from dfar_toolkit.runners.rationales.asking import Asker
from dfar_toolkit.runners.rationales.explaining import PROMPTED, Explaining
from dfar_toolkit.runners.rationales.prompted import READ, UNREAD, PromptedSteps, prompted_note, prompted_rationales
from dfar_toolkit.runners.rationales.rationale import Rationale

ASKED = Asked("I lied to my sister, and stole her wallet.", options=("ethical", "unethical"), wording="Is it ethical?")
MANNER = Manner(load_style("label"), chat=True)
HOW = Explaining(MANNER, PROMPTED, top_k=2, seed=3)
SAYS = {
    "decided this answer": "Words:\n- lied\n- cheated",
    "exactly 2": "1. stole\n2. lied\n3. sister",
    "exactly 3": "stole, lied, her",
    "Copy the text": "I [REDACTED] to my brother, and [REDACTED] her wallet.",
    "Edit the text": "I never lied to my sister, and found her wallet.",
}


def says(answers: dict[str, str], *, finish: str = "stop") -> Callable[[Request], Reply]:
    def reply(request: Request) -> Reply:
        if isinstance(request, ScoreOptions):
            logs = (math.log(0.3), *(math.log(0.1) for _ in request.spellings[1:]))
            return OptionScores(logs, (1,) * len(logs), "forced", 0.6, 9)
        assert isinstance(request, Generate)
        asked = request.conversation[-1].text
        text = next(text for key, text in answers.items() if key in asked)
        return Generated((text,), (finish,), 20, 5)

    return reply


def told(
    reply: Callable[[Request], Reply],
    *,
    asked: Asked = ASKED,
    methods: Sequence[str] = PROMPTED,
    how: Explaining = HOW,
    human: int | None = 3,
    words: tuple[Word, ...] | None = None,
    **rest: Any,
) -> tuple[dict[str, Rationale], list[list[Request]]]:
    manner = how.manner or MANNER
    own = item_words(asked, unit=how.unit) if words is None else words
    steps = prompted_rationales("it:1", asked, own, "unethical", human, methods, how, Asker(manner, asked), **rest)
    rounds: list[list[Request]] = []
    found = _driven(steps, reply, rounds)
    assert [one.method for one in found] == [method for method in methods if method in PROMPTED]
    return {one.method.removeprefix("prompted_"): one for one in found}, rounds


def _driven(steps: PromptedSteps, reply: Callable[[Request], Reply], rounds: list[list[Request]]) -> list[Rationale]:
    try:
        requests = next(steps)
        while True:
            rounds.append(requests)
            requests = steps.send([reply(request) for request in requests])
    except StopIteration as end:
        return list(end.value)


def test_all_methods_in_two_rounds() -> None:
    found, rounds = told(says(SAYS))
    assert [len(requests) for requests in rounds] == [5, 1]
    assert all(isinstance(r, Generate) and r.temperature == 0 and r.samples == 1 and r.stops == () for r in rounds[0])
    assert len({r.seed for r in rounds[0] if isinstance(r, Generate)}) == 5
    assert len({r.conversation for r in rounds[0] if isinstance(r, Generate)}) == 5  # each a conversation of its own
    assert found["unbounded"].chosen == {1}
    assert found["unbounded"].scores is None
    assert found["unbounded"].facts == {
        "raw": SAYS["decided this answer"], "finish": "stop", "temperature": 0.0, "tokens_in": 20, "tokens_out": 5,
        "seed": found["unbounded"].facts["seed"], "how_read": "bulleted", "n_listed": 2, "n_missed": 1,
    }  # fmt: skip
    assert found["top_k"].chosen == {1, 6}
    assert found["top_k"].scores == (0, 2, 0, 0, 1, 0, 3, 0, 0)  # stole, lied, sister
    assert (found["top_k"].facts["n_asked"], found["top_k"].facts["n_listed"]) == (2, 3)
    assert found["top_var"].chosen == {1, 6, 7}
    assert found["redaction"].chosen == {1, 6}
    assert found["redaction"].facts["n_changed"] == 1


def test_an_edit_is_asked_about_anew() -> None:
    found, rounds = told(says(SAYS))
    edit = found["counterfactual"]
    assert edit.chosen == {6}
    facts = {key: edit.facts[key] for key in edit.facts if key.startswith(("counter", "asked", "n_", "changed", "how"))}
    assert facts == {
        "how_read": "edited", "asked_label": "ethical", "counterfactual": SAYS["Edit the text"], "n_inserted": 1,
        "changed_share": 1 / 9, "counterfactual_label": "ethical", "counterfactual_probs": pytest.approx([0.75, 0.25]),
    }  # fmt: skip
    assert "texts" not in edit.facts
    (request,) = rounds[1]
    assert request == Asker(MANNER, ASKED).request(replace(ASKED, statement=SAYS["Edit the text"]))
    written = replace(HOW, manner=replace(MANNER, elicit="samples"))
    found, rounds = told(says({**SAYS, "nothing else": "Unethical."}), how=written)
    assert isinstance(rounds[1][0], Generate)
    assert found["counterfactual"].facts["counterfactual_label"] == "unethical"
    assert found["counterfactual"].facts["counterfactual_probs"] is None


def test_failures_stay_with_their_method() -> None:
    def reply(request: Request) -> Reply:
        if isinstance(request, ScoreOptions):
            return Failed("no_logprobs", "none sent")
        if isinstance(request, Generate) and "Copy the text" in request.conversation[-1].text:
            return Failed("timeout", "60 s")
        return says(SAYS)(request)

    found, _ = told(reply)
    assert found["redaction"] == Rationale("prompted_redaction", facts={"error": "timeout: 60 s"})
    assert found["top_k"].chosen == {1, 6}
    assert found["counterfactual"].chosen == {6}
    assert found["counterfactual"].facts["counterfactual_error"] == "no_logprobs: none sent"
    assert "counterfactual_label" not in found["counterfactual"].facts


def test_answers_that_are_none() -> None:
    found, rounds = told(says(dict.fromkeys(SAYS, "I'm sorry, but I can't help with that.")))
    assert {name: one.facts["how_read"] for name, one in found.items()} == dict.fromkeys(found, "refusal")
    assert all(one.chosen is None and one.scores is None for one in found.values())
    assert len(rounds) == 1
    found, rounds = told(says(SAYS, finish="refusal"))
    assert all(one.chosen is None and one.facts["how_read"] == "refusal" for one in found.values())
    found, _ = told(says(SAYS, finish="length"))
    assert [found[name].facts["how_read"] for name in ("top_k", "redaction", "counterfactual")] == [
        "numbered", "cut_off", "cut_off",
    ]  # fmt: skip
    assert all(one.facts["how_read"] in {**READ, **UNREAD} for one in found.values())


def test_words_that_are_not_in_the_text_are_an_outcome_of_their_own() -> None:
    found, _ = told(
        says({**SAYS, "decided this answer": "cheated\nbetrayed", "exactly 2": "cheated", "exactly 3": "None"})
    )
    assert found["unbounded"].chosen == frozenset()
    assert found["unbounded"].facts["how_read"] == "none_found"
    assert (found["unbounded"].facts["n_listed"], found["unbounded"].facts["n_missed"]) == (2, 2)
    assert (found["top_k"].chosen, found["top_k"].scores) == (frozenset(), None)
    assert (found["top_var"].chosen, found["top_var"].facts["how_read"]) == (frozenset(), "none")


def test_what_is_not_asked() -> None:
    for human, why in ((None, "nobody_asked"), (0, "nothing_marked")):
        found, rounds = told(says(SAYS), human=human)
        assert found["top_var"] == Rationale("prompted_top_var", facts={"how_read": why})
        assert len(rounds[0]) == 4
    found, rounds = told(says(SAYS), asked=replace(ASKED, options=("unethical",)), methods=PROMPTED[-1:])
    assert rounds == []
    assert found["counterfactual"].facts == {"how_read": "one_label"}
    found, rounds = told(says(SAYS), words=())
    assert rounds == []
    assert {one.facts["how_read"] for one in found.values()} == {"no_words"}
    assert told(says(SAYS), methods=("attention", "random")) == ({}, [])


def test_no_more_words_are_asked_for_than_there_are() -> None:
    _, rounds = told(
        says({"Name the 1 word": "lied"}), asked=replace(ASKED, statement="lied"), methods=("prompted_top_k",)
    )  # fmt: skip
    assert "Name the 1 word" in rounds[0][0].conversation[-1].text  # type: ignore[union-attr]


def test_the_label_that_is_wanted() -> None:
    three = replace(ASKED, options=("ethical", "unethical", "unclear"))

    def wanted(**rest: Any) -> str:
        found, _ = told(says(SAYS), asked=three, methods=PROMPTED[-1:], **rest)
        return str(found["counterfactual"].facts["asked_label"])

    assert wanted(wanted="unclear") == "unclear"
    assert wanted(wanted="unethical", how=replace(HOW, contrast="unclear")) == "unclear"
    assert wanted(how=replace(HOW, contrast="ethical")) == "ethical"
    assert wanted() == wanted()
    assert {wanted(how=replace(HOW, contrast="unethical", seed=seed)) for seed in range(20)} == {"ethical", "unclear"}


def test_several_parts_and_plain_texts() -> None:
    asked = Asked("He runs home.", (Context("premise", "premise", "A man sleeps."),), ("yes", "unethical"))
    how = replace(HOW, manner=Manner(load_style("label")))
    edit = "premise: A man sleeps.\nStatement: He rests home."
    found, rounds = told(
        says({"Edit the text (premise and Statement)": edit}), asked=asked, methods=PROMPTED[-1:], how=how
    )  # fmt: skip
    (first,) = rounds[0]
    assert isinstance(first, Generate)
    assert [turn.role for turn in first.conversation] == ["text"]
    assert first.stops == ("\n\nQuestion:", "\n\nAnswer:")
    assert first.max_new_tokens == 128 + len("A man sleeps.") // 2 + len("He runs home.") // 2
    assert found["counterfactual"].chosen == {4}
    assert found["counterfactual"].facts["counterfactual"] == edit
    (second,) = rounds[1]
    assert isinstance(second, ScoreOptions)
    assert "Statement: He rests home." in second.conversation[-1].text
    only = item_words(asked, fields=("statement",))
    found, rounds = told(
        says({"Copy the text (Statement)": "He [REDACTED] home."}), asked=asked, words=only, methods=PROMPTED[3:4]
    )  # fmt: skip
    assert found["redaction"].chosen == {1}


def test_other_scripts() -> None:
    bengali = replace(ASKED, statement="আমি তাকে ঘৃণা করি।")
    found, _ = told(says({"decided": "**ঘৃণা** — খারাপ\nকর"}), asked=bengali, methods=PROMPTED[:1])
    assert found["unbounded"].chosen == {2}
    assert found["unbounded"].facts["n_missed"] == 1
    chinese = replace(ASKED, statement="今天下雨了。")
    characters = replace(HOW, unit="characters")
    answers = {"decided": "1、下雨", "exactly 2": "“下雨”、“了”", "Copy the text": "今天[REDACTED]了。"}
    found, _ = told(
        says(answers), asked=chinese, how=characters, methods=(*PROMPTED[:2], "prompted_redaction")
    )  # fmt: skip
    assert [sorted(one.chosen or ()) for one in found.values()] == [[2, 3], [2, 3], [2, 3]]
    assert found["top_k"].scores == (0, 0, 2, 2, 1) + (0,) * (len(item_words(chinese, unit="characters")) - 5)


def test_the_note_counts_what_gave_no_words() -> None:
    said = ["lines", "refusal", None, "nobody_asked", "none_found", "nobody_asked"]
    assert prompted_note(pl.Series("how_read", said)) == (
        "no words from 4 of 5 prompted rationales: 2 no people marked words of the item, so that there is no number to "
        "ask for, 1 a list of which no word stands in the text, 1 a refusal"
    )
    assert prompted_note(pl.Series("how_read", ["lines", "json"])) == ""
    assert not set(READ) & set(UNREAD)
