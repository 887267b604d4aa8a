"""BEST by drawing the true shares, as its authors compute it: an independent way to the closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.ceiling.fitted_scores import HARD_METRICS, BestMetric, Ties, gold_shares
from dfar_toolkit.metrics.ceiling.vote_counts import VoteCounts
from dfar_toolkit.metrics.labels import Codes

_CELLS: Final = 4_000_000  # numbers drawn at once


def drawn_score(
    votes: VoteCounts, alpha: Floats, metric: BestMetric, *, ties: Ties, n_draws: int, seed: int
) -> tuple[float, float]:
    r"""Mean score of S oracles drawn from the posterior, and its Monte-Carlo standard error.

    Each draw takes $q_i \sim$ Dirichlet($\alpha + y_i$) for all N items and scores it against the votes; the standard
    error is the standard deviation of the S scores over $\sqrt{S}$. Cost: S x N x K gamma variables.

    Args:
        votes: The votes.
        alpha: Parameters (K,).
        metric: The score.
        ties: Whether the first of the options in the lead is gold, or each of them a share of it.
        n_draws: S.
        seed: Seed of the draws.

    Returns:
        Mean and standard error.
    """
    rng = np.random.default_rng(seed)
    counts = np.repeat(votes.patterns, votes.times.astype(np.int64), axis=0)
    gold = gold_shares(counts, ties)
    step = max(1, _CELLS // max(1, counts.size))
    found = []
    for start in range(0, n_draws, step):
        gammas = rng.standard_gamma(alpha + counts, size=(min(step, n_draws - start), *counts.shape))
        if metric in HARD_METRICS:
            found += [_HARD[metric](gold, pred) for pred in gammas.argmax(axis=2)]
        else:
            q = gammas / gammas.sum(axis=2, keepdims=True)
            found += list(_SOFT[metric](q, counts / counts.sum(axis=1, keepdims=True)))
    scores = np.array(found)
    return float(scores.mean()), float(scores.std() / np.sqrt(len(scores)))


def _hits(gold: Floats, pred: Codes) -> Floats:
    """Hits of each option (K,)."""
    right = gold[np.arange(len(pred)), pred]
    return np.bincount(pred, weights=right, minlength=gold.shape[1]).astype(np.float64)


def _accuracy(gold: Floats, pred: Codes) -> float:
    return float(_hits(gold, pred).sum() / len(pred))


def _balanced_accuracy(gold: Floats, pred: Codes) -> float:
    return float(np.mean(_hits(gold, pred) / gold.sum(axis=0)))


def _macro_f1(gold: Floats, pred: Codes) -> float:
    said = np.bincount(pred, minlength=gold.shape[1])
    return float(np.mean(2 * _hits(gold, pred) / (gold.sum(axis=0) + said)))


def _cross_entropy(q: Floats, p: Floats) -> Floats:
    from scipy.special import xlogy

    return np.asarray(-xlogy(p, q).sum(axis=2).mean(axis=1))


def _brier(q: Floats, p: Floats) -> Floats:
    return np.asarray(((q - p) ** 2).sum(axis=2).mean(axis=1))


def _total_variation(q: Floats, p: Floats) -> Floats:
    return np.asarray(0.5 * np.abs(q - p).sum(axis=2).mean(axis=1))


_HARD: Final[dict[str, Callable[[Floats, Codes], float]]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
}
_SOFT: Final[dict[str, Callable[[Floats, Floats], Floats]]] = {
    "cross_entropy": _cross_entropy,
    "brier": _brier,
    "total_variation": _total_variation,
}
