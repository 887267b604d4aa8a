r"""Attention of the last token of each row, in the layer whose other tokens only give keys and values.

Values are not made: with shares \(p\) and normed states \(n\), \(\sum_j p_j W n_j = W \sum_j p_j n_j\), one product
per head instead of one per token, and the same back. Heads whose keys are different are asked at once: a query is
written into a row as wide as all keys of a token, at its own head's numbers, zeros elsewhere, so that keys need not be
parted into heads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dfar_toolkit.engines.llama.causal_attention import softmax_back
from dfar_toolkit.engines.llama.heads import Heads


class Asked(NamedTuple):
    """What the way back needs.

    Attributes:
        wide: Queries, (rows, heads, kept times size).
        keys: (rows, before + tokens, kept times size).
        states: (rows, tokens, hidden).
        share: (rows, heads, before + tokens).
    """

    wide: Any
    keys: Any
    states: Any
    share: Any


class LastTokenAttention:
    """Attention of one query per head and row.

    Args:
        heads: Sizes.
        values: What makes values of normed states, (kept times size, hidden).
        before: Values of a beginning that all rows share, (kept, before, size); None: there is none.
    """

    def __init__(self, heads: Heads, values: Any, before: Any | None) -> None:
        import torch

        self._heads, self._before = heads, before
        self._values = values.view(heads.kept, heads.size, -1)
        self._first = 0 if before is None else before.shape[1]
        self._own = torch.eye(heads.kept, dtype=values.dtype, device=values.device)[:, None, :, None]

    def forth(self, queries: Any, keys: Any, states: Any, padding: Any | None = None) -> tuple[Any, Asked]:
        """Attention.

        Args:
            queries: (rows, heads times size), already scaled.
            keys: (rows, before + tokens, kept times size).
            states: Normed, (rows, tokens, hidden).
            padding: What is added to logits, (rows, 1, before + tokens); None: nothing.

        Returns:
            As queries, and what the way back needs.
        """
        import torch

        rows = len(queries)
        wide = self._wide(queries)
        logits = torch.bmm(wide, keys.transpose(1, 2))
        share = torch.softmax(logits if padding is None else logits.add_(padding), -1)
        mixed = torch.bmm(share[:, :, self._first :], states)
        found = torch.bmm(self._by_kept(mixed), self._values.transpose(1, 2))
        if self._before is not None:
            found += torch.bmm(self._by_kept(share[:, :, : self._first]), self._before)
        return self._by_rows(found, rows).flatten(1), Asked(wide, keys, states, share)

    def back(self, gradient: Any, past: Asked) -> tuple[Any, Any, Any]:
        """Gradients by queries, by keys of the rows' own tokens, and by states as far as values go.

        Args:
            gradient: By what attention gave, (rows, heads times size).
            past: What it did.
        """
        import torch

        rows, first = len(gradient), self._first
        upper = self._by_kept(gradient.view(rows, -1, self._heads.size))
        mixed = self._by_rows(torch.bmm(upper, self._values), rows)
        by_share = torch.bmm(mixed, past.states.transpose(1, 2))
        if self._before is not None:
            earlier = self._by_rows(torch.bmm(upper, self._before.transpose(1, 2)), rows)
            by_share = torch.cat([earlier, by_share], -1)
        inner = softmax_back(by_share, past.share)
        by_queries = self._narrow(torch.bmm(inner, past.keys))
        by_keys = torch.bmm(inner[:, :, first:].transpose(1, 2), past.wide)
        return by_queries, by_keys, torch.bmm(past.share[:, :, first:].transpose(1, 2), mixed)

    def _by_kept(self, numbers: Any) -> Any:
        """From (rows, heads, ...) to (kept, rows times shared, ...)."""
        return numbers.unflatten(1, (self._heads.kept, -1)).transpose(0, 1).flatten(1, 2)

    def _by_rows(self, numbers: Any, rows: int) -> Any:
        """The other way."""
        return numbers.unflatten(1, (rows, -1)).transpose(0, 1).flatten(1, 2)

    def _wide(self, numbers: Any) -> Any:
        kept, shared, size = self._heads
        return (numbers.view(-1, kept, shared, 1, size) * self._own).view(len(numbers), kept * shared, kept * size)

    def _narrow(self, wide: Any) -> Any:
        kept, shared, size = self._heads
        return (wide.view(-1, kept, shared, kept, size) * self._own).sum(3).view(len(wide), -1)
