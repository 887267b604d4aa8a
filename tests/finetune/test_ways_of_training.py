"""Settings that change how a step is computed: each trains, in the type and with the layers that it names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from tiny_training import OPTIONS, WORDING, tiny_items, tiny_loaded  # noqa: E402

from dfar_toolkit.engines.loaded import ModelSettings  # noqa: E402
from dfar_toolkit.finetune.recipe import TrainedRun, train  # noqa: E402
from dfar_toolkit.finetune.settings import TrainSettings  # noqa: E402
from dfar_toolkit.finetune.training_log import read_log  # noqa: E402
from tiny_models import save_tiny_causal  # noqa: E402

SHORT = TrainSettings(adapter="none", learning_rate=1e-2, warmup=0.0, batch=4, epochs=6, log_every=1, best_by="last")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _losses(run: TrainedRun) -> list[float]:
    return [float(line["loss"]) for line in read_log(run.folder / "log.jsonl") if line["kind"] == "train"]


def _train(out: Path, settings: TrainSettings) -> TrainedRun:
    return train(
        tiny_items(), None, options=OPTIONS, wording=WORDING, model=tiny_loaded(), out=out, settings=settings
    )  # fmt: skip


@pytest.mark.parametrize("adapter", ["dora", "rslora"])
def test_the_further_kinds_of_adapters_learn_and_say_what_they_are(tmp_path: Path, adapter: str) -> None:
    run = _train(tmp_path / adapter, SHORT.replace(adapter=adapter, rank=8, dropout=0.0))
    losses = _losses(run)
    assert losses[-1] < losses[0] - 0.2
    config = json.loads((run.folder / "adapter_config.json").read_text())
    assert (config["use_dora"], config["use_rslora"]) == (adapter == "dora", adapter == "rslora")


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_bf16_learns_with_either_attention(tmp_path: Path, attention: str) -> None:
    model = save_tiny_causal(tmp_path / "model")
    run = train(
        tiny_items(), None, options=OPTIONS, wording=WORDING, model=str(model), out=tmp_path / "run",
        settings=SHORT.replace(dtype="bf16"), loading=ModelSettings(device="cpu", attention=attention),
    )  # fmt: skip
    losses = _losses(run)
    assert losses[-1] < losses[0] - 0.5
    said = json.loads((run.folder / "run.json").read_text())
    assert said["decides"]["model"]["attention"] == attention


def test_accumulated_steps_are_those_of_a_larger_batch(tmp_path: Path) -> None:
    whole = _losses(_train(tmp_path / "whole", SHORT.replace(batch=8, epochs=2)))
    parts = _losses(_train(tmp_path / "parts", SHORT.replace(batch=8, epochs=2, row_tokens=40)))
    assert parts == pytest.approx(whole, abs=2e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_compiled_layers_learn_what_plain_ones_do(tmp_path: Path) -> None:
    plain = _losses(_train(tmp_path / "plain", SHORT.replace(epochs=2)))
    compiled = _losses(_train(tmp_path / "compiled", SHORT.replace(epochs=2, compile=True)))
    assert compiled == pytest.approx(plain, abs=2e-3)
