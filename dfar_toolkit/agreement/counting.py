"""The one counting step: how often each item got each value, as few distinct patterns as there are.

Everything after it sees counts. An item's counts are packed into integer words, several values a word, and added up in
one group-by on 64-bit hashes of the item ids; items with equal words are one pattern. Two of N items share a hash with
probability about $N^2 / 2^{65}$ (1e-7 for two million items), and would then be counted as one item.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.agreement.ratings import Ratings
from dfar_toolkit.agreement.repeats import check_items, rater_bits

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_WORD: Final = 63  # bits used of a word: it stays positive
_WORDS: Final = 6  # more are slower than counting (item, value)
_FIELD: Final = 10  # bits a value's count may take at most; an item with more ratings is counted the general way


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """How often each value was given, for each pattern of items.

    ``values`` (V,) are the distinct values. Entry e says that in an item of pattern ``pattern[e]`` the value
    ``code[e]`` was given ``count[e]`` times; entries are sorted by pattern, then code. ``times`` (P,) is the number of
    items of each pattern, ``groups`` (P,) a key of their group, or None where the item is its own unit. ``mass`` (P,)
    is how many ordered pairs of ratings by different people an item holds, where that is not m (m - 1): where raters
    have weights, a rater counted twice is no pair.
    """

    values: pl.Series
    pattern: Ints
    code: Ints
    count: Floats
    times: Floats
    groups: npt.NDArray[np.uint64] | None
    notes: tuple[str, ...] = ()
    mass: Floats | None = None

    def per_pattern(self, entries: Floats) -> Floats:
        """Sum of an entry-wise number (E,) over each pattern (P,)."""
        return np.bincount(self.pattern, weights=entries, minlength=len(self.times)).astype(np.float64)

    @property
    def n_ratings(self) -> Floats:
        """Ratings of an item of each pattern (P,)."""
        return self.per_pattern(self.count)

    @property
    def pairs(self) -> Floats:
        """Ordered pairs of ratings of an item of each pattern (P,)."""
        if self.mass is not None:
            return self.mass
        m = self.n_ratings
        return m * (m - 1)

    @property
    def n_pairable(self) -> int:
        """Number of items with two or more ratings."""
        return int(self.times[self.pairs > 0].sum())

    @property
    def n_lone_units(self) -> int:
        """Number of units, groups where there are any, in which no item has two ratings."""
        if self.groups is None:
            return int(self.times.sum()) - self.n_pairable
        return len(np.unique(self.groups)) - len(np.unique(self.groups[self.pairs > 0]))

    @property
    def n_values_in_use(self) -> int:
        """Number of distinct values given."""
        return len(self.codes_in_use)

    @property
    def codes_in_use(self) -> Ints:
        """The values given, as indices, sorted; where raters have weights, all of them, also those of weight 0."""
        if self.mass is not None:
            return np.arange(len(self.values))
        return np.flatnonzero(np.bincount(self.code, minlength=len(self.values)))

    def pairable(self) -> Counts:
        """The items with two or more ratings; the others are counted in the notes."""
        keep = self.pairs > 0
        single = int(self.times[~keep].sum())
        if not single:
            return self
        entry = keep[self.pattern]
        note = f"{single} item{'s' if single != 1 else ''} with one rating left out"
        return Counts(
            self.values,
            (np.cumsum(keep) - 1)[self.pattern[entry]],
            self.code[entry],
            self.count[entry],
            self.times[keep],
            None if self.groups is None else self.groups[keep],
            (*self.notes, note),
            None if self.mass is None else self.mass[keep],
        )


class Slice(NamedTuple):
    """The counts of one combination of the ``by`` columns, and that combination as a frame of one row."""

    key: pl.DataFrame
    counts: Counts


def count_ratings(ratings: Ratings) -> list[Slice]:
    """Count the ratings of each item, after checking that nobody rated an item twice.

    Args:
        ratings: Checked ratings.

    Returns:
        One slice without ``by``, else one per combination, sorted by it.

    Raises:
        TableError: The same rater stands twice on an item, or an item stands in two groups.
    """
    packing = packing_of(len(ratings.values), len(ratings.raters))
    words = _words(ratings, packing) if packing.fits else []
    items = per_item(ratings, words)
    if packing.holds(items["len"].max()):
        by = by_names(ratings)
        keys = [*by, *(["group"] if ratings.has_group else []), *packing.names]
        patterns = items.group_by(keys).agg(pl.len().alias("times")) if words else items.with_columns(times=1)
        return list(from_patterns(ratings, patterns, packing))
    # Text has its code looked up on the way; the place of a number among many is found faster by ranking them at once.
    code = value_code(ratings.values) if ratings.values.dtype == pl.String else pl.col("value")
    cells = ratings.frame.select(*by_names(ratings), pl.col("item").hash(0).alias("key"), code.alias("code"))
    return list(from_entries(ratings, items, cells.collect(engine="streaming")))


class Packing(NamedTuple):
    """The counts of an item as ``n_words`` integers: ``per_word`` values a word, ``bits`` bits a value."""

    bits: int
    per_word: int
    n_words: int

    @property
    def fits(self) -> bool:
        """Whether the words are few enough to be worth their while."""
        return self.n_words <= _WORDS

    @property
    def names(self) -> list[str]:
        """The columns of the words."""
        return [f"word{k}" for k in range(self.n_words)]

    def holds(self, most: Any) -> bool:
        """Whether no item has more ratings (at most ``most``, None for no item) than a value's bits can count."""
        return self.fits and int(most or 0) < 2**self.bits

    def place(self, code: int) -> tuple[int, int]:
        """The word of a value, and the shift of its bits in it."""
        return code // self.per_word, self.bits * (code % self.per_word)


def packing_of(n_values: int, n_raters: int) -> Packing:
    """The packing of the counts of so many values by so many raters."""
    bits = min(n_raters.bit_length(), _FIELD)
    per_word = _WORD // bits if bits else 1
    return Packing(bits, per_word, -(-n_values // per_word))


def value_code(values: pl.Series) -> pl.Expr:
    """Index of the column ``value`` in the sorted distinct values (UInt32)."""
    if values.dtype == pl.String:
        return pl.col("value").cast(pl.Enum(values)).to_physical().cast(pl.UInt32)
    return pl.col("value").map_batches(values.search_sorted, return_dtype=pl.UInt32, is_elementwise=True)


def per_item(ratings: Ratings, columns: Sequence[pl.Expr], aggregates: Sequence[pl.Expr] | None = None) -> pl.DataFrame:
    """One row per item, repeats refused.

    Args:
        ratings: The ratings.
        columns: What is added up over the ratings of an item.
        aggregates: Other aggregates of these columns than their sums.

    Returns:
        ``by`` columns, ``key`` (hash of the item), ``len``, the aggregates, ``group`` (hash) where there are groups.
    """
    by = by_names(ratings)
    group = [pl.col("group").hash(0)] if ratings.has_group else []
    bits = rater_bits(ratings.raters)
    key = pl.col("item").hash(0).alias("key")
    sums = [pl.col(column.meta.output_name()).sum() for column in columns]
    items = (
        ratings.frame.select(*by, key, *bits, *columns, *group)
        .group_by(*by, "key")
        .agg(
            pl.len(),
            *(pl.col(bit.meta.output_name()).bitwise_or() for bit in bits),
            *(sums if aggregates is None else aggregates),
            *([pl.col("group").min(), pl.col("group").max().alias("group_max")] if group else []),
        )
        .collect(engine="streaming")
    )
    check_items(ratings, items)
    return items.drop(bit.meta.output_name() for bit in bits)


def by_names(ratings: Ratings) -> list[str]:
    """Names of the ``by`` columns inside the frame."""
    return [f"by{i}" for i in range(len(ratings.by))]


def key_frame(ratings: Ratings, rows: pl.DataFrame) -> pl.DataFrame:
    """The ``by`` columns of the first row under their own names."""
    return rows.head(1).select(pl.col(b).alias(name) for b, name in zip(by_names(ratings), ratings.by, strict=True))


def _words(ratings: Ratings, packing: Packing) -> list[pl.Expr]:
    """Column k holds 2 ** (bits * place) for the values of word k, and 0 for the others."""
    code = value_code(ratings.values)
    places = [packing.place(c) for c in range(len(ratings.values))]
    words = []
    for k, name in enumerate(packing.names):
        table = pl.Series([1 << shift if word == k else 0 for word, shift in places], dtype=pl.Int64)
        words.append(code.map_batches(table.gather, return_dtype=pl.Int64, is_elementwise=True).alias(name))
    return words


def from_patterns(ratings: Ratings, patterns: pl.DataFrame, packing: Packing) -> Iterator[Slice]:
    """Few values: the distinct words are the patterns.

    Args:
        ratings: The ratings behind them.
        patterns: ``by`` columns, ``group`` (hash) where there are groups, the words, and ``times``.
        packing: How the words hold the counts.

    Yields:
        The slices, sorted by ``by``, their patterns sorted by group and words.
    """
    by = by_names(ratings)
    keys = [*by, *(["group"] if ratings.has_group else []), *packing.names]
    for rows in _parts(patterns.sort(keys) if keys else patterns, by):
        cells = []
        for value in range(len(ratings.values)):
            word, shift = packing.place(value)
            field = (rows[packing.names[word]].to_numpy() >> shift) & ((1 << packing.bits) - 1)
            found = np.flatnonzero(field)
            cells.append(np.stack([found, np.full(len(found), value), field[found]]))
        pattern, code, count = np.concatenate(cells or [np.empty((3, 0), dtype=np.int64)], axis=1)
        order = np.argsort(pattern, kind="stable")  # codes are in order already
        counts = Counts(
            ratings.values,
            pattern[order],
            code[order],
            count[order].astype(np.float64),
            rows["times"].to_numpy().astype(np.float64),
            rows["group"].to_numpy() if ratings.has_group else None,
            ratings.notes,
        )
        yield Slice(key_frame(ratings, rows), counts)


def from_entries(ratings: Ratings, items: pl.DataFrame, cells: pl.DataFrame) -> Iterator[Slice]:
    """Any number of values: one sort of the cells (item, value), no pattern but the item.

    Args:
        ratings: The ratings behind them.
        items: ``by`` columns, ``key``, and ``group`` (hash) where there are groups: one row per item.
        cells: ``by`` columns, ``key`` and ``code`` (of a text; a number itself) of each rating.

    Yields:
        The slices, sorted by ``by``.
    """
    by = by_names(ratings)
    slices = cells.partition_by(by, as_dict=True) if by else {(): cells}
    for rows in _parts(items.sort(*by, "key"), by):
        own = slices[rows.select(by).row(0) if by else ()]
        values, codes = ratings.values, own["code"]
        if values.dtype != pl.String:
            values, codes = codes.unique().sort(), codes.rank("dense") - 1
        pattern = own["key"].rank("dense").to_numpy().astype(np.int64) - 1  # the place of the key among the sorted
        cell = np.sort(pattern * len(values) + codes.to_numpy())
        start = np.flatnonzero(np.diff(cell, prepend=-1))
        count = np.diff(start, append=len(cell)).astype(np.float64)
        counts = Counts(
            values,
            cell[start] // len(values),
            cell[start] % len(values),
            count,
            np.ones(len(rows)),
            rows["group"].to_numpy() if ratings.has_group else None,
            ratings.notes,
        )
        yield Slice(key_frame(ratings, rows), counts)


def _parts(rows: pl.DataFrame, by: list[str]) -> list[pl.DataFrame]:
    """The rows of each combination of ``by``, in order; all rows where there is no ``by``."""
    if not by:
        return [rows]
    return rows.partition_by(by, maintain_order=True) if len(rows) else []
