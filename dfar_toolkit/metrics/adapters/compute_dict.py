"""Our metrics in the shape of a metric of the library evaluate: ``compute(predictions=, references=) -> dict``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dfar_toolkit.metrics.adapters.calling import Metric, estimated, items_frame, listed, named_metrics


class ComputeDict:
    """Metrics that are added to in batches and computed once, as ``evaluate.Metric`` objects are.

    ``evaluate.combine`` takes it beside metrics of that library.

    Example:
        >>> from dfar_toolkit.metrics import accuracy, coverage
        >>> metric = to_evaluate(accuracy, coverage, intervals=False)
        >>> metric.add_batch(predictions=["a", None], references=["a", "b"])
        >>> metric.compute()
        {'accuracy': 0.5, 'coverage': 0.5}
    """

    name = "dfar"

    def __init__(self, metrics: Mapping[str, Metric], *, intervals: bool, counts: bool) -> None:
        self._metrics = dict(metrics)
        self._intervals = intervals
        self._counts = counts
        self._start()

    def add(
        self,
        *,
        prediction: Any = None,
        reference: Any = None,
        group: Any = None,
        predictions: Any = None,
        references: Any = None,
    ) -> None:
        """Add one item; ``evaluate.combine`` passes it under the plural names."""
        self.add_batch(
            predictions=[prediction if predictions is None else predictions],
            references=[reference if references is None else references],
            groups=None if group is None else [group],
        )

    def add_batch(self, *, predictions: Any, references: Any, groups: Any = None) -> None:
        """Add items: lists, arrays, tensors or columns of equal length.

        Args:
            predictions: Predicted labels (None where unanswered), or probabilities of the options.
            references: Gold labels, or people's shares of the options (votes with ``counts=True``).
            groups: Resampling unit of each item; given with every batch or with none.

        Raises:
            ValueError: The lengths differ, or only some batches have groups.
        """
        predictions, references = listed(predictions), listed(references)
        if len(predictions) != len(references):
            raise ValueError(
                f"add_batch: {len(predictions)} predictions for {len(references)} references; give one per item"
            )
        given = [] if groups is None else listed(groups)
        if (groups is not None and len(given) != len(references)) or (
            self._references and references and bool(self._groups) != bool(given)
        ):
            raise ValueError(
                f"add_batch: {len(given)} groups for {len(references)} items; give one per item in every batch, or none"
            )
        self._predictions += predictions
        self._references += references
        self._groups += given

    def compute(self, *, predictions: Any = None, references: Any = None, groups: Any = None) -> dict[str, float]:
        """The value of each metric by its function's name, with the ends of its interval; starts anew afterwards.

        Args:
            predictions: As in ``add_batch``; added to those added before.
            references: As in ``add_batch``.
            groups: As in ``add_batch``.

        Returns:
            ``name``, ``name_low`` and ``name_high`` of each metric; ``nan`` where undefined.

        Raises:
            ValueError: As ``add_batch``, or labels and distributions on one side.
        """
        if predictions is not None or references is not None:
            self.add_batch(
                predictions=() if predictions is None else predictions,
                references=() if references is None else references,
                groups=groups,
            )
        gold, pred, units = self._references, self._predictions, self._groups
        self._start()
        frame = items_frame("compute", gold=gold, pred=pred, group=units or None, counts=self._counts)
        return estimated(self._metrics, frame, intervals=self._intervals)

    def _start(self) -> None:
        self._predictions: list[Any] = []
        self._references: list[Any] = []
        self._groups: list[Any] = []

    def _feature_names(self) -> list[str]:
        """What ``evaluate.combine`` hands over in ``add_batch``."""
        return ["predictions", "references"]


def to_evaluate(*metrics: Metric, intervals: bool = True, counts: bool = False) -> ComputeDict:
    """Our metric functions as one object with ``add``, ``add_batch`` and ``compute``.

    The library evaluate itself is not needed. Options of a metric are set with ``functools.partial``, or in a function
    of a frame; the metric is called with a frame whose columns are ``label``, ``label_pred`` (labels) or
    ``label_probs``, ``label_probs_pred`` (distributions), ``label_counts`` (votes), ``group``.

    Args:
        metrics: Any of our metrics of labels, such as ``accuracy`` and ``coverage``, or of distributions, such as
            ``soft_cross_entropy``; all get the same items.
        intervals: Whether the ends of the intervals are in the dict too.
        counts: Whether the references are numbers of votes for the options, not shares.

    Returns:
        The object.

    Raises:
        ValueError: No metric, two of one name, or one without a name.

    Example:
        >>> from functools import partial
        >>> from dfar_toolkit.metrics import accuracy, macro_f1
        >>> metric = to_evaluate(accuracy, partial(macro_f1, options=["a", "b"]), intervals=False)
        >>> metric.compute(predictions=["a", "b", "b"], references=["a", "a", "b"])["accuracy"]
        0.6666666666666666
    """
    if not metrics:
        raise ValueError("to_evaluate: wanted one or more metrics, found none; to_evaluate(accuracy, macro_f1)")
    return ComputeDict(named_metrics("to_evaluate", metrics), intervals=intervals, counts=counts)
