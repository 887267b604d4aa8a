"""A run's reasons against people's, against its own labels, and against the statements."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.metrics.reasons.reasons_table import reasons_table


def reason_rows(
    part: pl.DataFrame,
    outputs: pl.DataFrame,
    items: pl.DataFrame,
    run: str,
    options: tuple[str, ...],
    *,
    confidence: float,
    n_boot: int,
    seed: int,
) -> pl.DataFrame | None:
    """Automatic metrics of one run's reasons; None where it gave none on these items.

    Args:
        part: Rows of the joined answers of one run.
        outputs: Output rows that were looked at, with ``label_pred``; every sample counts, with its own label.
        items: The table items, with statements and people's reasons.
        run: The run.
        options: Names of the labels in order.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` and Estimate's fields.
    """
    given = pl.when(pl.col("error").is_null()).then("reason").alias("reason")
    own = outputs.select("run_id", "item_id", "label_pred", given).filter(run_id=run).drop("run_id")
    if own["reason"].null_count() == len(own):
        return None
    people = items.select("item_id", "statement", _texts().alias("human_reasons"))
    kept = part.select("item_id", *(["group"] if "group" in part.columns else []))
    frame = kept.join(own, on="item_id", how="left").join(people, on="item_id", how="left")
    if frame["reason"].is_null().all():
        return None
    return reasons_table(frame, options=options, confidence=confidence, n_boot=n_boot, seed=seed)


def _texts() -> pl.Expr:
    """The texts of people's reasons."""
    return pl.col("reasons").list.eval(pl.element().struct.field("text"))
