"""Styles of prompted rationales: what they show, what texts cannot do to them, and how users' files err."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked, Context, Shot
from dfar_toolkit.prompts.conversation import Turn
from dfar_toolkit.prompts.rationale_styles import (
    ANSWERS,
    RATIONALE_TEMPLATES,
    RationaleTask,
    load_rationale_style,
    rationale_styles,
    shown_texts,
)
from dfar_toolkit.prompts.style_files import read_style_file

ASKED = Asked(
    "He runs {{ 7*7 }} home.",
    (Context("premise", "premise", "A man sleeps."),),
    ("entailment", "contradiction"),
    wording="Does it follow?",
    persona="age: 30.",
)
TASK = RationaleTask("contradiction", ("premise", "statement"), wanted="entailment", count=3, mask="[MASK]")
USER = """Question: Does it follow?
Possible labels: entailment, contradiction

premise: A man sleeps.
Statement: He runs {{ 7*7 }} home.

Answer: contradiction

"""
TASKS = {
    "unbounded": "List the words of the text (premise and Statement) that decided this answer: without them it could "
    "not be given. Copy each word exactly as it stands there. Write one word on each line and nothing else.",
    "top_k": "List the 3 words of the text (premise and Statement) that were most important to this answer: exactly "
    "3, the most important first. Copy each word exactly as it stands there. Write one word on each line and nothing "
    "else.",
    "redaction": "Copy the text (premise and Statement) and put [MASK] in the place of each word that was important to "
    "this answer, so that the answer can no longer be known from the copy. Change nothing else. Begin each part with "
    "its name and a colon, as above. Write the copy and nothing else.",
    "counterfactual": "Edit the text (premise and Statement) so that the answer to the question becomes: entailment. "
    "Change as few words as you can. Begin each part with its name and a colon, as above, also a part that you leave "
    "as it is. Write the edited text and nothing else.",
}
TASKS["top_var"] = TASKS["top_k"]


@pytest.mark.parametrize("name", ANSWERS)
def test_prompts(name: str) -> None:
    style = load_rationale_style(name)
    assert style.conversation(ASKED, TASK, chat=True) == (
        Turn("system", "Answer as this person would. age: 30."),
        Turn("user", USER + TASKS[name]),
    )
    start = {"words": "Words:", "redacted": "Copy:", "edited": "Edited text:"}[style.answer]
    (plain,) = style.conversation(ASKED, TASK, chat=False)
    assert plain == Turn("text", f"Answer as this person would. age: 30.\n\n{USER}{TASKS[name]}\n\n{start}")


def test_parts_that_are_only_shown_are_not_asked_for() -> None:
    task = RationaleTask("contradiction", ("statement",), count=1)
    (turn,) = load_rationale_style("top_k").conversation(Asked("He\n\nran.", ASKED.context), task, chat=True)
    assert turn.text == (
        "Question: Which label fits the statement?\n\npremise: A man sleeps.\nStatement: He\n\nran.\n\n"
        "Answer: contradiction\n\nName the 1 word of the text (Statement) that was most important to this answer. Copy "
        "it exactly as it stands there and write nothing else."
    )
    for name in ("redaction", "counterfactual"):
        assert "Begin each part" not in load_rationale_style(name).conversation(ASKED, task, chat=True)[1].text


def test_texts_of_options_are_parts_and_shots_are_not_shown() -> None:
    shot = Shot(Asked("A shot.", options=("a", "b")), "a")
    asked = Asked("Which?", options=("a", "b"), option_texts=("It hurt.", None), shots=(shot,))
    assert shown_texts(asked, ("statement", "option:a", "option:b")) == {
        "statement": ("Statement", "Which?"), "option:a": ("a", "It hurt."),
    }  # fmt: skip
    (turn,) = load_rationale_style("unbounded").conversation(asked, RationaleTask("a", ("option:a",)), chat=True)
    assert "a: It hurt.\n\nAnswer: a" in turn.text
    assert "words of the text (a)" in turn.text
    assert "A shot." not in turn.text
    assert shown_texts(Asked("  "), ("statement",)) == {}


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=40), st.text(max_size=20), st.sampled_from(sorted(ANSWERS)), st.booleans())
def test_texts_are_only_values(statement: str, label: str, name: str, chat: bool) -> None:
    asked = Asked(statement, wording="{{ wording }}{% raw %}")
    text = (
        load_rationale_style(name).conversation(asked, RationaleTask(label, ("statement",), "b", 2), chat=chat)[-1].text
    )
    assert "{{ wording }}{% raw %}" in text
    assert f"Answer: {label}" in text
    assert not statement.strip() or f"Statement: {statement}" in text


def test_our_files_are_all_known_and_each_has_its_own_digest() -> None:
    assert {path.stem for path in RATIONALE_TEMPLATES.glob("*.jinja")} == {*ANSWERS, "_rationale"}
    styles = rationale_styles()
    assert {name: style.answer for name, style in styles.items()} == ANSWERS
    assert len({style.sha256 for style in styles.values()}) == len(ANSWERS)
    assert styles["top_k"].sha256 == read_style_file(RATIONALE_TEMPLATES / "top_k.jinja").sha256
    assert len(set(styles.values())) == len(ANSWERS)


def _file(folder: Path, text: str) -> Path:
    path = folder / "own.jinja"
    path.write_text(text, encoding="utf-8")
    return path


GOOD = '{% set answer = "words" %}{% block user %}{{ statement }} is {{ earlier.label }}. Why?{% endblock %}'


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = _file(tmp_path, GOOD)
    styles = rationale_styles({"unbounded": path})
    assert styles["unbounded"].conversation(ASKED, TASK, chat=True) == (
        Turn("user", "He runs {{ 7*7 }} home. is contradiction. Why?"),
    )
    assert styles["unbounded"].name == str(path)
    assert styles["unbounded"].max_new_tokens == 256
    assert styles["unbounded"].sha256 != load_rationale_style("unbounded").sha256
    assert styles["top_k"] == load_rationale_style("top_k")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("words", "label"), "answer must be one of words, redacted, edited, found 'label'"),
        (GOOD.replace("{{ statement }}", "It"), r"the prompt does not show {{ statement }}"),
        (GOOD.replace("{{ earlier.label }}", "so"), r"the prompt does not show {{ earlier.label }}"),
        (GOOD.replace("words", "redacted"), r"the prompt does not show {{ earlier.mask }}"),
        (GOOD.replace("words", "edited"), r"the prompt does not show {{ earlier.wanted }}"),
        (GOOD.replace("earlier.label", "earlier.lable"), "own.jinja, line 1: .*no attribute 'lable'"),
        (GOOD.replace("statement", "statment"), "unknown variable 'statment'"),
        (GOOD + "{% set letters = true %}", "letters is no setting of rationales"),
        (GOOD + "{% set max_new_tokens = true %}", "max_new_tokens must be a whole number"),
        (GOOD + "{% set stops = 'x' %}", "stops must be a list"),
        (GOOD + "{% set about = 3 %}", "about and joint must be texts"),
    ],
)
def test_files_that_are_no_styles(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TableError, match=said):
        load_rationale_style(_file(tmp_path, text))


def test_names_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="unknown style 'best' of rationales; wanted one of unbounded, top_k"):
        load_rationale_style("best")
    with pytest.raises(TableError, match="no rationales are called 'best'"):
        rationale_styles({"best": "own.jinja"})
    with pytest.raises(TableError, match="the answer of redaction must be 'redacted', found 'words'"):
        rationale_styles({"redaction": _file(tmp_path, GOOD)})
