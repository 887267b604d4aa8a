"""Single ratings as aligned arrays of indices, for statistics that need to know who gave which value to which item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Counts, Floats, Ints, by_names, key_frame, value_code
from dfar_toolkit.agreement.ratings import By, Ratings, RatingsLike, read_ratings
from dfar_toolkit.agreement.repeats import refuse_repeats


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The ratings of one question, one entry per rating, sorted by item, then rater.

    Entry e says that rater ``rater[e]`` gave item ``item[e]`` the value ``value[e]``. ``items`` (N,), ``raters`` (R,)
    and ``values`` (V,) are the sorted names behind these indices; ``group`` (N,) is the index of each item's
    resampling unit, or None where the item is its own. ``beside`` holds further columns of the ratings, row by row.
    """

    item: Ints
    rater: Ints
    value: Ints
    items: pl.Series
    raters: pl.Series
    values: pl.Series
    group: Ints | None
    beside: pl.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def n_per_item(self) -> Ints:
        """Ratings of each item (N,)."""
        return np.bincount(self.item, minlength=len(self.items)).astype(np.int64)

    def counts(self) -> Counts:
        """How often each item got each value; one pattern per item."""
        n_values = max(1, len(self.values))
        cell, count = np.unique(self.item * n_values + self.value, return_counts=True)
        groups = None if self.group is None else self.group.astype(np.uint64)
        rated = np.ones(len(self.items))
        return Counts(
            self.values, cell // n_values, cell % n_values, count.astype(np.float64), rated, groups, self.notes
        )

    def matrix(self, numbers: Floats) -> Floats:
        """Items by raters (N, R): the number (V,) of the value given, ``nan`` where there is no rating."""
        table = np.full((len(self.items), len(self.raters)), np.nan)
        table[self.item, self.rater] = numbers[self.value]
        return table

    def only(self, keep: Sequence[bool] | np.typing.NDArray[np.bool_]) -> Cells:
        """The entries where ``keep`` (E,) is true; items and raters keep their indices."""
        mask = np.asarray(keep, dtype=np.bool_)
        return Cells(
            self.item[mask], self.rater[mask], self.value[mask], self.items, self.raters, self.values, self.group,
            self.beside.filter(pl.Series(mask)) if self.beside.width else self.beside, self.notes,
        )  # fmt: skip


class CellSlice(NamedTuple):
    """The cells of one combination of the ``by`` columns, and that combination as a frame of one row."""

    key: pl.DataFrame
    cells: Cells


def read_cells(
    ratings: RatingsLike,
    *,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    beside: Sequence[str] = (),
) -> Cells:
    """Check ratings and hold them as cells.

    Args:
        ratings: A frame, or (item, rater, value) triples.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null (and NaN) is a missing rating.
        group: Column of the resampling unit of the item, or None.
        beside: Further columns to carry along.

    Returns:
        The cells.

    Raises:
        TableError: As :func:`~dfar_toolkit.agreement.ratings.read_ratings`, and where a rater stands twice on an item.
    """
    checked = read_ratings(ratings, item=item, rater=rater, value=value, group=group, by=tuple(beside))
    columns = by_names(checked)
    frame = _coded(checked, ())  # a second rating of an item is a second one whatever stands beside it
    cells = _cells(checked, frame)
    names = dict(zip(columns, checked.by, strict=True))
    return Cells(
        cells.item, cells.rater, cells.value, cells.items, cells.raters, cells.values, cells.group,
        frame.select(columns).rename(names), cells.notes,
    )  # fmt: skip


def cell_slices(
    ratings: RatingsLike,
    *,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    by: By = None,
) -> list[CellSlice]:
    """The cells of each combination of ``by``, sorted by it; one slice without ``by``."""
    checked = read_ratings(ratings, item=item, rater=rater, value=value, group=group, by=by)
    return slices_of(checked)


def slices_of(checked: Ratings) -> list[CellSlice]:
    """As :func:`cell_slices`, of checked ratings."""
    frame = _coded(checked, checked.by)
    names = by_names(checked)
    if not names:
        return [CellSlice(key_frame(checked, frame), _cells(checked, frame))]
    parts = frame.sort(names, maintain_order=True).partition_by(names, maintain_order=True) if len(frame) else []
    return [CellSlice(key_frame(checked, part), _cells(checked, part)) for part in parts]


def _coded(checked: Ratings, apart: Sequence[str]) -> pl.DataFrame:
    """``by``, ``item``, ``rater``, ``code``, ``group`` of every rating, sorted; repeats refused, within ``apart``."""
    names = by_names(checked)
    group = ["group"] if checked.has_group else []
    frame = checked.frame.select(*names, "item", "rater", value_code(checked.values).alias("code"), *group)
    sorted_ = frame.collect(engine="streaming").sort("item", "rater", *names)
    refuse_repeats(replace(checked, by=tuple(apart)), sorted_)
    return sorted_


def _cells(checked: Ratings, frame: pl.DataFrame) -> Cells:
    items, item = _indexed(frame["item"])
    raters, rater = _indexed(frame["rater"])
    values, value = _indexed(frame["code"])
    group = None
    if checked.has_group:
        first = np.flatnonzero(np.diff(item, prepend=-1))
        found, codes = _indexed(frame["group"].gather(first))
        group = codes if len(found) < len(items) else None
    return Cells(item, rater, value, items, raters, checked.values.gather(values), group, pl.DataFrame(), checked.notes)


def _indexed(column: pl.Series) -> tuple[pl.Series, Ints]:
    """The sorted distinct values of a column, and the index of each row's among them."""
    codes = column.rank("dense")
    return column.unique().sort(), codes.to_numpy().astype(np.int64) - 1
