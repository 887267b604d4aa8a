r"""Comprehensiveness and sufficiency averaged over several sizes of the rationale, and their curves.

Sizes are shares of an item's words, ERASER's by default. There is no term for k = 0, whose drop is 0 by definition,
and the sum is divided by the number of sizes, as ERASER's code does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimates_frame
from dfar_toolkit.metrics.faithfulness.directions import higher_is_better
from dfar_toolkit.metrics.faithfulness.item_means import (
    estimate_items,
    item_means,
    item_rows,
    mean_over_items,
    number_column,
    same_length,
)
from dfar_toolkit.metrics.faithfulness.perturbed import Perturbed, Step, step_rows
from dfar_toolkit.metrics.labels import Codes, Column

Kind = Literal["comprehensiveness", "sufficiency"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
ERASER_SHARES: Final = (0.01, 0.05, 0.1, 0.2, 0.5)

_SAME: Final = 1e-9


def aopc(
    frame: pl.DataFrame | None = None,
    *,
    kind: Kind,
    before: Column = "p_before",
    after: Column | None = None,
    share: Column = "share",
    shares: Sequence[float] = ERASER_SHARES,
    skip_repeated: bool = False,
    item: Column | None = None,
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Area over the perturbation curve: the drop of the label's probability, averaged over sizes of the rationale.

    With $d_{is}$ the drop of item i at the share s of its words (S shares): $\frac1N \sum_i \frac1S \sum_s d_{is}$.
    With ``skip_repeated`` an item's mean is over the sizes that it has: sets that repeat the one before are left out
    (as ferret does), else an item that lacks a size is left out and counted.

    Args:
        frame: Rows, one per item and share (and draw), or None with values.
        kind: ``comprehensiveness`` (words taken away) or ``sufficiency`` (words alone): only the name and direction.
        before: Column or values (R,): probability of the label on the whole input.
        after: Column or values (R,): on the changed one. None: ``p_without``, or ``p_only`` for sufficiency.
        share: Column or values (R,).
        shares: The shares averaged over.
        skip_repeated: Whether items may lack sizes.
        item: Column or ids (R,); None: the column ``item_id``.
        group: Column or values (R,) of the resampling unit.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; higher is better for comprehensiveness, lower for sufficiency.

    Undefined:
        No item has all sizes.

    Raises:
        ValueError: A column is missing, or lengths differ.

    Example:
        >>> rows = pl.DataFrame({"item_id": ["x", "x"], "share": [0.1, 0.2], "p_before": 0.7, "p_without": [0.6, 0.3]})
        >>> round(aopc(rows, kind="comprehensiveness", shares=(0.1, 0.2), ci=None).value, 3)
        0.25

    Reference:
        Samek et al. (2017), IEEE TNNLS 28(11):2660-2673; DeYoung et al. (2020), ERASER, ACL, section 4.2.
    """
    _check(kind, shares)
    found = _columns(frame, kind=kind, before=before, after=after, share=share, item=item, group=group)
    sizes, at = _places(found.share, shares)
    used = sizes >= 0
    if skip_repeated:
        values = over_sizes(found.item[used], sizes[used], found.drop[used], found.n)
    else:
        values = curve_means(found.item, found.drop, at, found.n).mean(axis=1)
    scores = [aopc_score(kind, values, skip_repeated=skip_repeated)]
    return estimate_items(scores, found.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def aopc_curve(
    frame: pl.DataFrame | None = None,
    *,
    kind: Kind,
    before: Column = "p_before",
    after: Column | None = None,
    share: Column = "share",
    shares: Sequence[float] = ERASER_SHARES,
    item: Column | None = None,
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """The drop at every size: the points that :func:`aopc` averages.

    Args:
        frame: As for :func:`aopc`.
        kind: As there.
        before: As there.
        after: As there.
        share: As there.
        shares: As there.
        item: As there.
        group: As there.
        ci: As there.
        confidence: As there.
        n_boot: As there.
        seed: As there.

    Returns:
        Rows ``metric, share, higher_is_better`` and Estimate's fields, one per share.

    Undefined:
        A share that no item has.

    Raises:
        ValueError: As :func:`aopc`.

    Example:
        >>> rows = pl.DataFrame({"item_id": ["x", "x"], "share": [0.1, 0.2], "p_before": 0.75, "p_only": [0.5, 0.25]})
        >>> aopc_curve(rows, kind="sufficiency", shares=(0.1, 0.2), ci=None).select("share", "value").rows()
        [(0.1, 0.25), (0.2, 0.5)]
    """
    _check(kind, shares)
    found = _columns(frame, kind=kind, before=before, after=after, share=share, item=item, group=group)
    points = curve_means(found.item, found.drop, _places(found.share, shares)[1], found.n)
    scores = [mean_over_items(kind, f"{kind} at {s:g}", points[:, at]) for at, s in enumerate(shares)]
    estimates = estimate_items(scores, found.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    beside = [{"metric": kind, "share": float(s), "higher_is_better": higher_is_better(kind)} for s in shares]
    return estimates_frame(estimates, beside=beside)


def aopc_rows(
    perturbed: Perturbed, values: Floats, *, kind: Kind, steps: Sequence[Step], skip_repeated: bool = False
) -> Additive:
    """AOPC of one method and operator as an additive statistic.

    Args:
        perturbed: The rows of one method and operator.
        values: The drop of every row (R,), as of ``comprehensiveness_values`` or ``sufficiency_values``.
        kind: Which drop it is.
        steps: Sizes averaged over.
        skip_repeated: Whether each set of words of an item counts once, however many sizes it is of.

    Returns:
        The statistic over N items.
    """
    masks = [step_rows(perturbed, step) for step in steps]
    if skip_repeated:
        used = np.any(masks, axis=0) if masks else np.zeros(len(values), dtype=bool)
        means = over_sizes(perturbed.item[used], perturbed.k[used], values[used], len(perturbed.items))
    else:
        means = curve_means(perturbed.item, values, masks, len(perturbed.items)).mean(axis=1)
    return aopc_score(kind, means, skip_repeated=skip_repeated)


def area_rows(
    perturbed: Perturbed, values: Floats, ends: tuple[Floats, Floats], *, kind: Kind, shares: Sequence[float]
) -> Additive:
    r"""Area under the curve of drops over the share of words, from 0 to 1, as an additive statistic.

    Args:
        perturbed: The rows of one method and operator.
        values: The drop of every row (R,).
        ends: The drop of every item (N,) at share 0 and at share 1: 0 and the drop to the empty input for
            comprehensiveness, the reverse for sufficiency.
        kind: Which drop it is.
        shares: The shares between, in rising order.

    Returns:
        The statistic over N items, by the trapezoid rule.
    """
    inner = sorted(s for s in shares if _SAME < s < 1 - _SAME)
    masks = [step_rows(perturbed, Step(share=s)) for s in inner]
    points = np.column_stack([ends[0], curve_means(perturbed.item, values, masks, len(perturbed.items)), ends[1]])
    area = np.trapezoid(points, np.array([0.0, *inner, 1.0]), axis=1)
    return mean_over_items(f"area_{kind}", f"area of {kind} over the share of words", area)


def aopc_score(kind: Kind, means: Floats, *, skip_repeated: bool = False) -> Additive:
    """One number per item (N,) as the AOPC over items."""
    note = "each set of words once" if skip_repeated else ""
    return mean_over_items(f"aopc_{kind}", f"AOPC {kind}", means, without="without an answer at every size", note=note)


def curve_means(item: Codes, values: Floats, masks: Sequence[npt.NDArray[np.bool_]], n: int) -> Floats:
    """Mean of the rows of each item under each of S masks (n, S)."""
    columns = [item_means(item[mask], values[mask], n) for mask in masks]
    return np.column_stack(columns) if columns else np.full((n, 0), np.nan)


def over_sizes(item: Codes, size: Codes, values: Floats, n: int) -> Floats:
    """Mean over the sizes of each item of the mean over its rows of that size (n,)."""
    if not len(item):
        return np.full(n, np.nan)
    cells, cell = np.unique(np.stack([item, size]), axis=1, return_inverse=True)
    return item_means(cells[0], item_means(cell.ravel(), values, cells.shape[1]), n)


class _Rows(NamedTuple):
    """Rows read from columns."""

    item: Codes
    n: int
    groups: pl.Series | None
    share: Floats
    drop: Floats


def _columns(
    frame: pl.DataFrame | None,
    *,
    kind: Kind,
    before: Column,
    after: Column | None,
    share: Column,
    item: Column | None,
    group: Column | None,
) -> _Rows:
    given: Column = ("p_without" if kind == "comprehensiveness" else "p_only") if after is None else after
    p, q = number_column("aopc", frame, before, "before"), number_column("aopc", frame, given, "after")
    s = number_column("aopc", frame, share, "share")
    rows = item_rows("aopc", frame, same_length("aopc", {"before": p, "after": q, "share": s}), item=item, group=group)
    return _Rows(rows.item, rows.n, rows.groups, s, p - q)


def _places(share: Floats, shares: Sequence[float]) -> tuple[Codes, list[npt.NDArray[np.bool_]]]:
    """Which of the shares each row is of, -1 for none, and the rows of each."""
    masks = [np.abs(share - s) < _SAME for s in shares]
    place = np.full(len(share), -1, dtype=np.int64)
    for at, mask in enumerate(masks):
        place[mask] = at
    return place, masks


def _check(kind: str, shares: Sequence[float]) -> None:
    if kind not in KINDS:
        raise ValueError(f"aopc: kind must be one of {', '.join(KINDS)}, found {kind!r}")
    if not len(shares) or not all(0 < s <= 1 for s in shares):
        raise ValueError(f"aopc: shares must lie above 0 and up to 1, at least one; found {list(shares)}")
