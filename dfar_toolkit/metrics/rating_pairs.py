"""Single ratings and what was predicted for each: the input of scores that do not pool the annotators of an item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.labels import Column

Flags = npt.NDArray[np.bool_]


class PairedRatings(NamedTuple):
    """R ratings of N items and what was predicted for each.

    ``gold``, ``pred`` (R, K) whether each option was given; ``answered`` (R,) whether there is a prediction; ``item``
    (R,) place of the item in ``items`` (N,), sorted ids; ``annotator`` (R,), or None where unknown; ``groups`` (N,)
    resampling units, or None; ``sets`` whether a rating may hold several options; ``note`` says what was left out.
    """

    gold: Flags
    pred: Flags
    answered: Flags
    item: npt.NDArray[np.int64]
    items: pl.Series
    annotator: pl.Series | None
    groups: pl.Series | None
    options: tuple[str, ...]
    sets: bool
    note: str

    def taken(self, keep: Flags) -> PairedRatings:
        """The ratings marked (R,) and the items they are of."""
        used = np.unique(self.item[keep])
        return self._replace(
            gold=self.gold[keep],
            pred=self.pred[keep],
            answered=self.answered[keep],
            item=np.searchsorted(used, self.item[keep]),
            items=self.items.gather(used),
            annotator=None if self.annotator is None else self.annotator.filter(pl.Series(keep, dtype=pl.Boolean)),
            groups=None if self.groups is None else self.groups.gather(used),
        )


def pair_ratings(
    name: str,
    frame: pl.DataFrame | None,
    *,
    gold: Column = "value",
    pred: Column = "value_pred",
    item: Column = "item_id",
    annotator: Column | None = "annotator_id",
    group: Column | None = None,
    options: Sequence[str] | None = None,
) -> PairedRatings:
    """Read ratings and predictions from columns of a frame, or from arrays; arguments as in ``error_rate``.

    Args:
        name: Function named in errors.
        frame: One row per item and annotator, or None.
        gold: As in ``error_rate``.
        pred: As in ``error_rate``.
        item: As in ``error_rate``.
        annotator: As in ``error_rate``.
        group: As in ``error_rate``.
        options: As in ``error_rate``.

    Returns:
        The ratings; those that are null are left out and counted.

    Raises:
        TableError: As ``error_rate``.
        ValueError: As ``error_rate``.

    Example:
        >>> pair_ratings("f", None, gold=["a", None], pred=[None, "b"], item=[1, 2], annotator=None).note
        '1 rows without a rating left out'
    """
    if group is None and frame is not None and "group" in frame.columns:
        group = "group"
    given = {"gold": gold, "pred": pred, "item": item, "annotator": annotator, "group": group}
    columns = {role: _column(name, frame, c, role) for role, c in given.items() if c is not None}
    if len({len(c) for c in columns.values()}) > 1:
        raise ValueError(f"{name}: lengths differ: {', '.join(f'{r} {len(c)}' for r, c in columns.items())}")
    rows = pl.DataFrame([c.alias(role) for role, c in columns.items()])
    rated = rows.filter(pl.col("gold").is_not_null())
    _check_rows(name, rated)
    sets = _are_sets(name, rows)
    names = _options(name, rated, options, sets)
    ids = rated["item"].unique().sort()
    place = rated.select(pl.col("item").rank("dense"))["item"].to_numpy().astype(np.int64) - 1
    left = len(rows) - len(rated)
    return PairedRatings(
        gold=_flags(name, rated["gold"], names, "gold"),
        pred=_flags(name, rated["pred"], names, "pred"),
        answered=rated["pred"].is_not_null().to_numpy(),
        item=place,
        items=ids,
        annotator=rated["annotator"] if annotator is not None else None,
        groups=rated.unique("item").sort("item")["group"] if group is not None else None,
        options=names,
        sets=sets,
        note=f"{left} rows without a rating left out" if left else "",
    )


def _column(name: str, frame: pl.DataFrame | None, column: Column, role: str) -> pl.Series:
    if not isinstance(column, str):
        return column if isinstance(column, pl.Series) else pl.Series(role, list(column), strict=False)
    if frame is None or column not in frame.columns:
        found = "no frame is given" if frame is None else "found " + ", ".join(f'"{c}"' for c in frame.columns)
        mend = "; give annotator=None where there is none" if role == "annotator" else ""
        raise ValueError(f'{name}: no column "{column}" for {role}; {found}{mend}')
    return frame[column]


def _check_rows(name: str, rated: pl.DataFrame) -> None:
    for role in ("item", "annotator", "group"):
        if role in rated.columns and rated[role].null_count():
            raise TableError(f"{name}: every rating needs its {role}; {rated[role].null_count()} have none.")
    if "annotator" in rated.columns:
        twice = rated.filter(pl.struct("item", "annotator").is_duplicated())
        if len(twice):
            first = twice.sort("item", "annotator").row(0, named=True)
            raise TableError(
                f"{name}: annotator {first['annotator']!r} stands twice on item {first['item']!r}; keep one rating, or "
                "give all of its values as one list."
            )
    if "group" in rated.columns:
        several = rated.group_by("item").agg(pl.col("group").n_unique()).filter(pl.col("group") > 1)
        if len(several):
            raise TableError(f"{name}: an item has one group; item {several['item'].min()!r} has several.")


def _are_sets(name: str, rows: pl.DataFrame) -> bool:
    """Whether ratings are lists; both sides must be of one kind, a side of nulls fits either."""
    kinds = {role: isinstance(rows[role].dtype, pl.List) for role in ("gold", "pred") if rows[role].dtype != pl.Null}
    if len(set(kinds.values())) > 1:
        raise ValueError(
            f"{name}: gold is {rows['gold'].dtype}, pred is {rows['pred'].dtype}; give labels on both sides, or lists "
            "of labels on both"
        )
    return any(kinds.values())


def _options(name: str, rated: pl.DataFrame, options: Sequence[str] | None, sets: bool) -> tuple[str, ...]:
    sides = [rated[role].explode(empty_as_null=False) if sets and rated[role].dtype != pl.Null else rated[role]
             for role in ("gold", "pred")]  # fmt: skip
    if any(side.dtype.is_float() for side in sides):
        raise ValueError(f"{name}: labels must be names or whole numbers, found {[str(s.dtype) for s in sides]}")
    texts = [side.drop_nulls().cast(pl.String).rename("label") for side in sides]
    found = pl.concat(texts).unique().sort()
    if options is None:
        return tuple(found)
    names = tuple(map(str, options))
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{name}: options must be distinct names, at least one, found {list(options)}")
    strange = found.filter(~found.is_in(list(names)))
    if len(strange):
        shown = ", ".join(repr(s) for s in strange.head(5))
        raise TableError(f"{name}: labels must be one of {', '.join(names)}; found {shown}.")
    return names


def _flags(name: str, labels: pl.Series, options: tuple[str, ...], role: str) -> Flags:
    """Which options each rating holds (R, K)."""
    flags = np.zeros((len(labels), len(options)), dtype=bool)
    rows = pl.DataFrame({"row": np.arange(len(labels)), "label": labels})
    if isinstance(labels.dtype, pl.List):
        rows = rows.explode("label", empty_as_null=False)
    held = rows.drop_nulls("label").with_columns(pl.col("label").cast(pl.String).cast(pl.Enum(options)).to_physical())
    if held.is_duplicated().any():
        raise TableError(f"{name}: a rating names each option once; one of {role} names one twice.")
    flags[held["row"].to_numpy(), held["label"].to_numpy()] = True
    return flags
