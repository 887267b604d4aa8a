"""The columns of an outputs file that hold rationales, as lists and numbers; in CSV, lists are JSON text."""

from __future__ import annotations

from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.columns import first_value, numbers, plain_texts, whole_numbers

_PLACE: Final = {"field": pl.String(), "start": pl.Int64(), "end": pl.Int64()}
_SPANS: Final = {"words": pl.Struct(_PLACE), "evidence": pl.Struct({**_PLACE, "set": pl.Int64()})}
_NUMBERS: Final = ("word_scores", "shares")
_WANTED: Final = {
    "words": 'a list of places per row, such as [{"field": "statement", "start": 0, "end": 4}]',
    "evidence": 'a list of places per row, such as [{"field": "statement", "start": 0, "end": 4, "set": 0}]',
    "word_scores": "a list of numbers per row, one per word",
    "shares": "a list of numbers per row",
}
_LEAST: Final = {"k": -1, "draw": 0, "n_words": 0, "n_removed": -1}


def rationale_columns(frame: pl.DataFrame, *, where: str) -> pl.DataFrame:
    """The frame with the columns of rationales, where present, in their types.

    Evidence without ``set`` is of one set. Lists may be JSON text.

    Args:
        frame: Rows as they were read, ``k`` and ``draw`` as whole numbers.
        where: What errors name.

    Returns:
        The frame.

    Raises:
        TableError: A column holds something else, a number of words or of a draw below its least, or a share outside
            0 to 1.

    Example:
        >>> given = pl.DataFrame({"evidence": ['[{"field": "statement", "start": 0, "end": 4}]']})
        >>> rationale_columns(given, where="file")["evidence"].to_list()
        [[{'field': 'statement', 'start': 0, 'end': 4, 'set': 0}]]
    """
    frame = plain_texts(frame, ("target", "contrast"), where=where)
    frame = whole_numbers(frame, ("n_words", "n_removed"), where=where)
    frame = numbers(frame, ("share", "gap"), where=where)
    for name in (*_SPANS, *_NUMBERS):
        if name in frame.columns:
            frame = frame.with_columns(_lists(frame[name], where).alias(name))
    _check_ranges(frame, where)
    return frame


def _lists(values: pl.Series, where: str) -> pl.Series:
    inner = _SPANS.get(values.name, pl.Float64())
    problem = TableError(
        f'{where}: the column "{values.name}" must hold {_WANTED[values.name]}; found {first_value(values)}.'
    )
    try:
        if values.dtype == pl.String:
            values = values.replace("", None).str.json_decode(pl.List(inner))
        elif isinstance(inner, pl.Struct) and isinstance(values.dtype, pl.List):
            values = values.list.eval(_place(values.dtype.inner, inner)) if values.dtype.inner != pl.Null else values
        values = values.cast(pl.List(inner))
    except pl.exceptions.PolarsError as error:
        raise problem from error
    if not isinstance(inner, pl.Struct):
        return values
    if values.name == "evidence":
        return values.list.eval(pl.element().struct.with_fields(pl.field("set").fill_null(0)))
    parts = [pl.element().struct.field(part).is_null() for part in _PLACE]
    if values.list.eval(pl.any_horizontal(parts)).list.any().fill_null(False).any():
        raise problem
    return values


def _place(found: object, wanted: pl.Struct) -> pl.Expr:
    """A place with the parts wanted, in their order; ``set`` alone may be absent."""
    if not isinstance(found, pl.Struct):
        return pl.element()
    known = {part.name for part in found.fields} | {part.name for part in wanted.fields if part.name != "set"}
    parts = [
        pl.element().struct.field(part.name) if part.name in known else pl.lit(0).alias(part.name)
        for part in wanted.fields
    ]
    return pl.struct(parts)


def _check_ranges(frame: pl.DataFrame, where: str) -> None:
    """Refuse numbers of words and shares that are none."""
    for name in [name for name in _LEAST if name in frame.columns and frame[name].dtype.is_integer()]:
        low = frame[name].min()
        if isinstance(low, int) and low < _LEAST[name]:
            raise TableError(f'{where}: the column "{name}" must be {_LEAST[name]} or more, found {low}.')
    for name in ("share", "shares"):
        if name in frame.columns:
            column = frame[name].explode() if name == "shares" else frame[name]
            wrong = column.filter(~column.is_between(0, 1) | column.is_nan())
            if len(wrong):
                raise TableError(
                    f'{where}: the column "{name}" must hold shares of the words, 0 to 1, found {wrong[0]}.'
                )
