r"""Gaps between parts of the items: a score within each value of a metadata column minus the same score elsewhere.

All parts share one set of draws, so the simultaneous intervals (max-t) and Holm's correction know how the gaps depend
on each other. Cost: items x parts x width of the score's rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import (
    Additive,
    Estimate,
    Floats,
    estimates_frame,
    mean_of,
    resampled_sums,
    unit_rows,
)
from dfar_toolkit.estimate.additive import EXACT_UNITS, NORMAL_SUMS
from dfar_toolkit.metrics.judging.multiple_testing import holm
from dfar_toolkit.metrics.labels import Column, pair_labels

_PARTS: Final = 500  # most values of the column
_CELLS: Final = 200_000_000  # items x values x width of the rows: 1.6 GB
_UNDEFINED: Final = 0.05
_EQUAL: Final = 1e-12


def subgroup_gaps(
    frame: pl.DataFrame,
    *,
    by: str,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    min_units: int = 10,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Accuracy on the items with each value of a column, minus accuracy on all other items.

    Args:
        frame: One row per item.
        by: Column of the item's metadata (source, genre, target group, ...); items without a value are left out.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer, which is wrong.
        group: Column or values (N,) of the resampling unit.
        options: Names of the labels in order; None means those that occur.
        min_units: Items or groups below which a value is described, not tested.
        confidence: Coverage of all intervals together.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        As :func:`gaps_of`.

    Raises:
        TableError: A gold label is null, a label is not an option, or the column has more than 500 values.
        ValueError: A column is missing.

    Example:
        >>> frame = pl.DataFrame({"label": list("aaaa"), "label_pred": list("aaab"), "genre": list("xxyy")})
        >>> subgroup_gaps(frame, by="genre").select("value_of", "value", "inside", "outside").rows()
        [('x', 0.5, 1.0, 0.5), ('y', -0.5, 0.5, 1.0)]
    """
    if by not in frame.columns:
        found = ", ".join(f'"{c}"' for c in frame.columns)
        raise ValueError(f'subgroup_gaps: the frame has no column "{by}" for by; found {found}')
    pairs = pair_labels("subgroup_gaps", frame, gold=gold, pred=pred, group=group, options=options)
    score = mean_of("accuracy", "accuracy", pairs.gold == pairs.pred)
    return gaps_of(
        score, by=frame[by], groups=pairs.groups, min_units=min_units, confidence=confidence, n_boot=n_boot, seed=seed
    )


def gaps_of(
    score: Additive,
    *,
    by: pl.Series | Sequence[object],
    groups: pl.Series | None = None,
    min_units: int = 10,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Any additive score within each part of the items minus the same score over the rest.

    With $T_v$ over the items of value v and $T_{-v}$ over the others, $\Delta_v = T_v - T_{-v}$ and its bootstrap
    standard error $s_v$: the intervals $\Delta_v \pm q s_v$ hold together, q being the quantile of
    $\max_v |\Delta^*_v - \Delta_v| / s_v$ over the draws.

    Args:
        score: The statistic; N rows.
        by: Value of each item (N,), text or whole numbers; null is left out and counted.
        groups: Resampling unit of each item (N,), or None.
        min_units: Units below which a value, or its rest, is described, not tested.
        confidence: Coverage of all intervals together.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows sorted by value: ``metric``, ``value_of`` (the value, as text), Estimate's fields of the gap with
        simultaneous intervals (``n`` items of the value, ``n_units`` their units), ``inside``, ``outside`` (the two
        scores), ``p_value`` (share of draws whose studentised distance from the gap reaches the gap's own from 0),
        ``p_holm``. Of two values one gap is the other's mirror: they are one test.

    Undefined:
        The gap where the score is on either side. Interval and p below ``min_units``, and where every draw gives a
        side the same score (nobody, or everybody, is wrong there): a bootstrap then knows nothing of its error.

    Raises:
        TableError: More than 500 values.
        ValueError: ``by`` has not N values.

    Example:
        >>> score = mean_of("accuracy", "accuracy", [1, 1, 1, 0])
        >>> gaps_of(score, by=["x", "x", "y", "y"])["note"][0]
        'described, not tested: fewer than 10 items'

    Reference:
        Westfall and Young (1993), Resampling-Based Multiple Testing (max-t); Holm (1979), Scand. J. Stat. 6:65-70.
    """
    values = (by if isinstance(by, pl.Series) else pl.Series("by", by)).cast(pl.String)
    if len(values) != len(score.rows):
        raise ValueError(f"gaps_of: by has {len(values)} values for {len(score.rows)} items; give one per item")
    if n_boot < 2:
        raise ValueError(f"gaps_of: n_boot must be at least 2, found {n_boot}")
    if not 0 < confidence < 1:
        raise ValueError(f"gaps_of: confidence must lie between 0 and 1, found {confidence}")
    known = values.is_not_null()
    left = len(known) - int(known.sum())
    note = f"{left} of {len(known)} items without a value left out" if left else ""
    names = values.drop_nulls().unique().sort().to_list()
    if len(names) > _PARTS:
        raise TableError(f"gaps_of: at most {_PARTS} values can be compared, found {len(names)}; group them first.")
    own = groups.filter(known) if groups is not None else None
    if len(names) * score.rows.shape[1] * len(own if own is not None else score.rows) > _CELLS:
        raise TableError(f"gaps_of: {len(names)} values of {len(known)} items are too many at once; group the values.")
    parts = _parts(score, values.drop_nulls(), names, known.to_numpy(), own, n_boot, seed)
    gaps = [_gap(parts, place, score, min_units, confidence, note) for place in range(len(names))]
    return _frame(score.metric, names, gaps, parts, confidence)


class _Parts(NamedTuple):
    """Scores inside and outside each of V values: points (V,), draws (B, V); items, units of both sides; the unit."""

    inside: Floats
    outside: Floats
    inside_draws: Floats
    outside_draws: Floats
    n: list[int]
    units: list[tuple[int, int]]
    unit: str
    method: str


class _Gap(NamedTuple):
    estimate: Estimate
    tested: bool


def _parts(
    score: Additive,
    values: pl.Series,
    names: list[str],
    keep: npt.NDArray[np.bool_],
    groups: pl.Series | None,
    n_boot: int,
    seed: int,
) -> _Parts:
    rows = score.rows[keep]
    width, n = rows.shape[1], len(rows)
    code = values.cast(pl.Enum(names)).to_physical().cast(pl.Int64).to_numpy()
    spread = np.zeros((n, len(names), width))
    spread[np.arange(n), code] = rows
    units, unit = unit_rows(spread.reshape(n, len(names) * width), groups=groups)
    sums = resampled_sums(units, n_boot, seed) if len(units) > 1 else np.empty((0, units.shape[1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        point = [_sides(score, units.sum(axis=0)[None, :], place, width) for place in range(len(names))]
        draws = [_sides(score, sums, place, width) for place in range(len(names))]
    n_units = []
    for place in range(len(names)):
        here = pl.Series(code == place)
        counted = [int(s.sum()) if groups is None else groups.filter(s).n_unique() for s in (here, ~here)]
        n_units.append((counted[0], counted[1]))
    method = ("bootstrap" if len(units) <= EXACT_UNITS else NORMAL_SUMS) + f", max-t over {len(names)} values"
    return _Parts(
        np.array([p[0][0] for p in point]), np.array([p[1][0] for p in point]),
        np.array([d[0] for d in draws]).T, np.array([d[1] for d in draws]).T,
        np.bincount(code, minlength=len(names)).tolist(), n_units, unit, method,
    )  # fmt: skip


def _sides(score: Additive, sums: Floats, place: int, width: int) -> tuple[Floats, Floats]:
    """The score of sums (B, V x width) inside the value at ``place`` and outside it (B,)."""
    own = sums[:, place * width : (place + 1) * width]
    whole = sums.reshape(len(sums), -1, width).sum(axis=1)
    return score.formula(own), score.formula(whole - own)


def _gap(parts: _Parts, place: int, score: Additive, min_units: int, confidence: float, note: str) -> _Gap:
    """The gap without its interval, and whether it can be tested."""
    nan, (inside, outside) = float("nan"), (parts.inside[place], parts.outside[place])
    few = min(parts.units[place]) < max(2, min_units)
    notes = [note]
    if not np.isfinite(inside - outside):
        which = "within the value" if not np.isfinite(inside) else "outside the value"
        notes.insert(0, f"{which}: {score.undefined}" if min(parts.units[place]) else "no items outside the value")
        value, tested = nan, False
    elif few:
        notes.insert(0, f"described, not tested: fewer than {max(2, min_units)} {parts.unit}")
        value, tested = float(inside - outside), False
    else:
        why = _untestable(parts.inside_draws[:, place], parts.outside_draws[:, place])
        notes.insert(0, why)
        value, tested = float(inside - outside), not why
    estimate = Estimate(
        f"{score.name}, within minus outside", value, nan, nan, parts.n[place], parts.units[place][0], parts.unit,
        "items", parts.method, confidence, "; ".join(filter(None, [*notes, score.note])),
    )  # fmt: skip
    return _Gap(estimate, tested)


def _untestable(inside: Floats, outside: Floats) -> str:
    both = np.isfinite(inside) & np.isfinite(outside)
    if int((~both).sum()) > _UNDEFINED * len(both):
        return f"no interval: {int((~both).sum())} of {len(both)} draws undefined"
    if any(float(np.ptp(side[both])) <= _EQUAL for side in (inside, outside)):
        return "no interval: every draw gives one side the same score"
    return ""


def _frame(metric: str, names: list[str], gaps: list[_Gap], parts: _Parts, confidence: float) -> pl.DataFrame:
    tested = [k for k, gap in enumerate(gaps) if gap.tested]
    estimates = [gap.estimate for gap in gaps]
    p = np.full(len(gaps), np.nan)
    corrected = np.full(len(gaps), np.nan)
    if tested:
        draws = (parts.inside_draws - parts.outside_draws)[:, tested]
        draws = draws[np.isfinite(draws).all(axis=1)]
        value = np.array([estimates[k].value for k in tested])
        se = draws.std(axis=0, ddof=1)
        away = np.abs(draws - value) / se
        q = float(np.quantile(away.max(axis=1), confidence))
        p[tested] = (1 + (away >= np.abs(value) / se).sum(axis=0)) / (1 + len(draws))
        mirrored = len(names) == 2
        corrected[tested] = p[tested] if mirrored else holm(p[tested])
        for place, k in enumerate(tested):
            e = estimates[k]
            estimates[k] = replace(e, low=e.value - q * float(se[place]), high=e.value + q * float(se[place]))
    beside = pl.DataFrame(
        {"metric": [metric] * len(names), "value_of": names}, schema={"metric": pl.String, "value_of": pl.String}
    )
    tests = pl.DataFrame(
        {"inside": parts.inside, "outside": parts.outside, "p_value": p, "p_holm": corrected},
        schema=dict.fromkeys(("inside", "outside", "p_value", "p_holm"), pl.Float64),
    ).with_columns(pl.col("p_value", "p_holm").fill_nan(None))
    return pl.concat([beside, estimates_frame(estimates), tests], how="horizontal")
