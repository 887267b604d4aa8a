r"""Krippendorff's alpha at the ordinal level: interval level on midranks, which move with the weights of a draw.

With $r_c = \sum_{k < c} n_k + n_c / 2 - n / 2$ the centred midrank of value c,

    $\alpha = 1 - \frac{n - 1}{n} \frac{\sum_u \frac{1}{m_u - 1} (m_u \sum_c n_{uc} r_c^2 - (\sum_c n_{uc} r_c)^2)}
    {\sum_c n_c r_c^2}$
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dfar_toolkit.agreement.counting import Counts, Floats
from dfar_toolkit.agreement.statistic import ONE_VALUE, Statistic
from dfar_toolkit.agreement.units import Owners, owners, units

_CELLS: Final = 4_000_000  # cells of a block of draws by items


def ordinal_statistic(name: str, counts: Counts) -> Statistic:
    """Ordinal alpha of pairable counts whose codes are in the order of the values."""
    m = counts.n_ratings
    share = m / counts.pairs  # 1 / (m - 1)
    marginals = units(counts, [], counts.count, merge=False)
    scaled = units(counts, [], counts.count * (m * share)[counts.pattern], merge=False)
    who = owners(counts)

    def alpha(weights: Floats) -> Floats:
        if not len(counts.code):
            return np.full(len(weights), np.nan)
        marginal = marginals.sums(weights)
        n = marginal.sum(axis=1, keepdims=True)
        rank = midranks(marginal)
        observed = (scaled.sums(weights) * rank**2).sum(axis=1) - _squared_sums(counts, share, rank, weights, who)
        value: Floats = 1 - (n[:, 0] - 1) * observed / (n[:, 0] * (marginal * rank**2).sum(axis=1))
        return value

    return Statistic(
        name, counts, marginals, _no_formula, ONE_VALUE, of_weights=alpha, spread=lambda: _spread(counts, share, who)
    )


def midranks(marginal: Floats) -> Floats:
    """Midranks of the values (B, V) under marginals (B, V), centred: the ranks of all ratings add up to 0."""
    rank: Floats = np.cumsum(marginal, axis=1) - marginal / 2 - marginal.sum(axis=1, keepdims=True) / 2
    return rank


def _no_formula(sums: Floats) -> Floats:
    raise TypeError(f"ordinal alpha is no formula of {sums.shape[1]} sums: its ranks move with the weights")


def _squared_sums(counts: Counts, share: Floats, rank: Floats, weights: Floats, who: Owners) -> Floats:
    r"""$\sum_u w_u (\sum_c n_{uc} r_c)^2 / (m_u - 1)$ for each draw (B,), a block of draws at a time."""
    starts = np.flatnonzero(np.diff(counts.pattern, prepend=-1))
    step = max(1, _CELLS // len(counts.code))
    found = np.empty(len(weights))
    for block in range(0, len(weights), step):
        here = slice(block, block + step)
        sums = np.add.reduceat(rank[here][:, counts.code] * counts.count, starts, axis=1)
        found[here] = (weights[here][:, who.owner] * (who.within * share) * sums**2).sum(axis=1)
    return found


def _spread(counts: Counts, share: Floats, who: Owners) -> Floats:
    r"""What each unit adds to alpha, to first order (U,): through its own ratings, and through everybody's ranks.

    Without the small-sample factor $\alpha = 1 - O / E$. With $g_c = \partial O / \partial r_c$ and
    $h_k = \sum_{c > k} g_c + g_k / 2$, one more item u moves O by its own part plus
    $\sum_k n_{uk} h_k - m_u \sum_c g_c / 2$; E likewise. Linear in the entries.
    """
    times = who.times[who.owner] * who.within
    m, code, count, pattern = counts.n_ratings, counts.code, counts.count, counts.pattern
    marginal = np.bincount(code, count * times[pattern], minlength=len(counts.values)).astype(np.float64)
    rank = midranks(marginal[None, :])[0]
    total, square = counts.per_pattern(count * rank[code]), counts.per_pattern(count * rank[code] ** 2)
    own = share * (m * square - total**2)
    slope = 2 * count * (m[pattern] * rank[code] - total[pattern]) * (share * times)[pattern]
    by_rank = np.bincount(code, slope, minlength=len(marginal)).astype(np.float64)
    observed, expected = float(own @ times), float(marginal @ rank**2)
    moved = observed / expected * (square + _through_ranks(counts, 2 * marginal * rank, m))
    moved = (moved - own - _through_ranks(counts, by_rank, m)) / expected
    return np.bincount(who.owner, moved * who.within, minlength=len(who.times)).astype(np.float64)


def _through_ranks(counts: Counts, slope: Floats, m: Floats) -> Floats:
    """How one more item of each pattern (P,) moves a sum through the ranks, given its slopes by rank (V,)."""
    above = slope.sum() - np.cumsum(slope) + slope / 2
    moved: Floats = counts.per_pattern(counts.count * above[counts.code]) - m * slope.sum() / 2
    return moved
