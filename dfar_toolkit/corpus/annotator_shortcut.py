"""How well is a rating foretold by who gives it? The annotator's own majority against everybody's, out of fold."""

from __future__ import annotations

import numpy as np
import polars as pl

from dfar_toolkit.corpus.annotator_behaviour import known_annotators
from dfar_toolkit.estimate import Additive, Estimate, estimate_together, mean_of


def annotator_shortcut(
    annotations: pl.DataFrame,
    groups: pl.DataFrame | None = None,
    *,
    folds: int = 5,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> dict[str, Estimate]:
    r"""Accuracy of naming the annotator's commonest value of the other folds, beside everybody's commonest value.

    Ratings are dealt into folds by whole groups. For a rating in fold f, the annotator's majority and the overall one
    are taken over all ratings outside f; ties go to the overall majority, then to the first value by name; an annotator
    without ratings outside f gets the overall majority.

    Args:
        annotations: Ratings of one question, ``item_id, annotator_id, value``, (n,).
        groups: ``item_id, group``; the unit that stays in one fold and is resampled. By default the item.
        folds: How many.
        confidence: Two-sided coverage.
        n_boot: Bootstrap draws.
        seed: Of the folds and the draws.

    Returns:
        ``annotator_accuracy``, ``majority_accuracy`` and ``annotator_gain``, the difference.

    Undefined:
        All ``nan`` where fewer than two groups have ratings by annotators known by name.

    Example:
        Two people who never agree with each other and never change their minds.

        >>> rows = [(f"i{i}", f"s:{a}", v) for i in range(10) for a, v in (("p", "yes"), ("q", "no"))]
        >>> frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
        >>> found = annotator_shortcut(frame, n_boot=100)
        >>> found["annotator_accuracy"].value, found["majority_accuracy"].value
        (1.0, 0.5)
    """
    rated = known_annotators(annotations).select("item_id", "annotator_id", pl.col("value").cast(pl.String))
    rated = rated.drop_nulls("value")
    if groups is None:
        rated = rated.with_columns(group=pl.col("item_id"))
    else:
        of_item = groups.select("item_id", "group").unique("item_id", keep="first")
        rated = rated.join(of_item, on="item_id", how="left", maintain_order="left")
        rated = rated.with_columns(pl.coalesce("group", "item_id"))
    unit = rated["group"].rank("dense").cast(pl.Int64) - 1
    n_units = int(unit.max() or 0) + 1 if rated.height else 0  # type: ignore[arg-type]
    dealt = np.random.default_rng(seed).permutation(n_units) % folds
    rated = rated.with_columns(fold=pl.Series(dealt[unit.to_numpy()] if rated.height else [], dtype=pl.Int64))
    counts = rated.group_by("annotator_id", "fold", "value").len("n").with_columns(pl.col("n").cast(pl.Int64))
    overall = _majority(counts.group_by("fold", "value").agg(pl.col("n").sum()), [])
    own = _majority(counts, ["annotator_id"], overall)
    rated = rated.join(overall.rename({"best": "all_say"}), on="fold", how="left", maintain_order="left")
    rated = rated.join(own, on=["annotator_id", "fold"], how="left", maintain_order="left")
    hit = (pl.coalesce("best", "all_say") == pl.col("value")).fill_null(False).cast(pl.Float64)
    hits = rated.select(hit.alias("own"), (pl.col("all_say") == pl.col("value")).cast(pl.Float64).fill_null(0.0))
    a, b = hits["own"].to_numpy(), hits["all_say"].to_numpy()
    if n_units < 2:
        a, b = np.empty(0), np.empty(0)
    why = "ratings by annotators known by name in fewer than two groups"
    scores: list[Additive] = [
        mean_of("annotator_accuracy", "accuracy of the annotator's majority", a, undefined=why),
        mean_of("majority_accuracy", "accuracy of the overall majority", b, undefined=why),
        mean_of("annotator_gain", "accuracy gained by knowing the annotator", a - b, undefined=why),
    ]
    found = estimate_together(
        scores, groups=rated["group"] if len(a) else None, confidence=confidence, n_boot=n_boot, seed=seed
    )
    return {s.metric: e for s, e in zip(scores, found, strict=True)}


def _majority(counts: pl.DataFrame, by: list[str], first: pl.DataFrame | None = None) -> pl.DataFrame:
    """The commonest value outside each fold; ties to the one in ``first``, then by name."""
    keys = counts.select(*by, "value").unique()
    folds = counts.select("fold").unique()
    inside = counts.rename({"n": "inside"})
    total = counts.group_by(*by, "value").agg(pl.col("n").sum().alias("total"))
    cells = keys.join(folds, how="cross").join(total, on=[*by, "value"])
    cells = cells.join(inside, on=[*by, "value", "fold"], how="left")
    cells = cells.with_columns((pl.col("total") - pl.col("inside").fill_null(0)).alias("n")).filter(pl.col("n") > 0)
    if first is not None:
        cells = cells.join(first, on="fold", how="left")
    liked = pl.col("value") == pl.col("best") if first is not None else pl.lit(False)
    cells = cells.with_columns(liked.alias("liked"))
    order = cells.sort("n", "liked", "value", descending=[True, True, False])
    best = order.unique([*by, "fold"], keep="first", maintain_order=True)
    return best.select(*by, "fold", pl.col("value").alias("best"))
