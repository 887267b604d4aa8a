"""How a run stands at a glance: what became of its answers, and the share that is right."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.browsing.item_filter import STATES
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.estimate import Estimate
from dfar_toolkit.metrics.classification import accuracy


def run_states(index: ItemIndex, run: str) -> dict[str, int]:
    """The number of items by what became of the run's answer; the items that a filter by that state gives.

    Args:
        index: The items.
        run: The run.

    Returns:
        Every state that occurs, in the order of ``STATES``.
    """
    return index.remembered(("states", run), lambda: _states(index, run))


def _states(index: ItemIndex, run: str) -> dict[str, int]:
    counted = index.column(f"state {run}").value_counts()
    found = dict(zip(counted.to_series(0).cast(pl.String), counted.to_series(1), strict=True))
    return {state: found[state] for state in STATES if found.get(state)}


def run_accuracy(index: ItemIndex, run: str) -> Estimate:
    """Accuracy over the items with a label in the splits that the run answers, as scoring counts it.

    Items without a usable answer are wrong; the interval is over the groups of the items.

    Args:
        index: The items.
        run: The run.

    Returns:
        The estimate, remembered.
    """
    return index.remembered(("accuracy", run), lambda: _accuracy(index, run))


def _accuracy(index: ItemIndex, run: str) -> Estimate:
    state = f"state {run}"
    frame = index.frame(["split", "group", "label", f"answer {run}", state])
    splits = frame.filter(pl.col(state) != "missing")["split"].unique()
    asked = frame.filter(pl.col("split").is_in(splits.implode()), pl.col("label").is_not_null())
    texts = asked.select(pl.col("label", f"answer {run}").cast(pl.String), "group")
    return accuracy(texts, pred=f"answer {run}", group="group")
