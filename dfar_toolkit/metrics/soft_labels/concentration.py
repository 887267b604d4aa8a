r"""The one concentration s of a Dirichlet-multinomial around given predictions, fitted on a development split.

Cost: some thirty evaluations, each one logarithm per vote.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from dfar_toolkit.estimate import Estimate, Floats
from dfar_toolkit.metrics.labels import Codes
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions
from dfar_toolkit.metrics.soft_labels.vote_sums import sum_over_votes, sum_to_votes

_GRID: Final = 10  # starting points over the bounds: the likelihood of s may have more than one hump
_POLISH: Final = 6  # Newton steps at the end, each at least squares what is off
_NEAR: Final = 0.1  # longest of them, in log s


class _Votes(NamedTuple):
    """Votes above 0: predictions ``q`` (M,), ``y`` (M,), ``item`` (M,); ``n`` (N,), ``group`` (N,) of items."""

    q: Floats
    y: Floats
    item: Codes
    n: Floats
    group: Codes


def fit_concentration(
    pairs: PairedDistributions,
    *,
    bounds: tuple[float, float] = (1e-3, 1e6),
    confidence: float = 0.95,
) -> Estimate:
    r"""The concentration s that makes the votes of a development split most likely, given the predicted shares.

    Minimises $\sum_i \ell_i(s)$ of ``dirichlet_multinomial_nll`` in $\log s$ within bounds: a grid, then Brent's
    method between the neighbours of its best point, then Newton's. Score another split than the one it was fitted on.
    Interval: normal in $\log s$ with the sandwich variance $\sum_u g_u^2 / h^2 \cdot U / (U - 1)$, $g_u$ the slope of
    the loss of group u and h the curvature of the whole, so that items of a group are not taken for independent.

    Args:
        pairs: Votes and predictions of the development split.
        bounds: Least and largest s.
        confidence: Two-sided coverage.

    Returns:
        The estimate of s; ``n`` counts items.

    Undefined:
        No items; no item with two votes (with one vote each s drops out of the likelihood); an item with probability 0
        on an option that people chose. At a bound the value is the bound, without an interval, and the note says so: a
        large s means that votes differ no more than independent draws from the predictions would.

    Raises:
        ValueError: The pairs have no vote counts, or the bounds are not two rising numbers above 0.

    Example:
        Two votes at q = (.5, .5), alike on 3 of 4 items: (s/2 + 1) / (s + 1) = 3/4, so s = 1.

        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> votes, half = [[2, 0], [1, 1], [0, 2], [2, 0]], [[0.5, 0.5]] * 4
        >>> pairs = pair_distributions("example", None, gold=None, pred=half, counts=votes)
        >>> round(fit_concentration(pairs).value, 5)
        1.0

    Reference:
        Minka (2000), Estimating a Dirichlet distribution (fixed mean); White (1982), Econometrica 50:1-25 (sandwich).
    """
    low, high = bounds
    if not 0 < low < high < np.inf:
        raise ValueError(f"fit_concentration: bounds must be two rising numbers above 0, found {bounds}")
    if not 0 < confidence < 1:
        raise ValueError(f"fit_concentration: confidence must lie between 0 and 1, found {confidence}")
    if pairs.counts is None:
        raise ValueError("fit_concentration: the votes themselves are needed, shares are not enough; give counts")
    group = (
        np.arange(len(pairs.gold)) if pairs.groups is None else pairs.groups.rank("dense").to_numpy().astype(int) - 1
    )
    units = len(np.unique(group))
    unit = "items" if units == len(group) else "groups"
    nan = float("nan")
    found = Estimate(
        "concentration s", nan, nan, nan, len(group), units, unit, "items", "sandwich (normal in log s)", confidence
    )
    why = _not_identified(pairs.counts, pairs.pred)
    if why:
        return replace(found, note=_joined(pairs.note, why))
    votes = _in_order(pairs.counts, pairs.pred, group)
    x = _minimum(votes, math.log(low), math.log(high))
    for bound, side in ((low, "lower"), (high, "upper")):
        if x == math.log(bound):
            return replace(found, value=bound, note=_joined(pairs.note, f"no interval: s is at its {side} bound"))
    return _with_interval(replace(found, value=math.exp(x), note=pairs.note), votes, x)


def _not_identified(counts: Floats, pred: Floats) -> str:
    if not len(counts):
        return "no items"
    if not (counts.sum(axis=1) >= 2).any():
        return "no item has two or more votes, so s drops out of the likelihood"
    bad = int(((pred == 0) & (counts > 0)).any(axis=1).sum())
    return f"{bad} of {len(counts)} items give probability 0 to an option that people chose" if bad else ""


def _in_order(counts: Floats, pred: Floats, group: Codes) -> _Votes:
    """The votes in an order that depends on the values alone, so that sums do not depend on that of the items."""
    key = np.zeros(len(counts))
    for place in range(counts.shape[1]):
        key += np.sin(1.0 + place) * counts[:, place] + np.cos(1.0 + place) * pred[:, place]
    order = np.argsort(key, kind="stable")
    counts, pred = counts[order], pred[order]
    item, option = np.nonzero(counts)
    return _Votes(pred[item, option], counts[item, option], item, counts.sum(axis=1), group[order])


def _minimum(votes: _Votes, low: float, high: float) -> float:
    """The log s of the least loss within the bounds; a bound itself where the loss still falls there."""
    from scipy.optimize import minimize_scalar

    def loss(x: float) -> float:
        s = math.exp(x)
        every = sum_to_votes(s, votes.n, _log).sum()
        return float((every - sum_over_votes(s * votes.q, votes.y, _log).sum()) / len(votes.n))

    grid = np.linspace(low, high, _GRID)
    best = int(np.argmin([loss(x) for x in grid]))
    for place, end, falling in ((0, low, -1.0), (_GRID - 1, high, 1.0)):
        if best == place and falling * _slopes(votes, end).sum() <= 0:
            return end
    ends = (float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _GRID - 1)]))
    x = float(minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-2}).x)
    for _ in range(_POLISH):
        slope, curve = _slopes(votes, x).sum(), _curvature(votes, x)
        # Values of the loss cannot tell points apart that differ by less than 1e-8; slopes can.
        if not curve > 0 or abs(slope / curve) > _NEAR or not ends[0] < x - slope / curve < ends[1]:
            break
        x -= float(slope / curve)
    return x


def _with_interval(found: Estimate, votes: _Votes, x: float) -> Estimate:
    from scipy.special import ndtri

    curve, units = _curvature(votes, x), found.n_units
    if units < 2:
        return replace(found, note=_joined(found.note, f"no interval: one unit ({found.unit}) only"))
    if not curve > 0:
        return replace(found, note=_joined(found.note, "no interval: the likelihood is flat in s"))
    slopes = np.bincount(votes.group, weights=_slopes(votes, x))
    deviation = math.sqrt(float((slopes**2).sum()) * units / (units - 1)) / curve
    half = float(ndtri(0.5 + found.confidence / 2)) * deviation
    return replace(found, low=math.exp(x - half), high=math.exp(x + half))


def _slopes(votes: _Votes, x: float) -> Floats:
    """Derivative of each item's loss by log s (N,)."""
    s = math.exp(x)
    of_votes = sum_over_votes(s * votes.q, votes.y, lambda a, j: a / (a + j))
    return sum_to_votes(s, votes.n, lambda a, j: a / (a + j)) - np.bincount(votes.item, of_votes, len(votes.n))


def _curvature(votes: _Votes, x: float) -> float:
    """Second derivative of the whole loss by log s."""
    s = math.exp(x)
    of_votes = sum_over_votes(s * votes.q, votes.y, lambda a, j: a * j / (a + j) ** 2)
    return float(sum_to_votes(s, votes.n, lambda a, j: a * j / (a + j) ** 2).sum() - of_votes.sum())


def _log(a: Floats, j: Floats) -> Floats:
    found: Floats = np.log(a + j)
    return found


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
