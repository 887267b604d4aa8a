"""The Runs page: its numbers are those of scoring, its counts lead to the items behind them."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from shown_page import STREAMLIT_WARNINGS, html_of, links_of, query_of, show_page, words_of

from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows
from dfar_toolkit.journeys.scores import score_run
from dfar_toolkit.report.headline_panels import headline_panels
from viewer_example import LINK, SCRIPT, write_example

pytestmark = STREAMLIT_WARNINGS


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("runs")).parent


def test_numbers_are_those_of_scoring(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = demo / "runs" / "with-reasons.jsonl"
    judged = demo / "judgements.csv"
    test = show_page(monkeypatch, "runs", ["--judgements", judged, demo / "items", run])
    words = words_of(test)
    parts = ["labels", "bias", "soft", "ceiling", "calibration", "people", "judging"]
    table = score_run(run, items=demo / "items", judgements=judged, parts=parts)
    panels = headline_panels(table)
    assert [panel.metric for panel in panels] == [
        "accuracy", "macro_f1", "kappa_run", "soft_cross_entropy", "total_variation", "mar_mean",
    ]  # fmt: skip
    for panel in panels:
        for line in panel.lines:
            for row in (line.row, *(mark.row for mark in line.marks)):
                assert f"{row['value']:.3f}" in words
                if row["low"] == row["low"]:
                    assert f"[{row['low']:.3f}, {row['high']:.3f}]" in words
    assert "majority 0.534" in words
    assert "one person held out" in words
    shares = table.filter(pl.col("metric") == "predicted_share", pl.col("subset") == "all").to_dicts()
    for row in shares:
        assert f"{row['label']} {100 * row['value']:.0f} % people" in words
    assert "human_calibration_error" in words
    assert len(test.get("image")) == 2  # a reliability curve, and reasons beside people's own


def test_counts_lead_to_the_items(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = demo / "runs" / "with-reasons.jsonl"
    index = ItemIndex(demo / "items", runs=[run])
    page = html_of(show_page(monkeypatch, "runs", [demo / "items", run]))
    for state, n in (("right", 46), ("wrong", 10), ("unparsed", 2), ("missing", 20)):
        wanted = ItemFilter(state=(("with-reasons", state),))
        assert len(found_rows(index, wanted)) == n
        assert f'href="items?state=with-reasons%3A{state}">{n}</a>' in page
    assert "prediction=with-reasons%3Aethical" in page
    assert 'href="compare"' not in page.split("<table")[0]  # there is nothing to compare


def test_hostile_names_broken_files_and_leaks(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [example / name for name in ("plain.jsonl", "reasons.jsonl", "broken.jsonl", "absent.jsonl")]
    test = show_page(monkeypatch, "runs", ["--judgements", example / "judgements.csv", example / "items", *paths])
    page, words = html_of(test), words_of(test)
    assert "<script" not in page
    assert "<img" not in page
    assert f"plain {LINK}" in words
    assert SCRIPT not in page
    assert "broken.jsonl" in words
    assert "absent.jsonl" in words
    assert "Leaked and clean items" in words
    assert query_of(links_of(test)["leaked"])["leak"] == ["identical_row", "exact", "near"]
    assert "outside.example" in html.unescape(page)  # as text


def test_a_run_that_does_not_fit_leaves_the_others(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stray = tmp_path / "stray.jsonl"
    stray.write_text('{"run_id": "stray", "item_id": "nowhere", "label": "ethical"}\n')
    run = demo / "runs" / "label-only.jsonl"
    test = show_page(monkeypatch, "runs", [demo / "items", stray, run])
    assert "0.655" in words_of(test)
    assert test.error
    alone = show_page(monkeypatch, "runs", [demo / "items", stray])
    assert "None of these outputs can be scored" in words_of(alone)


def test_no_runs_and_broken_items(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No model outputs to look at" in words_of(show_page(monkeypatch, "runs", [demo / "items"]))
    torn = tmp_path / "torn.csv"
    torn.write_text("item_id,label\n,ethical\n")
    words = words_of(show_page(monkeypatch, "runs", [demo / "items", torn]))
    assert "torn.csv: " in words
    assert "None of the model outputs can be read; the notes above say why." in words
    assert "to look at" not in words
    folder = tmp_path / "items"
    shutil.copytree(demo / "items", folder)
    (folder / "annotations.parquet").write_bytes(b"nothing")
    test = show_page(monkeypatch, "runs", [folder, demo / "runs" / "label-only.jsonl"])
    assert "label-only" in words_of(test)
    assert test.error  # scoring needs every table


def test_many_items_are_scored_when_asked_for(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dfar_toolkit._viewer import scored

    run = demo / "runs" / "label-only.jsonl"
    monkeypatch.setattr(scored, "MANY", 50)
    test = show_page(monkeypatch, "runs", [demo / "items", run])
    assert "Metrics beside people" not in words_of(test)
    assert query_of(links_of(test)["Compute metrics"])["compute"] == ["yes"]
    asked = show_page(monkeypatch, "runs", [demo / "items", run], {"compute": "yes"})
    assert "Metrics beside people and baselines" in words_of(asked)


def test_a_run_of_another_split_is_said_to_lack_outputs(
    demo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in (demo / "runs" / "with-reasons.jsonl").read_text("utf-8").splitlines()]
    few = tmp_path / "few.jsonl"
    few.write_text("".join(json.dumps({**row, "run_id": "few"}) + "\n" for row in rows[:40]), encoding="utf-8")
    words = words_of(show_page(monkeypatch, "runs", [demo / "items", demo / "runs" / "with-reasons.jsonl", few]))
    found = score_run(few, items=demo / "items", parts=["labels"]).filter(metric="missing_outputs", subset="all")
    assert "an item without an output counts as wrong" in words
    assert f"few {found['value'][0]:.0f} without one" in words


def test_judgements_that_cannot_be_scored_leave_the_scores(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = (demo / "judgements.csv").read_text(encoding="utf-8").splitlines()
    head = two[0].split(",")
    assert "question" not in head
    rows = [f"{two[0]},question", *(f"{line},{'fit' if n % 2 else 'style'}" for n, line in enumerate(two[1:]))]
    (tmp_path / "two.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    run = demo / "runs" / "with-reasons.jsonl"
    test = show_page(monkeypatch, "runs", ["--judgements", tmp_path / "two.csv", demo / "items", run])
    assert len(test.error) == 1
    assert "question" in test.error[0].value
    assert "0.793" in words_of(test)
