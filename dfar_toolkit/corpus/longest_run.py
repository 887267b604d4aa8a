r"""How surprising is a long run of one value? Exact for a person's ratings drawn independently with fixed shares."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

EXACT_RATINGS: Final = 2000  # sequences up to this long are computed exactly
_CELLS: Final = 4_000_000  # numbers held at once


def longest_run_p(shares: npt.ArrayLike, n: npt.ArrayLike, run: npt.ArrayLike) -> Floats:
    r"""Probability that n independent draws with these shares hold a run of one value at least this long.

    With $S_t$ the probability that t draws hold no run of m, and $E_{t,k}$ that they hold none and end with value k,

        $E_{t,k} = p_k S_{t-1} - p_k^m (S_{t-m} - E_{t-m,k})$,   $S_t = \sum_k E_{t,k}$,   $S_0 = 1$,   $E_{0,k} = 0$

    and the answer is $1 - S_n$. Sequences of more than 2,000 draws take the Poisson limit of the number of runs,
    $1 - \exp(-\sum_k p_k^m (1 + (n - m)(1 - p_k)))$.

    Args:
        shares: Shares of the K values of each person (A, K); rows add up to 1.
        n: Draws of each person (A,).
        run: Length of the longest run m (A,), from 1 to n.

    Returns:
        Probabilities (A,).

    Undefined:
        ``nan`` for no draws. With one value alone it is 1: a run of all is all there can be.

    Example:
        Of the eight sequences of three coins, two are one run of three, and six hold a run of two or more.

        >>> longest_run_p([[0.5, 0.5], [0.5, 0.5]], [3, 3], [3, 2]).tolist()
        [0.25, 0.75]

    Reference:
        Feller (1968), An Introduction to Probability Theory, vol. 1, section XIII.7; Arratia, Goldstein and Gordon
        (1990), Statistical Science 5:403-424 (the Poisson limit).
    """
    p = np.atleast_2d(np.asarray(shares, dtype=np.float64))
    count, longest = np.asarray(n, dtype=np.int64).ravel(), np.asarray(run, dtype=np.int64).ravel()
    out = np.full(len(count), np.nan)
    many = count > EXACT_RATINGS
    if many.any():
        power = p[many] ** longest[many, None]
        rate = np.sum(power * (1 + (count[many] - longest[many])[:, None] * (1 - p[many])), axis=1)
        out[many] = -np.expm1(-rate)
    exact = np.flatnonzero((count > 0) & ~many)
    exact = exact[np.argsort(count[exact], kind="stable")]  # those of one block are about equally long
    lo = 0
    while lo < len(exact):
        hi = lo + 1
        while hi < len(exact) and (count[exact[hi]] + 1) * (hi - lo + 1) * p.shape[1] <= _CELLS:
            hi += 1
        rows = exact[lo:hi]
        out[rows] = _exact(p[rows], count[rows], longest[rows])
        lo = hi
    return out


def _exact(p: Floats, n: npt.NDArray[np.int64], m: npt.NDArray[np.int64]) -> Floats:
    """The recursion for A persons at once; row t of ``other`` holds S_t - E_t for the step t + m."""
    people = np.arange(len(p))
    power = p ** m[:, None]
    ends = np.zeros_like(p)
    none = np.ones(len(p))
    other = np.empty((int(n.max()) + 1, *p.shape))
    other[0] = 1.0
    result = np.zeros(len(p))
    for t in range(1, len(other)):
        ends = p * none[:, None]
        long = t >= m
        ends[long] -= power[long] * other[t - m[long], people[long]]
        none = ends.sum(axis=1)
        other[t] = none[:, None] - ends
        done = n == t
        result[done] = 1 - none[done]
    return np.clip(result, 0.0, 1.0)
