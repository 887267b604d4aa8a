"""Fleiss' kappa for any number of ratings per item, unweighted or weighted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from dfar_toolkit.agreement.categories import Offered, offered
from dfar_toolkit.agreement.counting import Counts, Floats
from dfar_toolkit.agreement.distances import Weights, expected
from dfar_toolkit.agreement.observed import as_gwet, disagreement
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.agreement.slices import estimate_slices
from dfar_toolkit.agreement.statistic import ONE_VALUE, Ci, Resampling, Scope, Statistic
from dfar_toolkit.agreement.units import Units, units
from dfar_toolkit.estimate import Estimate


def fleiss_kappa(
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
    r"""Agreement beyond chance, where chance is two draws from the mean distribution of values.

    With $p_a$ the percent agreement over items with $m_u \ge 2$ ratings and $\pi_c$ the mean over all N rated items of
    $n_{uc} / m_u$,

        $\kappa = \frac{p_a - p_e}{1 - p_e}$,   $p_e = \sum_{c,k} a_{ck} \pi_c \pi_k$

    with agreement weights $a_{ck}$: 1 for equal values and 0 else, or ``weights``.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        weights: Partial credit for pairs of different values: linear, quadratic, ordinal, radical, ratio, circular,
            bipolar, or a matrix of agreement weights; None: none.
        order: Values on offer from lowest to highest, for weights on words or on ranks.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap, jackknife, analytic (Gwet's), or None.
        scope: What the interval is over: these raters and other items, or other raters as well (bootstrap only).
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items with two or more ratings, or with ``by`` a frame with one row per slice.

    Undefined:
        No item has two or more ratings, or only one value is in use.

    Raises:
        TableError: Missing columns, a rater twice on an item, several questions, unknown raters.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
        >>> print(fleiss_kappa(rows, ci=None))  # p_a = 1/2, p_e = 9/16 + 1/16
        Fleiss' kappa = -0.333

    Reference:
        Fleiss (1971), Psychol. Bull. 76:378-382; unequal numbers of ratings, weights and standard error as in Gwet
        (2014), Handbook of Inter-Rater Reliability, 4th ed., ch. 2, 3 and 5, and irrCAC.
    """
    return estimate_slices(
        ratings,
        lambda counts: fleiss_statistic(counts, offered(counts, weights, order=order)),
        Resampling(ci, confidence, n_boot, seed, scope),
        item=item,
        rater=rater,
        value=value,
        group=group,
        by=by,
    )


def fleiss_statistic(counts: Counts, scale: Offered) -> Statistic:
    """Fleiss' kappa of counted ratings."""

    def kappa(sums: Floats) -> Floats:
        return 1 - sums[:, 0] / sums[:, 1] / expected(sums[:, 3:] / sums[:, 2:3], scale.table)

    return Statistic("Fleiss' kappa", counts, share_units(counts, scale), kappa, ONE_VALUE, adjust=as_gwet)


def share_units(counts: Counts, scale: Offered) -> Units:
    """Rows of disagreement, whether there are pairs, 1, and the share of each value: what Fleiss and Gwet add up."""
    rated = np.ones(len(counts.times))
    shares = counts.count / counts.n_ratings[counts.pattern]
    return units(counts, [disagreement(counts, scale.table), (counts.pairs > 0) * rated, rated], shares)
