"""What every source hands over: its facts, its rows in our columns, and an account of every row it read."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.errors import SourceError
from dfar_toolkit.tabular import quoted

# The columns that every source's items have; the keys are what an item's group is made of.
ITEMS: Final[dict[str, pl.DataType]] = {
    "item_id": pl.String(),
    "source": pl.String(),
    "config": pl.String(),
    "split": pl.String(),
    "statement": pl.String(),
    "context": pl.List(pl.Struct({"field": pl.String(), "role": pl.String(), "text": pl.String()})),
    "option_texts": pl.List(pl.String()),
    "extra": pl.String(),
    "stem": pl.String(),
    "context_key": pl.String(),
    "contrast_key": pl.String(),
}
_DEEPEST: Final = 3  # levels of folders that are looked into for files
_ABSENT: Final = {"config": "default", "context": [], "extra": "{}"}


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Facts about a published data set that its card repeats.

    ``licence`` is an identifier of the Hub's list (``mit``, ``other``, ...); ``sets`` are the names that may follow
    the source's name, as in ``lewidi:csc``.
    """

    name: str
    title: str
    licence: str
    homepage: str
    citation: str
    layout: str
    languages: tuple[str, ...] = ("en",)
    task: str = "text-classification"
    sets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RawFile:
    """One input file as it was read."""

    name: str
    sha256: str
    n_bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was read and is not in the output, and why; ``unit`` says what was counted where it is not rows."""

    file: str
    reason: str
    count: int
    examples: tuple[str, ...] = ()
    unit: str = "rows"


@dataclass(frozen=True, slots=True)
class SourceTables:
    """A source's rows before they are assembled into an items folder.

    ``items`` has ``item_id, source, config, split, statement, context, option_texts, extra`` and, where the source
    has them, ``stem`` (the shared beginning, null if none), ``context_key`` (the shared context) and
    ``contrast_key`` (the pair a minimal edit belongs to): what the group of an item is made of.
    ``questions``, ``annotations`` and ``raters`` are the tables of that name, annotator ids as published.
    ``targets`` is the table of that name where a source publishes counts or shares of votes but not who voted; of an
    item and question that has annotations too, the annotations count. Its ``method`` says what was published.
    """

    info: SourceInfo
    questions: pl.DataFrame
    items: pl.DataFrame
    annotations: pl.DataFrame
    raters: pl.DataFrame
    files: tuple[RawFile, ...]
    dropped: tuple[Dropped, ...] = ()
    repairs: tuple[str, ...] = field(default=())
    targets: pl.DataFrame | None = None


def raw_file(path: Path, *, rows: int) -> RawFile:
    """Name, size and sha256 of an input file; the name alone, never the path, goes into a manifest."""
    data = path.read_bytes()
    return RawFile(path.name, hashlib.sha256(data).hexdigest(), len(data), rows)


def items_frame(items: pl.DataFrame) -> pl.DataFrame:
    """The items with exactly the columns every source has, absent ones filled: in ``config`` "default", else empty.

    Example:
        >>> frame = pl.DataFrame({"item_id": ["a:train:0"], "statement": ["I lied."]})
        >>> items_frame(frame).select("config", "extra").row(0)
        ('default', '{}')
    """
    lost = [
        pl.lit(_ABSENT.get(name), dtype=dtype).alias(name) for name, dtype in ITEMS.items() if name not in items.columns
    ]
    return items.with_columns(lost).select(pl.col(name).cast(dtype) for name, dtype in ITEMS.items())


def folders_with(raw: Path, wanted: Callable[[str], bool], *, what: str) -> dict[Path, list[Path]]:
    """The files of ``raw`` whose names are wanted; where it has none, those of its sub-folders (or theirs), by folder.

    An archive that was unpacked with its own folders, such as ``ethics/commonsense``, is found from above.

    Raises:
        SourceError: ``raw`` is not a folder, or neither it nor a sub-folder has such a file; ``what`` names them.
    """
    if not raw.is_dir():
        found_there = "this is a file" if raw.exists() else "there is no such folder"
        raise SourceError(f"{raw}: wanted the folder with {what}; {found_there}.")
    inside = sorted(raw.iterdir())
    folders = [raw]
    for _ in range(_DEEPEST):
        found = {folder: [path for path in sorted(folder.iterdir()) if wanted(path.name)] for folder in folders}
        if any(found.values()):
            return {folder: paths for folder, paths in found.items() if paths}
        below = [path for folder in folders for path in sorted(folder.iterdir())]
        folders = [path for path in below if path.is_dir() and not path.name.startswith(".")]
    names = quoted(path.name for path in inside)
    raise SourceError(f"{raw}: wanted {what} here or in a sub-folder; found {names}.")


def json_text(value: Mapping[str, object]) -> str:
    """An object as JSON text with sorted keys: the form of ``extra``; NaN and infinite numbers, not in JSON, as texts.

    Example:
        >>> json_text({"b": float("nan"), "a": 1})
        '{"a": 1, "b": "nan"}'
    """
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, sort_keys=True)


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def examples(values: Iterable[object], *, most: int = 5) -> tuple[str, ...]:
    """The first few of the values as texts, for a :class:`Dropped`."""
    return tuple(str(value) for value, _ in zip(values, range(most), strict=False))
