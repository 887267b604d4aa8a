"""Words that matter, of people and of methods, one row each: scores as weights, ranks, and what two rows share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import polars as pl

from dfar_toolkit.browsing.item_record import ItemRecord, RunRecord
from dfar_toolkit.browsing.word_rationales import RatedWord, WordRationale, field_texts, word_rationales
from dfar_toolkit.spans import Span, units_of_spans, word_spans

_BESIDE: Final = ("random", "human")  # baselines, and people's words as a run was given them
_SHARE: Final = 0.2  # of the words, where neither of two rows chose any

Share = Literal["", "both", "first", "second"]


class RankedWord(NamedTuple):
    """A word of a row: its place, its score with its weight (-1 to 1, by the largest) and rank from 1, chosen or not.

    Of a row without scores they are None.
    """

    field: str
    start: int
    end: int
    text: str
    score: float | None
    weight: float | None
    rank: int | None
    chosen: bool


class RationaleRow(NamedTuple):
    """What one person or one method of one run says about the words.

    Attributes:
        key: Names the row within the item.
        run: The run; empty for a person.
        who: The method, or the person.
        draw: Number of a random rationale.
        target: The label that is explained.
        words: In reading order; those that the item does not have are left out.
        n_lost: How many were left out.
        aside: Whether it is a baseline, or repeats what people marked.
    """

    key: str
    run: str
    who: str
    draw: int
    target: str | None
    words: tuple[RankedWord, ...]
    n_lost: int
    aside: bool


class ShownWord(NamedTuple):
    """A stretch of a field, and which of two rows chose it."""

    text: str
    share: Share


class Overlap(NamedTuple):
    """What two rows chose: words of both, of one alone, and their Jaccard index, nan where neither has a word.

    ``fields`` holds the texts of the item cut into stretches; ``note`` says where words count as chosen by rank.
    """

    n_both: int
    n_first: int
    n_second: int
    jaccard: float
    fields: dict[str, list[ShownWord]]
    note: str


def rationale_rows(record: ItemRecord) -> list[RationaleRow]:
    """Every row of an item: people first, then runs in their order, baselines of a run last."""
    rows = [
        _row(one, one.method, "", one.output_id, aside=False)
        for one in _people(record)
        if any(word.chosen for word in one.words)
    ]
    marked = bool(rows)
    for run in record.runs:
        own = [_row(one, one.method, run.run, one.output_id, aside=_aside(one, marked)) for one in run.rationales]
        rows += _answers_own(run, record) + sorted(own, key=lambda row: row.aside)
    return rows


def _aside(one: WordRationale, people_marked: bool) -> bool:
    return one.method == "random" or (one.method in _BESIDE and people_marked)


def _people(record: ItemRecord) -> tuple[WordRationale, ...]:
    found = record.annotations
    if not len(found) or "evidence" not in found.columns:
        return ()
    marked = found.filter(pl.col("evidence").list.len() > 0).unique(["annotator_id", "rating_id"], keep="first")
    rows = marked.select(
        pl.col("annotator_id").alias("method"), pl.lit(0).alias("draw"), pl.lit(None).alias("target"), "evidence",
        pl.concat_str(pl.lit("human/"), "rating_id").alias("output_id"),
    )  # fmt: skip
    return word_rationales(rows, record.item)


def _answers_own(run: RunRecord, record: ItemRecord) -> list[RationaleRow]:
    """What the answer itself quotes as evidence."""
    answer = run.answer
    if answer is None or not answer.get("evidence"):
        return []
    fields = {"method": "with the answer", "draw": 0, "output_id": answer["output_id"], "target": answer["label"]}
    frame = pl.DataFrame([{**fields, "evidence": answer["evidence"]}])
    return [_row(one, one.method, run.run, one.output_id, aside=False) for one in word_rationales(frame, record.item)]


def _row(one: WordRationale, who: str, run: str, key: str, *, aside: bool) -> RationaleRow:
    there = [word for word in one.words if word.text]
    ranks = _ranks(there)
    largest = max((abs(word.score) for word in there if _known(word.score)), default=0.0)  # type: ignore[arg-type]
    words = tuple(
        RankedWord(
            word.field, word.start, word.end, word.text or "",
            word.score if rank else None,
            (word.score or 0.0) / largest if rank and largest > 0 else (0.0 if rank else None),
            rank, word.chosen,
        )
        for word, rank in zip(there, ranks, strict=True)
    )  # fmt: skip
    return RationaleRow(key, run, who, one.draw, one.target, words, len(one.words) - len(there), aside)


def _known(score: float | None) -> bool:
    return score is not None and math.isfinite(score)


def _ranks(words: Sequence[RatedWord]) -> list[int | None]:
    """The highest score is first; of equal ones that which stands first, as when words are hidden by rank."""
    scores = [word.score for word in words]
    known = [at for at, score in enumerate(scores) if _known(score)]
    order = sorted(known, key=lambda at: (-(scores[at] or 0.0), at))
    places = {at: rank for rank, at in enumerate(order, start=1)}
    return [places.get(at) for at in range(len(words))]


def top_words(row: RationaleRow, k: int) -> tuple[RankedWord, ...]:
    """The k words with the highest scores, by rank; the chosen ones where there are no scores."""
    ranked = sorted((word for word in row.words if word.rank), key=lambda word: word.rank or 0)
    return tuple(ranked[:k]) if ranked else tuple(word for word in row.words if word.chosen)[:k]


def overlap(first: RationaleRow, second: RationaleRow, item: Mapping[str, object]) -> Overlap:
    """Which words of an item two rows chose.

    Words are those of the texts (runs without blanks; characters in scripts without any): a row chose one where it
    chose any part of it. A row with scores that chose none counts with its highest ones, as many as the other chose, a
    fifth of the words where that chose none either.

    Args:
        first: A row of :func:`rationale_rows`.
        second: Another.
        item: The item.
    """
    texts = field_texts(item)
    units = {field: word_spans(text, unit="characters") for field, text in texts.items()}
    chosen = [_chosen(row) for row in (first, second)]
    n_words = sum(map(len, units.values()))
    notes = []
    for side, row in enumerate((first, second)):
        if not chosen[side] and any(word.rank for word in row.words):
            k = len(chosen[1 - side]) if any(w.chosen for w in (second, first)[side].words) else 0
            k = k or math.ceil(_SHARE * n_words)
            chosen[side] = [(word.field, word.start, word.end) for word in top_words(row, k)]
            notes.append(f"{row.who}: the {k} highest-scored word{'s' if k != 1 else ''}")
    touched = [_touched(units, places) for places in chosen]
    both, a, b = touched[0] & touched[1], touched[0] - touched[1], touched[1] - touched[0]
    named: dict[tuple[str, int], Share] = {
        **dict.fromkeys(both, "both"), **dict.fromkeys(a, "first"), **dict.fromkeys(b, "second"),
    }  # fmt: skip
    total = len(both) + len(a) + len(b)
    fields = {field: _stretches(text, units[field], field, named) for field, text in texts.items()}
    return Overlap(len(both), len(a), len(b), len(both) / total if total else math.nan, fields, "; ".join(notes))


def _chosen(row: RationaleRow) -> list[tuple[str, int, int]]:
    return [(word.field, word.start, word.end) for word in row.words if word.chosen]


def _touched(units: Mapping[str, list[Span]], places: Sequence[tuple[str, int, int]]) -> set[tuple[str, int]]:
    by: dict[str, list[Span]] = {}
    for field, start, end in places:
        by.setdefault(field, []).append((start, end))
    return {(field, at) for field, spans in by.items() for at in units_of_spans(units.get(field, []), spans)}


def _stretches(text: str, units: Sequence[Span], field: str, named: Mapping[tuple[str, int], Share]) -> list[ShownWord]:
    found: list[ShownWord] = []
    at = 0
    for place, (start, end) in enumerate(units):
        share = named.get((field, place))
        if share:
            found += [ShownWord(text[at:start], "")] if start > at else []
            found.append(ShownWord(text[start:end], share))
            at = end
    return [*found, ShownWord(text[at:], "")] if at < len(text) else found
