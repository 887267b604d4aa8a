"""Kendall's coefficient of concordance: how alike raters rank the items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.continuous.numbers import (
    Columns,
    Incomplete,
    Panel,
    check_choice,
    complete_items,
    estimate_panels,
    weighted,
    with_notes,
)
from dfar_toolkit.agreement.continuous.weighted_ranks import in_blocks, midranks
from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.estimate import Estimate, Interval, estimate_by_weights


def kendall_w(
    ratings: RatingsLike,
    *,
    incomplete: Incomplete = "refuse",
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
    r"""How alike m raters rank n items: 1 if all rank alike, 0 if the ranks cancel out; corrected for ties.

    With midranks $r_{ij}$ of item i by rater j less their mean $(n + 1) / 2$, $R_i = \sum_j r_{ij}$ and $t$ the sizes
    of rater j's ties,

        $W = \frac{\sum_i R_i^2}{m \sum_j \sum_i r_{ij}^2} = \frac{12 \sum_i R_i^2}{m^2 (n^3 - n) - m \sum_j T_j}$,
        $T_j = \sum_t (t^3 - t)$

    and $W = ((m - 1) \bar\rho + 1) / m$ with $\bar\rho$ the mean Spearman correlation of the pairs of raters, where no
    rater has ties. Its least value is therefore no sign of disagreement by itself: compare numbers with equal m.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        incomplete: ``refuse`` items that lack a rating, or ``drop`` them and count them in the note.
        order: Names from lowest to highest, where values are words.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value, a number; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: ``bootstrap`` or ``jackknife``, over items or groups, or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws. Every draw ranks its items anew and costs items (or, with up to 16 raters, distinct
            rows of ratings) times raters.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items, or with ``by`` a frame with one row per slice.

    Undefined:
        Fewer than two items or raters, or raters who tie all items.

    Raises:
        TableError: Missing cells if refused, values that are no numbers, missing columns, a rater twice on an item.
        ValueError: An unknown way with missing cells.

    Example:
        >>> rows = [(i, who, r[i]) for who, r in (("ann", [1, 2, 3]), ("bob", [1, 3, 2])) for i in range(3)]
        >>> print(kendall_w(rows, ci=None))  # R = -2, 1, 1: 6 / (2 * 4)
        Kendall's W = 0.750

    Reference:
        Kendall and Babington Smith (1939), Ann. Math. Stat. 10:275-287; ties as in Kendall (1970), Rank Correlation
        Methods, section 6.10.
    """
    check_choice("kendall_w", "ci", ci, (*get_args(Interval), None))

    def statistic(panel: Panel) -> Estimate:
        own = complete_items(panel, "kendall_w", incomplete)
        return _of_panel(own, ci, confidence, n_boot, seed)

    return estimate_panels(ratings, Columns(item, rater, value, group, by, order), "kendall_w", statistic)


def _of_panel(panel: Panel, ci: Interval | None, confidence: float, n_boot: int, seed: int) -> Estimate:
    own, times = weighted(panel)
    m = panel.n_raters
    table = own.table()
    ranked = [midranks(column) for column in table.T]

    def concordance(weights: Floats) -> Floats:
        w = weights[:, own.owner]
        total, squares = np.zeros_like(w), np.zeros(len(w))
        for ranks in ranked:
            r = ranks(w)
            total += r
            squares += (w * r**2).sum(axis=1)
        value: Floats = (w * total**2).sum(axis=1) / (m * squares)
        return value if m > 1 else np.full(len(w), np.nan)

    found = estimate_by_weights(
        "Kendall's W",
        times,
        in_blocks(concordance, table.shape[0]),
        n=panel.n_items,
        unit=panel.unit,
        ci=ci,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
        undefined=_why(panel),
    )
    return with_notes(found, *panel.notes)


def _why(panel: Panel) -> str:
    if panel.n_raters < 2:
        return "fewer than two raters"
    return "fewer than two items" if panel.n_items < 2 else "every rater ties all items"
