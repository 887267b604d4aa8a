"""The texts of another data set, from an items folder or any file: what overlap is looked for in."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.corpus.text_lines import text_lines
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import read_items
from dfar_toolkit.tabular import nearest, quoted, read_table

OBVIOUS_COLUMNS: Final = ("statement", "text", "question", "prompt", "input", "sentence")


def read_foreign_texts(path: Path, *, column: str | None = None) -> pl.DataFrame:
    r"""Texts with their contexts where they have some, one row each.

    An items folder gives its statements and contexts, whatever the column. A table (CSV, TSV, JSONL, JSON, Parquet)
    gives the column asked for, or the one that has an obvious name (``OBVIOUS_COLUMNS``, whatever the case), with a
    column ``context`` of texts as context. A ``.txt`` file gives a text a line, unless a column is asked for: it is
    then a table.

    Args:
        path: The folder or file.
        column: The column of the texts of a file, where its name is not obvious.

    Returns:
        ``item_id`` (of a file the row, from 0), ``statement`` and, where there is one, ``context``.

    Raises:
        TableError: It cannot be read, no column or several have an obvious name, or a file holds no text.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "test.csv"
        >>> _ = path.write_text("id,Text\n7,I lied.\n")
        >>> read_foreign_texts(path).rows()
        [('0', 'I lied.')]
    """
    if path.is_dir():
        return read_items(path).items.select("item_id", "statement", "context")
    texts = _texts_of(path, column)
    if not texts.select((pl.col("statement").str.strip_chars() != "").any()).item():
        raise TableError(f"{path}: wanted texts to compare with, found none in {texts.height} rows.")
    return texts


def _texts_of(path: Path, column: str | None) -> pl.DataFrame:
    """The texts of a file, which may all be blank."""
    if path.suffix.lower() == ".txt" and column is None:
        return _numbered(pl.DataFrame({"statement": text_lines(path)}, schema={"statement": pl.String}))
    table = read_table(path)
    found = _column(path, table.columns, column)
    if table[found].dtype != pl.String:
        raise TableError(f"{path}: wanted texts in the column {found!r}, found {table[found].dtype}.")
    rows = table.select(pl.col(found).alias("statement"), *_context(table, found))
    return _numbered(rows)


def _numbered(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(pl.int_range(pl.len()).cast(pl.String).alias("item_id"), pl.all())


def _column(path: Path, columns: list[str], asked: str | None) -> str:
    if asked is not None:
        if asked not in columns:
            raise TableError(f"{path}: wanted the column {asked!r}; found {quoted(columns)}.{nearest(asked, columns)}")
        return asked
    obvious = [c for c in columns if c.strip().lower() in OBVIOUS_COLUMNS]
    if len(obvious) != 1:
        what = f"several columns may hold the texts, {quoted(obvious)}" if obvious else "no column has an obvious name"
        raise TableError(
            f"{path}: wanted one column of texts ({', '.join(OBVIOUS_COLUMNS)}); {what} among {quoted(columns)}. "
            "Name it: --against-column COLUMN."
        )
    return obvious[0]


def _context(table: pl.DataFrame, taken: str) -> list[pl.Expr]:
    """A column ``context`` of texts, or of our own kind, as a list of fields."""
    dtype = table.schema.get("context")
    if taken == "context" or dtype is None:
        return []
    if dtype == pl.String:
        field = pl.struct(pl.lit("context").alias("field"), pl.lit("").alias("role"), pl.col("context").alias("text"))
        return [pl.concat_list(field).alias("context")]
    inner = dtype.inner if isinstance(dtype, pl.List) else None
    ours = isinstance(inner, pl.Struct) and "text" in {f.name for f in inner.fields}
    return [pl.col("context")] if ours else []
