r"""How much two people, or two halves of the people, agree on the same item.

An item needs two votes for a pair and four for halves; the others are left out and counted. A cross-entropy between
people is not offered: one vote for an option that the other half never chose makes it infinite.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from dfar_toolkit.estimate import Additive, Estimate, Floats, mean_of
from dfar_toolkit.metrics.ceiling.vote_counts import COUNTS, VoteCounts, Votes, read_votes, with_votes
from dfar_toolkit.metrics.ceiling.vote_rows import estimate_vote_rows
from dfar_toolkit.metrics.labels import Column

HalfMetric = Literal["total_variation", "brier"]

_HALVES: Final = 4  # votes from which halves are compared


def inter_rater_agreement(
    counts: Votes,
    *,
    column: str = COUNTS,
    group: Column | None = None,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Chance that two raters of the same item, drawn at random, gave the same option.

    $\frac{1}{N} \sum_i \sum_k \frac{y_{ik} (y_{ik} - 1)}{n_i (n_i - 1)}$ over items with $n_i \geq 2$ votes y (K,).

    Args:
        counts: Array (items, options) of votes, or a frame with a list column.
        column: The frame's list column.
        group: Column or values (N,) of the resampling unit; None means the column ``group`` where the frame has one.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts items with two votes or more. A model is one more rater: its expected agreement with
        a random rater can exceed this, by always saying the most frequent option.

    Undefined:
        No item has two votes.

    Raises:
        TableError: Counts that are not whole numbers of at least 0.

    Example:
        >>> inter_rater_agreement([[2, 0], [1, 1], [3, 1]], ci=None).value  # 1, 0, 1/2
        0.5

    Reference:
        Fleiss (1971), Psychological Bulletin 76(5):378-382 (the mean of P_i).
    """
    votes = with_votes(read_votes("inter_rater_agreement", counts, column=column, group=group), 2)
    return estimate_vote_rows(
        "inter_rater_agreement", votes, [inter_rater_rows(votes)],
        ci=ci, confidence=confidence, n_boot=n_boot, seed=seed,
    )[0]  # fmt: skip


def inter_rater_rows(votes: VoteCounts) -> Additive:
    """The rows (P, 2) and formula of :func:`inter_rater_agreement`, for votes with two or more on every item."""
    n = votes.patterns.sum(axis=1)
    agreement = (votes.patterns * (votes.patterns - 1)).sum(axis=1) / (n * (n - 1))
    return mean_of(
        "inter_rater_agreement",
        "agreement of two raters",
        agreement,
        undefined="no item has two votes or more",
        note=votes.note,
    )


def split_half_distance(
    counts: Votes,
    *,
    metric: HalfMetric = "total_variation",
    column: str = COUNTS,
    group: Column | None = None,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Expected distance between the shares of one random half of an item's votes and those of the other.

    With $h = \lfloor n_i / 2 \rfloor$ votes drawn without replacement, $z_k$ of them for k (hypergeometric), and
    $d_k = z_k / h - (y_{ik} - z_k) / (n_i - h)$: total variation $\frac{1}{2} \sum_k E|d_k|$, Brier $\sum_k E d_k^2 =
    \sum_k \frac{y_{ik} (n_i - y_{ik})}{(n_i - 1) h (n_i - h)}$; mean over the items with four votes or more.

    Args:
        counts: Array (items, options) of votes, or a frame with a list column.
        metric: The distance.
        column: The frame's list column.
        group: Column or values (N,) of the resampling unit; None means the column ``group`` where the frame has one.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts items with four votes or more. Both halves are noisy, so this is what half of these
        people say of the other half, and no bound for a model.

    Undefined:
        No item has four votes.

    Raises:
        TableError: Counts that are not whole numbers of at least 0.
        ValueError: An unknown metric.

    Example:
        Votes (2, 2): halves (2, 0) or (0, 2) in 2 of 6 ways at distance 1, (1, 1) in 4 at distance 0.

        >>> round(split_half_distance([[2, 2]], ci=None).value, 6)
        0.333333
    """
    if metric not in ("total_variation", "brier"):
        raise ValueError(f"split_half_distance: metric must be total_variation or brier, found {metric!r}")
    votes = with_votes(read_votes("split_half_distance", counts, column=column, group=group), _HALVES)
    score = mean_of(
        f"split_half_{metric}",
        f"{'total variation' if metric == 'total_variation' else 'Brier distance'} between halves of the raters",
        _DISTANCES[metric](votes.patterns),
        undefined=f"no item has {_HALVES} votes or more",
        note=votes.note,
    )
    return estimate_vote_rows(
        "split_half_distance", votes, [score], ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
    )[0]


def _halves_variation(patterns: Floats) -> Floats:
    """Total variation for rows of votes (P, K); once for each pair (n, y) that occurs."""
    from scipy.stats import hypergeom

    n = np.broadcast_to(patterns.sum(axis=1, keepdims=True), patterns.shape)
    pairs, place = np.unique(np.column_stack([n.ravel(), patterns.ravel()]), axis=0, return_inverse=True)
    total, votes = pairs.T
    half = np.floor(total / 2)
    low, high = np.maximum(0, votes - (total - half)), np.minimum(votes, half)
    many = (high - low + 1).astype(np.int64)
    owner = np.repeat(np.arange(len(pairs)), many)
    drawn = low[owner] + np.arange(len(owner)) - (np.cumsum(many) - many)[owner]
    apart = np.abs(drawn / half[owner] - (votes[owner] - drawn) / (total - half)[owner])
    chance = hypergeom.pmf(drawn, total[owner], votes[owner], half[owner])
    expected = np.bincount(owner, weights=chance * apart, minlength=len(pairs))
    variation: Floats = 0.5 * expected[place.ravel()].reshape(patterns.shape).sum(axis=1)
    return variation


def _halves_brier(patterns: Floats) -> Floats:
    n = patterns.sum(axis=1)
    half = np.floor(n / 2)
    brier: Floats = (patterns * (n[:, None] - patterns)).sum(axis=1) / ((n - 1) * half * (n - half))
    return brier


_DISTANCES: Final = {"total_variation": _halves_variation, "brier": _halves_brier}
