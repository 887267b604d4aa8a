"""Rationales from a file of any tool, as rationales over the words of the items."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.outputs import outputs_of
from dfar_toolkit.files.run_settings import refuse_unfinished
from dfar_toolkit.prompts.item_words import Word
from dfar_toolkit.runners.rationales.rationale import RATIONALE, Rationale
from dfar_toolkit.spans import units_of_spans
from dfar_toolkit.tabular import read_table

REPORTED: Final = "reported"  # the method of rationales that name none


def given_rationales(
    path: Path, questions: pl.DataFrame, words: Mapping[str, Sequence[Word]], *, all_fields: bool = True
) -> dict[str, tuple[Rationale, ...]]:
    """Rationales by item.

    A row needs ``item_id`` and a rationale; where an item has several, their ``method``. Rows with ``evidence`` (spans
    by field) or ``word_scores`` (one number per word, contexts first, then the statement) of condition ``rationale``,
    or of condition ``full`` where the file has no others.

    Args:
        path: An outputs file or a run folder.
        questions: The questions of the items.
        words: The words of each item that is asked about; rationales of other items are left out.
        all_fields: Whether these are the words of all fields, so that evidence elsewhere is a mistake.

    Returns:
        The rationales of each item that has some.

    Raises:
        TableError: The file has no rationale of these items, or one does not fit the words of its item.
    """
    outputs = _outputs(path, questions)
    held = outputs.filter(
        pl.col("evidence").is_not_null() | pl.col("word_scores").is_not_null(), pl.col("error").is_null()
    )
    own = held.filter(pl.col("condition") == RATIONALE)
    rows = (own if len(own) else held.filter(pl.col("condition") == "full")).filter(
        pl.col("item_id").is_in(list(words)), pl.col("annotator_id") == "", pl.col("sample") == 0
    )
    if not len(rows):
        raise TableError(
            f"{path}: no rationale of these items; wanted rows with evidence (spans by field) or word_scores (one "
            f"number per word), found {len(held)} such rows of other items."
        )
    found: dict[str, list[Rationale]] = {}
    for row in rows.sort("item_id", "method", "draw").iter_rows(named=True):
        found.setdefault(row["item_id"], []).append(_rationale(row, words[row["item_id"]], path, all_fields))
    return {item: tuple(many) for item, many in found.items()}


def _outputs(path: Path, questions: pl.DataFrame) -> pl.DataFrame:
    """The file as the table outputs; rationales of another tool need no label."""
    refuse_unfinished(path)
    file = path / "outputs.parquet" if path.is_dir() else path
    frame = read_table(file)
    if not {"label", "label_probs"} & set(frame.columns):
        frame = frame.with_columns(label=pl.lit(None, dtype=pl.String))
    return outputs_of(frame, file, path.stem, questions=questions)


def _rationale(row: Mapping[str, Any], words: Sequence[Word], path: Path, all_fields: bool) -> Rationale:
    scores = row["word_scores"]
    if scores is not None and len(scores) != len(words):
        raise TableError(
            f"{path}: the item {row['item_id']} has {len(words)} words, its word_scores {len(scores)} numbers (method "
            f"{row['method'] or 'none'}); give one per word, or the same --words and --fields as they were made with."
        )
    if scores is not None and not all(score is not None and math.isfinite(score) for score in scores):
        raise TableError(
            f"{path}: the word_scores of the item {row['item_id']} must all be numbers; 0 is no importance."
        )
    chosen = None if row["evidence"] is None else _marked(row["evidence"], words)
    if row["evidence"] and not chosen and words and all_fields:
        places = ", ".join(f"{span['field']} {span['start']}:{span['end']}" for span in row["evidence"][:2])
        raise TableError(
            f"{path}: no word of the item {row['item_id']} stands at its evidence ({places}); places are characters of "
            f"{', '.join(dict.fromkeys(word.field for word in words))}."
        )
    return Rationale(
        row["method"] or REPORTED, row["draw"], None if scores is None else tuple(scores), chosen, {"given": True}
    )


def _marked(evidence: Sequence[Mapping[str, Any]], words: Sequence[Word]) -> frozenset[int]:
    """The words that a span of their field touches."""
    found: set[int] = set()
    for field in {span["field"] for span in evidence}:
        places = [at for at, word in enumerate(words) if word.field == field]
        spans = [(span["start"], span["end"]) for span in evidence if span["field"] == field]
        touched = units_of_spans([(words[at].start, words[at].end) for at in places], spans)
        found |= {places[at] for at in touched}
    return frozenset(found)
