"""Marks of people and methods from the tables outputs, items and annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.rationale.marked_words import MarkedWords
from dfar_toolkit.metrics.rationale.ragged_rows import Bools, Ints, range_places, row_numbers, starts_of
from dfar_toolkit.metrics.rationale.rationale_rows import (
    RationaleRows,
    check_one_run,
    human_rows,
    of_split,
    rationale_rows,
)
from dfar_toolkit.metrics.rationale.span_marks import TextWords, marks_of_spans


def marked_words_of_outputs(
    outputs: pl.DataFrame,
    *,
    items: pl.DataFrame,
    annotations: pl.DataFrame,
    question: str | None = None,
    group: str = "group",
) -> MarkedWords:
    """Words that people marked and that one run's rationales chose or scored.

    Rationales are the rows of condition ``rationale``, their words in the column ``words``. Rows of condition ``full``
    with evidence or scores of words, as files of other tools have them, are taken as the method ``reported``; without
    ``words`` their words are the runs of characters without white space of the contexts and the statement, or of the
    statement alone where that fits the number of scores.

    A word is marked where a span shares a character with it. Each person who was asked (evidence is an empty
    list: nothing marked; null: not asked) has one mask. Items are those with a mask, in the splits that occur in the
    outputs.

    Args:
        outputs: The table outputs, one run and one question.
        items: The table items.
        annotations: The table annotations.
        question: The question whose evidence is people's; None: the questions without a foil, of which an item may
            have one with evidence.
        group: Column of items with the resampling unit; every item its own where there is no such column.

    Returns:
        The marks. The note counts what was left out.

    Raises:
        TableError: Several runs or questions, no evidence, an item with evidence to several questions, words that
            overlap.

    Example:
        >>> items = pl.DataFrame({"item_id": ["a"], "statement": ["I lied twice."]})
        >>> spans = [[{"field": "statement", "start": 2, "end": 6, "set": 0}]]
        >>> people = pl.DataFrame({"item_id": ["a"], "annotator_id": ["x"], "question": ["q"], "rating_id": ["1"],
        ...                        "evidence": spans})
        >>> said = pl.DataFrame({"run_id": ["r"], "item_id": ["a"], "question": ["q"], "condition": ["full"],
        ...                      "method": [""], "word_scores": [[0.1, 0.9, 0.2]], "evidence": [None]})
        >>> marked_words_of_outputs(said, items=items, annotations=people).human_marks.tolist()
        [False, True, False]
    """
    check_one_run(outputs)
    human = human_rows(annotations, question)
    kept = items.filter(of_split(items, outputs)).join(human.select("item_id").unique(), on="item_id", how="semi")
    kept = kept.sort("item_id")
    human = human.join(kept, on="item_id", how="semi")
    rows = rationale_rows(outputs, kept)
    place = pl.DataFrame({"item_id": kept["item_id"], "item": np.arange(len(kept), dtype=np.int64)})
    fitted = _fitted(rows, place)
    text, text_item, words, begins = _texts(fitted)
    people = human.join(place, on="item_id", how="left").sort("item", "person").with_row_index("mask")
    lost_human, human_text, human_marks = _people(people, text_item, words, rows.fields)
    chosen, lost_own = _spans(fitted.frame.select("evidence").with_row_index("mask"), text, words, rows.fields)
    notes = [*rows.notes, *fitted.notes, *_lost(lost_human, "people's"), *_lost(lost_own, "the rationales'")]
    return MarkedWords(
        items=kept["item_id"],
        groups=kept[group] if group in kept.columns else None,
        text_item=text_item,
        text_sizes=words.sizes,
        begins=begins,
        human_text=human_text,
        human_marks=human_marks,
        methods=rows.methods,
        text=text,
        method=fitted.frame["method_number"].to_numpy().astype(np.int64),
        chosen=chosen,
        has_chosen=fitted.frame["evidence"].is_not_null().to_numpy(),
        scores=fitted.scores,
        has_scores=fitted.has_scores,
        note="; ".join(notes),
    )


class _Fitted(NamedTuple):
    """Rationales whose scores fit their words: rows, their words, and scores (0 where there are none)."""

    frame: pl.DataFrame
    item: Ints
    words: TextWords
    scores: Floats
    has_scores: Bools
    notes: list[str]


def _fitted(rows: RationaleRows, place: pl.DataFrame) -> _Fitted:
    """The rows whose scores are one finite number per word, or that have evidence."""
    frame, sizes = rows.frame, rows.words.sizes
    given = frame["word_scores"].list.len().fill_null(-1).to_numpy().astype(np.int64)
    flat = frame.filter(pl.col("word_scores").list.len() > 0)["word_scores"].explode().cast(pl.Float64)
    values = flat.fill_null(float("nan")).to_numpy()
    lengths = np.maximum(given, 0)
    broken = np.bincount(row_numbers(lengths)[~np.isfinite(values)], minlength=len(given)) > 0
    has_scores = (given == sizes) & ~broken
    usable = has_scores | frame["evidence"].is_not_null().to_numpy()
    unfit = int(((given >= 0) & ~has_scores).sum())
    notes = [f"scores of {unfit} rationales that are not one finite number per word left out"] if unfit else []
    scores = np.zeros(int(sizes.sum()))
    scores[np.repeat(has_scores, sizes)] = values[np.repeat(has_scores, lengths)]
    keep, at = pl.Series(usable), np.repeat(usable, sizes)
    words = TextWords(sizes[usable], rows.words.field[at], rows.words.start[at], rows.words.end[at])
    kept = frame.filter(keep)
    item = kept.join(place, on="item_id", how="left", maintain_order="left")["item"].to_numpy().astype(np.int64)
    return _Fitted(kept, item, words, scores[at], has_scores[usable], notes)


def _texts(fitted: _Fitted) -> tuple[Ints, Ints, TextWords, Bools]:
    """Text of each rationale, item of each text, and the words of the texts.

    Rationales of an item with the same words share a text: that of its first rationale. Any other has its own.
    """
    n, sizes, words = len(fitted.item), fitted.words.sizes, fitted.words
    _, first_of, item_code = np.unique(fitted.item, return_index=True, return_inverse=True)
    first = first_of[item_code]
    differs = sizes != sizes[first]
    alike = np.flatnonzero(~differs)
    starts = starts_of(sizes)
    own, other = (range_places(starts[rows], sizes[alike]) for rows in (alike, first[alike]))
    unequal = np.zeros(len(own), dtype=np.bool_)
    for column in (words.field, words.start, words.end):
        unequal |= column[own] != column[other]
    differs[alike[row_numbers(sizes[alike])[unequal]]] = True
    source = np.where(differs, np.arange(n), first)
    holders = np.unique(source)
    at = range_places(starts[holders], sizes[holders])
    kept = TextWords(sizes[holders], words.field[at], words.start[at], words.end[at])
    begins = np.ones(len(at), dtype=np.bool_)
    begins[1:] = kept.field[1:] != kept.field[:-1]
    begins[starts_of(kept.sizes)[:-1][kept.sizes > 0]] = True
    return np.searchsorted(holders, source).astype(np.int64), fitted.item[holders], kept, begins


def _people(people: pl.DataFrame, text_item: Ints, words: TextWords, fields: Sequence[str]) -> tuple[int, Ints, Bools]:
    """Spans without a word, text of each mask, and the marks; a mask of an item with two texts is there twice."""
    texts = pl.DataFrame({"item": text_item, "text": np.arange(len(text_item), dtype=np.int64)})
    masks = people.join(texts, on="item").sort("text", "mask")
    human_text = masks["text"].to_numpy().astype(np.int64)
    marks, lost = _spans(masks.select("evidence").with_row_index("mask"), human_text, words, fields)
    return lost, human_text, marks


def _spans(masks: pl.DataFrame, text: Ints, words: TextWords, fields: Sequence[str]) -> tuple[Bools, int]:
    """Marks of masks with lists of spans, and how many spans touch no word."""
    flat = masks.filter(pl.col("evidence").list.len() > 0).explode("evidence")
    parts = flat.select("mask", pl.col("evidence").struct.unnest())
    number: dict[Any, int] = {name: k for k, name in enumerate(fields)}
    field = parts["field"].replace_strict(number, default=-1, return_dtype=pl.Int64)
    columns = [column.to_numpy().astype(np.int64) for column in (parts["mask"], field, parts["start"], parts["end"])]
    found = marks_of_spans(words, text, *columns)
    return found.marks, int((~found.touching).sum())


def _lost(n: int, whose: str) -> list[str]:
    return [f"{n} of {whose} spans on none of the words"] if n else []
