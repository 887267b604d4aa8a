"""What every probe of outputs starts from: runs, items and judgements as read, and each run's answers beside gold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.metrics.answers import Answers, join_outputs
from dfar_toolkit.metrics.judging.judging_table import model_judges
from dfar_toolkit.runners.option_averages import PERMUTED

FIRST: Final = ("run_id", "metric")


class ProbeTable(NamedTuple):
    """One table of a probe: ``metric``, what each row is about, Estimate's fields and further numbers."""

    probe: str
    title: str
    rows: pl.DataFrame


class How(NamedTuple):
    """How intervals are made."""

    confidence: float = 0.95
    n_boot: int = 2000
    seed: int = 0


class ProbeInputs(NamedTuple):
    """What was read: ``runs`` are outputs by run id, ``items`` those of the folder as they are scored.

    ``named`` says whether the probe was asked for by name: then it may take what it else leaves alone as a guess.
    """

    folder: ItemsFolder
    items: pl.DataFrame
    runs: Mapping[str, pl.DataFrame]
    judgements: pl.DataFrame | None
    judge_models: Sequence[str]
    by: str | None
    split: Sequence[str] | None
    how: How
    named: bool

    @property
    def models(self) -> list[str]:
        """Judges that are models, by name or by the folder's raters."""
        return sorted({*self.judge_models, *model_judges(self.folder.raters, self.judgements)})


def plain_outputs(outputs: pl.DataFrame, inputs: ProbeInputs) -> pl.DataFrame:
    """Outputs to the primary question that predict no one annotator and were given all of the item.

    Raises:
        TableError: There are none.
    """
    kept = outputs.filter(
        pl.col("question") == inputs.folder.question, pl.col("condition") == "full", pl.col("annotator_id") == ""
    )
    if not kept.height:
        runs, found = (", ".join(outputs[name].unique().sort()) for name in ("run_id", "condition"))
        raise TableError(
            f'no output of {runs} answers the question {inputs.folder.question!r} in the condition "full" for all '
            f"annotators (conditions found: {found or 'none'}); give only runs that do."
        )
    return kept


def outputs_by_order(outputs: pl.DataFrame, inputs: ProbeInputs) -> pl.DataFrame:
    """Outputs of condition ``permuted``, one per order of the options, where a run has them; else the plain ones.

    The plain row of such a run is the mean over its orders, and no order of its own.

    Raises:
        TableError: There are neither.
    """
    question, own = pl.col("question") == inputs.folder.question, pl.col("annotator_id") == ""
    shown = outputs.filter(question, own, pl.col("condition") == PERMUTED)
    return shown if shown.height else plain_outputs(outputs, inputs)


def answers_of_runs(inputs: ProbeInputs) -> Answers:
    """Every run's answer beside the gold label of every item; a run with several operators is several runs.

    Args:
        inputs: What was read.

    Returns:
        The joined answers; of several samples the first.

    Raises:
        TableError: As :func:`~dfar_toolkit.metrics.answers.join_outputs`.
    """
    parts = [_by_operator(plain_outputs(part, inputs), run) for run, part in inputs.runs.items()]
    return joined(pl.concat(parts, how="diagonal_relaxed"), inputs)


def joined(outputs: pl.DataFrame, inputs: ProbeInputs) -> Answers:
    """Outputs joined with the items of the folder."""
    return join_outputs(outputs, inputs.items, options=inputs.folder.options, split=inputs.split)


def with_gold(answers: Answers) -> dict[str, pl.DataFrame]:
    """By run the rows of items that have a gold label.

    Raises:
        TableError: No item has one.
    """
    frame = answers.frame.filter(pl.col("label").is_not_null())
    if not frame.height:
        raise TableError("no item has a gold label.")
    return {str(run): part for (run,), part in frame.group_by("run_id", maintain_order=True)}


def stacked(parts: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Tables by run as one, the run in front."""
    named = [part.select(pl.lit(run).alias("run_id"), pl.all()) for run, part in parts.items()]
    return pl.concat(named, how="diagonal_relaxed")


def refuse_sets(inputs: ProbeInputs) -> None:
    """Refuse questions to which an answer is a set of options."""
    if str(inputs.folder.questions["kind"][0]) == "set":
        raise TableError(f"answers to {inputs.folder.question!r} are sets of options, not one label.")


def _by_operator(outputs: pl.DataFrame, run: str) -> pl.DataFrame:
    if outputs["operator"].n_unique() == 1:
        return outputs
    return outputs.with_columns(run_id=pl.lit(f"{run} [") + pl.col("operator") + "]")
