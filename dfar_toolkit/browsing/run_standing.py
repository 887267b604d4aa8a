"""How a run stands at a glance: what became of its answers, and the share that is right."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.browsing.item_filter import STATES
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.estimate import Estimate
from dfar_toolkit.metrics.classification import accuracy


def run_states(index: ItemIndex, run: str, *, config: str = "") -> dict[str, int]:
    """The number of items by what became of the run's answer; the items that a filter by that state gives.

    Args:
        index: The items.
        run: The run.
        config: The config whose items are counted; empty: all items.

    Returns:
        Every state that occurs, in the order of ``STATES``.
    """
    return index.remembered(("states", run, config), lambda: _states(index, run, config))


def _states(index: ItemIndex, run: str, config: str) -> dict[str, int]:
    states = index.column(f"state {run}")
    counted = (states.filter(index.column("config") == config) if config else states).value_counts()
    found = dict(zip(counted.to_series(0).cast(pl.String), counted.to_series(1), strict=True))
    return {state: found[state] for state in STATES if found.get(state)}


def run_accuracy(index: ItemIndex, run: str, *, config: str = "") -> Estimate:
    """Accuracy over the items with a label in the splits that the run answers, as scoring counts it.

    Items without a usable answer are wrong; the interval is over the groups of the items.

    Args:
        index: The items.
        run: The run.
        config: The config that is scored; it must be named where the set has several, as they ask different questions.

    Returns:
        The estimate, remembered.
    """
    return index.remembered(("accuracy", run, config), lambda: _accuracy(index, run, config))


def answered_splits(index: ItemIndex, run: str, *, config: str = "") -> list[str]:
    """The splits of a config (empty: of all items) about whose items a run has an output, in the order of the files."""
    frame = index.frame(["config", "split", f"state {run}"]).filter(pl.col(f"state {run}") != "missing")
    frame = frame.filter(pl.col("config") == config) if config else frame
    return frame["split"].unique(maintain_order=True).cast(pl.String).to_list()


def _accuracy(index: ItemIndex, run: str, config: str) -> Estimate:
    state = f"state {run}"
    frame = index.frame(["config", "split", "group", "label", f"answer {run}", state])
    frame = frame.filter(pl.col("config") == config) if config else frame
    splits = answered_splits(index, run, config=config)
    asked = frame.filter(pl.col("split").is_in(splits), pl.col("label").is_not_null())
    texts = asked.select(pl.col("label", f"answer {run}").cast(pl.String), "group")
    return accuracy(texts, pred=f"answer {run}", group="group")
