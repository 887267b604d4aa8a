"""Estimates from rows of numbers per item whose sums over resampling units a formula takes, however wide the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from dfar_toolkit.agreement.continuous.numbers import Panel, with_notes
from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.estimate import Estimate, Interval, collapse, estimate_by_weights

_NARROW: Final = 16  # columns up to which equal rows are looked for
_FEW: Final = 100  # units below which intervals from resampled moments cover 88 to 93 % where 95 are asked


def estimate_rows(
    name: str,
    panel: Panel,
    rows: Any,
    formula: Callable[[Floats, Floats], Floats],
    *,
    ci: Interval | None,
    confidence: float,
    n_boot: int,
    seed: int,
    undefined: str,
) -> Estimate:
    """The estimate of a formula of the number of items and the column sums of their rows.

    Args:
        name: Name printed with the number.
        panel: The items.
        rows: One row per item (N, D), a dense array or a scipy.sparse.csr_array.
        formula: Numbers of items (B,) and column sums (B, D) -> values (B,).
        ci: ``bootstrap`` or ``jackknife`` over the units, or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        undefined: The note where there is no value.

    Returns:
        The estimate; n counts items. Below 50 units the note says that the interval is too short.
    """
    units = _merged(panel, rows)

    def statistic(weights: Floats) -> Floats:
        return formula(weights @ units.size, np.asarray(weights @ units.rows))

    how = (ci, confidence, n_boot, seed)
    return _estimate(name, panel, units.times, statistic, how, undefined)


def estimate_apart(
    name: str,
    panel: Panel,
    rows: Any,
    formula: Callable[[Floats, Floats, Floats], Floats],
    *,
    ci: Interval | None,
    confidence: float,
    n_boot: int,
    seed: int,
    undefined: str,
) -> Estimate:
    """As :func:`estimate_rows`, of a formula that also takes the column sums (B, D) under squared weights.

    Units with equal rows stay apart, because the square of their common weight is not that of each.
    """
    units = _summed(panel, rows)

    def statistic(weights: Floats) -> Floats:
        sums, squared = (np.asarray(w @ units.rows) for w in (weights, weights**2))
        return formula(weights @ units.size, sums, squared)

    how = (ci, confidence, n_boot, seed)
    return _estimate(name, panel, units.times, statistic, how, undefined)


class _Units(NamedTuple):
    """Rows of the units (U, D), their numbers of items (U,) and how often each occurs (U,)."""

    rows: Any
    size: Floats
    times: Floats


def _estimate(
    name: str,
    panel: Panel,
    times: Floats,
    statistic: Callable[[Floats], Floats],
    how: tuple[Interval | None, float, int, int],
    undefined: str,
) -> Estimate:
    ci, confidence, n_boot, seed = how
    found = estimate_by_weights(
        name,
        times,
        statistic,
        n=panel.n_items,
        unit=panel.unit,
        ci=ci,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
        undefined=undefined,
    )
    short = not np.isnan(found.low) and found.n_units < _FEW
    return with_notes(found, f"{ci} intervals are too short below {_FEW} {found.unit}" if short else "")


def _merged(panel: Panel, rows: Any) -> _Units:
    n = panel.n_items
    if isinstance(rows, np.ndarray) and (rows.shape[1] <= _NARROW or n == 0):
        groups = panel.owner if panel.unit != "items" else None
        found = collapse(np.column_stack([np.ones(n), rows]), groups=groups)
        return _Units(found.rows[:, 1:], found.rows[:, 0], found.times)
    return _summed(panel, rows)


def _summed(panel: Panel, rows: Any) -> _Units:
    n = panel.n_items
    if panel.unit == "items":
        return _Units(rows, np.ones(n), np.ones(n))
    import scipy.sparse as sparse

    size = np.bincount(panel.owner).astype(np.float64)
    belongs = sparse.csr_array((np.ones(n), (panel.owner, np.arange(n))), shape=(len(size), n))
    return _Units(belongs @ rows, size, np.ones(len(size)))
