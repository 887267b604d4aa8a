"""Many p-values at once: Holm for the chance of any false claim, Benjamini-Yekutieli for the share of false claims."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfar_toolkit.estimate import Floats


def holm(p: npt.ArrayLike) -> Floats:
    r"""P-values adjusted so that rejecting those up to alpha makes any false rejection at most alpha likely.

    With the M p-values sorted, $p_{(1)} \le ... \le p_{(M)}$:

        $\tilde p_{(i)} = \min(1, \max_{j \le i} (M - j + 1) p_{(j)})$

    Args:
        p: P-values (M,), of tests that may depend on each other in any way.

    Returns:
        Adjusted p-values (M,), in the order given.

    Undefined:
        A ``nan`` stays ``nan``; the test it stands for was part of the family and counts in M.

    Raises:
        ValueError: A p-value outside [0, 1].

    Example:
        Three tests: 3 x .01, 2 x .02, and .04 raised to the one before it.

        >>> holm([0.04, 0.01, 0.02]).round(12).tolist()
        [0.04, 0.03, 0.04]

    Reference:
        Holm (1979), Scand. J. Stat. 6:65-70.
    """
    sorted_p, order = _sorted("holm", p)
    m = len(sorted_p)
    adjusted = np.minimum(1.0, np.maximum.accumulate(np.nan_to_num(sorted_p, nan=1.0) * np.arange(m, 0, -1)))
    return _placed(np.where(np.isnan(sorted_p), np.nan, adjusted), order)


def benjamini_yekutieli(p: npt.ArrayLike, q: float = 0.05) -> npt.NDArray[np.bool_]:
    r"""Which tests are rejected so that the expected share of false ones among them is at most q.

    With the M p-values sorted and $c_M = \sum_{j=1}^M 1 / j$, the k smallest are rejected, k being the largest i with

        $p_{(i)} \le \frac{i}{M c_M} q$

    The factor $c_M$ is the price of holding under any dependence: annotators tested on the same items are dependent.

    Args:
        p: P-values (M,).
        q: Bound of the false discovery rate, between 0 and 1.

    Returns:
        Whether each test is rejected (M,), in the order given.

    Undefined:
        A ``nan`` is not rejected; the test it stands for counts in M.

    Raises:
        ValueError: A p-value outside [0, 1], or q not between 0 and 1.

    Example:
        M = 3, c = 11/6: the bounds are .0091, .0182, .0273; the largest p is below the last one.

        >>> benjamini_yekutieli([0.012, 0.013, 0.014]).tolist()
        [True, True, True]

    Reference:
        Benjamini and Yekutieli (2001), Ann. Stat. 29(4):1165-1188, theorem 1.3.
    """
    if not 0 < q < 1:
        raise ValueError(f"benjamini_yekutieli: q must lie between 0 and 1, found {q}")
    sorted_p, order = _sorted("benjamini_yekutieli", p)
    m = len(sorted_p)
    place = np.arange(1, m + 1)
    below = sorted_p <= place * q / (m * np.sum(1.0 / place))  # nan is below nothing
    rejected = np.zeros(m, dtype=bool)
    rejected[order[: int(place[below].max()) if below.any() else 0]] = True
    return rejected


def benjamini_yekutieli_adjusted(p: npt.ArrayLike) -> Floats:
    r"""P-values adjusted for :func:`benjamini_yekutieli`: a test is rejected at q if its adjusted value is at most q.

    $\tilde p_{(i)} = \min(1, \min_{j \ge i} \frac{M c_M}{j} p_{(j)})$

    Args:
        p: P-values (M,).

    Returns:
        Adjusted p-values (M,), in the order given.

    Undefined:
        A ``nan`` stays ``nan``; the test it stands for counts in M.

    Raises:
        ValueError: A p-value outside [0, 1].

    Example:
        M = 2, c = 3/2: 3 x .01 and 3/2 x .4.

        >>> benjamini_yekutieli_adjusted([0.01, 0.4]).round(12).tolist()
        [0.03, 0.6]

    Reference:
        Benjamini and Yekutieli (2001), Ann. Stat. 29(4):1165-1188.
    """
    sorted_p, order = _sorted("benjamini_yekutieli_adjusted", p)
    m = len(sorted_p)
    place = np.arange(1, m + 1)
    raised = np.nan_to_num(sorted_p, nan=np.inf) * (m * np.sum(1.0 / place)) / place
    adjusted = np.minimum(1.0, np.minimum.accumulate(raised[::-1])[::-1])
    return _placed(np.where(np.isnan(sorted_p), np.nan, adjusted), order)


def _sorted(name: str, p: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The p-values from small to large, ``nan`` last, and where each stood."""
    given = np.asarray(p, dtype=np.float64).ravel()
    outside = given[(given < 0) | (given > 1)]
    if len(outside):
        raise ValueError(f"{name}: p-values must lie in [0, 1], found {outside[0]:g}")
    order = np.argsort(given, kind="stable")
    return given[order], order


def _placed(values: Floats, order: npt.NDArray[np.int64]) -> Floats:
    placed = np.empty(len(values))
    placed[order] = values
    return placed
