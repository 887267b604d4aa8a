"""A log of another tool beside our own outputs: read as scoring reads it, said on the Overview, on every page a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shown_page import STREAMLIT_WARNINGS, html_of, show_page, words_of

from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.files.items import read_items
from dfar_toolkit.journeys.scores import score_run

pytestmark = STREAMLIT_WARNINGS


def samples(demo: Path, folder: Path, n_strange: int = 0) -> Path:
    """A samples file of lm-eval about the test split, the last documents in no items folder."""
    folder.mkdir()
    read = read_items(demo / "items")
    rows = read.items.filter(split="test").to_dicts()
    texts = [row["statement"] for row in rows] + [f"Nobody ever wrote this sentence {i}." for i in range(n_strange)]
    file = folder / "samples_demo_2025-01-05T10-00-00.000000.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for i, text in enumerate(texts):
            likely = [[str(-1.0 - ((i + k) % len(read.options))), "False"] for k in range(len(read.options))]
            asked = {f"gen_args_{k}": {"arg_0": text, "arg_1": f" {o}"} for k, o in enumerate(read.options)}
            said = {
                "doc_id": i, "doc": {"statement": text}, "target": "0", "arguments": asked,
                "resps": [[pair] for pair in likely], "filtered_resps": likely, "filter": "none",
            }  # fmt: skip
            out.write(json.dumps(said) + "\n")
    return file


def test_a_log_of_lm_eval_is_a_run_as_it_is_for_scoring(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = samples(demo, tmp_path / "org__model")
    overview = show_page(monkeypatch, "overview", [demo / "items", demo / "runs" / "label-only.jsonl", file])
    words = words_of(overview)
    assert "2 model runs" in words
    assert f"{file.name}: read as lm_eval" in words
    assert "d-note" not in html_of(overview)  # it is no problem
    row = (
        score_run(file, items=demo / "items", parts=["labels"])
        .filter(metric="accuracy", subset="all")
        .row(0, named=True)
    )
    assert f"org__model accuracy {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}] n = {row['n']}" in words
    assert "org__model" in words_of(show_page(monkeypatch, "runs", [demo / "items", file]))


def test_rows_about_nothing_are_said(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = samples(demo, tmp_path / "m", n_strange=5)
    words = words_of(show_page(monkeypatch, "items", [demo / "items", file]))
    assert "5 rows match no item and are left out" in words


def test_the_index_alone_takes_our_own_only(demo: Path, tmp_path: Path) -> None:
    index = ItemIndex(demo / "items", runs=[samples(demo, tmp_path / "m")])
    assert index.runs == ()
    assert index.notes == ()
    assert "an outputs file needs" in index.problems[0]


def test_what_nobody_reads_is_told_as_scoring_tells_it(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "results_2025.json"
    file.write_text(json.dumps({"results": {}, "configs": {}, "versions": {}}), encoding="utf-8")
    words = words_of(show_page(monkeypatch, "overview", [demo / "items", file]))
    assert "this is lm-eval's file of averages; wanted samples_*.jsonl" in words
