"""Permutation test that two runs are exchangeable on every item, for any additive statistic."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from dfar_toolkit.estimate import Floats, Formula
from dfar_toolkit.estimate.normal_limit import canonical_order, rare_units

ENUMERATED: Final = 14  # up to this many units that differ, every pattern of swaps is tried
_DRAWN: Final = 20_000  # units that differ, above which sums of swaps are drawn from their normal limit
_CELLS: Final = 4_000_000
_ROUNDING: Final = 1e-9


class SwapTest(NamedTuple):
    """``p`` of the test, how it was made, and how many units tell the runs apart."""

    p: float
    method: str
    n_differ: int


def swap_test(a: Floats, b: Floats, formula: Formula, *, n_perm: int = 10_000, seed: int = 0) -> SwapTest:
    r"""Probability of a difference at least this large if the runs' answers were swapped at random, unit by unit.

    With unit rows $a_u, b_u$ (U, D), sums $S_a, S_b$ and signs $\sigma_u = \pm 1$ of equal chance: under exchange
    $S_a' = \frac{S_a + S_b}{2} + \frac12 \sum_u \sigma_u (a_u - b_u)$, $S_b'$ with the opposite sign, and p is the
    share of sign patterns with $|f(S_b') - f(S_a')| \ge |f(S_b) - f(S_a)|$: all $2^m$ patterns for up to 14 units
    that differ, else of ``n_perm`` random ones, the one found counted with them. Above 20,000 differing units the
    sums are drawn from their normal limit, but for the few units that some sum hangs on. Cost: ``n_perm`` x differing
    units x D.

    Args:
        a: Rows of the first run, one per resampling unit (U, D).
        b: Rows of the second run, same units in the same order.
        formula: Column sums (B, D) -> values (B,).
        n_perm: Random patterns where there are too many to try all.
        seed: Seed of the patterns.

    Returns:
        The p-value, ``nan`` where the statistic has no value on the data; patterns on which it has none are counted
        in ``method`` and left out.

    Example:
        Three units that only the second run has right, one that only the first has: of 16 patterns 10 are as extreme.

        >>> a, b = np.array([[0.0], [0.0], [0.0], [1.0]]), np.array([[1.0], [1.0], [1.0], [0.0]])
        >>> swap_test(a, b, lambda s: s[:, 0] / 4).p
        0.625

    Reference:
        Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9(1):39; swapping labels of two systems: Noreen (1989),
        Computer-intensive methods for testing hypotheses, chapter 2.
    """
    half = (a - b) / 2
    half = half[(half != 0).any(axis=1)]
    middle = (a.sum(axis=0) + b.sum(axis=0)) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        found = float(_distance(middle, half.sum(axis=0)[None, :], formula)[0])
        if not np.isfinite(found):
            return SwapTest(float("nan"), "no test: a value is undefined", len(half))
        if not len(half):
            return SwapTest(1.0, "swap test, no unit differs", 0)
        exact = len(half) <= ENUMERATED
        moved = _all_swaps(half) if exact else _random_swaps(half, n_perm, seed)
        values = _distance(middle, moved, formula)
    known = values[np.isfinite(values)]
    extreme = int((known >= found - _ROUNDING * max(1.0, found)).sum())
    lost = len(values) - len(known)
    said = f"; undefined on {lost}" if lost else ""
    if exact:
        return SwapTest(extreme / len(known), f"swap test, all {len(values)} patterns{said}", len(half))
    return SwapTest((1 + extreme) / (1 + len(known)), f"swap test, {len(values)} draws{said}", len(half))


def _distance(middle: Floats, moved: Floats, formula: Formula) -> Floats:
    distance: Floats = np.abs(formula(middle - moved) - formula(middle + moved))
    return distance


def _all_swaps(half: Floats) -> Floats:
    m = len(half)
    bits = (np.arange(2**m)[:, None] >> np.arange(m)) & 1
    moved: Floats = (1.0 - 2.0 * bits.astype(np.float64)) @ half
    return moved


def _random_swaps(half: Floats, n_perm: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    if len(half) > _DRAWN:
        # A sum that few units can change is not normal: those are swapped one by one.
        rare = rare_units(half)
        values, vectors = np.linalg.eigh(half[~rare].T @ half[~rare])
        root = vectors * np.sqrt(np.clip(values, 0.0, None))
        limit: Floats = rng.standard_normal((n_perm, half.shape[1])) @ root.T
        few = half[rare]
        return limit + _swapped(few[canonical_order(few)], n_perm, rng)
    return _swapped(half, n_perm, rng)


def _swapped(half: Floats, n_perm: int, rng: np.random.Generator) -> Floats:
    """Half sums (B, D) of random signs, drawn unit by unit."""
    if not len(half):
        return np.zeros((n_perm, half.shape[1]))
    step = max(1, _CELLS // len(half))
    parts = []
    for start in range(0, n_perm, step):
        signs = rng.integers(0, 2, size=(min(step, n_perm - start), len(half)), dtype=np.int8)
        parts.append((2.0 * signs - 1.0) @ half)
    return np.concatenate(parts)
