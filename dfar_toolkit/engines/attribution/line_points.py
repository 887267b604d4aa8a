"""Points between baseline and input by layers written out: what all points of a line share is made once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from typing import Any, Final

from dfar_toolkit.engines.attribution.gradient_batches import AtPoint, GradientBatches, Point, Points
from dfar_toolkit.engines.attribution.row_points import RowRunner
from dfar_toolkit.engines.attribution.written_points import BLOCK, DIFFERENCE, Written, checked, points_found
from dfar_toolkit.engines.llama.line import Line
from dfar_toolkit.engines.llama.line_pass import LinePass

_LINES: Final = 4096  # tokens of inputs whose lines are made together


def points_of(batches: GradientBatches, written: Written | None, nothing: Any, budget: int) -> Points:
    """What goes through the points of inputs the fastest.

    Args:
        batches: The model itself.
        written: The model written out; None: it cannot be.
        nothing: The baseline's embedding, (hidden,).
        budget: Tokens of a batch at most.
    """
    if written is None:
        return batches
    runner = LineRunner(written, nothing, budget)
    points = [Point(written.longest, alpha) for alpha in (0.5, 1.0)]
    return checked(batches, written, runner, points, ((DIFFERENCE,), ()), own=True)


class LineRunner:
    """Runs points of lines in blocks of one input each, forth and back.

    Args:
        written: The model.
        nothing: The baseline's embedding, (hidden,).
        budget: Tokens of a batch at most.
    """

    def __init__(self, written: Written, nothing: Any, budget: int) -> None:
        self._written, self._nothing, self._budget = written, nothing, budget
        self._values = RowRunner(written, nothing, budget)

    def takes(self, reductions: Sequence[str]) -> bool:
        """Products with the difference of input and baseline, and values alone."""
        return set(reductions) <= {DIFFERENCE}

    def run(self, points: Sequence[Point], reductions: Sequence[str], prefix: tuple[int, ...]) -> list[AtPoint | None]:
        """See :class:`~dfar_toolkit.engines.attribution.written_points.Runner`."""
        import torch

        if not reductions:
            return self._values.run(points, (), prefix)
        found: dict[int, AtPoint | None] = {}
        own: dict[int, list[int]] = {}
        for at, point in enumerate(points):
            own.setdefault(point.at, []).append(at)
        before = self._written.begun(prefix)
        with torch.inference_mode():
            most = max(self._written.inputs[number].length for number in own) - len(prefix)
            run = LinePass(self._written.weights, before, most)
            for numbers in self._together(list(own), len(prefix)):
                for number, line in zip(numbers, self._lines(run, numbers, len(prefix)), strict=True):
                    for block in self._blocks(own[number], self._written.cost(number, len(prefix))):
                        alphas = [points[at].alpha for at in block]
                        replies = self._block(run, line, number, alphas)
                        found |= zip(block, replies, strict=True)
        return [found[at] for at in range(len(points))]

    def _together(self, numbers: Sequence[int], done: int) -> Iterator[list[int]]:
        """Inputs whose lines are made together."""
        batch: list[int] = []
        tokens = 0
        for number in numbers:
            batch.append(number)
            tokens += self._written.inputs[number].length - done
            if tokens >= _LINES:
                yield batch
                batch, tokens = [], 0
        if batch:
            yield batch

    def _blocks(self, todo: Sequence[int], cost: float) -> Iterator[Sequence[int]]:
        """Blocks of about equal sizes."""
        size = max(-(-len(todo) // math.ceil(len(todo) * cost / (BLOCK * self._budget))), 1)
        for start in range(0, len(todo), size):
            yield todo[start : start + size]

    def _lines(self, run: LinePass, numbers: Sequence[int], done: int) -> list[Line]:
        import torch

        inputs = [self._written.inputs[number] for number in numbers]
        rows = [one.job.prompt[done:] for one in inputs]
        embeddings = self._written.weights.model.get_input_embeddings().weight[torch.tensor(list(chain(*rows)))]
        starts = accumulate(map(len, rows), initial=-done)
        explained = [[start + place for place in one.explained] for start, one in zip(starts, inputs, strict=False)]
        baselines = embeddings.clone()
        baselines[list(chain(*explained))] = self._nothing.to(embeddings)
        return run.lines(baselines, embeddings, [len(row) for row in rows])

    def _block(self, run: LinePass, line: Line, number: int, alphas: Sequence[float]) -> list[AtPoint | None]:
        """What was found at points of one input; None where it is not finite."""
        import numpy as np
        import torch

        one = self._written.inputs[number]
        forth = run.forth(line, torch.tensor(alphas, dtype=torch.float32))
        values, factors, gradient = self._written.numbers.of(forth.states, [one])
        first = len(one.job.prompt) - line.tokens
        explained = np.array(one.explained, dtype=np.int64) - first
        each = (run.scores(gradient, forth).double() * factors).numpy()[:, explained]
        return points_found(values.numpy(), each.sum(1), [{DIFFERENCE: own} for own in each])
