"""Items of an earlier split whose twin stands in a later one: what must not be trained on where that one is scored."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.corpus.leaks import SPLIT_ORDER
from dfar_toolkit.corpus.records import exact_key, near_or_sampled

_STRONG = ("identical_row", "exact", "near")


def twins_of_later(items: pl.DataFrame, *, search_near: bool = True) -> pl.Series:
    """The ids of items that stand, exactly or nearly, in a later split as well.

    ``leak_of`` names only the strongest twins of an item, so all others are looked for again: exact ones everywhere,
    near ones (at .8 of 5-gram Jaccard similarity) within the groups that several splits share. A shared stem is no
    twin. The search for near ones takes minutes where such groups hold hundreds of thousands of items.

    Args:
        items: The table items, all splits.
        search_near: Whether to look for near twins that ``leak_of`` does not name.

    Returns:
        Item ids, sorted.

    Example:
        >>> items = pl.DataFrame({
        ...     "item_id": ["p", "q", "r"], "split": ["train", "train", "test"], "group": ["1", "2", "1"],
        ...     "statement": ["I lied.", "I paid.", "I lied!"], "leak_kind": [None, None, "exact"],
        ...     "leak_of": [None, None, ["p"]]})
        >>> twins_of_later(items).to_list()
        ['p']
    """
    found = items["split"].unique().to_list()
    ranked = [s for s in SPLIT_ORDER if s in found] + sorted(s for s in found if s not in SPLIT_ORDER)
    rank = pl.col("split").replace_strict(ranked, range(len(ranked)), return_dtype=pl.Int64)
    keyed = items.select("item_id", exact_key(items).alias("key"), rank.alias("rank"))
    exact = keyed.filter(pl.col("rank") < pl.col("rank").max().over("key"))["item_id"]
    marked = items.filter(pl.col("leak_kind").is_in(_STRONG))["leak_of"].explode().drop_nulls()
    parts = [exact, marked.cast(pl.String), *([_near(items, keyed)] if search_near else [])]
    return pl.concat([part.alias("item_id") for part in parts]).unique().sort()


def _near(items: pl.DataFrame, keyed: pl.DataFrame) -> pl.Series:
    """Near twins: pairs name one record of each exact class, and every earlier record of both classes is concerned."""
    shared = items.filter(pl.col("split").n_unique().over("group") > 1)
    none = pl.Series("item_id", [], dtype=pl.String)
    if shared.height < 2:
        return none
    pairs, _ = near_or_sampled(shared, threshold=0.8, seed=0)
    if pairs.is_empty():
        return none
    both = pl.concat([pairs.select("a", "b"), pairs.select(pl.col("b").alias("a"), pl.col("a").alias("b"))])
    key = keyed.select("item_id", "key")
    classes = both.join(key.rename({"item_id": "a"}), on="a").join(key.rename({"item_id": "b", "key": "other"}), on="b")
    latest = keyed.group_by("key").agg(pl.col("rank").max().alias("latest")).rename({"key": "other"})
    reach = classes.join(latest, on="other").group_by("key").agg(pl.col("latest").max())
    return keyed.join(reach, on="key").filter(pl.col("rank") < pl.col("latest"))["item_id"]
