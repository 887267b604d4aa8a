"""The baselines of LeWiDi: most frequent answers and shares, equal shares, chance. Cost: a group-by each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.perspectivist import scale_of
from dfar_toolkit.metrics.rating_pairs import PairedRatings


def most_frequent_shares(shares: Floats, *, hard: bool = False, many: bool = False) -> Floats:
    """The soft label that is predicted for every item: the mean of the shares (M, K), or its top option alone.

    Args:
        shares: People's shares on the items counted; rows of nan are left out.
        hard: Whether all goes to the option of the largest mean share, the first of several.
        many: Whether options are yes-or-no answers of their own; ``hard`` is then a yes above one half.

    Returns:
        The shares (K,), nan where nothing is counted.

    Example:
        >>> most_frequent_shares(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
        [0.75, 0.25]
    """
    known = shares[~np.isnan(shares).any(axis=1)]
    if not len(known):
        return np.full(shares.shape[1], np.nan)
    mean: Floats = np.sort(known, axis=0).mean(axis=0)  # sorted: the sum must not depend on the order of the items
    if not hard:
        return mean
    if many:
        return (mean > 0.5).astype(np.float64)
    top: Floats = np.eye(len(mean))[int(np.argmax(mean))]
    return top


def uniform_shares(n: int, k: int, *, many: bool = False) -> Floats:
    """Equal shares of all options (N, K); one half each where they are yes-or-no answers of their own."""
    return np.full((n, k), 0.5 if many else 1 / k)


def random_shares(n: int, k: int, *, many: bool = False, seed: int = 0) -> Floats:
    """A distribution for each item (N, K) drawn evenly from all there are; for yes-or-no answers numbers in [0, 1]."""
    rng = np.random.default_rng(seed)
    found: Floats = rng.random((n, k)) if many else rng.dirichlet(np.ones(k), size=n)
    return found


def most_frequent_predictions(
    ratings: pl.DataFrame,
    reference: pl.DataFrame,
    options: Sequence[str],
    *,
    many: bool = False,
    by_annotator: bool = False,
) -> pl.DataFrame:
    """The most frequent answer of the reference, predicted for every rating.

    Args:
        ratings: ``item_id, annotator_id`` of the ratings to be predicted.
        reference: ``annotator_id, value`` (lists) of the ratings counted.
        options: All options in order; the first of several equally frequent ones is taken.
        many: Whether ratings are sets. Yes and no are then counted over all options together, and the more frequent
            one is predicted for every option (no, where both are): the published figure for VariErrNLI is that of "no".
        by_annotator: Whether each annotator's own ratings are counted; one without any has everybody's.

    Returns:
        ``item_id, annotator_id, value_pred`` (lists).

    Example:
        >>> given = pl.DataFrame({"item_id": ["i", "i", "j"], "annotator_id": ["x", "y", "x"],
        ...                       "value": [["a"], ["b"], ["a"]]})
        >>> most_frequent_predictions(given, given, ["a", "b"], by_annotator=True)["value_pred"].to_list()
        [['a'], ['b'], ['a']]
    """
    columns = [pl.col("value").list.contains(name).mean().alias(f"p{k}") for k, name in enumerate(options)]
    theirs = pl.lit(_answer(reference.select(columns), options, many=many).to_list()[0], dtype=pl.List(pl.String))
    wanted = ratings.select("item_id", "annotator_id")
    if not by_annotator:
        return wanted.with_columns(theirs.alias("value_pred"))
    own = reference.group_by("annotator_id").agg(columns)
    answers = own.select("annotator_id", _answer(own.drop("annotator_id"), options, many=many).alias("value_pred"))
    joined = wanted.join(answers, on="annotator_id", how="left", maintain_order="left")
    filled = pl.when(pl.col("value_pred").is_null()).then(theirs).otherwise("value_pred")
    return joined.with_columns(filled.alias("value_pred"))


def expected_random_loss(pairs: PairedRatings, *, ordered: bool = False) -> Floats:
    r"""The expected loss (R,) of an answer drawn evenly from the options.

    $1 - 1/K$; one half where ratings are sets, each option being drawn yes or no; on an ordered scale
    $\frac{1}{K} \sum_k |x_k - x| / K$.

    Example:
        >>> from dfar_toolkit.metrics.rating_pairs import pair_ratings
        >>> pairs = pair_ratings("f", None, gold=["1"], pred=["1"], item=["i"], annotator=None, options=["1", "2"])
        >>> expected_random_loss(pairs).tolist(), expected_random_loss(pairs, ordered=True).tolist()
        ([0.5], [0.25])
    """
    k = len(pairs.options)
    if pairs.sets:
        return np.full(len(pairs.item), 0.5)
    if not ordered:
        return np.full(len(pairs.item), 1 - 1 / k)
    x, s = scale_of("expected_random_loss", pairs.options, None, "points")
    found: Floats = pairs.gold @ np.abs(x[:, None] - x).mean(axis=1) / s
    return found


def _answer(shares: pl.DataFrame, options: Sequence[str], *, many: bool) -> pl.Series:
    """The predicted answer of each row of shares (one column per option), as lists."""
    matrix = shares.fill_null(0.0).to_numpy().astype(np.float64)
    if many:
        chosen = [list(options) if yes > 0.5 else [] for yes in matrix.mean(axis=1).tolist()]
    else:
        chosen = [[options[place]] for place in np.argmax(matrix, axis=1).tolist()]
    return pl.Series("value_pred", chosen, dtype=pl.List(pl.String))
