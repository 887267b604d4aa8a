r"""Shares of ratings for many sets of ratings at once (annotators, or groups of them), with Wilson's interval.

A set's ratings lie in resampling units, and ratings of one unit are not independent. With $x_e$ the hit of rating e,
$p = \sum x_e / n$ and G units in which the set has ratings,

    $v = \frac{G}{G - 1} \frac{1}{n^2} \sum_g (\sum_{e \in g} (x_e - p))^2$,   $n_e = \min(n, p (1 - p) / v)$

and Wilson's interval takes $n_e$ for n ($n_e = n$ where every rating is a unit of its own), as
:func:`dfar_toolkit.estimate.proportion` does for one set. Time grows with the ratings, not with ratings x sets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from scipy.special import ndtri

from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.estimate import Estimate

CONSENSUS: Final = "agreement with consensus, not correctness"
UNDETERMINED: Final = "no interval: these ratings do not determine it"
_EQUAL: Final = 1e-12  # a spread below this is rounding


class Sets(NamedTuple):
    """Which set each rating belongs to ``of`` (E,), how many sets there are, and the unit ``unit_of`` (E,) it lies in.

    ``unit`` names the units, in the plural.
    """

    of: Ints
    n_sets: int
    unit_of: Ints
    unit: str

    def sums(self, numbers: Floats) -> Floats:
        """Sum of a number per rating (E,) over each set."""
        return np.bincount(self.of, weights=numbers, minlength=self.n_sets).astype(np.float64)

    def n_units(self) -> Floats:
        """In how many units each set has ratings (S,)."""
        width = int(self.unit_of.max(initial=0)) + 1
        cell = np.sort(self.of * width + self.unit_of)
        cell = cell[np.diff(cell, prepend=-1) > 0]  # np.unique hashes, at twenty times the cost
        return np.bincount(cell // width, minlength=self.n_sets).astype(np.float64)

    def only(self, keep: Ints) -> Sets:
        """The ratings at these places."""
        return Sets(self.of[keep], self.n_sets, self.unit_of[keep], self.unit)


def hit_rates(name: str, hits: Floats, sets: Sets, *, confidence: float, undefined: str) -> list[Estimate]:
    """Each set's share of hits (E,), with its interval; ``n`` counts ratings.

    Args:
        name: Name printed with the number.
        hits: 0, 1 or a share per rating (E,).
        sets: The set and the unit of each rating.
        confidence: Two-sided coverage asked for.
        undefined: The note of a set without ratings, whose share is ``nan``.

    Returns:
        One estimate per set.
    """
    n = sets.sums(np.ones(len(hits)))
    with np.errstate(invalid="ignore"):
        p = sets.sums(hits) / n
    width = int(sets.unit_of.max(initial=-1)) + 1
    cell, place = np.unique(sets.of * width + sets.unit_of, return_inverse=True)
    owner = cell // max(width, 1)
    units = np.bincount(owner, minlength=sets.n_sets).astype(np.float64)
    deviation = np.bincount(place, weights=hits - p[sets.of], minlength=len(cell))
    squares = np.bincount(owner, weights=deviation**2, minlength=sets.n_sets)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = units / (units - 1) * squares / n**2
    # At 0 and 1 the spread says nothing of how the units hang together: each counts once.
    effective = np.where(p * (1 - p) <= _EQUAL, units, effective_n(p, n, variance))
    effective = np.where(units == n, n, effective)
    found = wilson_rates(name, p, n, effective, units, unit=sets.unit, confidence=confidence)
    return [replace(e, note=undefined) if e.n == 0 else e for e in found]


def effective_n(p: Floats, n: Floats, variance: Floats) -> Floats:
    """The number of independent ratings at which a share p has this variance, at most n; one number per set."""
    spread = p * (1 - p)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(variance * n <= spread, n, spread / variance)
    return found


def wilson_rates(
    name: str, p: Floats, n: Floats, effective: Floats, units: Floats, *, unit: str, confidence: float
) -> list[Estimate]:
    """Wilson's interval of shares p at their effective n; every argument is one number per set.

    Undefined:
        No interval where one unit holds several ratings and there is no other, or where the effective n is below 1 or
        unknown.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"wilson_rates: confidence must lie between 0 and 1, found {confidence}")
    spread = p * (1 - p)
    z = float(ndtri(0.5 + confidence / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (p + z**2 / (2 * effective)) / (1 + z**2 / effective)
        half = z / (1 + z**2 / effective) * np.sqrt(spread / effective + z**2 / (4 * effective**2))
    # At p = 0 and 1 the algebra gives p for an end; rounding must not push it past.
    low, high = np.fmax(0, np.fmin(p, centre - half)), np.fmin(1, np.fmax(p, centre + half))
    single = (units < 2) & (n > units)
    refused = ~(effective >= 1) | single
    low[refused] = high[refused] = np.nan
    method = np.where(effective < n, "Wilson (effective n)", "Wilson")
    return [
        Estimate(
            name, float(p[s]), float(low[s]), float(high[s]), int(n[s]), int(units[s]), unit, "items", str(method[s]),
            confidence, _why(single[s], unit) if refused[s] else "",
        )
        for s in range(len(p))
    ]  # fmt: skip


def _why(single: bool, unit: str) -> str:
    return f"no interval: one unit ({unit}) only" if single else UNDETERMINED
