"""How many top words must go before the label changes: DFMIT (does one suffice?) and DFFOT (which fraction?)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.faithfulness.flips import flip_rows, flip_values
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

_WITHOUT = "without a size at which the label is known"


class _Firsts(NamedTuple):
    """Of every curve (C,): its item, the first fraction at which the label changes, and the fraction tried before."""

    item: Codes
    fraction: Floats
    before: Floats
    never: Floats


def dffot(
    frame: pl.DataFrame | None = None,
    *,
    fraction: Column = "fraction",
    flipped: Column = "flipped",
    draw: Column | None = None,
    item: Column | None = None,
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Decision flip, fraction of tokens: mean fraction of the top words taken away when the label first changes.

    $\frac1N \sum_i \min \{k / n_i : \hat y(x_i \setminus top_k) \ne \hat y(x_i)\}$, 1 where the label never changes.
    Only the sizes that were tried are known: the change lies between the one named and the one before, and the note
    says how far down the mean could lie.

    Args:
        frame: Rows, one per item and size (and draw), or None with values.
        fraction: Column or values (R,): share of the item's words that were taken away.
        flipped: Column or values (R,): whether the label changed (0, 1, or a boolean); null where unknown.
        draw: Column or values (R,): which of several curves of the item; None: it has one.
        item: Column or ids (R,); None: the column ``item_id``.
        group: Column or values (R,) of the resampling unit.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; lower is better.

    Undefined:
        No item has a size at which the label is known.

    Raises:
        ValueError: A column is missing, or lengths differ.

    Example:
        The first item flips at half of its words, the second never.

        >>> rows = pl.DataFrame({"item_id": list("xxyy"), "fraction": [0.25, 0.5] * 2, "flipped": [0, 1, 0, 0]})
        >>> dffot(rows, ci=None).value
        0.75

    Reference:
        Chrysostomou and Aletras (2021), ACL-IJCNLP, section 4; Serrano and Smith (2019), ACL.
    """
    share = number_column("dffot", frame, fraction, "fraction")
    change = number_column("dffot", frame, flipped, "flipped")
    curve = np.zeros(len(share)) if draw is None else number_column("dffot", frame, draw, "draw")
    rows = item_rows("dffot", frame, same_length("dffot", {"fraction": share, "flipped": change, "draw": curve}),
                     item=item, group=group)  # fmt: skip
    order = np.lexsort((share, curve, rows.item))
    score = _score(_firsts(rows.item[order], curve[order], share[order], change[order]), rows.n)
    return estimate_items([score], rows.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def dffot_rows(perturbed: Perturbed, *, steps: Sequence[Step] | None = None) -> Additive:
    """DFFOT of one method and operator as an additive statistic.

    Args:
        perturbed: The rows of one method and operator.
        steps: The sizes looked at; None: all numbers of words that were taken away. Methods are comparable on the same
            sizes only: a finer grid finds earlier changes.

    Returns:
        The statistic over N items.
    """
    keep = perturbed.k > 0
    if steps is not None:
        keep = keep & np.any([step_rows(perturbed, step) for step in steps], axis=0)
    p = perturbed.take(keep)
    n_words = p.n_words[p.item].astype(np.float64)
    fraction = np.divide(p.k, n_words, out=np.full(len(p.k), np.nan), where=n_words > 0)
    change = np.where(np.isnan(fraction), np.nan, flip_values(p))
    return _score(_firsts(p.item, p.draw.astype(np.float64), fraction, change), len(p.items))


def dfmit_rows(perturbed: Perturbed, *, margin: float | None = None) -> Additive:
    """Decision flip, most important token: share of items that change when their single top word goes.

    Args:
        perturbed: The rows of one method and operator.
        margin: As for :func:`~dfar_toolkit.metrics.faithfulness.flips.flip_rate`.

    Returns:
        The statistic over N items; of single items :func:`~dfar_toolkit.metrics.faithfulness.flips.flip_rate` is the
        same number. Higher is better.
    """
    score = flip_rows(perturbed.at(Step(k=1)), margin=margin)
    return score._replace(metric="dfmit", name="DFMIT (share flipped by the top word)")


def _firsts(item: Codes, draw: Floats, fraction: Floats, change: Floats) -> _Firsts:
    """The first change of every curve, of rows sorted by item, draw and fraction."""
    known = ~np.isnan(change)
    item, draw, fraction, flip = item[known], draw[known], fraction[known], change[known] > 0
    if not len(item):
        return _Firsts(item, fraction, fraction, fraction)
    new = np.append(True, (np.diff(item) != 0) | (np.diff(draw) != 0))
    starts = np.flatnonzero(new)
    previous = np.where(new, 0.0, np.append(0.0, fraction[:-1]))
    first = np.minimum.reduceat(np.where(flip, fraction, np.inf), starts)
    before = np.minimum.reduceat(np.where(flip, previous, np.inf), starts)
    last = np.maximum.reduceat(fraction, starts)
    never = np.isinf(first)
    return _Firsts(
        item[starts], np.where(never, 1.0, first), np.where(never, last, before), never.astype(np.float64)
    )  # fmt: skip


def _score(firsts: _Firsts, n: int) -> Additive:
    means, lower, never = (
        item_means(firsts.item, values, n, canonical=True)
        for values in (firsts.fraction, firsts.before, firsts.never)
    )  # fmt: skip
    known = ~np.isnan(means)
    note = ""
    if known.any():
        note = (
            f"at the sizes tried; between them it could be as low as {lower[known].mean():.3f}; "
            f"never changed on {100 * never[known].mean():.1f} % (counted 1)"
        )
    return mean_over_items("dffot", "DFFOT (fraction of words until the label changes)", means, without=_WITHOUT,
                           note=note)  # fmt: skip
