"""A claim about a way of training needs several seeds: the difference over paired seeds, as a random factor."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dfar_toolkit.estimate import Estimate


def seed_difference(a: npt.ArrayLike, b: npt.ArrayLike, *, metric: str = "score", confidence: float = 0.95) -> Estimate:
    r"""Mean difference of two ways of training over paired seeds, with Student's interval.

    With one score per seed $a_s, b_s$ (S,) on the same items: $\bar d = \frac1S \sum_s (b_s - a_s)$, interval
    $\bar d \pm t_{S-1} s_d / \sqrt{S}$. The scores already contain the noise of the items; the interval is over seeds
    and these items.

    Args:
        a: Score of each seed under the first way of training (S,).
        b: Score of the same seeds under the second (S,).
        metric: Name of the score.
        confidence: Two-sided coverage.

    Returns:
        The estimate; ``n`` counts seeds, ``scope`` is ``items+seeds``.

    Undefined:
        No seeds. Without an interval for one seed: that speaks of these two checkpoints only; or where all
        differences are equal.

    Raises:
        ValueError: The lengths differ, or a score is not a number.

    Example:
        >>> seed_difference([0.70, 0.72, 0.71], [0.75, 0.74, 0.76], metric="accuracy").value
        0.04

    Reference:
        Student (1908), Biometrika 6(1):1-25.
    """
    from scipy.stats import t

    one, two = (np.asarray(x, dtype=np.float64).ravel() for x in (a, b))
    if one.shape != two.shape or not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise ValueError("seed_difference: a and b must give one number for each of the same seeds")
    nan, d = float("nan"), two - one
    value = round(float(d.mean()), 15) if len(d) else nan
    found = Estimate(
        f"difference of {metric} over seeds", value, nan, nan, len(d), len(d), "seeds", "items+seeds", "t", confidence
    )
    if len(d) < 2:
        why = "one seed: these two checkpoints, not ways of training" if len(d) else "no seeds"
        return replace(found, note=why)
    spread = float(d.std(ddof=1))
    if spread <= 1e-12:
        return replace(found, note="no interval: all seeds differ by the same")
    half = float(t.ppf(0.5 + confidence / 2, len(d) - 1)) * spread / math.sqrt(len(d))
    note = "fewer than 5 seeds" if len(d) < 5 else ""
    return replace(found, low=value - half, high=value + half, note=note)
