"""Points of lines between two inputs through all layers, forth and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dfar_toolkit.engines.llama.layers import Before, Forth, Layers, Rows
from dfar_toolkit.engines.llama.line import AtPoints, Line, at_points, lines_between, shares_of
from dfar_toolkit.engines.llama.weights import LlamaWeights


class LineForth(NamedTuple):
    """Points of one line, run.

    Attributes:
        line: The line.
        points: The points.
        past: What was done.
    """

    line: Line
    points: AtPoints
    past: Forth

    @property
    def states(self) -> Any:
        """Of the last tokens, (points, hidden)."""
        return self.past.states


class LinePass:
    """Runs points of lines; time and memory as of :class:`~dfar_toolkit.engines.llama.layers.Layers`.

    Args:
        weights: The model's.
        before: For each layer what a beginning that all points share left; empty: there is none.
        most: Tokens of the longest input after it.
    """

    def __init__(self, weights: LlamaWeights, before: Sequence[Before], most: int) -> None:
        self._weights = weights
        self._layers = Layers(weights, before, most)
        self._rows: dict[tuple[int, int], Rows] = {}

    def lines(self, baselines: Any, inputs: Any, sizes: Sequence[int]) -> list[Line]:
        """Lines of several inputs; see :func:`~dfar_toolkit.engines.llama.line.lines_between`."""
        layers = self._layers
        return lines_between(baselines, inputs, sizes, self._weights.layers[0].reads, layers.heads, layers.rotations)

    def forth(self, line: Line, alphas: Any) -> LineForth:
        """Points of a line; ``alphas`` are how far they are on the way, (points,)."""
        import torch

        points = at_points(line, alphas, self._weights.tiny)
        size = (len(alphas), line.tokens)
        if size not in self._rows:
            self._rows[size] = self._layers.rows(torch.full(size[:1], line.tokens), line.tokens)
        parted = (points.queries, points.keys, points.values)
        return LineForth(line, points, self._layers.forth(points.states, self._rows[size], parted))

    def scores(self, gradient: Any, forth: LineForth) -> Any:
        """Of each token of each point the product of its difference with the gradient by its embedding.

        Args:
            gradient: By the states of last tokens, (points, hidden); changed.
            forth: The points; used up.

        Returns:
            (points, tokens).
        """
        past, parted = self._layers.back(gradient, forth.past)
        assert parted is not None
        return shares_of(forth.line, forth.points, past, *parted)
