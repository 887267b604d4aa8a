"""Marks published as one 0 or 1 per token, as places in the text of the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dfar_toolkit.spans import Span, spans_of_units

STATEMENT: Final = "statement"


def mask_fault(mask: object, length: int) -> str:
    """What is wrong with a list of marks for a text of ``length`` tokens; empty if nothing is.

    Example:
        >>> mask_fault([0, 1], 2), mask_fault([0, 1], 3)
        ('', 'of another length than its tokens')
    """
    if not isinstance(mask, Sequence) or isinstance(mask, str):
        return "no list"
    if len(mask) != length:
        return "of another length than its tokens"
    if any(mark not in (0, 1) for mark in mask):
        return "of other values than 0 and 1"
    return ""


def mask_evidence(mask: Sequence[int], units: Sequence[Span], *, field: str = STATEMENT) -> list[dict[str, object]]:
    """The marked tokens as evidence, neighbours as one span; empty tokens cannot be marked.

    Args:
        mask: 0 or 1 per token.
        units: Where each token stands in the stored text.
        field: Name of that text.

    Returns:
        Spans as they stand in the column ``evidence``.

    Example:
        >>> mask_evidence([1, 0, 1], [(0, 1), (2, 3), (4, 6)])[1]
        {'field': 'statement', 'start': 4, 'end': 6, 'set': 0}
    """
    chosen = [k for k, mark in enumerate(mask) if mark]
    spans = [(start, end) for start, end in spans_of_units(units, chosen) if start < end]
    return [{"field": field, "start": start, "end": end, "set": 0} for start, end in spans]
