"""Gwet's AC1 and AC2: agreement beyond chance that does not collapse when one value is frequent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from dfar_toolkit.agreement.categories import Offered, offered
from dfar_toolkit.agreement.counting import Counts, Floats
from dfar_toolkit.agreement.distances import Weights
from dfar_toolkit.agreement.fleiss import share_units
from dfar_toolkit.agreement.observed import as_gwet
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.agreement.slices import estimate_slices
from dfar_toolkit.agreement.statistic import ONE_VALUE, Ci, Resampling, Scope, Statistic
from dfar_toolkit.estimate import Estimate


def gwet_ac1(
    ratings: RatingsLike,
    *,
    categories: Sequence[str] | None = None,
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
    r"""Agreement beyond chance, where chance is the agreement of raters who guess on hard items only.

    With $p_a$ the percent agreement over items with $m_u \ge 2$ ratings, $\pi_c$ the mean over all N rated items of
    $n_{uc} / m_u$ and q categories,

        $AC_1 = \frac{p_a - p_e}{1 - p_e}$,   $p_e = \frac{1}{q - 1} \sum_c \pi_c (1 - \pi_c)$

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        categories: The categories that were on offer; None: those in use. Their number q counts.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap, jackknife, analytic (Gwet's), or None.
        scope: What the interval is over: these raters and other items, or other raters as well (bootstrap only).
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws; q stays that of the data.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items with two or more ratings, or with ``by`` a frame with one row per slice.

    Undefined:
        No item has two or more ratings, or only one category.

    Raises:
        TableError: Missing columns, a rater twice on an item, several questions, unknown raters, a value that is not
            among ``categories``.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
        >>> print(gwet_ac1(rows, ci=None))  # p_a = 1/2, p_e = 3/4 * 1/4 * 2 = 3/8
        Gwet's AC1 = 0.200

    Reference:
        Gwet (2008), Br. J. Math. Stat. Psychol. 61:29-48, eq. 6 to 8; missing ratings as in irrCAC.
    """
    return estimate_slices(
        ratings,
        lambda counts: ac_statistic(counts, offered(counts, None, categories=categories)),
        Resampling(ci, confidence, n_boot, seed, scope),
        item=item,
        rater=rater,
        value=value,
        group=group,
        by=by,
    )


def gwet_ac2(
    ratings: RatingsLike,
    *,
    weights: Weights = "quadratic",
    categories: Sequence[str] | None = None,
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
    r"""As :func:`gwet_ac1`, with partial credit for values that are near one another.

    With agreement weights $a_{ck}$ over the q categories, $p_a$ the weighted percent agreement and $\pi_c$ as in AC1,

        $AC_2 = \frac{p_a - p_e}{1 - p_e}$,   $p_e = \frac{\sum_{c,k} a_{ck}}{q (q - 1)} \sum_c \pi_c (1 - \pi_c)$

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        weights: linear, quadratic, ordinal, radical, ratio, circular, bipolar, or a matrix of agreement weights.
        categories: The categories that were on offer; None: those in use. Their number q counts.
        order: Categories on offer from lowest to highest, for words or for weights on ranks.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap, jackknife, analytic (Gwet's), or None.
        scope: What the interval is over: these raters and other items, or other raters as well (bootstrap only).
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws; q stays that of the data.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items with two or more ratings, or with ``by`` a frame with one row per slice.

    Undefined:
        No item has two or more ratings, or only one category.

    Raises:
        TableError: As :func:`gwet_ac1`, and values that are no numbers without ``order``.

    Example:
        Items 1-1, 1-2, 3-3. Quadratic credit of 1-2 is 3/4, so p_a = 11/12; the weights add up to 6 of 3 * 2, and the
        shares are 1/2, 1/6, 1/3, so p_e = 1/4 + 5/36 + 2/9 = 11/18; (11/12 - 11/18) / (7/18) = 11/14.

        >>> ann, bob = [1, 1, 3], [1, 2, 3]
        >>> rows = [(i, who, v[i]) for i in range(3) for who, v in (("ann", ann), ("bob", bob))]
        >>> print(gwet_ac2(rows, ci=None))
        Gwet's AC2 (quadratic) = 0.786

    Reference:
        Gwet (2014), Handbook of Inter-Rater Reliability, 4th ed., ch. 3 (eq. 3.5.2) and irrCAC.
    """
    return estimate_slices(
        ratings,
        lambda counts: ac_statistic(counts, offered(counts, weights, order=order, categories=categories), weights),
        Resampling(ci, confidence, n_boot, seed, scope),
        item=item,
        rater=rater,
        value=value,
        group=group,
        by=by,
    )


def ac_statistic(counts: Counts, scale: Offered, weights: Weights | None = None) -> Statistic:
    """Gwet's AC1, or AC2 with weights, of counted ratings."""
    q = scale.q
    factor = scale.agreement / (q * (q - 1)) if q > 1 else float("nan")

    def ac(sums: Floats) -> Floats:
        share = sums[:, 3:] / sums[:, 2:3]
        chance = factor * (np.square(share.sum(axis=1)) - np.square(share).sum(axis=1))
        return np.asarray(1 - sums[:, 0] / sums[:, 1] / (1 - chance))

    name = "Gwet's AC1" if weights is None else f"Gwet's AC2 ({weights if isinstance(weights, str) else 'own weights'})"
    return Statistic(name, counts, share_units(counts, scale), ac, ONE_VALUE, adjust=as_gwet)
