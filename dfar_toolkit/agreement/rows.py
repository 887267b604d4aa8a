"""Rows of any frame, or of triples, whose third part is a list: sets of values, or spans."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import narwhals.stable.v2 as nw
import polars as pl

from dfar_toolkit.agreement.rating_frames import RatingsLike, collected, known, schema_of, shown, unreadable_frame
from dfar_toolkit.errors import TableError


def rows_of(data: RatingsLike, *, names: tuple[str, str, str], keep: Collection[str]) -> pl.DataFrame:
    """The columns ``keep``, as far as they are there, of a frame; triples as the three columns ``names``.

    Args:
        data: A polars frame, any frame narwhals knows, or (item, rater, list) triples, None for a missing rating.
        names: Names of the three columns of triples.
        keep: Columns that are of use.

    Returns:
        The rows, in their order.

    Raises:
        TableError: The frame cannot be read, or something is no triple.
    """
    if isinstance(data, pl.LazyFrame):
        return collected(data.select(name for name in schema_of(data).names() if name in keep))
    if isinstance(data, pl.DataFrame):
        return data.select(name for name in data.columns if name in keep)
    native = known(data)
    if isinstance(native, nw.LazyFrame | nw.DataFrame):
        return _converted(native, keep)
    if isinstance(data, str | bytes | dict) or not isinstance(data, Iterable):
        raise TypeError(
            f"agreement: ratings must be a frame or (item, rater, list) triples, found {type(data).__name__}"
        )
    return _from_triples(list(data), names)


def _converted(native: nw.LazyFrame[Any] | nw.DataFrame[Any], keep: Collection[str]) -> pl.DataFrame:
    try:
        narrow = native.select([name for name in native.collect_schema().names() if name in keep])
        eager = narrow.collect("polars") if isinstance(narrow, nw.LazyFrame) else narrow
        return pl.DataFrame(eager.to_polars())
    except Exception as error:  # whatever the other library says about a mixed column
        raise unreadable_frame(error) from error


def _from_triples(rows: list[Any], names: tuple[str, str, str]) -> pl.DataFrame:
    if not rows:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String)).with_columns(pl.lit(None).alias(names[2]))
    bad = next((row for row in rows if isinstance(row, str) or not isinstance(row, Sequence) or len(row) != 3), None)
    if bad is not None:
        raise TableError(f"each rating must be a triple (item, rater, list); found {shown(repr(bad))}.")
    third = [list(row[2]) if isinstance(row[2], set | frozenset | tuple) else row[2] for row in rows]
    columns = ([row[0] for row in rows], [row[1] for row in rows], third)
    series = []
    for name, column in zip(names, columns, strict=True):
        try:
            series.append(pl.Series(name, column))
        except (TypeError, pl.exceptions.PolarsError) as error:
            raise TableError(f'the column "{name}" must hold one type; found {_kinds(column)}.') from error
    return pl.DataFrame(series)


def _kinds(column: list[Any]) -> str:
    inner = [x for row in column for x in (row if isinstance(row, list) else [row])]
    return ", ".join(sorted({type(x).__name__ for x in inner}))
