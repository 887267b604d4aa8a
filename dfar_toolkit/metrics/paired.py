"""Is the difference between two runs on the same items more than chance? Exact McNemar, and a sign-flip by group."""

from __future__ import annotations

import math
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Estimate, Floats, collapse

_ENUMERATED: Final = 16  # up to this many groups every pattern of signs is tried
_EXACT: Final = 1000  # throws up to which the binomial is summed in whole numbers
_ROUNDING: Final = 1e-9
_TOGETHER: Final = 16  # from so many groups of equal size on, one binomial is drawn faster than their signs
_CELLS: Final = 4_000_000  # signs drawn at a time


def mcnemar_test(a_right: npt.ArrayLike, b_right: npt.ArrayLike) -> Estimate:
    r"""Exact McNemar test that two runs are right equally often.

    With $b$ items that only the first has right and $c$ that only the second has:
    $p = \min(1, 2 P(X \le \min(b, c)))$, $X \sim Bin(b + c, 1/2)$.

    Args:
        a_right: Whether the first run is right (N,), independent items.
        b_right: Whether the second run is right (N,).

    Returns:
        ``value`` is p; ``method`` says ``exact McNemar``.

    Undefined:
        No items. Without a discordant item p is 1.

    Raises:
        ValueError: The lengths differ.

    Example:
        >>> mcnemar_test([1, 1, 1, 1, 0], [0, 0, 0, 0, 0]).value
        0.125

    Reference:
        McNemar (1947), Psychometrika 12(2):153-157; its exact form, the binomial test of the discordant pairs.
    """
    a, b = np.asarray(a_right, dtype=bool), np.asarray(b_right, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"mcnemar_test: a_right has {a.size} items, b_right has {b.size}; they must be the same items")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    differ = only_a + only_b
    p = min(1.0, 2 * fair_coin_tail(min(only_a, only_b), differ)) if a.size else float("nan")
    note = f"only the first right on {only_a}, only the second on {only_b}" if a.size else "no items"
    return _p_value(p, n=a.size, n_units=a.size, unit="items", method="exact McNemar", note=note)


def fair_coin_tail(k: int, n: int) -> float:
    """P(X <= k) of X ~ Bin(n, 1/2): exact fractions up to 1,000 throws.

    Example:
        >>> fair_coin_tail(1, 3), fair_coin_tail(0, 0), fair_coin_tail(-1, 3)
        (0.5, 1.0, 0.0)
    """
    if k < 0:
        return 0.0
    if n <= _EXACT:
        return sum(math.comb(n, j) for j in range(min(k, n) + 1)) / (1 << n)
    from scipy.special import bdtr

    return float(bdtr(k, n, 0.5))


def sign_flip_test(
    differences: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | pl.Series | None = None,
    n_perm: int = 10_000,
    seed: int = 0,
) -> Estimate:
    r"""Permutation test that paired differences have mean zero, flipping whole groups.

    If the runs are exchangeable, the sum $D_g$ of a group's differences is as likely as $-D_g$. With
    $T = |\sum_g D_g|$, p is the share of sign patterns whose T is at least the one found: of all $2^m$ patterns for
    up to 16 groups with $D_g \ne 0$; else of ``n_perm`` random ones, the one found counted with them.

    Args:
        differences: One number per item (N,).
        groups: Group of each item (N,), or None where every item is its own.
        n_perm: Random sign patterns where there are too many to try all.
        seed: Seed of the random patterns.

    Returns:
        ``value`` is p; ``method`` says whether all patterns were tried.

    Undefined:
        No items. Without a group that differs p is 1.

    Example:
        >>> sign_flip_test([1, 1, 1, -1]).value
        0.625

    Reference:
        Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9(1):39 (random patterns, the one found counted).
    """
    if n_perm < 1:
        raise ValueError(f"sign_flip_test: n_perm must be at least 1, found {n_perm}")
    x = np.asarray(differences, dtype=np.float64).ravel()
    units = collapse(x, groups=groups)
    verdict = partial(_p_value, n=len(x), n_units=units.n_units, unit=units.unit)
    word = "group" if units.unit == "groups" else "item"
    if not len(x):
        return verdict(float("nan"), method=f"sign-flip by {word}", note="no items")
    sums = np.repeat(units.rows[:, 0], units.times.astype(np.int64))
    sums = sums[np.abs(sums) > _ROUNDING]
    found = abs(float(sums.sum())) - _ROUNDING * max(1.0, float(np.abs(sums).sum()))
    if len(sums) <= _ENUMERATED:
        p = float(np.mean(np.abs(_all_signs(len(sums)) @ sums) >= found))
        method, note = f"sign-flip by {word}, exact", f"{len(sums)} {units.unit} differ; smallest p {_least(len(sums))}"
    else:
        p = (1 + int((_random_sums(np.abs(sums), n_perm, seed) >= found).sum())) / (1 + n_perm)
        method, note = f"sign-flip by {word}, {n_perm} draws", f"{len(sums)} {units.unit} differ"
    return verdict(p, method=method, note=note)


def _all_signs(m: int) -> Floats:
    """Every pattern of m signs (2^m, m)."""
    bits = (np.arange(2**m)[:, None] >> np.arange(m)) & 1
    return 1.0 - 2.0 * bits.astype(np.float64)


def _random_sums(sizes: Floats, n_perm: int, seed: int) -> Floats:
    """|sum| under random signs (n_perm,); groups of equal size are drawn together as one binomial."""
    rng = np.random.default_rng(seed)
    total = np.zeros(n_perm)
    size, count = np.unique(np.round(sizes, 12), return_counts=True)
    many = count >= _TOGETHER
    for one, times in zip(size[many], count[many], strict=True):
        total += one * (2.0 * rng.binomial(times, 0.5, size=n_perm) - times)
    alone = np.repeat(size[~many], count[~many])
    step = max(1, _CELLS // max(1, len(alone)))
    for start in range(0, n_perm if len(alone) else 0, step):
        signs = rng.integers(0, 2, size=(min(step, n_perm - start), len(alone)), dtype=np.int8)
        total[start : start + len(signs)] += (2.0 * signs - 1.0) @ alone
    return np.abs(total)


def _least(m: int) -> str:
    return f"{min(1.0, 2.0 ** (1 - m)):.2g}"


def _p_value(p: float, *, n: int, n_units: int, unit: str, method: str, note: str) -> Estimate:
    nan = float("nan")
    return Estimate("p-value", p, nan, nan, n, n_units, unit, "items", method, nan, note)
