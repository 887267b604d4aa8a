"""Our metrics as ``compute_metrics`` of a transformers Trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.adapters.calling import Metric, estimated, items_frame, listed, named_metrics

_IGNORED: Final = -100  # the Trainer's label of what is not to be scored


class _Seen(NamedTuple):
    """What the Trainer hands over, read.

    ``gold`` (N,) codes, -1 where none; ``people`` (N, K) shares or votes, None where codes were given; ``pred`` (N,)
    codes, -1 where none; ``probs`` (N, K), rows of ``nan`` where there is no prediction.
    """

    gold: npt.NDArray[np.int64]
    people: Floats | None
    pred: npt.NDArray[np.int64]
    probs: Floats


def compute_metrics(
    options: Sequence[str],
    *,
    labels: Sequence[Metric] = (),
    soft: Sequence[Metric] = (),
    group: Sequence[Any] | None = None,
    intervals: bool = False,
    counts: bool = False,
) -> Callable[[Any], dict[str, float]]:
    """A function from the Trainer's ``EvalPrediction`` to numbers.

    Logits (N, K) become the label of the highest one for the metrics of labels, and their softmax for the soft ones.
    ``label_ids`` are codes (N,), or people's shares (N, K), whose largest is then the gold label. Rows without a gold
    label (code or row of -100, people tied) are left out of the metrics of labels and counted as ``no_gold``. Rows
    without one highest logit (ties, ``nan``) are unanswered there and counted as ``no_prediction``; a row with a
    ``nan`` has no distribution either. Intervals are made whether shown or not:
    ``partial(macro_f1, n_boot=200)`` makes evaluation faster.

    Args:
        options: Names of the K options, in the order of the logits.
        labels: Metrics of labels, such as ``accuracy`` and ``macro_f1``.
        soft: Metrics of distributions, such as ``soft_cross_entropy``; they need people's shares as ``label_ids``.
        group: Resampling unit of each row (N,) of the evaluation set, in its order.
        intervals: Whether to give the ends of intervals too.
        counts: Whether ``label_ids`` are numbers of votes (N, K), not shares.

    Returns:
        The function for ``Trainer(compute_metrics=...)``.

    Raises:
        ValueError: No metric, or two of one name. On use: predictions or ``label_ids`` that do not fit the options.

    Example:
        >>> from types import SimpleNamespace
        >>> from dfar_toolkit.metrics import accuracy
        >>> seen = SimpleNamespace(predictions=np.array([[2.0, 0.0], [0.0, 1.0]]), label_ids=np.array([0, 0]))
        >>> compute_metrics(["fair", "unfair"], labels=[accuracy])(seen)
        {'accuracy': 0.5, 'no_gold': 0.0, 'no_prediction': 0.0}
    """
    names = [str(o) for o in options]
    of_labels, of_shares = named_metrics("compute_metrics", labels), named_metrics("compute_metrics", soft)
    both = [*of_labels, *of_shares]
    if not both or len(set(both)) < len(both):
        raise ValueError(f"compute_metrics: wanted one or more metrics of different names, found {both}")
    units = None if group is None else listed(group)

    def computed(given: Any) -> dict[str, float]:
        seen = _seen(given, len(names))
        if units is not None and len(units) != len(seen.pred):
            raise ValueError(f"compute_metrics: {len(units)} groups for {len(seen.pred)} rows; give one per row")
        numbers: dict[str, float] = {}
        if of_labels:
            numbers |= estimated(of_labels, _labels_frame(seen, names, units), intervals=intervals)
            numbers["no_gold"] = float((seen.gold < 0).sum())
        if of_shares:
            numbers |= estimated(of_shares, _shares_frame(seen, units, counts), intervals=intervals)
        return numbers | {"no_prediction": float((seen.pred < 0).sum())}

    return computed


def _labels_frame(seen: _Seen, names: Sequence[str], units: Sequence[Any] | None) -> pl.DataFrame:
    """The rows that have a gold label."""
    kept = np.flatnonzero(seen.gold >= 0).tolist()
    return items_frame(
        "compute_metrics",
        gold=[names[k] for k in seen.gold[kept]],
        pred=[names[k] if k >= 0 else None for k in seen.pred[kept]],
        group=None if units is None else [units[i] for i in kept],
    )


def _shares_frame(seen: _Seen, units: Sequence[Any] | None, counts: bool) -> pl.DataFrame:
    if seen.people is None:
        raise ValueError("compute_metrics: soft metrics need label_ids of people's shares (rows, options), found codes")
    return items_frame("compute_metrics", gold=list(seen.people), pred=list(seen.probs), group=units, counts=counts)


def _seen(given: Any, k: int) -> _Seen:
    predictions = given.predictions[0] if isinstance(given.predictions, tuple) else given.predictions
    logits = np.asarray(predictions, dtype=np.float64)
    if logits.ndim != 2 or logits.shape[1] != k:
        raise ValueError(f"compute_metrics: {k} options need logits (rows, {k}), found predictions {logits.shape}")
    if isinstance(given.label_ids, tuple):
        raise ValueError(
            f"compute_metrics: label_ids must be one array, found {len(given.label_ids)}; set label_names "
            "of the Trainer to the one column that holds codes or shares"
        )
    labels = np.asarray(given.label_ids)
    if labels.shape not in ((len(logits),), logits.shape):
        raise ValueError(
            f"compute_metrics: label_ids must be codes ({len(logits)},) or shares {logits.shape}, found {labels.shape}"
        )
    probs = _softmax(logits)
    pred = np.where(np.isnan(probs).any(axis=1), -1, _single_top(logits))
    if labels.ndim == 1:
        return _Seen(_codes(labels, k), None, pred, probs)
    people = np.where((labels == _IGNORED).all(axis=1, keepdims=True), np.nan, labels.astype(np.float64))
    return _Seen(_single_top(people), people, pred, probs)


def _codes(labels: npt.NDArray[Any], k: int) -> npt.NDArray[np.int64]:
    """Gold codes, -1 where ignored."""
    bad = (labels != _IGNORED) & ~np.isin(labels, np.arange(k))
    if bad.any():
        raise ValueError(
            f"compute_metrics: codes must be 0 to {k - 1}, or {_IGNORED} where a row is not scored; found "
            f"{labels[bad][0]} in {int(bad.sum())} of {len(labels)} rows"
        )
    return np.where(labels == _IGNORED, -1, labels).astype(np.int64)


def _single_top(rows: Floats) -> npt.NDArray[np.int64]:
    """The place of the largest number of each row (N, K), -1 where several share it or there is none."""
    if not rows.size:
        return np.full(len(rows), -1, dtype=np.int64)
    single = (rows == rows.max(axis=1, keepdims=True)).sum(axis=1) == 1
    return np.where(single, rows.argmax(axis=1), -1).astype(np.int64)


def _softmax(logits: Floats) -> Floats:
    """Probabilities (N, K); a row of ``nan`` where the logits are not numbers."""
    top = logits.max(axis=1, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, np.nan)
    weights: Floats = np.exp(logits - top)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights
