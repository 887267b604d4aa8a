"""What predictions are held against: labels or the shares of people's votes, for all options or for the most probable.

Labels become shares too (one option has all), so that every measure of this room has one form of input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Floats
from dfar_toolkit.metrics.labels import Codes, Column
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, distributions, pair_distributions, rows_of

View = Literal["confidence", "classwise"]
Flags = npt.NDArray[np.bool_]

_EQUAL = 1e-12  # probabilities that differ by less are tied


class Facet(NamedTuple):
    """One probability per item and what was seen of it: ``predicted`` (N,), ``observed`` (N,) in [0, 1]."""

    option: str
    predicted: Floats
    observed: Floats


def pair_targets(
    name: str,
    frame: pl.DataFrame | None,
    *,
    gold: Column | npt.ArrayLike | None,
    pred: Column | npt.ArrayLike,
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    options: Sequence[str] | None = None,
) -> PairedDistributions:
    """Read labels or shares, and predictions; labels become shares of 0 and 1.

    Args:
        name: Function named in errors.
        frame: One row per item; None where the values themselves are given.
        gold: Shares (N, K), or labels (N,): option names, or places 0..K-1 of the options. A null label, or -1, is an
            item on which people tied. None where ``counts`` are given.
        pred: Column or array (N, K) of probabilities.
        counts: Column or array (N, K) of votes, or None.
        group: Column or values (N,) of the resampling unit.
        options: Names of the K options in the order of the probabilities; needed where labels are names.

    Returns:
        The complete cases.

    Raises:
        TableError: A label is no option, or as ``pair_distributions`` says.
        ValueError: Labels are names and ``options`` is not given; a column is missing; shapes differ.

    Example:
        >>> pair_targets("f", None, gold=[1, 0], pred=[[0.2, 0.8], [0.6, 0.4]]).gold.tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    labels = None if gold is None else _labels(name, frame, gold)
    if labels is None:
        return pair_distributions(name, frame, gold=gold, pred=pred, counts=counts, group=group, options=options)
    if counts is not None:
        raise ValueError(f"{name}: give labels as gold, or counts, not both")
    predicted = distributions(name, frame, pred, "pred")
    codes = _codes(name, labels, predicted.shape[1], options)
    shares = _one_hot(codes, predicted.shape[1])
    return pair_distributions(name, frame, gold=shares, pred=predicted, group=group, options=options)


def against_labels(name: str, pairs: PairedDistributions, labels: npt.ArrayLike) -> tuple[PairedDistributions, Flags]:
    """The same predictions against labels (N,), and which items have one; -1 is an item on which people tied.

    Example:
        >>> pairs = pair_targets("f", None, gold=[[0.5, 0.5], [1, 0]], pred=[[0.2, 0.8], [0.6, 0.4]])
        >>> against_labels("f", pairs, [-1, 0])[0].gold.tolist()
        [[1.0, 0.0]]
    """
    codes = np.asarray(labels)
    if codes.shape != (len(pairs.gold),) or codes.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: labels must be {len(pairs.gold)} whole numbers, one per complete item (-1 where people tied); "
            f"found shape {codes.shape}, {codes.dtype}"
        )
    _check_codes(name, codes, len(pairs.options))
    keep: Flags = codes >= 0
    tied = int((~keep).sum())
    note = f"{tied} of {len(codes)} items without a majority label left out" if tied else ""
    kept = pairs._replace(
        gold=_one_hot(codes[keep], len(pairs.options)),
        pred=rows_of(pairs.pred, keep),
        mass=pairs.mass[keep],
        counts=None,
        groups=None if pairs.groups is None else pairs.groups.filter(pl.Series(keep)),
        note="; ".join(n for n in (pairs.note, note) if n),
    )
    return kept, keep


def is_hard(pairs: PairedDistributions) -> bool:
    """Whether every item has all of its gold on one option.

    Example:
        >>> is_hard(pair_targets("f", None, gold=[1, 0], pred=[[0.2, 0.8], [0.6, 0.4]]))
        True
    """
    first = bool((row_maxima(pairs.gold[:1000]) == 1.0).all())  # shares nearly always show among so many
    return first and bool((row_maxima(pairs.gold) == 1.0).all())


def facets(pairs: PairedDistributions, view: View) -> list[Facet]:
    r"""The probabilities to be judged: of the most probable option alone, or of each option.

    ``confidence``: $c_i = \max_k q_{ik}$ and the share of gold on that option; where options tie for the top, the mean
    of their shares (a random one of them is taken). ``classwise``: $q_{ik}$ and $p_{ik}$ for each k.

    Example:
        >>> found = facets(pair_targets("f", None, gold=[1], pred=[[0.5, 0.5]]), "confidence")[0]
        >>> found.predicted.tolist(), found.observed.tolist()
        ([0.5], [0.5])
    """
    if view == "classwise":
        return [Facet(o, pairs.pred[:, k], pairs.gold[:, k]) for k, o in enumerate(pairs.options)]
    if view != "confidence":
        raise ValueError(f'calibration: view must be "confidence" or "classwise", found {view!r}')
    highest = row_maxima(pairs.pred)
    on_top, n_top, least = np.zeros(len(highest)), np.zeros(len(highest)), highest - _EQUAL
    for pred, gold in zip(pairs.pred.T, pairs.gold.T, strict=True):
        top = pred >= least
        on_top += gold * top
        n_top += top
    return [Facet("", highest, on_top / n_top)]


def row_maxima(matrix: Floats) -> Floats:
    """The largest number of each row (N,), none below 0; by columns, which is many times faster for few of them.

    Example:
        >>> row_maxima(np.array([[1.0, 3.0], [2.0, 0.0]])).tolist()
        [3.0, 2.0]
    """
    found = np.zeros(len(matrix))
    for column in matrix.T:
        np.maximum(found, column, out=found)
    return found


def unit_codes(groups: pl.Series | None, n: int) -> Codes | None:
    """Units as numbers from 0 (N,), in the order of their names; None where every item is its own unit.

    Example:
        >>> unit_codes(pl.Series(["b", "a", "b"]), 3).tolist()
        [1, 0, 1]
    """
    if groups is None or groups.n_unique() == n:
        return None
    return groups.rank("dense").to_numpy().astype(np.int64) - 1


def placed(found: Additive, keep: Flags) -> Additive:
    """Rows of the items kept put back among all items, which add nothing.

    Example:
        >>> from dfar_toolkit.estimate import mean_of
        >>> placed(mean_of("a", "a", [2.0]), np.array([False, True])).rows.tolist()
        [[0.0, 0.0], [2.0, 1.0]]
    """
    if keep.all():
        return found
    return found._replace(rows=_among_all(found.rows, np.flatnonzero(keep), len(keep)))


def all_placed(found: Sequence[Additive], keep: Flags) -> list[Additive]:
    """As :func:`placed`, of several statistics at once."""
    if keep.all():
        return list(found)
    places = np.flatnonzero(keep)
    return [score._replace(rows=_among_all(score.rows, places, len(keep))) for score in found]


def _among_all(rows: Floats, places: Codes, n: int) -> Floats:
    among = np.zeros((rows.shape[1], n))
    for own, column in zip(among, rows.T, strict=True):
        own[places] = column
    return among.T


def _labels(name: str, frame: pl.DataFrame | None, gold: Any) -> pl.Series | None:
    """Gold as a series of labels; None where it is shares."""
    if isinstance(gold, str):
        if frame is None:
            raise ValueError(f'{name}: gold="{gold}" names a column, but no frame is given; pass a frame or the values')
        if gold not in frame.columns:
            found = ", ".join(f'"{c}"' for c in frame.columns)
            raise ValueError(f'{name}: the frame has no column "{gold}" for gold; found {found}')
        gold = frame[gold]
    if isinstance(gold, np.ndarray) and gold.ndim != 1:
        return None
    series = gold if isinstance(gold, pl.Series) else pl.Series("gold", gold)
    return None if series.dtype.is_nested() else series


def _codes(name: str, labels: pl.Series, width: int, options: Sequence[str] | None) -> Codes:
    """Places of the labels among the options (N,), -1 where null."""
    if labels.dtype == pl.Null:
        return np.full(len(labels), -1, dtype=np.int64)
    if labels.dtype.is_integer() or labels.dtype == pl.Boolean:
        codes = labels.cast(pl.Int64).fill_null(-1).to_numpy()
        _check_codes(name, codes, width)
        return codes
    if labels.dtype not in (pl.String, pl.Categorical, pl.Enum):
        raise ValueError(
            f"{name}: gold must be labels (names or whole numbers) or lists of shares, found {labels.dtype}"
        )
    if options is None:
        raise ValueError(f"{name}: gold labels are names; give options= in the order of the probabilities")
    text, names = labels.cast(pl.String), [str(o) for o in options]
    strange = text.filter(text.is_not_null() & ~text.is_in(names)).unique().sort()
    if len(strange):
        raise TableError(f"{name}: labels must be one of {', '.join(names)}; found {strange[0]!r}.")
    return text.replace_strict(names, list(range(len(names))), default=None).fill_null(-1).to_numpy().astype(np.int64)


def _check_codes(name: str, codes: npt.NDArray[Any], width: int) -> None:
    if len(codes) and (codes.min() < -1 or codes.max() >= width):
        bad = int(codes.min() if codes.min() < -1 else codes.max())
        raise TableError(
            f"{name}: labels must be places 0 to {width - 1} of the options, or -1 for a tie; found {bad}."
        )


def _one_hot(codes: npt.NDArray[Any], width: int) -> Floats:
    """Shares (N, K) of 0 and 1; a row of ``nan`` for -1."""
    shares: Floats = np.empty((len(codes), width), order="F")
    for option, column in enumerate(shares.T):
        column[:] = codes == option
    shares[codes < 0] = np.nan
    return shares
