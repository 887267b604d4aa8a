"""Another tool's file as JSON objects, and its rows as ``Foreign``: every mistake in it one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import Foreign, foreign_rows
from dfar_toolkit.tabular.json_rows import cut_short, parsed_json
from dfar_toolkit.tabular.whole_file import whole_file
from dfar_toolkit.tabular.wording import ContentError, quoted

Record = dict[str, object]


def file_bytes(path: Path) -> bytes:
    """The bytes of a file after a byte-order mark, or in one line why there are none."""
    try:
        return whole_file(path, folder="this is a folder; give the outputs file in it.", zipped=True)
    except ContentError as bad:
        raise TableError(f"{path}: {bad}") from bad.__cause__


def text_of(data: bytes, where: Path | str) -> str:
    """Bytes as UTF-8 text, with the place of the first byte that is none."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        raise TableError(
            f"{where}: invalid UTF-8: byte 0x{data[fault.start]:02x} at offset {fault.start} (line {line}); write the "
            "file again as UTF-8."
        ) from None


def json_of(data: bytes, where: Path | str) -> object:
    """One JSON document from bytes."""
    try:
        return parsed_json(text_of(data, where))
    except ContentError as bad:
        raise TableError(f"{where}: {bad}") from bad.__cause__


class Numbered(NamedTuple):
    """An object of a file: its line (or place in a list) from 1, its content, and a mark that equal contents share."""

    number: int
    record: Record
    mark: int


def read_records(path: Path) -> Iterator[Numbered]:
    """The objects of a file with one JSON object per line, or with one JSON list of objects, one after the other.

    Raises:
        TableError: The file cannot be read, or an entry is no object.
    """
    text = text_of(file_bytes(path), path)
    if text.lstrip()[:1] == "[":
        document = json_of(text.encode(), path)
        parsed: Iterator[tuple[int, object, str]] = (
            (n, value, repr(value)) for n, value in enumerate(document if isinstance(document, list) else [], 1)
        )
    else:
        parsed = _lines(path, text)
    for number, value, content in parsed:
        if not isinstance(value, dict):
            raise strange(path, number, "an object", value)
        yield Numbered(number, value, hash(content))


def _lines(path: Path, text: str) -> Iterator[tuple[int, object, str]]:
    """The value on each line that is not blank."""
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if not stripped:
            continue
        try:
            value = parsed_json(stripped, line=number)
        except ContentError as bad:
            raise TableError(f"{path}: {bad}{cut_short(bad, lines, number)}") from bad.__cause__
        yield number, value, stripped


class Repeats:
    """The keys of a file's records, each of which must stand there once; exact copies are left out and counted."""

    def __init__(self, path: Path, naming: str) -> None:
        self._path = path
        self._naming = naming
        self._first: dict[object, int] = {}
        self._copies = 0

    def copy(self, key: object, mark: int) -> bool:
        """Whether a record is an exact copy of an earlier one; a record whose key is None never is.

        Raises:
            TableError: An earlier record has the same key and another content.
        """
        if key is None or key not in self._first:
            self._first[key] = mark
            return False
        if self._first[key] != mark:
            parts = [part for part in (key if isinstance(key, tuple) else (key,)) if part is not None]
            raise TableError(
                f"{self._path}: {self._naming} {quoted(parts)} stands there twice with different content, as when two "
                "runs were written into one file; keep one of them."
            )
        self._copies += 1
        return True

    @property
    def notes(self) -> list[str]:
        """How many copies were left out, if any."""
        return [f"records left out because they repeat an earlier one exactly: {self._copies}"] if self._copies else []


def as_foreign(
    path: Path, name: str, rows: list[dict[str, Any]], notes: Iterable[str] = (), *, ordered: bool = True
) -> Foreign:
    """Rows as ``Foreign``; a file without rows, or with half a surrogate pair, is an error."""
    if not rows:
        raise TableError(f"{path}: this {name} file holds no outputs.")
    try:
        return Foreign(name, foreign_rows(rows), tuple(notes), ordered)
    except UnicodeEncodeError:
        raise TableError(f"{path}: a text holds half a surrogate pair (\\ud800...); write the file again.") from None


def strange(path: Path, number: int, wanted: str, found: object) -> TableError:
    """The error of a record (counted from 1) that is not what the format says."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    kind = kinds.get(type(found), "a number")
    example = f" ({quoted([str(found)[:40]])})" if isinstance(found, str | int | float) else ""
    return TableError(f"{path}: record {number}: wanted {wanted}, found {kind}{example}.")
