"""How much the people who judged one item disagree: the rank by which items are looked at."""

from __future__ import annotations

import polars as pl


def item_disagreement(
    annotations: pl.DataFrame, *, item: str = "item_id", rating: str = "rating_id", value: str = "value"
) -> pl.DataFrame:
    r"""Chance that two different ratings of an item differ, without the bias of small numbers of ratings.

    With $n$ ratings of the item, $n_c$ of them with value $c$,

        $d = 1 - \frac{\sum_c n_c (n_c - 1)}{n (n - 1)}$

    the unbiased estimate of the chance that two people drawn for this item give different values. Unlike entropy or
    the share outside the majority it does not grow with the number of ratings. Rows that share a rating are one
    set-valued rating, and two of these differ unless they hold the same values.

    Args:
        annotations: One row per value given, of one question.
        item: Column of the item.
        rating: Column that holds rows of one rating together.
        value: Column of the value; rows without one are left out.

    Returns:
        One row per item that has a value, in the order of ``item``: the item, ``n_ratings``, ``disagreement``.

    Undefined:
        ``nan`` for an item with fewer than two ratings.

    Raises:
        ValueError: Several questions at once: no statistic pools them.

    Example:
        Two of three people say "no": of the three pairs two differ.

        >>> votes = pl.DataFrame({"item_id": ["i"] * 3, "rating_id": ["1", "2", "3"], "value": ["no", "no", "yes"]})
        >>> item_disagreement(votes)["disagreement"].round(4).to_list()
        [0.6667]

    Reference:
        Simpson (1949), Nature 163:688 (the unbiased estimate of concentration).
    """
    if "question" in annotations.columns and annotations["question"].n_unique() > 1:
        asked = ", ".join(annotations["question"].unique().sort())
        raise ValueError(f"item_disagreement: wanted the annotations of one question, found {asked}; filter them first")
    ratings = (
        annotations.filter(pl.col(value).is_not_null())
        .group_by(item, rating)
        .agg(pl.col(value).cast(pl.String).unique().sort())
    )
    counts = ratings.group_by(item, value).agg(pl.len().cast(pl.Int64).alias("votes"))
    n, votes = pl.col("n_ratings"), pl.col("votes")
    sums = counts.group_by(item).agg(votes.sum().alias("n_ratings"), (votes * (votes - 1)).sum().alias("agreeing"))
    share = 1 - pl.col("agreeing") / (n * (n - 1))
    return sums.sort(item).select(item, n, pl.when(n > 1).then(share).otherwise(float("nan")).alias("disagreement"))
