"""How far probability must be moved along ordered options. Cost: one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together
from dfar_toolkit.estimate.additive import in_columns
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions


def wasserstein_distance(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    values: Sequence[float] | None = None,
    normalised: bool = False,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean Wasserstein-1 (earth mover's) distance between the human shares and the prediction on ordered options.

    With $F$ and $G$ the cumulative shares and predictions and option k at $v_k$:
    $\frac{1}{N} \sum_i \sum_{k < K} |F_{ik} - G_{ik}| (v_{k+1} - v_k)$. Taking "very good" for "good" costs less
    than for "very bad". As total variation it is no proper score.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or array (N, K) of human shares; None where ``counts`` are given.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        counts: Column or array (N, K) of votes.
        group: Column or values (N,) of the resampling unit.
        values: Positions of the K options, rising; None means 0, 1, ..., K - 1.
        normalised: Whether to divide by $v_K - v_1$, so that the largest value is 1.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate.

    Undefined:
        No items; normalised with a single option.

    Raises:
        TableError: A distribution that is none.
        ValueError: A column is missing, shapes differ, or ``values`` are not K rising numbers.

    Example:
        All of the probability two steps away.

        >>> wasserstein_distance(gold=[[1, 0, 0]], pred=[[0, 0, 1]]).value
        2.0

    Reference:
        Vallender (1974), Theory Probab. Appl. 18:784-786 (the closed form on the line).
    """
    pairs = pair_distributions("wasserstein_distance", frame, gold=gold, pred=pred, counts=counts, group=group)
    score = wasserstein_distance_rows(pairs, values=values, normalised=normalised)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def wasserstein_distance_rows(
    pairs: PairedDistributions, *, values: Sequence[float] | None = None, normalised: bool = False
) -> Additive:
    """The Wasserstein-1 distance as an additive statistic."""
    k = pairs.gold.shape[1]
    positions = np.arange(k, dtype=np.float64) if values is None else np.asarray(values, dtype=np.float64)
    if positions.shape != (k,) or not np.isfinite(positions).all() or (np.diff(positions) <= 0).any():
        raise ValueError(
            f"wasserstein_distance: values must be {k} rising numbers, one per option in order, found {values}"
        )
    ahead = np.abs(np.cumsum(pairs.gold - pairs.pred, axis=1)[:, :-1])
    name, span = "Wasserstein-1 distance", 1.0
    if normalised:
        name, span = f"{name} (share of the range)", float(np.ptp(positions)) if k > 1 else np.nan
    moved = (ahead * (np.diff(positions) / span)).sum(axis=1)
    rows = in_columns(moved, np.full(1, 0.0 if k == 1 and normalised else 1.0))
    return Additive("wasserstein_distance", name, rows, _ratio, "a single option has no range to divide by", pairs.note)


def _ratio(sums: Floats) -> Floats:
    found: Floats = sums[:, 0] / sums[:, 1]
    return found
