"""Two states of one table compared: rows that came or went, and every cell that changed, before and after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import polars as pl

_COLUMNS: Final = ("what", "status", "key", "column", "before", "after")
CHANGES: Final = pl.Schema(dict.fromkeys(_COLUMNS, pl.String()))


def table_changes(before: pl.DataFrame, after: pl.DataFrame, *, keys: Sequence[str]) -> pl.DataFrame:
    """Every difference between two states of a table; the order of rows and columns means nothing.

    Args:
        before: The table as it was.
        after: The table as it is.
        keys: The columns that name a row.

    Returns:
        ``what`` (row, column or cell), ``status`` (added, missing or changed), ``key``, ``column``, ``before``,
        ``after``, all text. Cost: one join, and text only for cells that differ.

    Example:
        >>> old, new = pl.DataFrame({"k": ["a", "b"], "x": [1, 2]}), pl.DataFrame({"k": ["b", "a"], "x": [2, 3]})
        >>> table_changes(old, new, keys=["k"]).row(0)
        ('cell', 'changed', 'a', 'x', '1', '3')
    """
    name = pl.concat_str([pl.col(k).cast(pl.String).fill_null("") for k in keys], separator=" / ").alias("key")
    columns = [c for c in before.columns if c in after.columns and c not in keys]
    found = [
        _columns("missing", [c for c in before.columns if c not in after.columns]),
        _columns("added", [c for c in after.columns if c not in before.columns]),
        _changes(before.join(after, on=keys, how="anti", nulls_equal=True).select(name), "row", "missing"),
        _changes(after.join(before, on=keys, how="anti", nulls_equal=True).select(name), "row", "added"),
    ]
    both = before.select(*keys, *columns).join(
        after.select(*keys, *columns), on=keys, suffix="\0after", how="inner", nulls_equal=True, maintain_order="left"
    )
    for column in columns:
        old, new = both[column], both[f"{column}\0after"]
        if old.dtype == new.dtype:
            cells = both.filter(old.ne_missing(new))
            old, new = cells[column], cells[f"{column}\0after"]
        else:
            cells = both
        texts = cells.select(name, _text(old).alias("before"), _text(new).alias("after"))
        differing = texts.filter(pl.col("before").ne_missing(pl.col("after")) | (old.dtype == new.dtype))
        found.append(_changes(differing, "cell", "changed", column=column))
    return pl.concat(found)


def _changes(rows: pl.DataFrame, what: str, status: str, *, column: str = "") -> pl.DataFrame:
    """Rows with a key, and before and after where they have them, as changes."""
    texts = {"what": what, "status": status, "column": column, "before": None, "after": None}
    absent = [pl.lit(value, dtype=pl.String).alias(name) for name, value in texts.items() if name not in rows.columns]
    return rows.with_columns(absent).select(_COLUMNS)


def _columns(status: str, names: Sequence[str]) -> pl.DataFrame:
    """Whole columns that came or went."""
    gone = pl.DataFrame({"column": names}, schema={"column": pl.String}).with_columns(key=pl.lit(""))
    return _changes(gone, "column", status)


def _text(cells: pl.Series) -> pl.Series:
    """Cells as text: text as it is, lists and records as JSON, null as null."""
    if not cells.dtype.is_nested():
        return cells.cast(pl.String)
    values = [None if v is None else json.dumps(v, ensure_ascii=False, sort_keys=True) for v in cells.to_list()]
    return pl.Series(cells.name, values, dtype=pl.String)
