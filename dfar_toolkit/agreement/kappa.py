"""Fleiss' kappa for any number of ratings per item, Cohen's kappa for two raters, and for every pair of raters."""

from __future__ import annotations

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Counts, Floats
from dfar_toolkit.agreement.observed import pair_share
from dfar_toolkit.agreement.pairs import PairSlice, count_pairs, kappa_of_pair
from dfar_toolkit.agreement.ratings import By, Ratings, RatingsLike, read_ratings
from dfar_toolkit.agreement.units import ONE_VALUE, Resampling, estimate_slices, estimate_units, units
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import ESTIMATE_SCHEMA, Estimate, Interval, estimates_frame


def fleiss_kappa(
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
    r"""Agreement beyond chance, where chance is two draws from the mean distribution of values.

    With $p_a$ the percent agreement over items with $m_u \ge 2$ ratings and $\pi_c$ the mean over all N rated items of
    $n_{uc} / m_u$,

        $\kappa = \frac{p_a - p_e}{1 - p_e}$,   $p_e = \sum_c \pi_c^2$

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
        No item has two or more ratings, or only one value is in use.

    Raises:
        TableError: Missing columns, a rater twice on an item, several questions, unknown raters.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
        >>> print(fleiss_kappa(rows, ci=None))  # p_a = 1/2, p_e = 9/16 + 1/16
        Fleiss' kappa = -0.333

    Reference:
        Fleiss (1971), Psychol. Bull. 76:378-382; unequal numbers of ratings as in Gwet (2014), ch. 2, and irrCAC.
    """
    how = Resampling(ci, confidence, n_boot, seed)
    return estimate_slices(
        ratings,
        lambda counts: fleiss_from_counts(counts, how),
        item=item,
        rater=rater,
        value=value,
        group=group,
        by=by,
    )


def fleiss_from_counts(counts: Counts, how: Resampling) -> Estimate:
    """Fleiss' kappa of counted ratings."""
    m = counts.n_ratings
    pairable = (m >= 2).astype(np.float64)
    unit = units(counts, [pair_share(counts), pairable, np.ones_like(m)], counts.count / m[counts.pattern])

    def kappa(weights: Floats) -> Floats:
        sums = unit.sums(weights)
        observed = sums[:, 0] / sums[:, 1]
        chance = np.square(sums[:, 3:] / sums[:, 2:3]).sum(axis=1)
        value: Floats = (observed - chance) / (1 - chance)
        return value

    return estimate_units("Fleiss' kappa", counts, unit, kappa, how, ONE_VALUE)


def cohen_kappa(
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
    r"""Agreement of exactly two raters beyond chance, where each keeps to their own distribution of values.

    Over the n items that both rated, with $p_{ac}$, $p_{bc}$ each rater's share of value c,

        $\kappa = \frac{p_o - p_e}{1 - p_e}$,   $p_e = \sum_c p_{ac} p_{bc}$

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
        by: Column or columns to slice by; each slice must have exactly two raters.

    Returns:
        An Estimate with n = items that both rated, or with ``by`` a frame with one row per slice.

    Undefined:
        No item was rated by both, or both use one and the same value.

    Raises:
        TableError: Not exactly two raters, and as for :func:`fleiss_kappa`.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
        >>> print(cohen_kappa(rows, ci=None))  # p_o = 1/2 = p_e
        Cohen's kappa = 0.000

    Reference:
        Cohen (1960), Educ. Psychol. Meas. 20:37-46, eq. 1.
    """
    checked = read_ratings(ratings, item=item, rater=rater, value=value, group=group, by=by)
    if len(checked.raters) != 2 and not (checked.by and len(checked.raters) > 2):
        raise _not_two(len(checked.raters), "")
    slices = count_pairs(checked)
    for part in slices:
        if part.n_raters != 2:
            raise _not_two(part.n_raters, _where(part.key))
    how = Resampling(ci, confidence, n_boot, seed)
    if not checked.by:
        return kappa_of_pair(slices[0].pairs[0], how)
    return _pairs_frame(checked, slices, how).drop("rater_a", "rater_b")


def pairwise_kappa(
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
) -> pl.DataFrame:
    """Cohen's kappa of every pair of raters, each over the items that both rated; see :func:`cohen_kappa`.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: Kind of interval, or None (much faster for many raters).
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        A frame with the columns of ``by``, ``rater_a``, ``rater_b`` (sorted) and Estimate's fields; n = items that
        both rated. Pairs without a common item are listed, undefined.

    Undefined:
        As for :func:`cohen_kappa`, pair by pair.

    Raises:
        TableError: More than 2,000 raters, and as for :func:`fleiss_kappa`.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
        >>> pairwise_kappa(rows, ci=None).select("rater_a", "rater_b", "value", "n").rows()
        [('ann', 'bob', 0.0, 2)]

    Reference:
        Cohen (1960), Educ. Psychol. Meas. 20:37-46, eq. 1.
    """
    checked = read_ratings(ratings, item=item, rater=rater, value=value, group=group, by=by)
    return pairs_frame(checked, Resampling(ci, confidence, n_boot, seed))


def pairs_frame(ratings: Ratings, how: Resampling) -> pl.DataFrame:
    """Cohen's kappa of every pair of raters of checked ratings."""
    return _pairs_frame(ratings, count_pairs(ratings), how)


def _pairs_frame(ratings: Ratings, slices: list[PairSlice], how: Resampling) -> pl.DataFrame:
    """One row per pair: ``by`` columns, the raters, the estimate."""
    clash = [name for name in ratings.by if name in (*ESTIMATE_SCHEMA, "rater_a", "rater_b")]
    if clash:
        raise ValueError(f'agreement: by cannot be "{clash[0]}", which names a column of the result; rename the column')
    pairs = [pair for part in slices for pair in part.pairs]
    first = ratings.raters.gather([pair.first for pair in pairs]).alias("rater_a")
    second = ratings.raters.gather([pair.second for pair in pairs]).alias("rater_b")
    found = estimates_frame(kappa_of_pair(pair, how) for pair in pairs)
    frame = pl.concat([pl.DataFrame([first, second]), found], how="horizontal")
    if not ratings.by:
        return frame
    keys = [part.key.select(pl.all().repeat_by(len(part.pairs)).explode()) for part in slices if part.pairs]
    by = pl.concat(keys) if keys else pl.DataFrame(schema=dict.fromkeys(ratings.by, pl.String))
    return pl.concat([by, frame], how="horizontal")


def _where(key: pl.DataFrame) -> str:
    return ", ".join(f"{name} = {value}" for name, value in key.row(0, named=True).items()) if key.width else ""


def _not_two(found: int, where: str) -> TableError:
    return TableError(
        f"cohen_kappa compares exactly two raters; found {found}{f' where {where}' if where else ''}; "
        f"use pairwise_kappa for every pair, or krippendorff_alpha or fleiss_kappa for all raters at once."
    )
