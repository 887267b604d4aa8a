"""Standard errors of coefficients where raters do not agree beyond chance, and the tests made of them."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np

from dfar_toolkit.agreement.categories import offered
from dfar_toolkit.agreement.cells import Cells
from dfar_toolkit.agreement.coefficients import Coefficient, pair_of
from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.statistic import NO_PAIRS, Statistic, standard_error

Alternative = Literal["two-sided", "greater"]

_NAN: Final = float("nan")
_EQUAL: Final = 1e-12


class NullTest(NamedTuple):
    """A test against no agreement: value and spread expected then, z, p, the least possible p, its name, and notes."""

    null: float
    se: float
    z: float
    p: float
    smallest_p: float
    test: str
    note: str


def no_test(test: str, why: str) -> NullTest:
    """A test that cannot be made, and why."""
    return NullTest(_NAN, _NAN, _NAN, _NAN, _NAN, test, f"no test: {why}")


def analytic_test(chosen: Coefficient, cells: Cells, alternative: Alternative) -> NullTest:
    """The test of a coefficient by a standard error, the published one under no agreement where there is one.

    Args:
        chosen: The coefficient.
        cells: The ratings.
        alternative: two-sided or greater.

    Returns:
        The test; ``test`` names its standard error and distribution.
    """
    statistic = chosen.of_cells(cells)
    value = statistic.point()
    if np.isnan(value):
        return no_test("analytic", statistic.undefined if statistic.counts.n_pairable else NO_PAIRS)
    independent = statistic.unit.unit == "items"
    if chosen.name == "cohen_kappa" and independent:
        table = offered(cells.counts(), chosen.weights, order=chosen.order).table
        return _normal(value, cohen_null_error(cells, table), alternative, "Fleiss, Cohen and Everitt", "")
    if chosen.name == "fleiss_kappa" and chosen.weights is None and independent:
        if len(np.unique(cells.n_per_item)) == 1:
            return _normal(value, fleiss_null_error(cells), alternative, "Fleiss, Nee and Landis", "")
        note = "items have unequal numbers of ratings, for which there is no published error under no agreement"
        return _linearised(statistic, value, alternative, note)
    return _linearised(statistic, value, alternative, "")


def fleiss_null_error(cells: Cells) -> float:
    r"""Standard error of Fleiss' kappa under no agreement, for N independent items of m ratings each.

    With $p_c$ the share of value c and $q_c = 1 - p_c$,

        $s_0^2 = \frac{2}{N m (m - 1)} \frac{(\sum_c p_c q_c)^2 - \sum_c p_c q_c (q_c - p_c)}{(\sum_c p_c q_c)^2}$

    Args:
        cells: Ratings, equally many of each item.

    Returns:
        $s_0$.

    Reference:
        Fleiss, Nee and Landis (1979), Psychol. Bull. 86:974-977, eq. 12.
    """
    n, m = len(cells.items), float(cells.n_per_item[0])
    p = np.bincount(cells.value) / len(cells.value)
    pq = p * (1 - p)
    square = float(pq.sum()) ** 2
    return float(np.sqrt(2 * (square - (pq * (1 - 2 * p)).sum()) / (n * m * (m - 1) * square)))


def cohen_null_error(cells: Cells, table: Floats | None) -> float:
    r"""Standard error of Cohen's kappa under no agreement, for n independent items that both raters rated.

    With agreement weights $a_{ck}$, shares $p_c$ of the first rater and $r_k$ of the second, $p_e = \sum a_{ck} p_c
    r_k$, and means $\bar a_{c.} = \sum_k r_k a_{ck}$, $\bar a_{.k} = \sum_c p_c a_{ck}$,

        $s_0^2 = \frac{\sum_{c,k} p_c r_k (a_{ck} - \bar a_{c.} - \bar a_{.k})^2 - p_e^2}{n (1 - p_e)^2}$

    Args:
        cells: Ratings of two raters.
        table: Disagreement $1 - a$ of the values (V, V), None for the same or not.

    Returns:
        $s_0$.

    Reference:
        Fleiss, Cohen and Everitt (1969), Psychol. Bull. 72:323-327, eq. 8 and 14.
    """
    pair = pair_of(cells)
    size, n = len(pair.used), len(pair.counts.times)
    share = np.bincount(pair.counts.code, minlength=2 * size) / n
    p, r = share[:size], share[size:]
    a = np.eye(size) if table is None else 1 - table[np.ix_(pair.used, pair.used)]
    chance = float(p @ a @ r)
    off = a - (a @ r)[:, None] - (p @ a)[None, :]
    return float(np.sqrt((p @ off**2 @ r - chance**2) / n) / (1 - chance))


def _normal(value: float, se: float, alternative: Alternative, test: str, note: str) -> NullTest:
    from scipy.stats import norm

    if not se > _EQUAL:
        return no_test(test, "the standard error is 0")
    z = value / se
    p = float(norm.sf(z)) if alternative == "greater" else 2 * float(norm.sf(abs(z)))
    return NullTest(0.0, se, z, p, _NAN, f"{test}, normal", note)


def _linearised(statistic: Statistic, value: float, alternative: Alternative, note: str) -> NullTest:
    from scipy.stats import t

    n = int(statistic.unit.times.sum())
    if n < 2:
        return no_test("linearised", f"one unit ({statistic.unit.unit}) only")
    se = standard_error(statistic)
    if not se > _EQUAL:
        return no_test("linearised", "the standard error is 0")
    if statistic.normal:
        return _normal(value, se, alternative, "linearised", note)
    df = n + statistic.singles - 1
    z = value / se
    p = float(t.sf(z, df)) if alternative == "greater" else 2 * float(t.sf(abs(z), df))
    return NullTest(0.0, se, z, p, _NAN, f"linearised, t({df})", note)
