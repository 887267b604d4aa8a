"""Run folders of explained items: gone on with to the same bytes, rationales from elsewhere, settings, notes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch = pytest.importorskip("torch", reason="the extra models (PyTorch) is not installed")
pytest.importorskip("transformers", reason="the extra models (transformers) is not installed")

from dfar_toolkit.engines.loaded import ModelSettings  # noqa: E402
from dfar_toolkit.errors import TableError  # noqa: E402
from dfar_toolkit.journeys.engines_of import EngineOptions, Opened, open_engine  # noqa: E402
from dfar_toolkit.journeys.explaining import ExplainOptions, explain, explained_notes  # noqa: E402
from dfar_toolkit.journeys.predict_options import PredictOptions  # noqa: E402
from dfar_toolkit.journeys.unit_plans import Running  # noqa: E402
from dfar_toolkit.journeys.what_is_asked import Selection  # noqa: E402
from dfar_toolkit.runners.driving import Progress  # noqa: E402
from dfar_toolkit.runners.rationales.explaining import Explaining  # noqa: E402
from dfar_toolkit.runners.workers import Worker  # noqa: E402
from marked_items import TEST, TRAIN, build_marked_items  # noqa: E402
from tiny_models import save_tiny_causal  # noqa: E402

ALL = Selection(splits=("train", "test"))
ASKING = PredictOptions(selection=ALL, run_id="r")
HOW = Explaining(None, ("gradient_l2", "leave_one_out", "human", "random"), operators=("mask",), shares=(0.2,), draws=1)
FIRST = 16  # items of the first chunk


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_marked_items(tmp_path_factory.mktemp("marked"))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = save_tiny_causal(tmp_path_factory.mktemp("model") / "tiny")
    yield open_engine(EngineOptions(str(folder), settings=ModelSettings(device="cpu")))
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(items: Path, engine: Opened, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in a single go."""
    out = tmp_path_factory.mktemp("whole") / "r"
    explain(items, engine, out, ExplainOptions(ASKING, HOW), running=Running(Worker()))
    return out


def test_a_run_that_was_stopped_ends_with_the_same_bytes(
    items: Path, engine: Opened, whole: Path, tmp_path: Path
) -> None:
    def stop(at: Progress) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "r"
    with pytest.raises(KeyboardInterrupt):
        explain(items, engine, out, ExplainOptions(ASKING, HOW), running=Running(Worker(), progress=stop))
    assert not (out / "run.json").exists()
    with next((out / "shards").glob("*.jsonl")).open("ab") as handle:  # as if it was killed within a write
        handle.write(b'{"unit":"hatexp')
    explain(items, engine, out, ExplainOptions(ASKING, HOW), running=Running(Worker()))
    assert (out / "outputs.parquet").read_bytes() == (whole / "outputs.parquet").read_bytes()
    report = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert report["measured"]["units"] == TRAIN + TEST - FIRST


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"methods": ("random",)}, "explains.methods"),
        ({"operators": ("remove",)}, "explains.operators"),
        ({"target": "gold"}, 'explains.target: "predicted" there, "gold" now'),
        ({"contrast": "runner_up"}, "explains.contrast"),
        ({"draws": 2}, "explains.draws: 1 there, 2 now"),
        ({"unit": "characters"}, "explains.unit"),
    ],
)
def test_other_settings_are_another_run(
    changed: dict[str, Any], said: str, items: Path, engine: Opened, whole: Path
) -> None:
    with pytest.raises(TableError, match="holds a run with other settings") as refused:
        explain(items, engine, whole, ExplainOptions(ASKING, replace(HOW, **changed)), running=Running(Worker()))
    assert said in str(refused.value)


def outputs_of(items: Path, engine: Opened, out: Path, options: ExplainOptions) -> pl.DataFrame:
    found = explain(items, engine, out, options, running=Running(Worker())).outputs
    assert found is not None
    return found


def test_the_rationales_of_a_run_are_tried_out_to_the_same_answers(
    items: Path, engine: Opened, whole: Path, tmp_path: Path
) -> None:
    options = ExplainOptions(ASKING, replace(HOW, methods=()), whole)
    found = outputs_of(items, engine, tmp_path / "again", options)
    there = pl.read_parquet(whole / "outputs.parquet")
    key = ["item_id", "method", "condition", "operator", "k", "draw"]
    for rows in (found, there):
        assert not rows.select(key).is_duplicated().any()
    kept = [*key, "label", "label_probs", "word_scores"]
    found, there = (rows.select(kept).sort(key) for rows in (found, there))
    for name in (*key, "label", "word_scores"):
        assert found[name].to_list() == there[name].to_list(), name
    probs = [rows["label_probs"].drop_nulls().explode().to_list() for rows in (found, there)]
    assert probs[0] == pytest.approx(probs[1], rel=1e-4)  # asked in other batches


def test_rationales_of_another_tool(items: Path, engine: Opened, tmp_path: Path) -> None:
    file = tmp_path / "theirs.jsonl"
    id_ = f"hatexplain:test:{TRAIN}_gab"
    row: dict[str, Any] = {"item_id": id_}  # no label is needed, as it is this model that is asked
    file.write_text(json.dumps({**row, "word_scores": [0, 0, 9, 1, 0, 0]}), encoding="utf-8")
    options = ExplainOptions(ASKING._replace(selection=Selection()), replace(HOW, methods=("random",)), file)
    found = outputs_of(items, engine, tmp_path / "r", options)
    own = found.filter(method="reported", condition="without_top")
    assert own.select("item_id", "k", "n_removed").rows() == [(id_, 1, 1), (id_, 2, 2)]
    file.write_text(json.dumps({**row, "word_scores": [0, 9]}), encoding="utf-8")
    with pytest.raises(TableError, match=f"{id_} has 6 words, its word_scores 2 numbers"):
        explain(items, engine, tmp_path / "s", options)
    for wrong, said in (
        ({"word_scores": [0, 0, 9, None, 0, 0]}, "word_scores"),
        ({"evidence": [{"field": "statemnt", "start": 9, "end": 13}]}, "no word of the item .* stands at its evidence"),
        ({"label": "normal"}, "no rationale of these items"),
    ):
        file.write_text(json.dumps({**row, **wrong}), encoding="utf-8")
        with pytest.raises(TableError, match=said):
            explain(items, engine, tmp_path / "s", options)
    spans = [{"field": "statement", "start": 9, "end": 13}]
    file.write_text(json.dumps({**row, "evidence": spans}), encoding="utf-8")
    found = outputs_of(items, engine, tmp_path / "s", options)
    assert found.filter(method="reported", condition="without_evidence")["n_removed"].to_list() == [1]


def test_what_computed_stands_in_every_row_and_the_seed_in_those_that_draw(whole: Path) -> None:
    rows = pl.read_parquet(whole / "outputs.parquet")
    assert rows["dtype"].unique().to_list() == ["float32"]
    assert rows.filter(condition="rationale", method="random")["seed"].null_count() == 0


def test_notes_count_what_people_did_not_agree_on_and_what_misses_its_sum(whole: Path) -> None:
    rows = pl.read_parquet(whole / "outputs.parquet")
    assert explained_notes(rows) == []
    human, item = pl.col("method") == "human", pl.col("item_id") == rows["item_id"][0]
    rows = rows.with_columns(
        evidence=pl.when(human & item).then(pl.col("evidence").list.head(0)).otherwise("evidence"),
        gap=pl.when(pl.col("method") == "gradient_l2", item, pl.col("condition") == "rationale").then(0.2),
    )
    notes = explained_notes(rows)
    assert notes[0] == f"human: in 1 of {(TRAIN + TEST) // 2} items most people marked no word, or not the same"
    assert notes[1].startswith("gradient_l2: in 1 items the scores miss their sum by more than 5%")
