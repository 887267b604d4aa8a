"""One statistic for each of many options, all from one set of draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from dfar_toolkit.estimate import Estimate, Floats, Patterns, bootstrap_weights, estimate_by_weights, interval_of_draws

_CELLS: Final = 4_000_000  # weights held at once


def estimate_options(
    names: Sequence[str],
    patterns: Patterns,
    formula: Callable[[Floats], Floats],
    *,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    undefined: Sequence[str],
) -> list[Estimate]:
    """As :func:`~dfar_toolkit.estimate.estimate` of each of K options, with the same draws and so the same numbers.

    The weights of the draws depend on the units alone, so they are drawn once and the formula is taken of all options
    together: B draws of P patterns cost B P (1 + D), not K times that.

    Args:
        names: Name printed with each number (K,).
        patterns: Rows (P, D) and how often each occurs.
        formula: Column sums (B, D) -> values (B, K); ``nan`` where undefined.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.
        undefined: The note of each where its value is ``nan`` (K,).

    Returns:
        One estimate per option, in order.

    Undefined:
        As :func:`~dfar_toolkit.estimate.estimate`.

    Raises:
        ValueError: An argument is impossible.

    Example:
        >>> from dfar_toolkit.estimate import collapse
        >>> shares = estimate_options(["a", "b"], collapse([[1, 0], [1, 0], [0, 1], [1, 0]]), lambda s: s / 4,
        ...                           undefined=["", ""])
        >>> [e.value for e in shares]
        [0.75, 0.25]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        values = formula(patterns.times[None, :] @ patterns.rows)[0] if names else np.empty(0)
    points = [
        estimate_by_weights(
            name, patterns.times, partial(_constant, float(value)), n=patterns.n, unit=patterns.unit, ci=None,
            confidence=confidence, n_boot=n_boot, seed=seed, undefined=why,
        )
        for name, value, why in zip(names, values, undefined, strict=True)
    ]  # fmt: skip
    points = [replace(point, method="bootstrap") for point in points]
    drawn = np.isfinite([point.value for point in points])
    if not drawn.any():
        return points
    if patterns.n_units < 2:
        why = f"no interval: one unit ({patterns.unit}) only"
        return [replace(point, note=why) if known else point for point, known in zip(points, drawn, strict=True)]
    draws = _draws(patterns, formula, n_boot, seed)
    return [interval_of_draws(p, own) if known else p for p, own, known in zip(points, draws.T, drawn, strict=True)]


def _constant(value: float, weights: Floats) -> Floats:
    return np.full(len(weights), value)


def _draws(patterns: Patterns, formula: Callable[[Floats], Floats], n_boot: int, seed: int) -> Floats:
    """The formula in each draw (B, K)."""
    if n_boot < 1:
        raise ValueError(f"estimate: n_boot must be at least 1, found {n_boot}")
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // len(patterns.times))
    parts = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for start in range(0, n_boot, step):
            weights = bootstrap_weights(patterns.times, min(step, n_boot - start), rng)
            parts.append(formula(weights @ patterns.rows))
    return np.concatenate(parts)
