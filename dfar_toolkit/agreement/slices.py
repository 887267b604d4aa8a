"""From ratings to estimates: one, or a frame with one row per slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import polars as pl

from dfar_toolkit.agreement.cells import slices_of
from dfar_toolkit.agreement.counting import Counts, count_ratings
from dfar_toolkit.agreement.engine_counts import count_in_engine
from dfar_toolkit.agreement.moments import MANY
from dfar_toolkit.agreement.ratings import By, Ratings, RatingsLike, foreign_lazy, read_ratings
from dfar_toolkit.agreement.statistic import Resampling, Statistic, estimate_statistic
from dfar_toolkit.agreement.two_way import check_scope, estimate_two_way
from dfar_toolkit.estimate import ESTIMATE_SCHEMA, Estimate, estimates_frame


class EstimateSlice(NamedTuple):
    """The estimate of one combination of the ``by`` columns, and that combination as a frame of one row."""

    key: pl.DataFrame
    estimate: Estimate


def estimate_slices(
    ratings: RatingsLike,
    statistic: Callable[[Counts], Statistic],
    how: Resampling,
    *,
    item: str,
    rater: str,
    value: str,
    group: str | None,
    by: By,
    estimator: Callable[[Statistic, Resampling], Estimate] = estimate_statistic,
    many: Callable[[Ratings, Resampling], list[EstimateSlice]] | None = None,
) -> Estimate | pl.DataFrame:
    """Read and count the ratings, then the statistic of each slice: one estimate, or a frame with ``by``.

    The ratings of a lazy frame of another engine than polars are counted there, for the scope ``items``.

    Args:
        ratings: As the public functions take them.
        statistic: The statistic of counted ratings.
        how: How its interval is made.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value.
        group: Column of the resampling unit, or None.
        by: Column or columns to slice by.
        estimator: From a statistic to its estimate over items.
        many: What does without counts, for the scope ``items`` and more than 64 distinct numbers; None: nothing.

    Returns:
        One estimate, or a frame of them.
    """
    check_scope(how)
    foreign = foreign_lazy(ratings) if how.scope == "items" else None
    if foreign is not None:
        slicing = (by,) if isinstance(by, str) else tuple(by or ())
        there = count_in_engine(foreign, item=item, rater=rater, value=value, group=group, by=slicing)
        estimates = [estimator(statistic(part.counts), how) for part in there.slices]
        return _result([part.key for part in there.slices], estimates, slicing)
    most = MANY if many is not None and how.scope == "items" else None
    checked = read_ratings(ratings, item=item, rater=rater, value=value, group=group, by=by, most=most)
    if many is not None and not checked.listed:
        alike = many(checked, how)
        keys, found = [part.key for part in alike], [part.estimate for part in alike]
    elif how.scope == "items":
        slices = count_ratings(checked)
        keys = [part.key for part in slices]
        found = [estimator(statistic(part.counts), how) for part in slices]
    else:
        parts = slices_of(checked)
        keys = [part.key for part in parts]
        found = [estimate_two_way(part.cells, statistic, how) for part in parts]
    return _result(keys, found, checked.by)


def _result(keys: Sequence[pl.DataFrame], found: Sequence[Estimate], by: Sequence[str]) -> Estimate | pl.DataFrame:
    return slices_frame(keys, [[estimate] for estimate in found], by) if by else found[0]


def slices_frame(keys: Sequence[pl.DataFrame], found: Sequence[Sequence[Estimate]], by: Sequence[str]) -> pl.DataFrame:
    """One row per estimate: the ``by`` columns of its slice (one frame of one row each), then Estimate's fields."""
    clash = [name for name in by if name in ESTIMATE_SCHEMA]
    if clash:
        raise ValueError(f'agreement: by cannot be "{clash[0]}", which names a column of the result; rename the column')
    if not keys:
        empty = pl.DataFrame(schema=dict.fromkeys(by, pl.String))
        return pl.concat([empty, estimates_frame([])], how="horizontal")
    rows = [key.select(pl.all().repeat_by(len(own)).explode()) for key, own in zip(keys, found, strict=True)]
    return pl.concat([pl.concat(rows), estimates_frame(e for own in found for e in own)], how="horizontal")
