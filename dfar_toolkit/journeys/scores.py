"""From files to scores: a run against people, two runs against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder, read_items
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.files.outputs import read_outputs
from dfar_toolkit.metrics.comparison import Comparison, compare
from dfar_toolkit.scoring import confusions, score


class Scored(NamedTuple):
    """The scores of a file, and its confusion matrices: ``run_id, subset, gold, pred, count``."""

    table: pl.DataFrame
    confusion: pl.DataFrame
    options: list[str]

    def confusion_rows(self) -> list[dict[str, object]]:
        """The cells as rows of scores: metric ``confusion``, ``label`` the gold one, ``predicted`` null if unparsed."""
        return [
            {"metric": "confusion", "subset": c["subset"], "run_id": c["run_id"], "label": c["gold"],
             "predicted": c["pred"], "value": c["count"]}
            for c in self.confusion.iter_rows(named=True)
        ]  # fmt: skip

    def confusion_tables(self) -> list[tuple[str, list[str], list[list[object]]]]:
        """One table per run and subset: title, header, a row per gold label."""
        tables: list[tuple[str, list[str], list[list[object]]]] = []
        for (run, subset), part in self.confusion.group_by("run_id", "subset", maintain_order=True):
            cells = {(row["gold"], row["pred"]): row["count"] for row in part.iter_rows(named=True)}
            rows: list[list[object]] = [
                [gold, *(cells.get((gold, pred), 0) for pred in [*self.options, None])] for gold in self.options
            ]
            tables.append((f"Confusion matrix of {run}, {subset}", ["gold \\ said", *self.options, "unparsed"], rows))
        return tables


def score_run(
    outputs: Path | str,
    *,
    items: Path | str | ItemsFolder,
    judgements: Path | str | None = None,
    split: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    separator: str | None = None,
) -> pl.DataFrame:
    """Score an outputs file: one row per metric, subset and run, with interval and n.

    Args:
        outputs: JSONL, CSV, Parquet, or a run folder.
        items: The items folder, or what ``read_items`` returned.
        judgements: Good/Bad judgements of the reasons, for the misalignment rate.
        split: Splits to score; by default those that occur in the file.
        label_map: From the model's label to the option's name.
        confidence: Coverage of the intervals.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        separator: Separator of CSV files where it is not a comma.

    Returns:
        Columns ``metric, subset, run_id, label, value, low, high, n, note, ...``.

    Raises:
        TableError: A file is not what it must be, or does not fit the items.
    """
    return score_file(
        outputs, items=items, judgements=judgements, split=split, label_map=label_map,
        confidence=confidence, n_boot=n_boot, seed=seed, separator=separator,
    ).table  # fmt: skip


def score_file(
    outputs: Path | str,
    *,
    items: Path | str | ItemsFolder,
    judgements: Path | str | None = None,
    split: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    separator: str | None = None,
) -> Scored:
    """Score an outputs file with its confusion matrices; arguments as in :func:`score_run`."""
    folder = items if isinstance(items, ItemsFolder) else read_items(items)
    judged = read_judgements(judgements, questions=folder.questions, separator=separator) if judgements else None
    read = read_outputs(outputs, questions=folder.questions, separator=separator)
    table = score(
        read,
        folder.items,
        options=folder.options,
        judgements=judged,
        annotations=folder.annotations,
        split=split,
        label_map=label_map,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
    )
    cells = confusions(read, folder.items, options=folder.options, split=split, label_map=label_map)
    return Scored(table, cells, folder.options)


def compare_runs(
    run_a: Path | str,
    run_b: Path | str,
    *,
    items: Path | str | ItemsFolder,
    judgements: Path | str | None = None,
    split: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    separator: str | None = None,
) -> Comparison:
    """Compare two outputs files on the same items; arguments as in :func:`score_run`."""
    folder = items if isinstance(items, ItemsFolder) else read_items(items)
    judged = read_judgements(judgements, questions=folder.questions, separator=separator) if judgements else None
    return compare(
        read_outputs(run_a, questions=folder.questions, separator=separator),
        read_outputs(run_b, questions=folder.questions, separator=separator),
        folder.items,
        options=folder.options,
        judgements=judged,
        annotations=folder.annotations,
        split=split,
        label_map=label_map,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
    )


def read_runs(paths: Sequence[Path], folder: ItemsFolder, *, separator: str | None = None) -> dict[str, pl.DataFrame]:
    """Outputs of several files by run id.

    Raises:
        TableError: A file is not what it must be, or two files hold runs of one name.
    """
    runs: dict[str, pl.DataFrame] = {}
    for path in paths:
        read = read_outputs(path, questions=folder.questions, separator=separator)
        for (run,), part in read.group_by("run_id", maintain_order=True):
            if str(run) in runs:
                raise TableError(f"{path}: a run named {run!r} was already read from another file; rename one of them.")
            runs[str(run)] = part
    return runs
