r"""What a perfect model would score on these items, with these numbers of votes: the row beside every soft score.

Observed shares are a few draws from an item's true distribution, so a model that knows that distribution still misses
them. Its expected score is estimated with one Dirichlet behind all items, $\theta_i \sim$ Dirichlet($\alpha$),
$\alpha$ by maximum likelihood: given the votes, $\theta_i \sim$ Dirichlet($\alpha + y_i$), and the expectation is
over $\theta_i$ predicted for item i and scored against its observed shares. Averaged over votes this equals the
expected score of a perfect model on fresh votes from the same population; two options with $\theta$ uniform give a
total variation of .1595 at 4 votes and .1422 at 5. Drawing new votes from the observed shares instead (plug-in) would
take each unanimous item for one on which nobody ever dissents: it says .1008 and .0990 there.

A perfect model has an unbiased Brier score of 0 whatever the population; what the fitted Dirichlet says instead is
noted there, and is the check of the model behind the other rows: on the Scruples anecdotes .0115, so it takes people to
differ somewhat more within an item than they do, and the rows ``perfect_model`` are a little too high.

Cross-entropy, KL, the Brier score, total variation, Manhattan distance and top label are exact; the others are means of
some 200,000 draws, shared among the distinct rows of votes. Cost: 200,000 K gamma variables (the distinct rows of votes
times K if they are more) and the scores of them that have no closed form; no more than a million numbers are held at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from dfar_toolkit.estimate import Additive, Floats
from dfar_toolkit.metrics.ceiling.dirichlet_fit import fit_patterns
from dfar_toolkit.metrics.ceiling.fitted_scores import best_scores, gold_shares
from dfar_toolkit.metrics.ceiling.top_option import top_probabilities
from dfar_toolkit.metrics.ceiling.vote_counts import distinct_rows
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions

Scores = Callable[[PairedDistributions], Sequence[Additive]]
Means = dict[str, tuple[Floats, Floats]]  # by metric: mean rows (P, D), means (D, P, 20) of batches
KeptMeans = dict[tuple[object, ...], Means]  # of votes, so that several runs on the same items share the draws

DRAWS: Final = 200_000  # predictions drawn in all

_CELLS: Final = 1_000_000  # shares drawn at once
_WORTH_KEEPING: Final = 1_000_000  # votes (P, K) up to which what was drawn is kept for other runs
_BATCHES: Final = 20  # batches of draws from whose spread the Monte-Carlo error is read
_BY_DEFINITION: Final = "0 by definition; the fitted Dirichlet says {:.4f}, which shows how well it fits"
_UNKNOWN: Final = "the number of votes is not known, so neither is what a perfect model would get"


def perfect_model_scores(
    pairs: PairedDistributions,
    scores: Scores,
    *,
    drawn: Scores | None = None,
    kept: KeptMeans | None = None,
    seed: int = 0,
) -> list[Additive]:
    r"""Additive statistics of a perfect model: its expected rows, $E[x_i(\theta_i)]$, item by item.

    Args:
        pairs: Votes (N, K); the predictions in it are not used.
        scores: Makes the statistics of any paired distributions.
        drawn: Makes those of them that have no closed form, which alone are needed of the draws; None takes all.
        kept: What was found before with the same ``drawn``, to be used again for the same votes, and added to.
        seed: Seed of the draws.

    Returns:
        The same statistics with expected rows; $\alpha$ is held fixed in their intervals.

    Undefined:
        The number of votes is not known, or no item has two votes, so that nothing says how people differ on one.

    Example:
        Two votes, alike on 3 of 4 items, so $\alpha$ = (1/2, 1/2). Expected |p - theta|, theta from Beta(5/2, 1/2), is
        1/6 where both are alike, and 2 / (3 pi) where they are not, theta from Beta(3/2, 3/2).

        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> from dfar_toolkit.metrics.soft_labels.total_variation import total_variation_rows
        >>> votes = [[2, 0], [1, 1], [0, 2], [2, 0], [0, 2], [0, 2], [2, 0], [1, 1]]
        >>> pairs = pair_distributions("example", None, gold=None, counts=votes, pred=[[1, 0]] * 8)
        >>> score = perfect_model_scores(pairs, lambda of: [total_variation_rows(of)])[0]
        >>> bool(abs(score.rows[:, 0].mean() - (3 / 4 / 6 + 1 / 4 * 2 / (3 * np.pi))) < 1e-6)
        True

    Reference:
        Lourie, Le Bras and Choi (2021), Scruples, AAAI, arXiv 2008.09094 (the posterior; there for accuracy and
        cross-entropy).
    """
    if pairs.counts is None or not len(pairs.counts):
        return [_without_value(s, _UNKNOWN if len(pairs.gold) else "no items") for s in scores(pairs)]
    patterns, of_item = distinct_rows(pairs.counts)
    times = np.bincount(of_item, weights=pairs.times).astype(np.float64)
    fit = fit_patterns(patterns, times)
    if np.isnan(fit.alpha).any():
        return [_without_value(s, fit.note) for s in scores(pairs)]
    of_rows = _of_patterns(pairs, patterns, _posterior_means(fit.alpha, patterns))
    per_row = max(1, DRAWS // len(patterns))
    exact = _exact(fit.alpha, patterns)
    means = _kept_means({} if kept is None else kept, of_rows, fit.alpha, drawn or scores, per_row, seed)
    found = []
    for score in scores(of_rows):
        if score.metric in exact:
            rows, how = score.rows.copy(), "exactly"
            rows[:, 0] = np.where(rows[:, 1] > 0, exact[score.metric], 0.0)
        else:
            rows, batches = means[score.metric]
            how = f"{per_row} draws for each of {len(patterns)} rows of votes"
            how += _monte_carlo_error(score, batches, times)
        how = f"expected under the fitted Dirichlet, {how}"
        if score.metric == "brier_score_unbiased":
            said = float(times @ rows[:, 0]) / max(float(times @ rows[:, 1]), 1.0)
            how, rows[:, 0] = _BY_DEFINITION.format(said), 0.0
        note = "; ".join(filter(None, [pairs.note, how, fit.note]))
        found.append(score._replace(rows=np.stack([column[of_item] for column in rows.T]).T, note=note))
    return found


def _monte_carlo_error(score: Additive, batches: Floats, times: Floats) -> str:
    """Standard error of the drawing, from means of batches of the draws (D, P, 20); "" where there are too few."""
    if not batches.shape[2]:
        return ""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = score.formula(np.einsum("p,dpb->bd", times, batches))
    return f" (Monte-Carlo error {values.std(ddof=1) / np.sqrt(_BATCHES):.1g})" if np.isfinite(values).all() else ""


def _of_patterns(pairs: PairedDistributions, patterns: Floats, pred: Floats) -> PairedDistributions:
    """Rows of votes (P, K), each as one item with a prediction."""
    return pairs._replace(
        gold=patterns / patterns.sum(axis=1, keepdims=True),
        pred=pred,
        mass=np.ones(len(patterns)),
        counts=patterns,
        groups=None,
        n_items=len(patterns),
        note="",
        times=None,
    )


def _posterior_means(alpha: Floats, patterns: Floats) -> Floats:
    shapes = alpha + patterns
    means: Floats = shapes / shapes.sum(axis=1, keepdims=True)
    return means


def _kept_means(
    kept: KeptMeans, of_rows: PairedDistributions, alpha: Floats, scores: Scores, per_row: int, seed: int
) -> Means:
    """As :func:`_means`, taken from what is kept for these votes, or put there."""
    key = (of_rows.gold.shape, np.asarray(of_rows.counts).tobytes(), alpha.tobytes(), per_row, seed)
    found = kept[key] if key in kept else _means(of_rows, alpha, scores, per_row, seed)
    if of_rows.gold.size <= _WORTH_KEEPING:
        kept[key] = found
    return found


def _means(of_rows: PairedDistributions, alpha: Floats, scores: Scores, per_row: int, seed: int) -> Means:
    """By metric the mean rows (P, D) of each row of votes over its draws, and the means (D, P, 20) of batches of them.

    Predictions are drawn from the posterior of each row of votes, some rows at a time: the same draws as all at once.
    """
    assert of_rows.counts is not None
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // (per_row * of_rows.counts.shape[1]))
    parts: dict[str, list[Floats]] = {}
    for start in range(0, len(of_rows.counts), step):
        some = of_rows.counts[start : start + step]
        for score in scores(_drawn(of_rows, alpha, some, per_row, rng)):
            parts.setdefault(score.metric, []).append(score.rows.T.reshape(-1, len(some), per_row))
    return {
        metric: (
            np.concatenate([part.mean(axis=2) for part in found], axis=1).T,
            np.concatenate([_batch_means(part) for part in found], axis=1),
        )
        for metric, found in parts.items()
    }


def _batch_means(samples: Floats) -> Floats:
    """Means (D, P, 20) of batches of samples (D, P, draws), (D, P, 0) where there are too few."""
    size = samples.shape[2] // _BATCHES if samples.shape[2] >= 2 * _BATCHES else 0
    used = samples[:, :, : size * _BATCHES]
    return used.reshape(*samples.shape[:2], _BATCHES, size).mean(axis=3) if size else used


def _drawn(
    pairs: PairedDistributions, alpha: Floats, patterns: Floats, per_row: int, rng: np.random.Generator
) -> PairedDistributions:
    """Each row of votes several times over, with predictions drawn from its posterior."""
    gamma = np.asfortranarray(rng.standard_gamma(np.repeat(alpha + patterns, per_row, axis=0)))
    counts = np.repeat(patterns.T, per_row, axis=1).T  # column by column in memory
    return _of_patterns(pairs, counts, gamma / gamma.sum(axis=1, keepdims=True))


def _exact(alpha: Floats, patterns: Floats) -> dict[str, Floats]:
    """Expected values of each row of votes (P,), where there is a closed form."""
    from scipy.special import entr

    n = patterns.sum(axis=1)
    shares = patterns / n[:, None]
    surprise, squares, apart = (
        score.rows(alpha, patterns)[:, 0] for score in best_scores(["cross_entropy", "brier", "total_variation"])
    )
    noise = (shares * (1 - shares)).sum(axis=1) / np.maximum(n - 1, 1)
    return {
        "soft_cross_entropy": surprise,
        "kl_divergence": surprise - entr(shares).sum(axis=1),
        "brier_score": squares,
        "brier_score_unbiased": squares - noise,
        "total_variation": apart,
        "top_label_agreement": (gold_shares(patterns, "split") * top_probabilities(alpha + patterns)).sum(axis=1),
        "manhattan_distance": 2 * apart,
    }


def _without_value(score: Additive, why: str) -> Additive:
    rows = np.zeros((len(score.rows), 1))
    return score._replace(rows=rows, formula=_nothing, undefined=why, note="")


def _nothing(sums: Floats) -> Floats:
    return np.full(len(sums), np.nan)
