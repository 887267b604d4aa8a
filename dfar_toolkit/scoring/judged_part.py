"""Verdicts on reasons: the misalignment rate and what stands beside it, and judge models against people."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dfar_toolkit.metrics.answers import Answers
from dfar_toolkit.metrics.judged import Judged
from dfar_toolkit.metrics.judging.error_taxonomy import error_taxonomy
from dfar_toolkit.metrics.judging.judging_table import judging_table
from dfar_toolkit.metrics.misalignment import misalignment_table
from dfar_toolkit.metrics.subsets import Subset
from dfar_toolkit.scoring.score_columns import SCORE_SCHEMA, in_columns
from dfar_toolkit.tables import HUMAN_RUN


def judged_of_these(judged: Judged, answers: Answers) -> Judged:
    """Judgements of human reasons and of the outputs that are scored; the others are counted."""
    human = pl.col("run_id") == HUMAN_RUN
    here = judged.judgements.join(answers.items, on="item_id", how="semi")
    scored = here.filter(~human).join(answers.outputs, on=["output_id", "run_id"], how="semi")
    kept = pl.concat([scored, here.filter(human)])
    elsewhere, unscored = len(judged.judgements) - len(here), len(here) - len(kept)
    notes = [judged.note]
    notes.append(f"{elsewhere} judgements about items of other splits set aside" if elsewhere else "")
    notes.append(f"{unscored} judgements of outputs that are not scored set aside" if unscored else "")
    return Judged(kept, "; ".join(n for n in notes if n))


def judged_rows(
    judged: Judged,
    answers: Answers,
    subset: Subset,
    judge_models: Sequence[str],
    *,
    confidence: float,
    n_boot: int,
    seed: int,
) -> list[pl.DataFrame]:
    """The misalignment table of all runs on one subset by people's verdicts, and every judge model beside them.

    Verdicts of judge models never count as people's: their quality and the prediction-powered rate stand apart.

    Args:
        judged: Judgements of the runs scored.
        answers: The joined answers.
        subset: Which items.
        judge_models: Judges that are models.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        Tables in the columns of all scores; a judge model stands in ``predictor``.
    """
    models = pl.col("judge_id").is_in(list(judge_models))
    tables = []
    by_people = judged.judgements.filter(~models)
    if len(by_people):
        tables.append(_by_people(judged._replace(judgements=by_people), answers, subset, confidence, n_boot, seed))
        tables.append(_error_types(by_people, answers, subset, confidence))
    if len(by_people) < len(judged.judgements):
        tables.append(_by_models(judged, answers, subset, judge_models, confidence, n_boot, seed))
    return tables


def _error_types(judgements: pl.DataFrame, answers: Answers, subset: Subset, confidence: float) -> pl.DataFrame:
    """Shares of error types among the bad verdicts of each run, where judges named any."""
    items = answers.items.filter(subset.keep)
    named = judgements.join(items, on="item_id", how="semi")
    if named["error_type"].is_null().all():
        return pl.DataFrame(schema=SCORE_SCHEMA)
    shares = error_taxonomy(named, items=items, confidence=confidence).rename({"error_type": "label"})
    table = shares.with_columns(metric=pl.lit("error_type_share"))
    return in_columns(table, part="judging", subset=subset.name, run=None)


def _by_models(
    judged: Judged,
    answers: Answers,
    subset: Subset,
    judge_models: Sequence[str],
    confidence: float,
    n_boot: int,
    seed: int,
) -> pl.DataFrame:
    items = answers.items.filter(subset.keep)
    table = judging_table(
        judged.judgements.join(items, on="item_id", how="semi"),
        judge_models=judge_models,
        items=items,
        reasons=answers.outputs.select("output_id", "reason"),
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
    )
    named = table.rename({"judge_id": "predictor", "error_type": "label"}).with_columns(
        pl.when(pl.col("label") != "").then("label").alias("label"),
        pl.when(pl.col("run_id") != "").then("run_id").alias("run_id"),
    )
    return in_columns(named, part="judging", subset=subset.name, run=None)


def _by_people(
    judged: Judged, answers: Answers, subset: Subset, confidence: float, n_boot: int, seed: int
) -> pl.DataFrame:
    outputs = answers.outputs.with_columns(pl.col("label_pred").alias("label"))
    table = misalignment_table(
        judged.judgements,
        outputs,
        answers.items.filter(subset.keep),
        subset=subset.name,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
    )
    if judged.note:
        aside = pl.when(metric="mar_mean").then(pl.concat_str("note", pl.lit(f"; {judged.note}"))).otherwise("note")
        table = table.with_columns(aside.str.strip_prefix("; ").alias("note"))
    return in_columns(table, part="judging", subset=subset.name, run=None)
