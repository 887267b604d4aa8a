"""Probes that need verdicts: automatic metrics of reasons against people's, and the judges themselves."""

from __future__ import annotations

from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.journeys.probe_inputs import ProbeInputs, ProbeTable
from dfar_toolkit.metrics.judged import judgements_of_runs
from dfar_toolkit.metrics.judging.balanced_position import position_consistency
from dfar_toolkit.metrics.judging.bradley_terry import bradley_terry
from dfar_toolkit.metrics.judging.error_taxonomy import error_taxonomy
from dfar_toolkit.metrics.judging.judge_quality import judge_quality
from dfar_toolkit.metrics.judging.pair_verdicts import pair_verdicts
from dfar_toolkit.metrics.judging.rating_versus_ranking import rating_ranking_consistency
from dfar_toolkit.metrics.reasons.meta_evaluation import meta_evaluation
from dfar_toolkit.metrics.reasons.named_labels import readable_labels
from dfar_toolkit.metrics.reasons.reason_scores import reason_scores
from dfar_toolkit.tables import HUMAN_RUN

_PEOPLE: Final = "people"


def probe_reason_metrics(inputs: ProbeInputs) -> list[ProbeTable]:
    """How far each automatic metric of reasons agrees with people's verdicts on the runs' reasons.

    Args:
        inputs: What was read, judgements among it.

    Returns:
        One table: ``reason_metric``, and as ``metric`` the statistics of ``meta_evaluation``.

    Raises:
        TableError: No judgements of the runs' reasons by people.
    """
    verdicts = _judged(inputs).filter(
        pl.col("other_output_id") == "", pl.col("run_id") != HUMAN_RUN, ~pl.col("judge_id").is_in(inputs.models),
        pl.col("value").is_not_null(),
    )  # fmt: skip
    reasons = _outputs(inputs).join(verdicts, on="output_id", how="semi")
    given = pl.when(pl.col("error").is_null()).then("reason")
    people = pl.col("reasons").list.eval(pl.element().struct.field("text"))
    items = inputs.items.select("item_id", "group", "statement", human_reasons=people)
    plain = reasons.select("run_id", "item_id", "output_id", reason=given, label_pred="label")
    plain = plain.filter(pl.col("reason").str.strip_chars() != "")
    if not plain.height:
        raise TableError("no reason of these runs was judged by people.")
    frame = plain.join(items, on="item_id", how="left", maintain_order="left")
    options = inputs.folder.options
    scored = reason_scores(frame, options=options if readable_labels(options) else None)
    metrics = [c for c in scored.columns if c not in frame.columns and scored[c].null_count() < len(scored)]
    kept = verdicts.join(frame, on="output_id", how="semi")
    found = meta_evaluation(scored, metrics=metrics, judgements=kept, **inputs.how._asdict())
    found = found.rename({"metric": "reason_metric", "statistic": "metric"})
    return [ProbeTable("reason-metrics", "Automatic metrics of reasons against people's verdicts", found)]


def probe_judges(inputs: ProbeInputs) -> list[ProbeTable]:
    """Judge models against people, what rejected reasons lack, and verdicts on pairs.

    Args:
        inputs: What was read, judgements among it.

    Returns:
        The tables that the judgements allow.

    Raises:
        TableError: No judgements of the runs, or nothing in them for any of the tables.
    """
    judged = _judged(inputs)
    singles = judged.filter(pl.col("other_output_id") == "")
    pairs = judged.filter(pl.col("other_output_id") != "")
    tables = [*_quality(singles, inputs), *_error_types(singles, inputs), *_pairs(pairs, singles, inputs)]
    if not tables:
        raise TableError(
            "there are no judge models (--judge-model NAME) beside people, no error types of rejected reasons, and no "
            "verdicts on pairs."
        )
    return tables


def _judged(inputs: ProbeInputs) -> pl.DataFrame:
    if inputs.judgements is None:
        raise TableError("judgements of the reasons are wanted (--judgements FILE).")
    found = judgements_of_runs(
        inputs.judgements, _outputs(inputs), inputs.items, human=HUMAN_RUN, annotations=inputs.folder.annotations
    )
    return found.judgements


def _outputs(inputs: ProbeInputs) -> pl.DataFrame:
    return pl.concat(list(inputs.runs.values()), how="diagonal_relaxed")


def _quality(singles: pl.DataFrame, inputs: ProbeInputs) -> list[ProbeTable]:
    judges = set(singles["judge_id"].unique())
    people = sorted(judges - set(inputs.models))
    found = [
        judge_quality(
            singles, judge_model=model, human_judges=people, items=inputs.folder.items, reasons=_outputs(inputs),
            by_run=True, **inputs.how._asdict(),
        ).select(pl.lit(model).alias("judge_id"), pl.all())
        for model in sorted(judges & set(inputs.models))
        if people
    ]  # fmt: skip
    return [ProbeTable("judges", "Judge models against most people", pl.concat(found))] if found else []


def _error_types(singles: pl.DataFrame, inputs: ProbeInputs) -> list[ProbeTable]:
    typed = singles.filter(pl.col("error_type").str.strip_chars() != "")["judge_id"].unique()
    found = []
    for name, own in _by_kind(singles, inputs).items():
        if own["judge_id"].is_in(typed.implode()).any():
            shares = error_taxonomy(own, items=inputs.folder.items, confidence=inputs.how.confidence)
            found.append(shares.with_columns(judge_id=pl.lit(name), metric=pl.lit("error_share")))
    title = "What is wrong with rejected reasons (intervals of a run hold together)"
    return [ProbeTable("judges", title, pl.concat(found))] if found else []


def _pairs(pairs: pl.DataFrame, singles: pl.DataFrame, inputs: ProbeInputs) -> list[ProbeTable]:
    """Bradley-Terry scores, liking for a place, and ratings beside rankings; people together, each model alone."""
    human = inputs.folder.annotations.select(
        run_id=pl.lit(HUMAN_RUN), output_id=pl.lit(f"{HUMAN_RUN}/") + pl.col("rating_id")
    )
    sides = pl.concat([_outputs(inputs).select("run_id", "output_id"), human.unique()])
    scores, places, ranks = {}, {}, {}
    for name, own in _by_kind(pairs, inputs).items():
        battles = pair_verdicts(own, outputs=sides, items=inputs.folder.items)
        scores[name] = bradley_terry(battles, **inputs.how._asdict()).with_columns(metric=pl.lit("bradley_terry"))
        if battles["first"].is_not_null().any():
            found = position_consistency(_both_orders(battles), **inputs.how._asdict())
            # Who wins is the scores' to say: of many pairs of runs, "a" is now one run, now another.
            places[name] = found.filter(~pl.col("metric").str.starts_with("conservative"))
        rated = _rated(battles, singles)
        if rated.height:
            ranks[name] = rating_ranking_consistency(rated, **inputs.how._asdict())
    titles = {
        "Runs by verdicts on pairs (Bradley-Terry; 400 points are odds of 10 to 1)": scores,
        "Verdicts on pairs in both orders": places,
        "Ratings of single reasons beside verdicts on pairs": ranks,
    }
    return [ProbeTable("judges", title, _by_judge(found)) for title, found in titles.items() if found]


def _both_orders(battles: pl.DataFrame) -> pl.DataFrame:
    """One row per judge and pair: the verdict with a shown first, and with b; of several draws the first."""
    keys = ["judge_id", "item_id", "group", "run_a", "run_b", "output_a", "output_b"]
    placed = battles.filter(pl.col("first").is_not_null()).sort("draw", maintain_order=True)
    return placed.group_by(keys, maintain_order=True).agg(
        first_order=pl.col("winner").filter(pl.col("first") == "a").drop_nulls().first(),
        second_order=pl.col("winner").filter(pl.col("first") == "b").drop_nulls().first(),
    )


def _rated(battles: pl.DataFrame, singles: pl.DataFrame) -> pl.DataFrame:
    """Verdicts on pairs whose judge gave both sides a score alone."""
    alone = singles.drop_nulls("score").group_by("judge_id", "output_id").agg(pl.col("score").mean())
    for side in ("a", "b"):
        named = alone.select(
            "judge_id", pl.col("output_id").alias(f"output_{side}"), pl.col("score").alias(f"score_{side}")
        )
        battles = battles.join(named, on=["judge_id", f"output_{side}"], how="left", maintain_order="left")
    return battles.drop_nulls(["score_a", "score_b"])


def _by_kind(judgements: pl.DataFrame, inputs: ProbeInputs) -> dict[str, pl.DataFrame]:
    """The judgements of people together, and of each judge model; those without any are left out."""
    models = inputs.models
    parts = {_PEOPLE: judgements.filter(~pl.col("judge_id").is_in(models))}
    parts |= {model: judgements.filter(judge_id=model) for model in models}
    return {name: part for name, part in parts.items() if part.height}


def _by_judge(found: dict[str, pl.DataFrame]) -> pl.DataFrame:
    named = [part.select(pl.lit(name).alias("judge_id"), pl.all()) for name, part in found.items()]
    return pl.concat(named, how="diagonal_relaxed")
