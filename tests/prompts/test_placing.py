"""Where words of items come out in prompts: what stands at each place is the word."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked, Context, Shot
from dfar_toolkit.prompts.conversation import Conversation, Turn, plain
from dfar_toolkit.prompts.item_words import item_fields, item_words
from dfar_toolkit.prompts.placing import PRIVATE, placed, unmarked, unused_marks
from dfar_toolkit.prompts.styles import load_style

STYLES = [
    ("label", False),
    ("label", True),
    ("label-letters", False),
    ("label-letters", True),
    ("dfar-llama2-label", False),
]
TEXTS = st.text(st.sampled_from("ab{}%<& \n\u00a0😀下ঘৃণাعربي\ue000"), max_size=12)


def asked_by(style: str, chat: bool) -> Callable[[Asked], Conversation]:
    return lambda asked: load_style(style).conversation(asked, chat=chat, up_to_label=True)


def shown(asked: Asked, conversation_of: Callable[[Asked], Conversation]) -> list[set[str]]:
    """For each word what stands at its places."""
    words = item_words(asked)
    whole, places = placed(asked, words, conversation_of)
    assert whole == conversation_of(asked)
    assert list(places) == sorted(places, key=lambda p: (p.turn, p.start, p.unit))
    return [{whole[p.turn].text[p.start : p.end] for p in places if p.unit == number} for number in range(len(words))]


def said(asked: Asked) -> list[set[str]]:
    texts = item_fields(asked)
    return [{texts[word.field][word.start : word.end]} for word in item_words(asked)]


@pytest.mark.parametrize(("style", "chat"), STYLES)
@settings(max_examples=20)
@given(statement=TEXTS, before=TEXTS, own=TEXTS)
def test_what_stands_at_the_places_is_the_words(style: str, chat: bool, statement: str, before: str, own: str) -> None:
    parts = () if style.startswith("dfar") else (Context("premise", "premise", before),)
    texts = () if style.startswith("dfar") else (own, None)
    asked = Asked(statement, parts, ("good", "bad"), texts, "Is it good?")
    assert shown(asked, asked_by(style, chat)) == said(asked)


def test_words_of_shots_and_of_the_question_are_not_those_of_the_item() -> None:
    shot = Shot(Asked("I lied.", options=("good", "bad")), "bad")
    asked = Asked("I lied.", options=("good", "bad"), wording="I lied. Is it good?", shots=(shot, shot))
    whole, places = placed(asked, item_words(asked), asked_by("label", False))
    assert whole[0].text.count("I lied.") == 4
    assert [whole[0].text[: p.start].count("I lied") for p in places] == [3, 3]
    whole, places = placed(asked, item_words(asked), asked_by("label", True))
    assert {place.turn for place in places} == {len(whole) - 1}


def test_a_field_shown_twice_has_two_places_per_word() -> None:
    asked = Asked("I lied")
    _, places = placed(
        asked, item_words(asked), lambda one: (Turn("system", one.statement), Turn("user", one.statement))
    )
    assert [(p.unit, p.turn, p.start) for p in places] == [(0, 0, 0), (1, 0, 2), (0, 1, 0), (1, 1, 2)]


def test_only_the_words_asked_for_are_placed() -> None:
    asked = Asked("I lied.", (Context("premise", "premise", "She fell."),), ("good", "bad"))
    words = item_words(asked, fields=("premise",))
    whole, places = placed(asked, words, asked_by("label", False))
    assert [whole[0].text[p.start : p.end] for p in places] == ["She", "fell."]
    assert placed(asked, (), asked_by("label", False))[1] == ()


def test_a_style_that_changes_or_hides_a_field_is_refused() -> None:
    asked = Asked("I lied.", (Context("premise", "premise", "She fell."),))
    words = item_words(asked)
    with pytest.raises(TableError, match="does not show the field 'premise'"):
        placed(asked, words, lambda one: plain(one.statement))
    with pytest.raises(TableError, match="changes the texts"):
        placed(asked, words, lambda one: plain(f"{one.context[0].text} {len(one.statement)} {one.statement}"))


def test_marks_are_characters_that_stand_nowhere() -> None:
    used = "".join(map(chr, range(PRIVATE[0], PRIVATE[0] + 3)))
    assert unused_marks([used, "a"], 2) == chr(PRIVATE[0] + 3) + chr(PRIVATE[0] + 4)
    with pytest.raises(TableError, match="wanted 2 characters"):
        unused_marks(["".join(map(chr, range(PRIVATE[0], PRIVATE[1])))], 2)
    assert unmarked("<a><", {"<", ">"}) == ("a", [("<", 0), (">", 1), ("<", 1)])
