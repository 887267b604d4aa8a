"""Votes on items as distinct rows and how often each occurs: what every ceiling starts from.

Ceilings cost what the distinct rows cost: a million items with five votes on five options have 126 of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.labels import Codes, Column, group_series
from dfar_toolkit.metrics.soft_labels.paired import distributions

Votes = pl.DataFrame | npt.ArrayLike | Sequence[Any]  # (items, options), or a frame with a list column

COUNTS: Final = "label_counts"  # the column of the tables items and targets

_FEW: Final = 65_536  # possible rows of votes that are cheap to list
_WHOLE: Final = 2.0**62  # codes up to here stay exact in 64 bits


class VoteCounts(NamedTuple):
    """Votes of N items over K options, items without votes left out.

    ``patterns`` (P, K) distinct rows of votes in lexicographic order; ``times`` (P,) items with that row; ``of_item``
    (N,) row of each item; ``kept`` (M,) which input rows are items; ``groups`` (N,) codes of the resampling units, or
    None; ``note`` says what was left out.
    """

    patterns: Floats
    times: Floats
    of_item: Codes
    kept: npt.NDArray[np.bool_]
    groups: Codes | None
    note: str

    @property
    def n_items(self) -> int:
        """Items with at least one vote."""
        return len(self.of_item)

    @property
    def n_single(self) -> int:
        """Items with exactly one vote."""
        return int(self.times[self.patterns.sum(axis=1) == 1].sum())

    @property
    def n_units(self) -> int:
        """Resampling units."""
        return self.n_items if self.groups is None else len(np.unique(self.groups))

    @property
    def unit(self) -> str:
        """What one resampling unit is, in the plural."""
        return "items" if self.groups is None else "groups"


def read_votes(name: str, counts: Votes, *, column: str = COUNTS, group: Column | None = None) -> VoteCounts:
    """Read votes from an array (items, options) or from the list column of a frame.

    Args:
        name: Function named in errors.
        counts: Array (M, K) of whole numbers, or a frame with one row per item.
        column: The frame's column of lists of votes, in one order of options.
        group: Column or values (M,). None means the column ``group`` where the frame has one, else single items.

    Returns:
        The votes. Rows that are null, or without any vote, are left out and counted in the note.

    Raises:
        TableError: A number is negative, infinite, not whole (soft labels are not votes) or partly missing.
        ValueError: A column is missing, there are fewer than two options, or the shape is wrong.

    Example:
        >>> found = read_votes("f", [[2, 1], [0, 0], [2, 1]])
        >>> found.patterns.tolist(), found.times.tolist(), found.note
        ([[2.0, 1.0]], [2.0], '1 of 3 items without votes left out')
    """
    frame = counts if isinstance(counts, pl.DataFrame) else None
    matrix = distributions(name, frame, column if frame is not None else _array(name, counts), "counts")
    known = _known(matrix)
    _check(name, matrix, known)
    groups = group_series(name, frame, group, len(matrix))
    kept = known & (np.where(known, _row_sums(matrix), 0) > 0)
    patterns, of_item = distinct_rows(matrix if kept.all() else matrix[kept])
    codes = None
    if groups is not None:
        _, codes = np.unique(groups.filter(pl.Series(kept)).rank("dense").to_numpy(), return_inverse=True)
        codes = None if len(codes) and int(codes.max()) + 1 == len(codes) else codes.astype(np.int64)
    left = int((~kept).sum())
    return VoteCounts(
        patterns=patterns,
        times=np.bincount(of_item, minlength=len(patterns)).astype(np.float64),
        of_item=of_item,
        kept=kept,
        groups=codes,
        note=f"{left} of {len(kept)} items without votes left out" if left else "",
    )


def _known(matrix: Floats) -> npt.NDArray[np.bool_]:
    """Rows that are not all ``nan``."""
    missing = np.ones(len(matrix), dtype=np.bool_)
    for values in matrix.T:
        missing &= np.isnan(values)
    return ~missing


def _row_sums(matrix: Floats) -> Floats:
    """Sums of few columns: column by column is much faster than row by row."""
    total = np.zeros(len(matrix))
    for values in matrix.T:
        total += values
    return total


def _array(name: str, counts: Votes) -> Floats:
    try:
        return np.asarray(counts, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: counts must be an array (items, options) of votes or a frame with a list column, found "
            f"{type(counts).__name__}"
        ) from error


def _check(name: str, matrix: Floats, known: npt.NDArray[np.bool_]) -> None:
    if len(matrix) and known.any() and matrix.shape[1] < 2:
        raise ValueError(f"{name}: counts must have at least two options, found {matrix.shape[1]}")
    if known.all() and np.isfinite(matrix).all() and not (matrix < 0).any() and (matrix == np.round(matrix)).all():
        return  # the rule, and cheaper than row by row
    votes = matrix[known]
    wrong = (~np.isfinite(votes) | (votes < 0)).any(axis=1)
    if wrong.any():
        raise TableError(
            f"{name}: counts must be numbers of votes of at least 0; {int(wrong.sum())} rows are not, e.g. "
            f"{votes[wrong][0].tolist()}."
        )
    broken = (votes != np.round(votes)).any(axis=1)
    if broken.any():
        raise TableError(
            f"{name}: counts must be whole numbers of votes; {int(broken.sum())} rows are not, e.g. "
            f"{votes[broken][0].tolist()}. Soft labels alone do not say how many people voted, so they have no such "
            "ceiling; give the votes."
        )


def distinct_rows(matrix: Floats) -> tuple[Floats, Codes]:
    """Distinct rows (P, K) in lexicographic order, and the place of each row (N,) among them.

    Example:
        >>> distinct_rows(np.array([[2.0, 1.0], [0.0, 5.0], [2.0, 1.0]]))[1].tolist()
        [1, 0, 1]
    """
    key, size = np.zeros(len(matrix), dtype=np.int64), 1
    for values in matrix.T:
        codes, width = values.astype(np.int64), int(values.max()) + 1 if len(values) else 1
        if size * width >= _WHOLE:
            _, key = np.unique(key, return_inverse=True)
            _, codes = np.unique(codes, return_inverse=True)
            size, width = len(key), len(key)
        key, size = key * width + codes, size * width
    if size <= max(_FEW, len(key)):  # so few possible rows that a table of them is faster than sorting
        member = np.full(size, -1, dtype=np.int64)
        member[key] = np.arange(len(key))
        occurs = member >= 0
        return matrix[member[occurs]], (np.cumsum(occurs) - 1)[key]
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    return matrix[first], place.astype(np.int64)


def with_votes(votes: VoteCounts, least: int) -> VoteCounts:
    """The items with so many votes or more; how many were left out is added to the note.

    Example:
        >>> with_votes(read_votes("f", [[1, 0], [2, 1]]), 2).note
        '1 of 2 items with fewer than 2 votes left out'
    """
    enough = votes.patterns.sum(axis=1) >= least
    if enough.all():
        return votes
    keep = enough[votes.of_item]
    left = int((~keep).sum())
    of_item = (np.cumsum(enough) - 1)[votes.of_item[keep]]
    said = f"{left} of {votes.n_items} items with fewer than {least} votes left out" if left else ""
    kept = votes.kept.copy()
    kept[votes.kept] = keep
    groups = None if votes.groups is None else np.unique(votes.groups[keep], return_inverse=True)[1].astype(np.int64)
    return VoteCounts(
        patterns=votes.patterns[enough],
        times=votes.times[enough],
        of_item=of_item,
        kept=kept,
        groups=groups,
        note="; ".join(part for part in (votes.note, said) if part),
    )
