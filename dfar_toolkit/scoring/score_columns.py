"""The columns of a table of scores, and how a part of it is put into them."""

from __future__ import annotations

from typing import Final

import polars as pl

COLUMNS: Final = (
    "metric", "subset", "run_id", "label", "predictor", "value", "low", "high", "n", "note",
    "part", "name", "n_units", "unit", "scope", "method", "confidence",
)  # fmt: skip
PARTS: Final = ("labels", "bias", "ordinal", "soft", "ceiling", "calibration", "people", "reasons", "judging")
_NUMBERS: Final = ("value", "low", "high", "confidence")
SCORE_SCHEMA: Final = pl.Schema(
    (c, pl.Float64() if c in _NUMBERS else pl.Int64() if c in ("n", "n_units") else pl.String()) for c in COLUMNS
)
_TEXTS: Final = ("label", "predictor")  # null where a row is about no one label, and about the run itself


def in_columns(table: pl.DataFrame, *, part: str, subset: str, run: str | None) -> pl.DataFrame:
    """A part's rows under the columns of all scores; ``run`` None leaves the table's own ``run_id``.

    Args:
        table: Rows with ``metric`` and Estimate's fields, perhaps ``label`` and ``predictor``.
        part: One of ``PARTS``.
        subset: Which items.
        run: The run that the rows are about.

    Returns:
        The rows in ``COLUMNS``.
    """
    absent = [pl.lit(None, dtype=pl.String).alias(c) for c in _TEXTS if c not in table.columns]
    named = [pl.lit(part).alias("part"), pl.lit(subset).alias("subset")]
    named += [pl.lit(run).alias("run_id")] if run is not None else []
    return table.with_columns(*absent, *named).select(COLUMNS)
