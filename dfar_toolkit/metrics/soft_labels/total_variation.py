"""Sums of absolute differences of shares: total variation and Manhattan. Cost: one pass."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, estimate_together, mean_of
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions


def total_variation(
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
    r"""Mean total variation distance: the share of probability that lies on the wrong options, in [0, 1].

    $\frac{1}{N} \sum_i \frac{1}{2} \sum_k |p_{ik} - q_{ik}|$, half of :func:`manhattan_distance`.

    It is no proper score: where 30 % of people say yes and 5 vote, the prediction of least expected distance is .2, the
    median share. A perfect model is far above 0 at few votes (two options, true shares uniform on [0, 1]: .160 at 4
    votes, .142 at 5): read it beside the row ``perfect_model`` of ``soft_label_table``.

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
        (|1 - 0.5| + |0 - 0.5|) / 2.

        >>> total_variation(gold=[[1, 0]], pred=[[0.5, 0.5]]).value
        0.5

    Reference:
        Levin and Peres (2017), Markov Chains and Mixing Times, chapter 4.
    """
    pairs = pair_distributions("total_variation", frame, gold=gold, pred=pred, counts=counts, group=group)
    score = total_variation_rows(pairs)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def manhattan_distance(
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
    r"""Mean Manhattan distance between the human shares and the prediction, in [0, 2].

    $\frac{1}{N} \sum_i \sum_k |p_{ik} - q_{ik}|$, twice :func:`total_variation`, which says what it is
    worth. It is the soft score of shared tasks on learning with disagreement.

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
        |1 - 0.5| + |0 - 0.5|.

        >>> manhattan_distance(gold=[[1, 0]], pred=[[0.5, 0.5]]).value
        1.0

    Reference:
        Leonardelli et al. (2025), LeWiDi-2025, arXiv 2510.08460 (average Manhattan distance).
    """
    pairs = pair_distributions("manhattan_distance", frame, gold=gold, pred=pred, counts=counts, group=group)
    score = manhattan_distance_rows(pairs)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def total_variation_rows(pairs: PairedDistributions) -> Additive:
    """Total variation as an additive statistic."""
    return distance_rows(pairs)[0]


def manhattan_distance_rows(pairs: PairedDistributions) -> Additive:
    """The Manhattan distance as an additive statistic."""
    return distance_rows(pairs)[1]


def distance_rows(pairs: PairedDistributions) -> tuple[Additive, Additive]:
    """Total variation and the Manhattan distance as additive statistics, for the price of one."""
    values = np.abs(pairs.gold - pairs.pred).sum(axis=1)
    return (
        mean_of("total_variation", "total variation", values / 2, note=pairs.note),
        mean_of("manhattan_distance", "Manhattan distance", values, note=pairs.note),
    )
