"""Ordinal accuracy: how often a prediction is at most a step away from the gold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Estimate, proportion
from dfar_toolkit.metrics.labels import Column, group_series
from dfar_toolkit.metrics.number_pairs import numbers_of

_ROUNDING: Final = 1e-9


def accuracy_within(
    frame: pl.DataFrame | None = None,
    *,
    step: float = 1.0,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    values: Sequence[float] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    r"""Ordinal accuracy: share of the items with gold whose prediction is at most ``step`` away; no answer is a miss.

    $\frac{1}{N} \sum_i 1[|\hat x_i - x_i| \le s]$, Wilson's interval on the effective n where items come in groups.

    Args:
        frame: One row per item, or None with arrays.
        step: The distance s that still counts, in units of the scale (options apart, without ``values``).
        gold: Column or values (N,): numbers, labels, or lists of K votes or shares; items without gold are left out
            and counted.
        pred: Column or values (N,), likewise; null is no answer, a miss.
        group: Column or values (N,) of the resampling unit.
        options: The K labels from lowest to highest.
        values: The K numbers of the options; None means 0, 1, ..., K - 1.
        confidence: Two-sided coverage.

    Returns:
        The estimate.

    Undefined:
        No item has gold.

    Raises:
        TableError: As :func:`~dfar_toolkit.metrics.number_pairs.pair_numbers`.
        ValueError: ``step`` is negative.

    Example:
        >>> accuracy_within(gold=["1", "1", "1"], pred=["2", "3", None], options=["1", "2", "3"]).n
        3
    """
    name = "accuracy_within"
    if not step >= 0:
        raise ValueError(f"{name}: step must be at least 0, found {step}")
    x, y = (numbers_of(name, frame, c, r, options, values) for c, r in ((gold, "gold"), (pred, "pred")))
    if len(x) != len(y):
        raise ValueError(f"{name}: gold has {len(x)} values, pred has {len(y)}; give one per item")
    groups = group_series(name, frame, group, len(x))
    keep = ~np.isnan(x)
    with np.errstate(invalid="ignore"):
        hits = (np.abs(y - x) <= step + _ROUNDING)[keep]
    own = None if groups is None else groups.filter(pl.Series(keep))
    found = proportion(f"accuracy within {step:g}", hits, groups=own, confidence=confidence)
    left = len(keep) - len(hits)
    note = f"{left} of {len(keep)} items without gold left out" if left else ""
    return replace(found, note="; ".join(filter(None, [found.note if len(hits) else "no item has gold", note])))
