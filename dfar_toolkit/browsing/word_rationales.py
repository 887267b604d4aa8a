"""Rationales of one item as words: which they are, what each scored, which of them a method chose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl


class RatedWord(NamedTuple):
    """A word of the item: its place, text (None where the item has no such place), score, whether it was chosen."""

    field: str
    start: int
    end: int
    text: str | None
    score: float | None
    chosen: bool


class WordRationale(NamedTuple):
    """What one method says about the words; ``draw`` numbers random rationales, ``target`` is what is explained."""

    method: str
    draw: int
    target: str | None
    words: tuple[RatedWord, ...]
    output_id: str


def word_rationales(rows: pl.DataFrame, item: Mapping[str, Any]) -> tuple[WordRationale, ...]:
    """The rationales of the rows of condition ``rationale``, by method and draw.

    Words are those of the row's ``words``, in reading order, with ``word_scores``; where there are none, the places of
    ``evidence``, all of them chosen.

    Args:
        rows: Rows of outputs about one item.
        item: The item: its ``statement``, ``context`` and ``option_texts`` hold the words.
    """
    texts = field_texts(item)
    ordered = rows.sort("method", "draw", "output_id", maintain_order=True)
    return tuple(
        WordRationale(row["method"], row["draw"], row.get("target"), _words(row, texts), row["output_id"])
        for row in ordered.iter_rows(named=True)
    )


def field_texts(item: Mapping[str, Any]) -> dict[str, str]:
    """The texts of an item by the names of their fields.

    Example:
        >>> field_texts({"statement": "I lied.", "context": [{"field": "why", "role": "", "text": "It rained."}]})
        {'statement': 'I lied.', 'why': 'It rained.'}
    """
    context = {str(part["field"]): str(part["text"] or "") for part in item.get("context") or ()}
    return {"statement": str(item.get("statement") or ""), **context}


def _words(row: Mapping[str, Any], texts: Mapping[str, str]) -> tuple[RatedWord, ...]:
    chosen = [(mark["field"], mark["start"], mark["end"]) for mark in row.get("evidence") or ()]
    places = [(word["field"], word["start"], word["end"]) for word in row.get("words") or ()]
    scores = list(row.get("word_scores") or ())
    if len(scores) != len(places):  # a file that does not fit itself: better no score than another word's
        scores = [None] * len(places)
    taken = set(chosen)
    words = [_word(place, score, place in taken, texts) for place, score in zip(places, scores, strict=True)]
    known = set(places)
    words += [_word(place, None, True, texts) for place in chosen if place not in known]
    return tuple(words)


def _word(place: tuple[str, int, int], score: float | None, chosen: bool, texts: Mapping[str, str]) -> RatedWord:
    field, start, end = place
    text = texts.get(field, "")
    inside = start is not None and end is not None and 0 <= start <= end <= len(text) and field in texts
    return RatedWord(field, start, end, text[start:end] if inside else None, score, chosen)
