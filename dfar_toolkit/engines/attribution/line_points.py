"""Points between baseline and input, run by a small Llama's layers written out where the model is one.

Small models spend most of their time between the products, on many short steps forth and back. Their layers written out
(:mod:`dfar_toolkit.engines.llama`) take fewer, and none for the products that all points share. What they say is
compared with the model's own gradients at two points first; where that differs, or anything is not as they need it, the
model runs as always.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from typing import Any, Final

from dfar_toolkit.engines.attribution.gradient_batches import AtPoint, GradientBatches, Point, Points
from dfar_toolkit.engines.attribution.option_scalar import OptionInput, OptionScalar
from dfar_toolkit.engines.device_memory import out_of_memory
from dfar_toolkit.engines.llama.line import Line
from dfar_toolkit.engines.llama.line_pass import Before, Ends, Forth, LinePass
from dfar_toolkit.engines.llama.weights import LlamaWeights, llama_weights
from dfar_toolkit.engines.requests import Failed

DIFFERENCE: Final = "difference"
LONGEST: Final = 512  # tokens of an input; attention's shares are kept for the way back
_BLOCK: Final = 0.9  # of the budget: what is run forth and back together
_BATCH: Final = 4  # budgets: what follows the last layer are many short steps, better taken for many points at once
_APART: Final = 1e-3  # of the largest score, from the model's own gradients: rounding makes 1e-5 of it


def points_of(batches: GradientBatches, scalar: Any, inputs: Sequence[Any], nothing: Any, budget: int) -> Points:
    """What goes through the points of inputs the fastest.

    Args:
        batches: The model itself.
        scalar: What makes numbers of inputs.
        inputs: The inputs.
        nothing: The baseline's embedding, (hidden,).
        budget: Tokens of a batch at most.
    """
    if not isinstance(scalar, OptionScalar) or scalar.model.training:
        return batches
    fitting = [at for at, one in enumerate(inputs) if not one.job.stems and one.length <= LONGEST]
    try:
        weights = llama_weights(scalar.model) if fitting else None
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return batches
    if weights is None:
        return batches
    written = LinePoints(batches, scalar, inputs, nothing, budget, weights, frozenset(fitting))
    return written if written.agrees(max(fitting, key=lambda at: inputs[at].length)) else batches


class LinePoints:
    """Goes through points of lines by layers written out; see the module.

    Args:
        batches: For what these cannot.
        scalar: What makes numbers of inputs.
        inputs: The inputs.
        nothing: The baseline's embedding, (hidden,).
        budget: Tokens of a batch at most.
        weights: The model's.
        fitting: Numbers of the inputs that they can.
    """

    def __init__(
        self,
        batches: GradientBatches,
        scalar: OptionScalar,
        inputs: Sequence[OptionInput],
        nothing: Any,
        budget: int,
        weights: LlamaWeights,
        fitting: frozenset[int],
    ) -> None:
        self._batches, self._scalar, self._inputs = batches, scalar, inputs
        self._nothing, self._budget, self._weights, self._fitting = nothing, budget, weights, fitting

    def at(self, points: Sequence[Point], reductions: Sequence[str], *, own: bool = False) -> list[AtPoint | Failed]:
        """See :meth:`~dfar_toolkit.engines.attribution.gradient_batches.GradientBatches.at`."""
        found: dict[int, AtPoint | Failed] = {}
        if set(reductions) <= {DIFFERENCE}:
            found |= self._written(points, own=own, scores=bool(reductions))
        rest = [at for at in range(len(points)) if at not in found]
        if rest:
            found |= zip(rest, self._batches.at([points[at] for at in rest], reductions, own=own), strict=True)
        return [found[at] for at in range(len(points))]

    def agrees(self, at: int) -> bool:
        """Whether the middle and the end of an input's line are as by the model's own gradients."""
        import numpy as np

        points = [Point(at, 0.5), Point(at, 1.0)]
        real = self._batches.at(points, (DIFFERENCE,), own=True)
        written = self._written(points, own=True, scores=True)
        for place, wanted in enumerate(real):
            own = written.get(place)
            if own is None or isinstance(wanted, Failed):
                return False
            scores = wanted.scores[DIFFERENCE]
            most = np.abs(scores).max()
            near = np.abs(own.scores[DIFFERENCE] - scores).max() <= _APART * most
            if not (near and abs(own.value - wanted.value) <= _APART * max(abs(wanted.value), most)):
                return False
        return True

    def _written(self, points: Sequence[Point], *, own: bool, scores: bool) -> dict[int, AtPoint]:
        """What the layers written out can; nothing of a beginning that they have no memory for."""
        found: dict[int, AtPoint] = {}
        beginnings = self._scalar.beginnings(self._inputs, own=own)
        mine = [at for at, point in enumerate(points) if point.at in self._fitting]
        for prefix in sorted({beginnings[points[at].at] for at in mine}):
            todo = [at for at in mine if beginnings[points[at].at] == prefix]
            try:
                found |= self._after(prefix, [points[at] for at in todo], todo, scores=scores)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
        self._scalar.begin(())
        return found

    def _after(
        self, prefix: tuple[int, ...], points: Sequence[Point], names: Sequence[int], *, scores: bool
    ) -> dict[int, AtPoint]:
        import torch

        self._scalar.begin(prefix)
        found: dict[int, AtPoint] = {}
        with torch.inference_mode():
            most = max(self._inputs[point.at].length for point in points) - len(prefix)
            run = LinePass(self._weights, self._before(), most)
            for batch in self._batches_of(points, len(prefix)):
                numbers = [points[block[0]].at for block in batch]
                lines = self._lines(run, list(dict.fromkeys(numbers)), len(prefix))
                forths = [
                    run.forth(lines[number], torch.tensor([points[at].alpha for at in block], dtype=torch.float32))
                    for number, block in zip(numbers, batch, strict=True)
                ]
                replies = self._replies(run, forths, numbers, scores=scores)
                own = zip([names[at] for block in batch for at in block], replies, strict=True)
                found |= {name: reply for name, reply in own if reply is not None}
        return found

    def _batches_of(self, points: Sequence[Point], done: int) -> Iterator[list[list[int]]]:
        """Blocks of points of one input each; batches of blocks of about equal lengths."""
        # Beside what autograd would keep, which the budget is made of, there are the shares of attention.
        config = self._weights.model.config
        apart = self._weights.heads / (14 * config.hidden_size + 4 * config.intermediate_size)
        own: dict[int, list[int]] = {}
        for at, point in enumerate(points):
            own.setdefault(point.at, []).append(at)
        batch: list[list[int]] = []
        tokens = 0.0
        for number in sorted(own, key=lambda number: -self._inputs[number].length):
            whole = self._inputs[number].length
            row, todo = (whole - done) * (1 + apart * whole), own[number]
            size = max(-(-len(todo) // math.ceil(len(todo) * row / (_BLOCK * self._budget))), 1)
            for start in range(0, len(todo), size):
                block = todo[start : start + size]
                batch.append(block)
                tokens += len(block) * row
                if tokens >= _BATCH * self._budget:
                    yield batch
                    batch, tokens = [], 0.0
        if batch:
            yield batch

    def _lines(self, run: LinePass, numbers: Sequence[int], done: int) -> dict[int, Line]:
        """For each of these inputs its line."""
        import torch

        rows = [self._inputs[number].job.prompt[done:] for number in numbers]
        embeddings = self._weights.model.get_input_embeddings().weight[torch.tensor(list(chain(*rows)))]
        starts = accumulate(map(len, rows), initial=-done)
        explained = [
            [start + place for place in self._inputs[number].explained]
            for start, number in zip(starts, numbers, strict=False)
        ]
        baselines = embeddings.clone()
        baselines[list(chain(*explained))] = self._nothing.to(embeddings)
        lines = run.lines(baselines, embeddings, [len(row) for row in rows])
        return dict(zip(numbers, lines, strict=True))

    def _replies(
        self, run: LinePass, forths: Sequence[Forth], numbers: Sequence[int], *, scores: bool
    ) -> list[AtPoint | None]:
        """What was found at the points of blocks, each of the input of that number; None where it is not finite."""
        import numpy as np

        ends = run.ends(forths)
        inputs = [
            self._inputs[number] for number, one in zip(numbers, forths, strict=True) for _ in range(len(one.last))
        ]
        values, factors, gradient = self._numbers(ends, inputs)
        if not scores:
            return [AtPoint(value, {}) if math.isfinite(value) else None for value in values]
        found: list[AtPoint | None] = []
        start = 0
        for number, one, own in zip(numbers, forths, run.scores(forths, ends, gradient), strict=True):
            rows = slice(start, start + len(one.last))
            first = len(self._inputs[number].job.prompt) - one.line.tokens
            explained = [place - first for place in self._inputs[number].explained]
            each = (own.double() * factors[rows, None]).numpy()[:, explained]
            finite = np.isfinite(each.sum(1) + values[rows]).tolist()
            found += [
                AtPoint(value, {DIFFERENCE: one_point}) if fine else None
                for value, one_point, fine in zip(values[rows], each, finite, strict=True)
            ]
            start += len(one.last)
        return found

    def _numbers(self, ends: Ends, inputs: Sequence[OptionInput]) -> tuple[list[float], Any, Any]:
        """Numbers of last tokens, their factors, and the gradients of their parts."""
        import torch

        model = self._weights.model
        with torch.inference_mode(False), torch.enable_grad():
            states = ends.states.clone().requires_grad_()
            parts, factors = self._scalar.of_last(model.lm_head(model.model.norm(states)), inputs)
            (gradient,) = torch.autograd.grad(parts.sum(), [states])
        return (parts.detach().double() * factors).tolist(), factors, gradient.clone()

    def _before(self) -> list[Before]:
        """What the beginning left, its keys laid out as those of the layers."""
        held = self._scalar.held
        if held is None:
            return []
        paired = self._weights.paired
        return [Before(layer.keys[0][..., paired], layer.values[0]) for layer in held.cache.layers]
