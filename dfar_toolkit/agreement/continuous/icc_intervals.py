"""Intervals of intraclass correlations from the F distribution."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from dfar_toolkit.agreement.continuous.variance_components import Squares
from dfar_toolkit.agreement.counting import Floats, Ints

PERFECT: Final = "no interval: no error variance was seen, so [1, 1] would claim certainty"
OUTSIDE: Final = "the limits weigh items with few ratings otherwise than the value and leave it out"


class MeanSquares(NamedTuple):
    """Mean squares of n items by k ratings: between items, between raters, within items, error."""

    n: float
    k: float
    items: float
    raters: float
    within: float
    error: float


def mean_squares(squares: Squares) -> MeanSquares:
    """The mean squares of one draw of a design with k ratings of every item."""
    n, ratings = float(squares.items[0]), float(squares.ratings[0])
    k = ratings / n
    between, columns, within = (float(s[0]) for s in (squares.between, squares.columns, squares.within))
    rest = within - columns
    error = 0.0 if abs(rest) <= 1e-12 * within else rest
    return MeanSquares(
        n, k, between / (n - 1), columns / (k - 1), within / (ratings - n), error / ((n - 1) * (k - 1))
    )  # fmt: skip


def f_limits(between: float, error: float, df: tuple[float, float], k: float, confidence: float) -> tuple[float, float]:
    r"""Limits of the correlation of single ratings, where $F = between / error$ has ``df`` degrees of freedom.

    $(F / F_c - 1) / (F / F_c + k - 1)$ at the two quantiles $F_c$ of F.

    Reference:
        Shrout and Fleiss (1979), Psychol. Bull. 86:420-428, p. 424; McGraw and Wong (1996), table 7.
    """
    from scipy.stats import f

    tail = (1 - confidence) / 2
    ratio = between / error
    ends = [ratio / float(f.ppf(p, *df)) for p in (1 - tail, tail)]
    return (ends[0] - 1) / (ends[0] + k - 1), (ends[1] - 1) / (ends[1] + k - 1)


def agreement_limits(ms: MeanSquares, value: float, confidence: float) -> tuple[float, float]:
    r"""Limits of ICC(A,1) = ``value``, with Satterthwaite's degrees of freedom v for the pooled error.

    Reference:
        McGraw and Wong (1996), Psychol. Methods 1:30-46, table 7; Satterthwaite (1946).
    """
    from scipy.stats import f

    n, k, items, raters, _, error = ms
    tail = (1 - confidence) / 2
    a = k * value / (n * (1 - value))
    b = 1 + a * (n - 1)
    v = (a * raters + b * error) ** 2 / ((a * raters) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1)))
    spread = k * raters + (k * n - k - n) * error
    up, down = float(f.ppf(1 - tail, n - 1, v)), float(f.ppf(1 - tail, v, n - 1))
    low = n * (items - up * error) / (up * spread + n * items)
    high = n * (down * items - error) / (spread + n * down * items)
    return low, high


def unequal_limits(mean: Floats, m: Ints, within: float, confidence: float) -> tuple[float, float]:
    r"""Limits of ICC(1) where item i has $m_i$ ratings with mean $\bar x_i$, exact for normal ratings.

    With weights $w_i = m_i / (1 + (m_i - 1) \rho)$ and the weighted mean $\bar x_w$,
    $(1 - \rho) \sum_i w_i (\bar x_i - \bar x_w)^2 / ((n - 1) MS_w)$ has the F distribution with $n - 1$ and
    $M - n$ degrees of freedom, and falls with $\rho$: the limits are where it meets the quantiles of F. Equal numbers
    give the usual limits. The lower limit is at least $-1 / (\max m - 1)$, the least correlation there is.

    Reference:
        Wald (1940), Ann. Math. Stat. 11:96-100; Searle, Casella and McCulloch (1992), section 3.6.
    """
    from scipy.optimize import brentq
    from scipy.stats import f

    n, tail = len(m), (1 - confidence) / 2
    least = -1 / (float(m.max()) - 1)

    def ratio(rho: float, quantile: float) -> float:
        weight = m * (1 - rho) / (1 + (m - 1) * rho)
        centre = np.sum(weight * mean) / np.sum(weight)
        return float(np.sum(weight * (mean - centre) ** 2)) / (n - 1) / within - quantile

    ends = []
    for p, beyond in ((1 - tail, least), (tail, float("nan"))):
        quantile = float(f.ppf(p, n - 1, float(m.sum()) - n))
        start, stop = least * (1 - 1e-12), 1 - 1e-15
        crosses = ratio(start, quantile) > 0 > ratio(stop, quantile)
        ends.append(float(brentq(ratio, start, stop, args=(quantile,), xtol=1e-14)) if crosses else beyond)
    return ends[0], ends[1]


def of_mean(value: float, k: float) -> float:
    """The correlation of means of k ratings from that of single ones (Spearman 1910, Brown 1910)."""
    return k * value / (1 + (k - 1) * value)
