"""Points of lines through all layers, forth and back: states of the last tokens, and scores of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dfar_toolkit.engines.llama.causal_attention import CausalAttention
from dfar_toolkit.engines.llama.feed_forward import Fed, fed, fed_back
from dfar_toolkit.engines.llama.heads import Heads
from dfar_toolkit.engines.llama.last_token import Asked, LastTokenAttention
from dfar_toolkit.engines.llama.line import AtPoints, Line, at_points, lines_between, shares_of
from dfar_toolkit.engines.llama.rms_norm import Normed, add_back, normed
from dfar_toolkit.engines.llama.rotation import Rotations, turned
from dfar_toolkit.engines.llama.weights import LlamaWeights


class Before(NamedTuple):
    """What a beginning that all points share left in a layer, each (kept, tokens, head), laid out as the weights."""

    keys: Any
    values: Any


class _Layered(NamedTuple):
    """What the way back through a layer needs; ``norm`` is None in the first."""

    norm: Normed | None
    queries: Any
    keys: Any
    values: Any
    shares: list[Any]
    fed: Fed


class Forth(NamedTuple):
    """Points of one line, run up to the feed-forward part of the last layer.

    Attributes:
        line: The line.
        points: The points.
        layers: What was done in the layers but the last.
        norm: Of the last layer, of all tokens.
        asked: Its attention of the last tokens.
        last: States of these after it, (points, hidden).
    """

    line: Line
    points: AtPoints
    layers: list[_Layered]
    norm: Normed
    asked: Asked
    last: Any


class Ends(NamedTuple):
    """Last tokens of many points after the last layer.

    Attributes:
        states: (points, hidden).
        fed: What the way back needs.
    """

    states: Any
    fed: Fed


class LinePass:
    """Runs points of lines.

    With N points of L tokens after P that are run before, H heads and D layers the time grows with D N L (weights of a
    layer + H (P + L)), the memory with D N L (hidden + inner + H (P + L)).

    Args:
        weights: The model's.
        before: For each layer what a beginning that all share left; empty: there is none.
        most: Tokens of the longest input after it.
    """

    def __init__(self, weights: LlamaWeights, before: Sequence[Before], most: int) -> None:
        self._weights, self._before = weights, before
        self._first = before[0].keys.shape[1] if before else 0
        self._heads = Heads.of(weights)
        like, wide = weights.layers[0].reads, self._heads.kept * self._heads.size
        queries, keys, values = weights.layers[-1].reads.split([weights.keys_from, wide, wide])
        self._queries, self._keys = queries, keys
        self._last = LastTokenAttention(self._heads, values, before[-1].values if before else None)
        self._rotations = Rotations(weights, self._first, most)
        self._attention = CausalAttention(self._first, self._heads.shared, like)

    def lines(self, baselines: Any, inputs: Any, sizes: Sequence[int]) -> list[Line]:
        """Lines of inputs of these sizes, as :func:`~dfar_toolkit.engines.llama.line.lines_between` says."""
        reads = self._weights.layers[0].reads
        return lines_between(baselines, inputs, sizes, reads, self._heads, self._rotations)

    def forth(self, line: Line, alphas: Any) -> Forth:
        """Points of a line, (points,), up to the feed-forward part of the last layer."""
        weights, heads, rows = self._weights, self._heads, len(alphas)
        points = at_points(line, alphas, weights.tiny)
        states, done = points.states, []
        for at, layer in enumerate(weights.layers[:-1]):
            norm, parted = None, (points.queries, points.keys, points.values)
            if at:
                norm = normed(states, weights.tiny)
                numbers = turned((norm.states @ layer.reads.T).view(rows, line.tokens, -1), line.rotation.forth.all)
                parted = heads.parted(numbers)
            queries, keys, values = parted
            keys, values = self._after(at, keys, values)
            found, shares = self._attention.forth(queries, keys, values)
            between = states.addmm(heads.attended(found), layer.writes.T)
            states, own = fed(between, layer, weights.tiny)
            done.append(_Layered(norm, queries, keys, values, shares, own))
        norm = normed(states, weights.tiny)
        found, asked = self._asked(line, norm, rows)
        last = states.view(rows, line.tokens, -1)[:, -1].addmm(found, weights.layers[-1].writes.T)
        return Forth(line, points, done, norm, asked, last)

    def ends(self, forths: Sequence[Forth]) -> Ends:
        """The last tokens of all points after the last layer."""
        return Ends(*fed(_joined([one.last for one in forths]), self._weights.layers[-1], self._weights.tiny))

    def scores(self, forths: Sequence[Forth], ends: Ends, gradient: Any) -> list[Any]:
        """Of each token of each point the product of its difference with the gradient by its embedding.

        Args:
            forths: The points; used up.
            ends: Their last tokens; used up.
            gradient: By the states of these, (points, hidden); changed.

        Returns:
            For each of ``forths`` (points, tokens).
        """
        fed_back(gradient, self._weights.layers[-1], ends.fed)
        parts = gradient.split([len(one.last) for one in forths])
        return [self._back(one, own) for one, own in zip(forths, parts, strict=True)]

    def _asked(self, line: Line, norm: Normed, rows: int) -> tuple[Any, Asked]:
        """Attention of the last tokens."""
        import torch

        factors = line.rotation.forth
        keys = turned((norm.states @ self._keys.T).view(rows, line.tokens, -1), factors.keys)
        states = norm.states.view(rows, line.tokens, -1)
        queries = turned(states[:, -1] @ self._queries.T, factors.queries[-1])
        if self._before:
            own = self._before[-1].keys.transpose(0, 1).flatten(1)
            keys = torch.cat([own.expand(rows, -1, -1), keys], 1)
        return self._last.forth(queries, keys, states)

    def _back(self, one: Forth, last: Any) -> Any:
        """From the gradient by the last tokens' states after the last attention."""
        weights, heads, line = self._weights, self._heads, one.line
        back, rows = line.rotation.back, len(last)
        by_queries, by_keys, by_states = self._last.back(last @ weights.layers[-1].writes, one.asked)
        by_states[:, -1].addmm_(turned(by_queries, back.queries[-1]), self._queries)
        by_states = by_states.flatten(0, 1).addmm_(turned(by_keys, back.keys).view(-1, len(self._keys)), self._keys)
        gradient = by_states.new_zeros(rows, line.tokens, by_states.shape[-1])
        gradient[:, -1] = last
        gradient = add_back(by_states, one.norm, gradient.flatten(0, 1))
        while one.layers:
            past = one.layers.pop()  # what is done with makes room for what comes
            layer = weights.layers[len(one.layers)]
            fed_back(gradient, layer, past.fed)
            upper = heads.apart(gradient @ layer.writes, rows)
            parted = self._attention.back(upper, past.queries, past.keys, past.values, past.shares)
            if past.norm is None:
                break
            numbers = turned(heads.together(*parted), back.all).flatten(0, 1)
            add_back(numbers @ layer.reads, past.norm, gradient)
        return shares_of(line, one.points, gradient, *parted)

    def _after(self, layer: int, keys: Any, values: Any) -> tuple[Any, Any]:
        """With the beginning's before them."""
        import torch

        if not self._before:
            return keys, values
        rows = len(keys) // self._heads.kept
        own = self._before[layer]
        return torch.cat([own.keys.repeat(rows, 1, 1), keys], 1), torch.cat([own.values.repeat(rows, 1, 1), values], 1)


def _joined(parts: Sequence[Any]) -> Any:
    import torch

    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
