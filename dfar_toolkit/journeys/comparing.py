"""From several outputs files to the comparison of all their runs on the same items."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.journeys.one_config import items_of
from dfar_toolkit.journeys.outputs import OutputsOptions, folder_answered, read_runs, scorable
from dfar_toolkit.journeys.scores import ORDERED_KINDS
from dfar_toolkit.metrics.answers import Answers, evaluated_items, join_outputs
from dfar_toolkit.metrics.comparing.many_runs import ManyRuns, compare_many
from dfar_toolkit.metrics.comparison import compare
from dfar_toolkit.metrics.soft_labels.score_table import soft_label_scores
from dfar_toolkit.metrics.unknown_items import unknown_items, unknown_items_message

# What is shown where there is no room for every metric; further ones stand in the full table.
HEADLINES: Final = (
    "accuracy", "accuracy_answered", "macro_f1", "mean_absolute_error", "quadratic_kappa", "soft_cross_entropy",
    "brier_score_unbiased", "human_calibration_error", "token_f1_mean", "own_label_agreement",
)  # fmt: skip


class ComparedFiles(NamedTuple):
    """All pairs of the runs of several files.

    ``runs`` as in ``compare_many``; ``of_pairs`` what depends on the pair, rows as in ``compare``: accuracy over the
    items that both answered and, with judgements, the misalignment rate over items judged for both; ``right_wrong``
    rows ``run_a, run_b, subset, a_right, b_right, count``. ``primary`` is the metric declared beforehand.
    """

    runs: ManyRuns
    of_pairs: pl.DataFrame
    right_wrong: pl.DataFrame
    primary: str


def compare_files(
    paths: Sequence[Path],
    *,
    items: Path | str | ItemsFolder,
    judgements: Path | str | None = None,
    split: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    reading: OutputsOptions | None = None,
    primary: str = "accuracy",
    margin: float | None = None,
    by: str | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    separator: str | None = None,
    said: Callable[[str], None] | None = None,
) -> ComparedFiles:
    """Compare the runs of any number of outputs files.

    Args:
        paths: Outputs files or run folders; together at least two runs.
        items: The items folder, or what ``read_items`` returned.
        judgements: Good/Bad judgements of the reasons, for differences of the misalignment rate.
        split: Splits to compare on; by default those that occur, which must be the same for all runs.
        label_map: From the models' labels to the options' names.
        reading: How files of other tools are read.
        primary: The metric declared beforehand; its pairs are the family of tests.
        margin: Half width of differences that do not matter.
        by: A column of the items to compare by; all its values together are one family of tests.
        confidence: Coverage of the intervals.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        separator: Separator of CSV files where it is not a comma.
        said: Called with each line that a person must know of how a file was read.

    Returns:
        The comparisons; pairs in the order of the files, second minus first.

    Raises:
        TableError: Fewer than two runs, a file that is not what it must be, runs that answer different splits.
    """
    folder = items_of(items)
    _check_column(folder.items, by)
    runs = read_runs(
        paths, folder, reading=reading, label_map=label_map, split=split, separator=separator, said=said,
        rename=judgements is None,
    )  # fmt: skip
    judged = read_judgements(judgements, questions=folder.questions, separator=separator) if judgements else None
    folder = folder_answered(runs, folder)
    answers = joined_runs(runs, folder, split=split)
    if label_map:
        renamed = "labels renamed: " + ", ".join(f"{a} -> {b}" for a, b in label_map.items())
        answers = answers._replace(note="; ".join(filter(None, [answers.note, renamed])))
    found = compare_joined(
        answers, runs, folder, judgements=judged, split=split, primary=primary, margin=margin, by=by,
        confidence=confidence, n_boot=n_boot, seed=seed,
    )  # fmt: skip
    if judged is not None and said is not None and not found.of_pairs["metric"].str.starts_with("mar_").any():
        said("no pair of runs has judged reasons on both sides: no difference of misalignment rates")
    return found


def joined_runs(
    runs: Mapping[str, pl.DataFrame],
    folder: ItemsFolder,
    *,
    split: Sequence[str] | None = None,
    question: str | None = None,
) -> Answers:
    """All runs' answers beside the gold labels, as they are compared.

    Args:
        runs: Run id to its outputs.
        folder: The items folder.
        split: Splits to compare on; by default those that occur, which must be the same for all runs.
        question: The question answered, where the outputs hold several.

    Returns:
        The answers.

    Raises:
        TableError: Runs that answer different splits, and as ``join_outputs``.
    """
    try:
        if split is None:
            _check_splits(runs, folder.items)
        return _joined(pl.concat(list(runs.values()), how="diagonal_relaxed"), folder, split, question)
    except TableError as error:
        raise error_of_run(error, runs, folder, split=split, question=question) from None


def error_of_run(
    error: TableError,
    runs: Mapping[str, pl.DataFrame],
    folder: ItemsFolder,
    *,
    split: Sequence[str] | None = None,
    question: str | None = None,
) -> TableError:
    """Of several runs, the error of the first that does not fit the items by itself, with its name.

    Args:
        error: What was said of all runs together.
        runs: Run id to its outputs.
        folder: The items folder.
        split: As for :func:`joined_runs`.
        question: As for :func:`joined_runs`.

    Returns:
        The error with the run's name; ``error`` where there is one run, or each fits alone.
    """
    for run, part in runs.items() if len(runs) > 1 else ():
        try:
            _joined(part, folder, split, question)
        except TableError as own:
            return TableError(f"run {run!r}: {own}")
    return error


def _joined(outputs: pl.DataFrame, folder: ItemsFolder, split: Sequence[str] | None, question: str | None) -> Answers:
    outputs, asked = scorable(outputs, folder)
    return join_outputs(outputs, asked, options=folder.options, split=split, question=question)


def compare_joined(
    answers: Answers,
    runs: Mapping[str, pl.DataFrame],
    folder: ItemsFolder,
    *,
    judgements: pl.DataFrame | None = None,
    split: Sequence[str] | None = None,
    question: str | None = None,
    primary: str = "accuracy",
    metrics: Collection[str] | None = None,
    margin: float | None = None,
    by: str | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> ComparedFiles:
    """Compare runs that have been read and joined.

    Args:
        answers: From :func:`joined_runs`.
        runs: The same runs' outputs, in the order in which they are paired.
        folder: The items folder.
        judgements: The table judgements.
        split: As for :func:`joined_runs`.
        question: As for :func:`joined_runs`.
        primary: The metric declared beforehand.
        metrics: What is compared beside it; None means all that apply.
        margin: Half width of differences that do not matter.
        by: A column of the items to compare by.
        confidence: Coverage of the intervals.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The comparisons.

    Raises:
        TableError: Fewer than two runs, a metric that is none.
    """
    many = compare_many(
        answers, runs=list(runs), primary=primary, metrics=metrics, margin=margin, by=by, items=folder.items,
        ordered=str(folder.questions["kind"][0]) in ORDERED_KINDS, soft_scores=soft_label_scores,
        confidence=confidence, n_boot=n_boot, seed=seed,
    )  # fmt: skip
    rates, cells = [], []
    judged = set() if judgements is None else set(judgements["run_id"]) & set(runs)
    for (run_a, a), (run_b, b) in combinations(runs.items(), 2):
        # Judgements of neither run are refused, as of another file; of some other run of this file they are not.
        about = judgements if not judged or judged & {run_a, run_b} else None
        pair = compare(
            a, b, folder.items, judgements=about, annotations=folder.annotations, options=folder.options,
            split=split, question=question, confidence=confidence, n_boot=n_boot, seed=seed,
        )  # fmt: skip
        own = pl.col("metric").str.starts_with("mar_") | (pl.col("metric") == "accuracy_answered")
        rates.append(pair.differences.filter(own))
        named = [pl.lit(run).alias(side) for side, run in (("run_a", pair.run_a), ("run_b", pair.run_b))]
        cells.append(pair.right_wrong.select(*named, pl.all()))
    return ComparedFiles(many, pl.concat(rates), pl.concat(cells), primary)


def _check_column(items: pl.DataFrame, by: str | None) -> None:
    """Refuse a column to compare by that holds lists or objects."""
    if by is not None and by in items.columns and items.schema[by].is_nested():
        plain = [name for name, dtype in items.schema.items() if not dtype.is_nested()]
        raise TableError(f"compare: the column {by!r} holds several values per item; wanted one of {', '.join(plain)}.")


def _check_splits(runs: Mapping[str, pl.DataFrame], items: pl.DataFrame) -> None:
    strange = unknown_items(pl.concat([part["item_id"] for part in runs.values()]), items)
    if len(strange):
        raise TableError(
            f"compare: every output must be about one of the items; {unknown_items_message(strange, items)}. Are these "
            "the right items?"
        )
    found = {run: ", ".join(evaluated_items(items, part)["split"].unique().sort()) for run, part in runs.items()}
    if len(set(found.values())) > 1:
        (run_a, a), (run_b, b) = next((x, y) for x, y in combinations(found.items(), 2) if x[1] != y[1])
        raise TableError(
            f"compare: all runs must answer the same splits; {run_a} answers {a}, {run_b} answers {b}; choose one "
            "(--split; in Python split=)."
        )
