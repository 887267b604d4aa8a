"""Rows of different lengths, laid end to end: where each begins, and which row each element belongs to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfar_toolkit.estimate import Floats

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def starts_of(sizes: Ints) -> Ints:
    """Where each row begins, and where the last one ends (R + 1,).

    Example:
        >>> starts_of(np.array([2, 0, 3])).tolist()
        [0, 2, 2, 5]
    """
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def row_numbers(sizes: Ints) -> Ints:
    """Number of the row of each element (V,).

    Example:
        >>> row_numbers(np.array([2, 0, 3])).tolist()
        [0, 0, 2, 2, 2]
    """
    return np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)


def range_places(first: Ints, sizes: Ints) -> Ints:
    """The places ``first`` to ``first + size`` of every range, one range after the other.

    Example:
        >>> range_places(np.array([7, 0]), np.array([2, 3])).tolist()
        [7, 8, 0, 1, 2]
    """
    places: Ints = np.repeat(first - starts_of(sizes)[:-1], sizes) + np.arange(int(sizes.sum()), dtype=np.int64)
    return places


def row_sums(row: Ints, values: npt.ArrayLike, n: int) -> Floats:
    """Sum of the values (V,) of each of n rows.

    Example:
        >>> row_sums(np.array([0, 0, 2]), [1, 2, 4], 3).tolist()
        [3.0, 0.0, 4.0]
    """
    return np.bincount(row, weights=np.asarray(values, dtype=np.float64), minlength=n).astype(np.float64)


def row_order(values: Floats, sizes: Ints) -> Ints:
    """Places (V,) that put the values of each row in rising order, row after row; equal values keep their order.

    Rows of one length are sorted as a table, which is many times faster than one sort by row and value.

    Example:
        >>> row_order(np.array([2.0, 1.0, 5.0, 4.0, 4.0]), np.array([2, 3])).tolist()
        [1, 0, 3, 4, 2]
    """
    order = np.empty(len(values), dtype=np.int64)
    starts = starts_of(sizes)[:-1]
    for size in np.flatnonzero(np.bincount(sizes)[1:]) + 1:
        first = starts[sizes == size]
        at = first[:, None] + np.arange(size)
        order[at] = first[:, None] + np.argsort(values[at], axis=1, kind="stable")
    return order
