"""Items as patterns with one rater taken out: alpha at any level, and the interval of its change."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import scipy.sparse as sparse

from dfar_toolkit.agreement.alpha import alpha_statistic
from dfar_toolkit.agreement.cells import Cells
from dfar_toolkit.agreement.counting import Counts, Floats, Ints
from dfar_toolkit.agreement.distances import Level
from dfar_toolkit.agreement.raters.shared_items import item_patterns
from dfar_toolkit.estimate import Estimate, Interval, estimate_by_weights

_ROWS: Final = 8_000_000  # cells of the rows of all item patterns: above, no interval


def alpha_of_squares(observed: Floats, n: Floats, square: Floats) -> Floats:
    r"""Nominal alpha from $\sum_u \frac{1}{m_u - 1} \sum_{c \ne k} n_{uc} n_{uk}$, $n$ and $\sum_c n_c^2$."""
    value: Floats = 1 - (n - 1) * observed / (n**2 - square)
    return value


def alpha_of_moments(observed: Floats, n: Floats, s: Floats, q: Floats) -> Floats:
    r"""Interval alpha from its observed sum, $n$, $\sum x$ and $\sum x^2$ over the ratings."""
    value: Floats = 1 - (n - 1) * observed / (2 * (n * q - s**2))
    return value


class WithoutRater:
    """Items with equal counts of values as one pattern, and what they become without one rater.

    Every item of the cells must have two or more ratings, and the values must be numbers (the index at the nominal
    level).
    """

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._pattern = item_patterns(cells)
        _, first, times = np.unique(self._pattern, return_index=True, return_counts=True)
        self._times = times.astype(np.float64)
        shape = (len(cells.items), len(cells.values))
        self._table = sparse.csr_array((np.ones(len(cells.item)), (cells.item, cells.value)), shape=shape)
        self._whole = sparse.csr_array(self._table[first])
        order = np.argsort(cells.rater, kind="stable")
        self._entries = np.split(order, np.cumsum(np.bincount(cells.rater, minlength=len(cells.raters))))

    def alpha(self, rater: int | None, level: Level) -> float:
        """Alpha without a rater (an index), or of everybody."""
        if rater is None:
            return _alpha(self._cells, self._whole, self._times, level)
        entries, _, times = self._kinds(rater)
        table = sparse.csr_array(sparse.vstack([self._whole, self._left(entries)]))
        return _alpha(self._cells, table, np.concatenate([self._untouched(entries, times), times]), level)

    def change(
        self, rater: int, blank: Estimate, *, level: Level, ci: Interval | None, n_boot: int, seed: int
    ) -> Estimate:
        """How alpha changes without a rater, with its interval, at level nominal or interval.

        Args:
            rater: The rater, as an index.
            blank: The estimate to fill; its name and confidence are kept.
            level: nominal or interval.
            ci: Kind of interval.
            n_boot: Bootstrap draws.
            seed: Seed of the draws, which both alphas share.

        Returns:
            The change; without an interval where there are too many kinds of items and values to hold their rows.
        """
        width = 4 if level == "interval" else 1 + self._table.shape[1]
        if len(self._times) * width > _ROWS:
            why = f"{len(self._times)} kinds of items by {self._table.shape[1]} values are too many to resample"
            return replace(blank, note=f"no interval: {why}")
        x = self._cells.values.to_numpy()
        full = _rows(self._whole, x, level)
        entries, kind, times = self._kinds(rater)
        change = _rows(self._left(entries), x, level) - full[self._pattern[self._cells.item[entries]]]
        if self._cells.group is None:
            before = np.concatenate([full, full[self._pattern[self._cells.item[entries]]]])
            after = before + np.concatenate([np.zeros_like(full), change])
            counts = np.concatenate([self._untouched(entries, times), times])
        else:
            before = self._by_group(np.arange(len(self._cells.items)), self._pattern, full)
            after = before + self._by_group(self._cells.item[self._entries[rater]], kind, change)
            counts = np.ones(len(before))

        def statistic(weights: Floats) -> Floats:
            return _alpha_of(weights @ after, level) - _alpha_of(weights @ before, level)

        return estimate_by_weights(
            blank.name, counts, statistic, n=len(self._cells.items), unit=blank.unit, ci=ci,
            confidence=blank.confidence, n_boot=n_boot, seed=seed,
        )  # fmt: skip

    def _kinds(self, rater: int) -> tuple[Ints, Ints, Floats]:
        """One rating of each kind (own value, pattern of its item), the kind of each rating, ratings of each kind."""
        own = self._entries[rater]
        key = self._pattern[self._cells.item[own]] * max(1, self._table.shape[1]) + self._cells.value[own]
        _, first, kind, times = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
        return own[first], kind.astype(np.int64), times.astype(np.float64)

    def _left(self, entries: Ints) -> sparse.csr_array:
        """Counts of values of the items of some ratings, these ratings taken away."""
        here = (np.arange(len(entries)), self._cells.value[entries])
        shape = (len(entries), self._table.shape[1])
        own = sparse.csr_array((np.ones(len(entries)), here), shape=shape)
        return sparse.csr_array(self._table[self._cells.item[entries]] - own)

    def _untouched(self, entries: Ints, times: Floats) -> Floats:
        """How many items of each pattern the rater did not rate (P,)."""
        kinds = self._pattern[self._cells.item[entries]]
        rated: Floats = np.bincount(kinds, times, minlength=len(self._times)).astype(np.float64)
        return self._times - rated

    def _by_group(self, item: Ints, kind: Ints, rows: Floats) -> Floats:
        """Rows of some items, each of a kind (one row of ``rows``), added up by group (G, D)."""
        group = np.zeros(0, dtype=np.int64) if self._cells.group is None else self._cells.group
        found = np.unique(group)
        where = (np.searchsorted(found, group[item]), kind)
        belongs = sparse.csr_array((np.ones(len(item)), where), shape=(len(found), len(rows)))
        return np.asarray(belongs @ rows)


def alpha_by_patterns(cells: Cells, level: Level) -> tuple[float, Floats]:
    """Alpha of everybody, and without each rater (R,), at any level; raters times distinct item patterns."""
    n_raters = len(cells.raters)
    if not len(cells.items):
        return float("nan"), np.full(n_raters, np.nan)
    patterns = WithoutRater(cells)
    return patterns.alpha(None, level), np.array([patterns.alpha(r, level) for r in range(n_raters)])


def _alpha(cells: Cells, table: sparse.csr_array, times: Floats, level: Level) -> float:
    """Alpha of items by values (P, V), each pattern ``times`` (P,)."""
    kept = np.flatnonzero((times > 0) & (table.sum(axis=1) > 1))
    if not len(kept):
        return float("nan")
    rows = sparse.csr_array(table[kept])
    rows.eliminate_zeros()
    rows.sort_indices()
    pattern = np.repeat(np.arange(len(kept)), np.diff(rows.indptr))
    counts = Counts(cells.values, pattern, rows.indices.astype(np.int64), rows.data, times[kept], None)
    return alpha_statistic(counts, level).point()


def _rows(table: sparse.csr_array, x: Floats, level: Level) -> Floats:
    """What alpha adds up, for items by values (P, V): observed disagreement, then the counts or their moments."""
    m = table.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        if level == "nominal":
            counts = table.toarray()
            rows = np.column_stack([(m**2 - (counts**2).sum(axis=1)) / (m - 1), counts])
        else:
            s, q = table @ x, table @ x**2
            rows = np.column_stack([2 * (m * q - s**2) / (m - 1), m, s, q])
    return np.where(m[:, None] > 1, rows, 0.0)


def _alpha_of(sums: Floats, level: Level) -> Floats:
    if level == "interval":
        return alpha_of_moments(*sums.T)
    n = sums[:, 1:].sum(axis=1)
    return alpha_of_squares(sums[:, 0], n, (sums[:, 1:] ** 2).sum(axis=1))
