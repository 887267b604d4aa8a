"""Human and predicted numbers side by side: from numbers, from labels of an ordered scale, from distributions on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.labels import Column, group_series

_TEXT: Final = (pl.String, pl.Categorical, pl.Enum)


class PairedNumbers(NamedTuple):
    """Numbers of N items known on both sides.

    ``gold``, ``pred`` (N,); ``groups`` (N,) resampling units, or None; ``n_items`` items before those with a null on
    either side were left out; ``note`` says how many were.
    """

    gold: Floats
    pred: Floats
    groups: pl.Series | None
    n_items: int
    note: str


def pair_numbers(
    name: str,
    frame: pl.DataFrame | None,
    *,
    gold: Column | npt.ArrayLike,
    pred: Column | npt.ArrayLike,
    group: Column | None = None,
    options: Sequence[str] | None = None,
    values: Sequence[float] | None = None,
) -> PairedNumbers:
    """Read human and predicted numbers from columns of a frame, or from two arrays.

    Args:
        name: Function named in errors.
        frame: One row per item; None where the values themselves are given.
        gold: Column or values (N,): numbers, labels, or lists of K probabilities or votes; see :func:`numbers_of`.
        pred: Column or values (N,), likewise; null is no answer.
        group: Column or values (N,). None means the column ``group`` where the frame has one, else single items.
        options: The K labels from lowest to highest.
        values: The K numbers of the options; None means their positions 0, 1, ..., K - 1.

    Returns:
        The complete cases; items with a null on either side are left out and counted.

    Raises:
        TableError: A number that is infinite, a label that is no option, a distribution that is none.
        ValueError: A column is missing, lengths differ, or labels come without ``options``.
    """
    sides = [numbers_of(name, frame, c, role, options, values) for c, role in ((gold, "gold"), (pred, "pred"))]
    if len(sides[0]) != len(sides[1]):
        raise ValueError(f"{name}: gold has {len(sides[0])} values, pred has {len(sides[1])}; give one per item")
    groups = group_series(name, frame, group, len(sides[0]))
    keep = ~np.isnan(sides[0]) & ~np.isnan(sides[1])
    left = len(keep) - int(keep.sum())
    return PairedNumbers(
        gold=sides[0][keep],
        pred=sides[1][keep],
        groups=None if groups is None else groups.filter(pl.Series(keep)),
        n_items=len(keep),
        note=f"{left} of {len(keep)} items without a number on both sides left out" if left else "",
    )


def numbers_of(
    name: str,
    frame: pl.DataFrame | None,
    column: Column | npt.ArrayLike,
    role: str,
    options: Sequence[str] | None = None,
    values: Sequence[float] | None = None,
) -> Floats:
    r"""One number per item (N,), ``nan`` where null: a number as it is, the value of a label, a mean on the scale.

    A list of K probabilities, shares or votes $p_{ik}$ becomes $\sum_k p_{ik} v_k / \sum_k p_{ik}$ with $v_k$ the
    value of option k.

    Args:
        name: Function named in errors.
        frame: One row per item; None where the values themselves are given.
        column: Column or values (N,) or (N, K).
        role: What the column is, for errors.
        options: The K labels from lowest to highest; needed for labels.
        values: The K numbers of the options; None means 0, 1, ..., K - 1.

    Returns:
        The numbers.

    Raises:
        TableError: As :func:`pair_numbers`.
        ValueError: As :func:`pair_numbers`.

    Example:
        >>> numbers_of("f", None, ["low", None, "high"], "gold", options=["low", "mid", "high"]).tolist()
        [0.0, nan, 2.0]
        >>> numbers_of("f", None, [[1, 1, 2]], "gold", values=[1, 2, 3]).tolist()
        [2.25]
    """
    series = _series(name, frame, column, role)
    if options is not None and values is not None and len(options) != len(values):
        raise ValueError(f"{name}: {len(options)} options but {len(values)} values; give one value per option")
    scale = None if values is None else np.asarray(values, dtype=np.float64)
    if scale is not None and not np.isfinite(scale).all():
        raise ValueError(f"{name}: values must be finite numbers, found {list(values or [])}")
    if isinstance(series.dtype, pl.List | pl.Array):
        k = len(scale) if scale is not None else len(options) if options is not None else None
        return _means(name, series, role, k, scale)
    if series.dtype in _TEXT:
        if options is None:
            raise ValueError(f"{name}: {role} holds labels; give options, the labels from lowest to highest")
        return _values_of_labels(name, series, role, list(map(str, options)), scale)
    if not (series.dtype.is_numeric() or series.dtype == pl.Null):
        raise ValueError(f"{name}: {role} must hold numbers, labels or lists of probabilities, found {series.dtype}")
    numbers = series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    if np.isinf(numbers).any():
        raise TableError(f"{name}: {role} must be finite; {int(np.isinf(numbers).sum())} values are infinite.")
    return numbers


def _series(name: str, frame: pl.DataFrame | None, column: Any, role: str) -> pl.Series:
    if isinstance(column, str):
        if frame is None or column not in frame.columns:
            found = "no frame is given" if frame is None else "found " + ", ".join(f'"{c}"' for c in frame.columns)
            raise ValueError(f'{name}: no column "{column}" for {role}; {found}')
        return frame[column]
    if isinstance(column, pl.Series):
        return column
    values = column.tolist() if isinstance(column, np.ndarray) else list(column)
    return pl.Series(role, values, strict=False)


def _values_of_labels(name: str, series: pl.Series, role: str, options: list[str], scale: Floats | None) -> Floats:
    text = series.cast(pl.String)
    if len(set(options)) < len(options):
        raise ValueError(f"{name}: options must differ, found {', '.join(options)}")
    strange = text.drop_nulls().unique().sort()
    strange = strange.filter(~strange.is_in(options))
    if len(strange):
        found = ", ".join(repr(s) for s in strange.head(5))
        raise TableError(f"{name}: {role} must be one of {', '.join(options)}; found {found}.")
    place = text.cast(pl.Enum(options)).to_physical().cast(pl.Float64)
    numbers: Floats = place.fill_null(float("nan")).to_numpy()
    if scale is None or not len(scale):
        return numbers
    known = ~np.isnan(numbers)
    return np.where(known, scale[np.where(known, numbers, 0).astype(np.int64)], np.nan)


def _means(name: str, series: pl.Series, role: str, k: int | None, scale: Floats | None) -> Floats:
    lists = series.arr.to_list() if isinstance(series.dtype, pl.Array) else series
    widths = lists.list.len().drop_nulls().unique().sort().to_list()
    wanted = k if k is not None else (widths[0] if widths else 0)
    if any(w != wanted for w in widths):
        raise TableError(
            f"{name}: the lists of {role} must have one number per option ({wanted}); found lengths "
            f"{', '.join(map(str, widths))}."
        )
    known = lists.is_not_null().to_numpy()
    given = lists.drop_nulls().explode(empty_as_null=False).cast(pl.Float64).to_numpy().reshape(-1, wanted or 1)
    bad = ~(np.isfinite(given) & (given >= 0)).all(axis=1) | ~(given.sum(axis=1) > 0)
    if bad.any():
        raise TableError(
            f"{name}: the lists of {role} must be numbers of at least 0 with a positive sum; {int(bad.sum())} are not, "
            f"e.g. {given[int(np.argmax(bad))].tolist()}."
        )
    numbers = np.full(len(lists), np.nan)
    x = np.arange(wanted, dtype=np.float64) if scale is None else scale
    numbers[known] = (given * x).sum(axis=1) / given.sum(axis=1)
    return numbers
