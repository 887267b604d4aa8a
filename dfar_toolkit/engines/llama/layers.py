"""Rows of tokens through all layers, forth and back: last tokens' states, and gradients by what was begun with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dfar_toolkit.engines.llama.causal_attention import CausalAttention
from dfar_toolkit.engines.llama.feed_forward import Fed, fed, fed_back
from dfar_toolkit.engines.llama.heads import Heads
from dfar_toolkit.engines.llama.last_token import Asked, LastTokenAttention
from dfar_toolkit.engines.llama.rms_norm import Normed, add_back, norm_back, normed
from dfar_toolkit.engines.llama.rotation import Rotation, Rotations, turned
from dfar_toolkit.engines.llama.weights import LlamaWeights


class Before(NamedTuple):
    """What a beginning that all rows share left in a layer, each (kept, tokens, head), laid out as the weights."""

    keys: Any
    values: Any


def before_of(cache: Any, weights: LlamaWeights) -> list[Before]:
    """What one row left in a model's cache.

    Args:
        cache: The model's own, whose layers have keys and values, (1, kept, tokens, head).
        weights: The model's.
    """
    return [Before(layer.keys[0][..., weights.paired], layer.values[0]) for layer in cache.layers]


class Rows(NamedTuple):
    """Rows, padded on the right to the same length.

    Attributes:
        number: How many.
        rotation: Of their tokens.
        places: Of each the place of its last token, (rows,).
        ends: The same in all tokens, (rows,).
        padding: What is added to the last token's logits, (rows, 1, before + tokens): -inf at padding. None: there is
            no padding.
    """

    number: int
    rotation: Rotation
    places: Any
    ends: Any
    padding: Any | None


class _Layered(NamedTuple):
    """What the way back through a layer needs; ``norm`` is None where it began with queries, keys and values."""

    norm: Normed | None
    queries: Any
    keys: Any
    values: Any
    shares: list[Any]
    fed: Fed


class Forth(NamedTuple):
    """What was done; the way back uses it up.

    Attributes:
        rows: The rows.
        layers: What was done in the layers but the last.
        norm: Of the last layer, of all tokens.
        asked: Its attention of the last tokens.
        fed: Its feed-forward part, of these.
        states: Their states after it, (rows, hidden).
    """

    rows: Rows
    layers: list[_Layered]
    norm: Normed
    asked: Asked
    fed: Fed
    states: Any


class Layers:
    """Runs rows.

    With N rows of L tokens after P that are run before, H heads and D layers the time grows with D N L (weights of a
    layer + H (P + L)), the memory with D N L (hidden + inner + H (P + L)). Of the last layer only keys are made of all
    tokens, and everything else of the last ones.

    Args:
        weights: The model's.
        before: For each layer what a beginning that all share left; empty: there is none.
        most: Tokens of the longest row after it.

    Attributes:
        heads: How numbers are parted.
        first: Tokens of the beginning.
        rotations: Of rows of any length.
    """

    def __init__(self, weights: LlamaWeights, before: Sequence[Before], most: int) -> None:
        self._weights, self._before = weights, before
        self.heads = Heads.of(weights)
        self.first = before[0].keys.shape[1] if before else 0
        like, wide = weights.layers[0].reads, self.heads.kept * self.heads.size
        self.rotations = Rotations(weights, self.first, most)
        self._attention = CausalAttention(self.first, most, self.heads.shared, like)
        last, at = weights.layers[-1].reads, weights.keys_from
        self._queries, self._keys, values = last[:at], last[at : at + wide], last[at + wide :]
        self._last = LastTokenAttention(self.heads, values, before[-1].values if before else None)

    def rows(self, lengths: Any, tokens: int) -> Rows:
        """Rows of these lengths, (rows,), padded to so many tokens."""
        import torch

        count, places = len(lengths), lengths - 1
        padding = None
        if int(lengths.min()) < tokens:
            late = torch.arange(-self.first, tokens) > places[:, None, None]
            padding = self._keys.new_zeros(late.shape).masked_fill_(late, -torch.inf)
        return Rows(count, self.rotations.of(tokens), places, torch.arange(count) * tokens + places, padding)

    def forth(self, states: Any, rows: Rows, parted: tuple[Any, Any, Any] | None = None) -> Forth:
        """States of last tokens.

        Args:
            states: The embeddings, (rows times tokens, hidden); changed.
            rows: The rows.
            parted: The first layer's queries, keys and values, as attention takes them; None: they are made.
        """
        weights, heads = self._weights, self.heads
        done: list[_Layered] = []
        for at, layer in enumerate(weights.layers[:-1]):
            norm = None
            if at or parted is None:
                norm = normed(states, weights.tiny)
                numbers = (norm.states @ layer.reads.T).view(rows.number, -1, len(layer.reads))
                parted = heads.parted(turned(numbers, rows.rotation.forth.all))
            queries, keys, values = parted
            keys, values = self._after(at, keys, values)
            found, shares = self._attention.forth(queries, keys, values)
            states.addmm_(heads.attended(found), layer.writes.T)
            _, own = fed(states, layer, weights.tiny)
            done.append(_Layered(norm, queries, keys, values, shares, own))
        norm = normed(states, weights.tiny)
        found, asked = self._asked(norm, rows)
        last = states[rows.ends].addmm_(found, weights.layers[-1].writes.T)
        last, own = fed(last, weights.layers[-1], weights.tiny)
        return Forth(rows, done, norm, asked, own, last)

    def back(self, gradient: Any, past: Forth) -> tuple[Any, tuple[Any, Any, Any] | None]:
        """Gradients by what was begun with.

        Args:
            gradient: By the states of the last tokens, (rows, hidden); changed.
            past: What was done; used up.

        Returns:
            By the states, (rows times tokens, hidden), and by the first queries, keys and values where those were
            given; the former then is of what goes past them.
        """
        weights, heads, rows = self._weights, self.heads, past.rows
        back = rows.rotation.back
        last = fed_back(gradient, weights.layers[-1], past.fed)
        by_queries, by_keys, by_states = self._last.back(last @ weights.layers[-1].writes, past.asked)
        by_states = by_states.flatten(0, 1).addmm_(turned(by_keys, back.keys).view(-1, len(self._keys)), self._keys)
        by_states.index_add_(0, rows.ends, turned(by_queries, back.queries[rows.places]) @ self._queries)
        gradient = norm_back(by_states, past.norm).index_add_(0, rows.ends, last)
        while past.layers:
            own = past.layers.pop()  # what is done with makes room for what comes
            layer = weights.layers[len(past.layers)]
            fed_back(gradient, layer, own.fed)
            upper = heads.apart(gradient @ layer.writes, rows.number)
            parted = self._attention.back(upper, own.queries, own.keys, own.values, own.shares)
            if own.norm is None:
                return gradient, parted
            numbers = turned(heads.together(*parted), back.all).flatten(0, 1)
            add_back(numbers @ layer.reads, own.norm, gradient)
        return gradient, None

    def _asked(self, norm: Normed, rows: Rows) -> tuple[Any, Asked]:
        """Attention of the last tokens."""
        import torch

        factors = rows.rotation.forth
        keys = turned((norm.states @ self._keys.T).view(rows.number, -1, len(self._keys)), factors.keys)
        queries = turned(norm.states[rows.ends] @ self._queries.T, factors.queries[rows.places])
        if self._before:
            own = self._before[-1].keys.transpose(0, 1).flatten(1)
            keys = torch.cat([own.expand(rows.number, -1, -1), keys], 1)
        states = norm.states.view(rows.number, -1, norm.states.shape[-1])
        return self._last.forth(queries, keys, states, rows.padding)

    def _after(self, layer: int, keys: Any, values: Any) -> tuple[Any, Any]:
        """With the beginning's before them."""
        import torch

        if not self._before:
            return keys, values
        rows = len(keys) // self.heads.kept
        own = self._before[layer]
        return torch.cat([own.keys.repeat(rows, 1, 1), keys], 1), torch.cat([own.values.repeat(rows, 1, 1), values], 1)
