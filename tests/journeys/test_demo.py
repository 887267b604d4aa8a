"""The main job from end to end on the embedded example."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

import dfar_toolkit as dt
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import read_items
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.journeys.demo import run_demo


def digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_it_writes_everything(demo: Path) -> None:
    written = {str(p.relative_to(demo)) for p in demo.rglob("*") if p.is_file()}
    assert written >= {
        "report.html", "report.md", "report.json", "manifest.json", "judgements.csv",
        "raw/annotations.csv", "runs/label-only.jsonl", "runs/with-reasons.jsonl",
        "items/README.md", "items/manifest.json", "items/audit.json", "items/agreement.json", "items/croissant.json",
        "items/data/default/train.parquet", "items/data/default/test.parquet",
        "items/annotations.parquet", "items/raters.parquet", "items/targets.parquet", "items/questions.parquet",
    }  # fmt: skip


def test_the_same_inputs_give_the_same_bytes_and_running_again_is_safe(demo: Path, tmp_path: Path) -> None:
    first = digests(run_demo(tmp_path / "demo").path)
    again = digests(run_demo(tmp_path / "demo").path)
    assert first == again == digests(demo)
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]


def test_the_example_is_what_it_claims_to_be(demo: Path) -> None:
    items = read_items(demo / "items")
    assert items.items.height >= 60
    assert items.raters.height == 8
    assert set(items.raters.columns) >= {"age_band", "gender"}
    ratings = items.annotations.group_by("item_id").len()["len"]
    assert (ratings.min(), ratings.max()) == (3, 5)
    assert items.annotations["reason"].str.len_chars().min() > 10
    assert items.annotations["reason"].n_unique() == items.annotations.height
    differing = items.items.filter(pl.col("label_counts").list.min() > 0).height / items.items.height
    assert 0.3 < differing < 0.4
    judgements = read_judgements(demo / "judgements.csv", questions=items.questions)
    assert judgements["judge_id"].n_unique() == 3
    assert set(judgements["run_id"]) == {"human", "with-reasons"}
    split_votes = judgements.group_by("output_id").agg(pl.col("value").n_unique())["value"]
    assert (split_votes > 1).sum() >= 10
    for run in ("label-only", "with-reasons"):
        rows = [json.loads(line) for line in (demo / "runs" / f"{run}.jsonl").read_text().splitlines()]
        assert sum(row["label"] is None for row in rows) >= 2


def test_it_passes_its_own_gate(demo: Path) -> None:
    assert read_items(demo / "items").manifest["audit"] == {"failed": [], "accepted": []}


def test_no_raw_annotator_id_gets_out(demo: Path) -> None:
    for name in ("README.md", "agreement.json", "audit.json", "manifest.json", "croissant.json"):
        assert "ann_" not in (demo / "items" / name).read_text()
    assert not read_items(demo / "items").annotations["annotator_id"].str.contains("ann_").any()


def test_no_clock_and_no_path_in_what_is_written(demo: Path) -> None:
    for path in [*demo.glob("items/*.json"), demo / "items" / "README.md", *demo.glob("report.*")]:
        assert str(demo) not in path.read_text()
        assert "/tmp/" not in path.read_text()


def test_load_and_score_as_the_readme_says(demo: Path) -> None:
    items = dt.load(demo / "items")
    assert items["label"].drop_nulls().unique().sort().to_list() == ["ethical", "unethical"]
    scores = dt.score(demo / "runs" / "with-reasons.jsonl", items=demo / "items")
    row = scores.filter(pl.col("metric") == "accuracy").row(0, named=True)
    # 46 of the 58 test items on which a majority of people agree; 2 ties have no gold, 2 unparsed count as wrong
    assert row["value"] == pytest.approx(46 / 58, abs=1e-12)
    assert row["n"] == 58


def test_the_folder_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TableError, match="found other files"):
        run_demo(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
