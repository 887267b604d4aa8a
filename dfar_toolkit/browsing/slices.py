r"""Error slices: found on one half of the groups, estimated and tested on the other.

Whoever looks for the worst slice finds one in noise too. So the groups are split in two at random. On the first half
every candidate (a label, source, kind of leak, band of length or disagreement, a word of the statement, and pairs of
these) is ranked by the difference of error rates inside and outside of it; the few at the top are then estimated on the
second half, which had no part in choosing them, with intervals and Holm's p over those few. A group stands in one
half only.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.browsing.filter_conditions import Mask
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows
from dfar_toolkit.browsing.slice_candidates import Candidate, candidates
from dfar_toolkit.browsing.slice_test import slice_p_values
from dfar_toolkit.estimate import Estimate, Floats, collapse, estimate, estimates_frame
from dfar_toolkit.metrics.judging.multiple_testing import holm

_ERRORS: Final = ("wrong", "unparsed", "failed")
_LOOKED_AT: Final = ("right", *_ERRORS)
_COLUMNS: Final = ("group", "label", "source", "leak_kind", "length", "disagreement", "statement")
_BESIDE: Final = {
    "slice": pl.String, "filter": pl.String, "found_difference": pl.Float64, "found_n": pl.Int64,
    "error_inside": pl.Float64, "error_outside": pl.Float64, "p_value": pl.Float64, "p_holm": pl.Float64,
}  # fmt: skip


class _Slice(NamedTuple):
    wanted: ItemFilter
    mask: Mask
    difference: float
    n: int


def error_slices(
    index: ItemIndex,
    run: str,
    *,
    wanted: ItemFilter | None = None,
    n_slices: int = 10,
    min_items: int = 20,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Where a run errs most: slices found on one half of the groups and estimated on the other.

    Looked at are items with a label that the run has an output for; an output without a label is an error.

    Args:
        index: The items.
        run: The run.
        wanted: Items to look among; None means all.
        n_slices: Slices that are tested, at most.
        min_items: Items that a slice has in the first half, at least (and outside of it).
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws over groups.
        seed: Seed of the halves and draws.

    Returns:
        As :func:`slices_of`.

    Raises:
        ValueError: There is no such run.
    """
    if run not in index.runs:
        raise ValueError(f"error_slices: there is no run {run!r}; found {', '.join(index.runs) or 'none'}")
    rows = found_rows(index, wanted or ItemFilter()).rows
    frame = index.frame([*_COLUMNS, f"state {run}"])[rows.astype(np.int64)].rename({f"state {run}": "state"})
    frame = frame.filter(pl.col("state").is_in(_LOOKED_AT), pl.col("label").is_not_null())
    frame = frame.with_columns(pl.col("state").is_in(_ERRORS).alias("wrong")).drop("state")
    return slices_of(frame, n_slices=n_slices, min_items=min_items, confidence=confidence, n_boot=n_boot, seed=seed)


def slices_of(
    frame: pl.DataFrame,
    *,
    n_slices: int = 10,
    min_items: int = 20,
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_perm: int = 1000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Slices of any items with an error each.

    With $I$ the items of the second half inside a slice, $O$ those outside, $w_i$ whether i is wrong:

        $d = \frac{1}{|I|} \sum_I w_i - \frac{1}{|O|} \sum_O w_i$

    The test is that of ``slice_test.slice_p_values``.

    Args:
        frame: ``group, wrong`` and the columns of ``slice_candidates.candidates``.
        n_slices: Slices that are tested, at most.
        min_items: Items inside and outside, at least, in the first half.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws over groups.
        n_perm: How often outcomes are dealt anew in the test.
        seed: Seed of everything random.

    Returns:
        One row per slice, in the order of the first half: ``slice`` in words, ``filter`` (the query that opens it, as
        JSON), ``found_difference`` and ``found_n`` of the first half, then of the second ``error_inside,
        error_outside, p_value, p_holm`` and Estimate's fields of the difference. No rows where nothing was found.

    Undefined:
        A slice without items in the second half, or with all of them: ``nan``, and no p.
    """
    first = first_half(frame["group"], seed=seed)
    chosen = _chosen(frame, first, n_slices, min_items, seed)
    second = frame.filter(pl.Series(~first))
    wrong, groups = second["wrong"].to_numpy().astype(np.float64), second["group"]
    beside: list[dict[str, Any]] = []
    found: list[Estimate] = []
    for one in chosen:
        inside = one.mask[~first].astype(np.float64)
        sums = np.column_stack([inside * wrong, inside, (1 - inside) * wrong, 1 - inside])
        found.append(_difference(sums, groups, confidence, n_boot, seed))
        rates = [_share(sums[:, at].sum(), sums[:, at + 1].sum()) for at in (0, 2)]
        beside.append(
            {
                "slice": " and ".join(one.wanted.words()),
                "filter": json.dumps(one.wanted.to_query(), ensure_ascii=False),
                "found_difference": one.difference, "found_n": one.n, "error_inside": rates[0],
                "error_outside": rates[1],
            }
        )  # fmt: skip
    if not chosen:
        return pl.concat([pl.DataFrame(schema=_BESIDE), estimates_frame([])], how="horizontal")
    members = np.column_stack([one.mask[~first] for one in chosen])
    p = slice_p_values(second["wrong"].to_numpy().astype(bool), members, groups, n_perm=n_perm, seed=seed)
    tested = zip(beside, p.tolist(), holm(p).tolist(), strict=True)
    rows = [row | {"p_value": alone, "p_holm": adjusted} for row, alone, adjusted in tested]
    return pl.concat([pl.DataFrame(rows, schema=_BESIDE), estimates_frame(found)], how="horizontal")


def first_half(groups: pl.Series, *, seed: int = 0) -> Mask:
    """Which items (n,) are of the half on which slices are found: whole groups, at random, whatever the order of rows.

    Example:
        >>> first_half(pl.Series(["a", "b", "a", "b"])).tolist() in ([True, False] * 2, [False, True] * 2)
        True
    """
    codes = groups.rank("dense").to_numpy().astype(np.int64) - 1 if len(groups) else np.empty(0, dtype=np.int64)
    n = int(codes.max()) + 1 if len(codes) else 0
    of_group = np.zeros(n, dtype=bool)
    of_group[np.random.default_rng(seed).permutation(n)[: n // 2]] = True
    half: npt.NDArray[np.bool_] = of_group[codes]
    return half


def _chosen(frame: pl.DataFrame, first: Mask, n_slices: int, min_items: int, seed: int) -> list[_Slice]:
    """The candidates and pairs with the largest differences on the first half."""
    singles = candidates(frame, first, seed=seed) if first.any() else []
    if not singles:
        return []
    wrong = frame["wrong"].to_numpy()[first].astype(np.float32)
    members = np.stack([one.mask[first] for one in singles]).astype(np.float32)
    inside, errors = (members @ members.T).astype(float), ((members * wrong) @ members.T).astype(float)
    total, n = float(wrong.sum()), len(wrong)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = errors / inside - (total - errors) / (n - inside)
    enough = (inside >= min_items) & (n - inside >= min_items)
    difference = np.where(enough, difference, -np.inf)
    alone = np.diag(difference)
    found: list[_Slice] = []
    for i, a in enumerate(singles):
        for j in range(i, len(singles)):
            b, better = singles[j], difference[i, j] > max(0.0, alone[i], alone[j])
            if (i == j and alone[i] > 0) or (i != j and a.about != b.about and better):
                found.append(_Slice(_both(a, b), a.mask & b.mask, float(difference[i, j]), int(inside[i, j])))
    found.sort(key=lambda one: (-one.difference, -one.n, one.wanted.words()))
    return _distinct(found, first)[:n_slices]


def _both(a: Candidate, b: Candidate) -> ItemFilter:
    """The filter of two conditions about different things."""
    empty = ItemFilter()
    given = {f.name: getattr(b.wanted, f.name) for f in fields(ItemFilter)}
    return replace(a.wanted, **{name: value for name, value in given.items() if value != getattr(empty, name)})


def _distinct(found: list[_Slice], first: Mask) -> list[_Slice]:
    """Slices of the same items once, the one with fewer words."""
    kept: dict[bytes, _Slice] = {}
    for one in found[:200]:
        key = np.packbits(one.mask[first]).tobytes()
        if key not in kept or len(one.wanted.words()) < len(kept[key].wanted.words()):
            kept[key] = one
    return sorted(kept.values(), key=lambda one: -one.difference)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _difference(sums: Floats, groups: pl.Series, confidence: float, n_boot: int, seed: int) -> Estimate:
    name = "difference of error rates"
    n_inside, n_outside = int(sums[:, 1].sum()), int(sums[:, 3].sum())
    if not n_inside or not n_outside:
        note = f"the second half has no items {'outside' if n_inside else 'inside'} the slice"
        nan = float("nan")
        return Estimate(name, nan, nan, nan, n=n_inside, n_units=0, method="none", note=note)
    found = estimate(
        name, collapse(sums, groups=groups), lambda s: s[:, 0] / s[:, 1] - s[:, 2] / s[:, 3],
        confidence=confidence, n_boot=n_boot, seed=seed,
    )  # fmt: skip
    note = f"{n_inside} items inside, {n_outside} outside; slice found on the other half of the groups"
    return replace(found, n=n_inside, note="; ".join(part for part in (found.note, note) if part))
