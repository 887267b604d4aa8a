"""When each rating was given: dates, times, ISO 8601 text or whole numbers, read strictly, and cut into windows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.ratings import shown
from dfar_toolkit.errors import TableError

_DAY = 86_400_000_000  # microseconds
_PLAIN = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S%.f")
_ZONED = ("%Y-%m-%dT%H:%M%#z", "%Y-%m-%dT%H:%M:%S%.f%#z")


def read_times(column: pl.Series) -> pl.Series:
    """A column of times as Datetime in microseconds (in UTC where a zone is given) or Int64; null stays null.

    Args:
        column: Date, Datetime, whole numbers, or ISO 8601 text (a date, with or without a time and a zone).

    Returns:
        The times (E,).

    Raises:
        TableError: Another type, text that is no ISO time, or times with and without a zone.

    Example:
        >>> read_times(pl.Series("at", ["2024-05-01", "2024-05-01 12:30"])).dt.hour().to_list()
        [0, 12]
    """
    dtype = column.dtype
    if dtype.is_integer() or dtype == pl.Null:
        return column.cast(pl.Int64)
    if dtype == pl.Date:
        return column.cast(pl.Datetime("us"))
    if isinstance(dtype, pl.Datetime):
        moved = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if dtype.time_zone else column
        return moved.cast(pl.Datetime("us"))
    if dtype == pl.String:
        return _parsed(column)
    raise TableError(
        f'the column "{column.name}" must hold when each rating was given; found {dtype}; '
        f"use dates, times, ISO 8601 text or whole numbers."
    )


def _parsed(column: pl.Series) -> pl.Series:
    text = pl.col("text").str.replace(r"^(\d{4}-\d{2}-\d{2}) ", "${1}T").str.replace(r"Z$", "+00:00")
    plain = [text.str.to_datetime(f, time_unit="us", strict=False) for f in _PLAIN[1:]]
    day = text.str.to_date(_PLAIN[0], strict=False).cast(pl.Datetime("us"))
    zoned = [text.str.to_datetime(f, time_unit="us", strict=False).dt.replace_time_zone(None) for f in _ZONED]
    read = pl.DataFrame({"text": column}).select(
        "text", plain=pl.coalesce(day, *plain), zoned=pl.coalesce(*zoned)
    )  # a text with a zone is read in UTC
    bad = read.filter(pl.col("text").is_not_null() & pl.col("plain").is_null() & pl.col("zoned").is_null())["text"]
    if len(bad):
        raise TableError(
            f'the column "{column.name}" must hold ISO 8601 times such as 2024-05-01 or 2024-05-01T12:30:00Z; '
            f'{len(bad)} are not, e.g. "{shown(bad[0])}"; write them so, or parse the column to a Datetime.'
        )
    if read["plain"].count() and read["zoned"].count():
        raise TableError(
            f'the column "{column.name}" has {read["zoned"].count()} times with a zone and {read["plain"].count()} '
            f"without; give all of them one, or none."
        )
    return read.select(pl.coalesce("plain", "zoned").alias(column.name)).to_series()


def as_numbers(times: pl.Series) -> Floats:
    """Times as floats (E,): days from the first one, or the whole numbers from theirs."""
    whole = times.to_physical().to_numpy().astype(np.int64)
    moved = (whole - whole.min()) if len(whole) else whole
    return moved / _DAY if times.dtype.is_temporal() else moved.astype(np.float64)


class Windows(NamedTuple):
    """The window of each rating (E,), from 0 without gaps, and where each window starts and ends (W,)."""

    window: Ints
    start: pl.Series
    end: pl.Series


def cut(times: pl.Series, windows: int | str, *, name: str) -> Windows:
    """Cut times into windows.

    Args:
        times: The times (E,), none of them null.
        windows: A number of windows of equally many ratings (equal times stay together, so there may be fewer), or a
            duration such as ``1d``, ``1w`` or ``1mo`` for windows of the calendar.
        name: The function on whose behalf a wrong argument is refused.

    Returns:
        The windows that hold a rating. With equally many ratings, start and end are the first and the last time in a
        window; with a duration, its beginning and the beginning of the next.

    Raises:
        ValueError: ``windows`` is neither, or a duration for whole numbers.
    """
    if isinstance(windows, int) and not isinstance(windows, bool):
        if windows < 1:
            raise ValueError(f"{name}: windows must be at least 1, found {windows}")
        return _of_equal_count(times, windows)
    if not isinstance(windows, str):
        raise ValueError(f'{name}: windows must be a number or a duration such as "1w", found {windows!r}')
    if not times.dtype.is_temporal():
        raise ValueError(f"{name}: a duration ({windows!r}) needs dates or times, found whole numbers; give a number")
    try:
        starts = times.dt.truncate(windows)
        found = starts.unique().sort()
        ends = found.dt.offset_by(windows)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f'{name}: windows must be a number or a duration such as "1w", found {windows!r}') from error
    return Windows(_ranks(starts), found, ends)


def _of_equal_count(times: pl.Series, windows: int) -> Windows:
    whole = times.to_physical().to_numpy()
    ordered: npt.NDArray[np.int64] = np.sort(whole)
    cuts = np.unique(ordered[np.arange(1, windows) * len(ordered) // windows]) if len(ordered) else ordered
    window = _ranks(pl.Series(np.searchsorted(cuts, whole, side="right")))
    ends = pl.DataFrame({"window": window, "time": times}).group_by("window").agg(
        start=pl.col("time").min(), end=pl.col("time").max()
    ).sort("window")  # fmt: skip
    return Windows(window, ends["start"], ends["end"])


def _ranks(column: pl.Series) -> Ints:
    return column.rank("dense").to_numpy().astype(np.int64) - 1
