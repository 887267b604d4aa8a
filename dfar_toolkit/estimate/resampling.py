"""Patterns of equal units, and intervals from their weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate.result import Estimate

Floats = npt.NDArray[np.float64]
Formula = Callable[[Floats], Floats]
Interval = Literal["bootstrap", "jackknife"]

COLLAPSED: Final = "no interval: every bootstrap draw gives the same value"
_EQUAL: Final = 1e-12  # draws that differ by less differ by rounding alone
_UNDEFINED: Final = 0.05  # share of undefined draws above which the rest says nothing about the whole
_CELLS: Final = 4_000_000  # weights held at once: 32 MB


class Patterns(NamedTuple):
    """Units with equal rows collapsed: ``rows`` (P, D), ``times`` (P,) how many units have each row."""

    rows: Floats
    times: Floats
    n: int
    unit: str

    @property
    def n_units(self) -> int:
        """Number of resampling units."""
        return int(self.times.sum())


def collapse(rows: npt.ArrayLike, *, groups: npt.ArrayLike | pl.Series | None = None) -> Patterns:
    """Collapse item rows to the patterns of their resampling units.

    Args:
        rows: Items by numbers (N, D), or (N,) for a single number per item.
        groups: The group of each item (N,). Rows of one group are added up and resampled together. Without it,
            or where every group has one item, the unit is the item.

    Returns:
        The patterns in a canonical order, so that the order of the rows never matters.

    Example:
        >>> collapse([[1, 0], [1, 0], [0, 1]]).times.tolist()
        [1.0, 2.0]
    """
    matrix = np.asarray(rows, dtype=np.float64)
    matrix = matrix.reshape(len(matrix), math.prod(matrix.shape[1:]))
    n, unit = len(matrix), "items"
    frame = pl.DataFrame(matrix, schema=[f"d{i}" for i in range(matrix.shape[1])])
    if groups is not None:
        codes = groups if isinstance(groups, pl.Series) else pl.Series(np.asarray(groups))
        if codes.null_count():
            raise ValueError(f"collapse: {codes.null_count()} items have no group; give every item one")
        if codes.n_unique() < n:
            # Sorted first: float sums then do not depend on the order in which rows came.
            ordered = frame.with_columns(codes.alias("group")).sort("group", *frame.columns)
            frame = ordered.group_by("group", maintain_order=True).agg(pl.all().sum()).drop("group")
            unit = "groups"
    counted = frame.group_by(frame.columns).agg(pl.len().alias("times")).sort(frame.columns) if n else None
    if counted is None:
        return Patterns(np.empty((0, matrix.shape[1])), np.empty(0), 0, unit)
    return Patterns(
        counted.drop("times").to_numpy().astype(np.float64),
        counted["times"].to_numpy().astype(np.float64),
        n,
        unit,
    )


def estimate(
    name: str,
    patterns: Patterns,
    formula: Formula,
    *,
    ci: Interval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    undefined: str = "the formula has no value here",
) -> Estimate:
    """The value of ``formula`` at the column sums, with an interval over the units.

    Args:
        name: Name printed with the number.
        patterns: Rows (P, D) and how often each occurs, from :func:`collapse`.
        formula: Column sums (B, D) -> values (B,); ``nan`` where undefined.
        ci: ``bootstrap`` (percentile), ``jackknife`` (delete one unit, normal), or None for the point alone.
        confidence: Two-sided coverage asked for.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws; same seed, same interval.
        undefined: The note where the value is ``nan``.

    Returns:
        The estimate; ``n`` counts items, ``n_units`` units.

    Undefined:
        Where the formula is. Without an interval for fewer than two units, where all bootstrap draws are equal, both
        ends coincide, or no unit left out changes the value ([1, 1] would claim certainty). Draws in which the formula
        is undefined are counted in the note: up to 5 % are left out of the quantiles, with more there is no interval.

    Example:
        Three of four items are right.

        >>> right = collapse([1, 1, 1, 0])
        >>> round(estimate("accuracy", right, lambda s: s[:, 0] / 4, ci=None).value, 2)
        0.75

    Reference:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapters 13 (percentile) and 11 (jackknife).
    """

    def by_weights(weights: Floats) -> Floats:
        return formula(weights @ patterns.rows)

    return estimate_by_weights(
        name,
        patterns.times,
        by_weights,
        n=patterns.n,
        unit=patterns.unit,
        ci=ci,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
        undefined=undefined,
    )


def estimate_by_weights(
    name: str,
    times: Floats,
    statistic: Callable[[Floats], Floats],
    *,
    n: int,
    unit: str = "items",
    ci: Interval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    undefined: str = "the statistic has no value here",
) -> Estimate:
    """As :func:`estimate`, for a statistic of the weights themselves.

    Args:
        name: Name printed with the number.
        times: How many units have each pattern (P,).
        statistic: Weights (B, P) -> values (B,).
        n: Items behind the patterns.
        unit: What one unit is, in the plural.
        ci: As in :func:`estimate`.
        confidence: As in :func:`estimate`.
        n_boot: As in :func:`estimate`.
        seed: As in :func:`estimate`.
        undefined: As in :func:`estimate`.

    Returns:
        The estimate.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"estimate: confidence must lie between 0 and 1, found {confidence}")
    if ci not in ("bootstrap", "jackknife", None):
        raise ValueError(f'estimate: ci must be "bootstrap", "jackknife" or None, found {ci!r}')
    _check_draws(n_boot, seed)
    n_units = int(times.sum())
    point = Estimate(
        name, float("nan"), float("nan"), float("nan"), n, n_units, unit, "items", ci or "none", confidence, ""
    )
    if n_units == 0:
        return replace(point, note="no items")
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(times[None, :])[0])
        if not np.isfinite(value):
            return replace(point, value=float("nan"), note=undefined)
        point = replace(point, value=value)
        if ci is None:
            return point
        if n_units < 2:
            return replace(point, note=f"no interval: one unit ({unit}) only")
        if ci == "jackknife":
            return _jackknife(point, times, statistic)
        return _bootstrap(point, times, statistic, n_boot, seed)


def _check_draws(n_boot: object, seed: object) -> None:
    """Refuse what numpy would refuse later in its own words, or take for something else."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"estimate: seed must be a whole number of at least 0, found {seed!r}")
    if isinstance(n_boot, bool) or not isinstance(n_boot, int | np.integer):
        raise ValueError(f"estimate: n_boot must be a whole number of at least 1, found {n_boot!r}")


def _bootstrap(
    point: Estimate, times: Floats, statistic: Callable[[Floats], Floats], n_boot: int, seed: int
) -> Estimate:
    if n_boot < 1:
        raise ValueError(f"estimate: n_boot must be at least 1, found {n_boot}")
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // len(times))
    sizes = [min(step, n_boot - start) for start in range(0, n_boot, step)]
    return interval_of_draws(point, np.concatenate([statistic(bootstrap_weights(times, size, rng)) for size in sizes]))


def interval_of_draws(point: Estimate, draws: Floats) -> Estimate:
    """The percentile interval of bootstrap draws (B,), with what must be noted about them.

    Args:
        point: The estimate without an interval.
        draws: The statistic in each draw, ``nan`` where it is undefined.

    Returns:
        The estimate with the ends, or without them and why; see :func:`estimate`.
    """
    n_boot = len(draws)
    defined = draws[np.isfinite(draws)]
    absent = n_boot - len(defined)
    note = f"{absent} of {n_boot} bootstrap draws undefined" if absent else ""
    if absent > _UNDEFINED * n_boot:
        return replace(point, note="; ".join(filter(None, [point.note, f"no interval: {note}"])))
    tail = (1 - point.confidence) / 2
    low, high = (float(end) for end in np.quantile(defined, [tail, 1 - tail]))
    same = _EQUAL * max(1.0, abs(point.value))
    if high - low <= same:
        why = COLLAPSED if float(np.ptp(defined)) <= same else "no interval: both ends coincide"
        return replace(point, note="; ".join(filter(None, [point.note, note, why])))
    return replace(point, low=low, high=high, note="; ".join(filter(None, [point.note, note])))


def bootstrap_weights(times: Floats, size: int, rng: np.random.Generator) -> Floats:
    """Draw how often each pattern occurs in ``size`` resamples of the units (size, P)."""
    n_units = int(times.sum())
    if 2 * len(times) <= n_units:
        return rng.multinomial(n_units, times / n_units, size=size).astype(np.float64)
    # Nearly as many patterns as units: counting drawn units is faster than one binomial per pattern.
    owner = np.repeat(np.arange(len(times)), times.astype(np.int64))
    drawn = owner[rng.integers(0, n_units, size=(size, n_units))]
    drawn += np.arange(size)[:, None] * len(times)
    return np.bincount(drawn.ravel(), minlength=size * len(times)).reshape(size, -1).astype(np.float64)


def _jackknife(point: Estimate, times: Floats, statistic: Callable[[Floats], Floats]) -> Estimate:
    from scipy.special import ndtri

    n = point.n_units
    step = max(1, _CELLS // len(times))
    left_out = np.concatenate(
        [
            statistic(times[None, :] - np.eye(min(step, len(times) - start), len(times), start))
            for start in range(0, len(times), step)
        ]
    )
    if not np.isfinite(left_out).all():
        return replace(point, note="no interval: undefined when some unit is left out")
    centre = np.average(left_out, weights=times)
    se = np.sqrt((n - 1) / n * np.sum(times * (left_out - centre) ** 2))
    half = float(ndtri(0.5 + point.confidence / 2)) * float(se)
    if float(np.ptp(left_out)) <= _EQUAL * max(1.0, abs(point.value)):
        return replace(point, note="no interval: the value is the same whichever unit is left out")
    return replace(point, low=point.value - half, high=point.value + half)
