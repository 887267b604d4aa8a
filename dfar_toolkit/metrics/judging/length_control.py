"""How often a model's answers are preferred to a reference's, and how often they would be at equal length.

Cost: a logistic regression per draw, items times draws in all; above 5,000 units the interval is linearised instead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_by_weights, estimate_together, mean_of
from dfar_toolkit.metrics.labels import Column, group_series

_DRAWN: Final = 5_000  # units up to which the interval is a bootstrap
_STEPS: Final = 60
_TOLERANCE: Final = 1e-10
_LARGEST: Final = 2.0  # longest Newton step
_SEPARATED: Final = 15.0  # a coefficient beyond this has no finite maximum: odds of 3 million to 1


class _Paired(NamedTuple):
    """Preferences (N,) in [0, 1], differences of length (N,), groups or None, and a note; ordered by their values."""

    preferred: Floats
    longer: Floats
    groups: pl.Series | None
    note: str


def win_rate(
    frame: pl.DataFrame | None = None,
    *,
    preference: Column = "preference",
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean preference for the model's answer over the reference's: $\frac{1}{N} \sum_i p_i$.

    Args:
        frame: One row per item; None where the values themselves are given.
        preference: Column or values (N,) in [0, 1]: 1 the model's answer, 0 the reference's, 1/2 a tie; null is left
            out and counted.
        group: Column or values; None means the column ``group`` where the frame has one, else single items.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate.

    Undefined:
        No item.

    Raises:
        TableError: A preference outside [0, 1].

    Example:
        >>> win_rate(preference=[1, 0.5, 0, 0.9], ci=None).value
        0.6
    """
    read = _read("win_rate", frame, preference, None, None, group)
    scores = [win_rate_rows(read.preferred, note=read.note)]
    return estimate_together(scores, groups=read.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def win_rate_rows(preference: npt.ArrayLike, *, note: str = "") -> Additive:
    """Rows of :func:`win_rate`."""
    return mean_of("win_rate", "win rate", preference, note=note)


def length_controlled_win_rate(
    frame: pl.DataFrame | None = None,
    *,
    preference: Column = "preference",
    length: Column = "length",
    other_length: Column = "other_length",
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""The win rate that a logistic regression on the difference of lengths predicts for equal lengths.

    With $p_i$ the preference for the model's answer and $\delta_i$ its length less the reference's,

        $P_i = \sigma(\theta + \phi \tanh(\delta_i / sd(\delta)))$,   rate $= \sigma(\theta)$

    fitted by maximum likelihood on the soft preferences, $\sum_i p_i \ln P_i + (1 - p_i) \ln(1 - P_i)$; sd has divisor
    n - 1. It differs from AlpacaEval 2.0 in three ways: no term for how hard an item is (that needs its leaderboard's
    files), no penalty (AlpacaEval: L1 with C = 100), and an interval over items with $\theta$, $\phi$ and sd fitted
    again in every draw, where AlpacaEval prints the spread of its predictions, which is no sampling error. The rate
    describes the judge; it is not what a shorter answer would have got.

    Args:
        frame: One row per item; None where the values themselves are given.
        preference: Column or values (N,) in [0, 1]: 1 the model's answer, 0 the reference's.
        length: Column or values (N,): length of the model's answer, in characters or words.
        other_length: Column or values (N,): length of the reference's.
        group: Column or values; None means the column ``group`` where the frame has one, else single items.
        ci: ``bootstrap`` over groups (above 5,000 of them linearised: normal on the logit scale), or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate; the note gives $\phi$, ``method`` which interval it is.

    Undefined:
        Fewer than three items, one difference of lengths only, or preferences that lengths separate exactly (all 0 or
        all 1 among them): there is no finite maximum.

    Raises:
        TableError: A preference outside [0, 1], a negative length.
        ValueError: A column is missing or the lengths of the arrays differ.

    Example:
        Preferred exactly half the time at any length: 1/2.

        >>> round(length_controlled_win_rate(preference=[0.5, 0.5, 0.5], length=[1, 5, 9], other_length=[4, 4, 4],
        ...                                  ci=None).value, 3)
        0.5

    Reference:
        Dubois, Galambosi, Liang and Hashimoto (2024), Length-Controlled AlpacaEval, arXiv:2404.04475, section 3.
    """
    name = "length-controlled win rate"
    read = _read("length_controlled_win_rate", frame, preference, length, other_length, group)
    n = len(read.preferred)
    codes = np.arange(n) if read.groups is None else read.groups.rank("dense").to_numpy().astype(np.int64) - 1
    n_units = int(codes.max()) + 1 if n else 0
    if ci not in ("bootstrap", None):
        raise ValueError(f'length_controlled_win_rate: ci must be "bootstrap" or None, found {ci!r}')

    def rate(weights: Floats) -> Floats:
        return _sigmoid(_fit(read.preferred, read.longer, weights[:, codes])[:, 0])

    drawn = ci is not None and n_units <= _DRAWN
    found = estimate_by_weights(
        name, np.ones(n_units), rate, n=n, unit="groups" if n_units < n else "items",
        ci="bootstrap" if drawn else None, confidence=confidence, n_boot=n_boot, seed=seed,
        undefined="no finite maximum: too few items, one difference of lengths, or lengths separate the preferences",
    )  # fmt: skip
    slope = float(_fit(read.preferred, read.longer, np.ones((1, n)))[0, 1]) if n else float("nan")
    if ci is not None and not drawn and np.isfinite(slope):
        found = _linearised(found, read, codes, slope)
    said = f"effect of length {slope:+.2f} (tanh of the standardised difference)" if np.isfinite(slope) else ""
    return _noted(found, said, read.note)


def _linearised(found: Estimate, read: _Paired, codes: npt.NDArray[np.int64], slope: float) -> Estimate:
    """The interval from what each unit moves the intercept by, to first order; sd is estimated, too."""
    from scipy.special import ndtri

    delta, n = read.longer, len(read.longer)
    theta = float(np.log(found.value / (1 - found.value)))
    square = float(delta.var(ddof=1))
    x = np.tanh(delta / np.sqrt(square))
    dx = (1 - x**2) * delta * -0.5 * square**-1.5
    chance = _sigmoid(theta + slope * x)
    left, curve = read.preferred - chance, chance * (1 - chance)
    centred = delta - delta.mean()
    equations = np.stack([left, left * x, centred**2 - (centred**2).mean()])
    slopes = np.array(
        [
            [-curve.mean(), -(curve * x).mean(), -(curve * slope * dx).mean()],
            [-(curve * x).mean(), -(curve * x**2).mean(), (left * dx - curve * x * slope * dx).mean()],
            [0.0, 0.0, -1.0],
        ]
    )
    moved = np.bincount(codes, -np.linalg.inv(slopes)[0] @ equations / n)
    units = found.n_units
    half = float(ndtri(0.5 + found.confidence / 2)) * float(np.sqrt(units / (units - 1) * np.sum(moved**2)))
    low, high = (float(_sigmoid(np.array(theta + side * half))) for side in (-1, 1))
    return replace(found, low=low, high=high, method="linearised")


def _fit(preferred: Floats, longer: Floats, weights: Floats) -> Floats:
    """Intercept and slope (B, 2) under row weights (B, N); ``nan`` where there is no finite maximum."""
    total = weights.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = weights @ longer[:, None] / total
        spread = np.sqrt((weights * (longer - mean) ** 2).sum(axis=1, keepdims=True) / (total - 1))
        x = np.tanh(longer / spread)
    coefficients = np.zeros((len(weights), 2))
    usable = (spread[:, 0] > 0) & np.isfinite(spread[:, 0]) & (total[:, 0] > 2)
    coefficients[~usable] = np.nan
    left = np.flatnonzero(usable)
    for _ in range(_STEPS):
        if not len(left):
            return coefficients
        step = _newton(coefficients[left], x[left], preferred, weights[left])
        coefficients[left] += step
        running = np.abs(coefficients[left]).max(axis=1) <= _SEPARATED
        going = np.abs(step).max(axis=1) > _TOLERANCE
        coefficients[left[~running | ~np.isfinite(step).all(axis=1)]] = np.nan
        left = left[running & going]
    coefficients[left] = np.nan
    return coefficients


def _newton(now: Floats, x: Floats, preferred: Floats, weights: Floats) -> Floats:
    """One step (B, 2) of Newton's method, cut in length."""
    chance = _sigmoid(now[:, :1] + now[:, 1:] * x)
    left_over, curve = weights * (preferred - chance), weights * chance * (1 - chance)
    g0, g1 = left_over.sum(axis=1), (left_over * x).sum(axis=1)
    a, b, d = curve.sum(axis=1), (curve * x).sum(axis=1), (curve * x * x).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.stack([d * g0 - b * g1, a * g1 - b * g0], axis=1) / (a * d - b * b)[:, None]
        longest = np.abs(step).max(axis=1, keepdims=True)
        return np.asarray(step * np.minimum(1.0, _LARGEST / longest))


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-z)))


def _read(
    name: str,
    frame: pl.DataFrame | None,
    preference: Column,
    length: Column | None,
    other_length: Column | None,
    group: Column | None,
) -> _Paired:
    wanted = {"preference": preference, "length": length, "other_length": other_length}
    columns = {role: _numbers(name, frame, c, role) for role, c in wanted.items() if c is not None}
    n = len(columns["preference"])
    for role, values in columns.items():
        if len(values) != n:
            raise ValueError(f"{name}: {role} has {len(values)} values for {n} items; give one per item")
    table = pl.DataFrame(columns)
    groups = group_series(name, frame, group, n)
    table = table.with_columns(unit=groups if groups is not None else pl.lit(0))
    kept = table.drop_nulls().sort(table.columns)
    outside = kept.filter(~pl.col("preference").is_between(0, 1))
    if len(outside):
        raise TableError(f"{name}: a preference must lie in [0, 1], found {outside['preference'][0]:g}.")
    if length is not None and kept.select(pl.min_horizontal("length", "other_length") < 0).to_series().any():
        raise TableError(f"{name}: a length is below 0.")
    lost = n - len(kept)
    note = f"{lost} items without a preference or a length left out" if lost else ""
    longer = kept["length"] - kept["other_length"] if length is not None else kept["preference"] * 0
    unit = kept["unit"] if groups is not None else None
    return _Paired(kept["preference"].to_numpy(), longer.to_numpy(), unit, note)


def _numbers(name: str, frame: pl.DataFrame | None, column: Column, role: str) -> pl.Series:
    if isinstance(column, str):
        if frame is None or column not in frame.columns:
            found = "no frame" if frame is None else ", ".join(frame.columns)
            raise ValueError(f'{name}: no column "{column}" for {role}; found {found}')
        column = frame[column]
    series = column if isinstance(column, pl.Series) else pl.Series(role, column, strict=False)
    return series.cast(pl.Float64).fill_nan(None).alias(role)


def _noted(found: Estimate, *notes: str) -> Estimate:
    return replace(found, note="; ".join(n for n in (found.note, *notes) if n))
