"""How far the judges of reasons agree with each other, above all where "bad" is rare."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import polars as pl

from dfar_toolkit.agreement.counting import count_ratings
from dfar_toolkit.agreement.per_value import specific_statistic
from dfar_toolkit.agreement.ratings import read_ratings
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimate_by_weights, estimates_frame
from dfar_toolkit.metrics.labels import group_series
from dfar_toolkit.metrics.verdicts import folded_values
from dfar_toolkit.tables import conform

_FEW_JUDGES = 4


def specific_agreement(
    ratings: pl.DataFrame,
    *,
    category: str,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""If one rater chose this category, how often does another rater of the same item choose it too?

    With $n_i$ ratings of item $i$, $c_i$ of them in the category:

        $S = \frac{\sum_i c_i (c_i - 1)}{\sum_i c_i (n_i - 1)}$

    which for two raters is 2 a / (2 a + b + c): both, over both and either. Percent agreement on a rare category is
    high by itself; this is not. Interval: bootstrap over groups (items where alone), these raters fixed.

    Args:
        ratings: One row per rating, at least the three columns named.
        category: The value looked at.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is no rating.
        group: Column of the resampling unit; None means the item itself.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts items with at least two ratings.

    Undefined:
        No item with two ratings has the category.

    Raises:
        TableError: A rater rates an item twice.
        ValueError: A column is missing.

    Example:
        Two judges, four reasons: both bad once, one of them twice, 2 x 1 / (2 x 1 + 2) = 0.5.

        >>> ratings = pl.DataFrame({"item_id": [1, 1, 2, 2, 3, 3, 4, 4], "annotator_id": ["a", "b"] * 4,
        ...                         "value": ["bad", "bad", "bad", "good", "good", "bad", "good", "good"]})
        >>> specific_agreement(ratings, category="bad").value
        0.5

    Reference:
        Cicchetti and Feinstein (1990), J. Clin. Epidemiol. 43(6):551-558 (two raters); Fleiss (1971), Psychol. Bull.
        76(5):378-382 (many raters).
    """
    absent = [c for c in (item, rater, value) if c not in ratings.columns]
    if absent:
        raise ValueError(f"specific_agreement: the ratings have no column {absent[0]!r}; found {ratings.columns}")
    given = ratings.filter(pl.col(value).is_not_null())
    twice = given.filter(pl.struct(item, rater).is_duplicated())
    if len(twice):
        raise TableError(
            f"specific_agreement: rater {twice[rater][0]!r} rates item {twice[item][0]!r} twice; keep one rating each."
        )
    groups = group_series("specific_agreement", given, group or item, len(given))
    roles = {"item": item, "rater": rater, "value": value}
    plain = given.select(pl.col(column).alias(role) for role, column in roles.items()).with_columns(unit=groups)
    checked = read_ratings(plain, item="item", rater="rater", value="value", group="unit")
    statistic = specific_statistic(count_ratings(checked)[0].counts, category)
    found = estimate_by_weights(
        statistic.name,
        statistic.unit.times,
        statistic.values,
        n=statistic.counts.n_pairable,
        unit=statistic.unit.unit,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
        undefined=f'no item with two ratings has a "{category}"',
    )
    return found if found.n else replace(found, note="no item has two ratings")


def judge_agreement(
    judgements: pl.DataFrame,
    *,
    items: pl.DataFrame | None = None,
    good: str = "good",
    bad: str = "bad",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Agreement of the judges of one run: percent, specific on "bad", Gwet's AC1, Krippendorff's alpha.

    Rated is the reason (output); the first draw of each judge; the interval is over the items' groups with these
    judges fixed.

    Args:
        judgements: The table judgements, one run and one question.
        items: The table items, for the groups; None means every item is its own.
        good: The value that accepts a reason.
        bad: The value that rejects it; its specific agreement is wanted.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` (judge_percent_agreement, judge_specific_agreement, judge_gwet_ac1, judge_alpha) and the
        fields of Estimate.

    Undefined:
        No reason has two judges.

    Raises:
        TableError: The judgements lack a column.
    """
    from dfar_toolkit.agreement import gwet_ac1, krippendorff_alpha, percent_agreement

    specific = partial(specific_agreement, category=bad)
    ac1 = partial(gwet_ac1, categories=[bad, good])
    judgements = folded_values(conform(judgements, "judgements", where="judge_agreement"), good=good, bad=bad)
    ratings = _ratings(judgements, items)
    shared = ratings.filter(pl.len().over("output_id") > 1)
    n_judges = shared["judge_id"].n_unique()
    names = ["judge_percent_agreement", "judge_specific_agreement", "judge_gwet_ac1", "judge_alpha"]
    beside = [{"metric": n} for n in names]
    if not len(shared):
        nan = float("nan")
        blank = [
            Estimate(n, nan, nan, nan, 0, 0, confidence=confidence, note="no reason has two judges") for n in names
        ]
        return estimates_frame(blank, beside=beside)
    found: list[Estimate | pl.DataFrame] = []
    for statistic in (percent_agreement, specific, ac1, krippendorff_alpha):
        found.append(
            statistic(
                shared,
                item="output_id",
                rater="judge_id",
                value="value",
                group="group",
                confidence=confidence,
                n_boot=n_boot,
                seed=seed,
            )
        )
    note = f"only {n_judges} judges, taken as fixed" if n_judges < _FEW_JUDGES else ""
    return estimates_frame([_noted(e, note) for e in found if isinstance(e, Estimate)], beside=beside)


def _ratings(judgements: pl.DataFrame, items: pl.DataFrame | None) -> pl.DataFrame:
    """First draw of every judge on every reason, with the item's group."""
    given = judgements.drop_nulls("value").sort("output_id", "judge_id", "draw")
    first = given.unique(["output_id", "judge_id"], keep="first", maintain_order=True)
    if items is None:
        return first.with_columns(pl.col("item_id").alias("group"))
    first = first.drop("group", strict=False)
    groups = items.select("item_id", "group")
    return first.join(groups, on="item_id", how="left", maintain_order="left").with_columns(
        pl.col("group").fill_null(pl.col("item_id"))
    )


def _noted(found: Estimate, note: str) -> Estimate:
    return replace(found, note="; ".join(n for n in (found.note, note) if n))
