"""Digests: of bytes, and of content in a form that does not depend on library versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

import polars as pl

_LINES: Final = 1000  # hashed at once
# The columns that put the rows of each table into one order.
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "items": ("item_id",),
    "annotations": ("item_id", "annotator_id", "question", "rating_id", "value"),
    "raters": ("annotator_id",),
    "targets": ("item_id", "question"),
    "questions": ("question",),
}


def content_digest(rows: Iterable[Mapping[str, object]]) -> str:
    """Digest rows as sha256 over one JSON line per row, in the order given.

    Keys sorted, no spaces, text as UTF-8, floats by their shortest repr; the caller sorts the rows by key and gives
    labels by name. Rows of ``datasets.load_dataset`` give the same digest. Cost: linear in the size of the text.

    Example:
        >>> content_digest([{"b": 0.5, "a": "x"}])[:12]
        'af155038cb6d'
    """
    digest = hashlib.sha256()
    as_line = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
    for some in _batched((as_line(row) for row in rows), _LINES):
        digest.update(("\n".join(some) + "\n").encode("utf-8"))
    return digest.hexdigest()


def _batched(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    """The lines in lists of ``size``, the last one shorter."""
    rest = iter(lines)
    while some := list(islice(rest, size)):
        yield some


def table_digest(frame: pl.DataFrame, table: str) -> str:
    """Content digest of one of our tables, rows sorted by its key."""
    return content_digest(frame.sort(KEYS[table]).iter_rows(named=True))


def file_digest(path: Path) -> str:
    """Digest the bytes of a file by sha256, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
