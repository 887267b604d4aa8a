"""CSV and TSV, every cell as text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from dfar_toolkit.tabular.wording import ContentError, quoted, repeated

_BLOCK: Final = 1 << 24  # bytes parsed at once
_NAMES: Final = {"\t": "a tab", ",": '","', ";": '";"', "|": '"|"'}


def _records(data: bytes, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the lines they begin on: slow, so for the header and for the place of a fault only."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8", newline=""), delimiter=separator)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as fault:
            raise ContentError(f"line {line}: {fault}.") from fault
        if cells:
            yield line, cells


def delimited_rows(data: bytes, separator: str, demanded: Sequence[str]) -> pl.DataFrame:
    """A text table by Arrow's parser, which tells an empty cell from an empty text in quotes."""
    import pyarrow as pa
    from pyarrow import csv as pacsv

    _, names = next(_records(data, separator))
    _check_header(data, names, separator, demanded)
    try:
        table = pacsv.read_csv(
            pa.BufferReader(data if data.endswith((b"\n", b"\r")) else data + b"\n"),
            # Arrow's pool of threads can abort a short process at its exit; one block needs no pool.
            read_options=pacsv.ReadOptions(block_size=_BLOCK, use_threads=len(data) > _BLOCK),
            parse_options=pacsv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            ),
        )
    except pa.ArrowInvalid as fault:
        _check_quotes(data, separator)
        for line, cells in _records(data, separator):
            if len(cells) != len(names):
                shown = quoted(cells, most=3)
                raise ContentError(
                    f"line {line} has {len(cells)} cells, the header has {len(names)} ({shown})."
                ) from None
        raise ContentError(f"cannot be read as a table: {str(fault).splitlines()[0]}.") from fault
    frame = pl.from_arrow(table)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(f"read_table: expected a frame from Arrow, found {type(frame).__name__}")
    if not frame.height or str(frame[-1, -1]).endswith(("\r", "\n")):
        _check_quotes(data, separator)
    return frame


def _check_header(data: bytes, names: list[str], separator: str, demanded: Sequence[str]) -> None:
    twice = repeated(names)
    if twice:
        raise ContentError(f"the header has the column {quoted(twice)} more than once; rename one of them.")
    nameless = [place for place, name in enumerate(names, start=1) if not name.strip()]
    if nameless and len(names) > 1:
        raise ContentError(f"the header names no column {nameless[0]} of {len(names)}; give every column a name.")
    if any("\0" in name for name in names):
        raise ContentError(f"the header {quoted(names)} holds a zero byte: this is no text table.")
    if len(names) > 1 or names[0] in demanded or data.startswith(json.dumps(names[0], ensure_ascii=False).encode()):
        return
    others = [mark for mark in _NAMES if mark != separator and mark in names[0]]
    if others:
        most = max(others, key=names[0].count)
        option = "'\\t'" if most == "\t" else f"'{most}'"
        by = _NAMES.get(separator, quoted([separator]))
        raise ContentError(
            f"separated by {by} there is one column, {quoted(names)}; it contains {_NAMES[most]}: "
            f"give --separator {option} (when building: --column separator={option}), or save it with {by}."
        )


def _check_quotes(data: bytes, separator: str) -> None:
    """Refuse a quote that is open until the end of the file: a line put after the end would be part of its cell."""
    lines = [line for line, _ in _records(data, separator)]
    if len(lines) == sum(1 for _ in _records(data + b"\nx\n", separator)):
        raise ContentError(f"a quote in the row that begins on line {lines[-1]} is never closed.")
