"""Columns of somebody's file that must be plain: one text, one whole number or one list of names per row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.tabular import quoted

_LONGEST: Final = 80  # characters of a value in a message


def plain_texts(frame: pl.DataFrame, names: Iterable[str], *, where: str) -> pl.DataFrame:
    """The frame with these columns, where present, as text; numbers are written out, lists and objects refused.

    Raises:
        TableError: A column holds lists or objects.
    """
    present = [name for name in names if name in frame.columns]
    for name in present:
        if frame.schema[name].is_nested():
            shown = first_value(frame[name])
            raise TableError(f"{where}: the column {quoted([name])} must hold one text per row, found {shown}.")
    return frame.with_columns(pl.col(present).cast(pl.String))


def whole_numbers(frame: pl.DataFrame, names: Iterable[str], *, where: str) -> pl.DataFrame:
    """The frame with these columns, where present, as whole numbers; nothing is rounded.

    Raises:
        TableError: A column holds anything else.
    """
    for name in names:
        if name not in frame.columns:
            continue
        given = frame[name]
        nested = given.dtype.is_nested()
        number = None if nested else given.cast(pl.String).cast(pl.Float64, strict=False)
        fits = (
            pl.repeat(False, len(given), eager=True) if number is None else (number == number.round()).fill_null(False)
        )
        wrong = given.is_not_null() & ~fits
        if wrong.any():
            shown = first_value(given.filter(wrong))
            raise TableError(f"{where}: the column {quoted([name])} must hold whole numbers, found {shown}.")
        frame = frame.with_columns((number if number is not None else given).cast(pl.Int64).alias(name))
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
