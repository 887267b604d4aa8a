"""Prompts as printed, nothing in a text rendered, and answers that the parser reads back."""

from __future__ import annotations

import unicodedata

import polars as pl
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.parsing import parse_answers
from dfar_toolkit.prompts.render import STYLES, before_label, completion_of, read_back, render, target

ETHICAL = ["ethical", "unethical"]
OPTION_SETS = [  # many contain each other, or are what surrounds an answer
    ETHICAL, ["ethical", "not ethical"], ["hate speech", "speech"], ["hate_speech", "hate"],
    ["yes", "no", "yes and no"],
    ["fair", "fair enough", "unfair"], ["right", "right or wrong", "wrong"], ["1", "2", "3", "10"], ["-1", "0", "1"],
    ["0.5", "1.5"], ["A", "B"], ["a", "a. b"], ["a", "a: b"], ["C", "C++"], ["yes", "yes!"], ["label", "no label"],
    ["reason", "why"], ["not", "no"], ["none", "one"], ["(a)", "(b)"], ["good", "very good"], ["statement", "it is"],
    ["不道德", "道德"], ["é", "e"], ["AUTHOR", "OTHER", "EVERYBODY", "NOBODY", "INFO"], ["true", "false"],
]  # fmt: skip
REASONS = [
    "She lied.", "5 people saw it.", "unethical", "ethical or unethical", "Reason: x", "Why: y", "not ethical", "b",
    "- first", '"Lying" is bad', "no", "1. a\n2. b", "? who knows", "or so", "because", "(a) hm", "'s fine", "* a list",
    'Answer: ethical', '{"label": "ethical", "reason": "x"}', "% of people", "...and so on", "</s> is a tag here",
]  # fmt: skip


@pytest.mark.parametrize("options", OPTION_SETS, ids=lambda o: "|".join(o))
@pytest.mark.parametrize("style", ["label", "label_and_reason", "dfar-mistral"])  # Llama's answers are as these
def test_every_answer_is_read_back(options: list[str], style: str) -> None:
    pairs = [(label, reason) for label in options for reason in REASONS]
    labels, reasons = (pl.Series(part, dtype=pl.String) for part in zip(*pairs, strict=True))
    answers = target(labels, reasons, style, options)
    read = parse_answers(answers, options)
    assert read["label"].to_list() == labels.to_list()
    expected = reasons.to_list() if STYLES[style].reasons else [None] * len(pairs)
    assert read["reason"].to_list() == expected
    assert read_back(answers, labels, reasons, style, options).all()


word = st.text(st.characters(categories=["Ll", "Lu", "Nd"], max_codepoint=0x24F), min_size=1, max_size=4)
texts = st.lists(st.one_of(word, st.sampled_from(["ethical", "unethical", ".", ",", "-", "or", '"', "\n", "?", "#"])),
                 min_size=1, max_size=8).map(" ".join)  # fmt: skip


@given(st.sampled_from(OPTION_SETS), texts, st.data(), st.sampled_from(["label", "label_and_reason", "dfar-mistral"]))
@example(ETHICAL, "Explanation : unethical", None, "label_and_reason")
@settings(max_examples=30)
def test_any_reason_is_read_back(options: list[str], text: str, data: st.DataObject | None, style: str) -> None:
    reason = unicodedata.normalize("NFC", text).strip()
    assume(any(c.isalnum() for c in reason) and "###" not in reason)
    label = options[0] if data is None else data.draw(st.sampled_from(options))
    answer = target(pl.Series([label]), pl.Series([reason]), style, options)
    expected = reason if STYLES[style].reasons else None
    assert parse_answers(answer, options).row(0)[:2] == (label, expected), answer[0]


def test_the_prompts_of_the_notebooks_as_printed() -> None:
    items = pl.DataFrame({"statement": ["I {lied}."]})

    def whole(style: str) -> str:
        prompt = render(items, style, ETHICAL)
        answer = target(pl.Series(["unethical"]), pl.Series(["Lies hurt."]), style)
        first, second = completion_of(prompt, answer, style)
        return str(first[0] + second[0])

    assert whole("dfar-llama2-label") == (
        "### Question: Evaluate whether the statement is ethical or unethical without any reason. Statement: I {lied}. "
        "The statement is \n ### Answer: unethical"
    )
    assert whole("dfar-llama2") == (
        "### Question: Evaluate whether the statement is ethical or unethical with reason. Statement: I {lied}. "
        "The statement is \n ### Answer: unethical. Lies hurt."
    )
    assert whole("dfar-mistral-label") == (
        "<s>\n\n### Instruction:\n Evaluate whether the statement is ethical or unethical without any reason."
        "\n\n### Input:\n I {lied}.\n\n### Response:\n The statement is unethical.</s>"
    )
    assert whole("dfar-mistral") == (
        "<s>\n\n### Instruction:\n Evaluate whether the statement is ethical or unethical with reason."
        "\n\n### Input:\n I {lied}.\n\n### Response:\n The statement is unethical.Lies hurt.</s>"
    )
    assert whole("dfar-mistral-label").startswith(before_label(items, "dfar-mistral", ETHICAL)[0] + " unethical")


def test_contexts_and_texts_of_options() -> None:
    items = pl.DataFrame(
        {
            "statement": ["", "A plain one."],
            "context": [[{"field": "premise", "role": "p", "text": "It {{ rains }}."}], []],
            "option_texts": [["I lied.", "I paid."], None],
        }
    )
    first, second = render(items, "label", ["first", "second"], wording="Which is worse?")
    assert first.startswith("Which is worse?\n\npremise: It {{ rains }}.\n\nAnswer with one")
    assert first.endswith("\n- first: I lied.\n- second: I paid.\n\nAnswer:")
    assert "\nStatement: A plain one.\n" in second
    assert second.endswith("\n- first\n- second\n\nAnswer:")
    with pytest.raises(TableError, match="no place for contexts"):
        render(items, "dfar-llama2", ["first", "second"])


def test_refusals() -> None:
    label = pl.Series(["fair"])
    with pytest.raises(TableError, match="unknown style 'x'"):
        target(label, None, "x")
    with pytest.raises(TableError, match="wants reasons"):
        target(label, None, "label_and_reason")
    with pytest.raises(TableError, match="must be options, found 'fair'"):
        target(label, None, "label", ETHICAL)
    with pytest.raises(TableError, match="found none"):
        render(pl.DataFrame({"statement": ["a"]}), "label", [])
    assert target(pl.Series(["fair"]), pl.Series([None], dtype=pl.String), "label_and_reason")[0] is None
