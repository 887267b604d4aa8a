"""Points run by a small Llama's layers written out where the model is one, and where these say what it says.

Small models spend most of their time between the products, on many short steps forth and back. Their layers written out
(:mod:`dfar_toolkit.engines.llama`) take fewer. What they say is compared with the model's own gradients first; where
that differs, or anything is not as they need it, the model runs as always.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from dfar_toolkit.engines.attribution.gradient_batches import AtPoint, GradientBatches, Point, Points, Reduction
from dfar_toolkit.engines.attribution.last_numbers import LastNumbers
from dfar_toolkit.engines.attribution.option_scalar import OptionInput, OptionScalar
from dfar_toolkit.engines.device_memory import out_of_memory
from dfar_toolkit.engines.llama.layers import Before, before_of
from dfar_toolkit.engines.llama.weights import LlamaWeights, llama_weights
from dfar_toolkit.engines.requests import Failed

DIFFERENCE: Final = "difference"
LONGEST: Final = 512  # tokens of an input; attention's shares are kept for the way back
BLOCK: Final = 1.8  # of the budget: what is run forth and back together; less is kept than the budget is made for
_APART: Final = 1e-3  # of the largest score, from the model's own gradients: rounding makes 1e-5 of it


class Written:
    """A model written out, and the inputs that it takes.

    Args:
        scalar: What makes numbers of inputs.
        inputs: The inputs.
        weights: The model's.
        fitting: Numbers of the inputs that have one token per option and are not too long.

    Attributes:
        inputs: The inputs.
        weights: The model's.
        fitting: As above.
        numbers: What last tokens stand for.
    """

    def __init__(
        self, scalar: OptionScalar, inputs: Sequence[OptionInput], weights: LlamaWeights, fitting: frozenset[int]
    ) -> None:
        self._scalar, self.inputs, self.weights, self.fitting = scalar, inputs, weights, fitting
        self.numbers = LastNumbers(weights, scalar.kind)

    @property
    def longest(self) -> int:
        """Number of the longest input that fits."""
        return max(self.fitting, key=lambda at: self.inputs[at].length)

    @property
    def shortest(self) -> int:
        """Number of the shortest."""
        return min(self.fitting, key=lambda at: self.inputs[at].length)

    def beginnings(self, *, own: bool) -> list[tuple[int, ...]]:
        """What inputs begin with and is run once."""
        return self._scalar.beginnings(self.inputs, own=own)

    def begun(self, prefix: tuple[int, ...]) -> list[Before]:
        """Runs a beginning; what it left in each layer, its keys laid out as those of the weights."""
        self._scalar.begin(prefix)
        held = self._scalar.held
        return [] if held is None else before_of(held.cache, self.weights)

    def cost(self, number: int, done: int) -> float:
        """What a row of an input takes of the budget, when so many of its tokens are run before."""
        # Beside what autograd would keep, which the budget is made of, there are the shares of attention.
        whole, (inner, hidden) = self.inputs[number].length, self.weights.layers[0].gate.shape
        apart = self.weights.heads / float(14 * hidden + 4 * inner)
        return (whole - done) * (1 + apart * whole)


def written_out(scalar: Any, inputs: Sequence[Any]) -> Written | None:
    """The model written out; None where it cannot be, no input fits, or there is no memory for copies of weights.

    Args:
        scalar: What makes numbers of inputs.
        inputs: The inputs.
    """
    if not isinstance(scalar, OptionScalar) or scalar.model.training:
        return None
    fitting = frozenset(at for at, one in enumerate(inputs) if not one.job.stems and one.length <= LONGEST)
    try:
        weights = llama_weights(scalar.model) if fitting else None
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return None
    return None if weights is None else Written(scalar, inputs, weights, fitting)


class Runner(Protocol):
    """A way to run points of inputs that share a beginning."""

    def takes(self, reductions: Sequence[Reduction]) -> bool:
        """Whether it finds these."""

    def run(
        self, points: Sequence[Point], reductions: Sequence[Reduction], prefix: tuple[int, ...]
    ) -> list[AtPoint | None]:
        """One per point; None where numbers are not finite."""


class WrittenPoints:
    """Goes through points by layers written out, and by the model itself where these cannot.

    Args:
        batches: The model itself.
        written: The model written out.
        runner: How it is run.
    """

    def __init__(self, batches: GradientBatches, written: Written, runner: Runner) -> None:
        self._batches, self._model, self._runner = batches, written, runner

    def at(
        self, points: Sequence[Point], reductions: Sequence[Reduction], *, own: bool = False
    ) -> list[AtPoint | Failed]:
        """See :meth:`~dfar_toolkit.engines.attribution.gradient_batches.GradientBatches.at`."""
        found: dict[int, AtPoint | Failed] = dict(self._written(points, reductions, own=own))
        rest = [at for at in range(len(points)) if at not in found]
        if rest:
            found |= zip(rest, self._batches.at([points[at] for at in rest], reductions, own=own), strict=True)
        return [found[at] for at in range(len(points))]

    def agrees(self, points: Sequence[Point], looks: Sequence[Sequence[Reduction]], *, own: bool) -> bool:
        """Whether these points are as by the model's own gradients, whichever of ``looks`` is asked for."""
        real = self._batches.at(points, [name for look in looks for name in look], own=own)
        return all(
            not isinstance(wanted, Failed) and _near(found.get(at), wanted)
            for found in (self._written(points, look, own=own) for look in looks)
            for at, wanted in enumerate(real)
        )

    def _written(self, points: Sequence[Point], reductions: Sequence[Reduction], *, own: bool) -> dict[int, AtPoint]:
        """What the layers written out can; nothing of a beginning that they have no memory for."""
        found: dict[int, AtPoint] = {}
        if not self._runner.takes(reductions):
            return found
        beginnings = self._model.beginnings(own=own)
        mine = [at for at, point in enumerate(points) if point.at in self._model.fitting]
        for prefix in sorted({beginnings[points[at].at] for at in mine}):
            todo = [at for at in mine if beginnings[points[at].at] == prefix]
            try:
                replies = self._runner.run([points[at] for at in todo], reductions, prefix)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                continue
            found |= {at: reply for at, reply in zip(todo, replies, strict=True) if reply is not None}
        self._model.begun(())
        return found


def checked(
    batches: GradientBatches, written: Written, runner: Runner, points: Sequence[Point],
    looks: Sequence[Sequence[Reduction]], *, own: bool,
) -> Points:  # fmt: skip
    """Points by layers written out, if some are there as by the model; else by the model.

    Args:
        batches: The model itself.
        written: The model written out.
        runner: How it is run.
        points: Points to look at.
        looks: What is asked for, each time; other reductions may go other ways.
        own: Whether inputs have many points each.
    """
    found = WrittenPoints(batches, written, runner)
    return found if found.agrees(points, looks, own=own) else batches


def _near(found: AtPoint | None, wanted: AtPoint) -> bool:
    """Whether a point is as wanted, by its largest score."""
    import numpy as np

    if found is None:
        return False
    sizes = {name: np.abs(scores).max() for name, scores in wanted.scores.items()}
    value = max(abs(wanted.value), *sizes.values())
    return abs(found.value - wanted.value) <= _APART * value and all(
        np.abs(scores - wanted.scores[name]).max() <= _APART * sizes[name] for name, scores in found.scores.items()
    )


def points_found(values: Any, sums: Any, scores: Sequence[dict[Reduction, Any]]) -> list[AtPoint | None]:
    """What was found at points; None where it is not finite.

    Args:
        values: (points,), float64.
        sums: Of each point's scores, (points,), which is no number where one of them is none.
        scores: Of each point.
    """
    import numpy as np

    fine = np.isfinite(values + sums).tolist()
    return [
        AtPoint(value, own) if each else None for value, own, each in zip(values.tolist(), scores, fine, strict=True)
    ]
