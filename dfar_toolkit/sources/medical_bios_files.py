"""Which files of a folder are exports of MedicalBios, of which set and split."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.layout import RawFile, raw_file
from dfar_toolkit.sources.line_records import line_records
from dfar_toolkit.tabular import nearest, quoted, read_table

SETS: Final = ("standard", "rationales")
_SPLITS: Final = {"train": "train", **dict.fromkeys(("validation", "val", "dev"), "validation"), "test": "test"}
_ORDER: Final = ("train", "validation", "test")
_NAME: Final = re.compile(
    rf"(?:({'|'.join(SETS)})[-_.])?({'|'.join(_SPLITS)})(?:-(\d+)-of-(\d+))?\.(?:jsonl|ndjson|parquet)"
)
# The names of the data card, and those of the data.
_SINGULAR: Final = {"rationale": "rationales", "contrastive_rationale": "contrastive_rationales"}
_MARKS: Final = ("rationales", "contrastive_rationales", "annotations", "contrastive_annotations")
_NEEDED: Final = {
    "standard": ("text", "label"),
    "rationales": ("label", "foil", "words", *_MARKS),
}


@dataclass(frozen=True, slots=True)
class Export:
    """One file of a split: its rows, and the number of the first of them within the split."""

    path: Path
    split: str
    rows: pl.DataFrame
    first: int
    file: RawFile


@dataclass(frozen=True, slots=True)
class _Found:
    path: Path
    set_name: str  # empty where neither the file nor its folder says so
    split: str
    shard: tuple[int, int]


def exports(raw: Path, set_name: str, *, source: str) -> tuple[str, list[Export]]:
    """The set, and its files in the order of splits and shards.

    Args:
        raw: The folder.
        set_name: As the user gave it; empty where none was.
        source: Name of the source, for errors.

    Raises:
        SourceError: No such set or file, several sets and none named, a split twice or in part, a missing column.
    """
    wanted = set_name.strip().lower()
    if wanted and wanted not in SETS:
        raise SourceError(f"{source} has no set {quoted([set_name])}; known are {quoted(SETS)}.{nearest(wanted, SETS)}")
    tables: dict[str, list[tuple[_Found, pl.DataFrame]]] = {}
    for found in _candidates(raw):
        if not wanted or found.set_name in ("", wanted):
            _check_texts(found.path)
            rows = read_table(found.path, error=SourceError)
            name = found.set_name or ("rationales" if "words" in rows.columns else "standard")
            tables.setdefault(name, []).append((found, rows))
    if not wanted and len(tables) > 1:
        raise SourceError(f"{raw}: found several sets ({quoted(sorted(tables))}); name one, as in {source}:{SETS[0]}.")
    name = wanted or next(iter(tables), "")
    if name not in tables:
        which = f"the set {quoted([name])}" if name else source
        raise SourceError(
            f"{raw}: wanted exported files of {which}, such as train.jsonl or test-00000-of-00001.parquet, here or in "
            f"the sub-folders {quoted(SETS)}; found {quoted(sorted(path.name for path in raw.iterdir()))}."
        )
    return name, list(_numbered(raw, name, tables[name]))


def _check_texts(path: Path) -> None:
    """Refuse lines whose text is none: in a table it would be one, written as JSON."""
    if path.suffix == ".parquet":
        return
    for number, record in enumerate(line_records(path)):
        if not isinstance(record.get("text"), str | None):
            found = quoted([str(record["text"])[:60]])
            raise SourceError(f"{path}: row {number} (from 0): wanted a text under text; found {found}.")


def _candidates(raw: Path) -> list[_Found]:
    """The files whose names are those of exports, sorted by split and shard."""
    if not raw.is_dir():
        raise SourceError(f"{raw}: wanted the folder with the exported files; there is no such folder.")
    found = []
    for folder in (raw, *(raw / name for name in SETS)):
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            match = _NAME.fullmatch(path.name)
            if match:
                own = folder.resolve().name.lower()
                shard = (int(match[3]), int(match[4])) if match[3] else (0, 1)
                found.append(_Found(path, match[1] or (own if own in SETS else ""), _SPLITS[match[2]], shard))
    return sorted(found, key=lambda one: (_ORDER.index(one.split), one.shard, str(one.path)))


def _numbered(raw: Path, name: str, tables: list[tuple[_Found, pl.DataFrame]]) -> Iterator[Export]:
    """The files of a set with their columns checked, rows counted through the shards of a split."""
    for split, group in groupby(tables, key=lambda pair: pair[0].split):
        listed = list(group)
        shards = [found.shard for found, _ in listed]
        if shards != [(number, shards[0][1]) for number in range(shards[0][1])]:
            names = quoted(str(found.path.relative_to(raw)) for found, _ in listed)
            raise SourceError(f"{raw}: wanted the split {split} once and whole; found {names}.")
        first = 0
        for found, rows in listed:
            rows = rows.rename(
                {old: new for old, new in _SINGULAR.items() if old in rows.columns and new not in rows.columns}
            )
            lost = [column for column in _NEEDED[name] if column not in rows.columns]
            if lost:
                raise SourceError(
                    f"{found.path}: wanted the column{'s' if len(lost) > 1 else ''} {quoted(lost)}; found "
                    f"{quoted(rows.columns)}.{nearest(lost[0], rows.columns)}"
                )
            yield Export(found.path, split, rows, first, raw_file(found.path, rows=rows.height))
            first += rows.height
