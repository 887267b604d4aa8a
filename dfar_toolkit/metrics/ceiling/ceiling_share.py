r"""How much of the way from a baseline to the ceiling a model has gone.

    $\text{share} = \frac{\text{baseline} - \text{score}}{\text{baseline} - \text{ceiling}}$

with score, baseline and ceiling in the same metric; it reads the same for losses and for accuracies. Above 1 the model
scores better than the oracle of BEST is expected to, which is no bound. For the interval the same resampled groups
make the score, the baseline and, with alpha refitted, the ceiling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dfar_toolkit.estimate import Additive, Estimate, Floats, interval_of_draws
from dfar_toolkit.metrics.ceiling.best import best_note
from dfar_toolkit.metrics.ceiling.dirichlet_fit import DirichletFit, fit_patterns
from dfar_toolkit.metrics.ceiling.fitted_scores import BEST_METRICS, BestMetric, Ties, best_scores
from dfar_toolkit.metrics.ceiling.joint_draws import JointDraws
from dfar_toolkit.metrics.ceiling.refitted import check_arguments, fitted_draws, refit_method, score_values
from dfar_toolkit.metrics.ceiling.vote_counts import COUNTS, VoteCounts, Votes, read_votes
from dfar_toolkit.metrics.labels import Column

# Baseline and ceiling closer than this count as equal. Where items differ by chance alone alpha grows without limit,
# and what is left between the two is 1 / alpha: the share would be a large number that means nothing.
_SAME: Final = 1e-4


class Measured(NamedTuple):
    """A run's score and a baseline's in one metric, both over the items of the votes, row by row."""

    metric: BestMetric
    score: Additive
    baseline: Additive


def ceiling_share(score: npt.ArrayLike, baseline: npt.ArrayLike, ceiling: npt.ArrayLike) -> Any:
    """(baseline - score) / (baseline - ceiling), ``nan`` where the latter two agree to 1e-4; numbers or arrays.

    Example:
        >>> round(float(ceiling_share(0.9, 1.1, 0.7)), 6)
        0.5
    """
    s, b, c = (np.asarray(x, dtype=np.float64) for x in (score, baseline, ceiling))
    way = b - c
    apart = np.abs(way) > _SAME * np.maximum(1.0, np.abs(b))
    return np.divide(b - s, way, out=np.full(np.broadcast(s, way).shape, np.nan), where=apart)


def share_of_ceiling(
    score: Additive,
    baseline: Additive,
    counts: Votes,
    *,
    metric: BestMetric = "cross_entropy",
    column: str = COUNTS,
    group: Column | None = None,
    ties: Ties = "first",
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 200,
    seed: int = 0,
) -> Estimate:
    r"""Share of the way from a baseline's score to BEST that a run's score has gone.

    $(b - s) / (b - c)$ with s and b additive scores of N items, c BEST of their votes in the same metric.

    Args:
        score: The run's score: rows (N, D) and a formula of their sums.
        baseline: The baseline's, for the same items in the same order.
        counts: Array (N, options) of votes, or a frame with a list column, row by row the items of the scores. Items
            without votes are left out of all three.
        metric: Which BEST: the metric of both scores.
        column: The frame's list column.
        group: Column or values (N,) of the resampling unit; None means the column ``group`` where the frame has one.
        ties: Gold label of BEST where options share the lead.
        ci: ``bootstrap`` over groups with alpha refitted, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; the note gives the three numbers. It may exceed 1 and fall below 0.

    Undefined:
        Baseline and BEST agree to 1e-4 (of the baseline where it is above 1); one of the three is undefined. Such draws
        are counted in the note, and many of them leave no interval.

    Raises:
        TableError: Counts that are not whole numbers of at least 0.
        ValueError: The numbers of items differ, or an unknown metric.

    Example:
        >>> from dfar_toolkit.estimate import mean_of
        >>> votes = [[2, 0], [2, 0], [2, 0], [0, 2], [0, 2], [0, 2], [1, 1], [1, 1]]
        >>> run, uniform = mean_of("run", "run", [0.5] * 8), mean_of("uniform", "uniform", [np.log(2)] * 8)
        >>> round(share_of_ceiling(run, uniform, votes, ci=None).value, 4)  # (0.6931 - 0.5) / (0.6931 - 0.3863)
        0.6294
    """
    return shares_of_ceiling(
        [Measured(metric, score, baseline)], counts, column=column, group=group, ties=ties,
        ci=ci, confidence=confidence, n_boot=n_boot, seed=seed,
    )[0]  # fmt: skip


def shares_of_ceiling(
    measured: Sequence[Measured],
    counts: Votes,
    *,
    column: str = COUNTS,
    group: Column | None = None,
    ties: Ties = "first",
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 200,
    seed: int = 0,
) -> list[Estimate]:
    """Shares of the ceiling of several scores of the same items, from one set of draws; see :func:`share_of_ceiling`.

    Args:
        measured: Metric, score and baseline of each; all over the N items of the votes.
        counts: As in :func:`share_of_ceiling`.
        column: As in :func:`share_of_ceiling`.
        group: As in :func:`share_of_ceiling`.
        ties: As in :func:`share_of_ceiling`.
        ci: As in :func:`share_of_ceiling`.
        confidence: As in :func:`share_of_ceiling`.
        n_boot: As in :func:`share_of_ceiling`.
        seed: As in :func:`share_of_ceiling`.

    Returns:
        One estimate per score, in order.
    """
    check_arguments("share_of_ceiling", ci, confidence, n_boot, seed)
    votes = read_votes("share_of_ceiling", counts, column=column, group=group)
    return shares_of_votes(measured, votes, ties=ties, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def shares_of_votes(
    measured: Sequence[Measured],
    votes: VoteCounts,
    *,
    ties: Ties = "first",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 200,
    seed: int = 0,
) -> list[Estimate]:
    """As :func:`shares_of_ceiling`, of votes that have been read."""
    _check_measured(measured, votes)
    if not measured:
        return []
    columns = [column for m in measured for a in (m.score, m.baseline) for column in a.rows.T]
    if not votes.kept.all():
        columns = [column[votes.kept] for column in columns]
    scores = best_scores([m.metric for m in measured], ties=ties)
    fit = fit_patterns(votes.patterns, votes.times)
    ceilings = score_values(scores, fit.alpha, votes.patterns, votes.times)
    items = JointDraws(votes, columns, n_boot=n_boot, seed=seed)
    points = _both(measured, items.total[None])
    draws, method = np.empty((0, len(measured))), refit_method(votes) if ci else "none"
    if ci and votes.n_units > 1 and np.isfinite(ceilings).any():
        best = fitted_draws(scores, fit, votes, items.pattern_weights())
        drawn = _both(measured, np.array(items.sums))
        draws = ceiling_share(drawn[:, :, 0], drawn[:, :, 1], best)
        method = refit_method(votes, said=["normal limit of the sums"] if items.normal else [])
    found = []
    for place, m in enumerate(measured):
        three = (float(points[0, place, 0]), float(points[0, place, 1]), float(ceilings[place]))
        point = _point(m, three, votes, fit, ties, method, confidence)
        drawable = len(draws) and np.isfinite(point.value)
        found.append(interval_of_draws(point, draws[:, place]) if drawable else point)
    return found


def _both(measured: Sequence[Measured], sums: Floats) -> Floats:
    """Score and baseline (B, M, 2) from column sums (B, D)."""
    values = np.empty((len(sums), len(measured), 2))
    start = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        for place, m in enumerate(measured):
            for side, additive in enumerate((m.score, m.baseline)):
                end = start + additive.rows.shape[1]
                values[:, place, side] = additive.formula(sums[:, start:end])
                start = end
    return values


def _point(
    measured: Measured,
    three: tuple[float, float, float],
    votes: VoteCounts,
    fit: DirichletFit,
    ties: Ties,
    method: str,
    confidence: float,
) -> Estimate:
    score, baseline, ceiling = three
    nan, value = float("nan"), float(ceiling_share(*three))
    parts = [fit.note]
    if np.isfinite(three).all():
        parts.append("" if np.isfinite(value) else "baseline and BEST are equal")
        parts.append(f"score {score:.4g}, baseline {baseline:.4g}, BEST {ceiling:.4g}")
    else:
        value = nan
        named = zip(("score", "baseline", "BEST"), three, strict=True)
        parts.append(" and ".join(name for name, x in named if not np.isfinite(x)) + " without a finite value")
    parts += [best_note(votes, measured.metric, ties), votes.note]
    point = Estimate(
        f"share of the ceiling ({measured.metric})", value, nan, nan, votes.n_items, votes.n_units, votes.unit, "items",
        method, confidence, "; ".join(p for p in parts if p),
    )  # fmt: skip
    if method != "none" and votes.n_units == 1 and np.isfinite(value):
        return replace(point, note=f"{point.note}; no interval: one unit ({votes.unit}) only")
    return point


def _check_measured(measured: Sequence[Measured], votes: VoteCounts) -> None:
    for m in measured:
        if m.metric not in BEST_METRICS:
            known = ", ".join(BEST_METRICS)
            raise ValueError(f"share_of_ceiling: metric must be one of {known}; found {m.metric!r}")
        lengths = [len(m.score.rows), len(m.baseline.rows), len(votes.kept)]
        if len(set(lengths)) > 1:
            raise ValueError(
                "share_of_ceiling: score, baseline and counts must be over the same items, found "
                f"{lengths[0]}, {lengths[1]} and {lengths[2]} rows"
            )
