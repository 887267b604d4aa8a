"""The sentences of a reason, and reasons cut short, with a sentence replaced, or with nothing in them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from dfar_toolkit.spans import Span, WordUnit, word_spans

# End marks with the quotes and brackets that close after them, before white space; marks of scripts without blanks
# need none. A line break ends a sentence too.
_END: Final = re.compile(r"[.!?…।॥؟۔]+[\"'”’»)\]]*(?=\s|$)|[。！？]+[\"'”’」』）]*|\n+")
EMPTY: Final = " "  # what stands for no reason at all


def sentence_spans(text: str) -> list[Span]:
    """Where the sentences of a text stand, by their end marks; abbreviations count as ends.

    Example:
        >>> text = "It hurt Dr. Who. Did it? 下雨。是"
        >>> [text[start:end] for start, end in sentence_spans(text)]
        ['It hurt Dr.', 'Who.', 'Did it?', '下雨。', '是']
    """
    ends = [match.end() for match in _END.finditer(text)]
    found: list[Span] = []
    start = 0
    for end in (*ends, len(text)):
        part = text[start:end]
        own = (start + len(part) - len(part.lstrip()), start + len(part.rstrip()))
        if said(part):
            found.append(own)
        elif found and part.strip():
            found[-1] = (found[-1][0], own[1])  # marks without a word belong to what stands before
        start = end
    return found


def said(text: str) -> bool:
    """Whether a text has a letter or a digit.

    Example:
        >>> said("..."), said("না"), said("4")
        (False, True, True)
    """
    return any(unicodedata.category(character)[0] in "LN" for character in text)


def first_pieces(text: str, pieces: Sequence[Span], share: float) -> tuple[int, str]:
    """How many pieces are a share of them, rounded up, and the text up to the end of the last of these.

    Example:
        >>> first_pieces("One. Two. Three.", sentence_spans("One. Two. Three."), 0.5)
        (2, 'One. Two.')
        >>> first_pieces("One.", [(0, 4)], 0.0)
        (0, ' ')
    """
    kept = min(len(pieces), math.ceil(share * len(pieces) - 1e-9))
    return (kept, text[: pieces[kept - 1][1]]) if kept else (0, EMPTY)


def replaced(text: str, piece: Span, other: str) -> str:
    """The text with another piece in the place of one.

    Example:
        >>> replaced("One. Two.", (5, 9), "Three.")
        'One. Three.'
    """
    return text[: piece[0]] + other + text[piece[1] :]


def filler_words(text: str, unit: WordUnit = "whitespace") -> str:
    """As many times "..." as the text has words.

    Example:
        >>> filler_words("It hurts.")
        '... ...'
    """
    return " ".join("..." for _ in word_spans(text, unit=unit))


def filler_characters(text: str) -> str:
    """A dot for each character that is no blank; blanks stay.

    Example:
        >>> filler_characters("It hurts.")
        '.. ......'
    """
    return re.sub(r"\S", ".", text)


def same_words(one: str, other: str) -> bool:
    """Whether two texts are the same but for capitals and white space.

    Example:
        >>> same_words("It hurts.", " it  hurts. ")
        True
    """
    return one.casefold().split() == other.casefold().split()
