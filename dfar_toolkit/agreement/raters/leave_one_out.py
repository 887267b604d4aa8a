r"""Krippendorff's alpha without each rater in turn.

Removing a rating changes its item's disagreement and one marginal count (two where the item is left with one rating),
so at the nominal and the interval level all raters together cost one pass over the ratings. The other levels cost
raters times distinct item patterns, an interval raters times draws times patterns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.cells import Cells, cell_slices
from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.distances import Level
from dfar_toolkit.agreement.raters.rater_fit import NOBODY_ELSE
from dfar_toolkit.agreement.raters.shared_items import numbered, same_value, shared_items, with_keys
from dfar_toolkit.agreement.raters.without_rater import (
    WithoutRater,
    alpha_by_patterns,
    alpha_of_moments,
    alpha_of_squares,
)
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.estimate import Estimate, Interval, estimates_frame

_SIMPLE: Final = ("nominal", "interval")
_UNDEFINED: Final = "with or without the rater, only one value is in use or no item has two ratings"


def leave_one_rater_out(
    ratings: RatingsLike,
    *,
    level: Level = "nominal",
    order: Sequence[str] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Interval | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> pl.DataFrame:
    r"""How Krippendorff's alpha changes when one rater is left out, for each rater.

    With $\alpha$ over all ratings and $\alpha_{-r}$ over those of the other raters,

        $\Delta_r = \alpha_{-r} - \alpha$

    which is above 0 where the others agree better without rater r.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        level: Level of measurement of the values.
        order: Names of the values from lowest to highest, for ordinal text.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: Kind of interval of the change, at level nominal and interval; None, the default, is far quicker where
            there are many raters. Both alphas see the same draw of items; the raters are fixed.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        One row per rater, sorted: the columns of ``by``, ``rater``, ``alpha`` (all raters), ``alpha_without``, and
        Estimate's fields of the change; n = items that keep two or more ratings without the rater.

    Undefined:
        Where alpha with or without the rater is: no item with two ratings, or one value only.

    Raises:
        ValueError: An interval at another level than nominal and interval.
        TableError: As :func:`~dfar_toolkit.agreement.krippendorff_alpha`.

    Example:
        Cat alone differs; ann and bob agree.

        >>> given = {"ann": "AAB", "bob": "AAB", "cat": "ABA"}
        >>> rows = [(item, who, values[item]) for who, values in given.items() for item in (0, 1, 2)]
        >>> leave_one_rater_out(rows).select("rater", pl.col("alpha_without").round(3)).rows()
        [('ann', -0.25), ('bob', -0.25), ('cat', 1.0)]

    Reference:
        Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, Annenberg School, paper 43.
    """
    if level not in get_args(Level):
        raise ValueError(f"leave_one_rater_out: level must be one of {', '.join(get_args(Level))}, found {level!r}")
    if ci is not None and level not in ("nominal", "interval"):
        raise ValueError(f"leave_one_rater_out: ci is for level nominal and interval, found level {level!r}; give None")
    how = _How(level, order, ci, confidence, n_boot, seed)
    slices = cell_slices(ratings, item=item, rater=rater, value=value, group=group, by=by)
    return with_keys([(part.key, _of_slice(part.cells, how)) for part in slices], by)


class _How(NamedTuple):
    level: Level
    order: Sequence[str] | None
    ci: Interval | None
    confidence: float
    n_boot: int
    seed: int


def _of_slice(cells: Cells, how: _How) -> pl.DataFrame:
    """One row per rater of a slice, those without a shared item too."""
    own = numbered(shared_items(cells), how.level, how.order)
    n_raters, n_items = len(own.raters), len(own.items)
    with np.errstate(divide="ignore", invalid="ignore"):
        whole, without = _by_increments(own, how.level) if how.level in _SIMPLE else alpha_by_patterns(own, how.level)
    patterns = WithoutRater(own) if how.ci is not None else None
    rated = np.bincount(own.rater, minlength=n_raters)
    left = n_items - np.bincount(own.rater[own.n_per_item[own.item] == 2], minlength=n_raters)
    n_units = n_items if own.group is None else len(np.unique(own.group))
    unit, nan = "groups" if n_units < n_items else "items", float("nan")
    blank = Estimate(
        f"change of alpha ({how.level}) without the rater", nan, nan, nan, 0, n_units, unit, "items", how.ci or "none",
        how.confidence,
    )  # fmt: skip
    changes = []
    for r in range(n_raters):
        value = float(without[r] - whole)
        note = _UNDEFINED if np.isnan(value) else "" if rated[r] else NOBODY_ELSE
        found = replace(blank, note=note)
        if patterns is not None and not note:
            found = patterns.change(r, blank, level=how.level, ci=how.ci, n_boot=how.n_boot, seed=how.seed)
        note = "; ".join(filter(None, [found.note, *own.notes]))
        changes.append(replace(found, value=value, n=int(left[r]), note=note))
    alphas = pl.DataFrame({"rater": own.raters, "alpha": np.full(n_raters, whole), "alpha_without": without})
    return pl.concat([alphas, estimates_frame(changes)], how="horizontal")


def _by_increments(cells: Cells, level: Level) -> tuple[float, Floats]:
    """Alpha of everybody, and without each rater (R,)."""
    n_raters, x = len(cells.raters), cells.values.to_numpy()
    before, after = _disagreements(cells, level)
    added = float((before / cells.n_per_item[cells.item]).sum())
    observed = added + np.append(0.0, np.bincount(cells.rater, after - before, minlength=n_raters))
    marginal = np.bincount(cells.value, minlength=len(x)).astype(np.float64)
    who, what, times = _taken(cells)

    def left(per_value: Floats, taken: Floats) -> Floats:
        """A sum over values (V,), of everybody and without each rater (1 + R,)."""
        return float(per_value.sum()) - np.append(0.0, np.bincount(who, taken, minlength=n_raters))

    n = left(marginal, times)
    if level == "nominal":
        alpha = alpha_of_squares(observed, n, left(marginal**2, times * (2 * marginal[what] - times)))
    else:
        s, q = left(marginal * x, times * x[what]), left(marginal * x**2, times * x[what] ** 2)
        alpha = alpha_of_moments(observed, n, s, q)
    # Values are counted, not computed: rounding must not give alpha a number where one value is left.
    used_up = np.append(0, np.bincount(who[times == marginal[what]], minlength=n_raters))
    alpha = np.where(len(x) - used_up > 1, alpha, np.nan)
    return float(alpha[0]), alpha[1:]


def _disagreements(cells: Cells, level: Level) -> tuple[Floats, Floats]:
    """What the item of each rating adds to the observed disagreement (E,), with the rating and without it."""
    m, item, n_items = cells.n_per_item[cells.item].astype(np.float64), cells.item, len(cells.items)
    if level == "nominal":
        same = same_value(cells)
        squares = np.bincount(item, same, minlength=n_items)[item]
        before = (m**2 - squares) / (m - 1)
        after = ((m - 1) ** 2 - (squares - 2 * same + 1)) / (m - 2)
    else:
        x = cells.values.to_numpy()[cells.value]
        away = x - np.bincount(item, x, minlength=n_items)[item] / m
        spread = np.bincount(item, away**2, minlength=n_items)[item]
        before = 2 * m * spread / (m - 1)
        after = 2 * (m - 1) * (spread - away**2 * m / (m - 1)).clip(min=0) / (m - 2)
    return before, np.where(m > 2, after, 0.0)


def _taken(cells: Cells) -> tuple[Ints, Ints, Floats]:
    """Rater, value, times: what leaves with a rater, who takes along the other rating of an item of two."""
    pairs = np.flatnonzero(cells.n_per_item[cells.item] == 2).reshape(-1, 2)
    n_values = max(1, len(cells.values))
    own = cells.rater * n_values + cells.value
    other = cells.rater[pairs] * n_values + cells.value[pairs[:, ::-1]]
    pair, times = np.unique(np.concatenate([own, other.ravel()]), return_counts=True)
    return pair // n_values, pair % n_values, times.astype(np.float64)
