"""Gwet's AC1: agreement beyond chance that does not collapse when one value is frequent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Counts, Floats
from dfar_toolkit.agreement.observed import pair_share
from dfar_toolkit.agreement.ratings import By, RatingsLike, shown
from dfar_toolkit.agreement.units import ONE_VALUE, Resampling, estimate_slices, estimate_units, units
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, Interval


def gwet_ac1(
    ratings: RatingsLike,
    *,
    categories: Sequence[str] | None = None,
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
    r"""Agreement beyond chance, where chance is the agreement of raters who guess on hard items only.

    With $p_a$ the percent agreement over items with $m_u \ge 2$ ratings, $\pi_c$ the mean over all N rated items of
    $n_{uc} / m_u$ and q categories,

        $AC_1 = \frac{p_a - p_e}{1 - p_e}$,   $p_e = \frac{1}{q - 1} \sum_c \pi_c (1 - \pi_c)$

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        categories: The categories that were on offer; None: those in use. Their number q counts.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: Kind of interval, or None.
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
        >>> print(gwet_ac1(rows, ci=None))  # p_a = 1/2, p_e = 3/4 * 1/4 * 2 = 3/8
        Gwet's AC1 = 0.200

    Reference:
        Gwet (2008), Br. J. Math. Stat. Psychol. 61:29-48, eq. 6 to 8; missing ratings as in irrCAC.
    """
    how = Resampling(ci, confidence, n_boot, seed)
    return estimate_slices(
        ratings,
        lambda counts: ac1_from_counts(counts, how, categories=categories),
        item=item,
        rater=rater,
        value=value,
        group=group,
        by=by,
    )


def ac1_from_counts(counts: Counts, how: Resampling, *, categories: Sequence[str] | None = None) -> Estimate:
    """Gwet's AC1 of counted ratings."""
    q = counts.n_values_in_use if categories is None else _number(counts, categories)
    m = counts.n_ratings
    pairable = (m >= 2).astype(np.float64)
    unit = units(counts, [pair_share(counts), pairable, np.ones_like(m)], counts.count / m[counts.pattern])

    def ac1(weights: Floats) -> Floats:
        sums = unit.sums(weights)
        observed = sums[:, 0] / sums[:, 1]
        share = sums[:, 3:] / sums[:, 2:3]
        chance = (share * (1 - share)).sum(axis=1) / (q - 1) if q > 1 else np.full(len(sums), np.nan)
        value: Floats = (observed - chance) / (1 - chance)
        return value

    return estimate_units("Gwet's AC1", counts, unit, ac1, how, ONE_VALUE)


def _number(counts: Counts, categories: Sequence[str]) -> int:
    """How many categories were on offer."""
    names = {str(name) for name in categories}
    lost = [v for v in counts.values.gather(counts.codes_in_use).cast(pl.String).to_list() if v not in names]
    if lost:
        raise TableError(
            f"categories must name every value in use; {len(lost)} are missing "
            f'(e.g. "{shown(lost[0])}"); add what is missing.'
        )
    return len(names)
