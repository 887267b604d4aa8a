"""The judgements table as rows for a judge model and people: one row per reason, with both verdicts where there are."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.verdicts import reason_verdicts

KEYS = ("run_id", "item_id", "output_id")


def judge_rows(
    name: str,
    judgements: pl.DataFrame,
    *,
    judge_model: str,
    human_judges: Sequence[str] | None = None,
    items: pl.DataFrame | None = None,
    good: str = "good",
    bad: str = "bad",
) -> pl.DataFrame:
    """Verdicts of one judge model and of people side by side.

    Args:
        name: Function named in errors.
        judgements: The table judgements: single reasons, one question.
        judge_model: Judge id of the model.
        human_judges: Judge ids of people; None: all judges but this one.
        items: The table items, or its ``item_id`` and ``group``; None means every item is its own group.
        good: The value that accepts a reason.
        bad: The value that rejects it.

    Returns:
        One row per reason that either judged, sorted: ``run_id, item_id, output_id, judge`` (share of the model's
        draws that say bad; null where it has no verdict), ``human`` (share of people), ``human_majority`` (1 bad,
        0 good, null for an even split or nobody), ``inclusion_prob`` (of the human judgements), ``group``,
        ``weight`` (1 over the item's reasons that the model judged: items count the same).

    Raises:
        TableError: The judge is not in the judgements, a reason has two inclusion probabilities, and as
            :func:`~dfar_toolkit.metrics.verdicts.reason_verdicts`.
        ValueError: The judge model is among the people.
    """
    ids = judgements["judge_id"].unique().sort().to_list()
    if judge_model not in ids:
        raise TableError(f"{name}: no judgement of the judge model {judge_model!r}; found {', '.join(map(repr, ids))}.")
    if human_judges is not None and judge_model in human_judges:
        raise ValueError(f"{name}: {judge_model!r} is the judge model and cannot be among human_judges")
    people = [i for i in ids if i != judge_model] if human_judges is None else list(human_judges)
    own = judgements.filter(pl.col("judge_id") == judge_model)
    theirs = judgements.filter(pl.col("judge_id").is_in(people))
    model = reason_verdicts(own, good=good, bad=bad).select(*KEYS, pl.col("share_bad").alias("judge"))
    majority = pl.when(pl.col("even_split") == 0).then("majority_bad")
    human = reason_verdicts(theirs, good=good, bad=bad).select(
        *KEYS, pl.col("share_bad").alias("human"), majority.alias("human_majority")
    )
    rows = model.join(human, on=KEYS, how="full", coalesce=True).sort(KEYS)
    rows = rows.join(_chances(name, theirs), on=KEYS, how="left", maintain_order="left")
    known = rows.select("item_id", group="item_id").unique() if items is None else items.select("item_id", "group")
    rows = rows.join(known, on="item_id", how="left", maintain_order="left")
    reasons = pl.max_horizontal(1, pl.col("judge").count().over("run_id", "item_id"))
    return rows.with_columns(pl.col("group").fill_null(pl.col("item_id")), weight=1.0 / reasons)


def _chances(name: str, theirs: pl.DataFrame) -> pl.DataFrame:
    """The inclusion probability of each reason that people judged; null where none was stored."""
    given = (
        theirs.drop_nulls("value")
        .group_by(KEYS)
        .agg(
            pl.col("inclusion_prob").drop_nulls().first(),
            pl.col("inclusion_prob").drop_nulls().n_unique().alias("several"),
        )
    )
    several = given.filter(pl.col("several") > 1).sort("output_id")
    if len(several):
        raise TableError(
            f"{name}: {several['output_id'][0]!r} has {several['several'][0]} inclusion probabilities; a reason has "
            "one: that any person judges it."
        )
    return given.drop("several")
