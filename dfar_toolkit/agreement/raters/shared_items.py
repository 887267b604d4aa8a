"""The ratings of items that two or more people rated: what comparing raters starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from dfar_toolkit.agreement.cells import Cells
from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.ratings import By
from dfar_toolkit.agreement.scales import scale
from dfar_toolkit.estimate import ESTIMATE_SCHEMA


def shared_items(cells: Cells, *, least: int = 2) -> Cells:
    """The cells of items with ``least`` or more ratings, items numbered anew; raters and values keep their indices."""
    keep = (cells.n_per_item >= least)[cells.item]
    kept = cells.only(keep)
    used, item = np.unique(kept.item, return_inverse=True)
    group = None if cells.group is None else cells.group[used]
    return Cells(
        item.astype(np.int64), kept.rater, kept.value, cells.items.gather(used), kept.raters, kept.values, group,
        kept.beside, kept.notes,
    )  # fmt: skip


def numbered(cells: Cells, level: str, order: Sequence[str] | None) -> Cells:
    """The cells with numbers for values in use, equal numbers as one value; centred at the interval level.

    Raises:
        TableError: As :func:`~dfar_toolkit.agreement.scales.scale`.
    """
    used = np.unique(cells.value)
    x = scale(cells.values, used, level, order)
    numbers, place = np.unique(x[used], return_inverse=True)
    codes = np.zeros(len(x), dtype=np.int64)
    codes[used] = place
    if level == "interval" and len(numbers):
        numbers = numbers - np.median(numbers)
    return replace(cells, value=codes[cells.value], values=pl.Series(numbers, dtype=pl.Float64))


def same_value(cells: Cells) -> Floats:
    """How many ratings of its item have the value of each rating (E,), itself included."""
    key = cells.item * max(1, len(cells.values)) + cells.value
    _, where, count = np.unique(key, return_inverse=True, return_counts=True)
    given: Floats = count.astype(np.float64)[where]
    return given


def share_with_rest(cells: Cells) -> Floats:
    """Share of the other ratings of its item that have the value of each rating (E,); ``nan`` where there is none."""
    others = cells.n_per_item[cells.item] - 1.0
    share = np.full(len(others), np.nan)
    np.divide(same_value(cells) - 1, others, out=share, where=others > 0)
    return share


def item_patterns(cells: Cells) -> Ints:
    """A number for each item (N,), equal where items got the same values equally often.

    Counts are packed into one 63-bit word; where they do not fit, every item is a pattern of its own. Every item must
    have a rating.
    """
    n_items, n_values = len(cells.items), len(cells.values)
    base = int(cells.n_per_item.max(initial=0)) + 1
    if base**n_values >= 2**63:
        return np.arange(n_items)
    place = np.array([base**c for c in range(n_values)], dtype=np.int64)
    starts = np.flatnonzero(np.diff(cells.item, prepend=-1))
    if not len(starts):
        return np.empty(0, dtype=np.int64)
    return np.unique(np.add.reduceat(place[cells.value], starts), return_inverse=True)[1].astype(np.int64)


def ratings_of(cells: Cells) -> pl.DataFrame:
    """Cells as long ratings: ``item_id, annotator_id, value`` and, where there are groups, ``group``."""
    columns = {
        "item_id": pl.Series(cells.item),
        "annotator_id": cells.raters.gather(cells.rater),
        "value": cells.values.gather(cells.value),
    }
    if cells.group is not None:
        columns["group"] = pl.Series(cells.group[cells.item])
    return pl.DataFrame(columns)


def with_keys(parts: Sequence[tuple[pl.DataFrame, pl.DataFrame]], by: By) -> pl.DataFrame:
    """One frame of several slices: the key of each (one row) beside each of its rows.

    Raises:
        ValueError: A column of ``by`` has the name of a column of the result.
    """
    names = [by] if isinstance(by, str) else list(by or ())
    taken = {*ESTIMATE_SCHEMA, *(column for _, rows in parts for column in rows.columns)}
    clash = [name for name in names if name in taken]
    if clash:
        raise ValueError(f'agreement: by cannot be "{clash[0]}", which names a column of the result; rename the column')
    if not parts:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    if not names:
        return parts[0][1]
    return pl.concat([key.join(rows, how="cross") for key, rows in parts])
