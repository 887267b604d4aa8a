"""Intervals over items and raters at once: other items and other people could have been asked.

A draw takes items (or groups) and raters with replacement. A pair of ratings of an item counts as often as the item was
drawn, times how often each of its two raters was, but only for two different people: somebody drawn twice would
otherwise agree with themselves, which shifts every draw upwards (by .2 for four raters). The cost is the number of
distinct (item, value) cells times the draws; items with the same raters and values are one pattern.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from dfar_toolkit.agreement.cells import Cells
from dfar_toolkit.agreement.counting import Counts, Floats, Ints
from dfar_toolkit.agreement.marks import telling_units, thin
from dfar_toolkit.agreement.statistic import Resampling, Statistic, estimate_statistic
from dfar_toolkit.estimate import Estimate, interval_of_draws
from dfar_toolkit.estimate.resampling import bootstrap_weights

FEWEST: Final = 4  # raters below which nothing is said about other raters
FEW: Final = 12  # raters below which the interval is marked: it covers 89 to 92 % where raters differ much


def check_scope(how: Resampling) -> None:
    """Refuse a scope that is none, no draws, and other intervals than the bootstrap over raters."""
    if how.scope not in ("items", "items+raters"):
        raise ValueError(f'agreement: scope must be "items" or "items+raters", found {how.scope!r}')
    if how.ci in ("bootstrap", "hayes-krippendorff") and how.n_boot < 1:
        raise ValueError(f"agreement: n_boot must be at least 1, found {how.n_boot}")
    if how.scope == "items+raters" and how.ci not in ("bootstrap", None):
        raise ValueError(f'agreement: scope "items+raters" has a bootstrap interval only, found ci={how.ci!r}')


def estimate_two_way(cells: Cells, statistic: Callable[[Counts], Statistic], how: Resampling) -> Estimate:
    """A statistic with its interval over items and raters.

    Args:
        cells: The ratings.
        statistic: The statistic of counted ratings.
        how: Draws, seed and confidence.

    Returns:
        The estimate, scope ``items+raters``.

    Undefined:
        As the statistic; without an interval for one item or group and for fewer than 4 raters; noted for
        fewer than 12, and where few items hold another value than the most frequent.
    """
    patterns = _Patterns(cells)
    found = estimate_statistic(statistic(patterns.counts()), how._replace(ci=None))
    found = replace(found, scope="items+raters", n_units=patterns.n_units, unit=patterns.unit)
    n_raters = len(cells.raters)
    if how.ci is None:
        return found
    found = replace(found, method="two-way bootstrap")
    if np.isnan(found.value):
        return found
    if patterns.n_units < 2:
        return replace(found, note=_joined(found.note, f"no interval: one unit ({patterns.unit}) only"))
    if n_raters < FEWEST:
        return replace(found, note=_joined(found.note, f"no interval over raters: {n_raters} of them, {FEWEST} needed"))
    rng = np.random.default_rng(how.seed)
    draws = np.array([statistic(patterns.draw(rng)).point() for _ in range(how.n_boot)])
    if n_raters < FEW:
        found = replace(found, note=_joined(found.note, f"{n_raters} raters: the interval over raters may run short"))
    found = replace(found, note=_joined(found.note, *thin(*telling_units(cells.counts()), patterns.unit)))
    return interval_of_draws(replace(found, unit=f"{found.unit} and {n_raters} raters"), draws)


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


class _Patterns:
    """Items with the same raters and values (and group) as one pattern, and draws of their weighted counts."""

    def __init__(self, cells: Cells) -> None:
        first, pattern_of_item, self._times = _alike(cells)
        entries = np.isin(cells.item, first)
        pattern = pattern_of_item[cells.item[entries]]
        self._rater = cells.rater[entries]
        self._n_raters = len(cells.raters)
        n_values = max(1, len(cells.values))
        cell, self._entry = np.unique(pattern * n_values + cells.value[entries], return_inverse=True)
        self._pattern: Ints = cell // n_values
        self._code: Ints = cell % n_values
        self._pattern_of_rating = pattern
        self._cells = cells
        # Items without a group of their own: every pattern is drawn as often as its items are.
        group = np.arange(len(first)) if cells.group is None else cells.group[first]
        self._group = group
        self._unit_times = self._times if cells.group is None else np.ones(int(group.max(initial=-1)) + 1)
        self.unit = "items" if cells.group is None else "groups"
        self.n_units = int(self._unit_times.sum())

    def counts(self) -> Counts:
        """The counts of the data themselves, every pattern as often as it occurs."""
        return self._weighted(np.ones(self._n_raters), self._times)

    def draw(self, rng: np.random.Generator) -> Counts:
        """The counts of one draw of units and raters."""
        units = bootstrap_weights(self._unit_times, 1, rng)[0]
        raters = rng.multinomial(self._n_raters, np.full(self._n_raters, 1 / self._n_raters)).astype(np.float64)
        times = units if self._cells.group is None else units[self._group] * self._times
        return self._weighted(raters, times)

    def _weighted(self, raters: Floats, times: Floats) -> Counts:
        weight = raters[self._rater]
        count = np.bincount(self._entry, weight, minlength=len(self._pattern)).astype(np.float64)
        m = np.bincount(self._pattern_of_rating, weight, minlength=len(times)).astype(np.float64)
        mass = m**2 - np.bincount(self._pattern_of_rating, weight**2, minlength=len(times))
        kept = (times > 0) & (m > 0)
        entry = kept[self._pattern] & (count > 0)
        return Counts(
            self._cells.values,
            (np.cumsum(kept) - 1)[self._pattern[entry]],
            self._code[entry],
            count[entry],
            times[kept],
            None,
            self._cells.notes,
            mass[kept],
        )


def _alike(cells: Cells) -> tuple[Ints, Ints, Floats]:
    """First item of each pattern (P,), pattern of each item (N,), items of each pattern (P,).

    Items are alike where the sums of random 62-bit numbers, one for each rater and value, are equal.
    """
    rng = np.random.default_rng(0)
    mark = rng.integers(0, 2**62, size=(len(cells.raters), max(1, len(cells.values))), dtype=np.int64)
    total = np.zeros(len(cells.items), dtype=np.int64)
    with np.errstate(over="ignore"):
        np.add.at(total, cells.item, mark[cells.rater, cells.value])
    key = total if cells.group is None else np.stack([total, cells.group], axis=1)
    _, first, pattern, times = np.unique(key, axis=0, return_index=True, return_inverse=True, return_counts=True)
    return first.astype(np.int64), pattern.ravel().astype(np.int64), times.astype(np.float64)
