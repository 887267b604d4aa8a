r"""BEST: what an oracle that knows everything but each item's next vote would score on these votes.

The votes on an item are a few draws from shares that nobody sees. BEST (Bayesian estimated score terminus) fits one
Dirichlet distribution to the shares of all items and takes the expected score, against the observed votes, of a
predictor that says the true shares. It is the expected score of that oracle and not a bound: a predictor that says
the posterior mean does better in cross-entropy, and one that has seen the votes does better in everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from dfar_toolkit.estimate import Estimate
from dfar_toolkit.metrics.ceiling.dirichlet_fit import fit_patterns
from dfar_toolkit.metrics.ceiling.fitted_scores import (
    BEST_METRICS,
    HARD_METRICS,
    BestMetric,
    Ties,
    best_scores,
    tied_items,
)
from dfar_toolkit.metrics.ceiling.oracle_draws import drawn_score
from dfar_toolkit.metrics.ceiling.refitted import estimate_fitted
from dfar_toolkit.metrics.ceiling.vote_counts import COUNTS, VoteCounts, Votes, read_votes
from dfar_toolkit.metrics.labels import Column


def best(
    counts: Votes,
    *,
    metric: BestMetric = "cross_entropy",
    column: str = COUNTS,
    group: Column | None = None,
    ties: Ties = "first",
    method: Literal["closed", "sampling"] = "closed",
    n_draws: int = 10_000,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 200,
    seed: int = 0,
) -> Estimate:
    r"""Expected score of an oracle that knows the true shares of every item (BEST).

    With votes $y_i$ (K,), $p_i = y_i / n_i$, $\hat\alpha$ fitted to all items and $q_i \sim$ Dirichlet($\hat\alpha +
    y_i$): $\frac{1}{N} \sum_i E[\text{score}(q_i, p_i)]$. The expectations are exact: closed forms for cross-entropy
    (nats), Brier score ($\sum_k (q - p)^2$) and total variation, integrals in one dimension for the scores of the top
    option. The interval resamples groups and fits alpha to each resample.

    Args:
        counts: Array (items, options) of votes, or a frame with a list column. Items without votes are left out;
            items with one vote stay in, and both are counted in the note.
        metric: The score.
        column: The frame's list column.
        group: Column or values (N,) of the resampling unit; None means the column ``group`` where the frame has one.
        ties: Gold label where options share the lead: the ``first`` of them, as Scruples has it (so the order of the
            options matters), or ``split``: each of them takes an equal share of the item.
        method: ``closed`` for the exact expectation; ``sampling`` draws q instead, as the authors of BEST do, and notes
            the Monte-Carlo standard error. The interval is the same.
        n_draws: Draws of ``sampling``.
        ci: ``bootstrap``, or None for the point alone.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of all draws.

    Returns:
        The estimate; ``n`` counts items with votes. Cost: the distinct rows of votes times ``n_boot``.

    Undefined:
        No item has two votes or more. macro-F1 and balanced accuracy: an option leads the votes of no item.

    Raises:
        TableError: Counts that are not whole numbers of at least 0: soft labels alone have no BEST.
        ValueError: An unknown metric or another impossible argument.

    Example:
        Two votes per item, alike on 3 of 4 items: alpha = 1/2, 1/2. An item with votes (2, 0) costs psi(3) - psi(2.5),
        one with (1, 1) costs psi(3) - psi(1.5).

        >>> votes = [[2, 0], [2, 0], [2, 0], [0, 2], [0, 2], [0, 2], [1, 1], [1, 1]]
        >>> round(best(votes, ci=None).value, 6)
        0.386294

    Reference:
        Lourie, Le Bras and Choi (2021), Scruples, AAAI, arXiv 2008.09094.
    """
    check_best(metric, ties, method, n_draws)
    votes = read_votes("best", counts, column=column, group=group)
    found = estimate_fitted(
        "best",
        votes,
        best_scores([metric], ties=ties),
        note=best_note(votes, metric, ties),
        ci=ci,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
    )[0]
    if method == "closed" or not np.isfinite(found.value):
        return found
    alpha = fit_patterns(votes.patterns, votes.times).alpha
    value, error = drawn_score(votes, alpha, metric, ties=ties, n_draws=n_draws, seed=seed)
    said = f"{n_draws} oracles drawn, Monte-Carlo standard error {error:.2g}"
    return replace(found, value=value, note="; ".join(part for part in (found.note, said) if part))


def best_together(
    votes: VoteCounts,
    *,
    metrics: Sequence[BestMetric] = BEST_METRICS,
    ties: Ties = "first",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 200,
    seed: int = 0,
) -> list[Estimate]:
    """BEST in several metrics from one fit and one set of draws; see :func:`best`."""
    found = estimate_fitted(
        "best", votes, best_scores(metrics, ties=ties), ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
    )
    noted = []
    for metric, estimate in zip(metrics, found, strict=True):
        parts = (best_note(votes, metric, ties), estimate.note)
        noted.append(replace(estimate, note="; ".join(part for part in parts if part)))
    return noted


def best_note(votes: VoteCounts, metric: str, ties: Ties) -> str:
    """What must be said beside BEST: what it is, how many items have one vote, how many gold labels are tied."""
    parts = ["expected score of an oracle, not a bound"]
    if votes.n_single:
        parts.append(f"{votes.n_single} of {votes.n_items} items have one vote")
    tied = tied_items(votes.patterns, votes.times) if metric in HARD_METRICS and votes.n_items else 0
    if tied:
        rule = "the first option in the lead is gold" if ties == "first" else "gold shared"
        parts.append(f"{tied} of {votes.n_items} items tied: {rule}")
    return "; ".join(parts)


def check_best(metric: str, ties: str, method: str, n_draws: object) -> None:
    """Refuse unknown words."""
    for argument, found, known in (
        ("metric", metric, BEST_METRICS),
        ("ties", ties, ("first", "split")),
        ("method", method, ("closed", "sampling")),
    ):
        if found not in known:
            raise ValueError(f"best: {argument} must be one of {', '.join(known)}; found {found!r}")
    if isinstance(n_draws, bool) or not isinstance(n_draws, int | np.integer) or n_draws < 1:
        raise ValueError(f"best: n_draws must be a whole number of at least 1, found {n_draws!r}")
