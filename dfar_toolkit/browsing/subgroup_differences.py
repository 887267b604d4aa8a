r"""Two runs on the same items, subgroup by subgroup: where is one more often right than the other?

Subgroups are named beforehand (``subgroup_bands``), so all of them are one family of tests and none is chosen by its
result: Holm's p over every subgroup shown. The largest of many differences is large by luck too; that is what the
correction is for, and why the intervals, which are of each subgroup alone, must not be read as if it stood alone.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
import polars as pl

from dfar_toolkit.browsing.filter_conditions import Mask
from dfar_toolkit.browsing.group_codes import group_codes
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows
from dfar_toolkit.browsing.subgroup_bands import COLUMNS, Subgroup, partitions
from dfar_toolkit.browsing.unit_sums import unit_sums
from dfar_toolkit.estimate import Estimate, Patterns, estimate, estimates_frame
from dfar_toolkit.metrics.judging.multiple_testing import holm
from dfar_toolkit.metrics.paired import fair_coin_tail, sign_flip_test

_SCORED: Final = ("right", "wrong", "unparsed", "failed")
_BESIDE: Final = {
    "about": pl.String, "subgroup": pl.String, "filter": pl.String, "accuracy_a": pl.Float64, "accuracy_b": pl.Float64,
    "both": pl.Int64, "only_a": pl.Int64, "only_b": pl.Int64, "neither": pl.Int64, "p_value": pl.Float64,
    "test": pl.String, "p_holm": pl.Float64,
}  # fmt: skip
_WHOLE: Final = Subgroup("all", "all items that both answered", ItemFilter())


def subgroup_differences(
    index: ItemIndex,
    run_a: str,
    run_b: str,
    *,
    wanted: ItemFilter | None = None,
    min_items: int = 10,
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_perm: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Differences of accuracy of two runs on the labelled items that both have an output for, in all and by subgroup.

    An output without a label counts as not right.

    Args:
        index: The items.
        run_a: The run that is subtracted.
        run_b: The run that it is subtracted from.
        wanted: Items to look among; None means all.
        min_items: Items that a subgroup needs to be looked at.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws over groups.
        n_perm: Random sign patterns where there are too many to try all.
        seed: Seed of draws and signs.

    Returns:
        As :func:`subgroup_differences_of`.

    Raises:
        ValueError: There is no such run, or it is the same twice.
    """
    for run in (run_a, run_b):
        if run not in index.runs:
            found = ", ".join(index.runs) or "none"
            raise ValueError(f"subgroup_differences: there is no run {run!r}; found {found}")
    if run_a == run_b:
        raise ValueError(f"subgroup_differences: wanted two different runs, found {run_a!r} twice")
    states = [index.column(f"state {run}") for run in (run_a, run_b)]
    labelled = index.column("label").is_not_null()
    common = (states[0].is_in(_SCORED) & states[1].is_in(_SCORED) & labelled).to_numpy()
    if wanted is not None and wanted != ItemFilter():
        chosen = np.zeros(len(index), dtype=bool)
        chosen[found_rows(index, wanted).rows] = True
        common = common & chosen
    kept = [*states, group_codes(index), *(index.column(name) for name in COLUMNS)]
    kept = kept if common.all() else [column.filter(pl.Series(common)) for column in kept]
    right = [(state == "right").alias(name) for name, state in zip(("a_right", "b_right"), kept[:2], strict=True)]
    return subgroup_differences_of(
        pl.DataFrame([*right, kept[2].alias("group"), *kept[3:]]), min_items=min_items, confidence=confidence,
        n_boot=n_boot, n_perm=n_perm, seed=seed,
    )  # fmt: skip


def subgroup_differences_of(
    frame: pl.DataFrame,
    *,
    min_items: int = 10,
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_perm: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""As :func:`subgroup_differences`, of any items. Cost: a pass over the items for each of seven partitions.

    With $S$ the items of a subgroup, $a_i, b_i \in \{0, 1\}$ whether each run has item i right:

        $d_S = \frac{1}{|S|} \sum_{i \in S} (b_i - a_i)$

    with a percentile bootstrap over groups. p is the exact McNemar test where no two items of S share a group, else
    that of signs flipped group by group; Holm corrects it over all subgroups.

    Args:
        frame: ``a_right, b_right, group`` and ``subgroup_bands.COLUMNS`` of every item.
        min_items: Items that a subgroup needs to be looked at; it depends on no answer.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws over groups.
        n_perm: Random sign patterns where there are too many to try all.
        seed: Seed of draws and signs.

    Returns:
        First a row of all items (``about`` is ``all``, without ``p_holm``: it is no part of the family), then one per
        subgroup: ``about, subgroup`` (words), ``filter`` (the query that opens it as JSON; null where none does),
        ``accuracy_a, accuracy_b``, the counts ``both, only_a, only_b, neither`` of right answers, ``p_value, test,
        p_holm`` and the fields of Estimate of second minus first. ``n`` counts items.

    Undefined:
        No items: ``nan``. Of one group alone there is no interval, and the least p of a test is 1.

    Raises:
        ValueError: ``min_items`` below 1.
    """
    if min_items < 1:
        raise ValueError(f"subgroup_differences_of: min_items must be at least 1, found {min_items}")
    a, b = (frame[name].to_numpy().astype(bool, copy=False) for name in ("a_right", "b_right"))
    counts: dict[str, Mask] = {"both": a & b, "only_a": a & ~b, "only_b": b & ~a}
    groups = frame["group"]
    everything = unit_sums(groups, np.zeros(len(frame), dtype=np.int64), counts)
    cells = [(_WHOLE, everything.get(0, Patterns(np.empty((0, 4)), np.empty(0), 0, "items")))]
    for subgroups, codes in partitions(frame, groups):
        units = unit_sums(groups, codes, counts)
        cells += [(one, units[k]) for k, one in enumerate(subgroups) if k in units and units[k].n >= min_items]
    found = [_difference(units, confidence, n_boot, seed) for _, units in cells]
    beside = [_row(one, units, n_perm, seed) for one, units in cells]
    corrected = holm([row["p_value"] for row in beside[1:]]).tolist()
    rows = [row | {"p_holm": p} for row, p in zip(beside, [None, *corrected], strict=True)]
    return pl.concat([pl.DataFrame(rows, schema=_BESIDE), estimates_frame(found)], how="horizontal")


def _difference(units: Patterns, confidence: float, n_boot: int, seed: int) -> Estimate:
    return estimate(
        "difference of accuracy", units, lambda s: (s[:, 2] - s[:, 1]) / s[:, 3], confidence=confidence, n_boot=n_boot,
        seed=seed, undefined="no items",
    )  # fmt: skip


def _row(one: Subgroup, units: Patterns, n_perm: int, seed: int) -> dict[str, Any]:
    both, only_a, only_b, n = (int(total) for total in units.times @ units.rows)
    p, test = _p_value(units, only_a, only_b, n_perm, seed)
    query = None if one.wanted is None else json.dumps(one.wanted.to_query(), ensure_ascii=False)
    nan = float("nan")
    return {
        "about": one.about, "subgroup": one.words, "filter": query,
        "accuracy_a": (both + only_a) / n if n else nan, "accuracy_b": (both + only_b) / n if n else nan,
        "both": both, "only_a": only_a, "only_b": only_b, "neither": n - both - only_a - only_b,
        "p_value": p, "test": test,
    }  # fmt: skip


def _p_value(units: Patterns, only_a: int, only_b: int, n_perm: int, seed: int) -> tuple[float, str]:
    """That both runs are right equally often, and the name of the test."""
    if not units.n:
        return float("nan"), "none"
    if units.unit == "items":
        return min(1.0, 2 * fair_coin_tail(min(only_a, only_b), only_a + only_b)), "exact McNemar"
    sums = np.repeat(units.rows[:, 2] - units.rows[:, 1], units.times.astype(np.int64))
    if not sums.any():
        return 1.0, "sign-flip by group, exact"
    found = sign_flip_test(sums[sums != 0], n_perm=n_perm, seed=seed)
    return found.value, found.method.replace("by item", "by group")
