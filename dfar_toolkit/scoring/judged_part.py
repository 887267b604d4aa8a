"""Verdicts on reasons: the misalignment rate and what stands beside it, and judge models against people."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.metrics.answers import Answers
from dfar_toolkit.metrics.judged import Judged
from dfar_toolkit.metrics.misalignment import misalignment_table
from dfar_toolkit.metrics.subsets import Subset
from dfar_toolkit.scoring.score_columns import in_columns
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
    judged: Judged, answers: Answers, subset: Subset, *, confidence: float, n_boot: int, seed: int
) -> pl.DataFrame:
    """The misalignment table of all runs on one subset.

    Args:
        judged: Judgements of the runs scored.
        answers: The joined answers.
        subset: Which items.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        Rows in the columns of all scores.
    """
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
