"""The published files, through the command line: what the leak is, what it is worth, what agreement there is."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.files.items import read_items

pytestmark = pytest.mark.real
ROOT = Path(__file__).resolve().parent.parent.parent


def dfar(*words: object, code: int = 0) -> str:
    command = [str(Path(sys.executable).with_name("dfar")), *map(str, words)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == code, run.stderr
    assert "Traceback" not in run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def published(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dfar") / "published"
    dfar("build", "dfar", "--raw", shared_data / "dfar", "--out", out, code=1)
    return out


class TestDfar:
    def test_the_leak_is_found(self, published: Path) -> None:
        rows = {row["finding"]: row for row in json.loads(dfar("check", published, "--json", code=1))}
        assert (rows["leak.exact"]["count"], rows["leak.exact"]["total"]) == (189, 500)
        assert rows["leak.identical_row"]["count"] == 174
        assert rows["label.conflict"]["count"] == 0
        marked = read_items(published).items.filter(pl.col("split") == "test")["leak_kind"].value_counts()
        assert dict(marked.drop_nulls().iter_rows()) == {"identical_row": 174, "exact": 15, "near": 1, "stem": 5}

    def test_it_may_stand_when_that_is_said(self, shared_data: Path, tmp_path: Path) -> None:
        words = ("--accept", "leak.exact", "--accept", "leak.identical_row")
        dfar("build", "dfar", "--raw", shared_data / "dfar", "--out", tmp_path / "out", *words)
        assert "let through knowingly" in (tmp_path / "out" / "README.md").read_text()

    def test_every_row_is_there(self, published: Path) -> None:
        splits = read_items(published).manifest["configs"]["default"]["splits"]
        assert {name: (part["rows"], part["labels"]) for name, part in splits.items()} == {
            "train": (4500, {"ethical": 2588, "unethical": 1912}),
            "test": (500, {"ethical": 298, "unethical": 202}),
        }

    def test_a_grouped_split_has_no_leak(self, shared_data: Path, tmp_path: Path) -> None:
        for name in ("one", "two"):
            dfar("build", "dfar", "--raw", shared_data / "dfar", "--out", tmp_path / name, "--split", "grouped")
        one, two = read_items(tmp_path / "one"), read_items(tmp_path / "two")
        assert one.manifest == two.manifest
        assert one.items.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
        assert one.items["leak_kind"].null_count() == 5000
        test = one.items.filter(pl.col("split") == "test")
        assert 490 <= test.height <= 510
        assert abs((test["label"] == "ethical").mean() - 2886 / 5000) < 0.005
        assert dfar("check", tmp_path / "one")

    def test_the_leak_is_worth_six_points(self, shared_data: Path, tmp_path: Path) -> None:
        """TF-IDF + logistic regression: 67.8 % as published, 61.4 % without the rows that leak."""
        spec = importlib.util.spec_from_file_location("dfar_leak", ROOT / "benchmarks" / "dfar_leak.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = module.measure(shared_data / "dfar", tmp_path)
        assert found.dropped == 189
        accuracy = found.scores.filter((pl.col("metric") == "accuracy") & (pl.col("run_id") == "as-published"))
        by_subset = {row["subset"]: row for row in accuracy.iter_rows(named=True)}
        assert by_subset["all"]["value"] == pytest.approx(0.678, abs=1e-12)
        assert (by_subset["leaked"]["n"], by_subset["clean"]["n"]) == (190, 310)
        assert "311 if only exact" in by_subset["clean"]["note"]
        assert all(row["low"] < row["value"] < row["high"] for row in by_subset.values())
        majority = found.scores.filter(pl.col("metric") == "majority_baseline").rows_by_key("subset", named=True)
        assert majority["all"][0]["value"] == pytest.approx(0.596)
        assert majority["clean"][0]["value"] == pytest.approx(200 / 310)
        difference = found.differences.filter((pl.col("metric") == "accuracy") & (pl.col("subset") == "all"))
        assert difference["value"].item() == pytest.approx(0.614 - 0.678, abs=1e-12)
        assert difference["high"].item() < 0


@pytest.mark.parametrize(
    ("name", "items", "annotations", "raters"),
    [("varierrnli", 488, 1891, 4), ("csc", 1408, 6410, 872), ("hs-brexit", 1120, 20157, 6)],
)
def test_lewidi(shared_data: Path, tmp_path: Path, name: str, items: int, annotations: int, raters: int) -> None:
    """Builds, accounts for every row, and alpha equals the krippendorff package to 1e-12."""
    words = ("build", f"lewidi:{name}", "--raw", shared_data / "lewidi", "--out", tmp_path / "out")
    dfar(*words, code=1 if name == "csc" else 0)  # CSC repeats items, with other labels
    manifest = read_items(tmp_path / "out").manifest
    assert (manifest["rows"]["items"], manifest["rows"]["annotations"]) == (items, annotations)
    assert manifest["annotators"]["count"] == raters
    rows = json.loads(dfar("agreement", tmp_path / "out", "--json", "--cross-check"))
    alphas = [row for row in rows if row["statistic"] == "krippendorff_alpha"]
    assert len(alphas) == {"varierrnli": 3, "csc": 2, "hs-brexit": 3}[name]
    assert np.abs([row["difference"] for row in alphas]).max() < 1e-12
    assert all(row["low"] < row["value"] < row["high"] for row in alphas)


def test_one_person_with_two_values_is_refused_by_name(shared_data: Path, tmp_path: Path) -> None:
    dfar("build", "lewidi:varierrnli", "--raw", shared_data / "lewidi", "--out", tmp_path / "out")
    read_items(tmp_path / "out").annotations.drop("evidence").write_csv(tmp_path / "ratings.csv")
    command = [str(Path(sys.executable).with_name("dfar")), "agreement", str(tmp_path / "ratings.csv")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert "several values in one rating, 75 times" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_damage_that_is_certain_is_mended_and_said_or_refused(shared_data: Path, tmp_path: Path) -> None:
    words = ("build", "lewidi:varierrnli", "--raw", shared_data / "lewidi", "--out", tmp_path / "out")
    dfar(*words)
    repairs = read_items(tmp_path / "out").manifest["sources"][0]["repairs"]
    assert repairs == ["VariErrNLI_annotators_meta.json: removed 4 trailing commas"]
    assert "removed 4 trailing commas" in (tmp_path / "out" / "README.md").read_text()
    dfar(*words, "--no-repair", code=1)
