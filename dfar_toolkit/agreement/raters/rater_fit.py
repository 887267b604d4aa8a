r"""How well each rater agrees with the rest, and who shares too few items with anybody to say so.

The agreement with the rest of one rating of item u, the value c by rater r, is the share of the other ratings of the
item that have the same value, $s = (n_{uc} - 1) / (m_u - 1)$. Cost: one sort of the ratings; with a bootstrap also,
for each rater, draws times the rater's distinct pairs (own value, values on the item).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import polars as pl
import scipy.sparse as sparse

from dfar_toolkit.agreement.cells import Cells, cell_slices
from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.marks import thin
from dfar_toolkit.agreement.raters.shared_items import item_patterns, share_with_rest, shared_items, with_keys
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.estimate import Estimate, Interval, collapse, estimate, estimate_by_weights, estimates_frame

Fit = Literal["percent", "kappa"]

NOBODY_ELSE: Final = "nobody else rated an item of this rater"
_ONE_VALUE: Final = "the rater and the rest use one and the same value, so agreement beyond chance has no meaning"


def rater_agreement(
    ratings: RatingsLike,
    *,
    statistic: Fit = "percent",
    min_overlap: int = 10,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Interval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> pl.DataFrame:
    r"""Agreement of each rater with the other raters of the same items, plain or beyond chance.

    Over the $N_r$ items u of rater r that somebody else rated too, $n_{uc}$ ratings of value c and $m_u$ in all, with
    the rater's value $x_u$:

        $p_r = \frac{1}{N_r} \sum_u \frac{n_{u x_u} - 1}{m_u - 1}$,
        $\kappa_r = \frac{p_r - e_r}{1 - e_r}$,   $e_r = \sum_c p_{rc} q_{rc}$

    with $p_{rc}$ the rater's share of value c on these items and $q_{rc}$ the mean over them of the share of c among
    the other ratings. For two raters $\kappa_r$ is Cohen's kappa.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        statistic: ``percent`` ($p_r$) or ``kappa`` ($\kappa_r$).
        min_overlap: Items with another rating below which the note says that the overlap is too little.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: Kind of interval (over the rater's items, these raters fixed), or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        One row per rater, sorted: the columns of ``by``, ``rater``, Estimate's fields; n = items of the rater that
        somebody else rated too. Agreement with the rest is no measure of being right.

    Undefined:
        Nobody else rated an item of the rater; kappa also where the rater and the rest use one value only.

    Raises:
        TableError: Missing columns, a rater twice on an item, several questions, unknown raters.

    Example:
        Of cat's two items ann agrees on one, and bob on none.

        >>> given = {"ann": "AA", "bob": "BA", "cat": "AB"}
        >>> rows = [(item, who, values[item]) for who, values in given.items() for item in (0, 1)]
        >>> rater_agreement(rows, ci=None).select("rater", "value", "n").rows()
        [('ann', 0.5, 2), ('bob', 0.25, 2), ('cat', 0.25, 2)]

    Reference:
        Schouten (1982), Stat. Neerl. 36:45-61 (kappa of one observer with the others; equal for complete data).
    """
    if statistic not in get_args(Fit):
        raise ValueError(f"rater_agreement: statistic must be percent or kappa, found {statistic!r}")
    how = _How(ci, confidence, n_boot, seed)
    slices = cell_slices(ratings, item=item, rater=rater, value=value, group=group, by=by)
    return with_keys([(part.key, _of_slice(part.cells, statistic, how, min_overlap)) for part in slices], by)


def overlap_note(n: int, min_overlap: int) -> str:
    """What to say of a rater with too few items (n) that somebody else rated too."""
    return f"too little overlap: {n} item{'s' if n != 1 else ''} shared with others, {min_overlap} wanted"


class _How(NamedTuple):
    ci: Interval | None
    confidence: float
    n_boot: int
    seed: int


def _of_slice(cells: Cells, statistic: Fit, how: _How, min_overlap: int) -> pl.DataFrame:
    """One row per rater of a slice, those without a shared item too."""
    own = shared_items(cells)
    share = share_with_rest(own)
    order = np.argsort(own.rater, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(own.rater, minlength=len(own.raters)))[:-1])
    kappa = _kappas(own, share, how) if statistic == "kappa" else None
    found = []
    for entries in parts[: len(own.raters)]:
        one = kappa(entries) if kappa is not None else _percent(own, share, entries, how)
        notes = [NOBODY_ELSE if one.n == 0 else one.note]
        if one.n < min_overlap:
            notes.append(overlap_note(one.n, min_overlap))
        found.append(replace(one, note="; ".join(filter(None, [*notes, *own.notes]))))
    return pl.concat([own.raters.alias("rater").to_frame(), estimates_frame(found)], how="horizontal")


def _percent(cells: Cells, share: Floats, entries: Ints, how: _How) -> Estimate:
    rows = np.column_stack([share[entries], np.ones(len(entries))])
    groups = None if cells.group is None else pl.Series(cells.group[cells.item[entries]])
    return estimate(
        "agreement with the rest", collapse(rows, groups=groups), lambda sums: sums[:, 0] / sums[:, 1],
        ci=how.ci, confidence=how.confidence, n_boot=how.n_boot, seed=how.seed,
    )  # fmt: skip


def _kappas(cells: Cells, share: Floats, how: _How) -> Callable[[Ints], Estimate]:
    """From a rater's ratings to their kappa with the rest."""
    shape = (len(cells.items), len(cells.values))
    counts = sparse.csr_array((np.ones(len(cells.item)), (cells.item, cells.value)), shape=shape)
    patterns, others = item_patterns(cells), cells.n_per_item - 1.0
    most = np.bincount(cells.value, minlength=1).argmax()
    other = np.bincount(cells.item, cells.value != most, minlength=shape[0]) > 0
    unit = np.arange(shape[0]) if cells.group is None else cells.group

    def kappa(entries: Ints) -> Estimate:
        item, code = cells.item[entries], cells.value[entries]
        # Items alike in the rater's value and in everybody's are one row.
        key = patterns[item] * max(1, shape[1]) + code
        _, first, where, times = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
        own = sparse.csr_array((np.ones(len(first)), (np.arange(len(first)), code[first])), (len(first), shape[1]))
        rest = sparse.csr_array(sparse.diags_array(1 / others[item[first]]) @ (counts[item[first]] - own))
        used = np.flatnonzero((own.sum(axis=0) > 0) & (rest.sum(axis=0) > 0))
        dense = np.column_stack([share[entries][first], np.ones(len(first))])
        narrow = [sparse.csr_array(table[:, used]) for table in (own, rest)]
        rows = _Rows(dense, narrow[0], narrow[1], times.astype(np.float64), "items")
        if cells.group is not None:
            rows = _by_group(rows, cells.group[item], where)
        found = estimate_by_weights(
            "kappa with the rest", rows.times, rows.kappa, n=len(entries), unit=rows.unit,
            ci=how.ci, confidence=how.confidence, n_boot=how.n_boot, seed=how.seed, undefined=_ONE_VALUE,
        )  # fmt: skip
        short = (
            []
            if np.isnan(found.low)
            else thin(len(np.unique(unit[item])), len(np.unique(unit[item[other[item]]])), rows.unit)
        )
        return replace(found, note="; ".join(filter(None, [found.note, *short])))

    return kappa


class _Rows(NamedTuple):
    """Units of one rater: agreement and number (U, 2), the rater's and the others' values (U, K), how often (U,)."""

    dense: Floats
    own: sparse.csr_array
    rest: sparse.csr_array
    times: Floats
    unit: str

    def kappa(self, weights: Floats) -> Floats:
        agreed, n = (weights @ self.dense).T
        by_chance = ((weights @ self.own) * (weights @ self.rest)).sum(axis=1) / n**2
        value: Floats = (agreed / n - by_chance) / (1 - by_chance)
        return value


def _by_group(rows: _Rows, group: Ints, where: Ints) -> _Rows:
    """The rows added up by group, where a group holds several of the rater's items."""
    found, owner = np.unique(group, return_inverse=True)
    if len(found) == len(group):
        return rows
    shape = (len(found), len(rows.times))
    belongs = sparse.csr_array((np.ones(len(group)), (owner, where)), shape=shape)
    own, rest = (sparse.csr_array(belongs @ table) for table in (rows.own, rows.rest))
    return _Rows(np.asarray(belongs @ rows.dense), own, rest, np.ones(len(found)), "groups")
