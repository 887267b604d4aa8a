"""Bins of probabilities: of equal width, or of equal mass with equal probabilities kept together."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.calibration.equal_mass_edges import equal_mass_edges
from dfar_toolkit.metrics.labels import Codes

Binning = Literal["width", "mass"]

_EQUAL: Final = 1e-12  # probabilities that differ by less are one, and lie on an edge they are so near to


class Bins(NamedTuple):
    """Bin of each item, ``codes`` (N,) from 0; ``lows`` and ``highs`` (B,) its ends.

    Ends are the edges for equal width; for equal mass the smallest and largest value in the bin, ``nan`` if empty.
    """

    codes: Codes
    lows: Floats
    highs: Floats


def bin_values(values: Floats, *, n_bins: int = 15, binning: Binning = "width") -> Bins:
    r"""Put probabilities (N,) into bins.

    ``width``: $B$ bins $((j - 1)/B, j/B]$, 0 in the first. ``mass``: sorted, a run of $m$ equal values after $s$
    smaller ones goes to bin $\lfloor B (s + m/2) / N \rfloor$ as a whole: about $N/B$ items each, fewer bins than
    asked for where many values are equal. O(N), for mass O(N log N).

    Args:
        values: Probabilities (N,).
        n_bins: Number of bins B.
        binning: ``width`` or ``mass``.

    Returns:
        The bins.

    Raises:
        ValueError: ``n_bins`` is not a whole number of at least 1, or ``binning`` is unknown.

    Example:
        >>> bin_values(np.array([0.0, 0.5, 0.51, 1.0]), n_bins=2).codes.tolist()
        [0, 0, 1, 1]
        >>> bin_values(np.array([0.9, 0.9, 0.9, 1.0]), n_bins=2, binning="mass").codes.tolist()
        [0, 0, 0, 1]
    """
    if isinstance(n_bins, bool) or not isinstance(n_bins, int | np.integer) or n_bins < 1:
        raise ValueError(f"calibration: n_bins must be a whole number of at least 1, found {n_bins!r}")
    if binning == "mass":
        return _equal_mass(values, int(n_bins))
    if binning != "width":
        raise ValueError(f'calibration: binning must be "width" or "mass", found {binning!r}')
    edges = np.arange(n_bins + 1) / n_bins
    return Bins(_equal_width(values, edges), edges[:-1], edges[1:])


def _equal_width(values: Floats, edges: Floats) -> Codes:
    """How many of the inner edges lie below each value: a guess by division, then held against the two edges beside."""
    n_bins, inner = len(edges) - 1, edges[1:-1] + _EQUAL
    if not len(values) or not (values.min() >= 0 and values.max() < 2):
        return np.searchsorted(inner, values, side="left").astype(np.int64)
    bounds = np.concatenate([[-np.inf], inner, [np.inf]])
    guess = np.minimum((values * n_bins).astype(np.int64), n_bins - 1)
    guess += values > bounds[guess + 1]
    guess -= values <= bounds[guess]
    return guess


def _equal_mass(values: Floats, n_bins: int) -> Bins:
    lows, highs = np.full(n_bins, np.nan), np.full(n_bins, np.nan)
    if not len(values):
        return Bins(np.empty(0, dtype=np.int64), lows, highs)
    edges = equal_mass_edges(values, n_bins, equal=_EQUAL)
    lows[edges.present], highs[edges.present] = edges.lows, edges.highs
    return Bins(edges.codes, lows, highs)


def bin_means(codes: Codes, n_bins: int, values: Floats) -> tuple[Floats, Floats]:
    """Items in each bin (B,) and the mean of their values (B,), ``nan`` where empty.

    Example:
        >>> bin_means(np.array([0, 0, 1]), 2, np.array([1.0, 2.0, 5.0]))[1].tolist()
        [1.5, 5.0]
    """
    count = np.bincount(codes, minlength=n_bins).astype(np.float64)
    total = np.bincount(codes, weights=values, minlength=n_bins)
    return count, np.divide(total, count, out=np.full(n_bins, np.nan), where=count > 0)
