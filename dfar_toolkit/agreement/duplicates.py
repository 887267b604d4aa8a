"""What to do where the same rater stands twice on an item: keep the first, the last, the mean, or all values as a set.

Every statistic refuses such ratings; here the caller says what they mean. One sort of the rows that repeat.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

import polars as pl

from dfar_toolkit.agreement.rating_frames import RatingsLike, as_lazy, collected, shown
from dfar_toolkit.agreement.ratings import By, check_columns, check_names, no_value
from dfar_toolkit.errors import TableError
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR

Kept = Literal["first", "last", "mean", "keep"]

_ROW: Final = "dfar:row"
_MATES: Final = "dfar:mates"


class WithoutRepeats(NamedTuple):
    """Ratings with one row per item and rater, and what was merged for it.

    ``frame`` holds the ratings; ``n_repeats`` (item, rater) pairs had several, ``n_unlike`` of them with different
    values; ``n_dropped`` rows are gone. ``example`` shows one of the pairs, with different values if there is one such,
    or is empty.
    """

    frame: pl.DataFrame
    n_repeats: int
    n_unlike: int
    n_dropped: int
    example: str

    def __str__(self) -> str:
        if not self.n_repeats:
            return "no rater stands twice on an item"
        return (
            f"{_counted(self.n_repeats, 'repeated (item, rater) pair')}, {self.n_unlike} with different values, "
            f"{_counted(self.n_dropped, 'row')} merged; e.g. {self.example}"
        )


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n != 1 else ''}"


def without_repeats(
    ratings: RatingsLike,
    *,
    keep: Kept = "first",
    at: str | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    by: By = None,
) -> WithoutRepeats:
    """One rating per item and rater, where somebody rated an item more than once.

    Rows without a value (null, NaN) are no ratings, and rows without an id, or by the unknown annotator, may be several
    people's: they stay as they are. A column ``question`` keeps questions apart.

    Args:
        ratings: Long ratings, a frame or (item, rater, value) triples.
        keep: Which value stands: ``first`` or ``last``; ``mean`` of them, for numbers; ``keep``: all distinct values,
            sorted, as a list on every row (for agreement on sets).
        at: Column with the time of the rating, by which ``first`` and ``last`` go; ties, and None, by the order of the
            rows. A rating without a time is taken only where none has one.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value.
        by: Column or columns that tell further questions apart: ratings that differ in them are no repeats.

    Returns:
        The ratings with all their columns (of the row that stays; for ``mean`` and ``keep`` the first), in the order of
        these rows, and what was merged.

    Raises:
        TableError: A column is missing, or ``mean`` of what are no numbers.
        ValueError: ``keep`` is none of the four, a role names no column, or ``by`` one column twice.

    Example:
        >>> rows = [("x", "ann", 1), ("x", "bob", 2), ("x", "ann", 3)]
        >>> found = without_repeats(rows, keep="mean")
        >>> found.frame.rows()
        [('x', 'ann', 2.0), ('x', 'bob', 2.0)]
        >>> print(found)
        1 repeated (item, rater) pair, 1 with different values, 1 row merged; e.g. item "x", rater "ann": 1.0, 3.0
    """
    if keep not in get_args(Kept):
        raise ValueError(f"without_repeats: keep must be one of {', '.join(get_args(Kept))}, found {keep!r}")
    slicing = (by,) if isinstance(by, str) else tuple(by or ())
    roles = {"item": item, "rater": rater, "value": value, "at": at}
    check_names(roles, slicing)
    frame = collected(as_lazy(ratings, (item, rater, value), None))
    check_columns(frame.schema, roles, slicing)
    if frame.schema[value].is_nested():
        raise no_value(value, frame.schema[value])
    if keep == "mean":
        frame = frame.with_columns(_numbers(frame[value]))
    keys = list(
        dict.fromkeys(
            [item, rater, *slicing, *(["question"] if "question" in frame.columns and value != "question" else [])]
        )
    )
    marked = frame.with_row_index(_ROW).with_columns(_mates(frame, keys, item, rater, value))
    twice = marked.filter(pl.col(_MATES) > 1)
    merged = _merged(twice, keys, value, keep, at)
    rest = marked.filter(pl.col(_MATES) <= 1)
    if keep == "keep":
        rest = rest.with_columns(pl.when(_there(frame, value)).then(pl.concat_list(value)).alias(value))
    rows = pl.concat([rest, merged]).sort(_ROW).drop(_ROW, _MATES)
    told = _told(twice, keys, value)
    return WithoutRepeats(
        rows, len(told), int(told["unlike"].sum()), len(twice) - len(merged), _example(told, item, rater)
    )


def _numbers(values: pl.Series) -> pl.Series:
    """The values as floats, for their mean."""
    numbers = values.cast(pl.Float64, strict=False)
    lost = values.filter(numbers.is_null() & values.is_not_null())
    if len(lost):
        raise TableError(
            f'without_repeats(keep="mean") needs numbers; the column "{values.name}" holds "{shown(lost[0])}"; '
            f'use a column of numbers (e.g. value="value_num"), or keep="first".'
        )
    return numbers


def _there(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Where a column holds something, neither null nor NaN."""
    there = pl.col(name).is_not_null()
    return there & pl.col(name).is_not_nan() if frame.schema[name].is_float() else there


def _mates(frame: pl.DataFrame, keys: list[str], item: str, rater: str, value: str) -> pl.Expr:
    """How many ratings share the item and rater of a row; 0 where it cannot be a repeat."""
    sure = _there(frame, value) & _there(frame, item) & _there(frame, rater)
    name = pl.col(rater).cast(pl.String)
    sure = sure & (name != UNKNOWN_ANNOTATOR) & ~name.str.ends_with(f":{UNKNOWN_ANNOTATOR}")
    return pl.when(sure).then(sure.sum().over(keys)).otherwise(0).alias(_MATES)


def _merged(twice: pl.DataFrame, keys: list[str], value: str, keep: Kept, at: str | None) -> pl.DataFrame:
    """One row for each item and rater of the ratings that repeat."""
    if keep in ("first", "last"):
        if at is not None:
            twice = twice.sort(at, nulls_last=keep == "first", maintain_order=True)
        return twice.unique(keys, keep="first" if keep == "first" else "last", maintain_order=True)
    # Sorted, so that a mean does not depend on the order of the rows.
    one = pl.col(value).sort().mean() if keep == "mean" else pl.col(value).unique().sort()
    others = [name for name in twice.columns if name not in (*keys, value)]
    merged = twice.group_by(keys, maintain_order=True).agg(one, pl.col(others).first())
    return merged.select(twice.columns)


def _told(twice: pl.DataFrame, keys: list[str], value: str) -> pl.DataFrame:
    """The pairs that repeat, those with different values first."""
    values = pl.col(value).unique().sort()
    told = twice.group_by(keys).agg(values.head(4).alias("values"), (values.len() > 1).alias("unlike"))
    return told.sort("unlike", *keys, descending=[True, *(False for _ in keys)])


def _example(told: pl.DataFrame, item: str, rater: str) -> str:
    if not len(told):
        return ""
    row = told.row(0, named=True)
    values = ", ".join(shown(value) for value in row["values"])
    return f'item "{shown(row[item])}", rater "{shown(row[rater])}": {values}'
