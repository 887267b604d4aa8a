"""Scores that rest on the fitted alpha, with intervals in which alpha is fitted again to every resample.

Up to 1,000 distinct rows of votes a score is computed anew for each draw. With more, its dependence on alpha is taken
as linear in log alpha (alpha is still refitted, and known well where rows are that many); ``method`` says so. Cost: B
refits, each over the distinct rows times K, with groups over the items too. Above 1,000 distinct rows the slopes take
2 K scores of K options: quadratic in K, and linear up to there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

import numpy as np

from dfar_toolkit.estimate import Estimate, Floats, bootstrap_weights, interval_of_draws
from dfar_toolkit.metrics.ceiling.dirichlet_fit import DirichletFit, fit_patterns, fit_resamples
from dfar_toolkit.metrics.ceiling.fitted_scores import FittedScore
from dfar_toolkit.metrics.ceiling.vote_counts import VoteCounts

_EXACT_ROWS: Final = 1_000  # distinct rows up to which scores are computed anew in each draw
_CELLS: Final = 4_000_000  # weights held at once
_TOGETHER: Final = 200_000  # votes of the rows of resamples that are scored at once
_DIFFERENCE: Final = 1e-4  # of log alpha, for slopes
_DECIMALS: Final = 9  # of draws: the closed forms are no more exact, and noise is no interval
_FAR: Final = 1.0  # in log alpha: further than this nothing is taken as linear


def estimate_fitted(
    name: str,
    votes: VoteCounts,
    scores: Sequence[FittedScore],
    *,
    note: str = "",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 200,
    seed: int = 0,
) -> list[Estimate]:
    """Estimates of several fitted scores of the same votes, from one fit and one set of draws.

    Args:
        name: Function named in errors.
        votes: The votes.
        scores: What to compute; those with the same ``rows`` share it.
        note: Said beside every score.
        ci: ``bootstrap``, or None for the points alone.
        confidence: Two-sided coverage.
        n_boot: Number of draws B.
        seed: Seed of the draws.

    Returns:
        One estimate per score.

    Undefined:
        No item has two votes or more. An option leads on no item (the score's own rule). No interval for one unit.
    """
    check_arguments(name, ci, confidence, n_boot, seed)
    fit = fit_patterns(votes.patterns, votes.times)
    points = score_values(scores, fit.alpha, votes.patterns, votes.times)
    method, draws = "none", np.empty((0, len(scores)))
    if ci:
        method = refit_method(votes)
        if np.isfinite(points).any() and votes.n_units > 1:
            weights = pattern_weights(votes, n_boot, np.random.default_rng(seed))
            draws = fitted_draws(scores, fit, votes, weights)
    found = []
    for place, score in enumerate(scores):
        point = _point(score, float(points[place]), fit, votes, note, method, confidence)
        drawn = len(draws) and np.isfinite(point.value)
        found.append(interval_of_draws(point, draws[:, place]) if drawn else point)
    return found


def refit_method(votes: VoteCounts, *, said: Sequence[str] = ()) -> str:
    """The method of an interval with alpha refitted, with what else must be said of it."""
    parts = [*said, "alpha refitted"]
    if len(votes.patterns) > _EXACT_ROWS:
        parts.append("score linear in log alpha")
    return f"bootstrap ({', '.join(parts)})"


def check_arguments(name: str, ci: str | None, confidence: float, n_boot: object, seed: object) -> None:
    """Refuse what cannot be drawn, in the name of the function that was called."""
    if ci not in ("bootstrap", None):
        raise ValueError(f'{name}: ci must be "bootstrap" or None, found {ci!r}')
    if not 0 < confidence < 1:
        raise ValueError(f"{name}: confidence must lie between 0 and 1, found {confidence}")
    for argument, found, least in (("n_boot", n_boot, 1), ("seed", seed, 0)):
        if isinstance(found, bool) or not isinstance(found, int | np.integer) or found < least:
            raise ValueError(f"{name}: {argument} must be a whole number of at least {least}, found {found!r}")


def _point(
    score: FittedScore, value: float, fit: DirichletFit, votes: VoteCounts, note: str, method: str, confidence: float
) -> Estimate:
    """The estimate without its interval, and all that must be said beside it."""
    nan = float("nan")
    parts = [fit.note, score.undefined if fit.known and not np.isfinite(value) else "", note, votes.note]
    if method != "none" and votes.n_units == 1 and np.isfinite(value):
        parts.append(f"no interval: one unit ({votes.unit}) only")
    said = "; ".join(part for part in parts if part)
    return Estimate(
        score.name, value, nan, nan, votes.n_items, votes.n_units, votes.unit, "items", method, confidence, said
    )


def score_values(scores: Sequence[FittedScore], alpha: Floats, patterns: Floats, times: Floats) -> Floats:
    """The scores (M,) at alpha, ``nan`` where it is; rows of votes that do not occur cost nothing."""
    if not times.any() or not np.isfinite(alpha).all():
        return np.full(len(scores), np.nan)
    occurs = times > 0
    return _values(scores, alpha, patterns[occurs], times[occurs])


def _values(scores: Sequence[FittedScore], alpha: Floats, patterns: Floats, times: Floats) -> Floats:
    """The scores (..., M), each kind of rows evaluated once."""
    rows = {f: f(alpha, patterns) for f in dict.fromkeys(s.rows for s in scores)}
    return np.stack([s.value(rows[s.rows], patterns, times) for s in scores], axis=-1)


def fitted_draws(
    scores: Sequence[FittedScore], fit: DirichletFit, votes: VoteCounts, weights: Iterable[Floats]
) -> Floats:
    """The scores (B, M) with alpha refitted to each of B weightings (P,) of the rows of votes."""
    linear = len(votes.patterns) > _EXACT_ROWS
    rows = {f: f(fit.alpha, votes.patterns) for f in {s.rows for s in scores}} if linear else {}
    slopes = _slopes(scores, fit.alpha, votes) if linear else np.empty((len(scores), 0))
    left, size = iter(weights), max(1, _TOGETHER // votes.patterns.size)
    draws = []
    while part := list(islice(left, size)):
        times = np.array(part)
        alpha = fit_resamples(votes.patterns, times, fit.alpha)
        values = np.full((len(times), len(scores)), np.nan)
        known = np.isfinite(alpha).all(axis=1)
        if linear:
            moved = np.log(alpha) - np.log(fit.alpha)
            near = known & (np.abs(moved) < _FAR).all(axis=1)
            held = [s.value(rows[s.rows], votes.patterns, times[near]) for s in scores]
            values[near] = np.stack(held, axis=-1) + moved[near] @ slopes.T
            for place in np.flatnonzero(known & ~near):
                values[place] = score_values(scores, alpha[place], votes.patterns, times[place])
        elif known.any():
            values[known] = _values(scores, alpha[known, None], votes.patterns, times[known])
        draws.append(values)
    return np.round(np.concatenate(draws), _DECIMALS)


def _slopes(scores: Sequence[FittedScore], alpha: Floats, votes: VoteCounts) -> Floats:
    """Derivatives of the scores (M, K) with respect to log alpha, by central differences."""
    slopes = np.empty((len(scores), len(alpha)))
    for place in range(len(alpha)):
        factor = np.exp(_DIFFERENCE * (np.arange(len(alpha)) == place))
        ends = [score_values(scores, a, votes.patterns, votes.times) for a in (alpha * factor, alpha / factor)]
        slopes[:, place] = (ends[0] - ends[1]) / (2 * _DIFFERENCE)
    return slopes


def pattern_weights(votes: VoteCounts, n_boot: int, rng: np.random.Generator) -> Iterator[Floats]:
    """How often each row of votes occurs (P,) in each of B resamples of the units."""
    if votes.groups is None:
        step = max(1, _CELLS // max(1, len(votes.times)))
        for start in range(0, n_boot, step):
            yield from bootstrap_weights(votes.times, min(step, n_boot - start), rng)
        return
    n_units = votes.n_units
    for _ in range(n_boot):
        of_unit = np.bincount(rng.integers(0, n_units, n_units), minlength=n_units)
        yield np.bincount(votes.of_item, weights=of_unit[votes.groups], minlength=len(votes.times)).astype(np.float64)
