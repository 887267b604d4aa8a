"""Would the order of the runs be the same on other items?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Floats, draw_together


def rank_stability(
    runs: Mapping[str, Sequence[Additive]],
    *,
    metric: str = "accuracy",
    better: Literal["higher", "lower"] = "higher",
    groups: npt.ArrayLike | pl.Series | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Rank of each run, its interval over resampled groups, and how often it is the best.

    Rank 1 is the best; runs that tie share the mean of their ranks. In each bootstrap draw all runs are ranked on the
    same resampled items. ``share_best`` divides a tie for the first place evenly. ``kendall_tau`` (the same in every
    row) is the mean rank correlation (tau-b) of the drawn order with the order found: 1 means it never changes.

    Args:
        runs: Run id to its additive statistics of the same N items.
        metric: The metric ranked by.
        better: Whether more is better.
        groups: Resampling unit of each item (N,), or None.
        confidence: Two-sided coverage of the rank intervals.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``run_id, value, rank, rank_low, rank_high, share_best, kendall_tau, n_draws``, best first.

    Undefined:
        Draws in which a run has no value are left out; ``n_draws`` counts the others.

    Raises:
        ValueError: A run lacks the metric, or fewer than two runs.

    Example:
        >>> from dfar_toolkit.estimate import mean_of
        >>> runs = {"a": [mean_of("accuracy", "", [0] * 9 + [1])], "b": [mean_of("accuracy", "", [1] * 10)]}
        >>> rank_stability(runs, n_boot=100).select("run_id", "rank", "share_best").rows()
        [('b', 1.0, 1.0), ('a', 2.0, 0.0)]
    """
    chosen = {run: [s for s in scores if s.metric == metric] for run, scores in runs.items()}
    lost = [run for run, scores in chosen.items() if len(scores) != 1]
    if lost or len(chosen) < 2:
        raise ValueError(f'rank_stability: wanted two or more runs with the metric "{metric}"; lacking: {lost}')
    drawn = draw_together([s[0] for s in chosen.values()], groups=groups, n_boot=n_boot, seed=seed)
    sign = -1.0 if better == "higher" else 1.0
    point = _ranks(sign * drawn.points[None, :])[0]
    whole = drawn.draws[np.isfinite(drawn.draws).all(axis=1)]
    ranks = _ranks(sign * whole)
    tail = (1 - confidence) / 2
    ends = np.quantile(ranks, [tail, 1 - tail], axis=0) if len(ranks) else np.full((2, len(chosen)), np.nan)
    first = ranks == ranks.min(axis=1, keepdims=True) if len(ranks) else np.zeros((0, len(chosen)), dtype=bool)
    best = (first / first.sum(axis=1, keepdims=True)).mean(axis=0) if len(ranks) else np.full(len(chosen), np.nan)
    frame = pl.DataFrame(
        {
            "run_id": list(chosen), "value": drawn.points, "rank": point, "rank_low": ends[0], "rank_high": ends[1],
            "share_best": best, "kendall_tau": _mean_tau(point, ranks), "n_draws": len(ranks),
        }
    )  # fmt: skip
    return frame.sort("rank", "run_id")


def _ranks(values: Floats) -> Floats:
    """Mean ranks along each row, 1 for the smallest."""
    below = (values[:, None, :] < values[:, :, None]).sum(axis=2)
    equal = (values[:, None, :] == values[:, :, None]).sum(axis=2)
    ranks: Floats = below + (equal + 1) / 2
    return ranks


def _mean_tau(point: Floats, ranks: Floats) -> float:
    """Mean tau-b of the drawn ranks with the ranks found; ``nan`` where either has no order at all."""
    one, two = np.triu_indices(len(point), 1)
    found, drawn = np.sign(point[one] - point[two]), np.sign(ranks[:, one] - ranks[:, two])
    with np.errstate(divide="ignore", invalid="ignore"):
        tau = (drawn * found).sum(axis=1) / np.sqrt((drawn != 0).sum(axis=1) * float((found != 0).sum()))
    known = tau[np.isfinite(tau)]
    return float(known.mean()) if len(known) else float("nan")
