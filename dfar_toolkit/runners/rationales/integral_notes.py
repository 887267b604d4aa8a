"""How accurate integrated gradients were, in words."""

from __future__ import annotations

from statistics import median
from typing import Final

import polars as pl

GAP_WARNED: Final = 0.05  # relative completeness gap above which a warning is printed


def integral_notes(rationales: pl.DataFrame) -> list[str]:
    """Points that were needed, and scores that miss their sum.

    Args:
        rationales: Rows of rationales; ``settled`` where points were chosen item by item.

    Returns:
        The notes.

    Example:
        >>> integral_notes(pl.DataFrame({"method": "ig", "steps": [17, 33, 257], "settled": [True, True, False]}))
        ['ig: 33 points in the median, 257 at most; 1 of 3 items had not settled by then']
    """
    notes = []
    if "settled" in rationales.columns:
        chosen = rationales.drop_nulls("settled").group_by("method").agg("steps", "settled").sort("method")
        for method, steps, settled in chosen.iter_rows():
            lost = len(settled) - sum(settled)
            less = f"{lost} of {len(settled)} items had not settled by then" if lost else "all items settled"
            notes.append(f"{method}: {median(steps):.0f} points in the median, {max(steps)} at most; {less}")
    if "gap" in rationales.columns:
        wide = rationales.filter(pl.col("gap") > GAP_WARNED)
        for method, count in wide.group_by("method").len().sort("method").iter_rows():
            notes.append(
                f"{method}: in {count} items the scores miss their sum by more than {GAP_WARNED:.0%} (completeness); "
                "give more --steps, or another --baseline"
            )
    return notes
