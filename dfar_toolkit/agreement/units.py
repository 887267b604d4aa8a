"""Resampling units: the rows of numbers that an item, or a group of items, adds to a statistic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Counts, Floats, Ints

_DENSE: Final = 4_000_000  # cells of a dense matrix of rows: 32 MB
_NARROW: Final = 16  # columns up to which a matrix is dense anyway: collapsing equal rows pays

Matrix = Any  # a dense (U, D) array, or a scipy.sparse.csr_array of that shape


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Resampling units: ``rows`` (U, D) are what each adds to the sums, ``times`` (U,) how many are like it."""

    rows: Matrix
    times: Floats
    unit: str

    def sums(self, weights: Floats) -> Floats:
        """Column sums (B, D) under weights (B, U)."""
        return np.asarray(weights @ self.rows)

    def along(self, direction: Floats) -> Floats:
        """What each unit adds in a direction (D,) of the sums: (U,)."""
        return np.asarray(self.rows @ direction)


class Owners(NamedTuple):
    """The unit of each item pattern ``owner`` (P,), how often it occurs there ``within`` (P,), ``times`` (U,)."""

    owner: Ints
    within: Floats
    times: Floats
    unit: str


def owners(counts: Counts) -> Owners:
    """The resampling unit of each item pattern: its group, or itself where every group has one item."""
    n = len(counts.times)
    if counts.groups is not None:
        found, owner = np.unique(counts.groups, return_inverse=True)
        if len(found) < counts.times.sum():
            return Owners(owner.astype(np.int64), counts.times, np.ones(len(found)), "groups")
    return Owners(np.arange(n), np.ones(n), counts.times, "items")


def units(counts: Counts, narrow: Sequence[Floats], wide: Floats | None = None, *, merge: bool = True) -> Units:
    """Rows of the units: first the numbers ``narrow``, then one column per value with ``wide``.

    Args:
        counts: The item patterns.
        narrow: K numbers per item pattern, each (P,).
        wide: A number per entry (E,) that goes into the column of its value, or None for no such columns.
        merge: Collapse units with equal rows; False keeps the units in the order of :func:`owners`.

    Returns:
        The units, with K + V columns.
    """
    own = owners(counts)
    n_units, n_columns = len(own.times), len(narrow) + (len(counts.values) if wide is not None else 0)
    if n_columns > _NARROW and n_units * n_columns > _DENSE:
        return _sparse_units(counts, narrow, wide, own)
    row = own.owner
    dense = np.zeros(n_units * n_columns)
    for k, column in enumerate(narrow):
        dense[k::n_columns] = np.bincount(row, weights=column * own.within, minlength=n_units)
    if wide is not None:
        cell = row[counts.pattern] * n_columns + len(narrow) + counts.code
        dense += np.bincount(cell, weights=wide * own.within[counts.pattern], minlength=len(dense))
    rows, times = dense.reshape(n_units, n_columns), own.times
    if (
        merge and n_units and counts.mass is None
    ):  # weighted counts are used once: merging would cost more than it saves
        rows, times = _merge(rows, times)
    return Units(rows, times, own.unit)


def _sparse_units(counts: Counts, narrow: Sequence[Floats], wide: Floats | None, own: Owners) -> Units:
    """As the dense rows, where most values do not occur in most units."""
    import scipy.sparse as sparse

    n_patterns, n_units = len(own.owner), len(own.times)
    belongs = sparse.csr_array((own.within, (own.owner, np.arange(n_patterns))), shape=(n_units, n_patterns))
    left = np.zeros((n_units, len(narrow)))
    for k, column in enumerate(narrow):
        left[:, k] = np.bincount(own.owner, column * own.within, n_units)
    if wide is None:
        return Units(left, own.times, own.unit)
    shape = (n_patterns, len(counts.values))
    right = sparse.csr_array(belongs @ sparse.csr_array((wide, (counts.pattern, counts.code)), shape=shape))
    return Units(sparse.csr_array(sparse.hstack([sparse.csr_array(left), right])), own.times, own.unit)


def _merge(rows: Floats, times: Floats) -> tuple[Floats, Floats]:
    """Units with equal rows as one pattern, in a canonical order."""
    frame = pl.DataFrame(rows, schema=[f"d{i}" for i in range(rows.shape[1])])
    merged = frame.with_columns(pl.Series("times", times)).group_by(frame.columns).agg(pl.col("times").sum())
    merged = merged.sort(frame.columns)
    return merged.drop("times").to_numpy(), merged["times"].to_numpy()
