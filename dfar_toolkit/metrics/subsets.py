"""The parts of an evaluation set that leaks tell apart: all, leaked, clean, stem."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

_LEAKED = ("identical_row", "exact", "near")


class Subset(NamedTuple):
    """Items by their leak: its name, which items (``keep``, an expression on ``leak_kind``), its definition."""

    name: str
    keep: pl.Expr
    note: str


def leak_subsets(items: pl.DataFrame) -> list[Subset]:
    """All items, and where any of them has a ``leak_kind`` the leaked, the clean and those that share a stem.

    Leaked means identical_row, exact or near; clean means none of the three, so an item that only shares its stem
    with a training item is clean, and is told apart as the subset ``stem``.

    Args:
        items: Evaluated items with ``leak_kind``.

    Returns:
        The subsets; empty ones are left out.

    Example:
        >>> items = pl.DataFrame({"leak_kind": ["exact", "near", "stem", None]})
        >>> [(s.name, items.filter(s.keep).height) for s in leak_subsets(items)]
        [('all', 4), ('leaked', 2), ('clean', 2), ('stem', 1)]
    """
    kind = pl.col("leak_kind")
    n = len(items)
    if items["leak_kind"].null_count() == n:
        return [Subset("all", pl.lit(True), "no leak known")]
    leaked = kind.is_in(_LEAKED).fill_null(False)
    count = {k: int((items["leak_kind"] == k).sum()) for k in (*_LEAKED, "stem")}
    n_leaked = sum(count[k] for k in _LEAKED)
    clean = (
        f"clean: neither exact nor near, {n - n_leaked} of {n} "
        f"({n - n_leaked + count['near']} if only exact leaks count, {n - n_leaked - count['stem']} if stems count too)"
    )
    whole = f"leaked: {count['identical_row']} identical_row, {count['exact']} exact, {count['near']} near, of {n}"
    found = [
        Subset("all", pl.lit(True), ""),
        Subset("leaked", leaked, whole),
        Subset("clean", ~leaked, clean),
        Subset("stem", (kind == "stem").fill_null(False), f"stem: {count['stem']} of {n} share a stem, part of clean"),
    ]
    return [s for s in found if items.select(s.keep.sum() if s.name != "all" else pl.lit(1)).item()]
