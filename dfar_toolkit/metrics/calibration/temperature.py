r"""One temperature for all predictions, fitted in log T between stated bounds. Cost: about 20 passes over (N, K)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, Floats, unit_rows
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions

LOWEST_T: Final = 1e-2
HIGHEST_T: Final = 1e2

_FLAT: Final = 1e-12  # a slope below this, for every T, is rounding


def fit_temperature(pairs_dev: PairedDistributions, *, confidence: float = 0.95) -> Estimate:
    r"""The temperature at which predictions fit the gold of a development split best, by soft cross-entropy.

    With human shares (or labels) $p_i$ and predictions $q_i$ (K,): $\hat T = \arg\min_T
    -\frac{1}{N} \sum_i \sum_k p_{ik} \log softmax(\log q_i / T)_k$, over $\log T$ with $10^{-2} \le T \le 10^2$. The
    function is convex in $1/T$, so the root of its derivative is the only minimum. T above 1: the model is too sure.

    Args:
        pairs_dev: Gold and predictions of a split other than the one that will be scored.
        confidence: Two-sided coverage.

    Returns:
        The estimate of T; its interval is normal in log T with the sandwich variance over groups. At a bound the value
        is that bound and the note says so.

    Undefined:
        No items, or all predictions uniform (every T does the same). No interval at a bound or for one group.

    Raises:
        TableError: A predicted probability is 0, which has no logarithm.

    Example:
        People split 9 to 1 where the model says 99 to 1: log(99) / log(9).

        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> pairs = pair_distributions("f", None, gold=[[0.9, 0.1]], pred=[[0.99, 0.01]])
        >>> round(fit_temperature(pairs).value, 6)
        2.091329

    Reference:
        Guo et al. (2017), On calibration of modern neural networks, ICML (section 4.2, temperature scaling).
    """
    from scipy.optimize import brentq

    if not 0 < confidence < 1:
        raise ValueError(f"fit_temperature: confidence must lie between 0 and 1, found {confidence}")
    n = len(pairs_dev.gold)
    units, unit = unit_rows(np.ones((n, 1)), groups=pairs_dev.groups)
    nan = float("nan")
    found = Estimate("temperature", nan, nan, nan, n, len(units), unit, "items", "normal in log T", confidence)
    if not n:
        return _said(found, nan, "no items")
    logs = log_probabilities("fit_temperature", pairs_dev)

    def slope(log_t: float) -> float:
        return float(_slopes(pairs_dev.gold, logs, log_t).mean())

    ends = math.log(LOWEST_T), math.log(HIGHEST_T)
    at_low, at_high = slope(ends[0]), slope(ends[1])
    if float(np.ptp(logs, axis=1).max()) <= _FLAT:
        return _said(found, nan, "every prediction is uniform: any temperature does the same")
    # Minus the slope in 1/T, in which the loss is convex: below 0 where T is too low, above 0 where it is too high.
    if at_low >= 0:
        return _said(
            found, LOWEST_T, f"at the lower bound {LOWEST_T}: the best temperature is lower still; no interval"
        )
    if at_high <= 0:
        return _said(found, HIGHEST_T, f"at the upper bound {HIGHEST_T:g}: the best temperature is higher; no interval")
    log_t = float(brentq(slope, *ends, xtol=1e-13, rtol=1e-14))
    return _with_interval(found, pairs_dev, logs, log_t)


def apply_temperature(probs: npt.ArrayLike, temperature: float) -> Floats:
    r"""Probabilities at another temperature: $softmax(\log q / T)$, that is $q_k^{1/T} / \sum_l q_l^{1/T}$.

    Args:
        probs: Probabilities (N, K), each row with some mass.
        temperature: T above 0; 1 changes nothing but the sum of a row, which becomes 1.

    Returns:
        Probabilities (N, K), rows sum to 1. A 0 stays 0, a row of ``nan`` stays.

    Raises:
        ValueError: T is not a finite number above 0, or the shape is not (N, K).

    Example:
        >>> apply_temperature([[0.8, 0.2]], 0.5).round(4).tolist()
        [[0.9412, 0.0588]]
    """
    q = np.asarray(probs, dtype=np.float64)
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"apply_temperature: temperature must be a finite number above 0, found {temperature}")
    if q.ndim != 2:
        raise ValueError(f"apply_temperature: probs must be an array (items, options), found shape {q.shape}")
    with np.errstate(divide="ignore"):
        scaled = np.log(q) / temperature
    return softmax(scaled)


def log_probabilities(name: str, pairs: PairedDistributions) -> Floats:
    """Logarithms (N, K) of the predictions; a 0 is refused.

    Raises:
        TableError: A predicted probability is 0.

    Example:
        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> log_probabilities("f", pair_distributions("f", None, gold=[[1, 0]], pred=[[0.5, 0.5]])).round(3).tolist()
        [[-0.693, -0.693]]
    """
    zero = np.asarray((pairs.pred <= 0).any(axis=1))
    if zero.any():
        raise TableError(
            f"{name}: scaling takes the logarithm of every probability; {int(zero.sum())} of {len(zero)} predictions "
            "hold a 0. Give unrounded probabilities, or leave those items out and count them."
        )
    return np.asarray(np.log(pairs.pred))


def softmax(scores: Floats) -> Floats:
    """Rows (N, K) as probabilities, without overflow.

    Example:
        >>> softmax(np.array([[1000.0, 1000.0]])).tolist()
        [[0.5, 0.5]]
    """
    raised = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    found: Floats = raised / raised.sum(axis=1, keepdims=True)
    return found


def _slopes(gold: Floats, logs: Floats, log_t: float) -> Floats:
    """Minus the derivative of each item's cross-entropy by 1/T (N,)."""
    found: Floats = ((gold - softmax(logs * math.exp(-log_t))) * logs).sum(axis=1)
    return found


def _with_interval(found: Estimate, pairs: PairedDistributions, logs: Floats, log_t: float) -> Estimate:
    from scipy.special import ndtri

    found = replace(found, value=math.exp(log_t))
    if found.n_units < 2:
        return replace(
            found, note="; ".join(x for x in (pairs.note, f"no interval: one unit ({found.unit}) only") if x)
        )
    shares = softmax(logs * math.exp(-log_t))
    mean = (shares * logs).sum(axis=1)
    curvature = float((shares * (logs - mean[:, None]) ** 2).sum())
    of_units, _ = unit_rows(_slopes(pairs.gold, logs, log_t)[:, None], groups=pairs.groups)
    meat = found.n_units / (found.n_units - 1) * float((of_units**2).sum())
    # The derivative by log T is that by 1/T times -1/T.
    error = math.sqrt(meat) / curvature * math.exp(log_t)
    half = float(ndtri(0.5 + found.confidence / 2)) * error
    if half <= _FLAT:
        return replace(found, note="no interval: every unit has its best fit at the same temperature")
    return replace(found, low=math.exp(log_t - half), high=math.exp(log_t + half), note=pairs.note)


def _said(found: Estimate, value: float, note: str) -> Estimate:
    return replace(found, value=value, method="none", note=note)
