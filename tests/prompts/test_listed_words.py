"""Lists that models write: every way of writing one gives the same phrases, and no text is too odd or too long."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.found_words import WordIndex
from dfar_toolkit.prompts.item_words import item_fields, item_words
from dfar_toolkit.prompts.list_entries import enclosed, inline_entries, phrases_of, without_mark
from dfar_toolkit.prompts.plain_answers import is_refusal, plain_answer
from dfar_toolkit.prompts.word_lists import LISTED, MOST, UNLISTED, listed_words, unknown

ASKED = Asked(
    "I lied to my sister, stole her wallet, and hid the 1,000 dollars well-known to her. Yes, I can't believe it."
)
INDEX = WordIndex(item_fields(ASKED), item_words(ASKED))
TWO = ("lied", "stole")


@pytest.mark.parametrize(
    ("answer", "how"),
    [
        ("lied\nstole", "lines"),
        ("**lied**\n**stole**\n", "lines"),
        ("lied\nlied\nstole\nLIED", "lines"),  # a model in a loop
        ("lied (dishonest)\nstole (theft)", "lines"),
        ("lied: 0.9\nstole: 0.8", "lines"),
        ("lied → bad\nstole → bad", "lines"),
        ("Word 1: lied\nWord 2: stole", "lines"),
        ("Words:\nlied\nstole\n\nThese words show that the person is dishonest and does harm.", "lines"),
        ("1. lied\n2. stole", "numbered"),
        ("1) lied\n2) stole", "numbered"),
        ("(1) lied (2) stole", "numbered"),
        ("1. lied 2. stole", "numbered"),
        ("1- lied\n2- stole", "numbered"),
        ("১. lied\n২. stole", "numbered"),
        ("1、lied\n2、stole", "numbered"),
        ("**Important words:**\n\n1. **lied**: shows dishonesty, and it is bad\n2. **stole** – theft", "numbered"),
        ('1. "lied" - he lied\n   - a further thought on hid\n2. "stole"', "numbered"),
        ("1. lied:\n   It is bad.\n2. stole:\n   It is bad.", "numbered"),
        ("- lied\n- stole", "bulleted"),
        ("* **lied**\n* **stole**", "bulleted"),
        ("•lied\n•stole", "bulleted"),
        ("Sure! Here's the list:\n\n* `lied`\n* `stole`\n\nLet me know if you need more!", "bulleted"),
        ("lied, stole", "inline"),
        ("lied, and stole.", "inline"),
        ("lied and stole", "inline"),
        ("lied; stole", "inline"),
        ("lied/stole", "inline"),
        ("lied،stole", "inline"),
        ("Important words: lied, stole", "inline"),
        ("**Important words:** lied, stole", "inline"),
        ("重要词语：lied、stole", "inline"),
        ("The words that decided the answer are lied and stole.", "inline"),
        ("Ranking: lied > stole", "inline"),
        ('"lied", "stole"', "inline"),
        ("“lied” and “stole”", "inline"),
        ("['lied', 'stole']", "inline"),
        ("[lied, stole]", "inline"),
        ('["lied", "stole"]', "json"),
        ('```json\n["lied", "stole"]\n```', "json"),
        ('Words: ["lied", "stole"]', "json"),
        ('{"important_words": ["lied", "stole"]}', "json"),
        ('{"words": "lied, stole"}', "json"),
        ('{"lied": 0.9, "stole": 0.4}', "json"),
        ('[{"word": "lied", "why": "x"}, {"word": "stole"}]', "json"),
        ("| Word | Why |\n|---|---|\n| lied | bad |\n| stole | theft |", "table"),
        ("| # | Word |\n|:-:|---|\n| 1 | **lied** |\n| 2 | stole |", "table"),
        ('I think that it is "lied" which matters most here, and then **stole**, as I said before.', "quoted"),
        ("<think>I list hid.</think>\nlied\nstole", "lines"),
        ("The thought began in the prompt.</think>lied, stole", "inline"),
    ],
)
def test_all_ways_to_list_two_words(answer: str, how: str) -> None:
    assert listed_words(answer, INDEX.has) == (TWO, how)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("lied stole wallet", (("lied", "stole", "wallet"), "words")),
        ("lied", (("lied",), "inline")),
        ("- 1,000 dollars\n- well-known", (("1,000 dollars", "well-known"), "bulleted")),
        ("I can't believe it", (("I can't believe it",), "inline")),  # begins as a refusal, and stands in the text
        ("'can't', 'stole'", (("can't", "stole"), "inline")),
        ("stole her wallet, and hid the 1,000 dollars", (("stole her wallet", "hid the 1,000 dollars"), "inline")),
        ("- stole her wallet, and hid", (("stole her wallet, and hid",), "bulleted")),  # a phrase of the text
        ("- lied, cheated", (("lied", "cheated"), "bulleted")),  # a miss is kept
        ("- lied, because it hurts her", (("lied",), "bulleted")),
        ("- my wallet: it was hers", (("my wallet",), "bulleted")),
        ("The statement is unethical because it is dishonest and so on and so on.", ((), "prose")),
        ("None", ((), "none")),
        ("There are no words that decided it.", ((), "none")),
        ("[]", ((), "none")),
        ("I'm sorry, but I can't assist with that.", ((), "refusal")),
        ("As an AI language model, I cannot list such words.", ((), "refusal")),
        ("<think>lied, stole", ((), "unfinished_thought")),
        ("", ((), "empty")),
        ("\n ```\n```", ((), "empty")),
        (None, ((), "empty")),
        ("***\n---", ((), "prose")),
    ],
)
def test_what_is_no_plain_list_of_words(answer: str | None, expected: tuple[tuple[str, ...], str]) -> None:
    assert listed_words(answer, INDEX.has) == expected


def test_none_may_be_a_word_of_the_text() -> None:
    asked = Asked("None of them lied.")
    assert listed_words("None", WordIndex(item_fields(asked), item_words(asked)).has) == (("None",), "inline")


def test_entries() -> None:
    assert without_mark("3 lied") == ("3 lied", "")
    assert without_mark("1.5 kg") == ("1.5 kg", "")
    assert inline_entries("1. lied at 2.30 hours 2. stole") == ["1. lied at 2.30 hours", "2. stole"]
    assert phrases_of('"lied", which he did, "stole"', unknown) == ["lied"]
    assert phrases_of('"lied", "stole" and hid', unknown) == ["lied", "stole", "hid"]
    assert enclosed("It is Ann's 'own' and \"never closed, «too» `so`") == ["own", "too", "so"]
    assert is_refusal("  **I'm sorry**, I won't") is True
    assert is_refusal("I can bear it") is False
    assert plain_answer("I <think> so").text == "I <think> so"


FORMATS = {
    "lines": "\n".join,
    "numbered": lambda words: "\n".join(f"{at}. {word}" for at, word in enumerate(words, 1)),
    "parenthesised": lambda words: "\n".join(f"{at}) {word}" for at, word in enumerate(words, 1)),
    "explained": lambda words: "\n".join(f"{at}. **{word}**: it is so" for at, word in enumerate(words, 1)),
    "bulleted": lambda words: "\n".join(f"- {word}" for word in words),
    "stars": lambda words: "Here they are:\n\n" + "\n".join(f"* `{word}`" for word in words),
    "commas": ", ".join,
    "quoted": lambda words: ", ".join(f'"{word}"' for word in words),
    "led": lambda words: f"Important words: {', '.join(words)}.",
    "json": lambda words: json.dumps(words, ensure_ascii=True),
    "fenced": lambda words: f"```json\n{json.dumps({'words': words}, ensure_ascii=False)}\n```",
}
WORDS = st.text(st.sampled_from("abcdeßéйжকিরघृणाكتاب"), min_size=2, max_size=8).filter(str.isprintable)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_words_in_any_format_are_found_back(data: st.DataObject) -> None:
    text = data.draw(st.lists(WORDS, min_size=1, max_size=12))
    asked = Asked(" ".join(text))
    words = item_words(asked)
    index = WordIndex(item_fields(asked), words)
    listed = data.draw(st.lists(st.sampled_from(text), min_size=1, unique=True))
    for name, form in FORMATS.items():
        found = listed_words(form(listed), index.has)
        assert {at for phrase in found.phrases for place in index.find(phrase) for at in place} == {
            at for word in listed for place in index.find(word) for at in place
        }, (name, found)
        assert all(index.find(phrase) for phrase in found.phrases), (name, found)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(), st.text(st.sampled_from("a1.,-*\"'[]{}|:\n `)(#”“<think>/& "), max_size=60)), st.booleans())
def test_no_text_is_too_odd(answer: str, known: bool) -> None:
    found = listed_words(answer, INDEX.has if known else unknown)
    assert found.how in {**LISTED, **UNLISTED}
    assert (found.how in UNLISTED or found.how == "none") == (not found.phrases)
    assert len({phrase.casefold() for phrase in found.phrases}) == len(found.phrases)
    assert all(phrase.strip() for phrase in found.phrases)


@pytest.mark.parametrize(
    "unit",
    [
        *("a", " ", ",", "'", '"', "“", "*", "**", "- ", "[", "{", '["', "`", "(", ":", "|", "\n", "\n\n", "\t", "1. "),
        *(" and ", "'a", "'a' ", "1. 'a', ", "<think>", "</think>", "the words ", "words are ", "because ", "no "),
        *("lied\n", "lied, ", "- lied\n", "| lied |\n", "lied the ", "\\", "\ud800", "\u0301", "x: ", "；", "১", ">"),
    ],
)
def test_long_hostile_answers_end_soon(unit: str) -> None:
    # 100,000 characters of it; a pattern that goes back over them would take minutes here
    assert len(listed_words(unit * (100_000 // len(unit)), INDEX.has).phrases) <= MOST
