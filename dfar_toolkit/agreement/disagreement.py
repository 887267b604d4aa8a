"""How much the people who judged one item disagree: the rank by which items are looked at."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.agreement.ratings import RatingsLike, as_lazy
from dfar_toolkit.errors import TableError


def item_disagreement(
    annotations: RatingsLike,
    *,
    item: str = "item_id",
    rater: str = "annotator_id",
    rating: str = "rating_id",
    value: str = "value",
) -> pl.DataFrame:
    r"""Chance that two different ratings of an item differ, without the bias of small numbers of ratings.

    With $n$ ratings of the item, $n_c$ of them with value $c$,

        $d = 1 - \frac{\sum_c n_c (n_c - 1)}{n (n - 1)}$

    the unbiased estimate of the chance that two people drawn for this item give different values: rank items by it.
    Beside it the plug-in entropy in nats,

        $H = - \sum_c \frac{n_c}{n} \ln \frac{n_c}{n}$

    which is too low for few ratings and grows with their number (by about $(k - 1) / 2n$ for k values people could
    give): compare it only between items with equally many ratings. Rows that share a rating are one set-valued rating,
    and two of these differ unless they hold the same values.

    Args:
        annotations: One row per value given, of one question; a frame or (item, rater, value) triples.
        item: Column of the item.
        rater: Name of the rater among triples.
        rating: Column that holds rows of one rating together; without it every row is a rating of its own.
        value: Column of the value; rows without one are left out.

    Returns:
        One row per item that has a value, in the order of ``item``: the item, ``n_ratings``, ``disagreement``,
        ``entropy``, ``n_values`` (distinct values given).

    Undefined:
        ``disagreement`` and ``entropy`` are ``nan`` for an item with fewer than two ratings.

    Raises:
        ValueError: Several questions at once: no statistic pools them.
        TableError: A column is missing.

    Example:
        Two of three people say "no": of the three pairs two differ.

        >>> votes = pl.DataFrame({"item_id": ["i"] * 3, "rating_id": ["1", "2", "3"], "value": ["no", "no", "yes"]})
        >>> item_disagreement(votes)["disagreement"].round(4).to_list()
        [0.6667]

    Reference:
        Simpson (1949), Nature 163:688 (the unbiased estimate of concentration); Miller (1955), Note on the bias of
        information estimates, in Quastler, Information Theory in Psychology, 95-100 (the bias of the entropy).
    """
    frame = _read(annotations, item, rater, rating, value)
    if "question" in frame.columns and frame["question"].n_unique() > 1:
        asked = ", ".join(frame["question"].cast(pl.String).unique().sort())
        raise ValueError(f"item_disagreement: wanted the annotations of one question, found {asked}; filter them first")
    ratings = (
        frame.filter(pl.col(value).is_not_null())
        .group_by(item, rating)
        .agg(pl.col(value).cast(pl.String).unique().sort())
    )
    counts = ratings.group_by(item, value).agg(pl.len().cast(pl.Int64).alias("votes"))
    n, votes = pl.col("n_ratings"), pl.col("votes")
    share_of = pl.col("votes").sort() / pl.col("votes").sum()  # sorted: sums then do not depend on the order of rows
    sums = counts.group_by(item).agg(
        votes.sum().alias("n_ratings"),
        (votes * (votes - 1)).sum().alias("agreeing"),
        (share_of * (1 / share_of).log()).sum().alias("entropy"),
        pl.len().cast(pl.Int64).alias("n_values"),
    )
    pairs = {"disagreement": 1 - pl.col("agreeing") / (n * (n - 1)), "entropy": pl.col("entropy")}
    defined = [pl.when(n > 1).then(number).otherwise(float("nan")).alias(name) for name, number in pairs.items()]
    return sums.sort(item).select(item, n, *defined, "n_values")


def _read(annotations: RatingsLike, item: str, rater: str, rating: str, value: str) -> pl.DataFrame:
    """The annotations as a polars frame; without a column of ratings every row is one of its own."""
    needed = (item, value, rating, "question")
    frame = as_lazy(annotations, (item, rater, value), None).collect()
    for name in (item, value):
        if name not in frame.columns:
            raise TableError(f'item_disagreement needs the column "{name}"; found {", ".join(frame.columns)}.')
    frame = frame.select([name for name in frame.columns if name in needed])
    return frame if rating in frame.columns else frame.with_row_index(rating)
