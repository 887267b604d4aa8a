"""Estimates from numbers per item of marked spans, with the notes on what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.spans.span_ratings import SpanRatings
from dfar_toolkit.estimate import Estimate, Formula, Interval, collapse, estimate


class SpanResampling(NamedTuple):
    """How an interval over items, or groups of them, is made."""

    ci: Interval | None = "bootstrap"
    confidence: float = 0.95
    n_boot: int = 2000
    seed: int = 0


def estimate_items(
    name: str,
    ratings: SpanRatings,
    rows: Floats,
    counted: npt.NDArray[np.bool_],
    formula: Formula,
    how: SpanResampling,
    *,
    undefined: str,
    notes: Sequence[str],
) -> Estimate:
    """A formula of the column sums of rows of items, with its interval.

    Args:
        name: Name printed with the number.
        ratings: The marked spans, for the groups of the items.
        rows: A row of numbers per item (N, D).
        counted: The items that count (N,).
        formula: Column sums (B, D) -> values (B,).
        how: The interval.
        undefined: The note where there is no value.
        notes: Further notes.

    Returns:
        The estimate; n = items that count.
    """
    group = ratings.cells.group
    patterns = collapse(rows[counted], groups=None if group is None else group[counted])
    found = estimate(
        name,
        patterns,
        formula,
        ci=how.ci,
        confidence=how.confidence,
        n_boot=how.n_boot,
        seed=how.seed,
        undefined=undefined,
    )
    note = found.note if patterns.n else undefined
    return replace(found, note="; ".join(part for part in (note, *notes) if part))
