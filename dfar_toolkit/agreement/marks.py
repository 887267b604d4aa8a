"""Where intervals of coefficients are known to run short, their notes say so, from measured coverage.

The numbers come from ``benchmarks/agreement_coverage.py``: with 50 items the percentile bootstrap covers 91 to 93 %,
with 20 groups bootstrap and jackknife about as much, and where nearly everybody gives one value all cover far less.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dfar_toolkit.agreement.counting import Counts
from dfar_toolkit.agreement.units import owners
from dfar_toolkit.estimate import Estimate

FEW_UNITS: Final = 50  # units below which percentiles run short
FEW_GROUPS: Final = 20  # groups up to which the jackknife does as well
FEW_OTHERS: Final = 30  # units with another value than the most frequent below which every interval does


def marks(counts: Counts, found: Estimate, *, paired: int = 0) -> list[str]:
    """What must be said of an interval over items or groups.

    Args:
        counts: The counted ratings behind it.
        found: The estimate.
        paired: The number of values, where the codes are those of a first rater, then of a second.

    Returns:
        Notes; none where there is no interval.
    """
    if np.isnan(found.low):
        return []
    notes = []
    telling, others = telling_units(counts, paired)
    if found.method == "bootstrap" and telling < FEW_UNITS:
        notes.append(f"bootstrap over fewer than {FEW_UNITS} {found.unit} runs a little short")
    if found.method == "jackknife" and found.unit == "groups" and telling <= FEW_GROUPS:
        notes.append(f"jackknife over at most {FEW_GROUPS} groups runs a little short")
    return [*notes, *thin(telling, others, found.unit)]


def thin(telling: int, others: float, unit: str) -> list[str]:
    """What must be said where few of the units hold another value than the most frequent one."""
    if others >= min(FEW_OTHERS, telling):
        return []
    return [f"only {others:.0f} {unit} hold another value than the most frequent: the interval may be too short"]


def telling_units(counts: Counts, paired: int = 0) -> tuple[int, float]:
    """Units with an item rated twice, and those of them in which anybody gave another value than the most frequent one.

    Of two raters the most frequent value is each one's own.
    """
    pairable = counts.pairs > 0
    who = owners(counts)
    telling = np.bincount(who.owner, pairable * who.within, minlength=len(who.times)) > 0
    n_telling = int(who.times[telling].sum())
    if not len(counts.code) or len(counts.values) < 2:
        return n_telling, float("inf")
    given = np.bincount(counts.code, counts.count * counts.times[counts.pattern], minlength=len(counts.values))
    size = paired or len(counts.values)
    starts = range(0, len(given), size)
    most = np.concatenate([start + np.argmax(given[start : start + size], keepdims=True) for start in starts])
    other = counts.per_pattern((~np.isin(counts.code, most)).astype(np.float64)) > 0
    holds = np.bincount(who.owner, (other & pairable) * who.within, minlength=len(who.times)) > 0
    return n_telling, float(who.times[holds].sum())
