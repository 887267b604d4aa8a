"""Where a text fits what was searched for, and texts cut at such places."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.spans import Span, merged_spans

MOST: Final = 1000  # places of one text that are marked
_FREE: Final = range(0xE000, 0xF8FF)  # characters without a meaning of their own


class TextPiece(NamedTuple):
    """A stretch of a text, and whether it is marked."""

    text: str
    marked: bool


def search_spans(text: str, wanted: ItemFilter, *, most: int = MOST) -> list[Span]:
    """Where the words or the pattern of a filter occur in a text, found as the filter finds them.

    Args:
        text: The text.
        wanted: The filter, of which ``text`` and ``regex`` count.
        most: Places that are given, the first ones.

    Returns:
        Spans in order, none that overlap or are empty.

    Example:
        >>> search_spans("I stole; he STOLE.", ItemFilter(text="stole"))
        [(2, 7), (12, 17)]
    """
    return _found(text, wanted.text, wanted.regex, most)


def reason_spans(text: str, wanted: ItemFilter, *, most: int = MOST) -> list[Span]:
    """The same in a reason, of which ``reason`` and ``reason_regex`` of the filter count.

    Example:
        >>> reason_spans("He lied.", ItemFilter(text="he", reason="LIED"))
        [(3, 7)]
    """
    return _found(text, wanted.reason, wanted.reason_regex, most)


def _found(text: str, words: str, pattern: str, most: int) -> list[Span]:
    patterns = ["(?i)" + pl.escape_regex(words)] if words else []
    patterns += [pattern] if pattern else []
    found = [span for one in patterns for span in _spans(text, one, most)]
    return merged_spans(found)[:most]


def _spans(text: str, pattern: str, most: int) -> list[Span]:
    """Matches of the engine that filters, which never takes long: it brackets them, and brackets have places."""
    free = (chr(code) for code in _FREE if chr(code) not in text and chr(code) not in pattern)
    opening, closing = next(free, ""), next(free, "")
    if not closing:
        return []
    try:
        bracketed = pl.Series([text]).str.replace_all(pattern, f"{opening}${{0}}{closing}")[0]
    except pl.exceptions.PolarsError:
        return []
    spans: list[Span] = []
    added = 0
    for match in re.finditer(f"{opening}([^{closing}]*){closing}", bracketed):
        start = match.start() - added
        added += 2
        if match.group(1):
            spans.append((start, start + len(match.group(1))))
        if len(spans) == most:
            break
    return spans


def marked_pieces(text: str, spans: Iterable[Span]) -> list[TextPiece]:
    """A text cut at spans; put together the pieces are the text. Spans outside of it are passed over.

    Example:
        >>> marked_pieces("I stole it.", [(2, 7)])
        [TextPiece(text='I ', marked=False), TextPiece(text='stole', marked=True), TextPiece(text=' it.', marked=False)]
    """
    pieces: list[TextPiece] = []
    at = 0
    for start, end in merged_spans(span for span in spans if 0 <= span[0] < span[1] <= len(text)):
        if start > at:
            pieces.append(TextPiece(text[at:start], marked=False))
        pieces.append(TextPiece(text[start:end], marked=True))
        at = end
    if at < len(text) or not pieces:
        pieces.append(TextPiece(text[at:], marked=False))
    return pieces


def snippet(pieces: list[TextPiece], longest: int) -> list[TextPiece]:
    """At most so many characters around the first mark; what is left out is an ellipsis.

    Example:
        >>> found = snippet([TextPiece("a" * 50, False), TextPiece("b", True), TextPiece("c" * 50, False)], 20)
        >>> [piece.text for piece in found]
        ['…aaaaa', 'b', 'cccccccccccccc…']
    """
    before = 0
    for piece in pieces:
        if piece.marked:
            break
        before += len(piece.text)
    whole = sum(len(piece.text) for piece in pieces)
    begin = max(0, before - longest // 4) if before < whole and whole > longest else 0
    end = begin + longest
    found, at = [], 0
    for piece in pieces:
        kept = piece.text[max(0, begin - at) : max(0, end - at)]
        at += len(piece.text)
        if kept:
            found.append(TextPiece(kept, piece.marked))
    if begin > 0 and found:
        found[0] = found[0]._replace(text="…" + found[0].text)
    if end < whole and found:
        found[-1] = found[-1]._replace(text=found[-1].text + "…")
    return found
