r"""Sums per item for scales with many values: no value is counted, none is even listed.

Interval and circular agreement need four numbers per item (Krippendorff's squared differences split into sums), ordinal
agreement the ranks of the ratings. Two passes over the ratings, each one group-by on the hash of the item: first how
many ratings an item has, their ends, and whether somebody stands there twice; then the sums. Memory grows with the
items; for ranks, which one sort gives, with the ratings (about 80 bytes each).

Sums are of whole numbers: values are put on a grid whose step is $2^{-52}$ of the spread of the slice's pairable values
around their middle (coarser from 1,000 raters on, by a factor of two for each doubling), which moves a value by no more
than its own rounding does. So neither the order of the rows nor the number of threads changes a bit of the result, and
a large offset of the values costs no digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Counts, Floats, Ints, by_names, key_frame, per_item
from dfar_toolkit.agreement.distances import ends
from dfar_toolkit.agreement.ratings import Ratings

MANY: Final = 64  # distinct values up to which they are counted

_FINEST: Final = 52  # bits of the grid
_SMALLEST: Final = -900  # exponent below which a spread is taken as this: 2 ** 1000 is near the largest float
_NUMBER: Final = pl.col("value").cast(pl.Float64)
_DISTANCE: Final = _NUMBER - pl.col("centre")


class Sums(NamedTuple):
    """What the items of one slice add up to.

    ``counts`` holds how many ratings each item with two or more has, as counts of one value that stands for all;
    ``lone`` is the number of units without such an item. ``columns`` are sums (N,) over the ratings of each item.
    """

    key: pl.DataFrame
    counts: Counts
    lone: int
    columns: Sequence[Floats]


class Ranks(NamedTuple):
    """The ratings of one slice in the order of their values, for items with two or more of them.

    ``item`` (E,) is the item of each rating, as in ``counts`` (see :class:`Sums`); ``starts`` (V,) the place of the
    first rating of each distinct value.
    """

    key: pl.DataFrame
    counts: Counts
    lone: int
    item: Ints
    starts: Ints


def interval_sums(ratings: Ratings) -> list[Sums]:
    """Sums of the values and of their squares, per item, from the middle of the slice's values.

    Args:
        ratings: Checked ratings with numbers.

    Returns:
        One entry without ``by``, else one per combination, sorted by it; columns: values, squares (in units of the
        spread).

    Raises:
        TableError: The same rater stands twice on an item, or an item stands in two groups.
    """
    items = _with_ends(ratings)
    finest = _finest(ratings)
    grid = _grid(ratings, items).with_columns(_steps("spread", finest).alias("steps"))
    half = finest // 2
    column = _on_grid(_DISTANCE, "steps", finest)
    high = pl.col("k") // 2**half
    low = pl.col("k") - high * 2**half  # the square of k is too long for a word: sums of three parts of it
    parts = {"k": pl.col("k"), "hh": high * high, "hl": high * low, "ll": low * low}
    sums = _sums(ratings, grid, {"k": column}, parts)
    unit = 2.0**-finest
    found = []
    for key, counts, lone, rows in _slices(ratings, items, sums):
        hh, hl, ll = (rows[name].to_numpy().astype(np.float64) for name in ("hh", "hl", "ll"))
        square = (hh * 4.0**half + hl * 2.0 ** (half + 1) + ll) * unit**2
        found.append(Sums(key, counts, lone, [rows["k"].to_numpy() * unit, square]))
    return found


def circular_sums(ratings: Ratings, bounds: tuple[float, float] | None) -> list[Sums]:
    r"""Sums of $1 - \cos \theta$ and of $\sin \theta$, per item, with the angle from the middle of the slice's values.

    Args:
        ratings: Checked ratings with numbers.
        bounds: Ends of the scale, whose length is the circle's less 1; None: those of each slice's values.

    Returns:
        As :func:`interval_sums`.

    Raises:
        TableError: As there, and where a value lies outside the bounds.
    """
    items = _with_ends(ratings)
    grid = _grid(ratings, items)
    circles = [ends(np.array(row), bounds) for row in grid.select("lowest", "highest").rows()]
    turn = pl.Series([2 * np.pi / (high - low + 1) for low, high in circles], dtype=pl.Float64)
    grid = grid.with_columns(turn=turn)
    widest = pl.col("spread") * pl.col("turn")
    flat = 2 * (widest.clip(upper_bound=np.pi) / 2).sin() ** 2
    finest = _finest(ratings)
    grid = grid.with_columns(flat.alias("flat"), widest.clip(upper_bound=np.pi / 2).sin().alias("steep"))
    grid = grid.with_columns(_steps(name, finest).alias(f"{name}_steps") for name in ("flat", "steep"))
    angle = _DISTANCE * pl.col("turn")
    columns = {
        "flat": _on_grid(2 * (angle / 2).sin() ** 2, "flat_steps", finest),
        "steep": _on_grid(angle.sin(), "steep_steps", finest),
    }
    sums = _sums(ratings, grid, columns, {name: pl.col(name) for name in columns})
    found = []
    for (key, counts, lone, rows), steps in zip(_slices(ratings, items, sums), grid.rows(named=True), strict=True):
        numbers = [rows[name].to_numpy() / steps[f"{name}_steps"] for name in columns]
        found.append(Sums(key, counts, lone, numbers))
    return found


def ranks(ratings: Ratings) -> list[Ranks]:
    """The order of the pairable ratings of each slice.

    Args:
        ratings: Checked ratings with numbers.

    Returns:
        One entry without ``by``, else one per combination, sorted by it.

    Raises:
        TableError: The same rater stands twice on an item, or an item stands in two groups.
    """
    by = by_names(ratings)
    items = _with_ends(ratings)
    frame = ratings.frame.select(*by, pl.col("item").hash(0).alias("key"), "value")
    if (items["len"] == 1).any():
        pairable = items.lazy().filter(pl.col("len") > 1).select(*by, "key")
        frame = frame.join(pairable, on=[*by, "key"], how="semi", nulls_equal=True)
    cells = frame.collect(engine="streaming")
    slices = cells.partition_by(by, as_dict=True) if by else {(): cells}
    del cells
    found = []
    for key, counts, lone, _ in _slices(ratings, items, None):
        own = slices.pop(key.row(0) if by else (), None)
        found.append(Ranks(key, counts, lone, *_in_order(own)))
    return found


def _in_order(cells: pl.DataFrame | None) -> tuple[Ints, Ints]:
    """Item of each rating in the order of values, then items; where each value starts."""
    if cells is None or not len(cells):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    cell = (cells["value"].rank("dense") - 1).to_numpy().astype(np.uint64)
    cell <<= np.uint64(32)
    cell |= (cells["key"].rank("dense") - 1).to_numpy()
    cell.sort()
    item = (cell & np.uint64(2**32 - 1)).astype(np.int64)
    cell >>= np.uint64(32)
    return item, np.concatenate([[0], np.flatnonzero(cell[1:] != cell[:-1]) + 1])


def _with_ends(ratings: Ratings) -> pl.DataFrame:
    """One row per item with its lowest and highest value."""
    ends_ = [pl.col("value").min().alias("low"), pl.col("value").max().alias("high")]
    return per_item(ratings, [_NUMBER], ends_)


def _grid(ratings: Ratings, items: pl.DataFrame) -> pl.DataFrame:
    """One row per slice: the middle of its pairable values, the farthest from it, and the ends of all its values.

    The middle is the median of the middles of items: far from single ratings that are out of all reason, and the same
    whichever way the rows come.
    """
    by = by_names(ratings)
    pairable = pl.col("len") > 1
    low, high = pl.col("low").filter(pairable), pl.col("high").filter(pairable)
    numbers = [
        ((low + high) / 2).median().alias("centre"),
        low.min().alias("low"),
        high.max().alias("high"),
        pl.col("low").min().alias("lowest"),
        pl.col("high").max().alias("highest"),
    ]
    grid = items.group_by(by).agg(numbers).sort(by) if by else items.select(numbers)
    middle = pl.col("centre")
    return grid.with_columns(pl.max_horizontal(pl.col("high") - middle, middle - pl.col("low")).alias("spread"))


def _steps(name: str, finest: int) -> pl.Expr:
    """Steps of the grid in a unit, from the largest number that is to go on it: a power of two."""

    def steps(column: pl.Series) -> pl.Series:
        exponent = np.maximum(np.frexp(column.to_numpy())[1], _SMALLEST)
        return pl.Series(np.ldexp(1.0, finest - exponent), dtype=pl.Float64)

    return pl.col(name).map_batches(steps, return_dtype=pl.Float64)


def _finest(ratings: Ratings) -> int:
    """Bits of the grid: a sum over all raters must fit into 63."""
    return min(_FINEST, 61 - len(ratings.raters).bit_length())


def _on_grid(number: pl.Expr, steps: str, finest: int) -> pl.Expr:
    """Numbers as whole steps of their grid; out of range only where an item has one rating."""
    return (number * pl.col(steps)).round().clip(-(2.0**finest), 2.0**finest).cast(pl.Int64)


def _sums(ratings: Ratings, grid: pl.DataFrame, columns: dict[str, pl.Expr], parts: dict[str, pl.Expr]) -> pl.DataFrame:
    """One row per item, sorted: sums of ``parts`` of the ``columns``, which are on the slice's grid."""
    by = by_names(ratings)
    frame = ratings.frame.select(*by, pl.col("item").hash(0).alias("key"), "value")
    known = grid.drop_nulls("centre")
    if by:
        frame = frame.join(known.lazy(), on=by, how="left", nulls_equal=True)
    else:
        row = known.row(0, named=True) if len(known) else dict.fromkeys(grid.columns)
        frame = frame.with_columns(pl.lit(number, dtype=grid.schema[name]).alias(name) for name, number in row.items())
    numbers = frame.select(*by, "key", **columns).select(*by, "key", **parts)
    return numbers.group_by(*by, "key").agg(pl.col(list(parts)).sum()).collect(engine="streaming").sort(*by, "key")


def _slices(
    ratings: Ratings, items: pl.DataFrame, sums: pl.DataFrame | None
) -> Iterator[tuple[pl.DataFrame, Counts, int, pl.DataFrame]]:
    """Each slice: its key, the counts of its pairable items, its units without one, and the sums of these items."""
    by = by_names(ratings)
    held = [name for name in ("low", "high") if name in items.columns]
    rows = items.sort(*by, "key").select(*by, "len", *held, *(["group"] if ratings.has_group else []))
    if sums is not None:
        rows = rows.hstack(sums.drop(*by, "key"))
    parts = rows.partition_by(by, maintain_order=True) if by and len(rows) else [] if by else [rows]
    for part in parts:
        n = len(part)
        other = _other_than_most(part) if held else None
        counts = Counts(
            pl.Series([0.0] if other is None else [0.0, 1.0]),
            np.arange(n),
            np.zeros(n, dtype=np.int64) if other is None else other,
            part["len"].to_numpy().astype(np.float64),
            np.ones(n),
            part["group"].to_numpy() if ratings.has_group else None,
            ratings.notes,
        )
        own = counts.pairable()
        yield key_frame(ratings, part), own, counts.n_lone_units, part.filter(pl.col("len") > 1)


def _other_than_most(items: pl.DataFrame) -> Ints | None:
    """1 for the items (N,) in which anybody gave another number than most did, 0 for the rest; None: no such number.

    Where more than half of the items hold one number only, it is the median of their lowest values.
    """
    most = items["low"].median()
    other = ((items["low"] != most) | (items["high"] != most)).to_numpy().astype(np.int64)
    return other if 2 * other.sum() < len(other) else None
