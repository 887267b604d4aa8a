"""The comparison that was promised, whole: all objectives and controls, another set, temperatures, before and after."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch = pytest.importorskip("torch", reason="the extra models (PyTorch) is not installed")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from dfar_toolkit.files.items import ItemsFolder, read_items  # noqa: E402
from dfar_toolkit.journeys.experiment import run_experiment  # noqa: E402
from dfar_toolkit.journeys.experiment_plan import slug  # noqa: E402
from dfar_toolkit.journeys.one_config import items_of  # noqa: E402
from tiny_models import save_tiny_causal  # noqa: E402

ARMS: list[dict[str, Any]] = [
    *({"name": name, "settings": {"objective": name}} for name in ("L", "L+R", "R+L", "soft")),
    {"name": "shuffled", "settings": {"objective": "L+R", "reasons": "shuffled"}},
    {"name": "template", "settings": {"objective": "L+R", "reasons": "template"}},
    {"name": "before", "head": "untrained"},
]
NAMES = [arm["name"] for arm in ARMS]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _abroad(demo: Path, path: Path) -> ItemsFolder:
    """Statements of nobody's, whose options have other names in another order."""
    folder = read_items(demo / "items")
    names = {"ethical": "fine", "unethical": "wrong"}
    items = folder.items.filter(split="test").head(8).with_columns(
        pl.col("statement").str.reverse(), item_id="other:" + pl.col("item_id"), text_key=pl.lit("0"),
        label=pl.col("label").replace(names), label_counts=pl.col("label_counts").list.reverse(),
        label_probs=pl.col("label_probs").list.reverse(),
    )  # fmt: skip
    questions = folder.questions.with_columns(options=pl.Series([["wrong", "fine"]]))
    return dataclasses.replace(
        folder, path=path, items=items, questions=questions, annotations=folder.annotations.clear(),
        targets=folder.targets.clear(),
    )  # fmt: skip


@pytest.mark.slow
def test_all_arms_are_trained_answered_scored_compared_and_reported(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = _abroad(demo, tmp_path / "other")
    monkeypatch.setattr(
        "dfar_toolkit.journeys.experiment_items.items_of",
        lambda place, config: other if str(place) == "OTHER" else items_of(place, config),
    )
    plan = {
        "model": str(save_tiny_causal(tmp_path / "model")), "items": str(demo / "items"), "device": "cpu",
        "seeds": [0, 1], "development": 0, "draws": 100, "arms": ARMS,
        "settings": {"adapter": "none", "max_steps": 3, "learning_rate": 0.01, "batch": 4, "log_every": 1},
        "evaluate": [
            {"name": "own", "split": "test", "limit": 12},
            {"name": "abroad", "items": "OTHER", "map": {"ethical": "fine", "unethical": "wrong"}},
        ],
        "predict": {"temperature": [0, 2], "samples": 1, "max_new_tokens": 6},
    }  # fmt: skip
    path, out = tmp_path / "lr.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump(plan), encoding="utf-8")
    found = run_experiment(path, out)
    scores, differences = found.tables.scores, found.tables.differences

    # Each arm is a training of its own, on what its objective and its control say.
    learned = {name: json.loads((out / f"train/{slug(name)}-seed0/run.json").read_text()) for name in NAMES[:-1]}
    tokens = {name: said["items"]["learned_tokens"] for name, said in learned.items()}
    assert {name: "reason" in own for name, own in tokens.items()} == {
        "L": False, "L+R": True, "R+L": True, "soft": False, "shuffled": True, "template": True,
    }  # fmt: skip
    assert "label" not in tokens["soft"]
    weights = {(out / f"train/{slug(name)}-seed0/model.safetensors").read_bytes() for name in NAMES[:-1]}
    assert len(weights) == len(NAMES) - 1
    assert {said["settings"]["reasons"] for said in learned.values()} == {"own", "shuffled", "template"}

    # All arms, seeds, sets and temperatures stand in one table, each with a number.
    accuracy = scores.filter(metric="accuracy", subset="all")
    wanted = {(arm, on, ask) for arm in NAMES for on in ("own", "abroad") for ask in ("", "t=2")}
    assert set(accuracy.select("arm", "set", "asking").iter_rows()) == wanted
    assert accuracy["value"].is_between(0, 1).all()
    seeds = dict(accuracy.filter(set="own", asking="").select("arm", "n_seeds").iter_rows())
    assert seeds == {name: 1 if name == "before" else 2 for name in NAMES}
    abroad = pl.read_parquet(out / f"predict/abroad/{slug('R+L')}-seed1/outputs.parquet")
    assert abroad.height == 8
    assert set(abroad["label"].drop_nulls()) <= {"fine", "wrong"}
    warm, cold = (
        pl.read_parquet(out / f"predict/own/{slug('L+R')}-seed0{end}/outputs.parquet")
        for end in (f"-{slug('t=2')}", "")
    )
    assert (set(warm["temperature"].drop_nulls()), set(cold["temperature"].drop_nulls())) == ({2.0}, {0.0})
    assert warm["raw"].to_list() != cold["raw"].to_list()

    # Every arm against the reference and against the model before it was trained; one report for each set.
    for contrast, arms in (("reference", set(NAMES) - {"L"}), ("before and after", set(NAMES) - {"before"})):
        rows = differences.filter(contrast=contrast, metric="accuracy", subset="all", asking="")
        assert set(rows.select("arm", "set").iter_rows()) == {(arm, on) for arm in arms for on in ("own", "abroad")}
    page = (out / "table.md").read_text()
    assert all(f"| {name} |" in page for name in NAMES)
    for name in ("own", "abroad"):
        report = (out / "reports" / f"{name}.html").read_text()
        assert report.startswith("<!DOCTYPE html>")
        assert "shuffled-seed1" in report
    assert run_experiment(path, out).taken == 0
