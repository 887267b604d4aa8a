"""Ratings shuffled within each rater: what a coefficient would be if nobody heeded the items."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from dfar_toolkit.agreement.cells import Cells
from dfar_toolkit.agreement.coefficients import Coefficient
from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.null_errors import Alternative, NullTest, no_test
from dfar_toolkit.agreement.statistic import NO_PAIRS

_WORK: Final = 100_000_000  # shufflings times ratings: about 30 s
_FEWEST: Final = 99  # shufflings that are drawn whatever they cost: p down to .01 (two-sided .02)
_EQUAL: Final = 1e-12  # statistics that differ by less differ by rounding alone
_UNDEFINED: Final = 0.05  # share of undefined shufflings above which the rest says nothing


def permutation_test(
    chosen: Coefficient, cells: Cells, alternative: Alternative, n_permutations: int, seed: int
) -> NullTest:
    """The test of a coefficient among its values for shuffled ratings.

    Args:
        chosen: The coefficient.
        cells: The ratings; with groups, whole groups change places.
        alternative: two-sided or greater.
        n_permutations: Shufflings B; fewer (at least 99) where B times the ratings is above 1e8.
        seed: Seed of the shufflings.

    Returns:
        The test. The least possible p is 1 / (1 + B), or the share of the arrangements that must tie with the most
        extreme one where that is more (two-sided: twice that).
    """
    name = "permutation of ratings within raters" + (", whole groups" if cells.group is not None else "")
    real = chosen.of_cells(cells, apart=True)
    value = real.point()
    if np.isnan(value):
        return no_test(name, real.undefined if real.counts.n_pairable else NO_PAIRS)
    shuffle = ShuffledRatings(cells)
    if shuffle.least_share == 1:
        return no_test(name, "shuffling the ratings within raters changes nothing")
    rng = np.random.default_rng(seed)
    n = min(n_permutations, max(_FEWEST, _WORK // max(1, len(cells.item))))
    drawn = [chosen.of_cells(shuffle.draw(rng), apart=True).point() for _ in range(n)]
    found = _among(name, value, np.array(drawn), alternative, shuffle.least_share)
    fewer = f"{n} shufflings, not {n_permutations}: they are bounded by shufflings times ratings"
    return found if n == n_permutations else found._replace(note="; ".join(filter(None, [found.note, fewer])))


def _among(name: str, value: float, drawn: Floats, alternative: Alternative, share: float) -> NullTest:
    """Where a value stands among shuffled ones; undefined ones count as at least as extreme."""
    defined = drawn[np.isfinite(drawn)]
    absent = len(drawn) - len(defined)
    note = f"{absent} of {len(drawn)} shufflings undefined" if absent else ""
    if absent > _UNDEFINED * len(drawn):
        return no_test(name, note)
    slack = _EQUAL * max(1.0, abs(value))
    above = (1 + absent + int((defined >= value - slack).sum())) / (1 + len(drawn))
    below = (1 + absent + int((defined <= value + slack).sum())) / (1 + len(drawn))
    sides = 1 if alternative == "greater" else 2
    least = min(1.0, sides * max(1 / (1 + len(drawn)), share))
    p = above if alternative == "greater" else min(1.0, 2 * min(above, below))
    null, se = float(defined.mean()), float(defined.std(ddof=1)) if len(defined) > 1 else float("nan")
    z = (value - null) / se if se > _EQUAL else float("nan")
    # Few arrangements: a run of luck in the draws must not end below what all of them would give.
    return NullTest(null, se, z, max(p, least), least, name, note)


class ShuffledRatings:
    """Shuffles the ratings of each rater among their items, or among equally large groups of their items.

    Args:
        cells: The ratings.
    """

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        group = np.arange(len(cells.items)) if cells.group is None else cells.group
        order = np.lexsort((cells.item, group[cells.item], cells.rater))
        key = np.stack([cells.rater[order], group[cells.item[order]]])
        start = np.flatnonzero((np.diff(key, prepend=-1) != 0).any(axis=0))
        size = np.diff(start, append=len(order))
        by_class = np.lexsort((start, size, cells.rater[order[start]]))
        self._start, self._size = start[by_class], size[by_class]
        kind = np.stack([cells.rater[order[self._start]], self._size])
        self._class = np.cumsum((np.diff(kind, prepend=-1) != 0).any(axis=0)) - 1
        self._order = order
        self._offset = np.arange(len(order)) - np.repeat(np.cumsum(self._size) - self._size, self._size)
        self._target = order[self._positions(np.arange(len(start)))]
        self._rater_of_block = kind[0]

    def _positions(self, blocks: Ints) -> Ints:
        """Places in the sorted ratings of blocks, one after the other."""
        return np.asarray(np.repeat(self._start[blocks], self._size) + self._offset)

    def draw(self, rng: np.random.Generator) -> Cells:
        """The ratings, shuffled once."""
        blocks = np.lexsort((rng.random(len(self._start)), self._class))
        value = self._cells.value.copy()
        value[self._target] = self._cells.value[self._order[self._positions(blocks)]]
        return replace(self._cells, value=value)

    @property
    def least_share(self) -> float:
        """A lower bound of the share of all arrangements that give the largest value of a coefficient.

        Where all rated all items, shuffling everybody alike changes nothing, so the arrangements of the rater who has
        most of them tie.
        """
        per_rater = np.bincount(self._rater_of_block, self._log_arrangements(), minlength=len(self._cells.raters))
        complete = len(self._cells.item) == len(self._cells.items) * len(self._cells.raters)
        left = per_rater.sum() - (per_rater.max() if complete else 0.0)
        return float(np.exp(-left)) if left > _EQUAL else 1.0

    def _log_arrangements(self) -> Floats:
        """Log of how many distinct arrangements each class of blocks has, at its first block (0 at the others)."""
        from scipy.special import gammaln

        value = self._cells.value[self._target]
        mark = np.random.default_rng(0).integers(1, 2**62, size=int(self._size.max()), dtype=np.int64)
        place = np.repeat(np.arange(len(self._size)), self._size)
        content = np.zeros(len(self._size), dtype=np.int64)
        with np.errstate(over="ignore"):
            np.add.at(content, place, (value + 1) * mark[self._offset])
        _, alike = np.unique(np.stack([self._class, content]), axis=1, return_counts=True)
        kinds, of_kind = np.unique(np.stack([self._class, content]), axis=1)[0], gammaln(alike + 1)
        total = gammaln(np.bincount(self._class) + 1) - np.bincount(kinds, of_kind)
        found = np.zeros(len(self._size))
        found[np.flatnonzero(np.diff(self._class, prepend=-1))] = total
        return found
