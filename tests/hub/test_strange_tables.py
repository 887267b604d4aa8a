"""Folders that are sealed and still are no items: one line from the gate, never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from publish_stage import seal

import dfar_toolkit as dt
from dfar_toolkit.errors import TableError
from dfar_toolkit.journeys.publishing import gate_findings


def test_a_label_that_is_no_option(demo: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(demo / "items", tmp_path / "items")
    table = folder / "data/default/test.parquet"
    pl.read_parquet(table).with_columns(label=pl.lit(99, dtype=pl.Int64)).write_parquet(table)
    seal(folder)
    for work in (lambda: dt.load(folder), lambda: gate_findings(folder, public=True)):
        with pytest.raises(TableError, match="found some that cannot be read") as caught:
            work()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: m["audit"].update(accepted=3),
        lambda m: m.update(sources=["x"]),
        lambda m: m.update(configs={}),
    ],
)
def test_a_manifest_of_other_types(demo: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    folder = shutil.copytree(demo / "items", tmp_path / "items")
    manifest = json.loads((folder / "manifest.json").read_text())
    edit(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(TableError, match="Build the folder again"):
        gate_findings(folder, public=True)
