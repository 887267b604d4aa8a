"""The reliability curves of runs against the distribution of people's votes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from dfar_toolkit.metrics.answers import join_outputs
from dfar_toolkit.metrics.calibration.reliability_curve import reliability_curve

_BINS: Final = 10
_IN_BIN: Final = 12  # items wanted in a bin: with fewer an interval says next to nothing


def reliability_of_runs(
    outputs: pl.DataFrame,
    items: pl.DataFrame,
    *,
    split: str | Sequence[str] | None = None,
    question: str | None = None,
    options: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> pl.DataFrame:
    """The curve of each run over all items with a distribution on both sides, in up to ten bins of as many items each.

    Args:
        outputs: The table outputs; runs are kept apart.
        items: The table items.
        split: Splits to evaluate; None means those that occur in the outputs.
        question: The question answered, where the outputs hold several.
        options: Names of the labels in order; None means the gold labels of the items, sorted.
        confidence: Coverage of the intervals and of the band.

    Returns:
        ``run_id``, then the columns of ``reliability_curve``; no columns where no run has a distribution.

    Raises:
        TableError: Outputs and items that do not fit each other.
    """
    answers = join_outputs(outputs, items, split=split, question=question, options=options)
    complete = answers.frame.filter(pl.col("label_probs").is_not_null(), pl.col("label_probs_pred").is_not_null())
    if answers.items["group"].n_unique() == len(answers.items):
        complete = complete.drop("group")  # then every item is its own unit
    tables = []
    for (run,), rows in complete.partition_by("run_id", as_dict=True, maintain_order=True).items():
        part = rows.sort("item_id")  # sums come out the same in whatever order the items stand
        n_bins = max(1, min(_BINS, len(part) // _IN_BIN))
        curve = reliability_curve(part, options=answers.options, n_bins=n_bins, binning="mass", confidence=confidence)
        tables.append(curve.select(pl.lit(str(run)).alias("run_id"), pl.all()))
    return pl.concat(tables) if tables else pl.DataFrame()
