"""Agreement value by value: on which of the values people agree, each against all others."""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.coefficients import Coefficient
from dfar_toolkit.agreement.counting import Counts, Floats, Ints, count_ratings
from dfar_toolkit.agreement.ratings import By, RatingsLike, read_ratings
from dfar_toolkit.agreement.slices import slices_frame
from dfar_toolkit.agreement.statistic import Ci, Resampling, Statistic, estimate_statistic
from dfar_toolkit.agreement.units import units
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import estimates_frame

PerValue = Literal["krippendorff_alpha", "fleiss_kappa", "gwet_ac1", "percent_agreement", "specific_agreement"]

_VALUES: Final = 500  # values up to which each gets a row
_BESIDE: Final = ("category", "n_ratings", "share")
_NONE: Final = np.empty(0, dtype=np.int64)


def value_agreement(
    ratings: RatingsLike,
    *,
    statistic: PerValue = "krippendorff_alpha",
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
    r"""Agreement about each value: the coefficient of "this value or another", or specific agreement on it.

    ``krippendorff_alpha``, ``fleiss_kappa``, ``gwet_ac1`` and ``percent_agreement`` are the coefficients after all
    other values are made one. ``specific_agreement`` is the chance that another rater of an item gives this value,
    given that one did; with $n_{uc}$ of $m_u$ ratings of item u, over items with $m_u \ge 2$,

        $S_c = \frac{\sum_u n_{uc} (n_{uc} - 1)}{\sum_u n_{uc} (m_u - 1)}$

    which for two raters is 2 a / (2 a + b + c): both, over both and either. It is not corrected for chance. Percent
    agreement about a rare value is high because nearly everybody leaves it alone; this one does not count that.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        statistic: Which of the five.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap, jackknife, analytic (linearised), or None.
        confidence: Two-sided coverage asked for, of each value on its own.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        One row per value in use, sorted: the columns of ``by``, ``category``, ``n_ratings`` (with this value),
        ``share`` (of all ratings), and Estimate's fields; n = items with two or more ratings.

    Undefined:
        No item has two or more ratings; everybody always gives this value (percent agreement is 1 then). Specific
        agreement: nobody gives it on an item with two ratings.

    Raises:
        TableError: More than 500 values, and as :func:`~dfar_toolkit.agreement.fleiss.fleiss_kappa`.
        ValueError: An unknown statistic, or a ``by`` that names a column of the result.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
        >>> found = value_agreement(rows, statistic="specific_agreement", ci=None)
        >>> found.select("category", "n_ratings", "share", pl.col("value").round(3)).rows()  # 2 / (2 + 1) and 0 / 1
        [('no', 3, 0.75, 0.667), ('yes', 1, 0.25, 0.0)]

    Reference:
        Fleiss (1971), Psychol. Bull. 76:378-382 (kappa of a category); Cicchetti and Feinstein (1990), J. Clin.
        Epidemiol. 43:551-558 (specific agreement, two raters).
    """
    if statistic not in get_args(PerValue):
        raise ValueError(
            f"value_agreement: statistic must be one of {', '.join(get_args(PerValue))}, found {statistic!r}"
        )
    checked = read_ratings(ratings, item=item, rater=rater, value=value, group=group, by=by)
    clash = [name for name in checked.by if name in _BESIDE]
    if clash:
        raise ValueError(
            f'value_agreement: by cannot be "{clash[0]}", which names a column of the result; rename the column'
        )
    if len(checked.values) > _VALUES:
        raise TableError(
            f"value_agreement gives a row for each value and takes at most {_VALUES}; found {len(checked.values)}; "
            f"put the values into classes first."
        )
    how = Resampling(ci, confidence, n_boot, seed)
    slices = count_ratings(checked)
    used = [np.asarray(part.counts.codes_in_use) for part in slices]
    found = [
        [estimate_statistic(_of_value(part.counts, int(code), statistic), how) for code in codes]
        for part, codes in zip(slices, used, strict=True)
    ]
    flat = [one for listed in found for one in listed]
    keys = [part.key for part, codes in zip(slices, used, strict=True) if len(codes)]
    estimates = slices_frame(keys, [f for f in found if f], checked.by) if checked.by else estimates_frame(flat)
    shares = [_shares(part.counts, codes) for part, codes in zip(slices, used, strict=True)]
    empty = pl.DataFrame({"category": checked.values.head(0), "n_ratings": _NONE, "share": _NONE.astype(np.float64)})
    beside = pl.concat([empty, *shares])
    return pl.concat([estimates.select(checked.by), beside, estimates.drop(checked.by)], how="horizontal")


def specific_statistic(counts: Counts, category: object) -> Statistic:
    """Specific agreement on one value of counted ratings: the chance that another rater gives it if one did.

    Args:
        counts: The counts.
        category: The value; undefined where it is not in use.

    Returns:
        The statistic, under the value's name.
    """
    own = counts.pairable()
    here = (counts.values == category).to_numpy()
    chosen = own.per_pattern(own.count * here[own.code])
    unit = units(own, [chosen * (chosen - 1), chosen * (own.n_ratings - 1)])

    def share(sums: Floats) -> Floats:
        return np.asarray(sums[:, 0] / sums[:, 1])

    name, nobody = f'specific agreement on "{category}"', f'nobody gives "{category}" on an item with two ratings'
    return Statistic(name, own, unit, share, nobody)


def _of_value(counts: Counts, code: int, statistic: PerValue) -> Statistic:
    if statistic == "specific_agreement":
        return specific_statistic(counts, counts.values[code])
    return Coefficient(statistic).of_counts(_against_rest(counts, code))


def _against_rest(counts: Counts, code: int) -> Counts:
    """The counts with this value as 1 and every other as 0."""
    chosen = counts.per_pattern(counts.count * (counts.code == code))
    both = np.stack([counts.n_ratings - chosen, chosen], axis=1).ravel()
    cell = np.flatnonzero(both)
    return Counts(
        pl.Series([0, 1]), cell // 2, cell % 2, both[cell], counts.times, counts.groups, counts.notes, counts.mass
    )


def _shares(counts: Counts, codes: Ints) -> pl.DataFrame:
    """How many ratings have each value in use, and their share."""
    weight = counts.times[counts.pattern] * counts.count
    n = np.bincount(counts.code, weight, minlength=len(counts.values))[codes]
    return pl.DataFrame(
        {"category": counts.values.gather(codes), "n_ratings": n.astype(np.int64), "share": n / max(1.0, n.sum())}
    )
