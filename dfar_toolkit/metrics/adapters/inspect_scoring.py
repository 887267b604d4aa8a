"""Our metrics in an evaluation of inspect_ai: a scorer that reads labels from answers, and metrics over its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from dfar_toolkit.metrics.adapters.compute_dict import Metric
from dfar_toolkit.prompts.parsing import parse_answers

_INSTALL = "inspect_ai is not installed: pip install inspect-ai"


def label_scorer(
    options: Sequence[str], *, metrics: Sequence[Metric], label_map: Mapping[str, str] | None = None
) -> Any:
    """A scorer of inspect_ai: the label read from the completion against the target, with our metrics over them.

    A completion without a label scores "N" (no answer) and stays in every denominator.

    Args:
        options: Names of the labels.
        metrics: Our metrics of labels, such as ``accuracy`` and ``macro_f1``.
        label_map: From the model's words to the options' names.

    Returns:
        The scorer, for ``Task(scorer=...)``.

    Raises:
        ImportError: inspect_ai is not installed.
    """
    try:
        from inspect_ai.scorer import CORRECT, INCORRECT, NOANSWER, Score, Target, scorer
        from inspect_ai.solver import TaskState
    except ImportError as error:
        raise ImportError(_INSTALL) from error

    @scorer(metrics=[inspect_metric(m) for m in metrics], name="dfar_label")
    def dfar_label() -> Any:
        async def score(state: TaskState, target: Target) -> Score:
            parsed = parse_answers(pl.Series([state.output.completion]), options, label_map=label_map)
            label = parsed["label"][0]
            value = NOANSWER if label is None else CORRECT if label == target.text else INCORRECT
            return Score(
                value=value,
                answer=label,
                explanation=parsed["reason"][0],
                metadata={"gold": target.text, "pred": label},
            )

        return score

    return dfar_label()


def inspect_metric(metric: Metric) -> Any:
    """One of our metrics as a metric of inspect_ai, over scores with ``gold`` and ``pred`` in their metadata.

    With several epochs of a sample inspect_ai reduces its scores first; the reduced score keeps the first's metadata.

    Args:
        metric: A function that takes ``gold=`` and ``pred=``.

    Returns:
        The metric, for ``@scorer(metrics=[...])``.

    Raises:
        ImportError: inspect_ai is not installed.
    """
    try:
        from inspect_ai.scorer import SampleScore
        from inspect_ai.scorer import metric as as_metric
    except ImportError as error:
        raise ImportError(_INSTALL) from error

    def compute(scores: list[SampleScore]) -> float:
        known = [s.score.metadata or {} for s in scores]
        return metric(gold=[m.get("gold") for m in known], pred=[m.get("pred") for m in known]).value

    def factory() -> Any:
        return compute

    factory.__name__ = metric.__name__
    return as_metric(name=metric.__name__)(factory)()
