r"""Many additive statistics of the same items at once: one set of draws, so that they can also be compared.

Each statistic is $T = f(S)$ of column sums $S = \sum_i x_i$ of its rows (N, D). Rows of all of them are laid side by
side, added up by group, and resampled together. Up to 20,000 units the draws are those of the bootstrap itself. With
more, sums of resamples are drawn from their normal limit, mean $S$ and covariance
$\sum_u (x_u - \bar x)(x_u - \bar x)^T$, and ``method`` says so: the error of a quantile falls with
$1 / \sqrt{U}$, as the skewness of a sum does. A sum that hangs on a few units, such as the hits of a label that ten
items have, is not normal however many units there are: these units are drawn one by one beside the limit of the rest.
Cost: (N log N + N D^2) once, and at most B draws of 20,000 units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate.normal_limit import canonical_order, limit_sums, limit_sums_of_columns
from dfar_toolkit.estimate.resampling import Floats, Formula, interval_of_draws
from dfar_toolkit.estimate.result import Estimate

EXACT_UNITS: Final = 20_000  # units up to which resamples are drawn one by one
NORMAL_SUMS: Final = "bootstrap (normal limit of the sums)"

_BLOCK: Final = 8192  # units of a block: fits the cache, and 16-bit numbers
_WEIGHTS: Final = 4_000_000  # weights held at once


class Additive(NamedTuple):
    """A statistic of N items as rows (N, D) and a formula of their column sums, (B, D) to (B,).

    ``metric`` is the name in tables, ``name`` the printed one. ``undefined`` is the note where the value is ``nan``,
    ``note`` is said in any case.
    """

    metric: str
    name: str
    rows: Floats
    formula: Formula
    undefined: str = "the formula has no value here"
    note: str = ""


class Draws(NamedTuple):
    """Values of M statistics: ``points`` (M,), bootstrap ``draws`` (B, M), and what was resampled."""

    points: Floats
    draws: Floats
    n: int
    n_units: int
    unit: str
    method: str


def mean_of(metric: str, name: str, values: npt.ArrayLike, *, undefined: str = "no items", note: str = "") -> Additive:
    """The mean of one number per item (N,) as an additive statistic.

    Example:
        >>> estimate_together([mean_of("hits", "hits", [1, 1, 0, 0])])[0].value
        0.5
    """
    x = np.asarray(values, dtype=np.float64).ravel()
    return Additive(metric, name, in_columns(x, np.ones(1)), _ratio, undefined, note)


def in_columns(*columns: npt.NDArray[Any]) -> Floats:
    """Columns (N,) as rows (N, D), each column in one piece of memory: rows are only ever added up by column.

    A column of one number stands for N of them.

    Example:
        >>> in_columns(np.array([1.0, 2.0]), np.ones(1)).tolist()
        [[1.0, 1.0], [2.0, 1.0]]
    """
    found = np.empty((len(columns), len(columns[0])))
    for row, column in zip(found, columns, strict=True):
        row[:] = column
    return found.T


def _ratio(sums: Floats) -> Floats:
    return sums[:, 0] / sums[:, 1]


def estimate_together(
    scores: Sequence[Additive],
    *,
    groups: npt.ArrayLike | pl.Series | None = None,
    times: npt.ArrayLike | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> list[Estimate]:
    """Estimates of several additive statistics of the same N items, from one set of draws.

    Args:
        scores: The statistics; all have N rows.
        groups: Resampling unit of each item (N,), or None where every item stands alone.
        times: How many items have each row (N,), where equal ones stand in one; not together with groups.
        ci: ``bootstrap``, or None for the points alone.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws B.
        seed: Seed of the draws; same seed, same intervals, whatever the order of the items.

    Returns:
        One estimate per statistic, in order.

    Undefined:
        Where the formula is; without an interval for fewer than two units, and as ``interval_of_draws`` says.

    Raises:
        ValueError: The numbers of rows differ, or an argument is impossible.

    Example:
        >>> two = [mean_of("a", "a", [1, 0]), mean_of("b", "b", [2, 4])]
        >>> [e.value for e in estimate_together(two, ci=None)]
        [0.5, 3.0]
    """
    if ci not in ("bootstrap", None):
        raise ValueError(f'estimate: ci must be "bootstrap" or None, found {ci!r}')
    if not 0 < confidence < 1:
        raise ValueError(f"estimate: confidence must lie between 0 and 1, found {confidence}")
    if not scores:
        return []
    found = draw_together(scores, groups=groups, times=times, n_boot=n_boot if ci else 0, seed=seed)
    estimates = []
    for place, score in enumerate(scores):
        nan, value = float("nan"), float(found.points[place])
        point = Estimate(
            score.name, value, nan, nan, found.n, found.n_units, found.unit, "items",
            found.method if ci else "none", confidence, score.note,
        )  # fmt: skip
        if not np.isfinite(value):
            why = "no items" if not found.n else score.undefined
            point = replace(point, value=nan, note="; ".join(n for n in (why, score.note) if n))
        elif ci and found.n_units < 2:
            why = f"no interval: one unit ({found.unit}) only"
            point = replace(point, note="; ".join(n for n in (score.note, why) if n))
        elif ci:
            point = interval_of_draws(point, found.draws[:, place])
        estimates.append(point)
    return estimates


def draw_together(
    scores: Sequence[Additive],
    *,
    groups: npt.ArrayLike | pl.Series | None = None,
    times: npt.ArrayLike | None = None,
    n_boot: int = 2000,
    seed: int = 0,
) -> Draws:
    """Points and bootstrap draws of several additive statistics under the same resamples.

    Args:
        scores: M statistics of the same N items.
        groups: Resampling unit of each item (N,), or None.
        times: How many items have each row (N,), where equal ones stand in one; not together with groups.
        n_boot: Number of draws B; 0 for the points alone.
        seed: Seed of the draws.

    Returns:
        Points (M,) and draws (B, M), ``nan`` where a formula has no value; differences of columns are paired.
    """
    _check(scores, n_boot, seed)
    kept, places = _different_columns(scores)
    n = len(scores[0].rows)
    if times is None and kept and n > EXACT_UNITS and groups is None:
        return _of_many(scores, kept, places, n_boot, seed)
    columns = in_columns(*kept) if kept else np.empty((n, 0))
    if times is not None:
        return _of_patterns(scores, columns, places, np.asarray(times, dtype=np.float64), n_boot, seed)
    rows, unit = unit_rows(columns, groups=groups)
    exact = len(rows) <= EXACT_UNITS
    with np.errstate(divide="ignore", invalid="ignore"):
        total = rows.sum(axis=0)[None, :]
        sums = resampled_sums(rows, n_boot, seed) if n_boot and len(rows) > 1 else np.empty((0, rows.shape[1]))
    points, draws = _values(scores, places, total, sums, defined=n > 0)
    return Draws(points, draws, n, len(rows), unit, "bootstrap" if exact else NORMAL_SUMS)


def _of_many(
    scores: Sequence[Additive], columns: list[Floats], places: list[npt.NDArray[np.int64]], n_boot: int, seed: int
) -> Draws:
    """As :func:`draw_together`, of so many single items that columns are never laid side by side."""
    n = len(columns[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.array([[column.sum() for column in columns]])
        rng = np.random.default_rng(seed)
        sums = limit_sums_of_columns(columns, n_boot, rng) if n_boot else np.empty((0, len(columns)))
    points, draws = _values(scores, places, total, sums, defined=True)
    return Draws(points, draws, n, n, "items", NORMAL_SUMS)


def _of_patterns(
    scores: Sequence[Additive],
    columns: Floats,
    places: list[npt.NDArray[np.int64]],
    times: Floats,
    n_boot: int,
    seed: int,
) -> Draws:
    """As :func:`draw_together`, from rows that stand for many equal items."""
    order = canonical_order(columns)
    rows, times = columns[order], times[order]
    n = int(times.sum())
    rng = np.random.default_rng(seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        step = max(1, _WEIGHTS // max(1, len(rows)))
        sizes = [min(step, n_boot - start) for start in range(0, n_boot, step)] if n > 1 else []
        parts = [rng.multinomial(n, times / n, size=size).astype(np.float64) @ rows for size in sizes]
        sums = np.concatenate([np.empty((0, rows.shape[1])), *parts])
        points, draws = _values(scores, places, (times @ rows)[None, :], sums, defined=n > 0)
    return Draws(points, draws, n, n, "items", "bootstrap")


def _values(
    scores: Sequence[Additive],
    places: list[npt.NDArray[np.int64]],
    total: Floats,
    sums: Floats,
    *,
    defined: bool,
) -> tuple[Floats, Floats]:
    """Every formula at the sums found (1, D) and drawn (B, D)."""
    points, draws = np.full(len(scores), np.nan), np.full((len(sums), len(scores)), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        for k, (score, own) in enumerate(zip(scores, places, strict=True)):
            if defined:
                points[k] = score.formula(total[:, own])[0]
            if len(sums):
                draws[:, k] = score.formula(sums[:, own])
    return points, draws


def _different_columns(scores: Sequence[Additive]) -> tuple[list[Floats], list[npt.NDArray[np.int64]]]:
    """The columns (N,) of all statistics, equal ones once, and which of them each statistic has.

    Nearly every statistic brings a column of ones, and those of labels share their margins; the cost of a normal
    limit grows with the square of the number of columns.
    """
    kept: list[Floats] = []
    by_sum: dict[tuple[float, float], list[int]] = {}
    places = []
    with np.errstate(invalid="ignore"):
        for score in scores:
            own = []
            for column in np.asarray(score.rows, dtype=np.float64).T:
                key = (float(column[:1].sum()), float(column.sum()))
                alike = by_sum.setdefault(key, [])
                found = next((k for k in alike if np.array_equal(kept[k], column)), None)
                if found is None:
                    found = len(kept)
                    kept.append(column)
                    alike.append(found)
                own.append(found)
            places.append(np.array(own, dtype=np.int64))
    return kept, places


def unit_rows(rows: Floats, *, groups: npt.ArrayLike | pl.Series | None = None) -> tuple[Floats, str]:
    """Rows (N, D) added up by group, in an order that does not depend on that of the items, and what a unit is.

    Above ``EXACT_UNITS`` single items keep their order: sums drawn from their normal limit do not depend on it but for
    rounding.

    Example:
        >>> unit_rows(np.array([[1.0], [2.0], [4.0]]), groups=["a", "b", "a"])[0].tolist()
        [[2.0], [5.0]]
    """
    rows = np.asarray(rows, dtype=np.float64)
    if groups is not None:
        codes = groups if isinstance(groups, pl.Series) else pl.Series(np.asarray(groups))
        if len(codes) != len(rows):
            raise ValueError(f"estimate: groups has {len(codes)} values for {len(rows)} items; give one per item")
        if codes.null_count():
            raise ValueError(f"estimate: {codes.null_count()} items have no group; give every item one")
        of_item = codes.rank("dense").to_numpy().astype(np.int64) - 1 if len(codes) else np.empty(0, dtype=np.int64)
        n_groups = int(of_item.max()) + 1 if len(of_item) else 0
        if n_groups < len(rows):
            rows = np.ascontiguousarray(rows)
            order = canonical_order(rows)  # within a group too, so that float sums do not depend on the order of items
            order = order[np.argsort(of_item[order], kind="stable")]
            rows, starts = rows[order], np.searchsorted(of_item[order], np.arange(n_groups))
            added = np.add.reduceat(rows, starts, axis=0)
            return added[canonical_order(added)], "groups"
    return (rows if len(rows) > EXACT_UNITS else np.ascontiguousarray(rows)[canonical_order(rows)]), "items"


def resampled_sums(rows: Floats, n_boot: int, seed: int) -> Floats:
    """Column sums (B, D) of resamples of the rows (U, D) with replacement; a normal draw above ``EXACT_UNITS``.

    Example:
        >>> resampled_sums(np.ones((5, 1)), 2, seed=0).tolist()
        [[5.0], [5.0]]
    """
    rng = np.random.default_rng(seed)
    if len(rows) > EXACT_UNITS:
        return limit_sums(rows, n_boot, rng)
    blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
    sizes = rng.multinomial(len(rows), np.array([len(b) for b in blocks]) / len(rows), size=n_boot)
    sums = np.zeros((n_boot, rows.shape[1]))
    for block, size in zip(blocks, sizes.T, strict=True):
        step = max(1, _WEIGHTS // len(block))
        for start in range(0, n_boot, step):
            here = slice(start, min(start + step, n_boot))
            sums[here] += _weights(len(block), size[here], rng) @ block
    return sums


def _weights(n: int, size: npt.NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """How often each of n units is drawn in ``size[b]`` draws, for each b: (B, n)."""
    weights = np.empty((len(size), n))
    for draw, many in enumerate(size):
        found: Any = rng.integers(0, n, size=many, dtype=np.uint16)
        weights[draw] = np.bincount(found, minlength=n)
    return weights


def _check(scores: Sequence[Additive], n_boot: object, seed: object) -> None:
    lengths = {len(s.rows) for s in scores}
    if len(lengths) > 1:
        raise ValueError(f"estimate: statistics taken together need the same items, found {sorted(lengths)} rows")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"estimate: seed must be a whole number of at least 0, found {seed!r}")
    if isinstance(n_boot, bool) or not isinstance(n_boot, int | np.integer) or n_boot < 0:
        raise ValueError(f"estimate: n_boot must be a whole number of at least 1, found {n_boot!r}")
