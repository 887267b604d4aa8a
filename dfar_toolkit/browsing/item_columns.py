"""The narrow columns of items, read from the files of a folder one part at a time; what cannot be read is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit.browsing.row_lookup import rows_of
from dfar_toolkit.corpus.findings import excerpt
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import FINDINGS, code_to_label, config_options, part_file, read_manifest
from dfar_toolkit.files.whole_json import whole_json
from dfar_toolkit.tables import LEAK_KINDS, conform, empty

_NEEDED: Final = ("item_id", "source", "config", "split", "group", "statement", "label", "leak_kind")


class Part(NamedTuple):
    """A file of items, and how many rows it has; rows of an index stand in the order of the parts."""

    file: Path
    config: str
    n_rows: int


class ItemFiles(NamedTuple):
    """What an items folder holds, as far as it can be read."""

    folder: Path
    manifest: dict[str, Any]
    questions: pl.DataFrame
    parts: tuple[Part, ...]
    problems: tuple[str, ...]


def item_files(folder: Path) -> ItemFiles:
    """The files of items that can be read, and why the others cannot.

    Raises:
        TableError: It is no items folder, or its questions cannot be read.
    """
    manifest = read_manifest(folder)
    try:
        questions = conform(pl.read_parquet(folder / "questions.parquet"), "questions", where="questions")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TableError(f"{folder / 'questions.parquet'}: cannot be read ({reason(error)}).") from error
    parts: list[Part] = []
    problems: list[str] = []
    for config, facts in manifest["configs"].items():
        for split in facts.get("splits", ()) if isinstance(facts, dict) else ():
            try:
                file = part_file(folder, config, str(split))
            except TableError as error:
                problems.append(str(error))
                continue
            try:
                parts.append(Part(file, config, _rows(file)))
            except (OSError, TableError, pl.exceptions.PolarsError) as error:
                problems.append(f"{file}: cannot be read and is left out ({reason(error)}).")
    return ItemFiles(folder, manifest, questions, tuple(parts), tuple(problems))


def _rows(file: Path) -> int:
    """Rows of a file that has all columns of an index."""
    scan = pl.scan_parquet(file, glob=False)
    schema = scan.collect_schema()
    lost = [name for name in _NEEDED if name not in schema]
    if lost:
        raise TableError(f'no column "{lost[0]}"')
    if not schema["label"].is_integer():
        raise TableError(f"label must be a number of an option, found {schema['label']}")
    texts = [name for name in _NEEDED if name != "label" and schema[name] not in (pl.String, pl.Null)]
    if texts:
        raise TableError(f'the column "{texts[0]}" must be text, found {schema[texts[0]]}')
    return int(scan.select(pl.len()).collect().item())


def reason(error: Exception) -> str:
    """The first line of somebody else's error."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def facts_columns(files: ItemFiles) -> pl.DataFrame:
    """``item_id, source, config, split, leak_kind, label`` of every item; but for the id as enumerations."""
    options = config_options(files.questions)
    named = [name for part in files.parts for name in options[part.config]]
    columns = ["item_id", "source", "config", "split", "leak_kind", "label"]
    texts = dict.fromkeys(columns, pl.String)
    frames = [_label_names(_read(part, columns), options[part.config]) for part in files.parts]
    frame = pl.concat([pl.DataFrame(schema=texts), *frames])
    coded = [as_enum(frame[name]) for name in ("source", "config", "split")]
    coded += [as_enum(frame["leak_kind"], LEAK_KINDS), as_enum(frame["label"], tuple(dict.fromkeys(named)))]
    return frame.with_columns(coded)


def _label_names(frame: pl.DataFrame, options: list[str]) -> pl.DataFrame:
    known = pl.when(pl.col("label").is_between(0, len(options) - 1)).then(pl.col("label").cast(pl.Int64))
    return frame.with_columns(known.alias("label")).with_columns(
        code_to_label(options), pl.col("leak_kind").cast(pl.String)
    )


def _read(part: Part, columns: Sequence[str]) -> pl.DataFrame:
    try:
        return pl.scan_parquet(part.file, glob=False).select(columns).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TableError(f"{part.file}: cannot be read ({reason(error)}). Build the folder again.") from error


def text_columns(files: ItemFiles) -> pl.DataFrame:
    """``statement`` and ``length``, its characters."""
    texts = pl.concat([pl.DataFrame(schema={"statement": pl.String}), *(_read(p, ["statement"]) for p in files.parts)])
    return texts.with_columns(pl.col("statement").str.len_chars().alias("length"))


def group_column(files: ItemFiles) -> pl.DataFrame:
    """``group`` of every item."""
    return pl.concat([pl.DataFrame(schema={"group": pl.String}), *(_read(p, ["group"]) for p in files.parts)])


def as_enum(values: pl.Series, first: Sequence[str] = ()) -> pl.Series:
    """Texts as an enumeration: the names given first, then others by name. Null stays null."""
    present = values.cast(pl.String).unique().drop_nulls().sort().to_list()
    names = [*first, *(name for name in present if name not in first)]
    return values.cast(pl.String).cast(pl.Enum(names))


def enum_names(values: pl.Series) -> list[str]:
    """The names of an enumeration, in order; none of any other column."""
    return values.dtype.categories.to_list() if isinstance(values.dtype, pl.Enum) else []


def audit_rows(files: ItemFiles, ids: pl.Series) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """``row, finding`` of the items that the audit names, and what could not be read.

    A folder built before the audit named all of them has a few examples of each finding only, as ``id: excerpt``; the
    id may itself hold a colon.
    """
    schema = {"row": pl.UInt32, "finding": pl.String}
    if (files.folder / FINDINGS).is_file():
        return _every_finding(files.folder / FINDINGS, ids)
    try:
        found = whole_json((files.folder / "audit.json").read_text(encoding="utf-8"))
        named = [(str(f["finding"]), str(e)) for f in found for e in f.get("examples") or ()]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return pl.DataFrame(schema=schema), (f"{files.folder / 'audit.json'}: cannot be read ({reason(error)}).",)
    begins = {begin for _, text in named for begin in _beginnings(text)}
    rows = _shown_ids(ids, begins)
    pairs = []
    for finding, text in named:
        known = [begin for begin in _beginnings(text) if begin in rows]
        pairs += [(rows[known[-1]], finding)] if known else []
    return pl.DataFrame(pairs, schema=schema, orient="row").unique(maintain_order=True), ()


def _every_finding(path: Path, ids: pl.Series) -> tuple[pl.DataFrame, tuple[str, ...]]:
    schema = {"row": pl.UInt32, "finding": pl.String}
    try:
        named = pl.read_parquet(path, columns=["finding", "item_id"]).cast(pl.String)
    except (OSError, pl.exceptions.PolarsError) as error:
        return pl.DataFrame(schema=schema), (f"{path}: cannot be read ({reason(error)}).",)
    rows, _ = rows_of(named["item_id"], ids)
    found = pl.DataFrame([rows.cast(pl.UInt32).alias("row"), named["finding"]])
    return found.drop_nulls().unique(maintain_order=True), ()


def _beginnings(text: str) -> list[str]:
    """What stands before each colon and space, shortest first."""
    pieces = text.split(": ")
    return [": ".join(pieces[:n]) for n in range(1, len(pieces))]


def _shown_ids(ids: pl.Series, begins: set[str]) -> dict[str, int]:
    """The row of each item, by its id as the audit shows it."""
    if not begins:
        return {}
    short = min(map(len, begins))
    # An id is shown shortened or escaped only where it is long or holds something unprintable.
    odd = ids.str.len_chars().gt(min(short, 70)) & ids.str.contains(r"^.{70,}|[^\x20-\x7e]")
    places = (ids.is_in(list(begins)) | odd).arg_true()
    return {excerpt(ids[int(place)]): int(place) for place in places.reverse()}


def raters_of(files: ItemFiles) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The table of raters, empty where it cannot be read, and why."""
    try:
        return conform(pl.read_parquet(files.folder / "raters.parquet"), "raters", where="raters"), ()
    except (OSError, TableError, pl.exceptions.PolarsError) as error:
        return empty("raters"), (f"{files.folder / 'raters.parquet'}: cannot be read ({reason(error)}).",)
