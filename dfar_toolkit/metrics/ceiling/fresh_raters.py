r"""Raters who have not voted yet: how often would they agree with the top option of the votes?

Under the fitted posterior the votes of m new raters on item i follow a Dirichlet-multinomial with shapes
$a_{ik} = \hat\alpha_k + y_{ik}$, so their majority agrees with the gold label with a chance that is a finite sum over
the ways in which m votes can fall. Cost: distinct rows of votes times those ways, (m + K - 1)! / (m! (K - 1)!).
"""

from __future__ import annotations

from functools import partial
from itertools import combinations
from math import comb
from typing import Final, Literal

import numpy as np

from dfar_toolkit.estimate import Estimate, Floats
from dfar_toolkit.metrics.ceiling.best import best_note
from dfar_toolkit.metrics.ceiling.fitted_scores import FittedScore, Ties, agreement, gold_shares
from dfar_toolkit.metrics.ceiling.refitted import estimate_fitted
from dfar_toolkit.metrics.ceiling.vote_counts import COUNTS, Votes, read_votes
from dfar_toolkit.metrics.labels import Column

_WAYS: Final = 5_000  # ways in which the votes can fall, at most
_CELLS: Final = 4_000_000  # chances held at once


def held_out_raters(
    counts: Votes,
    *,
    m: int = 1,
    column: str = COUNTS,
    group: Column | None = None,
    ties: Ties = "first",
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 200,
    seed: int = 0,
) -> Estimate:
    r"""Expected agreement of the majority of m fresh raters with the top option of the votes.

    For m = 1: $\frac{1}{N} \sum_i a_{i k^*(i)} / A_i$ with $a_{ik} = \hat\alpha_k + y_{ik}$ and $k^*(i)$ the top one.
    For m > 1 the sum over votes z (K,) of m raters of their Dirichlet-multinomial probability times the chance that
    $k^*$ leads z, a shared lead being split; for K = 2 and odd m the upper tail of a beta-binomial.

    Args:
        counts: Array (items, options) of votes, or a frame with a list column.
        m: Number of fresh raters.
        column: The frame's list column.
        group: Column or values (N,) of the resampling unit; None means the column ``group`` where the frame has one.
        ties: Gold label where options share the lead: the ``first`` of them, or ``split``.
        ci: ``bootstrap`` with alpha refitted, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts items with votes.

    Undefined:
        No item has two votes or more.

    Raises:
        TableError: Counts that are not whole numbers of at least 0.
        ValueError: m below 1, or so many ways to vote that they cannot be listed.

    Example:
        alpha = 1/2, 1/2: a third vote joins two that agree with chance 5/6, two that differ with 1/2.

        >>> votes = [[2, 0], [2, 0], [2, 0], [0, 2], [0, 2], [0, 2], [1, 1], [1, 1]]
        >>> round(held_out_raters(votes, ci=None).value, 6)
        0.75

    Reference:
        Lourie, Le Bras and Choi (2021), Scruples, AAAI, arXiv 2008.09094 (the posterior of BEST).
    """
    if isinstance(m, bool) or not isinstance(m, int | np.integer) or m < 1:
        raise ValueError(f"held_out_raters: m must be a whole number of at least 1, found {m!r}")
    if ties not in ("first", "split"):
        raise ValueError(f"held_out_raters: ties must be first or split, found {ties!r}")
    votes = read_votes("held_out_raters", counts, column=column, group=group)
    return estimate_fitted(
        "held_out_raters",
        votes,
        [fresh_raters_score(max(2, votes.patterns.shape[1]), m=int(m), ties=ties)],  # a frame without lists has none
        note=best_note(votes, "accuracy", ties).replace("score of an oracle", "agreement under the fitted posterior"),
        ci=ci,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
    )[0]


def fresh_raters_score(width: int, *, m: int, ties: Ties = "first") -> FittedScore:
    """The agreement of m fresh raters on K = ``width`` options as a fitted score."""
    ways = comb(m + width - 1, width - 1)
    if ways > _WAYS:
        raise ValueError(
            f"held_out_raters: {m} votes on {width} options fall in {ways} ways, at most {_WAYS} are listed; take fewer"
        )
    who = "fresh rater" if m == 1 else f"majority of {m} fresh raters"
    rows = partial(_leading, outcomes=vote_outcomes(width, m))
    return FittedScore(f"fresh_{m}", f"agreement of a {who} with the votes", rows, partial(agreement, ties=ties))


def vote_outcomes(width: int, m: int) -> Floats:
    """All ways in which m votes fall on K options, (W, K)."""
    bars = np.array(list(combinations(range(m + width - 1), width - 1)), dtype=np.int64).reshape(-1, width - 1)
    edges = np.column_stack([np.full(len(bars), -1), bars, np.full(len(bars), m + width - 1)])
    return (np.diff(edges, axis=1) - 1).astype(np.float64)


def _leading(alpha: Floats, patterns: Floats, *, outcomes: Floats) -> Floats:
    """Chance of each option to lead the fresh votes (..., K), a shared lead split."""
    shares = gold_shares(outcomes, "split")
    shapes = alpha + patterns
    rows = shapes.reshape(-1, shapes.shape[-1])
    found = np.empty_like(rows)
    step = max(1, _CELLS // len(outcomes))
    for start in range(0, len(rows), step):
        here = slice(start, start + step)
        found[here] = outcome_chances(rows[here], outcomes) @ shares
    return found.reshape(shapes.shape)


def outcome_chances(shapes: Floats, outcomes: Floats) -> Floats:
    """Dirichlet-multinomial probabilities (P, W) of the outcomes (W, K), multinomial coefficient included."""
    from scipy.special import gammaln

    m = int(outcomes[0].sum())
    steps = np.arange(m)
    rising = np.zeros((*shapes.shape, m + 1))  # log of a (a + 1) ... (a + z - 1)
    rising[:, :, 1:] = np.cumsum(np.log(shapes[:, :, None] + steps), axis=2)
    log_chance = np.zeros((len(shapes), len(outcomes)))
    for k in range(shapes.shape[1]):
        log_chance += rising[:, k, outcomes[:, k].astype(np.int64)]
    log_chance -= np.log(shapes.sum(axis=1)[:, None] + steps).sum(axis=1)[:, None]
    log_chance += gammaln(m + 1) - gammaln(outcomes + 1).sum(axis=1)
    chances: Floats = np.exp(log_chance)
    return chances
