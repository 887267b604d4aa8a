r"""Squared bin means without the noise of the bins: products of two different units only.

A squared mean of $n$ noisy numbers is too large by their variance over $n$. The mean of the products $x_i x_j$ over
pairs of different, independent units is not:

    $U_b = \frac{S_b^2 - \sum_g D_{gb}^2}{n_b^2 - \sum_g m_{gb}^2}$,   $\theta = \sum_b \frac{n_b}{N} U_b$

with $D_{gb}$ the sum and $m_{gb}$ the number of the items of unit $g$ in bin $b$, $S_b$ and $n_b$ those of the bin.

A bootstrap that draws a unit twice multiplies it with itself, so its draws lie around the squared mean, not around U:
its percentile interval covers 63 to 93 % where 95 are asked for (simulated, 15 bins, 100 to 2,000 items). The draws
are therefore those of the linearised statistic, one number per item with mean $\theta$,

    $\psi_i = U_b + n_b \frac{2 x_i (S_b - D_{gb}) - 2 U_b (n_b - m_{gb})}{n_b^2 - \sum_g m_{gb}^2}$

whose interval covers 91 to 98 % in the same simulation. With fewer than five bins it is too short at $\theta = 0$.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.labels import Codes

FEWEST_BINS: Final = 5  # with one bin the interval covers 84 %, with five 94 %


class DistinctPairs(NamedTuple):
    """``value`` theta; ``psi`` (N,) with mean theta; ``left_out`` items in bins of one unit; ``n_bins`` used."""

    value: float
    psi: Floats
    left_out: int
    n_bins: int


class _Cells(NamedTuple):
    """Sums over the items of one unit in one bin, said of each item (N,), and what bins make of them (B,)."""

    own_sum: Floats
    own_size: Floats
    squares: Floats
    sizes: Floats
    units: Floats


def squared_means(x: Floats, codes: Codes, n_bins: int, units: Codes | None) -> DistinctPairs:
    """Weighted mean over bins of the squared bin mean of x, from pairs of different units.

    Args:
        x: One number per item (N,).
        codes: Bin of each item (N,).
        n_bins: Number of bins B.
        units: Independent unit of each item (N,), or None where every item is one.

    Returns:
        The value and its linearised items. Bins with one unit have no pair: left out and counted.

    Undefined:
        No bin has two units: ``nan``, and ``psi`` is 0.

    Example:
        Two units, 1 and 0: the only product of different ones is 0, although their mean is 1/2.

        >>> squared_means(np.array([1.0, 0.0]), np.array([0, 0]), 1, None).value
        0.0
    """
    count = np.bincount(codes, minlength=n_bins).astype(np.float64)
    total = np.bincount(codes, weights=x, minlength=n_bins)
    if units is None:
        return _of_items(x, codes, count, np.asarray(total, dtype=np.float64))
    cells = _cells(x, codes, n_bins, units, count)
    usable = cells.units >= 2
    products = np.where(usable, count**2 - cells.sizes, 1.0)
    squared = np.where(usable, (total**2 - cells.squares) / products, 0.0)
    used = float(count[usable].sum())
    if not used:
        return DistinctPairs(float("nan"), np.zeros(len(x)), len(x), 0)
    value = float((count * squared)[usable].sum() / used)
    change = 2 * x * (total[codes] - cells.own_sum) - 2 * squared[codes] * (count[codes] - cells.own_size)
    psi = squared[codes] + (count / products)[codes] * change
    # Items left out carry the value itself, those used more than it: the mean over all items is then the value.
    psi = value + np.where(usable[codes], psi - value, 0.0) * (len(x) / used)
    return DistinctPairs(value, psi, int(len(x) - used), int(usable.sum()))


def unit_sums(x: Floats, codes: Codes, n_bins: int, units: Codes) -> tuple[Codes, Codes, Floats]:
    """Cells of unit and bin: the cell of each item (N,), the bin of each cell (C,), the sum of x in each cell (C,).

    Example:
        >>> unit_sums(np.array([1.0, 2.0, 4.0]), np.array([0, 0, 0]), 1, np.array([0, 0, 1]))[2].tolist()
        [3.0, 4.0]
    """
    names, cell = np.unique(units * n_bins + codes, return_inverse=True)
    sums: Floats = np.bincount(cell, weights=x, minlength=len(names)).astype(np.float64)
    return cell.astype(np.int64), names % n_bins, sums


def _of_items(x: Floats, codes: Codes, count: Floats, total: Floats) -> DistinctPairs:
    """As with units of one item each: psi is then a quadratic function of x, with other coefficients in each bin."""
    usable = count >= 2
    products = np.where(usable, count * (count - 1), 1.0)
    squares = np.bincount(codes, weights=x * x, minlength=len(count))
    squared = np.where(usable, (total**2 - squares) / products, 0.0)
    used = float(count[usable].sum())
    if not used:
        return DistinctPairs(float("nan"), np.zeros(len(x)), len(x), 0)
    value = float((count * squared)[usable].sum() / used)
    scale = np.where(usable, len(x) / used, 0.0)
    twice = 2 * scale * count / products
    constant = value + scale * (squared - value) - twice * squared * (count - 1)
    psi = constant[codes] + x * ((twice * total)[codes] - twice[codes] * x)
    return DistinctPairs(value, psi, int(len(x) - used), int(usable.sum()))


def _cells(x: Floats, codes: Codes, n_bins: int, units: Codes, count: Floats) -> _Cells:
    cell, bins, sums = unit_sums(x, codes, n_bins, units)
    sizes = np.bincount(cell, minlength=len(bins)).astype(np.float64)
    return _Cells(
        sums[cell],
        sizes[cell],
        np.bincount(bins, weights=sums**2, minlength=n_bins).astype(np.float64),
        np.bincount(bins, weights=sizes**2, minlength=n_bins).astype(np.float64),
        np.bincount(bins, minlength=n_bins).astype(np.float64),
    )
