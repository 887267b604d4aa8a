r"""How many items, and how many raters on each, for an interval of a wanted width: by simulation from a pilot.

The model is that of ``pilot_urn``: items of the pilot drawn with replacement, K new ratings
of each item from an urn around the item's own ratings, the pull of the urn chosen such that the simulated statistic is
unbiased for the pilot's. What items of one group have in common does not depend on K and is taken from the pilot: with
jackknife errors over its groups and over its N' items, $C = N' (se_g^2 - se_i^2)$ (0 at least), and N items have
$se^2 = se_{simulated}^2 + C / N$.

Raters are alike in the model. With people of different kinds on every item (HS-Brexit) widths were 7 to 20 % too large,
with alike raters, or raters by lot, within 6 %. The width is that of the default interval, over items: one over items
and raters is wider, and hardly shrinks with more items by the same people. The pilot's own value is taken as given; a
pilot of 50 items does not know it well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.alpha import krippendorff_alpha
from dfar_toolkit.agreement.cells import Cells, read_cells
from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.fleiss import fleiss_kappa
from dfar_toolkit.agreement.gwet import gwet_ac1
from dfar_toolkit.agreement.observed import percent_agreement
from dfar_toolkit.agreement.planning.dirichlet_multinomial import BELOW_CHANCE, NO_DISSENT, NO_PAIRS, ONE_VALUE
from dfar_toolkit.agreement.planning.drawn_agreement import (
    PlannedLevel,
    PlannedStatistic,
    SimulatedValues,
    population_value,
    simulated_values,
)
from dfar_toolkit.agreement.planning.pilot_urn import Pilot, draw_sets
from dfar_toolkit.agreement.ratings import RatingsLike
from dfar_toolkit.agreement.scales import scale
from dfar_toolkit.estimate import Estimate, Interval

_CELLS: Final = 4_000_000  # ratings simulated at once
_UNDEFINED: Final = 0.05  # share of simulated data sets without an interval above which the rest says little
_EQUAL: Final = 1e-12
_Z: Final = 1.959963984540054  # of the 95 % jackknife intervals
_NOMINAL: Final[dict[str, Callable[..., Estimate | pl.DataFrame]]] = {
    "percent_agreement": percent_agreement,
    "gwet_ac1": gwet_ac1,
    "fleiss_kappa": fleiss_kappa,
}


class FittedPilot(NamedTuple):
    """A pilot, its value of the statistic, the urn's weight ``rho`` that keeps it, and what to know about both.

    ``common`` is C, the variance per item that groups add, ``group_size`` their mean size; 0 and 1 without groups.
    """

    pilot: Pilot
    value: float
    rho: float
    common: float
    group_size: float
    note: str


def plan_interval(
    pilot: RatingsLike,
    *,
    statistic: PlannedStatistic = "krippendorff_alpha",
    level: PlannedLevel = "nominal",
    order: Sequence[str] | None = None,
    items: Sequence[int] = (50, 100, 200, 400),
    raters: Sequence[int] = (2, 3, 5),
    width: float | None = None,
    assurance: float = 0.9,
    n_simulations: int = 200,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Expected width of the interval of an agreement coefficient for each number of items and of raters per item.

    Each design is simulated ``n_simulations`` times from the pilot (see the module). Of each simulated data set the
    interval is value $\pm z \cdot se$, with the linearised standard error
    (``drawn_agreement``), which is the bootstrap's to first order. Cost grows with
    simulations x items x raters squared; the default takes about a second.

    Args:
        pilot: Long ratings, one row per item and rater; items with one rating are left out.
        statistic: Which coefficient.
        level: Level of measurement, for alpha.
        order: Names of the values from lowest to highest, for ordinal text.
        items: Numbers of items to try; with ``group`` in groups of the pilot's mean size.
        raters: Numbers of ratings per item to try, 2 or more.
        width: The wanted width (high minus low), or None.
        assurance: Share of data sets whose interval is at most ``width_assured`` wide.
        n_simulations: Data sets per design.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        confidence: Two-sided coverage asked for.
        seed: Seed; each design has its own stream, so a row does not depend on the other rows.

    Returns:
        One row per design: ``items``, ``raters``, ``ratings`` (their product), ``n_units``, ``unit``, ``pilot`` (the
        pilot's value), ``expected`` (mean simulated value), ``width_median``, ``width_assured``, ``coverage`` (share of
        intervals that hold the pilot's value; ``nan`` with groups, which are not simulated), ``enough`` (whether
        ``width_assured`` is at most ``width``) and ``items_needed`` (items $\cdot$ (width_assured / width)$^2$), both
        null without ``width``, and ``note``.

    Undefined:
        Widths are ``nan`` where the pilot's value is undefined, no two ratings of an item differ, the pilot's groups
        give no error, or more than 5 % of the simulated data sets have no interval (only one value, all alike).

    Raises:
        TableError: As the statistic does.
        ValueError: An argument is out of its range.

    Example:
        >>> votes = ["aab", "aaa", "abb", "bbb", "aaa", "bba", "bbb", "aaa"]
        >>> rows = [(i, who, v) for i, given in enumerate(votes) for who, v in enumerate(given)]
        >>> plan = plan_interval(rows, items=(100, 400), raters=(3,), width=0.2)
        >>> plan.select("ratings", "enough").rows()
        [(300, False), (1200, True)]

    Reference:
        Efron and Tibshirani (1993), ch. 21 (the linearised error). The simulation is described in the module.
    """
    _check(statistic, level, items, raters, n_simulations)
    _check_shares(width, assurance, confidence)
    cells = read_cells(pilot, item=item, rater=rater, value=value, group=group)
    fitted = fit_pilot(cells, statistic, level, order)
    rows = [
        _design(fitted, statistic, level, n, k, width, assurance, n_simulations, confidence, seed)
        for n in items
        for k in raters
    ]
    return pl.DataFrame(
        rows, schema_overrides={"enough": pl.Boolean, "items_needed": pl.Int64}, infer_schema_length=None
    )


def smallest_design(plan: pl.DataFrame) -> pl.DataFrame:
    """The design of a plan that is enough with fewest ratings (then fewest items): one row, or none.

    Args:
        plan: From :func:`plan_interval` with ``width``, or from a plan for two models.

    Returns:
        The row of the design, no row where none is enough.

    Raises:
        ValueError: The plan does not say what is enough.

    Example:
        >>> plan = pl.DataFrame({"items": [50, 100, 60], "ratings": [150, 300, 180], "enough": [False, True, True]})
        >>> smallest_design(plan)["items"].to_list()
        [60]
    """
    missing = [name for name in ("items", "ratings", "enough") if name not in plan.columns]
    if missing or plan["enough"].null_count() == len(plan) > 0:
        raise ValueError("smallest_design: wants a plan that says what is enough; make it with width= (or power=)")
    return plan.filter(pl.col("enough")).sort("ratings", "items").head(1)


def fit_pilot(
    cells: Cells, statistic: PlannedStatistic, level: PlannedLevel, order: Sequence[str] | None
) -> FittedPilot:
    """The pilot as the urn wants it, with the weight that keeps the statistic's value."""
    size = cells.n_per_item
    pairable = cells.only((size >= 2)[cells.item])
    n_single = int((size == 1).sum())
    used = np.unique(pairable.value)
    place = scale(cells.values, used, level, order if statistic == "krippendorff_alpha" else None)
    position = np.unique(place[used])
    code = np.searchsorted(position, place[pairable.value])
    pilot = _urn_of(pairable, code, position)
    value = common = float("nan")
    group_size, note = 1.0, ""
    if len(code):
        value = _own(pairable, position[code], statistic, level, group=False, ci=None).value
        common, group_size, note = _common(pairable, position[code], statistic, level)
    rho, why = _weight(pilot, value, statistic, level)
    left_out = f"{n_single} item{'s' if n_single != 1 else ''} with one rating left out" if n_single else ""
    remarks = "; ".join(filter(None, [why, "" if math.isnan(rho) else note, left_out, *cells.notes]))
    return FittedPilot(pilot, value, rho, common, group_size, remarks)


def simulate(
    fitted: FittedPilot, statistic: PlannedStatistic, level: PlannedLevel, *, items: int, raters: int, n: int, seed: int
) -> SimulatedValues:
    """Values of n simulated data sets, and their standard errors with what groups add."""
    rng = np.random.default_rng([seed, items, raters])
    step = max(1, _CELLS // (items * raters))
    parts = []
    for at in range(0, n, step):
        drawn = draw_sets(fitted.pilot, fitted.rho, n_sets=min(step, n - at), n_items=items, n_raters=raters, rng=rng)
        parts.append(simulated_values(drawn, fitted.pilot, statistic, level))
    se = np.sqrt(np.concatenate([p.se for p in parts]) ** 2 + fitted.common / items)
    return SimulatedValues(np.concatenate([p.value for p in parts]), se)


def _urn_of(cells: Cells, code: np.typing.NDArray[np.intp], position: Floats) -> Pilot:
    """The pairable items, ratings of each sorted, so that names of raters do not matter."""
    _, item = np.unique(cells.item, return_inverse=True)
    size = np.bincount(item).astype(np.int64)
    return Pilot(code[np.lexsort((code, item))].astype(np.int64), np.cumsum(size) - size, size, position)


def _own(
    cells: Cells, numbers: Floats, statistic: PlannedStatistic, level: PlannedLevel, *, group: bool, ci: Interval | None
) -> Estimate:
    """The statistic of the pilot itself, values as numbers."""
    rows = pl.DataFrame({"item_id": cells.item, "annotator_id": cells.rater, "value": numbers})
    column = None
    if group and cells.group is not None:
        rows, column = rows.with_columns(unit=cells.group[cells.item]), "unit"
    if statistic == "krippendorff_alpha":
        found = krippendorff_alpha(rows, level=level, group=column, ci=ci)
    else:
        found = _NOMINAL[statistic](rows, group=column, ci=ci)
    assert isinstance(found, Estimate)
    return found


def _common(
    cells: Cells, numbers: Floats, statistic: PlannedStatistic, level: PlannedLevel
) -> tuple[float, float, str]:
    """The variance per item that the pilot's groups add, their mean size, and why the first is undefined."""
    if cells.group is None:
        return 0.0, 1.0, ""
    n_items = len(np.unique(cells.item))
    size = n_items / len(np.unique(cells.group[np.unique(cells.item)]))
    over = [_own(cells, numbers, statistic, level, group=group, ci="jackknife") for group in (True, False)]
    groups, items = ((one.high - one.low) / (2 * _Z) for one in over)
    if math.isnan(groups) or math.isnan(items):
        return float("nan"), size, "the pilot's groups give no standard error"
    return max(0.0, n_items * (groups**2 - items**2)), size, ""


def _weight(pilot: Pilot, value: float, statistic: PlannedStatistic, level: PlannedLevel) -> tuple[float, str]:
    """The weight of the urn at which the statistic keeps the pilot's value."""
    from scipy.optimize import brentq

    nan = float("nan")
    if not len(pilot.size):
        return nan, NO_PAIRS
    if len(pilot.position) < 2 or math.isnan(value):
        return nan, ONE_VALUE
    if value >= 1 - _EQUAL:
        return nan, NO_DISSENT

    def excess(rho: float) -> float:
        return population_value(pilot, rho, statistic, level) - value

    if excess(0.0) >= 0:
        return 0.0, BELOW_CHANCE if value < 0 or statistic != "percent_agreement" else ""
    if excess(1.0) <= 0:
        return 1.0, "items with many ratings agree more than the others: the simulated value stays below the pilot's"
    return float(brentq(excess, 0.0, 1.0, xtol=1e-14)), ""


def _design(
    fitted: FittedPilot, statistic: PlannedStatistic, level: PlannedLevel, items: int, raters: int,
    width: float | None, assurance: float, n_simulations: int, confidence: float, seed: int,
) -> dict[str, object]:  # fmt: skip
    """One row of the plan."""
    from scipy.stats import norm

    nan = float("nan")
    expected = middle = wide = coverage = nan
    grouped, notes = fitted.group_size > 1, [fitted.note]
    if not math.isnan(fitted.rho + fitted.common):
        values, se = simulate(fitted, statistic, level, items=items, raters=raters, n=n_simulations, seed=seed)
        fine = np.isfinite(values) & (se > _EQUAL)
        absent = int((~fine).sum())
        notes += [f"{absent} of {n_simulations} simulated data sets have no interval"] if absent else []
        expected = float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else nan
        if absent <= _UNDEFINED * n_simulations:
            half = float(norm.ppf(0.5 + confidence / 2)) * se[fine]
            middle, wide = (float(w) for w in np.quantile(2 * half, [0.5, assurance]))
            coverage = nan if grouped else float(np.mean(np.abs(values[fine] - fitted.value) <= half))
    return {
        "items": items,
        "raters": raters,
        "ratings": items * raters,
        "n_units": round(items / fitted.group_size),
        "unit": "groups" if grouped else "items",
        "pilot": fitted.value,
        "expected": expected,
        "width_median": middle,
        "width_assured": wide,
        "coverage": coverage,
        "enough": None if width is None else wide <= width,
        "items_needed": None if width is None or math.isnan(wide) else math.ceil(items * (wide / width) ** 2),
        "note": "; ".join(filter(None, notes)),
    }


def _check(statistic: str, level: str, items: Sequence[int], raters: Sequence[int], n_simulations: int) -> None:
    for name, found, known in (
        ("statistic", statistic, get_args(PlannedStatistic)),
        ("level", level, get_args(PlannedLevel)),
    ):
        if found not in known:
            raise ValueError(f"plan_interval: {name} must be one of {', '.join(known)}, found {found!r}")
    if level != "nominal" and statistic != "krippendorff_alpha":
        raise ValueError(f"plan_interval: {statistic} is nominal, found level {level!r}; leave level away")
    for name, numbers in (("items", items), ("raters", raters)):
        if not len(numbers) or min(numbers) < 2:
            raise ValueError(f"plan_interval: {name} must be whole numbers of 2 or more, found {list(numbers)}")
    if n_simulations < 2:
        raise ValueError(f"plan_interval: n_simulations must be at least 2, found {n_simulations}")


def _check_shares(width: float | None, assurance: float, confidence: float) -> None:
    for name, share in (("assurance", assurance), ("confidence", confidence)):
        if not 0 < share < 1:
            raise ValueError(f"plan_interval: {name} must lie between 0 and 1, found {share}")
    if width is not None and not width > 0:
        raise ValueError(f"plan_interval: width must be above 0, found {width}")
