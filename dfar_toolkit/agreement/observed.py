"""How often two people agree on an item, without any correction for chance."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.agreement.counting import Counts, Floats
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.agreement.units import NO_PAIRS, Resampling, estimate_slices, estimate_units, units
from dfar_toolkit.estimate import Estimate, Interval


def percent_agreement(
    ratings: RatingsLike,
    *,
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
    r"""Mean over items of the share of pairs of raters who gave the same value.

    With $n_{uc}$ ratings of value c and $m_u$ ratings of item u, over the N items with $m_u \ge 2$,

        $p_a = \frac{1}{N} \sum_u \frac{\sum_c n_{uc} (n_{uc} - 1)}{m_u (m_u - 1)}$

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: Kind of interval, or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items with two or more ratings, or with ``by`` a frame with one row per slice.

    Undefined:
        No item has two or more ratings.

    Raises:
        TableError: Missing columns, a rater twice on an item, several questions, unknown raters.

    Example:
        >>> rows = [("x", "ann", "yes"), ("x", "bob", "yes"), ("y", "ann", "yes"), ("y", "bob", "no")]
        >>> print(percent_agreement(rows, ci=None))
        percent agreement = 0.500

    Reference:
        Gwet (2014), Handbook of Inter-Rater Reliability, 4th ed., eq. 2.12 (as irrCAC's pa).
    """
    how = Resampling(ci, confidence, n_boot, seed)
    return estimate_slices(
        ratings,
        lambda counts: observed_agreement(counts, how),
        item=item,
        rater=rater,
        value=value,
        group=group,
        by=by,
    )


def observed_agreement(counts: Counts, how: Resampling) -> Estimate:
    """The percent agreement of counted ratings."""
    own = counts.pairable()
    unit = units(own, [pair_share(own), own.times * 0 + 1])

    def share(weights: Floats) -> Floats:
        sums = unit.sums(weights)
        value: Floats = sums[:, 0] / sums[:, 1]
        return value

    return estimate_units("percent agreement", own, unit, share, how, NO_PAIRS)


def pair_share(counts: Counts) -> Floats:
    """Share of an item's pairs of ratings that have the same value (P,), 0 for items with one rating."""
    m = counts.n_ratings
    same = counts.per_pattern(counts.count * (counts.count - 1))
    share: Floats = same / (m * (m - 1)).clip(min=1)
    return share
