"""Spans of characters as marks on words: a word is marked where a span shares a character with it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.rationale.ragged_rows import Bools, Ints, range_places, row_numbers, starts_of


class TextWords(NamedTuple):
    """Words of T texts, laid end to end: number of the field, start, and end of each word (W,); words of each (T,)."""

    sizes: Ints
    field: Ints
    start: Ints
    end: Ints


class SpanMarks(NamedTuple):
    """The marks of E masks (words of their texts each, end to end), and whether each span touches a word (S,)."""

    marks: Bools
    touching: Bools


def marks_of_spans(words: TextWords, text: Ints, owner: Ints, field: Ints, start: Ints, end: Ints) -> SpanMarks:
    """Which words the spans of each mask touch.

    Args:
        words: The words of the texts.
        text: Text of each mask (E,).
        owner: Mask that each span belongs to (S,).
        field: Field of each span (S,), -1 where no text has it.
        start: First character of each span (S,).
        end: Character after the last (S,).

    Returns:
        The marks, in the order of the words.

    Raises:
        TableError: Words of a field overlap.

    Example:
        >>> zero = np.zeros(2, dtype=np.int64)
        >>> words = TextWords(np.array([2]), zero, np.array([0, 3]), np.array([2, 9]))
        >>> one = np.array([0])
        >>> marks_of_spans(words, one, one, one, np.array([4]), np.array([6])).marks.tolist()
        [False, True]
    """
    order, group, begins, stops = _sorted_words(words)
    sizes, before = words.sizes[text], starts_of(words.sizes)[text]
    base = int(max(words.end.max(initial=0), 0)) + 1
    n_fields = int(words.field.max(initial=0)) + 1
    known = (field >= 0) & (field < n_fields)
    span_group = text[owner] * n_fields + np.where(known, field, 0)
    first = np.searchsorted(group * base + stops, span_group * base + np.clip(start, 0, base - 1), "right")
    last = np.searchsorted(group * base + begins, span_group * base + np.clip(end, 0, base - 1), "left")
    touching = known & (first < last) & (start < end)
    offset = starts_of(sizes)
    shift = offset[:-1][owner] - before[owner]
    edges = np.zeros(int(offset[-1]) + 1, dtype=np.int64)
    np.add.at(edges, (first + shift)[touching], 1)
    np.add.at(edges, (last + shift)[touching], -1)
    in_order = np.cumsum(edges[:-1]) > 0
    marks = np.zeros(len(in_order), dtype=np.bool_)
    place = order[range_places(before, sizes)] - np.repeat(before, sizes) + np.repeat(offset[:-1], sizes)
    marks[place] = in_order
    return SpanMarks(marks, touching)


def _sorted_words(words: TextWords) -> tuple[Ints, Ints, Ints, Ints]:
    """Order of the words by text, field and place; then the number of text and field, start and end in that order."""
    text = row_numbers(words.sizes)
    order = np.lexsort((words.start, words.field, text))
    group = (text * (int(words.field.max(initial=0)) + 1) + words.field)[order]
    begins, stops = words.start[order], words.end[order]
    same = group[1:] == group[:-1]
    torn = (same & (begins[1:] < stops[:-1])).sum() + (begins >= stops).sum()
    if torn:
        raise TableError(f"rationale: words of a field must lie apart and have characters; {int(torn)} do not.")
    return order, group, begins, stops
