"""Cronbach's alpha: reliability of the sum of all raters' numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import polars as pl

from dfar_toolkit.agreement.continuous.icc import IccInterval, icc_of_panel
from dfar_toolkit.agreement.continuous.numbers import (
    Columns,
    Incomplete,
    Panel,
    check_choice,
    complete_items,
    estimate_panels,
)
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.estimate import Estimate


def cronbach_alpha(
    ratings: RatingsLike,
    *,
    incomplete: Incomplete = "refuse",
    order: Sequence[str] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: IccInterval | None = "analytic",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> Estimate | pl.DataFrame:
    r"""Reliability of the sum of k raters' numbers, on complete data; the raters are the parts of a test.

    With the variance $s_j^2$ of rater j's numbers over the items and $s_T^2$ of the items' sums,

        $\alpha = \frac{k}{k - 1} (1 - \sum_j s_j^2 / s_T^2)$

    which is ICC(C,k) by another road. With $F_p$ quantiles of F with $n - 1$ and $(n - 1)(k - 1)$ degrees of freedom,
    Feldt's limits are $1 - (1 - \alpha) F_{1 - p}$ and $1 - (1 - \alpha) F_p$, p half of what is left of the coverage.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        incomplete: ``refuse`` items that lack a rating, or ``drop`` them and count them in the note.
        order: Names from lowest to highest, taken as 0, 1, 2, ..., where values are words.
        item: Column of the item (the person tested, of a questionnaire).
        rater: Column of the rater (the question, of a questionnaire).
        value: Column of the value, a number; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: ``analytic`` (Feldt; independent items), ``bootstrap`` or ``jackknife`` (over groups), or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items, or with ``by`` a frame with one row per slice. May be negative.

    Undefined:
        Fewer than two items or raters, or sums that do not differ. No analytic interval where items come in groups or
        no error variance was seen.

    Raises:
        TableError: Missing cells if refused; values that are no numbers; and as for :func:`~.icc.icc`.

    Example:
        >>> rows = [("x", "ann", 1), ("x", "bob", 1), ("y", "ann", 3), ("y", "bob", 2)]  # variances 2 and 1/2, sums 9/2
        >>> print(cronbach_alpha(rows, ci=None))  # 2 (1 - 5/9)
        Cronbach's alpha = 0.889

    Reference:
        Cronbach (1951), Psychometrika 16:297-334, eq. 2; Feldt (1965), Psychometrika 30:357-370.
    """
    check_choice("cronbach_alpha", "ci", ci, (*get_args(IccInterval), None))

    def statistic(panel: Panel) -> Estimate:
        own = complete_items(panel, "cronbach_alpha", incomplete)
        return icc_of_panel(own, "C,k", "Cronbach's alpha", ci, confidence, n_boot, seed)

    return estimate_panels(ratings, Columns(item, rater, value, group, by, order), "cronbach_alpha", statistic)
