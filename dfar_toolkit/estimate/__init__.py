r"""The waist of all statistics: a row of numbers per item, a formula of the column sums, an interval from weights.

An additive statistic is

    $T = f(S)$,   $S_d = \sum_u w_u x_{ud}$

with $x_u$ the row of unit $u$ (item, or group of items that belong together), $D$ numbers wide, and weights $w_u$:
ones for the point estimate, multinomial counts for the bootstrap, a hole for the jackknife. Units with equal rows
are collapsed into one pattern that occurs $t_p$ times, so an interval costs patterns, not items, and is still the
exact bootstrap over units: multinomial counts of patterns are the sums of multinomial counts of their units.

A statistic that is not a function of sums (ranks, for instance) takes the second door,
:func:`estimate_by_weights`, which hands the weights themselves to the statistic.
"""

from dfar_toolkit.estimate.additive import (
    Additive,
    Draws,
    draw_together,
    estimate_together,
    mean_of,
    resampled_sums,
    unit_rows,
)
from dfar_toolkit.estimate.resampling import (
    COLLAPSED,
    Floats,
    Formula,
    Interval,
    Patterns,
    bootstrap_weights,
    collapse,
    estimate,
    estimate_by_weights,
    interval_of_draws,
)
from dfar_toolkit.estimate.result import ESTIMATE_SCHEMA, Estimate, estimates_frame
from dfar_toolkit.estimate.wilson import proportion, wilson_ends

__all__ = [
    "COLLAPSED",
    "ESTIMATE_SCHEMA",
    "Additive",
    "Draws",
    "Estimate",
    "Floats",
    "Formula",
    "Interval",
    "Patterns",
    "bootstrap_weights",
    "collapse",
    "draw_together",
    "estimate",
    "estimate_by_weights",
    "estimate_together",
    "estimates_frame",
    "interval_of_draws",
    "mean_of",
    "proportion",
    "resampled_sums",
    "unit_rows",
    "wilson_ends",
]
