"""Paired differences of every additive metric between any number of runs on the same items."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import (
    Additive,
    Draws,
    Estimate,
    Floats,
    draw_together,
    estimates_frame,
    interval_of_draws,
    unit_rows,
)
from dfar_toolkit.metrics.comparing.equivalence import equivalence_p
from dfar_toolkit.metrics.comparing.swap_test import SwapTest, swap_test
from dfar_toolkit.metrics.paired import mcnemar_test

PRIMARY, EXPLORATORY = "primary", "exploratory"


class _Pair(NamedTuple):
    metric: str
    run_a: str
    run_b: str
    place_a: int
    place_b: int


def paired_differences(
    runs: Mapping[str, Sequence[Additive]],
    *,
    groups: npt.ArrayLike | pl.Series | None = None,
    primary: str = "accuracy",
    margin: float | None = None,
    untested: Collection[str] = (),
    together: int = 1,
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_perm: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Differences of all pairs of runs on every metric, with intervals, permutation tests and one declared family.

    For runs $a, b$ and a metric $f$ of column sums: $f(S_b) - f(S_a)$, bootstrap over the same resampled groups for
    all runs. p is the exact McNemar test where each item stands alone and is right or wrong, else a test by swapping
    the runs' answers unit by unit; ``test`` says which. The family of tests is all pairs on the one ``primary``
    metric: their p is corrected by Holm, their simultaneous intervals are $d \pm q \, se$ with $q$ the quantile of
    the largest $|d^* - d| / se$ over the pairs (max-t). Everything else is called exploratory and left uncorrected.
    With ``margin``, ``p_equivalent`` is that of two one-sided tests that the difference lies within it; a p above .05
    never says that two runs are alike.

    Args:
        runs: Run id to its additive statistics, all of the same N items and the same metrics in the same order.
        groups: Resampling unit of each item (N,), or None.
        primary: The metric whose pairs are the family.
        margin: Half width of the range of differences of the primary metric that do not matter, in its units.
        untested: Metrics that swapping answers does not test, as an item's row depends on the run's other answers;
            they have no p.
        together: How many tables like this one (of other items) make up the family: the error of the simultaneous
            intervals is shared evenly among them. Their p are corrected by whoever has all the tables.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        n_perm: Random swaps of the permutation test.
        seed: Seed of draws and swaps.

    Returns:
        Rows ``metric, run_a, run_b`` and Estimate's fields (second minus first), then ``p_value, test, family,
        p_holm, low_simultaneous, high_simultaneous, p_equivalent``; null where they do not apply.

    Undefined:
        A difference where either value is.

    Raises:
        ValueError: Fewer than two runs, runs of different items or metrics, an unknown primary metric.

    Example:
        >>> from dfar_toolkit.estimate import mean_of
        >>> runs = {r: [mean_of("accuracy", "accuracy", x)] for r, x in {"a": [1, 0, 0, 0], "b": [1, 1, 1, 0]}.items()}
        >>> paired_differences(runs).select("run_a", "run_b", "value", "p_value").rows()
        [('a', 'b', 0.5, 0.5)]

    Reference:
        Westfall and Young (1993), Resampling-based multiple testing (max-t); Holm (1979), Scand. J. Stat. 6(2):65-70.
    """
    names, metrics = _checked(runs, primary)
    flat = [score for name in names for score in runs[name]]
    drawn = draw_together(flat, groups=groups, n_boot=n_boot, seed=seed)
    found, tests, pairs = [], [], []
    for k, metric in enumerate(metrics):
        for one, two in combinations(range(len(names)), 2):
            pair = _Pair(metric, names[one], names[two], one * len(metrics) + k, two * len(metrics) + k)
            pairs.append(pair)
            found.append(_difference(pair, flat, drawn, confidence))
            untestable = metric in untested
            tests.append(None if untestable else _test(flat[pair.place_a], flat[pair.place_b], groups, n_perm, seed))
    frame = estimates_frame(found, beside=[{"metric": p.metric, "run_a": p.run_a, "run_b": p.run_b} for p in pairs])
    frame = frame.with_columns(
        pl.Series("p_value", [t.p if t else None for t in tests], dtype=pl.Float64).fill_nan(None),
        pl.Series("test", [t.method if t else None for t in tests], dtype=pl.String),
    )
    level = 1 - (1 - confidence) / together
    return _with_family(frame, pairs, drawn, primary=primary, margin=margin, confidence=level)


def _checked(runs: Mapping[str, Sequence[Additive]], primary: str) -> tuple[list[str], list[str]]:
    names = list(runs)
    if len(names) < 2:
        raise ValueError(f"paired_differences: at least two runs are wanted, found {len(names)}")
    metrics = [s.metric for s in runs[names[0]]]
    for name in names[1:]:
        other = [s.metric for s in runs[name]]
        if other != metrics:
            raise ValueError(
                f"paired_differences: all runs need the same metrics; {names[0]!r} has {', '.join(metrics)}, "
                f"{name!r} has {', '.join(other)}"
            )
    if primary not in metrics:
        raise ValueError(f"paired_differences: primary must be one of {', '.join(metrics)}, found {primary!r}")
    return names, metrics


def _difference(pair: _Pair, flat: Sequence[Additive], drawn: Draws, confidence: float) -> Estimate:
    nan, a, b = float("nan"), drawn.points[pair.place_a], drawn.points[pair.place_b]
    name = f"{flat[pair.place_a].name} of {pair.run_b} minus {pair.run_a}"
    point = Estimate(name, nan, nan, nan, drawn.n, drawn.n_units, drawn.unit, "items", drawn.method, confidence)
    if not (np.isfinite(a) and np.isfinite(b)):
        which = pair.run_a if not np.isfinite(a) else pair.run_b
        place = pair.place_a if not np.isfinite(a) else pair.place_b
        why = "no items" if not drawn.n else f"undefined for {which}: {flat[place].undefined}"
        return replace(point, note=why)
    note = f"{pair.run_a} {a:.3f}, {pair.run_b} {b:.3f}"
    point = replace(point, value=float(b - a), note=note)
    if drawn.n_units < 2 or not len(drawn.draws):
        return replace(point, note=f"{note}; no interval: one unit ({drawn.unit}) only")
    return interval_of_draws(point, drawn.draws[:, pair.place_b] - drawn.draws[:, pair.place_a])


def _test(a: Additive, b: Additive, groups: npt.ArrayLike | pl.Series | None, n_perm: int, seed: int) -> SwapTest:
    """McNemar's exact test where items stand alone and are right or wrong, else swaps by unit."""
    rows_a, rows_b = unit_rows_of_pair(a.rows, b.rows, groups)
    if len(rows_a) == len(a.rows) and _right_or_wrong(a.rows) and _right_or_wrong(b.rows):
        found = mcnemar_test(a.rows[:, 0], b.rows[:, 0])
        return SwapTest(found.value, found.method, int((a.rows[:, 0] != b.rows[:, 0]).sum()))
    return swap_test(rows_a, rows_b, a.formula, n_perm=n_perm, seed=seed)


def _right_or_wrong(rows: Floats) -> bool:
    """Whether a statistic is the mean of ones and zeros."""
    return rows.shape[1] == 2 and bool((rows[:, 1] == 1).all() and np.isin(rows[:, 0], (0, 1)).all())


def unit_rows_of_pair(a: Floats, b: Floats, groups: npt.ArrayLike | pl.Series | None) -> tuple[Floats, Floats]:
    """Rows of two runs (N, D) added up by group, in one order for both."""
    rows, _ = unit_rows(np.concatenate([a, b], axis=1), groups=groups)
    return rows[:, : a.shape[1]], rows[:, a.shape[1] :]


def _with_family(
    frame: pl.DataFrame, pairs: list[_Pair], drawn: Draws, *, primary: str, margin: float | None, confidence: float
) -> pl.DataFrame:
    """Which rows are the declared family, and its corrected p and simultaneous intervals."""
    from dfar_toolkit.metrics.judging.multiple_testing import holm

    places = [k for k, p in enumerate(pairs) if p.metric == primary]
    corrected: list[float | None] = [None] * len(pairs)
    low: list[float | None] = [None] * len(pairs)
    high: list[float | None] = [None] * len(pairs)
    p = frame["p_value"]
    tested = [k for k in places if p[k] is not None]
    for k, value in zip(tested, holm([float(p[k]) for k in tested]), strict=True):
        corrected[k] = float(value)
    for k, ends in zip(places, _simultaneous([pairs[k] for k in places], drawn, confidence), strict=True):
        low[k], high[k] = ends
    same = [
        equivalence_p(drawn.draws[:, q.place_b] - drawn.draws[:, q.place_a], margin)
        if margin is not None and q.metric == primary
        else None
        for q in pairs
    ]
    number = pl.Float64
    return frame.with_columns(
        pl.Series("family", [PRIMARY if q.metric == primary else EXPLORATORY for q in pairs], dtype=pl.String),
        pl.Series("p_holm", corrected, dtype=number),
        pl.Series("low_simultaneous", low, dtype=number),
        pl.Series("high_simultaneous", high, dtype=number),
        pl.Series("p_equivalent", same, dtype=number).fill_nan(None),
    )


def _simultaneous(family: list[_Pair], drawn: Draws, confidence: float) -> list[tuple[float | None, float | None]]:
    """Max-t intervals of the pairs of one metric, from the joint draws."""
    d = np.array([drawn.points[p.place_b] - drawn.points[p.place_a] for p in family])
    draws = np.column_stack([drawn.draws[:, p.place_b] - drawn.draws[:, p.place_a] for p in family])
    if not len(draws):
        return [(None, None)] * len(family)
    known = np.isfinite(d)  # a pair without a value takes no other pair's interval
    whole = draws[np.isfinite(draws[:, known]).all(axis=1)]
    se = np.full(len(family), np.nan)
    if len(whole) > 1:
        se[known] = whole[:, known].std(axis=0, ddof=1)
    spread = known & (se > 0)
    beyond = (1 - confidence) * len(whole)  # draws outside the quantile: of a shared error there may be none
    if not spread.any() or len(whole) < 0.95 * len(draws) or beyond < 1 - 1e-9:
        return [(None, None)] * len(family)
    largest = np.abs((whole[:, spread] - d[spread]) / se[spread]).max(axis=1)
    q = float(np.quantile(largest, confidence))
    return [
        (float(d[k] - q * se[k]), float(d[k] + q * se[k])) if spread[k] else (None, None) for k in range(len(family))
    ]
