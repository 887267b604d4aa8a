"""CSV, TSV, JSON lines, JSON and Parquet in, as one frame, with one-line errors: the one tolerant reader.

Text tables are read as text: no type is guessed, so a label ``01`` stays ``01`` and an id never becomes a float.
Typed formats (JSON, Parquet) keep their types. What cannot be read without a guess is an error that says where.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.errors import DfarError, TableError

SEPARATORS: Final = {".csv": ",", ".txt": ",", ".tsv": "\t", ".tab": "\t"}  # file ending: what it separates by
ENDINGS: Final = (*SEPARATORS, ".jsonl", ".ndjson", ".json", ".parquet")
_NAMES: Final = {"\t": "a tab", ",": '","', ";": '";"', "|": '"|"'}
_TRAILING: Final = re.compile(r'"(?:[^"\\]|\\.)*"|(?<![\[{,:\s])(\s*),(?=\s*[}\]])', re.DOTALL)


class _ContentError(Exception):
    """What is wrong with the content of a file, without the file's name."""


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
        _demand(frame.columns, demanded)
    except _ContentError as bad:
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
        return _mended_json(_text(_bytes(path)), path.name, repair)
    except _ContentError as bad:
        raise error(f"{path}: {bad}") from bad.__cause__


def quoted(names: Iterable[object], *, most: int = 12) -> str:
    r"""Names or values for a one-line message: in quotes, line breaks escaped, at most ``most`` of them.

    Example:
        >>> quoted(["a", "b\nc"])
        '"a", "b\\nc"'
    """
    listed = list(names)
    shown = [json.dumps(str(name), ensure_ascii=False) for name in listed[:most]]
    return ", ".join(shown) + (f" and {len(listed) - most} more" if len(listed) > most else "") or "none"


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence with the known name that is most like ``name``, beginning with a space; empty if none is.

    Example:
        >>> nearest("lable", ["label", "reason"])
        ' Is it "label"?'
    """
    folded = {k.casefold(): k for k in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f" Is it {quoted([folded[near[0]]])}?" if near else ""


def _bytes(path: Path) -> bytes:
    """The bytes after a byte-order mark, or why there are none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise _ContentError("there is no such file.") from None
    except IsADirectoryError:
        raise _ContentError(f"this is a folder; wanted a file ending in {', '.join(ENDINGS)}.") from None
    except OSError as fault:
        raise _ContentError(f"cannot be read: {fault.strerror}.") from fault
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.strip():
        raise _ContentError("the file is empty.")
    return data


def _read(path: Path, data: bytes, separator: str | None, demanded: Sequence[str]) -> pl.DataFrame:
    ending = path.suffix.lower()
    if ending in SEPARATORS:
        _check_utf8(data)
        return _delimited(data, separator or SEPARATORS[ending], demanded)
    if ending in (".jsonl", ".ndjson"):
        return _frame(list(_json_lines(_text(data))))
    if ending == ".json":
        return _json_table(_json(_text(data)))
    if ending == ".parquet":
        try:
            return pl.read_parquet(io.BytesIO(data))
        except (pl.exceptions.PolarsError, OSError) as fault:
            raise _ContentError(
                f"this is not a Parquet file that can be read ({str(fault).splitlines()[0]})."
            ) from fault
    raise _ContentError(f'the ending "{path.suffix}" names no format; wanted one of {", ".join(ENDINGS)}.')


def _demand(found: Sequence[str], wanted: Sequence[str]) -> None:
    lost = [c for c in wanted if c not in found]
    if lost:
        columns = f"column{'s' if len(lost) > 1 else ''}"
        raise _ContentError(f"wanted the {columns} {quoted(lost)}; found {quoted(found)}.{nearest(lost[0], found)}")


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
                raise _ContentError(
                    "this is UTF-16, wanted UTF-8; convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW."
                ) from None
            line = data.count(b"\n", 0, at) + 1
            raise _ContentError(
                f"invalid UTF-8: byte 0x{data[at]:02x} at offset {at} (line {line}); if the file was saved on Windows, "
                "convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW."
            ) from None


def _text(data: bytes) -> str:
    _check_utf8(data)
    return data.decode("utf-8")


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
            raise _ContentError(f"line {line}: {fault}.") from fault
        if cells:
            yield line, cells


def _delimited(data: bytes, separator: str, demanded: Sequence[str]) -> pl.DataFrame:
    """A text table by Arrow's parser, which tells an empty cell from an empty text in quotes."""
    import pyarrow as pa
    from pyarrow import csv as pacsv

    _, names = next(_records(data, separator))
    _check_header(data, names, separator, demanded)
    try:
        table = pacsv.read_csv(
            pa.BufferReader(data if data.endswith((b"\n", b"\r")) else data + b"\n"),
            read_options=pacsv.ReadOptions(block_size=1 << 24),
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
                raise _ContentError(
                    f"line {line} has {len(cells)} cells, the header has {len(names)} ({shown})."
                ) from None
        raise _ContentError(f"cannot be read as a table: {str(fault).splitlines()[0]}.") from fault
    frame = pl.from_arrow(table)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(f"read_table: expected a frame from Arrow, found {type(frame).__name__}")
    if not frame.height or str(frame[-1, -1]).endswith(("\r", "\n")):
        _check_quotes(data, separator)
    return frame


def _check_header(data: bytes, names: list[str], separator: str, demanded: Sequence[str]) -> None:
    twice = _twice(names)
    if twice:
        raise _ContentError(f"the header has the column {quoted(twice)} more than once; rename one of them.")
    if any("\0" in name for name in names):
        raise _ContentError(f"the header {quoted(names)} holds a zero byte: this is no text table.")
    if len(names) > 1 or names[0] in demanded or data.startswith(json.dumps(names[0], ensure_ascii=False).encode()):
        return
    others = [mark for mark in _NAMES if mark != separator and mark in names[0]]
    if others:
        most = max(others, key=names[0].count)
        option = "'\\t'" if most == "\t" else f"'{most}'"
        by = _NAMES.get(separator, quoted([separator]))
        raise _ContentError(
            f"separated by {by} there is one column, {quoted(names)}; it contains {_NAMES[most]}: "
            f"give --separator {option}."
        )


def _twice(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _check_quotes(data: bytes, separator: str) -> None:
    """Refuse a quote that is open until the end of the file: a line put after the end would be part of its cell."""
    lines = [line for line, _ in _records(data, separator)]
    if len(lines) == sum(1 for _ in _records(data + b"\nx\n", separator)):
        raise _ContentError(f"a quote in the row that begins on line {lines[-1]} is never closed.")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object, refused if a key stands in it twice."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _ContentError(f"the key {quoted(_twice(key for key, _ in pairs))} stands twice in one object.")
    return made


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_once)


def _json(text: str, *, line: int | None = None) -> object:
    """The value of a document, or of the given line of a file."""
    at = "" if line is None else f"line {line}: "
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as fault:
        place = f"line {line or fault.lineno}, column {fault.colno}"
        raise _ContentError(f"{place}: not valid JSON ({fault.msg}).") from fault
    except RecursionError as fault:
        raise _ContentError(f"{at}nested too deeply to be read.") from fault
    except _ContentError as bad:
        raise _ContentError(f"{at}{bad}") from None


def _mended_json(text: str, name: str, repair: bool) -> tuple[object, tuple[str, ...]]:
    """A document, without its trailing commas if these are all that is wrong with it and ``repair`` allows."""
    try:
        return _json(text), ()
    except _ContentError as bad:
        mended = _TRAILING.sub(lambda match: match[0] if match[1] is None else match[1], text)
        n = len(text) - len(mended)
        try:
            document = _json(mended)
        except _ContentError:
            raise bad from None
        commas = f"{n} trailing comma{'s' if n != 1 else ''}"
        if not repair:
            only = f"The only damage is {commas} before a closing brace or bracket: remove them."
            raise _ContentError(f"{bad} {only}") from bad
        return document, (f"{name}: removed {commas}",)


def _json_lines(text: str) -> Iterator[dict[str, object]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            row = _json(line.strip(), line=number)
            if not isinstance(row, dict):
                raise _ContentError(f"line {number}: wanted one JSON object per line, found {_json_kind(row)}.")
            yield row


def _json_kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _json_table(document: object) -> pl.DataFrame:
    if not isinstance(document, list):
        raise _ContentError(f"wanted a list of objects, found {_json_kind(document)}.")
    for number, row in enumerate(document, start=1):
        if not isinstance(row, dict):
            raise _ContentError(f"entry {number} of the list: wanted an object, found {_json_kind(row)}.")
    return _frame(document)


def _frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    names = list(dict.fromkeys(key for row in rows for key in row))
    return pl.DataFrame([_column(name, [row.get(name) for row in rows]) for name in names])


def _column(name: str, values: list[object]) -> pl.Series:
    """One key's values under the one type that holds them all unchanged; text where there is none."""
    dtype = _dtype(values)
    try:
        if dtype is not None:
            return pl.Series(name, values, dtype=dtype, strict=True)
        texts = [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]
        return pl.Series(name, texts, dtype=pl.String)
    except UnicodeEncodeError as fault:
        raise _ContentError(
            f"the key {quoted([ascii(name)])} holds a text with half a surrogate pair (\\ud800...)."
        ) from fault


def _dtype(values: Iterable[object]) -> pl.DataType | None:
    """The type of JSON values (null: ``Null``), or None where no one type holds them all unchanged."""
    present = [v for v in values if v is not None]
    kinds = {type(v) for v in present}
    if not kinds:
        return pl.Null()
    if kinds == {list}:
        inner = _dtype(x for v in present if isinstance(v, list) for x in v)
        return None if inner is None else pl.List(inner)
    if kinds == {dict}:
        objects = [v for v in present if isinstance(v, dict)]
        fields = {key: _dtype(o.get(key) for o in objects) for key in dict.fromkeys(k for o in objects for k in o)}
        known = [pl.Field(key, dtype) for key, dtype in fields.items() if dtype is not None]
        return pl.Struct(known) if known and len(known) == len(fields) else None
    if kinds == {bool} or kinds == {str}:
        return pl.Boolean() if kinds == {bool} else pl.String()
    if not kinds <= {int, float}:
        return None
    most = max((abs(v) for v in present if isinstance(v, int)), default=0)
    if kinds == {int}:
        return pl.Int64() if most < 2**63 else None
    return pl.Float64() if most <= 2**53 else None
