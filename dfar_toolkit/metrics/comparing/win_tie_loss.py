"""On how many items each run does better than another."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import estimates_frame, proportion

_ROUNDING = 1e-12


def win_tie_loss(
    values: Mapping[str, npt.ArrayLike],
    *,
    better: Literal["higher", "lower"] = "higher",
    groups: pl.Series | None = None,
    confidence: float = 0.95,
) -> pl.DataFrame:
    r"""Shares of items on which the second run is better, equal and worse than the first.

    With one number per item $a_i, b_i$ (N,) where more is better: $\frac1N \sum_i 1[b_i > a_i]$, and so on; Wilson's
    interval, on the effective n where items come in groups. Items without a number for either run are left out.

    Args:
        values: Run id to one number per item (N,), such as 1 for a right answer; ``nan`` where there is none.
        better: Whether more is better, or less (a loss).
        groups: Resampling unit of each item.
        confidence: Two-sided coverage.

    Returns:
        Rows ``run_a, run_b, outcome`` (win, tie, loss of ``run_b``), ``count`` and Estimate's fields.

    Undefined:
        No items that both runs have.

    Raises:
        ValueError: Fewer than two runs, or runs of different length.

    Example:
        >>> win_tie_loss({"a": [1, 0, 0], "b": [1, 1, 0]}).select("outcome", "count").rows()
        [('win', 1), ('tie', 2), ('loss', 0)]
    """
    arrays = {run: np.asarray(v, dtype=np.float64).ravel() for run, v in values.items()}
    if len(arrays) < 2 or len({len(v) for v in arrays.values()}) > 1:
        raise ValueError("win_tie_loss: wanted two or more runs with one value for each of the same items")
    found, beside = [], []
    for (run_a, a), (run_b, b) in combinations(arrays.items(), 2):
        both = np.isfinite(a) & np.isfinite(b)
        gain = (b - a)[both] * (1.0 if better == "higher" else -1.0)
        kept = None if groups is None else groups.filter(pl.Series(both))
        outcomes = {"win": gain > _ROUNDING, "tie": np.abs(gain) <= _ROUNDING, "loss": gain < -_ROUNDING}
        for outcome, hits in outcomes.items():
            found.append(proportion(f"{outcome} of {run_b} over {run_a}", hits, groups=kept, confidence=confidence))
            beside.append({"run_a": run_a, "run_b": run_b, "outcome": outcome, "count": int(hits.sum())})
    return estimates_frame(found, beside=beside)
