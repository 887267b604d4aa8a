r"""Would another panel have given the same labels?

Each item's own shares of values are $p_u \sim \mathrm{Dirichlet}(s \pi + n_u)$
(``dirichlet_multinomial``), a fresh panel votes independently given them, and the chance
that a value alone gets most votes is computed exactly (``plurality``). With groups of raters
each group has its own prior and its own posterior on every item, from its own votes alone, independent of the others:
an item that a group never rated is given that group's pooled shares. Within a group raters are taken to be alike: a
panel of another kind of people keeps fewer labels than this says, unless the mix names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.planning.dirichlet_multinomial import prior_of_sums, prior_rows
from dfar_toolkit.agreement.planning.fresh_panel import FreshPanels, read_panels
from dfar_toolkit.agreement.ratings import RatingsLike
from dfar_toolkit.estimate import Formula, Interval, collapse, estimate, estimates_frame

_STEP: Final = 0.01  # of rho, for the slope of the chances
_TIED: Final = "most votes are shared, so the item has no label to keep"


def label_stability(
    ratings: RatingsLike,
    *,
    panel: int | None = None,
    mix: Mapping[str, int] | None = None,
    rater_group: str | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
) -> pl.DataFrame:
    r"""The chance that a fresh panel keeps each item's majority label, ties counted apart.

    With the votes $n_u$ (V,) of item u, label $c_u$ the value that alone has most of them, and fresh votes $y$ of a
    panel of k raters, $y \sim \mathrm{DirMult}(k, s \pi + n_u)$:

        p_same = P($y_{c_u} > y_d$ for all d != $c_u$),   p_tie = P(several values share the lead),
        p_other = 1 - p_same - p_tie

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        panel: Raters of the fresh panel; None: as many as the item has.
        mix: Raters of each group on the fresh panel, e.g. ``{"target": 3, "control": 3}``; needs ``rater_group``.
        rater_group: Column of the rater's group. Without ``mix`` the fresh panel has the item's own composition.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.

    Returns:
        A frame with one row per item: the item, ``label`` (null for a tie), ``n_ratings``, ``p_same``, ``p_tie``,
        ``p_other``, ``note``.

    Undefined:
        p_same and p_other where the item has no label. All chances where no two ratings of any item differ (three of
        three votes everywhere say nothing about dissenters), only one value is in use or no item has two ratings.

    Raises:
        TableError: Missing columns, a rater twice on an item, several questions, more than 200 values, a group without
            ratings.
        ValueError: ``panel``, ``mix`` and ``rater_group`` contradict each other, or a panel beyond 1 to 100.

    Example:
        Alpha is 4/9 here, s = 5/4, pi = (1/2, 1/2): after two votes for "a" the next is "a" with chance
        (5/8 + 2) / (5/4 + 2) = 21/26.

        >>> votes = {"x": "aa", "y": "ab", "z": "bb"}
        >>> rows = [(i, who, v) for i, both in votes.items() for who, v in zip(("ann", "bob"), both)]
        >>> label_stability(rows, panel=1)["p_same"].round(4).to_list()
        [0.8077, nan, 0.8077]

    Reference:
        Mosimann (1962), Biometrika 49:65-82 (the model); the counting is by generating functions.
    """
    found = read_panels(
        ratings, function="label_stability", panel=panel, mix=mix, rater_group=rater_group, item=item, rater=rater,
        value=value,
    )  # fmt: skip
    same, tie, other = _chances(found, found.winners())
    tied = found.label < 0
    label = pl.Series(np.where(tied, 0, found.label))
    nothing = pl.Series([None] * len(tied), dtype=pl.String)
    why = found.note or found.remark
    return pl.DataFrame(
        {
            item: found.cells.items,
            "label": found.cells.values.cast(pl.String).gather(label).zip_with(pl.Series(~tied), nothing),
            "n_ratings": found.cells.n_per_item,
            "p_same": same,
            "p_tie": tie,
            "p_other": other,
            "note": ["; ".join(filter(None, [why, _TIED if lone else ""])) for lone in tied],
        }
    )


def labels_kept(
    ratings: RatingsLike,
    *,
    panel: int | None = None,
    mix: Mapping[str, int] | None = None,
    rater_group: str | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Interval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""The share of labels a fresh panel is expected to keep, to lose in a tie, and to change.

    The mean of p_same, p_tie and p_other of :func:`label_stability` over the items that have a label. The interval
    draws items (or groups) anew; in each draw the strength $\rho$ of each prior is fitted anew, and the chances follow
    it to first order (slope by a central difference of 0.01), while the pooled shares are held.

    Args:
        ratings: As :func:`label_stability`.
        panel: As :func:`label_stability`.
        mix: As :func:`label_stability`.
        rater_group: As :func:`label_stability`.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: Kind of interval, or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Three rows (label kept, tie, other label) with the fields of Estimate; n = items with a label.

    Undefined:
        As :func:`label_stability`; no item has a label.

    Raises:
        TableError: As :func:`label_stability`.
        ValueError: As :func:`label_stability`.

    Example:
        >>> votes = {"x": "aa", "y": "ab", "z": "bb"}
        >>> rows = [(i, who, v) for i, both in votes.items() for who, v in zip(("ann", "bob"), both)]
        >>> labels_kept(rows, panel=1, ci=None)["value"].round(4).to_list()
        [0.8077, 0.0, 0.1923]
    """
    found = read_panels(
        ratings, function="labels_kept", panel=panel, mix=mix, rater_group=rater_group, item=item, rater=rater,
        value=value, group=group,
    )  # fmt: skip
    labelled = found.label >= 0
    chances = _chances(found, found.winners())
    slopes = [_slopes(found, k) for k in range(len(found.priors))]
    strength = [prior_rows(votes) for votes in found.panels.votes]
    n_tied = int((~labelled).sum())
    remark = f"{n_tied} item{'s' if n_tied != 1 else ''} without a label (tied) left out" if n_tied else ""
    estimates = []
    for k, name in enumerate(("label kept", "tie", "other label")):
        own = [np.where(labelled, column, 0.0) for column in (chances[k], *(slope[k] for slope in slopes))]
        rows = np.column_stack([labelled, *own, *strength])
        one = estimate(
            name, collapse(rows, groups=found.cells.group), _mean_chance(found), ci=ci, confidence=confidence,
            n_boot=n_boot, seed=seed, undefined=found.note or "no item has a label",
        )  # fmt: skip
        note = "; ".join(filter(None, [one.note, found.remark, remark, *found.cells.notes]))
        estimates.append(replace(one, n=int(labelled.sum()), note=note))
    return estimates_frame(estimates)


def _chances(found: FreshPanels, winners: Floats) -> tuple[Floats, Floats, Floats]:
    """p_same, p_tie, p_other of each item (N,)."""
    tie = np.clip(1 - winners.sum(axis=1), 0.0, 1.0)
    tie = np.where(tie < 1e-14 * winners.shape[1], 0.0, tie)  # rounding of the sum
    same = np.where(found.label >= 0, winners[np.arange(len(winners)), found.label], np.nan)
    return same, tie, np.clip(1 - same - tie, 0.0, 1.0)


def _slopes(found: FreshPanels, which: int) -> tuple[Floats, Floats, Floats]:
    """Derivatives of the chances by the strength of one group's prior, each (N,)."""
    rho = float(found.priors[which].rho[0])
    ends = (max(0.0, rho - _STEP), min((1 + rho) / 2, rho + _STEP))
    low, high = (
        _chances(
            found,
            found.winners(
                tuple(p._replace(rho=np.array([end])) if k == which else p for k, p in enumerate(found.priors))
            ),
        )
        for end in ends
    )
    width = ends[1] - ends[0]
    return (high[0] - low[0]) / width, (high[1] - low[1]) / width, (high[2] - low[2]) / width


def _mean_chance(found: FreshPanels) -> Formula:
    """Column sums (labels, chance, slopes (G,), rows of the priors) -> mean chance, its priors fitted anew."""
    n_groups, width = len(found.priors), 1 + 2 * len(found.cells.values)

    def chance(sums: Floats) -> Floats:
        total = sums[:, 1].copy()
        for k, prior in enumerate(found.priors):
            start = 2 + n_groups + k * width
            total += sums[:, 2 + k] * (prior_of_sums(sums[:, start : start + width]).rho - prior.rho[0])
        return np.clip(total / sums[:, 0], 0.0, 1.0)

    return chance
