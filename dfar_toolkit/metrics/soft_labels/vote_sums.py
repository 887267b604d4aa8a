r"""Sums over the votes one by one, $\sum_{j < y} t(a, j)$: what rising factorials are made of.

$\log \Gamma(a + y) - \log \Gamma(a)$ of large a is a difference of two large numbers; $\sum_{j < y} \log(a + j)$ is
exact to rounding at any a. Cost grows with the votes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from dfar_toolkit.estimate import Floats

Term = Callable[[Floats, Floats], Floats]

_CELLS: Final = 1_000_000  # terms held at once: 8 MB


def sum_over_votes(a: Floats, votes: Floats, term: Term) -> Floats:
    r"""$\sum_{j = 0}^{y - 1} t(a, j)$ for each pair of a and y (M,); 0 where y is 0.

    Args:
        a: Parameters (M,).
        votes: Whole numbers y (M,).
        term: t, of a (M, 1) and j (J,), to (M, J).

    Returns:
        The sums (M,).

    Example:
        2 x 3 x 4 = 24.

        >>> float(np.exp(sum_over_votes(np.array([2.0]), np.array([3.0]), lambda a, j: np.log(a + j)))[0].round(9))
        24.0
    """
    total = np.zeros(len(votes))
    some = np.flatnonzero(votes > 0)
    some = some[np.argsort(-votes[some], kind="stable")]
    y, of = votes[some], a[some]
    sums, j = np.zeros(len(some)), 0
    last = int(y[0]) if len(y) else 0
    while j < last:
        # Sorted by votes, largest first: those with a j-th vote are the first m.
        m = int(np.searchsorted(-y, -j, side="left"))
        steps = np.arange(j, min(j + max(1, _CELLS // m), last), dtype=np.float64)
        terms = term(of[:m, None], steps)
        sums[:m] += np.where(steps < y[:m, None], terms, 0.0).sum(axis=1) if len(steps) > 1 else terms[:, 0]
        j += len(steps)
    total[some] = sums
    return total


def sum_to_votes(s: float, votes: Floats, term: Term) -> Floats:
    r"""$\sum_{j = 0}^{n - 1} t(s, j)$ for one s and each number of votes n (N,), by one table.

    Example:
        >>> sum_to_votes(1.0, np.array([0.0, 2.0]), lambda a, j: a + j).tolist()
        [0.0, 3.0]
    """
    most = int(votes.max(initial=0.0))
    steps = term(np.full((1, 1), s), np.arange(most, dtype=np.float64))[0]
    table = np.concatenate([[0.0], np.cumsum(steps)])
    found: Floats = table[votes.astype(np.int64)]
    return found
