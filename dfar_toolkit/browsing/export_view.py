r"""The items of a filter as a file: CSV that no spreadsheet takes for formulas, JSONL, Parquet; and the filter itself.

Written in blocks under another name and moved into place whole, so that a reader never sees half a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args

import polars as pl

from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import Found, found_rows
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.run_settings import write_whole
from dfar_toolkit.files.swap import write_error

Format = Literal["csv", "jsonl", "parquet"]
_BLOCK: Final = 50_000
# What a spreadsheet may take for a formula: the signs themselves, their full-width forms, and anything blank or
# invisible before them; or a cell that begins with a tab or the end of a line.
FORMULA: Final = r"^[\s\p{Cf}\x00]*[=+\-@＝＋－﹣＠﹦﹢﹫]|^[\t\r\n]"


def export_columns(index: ItemIndex) -> list[str]:
    """The columns that an export has where none are named: all but flags that nobody set."""
    flags = index.column("flagged").any()
    judged = [name for name in index.columns if name.startswith("judged bad ") and _has_values(index, name)]
    return [
        name
        for name in index.columns
        if (name != "flagged" or flags) and (not name.startswith("judged bad ") or name in judged)
    ]


def _has_values(index: ItemIndex, name: str) -> bool:
    return index.column(name).null_count() < len(index)


def export_view(
    index: ItemIndex,
    wanted: ItemFilter,
    path: Path | str,
    *,
    kind: Format = "csv",
    order: str = "",
    columns: list[str] | None = None,
) -> int:
    """Write the items of a filter to a file.

    Args:
        index: The items.
        wanted: The filter.
        path: The file, replaced where it exists.
        kind: ``csv`` (text cells quoted; those that begin like a formula get a ``'`` before), ``jsonl`` or ``parquet``.
        order: As in ``found_rows``.
        columns: Columns of the index; None means ``export_columns``.

    Returns:
        The number of items written.

    Raises:
        ValueError: An unknown kind or column, or a filter that does not fit the index.
        TableError: The file cannot be written; what was there before is unchanged.
    """
    if kind not in get_args(Format):
        raise ValueError(f"export_view: wanted kind {', '.join(get_args(Format))}, found {kind!r}")
    path = Path(path)
    found = found_rows(index, wanted, order=order)
    names = export_columns(index) if columns is None else columns
    blocks = _blocks(index, found, names)
    try:
        write_whole(path, lambda file: _write(blocks, file, kind, index.frame(names).head(0)))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TableError(write_error(path, error)) from error
    return len(found)


def _blocks(index: ItemIndex, found: Found, names: list[str]) -> Iterator[pl.DataFrame]:
    for begin in range(0, len(found), _BLOCK):
        rows = pl.Series(found.rows[begin : begin + _BLOCK])
        yield pl.DataFrame([_plain(index.column(name).gather(rows)) for name in names])


def _plain(values: pl.Series) -> pl.Series:
    return values.cast(pl.String) if isinstance(values.dtype, pl.Enum) else values


def _write(blocks: Iterator[pl.DataFrame], file: Path, kind: Format, none: pl.DataFrame) -> None:
    none = pl.DataFrame([_plain(column) for column in none.get_columns()])
    if kind == "parquet":
        lazy = [none.lazy(), *(block.lazy() for block in blocks)]
        pl.concat(lazy).sink_parquet(file, compression="zstd", statistics=True)
        return
    with file.open("wb") as handle:
        if kind == "csv":
            handle.write(csv_text(none).encode())
        for block in blocks:
            text = csv_text(block, header=False) if kind == "csv" else block.write_ndjson()
            handle.write(text.encode())
        handle.flush()
        os.fsync(handle.fileno())


def csv_text(frame: pl.DataFrame, *, header: bool = True) -> str:
    r"""A frame as CSV whose texts, names of columns too, no spreadsheet takes for formulas; numbers stay numbers.

    Example:
        >>> csv_text(pl.DataFrame({"t": ["=1+1", "plain"], "n": [-1, 2]}))
        '"t","n"\n"\'=1+1",-1\n"plain",2\n'
    """
    texts = [name for name in frame.columns if frame[name].dtype == pl.String]
    body = frame.with_columns(_guarded(frame[name]).alias(name) for name in texts)
    names = _guarded(pl.Series(frame.columns, dtype=pl.String)).str.replace_all('"', '""', literal=True)
    head = ",".join(f'"{name}"' for name in names) + "\n" if header else ""
    return head + body.write_csv(include_header=False, quote_style="non_numeric")


def _guarded(texts: pl.Series) -> pl.Series:
    """Texts with a ``'`` before those that begin like a formula."""
    text = pl.col("text")
    guarded = pl.when(text.str.contains(FORMULA)).then(pl.lit("'") + text).otherwise(text)
    return texts.alias("text").to_frame().select(guarded).to_series()


def filter_json(wanted: ItemFilter, *, items: Path | str = "", runs: tuple[str, ...] = ()) -> str:
    """The filter as JSON: what its address says, in words too, and what it was about.

    Example:
        >>> print(filter_json(ItemFilter(split=("test",)), items="out/dfar"))
        {
         "items": "out/dfar",
         "runs": [],
         "filter": {
          "split": [
           "test"
          ]
         },
         "words": [
          "split test"
         ]
        }
    """
    content: dict[str, Any] = {
        "items": str(items), "runs": list(runs), "filter": wanted.to_query(), "words": wanted.words(),
    }  # fmt: skip
    return json.dumps(content, indent=1, ensure_ascii=False)
