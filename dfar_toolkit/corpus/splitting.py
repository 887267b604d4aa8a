"""How a build splits its items: what was asked for, done to the items, and what the card is to say about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import polars as pl

from dfar_toolkit.corpus.leaks import SPLIT_ORDER, ordered_splits
from dfar_toolkit.corpus.split import GroupedSplit, completed_sizes, grouped_split
from dfar_toolkit.corpus.split_methods import (
    annotator_split,
    carve_split,
    fold_split,
    random_split,
    source_split,
    time_split,
)

SplitMethod = Literal["published", "grouped", "random", "annotator", "time", "source", "folds"]
_SIZED: Final = ("grouped", "random", "annotator", "time")


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """The split that a build makes.

    ``sizes`` are shares of the splits for the methods that take them (others keep their published proportion);
    ``folds`` is the number of folds; ``places`` gives for each split its sources; ``carve`` is the share of ``train``
    that becomes the split ``carved`` afterwards (0: none).
    """

    method: SplitMethod = "published"
    sizes: Mapping[str, float] | None = None
    folds: int = 5
    places: Mapping[str, Sequence[str]] | None = None
    carve: float = 0.0
    carved: str = "dev"


def split_items(
    items: pl.DataFrame, annotations: pl.DataFrame, plan: SplitPlan, *, seed: int
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The items with their splits, in the order of the splits, and the facts for the manifest.

    Args:
        items: ``item_id, label, group, source, split``, (n,).
        annotations: The table of that name, for splits by annotator or time.
        plan: What is asked for.
        seed: Seed of the methods that draw.

    Returns:
        The items (n,) and ``method, seed, note`` with ``sizes``, ``folds``, ``places`` or ``carved`` where they apply.

    Raises:
        TableError: The items do not allow the split.
        ValueError: Sizes that do not add up.
    """
    facts: dict[str, Any] = {"method": plan.method, "seed": seed, "note": ""}
    if plan.method != "published":
        sizes = _in_order(completed_sizes(plan.sizes or {}, _published(items))) if plan.method in _SIZED else {}
        dealt, order = _dealt(items, annotations, plan, sizes, seed)
        items = _placed(items, dealt, order)
        facts |= {"note": dealt.note} | ({"sizes": sizes} if sizes else {})
        facts |= {"folds": plan.folds} if plan.method == "folds" else {}
        facts |= {"places": {k: list(v) for k, v in (plan.places or {}).items()}} if plan.method == "source" else {}
    if plan.carve:
        dealt = carve_split(items, share=plan.carve, name=plan.carved, seed=seed)
        names = items["split"].unique(maintain_order=True).to_list()
        names.insert(names.index("train") + 1, plan.carved)
        items = _placed(items, dealt, names)
        facts["carved"] = {"split": plan.carved, "share": plan.carve, "out_of": "train", "note": dealt.note}
    return items, facts


def _dealt(
    items: pl.DataFrame, annotations: pl.DataFrame, plan: SplitPlan, sizes: dict[str, float], seed: int
) -> tuple[GroupedSplit, list[str]]:
    order = list(sizes)
    if plan.method == "random":
        return random_split(items, sizes=sizes, seed=seed), order
    if plan.method == "annotator":
        return annotator_split(items, annotations, sizes=sizes, seed=seed), order
    if plan.method == "time":
        return time_split(items, annotations, sizes=sizes), order
    if plan.method == "folds":
        return fold_split(items, folds=plan.folds, seed=seed), [f"fold{k + 1}" for k in range(plan.folds)]
    if plan.method == "source":
        return source_split(items, places=plan.places or {}), list(plan.places or {})
    return grouped_split(items, sizes=sizes, seed=seed), order


def _placed(items: pl.DataFrame, dealt: GroupedSplit, order: Sequence[str]) -> pl.DataFrame:
    """The items with their new splits, split by split."""
    items = items.drop("split").join(dealt.frame, on="item_id", maintain_order="left")
    place = pl.col("split").replace_strict(list(order), list(range(len(order))), return_dtype=pl.Int64)
    return items.sort(place, maintain_order=True)


def _published(items: pl.DataFrame) -> dict[str, float]:
    counts = dict(items.group_by("split").len().iter_rows())
    return {split: counts[split] / items.height for split in ordered_splits(counts)}


def _in_order(sizes: Mapping[str, float]) -> dict[str, float]:
    """The usual names from the earliest to the latest, then the others as they stand: a split by time rests on it."""
    names = [s for s in SPLIT_ORDER if s in sizes]
    return {split: sizes[split] for split in (*names, *(s for s in sizes if s not in names))}
