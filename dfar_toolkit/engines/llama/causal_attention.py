r"""Causal attention of short rows in blocks, forth and back.

With \(P = \mathrm{softmax}(Q K^\top)\), masked, and \(O = P V\); back from \(\bar O\): \(\bar V = P^\top \bar O\),
\(\bar S = P \odot (\bar O V^\top - \mathrm{rowsum}(P \odot \bar O V^\top))\), \(\bar Q = \bar S K\),
\(\bar K = \bar S^\top Q\). A block of tokens sees the keys up to its own end, so that of the products with keys that
come later most are left out. Shares are kept for the way back: memory grows with heads times tokens squared, which is
why this is for rows of a few hundred tokens.

Queries whose keys are the same (heads that share one of keys) stand behind one another, token by token: (batch, tokens
times shared, head), with a batch of rows times heads of keys.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Final

STEP: Final = 16  # keys that a processor takes at once: blocks that see multiples of it are a fifth faster
BLOCKS: Final = 8  # about so many of the longest row: each is some calls, and of what it sees a part comes later


class CausalAttention:
    """Attention of rows after a beginning.

    Args:
        before: Keys of the beginning, which every token sees and which no gradient is taken of.
        most: Tokens of the longest row.
        shared: Heads of queries that share one of keys.
        like: A tensor of the wanted kind.
    """

    def __init__(self, before: int, most: int, shared: int, like: Any) -> None:
        import torch

        self._before, self._seen, self._shared = before, before + most, shared
        self._size = STEP * -(-most // (STEP * BLOCKS))
        late = like.new_full((2 * self._size,) * 2, -math.inf).triu(1)
        self._late = torch.cat([late.new_zeros(len(late), self._seen), late], 1).repeat_interleave(shared, 0)

    def forth(self, queries: Any, keys: Any, values: Any) -> tuple[Any, list[Any]]:
        """Attention.

        Args:
            queries: (batch, tokens times shared, head), already scaled.
            keys: (batch, before + tokens, head).
            values: The same.

        Returns:
            As queries, and of each block its shares, (batch, queries of the block, keys that it sees).
        """
        import torch

        found, shares = [], []
        for start, end in self._blocks(queries):
            own, seen = self._of(start, end), self._before + end
            logits = torch.baddbmm(self._later(end - start, seen), queries[:, own], keys[:, :seen].transpose(1, 2))
            torch.softmax(logits, -1, out=logits)
            found.append(torch.bmm(logits, values[:, :seen]))
            shares.append(logits)
        return torch.cat(found, 1), shares

    def back(self, gradient: Any, queries: Any, keys: Any, values: Any, shares: list[Any]) -> tuple[Any, Any, Any]:
        """Gradients by queries, and by keys and values of the rows' own tokens.

        Args:
            gradient: By what attention gave, shaped as it.
            queries: As above.
            keys: As above.
            values: As above.
            shares: What attention gave beside it.
        """
        import torch

        by_queries, before = [], self._before
        by_keys: Any = None
        by_values: Any = None
        for (start, end), share in zip(reversed(self._blocks(queries)), reversed(shares), strict=True):
            own, seen = self._of(start, end), before + end
            upper, asked = gradient[:, own], queries[:, own]
            inner = softmax_back(torch.bmm(upper, values[:, :seen].transpose(1, 2)), share)
            by_queries.append(torch.bmm(inner, keys[:, :seen]))
            more_keys = torch.bmm(inner[:, :, before:].transpose(1, 2), asked)
            more_values = torch.bmm(share[:, :, before:].transpose(1, 2), upper)
            if by_keys is None:
                by_keys, by_values = more_keys, more_values
            else:
                by_keys[:, :end].add_(more_keys)
                by_values[:, :end].add_(more_values)
        return torch.cat(by_queries[::-1], 1), by_keys, by_values

    def _later(self, size: int, seen: int) -> Any:
        """What is added to logits of a block of tokens that sees so many keys: -inf at those that come later."""
        end = self._seen + size
        return self._late[: size * self._shared, end - seen : end]

    def _blocks(self, queries: Any) -> list[tuple[int, int]]:
        """Blocks that see multiples of a step; none is under half of one, but where all tokens are fewer."""
        tokens, least = queries.shape[1] // self._shared, STEP // 2
        first = self._size - self._before % STEP
        ends = range(first if first >= least else first + STEP, tokens - least + 1, self._size)
        return list(pairwise([0, *ends, tokens]))

    def _of(self, start: int, end: int) -> slice:
        return slice(start * self._shared, end * self._shared)


def softmax_back(gradient: Any, share: Any) -> Any:
    """From the gradient by shares to the one by logits, in place; softmax over the last axis."""
    import torch

    return torch.ops.aten._softmax_backward_data.out(gradient, share, -1, share.dtype, grad_input=gradient)
