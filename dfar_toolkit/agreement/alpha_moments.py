r"""Krippendorff's alpha of scales with many values (sliders, continuous ratings) from sums and ranks per item.

Interval, with $S_u$, $Q_u$ the sums of the values and their squares of item u, and $n, S, Q$ those of all:

    $\alpha = 1 - (n - 1) \frac{\sum_u 2 (m_u Q_u - S_u^2) / (m_u - 1)}{2 (n Q - S^2)}$

Ordinal is the same of midranks; circular, by $\sin^2(\theta / 2) = (1 - \cos \theta) / 2$, of cosines and sines. The
value and its linearised interval cost one look at each rating (ordinal: and a sort). A bootstrap draw costs as much
as its items (interval, circular), or its ratings, whose ranks move with the draw (ordinal): beyond a limit there is
no bootstrap interval, and the note says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.block_draws import SMALLEST, bootstrap_sums
from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.moments import Ranks, circular_sums, interval_sums, ranks
from dfar_toolkit.agreement.ratings import Ratings
from dfar_toolkit.agreement.slices import EstimateSlice
from dfar_toolkit.agreement.statistic import ONE_VALUE, Resampling, Statistic, estimate_statistic
from dfar_toolkit.agreement.units import Units, owners, units
from dfar_toolkit.estimate import Estimate, interval_of_draws

ManyLevel = Literal["ordinal", "interval", "circular"]

MOST_DRAWN: Final = 10_000_000_000  # draws times items up to which an interval is drawn: a minute or two
MOST_RANKED: Final = 1_000_000_000  # draws times ratings, which are ranked in each draw

_ALIKE: Final = 6  # a draw of a pattern takes about as long as draws of so many units in blocks


class _Part(NamedTuple):
    """The statistic of one slice; a draw looks at ``size`` of ``what``."""

    key: pl.DataFrame
    statistic: Statistic
    size: int
    what: str


def alpha_of_many(
    ratings: Ratings, how: Resampling, *, level: ManyLevel, bounds: tuple[float, float] | None = None
) -> list[EstimateSlice]:
    """Alpha of each slice of ratings with too many distinct numbers to count each.

    Args:
        ratings: Checked ratings with numbers.
        how: How the intervals are made.
        level: ordinal, interval or circular.
        bounds: Ends of a circular scale.

    Returns:
        The estimates; without an interval, and with a note, where the draws are too many to be made.

    Raises:
        TableError: The same rater stands twice on an item, or an item stands in two groups; a value out of bounds.
    """
    merge = how.ci == "bootstrap"  # equal items need drawing once; everything else costs less than merging
    if level == "circular":
        parts = _circular(ratings, bounds, merge=merge)
    else:
        parts = _interval(ratings, merge=merge) if level == "interval" else _ordinal(ratings)
    return [EstimateSlice(part.key, _estimate(part, how)) for part in parts]


def alpha_of_moments(sums: Floats, less: int = 1) -> Floats:
    """Interval alpha of the sums (B, 4) of disagreement within items, ratings, their values and squared values."""
    w, n, s, q = sums.T
    value: Floats = 1 - (n - less) * w / (2 * (n * q - s**2))
    return value


def alpha_of_angles(sums: Floats, less: int = 1) -> Floats:
    r"""Circular alpha of the sums (B, 4) of disagreement within items, ratings, $1 - \cos \theta$, $\sin \theta$."""
    w, n, a, s = sums.T
    value: Floats = 1 - (n - less) * w / (2 * n * a - a**2 - s**2)
    return value


def _estimate(part: _Part, how: Resampling) -> Estimate:
    statistic = part.statistic
    jackknife = how.ci == "jackknife" and statistic.of_weights is not None
    draws = how.n_boot if how.ci == "bootstrap" else len(statistic.unit.times) if jackknife else 0
    most = MOST_DRAWN if statistic.of_weights is None else MOST_RANKED
    too_many = draws * part.size > most
    unlike = statistic.unit.times.sum() < _ALIKE * len(statistic.unit.times)
    in_blocks = draws and statistic.of_weights is None and unlike and part.size >= SMALLEST
    if not too_many and not in_blocks:
        return estimate_statistic(statistic, how)
    found = replace(estimate_statistic(statistic, how._replace(ci=None)), method=str(how.ci))
    if np.isnan(found.value):
        return found
    if too_many:
        why = f'no interval: {draws:,} draws of {part.size:,} {part.what} are more than {most:,}; ci="analytic" has one'
        return replace(found, note="; ".join(filter(None, [why, found.note])))
    rows = np.repeat(statistic.unit.rows, statistic.unit.times.astype(np.int64), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = statistic.formula(bootstrap_sums(rows, how.n_boot, how.seed))
    return interval_of_draws(found, values)


def _interval(ratings: Ratings, *, merge: bool) -> list[_Part]:
    found = []
    for key, counts, lone, (total, square) in interval_sums(ratings):
        m = counts.n_ratings
        disagreement = 2 * np.maximum(0.0, m * square - total**2) / (m - 1)
        unit = units(counts, [disagreement, m, total, square], merge=merge)
        statistic = Statistic(
            "Krippendorff's alpha (interval)", counts, unit, alpha_of_moments, ONE_VALUE,
            slope_of=lambda sums: alpha_of_moments(sums, 0), singles=lone,
        )  # fmt: skip
        found.append(_Part(key, statistic, len(unit.times), unit.unit))
    return found


def _circular(ratings: Ratings, bounds: tuple[float, float] | None, *, merge: bool) -> list[_Part]:
    found = []
    for key, counts, lone, (flat, steep) in circular_sums(ratings, bounds):
        m = counts.n_ratings
        disagreement = np.maximum(0.0, 2 * m * flat - flat**2 - steep**2) / (m - 1)
        unit = units(counts, [disagreement, m, flat, steep], merge=merge)
        statistic = Statistic(
            "Krippendorff's alpha (circular)", counts, unit, alpha_of_angles, ONE_VALUE,
            slope_of=lambda sums: alpha_of_angles(sums, 0), singles=lone,
        )  # fmt: skip
        found.append(_Part(key, statistic, len(unit.times), unit.unit))
    return found


def _ordinal(ratings: Ratings) -> list[_Part]:
    found = []
    for own in ranks(ratings):
        ranked = _Ranked(own)
        statistic = Statistic(
            "Krippendorff's alpha (ordinal)", own.counts, ranked.unit, _no_formula, ONE_VALUE,
            of_weights=ranked.alpha, spread=ranked.spread, singles=own.lone,
        )  # fmt: skip
        found.append(_Part(own.key, statistic, len(own.item), "ratings"))
    return found


def _no_formula(sums: Floats) -> Floats:
    raise TypeError(f"ordinal alpha is no formula of {sums.shape[1]} sums: its ranks move with the weights")


class _Ranked:
    """Ordinal alpha of ratings in the order of their values, under weights of the units."""

    def __init__(self, own: Ranks) -> None:
        self._item, self._starts = own.item, own.starts
        self._lengths = np.diff(own.starts, append=len(own.item))
        self._tied = len(own.starts) < len(own.item)
        self._m = own.counts.n_ratings
        who = owners(own.counts)
        self._owner = who.owner
        self.unit = Units(np.empty((len(who.times), 0)), who.times, who.unit)

    def alpha(self, weights: Floats) -> Floats:
        """Alpha (B,) under weights (B, U)."""
        return np.array([self._alpha(row) for row in weights])

    def _alpha(self, weights: Floats) -> float:
        weight = weights[self._owner]
        marginal = self._per_value(weight[self._item])
        n = marginal.sum()
        rank = _midranks(marginal)
        expected = marginal @ rank**2
        observed = weight @ self._within(self._per_rating(rank))
        return float(1 - (n - 1) * observed / (n * expected))

    def spread(self) -> Floats:
        r"""What each unit adds to alpha, to first order (U,): by its own ratings, and through everybody's ranks.

        Without the small-sample factor $\alpha = 1 - O / E$ with $E = (n^3 - \sum_c n_c^3) / 12$, so a rating of value
        c more moves E by $(n^2 - n_c^2) / 4$. It moves O through the ranks: up by the slopes of O above it.
        """
        ties = self._lengths.astype(np.float64)
        n = ties.sum()
        rank = _midranks(ties)
        expected = float(ties @ rank**2)
        per_rating = self._per_rating(rank)
        own, total = self._within(per_rating), self._per_item(per_rating)
        up, down = 2 * self._m / (self._m - 1), 2 * total / (self._m - 1)
        per_rating = per_rating * up[self._item]
        per_rating -= down[self._item]
        slope = self._per_value(per_rating)
        del per_rating
        above = slope.sum() - np.cumsum(slope) + slope / 2
        moved = own + self._per_item(self._per_rating(above)) - self._m * slope.sum() / 2
        size = self._per_item(self._per_rating((n**2 - ties**2) / 4))
        added = (own.sum() / expected * size - moved) / expected
        return np.bincount(self._owner, added, minlength=len(self.unit.times)).astype(np.float64)

    def _within(self, per_rating: Floats) -> Floats:
        r"""$(m_u \sum r^2 - (\sum r)^2) / (m_u - 1)$ of each item (P,)."""
        square, total = self._per_item(per_rating**2), self._per_item(per_rating)
        return np.maximum(0.0, self._m * square - total**2) / (self._m - 1)

    def _per_item(self, per_rating: Floats) -> Floats:
        return np.bincount(self._item, per_rating, minlength=len(self._m)).astype(np.float64, copy=False)

    def _per_value(self, per_rating: Floats) -> Floats:
        return np.add.reduceat(per_rating, self._starts) if self._tied else per_rating

    def _per_rating(self, per_value: Floats) -> Floats:
        return np.repeat(per_value, self._lengths) if self._tied else per_value


def _midranks(marginal: Floats) -> Floats:
    """Midranks of the values (V,), centred, under how often each occurs (V,)."""
    rank: Floats = np.cumsum(marginal)
    rank -= marginal / 2
    rank -= marginal.sum() / 2
    return rank
