"""Agreement beyond raters who choose blindly among the categories on offer: Brennan and Prediger, Bennett, Randolph."""

from __future__ import annotations

from collections.abc import Sequence

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


def brennan_prediger(
    ratings: RatingsLike,
    *,
    weights: Weights | None = None,
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
    r"""Agreement beyond chance, where chance gives each of q categories 1 / q, whatever people used.

    With $p_a$ the percent agreement over items with $m_u \ge 2$ ratings and agreement weights $a_{ck}$,

        $BP = \frac{p_a - p_e}{1 - p_e}$,   $p_e = \frac{1}{q^2} \sum_{c,k} a_{ck}$,   $1 / q$ without weights

    For two raters this is Bennett's S, for any number of raters Randolph's free-marginal kappa.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        weights: Partial credit for pairs of different values: linear, quadratic, ordinal, radical, ratio, circular,
            bipolar, or a matrix of agreement weights; None: none.
        categories: The categories that were on offer; None: those in use. Their number q counts.
        order: Categories on offer from lowest to highest, for weights on words or on ranks.
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
        >>> print(brennan_prediger(rows, categories=["no", "yes", "unsure"], ci=None))  # (1/2 - 1/3) / (2/3)
        Brennan-Prediger = 0.250

    Reference:
        Brennan and Prediger (1981), Educ. Psychol. Meas. 41:687-699; Bennett, Alpert and Goldstein (1954), Public
        Opin. Q. 18:303-308; weights and standard error as in Gwet (2014), 4th ed., ch. 3 and 5.
    """
    return estimate_slices(
        ratings,
        lambda counts: uniform_statistic(counts, offered(counts, weights, order=order, categories=categories)),
        Resampling(ci, confidence, n_boot, seed, scope),
        item=item,
        rater=rater,
        value=value,
        group=group,
        by=by,
    )


def randolph_kappa(
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
    r"""Free-marginal multirater kappa: :func:`brennan_prediger` without weights, under the name Randolph gave it.

    $\kappa_{free} = \frac{p_a - 1 / q}{1 - 1 / q}$ with $p_a$ the percent agreement and q the categories on offer.

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
        TableError: As :func:`brennan_prediger`.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
        >>> print(randolph_kappa(rows, ci=None))  # (1/2 - 1/2) / (1/2)
        Randolph's kappa = 0.000

    Reference:
        Randolph (2005), Free-marginal multirater kappa, Joensuu Learning and Instruction Symposium.
    """
    return estimate_slices(
        ratings,
        lambda counts: uniform_statistic(counts, offered(counts, None, categories=categories), "Randolph's kappa"),
        Resampling(ci, confidence, n_boot, seed, scope),
        item=item,
        rater=rater,
        value=value,
        group=group,
        by=by,
    )


def uniform_statistic(counts: Counts, scale: Offered, name: str = "Brennan-Prediger") -> Statistic:
    """Agreement beyond uniform guessing of counted ratings."""
    chance = scale.agreement / scale.q**2 if scale.q > 1 else float("nan")

    def kappa(sums: Floats) -> Floats:
        return 1 - sums[:, 0] / sums[:, 1] / (1 - chance)

    return Statistic(name, counts, share_units(counts, scale), kappa, ONE_VALUE, adjust=as_gwet)
