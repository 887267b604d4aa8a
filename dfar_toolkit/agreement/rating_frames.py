"""Frames of any library, and triples, as polars; what cannot be read is refused in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import narwhals.stable.v2 as nw
import polars as pl

from dfar_toolkit.errors import TableError

RatingsLike = Any  # a polars frame, anything narwhals knows, or an iterable of (item, rater, value)


def known(ratings: RatingsLike) -> Any:
    """The data as a narwhals frame, or as it is where narwhals does not know it.

    Raises:
        TableError: It is a frame that cannot be used, e.g. with one column name twice.
    """
    try:
        return nw.from_native(ratings, pass_through=True)
    except Exception as error:  # whatever the other library says about its frame
        raise unreadable_frame(error) from error


def schema_of(source: pl.LazyFrame) -> pl.Schema:
    """The columns of a lazy frame.

    Raises:
        TableError: The frame cannot be read: a column it is made from is missing, or its file.
    """
    try:
        return source.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(error) from error


def collected(source: pl.LazyFrame, *, streaming: bool = False) -> pl.DataFrame:
    """The rows of a lazy frame.

    Raises:
        TableError: The frame cannot be read: a cast in it fails, or its file is damaged.
    """
    try:
        return source.collect(engine="streaming" if streaming else "auto")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(error) from error


def unreadable(error: Exception) -> TableError:
    """The refusal of a lazy frame that fails."""
    return TableError(f"the ratings cannot be read: {_why(error)}; mend the frame or the file they come from.")


def unreadable_frame(error: Exception) -> TableError:
    """The refusal of another library's frame that cannot be converted."""
    return TableError(f"the frame cannot be read: {_why(error)}; give each column one type and a name of its own.")


def _why(error: Exception) -> str:
    """The first line of a message, and the second where the first only announces it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return shown(" ".join(lines[: 2 if lines[0].endswith(":") else 1]), 300)


def foreign_lazy(ratings: RatingsLike) -> nw.LazyFrame[Any] | None:
    """The data as a lazy narwhals frame of another engine than polars (PySpark, DuckDB, ...), or None."""
    native = known(ratings)
    if isinstance(native, nw.LazyFrame) and not isinstance(native.to_native(), pl.LazyFrame):
        return native
    return None


def as_lazy(ratings: RatingsLike, names: tuple[str, str, str], needed: tuple[str, ...] | None) -> pl.LazyFrame:
    """The data as a polars LazyFrame; of another library's frame only the columns that are needed are converted."""
    native = known(ratings)
    if isinstance(native, nw.LazyFrame | nw.DataFrame):
        own = native.to_native()
        if isinstance(own, pl.LazyFrame | pl.DataFrame):
            return own.lazy()
        try:
            narrow = _only(native, needed)
            eager = narrow.collect("polars") if isinstance(narrow, nw.LazyFrame) else narrow
            return eager.to_polars().lazy()
        except Exception as error:  # whatever the other library says about a mixed column
            raise unreadable_frame(error) from error
    if isinstance(ratings, str | bytes | dict) or not isinstance(ratings, Iterable):
        raise TypeError(
            f"agreement: ratings must be a frame or (item, rater, value) triples, found {type(ratings).__name__}"
        )
    return _from_triples(list(ratings), names).lazy()


def _only(
    native: nw.LazyFrame[Any] | nw.DataFrame[Any], needed: tuple[str, ...] | None
) -> nw.LazyFrame[Any] | nw.DataFrame[Any]:
    """The columns that are used, or no rows where one of them is missing, which is refused later."""
    found = native.collect_schema().names()
    if needed is None:
        return native
    if not set(needed) <= set(found):
        return native.head(0)
    return native.select([name for name in found if name in {*needed, "question", "rating_id"}])


def _from_triples(rows: list[Any], names: tuple[str, str, str]) -> pl.DataFrame:
    if not rows:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    bad = next((row for row in rows if isinstance(row, str) or not isinstance(row, Sequence) or len(row) != 3), None)
    if bad is not None:
        raise TableError(f"each rating must be a triple (item, rater, value); found {shown(repr(bad))}.")
    series = []
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        try:
            series.append(pl.Series(name, column))
        except (TypeError, pl.exceptions.PolarsError) as error:
            kinds = sorted({type(x).__name__ for x in column})
            raise TableError(f'the column "{shown(name)}" must hold one type; found {", ".join(kinds)}.') from error
    return pl.DataFrame(series)


def shown(thing: object, width: int = 60) -> str:
    r"""A piece of data on one line of an error message: spaces folded, control and format characters as escapes.

    Example:
        >>> shown("a\nb  c\x1b[31m")
        'a b c\\x1b[31m'
    """
    folded = " ".join(str(thing).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in folded)[:width]


def quoted(names: Sequence[str]) -> str:
    """Names in quotes, on one line."""
    return ", ".join(f'"{shown(name)}"' for name in names)
