"""Outputs as the viewer takes them: our own tables, else whatever a scorer would read, such as a log of lm-eval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.browsing.item_columns import ItemFiles
from dfar_toolkit.browsing.own_run import RunRead, own_run
from dfar_toolkit.errors import DfarError, TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.files.run_settings import refuse_unfinished
from dfar_toolkit.journeys.how_read import AS_THEY_ARE, HowRead
from dfar_toolkit.journeys.outputs import ReadOutputs, read_any_outputs
from dfar_toolkit.readers.detect import detect_format

_NAMED: Final = 3  # rows without an item that are named


def read_run(
    path: Path,
    files: Callable[[], ItemFiles],
    folder: Callable[[], ItemsFolder],
    how: HowRead = AS_THEY_ARE,
    *,
    may_scan: bool = True,
) -> RunRead:
    """The table outputs of a file or run folder, what is wrong with it, and how it was read.

    Args:
        path: The file or run folder.
        files: Gives the files of the items.
        folder: Gives the whole items folder; asked for only where a file is no table of ours.
        how: What the viewer was told about outputs files.
        may_scan: Whether parquet of ours that needs no change may be left on the disk.

    Raises:
        TableError: Nobody can read it.
    """
    refuse_unfinished(path)
    there = (path / "outputs.parquet").exists() if path.is_dir() else detect_format(path) is None
    found = own_run(
        path, files(), label_map=how.renamed, separator=how.separator, split=how.splits, method=how.method,
        may_scan=may_scan,
    ) if there else None  # fmt: skip
    if found is None:
        return _of_another_tool(path, folder, how)
    return found._replace(notes=(*_renamed(how), *found.notes))


def _of_another_tool(path: Path, folder: Callable[[], ItemsFolder], how: HowRead) -> RunRead:
    """What scoring reads; of several configs for each, as each asks something else."""
    try:
        whole = folder()
    except (DfarError, OSError) as error:
        raise TableError(f"{path}: no table of ours, and without whole items nobody can read it: {error}") from error
    configs = whole.items["config"].unique(maintain_order=True).to_list()
    if len(configs) < 2:
        read = _read(path, whole, how)
        return RunRead(read.outputs, _unmatched(path, read.unmatched), (*_renamed(how), _said(path, read)))
    parts: dict[str, ReadOutputs] = {}
    refused: list[TableError] = []
    for config in configs:
        try:
            parts[str(config)] = _read(path, whole.of_config(str(config)), how)
        except TableError as error:
            refused.append(error)
    if not parts:
        raise refused[0]
    outputs = pl.concat([part.outputs for part in parts.values()], how="diagonal_relaxed")
    notes = (*_renamed(how), *(f"of config {config}: {_said(path, part)}" for config, part in parts.items()))
    return RunRead(outputs, _unmatched(path, _matched_by_none([part.unmatched for part in parts.values()])), notes)


def _read(path: Path, folder: ItemsFolder, how: HowRead) -> ReadOutputs:
    return read_any_outputs(
        path, folder, reading=how.options(), label_map=how.renamed, split=how.splits, separator=how.separator
    )


def _renamed(how: HowRead) -> tuple[str, ...]:
    """The same line for every file, which is shown once."""
    return (f"{how.said()}.",) if how.said() else ()


def _said(path: Path, read: ReadOutputs) -> str:
    notes = [note for note in read.notes if not note.startswith("labels renamed")]
    return f"{'; '.join([f'{path.name}: read as {read.format}', *notes])}."


def _matched_by_none(unmatched: list[pl.DataFrame]) -> pl.DataFrame:
    """The rows that match no item of any config."""
    lost = unmatched[0]
    for other in unmatched[1:]:
        lost = lost if not len(lost) or not len(other) else lost.join(other, on="position", how="semi")
        lost = lost if len(other) else lost.clear()
    return lost


def _unmatched(path: Path, rows: pl.DataFrame) -> tuple[str, ...]:
    """What is said of rows that match no item: the first of them, by whatever names them."""
    if not len(rows):
        return ()
    first = (next((v for v in row if v is not None), "?") for row in rows.head(_NAMED).iter_rows())
    shown = ", ".join(str(v)[:80] for v in first)
    those = "1 row matches no item and is" if len(rows) == 1 else f"{len(rows):,} rows match no item and are"
    return (f"{path}: {those} left out: {shown}{' …' if len(rows) > _NAMED else ''}",)
