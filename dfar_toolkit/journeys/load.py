"""Items as a frame, from a folder."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from dfar_toolkit.files.items import read_items


def load(source: Path | str) -> pl.DataFrame:
    """The items of an items folder, all splits stacked, labels by name.

    Args:
        source: Folder that ``dfar build`` wrote.

    Returns:
        One row per item, columns as in :class:`dfar_toolkit.tables.Items`.

    Raises:
        TableError: There is no such folder, or it is not whole.
    """
    return read_items(source).items
