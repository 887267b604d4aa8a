"""Paired tests between the methods of one run: which rationales are more plausible, and which more faithful."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from dfar_toolkit.metrics.faithfulness import method_differences, perturbed_outputs
from dfar_toolkit.metrics.faithfulness.perturbed import EVIDENCE_K, Perturbed, Step
from dfar_toolkit.metrics.rationale import marked_words_of_outputs, plausibility_differences
from dfar_toolkit.metrics.rationale.gold_words import GoldRule
from dfar_toolkit.metrics.rationale.plausibility_table import chosen_methods
from dfar_toolkit.metrics.rationale.rationale_scores import PRIMARY
from dfar_toolkit.scoring.rationale_scores import rationale_parts

DIFFERENCE_COLUMNS: Final[dict[str, pl.DataType]] = {
    "run_id": pl.String(), "metric": pl.String(), "operator": pl.String(), "method_a": pl.String(),
    "method_b": pl.String(), "value": pl.Float64(), "low": pl.Float64(), "high": pl.Float64(), "n": pl.Int64(),
    "p_value": pl.Float64(), "p_holm": pl.Float64(), "test": pl.String(), "higher_is_better": pl.Boolean(),
    "note": pl.String(), "n_units": pl.Int64(), "unit": pl.String(), "scope": pl.String(), "method": pl.String(),
    "confidence": pl.Float64(),
}  # fmt: skip


def rationale_differences(
    outputs: pl.DataFrame,
    items: pl.DataFrame,
    annotations: pl.DataFrame | None = None,
    *,
    options: Sequence[str] | None = None,
    gold: GoldRule = "majority",
    evidence_question: str | None = None,
    parts: Sequence[str] | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Every two methods of each run: alignment above chance, flip rate and comprehensiveness over random words.

    Faithfulness is compared as the difference to random words of equal number, item by item: methods name different
    numbers of words. Each metric, and each operator of it, is one family of tests: Holm over all its pairs.

    Args:
        outputs: The table outputs of one or more runs.
        items: The table items.
        annotations: The table annotations; None: no alignment.
        options: Names of the labels in order.
        gold: By whom a word must be marked.
        evidence_question: The question whose evidence is people's; None: as it is found.
        parts: Only those of ``RATIONALE_PARTS``; None: all that apply.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of draws and sign patterns.

    Returns:
        Rows with the columns of ``DIFFERENCE_COLUMNS``, second method minus first.
    """
    tables = []
    marked = annotations is not None and annotations["evidence"].is_not_null().any()
    for run in outputs["run_id"].unique().sort().to_list():
        own = outputs.filter(pl.col("run_id") == run)
        wanted = [part for part in rationale_parts(own) if parts is None or part in parts]
        found = list[pl.DataFrame]()
        if "plausibility" in wanted and marked and annotations is not None:
            words = marked_words_of_outputs(own, items=items, annotations=annotations, question=evidence_question)
            if len(chosen_methods(words, None)) > 1:
                table = plausibility_differences(
                    words, gold=gold, metrics=(PRIMARY,), confidence=confidence, n_boot=n_boot, seed=seed
                )  # fmt: skip
                found.append(table.with_columns(higher_is_better=True))
        if "faithfulness" in wanted:
            perturbed = perturbed_outputs(own, items, options=options)
            found += _faithful(perturbed, confidence=confidence, n_boot=n_boot, seed=seed)
        tables += [_in_columns(table, run) for table in found]
    return pl.concat(tables) if tables else pl.DataFrame(schema=DIFFERENCE_COLUMNS)


def _faithful(p: Perturbed, *, confidence: float, n_boot: int, seed: int) -> list[pl.DataFrame]:
    """Flip rate and comprehensiveness without the rationale's own words, and AOPC of methods that score words."""
    found = []
    for operator in p.operators:
        sets, curves = list[str](), list[str]()
        for method, of in p.blocks():
            if of != operator or method == "random":
                continue
            k = p.take(p.block(method, operator)).k
            sets += [method] if (k == EVIDENCE_K).any() else []
            curves += [method] if (k > 0).any() else []
        steps = [Step(share=share) for share in p.shares]
        for metric, methods in (("flip_rate", sets), ("comprehensiveness", sets), ("aopc_comprehensiveness", curves)):
            if len(methods) > 1 and (steps or metric != "aopc_comprehensiveness"):
                found.append(
                    method_differences(
                        p, metric=metric, operator=operator, methods=methods, steps=steps,  # type: ignore[arg-type]
                        confidence=confidence, n_boot=n_boot, seed=seed,
                    )
                )  # fmt: skip
    return found


def _in_columns(table: pl.DataFrame, run: str) -> pl.DataFrame:
    table = table.with_columns(run_id=pl.lit(run))
    absent = [pl.lit(None, dtype=kind).alias(name) for name, kind in DIFFERENCE_COLUMNS.items() if name not in table]
    return table.with_columns(absent).select(pl.col(name).cast(kind) for name, kind in DIFFERENCE_COLUMNS.items())
