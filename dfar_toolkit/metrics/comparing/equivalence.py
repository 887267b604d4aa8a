"""Two one-sided tests that a difference is too small to matter."""

from __future__ import annotations

import numpy as np

from dfar_toolkit.estimate import Floats


def equivalence_p(draws: Floats, margin: float) -> float:
    r"""P that a difference lies outside $(-\delta, \delta)$, by two one-sided bootstrap tests.

    With bootstrap draws $d^*_b$ (B,) of the difference: $p = \max(p_-, p_+)$,
    $p_- = \frac{1 + \#\{d^*_b \le -\delta\}}{1 + B}$, $p_+$ likewise above. "The runs are alike" is supported where
    p is small, that is where the $1 - 2 \alpha$ percentile interval lies within the margin.

    Args:
        draws: Bootstrap draws (B,); undefined ones are left out.
        margin: $\delta > 0$, in units of the metric.

    Returns:
        The p-value.

    Undefined:
        ``nan`` without draws.

    Raises:
        ValueError: The margin is not above 0.

    Example:
        >>> equivalence_p(np.array([-0.01, 0.0, 0.01, 0.03]), 0.02)
        0.4

    Reference:
        Schuirmann (1987), J. Pharmacokinet. Biopharm. 15(6):657-680.
    """
    if not margin > 0:
        raise ValueError(f"equivalence_p: margin must be above 0, found {margin}")
    known = draws[np.isfinite(draws)]
    if not len(known):
        return float("nan")
    below, above = int((known <= -margin).sum()), int((known >= margin).sum())
    return (1 + max(below, above)) / (1 + len(known))
