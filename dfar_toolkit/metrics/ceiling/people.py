r"""How well one person predicts the others: a rater held out against the majority of the rest.

Of the votes $y_i$ on item i one is held out, each with the same chance; the gold label is the top option of the rest,
by lot where several lead. All expectations follow from the counts: option k is held out with chance $y_{ik} / n_i$,
and with $M_{ik}$ the options in the lead of $y_i - e_k$ the gold label is m with chance $1[m \in M_{ik}] / |M_{ik}|$.
An item with one vote has no rest: it is left out and counted. Cost: the distinct rows of votes times K^2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, Literal, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement import soft_labels
from dfar_toolkit.estimate import Additive, Estimate, Floats, estimates_frame
from dfar_toolkit.metrics.ceiling.vote_counts import COUNTS, VoteCounts, Votes, read_votes, with_votes
from dfar_toolkit.metrics.ceiling.vote_rows import estimate_vote_rows
from dfar_toolkit.metrics.intervals import mean_share
from dfar_toolkit.metrics.labels import Column

HumanMetric = Literal["accuracy", "macro_f1", "balanced_accuracy"]

HUMAN_METRICS: Final[tuple[HumanMetric, ...]] = get_args(HumanMetric)

_NAMES: Final = {"accuracy": "accuracy", "macro_f1": "macro-F1", "balanced_accuracy": "balanced accuracy"}


def human_performance(
    counts: Votes,
    *,
    metric: HumanMetric = "accuracy",
    column: str = COUNTS,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: Column | None = None,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Expected score of one rater, held out, against the majority of the other raters of the item.

    With $c_{mk} = \sum_i \frac{y_{ik}}{n_i} \frac{1[m \in M_{ik}]}{|M_{ik}|}$ the expected table of gold m and held-out
    vote k: accuracy $\sum_k c_{kk} / N$, macro-F1 the mean of $2 c_{kk} / (c_{k.} + c_{.k})$, balanced accuracy the
    mean of $c_{kk} / c_{k.}$.

    Args:
        counts: Array (items, options) of votes, a frame with a list column of them, or a frame of ratings, one per row.
        metric: The score.
        column: The list column of votes.
        item: Column of the item, in ratings.
        rater: Column of the rater, in ratings.
        value: Column of the value, in ratings.
        group: Column or values of the resampling unit, one per row; None means the column ``group`` where there is one.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts the items with two votes or more.

    Undefined:
        No such item. Balanced accuracy: an option never leads; macro-F1: an option never occurs.

    Raises:
        TableError: Counts that are not whole numbers of at least 0.
        ValueError: An unknown metric.

    Example:
        Votes (2, 1): an a held out meets a tie of the rest (1/2), the b meets two a (0), so 2/3 x 1/2.

        >>> round(human_performance([[2, 1]], ci=None).value, 6)
        0.333333

    Reference:
        Lourie, Le Bras and Choi (2021), Scruples, AAAI, arXiv 2008.09094 (human performance).
    """
    if metric not in HUMAN_METRICS:
        raise ValueError(f"human_performance: metric must be one of {', '.join(HUMAN_METRICS)}; found {metric!r}")
    if isinstance(counts, pl.DataFrame) and column not in counts.columns and {item, value} <= set(counts.columns):
        counts = _counted(counts, item, rater, value, group)
        column, group = COUNTS, "group" if "group" in counts.columns else None
    votes = with_votes(read_votes("human_performance", counts, column=column, group=group), 2)
    return estimate_vote_rows(
        "human_performance", votes, [human_rows(votes, metric)], ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
    )[0]


def human_rows(votes: VoteCounts, metric: HumanMetric) -> Additive:
    """The rows (P, 3 K) and formula of :func:`human_performance`, for votes with two or more on every item."""
    table = _held_out_table(votes.patterns)
    hits = np.diagonal(table, axis1=1, axis2=2)
    rows = np.concatenate([hits, table.sum(axis=2), table.sum(axis=1)], axis=1)
    return Additive(
        metric,
        f"held-out rater's {_NAMES[metric]}",
        rows,
        _FORMULAS[metric],
        "no item has two votes or more" if not votes.n_items else "an option is gold nowhere",
        votes.note,
    )


def human_performance_by_rater(
    ratings: pl.DataFrame,
    *,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Accuracy of every rater against the majority of the other raters of the same items, ties split in expectation.

    Args:
        ratings: One row per rating.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column of the resampling unit; None means the column ``group`` where there is one, else the item.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        One row per rater, sorted: the rater and Estimate's fields; ``n`` counts the items shared with somebody.

    Example:
        >>> ratings = pl.DataFrame({"item_id": [1, 1, 1], "annotator_id": ["x", "y", "z"], "value": ["a", "a", "b"]})
        >>> human_performance_by_rater(ratings).select("annotator_id", "value", "n").rows()
        [('x', 0.5, 1), ('y', 0.5, 1), ('z', 0.0, 1)]
    """
    unit = group or ("group" if "group" in ratings.columns else item)
    rated = ratings.drop_nulls(value)
    options = {v: place for place, v in enumerate(rated[value].unique().sort())}
    counts = soft_labels(rated, item=item, rater=rater, value=value, options=list(options))
    votes = np.array(counts[COUNTS].to_list(), dtype=np.float64).reshape(len(counts), len(options))
    place = rated.select(item).join(counts.select(item).with_row_index("place"), on=item, maintain_order="left")[
        "place"
    ]
    given = rated[value].replace_strict(options, return_dtype=pl.Int64).to_numpy()
    rows = rated.select(rater, pl.col(unit).alias("unit")).with_columns(
        pl.Series("hit", _hits(votes[place.to_numpy()], given))
    )
    found, names = [], []
    for (name,), part in rows.sort(rater, maintain_order=True).group_by(rater, maintain_order=True):
        shared = part.filter(pl.col("hit").is_not_nan())
        one = mean_share(
            "accuracy against the others", shared["hit"], groups=shared["unit"],
            confidence=confidence, n_boot=n_boot, seed=seed,
        )  # fmt: skip
        alone = f"{len(part) - len(shared)} items that nobody else rated left out" if len(part) > len(shared) else ""
        names.append({rater: name})
        found.append(replace(one, note="; ".join(n for n in (one.note, alone) if n)))
    return estimates_frame(found, beside=names)


def _held_out_table(patterns: Floats) -> Floats:
    """Chance of gold m (axis 1) and held-out vote k (axis 2) for each row of votes, (P, K, K)."""
    width = patterns.shape[1]
    total = patterns.sum(axis=1)
    table = np.zeros((len(patterns), width, width))
    for k in range(width):
        rest = patterns - (np.arange(width) == k)
        lead = rest == rest.max(axis=1, keepdims=True)
        table[:, :, k] = lead / lead.sum(axis=1, keepdims=True) * (patterns[:, k] / total)[:, None]
    return table


def _hits(votes: Floats, given: Any) -> Floats:
    """Expected hit of each rating against the rest of its item; ``nan`` where there is no rest."""
    rest = votes.copy()
    rest[np.arange(len(rest)), given] -= 1
    lead = rest == rest.max(axis=1, keepdims=True)
    hit = lead[np.arange(len(rest)), given] / lead.sum(axis=1)
    return np.where(rest.sum(axis=1) > 0, hit, np.nan)


def _counted(ratings: pl.DataFrame, item: str, rater: str, value: str, group: Column | None) -> pl.DataFrame:
    """Votes per item from ratings, with the group of each item."""
    counts = soft_labels(ratings.drop_nulls(value), item=item, rater=rater, value=value).select(item, COUNTS)
    if group is None and "group" not in ratings.columns:
        return counts
    unit = ratings["group"] if group is None else ratings[group] if isinstance(group, str) else pl.Series(group)
    of_item = ratings.select(item).with_columns(unit.alias("group")).unique(item, keep="first", maintain_order=True)
    return counts.join(of_item, on=item, how="left", maintain_order="left")


def _thirds(sums: Floats) -> tuple[Floats, Floats, Floats]:
    width = sums.shape[1] // 3
    return sums[:, :width], sums[:, width : 2 * width], sums[:, 2 * width :]


def _accuracy(sums: Floats) -> Floats:
    hits, gold, _ = _thirds(sums)
    return np.asarray(hits.sum(axis=1) / gold.sum(axis=1))


def _balanced_accuracy(sums: Floats) -> Floats:
    hits, gold, _ = _thirds(sums)
    return np.asarray(np.mean(hits / gold, axis=1))


def _macro_f1(sums: Floats) -> Floats:
    hits, gold, held = _thirds(sums)
    return np.asarray(np.mean(2 * hits / (gold + held), axis=1))


_FORMULAS: Final = {"accuracy": _accuracy, "macro_f1": _macro_f1, "balanced_accuracy": _balanced_accuracy}
