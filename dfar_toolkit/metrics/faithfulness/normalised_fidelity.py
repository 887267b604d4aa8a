r"""Comprehensiveness and sufficiency relative to what the model has to lose: the drop to the empty input.

With full, without, only and empty the probabilities of the explained label: what can be lost is full - empty. A model
that says one label whatever it reads has nothing to lose, so no rationale can score.

Ours pools over items, so a single item with next to nothing to lose decides nothing and no epsilon is needed:

    comprehensiveness $\frac{\sum_i full_i - without_i}{\sum_i full_i - empty_i}$,
    sufficiency $\frac{\sum_i only_i - empty_i}{\sum_i full_i - empty_i}$, higher is better for both.

Those of Carton et al. (2020) are means of ratios, clipped to [0, 1], 0 where an item has less than 1e-5 to lose.
Chrysostomou and Aletras (2021), and code that builds on theirs, lower 1 - (full - empty) by 1e-4 before dividing; in
their code this happens on the caller's array, again with every call, so the numbers depend on the order of
evaluation: not offered.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.faithfulness.item_means import (
    estimate_items,
    item_means,
    item_rows,
    mean_over_items,
    number_column,
    same_length,
)
from dfar_toolkit.metrics.faithfulness.perturbed import Perturbed
from dfar_toolkit.metrics.labels import Codes, Column

Normalised = Literal[
    "normalised_comprehensiveness", "normalised_sufficiency", "carton_comprehensiveness", "carton_sufficiency"
]
NOTHING_TO_LOSE: Final = "the label is no less probable on the empty input: there is nothing to lose"

_EPSILON: Final = 1e-5  # Carton et al.: less to lose than this counts as nothing
_ROUNDING: Final = 1e-12  # of a mean difference of probabilities: what is below is 0
_WITHOUT: Final = "without an answer to all inputs"


def normalised_comprehensiveness(
    frame: pl.DataFrame | None = None,
    *,
    before: Column = "p_before",
    without: Column = "p_without",
    empty: Column = "p_empty",
    clip: bool = False,
    item: Column | None = None,
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Share of the probability that can be lost which is lost without the rationale's words, pooled over items.

    $\sum_i (full_i - without_i) / \sum_i (full_i - empty_i)$; with ``clip`` every difference is at least 0.

    Args:
        frame: Rows, one per item (and draw), or None with values.
        before: Column or values (R,): probability of the label on the whole input.
        without: Column or values (R,): without the words.
        empty: Column or values (R,): on the empty input.
        clip: Whether negative differences count as 0.
        item: Column or ids (R,); None: the column ``item_id`` where there is one.
        group: Column or values (R,) of the resampling unit.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate. Higher is better; above 1 where taking the words away does more than taking all.

    Undefined:
        On average nothing can be lost.

    Raises:
        ValueError: A column is missing, or lengths differ.

    Example:
        >>> round(normalised_comprehensiveness(before=[0.9], without=[0.6], empty=[0.5], ci=None).value, 3)
        0.75

    Reference:
        After Carton, Rathore and Tan (2020), EMNLP, section 3.
    """
    name: Normalised = "normalised_comprehensiveness"
    return _estimate(name, frame, {"before": before, "without": without, "empty": empty}, clip, item, group, ci,
                     confidence, n_boot, seed)  # fmt: skip


def normalised_sufficiency(
    frame: pl.DataFrame | None = None,
    *,
    before: Column = "p_before",
    only: Column = "p_only",
    empty: Column = "p_empty",
    clip: bool = False,
    item: Column | None = None,
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Share of the probability that can be lost which the rationale's words alone keep, pooled over items.

    $1 - \sum_i (full_i - only_i) / \sum_i (full_i - empty_i)$; with ``clip`` every difference is at least 0.
    **Higher is better**, unlike :func:`~dfar_toolkit.metrics.faithfulness.sufficiency.sufficiency`.

    Args:
        frame: Rows, one per item (and draw), or None with values.
        before: Column or values (R,): probability of the label on the whole input.
        only: Column or values (R,): on the words alone.
        empty: Column or values (R,): on the empty input.
        clip: Whether negative differences count as 0.
        item: Column or ids (R,); None: the column ``item_id`` where there is one.
        group: Column or values (R,) of the resampling unit.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate. Higher is better; above 1 where the words alone convince more than the whole.

    Undefined:
        On average nothing can be lost.

    Raises:
        ValueError: A column is missing, or lengths differ.

    Example:
        >>> round(normalised_sufficiency(before=[0.9], only=[0.8], empty=[0.5], ci=None).value, 3)
        0.75

    Reference:
        After Carton, Rathore and Tan (2020), EMNLP, section 3.
    """
    return _estimate("normalised_sufficiency", frame, {"before": before, "only": only, "empty": empty}, clip, item,
                     group, ci, confidence, n_boot, seed)  # fmt: skip


def carton_fidelity(
    frame: pl.DataFrame | None = None,
    *,
    kind: Literal["comprehensiveness", "sufficiency"],
    before: Column = "p_before",
    after: Column | None = None,
    empty: Column = "p_empty",
    item: Column | None = None,
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Normalised comprehensiveness or sufficiency as Carton et al. (2020) compute it: a mean of clipped ratios.

    With $null = \max(0, full - empty)$: comprehensiveness $clip(\max(0, full - without) / null, 0, 1)$, sufficiency
    $clip((null - \max(0, full - only)) / null, 0, 1)$; 0 where $null < 10^{-5}$. Higher is better for both.

    Args:
        frame: Rows, one per item (and draw), or None with values.
        kind: Which.
        before: Column or values (R,): probability of the label on the whole input.
        after: Column or values (R,): on the changed one. None: ``p_without``, or ``p_only`` for sufficiency.
        empty: Column or values (R,): on the empty input.
        item: Column or ids (R,); None: the column ``item_id`` where there is one.
        group: Column or values (R,) of the resampling unit.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate, with the number of items that have nothing to lose in its note.

    Undefined:
        No item has all three numbers.

    Raises:
        ValueError: A column is missing, or lengths differ.

    Example:
        >>> carton_fidelity(kind="sufficiency", before=[0.9], after=[0.95], empty=[0.5], ci=None).value
        1.0

    Reference:
        Carton, Rathore and Tan (2020), Evaluating and characterizing human rationales, EMNLP.
    """
    if kind not in ("comprehensiveness", "sufficiency"):
        raise ValueError(f'carton_fidelity: kind must be "comprehensiveness" or "sufficiency", found {kind!r}')
    drops = kind == "comprehensiveness"
    given: Column = ("p_without" if drops else "p_only") if after is None else after
    name: Normalised = "carton_comprehensiveness" if drops else "carton_sufficiency"
    return _estimate(name, frame, {"before": before, "after": given, "empty": empty}, True, item, group, ci,
                     confidence, n_boot, seed)  # fmt: skip


def normalised_rows(perturbed: Perturbed, *, metric: Normalised, clip: bool = False) -> Additive:
    """One of the four on the rows given (those at one step of one method and operator) as an additive statistic."""
    after = perturbed.p_without() if metric.endswith("comprehensiveness") else perturbed.p_only()
    drop, null = perturbed.p_before() - after, perturbed.p_before() - perturbed.p_empty()
    return _score(metric, drop, null, clip, perturbed.item, len(perturbed.items))


def _estimate(
    metric: Normalised,
    frame: pl.DataFrame | None,
    columns: dict[str, Column],
    clip: bool,
    item: Column | None,
    group: Column | None,
    ci: str | None,
    confidence: float,
    n_boot: int,
    seed: int,
) -> Estimate:
    found = {role: number_column(metric, frame, column, role) for role, column in columns.items()}
    rows = item_rows(metric, frame, same_length(metric, found), item=item, group=group)
    before, after, empty = found.values()
    score = _score(metric, before - after, before - empty, clip, rows.item, rows.n)
    return estimate_items([score], rows.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def _score(metric: Normalised, drop: Floats, null: Floats, clip: bool, item: Codes, n: int) -> Additive:
    """The statistic of drops and what can be lost, (R,) each."""
    known = ~(np.isnan(drop) | np.isnan(null))
    item, drop, null = item[known], drop[known], null[known]
    title = metric.replace("_", " ")
    if metric.startswith("carton"):
        ratio = _clipped_ratio(metric, np.maximum(0.0, drop), np.maximum(0.0, null))
        nothing = int((item_means(item, np.maximum(0.0, null), n) < _EPSILON).sum())
        note = f"{nothing} of {n} items have nothing to lose and count 0" if nothing else ""
        name = f"{title.removeprefix('carton ')}, normalised as by Carton et al."
        return mean_over_items(metric, name, item_means(item, ratio, n), without=_WITHOUT, note=note)
    if clip:
        drop, null, title = np.maximum(0.0, drop), np.maximum(0.0, null), f"{title} (clipped)"
    lost, could = item_means(item, drop, n), item_means(item, null, n)
    kept = ~np.isnan(lost)
    above = lost if metric == "normalised_comprehensiveness" else could - lost
    rows = np.column_stack([np.where(kept, above, 0.0), np.where(kept, could, 0.0), kept])
    absent = n - int(kept.sum())
    note = f"{absent} of {n} {_WITHOUT} left out" if 0 < absent < n else ""
    why = NOTHING_TO_LOSE if kept.any() else f"all {n} items are {_WITHOUT}" if n else "no items"
    return Additive(metric, title, rows, _pooled, why, note)


def _clipped_ratio(metric: Normalised, drop: Floats, null: Floats) -> Floats:
    some = null >= _EPSILON
    above = drop if metric == "carton_comprehensiveness" else null - drop
    return np.where(some, np.clip(above / np.where(some, null, 1.0), 0.0, 1.0), 0.0)


def _pooled(sums: Floats) -> Floats:
    some = sums[:, 1] > _ROUNDING * sums[:, 2]
    found: Floats = np.where(some, sums[:, 0] / np.where(some, sums[:, 1], 1.0), np.nan)
    return found
