"""How many rows for people and how many for the judge model, before anybody has judged."""

from __future__ import annotations

import math
from typing import NamedTuple


class PredictionPoweredPlan(NamedTuple):
    """``n`` rows for people and the judge, ``N`` more for the judge alone, what they cost, and their worth.

    ``effective_n``: so many rows judged by people alone would give an interval as narrow.
    """

    n: int
    N: int
    cost: float
    effective_n: int


def ppi_power(
    correlation: float,
    *,
    cost_human: float = 1.0,
    cost_judge: float = 0.01,
    cost_row: float = 0.0,
    budget: float | None = None,
    effective_n: int | None = None,
    n_max: int | None = None,
) -> PredictionPoweredPlan:
    r"""The sizes of a prediction-powered study: the narrowest interval for a budget, or the cheapest for a width.

    With $\rho$ the correlation of people's verdicts and the judge's and $\gamma$ the cost of one more row for the
    judge over that of a human verdict, an interval as narrow as that of $n_0$ human verdicts costs least with

        $n = n_0 (1 - \rho^2 + \sqrt{\gamma \rho^2 (1 - \rho^2)})$,   $N = \frac{n (n_0 - n)}{n - (1 - \rho^2) n_0}$

    and of n and N rows $n_0 = \frac{n (n + N)}{n + (1 - \rho^2) N}$. Where that costs more than people alone: N = 0.

    Args:
        correlation: $\rho$, from a pilot; 0 for a judge that knows nothing.
        cost_human: Cost of one human verdict.
        cost_judge: Cost of one verdict of the judge.
        cost_row: Cost of one row (such as a reason written by a model).
        budget: What may be spent; the narrowest interval for it.
        effective_n: The human verdicts $n_0$ that the study should be worth; the cheapest such.
        n_max: Rows there are.

    Returns:
        The sizes, rounded to whole rows.

    Raises:
        ValueError: Neither or both of ``budget`` and ``effective_n``; a correlation below 0 or of 1; a cost that is not
            above 0; ``effective_n`` above ``n_max``.

    Example:
        >>> ppi_power(0.8, budget=100)
        PredictionPoweredPlan(n=88, N=1088, cost=99.76, effective_n=216)

    Reference:
        Broska, Howes and van Loon (2024), The Mixed Subjects Design, doi:10.31235/osf.io/j3bnt.
    """
    _check(correlation, cost_human, cost_judge, cost_row, budget, effective_n, n_max)
    each, square = cost_judge + cost_row, correlation**2
    gamma = each / cost_human
    # Cost of what is worth one human verdict, at the best mixture and with people alone.
    mixed = cost_human * (1 - square + gamma * square + 2 * math.sqrt(gamma * square * (1 - square)))
    alone = cost_human + cost_row
    wanted = float(effective_n) if effective_n is not None else float(budget or 0) / mixed
    exact = wanted * (1 - square + math.sqrt(gamma * square * (1 - square)))
    more = exact * (wanted - exact) / (exact - (1 - square) * wanted) if correlation else 0.0
    if alone < mixed or more <= 0:
        n, more = round(wanted if effective_n is not None else float(budget or 0) / alone), 0.0
        plan = PredictionPoweredPlan(n, 0, round(n * alone, 10), n)
    else:
        plan = _plan(max(1, round(exact)), round(more), cost_human, each, square)
    if n_max is None or plan.n + plan.N <= n_max:
        return plan
    if budget is not None and n_max * alone <= budget:
        return PredictionPoweredPlan(n_max, 0, round(n_max * alone, 10), n_max)
    within = budget / cost_human - n_max * gamma if budget is not None else _of_all(wanted, n_max, square)
    if round(within) < 1:
        raise ValueError(f"ppi_power: a budget of {budget:g} does not pay for the judge on all {n_max} rows and people")
    return _plan(round(within), n_max - round(within), cost_human, each, square)


def _of_all(wanted: float, n_max: int, square: float) -> float:
    """Human verdicts that make all rows worth as many as wanted."""
    return wanted * n_max * (1 - square) / (n_max - square * wanted)


def _plan(n: int, more: int, cost_human: float, each: float, square: float) -> PredictionPoweredPlan:
    cost = n * cost_human + (n + more) * each
    worth = n * (n + more) / (n + (1 - square) * more) if n else 0.0
    return PredictionPoweredPlan(n, more, round(cost, 10), round(worth))


def _check(
    correlation: float,
    human: float,
    judge: float,
    row: float,
    budget: float | None,
    wanted: int | None,
    most: int | None,
) -> None:
    if not 0 <= correlation < 1:
        raise ValueError(
            f"ppi_power: correlation must be at least 0 (a judge that contradicts people is not used) and below 1, "
            f"found {correlation}"
        )
    if human <= 0 or judge <= 0 or row < 0:
        raise ValueError(f"ppi_power: costs must be above 0 (cost_row at least 0), found {human}, {judge}, {row}")
    if (budget is None) == (wanted is None):
        raise ValueError("ppi_power: give either budget or effective_n")
    if (budget is not None and budget <= 0) or (wanted is not None and wanted < 1) or (most is not None and most < 1):
        raise ValueError("ppi_power: budget, effective_n and n_max must be above 0")
    if wanted is not None and most is not None and wanted > most:
        raise ValueError(f"ppi_power: {most} rows can be worth at most {most} human verdicts, effective_n is {wanted}")
