"""Which values are given together: what another person says of an item of which one says this."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Counts, Floats, count_ratings
from dfar_toolkit.agreement.ratings import RatingsLike, read_ratings
from dfar_toolkit.agreement.statistic import Ci, Resampling, Statistic, estimate_statistic
from dfar_toolkit.agreement.units import units
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimates_frame

_VALUES: Final = 60  # values up to which every pair gets a row: 3,600 rows


class _Pair(NamedTuple):
    """Indices of the value given and the other one, items with both, and the statistic."""

    a: int
    b: int
    n_items: int
    statistic: Statistic


def value_confusion(
    ratings: RatingsLike,
    *,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Ci | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Chance that another rater of an item gives the value k, given that one gives the value c.

    With $n_{uc}$ of the $m_u$ ratings of item u having the value c, over items with $m_u \ge 2$,

        $P_{k|c} = \frac{\sum_u n_{uc} (n_{uk} - \delta_{ck})}{\sum_u n_{uc} (m_u - 1)}$

    The rows of one c add up to 1, and $P_{c|c}$ is the specific agreement on c. It is not corrected for chance: a
    frequent value stands beside every other.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap, jackknife, analytic (linearised), or None.
        confidence: Two-sided coverage asked for, of each pair on its own.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        One row per ordered pair of values in use, sorted: ``given`` (c), ``other`` (k), ``n_items`` (with both; on the
        diagonal with c twice), and Estimate's fields; n = items with two or more ratings.

    Undefined:
        Nobody gives c on an item with two or more ratings.

    Raises:
        TableError: More than 60 values, and as :func:`~dfar_toolkit.agreement.per_value.value_agreement`.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
        >>> found = value_confusion(rows, ci=None)  # of three who say no, another says no twice and yes once
        >>> found.select("given", "other", "n_items", pl.col("value").round(3)).rows()
        [('no', 'no', 1, 0.667), ('no', 'yes', 1, 0.333), ('yes', 'no', 1, 1.0), ('yes', 'yes', 0, 0.0)]

    Reference:
        Cicchetti and Feinstein (1990), J. Clin. Epidemiol. 43:551-558 (specific agreement: the diagonal, two raters);
        Krippendorff (2011), paper 43 (coincidences of values within an item).
    """
    checked = read_ratings(ratings, item=item, rater=rater, value=value, group=group)
    if len(checked.values) > _VALUES:
        raise TableError(
            f"value_confusion gives a row for every two values and takes at most {_VALUES}; found "
            f"{len(checked.values)}; put the values into classes first."
        )
    how = Resampling(ci, confidence, n_boot, seed)
    found: list[Estimate] = []
    named: list[tuple[int, int, int]] = []
    for part in count_ratings(checked):
        for pair in _pairs(part.counts):
            found.append(estimate_statistic(pair.statistic, how))
            named.append((pair.a, pair.b, pair.n_items))
    a, b, n_items = np.array(named, dtype=np.int64).reshape(-1, 3).T
    beside = pl.DataFrame({"given": checked.values.gather(a), "other": checked.values.gather(b), "n_items": n_items})
    return pl.concat([beside, estimates_frame(found)], how="horizontal")


def _pairs(counts: Counts) -> Iterator[_Pair]:
    own = counts.pairable()
    codes = [int(code) for code in counts.codes_in_use]
    given = {code: own.per_pattern(own.count * (own.code == code)) for code in codes}
    others = own.n_ratings - 1
    for a in codes:
        for b in codes:
            together = given[a] * (given[b] - (a == b))
            unit = units(own, [together, given[a] * others])
            name = f'"{counts.values[b]}" beside "{counts.values[a]}"'
            nobody = f'nobody gives "{counts.values[a]}" on an item with two ratings'
            yield _Pair(a, b, int(own.times[together > 0].sum()), Statistic(name, own, unit, _ratio, nobody))


def _ratio(sums: Floats) -> Floats:
    return np.asarray(sums[:, 0] / sums[:, 1])
