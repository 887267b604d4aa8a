r"""Kappa and alpha of every pair of annotators and of a run with each of them, as functions of the items' weights.

Each pair of ratings of an item adds to the sums of its pair of annotators: at the nominal level
``[differ, 1, one-hot of the first (V), one-hot of the second (V)]``, at the interval level
``[(x - y)^2, 1, x, y, x^2, y^2]``. Cost of a draw: pairs of ratings of an item, plus pairs of annotators.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dfar_toolkit.estimate import Floats

Ints = npt.NDArray[np.int64]

_RELATIVE: Final = 1e-12  # of a sum of squares: what is below is rounding


class Entries(NamedTuple):
    """Ratings sorted by item, then rater: indices (E,), the run being the last rater; ``x`` (E,) codes or numbers.

    ``n_values`` is V at the nominal level, 0 at the interval level.
    """

    item: Ints
    rater: Ints
    x: Floats
    n_items: int
    n_raters: int
    n_values: int


class PairSums(NamedTuple):
    """Sums of P pairs of raters: ``matrix`` sparse (N, P x width); ``first``, ``second`` (P,) raters; ``n`` (P,)."""

    matrix: Any
    first: Ints
    second: Ints
    n: Ints
    width: int
    n_left: int


def pair_sums(entries: Entries, *, min_items: int) -> PairSums:
    """The sums of every pair of raters with ``min_items`` common items; how many other pairs share an item."""
    import scipy.sparse as sparse

    left, right = _within_items(entries.item)
    key = entries.rater[left] * entries.n_raters + entries.rater[right]
    used, pair, n = np.unique(key, return_inverse=True, return_counts=True)
    enough = n >= min_items
    keep = enough[pair]
    left, right = left[keep], right[keep]
    pair = (np.cumsum(enough) - 1)[pair[keep]]
    width = 2 + 2 * entries.n_values if entries.n_values else 6
    columns, data = _columns(entries.x[left], entries.x[right], entries.n_values)
    rows = np.tile(entries.item[left], len(columns))
    places = np.concatenate([pair * width + c for c in columns]) if len(left) else np.empty(0, dtype=np.int64)
    shape = (entries.n_items, int(enough.sum()) * width)
    matrix = sparse.csr_array((np.concatenate(data), (rows, places)), shape=shape)
    return PairSums(
        matrix, used[enough] // entries.n_raters, used[enough] % entries.n_raters, n[enough].astype(np.int64), width,
        int((~enough).sum()),
    )  # fmt: skip


def _columns(x: Floats, y: Floats, n_values: int) -> tuple[list[Any], list[Floats]]:
    """Which columns each pair of ratings adds to, and what."""
    one = np.ones(len(x))
    if n_values:
        return [0, 1, 2 + x.astype(np.int64), 2 + n_values + y.astype(np.int64)], [(x != y) * 1.0, one, one, one]
    return list(range(6)), [(x - y) ** 2, one, x, y, x**2, y**2]


def _within_items(item: Ints) -> tuple[Ints, Ints]:
    """Every two ratings of one item, as entries."""
    here: Ints = np.arange(len(item), dtype=np.int64)
    lefts, rights, left, shift = [here[:0]], [here[:0]], here, 1
    while len(left):
        left = left[left + shift < len(item)]
        left = left[item[left] == item[left + shift]]
        lefts.append(left)
        rights.append(left + shift)
        shift += 1
    return np.concatenate(lefts), np.concatenate(rights)


def pair_kappa(sums: Floats, *, nominal: bool) -> Floats:
    """Cohen's kappa of sums (B, P, width), with quadratic weights at the interval level; nan where it is 0/0."""
    n = sums[:, :, 1]
    if nominal:
        k = (sums.shape[2] - 2) // 2
        expected = n**2 - (sums[:, :, 2 : 2 + k] * sums[:, :, 2 + k :]).sum(axis=2)
        expected = np.where(expected > 0, expected, np.nan)
    else:
        x, y, xx, yy = (sums[:, :, k] for k in range(2, 6))
        expected = n * (xx + yy) - 2 * x * y
        expected = np.where(expected > _RELATIVE * n * (xx + yy), expected, np.nan)
    return np.asarray(1 - n * sums[:, :, 0] / expected, dtype=np.float64)


def pair_alpha(sums: Floats, *, nominal: bool) -> Floats:
    """Krippendorff's alpha of the two raters of sums (B, P, width)."""
    n = 2 * sums[:, :, 1]
    if nominal:
        k = (sums.shape[2] - 2) // 2
        together = sums[:, :, 2 : 2 + k] + sums[:, :, 2 + k :]
        expected = n**2 - (together**2).sum(axis=2)
        expected = np.where(expected > 0, expected, np.nan)
    else:
        s, q = sums[:, :, 2] + sums[:, :, 3], sums[:, :, 4] + sums[:, :, 5]
        expected = 2 * (n * q - s**2)
        expected = np.where(expected > _RELATIVE * n * q, expected, np.nan)
    return np.asarray(1 - (n - 1) * 2 * sums[:, :, 0] / expected, dtype=np.float64)


def alpha_rows(entries: Entries, keep: npt.NDArray[np.bool_], items: npt.NDArray[np.bool_]) -> Floats:
    """Rows of Krippendorff's alpha (N, D) of the entries kept, over the items marked (N,), which have two at least."""
    own = keep & items[entries.item]
    item, x, n = entries.item[own], entries.x[own], entries.n_items
    m = np.bincount(item, minlength=n).astype(np.float64)
    if entries.n_values:
        counts = np.zeros((n, entries.n_values))
        np.add.at(counts, (item, x.astype(np.int64)), 1.0)
        apart, columns = m**2 - (counts**2).sum(axis=1), counts
    else:
        s, q = np.bincount(item, x, minlength=n), np.bincount(item, x**2, minlength=n)
        apart, columns = 2 * (m * q - s**2), np.column_stack([m, s, q])
    observed = np.divide(apart, m - 1, out=np.zeros(n), where=m > 1)
    return np.column_stack([observed, columns])


def alpha_of_sums(sums: Floats, *, nominal: bool) -> Floats:
    """Krippendorff's alpha of the sums (B, D) of :func:`alpha_rows`."""
    if nominal:
        n = sums[:, 1:].sum(axis=1)
        expected = n**2 - (sums[:, 1:] ** 2).sum(axis=1)
        expected = np.where(expected > 0, expected, np.nan)
    else:
        n, s, q = sums[:, 1], sums[:, 2], sums[:, 3]
        expected = 2 * (n * q - s**2)
        expected = np.where(expected > _RELATIVE * n * q, expected, np.nan)
    return np.asarray(1 - (n - 1) * sums[:, 0] / expected, dtype=np.float64)
