"""Our metrics in a task of lm-evaluation-harness: ``process_results`` and the aggregations of ``metric_list``.

In a Python file beside the task's YAML::

    from dfar_toolkit.metrics import accuracy, macro_f1, soft_cross_entropy
    from dfar_toolkit.metrics.adapters import aggregation, process_choices

    process = process_choices(gold="label", shares="label_probs", labels=[macro_f1], soft=[soft_cross_entropy])
    macro_f1_of = aggregation(macro_f1)

and in the YAML ``process_results: !function FILE.process``, ``metric_list: [{metric: macro_f1, aggregation:
!function FILE.macro_f1_of}]``. The harness is not imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dfar_toolkit.metrics.adapters.compute_dict import Metric

Pair = tuple[Any, Any]  # gold and prediction of one document


def process_choices(
    *, gold: str, shares: str | None = None, labels: Sequence[Metric] = (), soft: Sequence[Metric] = ()
) -> Callable[[Mapping[str, Any], Sequence[Any]], dict[str, Pair]]:
    """A ``process_results`` for multiple choice: for each metric the pair that its aggregation needs.

    The harness hands over one (log-likelihood, is greedy) per choice; their softmax is the predicted distribution,
    the most probable choice the predicted label (None where several are).

    Args:
        gold: Field of the document with the index of the gold choice.
        shares: Field with the human shares in the order of the choices, for the soft metrics.
        labels: Metrics of labels.
        soft: Metrics of distributions.

    Returns:
        The function (document, results) -> metric's name to (gold, prediction).

    Raises:
        ValueError: Soft metrics without ``shares``.

    Example:
        >>> from dfar_toolkit.metrics import accuracy
        >>> process_choices(gold="label", labels=[accuracy])({"label": 1}, [(-2.0, False), (-1.0, True)])
        {'accuracy': (1, 1)}
    """
    if soft and shares is None:
        raise ValueError("process_choices: soft metrics need shares=, the field with people's shares of the choices")

    def process(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Pair]:
        scores = [float(r[0]) if isinstance(r, (tuple, list)) else float(r) for r in results]
        best = [k for k, s in enumerate(scores) if s == max(scores)]
        weights = [math.exp(s - max(scores)) for s in scores]
        probs = [w / sum(weights) for w in weights]
        of_label = (int(doc[gold]), best[0] if len(best) == 1 else None)
        found: dict[str, Pair] = {m.__name__: of_label for m in labels}
        if shares is not None:
            found |= {m.__name__: (list(doc[shares]), probs) for m in soft}
        return found

    return process


def aggregation(metric: Metric) -> Callable[[Sequence[Pair]], float]:
    """The value of one of our metrics over the pairs of all documents, for ``aggregation: !function``.

    Args:
        metric: A function that takes ``gold=`` and ``pred=``.

    Returns:
        The function (pairs) -> value; ``nan`` where undefined.

    Example:
        >>> from dfar_toolkit.metrics import accuracy
        >>> aggregation(accuracy)([(0, 0), (1, 0)])
        0.5
    """

    def aggregate(pairs: Sequence[Pair]) -> float:
        return metric(gold=[g for g, _ in pairs], pred=[p for _, p in pairs]).value

    return aggregate
