"""Marked spans of text in either layout, lists or long rows, as rows of one shape: who, what, one span."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit.agreement.ratings import By, RatingsLike, shown
from dfar_toolkit.agreement.rows import rows_of
from dfar_toolkit.errors import TableError

RATING: Final = "dfar rating"  # names that no caller's column has
SPAN: Final = "dfar span"
_BARE: Final = "dfar bare"

_FIELD: Final = "field"  # used where it is there, missed by nobody where it is not


class SpanColumns(NamedTuple):
    """Names of the columns of spans, as the public functions take them."""

    item: str = "item_id"
    rater: str = "annotator_id"
    evidence: str = "evidence"
    start: str = "start"
    end: str = "end"
    field: str | None = _FIELD
    label: str | None = None
    group: str | None = None


class SpanRows(NamedTuple):
    """Columns ``keys`` of the caller, ``RATING`` (tells ratings of one item and rater apart) and ``SPAN``.

    A span is a struct of field, label (texts, "" where there are none), start and end (whole numbers); it is null on
    the one row of a rating that marked nothing. Missing ratings have no row.
    """

    frame: pl.DataFrame
    keys: list[str]


def span_rows(ratings: RatingsLike, columns: SpanColumns, by: By) -> SpanRows:
    """Bring marked spans into one shape and check the spans themselves.

    Args:
        ratings: As :func:`~dfar_toolkit.agreement.span_ratings.read_spans` takes them.
        columns: Names of the columns.
        by: Column or columns that tell the slices apart.

    Returns:
        The rows, in no particular order.

    Raises:
        TableError: A column is missing or of the wrong type, or a span is no span.
    """
    slicing = (by,) if isinstance(by, str) else tuple(by or ())
    named = [columns.item, columns.rater, *([columns.group] if columns.group else []), *slicing]
    parts = [name for name in (columns.evidence, columns.start, columns.end, columns.field, columns.label) if name]
    triple = (columns.item, columns.rater, columns.evidence)
    rows = rows_of(ratings, names=triple, keep={*named, *parts, "question", "rating_id"})
    _check_columns(rows.columns, named, columns)
    keys = list(dict.fromkeys([*named, *(["question"] if "question" in rows.columns else [])]))
    flat = _from_lists(rows, keys, columns) if columns.evidence in rows.columns else _from_rows(rows, keys, columns)
    _check_spans(flat, columns)
    return SpanRows(flat, keys)


def pairs_as_structs(column: pl.Series, names: tuple[str, str]) -> pl.Series:
    """Lists of (start, end) pairs as lists of structs; lists of structs as they are.

    Args:
        column: Lists of pairs of whole numbers, or of structs with the fields ``names``; or nothing but nulls.
        names: Names of the first and the second number.

    Returns:
        Lists of structs with at least the fields ``names``.

    Raises:
        TableError: The column holds something else.
    """
    inner: Any = column.dtype.inner if isinstance(column.dtype, pl.List) else None
    if column.dtype == pl.Null or inner == pl.Null:
        return column.cast(pl.List(pl.Struct(dict.fromkeys(names, pl.Int64))))
    if isinstance(inner, pl.List | pl.Array) and inner.inner is not None and _whole(inner.inner):
        pair = pl.element().cast(pl.List(pl.Int64))
        given = column.to_frame("c").filter(pl.col("c").is_not_null()).explode("c").drop_nulls()
        if (given.select(pl.col("c").cast(pl.List(pl.Int64)).list.len() != 2)).to_series().any():
            raise TableError(f'the column "{column.name}" must hold lists of (start, end) pairs; found other lengths.')
        struct = pl.struct(pair.list.get(k, null_on_oob=True).alias(name) for k, name in enumerate(names))
        return column.to_frame("c").select(pl.col("c").list.eval(struct).alias(column.name)).to_series()
    held = {field.name: field.dtype for field in inner.fields} if isinstance(inner, pl.Struct) else {}
    if not all(name in held and _whole(held[name]) for name in names):
        raise TableError(
            f'the column "{column.name}" must hold lists of spans, each with whole numbers "{names[0]}" and '
            f'"{names[1]}"; found {shown(column.dtype, 100)}.'
        )
    return column


def _whole(dtype: Any) -> bool:
    return bool(dtype.is_integer() or dtype == pl.Null)


def _check_columns(found: Sequence[str], named: list[str], columns: SpanColumns) -> None:
    listed = ", ".join(f'"{shown(name)}"' for name in found)
    for name in named:
        if name not in found:
            raise TableError(f'agreement on spans needs the column "{name}"; found {listed}; name another.')
    if columns.evidence not in found and not {columns.start, columns.end} <= set(found):
        raise TableError(
            f'agreement on spans needs a column of lists "{columns.evidence}", or the columns "{columns.start}" and '
            f'"{columns.end}"; found {listed}; name others with evidence=, or start= and end=.'
        )


def _from_lists(rows: pl.DataFrame, keys: list[str], columns: SpanColumns) -> pl.DataFrame:
    lists = pairs_as_structs(rows[columns.evidence], (columns.start, columns.end)).alias(SPAN)
    held = {field.name for field in lists.dtype.inner.fields}  # type: ignore[attr-defined]
    rows = rows.with_columns(lists).filter(pl.col(SPAN).is_not_null())
    if "rating_id" in rows.columns:
        rating = pl.col("rating_id").cast(pl.String)
    else:  # without a rating id a second row is a second rating, unless it is about another label
        about = [columns.label] if columns.label in rows.columns else []
        rating = pl.int_range(pl.len()).over([*keys, *about]).cast(pl.String)
    bare = pl.col(SPAN).list.len() == 0
    rows = rows.with_columns(rating.alias(RATING), bare.alias(_BARE))
    empty = rows.filter(_BARE).with_columns(pl.lit(None, dtype=lists.dtype.inner).alias(SPAN))  # type: ignore[attr-defined]
    flat = pl.concat([rows.filter(~pl.col(_BARE)).explode(SPAN), empty])
    span = pl.col(SPAN).struct
    names = {"field": columns.field, "label": columns.label}
    texts = {
        role: span.field(str(name)) if name in held else _beside(role, name, rows.columns)
        for role, name in names.items()
    }
    ends = {"start": span.field(columns.start), "end": span.field(columns.end)}
    return flat.select(*keys, RATING, _span(texts, ends, pl.col(_BARE)))


def _from_rows(rows: pl.DataFrame, keys: list[str], columns: SpanColumns) -> pl.DataFrame:
    """Long rows: those of one item and rater are one rating, unless rating ids say otherwise."""
    for name in (columns.start, columns.end):
        if not _whole(rows.schema[name]):
            raise TableError(f'the column "{name}" must hold whole numbers; found {rows.schema[name]}; cast it.')
    rating = pl.col("rating_id") if "rating_id" in rows.columns else pl.lit("")
    texts = {
        role: _beside(role, name, rows.columns)
        for role, name in {"field": columns.field, "label": columns.label}.items()
    }
    ends = {"start": pl.col(columns.start), "end": pl.col(columns.end)}
    bare = pl.col(columns.start).is_null() & pl.col(columns.end).is_null()
    return rows.select(*keys, rating.cast(pl.String).alias(RATING), _span(texts, ends, bare))


def _beside(role: str, name: str | None, found: Sequence[str]) -> pl.Expr:
    """A column beside the spans, or "" where there is none and none was asked for by its own name."""
    if name in found:
        return pl.col(str(name))
    if name is None or name == _FIELD:
        return pl.lit("")
    raise TableError(f'the spans have no {role} "{name}"; name one that is there, or give {role}=None.')


def _span(texts: dict[str, pl.Expr], ends: dict[str, pl.Expr], bare: pl.Expr) -> pl.Expr:
    named = [text.cast(pl.String).fill_null("").alias(role) for role, text in texts.items()]
    numbers = [end.cast(pl.Int64).alias(role) for role, end in ends.items()]
    return pl.when(~bare).then(pl.struct(named + numbers)).alias(SPAN)


def _check_spans(flat: pl.DataFrame, columns: SpanColumns) -> None:
    """Refuse spans that are empty, turned round, before the text, or lack an end."""
    start, end = pl.col(SPAN).struct.field("start"), pl.col(SPAN).struct.field("end")
    fine = ((start >= 0) & (start < end)).fill_null(value=False)
    bad = flat.filter(pl.col(SPAN).is_not_null() & ~fine)
    if len(bad):
        row = bad.sort(columns.item, columns.rater).row(0, named=True)
        found = f"{row[SPAN]['start']} to {row[SPAN]['end']}"
        raise TableError(
            f"a span must start at 0 or later and end after its start; {len(bad)} do not (e.g. {found} by rater "
            f'"{shown(row[columns.rater])}" on item "{shown(row[columns.item])}"); mend or leave them out.'
        )
