"""Ratings as the label models see them: who gave which value to which item how often, as aligned arrays of indices.

Unlike :mod:`~dfar_toolkit.agreement.cells`, one rater may rate an item more than once where the caller says so: the
data of Dawid and Skene have an observer who saw every patient three times. One sort of the ratings; memory and time
grow with the ratings, and with items x values where a table of shares is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Floats, Ints, value_code
from dfar_toolkit.agreement.ratings import RatingsLike, read_ratings
from dfar_toolkit.agreement.repeats import refuse_repeats
from dfar_toolkit.errors import TableError

Repeats = Literal["error", "keep"]

_CELLS: Final = 200_000_000  # cells of a table of items by values: 1.6 GB


@dataclass(frozen=True, slots=True, eq=False)
class Responses:
    """The responses of one question, sorted by item, then rater, then value.

    Entry e says that rater ``rater[e]`` gave item ``item[e]`` the value ``value[e]``, ``times[e]`` times. ``items``
    (N,), ``raters`` (R,) and ``values`` (V,) are the sorted names behind the indices.
    """

    item: Ints
    rater: Ints
    value: Ints
    times: Floats
    items: pl.Series
    raters: pl.Series
    values: pl.Series
    notes: tuple[str, ...] = ()

    @property
    def n_ratings(self) -> int:
        """Ratings, repeats counted."""
        return int(self.times.sum())

    @property
    def n_per_item(self) -> Ints:
        """Ratings of each item (N,)."""
        return np.bincount(self.item, weights=self.times, minlength=len(self.items)).astype(np.int64)

    def counts(self) -> Floats:
        """How often each item got each value (N, V)."""
        n, v = len(self.items), len(self.values)
        self.refuse_cells(n * v)
        counts = np.bincount(self.item * v + self.value, weights=self.times, minlength=n * v)
        return counts.astype(np.float64).reshape(n, v)

    def shares(self) -> Floats:
        """Each value's share of the item's ratings (N, V)."""
        counts = self.counts()
        shares: Floats = counts / counts.sum(axis=1, keepdims=True)
        return shares

    def refuse_cells(self, cells: int) -> None:
        """Stop before a table is made that does not fit into memory.

        Raises:
            TableError: The table would have more than 2e8 cells.
        """
        if cells > _CELLS:
            raise TableError(
                f"a table of {cells:,} cells is needed for {len(self.items)} items, {len(self.raters)} raters and "
                f"{len(self.values)} values, more than {_CELLS:,}; bring the values into fewer classes."
            )


def read_responses(
    ratings: RatingsLike,
    *,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    repeats: Repeats = "error",
) -> Responses:
    """Check ratings and hold them as responses.

    Args:
        ratings: A frame, or (item, rater, value) triples.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null (and NaN) is a missing rating.
        repeats: ``error`` refuses a rater who stands twice on an item, ``keep`` takes each time as data.

    Returns:
        The responses.

    Raises:
        TableError: As :func:`~dfar_toolkit.agreement.ratings.read_ratings`; no rating; a repeat that is refused.
        ValueError: ``repeats`` is neither.
    """
    if repeats not in get_args(Repeats):
        raise ValueError(f'read_responses: repeats must be "error" or "keep", found {repeats!r}')
    checked = read_ratings(ratings, item=item, rater=rater, value=value)
    code = value_code(checked.values).alias("code")
    rows = checked.frame.select("item", "rater", code).collect(engine="streaming")
    if not len(rows):
        raise TableError(f'there are no ratings: the column "{value}" holds no value; give at least one.')
    items, raters = rows["item"].unique().sort(), rows["rater"].unique().sort()
    n_raters, n_values = len(raters), len(checked.values)
    cell = (_index(rows["item"], items) * n_raters + _index(rows["rater"], raters)) * n_values
    cell, times = _run_lengths(np.sort(cell + rows["code"].to_numpy()))
    pair = cell // n_values
    if repeats == "error" and (times.max() > 1 or (np.diff(pair) == 0).any()):
        refuse_repeats(checked, rows.sort("item", "rater"))
    return Responses(
        pair // n_raters, pair % n_raters, cell % n_values, times.astype(np.float64),
        items, raters, checked.values, checked.notes,
    )  # fmt: skip


def options_order(responses: Responses, options: Sequence[Any] | None, *, caller: str) -> tuple[pl.Series, Ints]:
    """The options in their order (O,), and the place of each value in use among them (V,).

    Args:
        responses: The responses.
        options: Every value that could have been given, in order; None: the values in use, sorted.
        caller: The function named in an error.

    Raises:
        ValueError: An option stands twice, or has another type than the values.
        TableError: A value in use is not an option.
    """
    values = responses.values
    if options is None:
        return values, np.arange(len(values))
    try:
        named = pl.Series("options", list(options), dtype=values.dtype, strict=True)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"{caller}: options must be of the type of the values, {values.dtype}") from error
    if named.n_unique() < len(named):
        raise ValueError(f"{caller}: options must differ, found {', '.join(map(str, options))}")
    places = {option: place for place, option in enumerate(named.to_list())}
    strange = [value for value in values.to_list() if value not in places]
    if strange:
        raise TableError(f'the value "{strange[0]}" is no option; the options are {", ".join(map(str, options))}.')
    return named, np.array([places[value] for value in values.to_list()], dtype=np.int64)


def _index(column: pl.Series, names: pl.Series) -> Ints:
    """The place of each row's entry among the sorted distinct names."""
    if names.dtype == pl.String:
        return column.cast(pl.Enum(names)).to_physical().to_numpy().astype(np.int64)
    return np.searchsorted(names.to_numpy(), column.to_numpy()).astype(np.int64)


def _run_lengths(ordered: Ints) -> tuple[Ints, Ints]:
    start = np.flatnonzero(np.diff(ordered, prepend=-1))
    return ordered[start], np.diff(start, append=len(ordered))
