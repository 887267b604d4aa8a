"""Sums of resamples of many units without drawing them: normal, but for the units that a sum hangs on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from dfar_toolkit.estimate.resampling import Floats

_BLOCK: Final = 8192  # rows of a block: fits the cache
_CONSTANT: Final = 1e-12  # relative spread below which a column differs by rounding alone
_WEIGHTS: Final = 4_000_000  # weights held at once
_RARE: Final = 500  # units that differ from all others in a column, up to which its sum is not taken as normal


def canonical_order(rows: Floats) -> npt.NDArray[np.int64]:
    """An order of rows that depends on their values alone: by a fixed projection, equal rows beside each other.

    Example:
        >>> rows = np.array([[3.0], [1.0], [2.0]])
        >>> rows[canonical_order(rows)].tolist()
        [[1.0], [2.0], [3.0]]
    """
    key = np.zeros(len(rows))
    for place in range(rows.shape[1]):
        key += np.sin(1.0 + place) * np.nan_to_num(rows[:, place], nan=-1.5, posinf=1e300, neginf=-1e300)
    return np.argsort(key, kind="stable")


def limit_sums(rows: Floats, n_boot: int, rng: np.random.Generator) -> Floats:
    """Column sums (B, D) of resamples of many rows (U, D): rare units drawn one by one, the rest in one normal draw.

    Args:
        rows: One row per unit.
        n_boot: Number of draws B.
        rng: Where they come from.

    Returns:
        The sums; ``nan`` in a column whose own sum is not finite.

    Example:
        >>> limit_sums(np.ones((3000, 1)), 2, np.random.default_rng(0)).tolist()
        [[3000.0], [3000.0]]
    """
    return limit_sums_of_columns(list(rows.T), n_boot, rng) if rows.shape[1] else np.empty((n_boot, 0))


def limit_sums_of_columns(columns: Sequence[Floats], n_boot: int, rng: np.random.Generator) -> Floats:
    """As :func:`limit_sums`, of D columns (U,), which need not lie side by side."""
    rare = _rare(columns)
    return _mixed_sums(columns, rare, n_boot, rng) if rare.any() else _normal_sums(columns, n_boot, rng)


def rare_units(rows: Floats) -> npt.NDArray[np.bool_]:
    """Units (U,) that differ from nearly all others in some column: no more than 500 for each, a quarter of all.

    Example:
        >>> rare_units(np.eye(3000, 1)).nonzero()[0].tolist()
        [0]
    """
    return _rare(list(rows.T)) if rows.shape[1] else np.zeros(len(rows), dtype=bool)


def _rare(columns: Sequence[Floats]) -> npt.NDArray[np.bool_]:
    found, n = [], len(columns[0])
    for column in columns:
        # Of twice as many values and one, spread over all, the median is the usual value wherever so few differ.
        some = column[:: max(1, n // (2 * _RARE + 1))]
        usual = np.median(some)
        if np.count_nonzero(some != usual) > _RARE:  # such as of real numbers; nan differs from itself too
            continue
        places = np.flatnonzero(column != usual)
        found += [places] if len(places) <= _RARE else []
    rare = np.zeros(n, dtype=bool)
    for places in sorted(found, key=len):
        if np.count_nonzero(rare) + len(places) > n // 4:  # most units are left for the limit
            break
        rare[places] = True
    return rare


def _mixed_sums(
    columns: Sequence[Floats], rare: npt.NDArray[np.bool_], n_boot: int, rng: np.random.Generator
) -> Floats:
    """As the normal limit, the rare units drawn one by one and the rest from the normal limit of its sums."""
    places, n = np.flatnonzero(~rare), len(rare)
    few, many = np.column_stack([column[rare] for column in columns]), [column[places] for column in columns]
    few = few[canonical_order(few)]
    drawn = rng.binomial(n, len(few) / n, size=n_boot)
    step, even = max(1, _WEIGHTS // len(few)), np.full(len(few), 1 / len(few))
    parts = [rng.multinomial(drawn[start : start + step], even) @ few for start in range(0, n_boot, step)]
    own = np.concatenate([np.empty((0, len(columns))), *parts])
    share = ((n - drawn) / len(places))[:, None]
    centre = np.array([column.sum() for column in many])
    rest: Floats = _normal_sums(many, n_boot, rng) - centre
    found: Floats = own + share * centre + np.sqrt(share) * rest
    return found


def _normal_sums(columns: Sequence[Floats], n_boot: int, rng: np.random.Generator) -> Floats:
    """Column sums (B, D) of resamples of many units, from the normal limit."""
    n, total = len(columns[0]), np.array([column.sum() for column in columns])
    if not np.isfinite(total).all():  # one statistic without a value must not take the others' intervals
        known = np.flatnonzero(np.isfinite(total))
        some = np.full((n_boot, len(total)), np.nan)
        if len(known):
            some[:, known] = _normal_sums([columns[int(k)] for k in known], n_boot, rng)
        return some
    mean, covariance = total / n, np.zeros((len(columns), len(columns)))
    for start in range(0, n, _BLOCK):
        centred = np.stack([column[start : start + _BLOCK] for column in columns])
        centred -= mean[:, None]
        covariance += centred @ centred.T
    scale = np.sqrt(np.diag(covariance))
    moving = scale > _CONSTANT * np.sqrt(n) * np.abs(mean)
    drawn: Floats = np.tile(total, (n_boot, 1))
    # As a correlation matrix, so that its eigenvectors do not drown small columns in large ones; what rounding leaves
    # of columns that depend on each other is no variance.
    correlation = covariance[np.ix_(moving, moving)] / np.outer(scale[moving], scale[moving])
    values, vectors = np.linalg.eigh(correlation)
    values[values < _CONSTANT * len(values)] = 0.0
    half = vectors * np.sqrt(values)
    drawn[:, moving] += rng.standard_normal((n_boot, len(values))) @ half.T * scale[moving]
    return drawn
