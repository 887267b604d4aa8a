r"""How far two sets are apart: Jaccard's and MASI's distance, of two sets and of all pairs of many.

    Jaccard $1 - J$, $J = \frac{|A \cap B|}{|A \cup B|}$;   MASI $1 - J M$ with M = 1 for equal sets, 2/3 where one
    holds the other, 1/3 where they overlap otherwise, 0 where they share nothing

Two empty sets are equal: distance 0. An empty set shares nothing with any other: distance 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

SetDistanceName = Literal["jaccard", "masi"]
SetDistance = Callable[[frozenset[Any], frozenset[Any]], float]


def jaccard_distance(a: AbstractSet[Any], b: AbstractSet[Any]) -> float:
    r"""Share of the values of two sets that only one of them has: $1 - |A \cap B| / |A \cup B|$.

    Args:
        a: A set.
        b: Another set.

    Returns:
        From 0 (equal, two empty sets too) to 1 (nothing in common).

    Example:
        >>> jaccard_distance({1, 2}, {1, 2, 3, 4})
        0.5

    Reference:
        Jaccard (1912), New Phytologist 11:37-50.
    """
    union = len(a | b)
    return (union - len(a & b)) / union if union else 0.0


def masi_distance(a: AbstractSet[Any], b: AbstractSet[Any]) -> float:
    r"""Jaccard's distance made larger where neither set holds the other: $1 - J M$.

    J is Jaccard's similarity, M = 1 (equal), 2/3 (one holds the other), 1/3 (they overlap), 0 (nothing in common).

    Args:
        a: A set.
        b: Another set.

    Returns:
        From 0 (equal, two empty sets too) to 1 (nothing in common).

    Example:
        >>> round(masi_distance({1, 2}, {1, 2, 3, 4}), 3)  # 1 - 1/2 x 2/3
        0.667

    Reference:
        Passonneau (2006), LREC, 831-836.
    """
    if a == b:
        return 0.0
    common = len(a & b)
    thirds = 2 if common in (len(a), len(b)) else 1
    return 1 - common * thirds / (3 * len(a | b))


def set_distance_table(
    sets: Sequence[frozenset[Any]], distance: SetDistanceName | SetDistance
) -> npt.NDArray[np.float64]:
    """The distance of every two of many sets.

    Args:
        sets: The sets (S,).
        distance: jaccard, masi, or a function of two sets.

    Returns:
        Distances (S, S). The cost is S x S, for a function as many calls.

    Raises:
        ValueError: The name is unknown, or the function gives something negative, not finite, not symmetric, or not
            0 for equal sets.
    """
    if callable(distance):
        return _checked(np.array([[distance(a, b) for b in sets] for a in sets], dtype=np.float64), len(sets))
    if distance not in ("jaccard", "masi"):
        raise ValueError(f'set_alpha: distance must be "jaccard", "masi" or a function of two sets, found {distance!r}')
    common, size = _common(sets)
    union = size[:, None] + size[None, :] - common
    shared = common / np.where(union > 0, union, 1.0)
    if distance == "masi":
        holds = (common == size[:, None]) | (common == size[None, :])
        shared = shared * np.where(holds, 2.0, 1.0) / 3
    table: npt.NDArray[np.float64] = 1 - shared
    np.fill_diagonal(table, 0.0)
    return table


def _common(sets: Sequence[frozenset[Any]]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Number of values that two sets share (S, S), and that each has (S,)."""
    from scipy.sparse import csr_array

    place = {value: k for k, value in enumerate(dict.fromkeys(value for one in sets for value in one))}
    size = np.array([len(one) for one in sets], dtype=np.int64)
    column = np.array([place[value] for one in sets for value in one], dtype=np.int64)
    row = np.repeat(np.arange(len(sets)), size)
    member = csr_array((np.ones(len(row)), (row, column)), shape=(len(sets), max(1, len(place))))
    return (member @ member.T).toarray(), size.astype(np.float64)


def _checked(table: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    table = table.reshape(size, size)
    if not np.isfinite(table).all() or (table < 0).any() or np.abs(table - table.T).max(initial=0.0) > 1e-12:
        raise ValueError("set_alpha: distance must be finite, symmetric and not negative")
    if np.diag(table).any():
        raise ValueError("set_alpha: distance must be 0 between equal sets")
    return table
