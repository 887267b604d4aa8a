"""Columns of somebody's file that must be plain: one text, one whole number or one list of names per row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.tabular import quoted

_LONGEST: Final = 80  # characters of a value in a message
_EXACT: Final = 2**53  # up to here a float holds every whole number


def plain_texts(frame: pl.DataFrame, names: Iterable[str], *, where: str) -> pl.DataFrame:
    """The frame with these columns, where present, as text; numbers are written out, lists and objects refused.

    Raises:
        TableError: A column holds lists or objects.
    """
    for name in [name for name in names if name in frame.columns]:
        try:
            texts = None if frame.schema[name].is_nested() else frame[name].cast(pl.String)
        except pl.exceptions.PolarsError:  # bytes that are no text, a length of time
            texts = None
        if texts is None:
            shown = first_value(frame[name])
            raise TableError(f"{where}: the column {quoted([name])} must hold one text per row, found {shown}.")
        frame = frame.with_columns(texts)
    return frame


def whole_numbers(frame: pl.DataFrame, names: Iterable[str], *, where: str) -> pl.DataFrame:
    """The frame with these columns, where present, as whole numbers; nothing is rounded.

    Raises:
        TableError: A column holds anything else.
    """
    for name in names:
        if name not in frame.columns:
            continue
        given = frame[name]
        whole = _whole(given)
        wrong = given.is_not_null() & whole.is_null()
        if wrong.any():
            shown = first_value(given.filter(wrong))
            raise TableError(f"{where}: the column {quoted([name])} must hold whole numbers, found {shown}.")
        frame = frame.with_columns(whole.alias(name))
    return frame


def _whole(given: pl.Series) -> pl.Series:
    """The values as whole numbers of 64 bits, null where one is none or would lose digits."""
    if given.dtype.is_integer():
        return given.cast(pl.Int64, strict=False)
    if not (given.dtype.is_numeric() or given.dtype == pl.String):
        return pl.repeat(None, len(given), dtype=pl.Int64, eager=True)
    number = given.cast(pl.Float64, strict=False)
    sound = number.is_finite() & (number == number.round()) & (number.abs() <= _EXACT)
    whole = number.set(~sound.fill_null(False), None).cast(pl.Int64)
    return given.cast(pl.Int64, strict=False).fill_null(whole) if given.dtype == pl.String else whole


def numbers(frame: pl.DataFrame, names: Iterable[str], *, where: str) -> pl.DataFrame:
    """The frame with these columns, where present, as numbers.

    Raises:
        TableError: A column holds anything else.
    """
    for name in [name for name in names if name in frame.columns]:
        given = frame[name]
        plain = given.dtype.is_numeric() or given.dtype in (pl.String, pl.Null)
        number = given.cast(pl.Float64, strict=False) if plain else pl.repeat(None, len(given), eager=True)
        wrong = given.is_not_null() & number.is_null()
        if wrong.any():
            shown = first_value(given.filter(wrong))
            raise TableError(f"{where}: the column {quoted([name])} must hold numbers, found {shown}.")
        frame = frame.with_columns(number.cast(pl.Float64).alias(name))
    return frame


def first_value(values: pl.Series) -> str:
    """The first value that is there, as it may be shown in a message."""
    present = values.drop_nulls()
    found = present[0] if len(present) else None
    text = str(found.to_list() if isinstance(found, pl.Series) else found)
    return quoted([text[:_LONGEST]])


def name_lists(values: pl.Series, *, where: str) -> pl.Series:
    """A column of lists of names, as lists or as JSON text; null where the row gives none.

    Raises:
        TableError: Anything else stands there.
    """
    problem = TableError(
        f'{where}: the column "{values.name}" must hold a list of option names per row, such as ["yes", "no"]; '
        f"found {first_value(values)}."
    )
    if values.dtype == pl.String:
        try:
            values = values.str.json_decode(pl.List(pl.String))
        except pl.exceptions.PolarsError as error:
            raise problem from error
    if not isinstance(values.dtype, pl.List) or values.dtype.inner != pl.String:
        raise problem
    if values.list.eval(pl.element().is_null()).list.any().fill_null(False).any():
        raise problem
    return values
