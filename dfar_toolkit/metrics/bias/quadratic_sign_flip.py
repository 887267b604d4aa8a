r"""Test that a vector of paired differences has mean zero: one quadratic form, for items alone and for groups.

With the difference vectors $d_g$ (D,) of the units (items, or groups with their items added up),

    $X^2 = t^T S^+ t$,   $t = \sum_g d_g$,   $S = \sum_g d_g d_g^T$

$S$ does not change when a unit's difference turns its sign, so turning signs gives the null distribution of $X^2$.
For items alone and differences of one-hot labels this is the statistic of Stuart and Maxwell, for the cells above
the diagonal less those below it that of Bowker. Cost: units x D^2, and draws x distinct vectors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Estimate, Floats, unit_rows

_ENUMERATED: Final = 16  # up to so many units that differ every pattern of signs is tried
_FEW: Final = 25  # independent items that differ, from which on the chi-squared distribution is taken
_MANY: Final = 20_000  # units that differ, from which on it is taken for groups too
_WORK: Final = 20_000_000  # draws x distinct vectors, beyond which likewise
_ROUNDING: Final = 1e-9


class SignedSums(NamedTuple):
    """Sums of vectors under turned signs (P, D), and whether these are all patterns of signs."""

    sums: Floats
    exact: bool


def zero_mean_test(
    vectors: Floats,
    *,
    name: str,
    groups: pl.Series | None = None,
    n_perm: int = 10_000,
    seed: int = 0,
) -> Estimate:
    r"""Whether paired difference vectors have mean zero; $X^2$ as the module says.

    Args:
        vectors: One difference vector per item (N, D).
        name: Name of the statistic, for ``method``.
        groups: Resampling unit of each item (N,), or None.
        n_perm: Random patterns of signs where there are too many to try all.
        seed: Seed of the patterns.

    Returns:
        ``value`` is p: by chi-squared on the rank of S for single items of which 25 or more differ (and for so many
        different groups that drawing would take long), else by turning the signs of whole units. The note has $X^2$
        and its degrees of freedom.

    Undefined:
        No items. Where no unit differs p is 1.

    Example:
        Four of four differ, all the same way; 2 of the 16 patterns of signs are as extreme.

        >>> zero_mean_test(np.array([[1.0], [1.0], [1.0], [1.0]]), name="t").value
        0.125
    """
    if n_perm < 1:
        raise ValueError(f"zero_mean_test: n_perm must be at least 1, found {n_perm}")
    units, unit = unit_rows(vectors, groups=groups)
    nan, word = float("nan"), "group" if unit == "groups" else "item"
    blank = Estimate("p-value", nan, nan, nan, len(vectors), len(units), unit, "items", name, nan, "")
    if not len(vectors):
        return _with(blank, nan, name, "no items")
    moved = units[(np.abs(units) > _ROUNDING).any(axis=1)]
    if not len(moved):
        return _with(blank, 1.0, f"{name}, sign-flip by {word}", f"none of {len(units)} {unit} differs")
    inverse, df = _inverse(moved.T @ moved)
    found = float(_form(moved.sum(axis=0)[None, :], inverse)[0])
    note = f"X2 = {found:.4g} on {df} degree{'s' if df != 1 else ''} of freedom; {len(moved)} {unit} differ"
    many = len(moved) > _MANY or (len(moved) > _ENUMERATED and len(_folded(moved)[0]) * n_perm > _WORK)
    if many or (unit == "items" and len(moved) >= _FEW):
        from scipy.special import chdtrc

        return _with(blank, float(chdtrc(df, found)), f"{name}, chi-squared", note)
    signed = signed_sums(moved, n_perm=n_perm, seed=seed)
    reached = _form(signed.sums, inverse) >= found * (1 - _ROUNDING)
    return _with(blank, *tail_share(reached, signed.exact, f"{name}, sign-flip by {word}"), note)


def signed_sums(vectors: Floats, *, n_perm: int, seed: int) -> SignedSums:
    """Sums of the vectors (U, D) of independent units under turned signs: all 2^U patterns up to 16 units, else random.

    Example:
        >>> signed_sums(np.array([[1.0], [2.0]]), n_perm=9, seed=0).sums.ravel().tolist()
        [3.0, 1.0, -1.0, -3.0]
    """
    if len(vectors) <= _ENUMERATED:
        ordered = vectors[np.lexsort(vectors.T[::-1])] if len(vectors) else vectors
        bits = (np.arange(2 ** len(ordered))[:, None] >> np.arange(len(ordered))) & 1
        return SignedSums((1.0 - 2.0 * bits) @ ordered, True)
    rows, times = _folded(vectors)
    rng = np.random.default_rng(seed)
    sums = np.zeros((n_perm, vectors.shape[1]))
    for row, count in zip(rows, times, strict=True):
        sums += np.outer(2.0 * rng.binomial(count, 0.5, size=n_perm) - count, row)
    return SignedSums(sums, False)


def tail_share(reached: np.typing.NDArray[np.bool_], exact: bool, method: str) -> tuple[float, str]:
    """The share of patterns as extreme as the real one (counted among random ones), and the name of the method."""
    if exact:
        return float(reached.mean()), f"{method}, exact"
    return (1 + int(reached.sum())) / (1 + len(reached)), f"{method}, {len(reached)} draws"


def _folded(vectors: Floats) -> tuple[Floats, np.typing.NDArray[np.int64]]:
    """Distinct vectors up to their sign, and how often each occurs."""
    turned = np.round(vectors, 12) + 0.0
    if not len(turned):
        return turned, np.empty(0, dtype=np.int64)
    leading = np.take_along_axis(turned, np.argmax(turned != 0, axis=1)[:, None], axis=1)
    rows, times = np.unique(np.where(leading < 0, -turned, turned) + 0.0, axis=0, return_counts=True)
    return rows, times.astype(np.int64)


def _inverse(spread: Floats) -> tuple[Floats, int]:
    """The pseudo-inverse of S, and its rank."""
    inverse: Floats = np.linalg.pinv(spread, hermitian=True).astype(np.float64)
    return inverse, int(np.linalg.matrix_rank(spread, hermitian=True))


def _form(sums: Floats, inverse: Floats) -> Floats:
    return np.asarray(((sums @ inverse) * sums).sum(axis=1), dtype=np.float64)


def _with(blank: Estimate, p: float, method: str, note: str) -> Estimate:
    return replace(blank, value=p, method=method, note=note)
