"""Our metrics in the shape of a metric of the library evaluate: ``compute(predictions=, references=) -> dict``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dfar_toolkit.estimate import Estimate

Metric = Callable[..., Estimate]  # any of our metric functions that take gold= and pred=


class ComputeDict:
    """Metrics that are added to in batches and computed once, as ``evaluate.Metric`` objects are.

    Example:
        >>> from dfar_toolkit.metrics import accuracy
        >>> metric = to_evaluate(accuracy)
        >>> metric.add_batch(predictions=["a", None], references=["a", "b"])
        >>> metric.compute()["accuracy"]
        0.5
    """

    def __init__(self, metrics: Sequence[Metric], *, intervals: bool) -> None:
        self._metrics = tuple(metrics)
        self._intervals = intervals
        self._predictions: list[Any] = []
        self._references: list[Any] = []

    def add(self, *, prediction: Any, reference: Any) -> None:
        """Add one item."""
        self.add_batch(predictions=[prediction], references=[reference])

    def add_batch(self, *, predictions: Sequence[Any], references: Sequence[Any]) -> None:
        """Add items."""
        if len(predictions) != len(references):
            raise ValueError(
                f"add_batch: {len(predictions)} predictions for {len(references)} references; give one per item"
            )
        self._predictions += list(predictions)
        self._references += list(references)

    def compute(
        self, *, predictions: Sequence[Any] | None = None, references: Sequence[Any] | None = None
    ) -> dict[str, float]:
        """The value of each metric by its function's name, with the ends of its interval; starts anew afterwards.

        Args:
            predictions: Predicted labels (null where unanswered) or distributions; added to those added before.
            references: Gold labels or human shares.

        Returns:
            ``name``, ``name_low`` and ``name_high`` of each metric; ``nan`` where undefined.
        """
        if predictions is not None or references is not None:
            self.add_batch(predictions=predictions or [], references=references or [])
        gold, pred = self._references, self._predictions
        self._references, self._predictions = [], []
        found = {metric.__name__: metric(gold=gold, pred=pred) for metric in self._metrics}
        return estimates_dict(found, intervals=self._intervals)


def to_evaluate(*metrics: Metric, intervals: bool = True) -> ComputeDict:
    """Our metric functions as one object with ``add``, ``add_batch`` and ``compute``.

    Args:
        metrics: Functions that take ``gold=`` and ``pred=`` and return an Estimate, such as ``accuracy``, ``macro_f1``
            (labels) or ``soft_cross_entropy`` (distributions); all get the same predictions.
        intervals: Whether the ends of the intervals are in the dict too.

    Returns:
        The object; the library evaluate itself is not needed.

    Raises:
        ValueError: No metric, or two of one name.

    Example:
        >>> from dfar_toolkit.metrics import accuracy, coverage
        >>> to_evaluate(accuracy, intervals=False).compute(predictions=["a", "b"], references=["a", "a"])
        {'accuracy': 0.5}
    """
    names = [metric.__name__ for metric in metrics]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"to_evaluate: wanted one or more metrics of different names, found {names}")
    return ComputeDict(metrics, intervals=intervals)


def estimates_dict(found: dict[str, Estimate], *, intervals: bool = True) -> dict[str, float]:
    """Estimates as plain numbers: ``name``, ``name_low``, ``name_high``."""
    numbers: dict[str, float] = {}
    for name, e in found.items():
        numbers[name] = e.value
        if intervals:
            numbers |= {f"{name}_low": e.low, f"{name}_high": e.high}
    return numbers
