"""Rows that a judge model judged, some of them judged by people too, and how those were chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.labels import Column

_COLUMNS: Final = ("human", "judge", "inclusion", "weight")


class TwoPhase(NamedTuple):
    """M rows with a verdict of the judge model, in an order that depends on their values alone.

    ``human`` (M,) share of people who say bad, ``nan`` where nobody judged; ``judge`` (M,) the model's share in [0, 1];
    ``inclusion`` (M,) probability with which people were to judge the row, 1 where that was not asked for; ``weight``
    (M,) what a row counts; ``groups`` (M,) resampling units or None; ``note`` says what was left out.
    """

    human: Floats
    judge: Floats
    inclusion: Floats
    weight: Floats
    groups: pl.Series | None
    note: str

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """Which rows people judged (M,)."""
        return ~np.isnan(self.human)

    @property
    def even(self) -> bool:
        """Whether all rows count the same and had the same chance of being judged by people."""
        inclusion = self.inclusion[self.judged]
        return bool(np.ptp(self.weight) == 0 and np.ptp(inclusion) == 0) if len(inclusion) else True


def two_phase(
    name: str,
    frame: pl.DataFrame | None,
    *,
    human: Column | npt.ArrayLike,
    judge: Column | npt.ArrayLike,
    inclusion_prob: Column | float | None = None,
    weight: Column | None = None,
    group: Column | None = None,
    people_alone: bool = False,
) -> TwoPhase:
    """Read verdicts of people and of a judge model from a frame's columns or from arrays.

    Args:
        name: Function named in errors.
        frame: One row per judged reason; None where the values themselves are given.
        human: Column or values (M,): True, False, or a share in [0, 1]; null or ``nan`` where nobody judged.
        judge: Column or values (M,), likewise; rows without one are left out and counted.
        inclusion_prob: Column or values (M,), or one number: with what probability people were to judge a row; needed
            on rows they did judge. None: not asked for.
        weight: Column or values (M,), above 0; None: all rows count the same.
        group: Column or values (M,); None means the column ``group`` where the frame has one, else single rows.
        people_alone: Keep the rows that people judged, whatever the judge model did; ``judge`` is then of no use.

    Returns:
        The rows that the judge model judged (or people, with ``people_alone``).

    Raises:
        TableError: A verdict or a probability is outside its range, or a row that people judged has no probability.
        ValueError: A column is missing or the lengths differ.
    """
    columns = {"human": _numbers(name, frame, human, "human"), "judge": _numbers(name, frame, judge, "judge")}
    n = len(columns["judge"])
    columns["weight"] = _numbers(name, frame, weight, "weight") if weight is not None else np.ones(n)
    if inclusion_prob is None or isinstance(inclusion_prob, int | float):
        columns["inclusion"] = np.full(n, 1.0 if inclusion_prob is None else float(inclusion_prob))
    else:
        columns["inclusion"] = _numbers(name, frame, inclusion_prob, "inclusion_prob")
    if group is None and frame is not None and "group" in frame.columns:
        group = "group"
    groups = None if group is None else _series(name, frame, group, "group")
    sizes = {role: len(values) for role, values in columns.items()} | ({} if groups is None else {"group": len(groups)})
    for role, size in sizes.items():
        if size != n:
            raise ValueError(f"{name}: {role} has {size} values for {n} rows; give one per row")
    if people_alone:
        columns["judge"] = columns["human"]
    _check(name, columns, groups)
    table = pl.DataFrame({c: columns[c] for c in _COLUMNS}).with_columns(
        *([] if groups is None else [groups.alias("group")])
    )
    kept = table.filter(pl.col("judge").is_not_nan()).sort([c for c in (*_COLUMNS, "group") if c in table.columns])
    lost = n - len(kept)
    seen = int((~np.isnan(columns["human"]) & np.isnan(columns["judge"])).sum())
    note = f"{lost} rows without a verdict of the judge left out, {seen} of them judged by people" if lost else ""
    parts = [kept[c].to_numpy() for c in _COLUMNS]
    return TwoPhase(parts[0], parts[1], parts[2], parts[3], kept["group"] if groups is not None else None, note)


def check_tuning(
    name: str,
    frame: pl.DataFrame | None,
    *,
    human: Column | npt.ArrayLike,
    item: Column,
    tuned_on: Sequence[str] | pl.Series,
) -> None:
    """Refuse rows that people judged and the judge was tuned on: its errors there are too small to be told.

    Args:
        name: Function named in the error.
        frame: As for :func:`two_phase`.
        human: As for :func:`two_phase`.
        item: Column or values (M,) of item ids.
        tuned_on: Ids of items that the judge was tuned, prompted or chosen on.

    Raises:
        TableError: There is such a row.
        ValueError: A column is missing or the lengths differ.
    """
    verdicts, ids = _numbers(name, frame, human, "human"), _series(name, frame, item, "item")
    if len(ids) != len(verdicts):
        raise ValueError(f"{name}: item has {len(ids)} values for {len(verdicts)} rows; give one per row")
    known = {str(i) for i in tuned_on}
    both = ids.filter(pl.Series(~np.isnan(verdicts))).cast(pl.String).unique().sort()
    overlap = both.filter(both.is_in(sorted(known)))
    if len(overlap):
        raise TableError(
            f"{name}: the judge was tuned on {len(overlap)} of the {len(both)} items that people judged, e.g. "
            f"{overlap[0]!r}; its errors there say nothing about the others. Leave those items out."
        )


def _check(name: str, columns: dict[str, Floats], groups: pl.Series | None) -> None:
    for role in ("human", "judge"):
        wrong = columns[role][(columns[role] < 0) | (columns[role] > 1)]
        if len(wrong):
            raise TableError(f"{name}: {role} must be a verdict or a share in [0, 1], found {wrong[0]:g}.")
    if not (columns["weight"] > 0).all() or not np.isfinite(columns["weight"]).all():
        raise TableError(f"{name}: every weight must be a number above 0.")
    chance = columns["inclusion"][~np.isnan(columns["human"])]
    absent = int(np.isnan(chance).sum())
    if absent:
        raise TableError(
            f"{name}: {absent} of {len(chance)} rows that people judged have no inclusion_prob; give the probability "
            "with which each was chosen for them."
        )
    wrong = chance[(chance <= 0) | (chance > 1)]
    if len(wrong):
        raise TableError(f"{name}: inclusion_prob must lie above 0 and up to 1, found {wrong[0]:g}.")
    if groups is not None and groups.null_count():
        raise TableError(f"{name}: every row needs a group; {groups.null_count()} of {len(groups)} have none (null).")


def _numbers(name: str, frame: pl.DataFrame | None, column: Column | npt.ArrayLike, role: str) -> Floats:
    series = _series(name, frame, column, role)
    if not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null)):
        raise ValueError(f"{name}: {role} must be numbers or booleans (True: bad), found {series.dtype}")
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _series(name: str, frame: pl.DataFrame | None, column: Column | npt.ArrayLike, role: str) -> pl.Series:
    if isinstance(column, pl.Series):
        return column
    if not isinstance(column, str):
        values: Any = column if isinstance(column, Sequence) else np.asarray(column)
        return pl.Series(role, values, strict=False)
    if frame is None:
        raise ValueError(f'{name}: {role}="{column}" names a column, but no frame is given; pass a frame or the values')
    if column not in frame.columns:
        found = ", ".join(f'"{c}"' for c in frame.columns)
        raise ValueError(f'{name}: the frame has no column "{column}" for {role}; found {found}')
    return frame[column]
