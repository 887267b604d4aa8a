"""A table of outputs of our own as it is browsed: read as scoring reads it, or scanned where that says the same.

Item ids that are the own keys of items ("s035" for "x:test:s035") are completed, labels renamed, and rows without a
question answer the primary one of their item's config.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from dfar_toolkit.browsing.item_columns import ItemFiles
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.columns import plain_texts
from dfar_toolkit.files.outputs import outputs_of
from dfar_toolkit.files.run_settings import refuse_unfinished
from dfar_toolkit.readers.outputs_table import ONE_METHOD
from dfar_toolkit.readers.own_keys import with_whole_ids
from dfar_toolkit.tables import TABLES, of_config, primary_questions
from dfar_toolkit.tabular import quoted, read_table


class RunRead(NamedTuple):
    """The table outputs of a file, what is wrong with it, and how it was read.

    ``frame`` is None where the file is parquet with all columns of the table, which is scanned as it is.
    """

    frame: pl.DataFrame | None
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()


def own_parquet(path: Path) -> Path | None:
    """The parquet file of a run that has all columns of the table outputs in their types; None of any other."""
    file = path / "outputs.parquet" if path.is_dir() else path
    if file.suffix != ".parquet" or not file.is_file():
        return None
    schema = pl.scan_parquet(file, glob=False).collect_schema()
    ours = all(schema.get(name) == column.dtype for name, column in TABLES["outputs"].columns().items())
    return file if ours else None


def own_run(
    path: Path,
    files: ItemFiles,
    *,
    label_map: Mapping[str, str] | None = None,
    separator: str | None = None,
    split: Sequence[str] | None = None,
    method: str | None = None,
    may_scan: bool = True,
) -> RunRead | None:
    """Read a table of ours; None where it is somebody else's, without an ``item_id``.

    Args:
        path: A file, or the folder of a run that has ended.
        files: The items that it is about.
        label_map: From its labels to the options' names.
        separator: Separator of a CSV file where it is not a comma.
        split: Splits that own keys are looked for in; None means any.
        method: Of rows of several methods those that are kept; None keeps all.
        may_scan: Whether a parquet file that needs no change may be left on the disk.

    Raises:
        TableError: As ``outputs_of``; an own key that several items have; no such method.
    """
    refuse_unfinished(path)
    parquet = own_parquet(path) if may_scan and not label_map and method is None else None
    if parquet is not None and _whole_ids_stand_in(parquet, files, split):
        return RunRead(None)
    file, name = (path / "outputs.parquet", path.name) if path.is_dir() else (path, path.stem)
    rows = read_table(file, separator=separator)
    if "item_id" not in rows.columns:
        return None
    rows = plain_texts(rows, ["item_id"], where=str(file))
    rows, keyed = _with_whole_ids(rows, files, file, split)
    outputs = outputs_of(_asked(rows, files), file, name, questions=files.questions, label_map=label_map)
    outputs, chosen = _of_method(outputs, method, file)
    return RunRead(outputs, (), tuple(f"{path.name}: {note}." for note in (*keyed, *chosen)))


def _of_method(outputs: pl.DataFrame, method: str | None, file: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The rows of one method, where one was chosen and there are any."""
    if method is None:
        return outputs, ()
    if not (outputs["method"] != "").any():
        return outputs, (ONE_METHOD,)
    found = outputs["method"].unique().sort().to_list()
    if method not in found:
        raise TableError(f"{file}: this file has no method {quoted([method])}; found {quoted(found)}.")
    return outputs.filter(pl.col("method") == method), ()


def _whole_ids_stand_in(parquet: Path, files: ItemFiles, split: Sequence[str] | None) -> bool:
    """Whether none of the ids is an own key; the items are only read where ids do not look whole."""
    # A whole item id begins with a source and a split.
    splits = "|".join(re.escape(name) for name in sorted({str(part.file.stem) for part in files.parts}))
    whole = pl.col("item_id").str.contains(f"^[^:]*:(?:{splits}):.").fill_null(value=False)
    ids = pl.scan_parquet(parquet, glob=False).select("item_id")
    strange = ids.filter(~whole).unique().collect()
    return not strange.height or not _with_whole_ids(strange, files, parquet, split)[1]


def _with_whole_ids(
    rows: pl.DataFrame, files: ItemFiles, file: Path, split: Sequence[str] | None
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """As scoring completes ids; texts of the items are only read where there is an id to complete."""
    try:
        strange = rows.select("item_id").drop_nulls().join(_items(files, "item_id"), on="item_id", how="anti")
        items = _items(files, "item_id", "split", "statement") if strange.height else None
    except (OSError, pl.exceptions.PolarsError):
        return rows, ()  # whoever wants the items is told
    return (rows, ()) if items is None else with_whole_ids(rows, items, where=str(file), split=split)


def _asked(rows: pl.DataFrame, files: ItemFiles) -> pl.DataFrame:
    """The rows with the question of their item's config where they name none and several are asked."""
    named = "question" in rows.columns
    if len(set(primary_questions(files.questions).values())) < 2 or (named and not rows["question"].null_count()):
        return rows
    try:
        config = _items(files, "item_id", "config").unique("item_id", keep="first")
    except (OSError, pl.exceptions.PolarsError):
        return rows
    beside = rows.select("item_id").join(config, on="item_id", how="left", maintain_order="left")
    asked = beside.select(question=of_config(files.questions)).to_series()
    given = rows["question"].cast(pl.String) if named else pl.Series([None] * len(rows), dtype=pl.String)
    return rows.with_columns(given.fill_null(asked).alias("question"))


def _items(files: ItemFiles, *columns: str) -> pl.DataFrame:
    """These columns, as text, of all items."""
    scans = [pl.scan_parquet(part.file, glob=False).select(pl.col(columns).cast(pl.String)) for part in files.parts]
    return pl.concat(scans).collect() if scans else pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
