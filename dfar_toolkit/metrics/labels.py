"""Gold labels and predicted labels side by side, as codes: what every classification metric starts from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError

Codes = npt.NDArray[np.int64]
Column = str | Sequence[Any] | npt.NDArray[Any] | pl.Series  # a column's name, or the values themselves


class PairedLabels(NamedTuple):
    """Labels of N items over K options.

    ``gold`` (N,) codes 0..K-1; ``pred`` (N,) codes 0..K, where K means no answer; ``options`` (K,) names in order;
    ``groups`` (N,) the resampling unit of each item, or None where items stand alone.
    """

    gold: Codes
    pred: Codes
    options: tuple[str, ...]
    groups: pl.Series | None

    def answered(self) -> PairedLabels:
        """The items that have an answer."""
        keep = self.pred < len(self.options)
        if keep.all():
            return self
        groups = None if self.groups is None else self.groups.filter(pl.Series(keep))
        return PairedLabels(self.gold[keep], self.pred[keep], self.options, groups)


def pair_labels(
    name: str,
    frame: pl.DataFrame | None,
    *,
    gold: Column,
    pred: Column,
    group: Column | None,
    options: Sequence[str] | None,
) -> PairedLabels:
    """Read gold and predicted labels from a frame's columns or from two arrays.

    Args:
        name: Function named in errors.
        frame: Rows, one per item; None where ``gold`` and ``pred`` are the values themselves.
        gold: Column or values (N,); names, integers or booleans; never null.
        pred: Column or values (N,); null where there is no answer.
        group: Column or values (N,). None means the column ``group`` where the frame has one, else single items.
        options: Names of the labels in order; None means all labels that occur, sorted.

    Returns:
        The codes.

    Raises:
        TableError: A gold label is null, or a label is not one of ``options``.
        ValueError: A column is missing, the lengths differ, or the two sides are of different types.
    """
    gold_labels, pred_labels = _values(name, frame, gold, "gold"), _values(name, frame, pred, "pred")
    if len(gold_labels) != len(pred_labels):
        raise ValueError(f"{name}: gold has {len(gold_labels)} labels, pred has {len(pred_labels)}; give one per item")
    if options is not None and all(_are_of(labels, options) for labels in (gold_labels, pred_labels)):
        gold_text, pred_text, names = gold_labels, pred_labels, tuple(options)  # neither cast nor checked again
    else:
        gold_text, pred_text = _text(name, gold_labels, pred_labels)
        names = ()
    if gold_text.null_count():
        raise TableError(
            f"{name}: every item needs a gold label; {gold_text.null_count()} of {len(gold_text)} are null; "
            "leave those items out and count them."
        )
    names = names or _options(name, options, gold_text, pred_text)
    return PairedLabels(
        gold=_codes(gold_text, names, 0),
        pred=_codes(pred_text, names, len(names)),
        options=names,
        groups=group_series(name, frame, group, len(gold_text)),
    )


def answered_flags(name: str, frame: pl.DataFrame | None, pred: Column) -> npt.NDArray[np.float64]:
    """1 where there is an answer, 0 where the prediction is null (N,)."""
    return _values(name, frame, pred, "pred").is_not_null().cast(pl.Float64).to_numpy()


def gold_names(name: str, frame: pl.DataFrame | None, gold: Column) -> pl.Series:
    """Gold labels by name (N,); null is refused."""
    labels = _values(name, frame, gold, "gold")
    text, _ = _text(name, labels, labels)
    if text.null_count():
        raise TableError(
            f"{name}: every item needs a gold label; {text.null_count()} of {len(text)} are null; "
            "leave those items out and count them."
        )
    return text


def group_series(name: str, frame: pl.DataFrame | None, group: Column | None, n: int) -> pl.Series | None:
    """The resampling unit of each item, or None where every item stands alone."""
    if group is None:
        if frame is None or "group" not in frame.columns:
            return None
        group = "group"
    groups = _values(name, frame, group, "group")
    if len(groups) != n:
        raise ValueError(f"{name}: group has {len(groups)} values for {n} items; give one per item")
    if groups.null_count():
        raise TableError(f"{name}: every item needs a group; {groups.null_count()} of {n} have none (null).")
    return groups


def _values(name: str, frame: pl.DataFrame | None, column: Column, role: str) -> pl.Series:
    if isinstance(column, pl.Series):
        return column
    if not isinstance(column, str):
        return pl.Series(role, column)
    if frame is None:
        raise ValueError(f'{name}: {role}="{column}" names a column, but no frame is given; pass a frame or the values')
    if column not in frame.columns:
        found = ", ".join(f'"{c}"' for c in frame.columns)
        raise ValueError(f'{name}: the frame has no column "{column}" for {role}; found {found}')
    return frame[column]


def _text(name: str, gold: pl.Series, pred: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Both sides as names; refused where one is text and the other a number, which would never match."""
    kinds = {_kind(name, s) for s in (gold, pred)} - {"empty"}
    if len(kinds) > 1:
        raise ValueError(f"{name}: gold is {gold.dtype}, pred is {pred.dtype}; labels on both sides must be alike")
    return gold.cast(pl.String), pred.cast(pl.String)


def _are_of(labels: pl.Series, options: Sequence[str]) -> bool:
    """Whether the labels are an enumeration of just these options, so that none can be another."""
    return isinstance(labels.dtype, pl.Enum) and labels.dtype.categories.to_list() == list(options)


def _kind(name: str, labels: pl.Series) -> str:
    if labels.dtype == pl.Null:
        return "empty"
    if labels.dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    if labels.dtype.is_integer():
        return "integer"
    if labels.dtype == pl.Boolean:
        return "boolean"
    raise ValueError(f"{name}: labels must be names, integers or booleans, found {labels.dtype}")


def _options(name: str, options: Sequence[str] | None, gold: pl.Series, pred: pl.Series) -> tuple[str, ...]:
    found = pl.concat([gold.rename("label"), pred.rename("label")]).drop_nulls()
    if options is None:
        return tuple(found.unique().sort())
    names = tuple(str(o) for o in options)
    if len(set(names)) < len(names):
        raise ValueError(f"{name}: options must differ, found {', '.join(names)}")
    unknown = found.filter(~found.is_in(list(names))).unique().sort()
    if len(unknown):
        raise TableError(
            f"{name}: labels must be one of {', '.join(names)}; found {', '.join(repr(u) for u in unknown.head(5))}."
        )
    return names


def _codes(labels: pl.Series, names: tuple[str, ...], absent: int) -> Codes:
    codes = labels.cast(pl.Enum(names)).to_physical().cast(pl.Int64).fill_null(absent)
    return codes.to_numpy()
