"""Additive statistics of votes: numbers per distinct row of votes, so that a million items cost their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, interval_of_draws
from dfar_toolkit.estimate.additive import in_columns
from dfar_toolkit.metrics.ceiling.refitted import check_arguments, pattern_weights
from dfar_toolkit.metrics.ceiling.vote_counts import VoteCounts


def estimate_vote_rows(
    name: str,
    votes: VoteCounts,
    scores: Sequence[Additive],
    *,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> list[Estimate]:
    """Estimates of statistics whose rows (P, D) stand for the distinct rows of votes.

    Args:
        name: Function named in errors.
        votes: The votes of N items.
        scores: The statistics, with P rows each.
        ci: ``bootstrap`` over the units, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        One estimate per statistic. Where items come in groups they are those of
        :func:`~dfar_toolkit.estimate.estimate_together`.
    """
    check_arguments(name, ci, confidence, n_boot, seed)
    if not votes.n_items:
        return [_estimate(score, votes, np.full(1, np.nan), ci, confidence) for score in scores]
    if votes.groups is not None:
        groups = pl.Series("group", votes.groups)
        on_items = [item_rows(score, votes) for score in scores]
        return estimate_together(on_items, groups=groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    rows = np.concatenate([score.rows for score in scores], axis=1)
    draws: list[Floats] = []
    if ci and votes.n_units > 1:
        weights = pattern_weights(votes, n_boot, np.random.default_rng(seed))
        draws = [np.einsum("p,pd->d", w, rows) for w in weights]
    sums = np.array([np.einsum("p,pd->d", votes.times, rows), *draws])
    ends = np.cumsum([score.rows.shape[1] for score in scores])
    found = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for score, end in zip(scores, ends, strict=True):
            values = score.formula(sums[:, end - score.rows.shape[1] : end])
            found.append(_estimate(score, votes, values, ci, confidence))
    return found


def item_rows(score: Additive, votes: VoteCounts) -> Additive:
    """The statistic with a row for every item with votes (N, D), as comparisons and joint draws take it."""
    return score._replace(rows=in_columns(*(column[votes.of_item] for column in score.rows.T)))


def _estimate(score: Additive, votes: VoteCounts, values: Floats, ci: str | None, confidence: float) -> Estimate:
    nan, value = float("nan"), float(values[0])
    n, method = votes.n_items, ci or "none"
    point = Estimate(score.name, value, nan, nan, n, n, "items", "items", method, confidence, score.note)
    if not np.isfinite(value):
        said = "; ".join(part for part in (score.undefined, score.note) if part)
        return replace(point, value=nan, note=said)
    if ci and votes.n_units < 2:
        said = "; ".join(part for part in (score.note, "no interval: one unit (items) only") if part)
        return replace(point, note=said)
    return interval_of_draws(point, values[1:]) if ci else point
