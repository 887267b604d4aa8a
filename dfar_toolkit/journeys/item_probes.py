"""Probes of what a run's answers follow: length and words of the statement, parts of the items, groups of people."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.corpus.annotator_agreement import with_units
from dfar_toolkit.errors import TableError
from dfar_toolkit.journeys.probe_inputs import (
    ProbeInputs,
    ProbeTable,
    answers_of_runs,
    refuse_sets,
    stacked,
    with_gold,
)
from dfar_toolkit.metrics.bias.annotator_group_gaps import annotator_group_gaps
from dfar_toolkit.metrics.bias.shortcuts import length_shortcut
from dfar_toolkit.metrics.bias.subgroup_gaps import subgroup_gaps
from dfar_toolkit.metrics.bias.word_shortcuts import word_shortcuts
from dfar_toolkit.tabular import nearest, quoted


def probe_shortcuts(inputs: ProbeInputs) -> list[ProbeTable]:
    """Does the predicted label follow the length and the words of the statement more than the gold label does?

    Args:
        inputs: What was read.

    Returns:
        A table about length and one about words.

    Raises:
        TableError: No item has a gold label.
    """
    refuse_sets(inputs)
    texts, options, how = inputs.items.select("item_id", "statement"), inputs.folder.options, inputs.how
    length, words = {}, {}
    for run, rows in with_gold(answers_of_runs(inputs)).items():
        frame = rows.join(texts, on="item_id", how="left", maintain_order="left")
        length[run] = length_shortcut(frame, group="group", options=options, **how._asdict())
        found = word_shortcuts(frame, group="group", options=options, confidence=how.confidence, seed=how.seed)
        words[run] = found.with_columns(metric=pl.lit("word_excess"))
    return [
        ProbeTable("shortcuts", "Length of the statement (characters)", stacked(length)),
        ProbeTable("shortcuts", "Words that move the answer more than people's label", stacked(words)),
    ]


def probe_subgroups(inputs: ProbeInputs) -> list[ProbeTable]:
    """Accuracy on the items with each value of a column, minus accuracy on all others.

    Args:
        inputs: What was read; ``by`` names the column.

    Returns:
        One table.

    Raises:
        TableError: No column, one that the items do not have or that holds several values, or fewer than two values.
    """
    column = _column(inputs.by, inputs.items, "the items")
    values = inputs.items.select("item_id", _by=pl.col(column).cast(pl.String))
    found = {}
    for run, rows in with_gold(answers_of_runs(inputs)).items():
        frame = rows.join(values, on="item_id", how="left", maintain_order="left")
        if frame["_by"].drop_nulls().n_unique() < 2:
            raise TableError(f"the items answered have one value of {column!r}; two or more can be compared.")
        gaps = subgroup_gaps(frame, by="_by", group="group", options=inputs.folder.options, **inputs.how._asdict())
        found[run] = gaps.with_columns(metric=pl.col("metric") + "_gap")
    return [ProbeTable("subgroups", f"Parts of the items by {column} (intervals hold together)", stacked(found))]


def probe_annotator_groups(inputs: ProbeInputs) -> list[ProbeTable]:
    """Agreement of each run with groups of annotators.

    Args:
        inputs: What was read; ``by`` names a column of the raters.

    Returns:
        One table.

    Raises:
        TableError: No such column of the raters, fewer than two groups, or no ratings by people known by name.
    """
    refuse_sets(inputs)
    raters = inputs.folder.raters.filter(pl.col("kind").cast(pl.String) != "model")
    column = _column(inputs.by, raters, "the raters")
    ratings = with_units(inputs.folder.annotations, inputs.items.select("item_id", "group"))
    ratings = ratings.filter(pl.col("question") == inputs.folder.question)
    named = raters.select("annotator_id", _by=pl.col(column).cast(pl.String))
    ratings = ratings.drop("_by", strict=False).join(named, on="annotator_id", how="inner", maintain_order="left")
    found = {}
    for (run,), rows in answers_of_runs(inputs).frame.group_by("run_id", maintain_order=True):
        answered = rows.filter(pl.col("label_pred").is_not_null())
        own = ratings.join(answered.select("item_id"), on="item_id", how="semi", maintain_order="left")
        groups = own["_by"].drop_nulls().n_unique()
        if groups < 2:
            raise TableError(
                f"people known by name who rated what {run} answers stand in {groups} groups by {column!r}; two or "
                "more can be compared."
            )
        gaps = annotator_group_gaps(
            rows.select("item_id", "label_pred"), own, by_rater="_by", pred="label_pred", group="group",
            **inputs.how._asdict(),
        )  # fmt: skip
        found[str(run)] = gaps.rename({"comparison": "metric"})
    return [ProbeTable("annotator-groups", f"Groups of annotators by {column}", stacked(found))]


def _column(by: str | None, table: pl.DataFrame, whose: str) -> str:
    plain = [name for name, dtype in table.schema.items() if not dtype.is_nested()]
    if by is None:
        raise TableError(f"a column of {whose} to compare by is wanted (--by COLUMN).")
    if by not in plain:
        what = "holds several values in a row" if by in table.columns else "is not there"
        raise TableError(f"the column {by!r} of {whose} {what}; found {quoted(plain)}.{nearest(by, plain)}")
    return by
