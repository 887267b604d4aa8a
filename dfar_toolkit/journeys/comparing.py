"""From several outputs files to the comparison of all their runs on the same items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder, read_items
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.journeys.outputs import OutputsOptions, read_runs, scorable
from dfar_toolkit.metrics.answers import evaluated_items, join_outputs
from dfar_toolkit.metrics.comparing.many_runs import ManyRuns, compare_many
from dfar_toolkit.metrics.comparison import compare
from dfar_toolkit.metrics.soft_labels.score_table import soft_label_scores


class ComparedFiles(NamedTuple):
    """All pairs of the runs of several files.

    ``runs`` as in ``compare_many``; ``of_pairs`` what depends on the pair, rows as in ``compare``: accuracy over the
    items that both answered and, with judgements, the misalignment rate over items judged for both; ``right_wrong``
    rows ``run_a, run_b, subset, a_right, b_right, count``.
    """

    runs: ManyRuns
    of_pairs: pl.DataFrame
    right_wrong: pl.DataFrame


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
        by: A column of the items to compare by.
        confidence: Coverage of the intervals.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        separator: Separator of CSV files where it is not a comma.
        said: Called with each line that a person must know of how a file was read.

    Returns:
        The comparisons.

    Raises:
        TableError: Fewer than two runs, a file that is not what it must be, runs that answer different splits.
    """
    folder = items if isinstance(items, ItemsFolder) else read_items(items)
    _check_column(folder.items, by)
    runs = read_runs(
        paths, folder, reading=reading, label_map=label_map, split=split, separator=separator, said=said,
        rename=judgements is None,
    )  # fmt: skip
    judged = read_judgements(judgements, questions=folder.questions, separator=separator) if judgements else None
    if split is None:
        _check_splits(runs, folder.items)
    outputs, asked = scorable(pl.concat(list(runs.values()), how="diagonal_relaxed"), folder)
    answers = join_outputs(
        outputs, asked,
        options=folder.options, split=split,
    )  # fmt: skip
    if label_map:
        renamed = "labels renamed: " + ", ".join(f"{a} -> {b}" for a, b in label_map.items())
        answers = answers._replace(note="; ".join(filter(None, [answers.note, renamed])))
    many = compare_many(
        answers, primary=primary, margin=margin, by=by, items=folder.items,
        soft_scores=soft_label_scores,
        confidence=confidence, n_boot=n_boot, seed=seed,
    )  # fmt: skip
    rates, cells = [], []
    for a, b in combinations(runs.values(), 2):
        pair = compare(
            a, b, folder.items, judgements=judged, annotations=folder.annotations, options=folder.options,
            split=split, confidence=confidence, n_boot=n_boot, seed=seed,
        )  # fmt: skip
        own = pl.col("metric").str.starts_with("mar_") | (pl.col("metric") == "accuracy_answered")
        rates.append(pair.differences.filter(own))
        named = [pl.lit(run).alias(side) for side, run in (("run_a", pair.run_a), ("run_b", pair.run_b))]
        cells.append(pair.right_wrong.select(*named, pl.all()))
    of_pairs = pl.concat(rates)
    if judged is not None and said is not None and not of_pairs["metric"].str.starts_with("mar_").any():
        said("no pair of runs has judged reasons on both sides: no difference of misalignment rates")
    return ComparedFiles(many, of_pairs, pl.concat(cells))


def _check_column(items: pl.DataFrame, by: str | None) -> None:
    """Refuse a column to compare by that holds lists or objects."""
    if by is not None and by in items.columns and items.schema[by].is_nested():
        plain = [name for name, dtype in items.schema.items() if not dtype.is_nested()]
        raise TableError(f"compare: the column {by!r} holds several values per item; wanted one of {', '.join(plain)}.")


def _check_splits(runs: Mapping[str, pl.DataFrame], items: pl.DataFrame) -> None:
    found = {run: ", ".join(evaluated_items(items, part)["split"].unique().sort()) for run, part in runs.items()}
    if len(set(found.values())) > 1:
        (run_a, a), (run_b, b) = next((x, y) for x, y in combinations(found.items(), 2) if x[1] != y[1])
        raise TableError(
            f"compare: all runs must answer the same splits; {run_a} answers {a}, {run_b} answers {b}; choose one "
            "(split=)."
        )
