"""Ranks and concordance of numbers that occur with weights, for many draws of the weights at once.

A resample with weights w repeats unit u $w_u$ times; its midranks and concordant pairs follow from sums of weights over
numbers in order. What depends on the numbers alone is prepared once; a draw then costs a few passes over the numbers
(midranks), or one per bit of the number of distinct values (concordance).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from dfar_toolkit.agreement.counting import Floats, Ints

Draws = Callable[[Floats], Floats]

_CELLS: Final = 4_000_000  # cells of a block of draws: 32 MB


def midranks(x: Floats) -> Draws:
    """The midranks of numbers (n,) less their mean: weights (B, n) -> ranks (B, n), centred for each draw."""
    order = np.argsort(x, kind="stable")
    first, last = _runs(x[order])
    place = np.empty(len(x), dtype=np.int64)
    place[order] = np.arange(len(x))
    before, after = first[place], last[place]

    def ranks(weights: Floats) -> Floats:
        cum = _cumulated(weights[:, order])
        found: Floats = (cum[:, before] + cum[:, after] - cum[:, -1:]) / 2
        return found

    return ranks


def untied(x: Floats) -> Draws:
    r"""Pairs with different numbers: weights (B, n) -> $(n^2 - \sum_t n_t^2) / 2$ (B,)."""
    order = np.argsort(x, kind="stable")
    starts = np.flatnonzero(np.diff(x[order], prepend=np.nan))

    def pairs(weights: Floats) -> Floats:
        tied = np.add.reduceat(weights[:, order], starts, axis=1)
        found: Floats = (tied.sum(axis=1) ** 2 - (tied**2).sum(axis=1)) / 2
        return found

    return pairs


def concordance(x: Floats, y: Floats) -> Draws:
    """Concordant less discordant pairs of (x, y), tied ones counting 0: weights (B, n) -> (B,).

    Two different values of x part at exactly one bit of their index, the highest in which they differ: at each bit, the
    pairs between the lower and the upper half of a block are compared by one cumulated sum in the order of y.
    """
    a, b = np.unique(x, return_inverse=True)[1], np.unique(y, return_inverse=True)[1]
    if a.max(initial=0) > b.max(initial=0):
        a, b = b, a  # fewer values, fewer bits
    levels = [_level(a.astype(np.int64), b.astype(np.int64), bit) for bit in range(int(a.max(initial=0)).bit_length())]

    def difference(weights: Floats) -> Floats:
        total = np.zeros(len(weights))
        for level in levels:
            own = weights[:, level.order]
            cum = _cumulated(own * level.lower)
            below, above = cum[:, level.tie_from] - cum[:, level.block_from], cum[:, level.block_to]
            total += (own[:, level.upper] * (below - above + cum[:, level.tie_to])).sum(axis=1)
        return total

    return difference


def in_blocks(statistic: Draws, width: int) -> Draws:
    """The statistic over blocks of draws, so that arrays of draws by ``width`` stay small."""
    step = max(1, _CELLS // max(1, width))

    def blocks(weights: Floats) -> Floats:
        return np.concatenate([statistic(weights[start : start + step]) for start in range(0, len(weights), step)])

    return blocks


class _Level(NamedTuple):
    """One bit: elements in the order of (block, y); for the ``upper`` half, where ties and blocks begin and end."""

    order: Ints
    lower: Floats
    upper: Ints
    tie_from: Ints
    tie_to: Ints
    block_from: Ints
    block_to: Ints


def _level(a: Ints, b: Ints, bit: int) -> _Level:
    block = a >> (bit + 1)
    order = np.lexsort((b, block))
    side = (a[order] >> bit) & 1
    upper = np.flatnonzero(side)
    sorted_block = block[order]
    tie_from, tie_to = _runs((sorted_block * (int(b.max()) + 1) + b[order]).astype(np.float64))
    block_from, block_to = _runs(sorted_block.astype(np.float64))
    return _Level(
        order, (1 - side).astype(np.float64), upper, tie_from[upper], tie_to[upper], block_from[upper], block_to[upper]
    )  # fmt: skip


def _runs(ordered: Floats) -> tuple[Ints, Ints]:
    """For each element of sorted numbers, where the run of its equals begins, and where it ends."""
    starts = np.flatnonzero(np.diff(ordered, prepend=np.nan))
    lengths = np.diff(starts, append=len(ordered))
    return np.repeat(starts, lengths), np.repeat(starts + lengths, lengths)


def _cumulated(weights: Floats) -> Floats:
    """Sums of the first 0, 1, ..., n weights (B, n + 1)."""
    cum = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=cum[:, 1:])
    return cum
