"""From the outputs of a file to the numbers about its rationales, and the tests between their methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.metrics.rationale.gold_words import GoldRule
from dfar_toolkit.scoring.rationale_differences import DIFFERENCE_COLUMNS, rationale_differences
from dfar_toolkit.scoring.rationale_scores import (
    RATIONALE_COLUMNS,
    RATIONALE_PARTS,
    rationale_parts,
    rationale_scores,
)


class ScoredRationales(NamedTuple):
    """Numbers of every method, from ``rationale_scores``, and paired tests, from ``rationale_differences``."""

    rationales: pl.DataFrame
    differences: pl.DataFrame


def scored_rationales(
    outputs: pl.DataFrame,
    folder: ItemsFolder,
    *,
    parts: Sequence[str] | None = None,
    split: Sequence[str] | None = None,
    marked_by: Sequence[GoldRule] = ("majority",),
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> ScoredRationales:
    """Scores of rationales and reasons under test, and paired tests between methods, where outputs have any.

    Args:
        outputs: The table outputs, of one question.
        folder: The items folder.
        parts: Only those of ``RATIONALE_PARTS``, whatever else is named; None: all that apply.
        split: Splits to score; by default all.
        marked_by: By whom words must be marked for rationales to be held against them; the first in the tests.
        confidence: Coverage of the intervals.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Both tables; without rows where there are no rationales.

    Raises:
        TableError: The outputs do not fit the items.
    """
    wanted = None if parts is None else [part for part in parts if part in RATIONALE_PARTS]
    names = outputs["question"].unique().to_list()
    folder = folder.of_question(str(names[0])) if len(names) == 1 else folder
    items = folder.items if split is None else folder.items.filter(pl.col("split").is_in(list(split)))
    outputs = outputs.filter(pl.col("item_id").is_in(items["item_id"].implode()))
    if wanted == [] or not rationale_parts(outputs):
        return ScoredRationales(pl.DataFrame(schema=RATIONALE_COLUMNS), pl.DataFrame(schema=DIFFERENCE_COLUMNS))
    table = rationale_scores(
        outputs, items, folder.annotations, options=folder.options, parts=wanted, gold=marked_by, confidence=confidence,
        n_boot=n_boot, seed=seed,
    )  # fmt: skip
    differences = rationale_differences(
        outputs, items, folder.annotations, options=folder.options, parts=wanted, gold=marked_by[0],
        confidence=confidence, n_boot=n_boot, seed=seed,
    )  # fmt: skip
    return ScoredRationales(table, differences)
