"""All ceilings of one set of votes as a frame, to stand beside a run's scores."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, estimates_frame, mean_of
from dfar_toolkit.metrics.ceiling.best import best_together
from dfar_toolkit.metrics.ceiling.fitted_scores import BEST_METRICS, Ties
from dfar_toolkit.metrics.ceiling.inter_rater import inter_rater_rows
from dfar_toolkit.metrics.ceiling.people import HUMAN_METRICS, human_rows
from dfar_toolkit.metrics.ceiling.posterior_check import check_votes
from dfar_toolkit.metrics.ceiling.refitted import check_arguments
from dfar_toolkit.metrics.ceiling.vote_counts import COUNTS, VoteCounts, Votes, read_votes, with_votes
from dfar_toolkit.metrics.ceiling.vote_rows import estimate_vote_rows
from dfar_toolkit.metrics.labels import Column


def ceiling_table(
    counts: Votes,
    *,
    column: str = COUNTS,
    group: Column | None = None,
    ties: Ties = "first",
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 200,
    seed: int = 0,
) -> pl.DataFrame:
    """What an oracle, a person and a pair of people score on these votes.

    Args:
        counts: Array (items, options) of votes, or a frame with a list column.
        column: The frame's list column.
        group: Column or values (N,) of the resampling unit; None means the column ``group`` where the frame has one.
        ties: Gold label of BEST where options share the lead.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        One row per ceiling and metric, with Estimate's fields: ``best`` in every metric of
        :func:`~dfar_toolkit.metrics.ceiling.best.best`; ``entropy_floor``, the entropy of the observed shares, below
        which no cross-entropy on these votes can fall; ``held_out_rater`` as in ``human_performance``; ``two_raters``
        as in ``inter_rater_agreement``. People's rows are over the items with two votes or more. The note of BEST gives
        the posterior-predictive check of its model by the share of unanimous items.

    Raises:
        TableError: Counts that are not whole numbers of at least 0.

    Example:
        >>> found = ceiling_table([[2, 0], [2, 0], [1, 1], [0, 3]], ci=None)
        >>> found.filter(pl.col("metric") == "accuracy").select("ceiling", "n").rows()
        [('best', 4), ('held_out_rater', 4)]
    """
    check_arguments("ceiling_table", ci, confidence, n_boot, seed)
    votes = read_votes("ceiling_table", counts, column=column, group=group)
    several = with_votes(votes, 2)
    people = [*(human_rows(several, metric) for metric in HUMAN_METRICS), inter_rater_rows(several)]
    drawn = partial(estimate_vote_rows, "ceiling_table", ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    oracle = best_together(votes, ties=ties, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    check = check_votes(votes, seed=seed)
    oracle = [_checked(estimate, check) for estimate in oracle]
    named: list[tuple[str, str]] = [*(("best", m) for m in BEST_METRICS), ("entropy_floor", "cross_entropy")]
    named += [*(("held_out_rater", m) for m in HUMAN_METRICS), ("two_raters", "agreement")]
    beside = [{"ceiling": ceiling, "metric": metric} for ceiling, metric in named]
    found = [*oracle, *drawn(votes, [entropy_rows(votes)]), *drawn(several, people)]
    return estimates_frame(found, beside=beside)


def _checked(estimate: Estimate, check: pl.DataFrame) -> Estimate:
    """The estimate with what simulated votes look like beside the real ones."""
    first = check.row(0, named=True)
    if first["n"] == 0:
        return estimate
    said = (
        f"unanimous items: {first['observed']:.1%} observed, {first['simulated']:.1%} expected of the model, "
        f"p = {first['p_value']:.2g}"
    )
    return replace(estimate, note="; ".join(part for part in (estimate.note, said) if part))


def entropy_rows(votes: VoteCounts) -> Additive:
    r"""The rows (P, 2) and formula of the mean entropy, $\frac{1}{N} \sum_i -\sum_k p_{ik} \log p_{ik}$ in nats."""
    from scipy.special import entr

    entropy = np.asarray(entr(votes.patterns / votes.patterns.sum(axis=1, keepdims=True))).sum(axis=1)
    return mean_of("entropy_floor", "entropy of the observed shares", entropy, note=votes.note)
