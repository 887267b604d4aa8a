"""From counts to estimates: rows of the resampling units, a formula of their sums, one estimate per slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Counts, Floats, Ints, Slice, count_ratings
from dfar_toolkit.agreement.ratings import By, RatingsLike, read_ratings
from dfar_toolkit.estimate import ESTIMATE_SCHEMA, Estimate, Interval, estimate_by_weights, estimates_frame

_DENSE: Final = 4_000_000  # cells of a dense matrix of rows: 32 MB
_NARROW: Final = 16  # columns up to which a matrix is dense anyway: collapsing equal rows pays

NO_PAIRS: Final = "no item has two or more ratings"
ONE_VALUE: Final = "only one value is in use, so agreement beyond chance has no meaning"


class Resampling(NamedTuple):
    """How an interval is made."""

    ci: Interval | None = "bootstrap"
    confidence: float = 0.95
    n_boot: int = 2000
    seed: int = 0


class Units(NamedTuple):
    """Resampling units: ``sums`` takes weights (B, U) to column sums (B, D); ``times`` (U,); their name."""

    sums: Callable[[Floats], Floats]
    times: Floats
    unit: str


class Owners(NamedTuple):
    """The unit of each item pattern ``owner`` (P,), how often it occurs there ``within`` (P,), ``times`` (U,)."""

    owner: Ints
    within: Floats
    times: Floats
    unit: str


def owners(counts: Counts) -> Owners:
    """The resampling unit of each item pattern: its group, or itself where every group has one item."""
    n = len(counts.times)
    if counts.groups is not None:
        found, owner = np.unique(counts.groups, return_inverse=True)
        if len(found) < counts.times.sum():
            return Owners(owner.astype(np.int64), counts.times, np.ones(len(found)), "groups")
    return Owners(np.arange(n), np.ones(n), counts.times, "items")


def units(counts: Counts, narrow: Sequence[Floats], wide: Floats | None = None, *, merge: bool = True) -> Units:
    """Rows of the units: first the numbers ``narrow``, then one column per value with ``wide``.

    Args:
        counts: The item patterns.
        narrow: K numbers per item pattern, each (P,).
        wide: A number per entry (E,) that goes into the column of its value, or None for no such columns.
        merge: Collapse units with equal rows; False keeps the units in the order of :func:`owners`.

    Returns:
        The units; ``sums`` takes weights (B, U) to column sums (B, K + V).
    """
    own = owners(counts)
    n_units, n_columns = len(own.times), len(narrow) + (len(counts.values) if wide is not None else 0)
    if n_columns > _NARROW and n_units * n_columns > _DENSE:
        return _sparse_units(counts, narrow, wide, own)
    row = own.owner
    dense = np.zeros(n_units * n_columns)
    for k, column in enumerate(narrow):
        dense[k::n_columns] = np.bincount(row, weights=column * own.within, minlength=n_units)
    if wide is not None:
        cell = row[counts.pattern] * n_columns + len(narrow) + counts.code
        dense += np.bincount(cell, weights=wide * own.within[counts.pattern], minlength=len(dense))
    rows, times = dense.reshape(n_units, n_columns), own.times
    if merge and n_units:
        rows, times = _merge(rows, times)
    return Units(lambda weights: weights @ rows, times, own.unit)


def _sparse_units(counts: Counts, narrow: Sequence[Floats], wide: Floats | None, own: Owners) -> Units:
    """As the dense rows, where most values do not occur in most units."""
    import scipy.sparse as sparse

    n_patterns, n_units = len(own.owner), len(own.times)
    belongs = sparse.csr_array((own.within, (own.owner, np.arange(n_patterns))), shape=(n_units, n_patterns))
    left = np.zeros((n_units, len(narrow)))
    for k, column in enumerate(narrow):
        left[:, k] = np.bincount(own.owner, column * own.within, n_units)
    if wide is None:
        return Units(lambda weights: weights @ left, own.times, own.unit)
    shape = (n_patterns, len(counts.values))
    right = sparse.csr_array(belongs @ sparse.csr_array((wide, (counts.pattern, counts.code)), shape=shape))

    def sums(weights: Floats) -> Floats:
        return np.hstack([weights @ left, np.asarray(weights @ right)])

    return Units(sums, own.times, own.unit)


def _merge(rows: Floats, times: Floats) -> tuple[Floats, Floats]:
    """Units with equal rows as one pattern, in a canonical order."""
    frame = pl.DataFrame(rows, schema=[f"d{i}" for i in range(rows.shape[1])])
    merged = frame.with_columns(pl.Series("times", times)).group_by(frame.columns).agg(pl.col("times").sum())
    merged = merged.sort(frame.columns)
    return merged.drop("times").to_numpy(), merged["times"].to_numpy()


def estimate_units(
    name: str,
    counts: Counts,
    unit: Units,
    statistic: Callable[[Floats], Floats],
    how: Resampling,
    undefined: str,
) -> Estimate:
    """The estimate of a statistic of the units' weights, with the notes of the counts.

    ``undefined`` is the note where the statistic has no value although some item has two ratings.
    """
    reason = undefined if counts.n_pairable else NO_PAIRS
    found = estimate_by_weights(
        name,
        unit.times,
        statistic,
        n=counts.n_pairable,
        unit=unit.unit,
        ci=how.ci,
        confidence=how.confidence,
        n_boot=how.n_boot,
        seed=how.seed,
        undefined=reason,
    )
    note = NO_PAIRS if len(unit.times) == 0 else found.note
    return replace(found, note="; ".join(part for part in (note, *counts.notes) if part))


def estimate_slices(
    ratings: RatingsLike,
    statistic: Callable[[Counts], Estimate],
    *,
    item: str,
    rater: str,
    value: str,
    group: str | None,
    by: By,
) -> Estimate | pl.DataFrame:
    """Read and count the ratings, then the statistic of each slice: one estimate, or a frame with ``by``."""
    checked = read_ratings(ratings, item=item, rater=rater, value=value, group=group, by=by)
    slices = count_ratings(checked)
    if not checked.by:
        return statistic(slices[0].counts)
    return slices_frame(slices, [[statistic(part.counts)] for part in slices], checked.by)


def slices_frame(slices: Sequence[Slice], found: Sequence[Sequence[Estimate]], by: Sequence[str]) -> pl.DataFrame:
    """One row per estimate: the ``by`` columns of its slice, then the fields of Estimate."""
    clash = [name for name in by if name in ESTIMATE_SCHEMA]
    if clash:
        raise ValueError(f'agreement: by cannot be "{clash[0]}", which names a column of the result; rename the column')
    if not slices:
        empty = pl.DataFrame(schema=dict.fromkeys(by, pl.String))
        return pl.concat([empty, estimates_frame([])], how="horizontal")
    keys = [part.key.select(pl.all().repeat_by(len(rows)).explode()) for part, rows in zip(slices, found, strict=True)]
    return pl.concat([pl.concat(keys), estimates_frame(e for rows in found for e in rows)], how="horizontal")
