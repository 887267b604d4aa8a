"""One table of numbers with intervals for outputs and items, and for judgements where there are any."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import polars as pl

from dfar_toolkit.estimate import Estimate, estimates_frame
from dfar_toolkit.metrics.answers import Answers, join_outputs
from dfar_toolkit.metrics.baselines import label_shares, majority_baseline, minority_baseline
from dfar_toolkit.metrics.classification import (
    accuracy,
    accuracy_answered,
    balanced_accuracy,
    coverage,
    macro_f1,
    matthews_correlation,
    unparsed_share,
)
from dfar_toolkit.metrics.comparison import compare as compare
from dfar_toolkit.metrics.confusion import confusion_matrix, precision_recall_f1
from dfar_toolkit.metrics.judged import Judged, judgements_of_runs
from dfar_toolkit.metrics.misalignment import misalignment_table
from dfar_toolkit.metrics.subsets import Subset, leak_subsets
from dfar_toolkit.tables import HUMAN_RUN

COLUMNS: Final = (
    "metric", "subset", "run_id", "label", "value", "low", "high", "n", "note",
    "name", "n_units", "unit", "scope", "method", "confidence",
)  # fmt: skip


def score(
    outputs: pl.DataFrame,
    items: pl.DataFrame,
    *,
    judgements: pl.DataFrame | None = None,
    split: str | Sequence[str] | None = None,
    question: str | None = None,
    options: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    targets: pl.DataFrame | None = None,
    annotations: pl.DataFrame | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Every score that outputs allow, for each run, for all, leaked and clean items.

    Args:
        outputs: The table outputs; runs are scored apart.
        items: The table items.
        judgements: The table judgements, for the misalignment rate; human reasons as run ``human``. Those of runs
            that are not in the outputs are set aside and counted in the note of mar_mean.
        split: Splits to evaluate; None means those that occur in the outputs.
        question: The question answered, where the outputs hold several.
        options: Names of the labels in order; None means the gold labels of the items, sorted.
        label_map: Renames the outputs' labels.
        targets: The table targets: gold is its label for the question.
        annotations: The table annotations: human reasons judged must be ratings of it.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        One row per metric, subset and run (and label, where the metric is about one), with the columns of
        ``COLUMNS``. Counts (missing_outputs, failed_outputs, no_gold) stand in ``value``, without an interval.

    Undefined:
        ``nan`` with the reason in ``note``, as each metric says.

    Raises:
        TableError: Outputs, items or judgements that do not fit each other; see :func:`join_outputs`.

    Example:
        >>> from dfar_toolkit.tables import conform
        >>> items = conform(pl.DataFrame({
        ...     "item_id": ["1", "2"], "label": ["fair", "unfair"], "statement": ["a", "b"], "group": ["1", "2"],
        ...     "text_key": ["0" * 16, "1" * 16]}).with_columns(
        ...     source=pl.lit("x"), split=pl.lit("test"), context=pl.lit([]), reasons=pl.lit([])), "items")
        >>> outputs = conform(pl.DataFrame({"run_id": ["m"], "item_id": ["1"], "question": ["q"], "label": ["fair"],
        ...                                 "output_id": ["m/1"]}), "outputs")
        >>> score(outputs, items).row(0, named=True)["value"]
        0.5
    """
    answers = join_outputs(
        outputs, items, split=split, question=question, options=options, label_map=label_map, targets=targets
    )
    judged = None
    if judgements is not None:
        judged = judgements_of_runs(judgements, outputs, items, human=HUMAN_RUN, annotations=annotations)
        judged = _of_these(judged, answers)
    tables = []
    subsets = leak_subsets(answers.items)
    for run, frame in answers.frame.partition_by("run_id", as_dict=True, maintain_order=True).items():
        for subset in subsets:
            part = frame.filter(subset.keep)
            notes = [n for n in (subset.note, answers.note) if n]
            tables.append(_run_scores(str(run[0]), subset.name, part, answers.options, notes, confidence, n_boot, seed))
    if judged is not None:
        tables += _judged(judged, answers, subsets, confidence, n_boot, seed)
    return pl.concat([t.select(COLUMNS) for t in tables])


def confusions(
    outputs: pl.DataFrame,
    items: pl.DataFrame,
    *,
    split: str | Sequence[str] | None = None,
    question: str | None = None,
    options: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    targets: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The confusion matrix of every run and subset.

    Args:
        outputs: As in :func:`score`.
        items: As in :func:`score`.
        split: As in :func:`score`.
        question: As in :func:`score`.
        options: As in :func:`score`.
        label_map: As in :func:`score`.
        targets: As in :func:`score`.

    Returns:
        Rows ``run_id, subset, gold, pred, count``; ``pred`` null is without an answer.

    Raises:
        TableError: As :func:`score`.
    """
    answers = join_outputs(
        outputs, items, split=split, question=question, options=options, label_map=label_map, targets=targets
    )
    tables = []
    for run, frame in answers.frame.partition_by("run_id", as_dict=True, maintain_order=True).items():
        for subset in leak_subsets(answers.items):
            part = frame.filter(subset.keep).drop_nulls("label")
            names = [pl.lit(str(run[0])).alias("run_id"), pl.lit(subset.name).alias("subset")]
            tables.append(confusion_matrix(part, options=answers.options).select(*names, pl.all()))
    return pl.concat(tables)


def scores_json(frame: pl.DataFrame) -> list[dict[str, object]]:
    """The rows as JSON values: what is undefined (``nan``) becomes null.

    Example:
        >>> scores_json(pl.DataFrame({"metric": ["mcc"], "value": [float("nan")]}))
        [{'metric': 'mcc', 'value': None}]
    """
    rows = frame.to_dicts()
    return [{k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in r.items()} for r in rows]


def _run_scores(
    run: str,
    subset: str,
    part: pl.DataFrame,
    options: tuple[str, ...],
    notes: list[str],
    confidence: float,
    n_boot: int,
    seed: int,
) -> pl.DataFrame:
    """All label metrics of one run on one subset."""
    gold = part.drop_nulls("label")
    found = _shares(gold, options, confidence) | _agreement_with_gold(gold, options, confidence, n_boot, seed)
    found |= _counts(part, gold)
    below = int(gold["below_top"].sum())
    odd = f"{below} label{'s are' if below != 1 else ' is'} not the most probable option" if below else ""
    found["accuracy"] = _noted(found["accuracy"], odd, *notes)
    found["majority_baseline"] = majority_baseline(gold, options=options, confidence=confidence)
    found["minority_baseline"] = minority_baseline(gold, options=options, confidence=confidence)
    scores = estimates_frame(found.values(), beside=[{"metric": m} for m in found])
    mix = label_shares(gold, options=options, confidence=confidence)
    classes = precision_recall_f1(gold, options=options, confidence=confidence, n_boot=n_boot, seed=seed)
    stacked = pl.concat(
        [
            scores.with_columns(pl.lit(None, dtype=pl.String).alias("label")),
            mix.with_columns(pl.lit("label_share").alias("metric")).select(
                "metric", pl.exclude("metric", "label"), "label"
            ),
            classes.select("metric", pl.exclude("metric", "label"), "label"),
        ]
    )
    return stacked.with_columns(pl.lit(subset).alias("subset"), pl.lit(run).alias("run_id"))


def _shares(gold: pl.DataFrame, options: tuple[str, ...], confidence: float) -> dict[str, Estimate]:
    states = {s: int((gold["state"] == s).sum()) for s in ("unparsed", "failed", "missing")}
    said = ", ".join(f"{count} {state}" for state, count in states.items() if count)
    unparsed = pl.when(pl.col("state") != "unparsed").then(pl.lit("other")).alias("label_pred")
    return {
        "accuracy": _noted(accuracy(gold, options=options, confidence=confidence), said),
        "accuracy_answered": accuracy_answered(gold, options=options, confidence=confidence),
        "coverage": _noted(coverage(gold, confidence=confidence), said),
        "unparsed_share": unparsed_share(gold.with_columns(unparsed), confidence=confidence),
    }


def _agreement_with_gold(
    gold: pl.DataFrame, options: tuple[str, ...], confidence: float, n_boot: int, seed: int
) -> dict[str, Estimate]:
    balanced = partial(balanced_accuracy, gold, options=options, confidence=confidence, n_boot=n_boot, seed=seed)
    f1 = partial(macro_f1, gold, options=options, confidence=confidence, n_boot=n_boot, seed=seed)
    return {
        "balanced_accuracy": balanced(),
        "balanced_accuracy_answered": balanced(over="answered"),
        "macro_f1": f1(),
        "macro_f1_answered": f1(over="answered"),
        "matthews_correlation": matthews_correlation(
            gold, options=options, confidence=confidence, n_boot=n_boot, seed=seed
        ),
    }


def _counts(part: pl.DataFrame, gold: pl.DataFrame) -> dict[str, Estimate]:
    """Plain counts as rows: no interval belongs to them."""
    nan = float("nan")
    counted = {
        "missing_outputs": ("items without an output", int((gold["state"] == "missing").sum()), len(gold)),
        "failed_outputs": ("outputs with an error", int((gold["state"] == "failed").sum()), len(gold)),
        "no_gold": ("items without a gold label, left out", len(part) - len(gold), len(part)),
    }
    return {
        metric: Estimate(name, float(count), nan, nan, n, n, "items", "items", "count", nan, "")
        for metric, (name, count, n) in counted.items()
    }


def _of_these(judged: Judged, answers: Answers) -> Judged:
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


def _judged(
    judged: Judged, answers: Answers, subsets: list[Subset], confidence: float, n_boot: int, seed: int
) -> list[pl.DataFrame]:
    outputs = answers.outputs.with_columns(pl.col("label_pred").alias("label"))
    aside = pl.when(metric="mar_mean").then(pl.concat_str("note", pl.lit(f"; {judged.note}"))).otherwise("note")
    tables = []
    for subset in subsets:
        table = misalignment_table(
            judged.judgements,
            outputs,
            answers.items.filter(subset.keep),
            subset=subset.name,
            confidence=confidence,
            n_boot=n_boot,
            seed=seed,
        )
        noted = table.with_columns(aside.str.strip_prefix("; ").alias("note")) if judged.note else table
        tables.append(noted.with_columns(pl.lit(None, dtype=pl.String).alias("label")))
    return tables


def _noted(found: Estimate, *notes: str) -> Estimate:
    return replace(found, note="; ".join(n for n in (found.note, *notes) if n))
