"""A plan of units is carried out into a run folder: begun, gone on with, or found whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from dfar_toolkit.journeys.engines_of import Opened, drive
from dfar_toolkit.journeys.predict_options import PredictOptions
from dfar_toolkit.journeys.predicting import Predicted
from dfar_toolkit.journeys.what_is_asked import Question
from dfar_toolkit.runners.answers import Reading
from dfar_toolkit.runners.driving import Progress
from dfar_toolkit.runners.units import Unit
from dfar_toolkit.runners.workers import Worker, wait_for_all

Table = Callable[[pl.DataFrame, Reading, Callable[[str], None]], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """All that will be asked.

    Attributes:
        question: What the items are asked.
        units: One per item, in the order of the outputs.
        first: The first prompt as text, to be looked at.
        settings: All that decides the answers.
        reading: How answers are read.
        notes: What must be known.
    """

    question: Question
    units: list[Unit]
    first: str
    settings: dict[str, Any]
    reading: Reading
    notes: tuple[str, ...]


class Running(NamedTuple):
    """How a plan is carried out.

    Attributes:
        worker: Which of several processes this is; None: as the environment says.
        concurrency: Requests under way at a server.
        progress: Called now and then.
        waiting: Called with what the first of several processes waits for.
    """

    worker: Worker | None = None
    concurrency: int = 16
    progress: Callable[[Progress], None] | None = None
    waiting: Callable[[str], None] | None = None


def carry_out(
    plan: UnitPlan,
    engine: Opened,
    out: Path,
    asking: PredictOptions,
    *,
    questions: pl.DataFrame,
    table: Table,
    notes_of: Callable[[pl.DataFrame], Sequence[str]],
    running: Running,
) -> Predicted:
    """Ask all of a plan that is not answered yet, and finish the run.

    Args:
        plan: The plan.
        engine: Who is asked.
        out: The run folder.
        asking: Whether the run is begun anew, and failed units are asked again.
        questions: The questions of the items.
        table: From the rows as they were answered to the table outputs.
        notes_of: What must be known of the outputs.
        running: How it is carried out.

    Returns:
        The outputs (None in a process that is not the first), the folder, and notes.
    """
    worker = running.worker or Worker.from_environment()
    begun, told = time.monotonic(), list[str]()
    with worker.open_run(out, plan.settings, fresh=asking.fresh, retry_failed=asking.retry_failed) as run:
        told += run.notes
        if run.whole:
            told.append("the run was whole already: nothing was asked (--fresh begins anew)")
        else:
            before, names = len(run.done), [unit.name for unit in plan.units]
            drive(engine, plan.units, run, worker=worker, concurrency=running.concurrency, progress=running.progress)
            if not wait_for_all(run, names, progress=running.waiting):
                return Predicted(None, out, plan.notes)
            seconds = round(time.monotonic() - begun, 3)
            measured = {"seconds": seconds, "units": len(names) - before, "processes": worker.world}
            facts = {"toolkit": version("dfar-toolkit"), "model": engine.facts, "measured": measured}
            run.finish(
                names, facts, questions=questions, transform=lambda said: table(said, plan.reading, told.append)
            )  # fmt: skip
    outputs = pl.read_parquet(out / "outputs.parquet")
    return Predicted(outputs, out, (*plan.notes, *told, *notes_of(outputs)))
