"""Cohen's kappa of counted pairs: which two values two raters gave to the items that both rated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Counts, Floats, Ints, by_names, key_frame, per_item, value_code
from dfar_toolkit.agreement.ratings import Ratings
from dfar_toolkit.agreement.statistic import Resampling, Statistic, estimate_statistic
from dfar_toolkit.agreement.units import units
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate

MOST_RATERS: Final = 2000  # raters up to which every pair is listed: two million rows
_NO_OVERLAP: Final = "no item was rated by both"
_ONE_VALUE: Final = "both raters use one and the same value, so agreement beyond chance has no meaning"


class Pair(NamedTuple):
    """Two raters (indices into the sorted raters), and how often they gave which two values.

    ``counts`` holds one pattern per pair of values: entry code a is the first rater's value, U + b the second's, with a
    and b the places in ``used`` (U,), which are indices of the sorted values.
    """

    first: int
    second: int
    counts: Counts
    used: Ints


class PairSlice(NamedTuple):
    """One combination of the ``by`` columns, its number of raters, their pairs, and the values in use (indices)."""

    key: pl.DataFrame
    n_raters: int
    pairs: list[Pair]
    used: Ints


def count_pairs(ratings: Ratings) -> list[PairSlice]:
    """Every pair of raters, those without a common item too.

    Args:
        ratings: Checked ratings.

    Returns:
        One slice without ``by``, else one per combination, sorted by it; pairs sorted by rater.

    Raises:
        TableError: More than 2,000 raters, or a rater twice on an item.
    """
    if len(ratings.raters) > MOST_RATERS:
        raise TableError(
            f"pairwise_kappa lists every pair of raters and takes at most {MOST_RATERS} of them; "
            f"found {len(ratings.raters)}; filter to the raters in question."
        )
    per_item(ratings, [])  # refuses repeats
    by = by_names(ratings)
    tables = _joined(ratings).partition_by([*by, "first", "second"], maintain_order=True, as_dict=True)
    present = ratings.frame.select(*by, _rater_code(ratings)).unique().sort(*by, "first").collect(engine="streaming")
    return list(_listed(ratings, present, tables, _values_of(ratings)))


def _values_of(ratings: Ratings) -> dict[tuple[object, ...], Ints]:
    """The values in use in each slice, as indices."""
    by = by_names(ratings)
    if not by:
        return {(): np.arange(len(ratings.values))}
    code = value_code(ratings.values).alias("code")
    found = ratings.frame.select(*by, code).unique().sort(*by, "code").collect(engine="streaming")
    parts = found.partition_by(by, as_dict=True)
    return {where: part["code"].to_numpy().astype(np.int64) for where, part in parts.items()}


def estimate_pair(statistic: Statistic, how: Resampling) -> Estimate:
    """The estimate of a statistic of two raters, n = items both rated."""
    found = estimate_statistic(statistic, how)
    return found if found.n else replace(found, note=_NO_OVERLAP)


def cohen_statistic(pair: Pair, table: Floats | None) -> Statistic:
    """Cohen's kappa of two raters; ``table`` (V, V) is the disagreement of weights, None same or not."""
    return _chance_corrected(pair, table, "Cohen's kappa", pooled=False)


def scott_statistic(pair: Pair, table: Floats | None) -> Statistic:
    """Scott's pi of two raters; ``table`` (V, V) is the disagreement of weights, None same or not."""
    return _chance_corrected(pair, table, "Scott's pi", pooled=True)


def _chance_corrected(pair: Pair, table: Floats | None, name: str, *, pooled: bool) -> Statistic:
    counts, size = pair.counts, len(pair.used)
    local = None if table is None else table[np.ix_(pair.used, pair.used)]
    codes = counts.code.reshape(-1, 2)
    apart = codes[:, 0] != codes[:, 1] - size if local is None else local[codes[:, 0], codes[:, 1] - size]
    both = np.ones(len(codes))
    unit = units(counts, [apart.astype(np.float64), both], counts.count)

    def kappa(sums: Floats) -> Floats:
        n, first, second = sums[:, 1], sums[:, 2 : 2 + size], sums[:, 2 + size :]
        if pooled:
            first = second = (first + second) / 2
        apart_by_chance = (
            n**2 - (first * second).sum(axis=1) if local is None else ((first @ local) * second).sum(axis=1)
        )
        return np.asarray(1 - n * sums[:, 0] / apart_by_chance)

    return Statistic(name, counts, unit, kappa, _ONE_VALUE, normal=not pooled, paired=size)


def _rater_code(ratings: Ratings) -> pl.Expr:
    """Index of the rater in the sorted raters (UInt32)."""
    if ratings.raters.dtype == pl.String:
        return pl.col("rater").cast(pl.Enum(ratings.raters)).to_physical().cast(pl.UInt32).alias("first")
    search = ratings.raters.search_sorted
    return pl.col("rater").map_batches(search, return_dtype=pl.UInt32, is_elementwise=True).alias("first")


def _joined(ratings: Ratings) -> pl.DataFrame:
    """How often each two raters gave each two values: ``by..., first, second, [group], a, b, times``, sorted."""
    by = by_names(ratings)
    group = [pl.col("group").hash(0)] if ratings.has_group else []
    code = value_code(ratings.values).alias("a")
    left = ratings.frame.select(*by, pl.col("item").hash(0).alias("key"), _rater_code(ratings), code, *group)
    right = left.select(*by, "key", second="first", b="a")
    keys = [*by, "first", "second", *(["group"] if group else []), "a", "b"]
    joined = left.join(right, on=[*by, "key"], nulls_equal=True).filter(pl.col("first") < pl.col("second"))
    return joined.group_by(keys).agg(pl.len().alias("times")).sort(keys).collect(engine="streaming")


def _listed(
    ratings: Ratings,
    present: pl.DataFrame,
    tables: dict[tuple[object, ...], pl.DataFrame],
    values: dict[tuple[object, ...], Ints],
) -> Iterator[PairSlice]:
    by = by_names(ratings)
    nothing = _nothing(ratings)  # one for all pairs without a common item, of which there may be a million
    for rows in present.partition_by(by, maintain_order=True) if by else [present]:
        where = rows.select(by).row(0) if by else ()
        pairs = [
            Pair(first, second, *(nothing if table is None else _counts(ratings, table)))
            for first, second in combinations(rows["first"].to_list(), 2)
            for table in (tables.get((*where, first, second)),)
        ]
        yield PairSlice(key_frame(ratings, rows), len(rows), pairs, values.get(where, np.arange(0)))


def _nothing(ratings: Ratings) -> tuple[Counts, Ints]:
    """The counts of two raters without a common item, and the values that they use: none."""
    none = np.empty(0, dtype=np.int64)
    return Counts(pl.Series([], dtype=pl.Int64), none, none, np.empty(0), np.empty(0), None, ratings.notes), none


def _counts(ratings: Ratings, table: pl.DataFrame) -> tuple[Counts, Ints]:
    """A pair's table as counts over 2U values, and the U values that the two use."""
    used, codes = np.unique(table.select("a", "b").to_numpy().ravel(), return_inverse=True)
    codes = codes.reshape(-1, 2).astype(np.int64)
    codes[:, 1] += len(used)
    counts = Counts(
        pl.Series(np.arange(2 * len(used))),
        np.repeat(np.arange(len(table)), 2),
        codes.ravel(),
        np.ones(2 * len(table)),
        table["times"].to_numpy().astype(np.float64),
        table["group"].to_numpy() if ratings.has_group else None,
        ratings.notes,
    )
    return counts, used.astype(np.int64)
