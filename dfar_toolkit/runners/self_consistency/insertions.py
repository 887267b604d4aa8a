"""Items with one word more: the interventions of the counterfactual and the correlational test."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, NamedTuple

from dfar_toolkit.metrics.self_consistency.insertions import INSERTED
from dfar_toolkit.metrics.self_consistency.mentions import mentions
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.item_words import STATEMENT, Word, item_fields, item_words, with_texts
from dfar_toolkit.runners.self_consistency.reason_testing import ReasonTesting
from dfar_toolkit.runners.units import Row, seed_of
from dfar_toolkit.spans import word_spans

METHOD: Final = "cct"
_OPERATOR: Final = "insert"


class Insertion(NamedTuple):
    """An item with one word more.

    Attributes:
        word: What was inserted.
        field: The field it stands in.
        at: Number of the word of that field before which it stands.
        asked: The item with it.
    """

    word: str
    field: str
    at: int
    asked: Asked


def insertions(item_id: str, asked: Asked, words: Sequence[str], how: ReasonTesting) -> list[Insertion]:
    """Words put before words of an item, at places and in an order drawn at random.

    Words that the item or the name of an option has already are passed over: a reason that has them says nothing about
    the insertion. No word is tried twice in an item before all have been.

    Args:
        item_id: The item; the draw hangs on it and on the seed alone.
        asked: What is asked about it.
        words: Words that may be inserted.
        how: Numbers of places and of words, fields, unit, seed.

    Returns:
        ``places`` times ``words_per_place`` insertions; fewer where the item or the list is short.

    Example:
        >>> from dfar_toolkit.prompts.styles import load_style
        >>> from dfar_toolkit.runners.prompting import Manner
        >>> how = ReasonTesting(Manner(load_style("reason_first")), places=1, words_per_place=1)
        >>> [one] = insertions("i1", Asked("It rains."), ["it", "red"], how)
        >>> one.word, one.at, one.asked.statement
        ('red', 1, 'It red rains.')
    """
    drawn = random.Random(seed_of(how.seed, item_id, _OPERATOR))
    places = _places(asked, how)
    chosen = sorted(drawn.sample(range(len(places)), min(how.places, len(places))))
    known = [*item_fields(asked).values(), *asked.options]
    fresh = [word for word in dict.fromkeys(words) if not any(mentions(text, word) for text in known)]
    drawn.shuffle(fresh)
    each = min(how.words_per_place, len(fresh))
    found: list[Insertion] = []
    for number, place in enumerate(chosen):
        own = [fresh[(number * how.words_per_place + step) % len(fresh)] for step in range(each)]
        found += [_inserted(asked, word, places[place], how) for word in own]
    return found


def inserted_rows(rows: Sequence[Row], insertion: Insertion, draw: int) -> list[Row]:
    """The rows of an item with one word more.

    Args:
        rows: Of the steps that asked about it.
        insertion: What was inserted.
        draw: Number of the insertion.

    Returns:
        Its answers; drafts before them are left out.
    """
    facts = {
        "condition": INSERTED, "method": METHOD, "operator": _OPERATOR, "k": -1, "draw": draw,
        "inserted": insertion.word, "inserted_at": insertion.at, "inserted_field": insertion.field,
    }  # fmt: skip
    return [{**row, **facts} for row in rows if row["condition"] == "full"]


def _places(asked: Asked, how: ReasonTesting) -> tuple[Word, ...]:
    if how.fields is not None:
        return item_words(asked, fields=how.fields, unit=how.unit)
    return item_words(asked, fields=[STATEMENT], unit=how.unit) or item_words(asked, unit=how.unit)


def _inserted(asked: Asked, word: str, place: Word, how: ReasonTesting) -> Insertion:
    text = item_fields(asked)[place.field]
    before, after = text[: place.start], text[place.start :]
    whole = f"{before}{_joint(before, word)}{word}{_joint(word, after)}{after}"
    number = sum(one.start < place.start for one in item_words(asked, fields=[place.field], unit=how.unit))
    return Insertion(word, place.field, number, with_texts(asked, {place.field: whole}))


def _joint(left: str, right: str) -> str:
    """A blank where two words would run into one; none in scripts that are written without blanks."""
    if not left or not right or left[-1].isspace() or right[0].isspace():
        return ""
    # Twice the same character is two words in these scripts alone.
    return "" if any(len(word_spans(one * 2, unit="characters")) == 2 for one in (left[-1], right[0])) else " "
