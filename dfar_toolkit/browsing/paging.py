"""Pages of the items that a filter lets through, and the place of one item among them."""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.browsing.filter_conditions import combined, condition_masks
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex

PAGE: Final = 50


class Found(NamedTuple):
    """Rows of the index that a filter lets through, in the order in which they are shown.

    ``rows`` (m,) are row numbers; ``sorted_rows`` whether they ascend, as they do without an order.
    """

    rows: npt.NDArray[np.uint32]
    sorted_rows: bool

    def __len__(self) -> int:
        return len(self.rows)


class Neighbours(NamedTuple):
    """Where an item stands among those found (counted from 0), and the rows before and after it; None where none."""

    place: int | None
    previous: int | None
    following: int | None


def found_rows(index: ItemIndex, wanted: ItemFilter, *, order: str = "") -> Found:
    """The items of a filter, remembered.

    Args:
        index: The items.
        wanted: The filter.
        order: A column to sort by, after ``-`` from the highest down; items without a value come last, equal ones
            keep the order of the files. Empty: the order of the files.

    Raises:
        ValueError: A name or pattern in the filter that the index does not know, or a column it does not have.

    Example:
        ``found_rows(index, ItemFilter(split=("test",)), order="-disagreement")``
    """
    return index.remembered(("rows", wanted, order), partial(_found_rows, index, wanted, order))


def _found_rows(index: ItemIndex, wanted: ItemFilter, order: str) -> Found:
    mask = combined(list(condition_masks(wanted, index).values()), len(index))
    rows = np.flatnonzero(mask).astype(np.uint32)
    if not order:
        return Found(rows, sorted_rows=True)
    by = index.column(order.removeprefix("-")).gather(rows).alias("by").to_frame()
    down = order.startswith("-")
    places = by.select(pl.arg_sort_by("by", descending=down, nulls_last=True, maintain_order=True))
    return Found(rows[places.to_series().to_numpy()], sorted_rows=False)


def n_pages(found: Found, *, size: int = PAGE) -> int:
    """Number of pages; one, an empty one, where nothing is found."""
    return max(1, -(-len(found) // size))


def page(index: ItemIndex, found: Found, number: int, columns: list[str], *, size: int = PAGE) -> pl.DataFrame:
    """The rows of a page, counted from 0, with ``row`` and these columns; a number beyond the last gives the last.

    Args:
        index: The items.
        found: What :func:`found_rows` gave.
        number: The page.
        columns: Columns of the index.
        size: Rows on a page.
    """
    number = min(max(0, number), n_pages(found, size=size) - 1)
    rows = pl.Series("row", found.rows[number * size : (number + 1) * size])
    return pl.DataFrame([rows, *(index.column(name).gather(rows) for name in columns)])


def neighbours(found: Found, row: int) -> Neighbours:
    """The place of an item and the ones beside it.

    Of an item that the filter does not let through the place is None; its neighbours are then those of the place that
    it would have in the order of the files, and without that order there are none.
    """
    if found.sorted_rows:
        place = int(np.searchsorted(found.rows, row))
        inside = place < len(found) and found.rows[place] == row
    else:
        hits = np.flatnonzero(found.rows == row)
        if not len(hits):
            return Neighbours(None, None, None)
        place, inside = int(hits[0]), True
    after = place + 1 if inside else place
    return Neighbours(
        place if inside else None,
        int(found.rows[place - 1]) if place > 0 else None,
        int(found.rows[after]) if after < len(found) else None,
    )
