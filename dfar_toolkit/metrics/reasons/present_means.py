r"""Means over the items where a number exists, as additive statistics with the right n.

Rows are $(x_i m_i, m_i)$ with $m_i = 1$ where the number exists, else 0. In every additive statistic of this room the
last column says which items count, so that :func:`estimate_present` can say over how many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together


def mean_present(metric: str, name: str, values: npt.ArrayLike, *, without: str, note: str = "") -> Additive:
    """The mean of the numbers (N,) that are not ``nan``.

    Args:
        metric: Name in tables.
        name: Printed name.
        values: One number per item (N,), ``nan`` where the item has none.
        without: What an item without a number lacks, for the note ("without a human reason").
        note: Said in any case.

    Returns:
        The statistic; undefined where no item has a number.

    Example:
        >>> mean_present("m", "m", [1.0, float("nan")], without="without words").note
        '1 of 2 without words left out'
    """
    x = np.asarray(values, dtype=np.float64).ravel()
    present = ~np.isnan(x)
    lost = len(x) - int(present.sum())
    aside = f"{lost} of {len(x)} {without} left out" if 0 < lost < len(x) else ""
    rows = np.column_stack([np.where(present, x, 0.0), present])
    every = f"all {len(x)} items are {without}" if len(x) else "no items"
    return Additive(metric, name, rows, _mean, every, "; ".join(n for n in (note, aside) if n))


def _mean(sums: Floats) -> Floats:
    out: Floats = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0)
    return out


def estimate_present(
    scores: Sequence[Additive],
    *,
    groups: pl.Series | None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> list[Estimate]:
    """As ``estimate_together``, with ``n`` and ``n_units`` counting the items of the last column alone.

    Example:
        >>> one = mean_present("m", "m", [1.0, 3.0, float("nan")], without="empty")
        >>> found = estimate_present([one], groups=None, ci=None)[0]
        >>> found.value, found.n
        (2.0, 2)
    """
    found = estimate_together(scores, groups=groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    return [_counted(e, score.rows[:, -1] > 0, groups) for e, score in zip(found, scores, strict=True)]


def _counted(found: Estimate, present: npt.NDArray[np.bool_], groups: pl.Series | None) -> Estimate:
    n = int(present.sum())
    units = n if groups is None else groups.filter(pl.Series(present)).n_unique()
    return replace(found, n=n, n_units=units)
