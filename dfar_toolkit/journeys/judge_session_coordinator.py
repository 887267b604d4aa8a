"""How a judging stands: progress, known answers and agreement so far. For whoever coordinates, never for a judge."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimates_frame
from dfar_toolkit.files.judge_log import answers_of, judgements_of
from dfar_toolkit.journeys.judge_session import JudgingRound
from dfar_toolkit.journeys.judge_session_queue import queue_of
from dfar_toolkit.metrics.intervals import mean_share
from dfar_toolkit.metrics.judges import judge_agreement
from dfar_toolkit.metrics.verdicts import reason_verdicts

ALL_RUNS = "(all)"


class Standing(NamedTuple):
    """How a judging stands.

    Attributes:
        judges: One row per judge, by name: ``judge_id, answered, skipped, total, accepted, rejected`` (attention
            checks apart), ``attention_right, attention_answered, training_right, training_answered, first_at,
            last_at, median_seconds`` (from answer to answer). ``total`` is null for a judge whom the protocol does
            not name.
        agreement: Rows ``run_id`` (``(all)`` first), ``metric`` (judge_percent_agreement, judge_specific_agreement of
            the rejecting value, judge_gwet_ac1, judge_alpha) and the fields of Estimate.
        notes: What must be known.
    """

    judges: pl.DataFrame
    agreement: pl.DataFrame
    notes: tuple[str, ...]


def standing_of(judging: JudgingRound, *, confidence: float = 0.95, n_boot: int = 2000, seed: int = 0) -> Standing:
    """Read all answers so far.

    Args:
        judging: The round.
        confidence: Coverage of the intervals.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.

    Raises:
        TableError: A judge's file was changed or cannot be read.
    """
    found = answers_of(judging.folder)
    asked = judging.protocol.question_id
    good, bad = judging.protocol.scale
    table = judgements_of(judging.folder, question=asked)
    agreement = partial(
        judge_agreement, items=judging.items.items, good=good, bad=bad, confidence=confidence, n_boot=n_boot, seed=seed
    )
    parts = [(ALL_RUNS, table)]
    parts += [(run, table.filter(run_id=run)) for run in table["run_id"].unique().sort()]
    rows = [agreement(part).select(pl.lit(run).alias("run_id"), pl.all()) for run, part in parts]
    torn = [f"{found.torn} lines were torn by a crash; none of them had been acknowledged"] if found.torn else []
    return Standing(_judges(judging, found.frame.filter(question=asked)), pl.concat(rows), (*judging.notes, *torn))


def _judges(judging: JudgingRound, answers: pl.DataFrame) -> pl.DataFrame:
    good, bad = judging.protocol.scale
    known = {t.output_id: t.known for t in (*judging.pool.training, *judging.pool.attention)}
    given = answers.with_columns(
        right=pl.col("value") == pl.col("output_id").replace_strict(known, default=None, return_dtype=pl.String)
    )
    counts = pl.col("role") == "judging"

    def number(wanted: pl.Expr) -> pl.Expr:
        return wanted.fill_null(False).sum().cast(pl.Int64)

    table = given.group_by("judge_id").agg(
        answered=number(counts),
        skipped=number(counts & pl.col("value").is_null()),
        accepted=number(counts & (pl.col("value") == good)),
        rejected=number(counts & (pl.col("value") == bad)),
        attention_right=number((pl.col("role") == "attention") & pl.col("right")),
        attention_answered=number(pl.col("role") == "attention"),
        training_right=number((pl.col("role") == "training") & pl.col("right")),
        training_answered=number(pl.col("role") == "training"),
        first_at=pl.col("at").min(),
        last_at=pl.col("at").max(),
        median_seconds=pl.col("at").str.to_datetime(time_zone="UTC").sort().diff().dt.total_milliseconds().median()
        / 1000,
    )
    named = pl.DataFrame({"judge_id": list(judging.pool.assigned)}, schema={"judge_id": pl.String})
    judges = pl.concat([table.select("judge_id"), named]).unique().sort("judge_id")
    totals = pl.Series("total", [_total(judging, judge) for judge in judges["judge_id"]], dtype=pl.Int64)
    whole = judges.with_columns(totals).join(table, on="judge_id", how="left", maintain_order="left")
    ordered = whole.select(
        "judge_id", "answered", "skipped", "total", pl.exclude("judge_id", "answered", "skipped", "total")
    )
    return ordered.with_columns(pl.col(pl.Int64).exclude("total").fill_null(0))


def _total(judging: JudgingRound, judge: str) -> int | None:
    try:
        queue = queue_of(judging.pool, judging.protocol, judge)
    except TableError:
        return None
    return sum(task.role == "judging" for task in queue)


class Validity(NamedTuple):
    """What judges made of people's label-and-reason pairs.

    Attributes:
        pairs: ``output_id, item_id, label, judges, share_error, verdict`` (error or voice where most judges say so,
            split where they are even), sorted by the share, highest first.
        shares: Rows ``label`` (null: all) and the fields of Estimate: the mean over items of the share of judges who
            call a pair an error. What is left is disagreement of people who both may be right.
    """

    pairs: pl.DataFrame
    shares: pl.DataFrame


def validity_of(judging: JudgingRound, *, confidence: float = 0.95, n_boot: int = 2000, seed: int = 0) -> Validity:
    """Tell errors from voices: the verdicts of a validity round so far.

    Args:
        judging: The round.
        confidence: Coverage of the intervals, which are over the items' groups with these judges fixed.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.

    Undefined:
        A share without a judged pair.

    Raises:
        ValueError: It is no validity round.

    Reference:
        Weber-Genzel, Peng, de Marneffe and Plank (2024), ACL, arXiv:2403.01931: a second round of verdicts on
        label-explanation pairs tells annotation errors from human label variation.
    """
    if judging.protocol.round != "validity":
        raise ValueError(f"validity_of: wanted a validity round, found one of {judging.protocol.round}")
    voice, error = judging.protocol.scale
    table = judgements_of(judging.folder, question=judging.protocol.question_id)
    labels = {task.output_id: task.label for task in judging.pool.tasks.values()}
    label = pl.col("output_id").replace_strict(labels, default=None, return_dtype=pl.String)
    verdicts = reason_verdicts(table, good=voice, bad=error).with_columns(label=label)
    most = pl.when(pl.col("majority_bad") == 1).then(pl.lit(error)).otherwise(pl.lit(voice))
    verdict = pl.when(pl.col("even_split") == 1).then(pl.lit("split")).otherwise(most)
    pairs = verdicts.select(
        "output_id", "item_id", "label", "judges", pl.col("share_bad").alias("share_error"), verdict.alias("verdict")
    ).sort("share_error", "output_id", descending=[True, False])
    given = sorted(set(labels.values()))
    share = partial(_share, items=judging.items.items, confidence=confidence, n_boot=n_boot, seed=seed)
    beside: list[dict[str, Any]] = [{"label": None}, *({"label": name} for name in given)]
    found = [share(pairs), *(share(pairs.filter(label=name)) for name in given)]
    return Validity(pairs, estimates_frame(found, beside=beside))


def _share(pairs: pl.DataFrame, *, items: pl.DataFrame, confidence: float, n_boot: int, seed: int) -> Estimate:
    by_item = pairs.sort("item_id", "output_id").group_by("item_id", maintain_order=True)
    shares = by_item.agg(pl.col("share_error").mean())
    table = shares.join(items.select("item_id", "group"), on="item_id", how="left", maintain_order="left")
    return mean_share(
        "share of errors", table["share_error"].to_numpy(), groups=table["group"], confidence=confidence,
        n_boot=n_boot, seed=seed,
    )  # fmt: skip
