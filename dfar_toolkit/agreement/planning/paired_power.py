r"""Power of the paired test of two models, and one row of a plan.

Each unit (item, or group of items) gives D: on an item +1 where only model A is right, -1 where only B is, else 0. With
$\psi = E D^2$ and $\delta = E D$ per unit, the two-sided paired test (McNemar; by group the sign-flip test) on n
independent units finds a difference with power

    $\Phi\left(\frac{\delta \sqrt n - z \sqrt\psi}{\sqrt{\psi - \delta^2}}\right)
    + \Phi\left(\frac{-\delta \sqrt n - z \sqrt\psi}{\sqrt{\psi - \delta^2}}\right)$,   $z = z_{1 - \alpha / 2}$

and needs $n = [(z \sqrt\psi + z_\beta \sqrt{\psi - \delta^2}) / \delta]^2$ of them, the second tail left out.

Reference:
    Connor (1987), Biometrics 43:207-211.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.planning.plurality import check_panel

PairedTest = Literal["normal", "exact"]

_EQUAL: Final = 1e-12
_SCHEMA: Final = {
    "items": pl.Int64,
    "raters": pl.Int64,
    "ratings": pl.Int64,
    "tie": pl.Float64,
    "label_error": pl.Float64,
    "difference": pl.Float64,
    "discordant": pl.Float64,
    "power": pl.Float64,
    "enough": pl.Boolean,
    "items_needed": pl.Int64,
    "note": pl.String,
}


class Discordance(NamedTuple):
    """Per unit: mean of D and of D squared."""

    mean: float
    square: float


class Wanted(NamedTuple):
    """The power wanted, or None, and the test's two-sided level."""

    power: float | None
    significance: float


class PanelNoise(NamedTuple):
    """Share of items whose panel elects a wrong label, and whose votes tie."""

    error: float
    tie: float


def mcnemar_power(rates: Discordance, n: int, *, significance: float = 0.05, test: PairedTest = "normal") -> float:
    r"""Power of the two-sided paired test on n independent units, by the module's formula or exactly.

    Exactly: of n items $m \sim Bin(n, \psi)$ are discordant, $x \sim Bin(m, p_{10} / \psi)$ of them in favour of A; the
    exact McNemar test rejects where $2 P(Bin(m, 1/2) \le \min(x, m - x)) \le$ significance.

    Args:
        rates: Mean of D and of its square, per unit; for ``exact`` D is -1, 0 or 1.
        n: Units.
        significance: Two-sided level.
        test: ``normal`` or ``exact``.

    Returns:
        The power; 0 where no unit is ever discordant.

    Undefined:
        ``nan`` where the rates are.

    Example:
        >>> round(mcnemar_power(Discordance(0.05, 0.2), 626), 3)
        0.8

    Reference:
        Connor (1987), Biometrics 43:207-211.
    """
    from scipy.stats import norm

    mean, square = rates
    if math.isnan(mean) or square <= 0:
        return mean if math.isnan(mean) else 0.0
    if test == "exact":
        return _exact_power(rates, n, significance)
    z = float(norm.ppf(1 - significance / 2)) * math.sqrt(square)
    spread = math.sqrt(max(0.0, square - mean**2))
    if spread == 0:
        return float(math.sqrt(n) * abs(mean) > z)
    drift = math.sqrt(n) * mean
    return float(norm.cdf((drift - z) / spread) + norm.cdf((-drift - z) / spread))


def _exact_power(rates: Discordance, n: int, significance: float) -> float:
    from scipy.stats import binom

    m = np.arange(n + 1)
    share = (rates.square + rates.mean) / (2 * rates.square)
    edge = binom.ppf(significance / 2, m, 0.5)
    edge = np.where(2 * binom.cdf(edge, m, 0.5) <= significance, edge, edge - 1)
    low = np.minimum(edge, m - edge - 1)  # both tails never overlap
    reject = np.where(edge >= 0, binom.cdf(low, m, share) + binom.sf(m - low - 1, m, share), 0.0)
    return float(binom.pmf(m, n, min(1.0, rates.square)) @ reject)


def units_needed(rates: Discordance, wanted: Wanted) -> float | None:
    """Units needed by the module's formula; None without a difference or a wanted power."""
    from scipy.stats import norm

    mean, square = rates
    if wanted.power is None or math.isnan(mean) or abs(mean) <= _EQUAL:
        return None
    z, beta = float(norm.ppf(1 - wanted.significance / 2)), float(norm.ppf(wanted.power))
    return ((z * math.sqrt(square) + beta * math.sqrt(max(0.0, square - mean**2))) / mean) ** 2


def plan_row(
    items: int,
    raters: int,
    noise: PanelNoise,
    per_item: Discordance,
    reached: float,
    needed: float | None,
    wanted: Wanted,
) -> dict[str, object]:
    """One design; shares as they are seen on the items with a label."""
    labelled = 1 - noise.tie
    return {
        "items": items,
        "raters": raters,
        "ratings": items * raters,
        "tie": noise.tie,
        "label_error": noise.error / labelled if labelled else float("nan"),
        "difference": per_item.mean / labelled if labelled else float("nan"),
        "discordant": per_item.square / labelled if labelled else float("nan"),
        "power": reached,
        "enough": None if wanted.power is None else reached >= wanted.power,
        "items_needed": None if needed is None else math.ceil(needed - 1e-9),  # rounding must not add an item
    }


def plan_frame(rows: Iterable[dict[str, object]], note: str) -> pl.DataFrame:
    """The rows with the note beside them, sorted by items, then raters."""
    return pl.DataFrame([row | {"note": note} for row in rows], schema=_SCHEMA).sort("items", "raters")


def check_plan(
    function: str, *, items: Sequence[int], raters: Sequence[int], wanted: Wanted, test: str = "normal"
) -> None:
    """Refuse designs and wishes out of their range."""
    if not len(items) or min(items) < 1:
        raise ValueError(f"{function}: items must be whole numbers of 1 or more, found {list(items)}")
    if not len(raters):
        raise ValueError(f"{function}: raters must name one number or more, found none")
    for size in raters:
        check_panel(function, size)
    for name, share in (("power", wanted.power), ("significance", wanted.significance)):
        if share is not None and not 0 < share < 1:
            raise ValueError(f"{function}: {name} must lie between 0 and 1, found {share}")
    if test not in get_args(PairedTest):
        raise ValueError(f"{function}: test must be one of {', '.join(get_args(PairedTest))}, found {test!r}")
