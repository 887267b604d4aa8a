"""The answers of a run that have a label and a reason: what a simulator is to guess."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.digest import content_digest
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.journeys.outputs import OutputsOptions, read_any_outputs, reading_lines
from dfar_toolkit.journeys.what_is_asked import Question
from dfar_toolkit.metrics.unknown_labels import unknown_labels_message
from dfar_toolkit.scoring.rationale_scores import answers_nothing
from dfar_toolkit.tabular import quoted


class ExplainedAnswers(NamedTuple):
    """Answers about the items that are asked about.

    Attributes:
        run: The run that they are of.
        rows: ``item_id, label, reason``, in the order of the items.
        digest: Of these rows.
        notes: How the file was read, and what was left out.
    """

    run: str
    rows: pl.DataFrame
    digest: str
    notes: tuple[str, ...]


def explained_answers(
    path: Path | str,
    folder: ItemsFolder,
    question: Question,
    label_map: Mapping[str, str] | None = None,
    *,
    reading: OutputsOptions | None = None,
    separator: str | None = None,
) -> ExplainedAnswers:
    """Read the labels and reasons that a run gave, as ``dfar score`` reads outputs.

    Looked at is the answer itself (condition ``full``, for no annotator, of no method where there are such) at the
    lowest sample number.

    Args:
        path: A run folder or an outputs file, of this toolkit or of another tool.
        folder: The items.
        question: What is asked of which items.
        label_map: From the file's labels to the options.
        reading: Format, joining and method, where they are not to be found out.
        separator: Separator of a CSV file where it is not a comma.

    Returns:
        The answers that have both.

    Raises:
        TableError: The file is not what it must be, holds several runs or a simulator's guesses, or none of the items
            has a label and a reason; a label is no option.
    """
    read = read_any_outputs(
        path, folder.of_question(question.name), reading=reading, label_map=label_map, split=list(question.splits),
        separator=separator,
    )  # fmt: skip
    if answers_nothing(read.outputs):
        raise TableError(
            f"{path}: --of wants a run with labels and reasons of its own, found a simulator's guesses at another's; "
            "give that other run."
        )
    runs = read.outputs["run_id"].unique().sort().to_list()
    if len(runs) > 1:
        raise TableError(f"{path}: --of wants the answers of one run, found {len(runs)} ({quoted(runs)}); give one.")
    plain = read.outputs.filter(
        pl.col("question") == question.name, pl.col("condition") == "full", pl.col("annotator_id") == ""
    )
    if (plain["method"] == "").any():  # beside them may stand answers within a test; else it is another tool's filter
        plain = plain.filter(pl.col("method") == "")
    first = plain.filter(pl.col("sample") == pl.col("sample").min().over("item_id"))
    found = _of_items(first, question, str(path))
    rows, left_out = _complete(found)
    if not len(rows):
        raise TableError(
            f"{path}: of {len(found)} items asked about ({', '.join(question.splits)}) none has an answer with a label "
            f"and a reason ({left_out}); give a run that gives reasons."
        )
    notes = [*reading_lines(path, read), f"{len(rows)} answers of the run {runs[0]!r} have a label and a reason"]
    notes += [f"left out of {len(found)} items: {left_out}"] if left_out else []
    return ExplainedAnswers(str(runs[0]), rows, content_digest(rows.iter_rows(named=True)), tuple(notes))


def _of_items(first: pl.DataFrame, question: Question, path: str) -> pl.DataFrame:
    """Each item that is asked about with its answer, null where it has none."""
    asked = question.items.select("item_id")
    own = first.join(asked, on="item_id", how="semi")
    twice = own.filter(pl.col("item_id").is_duplicated())
    if len(twice):
        raise TableError(
            f"{path}: one answer per item is wanted; {twice['item_id'][0]!r} has several; keep one of them."
        )
    answered = pl.col("error").is_null()
    own = own.select(
        "item_id", pl.when(answered).then("label").alias("label"), pl.when(answered).then("reason").alias("reason"),
        there=pl.lit(value=True),
    )  # fmt: skip
    strange = own.filter(~pl.col("label").is_in(list(question.options)))["label"]
    if len(strange):
        raise TableError(f"{path}: {unknown_labels_message(strange, question.options)}")
    return asked.join(own, on="item_id", how="left", maintain_order="left")


def _complete(found: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The answers with label and reason, and how many items have none of these, in words."""
    said = (pl.col("reason").str.strip_chars() != "").fill_null(value=False)
    lost = found.select(
        absent=pl.col("there").is_null().sum(),
        unread=(pl.col("there").is_not_null() & pl.col("label").is_null()).sum(),
        silent=(pl.col("label").is_not_null() & ~said).sum(),
    ).row(0)
    words = ("without an answer", "without a label", "without a reason")
    told = ", ".join(f"{count} {what}" for count, what in zip(lost, words, strict=True) if count)
    return found.filter(pl.col("label").is_not_null(), said).select("item_id", "label", "reason"), told
