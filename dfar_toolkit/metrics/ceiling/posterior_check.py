r"""Does one Dirichlet describe these votes? Votes simulated from the fit beside those observed.

BEST believes that the shares of all items come from one Dirichlet distribution. Where items come in kinds (easy ones
and divisive ones), or where people share a bias on some items, simulated votes look different from real ones, and
BEST should be read with that in mind.
"""

from __future__ import annotations

from math import comb
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.ceiling.dirichlet_fit import fit_patterns
from dfar_toolkit.metrics.ceiling.fresh_raters import outcome_chances, vote_outcomes
from dfar_toolkit.metrics.ceiling.refitted import check_arguments
from dfar_toolkit.metrics.ceiling.vote_counts import COUNTS, VoteCounts, Votes, read_votes
from dfar_toolkit.metrics.labels import Codes

CHECK_SCHEMA: Final = pl.Schema(
    {
        "statistic": pl.String,
        "observed": pl.Float64,
        "simulated": pl.Float64,
        "simulated_low": pl.Float64,
        "simulated_high": pl.Float64,
        "p_value": pl.Float64,
        "n": pl.Int64,
        "n_simulated": pl.Int64,
        "note": pl.String,
    }
)

_ITEMS: Final = 5_000  # items simulated: with more a random part of them stands for all
_CELLS: Final = 2_000_000  # votes drawn at once


def posterior_check(
    counts: Votes,
    *,
    column: str = COUNTS,
    n_simulated: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Observed votes against votes simulated from the fitted Dirichlet-multinomial.

    For each of R simulations every item with $n_i \geq 2$ votes gets $\theta_i \sim$ Dirichlet($\hat\alpha$) and $n_i$
    votes from it. Statistics: the share of unanimous items, the mean entropy of the shares (nats), the standard
    deviation over items of the entropy. With r simulations at least as high as the observed value and l at least as
    low, $p = \min(1, 2 (1 + \min(r, l)) / (R + 1))$.

    Args:
        counts: Array (items, options) of votes, or a frame with a list column.
        column: The frame's list column.
        n_simulated: R.
        confidence: Of the range of the simulations.
        seed: Seed of the simulations.

    Returns:
        One row per statistic: ``statistic, observed, simulated`` (mean), ``simulated_low, simulated_high`` (range),
        ``p_value, n`` (items), ``n_simulated, note``. The parameters were fitted to the same votes, so p is too large
        rather than too small. Above 5,000 items a random 5,000 of them are simulated, and compared with themselves.

    Undefined:
        No item with two votes or more: ``nan``.

    Raises:
        TableError: Counts that are not whole numbers of at least 0.
        ValueError: An impossible argument.

    Example:
        >>> found = posterior_check([[2, 0], [2, 0], [1, 1], [0, 2]], n_simulated=50)
        >>> found["statistic"].to_list(), found["observed"][0]
        (['unanimous_share', 'mean_entropy', 'entropy_spread'], 0.75)

    Reference:
        Gelman, Meng and Stern (1996), Posterior predictive assessment of model fitness, Statistica Sinica 6:733-807.
    """
    check_arguments("posterior_check", None, confidence, n_simulated, seed)
    votes = read_votes("posterior_check", counts, column=column)
    return check_votes(votes, n_simulated=n_simulated, confidence=confidence, seed=seed)


def check_votes(votes: VoteCounts, *, n_simulated: int = 200, confidence: float = 0.95, seed: int = 0) -> pl.DataFrame:
    """As :func:`posterior_check`, of votes that have been read."""
    rng = np.random.default_rng(seed)
    several = votes.patterns.sum(axis=1) > 1
    patterns, times = votes.patterns[several], votes.times[several]
    fit = fit_patterns(votes.patterns, votes.times)
    n = int(times.sum())
    notes = [f"{votes.n_items - n} items with one vote left out" if n < votes.n_items else ""]
    if not n:
        return _frame(np.full(3, np.nan), np.full((1, 3), np.nan), 0, confidence, fit.note)
    chosen = np.arange(n)
    if n > _ITEMS:
        notes.append(f"a random {_ITEMS} of {n} items")
        chosen = rng.choice(n, _ITEMS, replace=False)
    place = np.searchsorted(np.cumsum(times), chosen, side="right")
    times = np.bincount(place, minlength=len(patterns)).astype(np.float64)
    size, items = np.unique(patterns[place].sum(axis=1).astype(np.int64), return_counts=True)
    width = len(fit.alpha)
    if sum(comb(m + width - 1, width - 1) for m in size.tolist()) <= len(place):
        simulated = _simulate_ways(fit.alpha, size, items, n_simulated, rng)
    else:
        simulated = _simulate(fit.alpha, patterns[place].sum(axis=1).astype(np.int64), n_simulated, rng)
    note = "; ".join(part for part in (fit.note, *notes, votes.note) if part)
    return _frame(_statistics(patterns, times[None])[0], simulated, len(place), confidence, note)


def _simulate_ways(alpha: Floats, size: Codes, items: Codes, n_simulated: int, rng: np.random.Generator) -> Floats:
    """Items (S,) of each size (S,): few ways to vote, so how often each occurs is drawn, not the vote of each item."""
    ways, times = [], []
    for m, many in zip(size.tolist(), items.tolist(), strict=True):
        outcomes = vote_outcomes(len(alpha), m)
        chances = outcome_chances(alpha[None], outcomes)[0]
        ways.append(outcomes)
        times.append(rng.multinomial(many, chances / chances.sum(), size=n_simulated).astype(np.float64))
    return _statistics(np.concatenate(ways), np.concatenate(times, axis=1))


def _simulate(alpha: Floats, size: Codes, n_simulated: int, rng: np.random.Generator) -> Floats:
    step = max(1, _CELLS // (len(size) * len(alpha)))
    found = []
    for start in range(0, n_simulated, step):
        shape = (min(step, n_simulated - start), len(size))
        gammas = rng.standard_gamma(alpha, size=(*shape, len(alpha)))
        total = gammas.sum(axis=2, keepdims=True)
        # With tiny alpha all gammas can underflow to 0: such an item is unanimous, its option drawn in proportion.
        lost = total[..., 0] == 0
        gammas[lost] = rng.multinomial(1, alpha / alpha.sum(), size=int(lost.sum()))
        drawn = rng.multinomial(size, gammas / gammas.sum(axis=2, keepdims=True)).astype(np.float64)
        found += [_statistics(votes, np.ones((1, len(votes)))) for votes in drawn]
    return np.concatenate(found)


def _statistics(votes: Floats, times: Floats) -> Floats:
    """Share of unanimous items, mean and standard deviation of the entropy, (R, 3), of rows of votes (P, K).

    Each of R sets of items has the rows ``times`` (R, P) times each.
    """
    from scipy.special import entr

    total, n = votes.sum(axis=1), times.sum(axis=1)
    entropy = np.asarray(entr(votes / total[:, None])).sum(axis=1)
    mean = np.sum(times * entropy, axis=1) / n
    spread = np.sqrt(np.sum(times * (entropy - mean[:, None]) ** 2, axis=1) / n)
    return np.column_stack([np.sum(times * (votes.max(axis=1) == total), axis=1) / n, mean, spread])


def _frame(observed: Floats, simulated: Floats, n: int, confidence: float, note: str) -> pl.DataFrame:
    runs = len(simulated)
    slack = 1e-12  # equal statistics differ by rounding alone
    higher, lower = (simulated >= observed - slack).sum(axis=0), (simulated <= observed + slack).sum(axis=0)
    p = np.minimum(1.0, 2 * (1 + np.minimum(higher, lower)) / (runs + 1))
    tail = (1 - confidence) / 2
    return pl.DataFrame(
        {
            "statistic": ["unanimous_share", "mean_entropy", "entropy_spread"],
            "observed": observed,
            "simulated": simulated.mean(axis=0),
            "simulated_low": np.quantile(simulated, tail, axis=0),
            "simulated_high": np.quantile(simulated, 1 - tail, axis=0),
            "p_value": np.where(np.isnan(observed), np.nan, p),
            "n": [n] * 3,
            "n_simulated": [runs if n else 0] * 3,
            "note": [note] * 3,
        },
        schema=CHECK_SCHEMA,
    )
