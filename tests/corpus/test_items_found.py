"""Which items show which finding stands in the folder, all of them, and a browser filters by it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl

from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows
from dfar_toolkit.corpus.findings import Finding, items_found
from dfar_toolkit.files.items import FINDINGS


def test_every_item_of_a_finding_is_named(demo: Path) -> None:
    found = pl.read_parquet(demo / "items" / FINDINGS)
    audit = {row["finding"]: row for row in json.loads((demo / "items" / "audit.json").read_text())}
    assert "items" not in audit["label.tie"]
    counts = dict(found.group_by("finding").len().rows())
    # Findings that count items name as many; those that count reasons or ratings at most as many.
    for name in ("label.tie", "leak.exact", "leak.near", "duplicate.near", "annotations.single"):
        assert counts.get(name, 0) == audit[name]["count"], name
    assert all(counts[name] <= audit[name]["count"] for name in counts)
    ids = ItemIndex(demo / "items").column("item_id")
    assert found["item_id"].is_in(ids.to_list()).all()
    manifest = json.loads((demo / "items" / "manifest.json").read_text())
    assert manifest["files"][FINDINGS]["rows"] == len(found)


def test_a_filter_finds_all_of_them(demo: Path) -> None:
    index = ItemIndex(demo / "items")
    ties = found_rows(index, ItemFilter(finding=("label.tie",))).rows
    assert index.column("label").gather(ties).is_null().all()
    assert len(ties) == index.column("label").null_count() > 0


def test_an_older_folder_has_its_examples(demo: Path, tmp_path: Path) -> None:
    older = shutil.copytree(demo / "items", tmp_path / "items")
    whole = len(ItemIndex(older).findings())
    (older / FINDINGS).unlink()
    index = ItemIndex(older)
    assert 0 < len(index.findings()) <= whole
    assert index.problems == ()


def test_a_broken_table_is_said(demo: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(demo / "items", tmp_path / "items")
    (broken / FINDINGS).write_bytes(b"PAR1 no")
    index = ItemIndex(broken)
    assert index.findings().is_empty()
    assert any(FINDINGS in problem and "\n" not in problem for problem in index.problems)


def test_findings_about_no_item_name_none() -> None:
    about_an_item = Finding("text.bom", "warn", 1, 2, items=pl.Series(["b"]))
    found = items_found([Finding("split.name", "fail", 1, 2), about_an_item])
    assert found.rows() == [("text.bom", "b")]
    assert items_found([]).schema == {"finding": pl.String, "item_id": pl.String}
