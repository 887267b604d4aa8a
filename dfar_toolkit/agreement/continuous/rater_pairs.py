"""Pairs of raters with the numbers they gave to the items that both rated."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from dfar_toolkit.agreement.continuous.numbers import Panel
from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.errors import TableError

_RATERS: Final = 2000  # raters up to which every pair is looked at: two million


class RaterPair(NamedTuple):
    """Raters ``first`` < ``second`` (indices); the n items both rated, and the numbers x and y the two gave them."""

    first: int
    second: int
    item: Ints
    x: Floats
    y: Floats


class PairUnits(NamedTuple):
    """A pair whose entries stand for ``times`` (U,) units each, through ``owner`` (n,)."""

    pair: RaterPair
    owner: Ints
    times: Floats
    unit: str


def rater_pairs(panel: Panel, *, least: int = 0) -> list[RaterPair]:
    """The pairs of raters, sorted, with at least so many common items; costs raters times ratings.

    Args:
        panel: The ratings.
        least: Common items from which a pair is listed; 0: every pair.

    Returns:
        The pairs.

    Raises:
        TableError: More than 2,000 raters.
    """
    n_raters = panel.n_raters
    if n_raters > _RATERS:
        raise TableError(
            f"correlations look at every pair of raters and take at most {_RATERS} of them; found {n_raters}; "
            f"filter to the raters in question."
        )
    order = np.lexsort((panel.item, panel.rater))
    item, rater, x = panel.item[order], panel.rater[order], panel.x[order]
    start = np.searchsorted(rater, np.arange(n_raters + 1))
    pairs = []
    for first in range(n_raters):
        own = np.full(panel.n_items, np.nan)
        own[item[start[first] : start[first + 1]]] = x[start[first] : start[first + 1]]
        rest = slice(start[first + 1], None)
        both = ~np.isnan(own[item[rest]])
        shared, other, who = item[rest][both], x[rest][both], rater[rest][both]
        cut = np.searchsorted(who, np.arange(first + 1, n_raters + 1))
        for place in np.flatnonzero(np.diff(cut) >= least):
            low, high = cut[place], cut[place + 1]
            here = shared[low:high]
            pairs.append(RaterPair(first, first + 1 + int(place), here, own[here], other[low:high]))
    return pairs


def units_of_pair(pair: RaterPair, panel: Panel) -> PairUnits:
    """The resampling units of a pair: groups, or items with equal numbers as one."""
    groups, owner = np.unique(panel.owner[pair.item], return_inverse=True)
    if len(groups) < len(pair.item):
        return PairUnits(pair, owner.astype(np.int64), np.ones(len(groups)), panel.unit)
    both = np.column_stack([pair.x, pair.y])
    rows, first, times = np.unique(both, axis=0, return_index=True, return_counts=True)
    merged = pair._replace(item=pair.item[first], x=rows[:, 0], y=rows[:, 1])
    return PairUnits(merged, np.arange(len(rows)), times.astype(np.float64), "items")
