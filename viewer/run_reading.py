"""Outputs as the viewer takes them: our own tables, else whatever a scorer would read, such as a log of lm-eval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.browsing.run_columns import RunRead
from dfar_toolkit.errors import DfarError, TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.files.outputs import read_outputs
from dfar_toolkit.journeys.outputs import read_any_outputs

_NAMED: Final = 3  # rows without an item that are named


def read_run(path: Path, questions: Callable[[], pl.DataFrame], folder: Callable[[], ItemsFolder]) -> RunRead:
    """The table outputs of a file or run folder, what is wrong with it, and how it was read.

    Args:
        path: The file or run folder.
        questions: Gives the table of that name.
        folder: Gives the whole items folder; asked for only where a file is no table of ours.

    Raises:
        TableError: Nobody can read it.
    """
    try:
        return RunRead(read_outputs(path, questions=questions()))
    except TableError as error:
        try:
            whole = folder()
        except (DfarError, OSError):
            raise error from None
    read = read_any_outputs(path, whole)
    notes = "; ".join([f"{path.name}: read as {read.format}", *read.notes])
    return RunRead(read.outputs, _unmatched(path, read.unmatched), (f"{notes}.",))


def _unmatched(path: Path, rows: pl.DataFrame) -> tuple[str, ...]:
    """What is said of rows that match no item: the first of them, by whatever names them."""
    if not len(rows):
        return ()
    first = (next((v for v in row if v is not None), "?") for row in rows.head(_NAMED).iter_rows())
    shown = ", ".join(str(v)[:80] for v in first)
    return (f"{path}: {len(rows):,} rows match no item and are left out: {shown}{' …' if len(rows) > _NAMED else ''}",)
