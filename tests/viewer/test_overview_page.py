"""The Overview page: its numbers are the package's, its links lead to what it counts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from shown_page import STREAMLIT_WARNINGS, html_of, links_of, query_of, show_page, words_of

from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows
from dfar_toolkit.journeys.scores import score_run
from viewer_example import IMAGE, LINK, OPTIONS, SCRIPT, write_example

pytestmark = STREAMLIT_WARNINGS


def counted(index: ItemIndex, href: str) -> int:
    """The items that a link of the page leads to."""
    wanted, said = ItemFilter.from_query(query_of(href))
    assert not said
    return len(found_rows(index, wanted))


def test_numbers_are_the_packages(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [demo / "runs" / "label-only.jsonl", demo / "runs" / "with-reasons.jsonl"]
    words = words_of(show_page(monkeypatch, "overview", [demo / "items", *runs]))
    manifest = json.loads((demo / "items" / "manifest.json").read_text())
    assert manifest["title"] in words
    assert f"{manifest['rows']['items']} items" in words
    assert f"{manifest['disagreement']['items']} disputed items" in words
    for split, facts in manifest["configs"]["default"]["splits"].items():
        assert f"{split} {facts['rows']} items" in words
        for name, n in facts["labels"].items():
            assert f"{name} {n} · " in words
    rows = {r["statistic"]: r for r in json.loads((demo / "items" / "agreement.json").read_text())}
    alpha = rows["krippendorff_alpha"]
    assert f"[{alpha['low']:.2f}, {alpha['high']:.2f}]" in words
    assert f"{100 * rows['percent_agreement']['value']:.0f} % of the time" in words
    assert manifest["content_digest"]["default"] in words
    for run in runs:
        table = score_run(run, items=demo / "items", parts=["labels"])
        row = table.filter(pl.col("metric") == "accuracy", pl.col("subset") == "all").to_dicts()[0]
        assert f"accuracy {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}] n = {row['n']}" in words


def test_links_lead_to_what_is_counted(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = demo / "runs" / "with-reasons.jsonl"
    index = ItemIndex(demo / "items", runs=[run])
    links = links_of(show_page(monkeypatch, "overview", [demo / "items", run]))
    assert counted(index, links["28disputed itemsof 80 with two or more ratings"]) == 28
    assert query_of(links["Most disputed items"])["order"] == ["-disagreement"]
    assert counted(index, links["✗ wrong 10"]) == 10
    assert counted(index, links["no label 2"]) == 2
    assert counted(index, links["Errors of with-reasons"]) == 12  # no answer is no right one
    assert links["All about agreement →"] == "agreement"
    assert counted(index, links.get("items") or links["examples"]) == 2  # the ties that the audit found


def test_hostile_text_stands_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_example(tmp_path)
    broken = [tmp_path / name for name in ("plain.jsonl", "reasons.jsonl", "broken.jsonl")]
    test = show_page(monkeypatch, "overview", [folder, *broken])
    page, words = html_of(test), words_of(test)
    assert "<script" not in page
    assert "<img" not in page
    for text in (f"Example {SCRIPT}", f"plain {LINK}", OPTIONS[1][:50]):
        assert text in words
    assert IMAGE not in page
    assert "broken.jsonl" in words  # a problem of a file, calmly
    assert "leak.exact fails 2 of 40" in words


def test_missing_and_broken_parts_are_said(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "items"
    shutil.copytree(demo / "items", folder)
    (folder / "audit.json").unlink()
    (folder / "agreement.json").write_text('{"no": "list"}')
    (folder / "data" / "default" / "train.parquet").write_bytes(b"nothing")
    words = words_of(show_page(monkeypatch, "overview", [folder]))
    assert "There is no audit.json" in words
    assert "wanted a list, found dict" in words
    assert "train.parquet: cannot be read" in words
    assert "60 items" in words
    assert "No model outputs were given" in words
    torn = tmp_path / "torn.csv"
    torn.write_text("item_id,label\n,ethical\n")
    words = words_of(show_page(monkeypatch, "overview", [folder, torn]))
    assert "torn.csv: " in words
    assert "None of the model outputs can be read; the notes above say why." in words
    assert "were given" not in words


def test_a_bare_manifest_is_enough(browsed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    words = words_of(show_page(monkeypatch, "overview", [browsed.items, *browsed.runs]))
    assert "48 items" in words
    assert "train 30 items" in words
    assert "No agreement is known" in words
    assert "read from" in words


def test_of_many_runs_the_first_are_shown_whole(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (demo / "runs" / "label-only.jsonl").read_text(encoding="utf-8")
    runs = [tmp_path / f"run-{k:02d}.jsonl" for k in range(14)]
    for run in runs:
        run.write_text(text.replace("label-only", run.stem), encoding="utf-8")
    page = show_page(monkeypatch, "overview", [demo / "items", *runs])
    words = words_of(page)
    assert all(run.stem in words for run in runs)
    assert words.count("accuracy 0.655") == 12
