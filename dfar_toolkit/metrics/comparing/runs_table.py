"""Additive scores of several runs on the same items, and what must be said of their differences."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from dfar_toolkit.estimate import Additive

LINEARISED = "no swap test: an item's share of it depends on all answers of the run"


class Caveat(NamedTuple):
    """What is particular to the differences of one metric.

    ``linearised``: resampled as one number per item that depends on the run's other answers, so without a test.
    ``uncertain``: why a run's value has no valid interval, by run. ``said``: what stands beside a run, by run.
    """

    linearised: bool = False
    uncertain: Mapping[str, str] = {}
    said: Mapping[str, str] = {}


class RunsTable(NamedTuple):
    """Runs with the same additive statistics of the same N items, in the same order.

    ``rows``: run id to its statistics; ``groups``: resampling unit of each item (N,); ``note``: said of every
    difference; ``caveats``: by metric, where there is something to be said.
    """

    rows: dict[str, list[Additive]]
    groups: pl.Series | None
    note: str = ""
    caveats: Mapping[str, Caveat] = {}

    @property
    def metrics(self) -> list[str]:
        """Names of the statistics in order."""
        return [score.metric for score in next(iter(self.rows.values()), [])]

    def only(self, metrics: Collection[str] | None) -> RunsTable | None:
        """The table with these metrics alone (None: all); None where none is left."""
        if metrics is None:
            return self
        kept = {run: [s for s in scores if s.metric in metrics] for run, scores in self.rows.items()}
        return self._replace(rows=kept) if any(kept.values()) else None

    def linearised(self) -> list[str]:
        """The metrics that swapping answers does not test."""
        return [metric for metric, caveat in self.caveats.items() if caveat.linearised]


def rows_of_all(known: pl.DataFrame, runs: Sequence[str]) -> tuple[list[str], pl.DataFrame]:
    """The runs that have any row, and the rows of the items that each of these has.

    Args:
        known: At most one row per ``run_id`` and ``item_id``.
        runs: All runs, in order.

    Returns:
        The runs in their order, and their rows by run and item; no rows where fewer than two runs have any.

    Example:
        >>> known = pl.DataFrame({"run_id": ["a", "a", "b"], "item_id": ["1", "2", "2"]})
        >>> having, rows = rows_of_all(known, ["a", "b", "c"])
        >>> having, rows.rows()
        (['a', 'b'], [('a', '2'), ('b', '2')])
    """
    found = set(known["run_id"].unique())
    having = [run for run in runs if run in found]
    if len(having) < 2:
        return having, known.clear()
    return having, known.filter(pl.len().over("item_id") == len(having)).sort("run_id", "item_id")


def without_note(runs: Sequence[str], having: Sequence[str], what: str) -> str:
    """Which runs are left out for want of something.

    Example:
        >>> without_note(["a", "b", "c"], ["a", "b"], "probabilities")
        'without c: no probabilities'
    """
    lost = [run for run in runs if run not in having]
    return f"without {', '.join(lost)}: no {what}" if lost else ""


def with_caveats(differences: pl.DataFrame, table: RunsTable) -> pl.DataFrame:
    """Differences with what their table says of them: notes, methods, intervals that are not valid taken away.

    Args:
        differences: Rows of ``paired_differences``.
        table: What they were made from.

    Returns:
        The rows in their order.
    """
    if not table.note and not table.caveats:
        return differences
    return pl.DataFrame(
        [_with_caveat(row, table) for row in differences.iter_rows(named=True)], schema=differences.schema
    )


def _with_caveat(row: dict[str, object], table: RunsTable) -> dict[str, object]:
    caveat = table.caveats.get(str(row["metric"]), Caveat())
    runs = [str(row["run_a"]), str(row["run_b"])]
    said = [f"{run}: {caveat.said[run]}" for run in runs if run in caveat.said]
    unsure = [f"no interval: {caveat.uncertain[run]} ({run})" for run in runs if run in caveat.uncertain]
    if unsure:
        row |= {"low": float("nan"), "high": float("nan"), "low_simultaneous": None, "high_simultaneous": None}
        row |= {"p_equivalent": None}
    if caveat.linearised:
        row |= {"method": f"linearised {row['method']}"}
    parts = [row["note"], *said, *unsure, LINEARISED if caveat.linearised else "", table.note]
    return row | {"note": "; ".join(str(p) for p in parts if p)}
