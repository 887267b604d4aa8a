r"""Rotations of queries and keys as products of complex numbers.

Token \(t\) turns each pair of numbers of a head, read as one complex number, by \(c_t = \cos + i \sin\); the way back
of a product with \(c\) is the product with its conjugate. Values are not turned: where they stand beside keys, their
factor is 1.

Reference: Su et al. (2021), arXiv 2104.09864, section 3.2.2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dfar_toolkit.engines.llama.weights import LlamaWeights


class Factors(NamedTuple):
    """For each pair of numbers of each token its factor.

    Attributes:
        all: Of queries, keys and values, (tokens times (heads + 2 kept) times head / 2,).
        keys: (tokens times kept times head / 2,).
        queries: (tokens, heads times head / 2).
    """

    all: Any
    keys: Any
    queries: Any

    def of(self, tokens: int, most: int) -> Factors:
        """Those of the first of ``most`` tokens."""
        return Factors(
            self.all[: len(self.all) // most * tokens], self.keys[: len(self.keys) // most * tokens],
            self.queries[:tokens],
        )  # fmt: skip


class Rotation(NamedTuple):
    """Of a row: the way forth and the way back."""

    forth: Factors
    back: Factors


class Rotations:
    """Rotations of rows of up to so many tokens.

    Args:
        weights: The model's.
        first: Place of the first token.
        most: Tokens of the longest row.
    """

    def __init__(self, weights: LlamaWeights, first: int, most: int) -> None:
        import torch

        self._most = most
        like, half = weights.layers[0].reads, weights.head // 2
        places = torch.arange(first, first + most)[None]
        cos, sin = (own[0, :, None, :half] for own in weights.model.model.rotary_emb(like[None, :1], places))
        turns = torch.complex(cos.contiguous(), sin.contiguous())
        queries, keys = turns.expand(-1, weights.heads, -1), turns.expand(-1, weights.kept, -1)
        still = torch.ones_like(turns).expand(-1, weights.kept, -1)
        self._forth = Factors(torch.cat([queries, keys, still], 1).flatten(), keys.flatten(), queries.flatten(1))
        self._back = Factors(*[factors.conj().resolve_conj() for factors in self._forth])

    def of(self, tokens: int) -> Rotation:
        """That of a row of so many tokens."""
        return Rotation(self._forth.of(tokens, self._most), self._back.of(tokens, self._most))


def turned(numbers: Any, factors: Any) -> Any:
    """Rows of real numbers turned in place, (rows, ...) with two numbers per factor."""
    import torch

    torch.view_as_complex(numbers.view(len(numbers), -1, 2)).mul_(factors)
    return numbers
