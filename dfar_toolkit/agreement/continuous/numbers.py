"""Ratings as numbers: the one place where values become finite floats, or are refused with words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.agreement.cells import Cells, cell_slices
from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.agreement.scales import numbers_of, scale
from dfar_toolkit.agreement.slices import slices_frame
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate

Incomplete = Literal["refuse", "drop"]

_MERGE: Final = 16  # raters up to which items with equal ratings are looked for


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Numbers that raters gave to items, sorted by item, then rater.

    Entry e says that rater ``rater[e]`` gave item ``item[e]`` the number ``x[e]``. ``raters`` (R,) are the raters'
    sorted ids. ``owner`` (N,) is the resampling unit of each item, ``unit`` what a unit is called.
    """

    item: Ints
    rater: Ints
    x: Floats
    raters: pl.Series
    owner: Ints
    unit: str
    notes: tuple[str, ...] = ()

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.owner)

    @property
    def n_raters(self) -> int:
        """Number of raters."""
        return len(self.raters)

    @property
    def n_missing(self) -> int:
        """Items times raters, less the ratings."""
        return self.n_items * self.n_raters - len(self.x)

    @property
    def per_item(self) -> Ints:
        """Ratings of each item (N,)."""
        return np.bincount(self.item, minlength=self.n_items).astype(np.int64)

    def table(self) -> Floats:
        """Items by raters (N, R), ``nan`` where there is no rating."""
        cells = np.full((self.n_items, self.n_raters), np.nan)
        cells[self.item, self.rater] = self.x
        return cells

    def only(self, items: npt.NDArray[np.bool_]) -> Panel:
        """The items where ``items`` (N,) is true; the raters stay."""
        entry = items[self.item]
        place = np.cumsum(items) - 1
        owner = np.unique(self.owner[items], return_inverse=True)[1].astype(np.int64)
        unit = "items" if len(owner) == 0 or owner.max() + 1 == len(owner) else self.unit
        return replace(
            self, item=place[self.item[entry]], rater=self.rater[entry], x=self.x[entry], owner=owner, unit=unit
        )


class Weighted(NamedTuple):
    """A panel whose items stand for ``times`` (U,) units each; weights (B, U) go to items through ``owner``."""

    panel: Panel
    times: Floats


class PanelSlice(NamedTuple):
    """The panel of one combination of the ``by`` columns, and that combination as a frame of one row."""

    key: pl.DataFrame
    panel: Panel


class Columns(NamedTuple):
    """Where the parts of a rating stand, and the order of names that are no numbers."""

    item: str
    rater: str
    value: str
    group: str | None
    by: By
    order: Sequence[str] | None


def estimate_panels(
    ratings: RatingsLike, columns: Columns, what: str, statistic: Callable[[Panel], Estimate]
) -> Estimate | pl.DataFrame:
    """The statistic of the panel, or with ``by`` a frame with one row per slice."""
    parts = read_panels(ratings, columns, what)
    found = [statistic(part.panel) for part in parts]
    if not columns.by:
        return found[0]
    by = (columns.by,) if isinstance(columns.by, str) else columns.by
    return slices_frame([part.key for part in parts], [[estimate] for estimate in found], by)


def read_panels(ratings: RatingsLike, columns: Columns, what: str) -> list[PanelSlice]:
    """Check ratings and read their values as numbers.

    Args:
        ratings: As the public functions take them.
        columns: Where the parts of a rating stand.
        what: The statistic, as an error names it.

    Returns:
        One slice without ``by``, else one per combination, sorted by it.

    Raises:
        TableError: A value is no finite number, or not in ``order``.
        ValueError: ``order`` names a value twice.
    """
    item, rater, value, group, by, order = columns
    slices = cell_slices(ratings, item=item, rater=rater, value=value, group=group, by=by)
    return [PanelSlice(part.key, panel_of(part.cells, what, order=order)) for part in slices]


def panel_of(cells: Cells, what: str, *, order: Sequence[str] | None = None) -> Panel:
    """Cells with their values as numbers."""
    n = len(cells.items)
    owner = np.arange(n) if cells.group is None else cells.group
    x = _numbers(cells.values, what, order)[cells.value]
    unit = "items" if cells.group is None else "groups"
    return Panel(cells.item, cells.rater, x, cells.raters, owner, unit, cells.notes)


def _numbers(values: pl.Series, what: str, order: Sequence[str] | None) -> Floats:
    """Finite numbers (V,): the values read strictly, or their places in ``order``."""
    if order is None:
        return numbers_of(values, what)
    if len({str(name) for name in order}) < len(order):
        raise ValueError(f"{what}: order names a value twice: {', '.join(str(name) for name in order)}")
    return scale(values, np.arange(len(values)), "ordinal", order)


def complete_items(panel: Panel, what: str, incomplete: Incomplete) -> Panel:
    """The panel where every item has a rating by every rater.

    Args:
        panel: The ratings.
        what: The statistic, as an error names it.
        incomplete: ``refuse`` an item without all ratings, or ``drop`` it and count it in the notes.

    Returns:
        The panel, complete.

    Raises:
        TableError: Items lack ratings, and ``incomplete`` is ``refuse``.
        ValueError: ``incomplete`` is neither.
    """
    check_choice(what, "incomplete", incomplete, ("refuse", "drop"))
    if not panel.n_missing:
        return panel
    whole = panel.per_item == panel.n_raters
    lost = int((~whole).sum())
    if incomplete == "refuse":
        raise TableError(
            f"{what} needs a rating of every item by every rater; {lost} of {panel.n_items} items lack one or more of "
            f'{panel.n_raters}; take the items with all ratings by incomplete="drop", or krippendorff_alpha with '
            f"level interval or ordinal, which needs no complete data."
        )
    kept = panel.only(whole)
    note = f"{lost} item{'s' if lost != 1 else ''} without a rating by every rater left out"
    return replace(kept, notes=(*kept.notes, note))


def both_rated(panel: Panel, what: str) -> Panel:
    """The items that both of exactly two raters rated; the others are counted in the notes.

    Args:
        panel: The ratings.
        what: The statistic, as an error names it, and after a comma what to use for more raters.

    Returns:
        The panel, complete, of two raters.

    Raises:
        TableError: Not exactly two raters.
    """
    name, _, more = what.partition(", ")
    if panel.n_raters != 2:
        mend = f"; {more}" if more else ""
        raise TableError(f"{name} compares exactly two raters; found {panel.n_raters}; filter to two of them{mend}.")
    both = panel.per_item == 2
    if both.all():
        return panel
    alone = int((~both).sum())
    kept = panel.only(both)
    note = f"{alone} item{'s' if alone != 1 else ''} rated by one of the two left out"
    return replace(kept, notes=(*kept.notes, note))


def check_choice(what: str, name: str, found: object, allowed: Sequence[object]) -> None:
    """Refuse an argument that is none of those allowed."""
    if found not in allowed:
        listed = ", ".join("None" if choice is None else f'"{choice}"' for choice in allowed)
        raise ValueError(f"{what}: {name} must be one of {listed}; found {found!r}")


def weighted(panel: Panel) -> Weighted:
    """The panel with items of equal ratings merged, where items are their own units and raters few enough."""
    n = panel.n_items
    if panel.unit != "items":
        return Weighted(panel, np.ones(int(panel.owner.max()) + 1))
    if panel.n_raters > _MERGE or n == 0:
        return Weighted(panel, np.ones(n))
    table = pl.DataFrame(panel.table(), schema=[f"r{i}" for i in range(panel.n_raters)])
    merged = table.group_by(table.columns).agg(pl.len().alias("times")).sort(table.columns)
    rows = merged.drop("times").to_numpy()
    item, rater = np.nonzero(~np.isnan(rows))
    kept = replace(panel, item=item, rater=rater, x=rows[item, rater], owner=np.arange(len(rows)))
    return Weighted(kept, merged["times"].to_numpy().astype(np.float64))


def with_notes(estimate: Estimate, *notes: str) -> Estimate:
    """The estimate with notes after its own, those that say something."""
    return replace(estimate, note="; ".join(part for part in (estimate.note, *notes) if part))
