"""Means of losses that may be infinite: undefined with a count, never clipped in silence and never `inf` in a table."""

from __future__ import annotations

import numpy as np

from dfar_toolkit.estimate import Additive, Floats
from dfar_toolkit.estimate.additive import in_columns
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions

_COUNTED = "it would be infinite: {bad} of {n} items give probability 0 to an option that people chose"


def mean_loss(
    metric: str,
    name: str,
    losses: Floats,
    *,
    per: Floats | None = None,
    note: str = "",
    mend: str = "",
    times: Floats | None = None,
) -> Additive:
    r"""The mean of losses (N,), as an additive statistic that has no value while any of them is infinite.

    $\sum_i \ell_i / \sum_i w_i$; rows are ($\ell_i$ or 0, $w_i$, 1 where infinite), so that one infinite item does not
    spoil the sums of other statistics taken together with it.

    Args:
        metric: Name in tables.
        name: Printed name.
        losses: One loss per item, ``inf`` allowed.
        per: Weights $w_i$ (N,); None means 1 each.
        note: Said in any case.
        mend: Added to the note where the value is undefined: what can be done.
        times: How many items each loss stands for (N,), in what is said of them; None means one.

    Returns:
        The statistic.

    Example:
        >>> score = mean_loss("loss", "loss", np.array([1.0, np.inf]))
        >>> score.undefined
        'it would be infinite: 1 of 2 items give probability 0 to an option that people chose'
    """
    infinite = np.isinf(losses)
    rows = in_columns(np.where(infinite, 0.0, losses), np.ones(1) if per is None else per, infinite)
    why = "no items"
    if infinite.any():
        bad, n = (infinite.sum(), len(losses)) if times is None else (times[infinite].sum(), times.sum())
        why = _COUNTED.format(bad=round(float(bad)), n=round(float(n))) + (f"; {mend}" if mend else "")
    elif len(losses):
        why = "no votes"
    return Additive(metric, name, rows, _mean_unless_infinite, why, note)


def floored(name: str, pairs: PairedDistributions, floor: float | None) -> tuple[Floats, str]:
    """Predictions (N, K) raised to a floor and renormalised, and the note that says how many were; as they are if None.

    Raises:
        ValueError: The floor is not above 0 and below 1/K.

    Example:
        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> pairs = pair_distributions("x", None, gold=[[0.5, 0.5]], pred=[[1.0, 0.0]])
        >>> floored("x", pairs, 0.1)[1]
        'probabilities below floor = 0.1 raised to it and renormalised: 1 of 1 items'
    """
    if floor is None:
        return pairs.pred, ""
    k = max(pairs.pred.shape[1], 1)
    if not 0 < floor < 1 / k:
        raise ValueError(
            f"{name}: floor must lie above 0 and below 1/K = {1 / k:.3g}, found {floor}; None clips nothing"
        )
    raised = np.maximum(pairs.pred, floor)
    changed = np.asarray((pairs.pred < floor).any(axis=1))
    if not changed.any():
        return pairs.pred, ""
    clipped, n = pairs.items_in(changed), pairs.items_in(np.ones(len(raised), dtype=bool))
    note = f"probabilities below floor = {floor:g} raised to it and renormalised: {clipped} of {n} items"
    return np.where(changed[:, None], raised / raised.sum(axis=1, keepdims=True), pairs.pred), note


def _mean_unless_infinite(sums: Floats) -> Floats:
    found: Floats = np.where(sums[:, 2] > 0, np.nan, sums[:, 0] / sums[:, 1])
    return found
