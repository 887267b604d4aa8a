"""Runs that answer the same splits go together: none is scored on a split that only another run was asked about."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dfar_toolkit.tables import HUMAN_RUN

_NAMED = ["run_id", "metric", "subset", "label", "predictor"]


def runs_by_splits(outputs: pl.DataFrame, items: pl.DataFrame) -> list[pl.DataFrame]:
    """The outputs in parts of which all runs answer the same splits, in the order of their first runs.

    Example:
        >>> items = pl.DataFrame({"item_id": ["a", "b"], "split": ["dev", "test"]})
        >>> outputs = pl.DataFrame({"run_id": ["r", "s", "t"], "item_id": ["a", "b", "a"]})
        >>> [part["run_id"].to_list() for part in runs_by_splits(outputs, items)]
        [['r', 't'], ['s']]
    """
    placed = outputs.select("run_id", "item_id").join(items.select("item_id", "split"), on="item_id", how="left")
    of_run = placed.group_by("run_id", maintain_order=True).agg(pl.col("split").drop_nulls().unique().sort())
    parts = of_run.group_by("split", maintain_order=True).agg("run_id")["run_id"]
    return [outputs.filter(pl.col("run_id").is_in(runs)) for runs in parts.to_list()]


def once_each(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Scores one under the other; people's own reasons, which stand in several, once and last."""
    table = pl.concat(parts).unique(_NAMED, keep="first", maintain_order=True)
    return table.sort(pl.col("run_id") == HUMAN_RUN, maintain_order=True)
