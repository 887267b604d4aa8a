"""Spans that people marked and a method predicted, document by document, as ERASER counts them: spans as given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.rationale.count_scores import WITHOUT, joined
from dfar_toolkit.metrics.rationale.gold_words import GoldWords
from dfar_toolkit.metrics.rationale.iou_f1 import word_runs
from dfar_toolkit.metrics.rationale.ragged_rows import Bools, Ints, range_places, row_numbers, starts_of

Spans = Mapping[str, Sequence[tuple[int, int]]]


class SpanDocuments(NamedTuple):
    """Spans of D documents, half-open, in words of the document.

    Attributes:
        human: Rows (document, start, end) that people marked, each once (H, 3).
        predicted: Rows that the method predicted, each once (P, 3).
        n: D.
        item: Item of each document (D,): documents of an item (draws of a method) are averaged.
        n_items: N.
        groups: Resampling unit of each item (N,), or None.
        note: What is to be said with every score.
    """

    human: Ints
    predicted: Ints
    n: int
    item: Ints
    n_items: int
    groups: pl.Series | None = None
    note: str = ""


def span_documents(human: Spans, predicted: Spans, *, group: Mapping[str, str] | None = None) -> SpanDocuments:
    """Spans by document.

    Args:
        human: Document to the (start, end) that people marked, half-open, in tokens; they may overlap.
        predicted: Document to the (start, end) predicted; may be empty (start = end), as ERASER allows.
        group: Document to resampling unit; None: each document its own.

    Returns:
        The documents that occur on either side.

    Raises:
        TableError: A span ends before its start, or starts before 0; a document without a group.

    Example:
        >>> span_documents({"a": [(0, 2)]}, {"a": [(1, 2)], "b": []}).n
        2
    """
    names = sorted({*human, *predicted})
    place = {name: k for k, name in enumerate(names)}
    if group is not None and set(names) - set(group):
        raise TableError(f"eraser: every document needs a group; {sorted(set(names) - set(group))[0]!r} has none.")
    groups = None if group is None else pl.Series("group", [group[name] for name in names])
    n = len(names)
    return SpanDocuments(_rows(human, place), _rows(predicted, place), n, np.arange(n, dtype=np.int64), n, groups)


def documents_of_words(words: GoldWords) -> SpanDocuments:
    """The runs of neighbouring words of each rationale and of people's marks, a rationale being a document."""
    human, predicted = _runs(words.gold, words), _runs(words.chosen, words)
    lost = words.n_items - len(np.unique(words.item))
    said = joined(words.note, words.top_note, f"{lost} of {words.n_items} {WITHOUT} left out" if lost else "")
    return SpanDocuments(human, predicted, len(words.sizes), words.item, words.n_items, words.groups, said)


def token_rows(spans: Ints) -> Ints:
    """Every (document, token, token + 1) that the spans cover, each once.

    Example:
        >>> token_rows(np.array([[0, 1, 3], [0, 2, 4], [0, 5, 5]])).tolist()
        [[0, 1, 2], [0, 2, 3], [0, 3, 4]]
    """
    sizes = spans[:, 2] - spans[:, 1]
    at = range_places(spans[:, 1], sizes)
    return _unique_rows(np.column_stack([spans[row_numbers(sizes), 0], at, at + 1]))[0]


def common_rows(human: Ints, predicted: Ints) -> Ints:
    """The rows that both sides have; each side has a row once."""
    rows, times = _unique_rows(np.concatenate([human, predicted]))
    common: Ints = rows[times == 2]
    return common


def best_iou(documents: SpanDocuments) -> Floats:
    """The largest intersection over union of each predicted span with any human span of its document (P,).

    0 where the document has none. Cost: pairs of spans within documents.
    """
    human, predicted = documents.human, documents.predicted
    sizes = np.bincount(human[:, 0], minlength=documents.n).astype(np.int64)
    pairs = sizes[predicted[:, 0]]
    left, right = row_numbers(pairs), range_places(starts_of(sizes)[predicted[:, 0]], pairs)
    a, b = predicted[left], human[right]
    common = np.maximum(np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 1], b[:, 1]), 0)
    union = a[:, 2] - a[:, 1] + b[:, 2] - b[:, 1] - common
    best = np.zeros(len(predicted))
    np.maximum.at(best, left, np.divide(common, union, out=np.zeros(len(left)), where=union > 0))
    return best


def _rows(side: Spans, place: Mapping[str, int]) -> Ints:
    listed = [(place[name], int(start), int(end)) for name, spans in side.items() for start, end in spans]
    for _, start, end in listed:
        if not 0 <= start <= end:
            raise TableError(f"eraser: a span must start at 0 or later and not end before; found {start} to {end}.")
    return _unique_rows(np.array(listed, dtype=np.int64).reshape(-1, 3))[0]


def _unique_rows(rows: Ints) -> tuple[Ints, Ints]:
    """The different rows (V, 3), sorted, and how often each occurs; one sort of rows is far quicker than of tuples."""
    rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    first = np.flatnonzero(new)
    return rows[first], np.diff(first, append=len(rows))


def _runs(mask: Bools, words: GoldWords) -> Ints:
    first, stop = word_runs(mask, words.begins)
    document = words.row[first]
    before = starts_of(words.sizes)[document]
    rows: npt.NDArray[np.int64] = np.column_stack([document, first - before, stop - before])
    return rows
