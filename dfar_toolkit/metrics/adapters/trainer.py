"""Our metrics as ``compute_metrics`` of a transformers Trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from dfar_toolkit.metrics.adapters.compute_dict import Metric, estimates_dict

_IGNORED: Final = -100  # the Trainer's label of what is not to be scored


def compute_metrics(
    options: Sequence[str], *, labels: Sequence[Metric] = (), soft: Sequence[Metric] = (), intervals: bool = False
) -> Callable[[Any], dict[str, float]]:
    """A function from the Trainer's ``EvalPrediction`` to numbers.

    Logits (N, K) become the label of the highest one for the metrics of labels, and their softmax for the soft ones;
    ``label_ids`` are codes (N,), or human shares (N, K), whose largest is then the gold label (items in which people
    tie are left out of the label metrics, and counted as ``no_gold``). Rows with the code -100 are left out.

    Args:
        options: Names of the K options, in the order of the logits.
        labels: Metrics of labels, such as ``accuracy`` and ``macro_f1``.
        soft: Metrics of distributions, such as ``soft_cross_entropy``; they need shares as ``label_ids``.
        intervals: Whether to give the ends of intervals too.

    Returns:
        The function for ``Trainer(compute_metrics=...)``.

    Raises:
        ValueError: On use: logits that do not fit the options, or soft metrics with codes as ``label_ids``.

    Example:
        >>> from types import SimpleNamespace
        >>> from dfar_toolkit.metrics import accuracy
        >>> seen = SimpleNamespace(predictions=np.array([[2.0, 0.0], [0.0, 1.0]]), label_ids=np.array([0, 0]))
        >>> compute_metrics(["fair", "unfair"], labels=[accuracy])(seen)
        {'accuracy': 0.5}
    """
    names = np.asarray([str(o) for o in options], dtype=object)

    def computed(seen: Any) -> dict[str, float]:
        logits = np.asarray(seen.predictions[0] if isinstance(seen.predictions, tuple) else seen.predictions)
        given = np.asarray(seen.label_ids)
        if logits.ndim != 2 or logits.shape[1] != len(names):
            raise ValueError(f"compute_metrics: {len(names)} options, but predictions have shape {logits.shape}")
        if soft and given.ndim != 2:
            raise ValueError("compute_metrics: soft metrics need label_ids of human shares (items, options)")
        gold, kept = _gold_codes(given)
        numbers: dict[str, float] = {}
        if labels:
            pred = names[logits[kept].argmax(axis=1)].tolist()
            found = {m.__name__: m(gold=names[gold[kept]].tolist(), pred=pred) for m in labels}
            numbers |= estimates_dict(found, intervals=intervals)
            if given.ndim == 2 and not kept.all():
                numbers["no_gold"] = float((~kept).sum())
        if soft:
            found = {m.__name__: m(gold=given.astype(np.float64), pred=_softmax(logits)) for m in soft}
            numbers |= estimates_dict(found, intervals=intervals)
        return numbers

    return computed


def _gold_codes(given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes (N,) and which of them are gold: neither ignored nor tied."""
    if given.ndim == 2:
        top = given == given.max(axis=1, keepdims=True)
        return given.argmax(axis=1), top.sum(axis=1) == 1
    codes = given.astype(np.int64)
    return codes, codes != _IGNORED


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    weights = np.exp(shifted)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
