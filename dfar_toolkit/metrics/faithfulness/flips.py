r"""Flip rate: on which share of items does the label change when words are taken away?

A change to an answer without a label (unparsed) is no flip and has its own share; a failed or missing answer says
nothing. A flip between two labels that are almost equally probable may be nothing but rounding: in half precision the
same input in another batch can give another label. The margin of a flip is the smaller of two gaps, the difference of
log-probability between the two most probable labels before and after; where it lies below the noise of the number
format the flip is not counted if ``margin`` is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimates_frame
from dfar_toolkit.metrics.faithfulness.directions import higher_is_better
from dfar_toolkit.metrics.faithfulness.item_means import (
    estimate_share,
    item_means,
    item_rows,
    mean_over_items,
    number_column,
)
from dfar_toolkit.metrics.faithfulness.perturbed import Perturbed
from dfar_toolkit.metrics.labels import Codes, Column
from dfar_toolkit.metrics.reasons.paired_reasons import column_values

Side = Literal["without", "only"]
# Gap of log-probability below which a label may be rounding: bfloat16 and float32 as measured between batches of one
# model; float16 has three more bits than bfloat16.
NOISE_MARGINS: Final = {"float64": 1e-9, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}

_NO_LABELS: Final = "without a label before and an answer after"


def noise_margin(dtype: str | None) -> float:
    """The gap of log-probability below which a label may be rounding; that of bfloat16 for a format not known.

    Example:
        >>> noise_margin("torch.float32"), noise_margin("int4")
        (1e-05, 0.03)
    """
    return NOISE_MARGINS.get((dtype or "").removeprefix("torch."), NOISE_MARGINS["bfloat16"])


def flip_rate(
    frame: pl.DataFrame | None = None,
    *,
    before: Column = "label",
    after: Column = "label_without",
    gap: Column | None = None,
    margin: float | None = None,
    item: Column | None = None,
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Share of items whose label changes to another one.

    $\frac1N \sum_i 1[\hat y_i' \ne \hat y_i]$ over the items with a label before; an answer without a label after is
    none and stays in N (see :func:`unparsed_after`). Several rows (draws) of an item count as one, at their mean.

    Args:
        frame: Rows, one per item (and draw), or None with values.
        before: Column or labels (R,) of the whole inputs; null: unparsed, left out and counted.
        after: Column or labels (R,) of the changed ones; null: unparsed.
        gap: Column or numbers (R,): the margin of the change (see the module), where known.
        margin: Flips whose gap lies below it do not count; needs ``gap``.
        item: Column or ids (R,); None: the column ``item_id`` where there is one.
        group: Column or values (R,) of the resampling unit.
        ci: ``bootstrap`` (Wilson's interval where every row is an item), or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate. Higher is better where the words of the rationale were taken away, lower where they alone are
        left. A model that always says one label has 0 whatever the rationale.

    Undefined:
        No item has a label before.

    Raises:
        ValueError: A column is missing, lengths differ, or ``margin`` without ``gap``.

    Example:
        >>> flip_rate(before=["a", "a", "b", "b"], after=["b", "a", None, "a"]).value
        0.5
    """
    if margin is not None and gap is None:
        raise ValueError("flip_rate: margin needs the gap of each row (gap=)")
    flipped, _ = _columns("flip_rate", frame, before, after)
    rows = item_rows("flip_rate", frame, len(flipped), item=item, group=group)
    gaps = np.full(len(flipped), np.nan) if gap is None else number_column("flip_rate", frame, gap, "gap")
    score = _rate("flip_rate", "flip rate", flipped, gaps, margin, lambda x: item_means(rows.item, x, rows.n))
    return estimate_share(score, rows.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def unparsed_after(
    frame: pl.DataFrame | None = None,
    *,
    before: Column = "label",
    after: Column = "label_without",
    item: Column | None = None,
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Share of items with a label before whose answer to the changed input has none.

    Args:
        frame: As for :func:`flip_rate`.
        before: As there.
        after: As there.
        item: As there.
        group: As there.
        ci: As there.
        confidence: As there.
        n_boot: As there.
        seed: As there.

    Returns:
        The estimate; no direction.

    Undefined:
        No item has a label before.

    Raises:
        ValueError: A column is missing, or lengths differ.

    Example:
        >>> unparsed_after(before=["a", "a", "b", "b"], after=["b", "a", None, "a"]).value
        0.25
    """
    _, unparsed = _columns("unparsed_after", frame, before, after)
    rows = item_rows("unparsed_after", frame, len(unparsed), item=item, group=group)
    means = item_means(rows.item, unparsed, rows.n)
    score = mean_over_items("flip_to_unparsed", "share that becomes unparsed", means, without=_NO_LABELS)
    return estimate_share(score, rows.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def _columns(name: str, frame: pl.DataFrame | None, before: Column, after: Column) -> tuple[Floats, Floats]:
    """Whether each row flips, and whether it becomes unparsed (R,)."""
    one, two = (column_values(name, frame, c, r).cast(pl.String) for c, r in ((before, "before"), (after, "after")))
    if len(one) != len(two):
        raise ValueError(f"{name}: before has {len(one)} labels, after has {len(two)}; give one per row")
    known = one.is_not_null().to_numpy()
    flipped = (one != two).fill_null(False).to_numpy()
    return np.where(known, flipped, np.nan), np.where(known, two.is_null().to_numpy(), np.nan)


def _rate(
    metric: str, name: str, flipped: Floats, gaps: Floats, margin: float | None, means: Callable[[Floats], Floats]
) -> Additive:
    """Flips of rows (R,) as the mean over items, with those within the margin taken off and counted."""
    note = ""
    if margin is not None:
        within = (flipped == 1) & (gaps < margin)
        unknown = int(((flipped == 1) & np.isnan(gaps)).sum())
        note = f"{int(within.sum())} of {int(np.nansum(flipped))} flips within {margin:g} of a tie not counted"
        note += f"; the margin of {unknown} is unknown" if unknown else ""
        flipped = np.where(within, 0.0, flipped)
    return mean_over_items(metric, name, means(flipped), without=_NO_LABELS, note=note)


def _means(perturbed: Perturbed, values: Floats) -> Floats:
    return item_means(perturbed.item, values, len(perturbed.items), canonical=True)


def _ratio(sums: Floats) -> Floats:
    some = sums[:, 1] > 0
    found: Floats = np.where(some, sums[:, 0] / np.where(some, sums[:, 1], 1.0), np.nan)
    return found


def flip_values(perturbed: Perturbed, side: Side = "without") -> Floats:
    """Whether the label of each row changes to another one (R,); ``nan`` where an answer is not there."""
    k = len(perturbed.options)
    before, after = perturbed.label_before(), _side(perturbed, side)
    return np.where((before < k) & (after <= k), (after != before) & (after < k), np.nan)


def unparsed_values(perturbed: Perturbed, side: Side = "without") -> Floats:
    """Whether the changed input of each row gets no label (R,); ``nan`` where an answer is not there."""
    k = len(perturbed.options)
    before, after = perturbed.label_before(), _side(perturbed, side)
    return np.where((before < k) & (after <= k), after == k, np.nan)


def flip_gaps(perturbed: Perturbed, side: Side = "without") -> Floats:
    """The margin of each row (R,): the smaller gap of the whole and the changed input; ``nan`` where unknown."""
    said = perturbed.without if side == "without" else perturbed.only
    found: Floats = np.minimum(top_gap(perturbed.full.probs)[perturbed.item], top_gap(said.probs))
    return found


def top_gap(probs: Floats) -> Floats:
    """Log-probability of the most probable option less that of the next (R,), of distributions (R, K).

    Example:
        >>> top_gap(np.array([[0.5, 0.5], [0.0, 1.0]])).tolist()
        [0.0, inf]
    """
    if probs.shape[1] < 2:
        return np.full(len(probs), np.nan)
    top = np.sort(probs, axis=1)[:, -2:]  # nan sorts last
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.log(top[:, 1]) - np.log(top[:, 0])
    return found


def _side(perturbed: Perturbed, side: Side) -> Codes:
    return perturbed.without.label if side == "without" else perturbed.only.label


def flip_rows(perturbed: Perturbed, *, side: Side = "without", margin: float | None = None) -> Additive:
    """Flip rate of the rows given (those at one step of one method and operator) as an additive statistic."""
    flipped = flip_values(perturbed, side)
    gaps = flip_gaps(perturbed, side) if margin is not None else np.full(len(flipped), np.nan)
    metric, name = ("flip_rate", "flip rate") if side == "without" else ("flip_rate_only", "flip rate, words alone")
    return _rate(metric, name, flipped, gaps, margin, lambda x: _means(perturbed, x))


def unparsed_rows(perturbed: Perturbed, *, side: Side = "without") -> Additive:
    """Share of items that become unparsed as an additive statistic."""
    metric = "flip_to_unparsed" if side == "without" else "flip_to_unparsed_only"
    values = _means(perturbed, unparsed_values(perturbed, side))
    return mean_over_items(metric, "share that becomes unparsed", values, without=_NO_LABELS)


def flips_within_margin_rows(perturbed: Perturbed, margin: float, *, side: Side = "without") -> Additive:
    """Share of the flips, of those whose margin is known, that lie below the noise, as an additive statistic."""
    flipped, gaps = flip_values(perturbed, side), flip_gaps(perturbed, side)
    known = np.where(np.isnan(gaps), np.nan, flipped)
    of_item = _means(perturbed, known)
    within = np.nan_to_num(_means(perturbed, np.where(gaps < margin, known, known * 0.0)))
    rows = np.column_stack([within, np.nan_to_num(of_item)])
    return Additive("flips_within_margin", f"share of flips within {margin:g} of a tie", rows, _ratio,
                    "no flip of a known margin", "")  # fmt: skip


def flippable_rows(perturbed: Perturbed, operator: str) -> Additive:
    """Share of items whose label changes when no word at all is left, by one operator, as an additive statistic."""
    k = len(perturbed.options)
    before, after = perturbed.full.label, perturbed.empty[perturbed.operators.index(operator)].label
    values = np.where((before < k) & (after <= k), (after != before) & (after < k), np.nan)
    return mean_over_items("flippable_share", "share that the empty input flips", values, without=_NO_LABELS)


def flips_by_label(
    perturbed: Perturbed,
    *,
    side: Side = "without",
    margin: float | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Flip rate of the items of each predicted label.

    Args:
        perturbed: The rows at one step of one method and operator.
        side: ``without`` the words, or ``only`` them.
        margin: As for :func:`flip_rate`.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric, label, higher_is_better`` and Estimate's fields, options in order.

    Undefined:
        A label that is never predicted.
    """
    found, beside = [], []
    for code, label in enumerate(perturbed.options):
        own = perturbed.full.label == code
        score = flip_rows(perturbed, side=side, margin=margin)
        score = score._replace(rows=score.rows[own], name=f"{score.name} of {label}", note="")
        groups = None if perturbed.groups is None else perturbed.groups.filter(pl.Series(own))
        one = estimate_share(score, groups, confidence=confidence, n_boot=n_boot, seed=seed)
        found.append(one if own.any() else replace(one, note=f"{label!r} is never predicted"))
        beside.append({"metric": score.metric, "label": label, "higher_is_better": higher_is_better(score.metric)})
    return estimates_frame(found, beside=beside)
