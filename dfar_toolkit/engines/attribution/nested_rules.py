r"""Rules between 0 and 1 of which each has all points of the one before, so that nothing is run twice.

They are those of Clenshaw and Curtis, with the points \((1 - \cos(\pi i / n)) / 2\), \(i = 0, ..., n\): exact for
polynomials of degree \(n\), and in practice about as good as Gauss's rule of as many points (Trefethen 2008), of
which none is in a finer one but the middle.

References: Clenshaw and Curtis (1960), Numerische Mathematik 2, 197-205; Trefethen (2008), SIAM Review 50, 67-87.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import numpy as np

_LEAST: Final = 8  # the rule of 5 points agrees with that of 9 too often by chance
FINEST: Final = 256


class NestedRule(NamedTuple):
    """A rule.

    Attributes:
        places: Its points among those of the finest rule, ``FINEST`` + 1, rising.
        alphas: The points, (points,), from 0 to 1.
        weights: One per point, (points,); they sum to 1.
    """

    places: tuple[int, ...]
    alphas: np.ndarray
    weights: np.ndarray


@cache
def nested_rules() -> tuple[NestedRule, ...]:
    """Rules of 9, 17, 33, 65, 129 and 257 points.

    Returns:
        The rules, coarsest first.

    Example:
        >>> [len(rule.alphas) for rule in nested_rules()]
        [9, 17, 33, 65, 129, 257]
        >>> nested_rules()[0].alphas.round(3).tolist()
        [0.0, 0.038, 0.146, 0.309, 0.5, 0.691, 0.854, 0.962, 1.0]
    """
    sizes = [_LEAST]
    while sizes[-1] < FINEST:
        sizes.append(2 * sizes[-1])
    return tuple(_rule(size) for size in sizes)


def _rule(size: int) -> NestedRule:
    """The weights that integrate the Legendre polynomials, of which all but the first integrate to 0."""
    points = -np.cos(np.pi * np.arange(size + 1) / size)
    values = np.polynomial.legendre.legvander(points, size)
    weights = np.linalg.solve(values.T, np.eye(1, size + 1)[0])
    return NestedRule(tuple(range(0, FINEST + 1, FINEST // size)), (1 + points) / 2, weights)
