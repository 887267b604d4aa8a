r"""Krippendorff's alpha at six levels of measurement or by any distance, with missing ratings, from counts.

    $\alpha = 1 - D_o / D_e = 1 - (n - 1) \frac{\sum_u \frac{1}{m_u - 1} \sum_{c,k} n_{uc} n_{uk} \delta_{ck}}
    {\sum_{c,k} n_c n_k \delta_{ck}}$

over the items u with $m_u \ge 2$ ratings; $n = \sum m_u$ ratings, $n_c$ of them of value c.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.alpha_moments import alpha_of_angles, alpha_of_many, alpha_of_moments
from dfar_toolkit.agreement.alpha_ordinal import ordinal_statistic
from dfar_toolkit.agreement.counting import Counts, Floats, Ints
from dfar_toolkit.agreement.distances import Distance, Level, distance_table, ends, expected, given_table, within
from dfar_toolkit.agreement.hayes_krippendorff import hayes_krippendorff
from dfar_toolkit.agreement.ratings import By, Ratings, RatingsLike
from dfar_toolkit.agreement.scales import in_order, reading_order, scale
from dfar_toolkit.agreement.slices import EstimateSlice, estimate_slices
from dfar_toolkit.agreement.statistic import (
    ONE_VALUE,
    Ci,
    Resampling,
    Scope,
    Statistic,
    estimate_statistic,
)
from dfar_toolkit.agreement.units import units
from dfar_toolkit.estimate import Estimate

_TABLE: Final = 64  # values up to which interval and circular go by a table of squared differences, which is exact


def krippendorff_alpha(
    ratings: RatingsLike,
    *,
    level: Level = "nominal",
    distance: Distance | None = None,
    order: Sequence[str] | None = None,
    bounds: tuple[float, float] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Ci | None = "bootstrap",
    scope: Scope = "items",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> Estimate | pl.DataFrame:
    r"""Agreement beyond chance among any number of raters, with missing ratings, at any level of measurement.

    $\alpha = 1 - D_o / D_e$: observed over expected disagreement of two ratings, with squared difference
    $\delta_{ck}$ = 1 (nominal, c != k), $(r_k - r_c)^2$ with r the midranks of all pairable ratings (ordinal),
    $(x_k - x_c)^2$ (interval), $((x_k - x_c) / (x_k + x_c))^2$ (ratio), $\sin^2(\pi (x_k - x_c) / U)$ (circular, U the
    length of the circle), $(x_k - x_c)^2 / ((x_k + x_c - 2 x_1)(2 x_q - x_k - x_c))$ (bipolar, ends $x_1$, $x_q$), or
    the caller's ``distance``.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        level: Level of measurement of the values.
        distance: Squared differences of one's own, instead of a level: a symmetric matrix with one row per value in
            use, in sorted order (texts that are all numbers by number) or in that of ``order``, or a function of two
            arrays of numbers, or of two names.
        order: Names of the values from lowest to highest, for ordinal text; the rows of a ``distance`` matrix.
        bounds: Ends of the scale for circular (U = high - low + 1) and bipolar; None: the lowest and the highest value
            in use, that of single ratings too.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating. Every level but nominal needs numbers (or ``order``).
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap, jackknife, analytic (linearised), hayes-krippendorff (too narrow: for comparison with papers
            only), or None.
        scope: What the interval is over: these raters and other items, or other raters as well (bootstrap only).
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items with two or more ratings, or with ``by`` a frame with one row per slice.

    Undefined:
        No item has two or more ratings, or only one value is in use; never 1 by decree. Without a bootstrap interval
        where more than 64 distinct numbers meet too many draws (draws times items above 1e10; ordinal: times ratings
        above 1e9); the note says so, and ``ci="analytic"`` has one.

    Raises:
        TableError: Missing columns, a rater twice on an item, several questions, unknown raters, values that do not
            fit the level.

    Example:
        >>> ann, bob = [1, 1, 2], [1, 2, 2]
        >>> rows = [(i, who, v[i]) for i in range(3) for who, v in (("ann", ann), ("bob", bob))]
        >>> print(krippendorff_alpha(rows, ci=None))
        Krippendorff's alpha (nominal) = 0.444

    Reference:
        Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, Annenberg School, paper 43, sections A to E;
        standard error linearised as in Gwet (2014), Handbook of Inter-Rater Reliability, 4th ed., ch. 5.

    Note:
        Items are told apart by 64-bit hashes of their ids: two of N items count as one with probability about
        $N^2 / 2^{65}$, 1e-7 for two million. Refusals are confirmed on the ids themselves.
    """
    if level not in get_args(Level):
        raise ValueError(f"krippendorff_alpha: level must be one of {', '.join(get_args(Level))}, found {level!r}")
    if distance is not None and level != "nominal":
        raise ValueError(f"krippendorff_alpha: give level or distance, not both; found level {level!r}")
    if bounds is not None and level not in ("circular", "bipolar"):
        raise ValueError(f"krippendorff_alpha: bounds is for level circular or bipolar, found level {level!r}")
    return estimate_slices(
        ratings,
        lambda counts: alpha_statistic(counts, level, distance=distance, order=order, bounds=bounds),
        Resampling(ci, confidence, n_boot, seed, scope),
        item=item,
        rater=rater,
        value=value,
        group=group,
        by=by,
        estimator=estimate_alpha,
        many=_by_sums(level, bounds) if distance is None and order is None and ci != "hayes-krippendorff" else None,
    )


def _by_sums(
    level: Level, bounds: tuple[float, float] | None
) -> Callable[[Ratings, Resampling], list[EstimateSlice]] | None:
    """Alpha without counts, where the level needs sums and ranks only; None elsewhere."""
    if level == "ordinal" or level == "interval" or level == "circular":
        return partial(alpha_of_many, level=level, bounds=bounds)
    return None


def estimate_alpha(statistic: Statistic, how: Resampling) -> Estimate:
    """The estimate of alpha, with the interval of Hayes and Krippendorff where it is asked for by name."""
    if how.ci != "hayes-krippendorff":
        return estimate_statistic(statistic, how)
    return hayes_krippendorff(estimate_statistic(statistic, how._replace(ci=None)), statistic, how)


def alpha_statistic(
    counts: Counts,
    level: Level,
    *,
    distance: Distance | None = None,
    order: Sequence[str] | None = None,
    bounds: tuple[float, float] | None = None,
) -> Statistic:
    """Krippendorff's alpha of counted ratings."""
    if distance is not None:
        return replace(_by_distance(counts, distance, order), singles=counts.n_lone_units)
    used = counts.codes_in_use
    x = scale(counts.values, used, level, order)
    # The ends of the whole scale, by single ratings too: a draw must not have others than the data.
    whole = ends(x[used], bounds) if level in ("circular", "bipolar") else None
    return replace(_by_level(counts.pairable(), x, level, whole), singles=counts.n_lone_units)


def _by_level(counts: Counts, x: Floats, level: Level, bounds: tuple[float, float] | None) -> Statistic:
    name = f"Krippendorff's alpha ({level})"
    if level == "nominal":
        return _by_table(name, counts, None)
    own = in_order(counts, x)
    x = own.values.to_numpy()
    if level == "ordinal":
        return ordinal_statistic(name, own)
    if len(x) > _TABLE and level == "interval":
        return _interval(name, own, x)
    if len(x) > _TABLE and level == "circular":
        return _circular(name, own, x, bounds)
    return _by_table(name, own, distance_table(level, x, bounds=bounds))


def _by_distance(counts: Counts, distance: Distance, order: Sequence[str] | None) -> Statistic:
    used = counts.codes_in_use
    own = counts if order is None else in_order(counts, scale(counts.values, used, "ordinal", order))
    if order is None:
        sorted_ = reading_order(counts.values.gather(used))
        x = np.full(len(counts.values), np.nan)
        x[used[sorted_]] = np.arange(len(used))
        own = replace(in_order(counts, x), values=counts.values.gather(used[sorted_]))
        table = given_table(distance, own.values, what="distance")
    else:
        ranks = own.values.to_numpy().astype(np.int64)
        table = given_table(distance, pl.Series(list(order)), what="distance")[np.ix_(ranks, ranks)]
    if np.diag(table).any():
        raise ValueError("krippendorff_alpha: distance must be 0 between equal values")
    return _by_table("Krippendorff's alpha (own distance)", own.pairable(), table)


def _by_table(name: str, counts: Counts, table: Floats | None) -> Statistic:
    """A level whose squared difference depends on the two values alone; None is the nominal level."""
    unit = units(counts, [within(counts, table) * counts.n_ratings / counts.pairs], counts.count)

    def alpha(sums: Floats, less: int = 1) -> Floats:
        marginal = sums[:, 1:]
        value: Floats = 1 - (marginal.sum(axis=1) - less) * sums[:, 0] / expected(marginal, table)
        return value

    def metric(a: Ints, b: Ints) -> Floats:
        return (a != b).astype(np.float64) if table is None else table[a, b]

    return Statistic(name, counts, unit, alpha, ONE_VALUE, metric=metric, slope_of=lambda sums: alpha(sums, 0))


def _interval(name: str, counts: Counts, x: Floats) -> Statistic:
    """Interval level by moments: four numbers per item, however many values there are."""
    x = x - (np.median(x[counts.code]) if len(counts.code) else 0)
    m = counts.n_ratings
    total = counts.per_pattern(counts.count * x[counts.code])
    deviation = x[counts.code] - (total / m)[counts.pattern]
    disagreement = 2 * m**2 * counts.per_pattern(counts.count * deviation**2) / counts.pairs
    square = counts.per_pattern(counts.count * x[counts.code] ** 2)
    unit = units(counts, [disagreement, m, total, square])
    return Statistic(
        name, counts, unit, alpha_of_moments, ONE_VALUE, metric=lambda a, b: np.square(x[a] - x[b]),
        slope_of=lambda sums: alpha_of_moments(sums, 0),
    )  # fmt: skip


def _circular(name: str, counts: Counts, x: Floats, bounds: tuple[float, float] | None) -> Statistic:
    r"""Circular level by moments: $\sin^2(\theta / 2) = (1 - \cos \theta) / 2$, so cosines and sines suffice."""
    low, high = ends(x, bounds)
    middle = np.median(x[counts.code]) if len(counts.code) else 0.0  # of small angles 1 - cos then loses no digits
    angle = 2 * np.pi * (x[counts.code] - middle) / (high - low + 1)
    m = counts.n_ratings
    flat = counts.per_pattern(counts.count * 2 * np.sin(angle / 2) ** 2)
    steep = counts.per_pattern(counts.count * np.sin(angle))
    unit = units(counts, [(2 * m * flat - flat**2 - steep**2) * m / counts.pairs, m, flat, steep])

    def metric(a: Ints, b: Ints) -> Floats:
        return 2 * np.square(np.sin(np.pi * (x[a] - x[b]) / (high - low + 1)))

    return Statistic(
        name, counts, unit, alpha_of_angles, ONE_VALUE, metric=metric, slope_of=lambda sums: alpha_of_angles(sums, 0)
    )
