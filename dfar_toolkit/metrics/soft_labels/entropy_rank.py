"""Rank correlation of the two entropies: the second door, with a linearised interval. Cost: two sorts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Estimate, Floats
from dfar_toolkit.metrics.labels import Codes, Column
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions

_EQUAL: Final = 1e-12  # entropies that differ by less are tied: the same shares in another order of options


def entropy_rank_correlation(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    confidence: float = 0.95,
) -> Estimate:
    r"""Spearman correlation of the entropy of the human shares with that of the prediction, ties at mid-ranks.

    Ranks are not sums over items, so this is not resampled with the other scores. With mid-distribution functions F, G
    of the two entropies the value is the Pearson correlation of $F(h_i)$ and $G(g_i)$; the interval is normal on
    Fisher's scale, with the variance of the influence function summed by group, so the noise of ranks counts.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or array (N, K) of human shares; None where ``counts`` are given.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        counts: Column or array (N, K) of votes.
        group: Column or values (N,) of the resampling unit.
        confidence: Two-sided coverage.

    Returns:
        The estimate; ``method`` is ``linearised (Fisher z)``.

    Undefined:
        Fewer than two items, or all entropies on one side equal. No interval at 1 and -1, or below four units.

    Raises:
        TableError: A distribution that is none.
        ValueError: A column is missing or shapes differ.

    Example:
        >>> gold, pred = [[0.5, 0.5], [0.8, 0.2], [1, 0]], [[0.6, 0.4], [0.7, 0.3], [0.9, 0.1]]
        >>> round(entropy_rank_correlation(gold=gold, pred=pred).value, 12)
        1.0

    Reference:
        Spearman (1904), Am. J. Psychol. 15:72-101; Croux and Dehon (2010), Stat. Methods Appl. 19:497-515 (influence).
    """
    pairs = pair_distributions("entropy_rank_correlation", frame, gold=gold, pred=pred, counts=counts, group=group)
    if not 0 < confidence < 1:
        raise ValueError(f"entropy_rank_correlation: confidence must lie between 0 and 1, found {confidence}")
    group_codes, unit = _units(pairs)
    h, g, codes = _sorted(pairs, group_codes)
    units = len(np.unique(codes))
    nan = float("nan")
    found = Estimate(
        "entropy correlation (Spearman)", nan, nan, nan, len(h), units, unit, "items",
        "linearised (Fisher z)", confidence, pairs.note,
    )  # fmt: skip
    if len(h) < 2 or h[0] == h[-1] or g.min() == g.max():
        why = "fewer than two items, or all entropies on one side are equal"
        return replace(found, note="; ".join(filter(None, [why, pairs.note])))
    value, influence = _spearman(h, g)
    return _with_interval(replace(found, value=value), np.bincount(codes, influence).astype(np.float64))


def _units(pairs: PairedDistributions) -> tuple[Codes, str]:
    if pairs.groups is None or pairs.groups.n_unique() == len(pairs.gold):
        return np.arange(len(pairs.gold)), "items"
    return pairs.groups.rank("dense").to_numpy().astype(np.int64) - 1, "groups"


def _sorted(pairs: PairedDistributions, codes: Codes) -> tuple[Floats, Floats, Codes]:
    """Entropies of both sides in the order of the first, then the second, then the group; ties made exact."""
    from scipy.special import entr

    h, g = (_tied(entr(side).sum(axis=1)) for side in (pairs.gold, pairs.pred))
    order = np.lexsort((codes, g, h))
    return h[order], g[order], codes[order]


def _tied(x: Floats) -> Floats:
    """Values that differ by rounding alone set to the least of them."""
    order = np.argsort(x, kind="stable")
    start = np.diff(x[order], prepend=-np.inf) > _EQUAL
    exact = np.empty_like(x)
    exact[order] = x[order][start][np.cumsum(start) - 1]
    return exact


def _spearman(h: Floats, g: Floats) -> tuple[float, Floats]:
    """The correlation of the mid-distribution values and its influence function (N,)."""
    f_h, f_g = _mid(h), _mid(g)
    product, square_h, square_g = (f_h * f_g).mean(), (f_h**2).mean(), (f_g**2).mean()
    cov, var_h, var_g = product - 0.25, square_h - 0.25, square_g - 0.25
    scale = math.sqrt(var_h * var_g)
    on_cov = f_h * f_g + _above(h, f_g) + _above(g, f_h) - 3 * product
    on_h = f_h**2 + 2 * _above(h, f_h) - 3 * square_h
    on_g = f_g**2 + 2 * _above(g, f_g) - 3 * square_g
    value = float(np.clip(cov / scale, -1, 1))
    influence: Floats = on_cov / scale - value / 2 * (on_h / var_h + on_g / var_g)
    return value, influence


def _mid(x: Floats) -> Floats:
    """Share of values below each value plus half of those equal to it (N,)."""
    ordered = np.sort(x)
    low, high = np.searchsorted(ordered, x, side="left"), np.searchsorted(ordered, x, side="right")
    mid: Floats = (low + high) / (2 * len(x))
    return mid


def _above(x: Floats, weight: Floats) -> Floats:
    """Mean over j of the weight of j where x_j lies above x_i, half of it where it is equal (N,)."""
    order = np.argsort(x, kind="stable")
    ordered, total = x[order], np.concatenate([[0.0], np.cumsum(weight[order])])
    low, high = np.searchsorted(ordered, x, side="left"), np.searchsorted(ordered, x, side="right")
    mean: Floats = (total[-1] - (total[low] + total[high]) / 2) / len(x)
    return mean


def _with_interval(found: Estimate, by_unit: Floats) -> Estimate:
    from scipy.special import ndtri

    units = found.n_units
    if units < 4 or 1 - abs(found.value) <= _EQUAL:
        why = f"no interval: {units} {found.unit} only" if units < 4 else "no interval: the value is at its limit"
        return replace(found, note="; ".join(filter(None, [found.note, why])))
    deviation = math.sqrt(float((by_unit**2).sum()) * units / (units - 1)) / found.n
    half = float(ndtri(0.5 + found.confidence / 2)) * deviation / (1 - found.value**2)
    z = math.atanh(found.value)
    return replace(found, low=math.tanh(z - half), high=math.tanh(z + half))
