"""How small a difference these items could have shown."""

from __future__ import annotations

import math

from dfar_toolkit.estimate import Estimate


def minimum_detectable_difference(
    difference: Estimate, *, standard_error: float, power: float = 0.8, alpha: float = 0.05
) -> Estimate:
    r"""The smallest true difference that a two-sided test on these units would find with the power asked for.

    With the standard error $se$ of the paired difference: $(z_{1 - \alpha / 2} + z_{power}) \, se$. It falls with
    $1 / \sqrt{U}$; the units needed for a difference $\delta$ are $U (MDD / \delta)^2$.

    Args:
        difference: The paired difference; ``n`` and units are taken from it.
        standard_error: Its standard error, for instance the spread of its bootstrap draws.
        power: Probability of finding it.
        alpha: Two-sided level of the test.

    Returns:
        The estimate, without an interval.

    Undefined:
        No standard error: ``nan``.

    Raises:
        ValueError: Power or alpha outside (0, 1).

    Example:
        (1.960 + 0.842) x 0.02

        >>> d = Estimate("d", 0.01, -0.03, 0.05, 500, 500)
        >>> round(minimum_detectable_difference(d, standard_error=0.02).value, 4)
        0.056

    Reference:
        Card et al. (2020), With little power comes great responsibility, EMNLP, arXiv 2010.06595.
    """
    from scipy.special import ndtri

    for name, value in (("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise ValueError(f"minimum_detectable_difference: {name} must lie between 0 and 1, found {value}")
    nan = float("nan")
    known = math.isfinite(standard_error) and standard_error > 0
    value = float(ndtri(1 - alpha / 2) + ndtri(power)) * standard_error if known else nan
    note = f"power {power:g}, two-sided level {alpha:g}" if known else "the difference has no standard error"
    return Estimate(
        f"minimum detectable difference ({difference.name})", value, nan, nan, difference.n, difference.n_units,
        difference.unit, difference.scope, "normal", 1 - alpha, note,
    )  # fmt: skip
