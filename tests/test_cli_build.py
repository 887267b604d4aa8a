"""dfar build and check on the command line: options, gates, what is accepted."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from command_line import Dfar, command


@pytest.fixture
def dfar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Dfar:
    return command(capsys, monkeypatch)


def test_a_table_by_options(dfar: Dfar, demo: Path, tmp_path: Path) -> None:
    columns = [
        f"--column={pair}"
        for pair in (
            "name=mine", "id=statement_id", "split=split", "annotator=annotator", "label=label",
            "reason=reason", "options=ethical,unethical", "question=ethical",
        )
    ]  # fmt: skip
    raw = demo / "raw" / "annotations.csv"
    run = dfar("build", "table", "--raw", raw, *columns, "--out", tmp_path / "mine")
    assert run.code == 0, run.err
    assert pl.read_parquet(tmp_path / "mine" / "data" / "default" / "test.parquet")["item_id"][0].startswith("mine:")


def test_grouped_split_is_reproducible_and_keeps_groups_whole(dfar: Dfar, demo: Path, tmp_path: Path) -> None:
    words = (
        "build",
        "table",
        "--raw",
        demo / "raw",
        "--mapping",
        demo / "raw" / "mapping.yaml",
        "--split",
        "grouped",
    )
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run = dfar(*words, "--size", "train=0.5", "--size", "test=0.5", "--seed", seed, "--out", tmp_path / name)
        assert run.code == 0, run.err
    read = {n: pl.read_parquet(tmp_path / n / "data" / "default" / "*.parquet") for n in "abc"}
    assert read["a"].equals(read["b"])
    assert not read["a"]["item_id"].equals(read["c"]["item_id"])
    assert read["a"].group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1


def test_a_share_for_one_split_leaves_the_rest_to_the_other(dfar: Dfar, demo: Path, tmp_path: Path) -> None:
    words = (
        "build",
        "table",
        "--raw",
        demo / "raw",
        "--mapping",
        demo / "raw" / "mapping.yaml",
        "--split",
        "grouped",
    )
    assert dfar(*words, "--size", "test=0.2", "--out", tmp_path / "out").code == 0
    sizes = json.loads((tmp_path / "out" / "manifest.json").read_text())["split"]["sizes"]
    assert sizes == {"train": 0.8, "test": 0.2}
    run = dfar(*words, "--size", "test=1.5", "--out", tmp_path / "out")
    assert (run.code, run.err.splitlines()[-1].count("leave room for")) == (1, 1)


def test_lengths_that_are_usual_can_be_set(dfar: Dfar, demo: Path) -> None:
    rows = json.loads(dfar("check", demo / "items", "--length", "reason=100:200", "--json").out)
    assert {row["finding"]: row["count"] for row in rows}["length.reason"] > 100


def leaky(folder: Path) -> Path:
    folder.mkdir()
    rows = ["id,split,text,who,says"]
    rows += [f"{i},train,Statement number {i} is about {'abcdef'[i] * 8} things.,ann,yes" for i in range(6)]
    rows += ["9,test,Statement number 3 is about dddddddd things.,ann,no"]
    (folder / "t.csv").write_text("\n".join(rows) + "\n")
    return folder / "t.csv"


def columns() -> list[str]:
    pairs = ("id=id", "split=split", "statement=text", "annotator=who", "label=says", "options=yes,no")
    return [f"--column={pair}" for pair in pairs]


def test_a_failed_gate_writes_the_folder_and_exits_1(dfar: Dfar, tmp_path: Path) -> None:
    raw, out = leaky(tmp_path / "raw"), tmp_path / "out"
    run = dfar("build", "table", "--raw", raw, *columns(), "--out", out)
    assert run.code == 1
    assert "the audit fails on leak.exact, label.conflict" in run.err
    assert (out / "manifest.json").is_file()
    assert dfar("check", out).code == 1
    assert dfar("check", out, "--allow", "leak.exact=1", "--accept", "label.conflict").code == 0


def test_what_is_accepted_is_recorded(dfar: Dfar, tmp_path: Path) -> None:
    raw, out = leaky(tmp_path / "raw"), tmp_path / "out"
    words = ("--accept", "leak.exact", "--accept", "label.conflict")
    assert dfar("build", "table", "--raw", raw, *columns(), *words, "--out", out).code == 0
    assert json.loads((out / "manifest.json").read_text())["audit"]["accepted"] == ["leak.exact", "label.conflict"]
    assert "let through knowingly" in (out / "README.md").read_text()
    assert dfar("check", out).code == 0
