"""Correlation of predictions with the human mean: Pearson's as an additive statistic, Spearman's linearised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, unit_rows
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.number_pairs import PairedNumbers, pair_numbers

_CONSTANT: Final = "gold or prediction is one number throughout"
_NONE: Final = "no item has a number on both sides"
_RELATIVE: Final = 1e-12  # of a sum of squares: what is below is rounding
_FEWEST: Final = 10  # units below which a linearised interval is not given


def pearson_correlation(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    values: Sequence[float] | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Pearson's correlation of prediction and gold.

    With gold $x_i$ and prediction $\hat x_i$ (N,):

        $r = \frac{N \sum x \hat x - \sum x \sum \hat x}{\sqrt{(N \sum x^2 - (\sum x)^2)
        (N \sum \hat x^2 - (\sum \hat x)^2)}}$

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or values (N,): numbers, labels, or lists of K votes or shares.
        pred: Column or values (N,), likewise; null is no answer.
        group: Column or values (N,) of the resampling unit.
        options: The K labels from lowest to highest.
        values: The K numbers of the options; None means 0, 1, ..., K - 1.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts items known on both sides.

    Undefined:
        No item, or one number throughout on a side.

    Raises:
        TableError: As :func:`~dfar_toolkit.metrics.number_pairs.pair_numbers`.

    Example:
        >>> pearson_correlation(gold=[0, 0, 1, 1], pred=[0.0, 1.0, 1.0, 2.0], ci=None).value.__round__(6)
        0.707107
    """
    pairs = pair_numbers("pearson_correlation", frame, gold=gold, pred=pred, group=group, options=options,
                         values=values)  # fmt: skip
    return estimate_together(
        [pearson_rows(pairs)], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
    )[0]


def pearson_rows(pairs: PairedNumbers) -> Additive:
    """Pearson's correlation as an additive statistic: 1, both numbers, their squares and product."""
    x, y = _centred(pairs.gold), _centred(pairs.pred)
    rows = np.column_stack([np.ones_like(x), x, y, x**2, y**2, x * y])
    why = _CONSTANT if len(x) else _NONE
    return Additive("pearson_correlation", "Pearson's correlation", rows, _pearson, why, pairs.note)


def _centred(x: Floats) -> Floats:
    """Numbers less one of them, in the middle: a constant becomes exactly 0, and small numbers lose no digits."""
    return x - np.sort(x)[len(x) // 2] if len(x) else x


def _pearson(sums: Floats) -> Floats:
    n, x, y, xx, yy, xy = sums.T
    spread = [n * ss - s**2 for s, ss in ((x, xx), (y, yy))]
    spread = [np.where(v > _RELATIVE * n * ss, v, np.nan) for v, ss in zip(spread, (xx, yy), strict=True)]
    r = (n * xy - x * y) / np.sqrt(spread[0] * spread[1])
    return np.asarray(np.clip(r, -1.0, 1.0), dtype=np.float64)


def spearman_correlation(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    values: Sequence[float] | None = None,
    ci: Literal["linearised"] | None = "linearised",
    confidence: float = 0.95,
) -> Estimate:
    r"""Spearman's rank correlation of prediction and gold: Pearson's correlation of the midranks.

    With $F_i$, $G_i$ the midranks of gold and prediction less 1/2, over N, and $A = \overline{FG} - 1/4$,
    $B_F = \overline{F^2} - 1/4$: $\rho = A / \sqrt{B_F B_G}$. It is no function of sums, so its interval is linearised:
    the influence of an item on $\rho$, through its own ranks and through those of the others, is summed by group, and
    the interval is normal on Fisher's z. Cost: sorting.

    Args:
        frame: One row per item, or None with arrays.
        gold: As for :func:`pearson_correlation`.
        pred: As for :func:`pearson_correlation`.
        group: Column or values (N,) of the resampling unit.
        options: The K labels from lowest to highest.
        values: The K numbers of the options; None means 0, 1, ..., K - 1.
        ci: ``linearised``, or None.
        confidence: Two-sided coverage.

    Returns:
        The estimate; ``n`` counts items known on both sides.

    Undefined:
        No item, or one number throughout on a side. No interval with fewer than 10 units, or at -1 and 1.

    Raises:
        TableError: As :func:`~dfar_toolkit.metrics.number_pairs.pair_numbers`.

    Example:
        >>> spearman_correlation(gold=[1, 2, 3, 4], pred=[10, 20, 40, 30], ci=None).value.__round__(12)
        0.8

    Reference:
        Spearman (1904), Am. J. Psychol. 15:72-101; midranks and linearisation for any distribution: Nešlehová (2007),
        J. Multivar. Anal. 98:544-567.
    """
    if ci not in ("linearised", None):
        raise ValueError(f'spearman_correlation: ci must be "linearised" or None, found {ci!r}')
    pairs = pair_numbers("spearman_correlation", frame, gold=gold, pred=pred, group=group, options=options,
                         values=values)  # fmt: skip
    return spearman_of(pairs, ci=ci, confidence=confidence)


def spearman_of(
    pairs: PairedNumbers, *, ci: Literal["linearised"] | None = "linearised", confidence: float = 0.95
) -> Estimate:
    """As :func:`spearman_correlation`, of numbers already paired."""
    if not 0 < confidence < 1:
        raise ValueError(f"spearman_correlation: confidence must lie between 0 and 1, found {confidence}")
    nan, n = float("nan"), len(pairs.gold)
    method = "linearised (Fisher's z)" if ci else "none"
    blank = Estimate("Spearman's correlation", nan, nan, nan, n, n, "items", "items", method, confidence, pairs.note)
    if n < 2 or np.ptp(pairs.gold) == 0 or np.ptp(pairs.pred) == 0:
        why = _CONSTANT if n else _NONE
        return replace(blank, note="; ".join(filter(None, [why, pairs.note])))
    rho, influence = _spearman(pairs.gold, pairs.pred)
    units, unit = unit_rows(influence[:, None], groups=pairs.groups)
    found = replace(blank, value=rho, n_units=len(units), unit=unit)
    if ci is None:
        return found
    if len(units) < _FEWEST or abs(rho) > 1 - _RELATIVE:
        why = f"fewer than {_FEWEST} {unit}" if len(units) < _FEWEST else "every rank agrees, or every one is reversed"
        return replace(found, note="; ".join(filter(None, [f"no interval: {why}", pairs.note])))
    from scipy.special import ndtri

    g = len(units)
    se = np.sqrt(g / (g - 1) * np.sum(units**2)) / n
    half = float(ndtri(0.5 + confidence / 2)) * se / (1 - rho**2)
    low, high = np.tanh(np.arctanh(rho) - half), np.tanh(np.arctanh(rho) + half)
    return replace(found, low=float(low), high=float(high))


def _spearman(x: Floats, y: Floats) -> tuple[float, Floats]:
    """Rho, and the influence of each item on it (N,), which sums to 0."""
    f, g = mid_distribution(x), mid_distribution(y)
    a, bf, bg = (f * g).mean() - 0.25, (f * f).mean() - 0.25, (g * g).mean() - 0.25
    # Each moment of two ranks moves with the item's own ranks and, by what lies above it, with those of the others.
    ia = f * g + weight_above(x, g) + weight_above(y, f) - 3 * (f * g).mean()
    ibf, ibg = (own**2 + 2 * weight_above(z, own) - 3 * (own**2).mean() for z, own in ((x, f), (y, g)))
    # With ranks that have mean 1/2 whatever the item, the constant 1/4 does not move.
    rho = a / np.sqrt(bf * bg)
    influence = ia / np.sqrt(bf * bg) - rho / 2 * (ibf / bf + ibg / bg)
    return float(np.clip(rho, -1.0, 1.0)), influence


def mid_distribution(x: Floats) -> Floats:
    """Mid-distribution function at each number: share below plus half the share equal."""
    ordered = np.sort(x)
    low, high = np.searchsorted(ordered, x, "left"), np.searchsorted(ordered, x, "right")
    return np.asarray((low + high) / (2 * len(x)), dtype=np.float64)


def weight_above(x: Floats, weight: Floats) -> Floats:
    """Mean over items j of weight_j times 1 where x_j lies above x_i, a half where they are equal (N,)."""
    order = np.argsort(x, kind="stable")
    ordered = x[order]
    total = np.append(0.0, np.cumsum(weight[order]))
    low, high = total[np.searchsorted(ordered, x, "left")], total[np.searchsorted(ordered, x, "right")]
    return np.asarray((total[-1] - (low + high) / 2) / len(x), dtype=np.float64)
