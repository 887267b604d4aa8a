"""What judges said so far: verdicts per run, where they disagree, their notes. For the coordinator, never a judge."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

from dfar_toolkit.estimate import Estimate, estimates_frame
from dfar_toolkit.files.judge_log import answers_of, judgements_of
from dfar_toolkit.journeys.judge_session import JudgingRound
from dfar_toolkit.metrics.misalignment import misalignment_rate


class Said(NamedTuple):
    """What one judge said of a reason; ``value`` is None where it was skipped."""

    judge: str
    value: str | None
    error_types: str
    note: str


class JudgedReason(NamedTuple):
    """A reason with all that was said of it: the texts, whose it is, and every judge's answer, by name of the judge."""

    output_id: str
    item_id: str
    run_id: str
    statement: str
    label: str
    reason: str
    said: tuple[Said, ...]


def verdicts_of(judging: JudgingRound, *, confidence: float = 0.95, n_boot: int = 2000, seed: int = 0) -> pl.DataFrame:
    """How often each run's reasons are rejected so far.

    Args:
        judging: The round.
        confidence: Coverage of the intervals, which are over the items' groups with these judges fixed.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``run_id, answers`` (verdicts that are no skips) and the fields of Estimate: the mean over items of the
        share of judges who reject a reason.

    Undefined:
        A run without a verdict.

    Raises:
        TableError: A judge's file was changed or cannot be read.
    """
    good, bad = judging.protocol.scale
    table = judgements_of(judging.folder, question=judging.protocol.question_id).drop_nulls("value")
    found: list[Estimate] = []
    beside: list[dict[str, Any]] = []
    for run in sorted({task.run_id for task in judging.pool.tasks.values()}):
        own = table.filter(run_id=run)
        rate = misalignment_rate(
            own, items=judging.items.items, good=good, bad=bad, confidence=confidence, n_boot=n_boot, seed=seed
        )
        if isinstance(rate, Estimate):
            found.append(rate)
            beside.append({"run_id": run, "answers": len(own)})
    return estimates_frame(found, beside=beside)


def disputed_of(judging: JudgingRound) -> list[JudgedReason]:
    """Reasons that some judges accept and others reject, the most evenly split first.

    Args:
        judging: The round.

    Raises:
        TableError: A judge's file was changed or cannot be read.
    """
    given = _given(judging).drop_nulls("value")
    rejected = (pl.col("value") == judging.protocol.scale[1]).mean()
    shares = (
        given.group_by("output_id")
        .agg(share=rejected, judges=pl.len())
        .filter(pl.col("share").is_between(0, 1, closed="none"))
    )
    order = shares.sort((pl.col("share") - 0.5).abs(), -pl.col("judges").cast(pl.Int64), "output_id")["output_id"]
    return _reasons(judging, given, order.to_list())


def remarked_of(judging: JudgingRound) -> list[JudgedReason]:
    """Reasons that somebody wrote a note about, the last note first.

    Args:
        judging: The round.

    Raises:
        TableError: A judge's file was changed or cannot be read.
    """
    given = _given(judging).filter(pl.col("note").fill_null("").str.strip_chars() != "")
    order = given.group_by("output_id").agg(pl.col("at").max()).sort("at", "output_id", descending=[True, False])
    return _reasons(judging, given, order["output_id"].to_list())


def _given(judging: JudgingRound) -> pl.DataFrame:
    found = answers_of(judging.folder).frame.filter(question=judging.protocol.question_id, role="judging")
    return found.filter(pl.col("output_id").is_in(list(judging.pool.tasks)))


def _reasons(judging: JudgingRound, given: pl.DataFrame, order: list[str]) -> list[JudgedReason]:
    said: dict[str, list[Said]] = {name: [] for name in order}
    rows = given.filter(pl.col("output_id").is_in(order)).sort("judge_id")
    for output, *words in rows.select("output_id", "judge_id", "value", "error_type", "note").iter_rows():
        judge, value, types, note = words
        said[output].append(Said(judge, value, types or "", note or ""))
    found = []
    for name in order:
        task = judging.pool.tasks[name]
        case, _ = judging.seen_of(task)
        found.append(
            JudgedReason(name, task.item_id, task.run_id, case.statement, task.label, task.reason, tuple(said[name]))
        )
    return found
