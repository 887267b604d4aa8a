"""Where intervals are known to run short, they say so: from the measured coverage of every interval offered.

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
    if found.method == "bootstrap" and found.n_units < FEW_UNITS:
        notes.append(f"bootstrap over fewer than {FEW_UNITS} {found.unit} runs a little short")
    if found.method == "jackknife" and found.unit == "groups" and found.n_units <= FEW_GROUPS:
        notes.append(f"jackknife over at most {FEW_GROUPS} groups runs a little short")
    others = units_with_other_values(counts, paired)
    if others < min(FEW_OTHERS, found.n_units):
        notes.append(
            f"only {others} {found.unit} hold another value than the most frequent: the interval may be too short"
        )
    return notes


def units_with_other_values(counts: Counts, paired: int = 0) -> float:
    """Units in which anybody gave another value than the most frequent one (of two raters: than each one's own)."""
    if not len(counts.code) or len(counts.values) < 2:
        return float("inf")
    given = np.bincount(counts.code, counts.count * counts.times[counts.pattern], minlength=len(counts.values))
    size = paired or len(counts.values)
    most = np.concatenate([start + np.argmax(given[start : start + size], keepdims=True)
                           for start in range(0, len(given), size)])  # fmt: skip
    other = counts.per_pattern((~np.isin(counts.code, most)).astype(np.float64)) > 0
    who = owners(counts)
    holds = np.bincount(who.owner, other * who.within, minlength=len(who.times)) > 0
    return int(who.times[holds].sum())
