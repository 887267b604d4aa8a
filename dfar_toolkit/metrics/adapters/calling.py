"""How every adapter calls our metrics: by name, on one frame that has the columns they look for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Estimate, Floats

Metric = Callable[[pl.DataFrame], Estimate]  # any of our metrics of labels or of distributions, or a partial of one


def named_metrics(caller: str, metrics: Sequence[Metric]) -> dict[str, Metric]:
    """The metrics by their functions' names, in order.

    Args:
        caller: Function named in errors.
        metrics: Functions, or ``functools.partial`` of functions, which have the function's name.

    Returns:
        Name to metric.

    Raises:
        ValueError: Something that has no name, or two of one name.

    Example:
        >>> from dfar_toolkit.metrics import accuracy, macro_f1
        >>> list(named_metrics("f", [accuracy, partial(macro_f1, options=["fair", "unfair"])]))
        ['accuracy', 'macro_f1']
    """
    named: dict[str, Metric] = {}
    for metric in metrics:
        function: Any = metric
        while isinstance(function, partial):
            function = function.func
        if not isinstance(function, FunctionType) or not function.__name__.isidentifier():
            raise ValueError(f"{caller}: metrics must be functions with a name, found {metric!r}; use def, not lambda")
        if function.__name__ in named:
            raise ValueError(
                f'{caller}: two metrics are called "{function.__name__}"; give one a name of its own: '
                "def NAME(frame): return ..."
            )
        named[function.__name__] = metric
    return named


def items_frame(
    caller: str, *, gold: Sequence[Any], pred: Sequence[Any], group: Sequence[Any] | None = None, counts: bool = False
) -> pl.DataFrame:
    """Gold and predictions under the names that our metrics look for, which depend on what they are.

    Args:
        caller: Function named in errors.
        gold: Of each item (N,) its label, or people's shares of the K options; null where unknown.
        pred: Of each item (N,) the predicted label, or the probabilities of the K options; null where unanswered.
        group: Resampling unit of each item (N,).
        counts: Whether the people's side is numbers of votes, not shares.

    Returns:
        N rows: ``label`` or ``label_probs``, with ``label_counts`` where votes are given; ``label_pred`` or
        ``label_probs_pred``; ``group`` where given. A side that is null throughout stands under both names.

    Raises:
        ValueError: The lengths differ, one side has labels and distributions, or labels of two types.

    Example:
        >>> items_frame("f", gold=[[3, 1], [0, 2]], pred=[[0.6, 0.4], None], counts=True).columns
        ['label_counts', 'label_probs', 'label_probs_pred']
    """
    if len(gold) != len(pred):
        raise ValueError(f"{caller}: {len(pred)} predictions for {len(gold)} references; give one per item")
    if group is not None and len(group) != len(gold):
        raise ValueError(f"{caller}: {len(group)} groups for {len(gold)} items; give one per item")
    columns: dict[str, pl.Series] = {}
    for role, values, label in (("references", gold, "label"), ("predictions", pred, "label_pred")):
        kind = _kind(caller, role, values)
        probs = label.replace("label", "label_probs")
        if kind in ("label", "unknown"):
            columns[label] = _series(caller, role, values)
        matrix = _matrix(caller, role, values) if kind == "distribution" else None
        if matrix is not None and counts and label == "label":
            columns["label_counts"], columns[probs] = map(_lists, _votes(caller, matrix))
        elif matrix is not None:
            columns[probs] = _lists(matrix)
        elif kind == "unknown":
            columns[probs] = pl.Series(probs, values)
    if group is not None:
        columns["group"] = _series(caller, "groups", group)
    return pl.DataFrame([column.alias(name) for name, column in columns.items()])


def listed(values: Any) -> list[Any]:
    """A list, array, tensor, column or series as a list.

    Example:
        >>> listed(np.array([1, 2])), listed(pl.Series(["a", None]))
        ([1, 2], ['a', None])
    """
    if isinstance(values, pl.Series):
        return values.to_list()
    return list(values) if isinstance(values, Sequence) else np.asarray(values).tolist()


def numbers_of(name: str, found: Estimate, *, intervals: bool) -> dict[str, float]:
    """An estimate as plain numbers: ``name``, and with intervals ``name_low`` and ``name_high``.

    Example:
        >>> from dfar_toolkit.metrics import accuracy
        >>> numbers_of("accuracy", accuracy(gold=["a"], pred=["a"]), intervals=False)
        {'accuracy': 1.0}
    """
    ends = {f"{name}_low": found.low, f"{name}_high": found.high} if intervals else {}
    return {name: found.value} | ends


def estimated(metrics: Mapping[str, Metric], frame: pl.DataFrame, *, intervals: bool) -> dict[str, float]:
    """The numbers of several metrics on one frame."""
    numbers: dict[str, float] = {}
    for name, metric in metrics.items():
        numbers |= numbers_of(name, metric(frame), intervals=intervals)
    return numbers


def _kind(caller: str, role: str, values: Sequence[Any]) -> str:
    """``label``, ``distribution``, or ``unknown`` where all are null."""
    lists = sum(isinstance(v, (list, tuple, np.ndarray)) for v in values)
    nulls = sum(v is None for v in values)
    if lists and lists + nulls < len(values):
        raise ValueError(
            f"{caller}: {role} must be labels or distributions over the options, found {lists} distributions among "
            f"{len(values)} items"
        )
    return "distribution" if lists else "unknown" if nulls == len(values) else "label"


def _series(caller: str, role: str, values: Sequence[Any]) -> pl.Series:
    try:
        return pl.Series(role, values)
    except TypeError as error:
        types = sorted({type(v).__name__ for v in values if v is not None})
        raise ValueError(
            f"{caller}: {role} must be of one type, and None where missing; found {', '.join(types)}"
        ) from error


def _matrix(caller: str, role: str, values: Sequence[Any]) -> Floats:
    """Distributions as numbers (N, K); null is a row of ``nan``."""
    known = np.array([v is not None for v in values], dtype=bool)
    try:
        given = np.asarray([v for v in values if v is not None], dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{caller}: {role} must be lists of numbers, one per option, all of one length") from error
    if given.ndim != 2:
        raise ValueError(f"{caller}: {role} must be (items, options), found shape {given.shape}")
    matrix: Floats = np.full((len(values), given.shape[1]), np.nan)
    matrix[known] = given
    return matrix


def _lists(matrix: Floats) -> pl.Series:
    """One list per item; null where a row has no number at all."""
    lists = pl.Series(matrix).arr.to_list()
    return pl.select(pl.when(pl.Series(~np.isnan(matrix).all(axis=1))).then(pl.lit(lists))).to_series()


def _votes(caller: str, votes: Floats) -> tuple[Floats, Floats]:
    """Votes and their shares; an item that nobody voted on has neither."""
    known = votes[~np.isnan(votes).all(axis=1)]
    if (known < 0).any() or (known != np.round(known)).any():
        raise ValueError(f"{caller}: votes must be whole numbers of at least 0; shares go in without counts=True")
    total = votes.sum(axis=1, keepdims=True)
    votes = np.where(total == 0, np.nan, votes)
    return votes, votes / np.where(total == 0, np.nan, total)
