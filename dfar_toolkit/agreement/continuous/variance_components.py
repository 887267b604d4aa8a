r"""Variance components of items, raters and error by the analysis of variance, missing cells included.

With $n_i$ ratings of item i, $n_j$ by rater j, M in all, a items, b raters, and sums of squares

    $A = \sum_i T_i^2 / n_i - T^2 / M$,   $B = \sum_j T_j^2 / n_j - T^2 / M$,   $W = \sum x^2 - \sum_i T_i^2 / n_i$,

the model $x_{ij} = \mu + \alpha_i + \beta_j + \epsilon_{ij}$ expects, with $k_a = \sum n_i^2 / M$,
$k_b = \sum n_j^2 / M$ and $s = \sigma_\beta^2 + \sigma_\epsilon^2$,

    $A = (M - k_a) \sigma_\alpha^2 + (e - k_b) \sigma_\beta^2 + (a - e) s$
    $B = (q - k_a) \sigma_\alpha^2 + (M - k_b - q + e) \sigma_\beta^2 + (q - e) s$
    $W = (M - a) s$

where $e = 1$ and $q = b$. Solved for the components this is Henderson's method 1; on complete data it is the usual
analysis of variance, and without the rater term the one-way one.

A draw gives item i the weight $w_i$. Taking that for $w_i$ items with equal errors is right where every rater rated
many items. Where a rater rated few, an item drawn twice looks as if the rater erred twice in the same way, and the
variance of raters grows (872 raters of about 7 items each: an interval beside its own estimate). With missing cells
the coefficients therefore know that a repeated item is one item: $M = \sum w_i n_i$ as before, but
$k_a = \sum w_i^2 n_i^2 / M$, $e = \sum w_i^2 n_i / M$ and $q = \sum_j \sum_i w_i^2 n_{ij} / n_j$, so that the
components of every draw are unbiased given its weights.

Reference:
    Searle, Casella and McCulloch (1992), Variance Components, sections 3.6 (one-way) and 5.3 (Henderson's method 1).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from dfar_toolkit.agreement.continuous.numbers import Panel
from dfar_toolkit.agreement.counting import Floats

Matrix = Any  # a dense array, or a scipy.sparse.csr_array

N_NARROW: Final = 6  # columns before those of the raters
_ROUNDING: Final = 1e-12  # a difference of sums smaller than this share of them is rounding: it is 0
_DENSE: Final = 4_000_000  # cells up to which rows are dense: 32 MB


class Squares(NamedTuple):
    """Counts, sums of squares and coefficients of draws, each (B,); the symbols are the module's.

    M, a, $k_a$, $k_b$, e, q, A, B, W, and the mean of $1 / n_i$. Those of the raters mean something only where the
    rows hold the raters.
    """

    ratings: Floats
    items: Floats
    k_items: Floats
    k_raters: Floats
    once: Floats
    per_rater: Floats
    between: Floats
    columns: Floats
    within: Floats
    harmonic: Floats


class Components(NamedTuple):
    """Variance of items, of raters, and of error, each (B,); ``nan`` where the design does not tell them apart."""

    items: Floats
    raters: Floats
    error: Floats


def item_rows(panel: Panel, *, two_way: bool) -> Matrix:
    """What each item adds to the sums (N, 6), and with ``two_way`` (N, 6 + 2 R): ratings and total by rater."""
    n = panel.n_items
    x = panel.x - np.median(panel.x) if len(panel.x) else panel.x  # centred: squares then hold what varies
    m = panel.per_item.astype(np.float64)
    total = np.bincount(panel.item, weights=x, minlength=n)
    mean = total / m
    within = np.bincount(panel.item, weights=(x - mean[panel.item]) ** 2, minlength=n)
    narrow = np.column_stack([m, m**2, 1 / m, total, total * mean, within])
    if not two_way:
        return narrow
    if n * panel.n_raters <= _DENSE:
        wide = np.zeros((n, 2 * panel.n_raters))
        wide[panel.item, panel.rater] = 1
        wide[panel.item, panel.n_raters + panel.rater] = x
        return np.hstack([narrow, wide])
    import scipy.sparse as sparse

    row, column = np.tile(panel.item, 2), np.concatenate([panel.rater, panel.rater + panel.n_raters])
    entries = sparse.csr_array((np.concatenate([np.ones_like(x), x]), (row, column)), shape=(n, 2 * panel.n_raters))
    return sparse.csr_array(sparse.hstack([sparse.csr_array(narrow), entries]))


def sums_of_squares(count: Floats, sums: Floats, squared: Floats | None = None) -> Squares:
    """Sums of squares from the number of items (B,) and the column sums (B, D) of :func:`item_rows`.

    ``squared`` (B, D) are the column sums under squared weights; None: repeated items are items of their own.
    """
    m, _, inverse, total, between, within = sums[:, :N_NARROW].T
    again = sums if squared is None else squared
    centre = total**2 / m
    raters = (sums.shape[1] - N_NARROW) // 2
    by, own = sums[:, N_NARROW : N_NARROW + raters], sums[:, N_NARROW + raters :]
    share = 1 / np.where(by > 0, by, np.inf)
    return Squares(
        ratings=m,
        items=count,
        k_items=again[:, 1] / m,
        k_raters=np.sum(by**2, axis=1) / m,
        once=again[:, 0] / m,
        per_rater=np.sum(again[:, N_NARROW : N_NARROW + raters] * share, axis=1),
        between=_less(between, centre),
        columns=_less(np.sum(own**2 * share, axis=1), centre),
        within=within,
        harmonic=inverse / count,
    )


def one_way(squares: Squares) -> Components:
    """Items and error; the raters' variance is part of the error."""
    error = squares.within / (squares.ratings - squares.items)
    items = (squares.between - (squares.items - squares.once) * error) / (squares.ratings - squares.k_items)
    return Components(items, np.zeros_like(error), error)


def two_way(squares: Squares) -> Components:
    """Items, raters and error."""
    m, a, ka, kb, e, q, between, columns, within, _ = squares
    s = within / (m - a)
    left, right = between - (a - e) * s, columns - (q - e) * s
    of_raters = m - kb - q + e
    determinant = (m - ka) * of_raters - (e - kb) * (q - ka)
    determinant = np.where(np.abs(determinant) <= _ROUNDING * m**2, np.nan, determinant)
    items = (left * of_raters - (e - kb) * right) / determinant
    raters = ((m - ka) * right - (q - ka) * left) / determinant
    error = np.where(np.abs(s - raters) <= _ROUNDING * s, 0.0, s - raters)
    return Components(items, raters, error)


def _less(whole: Floats, part: Floats) -> Floats:
    """The difference, 0 where only rounding is left of it."""
    difference = whole - part
    return np.where(np.abs(difference) <= _ROUNDING * whole, 0.0, difference)
