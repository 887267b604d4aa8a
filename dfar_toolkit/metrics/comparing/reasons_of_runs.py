"""What runs' reasons can be compared by without a judge: overlap with people's reasons, agreement with their label."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive
from dfar_toolkit.metrics.answers import Answers
from dfar_toolkit.metrics.comparing.runs_table import Caveat, RunsTable, rows_of_all, without_note
from dfar_toolkit.metrics.reasons.named_labels import readable_labels
from dfar_toolkit.metrics.reasons.overlap import human_overlap_rows
from dfar_toolkit.metrics.reasons.own_label import own_label_agreement_rows
from dfar_toolkit.metrics.reasons.paired_reasons import PairedReasons, pair_reasons
from dfar_toolkit.metrics.reasons.present_means import mean_present
from dfar_toolkit.metrics.reasons.text_overlap import OverlapMetric

REASON_METRICS: Final = ("rouge_l_mean", "token_f1_mean", "own_label_agreement")
_OVERLAP: Final[tuple[OverlapMetric, ...]] = ("rouge_l", "token_f1")


def reason_runs(
    part: pl.DataFrame,
    runs: Sequence[str],
    answers: Answers,
    items: pl.DataFrame | None,
    metrics: Collection[str] | None = None,
) -> RunsTable | None:
    """Overlap and agreement with the own label, over the items on which all runs that give reasons gave one.

    Several samples of an item count as their mean. Agreement is own / (own + other) of each run by itself.

    Args:
        part: Rows of joined answers, all runs.
        runs: The runs in order.
        answers: All joined answers, with the outputs behind them.
        items: The table items, with people's reasons; None leaves the overlap out.
        metrics: Those of ``REASON_METRICS`` that are wanted; None means all.

    Returns:
        The table; None where fewer than two runs gave reasons, no item has one of all, or nothing can be computed.
    """
    having, texts = _texts(part, runs, answers.outputs)
    if not len(texts):
        return None
    if items is not None:
        human = pl.col("reasons").list.eval(pl.element().struct.field("text")).alias("human")
        texts = texts.join(items.select("item_id", human), on="item_id", how="left", maintain_order="left")
    places = part.filter(run_id=having[0]).join(texts, on="item_id", how="semi").sort("item_id")
    rows: dict[str, list[Additive]] = {}
    sides: dict[str, str] = {}
    for run in having:
        own = texts.filter(run_id=run)
        pairs = pair_reasons("compare", own, human="human" if items is not None else None, label="label_pred",
                             item="item_id")  # fmt: skip
        scores = _scores(pairs, answers.options, REASON_METRICS if metrics is None else metrics)
        rows[run] = [_by_item(score, pairs, places["item_id"]) for score in scores]
        for score in rows[run]:
            if score.metric == "own_label_agreement":
                sides[run] = f"names one side on {int(score.rows[:, 1].sum())} of {len(places)} items"
    note = without_note(runs, having, "reasons")
    found = RunsTable(rows, places["group"], note, {"own_label_agreement": Caveat(said=sides)})
    return found if found.metrics else None


def _texts(part: pl.DataFrame, runs: Sequence[str], outputs: pl.DataFrame) -> tuple[list[str], pl.DataFrame]:
    """Every sample's reason and label on the items that all runs with reasons gave one for."""
    if "reason" not in outputs.columns:
        return [], outputs.clear()
    said = pl.col("reason").cast(pl.String).str.strip_chars().str.len_chars() > 0
    given = outputs.filter(said & pl.col("error").is_null()).select("run_id", "item_id", "reason", "label_pred")
    given = given.join(part.select("item_id").unique(), on="item_id", how="semi")
    having, shared = rows_of_all(given.select("run_id", "item_id").unique(), runs)
    return having, given.join(shared, on=["run_id", "item_id"], how="semi")


def _scores(pairs: PairedReasons, options: Sequence[str], metrics: Collection[str]) -> list[Additive]:
    known = bool((pairs.human.list.len() > 0).any())
    asked = [metric for metric in _OVERLAP if known and f"{metric}_mean" in metrics]
    overlap = [human_overlap_rows(pairs, metric=metric) for metric in asked]
    named = "own_label_agreement" in metrics and readable_labels(options)
    return overlap + ([own_label_agreement_rows(pairs, options=options)] if named else [])


def _by_item(score: Additive, pairs: PairedReasons, items: pl.Series) -> Additive:
    """A score of reasons as the mean of each item's reasons, in the order of the items."""
    there = score.rows[:, 1] > 0
    values = pl.DataFrame({"item_id": pairs.items, "value": np.where(there, score.rows[:, 0], np.nan)})
    means = values.group_by("item_id").agg(pl.col("value").fill_nan(None).mean())
    placed = pl.DataFrame({"item_id": items}).join(means, on="item_id", how="left", maintain_order="left")
    column = placed["value"].fill_null(float("nan")).to_numpy()
    made = mean_present(score.metric, score.name, column, without="without a value")
    one_side = score.metric == "own_label_agreement"
    return made._replace(undefined="no reason names one side alone" if one_side else "no item has a score")
