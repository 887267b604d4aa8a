"""Phrases found among an item's words, in any script, and copies set against the text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.prompts.asking import Asked, Context
from dfar_toolkit.prompts.compared_words import compared_words
from dfar_toolkit.prompts.edited_copies import COPIED, UNCOPIED, edited_copy, redacted_copy
from dfar_toolkit.prompts.found_words import WordIndex, chosen_words, first_words, rank_scores
from dfar_toolkit.prompts.item_words import item_fields, item_words, without_words
from dfar_toolkit.spans import WordUnit


def places(text: str, phrase: str, unit: WordUnit = "whitespace") -> list[list[int]]:
    asked = Asked(text)
    index = WordIndex(item_fields(asked), item_words(asked, unit=unit))
    return [list(place) for place in index.find(phrase)]


@pytest.mark.parametrize(
    ("text", "phrase", "expected"),
    [
        ("I lied. He LIED!", '"lied"', [[1], [3]]),
        ("I lied.", "lie", []),
        ("dogma of the dog's (dog) hotdog", "dog", [[3], [4]]),
        ("a well-known man", "known", [[1]]),
        ("a well-known man", "well known", [[1]]),
        ('"Stop," he said.', "stop he said", [[0, 1, 2]]),  # punctuation between the words does not count
        ("not very fair", "not fair", []),
        ("I don't, don’t I?", "DON'T", [[1], [2]]),
        ("I don't", "don", []),  # never inside a word
        ("l'homme est là", "homme", [[0]]),
        ("pay 1,000.50 or 1", "1", [[3]]),
        ("pay 1,000.50 or 1", "000", []),
        ("ha ha ha", "ha ha", [[0, 1]]),  # places do not overlap
        ("Straße, STRASSE", "strasse", [[0], [1]]),
        ("ΟΔΟΣ οδός", "οδος", [[0]]),  # the last sigma has another form; an accent counts
        ("caf\u00e9", "cafe\u0301", [[0]]),  # composed and not
        ("ＧＰＴ is ﬁne", "gpt", [[0]]),
        ("ＧＰＴ is ﬁne", "fine", [[2]]),
        ("soft\u00adly said", "softly", [[0]]),
        # Bengali, Hindi: a word never ends before a vowel sign
        ("আমি ঘৃণা করি।", "ঘৃণা", [[1]]),
        ("আমি ঘৃণা করি।", "করি", [[2]]),
        ("আমি ঘৃণা করি।", "কর", []),
        ("আমি ঘৃণা করি।", "ঘ", []),
        ("তুমি কর।", "কর", [[1]]),
        ("হয়", "হ\u09df", [[0]]),  # as one character, which normal forms take apart
        ("मैं हिन्दी में", "में", [[2]]),
        ("मैं हिन्दी में", "हिन", []),
        # Arabic: a letter joined to the word is part of it
        ("قرأت الكتاب والكتاب", "الكتاب", [[1]]),
        ("كِتَاب", "كت", []),
        ("ﻛﺘﺎﺏ", "كتاب", [[0]]),  # presentation forms
        ("한국어 각 가", "가", [[2]]),
        # emoji
        ("so bad😡 😡", "😡", [[1], [2]]),
        ("👍🏽 👍", "👍", [[1]]),
        ("👨\u200d👩\u200d👧 👨", "👨", [[1]]),
        ("🇩🇪🇫🇷 ❤️", "🇫🇷", [[0]]),
        ("🇩🇪🇫🇷 ❤️", "❤", [[1]]),
        ("no -- no !!", "--", [[1]]),
        ("no-- no!!", "--", []),
        ("I lied.", "", []),
        ("I lied.", "...", []),
        ("", "lied", []),
    ],
)
def test_places_of_a_phrase(text: str, phrase: str, expected: list[list[int]]) -> None:
    assert places(text, phrase) == expected


def test_scripts_without_blanks() -> None:
    assert places("今天下雨了，又下雨。", "下雨", "characters") == [[2, 3], [7, 8]]
    assert places("今天下雨了", "下雨", "whitespace") == [[0]]  # the word that holds it
    assert places("ＧＰＴ了", "gpt", "characters") == [[0, 1, 2]]
    assert places("สวัสดี", "ส", "characters") == [[0], [2]]


def test_fields_are_apart_and_only_given_words_are_found() -> None:
    asked = Asked("He ran home.", (Context("premise", "premise", "A man ran"),))
    words = item_words(asked)
    assert WordIndex(item_fields(asked), words).find("ran he") == ()  # the end of one field, the start of the next
    assert WordIndex(item_fields(asked), words).find("ran") == ((2,), (4,))
    assert WordIndex(item_fields(asked), words[3:]).find("ran") == ((1,),)
    assert WordIndex(item_fields(asked), words[3:4]).find("ran") == ()
    assert WordIndex({}, ()).find("ran") == ()


def test_order_of_importance() -> None:
    found = [((4,), (7,)), (), ((1, 2, 3),), ((0,),), ((4, 5),)]
    assert chosen_words(found) == {0, 1, 2, 3, 4, 5, 7}
    assert [sorted(first_words(found, k)) for k in (1, 2, 4, 5, 6)] == [
        [4, 7], [1, 4, 7], [1, 2, 3, 4, 7], [0, 1, 2, 3, 4, 7], [0, 1, 2, 3, 4, 5, 7],
    ]  # fmt: skip
    assert rank_scores(found, 9) == (2, 3, 3, 3, 4, 1, 0, 4, 0)
    assert rank_scores([(), ()], 9) is None


def test_an_empty_list_takes_nothing_away() -> None:
    asked = Asked("I lied.")
    assert without_words(asked, item_words(asked), chosen_words([]), operator="mask", mask="[REDACTED]") == asked


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.text(max_size=20), st.sampled_from(["whitespace", "characters"]))
def test_places_are_words_that_hold_the_phrase(text: str, phrase: str, unit: WordUnit) -> None:
    asked = Asked(text)
    words = item_words(asked, unit=unit)
    index = WordIndex(item_fields(asked), words)
    for asked_for in (phrase, text[3:9], *(text[w.start : w.end] for w in words[:4])):
        for place in index.find(asked_for):
            assert all(0 <= at < len(words) for at in place)
            assert list(place) == sorted(set(place))
    for at, word in enumerate(words):
        assert at in chosen_words([index.find(text[word.start : word.end])])  # a word always finds itself


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_compared_words_are_the_same_in_all_forms(text: str) -> None:
    spans = compared_words(text)
    assert all(0 <= word.start < word.end <= len(text) for word in spans)
    keys = [word.key for word in spans]
    for form in ("NFC", "NFD"):
        assert [word.key for word in compared_words(unicodedata.normalize(form, text))] == keys


def test_long_texts_end_soon() -> None:
    text = "a " * 8_000
    assert len(places(text, "a " * 4_000)) == 2
    assert len(places(text, "a")) == 8_000
    assert len(compared_words("\u0301'a'.1." * 3_000)) > 0


def redacted(
    copy: str | None, text: str, mask: str = "[REDACTED]", unit: WordUnit = "whitespace"
) -> tuple[object, ...]:
    asked = Asked(text)
    found = redacted_copy(copy, {"statement": ("Statement", text)}, item_words(asked, unit=unit), mask=mask, unit=unit)
    return found.how, sorted(found.chosen), found.n_changed


TEXT = "I lied to my sister, and stole her wallet."


@pytest.mark.parametrize(
    ("copy", "expected"),
    [
        ("I [REDACTED] to my sister, and [REDACTED] her wallet.", ("redacted", [1, 6], 0)),
        ("Statement: I [REDACTED] to my sister, and [redacted] her **[REDACTED]**.", ("redacted", [1, 6, 8], 0)),
        ('"I [REDACTED] to my sister, and [REDACTED][REDACTED]wallet."', ("redacted", [1, 6, 7], 0)),
        ("I [REDACTED] to my sister, and [REDACTED].", ("redacted", [1, 6, 7, 8], 0)),  # one mask for three words
        ("I REDACTED to my sister, and ██████ her \\[REDACTED\\].", ("redacted", [1, 6, 8], 0)),
        ("Here is the copy:\n\nI [REDACTED] to my sister, and stole her wallet.", ("redacted", [1], 0)),
        ("I [REDACTED] to my sister, and stole her wallet.\n\nI took out lied, since it is bad.", ("redacted", [1], 0)),
        ("<think>Hm.</think>```\nI [REDACTED] to my sister, and stole her wallet\n```", ("redacted", [1], 0)),
        ("i [REDACTED] to my sister and stole her wallet", ("redacted", [1], 0)),  # case and stops are no changes
        ("I [REDACTED] to my brother, and stole her wallet.", ("redacted", [1], 1)),
        ("I [REDACTED] to my sister, and stole wallet.", ("redacted", [1], 1)),  # left out, not masked
        ("I [REDACTED] to my sister, and stole [REDACTED] her wallet.", ("redacted", [1], 1)),  # a mask for nothing
        ("I [REDACTED] to my [REDACTED] brother, and stole her wallet.", ("redacted", [1, 4], 1)),
        (TEXT, ("unchanged", [], 0)),
        ("[REDACTED]", ("redacted", list(range(9)), 0)),
        ("He [REDACTED] something from a person in the family.", ("rewritten", [], 0)),
        ("The important words are lied and stole.", ("rewritten", [], 0)),
        ("I'm sorry, but I cannot help with [REDACTED] texts.", ("refusal", [], 0)),
        ("", ("empty", [], 0)),
        (None, ("empty", [], 0)),
        ("<think>I [REDACTED]", ("unfinished_thought", [], 0)),
    ],
)
def test_redacted_copies(copy: str | None, expected: tuple[object, ...]) -> None:
    assert redacted(copy, TEXT) == expected


def test_redacted_copies_in_other_scripts_and_with_other_masks() -> None:
    assert redacted("আমি [REDACTED] করি।", "আমি ঘৃণা করি।") == ("redacted", [1], 0)
    assert redacted("今天[REDACTED]了。", "今天下雨了。", unit="characters") == ("redacted", [2, 3], 0)
    assert redacted("أنا [REDACTED] هذا", "أنا أكره هذا") == ("redacted", [1], 0)
    assert redacted("so ___ 😡", "so bad 😡", mask="___") == ("redacted", [1], 0)
    assert redacted("I was redacted by [REDACTED].", "I was redacted by him.") == ("redacted", [4], 0)


def test_copies_of_several_parts() -> None:
    asked = Asked("He runs home.", (Context("premise", "premise", "A man sleeps."),))
    texts = {"premise": ("premise", "A man sleeps."), "statement": ("Statement", "He runs home.")}
    words = item_words(asked)

    def read(copy: str) -> tuple[object, ...]:
        found = redacted_copy(copy, texts, words, mask="[REDACTED]", unit="whitespace")
        return found.how, sorted(found.chosen)

    assert read("premise: A man [REDACTED].\nStatement: He [REDACTED] home.") == ("redacted", [2, 4])
    assert read("**Premise:** A man [REDACTED].\n\n**Statement:** He runs home.") == ("redacted", [2])
    assert read("Sure:\n\nStatement: He runs home.\npremise: A man [REDACTED].") == ("redacted", [2])
    assert read("A man [REDACTED].\n\nHe [REDACTED] home.") == ("redacted", [2, 4])
    assert read("A man [REDACTED]. He [REDACTED] home.") == ("parts", [])
    edit = edited_copy("premise: A man runs.\nStatement: He runs home.", texts, words, unit="whitespace")
    assert edit.texts == {"premise": "A man runs.", "statement": "He runs home."}
    assert edit.chosen == {2}


@pytest.mark.parametrize(
    ("copy", "how", "chosen", "inserted"),
    [
        ("I told the truth to my sister, and kept her wallet.", "edited", {1, 6}, 2),
        ("I never lied to my sister, and stole her wallet.", "edited", set(), 1),
        ("I lied to my sister.", "edited", {5, 6, 7, 8}, 0),
        ("Edited text: I lied to my sister, and found her wallet.", "edited", {6}, 2),
        ("Edited text:\nI lied to my sister, and found her wallet.\n\nChanged: stole.", "edited", {6}, 0),
        (TEXT, "unchanged", set(), 0),
        ("It would be ethical if nobody had been harmed by what happened that day.", "rewritten", set(), 0),
        ("I cannot make this text ethical because theft is wrong.", "refusal", set(), 0),
    ],
)
def test_edited_copies(copy: str, how: str, chosen: set[int], inserted: int) -> None:
    found = edited_copy(copy, {"statement": ("Statement", TEXT)}, item_words(Asked(TEXT)), unit="whitespace")
    assert (found.how, set(found.chosen), found.n_inserted) == (how, chosen, inserted)


def test_a_text_of_few_words_may_become_another() -> None:
    found = edited_copy(
        "Giving", {"statement": ("Statement", "Stealing")}, item_words(Asked("Stealing")), unit="whitespace"
    )
    assert (found.how, found.chosen, found.texts) == ("edited", {0}, {"statement": "Giving"})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["lied", "দেখি", "dog's", "😡", "a", "the", "end."]), min_size=1, max_size=15), st.data()
)
def test_masked_words_are_found_back(said: list[str], data: st.DataObject) -> None:
    asked = Asked(" ".join(said))
    words = item_words(asked)
    gone = data.draw(st.sets(st.integers(0, len(said) - 1), max_size=len(said) // 2))
    copy = without_words(asked, words, gone, operator="mask", mask="[REDACTED]").statement
    found = redacted_copy(
        copy, {"statement": ("Statement", asked.statement)}, words, mask="[REDACTED]", unit="whitespace"
    )
    assert found.how == ("redacted" if gone else "unchanged")
    assert found.n_changed == 0
    assert found.chosen == gone


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80), st.sampled_from(["[REDACTED]", "___", "(", "*"]))
def test_no_copy_is_too_odd(copy: str, text: str, mask: str) -> None:
    words = item_words(Asked(text))
    texts = {"statement": ("Statement", text)}
    masked = redacted_copy(copy, texts, words, mask=mask, unit="whitespace")
    for found in (masked, edited_copy(copy, texts, words, unit="whitespace")):
        assert found.how in {**COPIED, **UNCOPIED}
        assert found.chosen <= set(range(len(words)))
        assert 0 <= found.similarity <= 1


@pytest.mark.parametrize("unit", ["a ", "(", "[", "*", "\n", "\n \n", "Statement:\n", "_", "[REDACTED]", "lied "])
def test_long_hostile_copies_end_soon(unit: str) -> None:
    copy = unit * (100_000 // len(unit))
    assert redacted(copy, TEXT)[0] in {**COPIED, **UNCOPIED}
    assert redacted(copy, "a " * 1_000)[0] in {**COPIED, **UNCOPIED}
