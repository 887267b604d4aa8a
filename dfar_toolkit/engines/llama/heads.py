"""Numbers of queries, keys and values of tokens, parted into heads as attention takes them, and put together again."""

from __future__ import annotations

from typing import Any, NamedTuple

from dfar_toolkit.engines.llama.weights import LlamaWeights


class Heads(NamedTuple):
    """Sizes.

    Attributes:
        kept: Heads of keys and values.
        shared: Heads of queries that share one of keys.
        size: Numbers of a head.
    """

    kept: int
    shared: int
    size: int

    @classmethod
    def of(cls, weights: LlamaWeights) -> Heads:
        """Those of a model."""
        return cls(weights.kept, weights.shared, weights.head)

    def parted(self, numbers: Any) -> tuple[Any, Any, Any]:
        """Queries, keys and values.

        Args:
            numbers: (rows, tokens, queries then keys then values).

        Returns:
            (rows times kept, tokens times shared, size), and twice (rows times kept, tokens, size).
        """
        rows, tokens, _ = numbers.shape
        kept, shared, size = self
        wide = kept * shared
        heads = numbers.unflatten(-1, (wide + 2 * kept, size))
        queries = heads[:, :, :wide].unflatten(2, (kept, shared)).transpose(1, 2)
        keys, values = heads[:, :, wide : wide + kept].transpose(1, 2), heads[:, :, wide + kept :].transpose(1, 2)
        return (
            queries.reshape(rows * kept, tokens * shared, size).contiguous(),
            keys.reshape(rows * kept, tokens, size).contiguous(),
            values.reshape(rows * kept, tokens, size).contiguous(),
        )

    def together(self, queries: Any, keys: Any, values: Any) -> Any:
        """The other way: (rows, tokens, numbers)."""
        kept, shared, size = self
        rows, tokens, wide = len(keys) // kept, keys.shape[1], kept * shared
        numbers = keys.new_empty(rows, tokens, wide + 2 * kept, size)
        numbers[:, :, :wide].unflatten(2, (kept, shared)).copy_(
            queries.view(rows, kept, tokens, shared, size).transpose(1, 2)
        )
        numbers[:, :, wide : wide + kept].copy_(keys.view(rows, kept, tokens, size).transpose(1, 2))
        numbers[:, :, wide + kept :].copy_(values.view(rows, kept, tokens, size).transpose(1, 2))
        return numbers.flatten(2)

    def attended(self, found: Any) -> Any:
        """What attention gave, put together: (rows times tokens, numbers of all heads of queries)."""
        kept, shared, size = self
        rows, tokens = len(found) // kept, found.shape[1] // shared
        own = found.view(rows, kept, tokens, shared * size).transpose(1, 2)
        return own.reshape(rows * tokens, kept * shared * size)

    def apart(self, numbers: Any, rows: int) -> Any:
        """The other way, (rows times kept, tokens times shared, size)."""
        kept, shared, size = self
        own = numbers.view(rows, -1, kept, shared * size).transpose(1, 2)
        return own.reshape(rows * kept, -1, size)
