"""JSON lines as objects with the types they were published with: no value is turned into another to fit a column."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports.export_files import json_records
from dfar_toolkit.tabular.wording import ContentError, demand_columns


def line_records(path: Path, columns: Sequence[str] = ()) -> list[dict[str, Any]]:
    r"""The objects of a JSON-lines file, in order.

    Args:
        path: The file.
        columns: Keys that must stand in one record at least; a record that lacks one is the caller's matter.

    Raises:
        SourceError: The file is absent, empty, damaged or lacks a key, or a record holds what JSON does not have: NaN,
            an infinite number, or half a surrogate pair.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "test.jsonl"
        >>> _ = path.write_text('{"id": 1}\n{"id": "b"}\n')
        >>> line_records(path, ["id"])
        [{'id': 1}, {'id': 'b'}]
    """
    records: list[dict[str, Any]] = json_records(path)
    for number, record in enumerate(records, start=1):
        try:
            json.dumps(record, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError:
            raise SourceError(f"{path}: record {number}: a text holds half a surrogate pair (\\ud800...).") from None
        except ValueError:
            raise SourceError(
                f"{path}: record {number}: holds NaN or an infinite number, which JSON does not have; write null."
            ) from None
        except RecursionError:
            raise SourceError(f"{path}: record {number}: nested too deeply to be read.") from None
    try:
        demand_columns(list(dict.fromkeys(key for record in records for key in record)), columns)
    except ContentError as bad:
        raise SourceError(f"{path}: {bad}") from None
    return records
