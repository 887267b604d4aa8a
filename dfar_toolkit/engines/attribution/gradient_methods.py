r"""Attributions that are made of gradients of a number \(f\) by the embeddings \(x_t\) of tokens.

Gradient norms \(\lVert\nabla_t f(x)\rVert\); input times gradient, summed over hidden units with its signs, or its
norm; integrated gradients \((x_t - b)\cdot\int_0^1\nabla_t f(b + \alpha(x - b))\,d\alpha\) along the line from a
baseline \(b\), by the Gauss-Legendre rule or with points where the way is rough
(:mod:`~dfar_toolkit.engines.attribution.settling`), whose scores sum to \(f(x) - f(b)\) but for the rule's error.

References: Simonyan et al. (2014) arXiv 1312.6034; Shrikumar et al. (2017) arXiv 1605.01713; Sundararajan et al.
(2017), ICML, equations 1 and 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from dfar_toolkit.engines.attribution.gradient_batches import (
    AtPoint,
    Explainable,
    GradientBatches,
    Point,
    Points,
    Scalar,
)
from dfar_toolkit.engines.attribution.line_points import points_of
from dfar_toolkit.engines.attribution.row_points import many, rows_of
from dfar_toolkit.engines.attribution.settling import settled_path
from dfar_toolkit.engines.attribution.written_points import DIFFERENCE, written_out
from dfar_toolkit.engines.forward_pass import NOT_FINITE
from dfar_toolkit.engines.requests import Failed, Steps

INTEGRATED: Final = "integrated_gradients"
OF_ONE_PASS: Final = (
    "gradient_l1", "gradient_l2", "input_x_gradient", "input_x_gradient_l1", "input_x_gradient_l2",
)  # fmt: skip


class Scored(NamedTuple):
    """What was found of an input.

    Attributes:
        value: The explained number.
        scores: For each method one number per explained token.
        gaps: For integrated gradients the error of their sum as a share of f(x) - f(b).
        points: Points of integrated gradients; None without.
        settled: Whether so many were enough; None where it was not looked at.
    """

    value: float
    scores: dict[str, tuple[float, ...]]
    gaps: dict[str, float]
    points: int | None = None
    settled: bool | None = None


def scored_by_gradients(
    scalar: Scalar, inputs: Sequence[Explainable], methods: Sequence[str], nothing: Any, steps: Steps, budget: int
) -> list[Scored | Failed]:
    """Values and scores of inputs, all methods of one pass where they can be.

    Integrated gradients take as many passes forth and back as ``steps`` says, and one forth for the baseline;
    everything else takes one pass together. Passes of different inputs and steps share batches.

    Args:
        scalar: What makes numbers of inputs, within :func:`~dfar_toolkit.engines.attribution.frozen.frozen`.
        inputs: The inputs.
        methods: Names; others than those of gradients are left out.
        nothing: The baseline's embedding, (hidden,), in float32.
        steps: Points of the rule; ``auto``: as :func:`~dfar_toolkit.engines.attribution.settling.settled_path` says.
        budget: Tokens of a batch at most.

    Returns:
        One per input, in order; :class:`~dfar_toolkit.engines.requests.Failed` (``memory``, ``malformed``).
    """
    batches = GradientBatches(scalar, inputs, nothing, budget)
    count = len(inputs)
    once = [method for method in OF_ONE_PASS if method in methods]
    ends = [Point(at, 1.0) for at in range(count)]
    worth = INTEGRATED in methods or (bool(once) and many(inputs))
    written = written_out(scalar, inputs) if worth else None
    row_points = rows_of(batches, written, nothing, once, budget)
    if INTEGRATED not in methods:
        return [_checked(one, {}, {}) for one in row_points.at(ends, once)]
    path_points = points_of(batches, written, nothing, budget)
    if steps == "auto":
        return _settled(row_points, path_points, count, once)
    empty: list[AtPoint | Failed]
    if once:
        real, empty = row_points.at(ends, once), path_points.at([Point(at, 0.0) for at in range(count)], ())
    else:
        values = path_points.at([*ends, *(Point(at, 0.0) for at in range(count))], (), own=True)
        real, empty = values[:count], values[count:]
    alphas, weights = _rule(steps)
    path = path_points.at([Point(at, alpha) for at in range(count) for alpha in alphas], (DIFFERENCE,), own=True)
    return [_integrated(real[at], empty[at], path[at * steps : (at + 1) * steps], weights) for at in range(count)]


def _settled(row_points: Points, path_points: Points, count: int, once: Sequence[str]) -> list[Scored | Failed]:
    """The same with as many points as each input needs; the ends of the way are among them."""
    paths = settled_path(path_points, count, DIFFERENCE)
    real = row_points.at([Point(at, 1.0) for at in range(count)], once) if once else [
        path if isinstance(path, Failed) else AtPoint(path.real, {}) for path in paths
    ]  # fmt: skip
    return [
        path if isinstance(path, Failed) else _whole(one, path.empty, path.scores, path.points, settled=path.settled)
        for one, path in zip(real, paths, strict=True)
    ]


def _rule(steps: int) -> tuple[list[float], list[float]]:
    """Points and weights of the Gauss-Legendre rule between 0 and 1."""
    from numpy.polynomial.legendre import leggauss

    points, weights = leggauss(steps)
    return ((points + 1) / 2).tolist(), (weights / 2).tolist()


def _integrated(
    real: AtPoint | Failed, empty: AtPoint | Failed, path: Sequence[AtPoint | Failed], weights: Sequence[float]
) -> Scored | Failed:
    """Scores of one input with those of its path."""
    if isinstance(empty, Failed):
        return empty
    total: Any = 0.0
    for weight, point in zip(weights, path, strict=True):
        if isinstance(point, Failed):
            return point
        total = total + weight * point.scores[DIFFERENCE]
    return _whole(real, empty.value, total, len(weights))


def _whole(
    real: AtPoint | Failed, empty: float, total: Any, points: int, *, settled: bool | None = None
) -> Scored | Failed:
    """With the gap between the scores' sum and the change of the value."""
    if isinstance(real, Failed):
        return real
    wanted = real.value - empty
    gap = abs(float(total.sum()) - wanted) / abs(wanted) if wanted else math.nan
    found = _checked(real, {INTEGRATED: total}, {INTEGRATED: gap})
    return found if isinstance(found, Failed) else found._replace(points=points, settled=settled)


def _checked(real: AtPoint | Failed, more: dict[str, Any], gaps: dict[str, float]) -> Scored | Failed:
    """Numbers that are finite."""
    if isinstance(real, Failed):
        return real
    scores = {name: tuple(own.tolist()) for name, own in {**real.scores, **more}.items()}
    if not all(map(math.isfinite, (real.value, *(score for own in scores.values() for score in own)))):
        return NOT_FINITE
    return Scored(real.value, scores, gaps)
