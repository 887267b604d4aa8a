"""What people load with the library datasets is what was built, and a paper's scores come out of the Hub alone."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from published_everyday import QUICK, REPO, TOKEN, client_of, quick_api, users

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import read_items
from dfar_toolkit.hub.addresses import Address
from dfar_toolkit.hub.loopback import LoopbackHub, loopback_environment
from dfar_toolkit.hub.publish import PublishOptions, publish
from dfar_toolkit.hub.repository import Repository
from dfar_toolkit.hub.verify import verify
from dfar_toolkit.journeys.load import items_folder
from dfar_toolkit.journeys.paper_trail import paper_trail
from dfar_toolkit.journeys.scores import score_run

pytest.importorskip("huggingface_hub")
SCRIPT = """
import json, sys
from dfar_toolkit.journeys.paper_trail import ORDER
from datasets import load_dataset
from dfar_toolkit.files.digest import KEYS, content_digest

def digest(splits, table):
    found = []
    for split in splits.values():
        label = split.features.get("label")
        for row in split:
            if hasattr(label, "names") and row["label"] is not None:
                row = {**row, "label": label.int2str(row["label"])}
            found.append(dict(row))
    return content_digest(sorted(found, key=lambda row: [row[k] for k in KEYS[table]]))

repo, out = sys.argv[1:]
told = {}
whole = load_dataset(repo)
told["splits"] = {name: len(split) for name, split in whole.items()}
told["names"] = whole["train"].features["label"].names
told["default"] = digest(whole, "items")
told["tag"] = digest(load_dataset(repo, revision="v1.0.0"), "items")
told["stream"] = digest(load_dataset(repo, streaming=True), "items")
told["annotations"] = digest(load_dataset(repo, "annotations"), "annotations")
told["older"] = load_dataset(repo, split="test", revision="v0.9.0")[0]["statement"]
for config in ("outputs", "judgements"):
    rows = load_dataset(repo, config, split=config)
    rows.to_parquet(f"{out}/{config}.parquet")
    told[config] = content_digest(sorted(map(dict, rows), key=lambda row: [row[k] for k in ORDER[config]]))
print(json.dumps(told))
"""


def older(items: Path) -> dict[str, bytes]:
    """The set as it was before: the same rows, other statements."""
    files = {p.relative_to(items).as_posix(): p.read_bytes() for p in items.rglob("*") if p.is_file()}
    name, buffer = "data/default/test.parquet", io.BytesIO()
    pl.read_parquet(io.BytesIO(files[name])).with_columns(statement=pl.lit("older")).write_parquet(buffer)
    return {**files, name: buffer.getvalue()}


def test_the_rows_and_the_scores_of_a_paper_come_out_of_the_hub_alone(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, run, judged = demo / "items", demo / "runs/with-reasons.jsonl", demo / "judgements.csv"
    given = [run, demo / "runs/label-only.jsonl", judged, demo / "protocol.yaml"]
    before = {p: p.read_bytes() for p in items.rglob("*") if p.is_file()}
    with LoopbackHub(users(), cdn=True) as hub, client_of(monkeypatch, tmp_path, hub):
        repo = hub.repos.create("dataset", REPO, private=True)
        repo.change(older(items))
        repo.tags["v0.9.0"] = repo.branches["main"]
        place = Repository(quick_api(hub), REPO, QUICK)
        with paper_trail(items, given) as trail:
            publish(trail.folder, place, PublishOptions(tag="v1.0.0", accept=("hub.edited",)))
        environment = {**os.environ, "USE_TORCH": "0", **loopback_environment(hub, tmp_path / "home", TOKEN)}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, REPO, str(tmp_path)],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        told = json.loads(done.stdout.splitlines()[-1])
        folder = items_folder(f"{REPO}@v1.0.0")
        trail_digests = read_items(folder).manifest["paper_trail"]["content_digest"]
        assert verify(Address(REPO, "v1.0.0"), against=items, api=place.api, patience=QUICK).same
    manifest = read_items(items).manifest
    assert told["splits"] == {"train": 20, "test": 60}
    assert told["names"] == ["ethical", "unethical"]
    assert told["default"] == told["tag"] == told["stream"] == manifest["content_digest"]["default"]
    assert told["annotations"] == manifest["content_digest"]["annotations"]
    assert told["older"] == "older"
    assert {name: told[name] for name in ("outputs", "judgements")} == trail_digests

    loaded = pl.read_parquet(tmp_path / "outputs.parquet")
    assert sorted(loaded["run_id"].unique()) == ["label-only", "with-reasons"]
    loaded.filter(run_id="with-reasons").write_parquet(tmp_path / "with-reasons.parquet")
    parts = ("labels", "soft", "judging")
    there = score_run(
        tmp_path / "with-reasons.parquet", items=folder, judgements=tmp_path / "judgements.parquet", parts=parts,
        n_boot=100,
    )  # fmt: skip
    here = score_run(run, items=items, judgements=judged, parts=parts, n_boot=100)
    assert_frame_equal(there, here)
    assert here.filter(metric="accuracy", subset="all")["value"].is_not_nan().all()
    assert {p: p.read_bytes() for p in items.rglob("*") if p.is_file()} == before


def test_what_is_staged_and_what_is_said(demo: Path, tmp_path: Path) -> None:
    run = tmp_path / "Run 1"
    run.mkdir()
    pl.read_ndjson(demo / "runs/label-only.jsonl").select("item_id", "label").write_parquet(run / "outputs.parquet")
    notes = {"model": {"name": "m", "path": "/home/mary/m"}, "files": ["~/x", "y", "C:\\Users\\mary"],
             "prompt": "/no_think"}  # fmt: skip
    (run / "run.json").write_text(json.dumps(notes))
    with paper_trail(demo / "items", [run, demo / "judgements.csv"]) as trail:
        assert trail.files == ("outputs/Run-1.parquet", "outputs/Run-1.run.json", "judgements/judgements.parquet")
        kept_notes = json.loads((trail.folder / "outputs/Run-1.run.json").read_text())
        assert kept_notes == {"model": {"name": "m"}, "files": ["y"], "prompt": "/no_think"}
        judges = set(pl.read_parquet(trail.folder / "judgements/judgements.parquet")["judge_id"])
        assert judges == {"judge:a1", "judge:a2", "judge:a3"}
        manifest = read_items(trail.folder).manifest  # every hash fits
        assert manifest["paper_trail"]["runs"] == ["Run 1"]
        assert any("their outputs are not published with them: with-reasons" in note for note in trail.notes)
        assert any("left out model.path, files[], files[] (places" in note for note in trail.notes)
    assert not trail.folder.exists()
    with paper_trail(demo / "items", [demo / "judgements.csv"], keep_ids=True) as trail:
        kept = pl.read_parquet(trail.folder / "judgements/judgements.parquet")
        assert "judge_1" in set(kept["judge_id"])


def test_staging_is_the_same_twice(demo: Path) -> None:
    given, told = [demo / "runs/with-reasons.jsonl", demo / "judgements.csv"], []
    for _ in range(2):
        with paper_trail(demo / "items", given) as trail:
            told.append({p.name: p.read_bytes() for p in trail.folder.rglob("*") if p.is_file()})
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "item_id,label\nnobody:0,ethical\n", "1 item id is not among them, e.g. 'nobody:0'|no row"),
        ("a.csv", "item_id,label\neveryday:test:s021,odd\n", "odd"),
        ("a.csv", "judge_id,run_id,item_id,value\nj,r,nobody:0,good\n", "judgements: these must be about the items"),
        ("a.yaml", "- no mapping\n", "a judging protocol is a YAML mapping"),
        ("a.xyz", "?", "a.xyz"),
    ],
)
def test_what_does_not_fit_is_refused(demo: Path, tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(TableError, match=said), paper_trail(demo / "items", [tmp_path / name]):
        pass


def test_a_token_in_the_notes_of_a_run_is_refused(demo: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    pl.read_ndjson(demo / "runs/label-only.jsonl").select("item_id", "label").write_parquet(run / "outputs.parquet")
    (run / "run.json").write_text('{"env": "hf_abcdefghijklmnop"}')
    with pytest.raises(TableError, match="looks like a token") as raised, paper_trail(demo / "items", [run]):
        pass
    assert "hf_abc" not in str(raised.value)
