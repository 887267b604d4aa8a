"""Values at points, and gradients by inputs' embeddings, by layers written out: inputs of unequal lengths at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from dfar_toolkit.engines.attribution.gradient_batches import (
    AtPoint,
    Explainable,
    GradientBatches,
    Point,
    Points,
    reduced,
)
from dfar_toolkit.engines.attribution.written_points import BLOCK, DIFFERENCE, Written, checked, points_found
from dfar_toolkit.engines.batches import token_batches
from dfar_toolkit.engines.llama.layers import Layers

_INPUTS: Final = 8  # from which on the look at two of them is made good by what is saved
_TOKENS: Final = 1024  # of them together, from which on copies of weights are
_SPARE: Final = 32  # one of so many of a batch's tokens may be padding, which is run for nothing


class RowRunner:
    """Runs points of many inputs, padded on the right.

    Args:
        written: The model.
        nothing: The baseline's embedding, (hidden,).
        budget: Tokens of a batch at most.
    """

    def __init__(self, written: Written, nothing: Any, budget: int) -> None:
        self._written, self._nothing, self._budget = written, nothing, budget

    def takes(self, reductions: Sequence[str]) -> bool:
        """All that is made without the difference of input and baseline."""
        return DIFFERENCE not in reductions

    def run(self, points: Sequence[Point], reductions: Sequence[str], prefix: tuple[int, ...]) -> list[AtPoint | None]:
        """See :class:`~dfar_toolkit.engines.attribution.written_points.Runner`."""
        import torch

        numbers = [point.at for point in points]
        before = self._written.begun(prefix)
        found: dict[int, AtPoint | None] = {}
        with torch.inference_mode():
            most = max(self._written.inputs[number].length for number in numbers) - len(prefix)
            layers = Layers(self._written.weights, before, most)
            costs = [math.ceil(self._written.cost(number, len(prefix))) for number in numbers]
            for batch in token_batches(costs, math.ceil(BLOCK * self._budget), padding=self._budget // _SPARE):
                replies = self._batch(layers, [points[at] for at in batch], reductions, len(prefix))
                found |= zip(batch, replies, strict=True)
        return [found[at] for at in range(len(points))]

    def _batch(
        self, layers: Layers, points: Sequence[Point], reductions: Sequence[str], done: int
    ) -> list[AtPoint | None]:
        import torch

        inputs = [self._written.inputs[point.at] for point in points]
        prompts = [one.job.prompt[done:] for one in inputs]
        lengths = list(map(len, prompts))
        most = max(lengths)
        ids = torch.tensor([(*prompt, *prompt[-1:] * (most - len(prompt))) for prompt in prompts])
        leaf = self._written.weights.model.get_input_embeddings().weight[ids]
        places = [[place - done for place in one.explained] for one in inputs]
        if any(point.alpha != 1 for point in points):
            marks = leaf.new_zeros(len(points), most, 1)
            for row, (point, own) in enumerate(zip(points, places, strict=True)):
                marks[row, own] = 1 - point.alpha
            leaf = torch.lerp(leaf, self._nothing.to(leaf), marks)
        forth = layers.forth(leaf.flatten(0, 1).clone(), layers.rows(torch.tensor(lengths), most))
        values, factors, upper = self._written.numbers.of(forth.states, inputs)
        if not reductions:
            return points_found(values.numpy(), 0.0, [{} for _ in points])
        gradient, _ = layers.back(upper, forth)
        found = reduced(gradient.view_as(leaf), leaf, leaf, reductions) * factors.numpy()
        scores = [dict(zip(reductions, found[:, row, own], strict=True)) for row, own in enumerate(places)]
        return points_found(values.numpy(), found.sum((0, 2)), scores)


def rows_of(
    batches: GradientBatches, written: Written | None, nothing: Any, methods: Sequence[str], budget: int
) -> Points:
    """What takes the gradients by inputs, once each, the fastest.

    Args:
        batches: The model itself.
        written: The model written out; None: it cannot be.
        nothing: The baseline's embedding, (hidden,).
        methods: What is asked for.
        budget: Tokens of a batch at most.
    """
    if written is None or not methods or not many([written.inputs[at] for at in written.fitting]):
        return batches
    ends = [Point(at, 1.0) for at in dict.fromkeys([written.longest, written.shortest])]
    return checked(batches, written, RowRunner(written, nothing, budget), ends, (methods,), own=False)


def many(inputs: Sequence[Explainable]) -> bool:
    """Whether what is saved on so many inputs makes good what layers written out cost at first."""
    return len(inputs) >= _INPUTS and sum(one.length for one in inputs) >= _TOKENS
