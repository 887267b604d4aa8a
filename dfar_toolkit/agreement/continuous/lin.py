"""Concordance of numbers: Lin's coefficient for two raters, and the overall one for more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.continuous.numbers import (
    Columns,
    Incomplete,
    Panel,
    both_rated,
    check_choice,
    complete_items,
    estimate_panels,
    with_notes,
)
from dfar_toolkit.agreement.continuous.unit_rows import estimate_rows
from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.estimate import Estimate, Interval

LinInterval = Literal["analytic", "bootstrap", "jackknife"]

_ROUNDING: Final = 1e-12  # of a sum of squares: what is left below it is rounding


def lin_ccc(
    ratings: RatingsLike,
    *,
    order: Sequence[str] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: LinInterval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> Estimate | pl.DataFrame:
    r"""Lin's concordance correlation: how near two raters' numbers lie to the line of equality.

    Over the n items both rated, with moments divided by n,

        $\rho_c = \frac{2 s_{xy}}{s_x^2 + s_y^2 + (\bar x - \bar y)^2}$

    The analytic limits are those of $z = \operatorname{artanh} \rho_c$ at normal quantiles, with r Pearson's
    correlation, $u^2 = (\bar x - \bar y)^2 / (s_x s_y)$ and the variance

        $\frac{1}{n - 2} \left[\frac{(1 - r^2) \rho_c^2}{(1 - \rho_c^2) r^2} + \frac{2 \rho_c^3 (1 - \rho_c) u^2}
        {r (1 - \rho_c^2)^2} - \frac{\rho_c^4 u^4}{2 r^2 (1 - \rho_c^2)^2}\right]$

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        order: Names from lowest to highest, taken as 0, 1, 2, ..., where values are words.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value, a number; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: ``bootstrap`` or ``jackknife`` (over items or groups), ``analytic`` (normal numbers, independent items), or
            None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by; each slice must have exactly two raters.

    Returns:
        An Estimate with n = items both rated, or with ``by`` a frame with one row per slice.

    Undefined:
        Fewer than two items both rated, or numbers of neither rater that vary. No analytic interval where items come
        in groups, n < 3, the raters do not correlate at all, or one's numbers are a line of the other's.

    Raises:
        TableError: Not exactly two raters, values that are no numbers, missing columns, a rater twice on an item.
        ValueError: An unknown interval.

    Example:
        >>> rows = [(i, who, x[i]) for who, x in (("ann", [1, 2, 3]), ("bob", [2, 3, 4])) for i in range(3)]
        >>> print(lin_ccc(rows, ci=None))  # 2 (2/3) / (2/3 + 2/3 + 1)
        Lin's concordance = 0.571

    Reference:
        Lin (1989), Biometrics 45:255-268, eq. 2; variance as corrected in Lin (2000), Biometrics 56:324-325.
    """
    check_choice("lin_ccc", "ci", ci, (*get_args(LinInterval), None))

    def statistic(panel: Panel) -> Estimate:
        own = both_rated(panel, "lin_ccc, or use overall_ccc for all raters at once")
        drawn = None if ci == "analytic" else ci
        found = _of_panel("Lin's concordance", own, drawn, confidence, n_boot, seed)
        if ci == "analytic":
            found = _analytic(found, own)
        return with_notes(found, *own.notes)

    return estimate_panels(ratings, Columns(item, rater, value, group, by, order), "lin_ccc", statistic)


def overall_ccc(
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
    r"""Overall concordance correlation of J raters: Lin's coefficient for any number of them.

    With moments divided by n,

        $\rho_o = \frac{2 \sum_{j < k} s_{jk}}{(J - 1) \sum_j s_j^2 + \sum_{j < k} (\bar x_j - \bar x_k)^2}$

    the mean of the pairs' $\rho_c$, weighted by their denominators.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        incomplete: ``refuse`` items that lack a rating, or ``drop`` them and count them in the note.
        order: Names from lowest to highest, taken as 0, 1, 2, ..., where values are words.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value, a number; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: ``bootstrap`` or ``jackknife`` over items or groups with these raters, or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items, or with ``by`` a frame with one row per slice.

    Undefined:
        Fewer than two items or raters, or numbers of no rater that vary.

    Raises:
        TableError: Missing cells if refused, values that are no numbers, missing columns, a rater twice on an item.

    Example:
        >>> rows = [(i, who, x[i]) for who, x in (("ann", [1, 2, 3]), ("bob", [2, 3, 4])) for i in range(3)]
        >>> print(overall_ccc(rows, ci=None))
        Overall concordance = 0.571

    Reference:
        Barnhart, Haber and Song (2002), Biometrics 58:1020-1027, eq. 3.
    """
    check_choice("overall_ccc", "ci", ci, (*get_args(Interval), None))

    def statistic(panel: Panel) -> Estimate:
        own = complete_items(panel, "overall_ccc", incomplete)
        return with_notes(_of_panel("Overall concordance", own, ci, confidence, n_boot, seed), *own.notes)

    return estimate_panels(ratings, Columns(item, rater, value, group, by, order), "overall_ccc", statistic)


def _of_panel(name: str, panel: Panel, ci: Interval | None, confidence: float, n_boot: int, seed: int) -> Estimate:
    """The overall concordance of a complete panel."""
    table = panel.table()
    if table.size:
        table = table - np.median(table)
    total = table.sum(axis=1)
    rows = np.column_stack([total**2, (table**2).sum(axis=1), table])
    if panel.n_items < 2:
        why = "fewer than two items"
    else:
        why = "fewer than two raters" if panel.n_raters < 2 else "the numbers of no rater vary"
    return estimate_rows(
        name, panel, rows, _concordance, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed, undefined=why
    )


def _concordance(count: Floats, sums: Floats) -> Floats:
    mean = sums[:, 2:] / count[:, None]
    j = mean.shape[1]
    square, centre = sums[:, 1] / count, (mean**2).sum(axis=1)
    own = np.where(square - centre > _ROUNDING * square, square - centre, np.nan)
    of_total = sums[:, 0] / count - mean.sum(axis=1) ** 2
    apart = j * centre - mean.sum(axis=1) ** 2
    value: Floats = (of_total - own) / ((j - 1) * own + apart)
    return value


def _analytic(found: Estimate, panel: Panel) -> Estimate:
    """The estimate with Lin's limits, or with the reason why there are none."""
    from scipy.stats import norm

    found = replace(found, method="Fisher z")
    if np.isnan(found.value):
        return found
    if panel.unit != "items":
        return replace(found, note='no analytic interval: items come in groups; ask for ci="bootstrap"')
    table, n, c = panel.table(), panel.n_items, found.value
    table = table - np.median(table)
    deviation = table - table.mean(axis=0)
    shared = float(deviation.prod(axis=1).sum())
    own, other = (float(square) for square in (deviation**2).sum(axis=0))
    if n < 3 or abs(shared) <= _ROUNDING * max(own, other) or 1 - shared**2 / (own * other) <= _ROUNDING:
        return replace(
            found, note="no analytic interval: fewer than three items, or a correlation of exactly 0, 1 or -1"
        )
    r, u2 = shared / np.sqrt(own * other), n * float(np.diff(table.mean(axis=0))[0]) ** 2 / np.sqrt(own * other)
    rest = 1 - c**2
    variance = (1 - r**2) * c**2 / (rest * r**2) + 2 * c**3 * (1 - c) * u2 / (r * rest**2)
    variance = (variance - c**4 * u2**2 / (2 * r**2 * rest**2)) / (n - 2)
    half = float(norm.ppf(0.5 + found.confidence / 2)) * float(np.sqrt(variance))
    return replace(found, low=float(np.tanh(np.arctanh(c) - half)), high=float(np.tanh(np.arctanh(c) + half)))
