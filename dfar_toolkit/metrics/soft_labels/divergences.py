"""Jensen-Shannon divergence and distance, and Hellinger distance: finite where a prediction says 0.

Cost: two logarithms per item and option.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, mean_of
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions

_ABOVE: Final = float(np.nextafter(-1.0, 0.0))  # the logarithm of 0 is not wanted: it is multiplied by 0


def jensen_shannon_divergence(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    base: float = 2.0,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean Jensen-Shannon divergence between the human shares and the prediction (not its square root).

    With $m_i = (p_i + q_i) / 2$: $\frac{1}{N} \sum_i [ \mathrm{KL}(p_i \| m_i) + \mathrm{KL}(q_i \| m_i) ] / 2$,
    logarithms to ``base``. The square root is :func:`jensen_shannon_distance`; published "JSD" may be either. It is no
    proper score and a perfect model is above 0 at few votes: read it beside the row ``perfect_model`` of
    ``soft_label_table``.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or array (N, K) of human shares; None where ``counts`` are given.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        counts: Column or array (N, K) of votes.
        group: Column or values (N,) of the resampling unit.
        base: Base of the logarithms: 2 gives bits and a largest value of 1, ``math.e`` nats.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate, in [0, log 2] to the base.

    Undefined:
        No items.

    Raises:
        TableError: A distribution that is none.
        ValueError: A column is missing, shapes differ, or ``base`` is not above 1.

    Example:
        Nothing in common: 1 bit.

        >>> jensen_shannon_divergence(gold=[[1, 0]], pred=[[0, 1]]).value
        1.0

    Reference:
        Lin (1991), IEEE Trans. Inf. Theory 37:145-151.
    """
    pairs = pair_distributions("jensen_shannon_divergence", frame, gold=gold, pred=pred, counts=counts, group=group)
    score = jensen_shannon_divergence_rows(pairs, base=base)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def jensen_shannon_distance(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    base: float = 2.0,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean Jensen-Shannon distance: of each item the square root of its divergence.

    $\frac{1}{N} \sum_i \sqrt{\mathrm{JS}(p_i, q_i)}$ with the divergence JS of
    :func:`jensen_shannon_divergence`; the mean of the roots, not the root of the mean.
    This is what ``scipy.spatial.distance.jensenshannon`` returns.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or array (N, K) of human shares; None where ``counts`` are given.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        counts: Column or array (N, K) of votes.
        group: Column or values (N,) of the resampling unit.
        base: Base of the logarithms: 2 gives bits and a largest value of 1, ``math.e`` nats.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate.

    Undefined:
        No items.

    Raises:
        TableError: A distribution that is none.
        ValueError: A column is missing, shapes differ, or ``base`` is not above 1.

    Example:
        Nothing in common: the root of 1 bit.

        >>> jensen_shannon_distance(gold=[[1, 0]], pred=[[0, 1]]).value
        1.0

    Reference:
        Endres and Schindelin (2003), IEEE Trans. Inf. Theory 49:1858-1860.
    """
    pairs = pair_distributions("jensen_shannon_distance", frame, gold=gold, pred=pred, counts=counts, group=group)
    score = jensen_shannon_distance_rows(pairs, base=base)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def hellinger_distance(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean Hellinger distance between the human shares and the prediction, in [0, 1].

    $\frac{1}{N} \sum_i \sqrt{\frac{1}{2} \sum_k (\sqrt{p_{ik}} - \sqrt{q_{ik}})^2}$.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or array (N, K) of human shares; None where ``counts`` are given.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        counts: Column or array (N, K) of votes.
        group: Column or values (N,) of the resampling unit.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate.

    Undefined:
        No items.

    Raises:
        TableError: A distribution that is none.
        ValueError: A column is missing or shapes differ.

    Example:
        Nothing in common.

        >>> round(hellinger_distance(gold=[[1, 0]], pred=[[0, 1]]).value, 12)
        1.0

    Reference:
        Nikulin (2001), Hellinger distance, Encyclopedia of Mathematics.
    """
    pairs = pair_distributions("hellinger_distance", frame, gold=gold, pred=pred, counts=counts, group=group)
    score = hellinger_distance_rows(pairs)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def jensen_shannon_divergence_rows(pairs: PairedDistributions, *, base: float = 2.0) -> Additive:
    """The Jensen-Shannon divergence as an additive statistic."""
    return jensen_shannon_rows(pairs, base=base)[0]


def jensen_shannon_distance_rows(pairs: PairedDistributions, *, base: float = 2.0) -> Additive:
    """The Jensen-Shannon distance as an additive statistic."""
    return jensen_shannon_rows(pairs, base=base)[1]


def jensen_shannon_rows(pairs: PairedDistributions, *, base: float = 2.0) -> tuple[Additive, Additive]:
    """The Jensen-Shannon divergence and distance as additive statistics, for the price of one."""
    if not base > 1 or not math.isfinite(base):
        raise ValueError(f"jensen_shannon: base must be a number above 1, found {base}")
    values, unit = _jensen_shannon(pairs) / math.log(base), "nats" if base == math.e else f"base {base:g}"
    return (
        mean_of("jensen_shannon_divergence", f"Jensen-Shannon divergence ({unit})", values, note=pairs.note),
        mean_of("jensen_shannon_distance", f"Jensen-Shannon distance ({unit})", np.sqrt(values), note=pairs.note),
    )


def hellinger_distance_rows(pairs: PairedDistributions) -> Additive:
    """The Hellinger distance as an additive statistic."""
    squares = np.zeros(len(pairs.gold))
    for gold, pred in zip(pairs.gold.T, pairs.pred.T, strict=True):
        squares += np.square(np.sqrt(gold) - np.sqrt(pred))
    return mean_of("hellinger_distance", "Hellinger distance", np.sqrt(squares / 2), note=pairs.note)


def _jensen_shannon(pairs: PairedDistributions) -> Floats:
    """The divergence of each item (N,), in nats."""
    nats = np.zeros(len(pairs.gold))
    for gold, pred in zip(pairs.gold.T, pairs.pred.T, strict=True):
        total = gold + pred
        d = np.divide(gold - pred, total, out=np.zeros_like(total), where=total > 0)
        # p / m = 1 + d and q / m = 1 - d: exact where p and q nearly agree, where log p - log m would leave rounding.
        nats += total * (_times_own_log(d) + _times_own_log(-d))
    return np.maximum(nats / 4, 0.0)


def _times_own_log(d: Floats) -> Floats:
    """(1 + d) log(1 + d) of numbers from -1 to 1 (N,), 0 at -1."""
    found: Floats = (1 + d) * np.log1p(np.maximum(d, _ABOVE))
    return found
