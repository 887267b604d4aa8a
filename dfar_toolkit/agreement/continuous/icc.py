"""Intraclass correlations of single and of mean ratings: one-way, agreement and consistency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.continuous.icc_intervals import (
    OUTSIDE,
    PERFECT,
    MeanSquares,
    agreement_limits,
    f_limits,
    mean_squares,
    of_mean,
    unequal_limits,
)
from dfar_toolkit.agreement.continuous.numbers import (
    Columns,
    Incomplete,
    Panel,
    check_choice,
    complete_items,
    estimate_panels,
    with_notes,
)
from dfar_toolkit.agreement.continuous.unit_rows import estimate_apart, estimate_rows
from dfar_toolkit.agreement.continuous.variance_components import (
    Matrix,
    Squares,
    item_rows,
    one_way,
    sums_of_squares,
    two_way,
)
from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.estimate import Estimate

Form = Literal["1", "1,k", "A,1", "A,k", "C,1", "C,k"]
IccInterval = Literal["analytic", "bootstrap", "jackknife"]

_ROUNDING: Final = 1e-12
_FEW_RATERS: Final = 10  # raters below which F limits over raters cover 88 to 92 % on many items


def icc(
    ratings: RatingsLike,
    *,
    form: Form = "A,1",
    incomplete: Literal["components"] | Incomplete = "components",
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
    r"""Share of the variance of numerical ratings that is due to the items.

    With variances $\sigma_\alpha^2$ of items, $\sigma_\beta^2$ of raters and $\sigma_\epsilon^2$ of error, and k
    ratings behind a mean,

    * ``1``: $\sigma_\alpha^2 / (\sigma_\alpha^2 + \sigma_w^2)$, where nothing ties a rating to a rater (one-way:
      $\sigma_w^2$ holds raters and error); Shrout and Fleiss' ICC(1,1);
    * ``A,1``: $\sigma_\alpha^2 / (\sigma_\alpha^2 + \sigma_\beta^2 + \sigma_\epsilon^2)$, absolute agreement of raters
      who stand for others; their ICC(2,1);
    * ``C,1``: $\sigma_\alpha^2 / (\sigma_\alpha^2 + \sigma_\epsilon^2)$, consistency, where a rater may be higher
      throughout; their ICC(3,1);
    * ``1,k``, ``A,k``, ``C,k``: the same of the mean of an item's ratings, all but $\sigma_\alpha^2$ divided by k;
      their ICC(1,k), (2,k), (3,k).

    On complete data these are the mean squares of the analysis of variance. Where cells are missing, the components of
    the two-way forms come from Henderson's method 1, those of form 1 from the one-way analysis of variance, and k is
    the harmonic mean of the items' numbers of ratings. Forms 1 and 1,k ask for no complete data: raters may differ
    from item to item. Bootstrap and jackknife are over items with these raters; only the analytic limits of the forms
    A reckon with other raters.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        form: Which correlation, named as by McGraw and Wong.
        incomplete: Missing cells in a two-way form: ``components``, ``refuse``, or ``drop`` items that lack a rating
            (counted in the note).
        order: Names from lowest to highest, taken as 0, 1, 2, ..., where values are words.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value, a number; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: ``analytic`` (from the F distribution: normal ratings, independent items, the two-way forms on complete
            data; forms A over items and raters), ``bootstrap`` or ``jackknife`` (over groups, with these raters), or
            None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws; a draw costs the number of items times raters.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items, or with ``by`` a frame with one row per slice. May be negative.

    Undefined:
        Fewer than two items, no item with two ratings, no variance, or a design in which raters cannot be told from
        items. No analytic interval where items come in groups, cells are missing, or no error variance was seen.

    Raises:
        TableError: Missing columns, a rater twice on an item, values that are no numbers, missing cells if refused.
        ValueError: An unknown form, interval or way with missing cells.

    Example:
        >>> rows = [("x", "ann", 1), ("x", "bob", 2), ("y", "ann", 3), ("y", "bob", 4)]  # MS 4 (items), 1 (raters), 0
        >>> [round(icc(rows, form=form, ci=None).value, 3) for form in ("1", "A,1", "C,1")]
        [0.778, 0.8, 1.0]

    Reference:
        McGraw and Wong (1996), Psychol. Methods 1:30-46, tables 4 and 7; Shrout and Fleiss (1979), Psychol. Bull.
        86:420-428; Wald (1940), Ann. Math. Stat. 11:96-100 (limits for unequal numbers of ratings); Searle, Casella
        and McCulloch (1992), Variance Components, section 5.3 (missing cells).
    """
    check_choice("icc", "form", form, get_args(Form))
    check_choice("icc", "incomplete", incomplete, ("components", "refuse", "drop"))
    check_choice("icc", "ci", ci, (*get_args(IccInterval), None))

    def statistic(panel: Panel) -> Estimate:
        own = panel
        if incomplete != "components" and form[0] != "1":
            own = complete_items(panel, "icc", incomplete)
        return icc_of_panel(own, form, f"ICC({form})", ci, confidence, n_boot, seed)

    return estimate_panels(ratings, Columns(item, rater, value, group, by, order), "icc", statistic)


def icc_of_panel(
    panel: Panel, form: Form, name: str, ci: IccInterval | None, confidence: float, n_boot: int, seed: int
) -> Estimate:
    """An intraclass correlation of ratings as numbers, under a given name."""
    rows = item_rows(panel, two_way=form[0] != "1")

    def of_sums(count: Floats, sums: Floats, squared: Floats | None = None) -> Floats:
        return icc_of_squares(sums_of_squares(count, sums, squared), form)

    estimator = estimate_apart if form[0] != "1" and panel.n_missing else estimate_rows
    drawn = None if ci == "analytic" else ci
    found = estimator(
        name,
        panel,
        rows,
        of_sums,
        ci=drawn,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
        undefined=_why(panel),
    )
    if ci == "analytic":
        found = replace(found, method="F")
        if not np.isnan(found.value):
            found = _analytic(found, panel, rows, form)
    note = "" if form[0] == "1" or np.isnan(found.value) else _missing(panel)
    return with_notes(found, note, *panel.notes)


def icc_of_squares(squares: Squares, form: Form) -> Floats:
    """The correlation of each draw (B,)."""
    parts = one_way(squares) if form[0] == "1" else two_way(squares)
    error = parts.error + parts.raters if form[0] == "A" else parts.error
    if form.endswith("k"):
        error = error * squares.harmonic
    total = parts.items + error
    scale = (squares.between + squares.within) / squares.ratings
    value: Floats = parts.items / np.where(total > _ROUNDING * scale, total, np.nan)
    return value


def _why(panel: Panel) -> str:
    """Why there is no value, if there is none."""
    if panel.n_items < 2:
        return "fewer than two items"
    if panel.per_item.max() < 2:
        return "no item has two or more ratings"
    if float(np.ptp(panel.x)) == 0:
        return "every rating is the same number, so there is no variance to share out"
    if panel.n_missing:
        return "with these missing cells items, raters and error cannot be told apart, or their variances add up to 0"
    return "the items' means do not differ, or there is no variance but the raters'"


def _missing(panel: Panel) -> str:
    if not panel.n_missing:
        return ""
    cells = panel.n_items * panel.n_raters
    return f"variance components by Henderson's method 1: {panel.n_missing} of {cells} cells have no rating"


def _analytic(found: Estimate, panel: Panel, rows: Matrix, form: Form) -> Estimate:
    """The estimate with limits from F, or with the reason why there are none."""
    if panel.unit != "items":
        return replace(found, note='no analytic interval: items come in groups; ask for ci="bootstrap"')
    if form[0] != "1" and panel.n_missing:
        return replace(found, note='no analytic interval: cells are missing; ask for ci="bootstrap"')
    squares = sums_of_squares(np.array([float(panel.n_items)]), np.asarray(rows.sum(axis=0))[None, :])
    with np.errstate(divide="ignore", invalid="ignore"):
        ms = mean_squares(squares)
        if (ms.within if form[0] == "1" else ms.error) == 0:
            return replace(found, note=PERFECT)
        limits = _limits(panel, squares, ms, form, found.confidence)
        k = 1 / float(squares.harmonic[0])
        low, high = (of_mean(end, k) if form.endswith("k") else end for end in limits)
    if not np.isfinite([low, high]).all():
        return replace(found, note="no interval: the F distribution gives no limits here")
    scope = "items+raters" if form[0] == "A" else "items"
    inside = low <= found.value <= high
    few = form[0] == "A" and panel.n_raters < _FEW_RATERS
    notes = ("" if inside else OUTSIDE, f"limits over {panel.n_raters} raters may run short" if few else "")
    return replace(found, low=low, high=high, scope=scope, note="; ".join(note for note in notes if note))


def _limits(panel: Panel, squares: Squares, ms: MeanSquares, form: Form, confidence: float) -> tuple[float, float]:
    """Limits of the correlation of single ratings."""
    n, k = ms.n, ms.k
    if form[0] == "A":
        return agreement_limits(ms, float(icc_of_squares(squares, "A,1")[0]), confidence)
    if form[0] == "C":
        return f_limits(ms.items, ms.error, (n - 1, (n - 1) * (k - 1)), k, confidence)
    m = panel.per_item
    if m.min() == m.max():
        return f_limits(ms.items, ms.within, (n - 1, n * (k - 1)), k, confidence)
    mean = np.bincount(panel.item, weights=panel.x, minlength=len(m)) / m
    return unequal_limits(mean, m, ms.within, confidence)
