"""What two published counts on the same items say about a paired comparison, when nobody has the items' answers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Estimate, estimates_frame
from dfar_toolkit.metrics.paired import mcnemar_test

_HALVINGS: Final = 60  # of an interval at most 2 wide: beyond the precision of a double


def mcnemar_bounds(correct_a: int, correct_b: int, n: int, *, confidence: float = 0.95) -> pl.DataFrame:
    r"""Smallest and largest McNemar p, narrowest and widest interval, that two counts on the same items allow.

    A table says that run A is right on $a$ and run B on $b$ of $n$ items. How many both have right is not said, only
    that $\max(0, a + b - n) \le k \le \min(a, b)$. With $k$, A alone is right on $a - k$ and B alone on $b - k$: p is
    the exact McNemar test's, and the difference $d = (b - a) / n$ has Tango's score interval, all $\delta$ with

        $(b - a - n \delta)^2 \le z^2 n (2 q_\delta + \delta (1 - \delta))$

    where $q_\delta$ is the most likely share of items that A alone has right if the true difference is $\delta$. The
    fewer items both have right, the more they disagree: p and the interval never shrink on the way from the largest
    $k$ to the smallest, so these two ends bound whatever the answers item by item would give. The counts may be of
    anything that is so or not for each item, such as reasons judged misaligned. The cost grows with n.

    Args:
        correct_a: Items that the first run has right, $a$.
        correct_b: Items that the second run has right, $b$.
        n: Items, the same for both.
        confidence: Two-sided coverage of the intervals.

    Returns:
        Two rows, the most and the least overlap: ``overlap, both_right, only_a, only_b, p_value`` and Estimate's
        fields of the difference (second minus first). The first row has the smallest p and the narrowest interval.
        The interval is asymptotic and the test exact: with few items the one may leave out 0 while p is above .05.

    Undefined:
        No items. With equal counts p is 1 whatever the overlap.

    Raises:
        ValueError: A count is not a whole number from 0 to n, or ``confidence`` is not between 0 and 1.

    Example:
        3 and 7 right of 10: nested answers differ on 4 items, 2 (1/2)^4; at the other end on all 10.

        >>> bounds = mcnemar_bounds(3, 7, 10)
        >>> bounds.select("overlap", "both_right", "only_a", "only_b", "p_value").rows()
        [('most', 3, 0, 4, 0.125), ('least', 0, 3, 7, 0.34375)]
        >>> bounds.select(pl.col("value", "low", "high").round(3)).rows()
        [(0.4, 0.011, 0.687), (0.4, -0.206, 0.784)]

    Reference:
        McNemar (1947), Psychometrika 12(2):153-157; Tango (1998), Statistics in Medicine 17(8):891-908; the range of
        the overlap: Fréchet (1951), Annales de l'Université de Lyon A 14:53-77.
    """
    _check(correct_a, correct_b, n, confidence)
    correct_a, correct_b, n = int(correct_a), int(correct_b), int(n)
    found, beside = [], []
    for overlap, both in (("most", min(correct_a, correct_b)), ("least", max(0, correct_a + correct_b - n))):
        only_a, only_b = correct_a - both, correct_b - both
        # Any answers with these counts do: the first run's right items first, the second's begin where k are left.
        place = np.arange(n)
        p = mcnemar_test(place < correct_a, (place >= only_a) & (place < only_a + correct_b)).value
        found.append(_difference(only_a, only_b, n, confidence))
        counts = {"overlap": overlap, "both_right": both, "only_a": only_a, "only_b": only_b}
        beside.append({**counts, "p_value": p})
    return estimates_frame(found, beside=beside)


def _check(correct_a: int, correct_b: int, n: int, confidence: float) -> None:
    if not float(n).is_integer() or n < 0:
        raise ValueError(f"mcnemar_bounds: n must be a whole number of items, found {n}")
    for name, count in (("correct_a", correct_a), ("correct_b", correct_b)):
        if not float(count).is_integer() or not 0 <= count <= n:
            raise ValueError(f"mcnemar_bounds: {name} must be a whole number from 0 to n = {n}, found {count}")
    if not 0 < confidence < 1:
        raise ValueError(f"mcnemar_bounds: confidence must lie between 0 and 1, found {confidence}")


def _difference(only_a: int, only_b: int, n: int, confidence: float) -> Estimate:
    """(b - a) / n with Tango's interval, each end by halving what lies between the difference and -1 or 1."""
    from scipy.special import ndtri

    nan = float("nan")
    name, note = "difference (second - first)", "items taken as independent"
    blank = Estimate(name, nan, nan, nan, n, n, "items", "items", "Tango score", confidence, note)
    if n == 0:
        return replace(blank, note="no items")
    z2, value = float(ndtri(0.5 + confidence / 2)) ** 2, (only_b - only_a) / n
    ends = []
    for outside in (-1.0, 1.0):
        inside = value
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            if _is_plausible(middle, only_a, only_b, n, z2):
                inside = middle
            else:
                outside = middle
        ends.append(inside)
    return replace(blank, value=value, low=ends[0], high=ends[1])


def _is_plausible(delta: float, only_a: int, only_b: int, n: int, z2: float) -> bool:
    """Whether the score test does not reject a true difference of delta."""
    linear = only_a + only_b - delta * (2 * n - (only_b - only_a))
    constant = only_a * delta * (1 - delta)
    # 2 n q^2 - linear q - constant = 0 is the likelihood's maximum; its larger root is the admissible one.
    q = (linear + math.sqrt(max(0.0, linear**2 + 8 * n * constant))) / (4 * n)
    return (only_b - only_a - n * delta) ** 2 <= z2 * n * (2 * q + delta * (1 - delta))
