"""Where the words of an item stand in the conversation that is made of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import accumulate, islice
from typing import Final, NamedTuple

from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.conversation import Conversation
from dfar_toolkit.prompts.item_words import Word, item_fields, with_texts

# Characters for private use, which stand in no text that means anything.
PRIVATE: Final = (0xE000, 0xF8FF)


class Place(NamedTuple):
    """A stretch of characters of a turn that belongs to a unit (a word of the item).

    Attributes:
        unit: Number of the word.
        turn: Number of the turn; before a classifier 0 is its text, 1 the second text of a pair.
        start: First character.
        end: Character after the last.
    """

    unit: int
    turn: int
    start: int
    end: int


def placed(
    asked: Asked, words: Sequence[Word], conversation_of: Callable[[Asked], Conversation]
) -> tuple[Conversation, tuple[Place, ...]]:
    """The conversation about an item, and where in it the item's words stand.

    The fields are put between marks, characters for private use, and the conversation is made of them; where the marks
    come out is where the fields stand. A field that is shown twice has its words in two places each.

    Args:
        asked: The item.
        words: Words of it.
        conversation_of: Makes the conversation.

    Returns:
        The conversation, without marks, and the places in the order of turns and characters.

    Raises:
        TableError: The conversation does not show a field as it is.

    Example:
        >>> from dfar_toolkit.prompts.conversation import plain
        >>> from dfar_toolkit.prompts.item_words import item_words
        >>> asked = Asked("I lied.")
        >>> placed(asked, item_words(asked), lambda one: plain(f"Is it good? {one.statement}"))[1]
        (Place(unit=0, turn=0, start=12, end=13), Place(unit=1, turn=0, start=14, end=19))
    """
    texts = item_fields(asked)
    fields = [name for name in dict.fromkeys(word.field for word in words) if texts[name].strip()]
    whole = conversation_of(asked)
    marks = unused_marks([*texts.values(), *(turn.text for turn in whole)], 2 * len(fields))
    opening = dict(zip(marks[::2], fields, strict=True))
    closing = set(marks[1::2])
    named = zip(fields, marks[::2], marks[1::2], strict=True)
    marked = conversation_of(with_texts(asked, {name: f"{start}{texts[name]}{end}" for name, start, end in named}))
    units: dict[str, list[tuple[int, Word]]] = {}
    for number, word in enumerate(words):
        units.setdefault(word.field, []).append((number, word))
    places: list[Place] = []
    for number, turn in enumerate(marked):
        text, starts = unmarked(turn.text, {*opening, *closing})
        if number >= len(whole) or text != whole[number].text:
            raise TableError("the prompt style changes the texts of an item, so that their words cannot be found in it")
        for mark, start in starts:
            if mark in opening:
                own = units[opening[mark]]
                places += [Place(unit, number, start + word.start, start + word.end) for unit, word in own]
    shown = {place.unit for place in places}
    lost = [word for at, word in enumerate(words) if at not in shown]
    if lost:
        raise TableError(f"the prompt style does not show the field {lost[0].field!r} as it is; explain other fields")
    return whole, tuple(sorted(places, key=lambda place: (place.turn, place.start, place.unit)))


def unused_marks(texts: Sequence[str], count: int) -> str:
    """Different characters for private use that occur in none of the texts.

    Raises:
        TableError: There are not enough of them.
    """
    used = set().union(*map(set, texts)) if texts else set()
    free = list(islice((chr(code) for code in range(PRIVATE[0], PRIVATE[1] + 1) if chr(code) not in used), count))
    if len(free) < count:
        raise TableError(f"wanted {count} characters that occur in no text of the item, found {len(free)}")
    return "".join(free)


def unmarked(text: str, marks: set[str]) -> tuple[str, list[tuple[str, int]]]:
    """The text without marks, and each mark with where it stood in that text.

    Example:
        >>> unmarked("a<b>c", {"<", ">"})
        ('abc', [('<', 1), ('>', 2)])
    """
    parts = re.split(f"([{re.escape(''.join(marks))}])", text) if marks else [text]
    ends = accumulate(map(len, parts[::2]))
    return "".join(parts[::2]), list(zip(parts[1::2], ends, strict=False))
