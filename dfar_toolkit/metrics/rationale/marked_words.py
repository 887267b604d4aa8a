"""The words that people marked in each item, and the words that methods chose or scored: what plausibility starts from.

Everything is flat: texts, people's masks and rationales lie end to end, so that an item costs its words and no Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.labels import Column, group_series
from dfar_toolkit.metrics.rationale.ragged_rows import Bools, Ints, starts_of

Mask = Sequence[Any] | npt.NDArray[Any]
Method = str | tuple[str, int]  # a method, or a method and the number of a draw of it


class MarkedWords(NamedTuple):
    """Marks of people and of methods on the words of N items; flat arrays lie in the order of their rows.

    Attributes:
        items: Ids of the items that people marked, or could have (N,).
        groups: Resampling unit of each item (N,), or None.
        text_item: Item of each text (T,): a text is the words of an item; a second one where methods cut it otherwise.
        text_sizes: Words of each text (T,).
        begins: Whether a word is the first of its text or field (W,), W words of all texts.
        human_text: Text of each person's mask (E,).
        human_marks: The masks, words of the text each.
        methods: Names of the methods (M,).
        text: Text of each rationale (R,).
        method: Place in ``methods`` of each rationale (R,); several rationales of a method and item are averaged.
        chosen: Whether the rationale chose the word (V,); false throughout where it chose none.
        has_chosen: Whether the rationale says which words it chose (R,).
        scores: Score of the word (V,); 0 where there are none.
        has_scores: Whether the rationale has scores (R,).
        note: What was left out.
    """

    items: pl.Series
    groups: pl.Series | None
    text_item: Ints
    text_sizes: Ints
    begins: Bools
    human_text: Ints
    human_marks: Bools
    methods: tuple[str, ...]
    text: Ints
    method: Ints
    chosen: Bools
    has_chosen: Bools
    scores: Floats
    has_scores: Bools
    note: str = ""


def marked_words(
    human: Sequence[Sequence[Mask | None] | None],
    predicted: Sequence[Mask | None] | Mapping[Method, Sequence[Mask | None]] | None = None,
    *,
    scores: Sequence[Mask | None] | Mapping[Method, Sequence[Mask | None]] | None = None,
    group: Column | None = None,
) -> MarkedWords:
    """Marks of people and methods from lists of masks.

    Args:
        human: Per item (N,) one mask per person asked, 0 or 1 for each word; None: not asked.
        predicted: Per item the mask of the words chosen; None: no rationale. By method where there are several, by
            (method, draw) where a method has several draws.
        scores: Per item one number per word, higher matters more; likewise.
        group: Values (N,) of the resampling unit.

    Returns:
        The marks of the items that somebody was asked about; the others are counted in the note.

    Raises:
        ValueError: Lengths that differ, neither ``predicted`` nor ``scores``.
        TableError: A mask of other values than 0 and 1.

    Example:
        >>> marked = marked_words([[[1, 0, 0], [1, 1, 0]]], [[1, 0, 1]])
        >>> marked.human_marks.reshape(2, 3).astype(int).tolist(), marked.methods
        ([[1, 0, 0], [1, 1, 0]], ('reported',))
    """
    if predicted is None and scores is None:
        raise ValueError("marked_words: give predicted masks, or scores, or both; found neither")
    masks = [[m for m in (people or []) if m is not None] for people in human]
    groups = group_series("marked_words", None, group, len(masks))
    kept = np.array([bool(people) for people in masks], dtype=np.bool_)
    sizes = np.array([len(people[0]) if people else 0 for people in masks], dtype=np.int64)
    _check_sizes("human", [(i, m) for i, people in enumerate(masks) for m in people], sizes)
    place = np.cumsum(kept) - 1
    asked = np.array([len(people) for people in masks], dtype=np.int64)[kept]
    text_sizes = sizes[kept]
    begins = np.zeros(int(text_sizes.sum()), dtype=np.bool_)
    begins[starts_of(text_sizes)[:-1][text_sizes > 0]] = True
    found = _Rationales(_by_method(predicted), _by_method(scores), sizes, kept)
    return MarkedWords(
        items=pl.Series("item_id", [str(i) for i in np.flatnonzero(kept)], dtype=pl.String),
        groups=None if groups is None else groups.filter(pl.Series(kept)),
        text_item=np.arange(len(text_sizes), dtype=np.int64),
        text_sizes=text_sizes,
        begins=begins,
        human_text=np.repeat(np.arange(len(asked), dtype=np.int64), asked),
        human_marks=_marks([m for people in masks for m in people], "human"),
        methods=found.methods,
        text=place[found.item],
        method=found.method,
        chosen=found.chosen,
        has_chosen=found.has_chosen,
        scores=found.scores,
        has_scores=found.has_scores,
        note="" if kept.all() else f"{(~kept).sum()} of {len(kept)} items that nobody was asked about left out",
    )


class _Rationales:
    """The rationales of all methods as flat arrays, those of items without people left out."""

    def __init__(
        self,
        predicted: Mapping[tuple[str, int], Sequence[Mask | None]],
        scores: Mapping[tuple[str, int], Sequence[Mask | None]],
        sizes: Ints,
        kept: Bools,
    ) -> None:
        keys = list(dict.fromkeys([*predicted, *scores]))
        self.methods = tuple(dict.fromkeys(name for name, _ in keys))
        rows: list[tuple[int, int, Mask | None, Mask | None]] = []
        for key in keys:
            sides = [side.get(key) or [None] * len(sizes) for side in (predicted, scores)]
            for role, side in zip(("predicted", "scores"), sides, strict=True):
                if len(side) != len(sizes):
                    raise ValueError(f"marked_words: human has {len(sizes)} items, {role} has {len(side)}; give all")
            of = self.methods.index(key[0])
            pairs = enumerate(zip(*sides, strict=True))
            rows += [(i, of, m, s) for i, (m, s) in pairs if kept[i] and (m is not None or s is not None)]
        self.item = np.array([r[0] for r in rows], dtype=np.int64)
        self.method = np.array([r[1] for r in rows], dtype=np.int64)
        for role, at in (("predicted", 2), ("scores", 3)):
            _check_sizes(role, [(r[0], r[at]) for r in rows if r[at] is not None], sizes)
        self.has_chosen = np.array([r[2] is not None for r in rows], dtype=np.bool_)
        self.has_scores = np.array([r[3] is not None for r in rows], dtype=np.bool_)
        blank = [np.zeros(sizes[r[0]]) for r in rows]
        self.chosen = _marks([b if r[2] is None else r[2] for r, b in zip(rows, blank, strict=True)], "predicted")
        given = [b if r[3] is None else np.asarray(r[3], dtype=np.float64) for r, b in zip(rows, blank, strict=True)]
        self.scores = np.concatenate([np.empty(0), *given])
        if not np.isfinite(self.scores).all():
            raise TableError("marked_words: scores must be finite numbers; give None for an item that has none.")


def _by_method(given: Any) -> dict[tuple[str, int], Sequence[Mask | None]]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {key if isinstance(key, tuple) else (key, 0): side for key, side in given.items()}
    return {("reported", 0): given}


def _check_sizes(role: str, masks: Sequence[tuple[int, Any]], sizes: Ints) -> None:
    for item, mask in masks:
        if len(mask) != sizes[item]:
            raise ValueError(
                f"marked_words: item {item} has {sizes[item]} words by its first human mask, {len(mask)} in {role}; "
                "give one number per word"
            )


def _marks(masks: Sequence[Any], role: str) -> Bools:
    flat = np.concatenate([np.empty(0), *(np.asarray(m, dtype=np.float64) for m in masks)])
    if not np.isin(flat, (0, 1)).all():
        raise TableError(f"marked_words: {role} masks must be 0 or 1 for each word; find other numbers under scores=.")
    return flat.astype(np.bool_)
