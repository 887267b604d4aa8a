"""The metrics that are a mean over items of one number per changed item, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.faithfulness.aopc import curve_means
from dfar_toolkit.metrics.faithfulness.comprehensiveness import comprehensiveness_values
from dfar_toolkit.metrics.faithfulness.flips import flip_values
from dfar_toolkit.metrics.faithfulness.item_means import item_means
from dfar_toolkit.metrics.faithfulness.perturbed import Perturbed, Step, step_rows
from dfar_toolkit.metrics.faithfulness.sufficiency import sufficiency_values

RowMetric = Literal["comprehensiveness", "sufficiency", "flip_rate", "flip_rate_only"]
ItemMetric = Literal[
    "comprehensiveness", "sufficiency", "flip_rate", "flip_rate_only", "aopc_comprehensiveness", "aopc_sufficiency"
]


def row_metric(metric: ItemMetric) -> RowMetric:
    """What is measured on every row for a metric: of AOPC its drop.

    Raises:
        ValueError: No such metric.

    Example:
        >>> row_metric("aopc_sufficiency")
        'sufficiency'
    """
    if metric not in get_args(ItemMetric):
        raise ValueError(f"faithfulness: metric must be one of {', '.join(get_args(ItemMetric))}, found {metric!r}")
    if metric == "aopc_comprehensiveness":
        return "comprehensiveness"
    return "sufficiency" if metric == "aopc_sufficiency" else metric


def row_values(perturbed: Perturbed, metric: RowMetric) -> Floats:
    """The number that a metric takes the mean of, for every row (R,); ``nan`` where an answer is not there."""
    if metric == "comprehensiveness":
        return comprehensiveness_values(perturbed)
    if metric == "sufficiency":
        return sufficiency_values(perturbed)
    return flip_values(perturbed, "without" if metric == "flip_rate" else "only")


def values_of_items(
    perturbed: Perturbed, values: Floats, metric: ItemMetric, *, step: Step | None, steps: Sequence[Step]
) -> Floats:
    """The number of each item (N,) at one step, or for AOPC over all of them.

    Args:
        perturbed: The rows of one method and operator.
        values: Their numbers (R,), from :func:`row_values` or less those of random words.
        metric: The metric.
        step: The step; not looked at for AOPC.
        steps: The sizes of AOPC.

    Returns:
        Numbers, ``nan`` where an item has none.
    """
    n = len(perturbed.items)
    if metric.startswith("aopc"):
        masks = [step_rows(perturbed, s) for s in steps]
        return np.asarray(curve_means(perturbed.item, values, masks, n).mean(axis=1), dtype=np.float64)
    keep = step_rows(perturbed, Step() if step is None else step)
    return item_means(perturbed.item[keep], values[keep], n, canonical=True)
