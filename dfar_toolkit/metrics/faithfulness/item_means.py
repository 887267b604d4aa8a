"""From numbers of rows to the mean over items: several random draws of an item count as one item, at their mean."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.intervals import mean_share
from dfar_toolkit.metrics.labels import Codes, Column, group_series
from dfar_toolkit.metrics.reasons.paired_reasons import column_values
from dfar_toolkit.metrics.reasons.present_means import estimate_present, mean_present

NOT_KNOWN = "without an answer to both inputs"


class ItemRows(NamedTuple):
    """R rows about N items: ``item`` (R,) codes 0..N-1; ``groups`` (N,) resampling units, or None."""

    item: Codes
    n: int
    groups: pl.Series | None


def item_rows(
    name: str, frame: pl.DataFrame | None, n_rows: int, *, item: Column | None, group: Column | None
) -> ItemRows:
    """Which item each row is about.

    Args:
        name: Function named in errors.
        frame: The rows, or None.
        n_rows: Their number R.
        item: Column or ids (R,). None means the column ``item_id`` where the frame has one, else every row is one.
        group: Column or values (R,). None means the column ``group`` where the frame has one.

    Returns:
        Codes in the order of the ids.

    Raises:
        TableError: Rows of one item are of several groups.
        ValueError: A column is missing, or has another length.
    """
    groups = group_series(name, frame, group, n_rows)
    if item is None and (frame is None or "item_id" not in frame.columns):
        return ItemRows(np.arange(n_rows), n_rows, groups)
    ids = column_values(name, frame, "item_id" if item is None else item, "item")
    if len(ids) != n_rows or ids.null_count():
        raise ValueError(
            f"{name}: item must have one id for each of {n_rows} rows; found {len(ids) - ids.null_count()}"
        )
    codes = (ids.rank("dense").cast(pl.Int64) - 1).to_numpy() if n_rows else np.empty(0, dtype=np.int64)
    n = int(codes.max()) + 1 if n_rows else 0
    if groups is None:
        return ItemRows(codes, n, None)
    one = pl.DataFrame({"item": codes, "group": groups}).unique().sort("item")
    if len(one) > n:
        twice = int(one.filter(pl.col("item").is_duplicated())["item"][0])
        raise TableError(f"{name}: item {ids.filter(pl.Series(codes == twice))[0]!r} has rows of several groups.")
    return ItemRows(codes, n, one["group"])


def item_means(item: Codes, values: npt.ArrayLike, n: int, *, canonical: bool = False) -> Floats:
    """Mean of the numbers (R,) of each item (n,) that are not ``nan``; ``nan`` where there is none.

    Args:
        item: Code of the item of each row (R,).
        values: The numbers (R,).
        n: Number of items.
        canonical: Whether the rows are known to come in an order that does not depend on that of a file.

    Returns:
        The means.

    Example:
        >>> item_means(np.array([0, 0, 1]), [1.0, 2.0, float("nan")], 2).tolist()
        [1.5, nan]
    """
    x = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(x)
    own, x = item[known], x[known]
    if np.bincount(own, minlength=n).max(initial=0) < 2:
        means = np.full(n, np.nan)
        means[own] = x
        return means
    counts = np.bincount(own, minlength=n)
    if not canonical:  # so that sums do not depend on the order of rows
        order = np.lexsort((x, own))
        own, x = own[order], x[order]
    sums = np.bincount(own, weights=x, minlength=n)
    means = np.full(n, np.nan)
    means[counts > 0] = sums[counts > 0] / counts[counts > 0]
    return means


def mean_over_items(metric: str, name: str, values: Floats, *, without: str = NOT_KNOWN, note: str = "") -> Additive:
    """The mean over items of one number each (N,), ``nan`` left out and counted."""
    found = mean_present(metric, name, values, without=without, note=note)
    infinite = int(np.isinf(values).sum())
    return found._replace(undefined=f"infinite for {infinite} of {len(values)} items") if infinite else found


def estimate_items(
    scores: list[Additive],
    groups: pl.Series | None,
    *,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> list[Estimate]:
    """Estimates of means over items from one set of draws; ``n`` counts the items that have a number."""
    return estimate_present(scores, groups=groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def estimate_share(
    score: Additive,
    groups: pl.Series | None,
    *,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    """A mean over items of shares in [0, 1]: Wilson's interval where a bootstrap is not to be trusted (0 of n)."""
    if ci is None or not score.rows[:, -1].any():
        return estimate_items([score], groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]
    counts = score.rows[:, -1] > 0
    own = None if groups is None else groups.filter(pl.Series(counts))
    found = mean_share(score.name, score.rows[counts, 0], groups=own, confidence=confidence, n_boot=n_boot, seed=seed)
    return replace(found, note="; ".join(n for n in (found.note, score.note) if n))


def number_column(name: str, frame: pl.DataFrame | None, column: Column, role: str) -> Floats:
    """Numbers (R,) of a column or the values themselves; null is ``nan``.

    Raises:
        ValueError: It is missing, or holds no numbers.
    """
    values = column_values(name, frame, column, role)
    if values.dtype != pl.Null and not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
        raise ValueError(f"{name}: {role} must hold numbers, found {values.dtype}")
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)


def distribution_column(name: str, frame: pl.DataFrame | None, column: Column, role: str) -> Floats:
    """Distributions (R, K) of a column of lists or the values themselves; null is ``nan`` throughout.

    Raises:
        ValueError: It is missing, holds no lists of numbers, or lists of several lengths.
    """
    if isinstance(column, np.ndarray) and column.ndim == 2:
        return np.asarray(column, dtype=np.float64)
    values = column_values(name, frame, column, role)
    if not isinstance(values.dtype, pl.List | pl.Array):
        raise ValueError(f"{name}: {role} must hold lists of probabilities, found {values.dtype}")
    lists = values.cast(pl.List(pl.Float64))
    widths = lists.list.len().drop_nulls().unique().sort().to_list()
    if len(widths) > 1:
        raise ValueError(f"{name}: {role} must hold one probability per option; found lists of {widths} numbers")
    found = np.full((len(lists), widths[0] if widths else 0), np.nan)
    for place in range(found.shape[1]):
        found[:, place] = lists.list.get(place).fill_null(float("nan")).to_numpy()
    return found


def same_length(name: str, columns: dict[str, Floats]) -> int:
    """The number of rows that all columns have.

    Raises:
        ValueError: They differ.
    """
    lengths = {role: len(values) for role, values in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{role} {n}" for role, n in lengths.items())
        raise ValueError(f"{name}: columns must have one number per row; found {found}")
    return next(iter(lengths.values()), 0)
