"""The reasons that a run gave for a few items, read from its file; of a parquet file only where these items can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.run_columns import first_answers, is_answer
from dfar_toolkit.errors import DfarError
from dfar_toolkit.tables import of_config, primary_questions

_COLUMNS: Final = ("item_id", "question", "sample", "method", "operator", "k", "draw", "reason")


def reasons_of_rows(index: ItemIndex, run: str, rows: Sequence[int]) -> list[str]:
    """The reason of the run's answer to each item, empty where it gave none or its file cannot be read.

    Args:
        index: The items.
        run: The run.
        rows: Rows of the index.

    Raises:
        ValueError: There is no such run.
    """
    if run not in index.runs:
        raise ValueError(f"reasons_of_rows: there is no run {run!r}; found {', '.join(index.runs) or 'none'}")
    ids = [str(name) for name in index.column("item_id").gather(list(rows))]
    if not ids:
        return []
    # Between the first and the last of them: so that parts of the file that hold none of them stay closed.
    near = pl.col("item_id").is_between(pl.lit(min(ids)), pl.lit(max(ids))) & pl.col("item_id").is_in(ids)
    wanted = near & (pl.col("run_id") == run) & is_answer(index.files.questions)
    try:
        read = index.run_files[run].scan().filter(wanted).select(_COLUMNS).collect()
    except (OSError, DfarError, pl.exceptions.PolarsError):
        return [""] * len(ids)
    if len(set(primary_questions(index.files.questions).values())) > 1:
        read = _of_own_question(index, read)
    first = first_answers(read, "item_id")
    found = dict(zip(first["item_id"], first["reason"], strict=True))
    return [found.get(item_id) or "" for item_id in ids]


def _of_own_question(index: ItemIndex, read: pl.DataFrame) -> pl.DataFrame:
    """Answers to the primary question of the item's own config."""
    about = pl.col("item_id").is_in(read["item_id"].unique().to_list())
    configs = index.frame(["item_id", "config"]).filter(about).with_columns(pl.col("config").cast(pl.String))
    asked = configs.select("item_id", of_config(index.files.questions).alias("asked"))
    return read.join(asked, on="item_id", how="left").filter(pl.col("asked") == pl.col("question")).drop("asked")
