"""Our metrics in an evaluation of inspect_ai: a scorer that reads labels from answers, and metrics over its scores.

With ``epochs`` every sample is answered several times, and inspect_ai would first reduce the scores of a sample to one
with the metadata of the first epoch. Our metrics ask for the unreduced scores instead: every answer counts, so that
``accuracy`` is the mean over epochs as inspect_ai's own, and the sample (or its group) is the unit of resampling.
``dfar score`` on the log takes the labels of the first epoch.

A sample that ended in an error has no score, so no metric of inspect_ai sees it; ``dfar score`` on the log keeps it in
the denominator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from dfar_toolkit.metrics.adapters.calling import Metric, items_frame, named_metrics, numbers_of
from dfar_toolkit.prompts.parsing import UNPARSED, parse_answers

_INSTALL: Final = "inspect_ai 0.3.245 or newer is not installed: pip install 'inspect-ai>=0.3.245'"


def label_scorer(
    options: Sequence[str],
    *,
    metrics: Sequence[Metric],
    label_map: Mapping[str, str] | None = None,
    letters: bool = False,
    intervals: bool = True,
) -> Any:
    """A scorer of inspect_ai: the label read from the completion against the target, with our metrics over them.

    A completion without a label scores "N" (no answer), says why, and stays in every denominator. Reading takes some
    milliseconds per sample.

    Args:
        options: Names of the labels; the target of every sample is one of them.
        metrics: Our metrics of labels, such as ``accuracy`` and ``macro_f1``.
        label_map: From the model's words to the options' names.
        letters: Whether "B", "(B)" and "B. text" mean the second option, in completions and targets.
        intervals: Whether the ends of the intervals are given too.

    Returns:
        The scorer, for ``Task(scorer=...)`` and ``inspect_ai.score(log, ...)``. Its scores have the label as
        ``answer``, the reason as ``explanation``, and ``gold``, ``pred`` and ``how`` as metadata.

    Raises:
        ImportError: inspect_ai is not installed, or too old.
        ValueError: Two metrics of one name. On use: a target that is none of the options, or several targets.
    """
    try:
        from inspect_ai.scorer import CORRECT, INCORRECT, NOANSWER, Score, scorer
    except ImportError as error:
        raise ImportError(_INSTALL) from error
    named = named_metrics("label_scorer", metrics)

    def dfar_label(options: list[str], label_map: dict[str, str] | None, letters: bool) -> Any:
        async def score(state: Any, target: Any) -> Any:
            gold = _gold(list(target), options, letters)
            read = parse_answers(pl.Series([state.output.completion]), options, label_map=label_map, letters=letters)
            pred, reason, how = read.row(0)
            return Score(
                value=NOANSWER if pred is None else CORRECT if pred == gold else INCORRECT,
                answer=pred,
                explanation=UNPARSED[how] if pred is None else reason,
                metadata={"gold": gold, "pred": pred, "how": how},
            )

        return score

    registered = scorer(metrics=[inspect_metric(m, intervals=intervals) for m in named.values()], name="dfar_label")
    return registered(dfar_label)([str(o) for o in options], dict(label_map) if label_map else None, letters)


def inspect_metric(metric: Metric, *, intervals: bool = True, counts: bool = False) -> Any:
    """One of our metrics as a metric of inspect_ai, over scores with ``gold`` and ``pred`` in their metadata.

    These are labels, or people's shares and predicted probabilities of the options: any scorer may write them. The
    unit of resampling is the field ``group`` of the samples' metadata where they have one, else the sample.

    Args:
        metric: A metric of labels or of distributions; options by ``functools.partial``.
        intervals: Whether the ends of the interval are given too.
        counts: Whether ``gold`` is numbers of votes, not shares.

    Returns:
        The metric, for ``@scorer(metrics=[...])`` and ``Task(metrics=[...])``.

    Raises:
        ImportError: inspect_ai is not installed, or too old.
        ValueError: On use: scores without ``gold`` and ``pred``, or a group for some samples only.
    """
    try:
        from inspect_ai.scorer import SampleScore
        from inspect_ai.scorer import metric as as_metric
    except ImportError as error:
        raise ImportError(_INSTALL) from error
    name = next(iter(named_metrics("inspect_metric", [metric])))

    def compute(scores: Any) -> dict[str, float]:
        return numbers_of(name, metric(_rows(name, scores, counts)), intervals=intervals)

    # inspect_ai looks at the type: without it, the metric gets scores that do not know their sample.
    compute.__annotations__ = {"scores": list[SampleScore], "return": dict[str, float]}

    def factory() -> Any:
        return compute

    try:
        registered = as_metric(name=name, scores="unreduced")
    except TypeError as error:  # versions that cannot hand over unreduced scores
        raise ImportError(_INSTALL) from error
    return registered(factory)()


def _rows(name: str, scores: Sequence[Any], counts: bool) -> pl.DataFrame:
    """Gold, prediction and group of each score."""
    known = [s.score.metadata or {} for s in scores]
    without = sum("gold" not in m or "pred" not in m for m in known)
    if without:
        raise ValueError(
            f'inspect_metric: {name} needs scores with "gold" and "pred" in their metadata; {without} of {len(known)} '
            "have none: use label_scorer, or Score(metadata={...}) in a scorer of your own"
        )
    groups = [(s.sample_metadata or {}).get("group") for s in scores]
    given = sum(g is not None for g in groups)
    if given not in (0, len(groups)):
        raise ValueError(f'inspect_metric: {given} of {len(groups)} scores have a sample with a "group"; all must')
    units = groups if given else [s.sample_id for s in scores]
    known_units = None if None in units else list(map(str, units))  # scores made by hand may have no sample
    gold, pred = [m["gold"] for m in known], [m["pred"] for m in known]
    return items_frame("inspect_metric", gold=gold, pred=pred, group=known_units, counts=counts)


def _gold(targets: Sequence[str], options: Sequence[str], letters: bool) -> str:
    """The option that a sample's target names."""
    named = targets[0] if len(targets) == 1 else None
    if letters and named not in options and named is not None:
        places = [k for k in range(len(options)) if named.strip().upper() == chr(ord("A") + k)]
        named = options[places[0]] if places else None
    if named is None or named not in options:
        found = ", ".join(map(repr, targets))
        raise ValueError(
            f"label_scorer: a sample's target must be one of {', '.join(options)}, found {found}; "
            "rename targets in the data set (letters=True reads A, B, ...)"
        )
    return named
