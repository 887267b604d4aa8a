"""Runs of the same splits stay together."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.journeys.runs_by_splits import once_each, runs_by_splits


def test_runs_of_the_same_splits_stay_together() -> None:
    items = pl.DataFrame({"item_id": ["a", "b", "c"], "split": ["dev", "test", "test"]})
    outputs = pl.DataFrame({"run_id": ["r", "s", "s", "t"], "item_id": ["b", "a", "c", "c"]})
    assert [part["run_id"].unique().sort().to_list() for part in runs_by_splits(outputs, items)] == [["r", "t"], ["s"]]
    assert runs_by_splits(outputs.clear(), items) == []


def test_peoples_own_reasons_stand_once_and_last() -> None:
    named = {"metric": "mar_mean", "subset": "all", "label": None, "predictor": None}
    parts = [pl.DataFrame([{"run_id": run, **named} for run in pair]) for pair in (("human", "r"), ("s", "human"))]
    assert once_each(parts)["run_id"].to_list() == ["r", "s", "human"]
