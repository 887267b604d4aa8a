"""One table of numbers about rationales: plausible to people, true to the model, consistent with themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.faithfulness import faithfulness_table
from dfar_toolkit.metrics.rationale import marked_words_of_outputs, plausibility_table
from dfar_toolkit.metrics.rationale.gold_words import GoldRule
from dfar_toolkit.metrics.self_consistency.self_consistency_table import self_consistency_table
from dfar_toolkit.metrics.self_consistency.simulation import SIMULATED

RationalePart = Literal["plausibility", "faithfulness", "self_consistency"]
RATIONALE_PARTS: Final[tuple[RationalePart, ...]] = ("plausibility", "faithfulness", "self_consistency")
RATIONALE_COLUMNS: Final[dict[str, pl.DataType]] = {
    "run_id": pl.String(), "rationale_method": pl.String(), "operator": pl.String(), "metric": pl.String(),
    "gold": pl.String(), "label": pl.String(), "k": pl.Int64(), "share": pl.Float64(),
    "words_of": pl.String(), "higher_is_better": pl.Boolean(), "value": pl.Float64(), "low": pl.Float64(),
    "high": pl.Float64(),
    "n": pl.Int64(), "coverage": pl.Float64(), "note": pl.String(), "part": pl.String(), "name": pl.String(),
    "n_units": pl.Int64(), "unit": pl.String(), "scope": pl.String(), "method": pl.String(),
    "confidence": pl.Float64(),
}  # fmt: skip
_PERTURBED: Final = ("without_top", "only_top", "without_evidence", "only_evidence")
_TESTS: Final = ("inserted", "cot_early", "cot_mistake", "cot_filler", "cot_paraphrase", *SIMULATED)
_CONTRIBUTIONS: Final = ("cc_answer", "cc_explanation")
_PLAUSIBLE_WHERE: Final = pl.col("word_scores").is_not_null() | pl.col("evidence").is_not_null()


def rationale_parts(outputs: pl.DataFrame) -> tuple[RationalePart, ...]:
    """Which parts of the table outputs allow, people's marks aside.

    Args:
        outputs: The table outputs.

    Returns:
        The parts; empty for a run without rationales.

    Example:
        >>> rows = pl.DataFrame({"condition": ["full", "without_top"], "method": ["", "random"],
        ...                      "word_scores": [None, None], "evidence": [None, None]})
        >>> rationale_parts(rows)
        ('faithfulness',)
    """
    found: list[RationalePart] = []
    own = ~pl.col("method").is_in(_CONTRIBUTIONS)
    if len(outputs.filter(pl.col("condition").is_in(["rationale", "full"]), _PLAUSIBLE_WHERE, own)):
        found.append("plausibility")
    if outputs["condition"].is_in(_PERTURBED).any():
        found.append("faithfulness")
    if outputs["condition"].is_in(_TESTS).any() or outputs["method"].is_in(_CONTRIBUTIONS).any():
        found.append("self_consistency")
    return tuple(found)


def answers_nothing(outputs: pl.DataFrame) -> bool:
    """Whether all rows are a simulator's guesses at somebody else's labels, so that no label is the run's own.

    Args:
        outputs: The table outputs of a run.

    Example:
        >>> answers_nothing(pl.DataFrame({"condition": ["simulate_input", "simulate_both"]}))
        True
    """
    return bool(len(outputs)) and bool(outputs["condition"].is_in(SIMULATED).all())


def rationale_scores(
    outputs: pl.DataFrame,
    items: pl.DataFrame,
    annotations: pl.DataFrame | None = None,
    *,
    options: Sequence[str] | None = None,
    gold: GoldRule | Sequence[GoldRule] = "majority",
    evidence_question: str | None = None,
    parts: Sequence[str] | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Every number about the rationales and reasons of explained runs, each with its guard rails.

    Raw faithfulness of different models, or of one before and after fine-tuning, is not comparable: only metrics that
    end in ``_over_random``, and alignment above chance, may be set side by side.

    Args:
        outputs: The table outputs of one or more runs.
        items: The table items.
        annotations: The table annotations, with the words that people marked; None: no plausibility.
        options: Names of the labels in order; None: those of the outputs.
        gold: By whom a word must be marked: ``any``, ``majority``, ``all`` of those asked, or several rules.
        evidence_question: The question whose evidence is people's; None: as it is found.
        parts: Which of ``RATIONALE_PARTS``; None: all that apply.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows with the columns of ``RATIONALE_COLUMNS``: Estimate's fields, ``rationale_method`` (method of the
        rationale; ``held_out_annotator`` is people's own agreement), ``operator``, ``k`` or ``share`` of the words
        taken away (k -1: the rationale's own words; ``words_of``: as many as people marked, of scored words the same
        set), ``higher_is_better`` (null: neither).

    Raises:
        TableError: Outputs, items and annotations do not fit each other; an unknown part.
    """
    if lost := [part for part in parts or () if part not in RATIONALE_PARTS]:
        raise TableError(f"unknown part {lost[0]!r}; wanted some of {', '.join(RATIONALE_PARTS)}.")
    wanted = [part for part in rationale_parts(outputs) if parts is None or part in parts]
    marked = annotations is not None and annotations["evidence"].is_not_null().any()
    tables = []
    for run in outputs["run_id"].unique().sort().to_list():
        own = outputs.filter(pl.col("run_id") == run)
        if "plausibility" in wanted and marked and annotations is not None:
            words = marked_words_of_outputs(own, items=items, annotations=annotations, question=evidence_question)
            table = plausibility_table(words, gold=gold, confidence=confidence, n_boot=n_boot, seed=seed)
            tables.append(_in_columns(table, "plausibility", run))
    if "faithfulness" in wanted:
        table = faithfulness_table(
            outputs, items, options=options, confidence=confidence, n_boot=n_boot, seed=seed
        )  # fmt: skip
        tables.append(_in_columns(table, "faithfulness", None))
    if "self_consistency" in wanted:
        groups = items.select("item_id", "group") if "group" in items.columns else None
        rows = outputs if groups is None else outputs.join(groups, on="item_id", how="left", maintain_order="left")
        table = self_consistency_table(rows, options=options, confidence=confidence, n_boot=n_boot, seed=seed)
        tables.append(_in_columns(table, "self_consistency", None))
    return pl.concat(tables) if tables else pl.DataFrame(schema=RATIONALE_COLUMNS)


def _in_columns(table: pl.DataFrame, part: str, run: str | None) -> pl.DataFrame:
    table = table.with_columns(part=pl.lit(part))
    if run is not None:
        table = table.with_columns(run_id=pl.lit(run))
    absent = [pl.lit(None, dtype=kind).alias(name) for name, kind in RATIONALE_COLUMNS.items() if name not in table]
    return table.with_columns(absent).select(pl.col(name).cast(kind) for name, kind in RATIONALE_COLUMNS.items())
