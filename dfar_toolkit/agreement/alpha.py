r"""Krippendorff's alpha at four levels of measurement, with missing ratings, from counts.

    $\alpha = 1 - D_o / D_e = 1 - (n - 1) \frac{\sum_u \frac{1}{m_u - 1} \sum_{c,k} n_{uc} n_{uk} \delta_{ck}}
    {\sum_{c,k} n_c n_k \delta_{ck}}$

over the items u with $m_u \ge 2$ ratings; $n = \sum m_u$ ratings, $n_c$ of them of value c.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Literal, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Counts, Floats, Ints
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.agreement.scales import scale
from dfar_toolkit.agreement.units import ONE_VALUE, Owners, Resampling, estimate_slices, estimate_units, owners, units
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, Interval

Level = Literal["nominal", "ordinal", "interval", "ratio"]
Metric = Callable[[Floats, Floats], Floats]

_TABLE: Final = 64  # values up to which the interval level goes by a table of squared differences, which is exact
_RATIO: Final = 2000  # values up to which the ratio level is computed: its expected disagreement needs all pairs
_CELLS: Final = 4_000_000  # cells of a block of draws by items


def krippendorff_alpha(
    ratings: RatingsLike,
    *,
    level: Level = "nominal",
    order: Sequence[str] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Interval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> Estimate | pl.DataFrame:
    r"""Agreement beyond chance among any number of raters, with missing ratings, at four levels of measurement.

    $\alpha = 1 - D_o / D_e$: observed over expected disagreement of two ratings, with squared difference
    $\delta_{ck}$ = 1 (nominal, c != k), $(r_k - r_c)^2$ with r the midranks of all pairable ratings (ordinal),
    $(x_k - x_c)^2$ (interval), $((x_k - x_c) / (x_k + x_c))^2$ (ratio).

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        level: Level of measurement of the values.
        order: Names of the values from lowest to highest, for ordinal text.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating. Every level but nominal needs numbers (or ``order``).
        group: Column with the resampling unit of the item; None: the item itself.
        ci: Kind of interval, or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items with two or more ratings, or with ``by`` a frame with one row per slice.

    Undefined:
        No item has two or more ratings, or only one value is in use; never 1 by decree.

    Raises:
        TableError: Missing columns, a rater twice on an item, several questions, unknown raters, values that do not
            fit the level.

    Example:
        >>> ann, bob = [1, 1, 2], [1, 2, 2]
        >>> rows = [(i, who, v[i]) for i in range(3) for who, v in (("ann", ann), ("bob", bob))]
        >>> print(krippendorff_alpha(rows, ci=None))
        Krippendorff's alpha (nominal) = 0.444

    Reference:
        Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, Annenberg School, paper 43, sections A to E.

    Note:
        Items are told apart by 64-bit hashes of their ids: two of N items count as one with probability about
        $N^2 / 2^{65}$, 1e-7 for two million. Refusals are confirmed on the ids themselves.
    """
    if level not in get_args(Level):
        raise ValueError(f"krippendorff_alpha: level must be one of {', '.join(get_args(Level))}, found {level!r}")
    how = Resampling(ci, confidence, n_boot, seed)
    return estimate_slices(
        ratings,
        lambda counts: alpha_from_counts(counts, level, how, order=order),
        item=item,
        rater=rater,
        value=value,
        group=group,
        by=by,
    )


def alpha_from_counts(counts: Counts, level: Level, how: Resampling, *, order: Sequence[str] | None = None) -> Estimate:
    """Krippendorff's alpha of counted ratings."""
    x = scale(counts.values, counts.codes_in_use, level, order)
    own = counts.pairable()
    name = f"Krippendorff's alpha ({level})"
    if level == "nominal":
        return _nominal(name, own, how)
    if level == "ordinal":
        return _ordinal(name, own, x, how)
    if level == "ratio":
        if own.n_values_in_use > _RATIO:
            raise TableError(
                f"alpha at the ratio level compares all pairs of values and takes at most {_RATIO} distinct values; "
                f"found {own.n_values_in_use}; round the values, or use level interval on their logarithm."
            )
        return _by_metric(name, own, x, _ratio_metric, how)
    if own.n_values_in_use > _TABLE:
        return _interval(name, own, x, how)
    return _by_metric(name, own, x, _interval_metric, how)


def _nominal(name: str, counts: Counts, how: Resampling) -> Estimate:
    m = counts.n_ratings
    within = (m**2 - counts.per_pattern(counts.count**2)) / (m - 1)
    unit = units(counts, [within], counts.count)

    def alpha(weights: Floats) -> Floats:
        sums = unit.sums(weights)
        marginal = sums[:, 1:]
        n = marginal.sum(axis=1)
        value: Floats = 1 - (n - 1) * sums[:, 0] / (n**2 - (marginal**2).sum(axis=1))
        return value

    return estimate_units(name, counts, unit, alpha, how, ONE_VALUE)


def _by_metric(name: str, counts: Counts, x: Floats, metric: Metric, how: Resampling) -> Estimate:
    """A level whose squared difference depends on the two values alone."""
    own, x = _only_used(counts, x)
    table = metric(x[:, None], x[None, :])
    unit = units(own, [_within(own, x, metric)], own.count)

    def alpha(weights: Floats) -> Floats:
        sums = unit.sums(weights)
        marginal = sums[:, 1:]
        expected = ((marginal @ table) * marginal).sum(axis=1)
        value: Floats = 1 - (marginal.sum(axis=1) - 1) * sums[:, 0] / expected
        return value

    return estimate_units(name, own, unit, alpha, how, ONE_VALUE)


def _interval(name: str, counts: Counts, x: Floats, how: Resampling) -> Estimate:
    """Interval level by moments: four numbers per item, however many values there are."""
    x = x - np.median(x[counts.code])
    m = counts.n_ratings
    total = counts.per_pattern(counts.count * x[counts.code])
    deviation = x[counts.code] - (total / m)[counts.pattern]
    within = 2 * m * counts.per_pattern(counts.count * deviation**2) / (m - 1)
    square = counts.per_pattern(counts.count * x[counts.code] ** 2)
    unit = units(counts, [within, m, total, square])

    def alpha(weights: Floats) -> Floats:
        w, n, s, q = unit.sums(weights).T
        value: Floats = 1 - (n - 1) * w / (2 * (n * q - s**2))
        return value

    return estimate_units(name, counts, unit, alpha, how, ONE_VALUE)


def _ordinal(name: str, counts: Counts, x: Floats, how: Resampling) -> Estimate:
    """Ordinal level: interval level on the midranks, which move with the weights of a draw."""
    own = _in_order(counts, x)
    m = own.n_ratings
    marginals = units(own, [], own.count, merge=False)
    scaled = units(own, [], own.count * (m / (m - 1))[own.pattern], merge=False)
    who = owners(own)

    def alpha(weights: Floats) -> Floats:
        marginal = marginals.sums(weights)
        n = marginal.sum(axis=1, keepdims=True)
        rank = np.cumsum(marginal, axis=1) - marginal / 2 - n / 2  # centred: the ranks of all ratings add up to 0
        observed = (scaled.sums(weights) * rank**2).sum(axis=1) - _squared_sums(own, m, rank, weights, who)
        value: Floats = 1 - (n[:, 0] - 1) * observed / (n[:, 0] * (marginal * rank**2).sum(axis=1))
        return value

    return estimate_units(name, own, marginals, alpha, how, ONE_VALUE)


def _squared_sums(counts: Counts, m: Floats, rank: Floats, weights: Floats, who: Owners) -> Floats:
    r"""$\sum_u w_u (\sum_c n_{uc} r_c)^2 / (m_u - 1)$ for each draw (B,), a block of draws at a time."""
    starts = np.flatnonzero(np.diff(counts.pattern, prepend=-1))
    step = max(1, _CELLS // len(counts.code))
    found = np.empty(len(weights))
    for block in range(0, len(weights), step):
        here = slice(block, block + step)
        sums = np.add.reduceat(rank[here][:, counts.code] * counts.count, starts, axis=1)
        found[here] = (weights[here][:, who.owner] * (who.within / (m - 1)) * sums**2).sum(axis=1)
    return found


def _in_order(counts: Counts, x: Floats) -> Counts:
    """The counts with the values in use in the order of ``x``, equal numbers as one value."""
    used = counts.codes_in_use
    position, place = np.unique(x[used], return_inverse=True)
    codes = np.zeros(len(x), dtype=np.int64)
    codes[used] = place
    code = codes[counts.code]
    order = np.argsort(counts.pattern * len(position) + code)
    return replace(counts, values=pl.Series(position), code=code[order], count=counts.count[order])


def _only_used(counts: Counts, x: Floats) -> tuple[Counts, Floats]:
    """The counts and numbers of the values in use, in order."""
    own = _in_order(counts, x)
    return own, own.values.to_numpy()


def _within(counts: Counts, x: Floats, metric: Metric) -> Floats:
    r"""$\frac{1}{m_u - 1} \sum_{c,k} n_{uc} n_{uk} \delta_{ck}$ of each item pattern (P,), by pairs of its entries."""
    total = np.zeros(len(counts.times))
    left: Ints = np.arange(len(counts.code))
    shift = 1
    while True:
        left = left[left + shift < len(counts.code)]
        right = left + shift
        same = counts.pattern[left] == counts.pattern[right]
        left, right = left[same], right[same]
        if not len(left):
            return 2 * total / (counts.n_ratings - 1)
        delta = metric(x[counts.code[left]], x[counts.code[right]])
        product = counts.count[left] * counts.count[right] * delta
        total += np.bincount(counts.pattern[left], weights=product, minlength=len(total))
        shift += 1


def _interval_metric(a: Floats, b: Floats) -> Floats:
    return np.square(a - b)


def _ratio_metric(a: Floats, b: Floats) -> Floats:
    total = a + b
    return np.square((a - b) / np.where(total == 0, 1.0, total))
