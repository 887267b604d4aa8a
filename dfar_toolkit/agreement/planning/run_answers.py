"""Answers of runs beside the items that people rated: which value each run gave to each item."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Ints
from dfar_toolkit.agreement.other_frames import as_frame
from dfar_toolkit.agreement.ratings import shown
from dfar_toolkit.errors import TableError


class RunAnswers(NamedTuple):
    """``answers`` (R, N): index of each run's value on each rated item, -1 where it has none or an unrated value."""

    runs: list[str]
    answers: Ints
    note: str


def read_answers(runs: Any, items: pl.Series, values: pl.Series, *, run: str, item: str, label: str) -> RunAnswers:
    """Line up runs with rated items.

    Args:
        runs: One row per run and item with the columns ``run``, ``item`` and ``label`` (null: no answer).
        items: The rated items, sorted (N,).
        values: The values people gave, sorted (V,).
        run: Column of the run.
        item: Column of the item.
        label: Column of the predicted value.

    Returns:
        The answers, runs sorted by name; the note counts what is missing.

    Raises:
        TableError: A column is missing, a run stands twice on an item, or no item was rated.
    """
    runs = as_frame(runs, "ranking_stability")
    for name in (run, item, label):
        if name not in runs.columns:
            raise TableError(
                f'the runs need the column "{name}"; found {", ".join(runs.columns[:8])}; name another with run=, '
                f"item= or label=."
            )
    rows = runs.select(pl.col(run).cast(pl.String), pl.col(item).cast(pl.String), pl.col(label).cast(pl.String))
    rows.columns = ["run", "item", "label"]
    twice = rows.filter(pl.struct("run", "item").is_duplicated())
    if len(twice):
        raise TableError(
            f'run "{shown(twice["run"][0])}" stands twice on item "{shown(twice["item"][0])}"; keep one answer each.'
        )
    place = pl.DataFrame({"item": items.cast(pl.String), "place": np.arange(len(items))})
    code = pl.DataFrame({"label": values.cast(pl.String), "code": np.arange(len(values))})
    known = rows.join(place, on="item").join(code, on="label", how="left")
    if not len(known):
        raise TableError("no item of the runs was rated; check that both use the same item ids.")
    names = known["run"].unique().sort().to_list()
    answers = np.full((len(names), len(items)), -1, dtype=np.int64)
    row = known["run"].cast(pl.Enum(names)).to_physical().to_numpy()
    answers[row, known["place"].to_numpy()] = known["code"].fill_null(-1).to_numpy()
    missing = len(names) * len(items) - len(known.filter(pl.col("label").is_not_null()))
    return RunAnswers(names, answers, f"{missing} missing answers count as wrong" if missing else "")
