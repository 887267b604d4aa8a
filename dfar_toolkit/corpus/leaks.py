"""Items of a later split that already stand, in some form, in an earlier one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl

from dfar_toolkit.corpus.records import context_key, exact_key, identical_key
from dfar_toolkit.tables import LEAK_KINDS

SPLIT_ORDER: Final = ("train", "train.extra", "dev", "validation", "test", "test.hard")


def ordered_splits(names: Iterable[str], *, order: Sequence[str] = SPLIT_ORDER) -> list[str]:
    """Splits from the earliest to the latest: those of ``order`` first, the others by name, numbers by their size.

    Example:
        >>> ordered_splits(["fold10", "test", "fold9", "train"])
        ['train', 'test', 'fold9', 'fold10']
    """
    present = set(names)
    return [s for s in order if s in present] + sorted(present.difference(order), key=_natural)


def _natural(name: str) -> tuple[list[str], list[int], str]:
    """Words first, then the numbers between them, so that fold10 follows fold9."""
    return re.split("[0-9]+", name), [int(n) for n in re.findall("[0-9]+", name)], name


def mark_leaks(
    items: pl.DataFrame, near: pl.DataFrame | None = None, *, order: Sequence[str] = SPLIT_ORDER
) -> pl.DataFrame:
    """``leak_kind``, ``leak_of`` and ``leak_against`` of every item, set on the later split only.

    The strongest kind counts: ``identical_row`` (same statement, context, option texts, label and reason texts, byte
    for byte), ``exact`` (same normalised statement and context), ``near`` (a pair of ``near``, or records that are
    exact duplicates of its two sides), ``stem`` (same ``stem``, or the same context in sets that have contexts).
    ``leak_against`` is the earliest split that holds that kind, ``leak_of`` the ids of that kind there, sorted.

    Args:
        items: ``item_id, split, statement`` and, where present, ``context, label, reasons, stem, context_key``, (n,).
        near: Columns ``a, b`` of item ids, as ``near_record_pairs`` gives them.
        order: Earlier splits first; those it does not name come after them, as in :func:`ordered_splits`.

    Returns:
        Frame ``item_id, leak_kind, leak_of, leak_against`` in the order of the items, (n, 4).

    Example:
        >>> items = pl.DataFrame({"item_id": ["p", "q"], "split": ["train", "test"], "statement": ["I lied."] * 2})
        >>> mark_leaks(items)["leak_kind"].to_list()
        [None, 'identical_row']
    """
    base = _keyed(items, order)
    found = [
        _by_key(base, "identical"),
        _by_key(base, "exact"),
        _by_near(base, near),
        pl.concat([_by_key(base, "stem"), _by_key(base, "context")]),
    ]
    links = pl.concat(part.with_columns(pl.lit(kind).alias("kind")) for kind, part in enumerate(found))
    strength = pl.col("kind") * (base["rank"].max() or 0) + pl.col("kind") + pl.col("earlier")  # kind, then split
    chosen = links.filter(strength == strength.min().over("row"))
    merged = chosen.group_by("row", "kind", "earlier").agg(pl.col("of").explode().unique().sort())
    names = base.select(pl.col("rank").alias("earlier"), pl.col("split").alias("leak_against")).unique()
    marks = merged.join(names, on="earlier").select(
        "row",
        pl.lit(pl.Series(LEAK_KINDS)).gather(pl.col("kind")).alias("leak_kind"),
        pl.col("of").alias("leak_of"),
        "leak_against",
    )
    return base.select("row", "item_id").join(marks, on="row", how="left", maintain_order="left").drop("row")


def _keyed(items: pl.DataFrame, order: Sequence[str]) -> pl.DataFrame:
    """Row, id, split and its rank, and one column per kind of key."""
    ranked = ordered_splits(items["split"].unique(), order=order)
    rank = pl.DataFrame({"split": ranked, "rank": range(len(ranked))}, schema={"split": pl.String, "rank": pl.Int64})
    stem = pl.col("stem").cast(pl.String) if "stem" in items.columns else pl.lit(None, dtype=pl.String)
    keys = items.with_row_index("row").select(
        "row",
        "item_id",
        "split",
        identical_key(items).alias("identical"),
        exact_key(items).alias("exact"),
        stem.alias("stem"),
        context_key(items).cast(pl.String).alias("context"),
    )
    return keys.join(rank, on="split", how="left", maintain_order="left")


def _earlier(base: pl.DataFrame, key: str) -> pl.DataFrame:
    """The ids that each split holds under each key."""
    held = base.drop_nulls(key).group_by(key, "rank").agg(pl.col("item_id").alias("of"))
    return held.rename({"rank": "earlier"})


def _by_key(base: pl.DataFrame, key: str) -> pl.DataFrame:
    joined = base.drop_nulls(key).join(_earlier(base, key), on=key)
    return joined.filter(pl.col("earlier") < pl.col("rank")).select("row", "earlier", "of")


def _by_near(base: pl.DataFrame, near: pl.DataFrame | None) -> pl.DataFrame:
    """Near pairs name one record of each exact class; every record of both classes is concerned."""
    if near is None or near.is_empty():
        return base.clear().select("row", pl.col("rank").alias("earlier"), pl.concat_list("item_id").alias("of"))
    both = pl.concat([near.select("a", "b"), near.select(pl.col("b").alias("a"), pl.col("a").alias("b"))])
    key = base.select("item_id", "exact")
    classes = both.join(key.rename({"item_id": "a"}), on="a").join(
        key.rename({"item_id": "b", "exact": "other"}), on="b"
    )
    held = _earlier(base, "exact").rename({"exact": "other"})
    joined = base.join(classes.select("exact", "other").unique(), on="exact").join(held, on="other")
    return joined.filter(pl.col("earlier") < pl.col("rank")).select("row", "earlier", "of")
