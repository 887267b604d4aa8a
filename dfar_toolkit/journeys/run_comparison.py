"""The comparison of runs as a report and the viewer show it: the headlines of every pair."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import polars as pl

from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.journeys.comparing import HEADLINES, compare_joined, joined_runs
from dfar_toolkit.metrics.answers import Answers
from dfar_toolkit.metrics.comparing.runs_table import rows_of_all
from dfar_toolkit.metrics.comparison import CHECKPOINTS
from dfar_toolkit.report.document import Comparison


def run_comparison(
    runs: Mapping[str, pl.DataFrame],
    folder: ItemsFolder,
    *,
    judgements: pl.DataFrame | None = None,
    split: Sequence[str] | None = None,
    question: str | None = None,
    metrics: Collection[str] = HEADLINES,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Comparison | None:
    """Every pair of runs, accuracy being the metric declared beforehand, or soft cross-entropy where nothing has gold.

    Args:
        runs: Run id to its outputs, in the order in which they are paired.
        folder: The items folder.
        judgements: The table judgements.
        split: Splits to compare on; by default those that occur.
        question: The question answered, where the outputs hold several.
        metrics: What is compared.
        confidence: Coverage of the intervals.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        What a report shows; None for fewer than two runs, or where neither metric can be computed.

    Raises:
        TableError: Runs that answer different splits.
    """
    if len(runs) < 2:
        return None
    answers = joined_runs(runs, folder, split=split, question=question)
    primary = _primary(answers, list(runs))
    if primary is None:
        return None
    found = compare_joined(
        answers, runs, folder, judgements=judgements, split=split, question=question, primary=primary, metrics=metrics,
        confidence=confidence, n_boot=n_boot, seed=seed,
    )  # fmt: skip
    whole = pl.concat([found.runs.differences, found.of_pairs], how="diagonal")
    said = _said_elsewhere(answers, runs, folder, split, question)
    return Comparison(
        runs=tuple(runs),
        primary=primary,
        differences=_own_notes(whole, found.runs.notes, said),
        ranks=found.runs.ranks,
        outcomes=found.runs.outcomes,
        right_wrong=found.right_wrong,
        notes=dict(found.runs.notes),
    )


def _primary(answers: Answers, runs: Sequence[str]) -> str | None:
    """The metric that stands for the comparison."""
    frame = answers.frame
    if frame["label"].is_not_null().any():
        return "accuracy"
    known = frame.filter(pl.col("label_probs").is_not_null(), pl.col("label_probs_pred").is_not_null())
    return "soft_cross_entropy" if len(rows_of_all(known, runs)[1]) else None


def _said_elsewhere(
    answers: Answers,
    runs: Mapping[str, pl.DataFrame],
    folder: ItemsFolder,
    split: Sequence[str] | None,
    question: str | None,
) -> set[str]:
    """Parts of the notes of single pairs that the notes of the subsets hold for all runs together."""
    if not answers.note:
        return {CHECKPOINTS}
    alone = [joined_runs({run: part}, folder, split=split, question=question).note for run, part in runs.items()]
    return {CHECKPOINTS, *(part for note in alone for part in note.split("; "))}


def _own_notes(differences: pl.DataFrame, notes: Mapping[str, str], said: set[str]) -> pl.DataFrame:
    """The rows without what stands once for their subset."""
    kept = [
        "; ".join(p for p in row["note"].split("; ") if p not in said and p not in notes[row["subset"]].split("; "))
        for row in differences.iter_rows(named=True)
    ]
    return differences.with_columns(pl.Series("note", kept, dtype=pl.String))
