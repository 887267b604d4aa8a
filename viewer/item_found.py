"""Reasons with what was searched for marked: whole, and folded where they are long."""

from __future__ import annotations

from typing import Final, NamedTuple

from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.text_marks import TextPiece, marked_pieces, reason_spans

_LITTLE: Final = 1.3  # times the folded length: what is hardly longer is not folded


class MarkedText(NamedTuple):
    """A text in pieces.

    ``begin`` is what is shown of a folded one, empty where it is not folded; ``characters`` of the whole, of which
    ``pieces`` may be the first ``most``; ``found`` says that something is marked, ``hidden`` that it is past ``begin``.
    """

    begin: list[TextPiece]
    pieces: list[TextPiece]
    characters: int
    cut: bool
    found: bool
    hidden: bool


def marked_reason(text: str, wanted: ItemFilter, *, begin: int = 900, most: int = 300_000) -> MarkedText:
    """A reason with the places marked where the filter's search in reasons fits it.

    Args:
        text: The reason.
        wanted: The filter.
        begin: Characters that are shown of a long one.
        most: Characters that are on the page at all.

    Example:
        >>> found = marked_reason("He lied.", ItemFilter(reason="lied"))
        >>> [piece.text for piece in found.pieces if piece.marked], found.found, found.begin
        (['lied'], True, [])
    """
    spans = reason_spans(text, wanted) if wanted.reason or wanted.reason_regex else []
    first: list[TextPiece] = []
    folded = len(text) > begin * _LITTLE
    if folded:
        first = marked_pieces(text[:begin], [(a, min(b, begin)) for a, b in spans if a < begin])
    shown = marked_pieces(text[:most], [(a, min(b, most)) for a, b in spans if a < most])
    hidden = folded and any(b > begin for _, b in spans)
    return MarkedText(first, shown, len(text), len(text) > most, bool(spans), hidden)
