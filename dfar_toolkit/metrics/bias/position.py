r"""Position and letter bias: does the answer to an item change with the order in which its options are shown?

Options shown as A, B, C, ... stand at positions 1, 2, 3, ...: the pull of a letter is that of its position. Only items
shown in two orders or more say anything. Cost grows with the answers times the options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Estimate, Floats, estimate_together, estimates_frame, mean_of, proportion
from dfar_toolkit.metrics.bias.quadratic_sign_flip import zero_mean_test
from dfar_toolkit.metrics.bias.shown_orders import ShownOrders, read_orders

_NONE: Final = "no item is shown in two orders and answered in all of them"


def position_consistency(
    frame: pl.DataFrame,
    *,
    item: str = "item_id",
    options: str = "options",
    pred: str = "label",
    group: str | None = None,
    neutral: Sequence[str] = (),
    confidence: float = 0.95,
) -> Estimate:
    r"""Share of items whose answer, by name, is the same in every order in which the options were shown.

    Args:
        frame: One row per item and order.
        item: Column of the item.
        options: Column with the list of options in the order shown.
        pred: Column with the option answered, by name; null is no answer.
        group: Column of the resampling unit; None means ``group`` where the frame has it, else the item.
        neutral: Answers that stand at no position ("tie").
        confidence: Two-sided coverage of Wilson's interval.

    Returns:
        The estimate over items answered in all of two or more orders; the others are counted in the note.

    Undefined:
        No such item.

    Raises:
        TableError: As :func:`~dfar_toolkit.metrics.bias.shown_orders.read_orders`.

    Example:
        Item 1 is answered "x" both times, item 2 by whatever stands first.

        >>> frame = pl.DataFrame({"item_id": [1, 1, 2, 2], "options": [["x", "y"], ["y", "x"]] * 2,
        ...                       "label": ["x", "x", "x", "y"]})
        >>> position_consistency(frame).value
        0.5

    Reference:
        Zheng et al. (2023), Judging LLM-as-a-Judge with MT-Bench, arXiv 2306.05685, section 3.3 (two orders).
    """
    shown = read_orders(
        "position_consistency", frame, item=item, options=options, pred=pred, group=group, neutral=neutral
    )
    return _of_complete(shown, "position consistency", shown.same(), confidence)


def _of_complete(shown: ShownOrders, name: str, hits: np.typing.NDArray[np.bool_], confidence: float) -> Estimate:
    """A share of the items answered in every order."""
    keep = shown.complete()
    groups = None if shown.groups is None else shown.groups.filter(pl.Series(keep))
    found = proportion(name, hits[keep], groups=groups, confidence=confidence)
    left = len(keep) - int(keep.sum())
    lost = f"{left} of {len(keep)} items not answered in every order left out" if left else ""
    own = found.note if keep.any() else _NONE
    return replace(found, note="; ".join(filter(None, [own, lost, shown.note])))


def position_bias(
    frame: pl.DataFrame,
    *,
    item: str = "item_id",
    options: str = "options",
    pred: str = "label",
    group: str | None = None,
    neutral: Sequence[str] = (),
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_perm: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""How consistent the answers are under permuted options, and which position pulls them.

    With $s_{ij}$ the share of item i's answers that stand at position j, and $e_{ij}$ what that share would be on
    average if i's answers were dealt out anew among the orders it was shown in (1/K where every option stands equally
    often at every position, as in all rotations, or both orders of two):

        position_share: mean of $s_{ij}$,   position_excess: mean of $s_{ij} - e_{ij}$

    ``always_at``: share of items answered by position j in every order although the answers differ.

    Args:
        frame: One row per item and order.
        item: Column of the item.
        options: Column with the list of options in the order shown.
        pred: Column with the option answered, by name; null is no answer.
        group: Column of the resampling unit; None means ``group`` where the frame has it, else the item.
        neutral: Answers that stand at no position ("tie").
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        n_perm: Random sign patterns of the test.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` (position_consistency; position_share, position_excess, always_at for each position;
        position_pull_p), ``position`` (from 1, else null) and Estimate's fields. position_pull_p tests that all
        excesses are 0, turning signs of items or groups: exact for two orders an item, else for large samples.

    Undefined:
        No item is shown, and answered at a position, in two orders.

    Raises:
        TableError: As :func:`~dfar_toolkit.metrics.bias.shown_orders.read_orders`.

    Example:
        >>> frame = pl.DataFrame({"item_id": [1, 1, 2, 2], "options": [["x", "y"], ["y", "x"]] * 2,
        ...                       "label": ["x", "x", "x", "y"]})
        >>> position_bias(frame, ci=None).filter(pl.col("position") == 1).select("metric", "value").rows()
        [('position_share', 0.75), ('position_excess', 0.25), ('always_at', 0.5)]

    Reference:
        Zheng et al. (2024), Large Language Models Are Not Robust Multiple Choice Selectors, ICLR, arXiv 2309.03882.
    """
    shown = read_orders("position_bias", frame, item=item, options=options, pred=pred, group=group, neutral=neutral)
    shares, expected, keep = _shares(shown)
    groups = None if shown.groups is None else shown.groups.filter(pl.Series(keep))
    left = len(keep) - int(keep.sum())
    lost = f"{left} of {len(keep)} items answered at a position in fewer than two orders left out" if left else ""
    note = "; ".join(filter(None, [lost, shown.note]))
    scores = []
    for j in range(shares.shape[1]):
        for metric, x in (("position_share", shares[:, j]), ("position_excess", shares[:, j] - expected[:, j])):
            scores.append(mean_of(metric, f"{metric.replace('_', ' ')} at {j + 1}", x, undefined=_NONE, note=note))
    found = estimate_together(scores, groups=groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    rows: list[tuple[str, int | None, Estimate]] = [
        ("position_consistency", None, _of_complete(shown, "position consistency", shown.same(), confidence))
    ]
    for j in range(shares.shape[1]):
        rows += [("position_share", j + 1, found[2 * j]), ("position_excess", j + 1, found[2 * j + 1])]
        always = _of_complete(shown, f"answers differ, all at position {j + 1}", shown.stuck() == j, confidence)
        rows.append(("always_at", j + 1, always))
    p = zero_mean_test(shares - expected, name="position pull", groups=groups, n_perm=n_perm, seed=seed)
    rows.append(("position_pull_p", None, replace(p, note="; ".join(filter(None, [p.note, note])))))
    return _frame(rows)


def _frame(rows: Sequence[tuple[str, int | None, Estimate]]) -> pl.DataFrame:
    beside = pl.DataFrame(
        {"metric": [r[0] for r in rows], "position": [r[1] for r in rows]},
        schema={"metric": pl.String, "position": pl.Int64},
    )
    return pl.concat([beside, estimates_frame([r[2] for r in rows])], how="horizontal")


def _shares(shown: ShownOrders) -> tuple[Floats, Floats, np.typing.NDArray[np.bool_]]:
    """Shares by position and those expected (J, K) of items answered at a position in two orders, and which (I,)."""
    k = shown.shown.shape[1]
    standing = shown.position >= 0
    n = shown.per_item(standing)
    keep = n >= 2
    at = (shown.position[:, None] == np.arange(k)) * 1.0
    # Options numbered within their item: place[e, j] is the rank of the option shown at j among the item's own.
    place = np.argsort(np.argsort(shown.shown, axis=1), axis=1)
    chosen = np.zeros((len(place), k))
    rows = np.flatnonzero(standing)
    chosen[rows, place[rows, shown.position[rows]]] = 1.0
    answers = shown.per_item(chosen)
    expected = np.zeros((len(shown.items), k))
    for option in range(k):
        stands = shown.per_item((place == option) * standing[:, None])
        expected += answers[:, [option]] * stands
    with np.errstate(divide="ignore", invalid="ignore"):
        shares, dealt = shown.per_item(at) / n[:, None], expected / n[:, None] ** 2
    return shares[keep], dealt[keep], keep
