"""Sufficiency: how much of the label's probability is lost when a rationale's words alone are left. Lower is better."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.faithfulness.drops import Variant, drop_columns, row_drops
from dfar_toolkit.metrics.faithfulness.item_means import estimate_items, item_means, mean_over_items
from dfar_toolkit.metrics.faithfulness.perturbed import Perturbed
from dfar_toolkit.metrics.labels import Column


def sufficiency(
    frame: pl.DataFrame | None = None,
    *,
    before: Column = "p_before",
    only: Column = "p_only",
    variant: Variant = "probability",
    item: Column | None = None,
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean drop of the probability of the explained label when only the words of the rationale are left.

    With x the input, r the rationale and y the label: $\frac1N \sum_i p(y_i | x_i) - p(y_i | r_i)$, not clipped:
    negative where the rationale alone convinces the model more than the whole input. **Lower is better**, as in ERASER
    (the normalised form of Carton et al. turns it round). Several rows (draws) of an item count as one.

    Args:
        frame: Rows, one per item (and draw), or None with values.
        before: Column or values (R,): probability of the label on the whole input; of ``entropy`` and ``kl``
            distributions (R, K).
        only: Column or values (R,), likewise, with the words alone; null where there is no answer.
        variant: ``probability``, ``entropy`` or ``kl``.
        item: Column or ids (R,); None: the column ``item_id`` where there is one, else every row is an item.
        group: Column or values (R,) of the resampling unit.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts items with both numbers. Lower is better (``entropy``: no direction).

    Undefined:
        No item has both numbers; ``kl`` where an option of no probability before has some after.

    Raises:
        ValueError: A column is missing, or lengths differ.

    Example:
        >>> round(sufficiency(before=[0.7, 0.9], only=[0.65, 0.95], ci=None).value, 3)
        0.0

    Reference:
        DeYoung et al. (2020), ERASER, ACL, section 4.2.
    """
    values, rows = drop_columns("sufficiency", frame, before=before, after=only, role="only", variant=variant,
                                item=item, group=group)  # fmt: skip
    score = _score(item_means(rows.item, values, rows.n), variant)
    return estimate_items([score], rows.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def sufficiency_rows(perturbed: Perturbed, *, variant: Variant = "probability") -> Additive:
    """Sufficiency of the rows given (those at one step of one method and operator) as an additive statistic."""
    return _score(item_means(perturbed.item, sufficiency_values(perturbed, variant), len(perturbed.items)), variant)


def sufficiency_values(perturbed: Perturbed, variant: Variant = "probability") -> Floats:
    """The drop of every row (R,)."""
    return row_drops(perturbed, "only", variant)


def _score(values: Floats, variant: Variant) -> Additive:
    plain = variant == "probability"
    metric = "sufficiency" if plain else f"sufficiency_{variant}"
    return mean_over_items(metric, "sufficiency" if plain else f"sufficiency ({variant})", values)
