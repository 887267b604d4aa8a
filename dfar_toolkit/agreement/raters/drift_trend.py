r"""The trend over time of each rater's agreement with the rest, tested by permuting the rater's times.

Cost: for each rater permutations (and bootstrap draws) times ratings; above 1,000 ratings of a rater the permutations
go by their normal limit.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from math import factorial
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from scipy.special import gammaln

from dfar_toolkit.agreement.cells import read_cells
from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.raters.drift import Timed, entries_of, timed_ratings
from dfar_toolkit.agreement.raters.rating_times import as_numbers
from dfar_toolkit.agreement.ratings import RatingsLike
from dfar_toolkit.estimate import Estimate, Interval, collapse, estimate, estimates_frame

_EQUAL: Final = 1e-12  # sums that differ by less differ by rounding alone
_LARGE: Final = 1000  # points of a rater above which the permutations go by their normal limit
_CELLS: Final = 4_000_000  # permuted numbers held at once
_ONE_TIME: Final = "fewer than two different times, so there is no trend"


def drift_trend(
    ratings: RatingsLike,
    *,
    at: str = "at",
    n_permutations: int = 999,
    min_overlap: int = 10,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Interval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Whether each rater agrees more or less with the rest as time goes by.

    With $t_e$ the time of rating e of a rater (days, or the steps of a whole number) and $s_e$ the share of the other
    ratings of its item that have the same value, the slope of least squares

        $b = \frac{\sum_e (t_e - \bar t) (s_e - \bar s)}{\sum_e (t_e - \bar t)^2}$

    p is the share of orders of the rater's times, the real one among them, with a slope at least as far from 0: all of
    them up to ``n_permutations``, else so many random ones, and their normal limit above 1,000 ratings. It asks whether
    a rater's agreement has to do with time, not why: harder items late look like drift in every rater.

    Args:
        ratings: Long ratings with a column of times.
        at: Column of the time: dates, times, whole numbers, or ISO 8601 text. Ratings without one count among the
            rest of their item only.
        n_permutations: Most orders looked at.
        min_overlap: Ratings with a time and another rating below which the note says that they are few.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column of items that belong together. A rater's ratings in a group are then one point, at their mean
            time and mean share: they are not independent of each other. None: every rating is a point.
        ci: Kind of interval of the slope, over the rater's points, or None (quicker).
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws and of the orders; the same for every rater.

    Returns:
        One row per rater with a time on an item that somebody else rated, sorted: ``rater``, Estimate's fields (the
        slope; n = ratings, n_units = points), ``p``, ``smallest_p`` (what p would be had time and agreement the same
        order, and not below 1 / (1 + random orders)).

    Undefined:
        Fewer than two different times.

    Raises:
        ValueError: ``n_permutations`` below 1.
        TableError: Times that cannot be read, missing columns, a rater twice on an item, several questions.

    Example:
        Bob agrees on day 0 and 1 and not on day 2 and 3; 8 of 24 orders have a slope as steep.

        >>> rows = [(i, who, "no" if i < 2 or who == "ann" else "yes", i) for i in range(4) for who in ("ann", "bob")]
        >>> frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "at"], orient="row")
        >>> drift_trend(frame, ci=None).select("rater", "value", pl.col("p").round(3)).rows()
        [('ann', -0.4, 0.333), ('bob', -0.4, 0.333)]

    Reference:
        Pitman (1937), J. R. Stat. Soc. Suppl. 4:225-232 (permuting a correlation); Phipson and Smyth (2010), Stat.
        Appl. Genet. Mol. Biol. 9:39 (p of random permutations).
    """
    if n_permutations < 1:
        raise ValueError(f"drift_trend: n_permutations must be at least 1, found {n_permutations}")
    cells = read_cells(ratings, item=item, rater=rater, value=value, group=group, beside=(at,))
    timed = timed_ratings(cells, at)
    how = _How(n_permutations, min_overlap, ci, confidence, n_boot, seed)
    unit = "per day" if timed.times.dtype.is_temporal() else "per step of time"
    days = as_numbers(timed.times)
    parts = entries_of(timed.cells.rater)
    found = [_trend(timed, days, entries, unit, how) for _, entries in parts]
    columns = [
        cells.raters.gather([code for code, _ in parts]).alias("rater").to_frame(),
        estimates_frame(trend.slope for trend in found),
        pl.DataFrame({"p": [t.p for t in found], "smallest_p": [t.smallest_p for t in found]}, _P),
    ]
    return pl.concat(columns, how="horizontal")


_P: Final = {"p": pl.Float64, "smallest_p": pl.Float64}


class _How(NamedTuple):
    n_permutations: int
    min_overlap: int
    ci: Interval | None
    confidence: float
    n_boot: int
    seed: int


class _Trend(NamedTuple):
    slope: Estimate
    p: float
    smallest_p: float


def _trend(timed: Timed, days: Floats, entries: Ints, unit: str, how: _How) -> _Trend:
    x, y, points = days[entries], timed.share[entries], "ratings"
    if timed.cells.group is not None:
        owner = np.unique(timed.cells.group[timed.cells.item[entries]], return_inverse=True)[1]
        times = np.bincount(owner)
        x, y, points = np.bincount(owner, x) / times, np.bincount(owner, y) / times, "groups"
    x, notes = x - x.mean(), list(timed.cells.notes)
    patterns = collapse(np.column_stack([np.ones(len(x)), x, y, x**2, x * y]))
    slope = estimate(
        f"slope of agreement with the rest {unit}", patterns._replace(n=len(entries), unit=points), _slope, ci=how.ci,
        confidence=how.confidence, n_boot=how.n_boot, seed=how.seed, undefined=_ONE_TIME,
    )  # fmt: skip
    p, least = float("nan"), float("nan")
    if np.isfinite(slope.value):
        p, least, note = _permuted(x, y, how)
        notes.insert(0, note)
    if len(entries) < how.min_overlap:
        notes.insert(0, f"few ratings: {len(entries)}, {how.min_overlap} wanted")
    return _Trend(replace(slope, note="; ".join(filter(None, [slope.note, *notes]))), p, least)


def _slope(sums: Floats) -> Floats:
    n, x, y, xx, xy = sums.T
    spread = n * xx - x**2
    # Rounding leaves something of a spread of nothing.
    slope: Floats = np.where(spread > _EQUAL * n * xx, n * xy - x * y, np.nan) / np.where(spread > 0, spread, 1.0)
    return slope


def _permuted(x: Floats, y: Floats, how: _How) -> tuple[float, float, str]:
    """Two-sided p of the sum of products under permutation, the smallest it could be, and a note."""
    n, y = len(x), y - y.mean()
    real = abs(float(x @ y))
    slack = _EQUAL * max(1.0, float(np.sqrt((x @ x) * (y @ y))))
    least = _smallest(x, y, slack)
    if n > _LARGE:
        from scipy.stats import norm

        sd = float(np.sqrt((x @ x) * (y @ y) / (n - 1)))
        return (
            (2 * float(norm.sf(real / sd)) if sd > slack else 1.0),
            least,
            "p by the normal limit of the permutations",
        )
    if n < 12 and factorial(n) <= how.n_permutations:
        sums = np.array(list(permutations(y))) @ x
        return float((np.abs(sums) >= real - slack).mean()), least, ""
    rng, reached = np.random.default_rng(how.seed), 0
    step = max(1, _CELLS // n)
    for start in range(0, how.n_permutations, step):
        drawn = rng.permuted(np.tile(y, (min(step, how.n_permutations - start), 1)), axis=1)
        reached += int((np.abs(drawn @ x) >= real - slack).sum())
    whole = 1 + how.n_permutations
    return (1 + reached) / whole, max(1 / whole, least), f"{how.n_permutations} random orders"


def _smallest(x: Floats, y: Floats, slack: float) -> float:
    """Share of the orders of y with the largest sum of products with x in size: those in its order, or against it."""
    up, down = float(np.sort(x) @ np.sort(y)), float(np.sort(x) @ np.sort(-y))
    shares = [_share(x, sign * y) for sign, size in ((1, up), (-1, down)) if size >= max(up, down) - slack]
    return min(1.0, sum(shares))


def _share(x: Floats, y: Floats) -> float:
    """Share of the orders of y that are nowhere against the order of x, with ties in both."""
    ranks = np.unique(np.sort(x), return_inverse=True)[1], np.unique(np.sort(y), return_inverse=True)[1]
    ties = [np.bincount(rank) for rank in ranks]
    both = np.unique(ranks[0] * (int(ranks[1].max()) + 1) + ranks[1], return_counts=True)[1]
    log = sum(float(gammaln(count + 1).sum()) for count in ties) - float(gammaln(both + 1).sum())
    return float(np.exp(log - gammaln(len(x) + 1)))
