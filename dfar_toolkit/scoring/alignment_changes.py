"""Paired tests of one method's alignment with people in two runs: two models, or one before and after fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from dfar_toolkit.metrics.judging.multiple_testing import holm
from dfar_toolkit.metrics.rationale import marked_words_of_outputs, plausibility_differences
from dfar_toolkit.metrics.rationale.gold_words import GoldRule
from dfar_toolkit.metrics.rationale.rationale_scores import PRIMARY

_BETWEEN = "\x1f"  # in no name of a method


def alignment_changes(
    outputs: pl.DataFrame,
    items: pl.DataFrame,
    annotations: pl.DataFrame,
    runs: Sequence[str],
    *,
    gold: GoldRule = "majority",
    evidence_question: str | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """For each method of both runs: alignment above chance in the second run minus that in the first.

    Alignment is that of words, not of probabilities, so that it compares between models; chance at the method's own
    number of words is taken off in each. Items that both runs explain by the method are compared, pair by pair.

    Args:
        outputs: The table outputs with both runs.
        items: The table items.
        annotations: The table annotations, with the words that people marked.
        runs: The two runs.
        gold: By whom a word must be marked.
        evidence_question: The question whose evidence is people's; None: as it is found.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of draws and swaps.

    Returns:
        Rows ``metric, run_a, run_b, rationale_method, higher_is_better``, Estimate's fields, ``p_value``, ``test`` and
        ``p_holm`` over the methods; ``human`` and ``random``, which are the same in both, are left out.
    """
    first, second = runs
    rows = outputs.filter(pl.col("condition") == "rationale", pl.col("run_id").is_in([first, second]))
    methods = rows.group_by("method").agg(pl.col("run_id").n_unique()).filter(pl.col("run_id") == 2)["method"]
    found = []
    for method in sorted(set(methods) - {"human", "random"}):
        named = pl.concat_str("method", pl.lit(_BETWEEN), "run_id")
        both = rows.filter(pl.col("method") == method).with_columns(method=named, run_id=pl.lit("both"))
        marked = marked_words_of_outputs(both, items=items, annotations=annotations, question=evidence_question)
        names = [f"{method}{_BETWEEN}{run}" for run in (first, second)]
        if not set(names) <= set(marked.methods):
            continue
        table = plausibility_differences(
            marked, gold=gold, methods=names, metrics=(PRIMARY,), confidence=confidence, n_boot=n_boot, seed=seed
        ).filter(metric=PRIMARY)
        found.append(_named(table, method, first, second))
    if not found:
        return pl.DataFrame()
    table = pl.concat(found)
    return table.with_columns(p_holm=pl.Series(holm(np.asarray(table["p_value"].fill_null(np.nan)))))


def _named(table: pl.DataFrame, method: str, first: str, second: str) -> pl.DataFrame:
    """The row of one method, second run minus first."""
    note = pl.col("note").str.replace_all(f"{method}{_BETWEEN}", "", literal=True)
    name = pl.lit(f"{second} minus {first}").alias("name")
    return table.select(
        "metric", pl.lit(first).alias("run_a"), pl.lit(second).alias("run_b"), pl.lit(method).alias("rationale_method"),
        pl.lit("").alias("operator"), pl.lit(True).alias("higher_is_better"), name, "value", "low", "high", "n",
        "n_units", "unit", "scope", "method", "confidence", note, "p_value", "test",
    )  # fmt: skip
