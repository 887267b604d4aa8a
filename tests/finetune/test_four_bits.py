"""QLoRA: an adapter on weights of 4 bits, where bitsandbytes is installed; and what is said where it is not."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from tiny_training import (  # noqa: E402
    OPTIONS,
    WORDING,
    step_gradients,
    tiny_documents,
    tiny_items,
    tiny_loaded,
)

from dfar_toolkit.engines.loaded import LoadedModel, ModelSettings  # noqa: E402
from dfar_toolkit.engines.model_loading import load_model  # noqa: E402
from dfar_toolkit.errors import EngineError  # noqa: E402
from dfar_toolkit.finetune.adapters import with_adapter  # noqa: E402
from dfar_toolkit.finetune.recipe import TrainedRun, train  # noqa: E402
from dfar_toolkit.finetune.settings import TrainSettings  # noqa: E402
from dfar_toolkit.finetune.training_log import read_log  # noqa: E402
from tiny_models import tiny_causal, tiny_tokenizer  # noqa: E402

QLORA = TrainSettings(
    dtype="4bit", rank=8, dropout=0.0, learning_rate=1e-2, warmup=0.0, batch=4, epochs=4, log_every=1, best_by="last"
)
CPU = ModelSettings(device="cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def bits() -> Any:
    return pytest.importorskip("bitsandbytes", reason="bitsandbytes (weights of 4 bits) is not installed")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As wide as a block of weights of 4 bits."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    tiny_causal(hidden=64).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def _train(out: Path, model: Path, settings: TrainSettings, dev: Any = None) -> TrainedRun:
    return train(
        tiny_items(), dev, options=OPTIONS, wording=WORDING, model=str(model), out=out, settings=settings, loading=CPU
    )  # fmt: skip


def _losses(out: Path) -> list[float]:
    return [float(line["loss"]) for line in read_log(out / "log.jsonl") if line["kind"] == "train"]


@pytest.mark.usefixtures("bits")
def test_an_adapter_on_four_bits_learns_and_is_predicted_with(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = _train(out, tiny, QLORA)
    losses = _losses(out)
    assert losses[-1] < losses[0] - 1
    said = json.loads((out / "run.json").read_text())
    assert said["model"]["quantisation"] == "4bit nf4, computed in bfloat16"
    assert said["packing"]["packed"]
    assert "bitsandbytes" in said["model"]["versions"]
    assert run.loaded is not None
    kinds = {str(weight.dtype) for weight in run.loaded.model.parameters() if weight.requires_grad}
    assert kinds == {"torch.float32"}
    for dtype in ("4bit", "bf16"):
        again = load_model(str(out), CPU._replace(dtype=dtype))
        assert again.facts["adapter_sha256"]
        assert again.kind == "causal"


@pytest.mark.usefixtures("bits")
def test_a_model_that_is_asked_in_between_learns_the_same(tiny: Path, tmp_path: Path) -> None:
    _train(tmp_path / "plain", tiny, QLORA)
    dev = tiny_items(2).with_columns(split=pl.lit("development"))
    _train(tmp_path / "scored", tiny, QLORA.replace(evaluate_every=1), dev)
    assert _losses(tmp_path / "plain") == _losses(tmp_path / "scored")


def test_gradients_are_those_of_the_weights_that_the_bits_stand_for(bits: Any, tiny: Path) -> None:
    settings = QLORA.replace(objective="L+R", batch=8)
    found = load_model(str(tiny), CPU._replace(dtype="4bit"))
    dense = tiny_causal(hidden=64)
    for name, module in found.model.named_modules():
        if isinstance(module, bits.nn.Linear4bit):
            state = module.weight.quant_state
            dense.get_submodule(name).weight.data = bits.functional.dequantize_4bit(module.weight.data, state).float()
    grads = []
    for model, dtype in ((found.model, "4bit"), (dense, "fp32")):
        torch.manual_seed(0)
        loaded = with_adapter(tiny_loaded(model), settings.replace(dtype=dtype))
        for name, weight in loaded.model.named_parameters():
            if "lora_B" in name:  # which begins at 0, and would leave lora_A without a gradient
                torch.nn.init.normal_(weight, std=0.02, generator=torch.Generator().manual_seed(len(name)))
        loaded = LoadedModel(loaded.model, loaded.tokenizer, "causal", False, 512, {**loaded.facts, "half": False})
        with torch.no_grad():
            loaded.model.eval()(torch.tensor([[1, 2, 3, 4]]))  # asked once, as an evaluation does
        grads.append(step_gradients(loaded.model, tiny_documents(settings, loaded), settings)[1])
    assert grads[0].keys() == grads[1].keys()
    one, other = (torch.cat([grad.flatten() for grad in own.values()]) for own in grads)
    # Sixteen bits round; without the gradient through the bits the difference is as large as the gradient itself.
    assert float((one - other).norm()) < 0.1 * float(other.norm())


def test_without_the_package_it_is_said_how_to_install_it(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "bitsandbytes" else find(name))
    with pytest.raises(EngineError) as caught:
        _train(tmp_path / "run", tiny, QLORA)
    assert str(caught.value) == (
        "4bit needs the package bitsandbytes, which is not installed: pip install bitsandbytes; or choose another "
        "dtype (bf16, fp16)."
    )
