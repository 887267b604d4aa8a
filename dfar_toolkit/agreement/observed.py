"""How often two people agree on an item, without any correction for chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from dfar_toolkit.agreement.categories import Offered, offered
from dfar_toolkit.agreement.counting import Counts, Floats
from dfar_toolkit.agreement.distances import Weights, within
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.agreement.slices import estimate_slices
from dfar_toolkit.agreement.statistic import NO_PAIRS, Ci, Resampling, Scope, Statistic
from dfar_toolkit.agreement.units import units
from dfar_toolkit.estimate import Estimate


def percent_agreement(
    ratings: RatingsLike,
    *,
    weights: Weights | None = None,
    order: Sequence[str] | None = None,
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
    r"""Mean over items of the share of pairs of raters who gave the same value.

    With $n_{uc}$ ratings of value c and $m_u$ ratings of item u, over the N items with $m_u \ge 2$,

        $p_a = \frac{1}{N} \sum_u \frac{\sum_c n_{uc} (n_{uc} - 1)}{m_u (m_u - 1)}$

    With ``weights``, pairs of different values count by how near they are.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        weights: Partial credit for pairs of different values: linear, quadratic, ordinal, radical, ratio, circular,
            bipolar, or a matrix of agreement weights; None: none.
        order: Values on offer from lowest to highest, for weights on words or on ranks.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap, jackknife, analytic, or None.
        scope: What the interval is over: these raters and other items, or other raters as well (bootstrap only).
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
    return estimate_slices(
        ratings,
        lambda counts: observed_statistic(counts, offered(counts, weights, order=order)),
        Resampling(ci, confidence, n_boot, seed, scope),
        item=item,
        rater=rater,
        value=value,
        group=group,
        by=by,
    )


def observed_statistic(counts: Counts, scale: Offered | None = None) -> Statistic:
    """The percent agreement of counted ratings."""
    table = scale.table if scale is not None else None
    rated = np.ones(len(counts.times))
    unit = units(counts, [disagreement(counts, table), (counts.pairs > 0) * rated, rated])

    def share(sums: Floats) -> Floats:
        return 1 - sums[:, 0] / sums[:, 1]

    noted = replace(counts, notes=counts.pairable().notes)
    return Statistic("percent agreement", noted, unit, share, NO_PAIRS, adjust=as_gwet)


def disagreement(counts: Counts, table: Floats | None) -> Floats:
    """Mean disagreement of an item's pairs of ratings (P,), 0 for items with one rating."""
    pairs = counts.pairs
    return np.asarray(within(counts, table) * (pairs > 0) / np.where(pairs > 0, pairs, 1.0))


def as_gwet(sums: Floats, value: float) -> Floats:
    """Gwet's standard errors take the share of items with two or more ratings as given: what that adds (D,).

    The sums are the disagreement, the items with two or more ratings, the rated items, and whatever follows.
    """
    added = np.zeros(len(sums))
    added[1], added[2] = value / sums[1], -value / sums[2]
    return added
