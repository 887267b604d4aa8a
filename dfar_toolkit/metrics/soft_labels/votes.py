"""From single ratings to votes and shares per item: the human side of every soft score. Cost: one group-by."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dfar_toolkit.errors import TableError


def votes_of_ratings(
    ratings: pl.DataFrame,
    *,
    options: Sequence[str],
    item: str = "item_id",
    value: str = "value",
    rater: str | None = "annotator_id",
    rating: str | None = None,
    group: str | None = None,
) -> pl.DataFrame:
    r"""Votes and shares of each option on each item from individual ratings.

    Each rating counts once. A set-valued rating of s values (rows that share a rating) gives 1/s to each, so its shares
    are $p_{ik} = \frac{1}{n_i} \sum_r 1[k \in r] / |r|$. Parts of votes are no votes: an item with a set-valued rating
    has shares, but null counts, and scores that need counts (unbiased Brier, Dirichlet-multinomial) leave it out.

    Args:
        ratings: One row per item, rater and value.
        options: All values that could have been given, in the order of the lists.
        item: Column of the item.
        value: Column of the value; null is a missing rating and left out.
        rater: Column of the rater, to refuse one who stands twice on an item; None where there is none.
        rating: Column that says which rows are one rating (``rating_id``); None: every row is a rating of its own.
        group: Column of the resampling unit to carry along; None means the column ``group`` where there is one.

    Returns:
        One row per item, sorted: the item, ``label_counts`` (K whole numbers, or null), ``label_probs`` (K shares),
        ``n_ratings``, and ``group`` where there is one.

    Raises:
        TableError: A value is not an option; a rater stands twice on an item; one rating names a value twice; an item
            has several groups.
        ValueError: A column is missing, or options are fewer than one or not distinct.

    Example:
        >>> ratings = pl.DataFrame({"item_id": ["i"] * 3, "annotator_id": ["x", "y", "z"], "value": ["a", "b", "a"]})
        >>> votes_of_ratings(ratings, options=["a", "b"]).select("label_counts", "n_ratings").rows()
        [([2, 1], 3)]
    """
    names = _options(options)
    group = group if group is not None else ("group" if "group" in ratings.columns else None)
    for role, column in (("item", item), ("value", value), ("rater", rater), ("rating", rating), ("group", group)):
        if column is not None and column not in ratings.columns:
            found = ", ".join(f'"{c}"' for c in ratings.columns)
            mend = "; give rater=None where there is none" if role == "rater" else ""
            raise ValueError(f'votes_of_ratings: the frame has no column "{column}" for {role}; found {found}{mend}')
    rows = ratings.filter(pl.col(value).is_not_null()).select(
        pl.col(item).alias("item"),
        pl.col(value).cast(pl.String).alias("value"),
        *([pl.col(rater).alias("rater")] if rater else []),
        *([pl.col(group).alias("group")] if group else []),
        (pl.col(rating) if rating else pl.int_range(pl.len())).alias("rating"),
    )
    _check(rows, names, rater, rating)
    return _counted(rows, names).rename({"item": item})


def _options(options: Sequence[str]) -> list[str]:
    names = [str(o) for o in options]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"votes_of_ratings: options must be distinct names, at least one, found {names}")
    return names


def _check(rows: pl.DataFrame, names: list[str], rater: str | None, rating: str | None) -> None:
    for role in ("item", "rating", "group"):
        if role in rows.columns and rows[role].null_count():
            raise TableError(f"votes_of_ratings: every rating needs its {role}; {rows[role].null_count()} have none.")
    unknown = rows.filter(~pl.col("value").is_in(names))["value"].unique().sort()
    if len(unknown):
        shown = ", ".join(repr(u) for u in unknown.head(5))
        raise TableError(f"votes_of_ratings: values must be one of {', '.join(names)}; found {shown}.")
    twice = rows.filter(pl.struct("item", "rating", "value").is_duplicated()) if rating else rows.clear()
    if twice.height:
        shown = f"rating {twice['rating'].min()!r} of item {twice['item'].min()!r}"
        raise TableError(f"votes_of_ratings: a rating names each value once; {shown} names one twice.")
    if rater:
        given = rows.unique(["item", "rater", "rating"])
        again = given.filter(pl.struct("item", "rater").is_duplicated() & pl.col("rater").is_not_null())
        if again.height:
            first = again.sort("item", "rater").row(0, named=True)
            raise TableError(
                f"votes_of_ratings: rater {first['rater']!r} stands twice on item {first['item']!r}; keep one rating, "
                "or give rating= where several values are one rating."
            )
    if "group" in rows.columns:
        several = rows.group_by("item").agg(pl.col("group").n_unique()).filter(pl.col("group") > 1)
        if several.height:
            raise TableError(f"votes_of_ratings: an item has one group; item {several['item'].min()!r} has several.")


def _counted(rows: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    size = pl.len().over("item", "rating")
    rows = rows.with_columns(size.alias("size"), (1 / size).alias("part"))
    of = [pl.col("value") == name for name in names]
    n_ratings = pl.col("part").sum().round().cast(pl.Int64)
    # Parts are sorted before they are added, so that sums do not depend on the order of the ratings.
    shares = [pl.col("part").filter(here).sort().sum() / pl.col("part").sum().round() for here in of]
    counts = pl.concat_list([here.sum().cast(pl.Int64) for here in of])
    found = rows.group_by("item").agg(
        pl.when(pl.col("size").max() == 1).then(counts).alias("label_counts"),
        pl.concat_list(shares).alias("label_probs"),
        n_ratings.alias("n_ratings"),
        *([pl.col("group").first()] if "group" in rows.columns else []),
    )
    return found.sort("item")
