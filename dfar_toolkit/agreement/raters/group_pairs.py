r"""Agreement within and between two groups of raters, for many assignments of raters or many weights of items at once.

Item u has $n^A_{uc}$ ratings of value c by raters of group A, $m^A_u$ in all, and likewise for B; $n_{uc}$, $m_u$ are
both together. One draw costs one pass over the ratings, or over the distinct patterns of items where these are fewer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

import numpy as np
import polars as pl
import scipy.sparse as sparse

from dfar_toolkit.agreement.alpha_ordinal import midranks
from dfar_toolkit.agreement.cells import Cells
from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.raters.shared_items import item_patterns, shared_items

GroupStatistic = Literal["krippendorff_alpha", "percent_agreement"]
GroupLevel = Literal["nominal", "ordinal", "interval"]

_CELLS: Final = 2_000_000  # numbers of a block of draws: few enough to stay near the processor


class GroupPairs:
    """The ratings of the raters of two groups, on items that two or more of them rated.

    Args:
        cells: These ratings; values as numbers in their order.
        statistic: krippendorff_alpha or percent_agreement.
        level: Level of measurement of the values.
        member: Which raters are in group A (R,), where that is fixed: items are then alike if their counts in A and B
            are. None: items are alike if the same raters gave the same values.
    """

    def __init__(
        self, cells: Cells, statistic: GroupStatistic, level: GroupLevel, *, member: Floats | None = None
    ) -> None:
        self._statistic, self._level = statistic, level
        n_values = max(1, len(cells.values))
        kind = cells.rater if member is None else member[cells.rater].astype(np.int64)
        n_kinds = (len(cells.raters) if member is None else 2) * n_values
        marked = replace(cells, value=kind * n_values + cells.value, values=pl.Series(np.arange(n_kinds)))
        pattern = item_patterns(marked)
        _, first, times = np.unique(pattern, return_index=True, return_counts=True)
        own = shared_items(cells.only(np.isin(cells.item, first)), least=1)
        # The first items of the patterns in the order of items, not of patterns.
        self._place = np.argsort(np.argsort(first))[pattern]
        self._times = times[np.argsort(first)].astype(np.float64)
        self._arrange(own)

    def _arrange(self, cells: Cells) -> None:
        """Sums as sparse products: of ratings into cells (item, value), of cells into items and into values."""
        n_values = max(1, len(cells.values))
        found, cell = np.unique(cells.item * n_values + cells.value, return_inverse=True)
        self._item, self._code = found // n_values, found % n_values
        self._x = cells.values.cast(pl.Float64).to_numpy()
        ones, here = np.ones(len(found)), np.arange(len(found))
        shape = (len(found), len(cells.raters))
        self._given = sparse.csr_array((np.ones(len(cell)), (cell, cells.rater)), shape=shape)
        self._total: Floats = np.bincount(cell, minlength=len(found)).astype(np.float64)[:, None]
        self._to_items = sparse.csr_array((ones, (self._item, here)), shape=(len(cells.items), len(found)))
        self._to_codes = sparse.csr_array((ones, (self._code, here)), shape=(n_values, len(found)))

    @property
    def times(self) -> Floats:
        """How many items each pattern stands for (P,)."""
        return self._times

    @property
    def cost(self) -> int:
        """What one draw costs: ratings of the patterns, and cells (item, value) that they fall into."""
        return int(self._given.nnz) + len(self._item)

    def units(self, group: Ints) -> sparse.csr_array:
        """How many items of each pattern each group of items has (G, P); ``group`` (N,) is that of every item."""
        found, owner = np.unique(group, return_inverse=True)
        shape = (len(found), len(self._times))
        return sparse.csr_array((np.ones(len(group)), (owner, self._place)), shape=shape)

    def statistics(self, member: Floats, weights: Floats) -> Floats:
        """Within A, within B, between them (B, 3).

        Args:
            member: 1 for raters in A, 0 for raters in B (B, R), or (1, R) where all draws have the same.
            weights: How often each pattern counts (B, P), or (1, P).

        Returns:
            The three statistics of each draw, ``nan`` where undefined.
        """
        n_draws, n_cells = max(len(member), len(weights)), len(self._item)
        if not n_cells:
            return np.full((n_draws, 3), np.nan)
        step = max(1, _CELLS // n_cells)
        found = np.empty((n_draws, 3))
        for start in range(0, n_draws, step):
            here = slice(start, start + step)
            # Draws side by side in memory: the sparse sums then run over whole rows of them.
            assigned, weighted = (
                np.ascontiguousarray((each if len(each) == 1 else each[here]).T) for each in (member, weights)
            )
            with np.errstate(divide="ignore", invalid="ignore"):
                found[here] = np.stack(np.broadcast_arrays(*self._of_block(assigned, weighted)), axis=1)
        return found

    def n_items(self, member: Floats) -> tuple[int, int, int]:
        """Items with a rating of each group, with two of either, with any of these, for one assignment (R,)."""
        in_a, in_b = (self._per_item(side)[:, 0] for side in self._sides(member[:, None]))
        both, either = (in_a > 0) & (in_b > 0), (in_a > 1) | (in_b > 1)
        return int(self._times[both].sum()), int(self._times[either].sum()), int(self._times.sum())

    def _sides(self, member: Floats) -> tuple[Floats, Floats]:
        """Ratings of each cell by A and by B (C, B)."""
        a = np.asarray(self._given @ member)
        return a, self._total - a

    def _per_item(self, cells: Floats) -> Floats:
        return np.asarray(self._to_items @ cells)

    def _of_block(self, member: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """The three statistics (B,) of members (R, B) and weights (P, B)."""
        a, b = self._sides(member)
        if self._statistic == "percent_agreement":
            return self._same_within(a, weights), self._same_within(b, weights), self._same_between(a, b, weights)
        return self._alpha_within(a, weights), self._alpha_within(b, weights), self._alpha_between(a, b, weights)

    def _same_within(self, n: Floats, weights: Floats) -> Floats:
        m = self._per_item(n)
        share = (self._per_item(n * n) - m) / (m * (m - 1)).clip(min=1)
        counted = weights * (m > 1)
        mean: Floats = (counted * share).sum(axis=0) / counted.sum(axis=0)
        return mean

    def _same_between(self, a: Floats, b: Floats, weights: Floats) -> Floats:
        pairs = self._per_item(a) * self._per_item(b)
        counted = weights * (pairs > 0)
        mean: Floats = (counted * self._per_item(a * b) / pairs.clip(min=1)).sum(axis=0) / counted.sum(axis=0)
        return mean

    def _alpha_within(self, n: Floats, weights: Floats) -> Floats:
        m = self._per_item(n)
        counted = weights * (m > 1)
        x, expected, total = self._expected(n, counted)
        if x is None:
            differing = m * m - self._per_item(n * n)
        else:
            moved = n * x
            differing = 2 * (m * self._per_item(moved * x) - self._per_item(moved) ** 2)
        observed = (counted * differing / (m - 1).clip(min=1)).sum(axis=0)
        alpha: Floats = 1 - (total - 1) * observed / expected
        return alpha

    def _alpha_between(self, a: Floats, b: Floats, weights: Floats) -> Floats:
        in_a, in_b = self._per_item(a), self._per_item(b)
        pairs = (in_a * in_b).clip(min=1)
        counted = weights * (in_a > 0) * (in_b > 0)
        x, expected, total = self._expected(self._total, counted)
        if x is None:
            differing = 1 - self._per_item(a * b) / pairs
        else:
            by_a, by_b = a * x, b * x
            squares = self._per_item(by_a * x) * in_b + self._per_item(by_b * x) * in_a
            differing = (squares - 2 * self._per_item(by_a) * self._per_item(by_b)) / pairs
        observed = (counted * (in_a + in_b) * differing).sum(axis=0)
        alpha: Floats = 1 - (total - 1) * observed / expected
        return alpha

    def _expected(self, n: Floats, counted: Floats) -> tuple[Floats | None, Floats, Floats]:
        """The numbers of the cells (None: nominal), the differing pairs of all ratings, and their number (B,)."""
        marginal = np.asarray(self._to_codes @ (counted[self._item] * n))
        total = marginal.sum(axis=0)
        # Values are counted, not computed: rounding must not give alpha a number where one value is left.
        one = (marginal > 0).sum(axis=0) < 2
        if self._level == "nominal":
            return None, np.where(one, np.nan, total**2 - (marginal**2).sum(axis=0)), total
        x = midranks(marginal.T).T if self._level == "ordinal" else self._x[:, None]
        expected = 2 * (total * (marginal * x**2).sum(axis=0) - (marginal * x).sum(axis=0) ** 2)
        return x[self._code], np.where(one, np.nan, expected), total
