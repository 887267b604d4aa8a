"""The comparison of the first paper on the published files: learned from DFAR, answered on DFAR, ETHOS and ETHICS."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import yaml

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch = pytest.importorskip("torch", reason="the extra models (PyTorch) is not installed")
pytest.importorskip("transformers")

from dfar_toolkit.journeys.experiment import run_experiment  # noqa: E402
from tiny_models import save_tiny_causal  # noqa: E402

LIMIT = 40


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.real
def test_labels_of_dfar_are_answered_on_ethos_and_ethics(shared_data: Path, tmp_path: Path) -> None:
    for name, source in (("dfar", "dfar"), ("ethos", "ethos:binary"), ("ethics", "ethics:commonsense")):
        words = ["build", source, "--raw", shared_data / name, "--out", tmp_path / name]
        built = subprocess.run(
            [sys.executable, "-m", "dfar_toolkit.cli", *map(str, words)], capture_output=True, text=True
        )
        assert (tmp_path / name / "manifest.json").is_file(), built.stderr  # code 1: what leaks is said, and stays
    options = {name: set(_labels(tmp_path / name)) for name in ("ethos", "ethics")}
    assert options == {"ethos": {"hate_speech", "no_hate_speech"}, "ethics": {"acceptable", "wrong"}}
    plan = {
        "model": str(save_tiny_causal(tmp_path / "model")), "items": str(tmp_path / "dfar"), "device": "cpu",
        "seeds": [0], "development": 0, "draws": 100, "reference": "L",
        "settings": {"adapter": "none", "max_steps": 2, "batch": 4, "log_every": 1},
        "arms": [
            {"name": "L", "settings": {"objective": "L"}},
            {"name": "L+R", "settings": {"objective": "L+R"}},
            {"name": "tf-idf", "model": "classical:logistic", "settings": {"max_features": 2000}},
        ],
        "evaluate": [
            {"name": "dfar", "split": "test", "limit": LIMIT},
            {"name": "ethos", "items": str(tmp_path / "ethos"), "split": "train", "limit": LIMIT,
             "map": {"ethical": "no_hate_speech", "unethical": "hate_speech"}},
            {"name": "ethics", "items": str(tmp_path / "ethics"), "limit": LIMIT,
             "map": {"ethical": "acceptable", "unethical": "wrong"}},
        ],
        "predict": {"samples": 1, "max_new_tokens": 4},
    }  # fmt: skip
    (tmp_path / "lr.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")
    found = run_experiment(tmp_path / "lr.yaml", tmp_path / "out")
    accuracy = found.tables.scores.filter(metric="accuracy", subset="all")
    assert set(accuracy.select("arm", "set").iter_rows()) == {
        (arm, name) for arm in ("L", "L+R", "tf-idf") for name in ("dfar", "ethos", "ethics")
    }
    assert accuracy["value"].is_between(0, 1).all()
    for name in ("ethos", "ethics"):
        answers = pl.read_parquet(tmp_path / f"out/predict/{name}/tf-idf-seed0/outputs.parquet")
        assert set(answers["label"].drop_nulls()) <= options[name]


def _labels(folder: Path) -> list[str]:
    return pl.read_parquet(folder / "questions.parquet")["options"].to_list()[0]
