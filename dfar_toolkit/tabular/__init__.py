"""CSV, TSV, JSON lines, JSON and Parquet in, as one frame, with one-line errors: the one tolerant reader.

Text tables are read as text: no type is guessed, so a label ``01`` stays ``01`` and an id never becomes a float.
Typed formats (JSON, Parquet) keep their types. What cannot be read without a guess is an error that says where.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.errors import DfarError, TableError
from dfar_toolkit.tabular.arrow_lines import SMALLEST, arrow_lines
from dfar_toolkit.tabular.delimited import delimited_rows
from dfar_toolkit.tabular.json_rows import json_lines, json_table, mended_json, parsed_json, rows_frame
from dfar_toolkit.tabular.whole_file import whole_file
from dfar_toolkit.tabular.wording import ContentError, demand_columns, nearest, quoted

__all__ = ["ENDINGS", "SEPARATORS", "nearest", "quoted", "read_json", "read_table"]
SEPARATORS: Final = {".csv": ",", ".txt": ",", ".tsv": "\t", ".tab": "\t"}  # file ending: what it separates by
ENDINGS: Final = (*SEPARATORS, ".jsonl", ".ndjson", ".json", ".parquet")


def read_table(
    path: Path | str,
    *,
    separator: str | None = None,
    columns: Iterable[str] = (),
    error: type[DfarError] = TableError,
) -> pl.DataFrame:
    r"""A table from a file, its format by the file's ending.

    ``.csv``, ``.txt``, ``.tsv``, ``.tab``: every cell is text, an empty cell without quotes is null, an empty cell in
    quotes is ``""``; a byte-order mark, Windows line ends, line breaks in quotes and blank lines are fine.
    ``.jsonl``, ``.ndjson`` (one object per line) and ``.json`` (a list of objects): lists and objects are kept, a key
    that is absent is null, and a key that holds both numbers and texts becomes text (other values as JSON).
    ``.parquet``: as it is.

    Args:
        path: The file.
        separator: One character between the cells of a text table; by default "," (a tab for ``.tsv``, ``.tab``). A
            backslash and a "t", as a shell hands them over, are a tab.
        columns: Columns that must be there.
        error: Class of the exception raised for a file that cannot be read.

    Returns:
        The rows in the order of the file.

    Raises:
        DfarError: As ``error``: the file is missing, empty, damaged or lacks a column; the message is one line.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "ratings.csv"
        >>> _ = path.write_text('item,label\n01,"yes, ""no"" "\n02,\n')
        >>> read_table(path, columns=["label"]).rows()
        [('01', 'yes, "no" '), ('02', None)]
    """
    separator = "\t" if separator == "\\t" else separator
    if separator is not None and len(separator.encode()) != 1:
        raise ValueError(f'read_table: separator must be one character (for a tab: "\\t"), found {separator!r}')
    path, demanded = Path(path), tuple(columns)
    try:
        frame = _read(path, _bytes(path), separator, demanded)
        demand_columns(frame.columns, demanded)
    except ContentError as bad:
        raise error(f"{path}: {bad}") from bad.__cause__
    return frame


def read_json(
    path: Path | str, *, repair: bool = False, error: type[DfarError] = TableError
) -> tuple[object, tuple[str, ...]]:
    r"""A whole JSON document and what had to be repaired to read it.

    The only damage that is ever repaired is a comma before a closing brace or bracket: what was meant is certain.

    Args:
        path: The file, UTF-8 with or without a byte-order mark.
        repair: Whether to remove such commas; if not, they are an error as well.
        error: Class of the exception raised for a file that cannot be read.

    Returns:
        The document, and one sentence per repair (none for a sound file).

    Raises:
        DfarError: As ``error``: missing, empty, not JSON (with line and column), or one key twice in an object.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "raters.json"
        >>> _ = path.write_text('{"Ann1": {"age": "22",},}')
        >>> read_json(path, repair=True)
        ({'Ann1': {'age': '22'}}, ('raters.json: removed 2 trailing commas',))
    """
    path = Path(path)
    try:
        return mended_json(_text(_bytes(path)), path.name, repair)
    except ContentError as bad:
        raise error(f"{path}: {bad}") from bad.__cause__


def _bytes(path: Path) -> bytes:
    """The bytes after a byte-order mark, or why there are none."""
    return whole_file(path, folder=f"this is a folder; wanted a file ending in {', '.join(ENDINGS)}.")


def _read(path: Path, data: bytes, separator: str | None, demanded: Sequence[str]) -> pl.DataFrame:
    ending = path.suffix.lower()
    if ending in SEPARATORS:
        _check_utf8(data)
        return delimited_rows(data, separator or SEPARATORS[ending], demanded)
    if ending in (".jsonl", ".ndjson"):
        quick = arrow_lines(data) if len(data) >= SMALLEST else None
        return rows_frame(list(json_lines(_text(data)))) if quick is None else quick
    if ending == ".json":
        return json_table(parsed_json(_text(data)))
    if ending == ".parquet":
        try:
            return pl.read_parquet(io.BytesIO(data))
        except (pl.exceptions.PolarsError, OSError) as fault:
            raise ContentError(
                f"this is not a Parquet file that can be read ({str(fault).splitlines()[0]})."
            ) from fault
    raise ContentError(
        f'the ending "{path.suffix}" names no format; wanted one of {", ".join(ENDINGS)}. Export a spreadsheet as CSV.'
    )


def _check_utf8(data: bytes) -> None:
    """Refuse bytes that are not UTF-8, with their place; one megabyte at a time."""
    decoder, size = codecs.getincrementaldecoder("utf-8")(), 1 << 20
    for start in range(0, len(data), size):
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(data[start : start + size], final=start + size >= len(data))
        except UnicodeDecodeError as fault:
            at = start - held + fault.start
            if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise ContentError(
                    "this is UTF-16, wanted UTF-8; convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW."
                ) from None
            line = data.count(b"\n", 0, at) + 1
            raise ContentError(
                f"invalid UTF-8: byte 0x{data[at]:02x} at offset {at} (line {line}); if the file was saved on Windows, "
                "convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW."
            ) from None


def _text(data: bytes) -> str:
    _check_utf8(data)
    return data.decode("utf-8")
