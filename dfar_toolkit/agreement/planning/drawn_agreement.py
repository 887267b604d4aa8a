r"""Coefficients of many simulated data sets at once, each with the linearised standard error of its bootstrap.

For a statistic T of the items' weights w the influence of an item is $I_u = \partial T / \partial w_u$ at w = 1, and

    $se^2 = \frac{N}{N - 1} \sum_u (I_u - \bar I)^2$

is the variance that the bootstrap over N items has to first order. All items of a data set have the same K ratings.

Reference:
    Efron and Tibshirani (1993), An Introduction to the Bootstrap, ch. 21 and 22 (influence, infinitesimal jackknife).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.planning.pilot_urn import Drawn, Pilot, expected_difference, expected_shares

PlannedStatistic = Literal["krippendorff_alpha", "percent_agreement", "gwet_ac1", "fleiss_kappa"]
PlannedLevel = Literal["nominal", "ordinal", "interval"]


class SimulatedValues(NamedTuple):
    """Value and standard error of each data set (S,), ``nan`` where undefined."""

    value: Floats
    se: Floats


def population_value(pilot: Pilot, rho: float, statistic: PlannedStatistic, level: PlannedLevel) -> float:
    """The statistic of endlessly many items under the urn with weight ``rho``."""
    shares = expected_shares(pilot, rho)
    if statistic == "krippendorff_alpha" and level != "nominal":
        x = pilot.position if level == "interval" else np.cumsum(shares) - shares / 2
        spread = 2 * (shares @ x**2 - (shares @ x) ** 2)
        return float(1 - expected_difference(pilot, rho, x) / spread)
    apart = expected_difference(pilot, rho, None)
    if statistic == "percent_agreement":
        return 1 - apart
    chance = float((shares**2).sum())
    if statistic == "gwet_ac1":
        chance = (1 - chance) / (len(pilot.position) - 1)
    return (1 - apart - chance) / (1 - chance)


def simulated_values(drawn: Drawn, pilot: Pilot, statistic: PlannedStatistic, level: PlannedLevel) -> SimulatedValues:
    """The statistic of each data set and its standard error over its items.

    Args:
        drawn: Data sets.
        pilot: Whose values they use.
        statistic: Name of the coefficient.
        level: Level of measurement, for alpha.

    Returns:
        Values and standard errors (S,).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if statistic == "krippendorff_alpha":
            value, influence = _alpha(drawn, pilot, level)
        else:
            value, influence = _shares(drawn, pilot, statistic)
        per_item = influence.reshape(drawn.n_sets, -1)
        n = per_item.shape[1]
        se = np.sqrt(n / (n - 1) * np.square(per_item - per_item.mean(axis=1, keepdims=True)).sum(axis=1))
    return SimulatedValues(value, se)


def _per_set(drawn: Drawn, numbers: Floats) -> Floats:
    return np.bincount(drawn.of, numbers, drawn.n_sets).astype(np.float64)


def _votes(drawn: Drawn, n_values: int, weights: Floats | None = None) -> Floats:
    """Sum over the ratings of each value in each data set (S, V); of ones, or of numbers (T, K)."""
    cell = drawn.of[:, None] * n_values + drawn.value
    flat = None if weights is None else weights.ravel()
    return np.bincount(cell.ravel(), flat, drawn.n_sets * n_values).reshape(drawn.n_sets, n_values).astype(np.float64)


def _alpha(drawn: Drawn, pilot: Pilot, level: PlannedLevel) -> tuple[Floats, Floats]:
    r"""Alpha $= 1 - (n - 1) W / E$ and the items' influences.

    With $w_u = \frac{1}{K - 1} \sum_{j,k} \delta$, W their sum, $E = \sum_{c,k} n_c n_k \delta_{ck}$ and $g_u$ the sum
    of $\sum_k n_k \delta_{ck}$ over the item's ratings c,
    $I_u = -[K W / E + (n - 1) w_u / E - 2 (n - 1) W g_u / E^2]$; at the ordinal level the midranks move too.
    """
    n_raters, of = drawn.value.shape[1], drawn.of
    votes = _votes(drawn, len(pilot.position))
    n = votes.sum(axis=1)
    if level == "nominal":
        within = n_raters * (1 - _pair_share(drawn))
        expected = n**2 - np.square(votes).sum(axis=1)
        against = (n[of, None] - votes[of[:, None], drawn.value]).sum(axis=1)
        moved = np.zeros(len(of))
    else:
        x = _positions(votes, n, pilot, level)
        given = x[of[:, None], drawn.value]
        line, square = given.sum(axis=1), np.square(given).sum(axis=1)
        within = 2 * (n_raters * square - line**2) / (n_raters - 1)
        first, second = (votes * x).sum(axis=1), (votes * x**2).sum(axis=1)
        expected = 2 * (n * second - first**2)
        against = n[of] * square - 2 * line * first[of] + n_raters * second[of]
        moved = _through_ranks(drawn, votes, x, within, expected) if level == "ordinal" else np.zeros(len(of))
    total = _per_set(drawn, within)
    e, pairs = expected[of], (n - 1)[of]
    influence = moved - n_raters * total[of] / e - pairs * within / e + 2 * pairs * total[of] * against / e**2
    return np.where(expected > 0, 1 - (n - 1) * total / expected, np.nan), influence


def _positions(votes: Floats, n: Floats, pilot: Pilot, level: PlannedLevel) -> Floats:
    """Places of the values in each data set (S, V), centred: midranks, or the numbers themselves."""
    if level == "ordinal":
        ranks: Floats = np.cumsum(votes, axis=1) - votes / 2 - n[:, None] / 2
        return ranks
    centre = (votes * pilot.position).sum(axis=1, keepdims=True) / n[:, None]
    numbers: Floats = pilot.position - centre
    return numbers


def _through_ranks(drawn: Drawn, votes: Floats, rank: Floats, within: Floats, expected: Floats) -> Floats:
    r"""Influence of an item through the midranks $r_c = \sum_{d < c} n_d + n_c / 2$, which its ratings move (T,)."""
    n_raters, n = drawn.value.shape[1], votes.sum(axis=1)
    given = rank[drawn.of[:, None], drawn.value]
    pull = 4 * (n_raters * given - given.sum(axis=1, keepdims=True)) / (n_raters - 1)
    of_within = _votes(drawn, votes.shape[1], pull)
    of_expected = 4 * n[:, None] * votes * rank
    total = _per_set(drawn, within)[:, None]
    e = expected[:, None]
    slope = -(n[:, None] - 1) * (of_within / e - total * of_expected / e**2)
    above = slope.sum(axis=1, keepdims=True) - np.cumsum(slope, axis=1) + slope / 2
    moved: Floats = above[drawn.of[:, None], drawn.value].sum(axis=1)
    return moved


def _pair_share(drawn: Drawn) -> Floats:
    """Share of an item's pairs of ratings that are equal (T,)."""
    n_raters = drawn.value.shape[1]
    same = np.zeros(len(drawn.of))
    for apart in range(1, n_raters):
        same += (drawn.value[:, apart:] == drawn.value[:, :-apart]).sum(axis=1)
    same *= 2 / (n_raters * (n_raters - 1))
    return same


def _shares(drawn: Drawn, pilot: Pilot, statistic: PlannedStatistic) -> tuple[Floats, Floats]:
    """Percent agreement, Fleiss' kappa or AC1, and the items' influences, by those of observed and chance agreement."""
    n_raters, of, n_values = drawn.value.shape[1], drawn.of, len(pilot.position)
    n_items = np.bincount(of, minlength=drawn.n_sets)
    share = _pair_share(drawn)
    observed = _per_set(drawn, share) / n_items
    to_observed = (share - observed[of]) / n_items[of]
    if statistic == "percent_agreement":
        return observed, to_observed
    shares = _votes(drawn, n_values) / (n_items * n_raters)[:, None]
    square = np.square(shares).sum(axis=1)
    own = shares[of[:, None], drawn.value].mean(axis=1)
    chance, to_chance = square, 2 * (own - square[of]) / n_items[of]
    if statistic == "gwet_ac1":
        chance, to_chance = (1 - square) / (n_values - 1), -to_chance / (n_values - 1)
    rest = 1 - chance
    influence = (to_observed * rest[of] - to_chance * (1 - observed)[of]) / rest[of] ** 2
    return np.where(rest > 0, (observed - chance) / rest, np.nan), influence
