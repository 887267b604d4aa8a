"""Tables whose bytes are as the manifest says, and which still are no items: edited and sealed, or made by others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from dfar_toolkit.errors import DfarError, TableError

_LONGEST = 200  # characters of somebody else's error


@contextmanager
def strange_tables(where: Path | str) -> Iterator[None]:
    """Turn what stumbles over such tables into one line.

    Args:
        where: The folder or the set on the Hub that they belong to.

    Raises:
        TableError: A table or the manifest holds something that no build writes.
    """
    try:
        yield
    except DfarError:
        raise
    except (pl.exceptions.PolarsError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:_LONGEST]
        raise TableError(
            f"{where}: wanted the tables of an items folder, found some that cannot be read ({type(error).__name__}: "
            f"{said}). Build the folder again."
        ) from None
