"""Shares of items: Wilson's interval, on the effective n where items come in groups."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate.resampling import Patterns, collapse
from dfar_toolkit.estimate.result import Estimate

_EQUAL: Final = 1e-12  # a spread below this is rounding


def proportion(
    name: str,
    hits: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | pl.Series | None = None,
    confidence: float = 0.95,
) -> Estimate:
    r"""A share of items with Wilson's interval, on the effective number of items where items come in groups.

    With $x_i \in \{0, 1\}$ (or a share in $[0, 1]$), $p = \sum x_i / N$ and $G$ groups,

        $v = \frac{G}{G - 1} \frac{1}{N^2} \sum_g (\sum_{i \in g} (x_i - p))^2$,   $n_e = \min(N, p (1 - p) / v)$

    and Wilson's interval takes $n_e$ for $n$. With one item per group, or groups of equal shares (v = 0), $n_e = N$.

    Args:
        name: Name printed with the number.
        hits: One number per item (N,), 0 or 1.
        groups: The group of each item (N,), or None.
        confidence: Two-sided coverage asked for.

    Returns:
        The estimate; ``n`` counts items.

    Undefined:
        No items: ``nan``. At p = 0 or 1 the variance says nothing and $n_e$ is the number of groups.

    Raises:
        ValueError: ``confidence`` is not between 0 and 1.

    Example:
        >>> str(proportion("accuracy", [1, 1, 1, 0]))
        'accuracy = 0.750 [0.301, 0.954] (95 % Wilson over 4 items)'

    Reference:
        Wilson (1927), JASA 22:209-212; Dean and Pagano (2015), J. Surv. Stat. Methodol. 3(4) (effective n).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"proportion: confidence must lie between 0 and 1, found {confidence}")
    x = np.asarray(hits, dtype=np.float64).ravel()
    nan = float("nan")
    blank = Estimate(name, nan, nan, nan, len(x), len(x), "items", "items", "Wilson", confidence, "")
    if groups is None and len(x):
        p = float(x.mean())
        low, high = wilson_ends(p, float(len(x)), confidence)
        return replace(blank, value=p, low=low, high=high)
    grouped = collapse(np.column_stack([x, np.ones_like(x)]), groups=groups)
    blank = replace(blank, n_units=grouped.n_units, unit=grouped.unit)
    if len(x) == 0:
        return replace(blank, note="no items")
    return _with_ends(replace(blank, value=float(x.mean())), grouped)


def proportion_of_units(name: str, units: Patterns, *, confidence: float = 0.95) -> Estimate:
    """As :func:`proportion`, of items that were added up by unit already.

    Args:
        name: Name printed with the number.
        units: Patterns of two columns, hits and items of a unit.
        confidence: Two-sided coverage asked for.

    Returns:
        The estimate; ``n`` counts items.

    Undefined:
        As :func:`proportion`.

    Raises:
        ValueError: ``confidence`` is not between 0 and 1.

    Example:
        Two groups, of which one has both of two items, the other one of two.

        >>> units = Patterns(np.array([[1.0, 2.0], [2.0, 2.0]]), np.ones(2), 4, "groups")
        >>> proportion_of_units("x", units) == proportion("x", [1, 0, 1, 1], groups=["a", "a", "b", "b"])
        True
    """
    if not 0 < confidence < 1:
        raise ValueError(f"proportion_of_units: confidence must lie between 0 and 1, found {confidence}")
    nan = float("nan")
    hits, n = (float(units.times @ units.rows[:, column]) for column in (0, 1))
    blank = Estimate(name, nan, nan, nan, int(n), units.n_units, units.unit, "items", "Wilson", confidence, "")
    return _with_ends(replace(blank, value=hits / n), units) if n else replace(blank, note="no items")


def _with_ends(point: Estimate, units: Patterns) -> Estimate:
    """The share with Wilson's interval over its units."""
    n, p, method = float(point.n), point.value, "Wilson"
    if units.unit == "groups":
        method = "Wilson (effective n)"
        if units.n_units < 2:
            return replace(point, method=method, note="no interval: one group only")
        n = _effective_n(units, p, n)
    low, high = wilson_ends(p, n, point.confidence)
    return replace(point, low=low, high=high, method=method)


def wilson_ends(p: float, n: float, confidence: float) -> tuple[float, float]:
    """Both ends of Wilson's interval of a share p of n, which need not be a whole number.

    Example:
        >>> [round(end, 3) for end in wilson_ends(0.5, 4, 0.95)]
        [0.15, 0.85]
    """
    from scipy.special import ndtri

    z = float(ndtri(0.5 + confidence / 2))
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * float(np.sqrt(max(0.0, p * (1 - p)) / n + z**2 / (4 * n**2)))
    # At p = 0 and 1 the algebra gives the end exactly; rounding must not push it past.
    return (0.0 if p <= 0 else max(0.0, centre - half)), (1.0 if p >= 1 else min(1.0, centre + half))


def _effective_n(grouped: Patterns, p: float, n: float) -> float:
    """min(N, p (1 - p) / v); the number of groups at p = 0 and 1, where v is 0 too and says nothing."""
    units, spread = grouped.n_units, p * (1 - p)
    if spread <= _EQUAL:
        return float(units)
    deviation = grouped.rows[:, 0] - p * grouped.rows[:, 1]
    variance = units / (units - 1) * float(np.sum(grouped.times * deviation**2)) / n**2
    # Compared before dividing: a v of 0, or of rounding alone, is the limit n_e = N.
    return n if variance * n <= spread else spread / variance
