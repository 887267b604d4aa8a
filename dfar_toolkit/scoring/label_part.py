"""Scores of predicted labels against people's labels: one run, one subset."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import polars as pl

from dfar_toolkit.estimate import Estimate, estimates_frame
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
from dfar_toolkit.metrics.confusion import precision_recall_f1


def label_rows(
    part: pl.DataFrame, options: tuple[str, ...], notes: list[str], *, confidence: float, n_boot: int, seed: int
) -> pl.DataFrame:
    """All label metrics of one run on one subset.

    Args:
        part: Rows of the joined answers.
        options: Names of the labels in order.
        notes: Said beside accuracy.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric, label`` and Estimate's fields.
    """
    # As an enumeration, so that the dozen scores below need not read the names each for itself.
    named = pl.col("label", "label_pred").cast(pl.Enum(options))
    read = [c for c in ("label", "label_pred", "state", "below_top", "group") if c in part.columns]
    gold = part.select(read).drop_nulls("label").with_columns(named)
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
    return pl.concat(
        [
            scores.with_columns(pl.lit(None, dtype=pl.String).alias("label")),
            mix.with_columns(pl.lit("label_share").alias("metric")).select(
                "metric", pl.exclude("metric", "label"), "label"
            ),
            classes.select("metric", pl.exclude("metric", "label"), "label"),
        ]
    )


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


def _noted(found: Estimate, *notes: str) -> Estimate:
    return replace(found, note="; ".join(n for n in (found.note, *notes) if n))
