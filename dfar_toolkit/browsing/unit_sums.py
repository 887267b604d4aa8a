"""Counts added up by group within each cell of a partition, as patterns: a million items are passed over once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.browsing.group_codes import coded_groups
from dfar_toolkit.estimate import Patterns

Codes = npt.NDArray[np.int64]


def unit_sums(groups: pl.Series, cells: Codes, counts: Mapping[str, npt.NDArray[np.bool_]]) -> dict[int, Patterns]:
    """Sums of each group within each cell; equal ones stand once.

    Args:
        groups: The group of each item (n,); whole numbers from 0 are taken as they are.
        cells: The cell of each item (n,); below 0 it is in none.
        counts: What is counted of each item (n,), by name.

    Returns:
        By cell that has items the patterns of its groups: rows of the counts in their order, then the number of items.
        The unit is ``items`` where no group has several in the cell.

    Example:
        >>> hit = np.array([True, False, True])
        >>> unit_sums(pl.Series(["a", "a", "b"]), np.array([0, 0, 0]), {"hit": hit})[0].rows.tolist()
        [[1.0, 1.0], [1.0, 2.0]]
    """
    codes = (groups if groups.dtype.is_integer() else coded_groups(groups)).to_numpy().astype(np.int64)
    inside = cells >= 0
    if not inside.any():
        return {}
    n_groups = int(codes.max()) + 1
    key = cells * n_groups + codes
    items = np.bincount(key[inside])
    units = np.flatnonzero(items)
    sums = [np.bincount(key[inside & hit], minlength=len(items))[units] for hit in counts.values()]
    names = [f"count {name}" for name in counts]
    frame = pl.DataFrame(
        [pl.Series("cell", units // n_groups), *map(pl.Series, names, sums), pl.Series("n", items[units])]
    )
    patterns = frame.group_by(frame.columns).agg(pl.len().alias("times")).sort(frame.columns)
    found = {}
    for (cell,), part in patterns.partition_by("cell", as_dict=True, maintain_order=True).items():
        rows = part.select(*names, "n").to_numpy().astype(np.float64)
        times = part["times"].to_numpy().astype(np.float64)
        n = int(times @ rows[:, -1])
        found[int(str(cell))] = Patterns(rows, times, n, "items" if times.sum() == n else "groups")
    return found
