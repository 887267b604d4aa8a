"""The words of items in any script, and items without some of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked, Context
from dfar_toolkit.prompts.item_words import item_fields, item_words, with_texts, without_words
from dfar_toolkit.spans import WordUnit, word_spans

PAIR = Asked(
    "It hurt her.",
    (Context("premise", "premise", "She fell."), Context("note", "document", "Very hard")),
    ("bad", "good"),
    ("yes it did", None),
)
TEXTS = st.text(st.sampled_from("ab. \n\t\u00a0é😀👩🏽\u200d下雨了กข\u0e34ঘৃণা عربي"), max_size=14)


def items() -> st.SearchStrategy[Asked]:
    return st.builds(
        lambda statement, before, own: Asked(
            statement, (Context("premise", "premise", before),), ("x", "y"), (own, None)
        ),
        TEXTS, TEXTS, TEXTS,
    )  # fmt: skip


def said(asked: Asked) -> list[str]:
    """The words of the item as texts."""
    texts = item_fields(asked)
    return [texts[word.field][word.start : word.end] for word in item_words(asked)]


def test_words_stand_in_reading_order() -> None:
    assert list(item_fields(PAIR)) == ["premise", "note", "statement", "option:bad"]
    assert said(PAIR) == ["She", "fell.", "Very", "hard", "It", "hurt", "her.", "yes", "it", "did"]
    assert {word.field for word in item_words(PAIR, fields=("statement", "note"))} == {"note", "statement"}
    assert item_words(Asked(" \n ")) == item_words(PAIR, fields=()) == ()


@pytest.mark.parametrize(
    ("text", "unit", "words"),
    [
        ("ঘৃণা করি না", "whitespace", ["ঘৃণা", "করি", "না"]),
        ("أنا أكذب", "whitespace", ["أنا", "أكذب"]),
        ("我說謊。", "whitespace", ["我說謊。"]),
        ("我說 AI謊。", "characters", ["我", "說", "AI", "謊", "。"]),
        ("👩🏽‍⚕️ lied 😀", "characters", ["👩🏽‍⚕️", "lied", "😀"]),
        ("ฉันที่", "characters", ["ฉั", "น", "ที่"]),
    ],
)
def test_words_of_other_scripts(text: str, unit: WordUnit, words: list[str]) -> None:
    spans = item_words(Asked(text), unit=unit)
    assert [text[word.start : word.end] for word in spans] == words
    first = without_words(Asked(text), spans, {0}).statement
    assert first == text[spans[0].end :].lstrip() == text[spans[1].start :] if len(spans) > 1 else first == ""


def test_a_removed_word_takes_the_blanks_before_the_next_with_it() -> None:
    asked = Asked("  I  lied\nto you.\n")
    words = item_words(asked)
    removed = {gone: without_words(asked, words, gone).statement for gone in map(frozenset, ({0}, {1}, {3}, {0, 1, 2}))}
    assert list(removed.values()) == ["lied\nto you.\n", "  I\nto you.\n", "  I  lied\nto\n", "you.\n"]
    masked = without_words(asked, words, {0, 3}, operator="mask", mask="_").statement
    assert masked == "  _  lied\nto _\n"
    assert (
        without_words(asked, words, {2}, operator="replace", substitutes={2: "for"}).statement
        == "  I  lied\nfor you.\n"
    )


def test_only_the_fields_of_the_words_change() -> None:
    words = item_words(PAIR)
    edited = without_words(PAIR, words, {1, 2, 9})
    assert [context.text for context in edited.context] == ["She", "hard"]
    assert (edited.statement, edited.option_texts) == ("It hurt her.", ("yes it", None))
    assert (edited.options, edited.context[0].role) == (PAIR.options, "premise")
    assert with_texts(PAIR, {}) == PAIR
    assert with_texts(PAIR, {"option:good": "new"}).option_texts == ("yes it did", None)


@settings(max_examples=40)
@given(items(), st.data())
def test_laws_of_items_without_words(asked: Asked, data: st.DataObject) -> None:
    words = item_words(asked)
    gone = data.draw(st.sets(st.sampled_from(range(len(words))))) if words else set()
    everything = range(len(words))
    assert without_words(asked, words, set()) == asked
    assert said(without_words(asked, words, everything)) == []
    kept = [text for number, text in enumerate(said(asked)) if number not in gone]
    assert said(without_words(asked, words, gone)) == kept
    masked = said(without_words(asked, words, gone, operator="mask", mask="[M]"))
    assert masked == ["[M]" if number in gone else text for number, text in enumerate(said(asked))]
    replaced = without_words(asked, words, gone, operator="replace", substitutes={n: f"w{n}" for n in everything})
    assert said(replaced) == [f"w{n}" if n in gone else text for n, text in enumerate(said(asked))]


@settings(max_examples=30)
@given(items())
def test_characters_are_cut_out_of_unspaced_scripts(asked: Asked) -> None:
    words = item_words(asked, unit="characters")
    whole = item_fields(asked)
    assert [whole[w.field][w.start : w.end] for w in words] == [
        text[start:end] for text in whole.values() for start, end in word_spans(text, unit="characters")
    ]
    edited = item_fields(without_words(asked, words, range(0, len(words), 2)))
    for name, text in whole.items():
        kept = [text[w.start : w.end] for n, w in enumerate(words) if w.field == name and n % 2]
        assert "".join("".join(kept).split()) == "".join(edited[name].split())


@pytest.mark.parametrize(
    ("names", "own"), [(("a", "a"), None), (("statement", "b"), None), (("option:x", "b"), "text of x")]
)
def test_two_texts_of_one_name_are_refused(names: tuple[str, str], own: str | None) -> None:
    context = tuple(Context(name, "premise", f"words {at}") for at, name in enumerate(names))
    with pytest.raises(TableError, match="two texts named"):
        item_words(Asked("I lied.", context, ("x", "y"), (own, None)))
