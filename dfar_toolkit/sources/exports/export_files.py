"""The files of an export and the JSON records in them, with one-line errors."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.layout import folders_with
from dfar_toolkit.tabular import quoted, read_json, read_table
from dfar_toolkit.tabular.json_rows import json_lines
from dfar_toolkit.tabular.whole_file import whole_file
from dfar_toolkit.tabular.wording import ContentError

Record = dict[str, object]


def export_paths(raw: Path, endings: Sequence[str]) -> list[Path]:
    """The file itself, or the files of a folder with one of the endings, by name.

    Raises:
        SourceError: There is none, or it is a zip.
    """
    if raw.is_file():
        if zipfile.is_zipfile(raw):
            raise SourceError(f"{raw}: this is a zip; unpack it first, wanted files ending in {', '.join(endings)}.")
        return [raw]
    what = f"files ending in {' or '.join(endings)}"
    found = folders_with(
        raw, lambda name: not name.startswith(".") and name.lower().endswith(tuple(endings)), what=what
    )
    if len(found) > 1:
        raise SourceError(f"{raw}: {what} stand in several folders ({quoted(p.name for p in found)}); name one.")
    return next(iter(found.values()))


def json_records(path: Path) -> list[Record]:
    """The objects of a JSON-lines file, or of a JSON file with a list of them.

    Raises:
        SourceError: The file is missing, damaged, not UTF-8, or holds something else.
    """
    if path.suffix.lower() == ".json":
        document, _ = read_json(path, error=SourceError)
        if not isinstance(document, list) or not all(isinstance(entry, dict) for entry in document):
            raise SourceError(f"{path}: wanted a list of objects; found {_kind(document)}.")
        return document
    try:
        text = whole_file(path, folder="this is a folder; wanted a file of JSON lines.").decode("utf-8")
        return list(json_lines(text))
    except UnicodeDecodeError as fault:
        raise SourceError(
            f"{path}: invalid UTF-8: byte 0x{fault.object[fault.start]:02x} at offset {fault.start}; if the file was "
            "saved on Windows, convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW."
        ) from None
    except ContentError as bad:
        raise SourceError(f"{path}: {bad}") from bad.__cause__


def cell_records(path: Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """The rows of a text table as objects, an empty cell as "" (for exports, where both mean no answer)."""
    table = read_table(path, columns=columns, error=SourceError)
    return [
        {name: "" if cell is None else str(cell) for name, cell in row.items()} for row in table.iter_rows(named=True)
    ]


def _kind(document: object) -> str:
    if isinstance(document, list):
        return "a list with other entries"
    return "an object" if isinstance(document, dict) else "something else"
