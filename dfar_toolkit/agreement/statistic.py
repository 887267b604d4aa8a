"""A statistic of counted ratings, and its interval over items: bootstrap, jackknife, linearised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from dfar_toolkit.agreement.counting import Counts, Floats, Ints
from dfar_toolkit.agreement.marks import marks
from dfar_toolkit.agreement.units import Units
from dfar_toolkit.estimate import Estimate, estimate_by_weights

Ci = Literal["bootstrap", "jackknife", "analytic", "hayes-krippendorff"]
Scope = Literal["items", "items+raters"]

NO_PAIRS: Final = "no item has two or more ratings"
ONE_VALUE: Final = "only one value is in use, so agreement beyond chance has no meaning"

_SHARES: Final = ("percent agreement", "specific agreement")
_STEP: Final = 1e-30  # of the complex step: exact to rounding, as nothing is subtracted
_BLOCK: Final = 4_000_000  # cells of a block of left-out sums


class Resampling(NamedTuple):
    """How an interval is made."""

    ci: Ci | None = "bootstrap"
    confidence: float = 0.95
    n_boot: int = 2000
    seed: int = 0
    scope: Scope = "items"


@dataclass(frozen=True, slots=True, eq=False)
class Statistic:
    """A statistic as a formula of the sums of its units' rows.

    ``formula`` takes column sums (B, D) to values (B,); ``slope_of`` is the formula whose gradient gives the published
    standard error, where it is another one (alpha without its small-sample factor). ``of_weights`` takes the weights
    (B, U) instead, where the statistic is no formula of fixed rows; ``spread`` then gives what each unit adds (U,).
    ``adjust`` takes the sums (D,) and the value to what is added to the gradient where a published standard error
    differs from it. ``metric`` is the squared difference of two arrays of codes, where it does not depend on the data.
    ``singles`` counts rated items outside the rows, which count in the degrees of freedom. ``normal`` takes the normal
    quantile and 1 / n for the variance instead of Student's t and 1 / (n - 1). ``paired`` is the number of values where
    the codes are those of a first rater, then of a second.
    """

    name: str
    counts: Counts
    unit: Units
    formula: Callable[[Floats], Floats]
    undefined: str
    of_weights: Callable[[Floats], Floats] | None = None
    slope_of: Callable[[Floats], Floats] | None = None
    adjust: Callable[[Floats, float], Floats] | None = None
    spread: Callable[[], Floats] | None = None
    metric: Callable[[Ints, Ints], Floats] | None = None
    singles: int = 0
    normal: bool = False
    paired: int = 0

    def values(self, weights: Floats) -> Floats:
        """The statistic (B,) under weights (B, U) of the units."""
        if self.of_weights is not None:
            return self.of_weights(weights)
        return self.formula(self.unit.sums(weights))

    def point(self) -> float:
        """The statistic of the data, ``nan`` where it is undefined."""
        if not len(self.unit.times):
            return float("nan")
        with np.errstate(divide="ignore", invalid="ignore"):
            value = float(self.values(self.unit.times[None, :])[0])
        return value if np.isfinite(value) else float("nan")

    def influence(self) -> Floats:
        """What each unit moves the statistic by (U,), to first order."""
        if self.spread is not None:
            return self.spread()
        sums = self.unit.sums(self.unit.times[None, :])[0]
        direction = gradient(self.slope_of or self.formula, sums)
        if self.adjust is not None:
            direction = direction + self.adjust(sums, self.point())
        return self.unit.along(direction)


def gradient(formula: Callable[[Floats], Floats], sums: Floats) -> Floats:
    """The derivative of a formula at column sums (D,), by complex step: exact to rounding."""
    found = np.empty(len(sums))
    step = max(1, _BLOCK // max(1, len(sums)))
    for start in range(0, len(sums), step):
        here = np.arange(start, min(start + step, len(sums)))
        moved: Any = np.repeat(sums[None, :].astype(np.complex128), len(here), axis=0)
        moved[np.arange(len(here)), here] += 1j * _STEP
        with np.errstate(divide="ignore", invalid="ignore"):
            found[here] = np.imag(formula(moved)) / _STEP
    return found


def estimate_statistic(statistic: Statistic, how: Resampling) -> Estimate:
    """The estimate of a statistic over its units, with the notes of its counts."""
    counts = statistic.counts
    if how.ci in ("bootstrap", None):
        found = estimate_by_weights(
            statistic.name,
            statistic.unit.times,
            statistic.values,
            n=counts.n_pairable,
            unit=statistic.unit.unit,
            ci="bootstrap" if how.ci else None,
            confidence=how.confidence,
            n_boot=how.n_boot,
            seed=how.seed,
            undefined=statistic.undefined if counts.n_pairable else NO_PAIRS,
        )
    elif how.ci == "analytic" and statistic.of_weights is not None and statistic.spread is None:
        raise ValueError(f"agreement: {statistic.name} has no analytic interval; use bootstrap or jackknife")
    elif how.ci in ("jackknife", "analytic"):
        found = _by_spread(statistic, how)
    else:
        raise ValueError(
            f"agreement: {statistic.name} has no interval {how.ci!r}; use bootstrap, jackknife or analytic"
        )
    note = NO_PAIRS if len(statistic.unit.times) == 0 else found.note
    said = (note, *marks(counts, found, paired=statistic.paired), *counts.notes)
    return replace(found, note="; ".join(part for part in said if part))


def _by_spread(statistic: Statistic, how: Resampling) -> Estimate:
    """The value with an interval from what each unit adds: left out (jackknife) or to first order (analytic)."""
    found = estimate_statistic(statistic, how._replace(ci=None))
    found = replace(found, note="", method=str(how.ci))
    n = found.n_units
    if np.isnan(found.value):
        return replace(found, note=statistic.undefined if statistic.counts.n_pairable else NO_PAIRS)
    if n < 2:
        return replace(found, note=f"no interval: one unit ({found.unit}) only")
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = _left_out(statistic, found.value) if how.ci == "jackknife" else statistic.influence()
    if not np.isfinite(spread).all():
        return replace(found, note="no interval: undefined when some unit is left out")
    times = statistic.unit.times
    centred = spread - np.average(spread, weights=times)
    square = float(np.sum(times * centred**2))
    if np.sqrt(square) <= 1e-12 * max(1.0, abs(found.value)):
        return replace(found, note="no interval: the value is the same whichever unit is left out")
    if how.ci == "jackknife":
        return _around(found, np.sqrt((n - 1) / n * square), None)
    return _linearised(found, statistic, square)


def standard_error(statistic: Statistic) -> float:
    """The linearised standard error of a statistic, over its units; ``nan`` for fewer than two."""
    times = statistic.unit.times
    n = times.sum()
    if n < 2:
        return float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = statistic.influence()
    centred = spread - np.average(spread, weights=times)
    return float(np.sqrt(np.sum(times * centred**2) * (1.0 if statistic.normal else n / (n - 1))))


def _linearised(found: Estimate, statistic: Statistic, square: float) -> Estimate:
    n = found.n_units
    if statistic.normal:
        return replace(_around(found, np.sqrt(square), None), method="linearised, normal")
    df = n + statistic.singles - 1
    return replace(_around(found, np.sqrt(square * n / (n - 1)), df), method=f"linearised, t({df})")


def _around(found: Estimate, se: float, df: int | None) -> Estimate:
    """The interval of a standard error; no agreement exceeds 1 and no share falls below 0, so neither do the ends."""
    from scipy.stats import norm, t

    tail = 0.5 + found.confidence / 2
    half = float(norm.ppf(tail) if df is None else t.ppf(tail, df)) * float(se)
    least = 0.0 if found.name in _SHARES else float("-inf")
    return replace(found, low=max(least, found.value - half), high=min(1.0, found.value + half))


def _left_out(statistic: Statistic, value: float) -> Floats:
    """The statistic without one unit of each kind (U,), less the value."""
    unit = statistic.unit
    n_units, n_columns = unit.rows.shape
    found = np.empty(n_units)
    if statistic.of_weights is not None:
        step = max(1, _BLOCK // n_units)
        for start in range(0, n_units, step):
            size = min(step, n_units - start)
            found[start : start + size] = statistic.of_weights(unit.times[None, :] - np.eye(size, n_units, start))
        return found - value
    total = unit.sums(unit.times[None, :])
    step = max(1, _BLOCK // max(1, n_columns))
    for start in range(0, n_units, step):
        rows = unit.rows[start : start + step]
        dense = rows if isinstance(rows, np.ndarray) else rows.toarray()
        found[start : start + step] = statistic.formula(total - dense)
    return found - value
