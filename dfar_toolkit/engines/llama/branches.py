"""Rows of tokens that go the way of one row and part from it, each at its place, through all layers; forth only.

Tokens are run in blocks. A block has the rows that parted before its end, so that a row is run from the beginning of
the block in which it parts; what it attends to before that is copied from the first row, the trunk, which is run whole.
Of n rows of L tokens that part one at each place about n L / 2 tokens are run, in products of many tokens each.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from dfar_toolkit.engines.llama.blocks import LONG, Block, blocks_of, cell
from dfar_toolkit.engines.llama.causal_attention import STEP
from dfar_toolkit.engines.llama.feed_forward import feed
from dfar_toolkit.engines.llama.heads import Heads
from dfar_toolkit.engines.llama.layers import Before
from dfar_toolkit.engines.llama.rms_norm import normed
from dfar_toolkit.engines.llama.rotation import Rotations, turned
from dfar_toolkit.engines.llama.weights import Layer, LlamaWeights


class _Grid(NamedTuple):
    """Keys and values of all rows, each (rows, kept, before + tokens, size)."""

    keys: Any
    values: Any


class BranchPass:
    """Runs trunks with the rows that part from them.

    With D layers, H heads and N tokens that are run of rows of L after P that are run before, the time grows with
    D N (weights of a layer + H (P + L)), the memory with N hidden, rows times (P + L) keys and values, and rows times
    H times a block's tokens times (P + L).

    Args:
        weights: The model's.
        before: For each layer what a beginning that all share left; empty: there is none.
        most: Tokens of the longest row after it.
    """

    def __init__(self, weights: LlamaWeights, before: Sequence[Before], most: int) -> None:
        import torch

        self._weights, self._before, self._heads = weights, before, Heads.of(weights)
        self._first = before[0].keys.shape[1] if before else 0
        self._turns = Rotations(weights, self._first, most).of(most).forth
        self._most = most
        late = weights.layers[0].reads.new_full((min(most, LONG + 2 * STEP),) * 2, -torch.inf).triu(1)
        self._late = late.repeat_interleave(self._heads.shared, 0)

    def states(self, rows: Sequence[tuple[int, ...]], parted: Sequence[int]) -> Any:
        """States of the rows' last tokens after the last layer, (rows, hidden).

        Args:
            rows: Tokens after the beginning; the first row is the trunk.
            parted: How many first tokens each has from the trunk, rising; 0 for the trunk itself.
        """
        import torch

        weights = self._weights
        width = max(map(len, rows))
        ids = _padded(rows, width)
        blocks = blocks_of(parted, width, self._first)
        table, places, which = self._first_states(ids, torch.cat([block.places(width) for block in blocks]))
        first = normed(table, weights.tiny).states @ weights.layers[0].reads.T
        turned(first, self._turns.all.view(self._most, -1)[places])
        states = table.index_select(0, which)
        grid = self._grid(len(rows), width)
        for at, layer in enumerate(weights.layers[:-1]):
            self._begin(grid, at)
            for block in blocks:
                own = states[block.cells]
                numbers = first.index_select(0, which[block.cells]) if at == 0 else self._read(own, layer, block)
                own.addmm_(self._attended(numbers, grid, block), layer.writes.T)
                feed(own, layer, weights.tiny)
        self._begin(grid, -1)
        return self._last(states, rows, grid, blocks)

    def _first_states(self, ids: Any, cells: Any) -> tuple[Any, Any, Any]:
        """Embeddings of the trunk's tokens and of those that differ from them, their places, and of each cell which.

        What the first layer reads depends on token and place alone, and is the trunk's in most cells.
        """
        import torch

        width = ids.shape[1]
        own, places = ids.flatten().index_select(0, cells), cells % width
        other = (own != ids[0][places]).nonzero()[:, 0]
        which = places.index_copy(0, other, torch.arange(width, width + len(other)))
        table = self._weights.model.get_input_embeddings().weight[torch.cat([ids[0], own[other]])]
        return table, torch.cat([torch.arange(width), places[other]]), which

    def _read(self, states: Any, layer: Layer, block: Block) -> Any:
        """Queries, keys and values of a block."""
        numbers = normed(states, self._weights.tiny).states @ layer.reads.T
        turns = self._turns.all.view(self._most, -1)[block.start : block.end]
        return turned(numbers.view(block.rows, -1), turns.flatten())

    def _attended(self, numbers: Any, grid: _Grid, block: Block) -> Any:
        """What a block's attention gives, (cells, heads times size)."""
        import torch

        kept, shared, size = self._heads
        wide, seen = kept * shared, self._first + block.end
        heads = numbers.view(block.rows, -1, wide + 2 * kept, size)
        self._keep(grid, heads[:, :, wide : wide + kept], heads[:, :, wide + kept :], block)
        keys, values = (own[: block.rows].flatten(0, 1)[:, :seen] for own in grid)
        queries = heads[:, :, :wide].unflatten(2, (kept, shared)).transpose(1, 2).reshape(len(keys), -1, size)
        logits = torch.bmm(queries, keys.transpose(1, 2))
        later = block.end - block.start
        logits[:, :, -later:] += self._late[: later * shared, :later]
        found = torch.bmm(torch.softmax(logits, -1, out=logits), values)
        return self._heads.attended(found)

    def _last(self, states: Any, rows: Sequence[tuple[int, ...]], grid: _Grid, blocks: Sequence[Block]) -> Any:
        """The last layer, of whose other tokens only keys and values are made."""
        import torch

        weights, (kept, shared, size), first = self._weights, self._heads, self._first
        layer, at, width = weights.layers[-1], weights.keys_from, blocks[-1].end
        for block in blocks:
            norm = normed(states[block.cells], weights.tiny).states
            heads = (norm @ layer.reads[at:].T).view(block.rows, -1, 2 * kept, size)
            self._keep(grid, heads[:, :, :kept], heads[:, :, kept:], block)
        turns = self._turns.keys.view(self._most, kept, -1)[:width].transpose(0, 1)
        torch.view_as_complex(grid.keys[:, :, first:].unflatten(-1, (-1, 2))).mul_(turns)
        places = torch.tensor([len(row) - 1 for row in rows])
        last = states[[cell(blocks, row, len(own) - 1) for row, own in enumerate(rows)]]
        queries = turned(normed(last, weights.tiny).states @ layer.reads[:at].T, self._turns.queries[places])
        logits = torch.bmm(queries.view(-1, shared, size), grid.keys.flatten(0, 1).transpose(1, 2))
        if int(places.min()) < width - 1:
            late = torch.arange(-first, width) > places[:, None, None]
            logits.view(len(rows), kept * shared, -1).masked_fill_(late, -torch.inf)
        found = torch.bmm(torch.softmax(logits, -1, out=logits), grid.values.flatten(0, 1))
        return feed(last.addmm_(found.view(len(rows), -1), layer.writes.T), layer, weights.tiny)

    def _grid(self, rows: int, width: int) -> _Grid:
        """Room for keys and values of all rows in a layer; each layer writes over those of the one before."""
        kept, _, size = self._heads
        like = self._weights.layers[0].reads
        return _Grid(*(like.new_empty(rows, kept, self._first + width, size) for _ in range(2)))

    def _begin(self, grid: _Grid, layer: int) -> None:
        """Writes what the beginning left in a layer."""
        if self._before:
            for room, own in zip(grid, self._before[layer], strict=True):
                room[:, :, : self._first] = own

    def _keep(self, grid: _Grid, keys: Any, values: Any, block: Block) -> None:
        """Writes a block's keys and values, (rows, tokens, kept, size), and the trunk's for rows that part later."""
        for room, own in zip(grid, (keys, values), strict=True):
            place = room[:, :, self._first + block.start : self._first + block.end]
            place[: block.rows] = own.transpose(1, 2)
            place[block.rows :] = place[0]


def _padded(rows: Sequence[tuple[int, ...]], width: int) -> Any:
    """Tokens of rows, each filled up with its last one, (rows, width)."""
    import numpy as np
    import torch

    each = chain.from_iterable((*row, *row[-1:] * (width - len(row))) for row in rows)
    return torch.from_numpy(np.fromiter(each, np.int64, len(rows) * width)).view(len(rows), width)
