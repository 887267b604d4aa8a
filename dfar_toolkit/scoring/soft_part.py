"""Predicted distributions against people's: soft scores beside their references, ceilings, calibration."""

from __future__ import annotations

import numpy as np
import polars as pl

from dfar_toolkit.metrics.calibration.calibration_table import calibration_table
from dfar_toolkit.metrics.ceiling.ceiling_table import ceiling_table
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions
from dfar_toolkit.metrics.soft_labels.score_table import soft_label_table

_CEILING_DRAWS = 200  # each refits the Dirichlet of the votes


def predicted_pairs(part: pl.DataFrame, options: tuple[str, ...]) -> PairedDistributions | None:
    """People's and predicted distributions of the complete cases; None where there is none.

    Args:
        part: Rows of the joined answers of one run.
        options: Names of the labels in order.

    Returns:
        The pairs; votes are in them where every complete case has votes.
    """
    human, predicted = pl.col("label_probs").is_not_null(), pl.col("label_probs_pred").is_not_null()
    both = part.filter(human & predicted)
    if not len(both):
        return None
    counts = "label_counts" if both["label_counts"].null_count() == 0 else None
    shares = part.select("label_probs", "label_probs_pred", "label_counts", *_group(part))
    return pair_distributions(
        "score", shares, gold="label_probs", pred="label_probs_pred", counts=counts, options=options
    )


def soft_rows(pairs: PairedDistributions, *, ordered: bool, confidence: float, n_boot: int, seed: int) -> pl.DataFrame:
    """Every soft-label score of a run and of its references; coverage is said beside the headline.

    Returns:
        Rows ``metric, predictor`` (null for the run itself) and Estimate's fields.
    """
    table = soft_label_table(pairs, ordered=ordered, confidence=confidence, n_boot=n_boot, seed=seed)
    own = pl.col("predictor") == "run"
    beside = pl.when(own & (pl.col("metric") == "soft_cross_entropy")).then(pl.lit(pairs.note))
    return table.with_columns(
        pl.when(own).then(None).otherwise("predictor").alias("predictor"),
        pl.concat_str("note", beside, separator="; ", ignore_nulls=True).str.strip_chars("; ").alias("note"),
    )


def ceiling_rows(part: pl.DataFrame, *, confidence: float, seed: int) -> pl.DataFrame | None:
    """What an oracle and people themselves score on these votes; None where votes are unknown.

    Args:
        part: Rows of the joined answers of one run.
        confidence: Two-sided coverage.
        seed: Seed of the draws.

    Returns:
        Rows ``metric, predictor`` (the ceiling) and Estimate's fields.
    """
    known = part.drop_nulls("label_counts")
    if not len(known) or not bool((known["label_counts"].list.sum() > 1).any()):
        return None
    table = ceiling_table(
        known.select("label_counts", *_group(part)), column="label_counts",
        confidence=confidence, n_boot=_CEILING_DRAWS, seed=seed,
    )  # fmt: skip
    return table.rename({"ceiling": "predictor"})


def calibration_rows(
    pairs: PairedDistributions,
    part: pl.DataFrame,
    options: tuple[str, ...],
    *,
    confidence: float,
    n_boot: int,
    seed: int,
) -> pl.DataFrame:
    """Calibration against people's distribution first, then against the label.

    Returns:
        Rows ``metric`` and Estimate's fields.
    """
    complete = part.filter(pl.col("label_probs").is_not_null(), pl.col("label_probs_pred").is_not_null())
    codes = complete["label"].cast(pl.Enum(options)).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    return calibration_table(pairs, np.asarray(codes), confidence=confidence, n_boot=n_boot, seed=seed)


def _group(part: pl.DataFrame) -> list[str]:
    """The column of the resampling unit, where items share one."""
    return ["group"] if "group" in part.columns else []
