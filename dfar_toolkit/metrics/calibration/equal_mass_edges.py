r"""Ends of bins of equal mass: by a sort of all values, or, of very many, by a sort of those near the ends alone.

Values in [0, 1] are counted in 65,536 cells of equal width. The item at rank $t N / B$ lies in one of them, known from
the running counts; the runs of equal values that decide where bin t begins lie there or in the cells beside it. Only
the values of these cells are sorted, so the cost is a few passes over N.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.labels import Codes

_CELLS: Final = 65_536
_MANY: Final = 50_000  # values from which cells are worth while
_MOST: Final = 10_000_000  # more could make one run of nearly equal values reach across a cell
_BESIDE: Final = 2  # occupied cells looked at on either side


class MassEdges(NamedTuple):
    """Bin of each item (N,), the bins that hold any (P,), and the smallest and largest value of each of these."""

    codes: Codes
    present: Codes
    lows: Floats
    highs: Floats


def equal_mass_edges(values: Floats, n_bins: int, *, equal: float) -> MassEdges:
    r"""Bins where a run of $m$ equal values after $s$ smaller ones goes to bin $\lfloor B (s + m/2) / N \rfloor$.

    Args:
        values: Probabilities (N,), at least one.
        n_bins: Number of bins B.
        equal: Values that differ by less are one.

    Returns:
        The bins.

    Example:
        >>> equal_mass_edges(np.array([0.9, 0.9, 0.9, 1.0]), 2, equal=1e-12).codes.tolist()
        [0, 0, 0, 1]
    """
    if _MANY <= len(values) <= _MOST and values.min() >= 0 and values.max() < 2:
        return _from_cells(values, n_bins, equal)
    return _from_all(values, n_bins, equal)


def _from_all(values: Floats, n_bins: int, equal: float) -> MassEdges:
    ordered = np.sort(values)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(ordered) > equal]))
    ends = np.append(starts[1:], len(values))
    # In whole numbers, so that a run in the middle of two bins falls on the same side whatever the sizes.
    of_run = n_bins * (starts + ends) // (2 * len(values))
    first = np.flatnonzero(np.concatenate([[True], np.diff(of_run) > 0]))
    present, last = of_run[first], np.append(first[1:], len(of_run)) - 1
    lows, highs = ordered[starts[first]], ordered[ends[last] - 1]
    codes = present[np.searchsorted(lows, values, side="right") - 1]
    return MassEdges(codes.astype(np.int64), present.astype(np.int64), lows, highs)


def _from_cells(values: Floats, n_bins: int, equal: float) -> MassEdges:
    n = len(values)
    cell = np.minimum(values * _CELLS, _CELLS - 1).astype(np.uint16)
    count = np.bincount(cell, minlength=_CELLS)
    end = np.cumsum(count)
    near = _cells_near(count, end, np.arange(n_bins + 1) * n // n_bins)
    here = np.flatnonzero(near[cell])
    some = np.sort(values[here])
    of_cell = np.flatnonzero(near)
    before = np.cumsum(count[of_cell]) - count[of_cell]
    ranks = np.repeat((end - count)[of_cell] - before, count[of_cell]) + np.arange(len(some))
    apart = (np.diff(some) > equal) | (np.diff(ranks) > 1)
    first = np.flatnonzero(np.concatenate([[True], apart]))
    run_starts, run_ends = ranks[first], ranks[np.append(first[1:], len(some)) - 1] + 1
    # The run at rank t N / B begins bin t if most of it lies beyond, else the one after it does.
    bins = np.arange(n_bins)
    run = np.searchsorted(run_starts, bins * n // n_bins, side="right") - 1
    begins = np.where(n_bins * (run_starts + run_ends)[run] >= 2 * n * bins, run_starts[run], run_ends[run])
    stops = np.append(begins[1:], n)
    present = np.flatnonzero(begins < stops)
    lows = some[np.searchsorted(ranks, begins[present])]
    highs = some[np.searchsorted(ranks, stops[present] - 1)]
    codes = (np.searchsorted(begins[present], end - count, side="right") - 1)[cell]
    codes[here] = np.searchsorted(lows, values[here], side="right") - 1
    return MassEdges(present[codes].astype(np.int64), present, lows, highs)


def _cells_near(count: Codes, end: Codes, ranks: Codes) -> npt.NDArray[np.bool_]:
    """Cells (65,536,) that hold one of the ranks, and the occupied ones beside them."""
    occupied = np.flatnonzero(count)
    place = np.searchsorted(end[occupied], ranks, side="right")
    near = np.zeros(len(count), dtype=bool)
    for step in range(-_BESIDE, _BESIDE + 1):
        near[occupied[np.clip(place + step, 0, len(occupied) - 1)]] = True
    return near
