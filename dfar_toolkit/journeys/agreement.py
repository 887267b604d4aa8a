"""From a folder or a table of ratings to agreement, and a second opinion on alpha by another package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from dfar_toolkit.agreement import agreement_table
from dfar_toolkit.agreement.duplicates import Kept, without_repeats
from dfar_toolkit.agreement.second_opinion import package_alpha
from dfar_toolkit.corpus.annotator_agreement import (
    set_statistics,
    single_valued_questions,
    statistics_of,
    with_units,
)
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import read_items
from dfar_toolkit.journeys.who_and_where import Rated, Wanted, further_tables
from dfar_toolkit.tabular import quoted, read_table


class Agreement(NamedTuple):
    """Statistics, the ratings behind them, what a reader must know about how they were made, and further tables."""

    table: pl.DataFrame
    rated: list[Rated]
    notes: list[str]
    further: dict[str, pl.DataFrame]


def agreement_of_folder(
    folder: Path,
    *,
    question: str | None = None,
    everything: bool = False,
    pairs: bool | None = None,
    by: str | None = None,
    repeats: Kept | None = None,
    wanted: Wanted | None = None,
) -> Agreement:
    """Agreement on each question of an items folder, intervals over its groups.

    Args:
        folder: The items folder.
        question: This question only.
        everything: The whole family of statistics.
        pairs: Every pair of annotators; None: where there are few.
        by: A column of annotations, items or raters to slice by.
        repeats: Which rating of somebody who rated an item twice is kept; None: refused.
        wanted: Further tables, and how intervals are made.

    Returns:
        The statistics and what stands beside them.

    Raises:
        TableError: No such question or column, or nobody is known by name.
    """
    wanted = wanted or Wanted()
    read = read_items(folder)
    questions = read.questions
    if question is not None:
        questions = questions.filter(pl.col("question") == question)
        if questions.height == 0:
            known = ", ".join(read.questions["question"])
            raise TableError(f"{folder}: no question {question!r}; the questions are {known}.")
    rows = with_units(read.annotations, read.items, raters=read.raters, by=by)
    if wanted.groups is not None:
        rows = with_units(rows.drop("group"), read.items, raters=read.raters, by=wanted.groups)
    parts = single_valued_questions(rows, questions)
    if not parts:
        raise TableError(
            f"{folder}: agreement needs ratings whose annotators are known; here they are not (annotator 'unknown')."
        )
    notes = _set_notes(rows, questions)
    if repeats is not None:
        parts = [part._replace(ratings=_kept(part.ratings, repeats, notes, part.question)) for part in parts]
    table = statistics_of(
        parts, everything=everything, pairs=pairs, by=by, ci=wanted.ci, scope=wanted.scope,
        confidence=wanted.confidence, n_boot=wanted.n_boot, seed=wanted.seed,
    )  # fmt: skip
    if by is None:
        sets = set_statistics(rows, questions, ci=wanted.drawn, confidence=wanted.confidence, n_boot=wanted.n_boot)
        table = pl.concat([table, *sets], how="diagonal_relaxed")
    if by is not None and by in read.raters.columns:
        notes.append(
            f"groups of annotators by {by} are described, not compared: the intervals are over items and take these "
            f"people as they are (--groups {by} compares them)"
        )
    rated = [Rated(p.question, p.ratings, p.order, p.kind, "group") for p in parts]
    return Agreement(table, rated, notes, further_tables(rated, wanted))


def _set_notes(rows: pl.DataFrame, questions: pl.DataFrame) -> list[str]:
    """How often one person gave several values, for each question where that was allowed."""
    notes = []
    for name in questions.filter(pl.col("kind") == "set")["question"]:
        sizes = rows.filter(pl.col("question") == name).group_by("rating_id").len()["len"]
        notes.append(
            f"{name}: in {(sizes > 1).sum()} of {len(sizes)} ratings one person gave several values; agreement is "
            "therefore given for each option, as a yes/no question of its own"
        )
    return notes


def agreement_of_table(
    path: Path,
    *,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    kind: str = "nominal",
    order: Sequence[str] | None = None,
    question: str | None = None,
    everything: bool = False,
    pairs: bool | None = None,
    by: str | None = None,
    separator: str | None = None,
    repeats: Kept | None = None,
    wanted: Wanted | None = None,
) -> Agreement:
    """Agreement on a long table of ratings, one row per item and rater.

    Raises:
        TableError: The file is not what it must be, or holds several questions.
    """
    wanted = wanted or Wanted()
    frame = read_table(path, separator=separator)
    columns = {"--item": item, "--rater": rater, "--value": value, "--group": group, "--by": by}
    _need_columns(frame, path, {**columns, "--groups": wanted.groups, "--drift": wanted.drift})
    if question is not None:
        if "question" not in frame.columns:
            raise TableError(f'{path}: --question needs a column "question"; found {", ".join(frame.columns)}.')
        frame = frame.filter(pl.col("question") == question)
        if frame.height == 0:
            raise TableError(f"{path}: no rows of the question {question!r}.")
    notes: list[str] = []
    plain = frame.rename({item: "item_id", rater: "annotator_id", value: "value"}, strict=False)
    if repeats is not None:
        plain = _kept(plain, repeats, notes, "")
    unit = {item: "item_id", rater: "annotator_id", value: "value"}.get(str(group), group)
    table = agreement_table(
        plain, group=unit, kind=kind, order=order, everything=everything, pairs=pairs, by=by, ci=wanted.ci,
        scope=wanted.scope, confidence=wanted.confidence, n_boot=wanted.n_boot, seed=wanted.seed,
    )  # fmt: skip
    rated = [Rated("", plain, list(order) if order else None, kind, unit)]
    return Agreement(table, rated, notes, further_tables(rated, wanted))


def _kept(ratings: pl.DataFrame, keep: Kept, notes: list[str], question: str) -> pl.DataFrame:
    """The ratings with one per annotator and item, and a note of how many went."""
    kept = without_repeats(ratings, keep=keep)
    if kept.n_repeats:
        notes.append(f"{question}: {kept}" if question else str(kept))
    return kept.frame


def _need_columns(frame: pl.DataFrame, path: Path, wanted: Mapping[str, str | None]) -> None:
    """Refuse a table that lacks a column, and say which option names it; a row per item is another layout."""
    lost = {option: name for option, name in wanted.items() if name is not None and name not in frame.columns}
    if not lost:
        return
    options = ", ".join(f"{option} (now {name!r})" for option, name in lost.items())
    raise TableError(
        f"{path}: wanted one row per rating, found the columns {quoted(frame.columns)}; name yours with {options}. "
        "With one row per item and a column per person, build it first (dfar build table --column layout=wide)."
    )


def second_opinion(table: pl.DataFrame, rated: Sequence[Rated], *, by: str | None = None) -> pl.DataFrame:
    """Alpha again by the krippendorff package, beside ours: columns ``cross_check`` and ``difference``.

    Rows that are not alpha, and those that the package cannot compute, have null there.

    Args:
        table: What :func:`agreement_of_folder` or :func:`agreement_of_table` returned.
        rated: The ratings behind it.
        by: The column by which the statistics were sliced.
    """
    by_question = {part.question: part for part in rated}
    checks: list[float | None] = []
    for row in table.iter_rows(named=True):
        if row["statistic"] != "krippendorff_alpha":
            checks.append(None)
            continue
        part = by_question[str(row.get("question") or "")]
        ratings = part.ratings.filter(pl.col(by).eq_missing(row[by])) if by else part.ratings
        order = part.order if row["level"] == "ordinal" else None
        checks.append(package_alpha(ratings, level=row["level"], order=order))
    checked = table.with_columns(pl.Series("cross_check", checks, dtype=pl.Float64).fill_nan(None))
    return checked.with_columns((pl.col("value") - pl.col("cross_check")).alias("difference"))
