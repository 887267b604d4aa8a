"""Human distributions and predicted ones side by side: what every soft-label score starts from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.labels import Column, group_series

_ROUNDING: Final = (
    1e-6  # a soft label may miss a sum of 1 by so much; predictions are renormalised, and by how much is kept
)


class PairedDistributions(NamedTuple):
    """Distributions of N items over K options, complete cases only.

    ``gold`` (N, K) shares of the human votes, rows sum to 1; ``pred`` (N, K) predicted probabilities renormalised to
    sum 1; ``mass`` (N,) their sum before that; ``counts`` (N, K) votes, or None where only shares are known;
    ``options`` (K,); ``groups`` (N,) resampling units, or None; ``n_items`` items before those without a distribution
    on either side were left out; ``note`` says how many were; ``times`` (N,) how many equal items each row stands for,
    or None where it is one.

    The arrays (N, K) lie in memory column by column: sums over a few options are then several times faster.
    """

    gold: Floats
    pred: Floats
    mass: Floats
    counts: Floats | None
    options: tuple[str, ...]
    groups: pl.Series | None
    n_items: int
    note: str
    times: Floats | None = None

    def items_in(self, rows: npt.NDArray[np.bool_]) -> int:
        """Number of items in the rows (N,) that are marked."""
        return int(np.count_nonzero(rows)) if self.times is None else round(float(self.times[rows].sum()))

    def votes(self) -> Floats:
        """Number of votes on each item (N,); ``nan`` where only shares are known."""
        return np.full(len(self.gold), np.nan) if self.counts is None else self.counts.sum(axis=1)


def pair_distributions(
    name: str,
    frame: pl.DataFrame | None,
    *,
    gold: Column | npt.ArrayLike | None,
    pred: Column | npt.ArrayLike,
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    options: Sequence[str] | None = None,
) -> PairedDistributions:
    """Read human and predicted distributions from list columns of a frame, or from two arrays (N, K).

    Args:
        name: Function named in errors.
        frame: One row per item; None where the values themselves are given.
        gold: Column or array (N, K) of human shares; None where ``counts`` are given instead.
        pred: Column or array (N, K) of predicted probabilities, in the same order of options.
        counts: Column or array (N, K) of votes; None means unknown. Where both are given they must be the same shares.
        group: Column or values (N,). None means the column ``group`` where the frame has one, else single items.
        options: Names of the K options; None means "0", "1", ...

    Returns:
        The complete cases: items with a null (a row of ``nan`` in an array) on either side are left out and counted.

    Raises:
        TableError: A number that is negative, infinite or partly missing, gold shares that do not sum to 1, a
            prediction without any mass, counts that are not whole or contradict the shares.
        ValueError: A column is missing, neither gold nor counts are given, shapes differ.
    """
    shares, votes, predicted = _sides(name, frame, gold, counts, pred)
    n, k = predicted.shape
    groups = group_series(name, frame, group, n)
    human = _shares(name, shares, votes)
    keep = _known(human) & _known(predicted) if n else np.zeros(0, dtype=bool)
    if votes is not None:
        keep &= votes.sum(axis=1) > 0  # nan is not; and nobody's votes have no shares
    human, predicted = rows_of(human, keep), rows_of(predicted, keep)
    _check_numbers(name, "pred", predicted)
    mass = predicted.sum(axis=1)
    if (mass <= 0).any():
        raise TableError(
            f"{name}: {int((mass <= 0).sum())} predictions give every option probability 0 (first: item "
            f"{int(np.argmax(mass <= 0))} of those with both); there is nothing to renormalise. Leave them null."
        )
    names = tuple(map(str, options)) if options is not None else tuple(map(str, range(k)))
    if n and len(names) != k:
        raise ValueError(f"{name}: {len(names)} options for distributions over {k}; give one name each")
    left = n - int(keep.sum())
    return PairedDistributions(
        gold=human,
        pred=predicted / mass[:, None],
        mass=mass,
        counts=None if votes is None else rows_of(votes, keep),
        options=names,
        groups=None if groups is None else groups.filter(pl.Series(keep)),
        n_items=n,
        note=f"{left} of {n} items without a distribution on both sides left out" if left else "",
    )


def distributions(name: str, frame: pl.DataFrame | None, column: Column | npt.ArrayLike, role: str) -> Floats:
    """A list column, or an array, as numbers (N, K); a null list is a row of ``nan``."""
    return _matrix(name, frame, column, role)


def _matrix(name: str, frame: pl.DataFrame | None, column: Any, role: str) -> Floats:
    if isinstance(column, str):
        if frame is None:
            raise ValueError(f'{name}: {role}="{column}" names a column, but no frame is given')
        if column not in frame.columns:
            found = ", ".join(f'"{c}"' for c in frame.columns)
            raise ValueError(f'{name}: the frame has no column "{column}" for {role}; found {found}')
        column = frame[column]
    if isinstance(column, pl.Series):
        return _from_lists(name, column, role)
    matrix: Floats = np.asarray(column, dtype=np.float64, order="F")
    if matrix.ndim != 2:
        raise ValueError(f"{name}: {role} must be an array (items, options), found shape {matrix.shape}")
    return matrix


def _sides(
    name: str,
    frame: pl.DataFrame | None,
    gold: Column | npt.ArrayLike | None,
    counts: Column | npt.ArrayLike | None,
    pred: Column | npt.ArrayLike,
) -> tuple[Floats | None, Floats | None, Floats]:
    """Shares, votes and predictions as given, all (N, K)."""
    if gold is None and counts is None:
        raise ValueError(f"{name}: give gold (shares of the votes) or counts (the votes)")
    given = {"gold": gold, "counts": counts, "pred": pred}
    read = {role: _matrix(name, frame, column, role) for role, column in given.items() if column is not None}
    widest = max(matrix.shape[1] for matrix in read.values())
    read = {role: _as_wide(matrix, widest) for role, matrix in read.items()}
    first, shape = next((role, matrix.shape) for role, matrix in read.items())
    for role, matrix in read.items():
        if len(matrix) != shape[0] or (len(matrix) and matrix.shape != shape):
            raise ValueError(f"{name}: {first} has shape {shape}, {role} has {matrix.shape}; they must be the same")
    return read.get("gold"), read.get("counts"), read["pred"]


def _as_wide(matrix: Floats, width: int) -> Floats:
    """A column of nulls alone says nothing about the number of options: as wide as the others."""
    return np.full((len(matrix), width), np.nan) if matrix.shape[1] == 0 else matrix


def _from_lists(name: str, series: pl.Series, role: str) -> Floats:
    if series.dtype == pl.Null:
        return np.full((len(series), 0), np.nan)
    if isinstance(series.dtype, pl.Array):
        series = series.arr.to_list()
    if not isinstance(series.dtype, pl.List) or not series.dtype.inner.is_numeric():
        raise ValueError(f"{name}: {role} must hold lists of numbers, found {series.dtype}")
    lengths = series.list.len().drop_nulls().unique()
    if len(lengths) > 1:
        raise TableError(f"{name}: {role} lists differ in length ({', '.join(map(str, lengths.sort()))}); one order of "
                         "options must hold for all items.")  # fmt: skip
    width = int(lengths[0]) if len(lengths) else 0
    if not width:
        return np.full((len(series), 0), np.nan)
    flat = series.drop_nulls().explode(empty_as_null=False)
    numbers = flat.cast(pl.Float64).to_numpy().reshape(-1, width)
    if not series.null_count():
        return np.array(numbers, order="F")
    matrix: Floats = np.full((len(series), width), np.nan, order="F")
    known = np.flatnonzero(series.is_not_null().to_numpy())
    for own, given in zip(matrix.T, numbers.T, strict=True):
        own[known] = given
    return matrix


def rows_of(matrix: Floats, keep: npt.NDArray[np.bool_]) -> Floats:
    """The rows kept of a matrix (N, K), column by column; the matrix itself where it keeps all."""
    if keep.all():
        return matrix
    places = np.flatnonzero(keep)
    found: Floats = np.empty((len(places), matrix.shape[1]), order="F")
    for own, column in zip(found.T, matrix.T, strict=True):
        own[:] = column[places]
    return found


def _known(matrix: Floats) -> npt.NDArray[np.bool_]:
    """Rows (N,) that are not ``nan`` throughout."""
    if matrix.size and not np.isnan(matrix.min()):
        return np.ones(len(matrix), dtype=bool)
    return np.asarray(~np.isnan(matrix).all(axis=1))


def _shares(name: str, shares: Floats | None, votes: Floats | None) -> Floats:
    """Human shares (N, K), checked; from the votes where they are not given."""
    if votes is not None:
        given = rows_of(votes, _known(votes))
        _check_numbers(name, "counts", given)
        if (given != np.rint(given)).any():
            raise TableError(f"{name}: counts must be whole numbers of votes; give shares as gold instead.")
        total = votes.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):  # nobody's votes have no shares: 0 / 0 is nan
            of_votes: Floats = votes / total
        if shares is None:
            return of_votes
        apart = np.abs(of_votes - shares) > _ROUNDING  # nan on either side is not
        if apart.any() and (apart.any(axis=1) & ~np.isnan(shares).any(axis=1)).any():
            raise TableError(
                f"{name}: gold and counts of the same item must be the same shares; they differ. Where one rating may "
                "name several values, counts are not votes: give gold alone."
            )
    assert shares is not None
    known = rows_of(shares, _known(shares))
    _check_numbers(name, "gold", known)
    off = np.abs(known.sum(axis=1) - 1) > _ROUNDING
    if off.any():
        raise TableError(
            f"{name}: gold shares must sum to 1 in every row; {int(off.sum())} rows do not, e.g. "
            f"{known[off][0].tolist()}. Votes go in as counts."
        )
    normalised: Floats = shares / shares.sum(axis=1, keepdims=True)
    return normalised


def _check_numbers(name: str, role: str, matrix: Floats) -> None:
    if matrix.size and matrix.min() >= 0 and matrix.max() < np.inf:  # nan is neither
        return
    bad = ~np.isfinite(matrix) | (matrix < 0)
    if bad.any():
        row = int(np.argmax(bad.any(axis=1)))
        raise TableError(
            f"{name}: {role} must be numbers of at least 0; {int(bad.any(axis=1).sum())} rows are not, e.g. "
            f"{matrix[row].tolist()}."
        )
