"""Which tokens of which rows are run together, where rows part from a trunk."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from dfar_toolkit.engines.llama.causal_attention import STEP

LONG: Final = 128  # tokens of a block at most, about: attention's logits grow with them
_BLOCKS: Final = 8  # about so many from where the first row parts
_LEAST: Final = STEP // 2  # tokens that are worth a block of their own


class Block(NamedTuple):
    """Tokens from ``start`` to ``end`` of the first so many ``rows``; ``done`` cells are run before them."""

    start: int
    end: int
    rows: int
    done: int

    @property
    def cells(self) -> slice:
        """Where they stand among all that is run, row by row."""
        return slice(self.done, self.done + self.rows * (self.end - self.start))

    def places(self, width: int) -> Any:
        """Where they stand in rows of that many tokens, one row after the other."""
        import torch

        return (torch.arange(self.rows)[:, None] * width + torch.arange(self.start, self.end)).flatten()


def blocks_of(parted: Sequence[int], width: int, before: int = 0) -> list[Block]:
    """Blocks of rows; each begins or ends where the keys that are seen are a multiple of a step.

    A block has the rows that part before its end; up to where the first one parts only the trunk is run, in long
    blocks, then all in shorter ones.

    Args:
        parted: Where each row parts from the first one, rising; 0 for the first.
        width: Tokens of the longest row, of which each parts before its own end.
        before: Tokens that are run before.

    Example:
        >>> [(block.start, block.end, block.rows) for block in blocks_of([0, 20, 30, 40], 50)]
        [(0, 16, 1), (16, 32, 3), (32, 50, 4)]
    """
    first = -before % STEP
    late = parted[1] if len(parted) > 1 else width - 1
    start = first + (late - first) // STEP * STEP if late >= first else 0
    size = STEP * min(-(-(width - start) // (STEP * _BLOCKS)), LONG // STEP)
    end = start + size - (before + start) % STEP
    ends = range(end if end - start >= _LEAST else end + STEP, width - _LEAST + 1, size)
    found: list[Block] = []
    for low, high in pairwise(dict.fromkeys([0, *range(first + LONG, start, LONG), start, *ends, width])):
        found.append(Block(low, high, bisect_left(parted, high), found[-1].cells.stop if found else 0))
    return found


def cell(blocks: Sequence[Block], row: int, place: int) -> int:
    """Where a row's token stands among all that is run.

    Example:
        >>> cell(blocks_of([0, 20, 30, 40], 50), 2, 31)
        63
    """
    block = next(block for block in blocks if place < block.end)
    return block.done + row * (block.end - block.start) + place - block.start
