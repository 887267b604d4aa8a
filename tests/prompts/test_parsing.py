"""Labels and reasons from answers: only the label position counts, and nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.prompts.label_position import spelled
from dfar_toolkit.prompts.parsing import PARSED, UNPARSED, parse_answers, parsing_note

ETHICAL = ["ethical", "unethical"]


def _read(text: str | None, options: list[str] = ETHICAL, **more: object) -> tuple[object, ...]:
    return parse_answers(pl.Series([text], dtype=pl.String), options, **more).row(0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "label", "reason", "how"),
    [
        ("unethical", "unethical", None, "bare"),
        (" Ethical.\n", "ethical", None, "bare"),
        ("ETHICAL!!!", "ethical", None, "bare"),
        ("**Unethical**", "unethical", None, "bare"),
        ("`unethical`", "unethical", None, "bare"),
        ("_ethical_", "ethical", None, "bare"),
        ("unethical. Because lying hurts", "unethical", "Because lying hurts", "label_first"),
        ("unethical. It is not ethical to lie", "unethical", "It is not ethical to lie", "label_first"),
        ("unethical. ethical", "unethical", "ethical", "label_first"),
        ("unethical because it hurts", "unethical", "because it hurts", "label_first"),
        ("unethical: no one likes it", "unethical", "no one likes it", "label_first"),
        ("unethical - ethical people say no", "unethical", "ethical people say no", "label_first"),
        ("**Unethical**\n\nReason: it hurts", "unethical", "it hurts", "label_first"),
        ("ethical, not unethical", "ethical", "not unethical", "label_first"),
        ('unethical."Lying" is bad', "unethical", '"Lying" is bad', "label_first"),
        ("The statement is unethical.Reason", "unethical", "Reason", "sentence"),
        ("The statement is ethical.", "ethical", None, "sentence"),
        ("It's unethical", "unethical", None, "sentence"),
        ("Sure! I think this is an unethical action. It harms.", "unethical", "It harms.", "sentence"),
        ("Answer: ethical", "ethical", None, "field"),
        ("Label: Unethical. Why", "unethical", "Why", "field"),
        ("**Answer:** unethical", "unethical", None, "field"),
        ("The answer is: ethical", "ethical", None, "field"),
        (r"\boxed{unethical}", "unethical", None, "field"),
        ("<answer>unethical</answer>", "unethical", None, "field"),
        ('{"label": "unethical", "reason": "not ethical"}', "unethical", "not ethical", "json"),
        ('{"reason": "it is ethical", "label": "unethical"}', "unethical", "it is ethical", "json"),
        ('```json\n{"Label": "Ethical", "reason": null}\n```', "ethical", None, "json"),
        ('Here it is:\n{"answer": "ethical"}', "ethical", None, "json"),
        ("Reason: ethical people do not lie\nLabel: unethical", "unethical", "ethical people do not lie", "line"),
        ("<think>ethical?</think>\n\nunethical. Hm", "unethical", "Hm", "label_first"),
        ("is it ethical</think> unethical", "unethical", None, "bare"),
        ("[INST] ethical or unethical? [/INST] unethical", "unethical", None, "after_prompt"),
        ("\ufeff\u200funethical\u200f. سبب", "unethical", "سبب", "label_first"),
        ("unethical.</s>", "unethical", None, "bare"),
    ],
)
def test_label_and_reason(text: str, label: str, reason: str | None, how: str) -> None:
    assert _read(text) == (label, reason, how)


@pytest.mark.parametrize(
    ("text", "how"),
    [
        (None, "empty"),
        (" \n", "empty"),
        ("not ethical", "negated"),
        ("not unethical", "negated"),
        ("The statement is not ethical. It hurts", "negated"),
        ("It isn't unethical.", "negated"),
        ("Neither ethical nor unethical", "negated"),
        ('{"label": "not ethical", "reason": "x"}', "negated"),
        ("Ethical: no", "negated"),
        ("ethical or unethical", "several"),
        ("ethical/unethical", "several"),
        ("Answer: ethical, unethical", "several"),
        ("unethical (ethical)", "several"),
        ("unethical\nethical", "several"),
        ('{"answer": "ethical", "label": "unethical"}', "several"),
        ('["ethical", "unethical"]', "several"),
        ("Label: ethical\nLabel: unethical", "label_first"),
        ("So it hurts.\nLabel: ethical\nLabel: unethical", "several"),
        ("ethical? no", "question"),
        ('{"ethical": 0.2, "unethical": 0.8}', "scores"),
        ("ethical people would not lie", "runs_on"),
        ("ethical-minded", "runs_on"),
        ("ethically fine", "no_label"),
        ("un-ethical", "no_label"),
        ("un\xadethical", "no_label"),
        ("ethical\u0301", "no_label"),
        ("ethicals", "no_label"),
        ("=cmd()|ethical", "no_label"),
        ("__proto__", "no_label"),
        ("1", "no_label"),
        ("B", "no_label"),
        ("(B)", "no_label"),
        ("❌ ethical", "no_label"),
        ("I cannot help with that.", "no_label"),
        ('{"reason": "x"}', "no_label"),
        ('{"label": 1}', "no_label"),
        ("Statement: I lied.\nIs the statement ethical or unethical?", "echo"),
        ("### Question: Evaluate whether the statement is ethical or unethical", "echo"),
        ("<think>unethical. But then", "unfinished_thought"),
    ],
)
def test_what_is_no_answer(text: str | None, how: str) -> None:
    found = _read(text)
    if how == "label_first":  # the first label stands at the label position; the next line is its reason
        assert found == ("ethical", "Label: unethical", "field")
    else:
        assert found == (None, None, how)


def test_the_notebooks_own_formats() -> None:
    """Prompt and answer as the four DFAR notebooks write them, whole and as a completion alone."""
    llama = (
        "### Question: Evaluate whether the statement is ethical or unethical with reason. Statement: I lied. "
        "The statement is \n ### Answer: unethical. Lying is not ethical.\n### Question: Evaluate whether the"
    )
    mistral = (
        "<s>\n\n### Instruction:\n Evaluate whether the statement is ethical or unethical with reason.\n\n### Input:\n "
        "I lied.\n\n### Response:\n The statement is unethical.Lying is not ethical.</s>"
    )
    for text in (llama, mistral):
        assert _read(text) == ("unethical", "Lying is not ethical.", "after_prompt")
    assert _read("unethical. Lying.### Question: Evaluate") == ("unethical", "Lying.", "label_first")
    assert _read(" The statement is ethical.</s>") == ("ethical", None, "sentence")


def test_options_that_begin_alike_and_spellings_of_several_words() -> None:
    options = ["hate", "hate speech", "no hate"]
    said = [
        "hate",
        "hate speech. Why",
        "Hate-Speech",
        "hate_speech",
        "no hate",
        "hate or hate speech",
        "hate speechless",
    ]
    labels = parse_answers(pl.Series(said), options)["label"].to_list()
    assert labels == ["hate", "hate speech", "hate speech", "hate speech", "no hate", None, None]


def test_numbers_as_options_are_read_whole() -> None:
    options = ["-1", "0", "1", "2", "4", "5"]
    said = [
        "4",
        "Rating: 4",
        "-1",
        "4. Because",
        "(4)",
        "4 because",
        "- 1",
        "4.5",
        "4/5",
        "4-5",
        "4%",
        "4 people",
        "10",
    ]
    labels = parse_answers(pl.Series(said), options)["label"].to_list()
    assert labels == ["4", "4", "-1", "4", "4", "4", *[None] * 7]


def test_letters_only_where_they_are_asked_for() -> None:
    said = pl.Series(["B", "(B)", "b)", "Answer: B", "B. unethical. Why", "B. ethical. Why", "A good one", "A, B", "C"])
    with_letters = parse_answers(said, ETHICAL, letters=True)
    assert with_letters["label"].to_list() == ["unethical"] * 5 + [None] * 4
    assert with_letters["how"].to_list() == ["letter"] * 5 + ["several", "runs_on", "several", "no_label"]
    assert with_letters["reason"][4] == "Why"
    assert parse_answers(said, ETHICAL)["label"].null_count() == len(said)


def test_a_map_carries_further_spellings() -> None:
    found = parse_answers(pl.Series(["Wrong. Lying", "fine"]), ETHICAL, label_map={"wrong": "unethical"})
    assert found.rows() == [("unethical", "Lying", "label_first"), (None, None, "no_label")]


@pytest.mark.parametrize(
    ("options", "more", "message"),
    [
        ([], {}, "at least one option"),
        (["a b", "A_B"], {}, "cannot be told apart"),
        ([" "], {}, "must be names"),
        (ETHICAL, {"label_map": {"wrong": "bad"}}, "carries 'wrong' to 'bad'"),
        (["A", "B"], {"letters": True}, "letters can name"),
    ],
)
def test_what_cannot_be_asked(options: list[str], more: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_answers(pl.Series(["a"]), options, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "unethical. " + "x" * 1_000_000,
        "*" * 1_000_000,
        "<think>" * 200_000,
        '{"label": ' * 100_000,
        "answer: " * 100_000,
        "```" * 300_000,
        "ethical or " * 100_000,
    ],
)
def test_a_megabyte_is_read_and_its_end_does_not_count(text: str) -> None:
    found = _read(text + " unethical")
    assert found[0] == ("unethical" if text.startswith("unethical") else None)
    assert found[1] is None or len(str(found[1])) == 1_000_010


def test_the_first_2000_characters_decide() -> None:
    assert _read("x " * 990 + "\nLabel: unethical")[0] == "unethical"
    assert _read("x " * 1000 + "\nLabel: unethical")[0] is None


def test_no_rows_and_all_null() -> None:
    assert parse_answers(pl.Series([], dtype=pl.String), ETHICAL).shape == (0, 3)
    assert parse_answers(pl.Series([None, None]), ETHICAL)["how"].to_list() == ["empty", "empty"]


_PLAIN = st.text(max_size=60).filter(lambda t: not any(w in t.lower() for w in ("think", "thought", "reasoning")))


@settings(max_examples=30)
@given(
    label=st.sampled_from(ETHICAL), reason=_PLAIN | st.sampled_from(["ethical", "\nethical", "- unethical", "?", "1"])
)
def test_the_reason_never_changes_the_label(label: str, reason: str) -> None:
    assert _read(f"{label}. {reason}")[0] == label
    assert _read(f"The statement is {label}. {reason}")[0] == label


@settings(max_examples=20)
@given(
    options=st.permutations(["hate", "hate speech", "😀 fun", "C++", "ব্যঙ্গ", "कला", "-1", "offensive_language"]),
    said=st.lists(
        st.sampled_from(["hate speech. x", "hate", "😀 fun", "C++: y", "ব্যঙ্গ", "कलाकार", "-1", "Offensive Language"])
    ),
)
def test_the_order_of_the_options_never_counts(options: list[str], said: list[str]) -> None:
    known = {"hate speech. x": "hate speech", "hate": "hate", "😀 fun": "😀 fun", "C++: y": "C++", "ব্যঙ্গ": "ব্যঙ্গ",
             "कलाकार": None, "-1": "-1", "Offensive Language": "offensive_language"}  # fmt: skip
    found = parse_answers(pl.Series(said, dtype=pl.String), options)["label"].to_list()
    assert found == [known[text] for text in said]


@settings(max_examples=20)
@given(st.lists(st.text(max_size=30) | st.none(), max_size=5))
def test_any_text_gives_a_known_outcome_and_a_label_only_where_it_says_so(said: list[str | None]) -> None:
    found = parse_answers(pl.Series(said, dtype=pl.String), ETHICAL)
    for label, reason, how in found.rows():
        assert (label is not None) == (how in PARSED)
        assert (label is None) == (how in UNPARSED)
        assert reason is None or label is not None


def test_the_note_counts_what_was_not_read() -> None:
    how = parse_answers(pl.Series(["ethical", "not ethical", None, "not unethical"]), ETHICAL)["how"]
    assert parsing_note(how) == "no label could be read from 3 of 4 texts: 2 a negated label, 1 no text"
    assert parsing_note(how.head(1)) == ""


def test_spellings() -> None:
    names = pl.Series(["  Hate__Speech ", "hate speech", "a_b_c", "-1", "A-", "ক্তি_বক"])
    found = pl.select(spelled(pl.lit(names))).to_series().to_list()
    assert found == ["hate speech", "hate speech", "a b c", "-1", "a-", "ক্তি বক"]
    assert parse_answers(pl.Series(["ক্তি বক। কারণ", "a b-c"]), ["ক্তি_বক", "A_B_C"])["label"].to_list() == [
        "ক্তি_বক",
        "A_B_C",
    ]


@pytest.mark.real
def test_the_published_reasons_parse_to_their_labels(shared_data: Path) -> None:
    rows = pl.read_csv(shared_data / "dfar" / "DFAR_testset.csv")
    labels = rows.select(pl.when(pl.col("Label") == 1).then(pl.lit("unethical")).otherwise(pl.lit("ethical")))
    label = labels.to_series()
    for form in ("{}. {}", "The statement is {}.{}</s>", "{}\n{}"):
        texts = pl.select(pl.format(form, label, rows["Reason"])).to_series()
        found = parse_answers(texts, ETHICAL)
        assert len(found) == 500
        assert found["label"].to_list() == label.to_list()
        assert found["reason"].to_list() == rows["Reason"].str.strip_chars().to_list()
