"""Agreement over time, by windows: of all raters, or of each.

The agreement of a rating with the rest of its item belongs to the time of that rating, whenever the others were given.
Harder items late look like drift in everybody: compare a rater with all raters. Cost: one sort of the ratings, and
with a bootstrap draws times the distinct rows of every window (and rater).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, cast, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.alpha import krippendorff_alpha
from dfar_toolkit.agreement.cells import Cells, read_cells
from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.distances import Level
from dfar_toolkit.agreement.raters.rating_times import cut, read_times
from dfar_toolkit.agreement.raters.shared_items import ratings_of, share_with_rest, shared_items
from dfar_toolkit.agreement.ratings import RatingsLike
from dfar_toolkit.estimate import Estimate, Interval, collapse, estimate, estimates_frame

DriftStatistic = Literal["percent", "krippendorff_alpha"]


def drift(
    ratings: RatingsLike,
    *,
    at: str = "at",
    windows: int | str = 4,
    each_rater: bool = False,
    statistic: DriftStatistic = "percent",
    level: Level = "nominal",
    order: Sequence[str] | None = None,
    min_overlap: int = 10,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Interval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Agreement in each window of time, of all raters or of each.

    ``percent``: with $s_e$ the share of the other ratings of its item that have the value of rating e (whenever they
    were given), the mean of $s_e$ over the ratings given in the window. ``krippendorff_alpha``: alpha of the ratings
    given in the window with each other; an item counts in a window in which it has two.

    Args:
        ratings: Long ratings with a column of times.
        at: Column of the time: dates, times, whole numbers, or ISO 8601 text. Ratings without one count among the
            rest of their item, and in no window.
        windows: How many windows of equally many ratings (at most as many as there are ratings), or a duration
            (``1d``, ``1w``, ``1mo``).
        each_rater: One row per window and rater instead of one per window.
        statistic: percent, or krippendorff_alpha (of all raters only).
        level: Level of measurement, for alpha.
        order: Names of the values from lowest to highest, for ordinal text.
        min_overlap: Ratings of items with another rating below which the note says that they are too few.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: Kind of interval, over items with these raters fixed, or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        ``window`` (from 0), ``start``, ``end`` (first and last time; with a duration the window's bounds), ``rater``
        with ``each_rater``, Estimate's fields. n = ratings in the window on items with another rating (for alpha, items
        with two in the window). Windows and raters without ratings are not listed.

    Undefined:
        As alpha is.

    Raises:
        ValueError: An unknown statistic or level, alpha of each rater, an order that is no list of names, windows that
            are neither.
        TableError: Times that cannot be read, missing columns, a rater twice on an item, several questions.

    Example:
        >>> rows = [(i, who, "no" if i < 2 or who == "ann" else "yes", i) for i in range(4) for who in ("ann", "bob")]
        >>> frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "at"], orient="row")
        >>> drift(frame, windows=2, ci=None).select("window", "start", "end", "value", "n").rows()
        [(0, 0, 1, 1.0, 4), (1, 2, 3, 0.0, 4)]

    Reference:
        Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, Annenberg School, paper 43 (alpha).
    """
    _check(statistic, level, order, windows, each_rater=each_rater)
    cells = read_cells(ratings, item=item, rater=rater, value=value, group=group, beside=(at,))
    timed = timed_ratings(cells, at)
    most = windows if isinstance(windows, str) else min(windows, max(1, len(timed.times)))
    found = cut(timed.times, most, name="drift")
    how = _How(statistic, level, order, min_overlap, ci, confidence, n_boot, seed)
    n_raters = max(1, len(cells.raters))
    parts = entries_of(found.window * n_raters + (timed.cells.rater if each_rater else 0))
    window = np.array([code // n_raters for code, _ in parts], dtype=np.int64)
    columns = {"window": pl.Series(window), "start": found.start.gather(window), "end": found.end.gather(window)}
    if each_rater:
        columns["rater"] = cells.raters.gather([code % n_raters for code, _ in parts])
    rows = estimates_frame(_in_window(timed, entries, how) for _, entries in parts)
    return pl.concat([pl.DataFrame(columns), rows], how="horizontal")


def _check(statistic: str, level: str, order: Sequence[str] | None, windows: int | str, *, each_rater: bool) -> None:
    if statistic not in get_args(DriftStatistic):
        raise ValueError(f"drift: statistic must be percent or krippendorff_alpha, found {statistic!r}")
    if statistic == "krippendorff_alpha" and each_rater:
        raise ValueError("drift: krippendorff_alpha is of all raters; give each_rater=False, or statistic percent")
    if level not in get_args(Level):
        raise ValueError(f"drift: level must be one of {', '.join(get_args(Level))}, found {level!r}")
    if order is not None and (isinstance(order, str) or not isinstance(order, Sequence)):
        raise ValueError(f"drift: order must be a list of names from lowest to highest, found {order!r}")
    if not isinstance(windows, int | str) or isinstance(windows, bool):
        raise ValueError(f'drift: windows must be a number or a duration such as "1w", found {windows!r}')
    if isinstance(windows, int) and windows < 1:
        raise ValueError(f"drift: windows must be at least 1, found {windows}")


class Timed(NamedTuple):
    """Ratings with a time on items that several people rated: their cells, times (E,), share with the rest (E,)."""

    cells: Cells
    times: pl.Series
    share: Floats


def timed_ratings(cells: Cells, at: str) -> Timed:
    """The ratings with a time; the others still count among the rest of their item, and are counted in the notes."""
    own = shared_items(cells)
    share = share_with_rest(own)
    times = read_times(own.beside[at])
    known = times.is_not_null().to_numpy()
    lost, whose = int((~known).sum()), len(np.unique(own.rater[~known]))
    kept = own.only(known)
    if lost:
        note = f"{lost} rating{'s' if lost != 1 else ''} by {whose} rater{'s' if whose != 1 else ''} without a time"
        kept = replace(kept, notes=(*kept.notes, note))
    return Timed(kept, times.filter(pl.Series(known)), share[known])


def entries_of(key: Ints) -> list[tuple[int, Ints]]:
    """The distinct keys, sorted, and where each of them stands."""
    order = np.argsort(key, kind="stable")
    found, starts = np.unique(key[order], return_index=True)
    return list(zip(found.tolist(), np.split(order, starts[1:]), strict=len(found) > 0))


class _How(NamedTuple):
    statistic: DriftStatistic
    level: Level
    order: Sequence[str] | None
    min_overlap: int
    ci: Interval | None
    confidence: float
    n_boot: int
    seed: int


def _in_window(timed: Timed, entries: Ints, how: _How) -> Estimate:
    one = _percent(timed, entries, how) if how.statistic == "percent" else _alpha(timed.cells, entries, how)
    what = "ratings" if how.statistic == "percent" else "items"
    few = f"few {what}: {one.n}, {how.min_overlap} wanted" if one.n < how.min_overlap else ""
    return replace(one, note="; ".join(filter(None, [one.note, few, *timed.cells.notes])))


def _percent(timed: Timed, entries: Ints, how: _How) -> Estimate:
    cells = timed.cells
    rows = np.column_stack([timed.share[entries], np.ones(len(entries))])
    unit = cells.item[entries] if cells.group is None else cells.group[cells.item[entries]]
    patterns = collapse(rows, groups=unit)._replace(unit="items" if cells.group is None else "groups")
    return estimate(
        "agreement with the rest", patterns, lambda sums: sums[:, 0] / sums[:, 1], ci=how.ci,
        confidence=how.confidence, n_boot=how.n_boot, seed=how.seed,
    )  # fmt: skip


def _alpha(cells: Cells, entries: Ints, how: _How) -> Estimate:
    mask = np.zeros(len(cells.item), dtype=np.bool_)
    mask[entries] = True
    own = ratings_of(replace(cells.only(mask), notes=()))
    found = krippendorff_alpha(
        own, level=how.level, order=how.order, group="group" if "group" in own.columns else None, ci=how.ci,
        confidence=how.confidence, n_boot=how.n_boot, seed=how.seed,
    )  # fmt: skip
    return cast("Estimate", found)
