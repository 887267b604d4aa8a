r"""What a perfectly calibrated model with the same predictions would get: the noise that a measured error stands on.

The distances $|\bar y_b - \bar c_b|$ of the bins are never 0 in a sample. Under calibration a label $y_i$ is drawn with
probability $c_i$ (consistency resampling). Where gold is a share of votes, or items come in groups, only
$E[y_i - c_i] = 0$ is known, and the noise of a bin is taken as normal with the variance of its units' residuals.

Reference:
    Broecker and Smith (2007), Increasing the reliability of reliability diagrams, Weather and Forecasting 22:651-661.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.calibration.distinct_pairs import unit_sums
from dfar_toolkit.metrics.calibration.targets import Facet
from dfar_toolkit.metrics.labels import Codes

N_SIMULATIONS: Final = 200

_EXACT: Final = 20_000  # items up to which labels are drawn one by one; the sum of a bin is normal enough beyond
_CELLS: Final = 100_000  # labels drawn at once


def gap_variances(facet: Facet, codes: Codes, n_bins: int, units: Codes | None, *, hard: bool) -> Floats:
    r"""Variance (B,) of $\bar y_b - \bar c_b$ under calibration, ``nan`` for an empty bin.

    Labels of independent items: $\sum_i c_i (1 - c_i) / n_b^2$. Else $\frac{G_b}{G_b - 1} \sum_g D_{gb}^2 / n_b^2$ with
    $D_{gb}$ the sum of unit g's residuals around their bin mean; with one unit, its own square.

    Args:
        facet: Predicted and observed (N,).
        codes: Bin of each item (N,).
        n_bins: Number of bins.
        units: Independent unit of each item, or None.
        hard: Whether gold is a label.

    Returns:
        One variance per bin.

    Example:
        >>> gap_variances(Facet("", np.full(4, 0.5), np.ones(4)), np.zeros(4, dtype=int), 1, None, hard=True).tolist()
        [0.0625]
    """
    count = np.bincount(codes, minlength=n_bins).astype(np.float64)
    sizes = np.where(count > 0, count, np.nan)
    if hard and units is None:
        spread = facet.predicted * (1 - facet.predicted)
        return np.asarray(np.bincount(codes, weights=spread, minlength=n_bins) / sizes**2)
    gaps = facet.observed - facet.predicted
    mean = np.bincount(codes, weights=gaps, minlength=n_bins) / sizes
    residual = gaps - mean[codes]
    if units is None:
        squares, n_units = np.bincount(codes, weights=residual**2, minlength=n_bins), count
    else:
        _, bins, sums = unit_sums(residual, codes, n_bins, units)
        squares = np.bincount(bins, weights=sums**2, minlength=n_bins)
        n_units = np.bincount(bins, minlength=n_bins).astype(np.float64)
    several = n_units > 1
    inflated = squares * np.where(several, n_units / np.where(several, n_units - 1, 1.0), 1.0) / sizes**2
    return np.asarray(np.where(several, inflated, mean**2))


def gaps_under_calibration(
    facet: Facet, codes: Codes, n_bins: int, units: Codes | None, *, hard: bool, seed: int = 0
) -> Floats:
    """Distances of the bins (R, B) that calibrated predictions would show, 0 in empty bins.

    Args:
        facet: Predicted and observed (N,).
        codes: Bin of each item (N,).
        n_bins: Number of bins.
        units: Independent unit of each item, or None.
        hard: Whether gold is a label.
        seed: Seed of the draws; the order of the items plays no part.

    Returns:
        Absolute distances of ``N_SIMULATIONS`` simulated samples.

    Example:
        >>> gaps_under_calibration(Facet("", np.ones(1), np.ones(1)), np.array([0]), 1, None, hard=True)[0].tolist()
        [0.0]
    """
    rng = np.random.default_rng(seed)
    if hard and units is None and len(codes) <= _EXACT:
        return _drawn_labels(facet.predicted, codes, n_bins, rng)
    variance = np.nan_to_num(gap_variances(facet, codes, n_bins, units, hard=hard))
    return np.abs(rng.standard_normal((N_SIMULATIONS, n_bins))) * np.sqrt(variance)


def _drawn_labels(predicted: Floats, codes: Codes, n_bins: int, rng: np.random.Generator) -> Floats:
    gaps = np.zeros((N_SIMULATIONS, n_bins))
    order = np.lexsort((predicted, codes))
    sorted_codes, sorted_values = codes[order], predicted[order]
    present, starts = np.unique(sorted_codes, return_index=True)
    sizes = np.diff(np.append(starts, len(codes)))
    step = max(1, _CELLS // max(1, len(codes)))  # several samples at a time, one after the other in memory
    for first in range(0, N_SIMULATIONS if len(codes) else 0, step):
        some = slice(first, min(first + step, N_SIMULATIONS))
        residual = (rng.random((some.stop - first, len(codes))) < sorted_values) - sorted_values
        gaps[some, present] = np.abs(np.add.reduceat(residual, starts, axis=1)) / sizes
    return gaps


def labels_under_calibration(facet: Facet, units: Codes | None, *, hard: bool, rng: np.random.Generator) -> Floats:
    r"""One set of observations (N,) that calibrated predictions could have.

    Labels of independent items are drawn with probability $c_i$; else the distance of a unit's items keeps its size and
    gets a random sign, $y^*_i = c_i \pm (y_i - c_i)$.

    Args:
        facet: Predicted and observed (N,), in an order that does not depend on that of the items.
        units: Independent unit of each item, or None.
        hard: Whether gold is a label.
        rng: Where the draws come from.

    Returns:
        The observations.
    """
    n = len(facet.predicted)
    if hard and units is None:
        return (rng.random(n) < facet.predicted).astype(np.float64)
    signs = rng.choice([-1.0, 1.0], size=n if units is None else int(units.max(initial=0)) + 1)
    return facet.predicted + (signs if units is None else signs[units]) * (facet.observed - facet.predicted)
