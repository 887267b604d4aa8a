"""Values and gradients at many points, in batches that fit the memory."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from dfar_toolkit.engines.attribution.embedding_line import EmbeddingLine, Read
from dfar_toolkit.engines.attribution.target_values import Weighed
from dfar_toolkit.engines.batches import token_batches
from dfar_toolkit.engines.device_memory import free_cached, out_of_memory
from dfar_toolkit.engines.requests import Failed

Reduction = str
NO_MEMORY: Final = Failed(
    "memory", "the gradients of one input alone do not fit the memory; take a smaller model or shorter inputs."
)


class Explainable(Protocol):
    """An input that a scalar is taken of."""

    @property
    def explained(self) -> tuple[int, ...]:
        """Places of its tokens, rising."""

    @property
    def length(self) -> int:
        """Tokens of its longest row."""

    @property
    def rows(self) -> int:
        """Rows that it takes."""


class Scalar(Protocol):
    """What makes one number of each input; see ``option_scalar`` and ``class_scalar``."""

    device: Any

    def beginnings(self, inputs: Sequence[Any], *, own: bool) -> list[tuple[int, ...]]:
        """What rows begin with and is run once."""

    def begin(self, prefix: tuple[int, ...]) -> None:
        """Runs a beginning."""

    def __call__(self, inputs: Sequence[Any], line: EmbeddingLine) -> Weighed:
        """The numbers of a batch of inputs, read through the line."""


class Point(NamedTuple):
    """A point between the baseline and an input.

    Attributes:
        at: Number of the input.
        alpha: How far it is on the way from the baseline (0) to the input (1).
    """

    at: int
    alpha: float


class AtPoint(NamedTuple):
    """What was found at a point.

    Attributes:
        value: The explained number.
        scores: For each reduction a float64 array with one number per explained token.
    """

    value: float
    scores: dict[Reduction, Any]


class Points(Protocol):
    """What goes through points."""

    def at(
        self, points: Sequence[Point], reductions: Sequence[Reduction], *, own: bool = False
    ) -> list[AtPoint | Failed]:
        """As :meth:`GradientBatches.at`."""


class GradientBatches:
    """Goes through points; one backward pass per batch, for the sum of its numbers.

    Args:
        scalar: What makes numbers of inputs.
        inputs: The inputs.
        nothing: The baseline's embedding, (hidden,).
        budget: Tokens of a batch at most.

    Attributes:
        halved: How often a batch did not fit the memory.
    """

    def __init__(self, scalar: Scalar, inputs: Sequence[Explainable], nothing: Any, budget: int) -> None:
        import numpy as np

        self._scalar, self._inputs, self._nothing, self._budget = scalar, inputs, nothing, budget
        self._explained = [np.array(one.explained, dtype=np.int64) for one in inputs]
        self.halved = 0

    def at(
        self, points: Sequence[Point], reductions: Sequence[Reduction], *, own: bool = False
    ) -> list[AtPoint | Failed]:
        """Numbers and reduced gradients.

        Args:
            points: The points.
            reductions: ``gradient_l1``, ``gradient_l2``, ``input_x_gradient``, ``input_x_gradient_l1``,
                ``input_x_gradient_l2``, or ``difference`` (of input and baseline, times the gradient); none: no
                gradients are taken.
            own: Whether inputs have many points each.

        Returns:
            One per point, in order.
        """
        found: dict[int, AtPoint | Failed] = {}
        beginnings = self._scalar.beginnings(self._inputs, own=own)
        for prefix in sorted({beginnings[point.at] for point in points}):
            todo = [at for at, point in enumerate(points) if beginnings[point.at] == prefix]
            if self._began(prefix):
                self._each([points[at] for at in todo], todo, reductions, len(prefix), found)
            else:
                found |= dict.fromkeys(todo, NO_MEMORY)
        self._scalar.begin(())
        return [found[at] for at in range(len(points))]

    def _each(
        self,
        points: Sequence[Point],
        names: Sequence[int],
        reductions: Sequence[Reduction],
        done: int,
        found: dict[int, AtPoint | Failed],
    ) -> None:
        """Points of one beginning; batches too large for the memory are halved."""
        # Of what is run once only copies of keys and values are held per row.
        lengths = [self._inputs[point.at].length - done + done // 16 for point in points]
        rows = [self._inputs[point.at].rows for point in points]
        todo = list(range(len(points)))
        while todo:
            left = [lengths[at] for at in todo]
            for batch in token_batches(left, self._budget, rows=[rows[at] for at in todo]):
                places = [todo[at] for at in batch]
                replies = self._tried([points[at] for at in places], reductions)
                if replies is None and len(places) > 1:
                    self._budget = max(sum(rows[at] for at in places) * max(lengths[at] for at in places) // 2, 1)
                    self.halved += 1
                    break
                said: Sequence[AtPoint | Failed] = [NO_MEMORY] if replies is None else replies
                found |= zip([names[at] for at in places], said, strict=True)
            todo = [at for at in todo if names[at] not in found]

    def _began(self, prefix: tuple[int, ...]) -> bool:
        try:
            self._scalar.begin(prefix)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            return False
        return True

    def _tried(self, points: Sequence[Point], reductions: Sequence[Reduction]) -> list[AtPoint] | None:
        """None where the memory was too small."""
        try:
            return self._batch(points, reductions)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        # Here, not above: the error's traceback holds the tensors.
        gc.collect()
        free_cached(self._scalar.device)
        return None

    def _batch(self, points: Sequence[Point], reductions: Sequence[Reduction]) -> list[AtPoint]:
        import numpy as np
        import torch

        inputs = [self._inputs[point.at] for point in points]
        explained = [self._explained[point.at] for point in points]
        alphas = [point.alpha for point in points]
        line = EmbeddingLine(alphas, explained, self._nothing, apart="difference" in reductions)
        with torch.enable_grad() if reductions else torch.no_grad():
            parts, factors = self._scalar(inputs, line)
        values = (parts.detach().double() * factors).tolist()
        sizes = np.array([len(own) for own in explained])
        ends = sizes.cumsum()
        scores = np.zeros((len(reductions), ends[-1]))
        if reductions:
            gradients = torch.autograd.grad(parts.sum(), [read.leaf for read in line.reads])
            for read, gradient in zip(line.reads, gradients, strict=True):
                rows, places, numbers = read.stretch.tokens(explained)
                owners = np.asarray(read.stretch.owners)[rows]
                found = _reduced(read, gradient, len(points), reductions)
                scores[:, (ends - sizes)[owners] + numbers] = found[:, owners, places]
        return [
            AtPoint(value, dict(zip(reductions, own * factor, strict=True)))
            for value, own, factor in zip(values, np.split(scores, ends[:-1], axis=1), factors.tolist(), strict=True)
        ]


def _reduced(read: Read, gradient: Any, points: int, reductions: Sequence[Reduction]) -> Any:
    """(reductions, points, width) as a float64 array: gradients of a point's rows added up, then over hidden units."""
    import torch

    owners = list(read.stretch.owners)
    wide = torch.float32 if gradient.dtype in (torch.float16, torch.bfloat16) else gradient.dtype
    gradient, leaf, difference = gradient.to(wide), read.leaf.detach().to(wide), read.difference.to(wide)
    if len(owners) > points:
        index = torch.tensor(owners, device=gradient.device)
        gradient = gradient.new_zeros((points, *gradient.shape[1:])).index_add(0, index, gradient)
        # What a point's rows share is the same in each, so that any of them gives its embeddings.
        rows = list({owner: row for row, owner in enumerate(owners)}.values())
        leaf, difference = leaf[rows], difference[rows]
    return reduced(gradient, leaf, difference, reductions)


def reduced(gradient: Any, leaf: Any, difference: Any, reductions: Sequence[Reduction]) -> Any:
    """Gradients over hidden units; reductions as of :meth:`GradientBatches.at`.

    Args:
        gradient: (rows, width, hidden).
        leaf: Embeddings, the same.
        difference: Of input and baseline, the same.
        reductions: Which.

    Returns:
        (reductions, rows, width), a float64 array.
    """
    import torch

    found = []
    for name in reductions:
        if name == "difference":
            found.append((gradient * difference).sum(-1))
            continue
        size = gradient if name.startswith("gradient") else gradient * leaf
        form = name.rpartition("_")[2]
        found.append(size.sum(-1) if form == "gradient" else size.norm(p=int(form[1:]), dim=-1))
    return torch.stack(found).double().cpu().numpy()
