"""Two raters: Cohen's kappa, Scott's pi, and Cohen's kappa of every pair of raters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from dfar_toolkit.agreement.categories import offered_values
from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.distances import Weights
from dfar_toolkit.agreement.pairs import Pair, PairSlice, cohen_statistic, count_pairs, estimate_pair, scott_statistic
from dfar_toolkit.agreement.ratings import By, Ratings, RatingsLike, read_ratings
from dfar_toolkit.agreement.statistic import Ci, Resampling, Statistic
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import ESTIMATE_SCHEMA, Estimate, estimates_frame

OfPair = Callable[[Pair, Floats | None], Statistic]


def cohen_kappa(
    ratings: RatingsLike,
    *,
    weights: Weights | None = None,
    order: Sequence[str] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Ci | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> Estimate | pl.DataFrame:
    r"""Agreement of exactly two raters beyond chance, where each keeps to their own distribution of values.

    Over the n items that both rated, with $p_{ac}$, $p_{bc}$ each rater's share of value c,

        $\kappa = \frac{p_o - p_e}{1 - p_e}$,   $p_e = \sum_{c,k} a_{ck} p_{ac} p_{bk}$

    with agreement weights $a_{ck}$ (1 for equal values and 0 else, or ``weights``), by which $p_o$ counts as well.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        weights: Partial credit for pairs of different values: linear, quadratic, ordinal, radical, ratio, circular,
            bipolar, or a matrix of agreement weights over the values in use; None: none.
        order: Values on offer from lowest to highest, for weights on words or on ranks.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap, jackknife, analytic (of Fleiss, Cohen and Everitt), or None.
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
        Cohen (1960), Educ. Psychol. Meas. 20:37-46, eq. 1; weights: Cohen (1968), Psychol. Bull. 70:213-220; standard
        error: Fleiss, Cohen and Everitt (1969), Psychol. Bull. 72:323-327, eq. 13.
    """
    checked = read_ratings(ratings, item=item, rater=rater, value=value, group=group, by=by)
    return _of_two(checked, cohen_statistic, "cohen_kappa", weights, order, Resampling(ci, confidence, n_boot, seed))


def scott_pi(
    ratings: RatingsLike,
    *,
    weights: Weights | None = None,
    order: Sequence[str] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Ci | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> Estimate | pl.DataFrame:
    r"""Agreement of exactly two raters beyond chance, where both draw from one distribution of values.

    Over the n items that both rated, with $\pi_c$ the share of value c among their 2n ratings,

        $\pi = \frac{p_o - p_e}{1 - p_e}$,   $p_e = \sum_{c,k} a_{ck} \pi_c \pi_k$

    For more than two raters see :func:`~dfar_toolkit.agreement.fleiss.fleiss_kappa`, which generalises it.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        weights: Partial credit for pairs of different values: linear, quadratic, ordinal, radical, ratio, circular,
            bipolar, or a matrix of agreement weights over the values in use; None: none.
        order: Values on offer from lowest to highest, for weights on words or on ranks.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap, jackknife, analytic (linearised), or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by; each slice must have exactly two raters.

    Returns:
        An Estimate with n = items that both rated, or with ``by`` a frame with one row per slice.

    Undefined:
        No item was rated by both, or both use one and the same value.

    Raises:
        TableError: Not exactly two raters, and as for :func:`cohen_kappa`.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
        >>> print(scott_pi(rows, ci=None))  # p_o = 1/2, p_e = 9/16 + 1/16
        Scott's pi = -0.333

    Reference:
        Scott (1955), Public Opin. Q. 19:321-325.
    """
    checked = read_ratings(ratings, item=item, rater=rater, value=value, group=group, by=by)
    return _of_two(checked, scott_statistic, "scott_pi", weights, order, Resampling(ci, confidence, n_boot, seed))


def pairwise_kappa(
    ratings: RatingsLike,
    *,
    weights: Weights | None = None,
    order: Sequence[str] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Ci | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> pl.DataFrame:
    """Cohen's kappa of every pair of raters, each over the items that both rated; see :func:`cohen_kappa`.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        weights: Partial credit for pairs of different values: linear, quadratic, ordinal, radical, ratio, circular,
            bipolar, or a matrix of agreement weights over the values in use; None: none.
        order: Values on offer from lowest to highest, for weights on words or on ranks.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: As for :func:`cohen_kappa`; None is much faster for many raters.
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
    return pairs_frame(checked, Resampling(ci, confidence, n_boot, seed), weights=weights, order=order)


def pairs_frame(
    ratings: Ratings, how: Resampling, *, weights: Weights | None = None, order: Sequence[str] | None = None
) -> pl.DataFrame:
    """Cohen's kappa of every pair of raters of checked ratings."""
    slices = count_pairs(ratings)
    tables = _tables(ratings, slices, weights, order)
    return _pairs_frame(ratings, slices, cohen_statistic, tables, how)


def _of_two(
    ratings: Ratings,
    of_pair: OfPair,
    name: str,
    weights: Weights | None,
    order: Sequence[str] | None,
    how: Resampling,
) -> Estimate | pl.DataFrame:
    """A statistic of the only two raters, of all ratings or of each slice."""
    if len(ratings.raters) != 2 and not (ratings.by and len(ratings.raters) > 2):
        raise _not_two(name, len(ratings.raters), "")
    slices = count_pairs(ratings)
    for part in slices:
        if part.n_raters != 2:
            raise _not_two(name, part.n_raters, _where(part.key))
    tables = _tables(ratings, slices, weights, order)
    if not ratings.by:
        return estimate_pair(of_pair(slices[0].pairs[0], tables[0]), how)
    return _pairs_frame(ratings, slices, of_pair, tables, how).drop("rater_a", "rater_b")


def _tables(
    ratings: Ratings, slices: list[PairSlice], weights: Weights | None, order: Sequence[str] | None
) -> list[Floats | None]:
    """Disagreement (V, V) for each slice: named weights go by the values in use there, a matrix by all of them."""
    if weights is None or order is not None or not isinstance(weights, str):
        return [offered_values(ratings.values, weights, order=order).table] * len(slices)
    tables: list[Floats | None] = []
    for part in slices:
        table = np.zeros((len(ratings.values), len(ratings.values)))
        table[np.ix_(part.used, part.used)] = offered_values(ratings.values.gather(part.used), weights).table
        tables.append(table)
    return tables


def _pairs_frame(
    ratings: Ratings, slices: list[PairSlice], of_pair: OfPair, tables: list[Floats | None], how: Resampling
) -> pl.DataFrame:
    """One row per pair: ``by`` columns, the raters, the estimate."""
    clash = [name for name in ratings.by if name in (*ESTIMATE_SCHEMA, "rater_a", "rater_b")]
    if clash:
        raise ValueError(f'agreement: by cannot be "{clash[0]}", which names a column of the result; rename the column')
    pairs = [pair for part in slices for pair in part.pairs]
    first = ratings.raters.gather([pair.first for pair in pairs]).alias("rater_a")
    second = ratings.raters.gather([pair.second for pair in pairs]).alias("rater_b")
    found = estimates_frame(
        estimate_pair(of_pair(pair, table), how)
        for part, table in zip(slices, tables, strict=True)
        for pair in part.pairs
    )
    frame = pl.concat([pl.DataFrame([first, second]), found], how="horizontal")
    if not ratings.by:
        return frame
    keys = [part.key.select(pl.all().repeat_by(len(part.pairs)).explode()) for part in slices if part.pairs]
    by = pl.concat(keys) if keys else pl.DataFrame(schema=dict.fromkeys(ratings.by, pl.String))
    return pl.concat([by, frame], how="horizontal")


def _where(key: pl.DataFrame) -> str:
    return ", ".join(f"{name} = {value}" for name, value in key.row(0, named=True).items()) if key.width else ""


def _not_two(name: str, found: int, where: str) -> TableError:
    return TableError(
        f"{name} compares exactly two raters; found {found}{f' where {where}' if where else ''}; "
        f"use pairwise_kappa for every pair, or krippendorff_alpha or fleiss_kappa for all raters at once."
    )
