"""Our metrics in a task of lm-evaluation-harness: ``process_results`` and the aggregations of ``metric_list``.

In a Python file beside the task's YAML::

    from dfar_toolkit.metrics import accuracy, macro_f1
    from dfar_toolkit.metrics.adapters import aggregation, process_choices
    from dfar_toolkit.metrics.soft_labels.cross_entropy import soft_cross_entropy

    process = process_choices(gold="label", shares="label_probs", labels=[macro_f1], soft=[soft_cross_entropy])
    macro_f1_of = aggregation(macro_f1)
    soft_cross_entropy_of = aggregation(soft_cross_entropy)

and in the YAML, of ``output_type: multiple_choice`` (with :func:`process_answers`, ``generate_until``)::

    process_results: !function FILE.process
    metric_list:
      - metric: macro_f1
        aggregation: !function FILE.macro_f1_of
        higher_is_better: true

The harness shows values alone, without intervals and notes; it gives no standard error of an aggregation of ours.
``dfar score`` reads its ``samples_*.jsonl`` for those. The harness is not imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from dfar_toolkit.metrics.adapters.calling import Metric, items_frame, named_metrics
from dfar_toolkit.prompts.parsing import parse_answers

Pair = tuple[Any, Any]  # gold and prediction of one document
Process = Callable[[Mapping[str, Any], Sequence[Any]], dict[str, Pair]]


def process_choices(
    *, gold: str, shares: str | None = None, labels: Sequence[Metric] = (), soft: Sequence[Metric] = ()
) -> Process:
    """A ``process_results`` for multiple choice: for each metric the pair that its aggregation needs.

    The harness hands over one (log-likelihood, is greedy) per choice. The most likely choice is the predicted label,
    None where several are; the softmax of the log-likelihoods is the predicted distribution. Both are None where a
    log-likelihood is ``nan`` or all are ``-inf``: unanswered for metrics of labels, left out of soft ones. The
    likelihoods are of whole choices, not divided by their length, so no choice may be the start of another.

    Args:
        gold: Field of the document with the index of the gold choice.
        shares: Field with people's shares of the choices (or votes, see :func:`aggregation`), in the choices' order;
            null where unknown.
        labels: Metrics of labels.
        soft: Metrics of distributions.

    Returns:
        The function (document, results) -> metric's name to (gold, prediction).

    Raises:
        ValueError: Soft metrics without ``shares``, or two metrics of one name. On use: a field that is not there, or
            a gold that is no index of a choice.

    Example:
        >>> from dfar_toolkit.metrics import accuracy
        >>> process_choices(gold="label", labels=[accuracy])({"label": 1}, [(-2.0, False), (-1.0, True)])
        {'accuracy': (1, 1)}
    """
    if soft and shares is None:
        raise ValueError("process_choices: soft metrics need shares=, the field with people's shares of the choices")
    of_labels, of_shares = list(named_metrics("process_choices", labels)), list(named_metrics("process_choices", soft))
    _check_names("process_choices", [*of_labels, *of_shares])

    def process(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Pair]:
        scores = [float(r[0]) if isinstance(r, (tuple, list)) else float(r) for r in results]
        probs = _softmax(scores)
        found: dict[str, Pair] = {}
        if of_labels:
            best = [k for k, s in enumerate(scores) if s == max(scores)] if probs else []
            label = _index(_field("process_choices", doc, gold), gold, len(scores))
            found |= {name: (label, best[0] if len(best) == 1 else None) for name in of_labels}
        if of_shares and shares is not None:
            people = _field("process_choices", doc, shares)
            found |= {name: (None if people is None else list(people), probs) for name in of_shares}
        return found

    return process


def process_answers(
    options: Sequence[str],
    *,
    gold: str,
    labels: Sequence[Metric],
    label_map: Mapping[str, str] | None = None,
    letters: bool = False,
) -> Process:
    """A ``process_results`` for generated text: the label read from the answer, for each metric.

    A text without a label is None: unanswered, and inside the denominator. Reading takes some milliseconds per
    document.

    Args:
        options: Names of the labels.
        gold: Field of the document with the gold label's name, or its index among the options.
        labels: Metrics of labels.
        label_map: From the model's words to the options' names, as in ``parse_answers``.
        letters: Whether "B", "(B)" and "B. text" mean the second option.

    Returns:
        The function (document, results) -> metric's name to (gold, prediction).

    Raises:
        ValueError: No metric, or two of one name. On use: a field that is not there, a gold that is no option, or
            several texts per document.

    Example:
        >>> from dfar_toolkit.metrics import accuracy
        >>> process = process_answers(["fair", "unfair"], gold="label", labels=[accuracy])
        >>> process({"label": 1}, ["Unfair. She had promised."])
        {'accuracy': ('unfair', 'unfair')}
    """
    names = list(named_metrics("process_answers", labels))
    _check_names("process_answers", names)
    options = [str(o) for o in options]

    def process(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Pair]:
        if len(results) != 1 or not isinstance(results[0], str):
            raise ValueError(
                f"process_answers: wanted one text per document, found {len(results)} of type "
                f"{type(results[0]).__name__ if results else 'none'}; keep one with the filter take_first"
            )
        given = _field("process_answers", doc, gold)
        label = given if given in options else options[_index(given, gold, len(options))]
        said = parse_answers(pl.Series([results[0]]), options, label_map=label_map, letters=letters)["label"][0]
        return dict.fromkeys(names, (label, said))

    return process


def aggregation(metric: Metric, *, counts: bool = False) -> Callable[[Sequence[Pair]], float]:
    """The value of one of our metrics over the pairs of all documents, for ``aggregation: !function``.

    Args:
        metric: A metric of labels or of distributions; options by ``functools.partial``. ``ci=None``, where the metric
            has it, spares the interval, which the harness cannot show.
        counts: Whether the people's side is numbers of votes, not shares.

    Returns:
        The function (pairs) -> value; ``nan`` where undefined.

    Example:
        >>> from dfar_toolkit.metrics import accuracy
        >>> aggregation(accuracy)([(0, 0), (1, 0)])
        0.5
    """
    named_metrics("aggregation", [metric])

    def aggregate(pairs: Sequence[Pair]) -> float:
        gold, pred = [g for g, _ in pairs], [p for _, p in pairs]
        return metric(items_frame("aggregation", gold=gold, pred=pred, counts=counts)).value

    return aggregate


def _check_names(caller: str, names: Sequence[str]) -> None:
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{caller}: wanted one or more metrics of different names, found {list(names)}")


def _field(caller: str, doc: Mapping[str, Any], field: str) -> Any:
    if field not in doc:
        found = ", ".join(f'"{name}"' for name in doc)
        raise ValueError(f'{caller}: the document has no field "{field}"; found {found}')
    return doc[field]


def _index(given: Any, field: str, n: int) -> int:
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)) or not 0 <= given < n:
        raise ValueError(
            f'process_results: the field "{field}" must hold the index of the gold choice, 0 to {n - 1}, found '
            f"{given!r}; documents without a gold label are left out of the task"
        )
    return int(given)


def _softmax(scores: Sequence[float]) -> list[float] | None:
    """Probabilities; None where a score is ``nan`` or all are ``-inf``."""
    top = max(scores, default=-math.inf)
    if not math.isfinite(top) or any(map(math.isnan, scores)):
        return None
    weights = [math.exp(s - top) for s in scores]
    return [w / sum(weights) for w in weights]
