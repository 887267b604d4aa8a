"""The rows of a table of scores by what they are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import polars as pl

from dfar_toolkit.report.shared_notes import Row

Part = Literal["labels", "bias", "ordinal", "soft", "ceiling", "calibration", "people", "reasons", "judging"]
_ALL: Final = "all"  # the subset of all items
# Of a table without parts: metrics about people's verdicts on reasons; everything else is about labels.
_REASON_METRICS: Final = ("mar", "misalignment", "judge", "reason")


def by_subset(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows about all items, and those about a part of them; the first are all rows where there is one subset.

    Example:
        >>> by_subset([{"subset": "all"}, {"subset": "clean"}])
        ([{'subset': 'all'}], [{'subset': 'clean'}])
    """
    first = [r for r in rows if r.get("subset") == _ALL]
    return (first, [r for r in rows if r.get("subset") != _ALL]) if first else (list(rows), [])


def rows_of(scores: pl.DataFrame, part: Part) -> list[Row]:
    """The rows of one part; in a table without the column ``part`` labels and judging are told by their names.

    Args:
        scores: Scores, in any columns.
        part: One of the parts.

    Returns:
        The rows in their order.

    Example:
        >>> scores = pl.DataFrame({"metric": ["accuracy", "mar_mean"]})
        >>> [row["metric"] for row in rows_of(scores, "judging")]
        ['mar_mean']
    """
    if not scores.width:
        return []
    if "part" in scores.columns:
        return list(scores.filter(pl.col("part") == part).to_dicts())
    if part not in ("labels", "judging"):
        return []
    judging = part == "judging"
    return [r for r in scores.to_dicts() if str(r.get("metric")).startswith(_REASON_METRICS) == judging]
