"""From files to scores: a run against people, two runs against each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.journeys.one_config import items_of
from dfar_toolkit.journeys.outputs import (
    OutputsOptions,
    ReadOutputs,
    folder_answered,
    read_any_outputs,
    reading_lines,
    scorable,
)
from dfar_toolkit.journeys.scored_rationales import scored_rationales
from dfar_toolkit.metrics.comparison import Comparison, compare
from dfar_toolkit.metrics.judging.judging_table import model_judges
from dfar_toolkit.metrics.rationale.gold_words import GoldRule
from dfar_toolkit.report.document import NO_LABEL
from dfar_toolkit.scoring import confusions, score
from dfar_toolkit.scoring.rationale_scores import RATIONALE_PARTS, answers_nothing
from dfar_toolkit.scoring.score_columns import SCORE_SCHEMA
from dfar_toolkit.tabular import nearest, quoted

ORDERED_KINDS = ("ordinal", "interval", "ratio")
_NO_CELLS = pl.DataFrame(
    schema={"run_id": pl.String, "subset": pl.String, "gold": pl.String, "pred": pl.String, "count": pl.UInt32}
)


class Scored(NamedTuple):
    """The scores of a file, and its confusion matrices: ``run_id, subset, gold, pred, count``.

    Of a file with rationales, or tests of reasons, also ``rationales`` and ``differences`` between their methods; else
    these are empty.
    """

    table: pl.DataFrame
    confusion: pl.DataFrame
    options: list[str]
    rationales: pl.DataFrame
    differences: pl.DataFrame

    def confusion_rows(self) -> list[dict[str, object]]:
        """The cells as rows of scores: metric ``confusion``, ``label`` the gold one, ``predicted`` null if unparsed."""
        return [
            {"metric": "confusion", "subset": c["subset"], "run_id": c["run_id"], "label": c["gold"],
             "predicted": c["pred"], "value": c["count"], "n": c["count"], "part": "labels", "predictor": None,
             "note": ""}
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
            tables.append((f"Confusion matrix of {run}, {subset}", ["gold \\ said", *self.options, NO_LABEL], rows))
        return tables


def score_run(
    outputs: Path | str,
    *,
    items: Path | str | ItemsFolder,
    judgements: Path | str | None = None,
    judge_models: Sequence[str] = (),
    parts: Sequence[str] | None = None,
    split: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    reading: OutputsOptions | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    separator: str | None = None,
) -> pl.DataFrame:
    """Score an outputs file: one row per metric, subset and run, with interval and n.

    Args:
        outputs: JSONL, CSV, Parquet, a run folder, or a file of another tool.
        items: The items folder, or what ``read_items`` returned.
        judgements: Good/Bad judgements of the reasons, for the misalignment rate.
        judge_models: Judges that are models, beside those that the items folder calls so.
        parts: Parts of the table to compute; by default all that apply.
        split: Splits to score; by default those that occur in the file.
        label_map: From the model's label to the option's name.
        reading: How a file of another tool is read.
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
        outputs, items=items, judgements=judgements, judge_models=judge_models, parts=parts, split=split,
        label_map=label_map, reading=reading, confidence=confidence, n_boot=n_boot, seed=seed, separator=separator,
    ).table  # fmt: skip


def score_file(
    outputs: Path | str,
    *,
    items: Path | str | ItemsFolder,
    judgements: Path | str | None = None,
    judge_models: Sequence[str] = (),
    parts: Sequence[str] | None = None,
    split: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    reading: OutputsOptions | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    separator: str | None = None,
    marked_by: Sequence[GoldRule] = ("majority",),
    said: Callable[[str], None] | None = None,
) -> Scored:
    """Score an outputs file with its confusion matrices; arguments as in :func:`score_run`.

    ``marked_by`` is by whom words must be marked for rationales to be held against them.

    ``said`` is called with each line that a person must know of how the file was read.
    """
    folder = items_of(items)
    judged = read_judgements(judgements, questions=folder.questions, separator=separator) if judgements else None
    if judged is not None:
        check_judges(judged, judge_models, str(judgements))
    read = read_any_outputs(outputs, folder, reading=reading, label_map=label_map, split=split, separator=separator)
    if said is not None:
        for line in reading_lines(outputs, read):
            said(line)
    of_answers = None if parts is None else [part for part in parts if part not in RATIONALE_PARTS]
    rationales, differences = scored_rationales(
        read.outputs, folder, parts=parts, split=split, marked_by=marked_by, confidence=confidence, n_boot=n_boot,
        seed=seed,
    )  # fmt: skip
    if (of_answers == [] and parts) or (parts is None and answers_nothing(read.outputs)):
        return Scored(pl.DataFrame(schema=SCORE_SCHEMA), _NO_CELLS, folder.options, rationales, differences)
    folder = folder_answered({str(outputs): read.outputs}, folder)
    answers, asked = scorable(read.outputs, folder)
    table = score(
        answers,
        asked,
        options=folder.options,
        ordered=str(folder.questions["kind"][0]) in ORDERED_KINDS,
        judgements=judged,
        judge_models=[*judge_models, *model_judges(folder.raters, judged)],
        annotations=folder.annotations,
        parts=of_answers,
        split=split,
        note=_read_note(read),
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
    )
    cells = confusions(read.outputs, folder.items, options=folder.options, split=split)
    return Scored(table, cells, folder.options, rationales, differences)


def check_judges(judged: pl.DataFrame, models: Sequence[str], where: str) -> None:
    """Refuse the name of a model that judged nothing: misspelt, its verdicts would count as a person's.

    Args:
        judged: The table judgements.
        models: Judge ids said to be models.
        where: File named in errors.

    Raises:
        TableError: One of them is no judge.
    """
    judges = judged["judge_id"].unique().sort().to_list()
    lost = [name for name in models if name not in judges]
    if lost:
        raise TableError(
            f"{where}: no judge is called {quoted(lost)}; found {quoted(judges)}.{nearest(lost[0], judges)}"
        )


def _read_note(read: ReadOutputs) -> str:
    """What stands beside accuracy about the file: labels renamed, rows that matched no item."""
    renamed = [note for note in read.notes if note.startswith("labels renamed")]
    lost = f"{read.unmatched.height} rows of the file matched no item" if read.unmatched.height else ""
    return "; ".join(filter(None, [*renamed, lost]))


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
    folder = items_of(items)
    judged = read_judgements(judgements, questions=folder.questions, separator=separator) if judgements else None
    read = partial(read_any_outputs, folder=folder, label_map=label_map, split=split, separator=separator)
    return compare(
        read(run_a).outputs,
        read(run_b).outputs,
        folder.items,
        options=folder.options,
        judgements=judged,
        annotations=folder.annotations,
        split=split,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
    )
