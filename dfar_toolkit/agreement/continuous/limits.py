"""Limits of agreement: how far two raters' numbers for one item lie apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Literal, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.continuous.numbers import Columns, Panel, both_rated, check_choice, read_panels, with_notes
from dfar_toolkit.agreement.continuous.unit_rows import estimate_rows
from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.agreement.slices import slices_frame
from dfar_toolkit.estimate import Estimate, estimates_frame

LimitsInterval = Literal["analytic", "bootstrap", "jackknife"]

_SIGNS: Final = {"Bias": 0, "Lower limit of agreement": -1, "Upper limit of agreement": 1}
_ROUNDING: Final = 1e-12


def limits_of_agreement(
    ratings: RatingsLike,
    *,
    share: float = 0.95,
    order: Sequence[str] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: LimitsInterval | None = "analytic",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> pl.DataFrame:
    r"""Bias of one rater against another, and the limits between which a share of their differences lies.

    With the differences $d_i = x_i - y_i$ (first rater in sorted order less the second) of the n items both rated,
    their mean and standard deviation s (over $n - 1$) and the normal quantile $z = z_{(1 + share) / 2}$,

        bias $\bar d$,   limits $\bar d \pm z s$

    Analytic intervals are exact for independent normal differences: $\bar d \pm t_{n-1} s / \sqrt n$ for the bias, and
    for a limit $\bar d + s\, t_p(n - 1, \pm z \sqrt n) / \sqrt n$ with quantiles of the noncentral t distribution.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        share: Share of differences the limits are meant to hold.
        order: Names from lowest to highest, taken as 0, 1, 2, ..., where values are words.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value, a number; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: ``analytic`` (exact for normal differences of independent items), ``bootstrap`` or ``jackknife`` (over items
            or groups), or None.
        confidence: Two-sided coverage asked for, of each interval by itself.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by; each slice must have exactly two raters.

    Returns:
        A frame with the columns of ``by``, ``rater_a``, ``rater_b`` and Estimate's fields, three rows a slice: the bias
        of a against b, the lower and the upper limit; n = items both rated.

    Undefined:
        No item both rated; the limits for one item. No interval where all differences are equal, and no analytic one
        where items come in groups.

    Raises:
        TableError: Not exactly two raters, values that are no numbers, missing columns, a rater twice on an item.
        ValueError: ``share`` not between 0 and 1, an unknown interval.

    Example:
        >>> rows = [(i, who, x[i]) for who, x in (("ann", [1, 4, 9]), ("bob", [1, 2, 5])) for i in range(3)]
        >>> limits_of_agreement(rows, ci=None)["value"].round(2).to_list()  # differences 0, 2, 4: s = 2
        [2.0, -1.92, 5.92]

    Reference:
        Bland and Altman (1986), Lancet 327:307-310; exact intervals: Carkeet (2015), Optom. Vis. Sci. 92:e71-e80.
    """
    check_choice("limits_of_agreement", "ci", ci, (*get_args(LimitsInterval), None))
    if not 0 < share < 1:
        raise ValueError(f"limits_of_agreement: share must lie between 0 and 1, found {share}")
    names = (by,) if isinstance(by, str) else tuple(by or ())
    taken = [name for name in names if name in ("rater_a", "rater_b")]
    if taken:
        raise ValueError(f'limits_of_agreement: by cannot be "{taken[0]}", a column of the result; rename the column')
    slices = read_panels(ratings, Columns(item, rater, value, group, by, order), "limits_of_agreement")
    panels = [both_rated(part.panel, "limits_of_agreement") for part in slices]
    found = [[_row(panel, name, share, ci, confidence, n_boot, seed) for name in _SIGNS] for panel in panels]
    pairs = [{"rater_a": panel.raters[0], "rater_b": panel.raters[1]} for panel in panels for _ in _SIGNS]
    dtype = panels[0].raters.dtype if panels else pl.String
    raters = pl.DataFrame(pairs, schema=dict.fromkeys(("rater_a", "rater_b"), dtype))
    if not names:
        return pl.concat([raters, estimates_frame(found[0])], how="horizontal")
    rows = slices_frame([part.key for part in slices], found, names)
    return pl.concat([rows.select(names), raters, rows.drop(names)], how="horizontal")


def _row(
    panel: Panel, name: str, share: float, ci: LimitsInterval | None, confidence: float, n_boot: int, seed: int
) -> Estimate:
    from scipy.stats import norm

    table = panel.table()
    d = table[:, 0] - table[:, 1]
    centre = float(np.median(d)) if len(d) else 0.0
    z = _SIGNS[name] * float(norm.ppf(0.5 + share / 2))
    rows = np.column_stack([d - centre, (d - centre) ** 2])
    found = estimate_rows(
        name,
        panel,
        rows,
        _quantile(centre, z),
        ci=None if ci == "analytic" else ci,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
        undefined="one item only",
    )
    if panel.n_items == 0:
        found = replace(found, note="no item was rated by both")
    if ci == "analytic":
        found = _analytic(found, panel, d, z)
    return with_notes(found, *panel.notes)


def _quantile(centre: float, z: float) -> Callable[[Floats, Floats], Floats]:
    """Mean plus z standard deviations of the differences."""

    def formula(count: Floats, sums: Floats) -> Floats:
        mean, square = sums[:, 0] / count, sums[:, 1]
        if z == 0:
            return centre + mean
        rest = square - sums[:, 0] * mean
        spread = np.sqrt(np.where(rest > _ROUNDING * square, rest, 0.0) / (count - 1))
        value: Floats = centre + mean + z * spread
        return value

    return formula


def _analytic(found: Estimate, panel: Panel, d: Floats, z: float) -> Estimate:
    """The estimate with exact limits for normal differences, or with the reason why there are none."""
    from scipy.stats import nct, t

    found = replace(found, method="t" if z == 0 else "noncentral t")
    if np.isnan(found.value):
        return found
    n = len(d)
    if panel.unit != "items":
        return replace(found, note='no analytic interval: items come in groups; ask for ci="bootstrap"')
    if n < 2:
        return replace(found, note="no interval: one unit (items) only")
    if float(np.ptp(d)) <= _ROUNDING * float(np.abs(d).max()):
        return replace(found, note="no interval: all differences are equal")
    tail = (1 - found.confidence) / 2
    step, away = float(d.std(ddof=1)) / np.sqrt(n), abs(z) * np.sqrt(n)
    # Quantiles for a limit below are those above, mirrored: the distribution is computed at one sign only.
    ends = [float(t.ppf(p, n - 1) if z == 0 else nct.ppf(p, n - 1, away)) for p in (tail, 1 - tail)]
    low, high = (-ends[1], -ends[0]) if z < 0 else (ends[0], ends[1])
    mean = float(d.mean())
    return replace(found, low=mean + step * low, high=mean + step * high)
