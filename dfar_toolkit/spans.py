"""Characters, words and tokens: the one place that maps places in a text from one to the other.

A span is half-open, ``(start, end)``, in Unicode code points of the stored text. Words are runs of characters that are
not white space. Everything here goes by overlap of offsets, never by markers of a tokenizer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Literal

Span = tuple[int, int]
WordUnit = Literal["whitespace", "characters"]

_WORD: Final = re.compile(r"\S+")
# Scripts whose words are written without blanks: Thai, Lao, Burmese, Khmer; Kana, Han, and their marks of punctuation.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff00-\uff9f\U00020000-\U000323af]"
)


def word_spans(text: str, *, unit: WordUnit = "whitespace") -> list[Span]:
    """Where the words of a text stand: runs of characters that are not white space.

    Args:
        text: Any text.
        unit: ``whitespace``; or ``characters``: the same, and each character of a script that is written without
            blanks (Chinese, Japanese, Thai, ...) is a word, with the vowel signs that it carries.

    Returns:
        One span per word, in order.

    Example:
        >>> word_spans(" It  rained.")
        [(1, 3), (5, 12)]
        >>> word_spans("下雨 GPT了", unit="characters")
        [(0, 1), (1, 2), (3, 6), (6, 7)]
    """
    found = [match.span() for match in _WORD.finditer(text)]
    if unit == "whitespace" or not _UNSPACED.search(text):
        return found
    return [part for start, end in found for part in _characters(text, start, end)]


def _characters(text: str, start: int, end: int) -> list[Span]:
    """A run of characters as words: each character of an unspaced script with its marks, and what stands between."""
    parts: list[Span] = []
    last = False  # whether the last word is a character of such a script
    for at in range(start, end):
        alone = _UNSPACED.match(text, at) is not None
        if parts and (unicodedata.category(text[at]).startswith("M") or not (alone or last)):
            parts[-1] = (parts[-1][0], at + 1)
            continue
        parts.append((at, at + 1))
        last = alone
    return parts


def joined_tokens(tokens: Sequence[str], *, separator: str = " ") -> tuple[str, list[Span]]:
    """The text of tokens with a separator between them, and where each token stands in it.

    Args:
        tokens: Tokens in order; an empty one has an empty span.
        separator: What stands between two tokens.

    Returns:
        The text and one span per token, so that ``text[start:end]`` is the token.

    Example:
        >>> joined_tokens(["It", "rained", "."])
        ('It rained .', [(0, 2), (3, 9), (10, 11)])
    """
    spans, at = [], 0
    for token in tokens:
        spans.append((at, at + len(token)))
        at += len(token) + len(separator)
    return separator.join(tokens), spans


def units_of_spans(units: Sequence[Span], spans: Iterable[Span]) -> list[int]:
    """Which words or tokens overlap the spans in at least one character.

    Args:
        units: Spans of words or tokens; may overlap each other.
        spans: Marked places.

    Returns:
        Indices into ``units``, rising.

    Example:
        >>> units_of_spans([(0, 2), (3, 9), (10, 11)], [(4, 10)])
        [1]
    """
    marked = [span for span in spans if span[0] < span[1]]
    return [k for k, (start, end) in enumerate(units) if any(start < b and a < end for a, b in marked)]


def spans_of_units(units: Sequence[Span], chosen: Collection[int]) -> list[Span]:
    """The places of chosen words or tokens, one span for each run of neighbours.

    :func:`units_of_spans` gives the same indices back where units do not overlap and none is empty.

    Args:
        units: Spans of words or tokens in the order of the text.
        chosen: Indices into ``units``.

    Returns:
        Spans in order; between neighbours the white space belongs to the span.

    Raises:
        IndexError: An index outside the units; says which and how many there are.

    Example:
        >>> spans_of_units([(0, 2), (3, 9), (10, 11)], [0, 1])
        [(0, 9)]
    """
    found: list[Span] = []
    last = None
    for k in sorted(set(chosen)):
        if not 0 <= k < len(units):
            raise IndexError(f"wanted units 0 to {len(units) - 1}; found {k}")
        start, end = units[k]
        if last is not None and k == last + 1:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
        last = k
    return found


def unit_range_span(units: Sequence[Span], start: int, end: int) -> Span:
    """The place of units ``start`` to ``end`` (exclusive) as one span.

    Args:
        units: Spans of words or tokens in the order of the text.
        start: Index of the first unit.
        end: Index after the last unit.

    Returns:
        From the beginning of the first to the end of the last.

    Raises:
        IndexError: The range is empty, reversed or goes outside the units.

    Example:
        >>> unit_range_span([(0, 2), (3, 9), (10, 11)], 1, 3)
        (3, 11)
    """
    if not 0 <= start < end <= len(units):
        raise IndexError(f"wanted units within 0 to {len(units)}; found {start} to {end}")
    return units[start][0], units[end - 1][1]


def merged_spans(spans: Iterable[Span]) -> list[Span]:
    """The union of spans: those that overlap or touch become one; empty ones are left out.

    Example:
        >>> merged_spans([(5, 7), (0, 2), (2, 3), (6, 9)])
        [(0, 3), (5, 9)]
    """
    found: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def unit_shares(units: Sequence[Span], tokens: Sequence[Span]) -> list[tuple[int, int, float]]:
    """Which tokens lie in which units (words), and with what share of their characters.

    A token may touch several words, or none (blanks, and what stands between words); shares of a token over the words
    that it touches sum to 1.

    Args:
        units: Spans of words, rising, apart.
        tokens: Spans of tokens, rising; empty ones touch nothing.

    Returns:
        Triples of token, unit and share, rising.

    Example:
        >>> unit_shares([(0, 2), (3, 9)], [(0, 5), (5, 9)])
        [(0, 0, 0.5), (0, 1, 0.5), (1, 1, 1.0)]
    """
    found: list[tuple[int, int, float]] = []
    first, last = 0, len(units) - 1
    for token, (start, end) in enumerate(tokens):
        while first <= last and units[first][1] <= start:
            first += 1
        if first > last:
            break
        if end <= units[first][0]:
            continue
        if first == last or units[first + 1][0] >= end:
            if start < end and units[first][0] < units[first][1]:
                found.append((token, first, 1.0))
            continue
        touched = _touched(units, first, start, end)
        total = sum(shared for _, shared in touched)
        found += [(token, unit, shared / total) for unit, shared in touched]
    return found


def _touched(units: Sequence[Span], first: int, start: int, end: int) -> list[tuple[int, int]]:
    """Units from the first on that have characters of a span, and how many."""
    found: list[tuple[int, int]] = []
    for unit in range(first, len(units)):
        if units[unit][0] >= end:
            break
        shared = min(end, units[unit][1]) - max(start, units[unit][0])
        if shared > 0:
            found.append((unit, shared))
    return found
