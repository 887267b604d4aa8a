"""Correlation of pairs of raters, each pair over the items that both rated, and its mean over the pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.continuous.numbers import (
    Columns,
    Panel,
    check_choice,
    estimate_panels,
    read_panels,
    weighted,
    with_notes,
)
from dfar_toolkit.agreement.continuous.pair_correlation import LEAST, NAMES, Method, correlation_of_pair, mean_spearman
from dfar_toolkit.agreement.continuous.rater_pairs import RaterPair, rater_pairs, units_of_pair
from dfar_toolkit.agreement.continuous.weighted_ranks import Draws, in_blocks
from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.agreement.slices import slices_frame
from dfar_toolkit.estimate import Estimate, Interval, estimate_by_weights, estimates_frame


def mean_correlation(
    ratings: RatingsLike,
    *,
    method: Method = "pearson",
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
    r"""Mean correlation of the pairs of raters, each pair over the items that both rated.

    With $\rho_{jk}$ Pearson's r, Spearman's rho (r of the midranks among the items both rated) or Kendall's tau-b of
    raters j and k, over the P pairs that have one,

        $\bar\rho = \frac{1}{P} \sum_{j < k} \rho_{jk}$

    A pair has none with fewer than three items both rated, or where one of the two gave all of them one number; such
    pairs are left out and counted in the note. In a draw the mean is over the pairs that have one there. Over few
    items r and rho lean towards 0 (a mean of .42 for a true r of .50 where pairs share 3 to 5 items).

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        method: ``pearson``, ``spearman`` or ``kendall``.
        order: Names from lowest to highest, where values are words.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value, a number; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: ``bootstrap`` or ``jackknife``, over items or groups with these raters, or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws. A draw costs the items both rated summed over the pairs (spearman on complete data:
            items times raters); ranks are taken anew in every draw, and kendall makes one pass for each bit of the
            number of values (13 s for two raters, 20,000 different numbers and 2,000 draws). Up to 16 raters, items
            with the same ratings cost one.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items that two or more raters rated, or with ``by`` a frame with one row per slice.

    Undefined:
        No pair of raters has a correlation.

    Raises:
        TableError: More than 2,000 raters, values that are no numbers, missing columns, a rater twice on an item.
        ValueError: An unknown method.

    Example:
        >>> rows = [(i, who, x[i]) for who, x in (("ann", [1, 2, 3]), ("bob", [1, 9, 5])) for i in range(3)]
        >>> [round(mean_correlation(rows, method=m, ci=None).value, 3) for m in ("pearson", "spearman", "kendall")]
        [0.5, 0.5, 0.333]

    Reference:
        Spearman (1904), Am. J. Psychol. 15:72-101; Kendall (1945), Biometrika 33:239-251 (tau-b).
    """
    _check("mean_correlation", method, ci)

    def statistic(panel: Panel) -> Estimate:
        return _mean(panel, method, ci, confidence, n_boot, seed)

    return estimate_panels(ratings, Columns(item, rater, value, group, by, order), "mean_correlation", statistic)


def pairwise_correlation(
    ratings: RatingsLike,
    *,
    method: Method = "pearson",
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
) -> pl.DataFrame:
    r"""Correlation of every pair of raters, each over the items that both rated; see :func:`mean_correlation`.

    With the numbers $x_i, y_i$ of the n items both rated (their midranks for ``spearman``)

        $r = \frac{\sum_i (x_i - \bar x)(y_i - \bar y)}{\sqrt{\sum_i (x_i - \bar x)^2 \sum_i (y_i - \bar y)^2}}$,
        $\tau_b = \frac{C - D}{\sqrt{U_x U_y}}$

    with C and D the concordant and discordant pairs of items, $U_x$ and $U_y$ the pairs not tied on x and on y.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        method: ``pearson``, ``spearman`` or ``kendall``.
        order: Names from lowest to highest, where values are words.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value, a number; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: ``bootstrap`` or ``jackknife``, over items or groups, or None (much faster for many raters).
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws; for their cost see :func:`mean_correlation`.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        A frame with the columns of ``by``, ``rater_a``, ``rater_b`` (sorted) and Estimate's fields; n = items that
        both rated. Pairs without a correlation are listed, undefined.

    Undefined:
        Fewer than three items both rated, or one of the two gave all of them one number.

    Raises:
        TableError: As for :func:`mean_correlation`.
        ValueError: An unknown method, or ``by`` a column of the result.

    Example:
        >>> rows = [(i, who, x[i]) for who, x in (("ann", [1, 2, 3]), ("bob", [1, 9, 5])) for i in range(3)]
        >>> pairwise_correlation(rows, ci=None).select("rater_a", "rater_b", "value", "n").rows()
        [('ann', 'bob', 0.5, 3)]

    Reference:
        Spearman (1904), Am. J. Psychol. 15:72-101; Kendall (1945), Biometrika 33:239-251 (tau-b).
    """
    _check("pairwise_correlation", method, ci)
    names = (by,) if isinstance(by, str) else tuple(by or ())
    taken = [name for name in names if name in ("rater_a", "rater_b")]
    if taken:
        raise ValueError(f'pairwise_correlation: by cannot be "{taken[0]}", a column of the result; rename the column')
    slices = read_panels(ratings, Columns(item, rater, value, group, by, order), "pairwise_correlation")
    keys, found, beside = [], [], []
    for key, panel in slices:
        pairs = rater_pairs(panel)
        keys.append(key)
        found.append([_of_pair(pair, panel, method, ci, confidence, n_boot, seed) for pair in pairs])
        beside += [{"rater_a": panel.raters[pair.first], "rater_b": panel.raters[pair.second]} for pair in pairs]
    schema = dict.fromkeys(("rater_a", "rater_b"), slices[0].panel.raters.dtype if slices else pl.String)
    raters = pl.DataFrame(beside, schema=schema)
    if not names:
        return pl.concat([raters, estimates_frame(found[0])], how="horizontal")
    rows = slices_frame(keys, found, names)
    return pl.concat([rows.select(names), raters, rows.drop(names)], how="horizontal")


class _Mean(NamedTuple):
    """The mean correlation: weights (B, U) -> (B,); the pairs with a correlation, and those with too few items."""

    of_weights: Draws
    n_used: int
    n_short: int


def _mean(panel: Panel, method: Method, ci: Interval | None, confidence: float, n_boot: int, seed: int) -> Estimate:
    own, times = weighted(panel)
    n_pairs = panel.n_raters * (panel.n_raters - 1) // 2
    at_once = method == "spearman" and not own.n_missing
    mean = _of_complete(panel, own) if at_once else _of_pairs(panel, own, times, method)
    found = estimate_by_weights(
        f"Mean {NAMES[method]}",
        times,
        in_blocks(mean.of_weights, own.n_items),
        n=int((panel.per_item >= 2).sum()),
        unit=panel.unit,
        ci=ci,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
        undefined="no pair of raters has a correlation" if n_pairs else "fewer than two raters",
    )
    return with_notes(found, _left_out(n_pairs, mean.n_used, mean.n_short), *panel.notes)


def _of_complete(panel: Panel, own: Panel) -> _Mean:
    """Spearman's on complete data: a rater's ranks are the same in every pair."""
    table = own.table()
    n_pairs, varied = panel.n_raters * (panel.n_raters - 1) // 2, int((table != table[:1]).any(axis=0).sum())
    enough = panel.n_items >= LEAST
    of_items = mean_spearman(table)
    n_used = varied * (varied - 1) // 2 if enough else 0
    return _Mean(lambda weights: of_items(weights[:, own.owner]), n_used, 0 if enough else n_pairs)


def _of_pairs(panel: Panel, own: Panel, times: Floats, method: Method) -> _Mean:
    """Pair by pair, each over the items that both rated."""
    used, n_enough = [], 0
    for pair in rater_pairs(own, least=LEAST if own is panel else 1):
        owner = own.owner[pair.item]
        of_pair = correlation_of_pair(pair, method)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = float(of_pair(times[None, owner])[0])
        n_enough += int(times[owner].sum() >= LEAST)
        if np.isfinite(value):
            used.append((of_pair, owner))

    def mean(weights: Floats) -> Floats:
        total, count = np.zeros(len(weights)), np.zeros(len(weights))
        for of_pair, owner in used:
            value = of_pair(weights[:, owner])
            seen = np.isfinite(value)
            total += np.where(seen, value, 0.0)
            count += seen
        found: Floats = total / count
        return found

    return _Mean(mean, len(used), panel.n_raters * (panel.n_raters - 1) // 2 - n_enough)


def _left_out(n_pairs: int, n_used: int, short: int) -> str:
    if n_used == n_pairs:
        return ""
    constant = n_pairs - n_used - short
    why = [f"{short} with fewer than {LEAST} items both rated"] if short else []
    why += [f"{constant} with a rater who gave one number only"] if constant else []
    return f"{n_pairs - n_used} of {n_pairs} pairs of raters left out: {', '.join(why)}"


def _of_pair(
    pair: RaterPair, panel: Panel, method: Method, ci: Interval | None, confidence: float, n_boot: int, seed: int
) -> Estimate:
    own = units_of_pair(pair, panel)
    single = correlation_of_pair(own.pair, method)
    n = len(pair.item)
    if n == 0:
        why = "no item was rated by both"
    else:
        why = f"fewer than {LEAST} items were rated by both" if n < LEAST else "one of the two gave one number only"
    found = estimate_by_weights(
        NAMES[method],
        own.times,
        in_blocks(lambda weights: single(weights[:, own.owner]), len(own.owner)),
        n=n,
        unit=own.unit,
        ci=ci,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
        undefined=why,
    )
    return with_notes(found if n else replace(found, note=why), *panel.notes)


def _check(what: str, method: str, ci: str | None) -> None:
    check_choice(what, "method", method, get_args(Method))
    check_choice(what, "ci", ci, (*get_args(Interval), None))
