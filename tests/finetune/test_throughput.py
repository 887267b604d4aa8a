"""The cost of a token by hand, published speeds as they were published, and names of devices that are not guessed."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from dfar_toolkit.errors import EngineError  # noqa: E402
from dfar_toolkit.finetune.memory_advice import memory_advice, memory_changes  # noqa: E402
from dfar_toolkit.finetune.settings import TrainSettings  # noqa: E402
from dfar_toolkit.finetune.throughput import flops_per_token, llama_work, mfu, peak_flops, work_of  # noqa: E402
from dfar_toolkit.finetune.trackers import TRACKERS, check_trackers, tracker_callbacks  # noqa: E402
from tiny_models import tiny_causal  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's own
LLAMA3_8B = llama_work(layers=32, hidden=4096, kv=1024, inner=14336, vocabulary=128256)
QWEN25_7B = llama_work(layers=28, hidden=3584, kv=512, inner=18944, vocabulary=152064)


def test_weights_of_published_models() -> None:
    # The cards say 8.03e9 and 7.62e9 parameters; the table of input embeddings and the norms (two per layer and one)
    # are no matrices, and Qwen adds biases to queries, keys and values.
    assert LLAMA3_8B.weights + 128256 * 4096 + 65 * 4096 == 8_030_261_248
    assert QWEN25_7B.weights + 152064 * 3584 + 57 * 3584 + 28 * (3584 + 2 * 512) == 7_615_616_512


@pytest.mark.parametrize(
    ("work", "speed", "published_flops", "published_mfu"),
    [(LLAMA3_8B, 12_473, 402e12, 0.406), (QWEN25_7B, 14_110, 423e12, 0.428)],
)
def test_published_speeds_give_the_published_use(
    work: Any, speed: float, published_flops: float, published_mfu: float
) -> None:
    # Texts of 4,096 tokens: a token sees 2,048 on average.
    cost = flops_per_token(work, frozen=True, context=2048)
    assert speed * cost == pytest.approx(published_flops, rel=0.003)
    assert mfu(speed, cost, peak_flops("NVIDIA H100 80GB HBM3").per_second) == pytest.approx(published_mfu, abs=0.0015)


def test_cost_by_hand() -> None:
    # 2 x (2 x 9 + 2 x 3 x 1 + 3 x 3 x 5) = 138 in the body, 7 x 3 = 21 in the head.
    work = llama_work(layers=2, hidden=3, kv=1, inner=5, vocabulary=7)
    assert (work.body, work.head) == (138, 21)
    assert flops_per_token(work, frozen=True) == 4 * 159
    assert flops_per_token(work, frozen=False) == 6 * 159
    assert flops_per_token(work, frozen=True, context=10, head_share=0) == 4 * (138 + 2 * 2 * 3 * 10)
    assert mfu(100, 636, 1e6, devices=2) == pytest.approx(0.0318)


def test_the_products_of_a_forward_pass_are_counted() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = tiny_causal()
    model.set_attn_implementation("eager")  # the counter does not know the fused one of a CPU
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.arange(24)[None])
    # The counter counts attention as the full square: each of 24 tokens beside all 24.
    work = work_of(model)
    assert counter.get_total_flops() == 24 * flops_per_token(work, frozen=True, context=24) / 2


def test_adapters_and_packed_weights_do_not_change_the_cost() -> None:
    from peft import LoraConfig, get_peft_model

    plain = work_of(tiny_causal())
    assert plain.weights == sum(p.numel() for n, p in tiny_causal().named_parameters() if p.ndim == 2) - plain.head
    model = get_peft_model(tiny_causal(), LoraConfig(r=4, target_modules="all-linear"))
    assert work_of(model) == plain
    model = get_peft_model(tiny_causal(), LoraConfig(r=4, target_modules=["q_proj", "lm_head"]))
    assert work_of(model) == plain
    model = get_peft_model(tiny_causal(), LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"]))
    assert work_of(model) == plain


def test_experts_are_not_guessed() -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(
        vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, num_local_experts=2,
    )  # fmt: skip
    work = work_of(MixtralForCausalLM(config))
    assert math.isnan(work.weights)
    assert "experts" in work.note


@pytest.mark.parametrize(
    ("name", "tera"),
    [
        ("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H200", 989), ("NVIDIA H100 PCIe", 756.5), ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA A100 80GB PCIe", 312), ("NVIDIA A100-PCIE-40GB", 312),
        ("NVIDIA L40S", 362.05), ("NVIDIA L4", 121), ("NVIDIA GeForce RTX 4090", 165.2), ("NVIDIA RTX A6000", 154.8),
    ],
)  # fmt: skip
def test_known_devices(name: str, tera: float) -> None:
    assert peak_flops(name).per_second == pytest.approx(tera * 1e12)
    assert peak_flops(name).note == ""


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA GeForce RTX 4090 D", "NVIDIA GeForce RTX 4090 Laptop GPU",
        "Tesla V100-SXM2-16GB", "NVIDIA A10G", "NVIDIA H1000", "cpu", "",
    ],
)  # fmt: skip
def test_unknown_devices_have_no_peak(name: str) -> None:
    peak = peak_flops(name)
    assert math.isnan(peak.per_second)
    assert repr(name) in peak.note
    assert math.isnan(mfu(1000, 1e9, peak.per_second))


def test_advice_names_what_helps_most_first() -> None:
    settings = TrainSettings(rank=64, max_length=1024).as_json()
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")
    said = memory_advice(error, settings, work=LLAMA3_8B, trainable=10**8)
    assert "\n" not in said
    assert "asked for 2.00 GiB more" in said
    places = [said.index(name) for name in ("checkpointing to true", "pass_tokens to 4096", "4bit", "rank", "max_len")]
    assert places == sorted(places)
    # 8192 tokens x 32 layers x 4096 numbers: 34 bytes each, half of them saved by half the tokens, 32 of 34 by
    # computing them again; 1.45 bytes of each weight.
    unit = 8192 * 32 * 4096
    changes = {change.name: change.saves for change in memory_changes(settings, work=LLAMA3_8B)}
    assert changes["pass_tokens"] == unit * 17
    assert changes["checkpointing"] == unit * 32
    assert changes["dtype"] == pytest.approx(1.45 * LLAMA3_8B.weights)


def test_advice_leaves_out_what_is_set_already() -> None:
    done = {"pass_tokens": 256, "checkpointing": True, "dtype": "4bit", "adapter": "lora", "rank": 8, "max_length": 256}
    assert memory_changes(done) == []
    assert "a smaller model" in memory_advice(MemoryError(), done)
    # A pass must hold the longest example.
    names = [change.name for change in memory_changes({"pass_tokens": 2048, "max_length": 2048, "adapter": "none"})]
    assert names == ["adapter", "max_length"]
    assert memory_advice(RuntimeError("shapes do not match"), done) == ""
    assert memory_advice(KeyboardInterrupt(), done) == ""


def test_trackers_only_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracker_callbacks([], Path("run")) == []
    with pytest.raises(EngineError, match="unknown tracker 'all'"):
        check_trackers(["all"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in TRACKERS:
        with pytest.raises(EngineError, match="pip install"):
            check_trackers([name])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert check_trackers(["wandb", "wandb", "trackio"]) == ("wandb", "trackio")
    monkeypatch.undo()
    # What TensorBoard writes must not go with the checkpoints, beside which it would lie.
    kinds = [type("TensorBoardCallback", (), {"logging_dir": None}), type("WandbCallback", (), {})]
    monkeypatch.setattr("dfar_toolkit.finetune.trackers.check_trackers", tuple)
    monkeypatch.setattr("transformers.integrations.get_reporting_integration_callbacks", lambda _: kinds)
    made = tracker_callbacks(["tensorboard", "wandb"], Path("run"))
    assert [getattr(each, "logging_dir", None) for each in made] == [str(Path("run", "tensorboard")), None]


def test_the_settings_that_advice_names_exist() -> None:
    names = set(json.loads(json.dumps(TrainSettings().as_json())))
    worst = {"pass_tokens": 4096, "checkpointing": False, "adapter": "none", "dtype": "fp32", "max_length": 999}
    assert {change.name for change in memory_changes({**worst, "rank": 64})} <= names
    assert "rank" in {change.name for change in memory_changes({"rank": 64, "adapter": "lora"})}


@pytest.mark.slow
def test_the_benchmark_runs_without_a_gpu(tmp_path: Path) -> None:
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "finetune_gpu.py"
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=env)
    assert run.returncode == 0
    assert len(run.stdout.splitlines()) == 1
    assert "no GPU" in run.stdout
    out = tmp_path / "found.json"
    more = ["--size", "tiny", "--device", "cpu", "--steps", "5", "--ways", "notebook,ours", "--out", str(out)]
    subprocess.run([sys.executable, str(script), *more], check=True, capture_output=True, env=env)
    found = json.loads(out.read_text())
    assert [way["way"] for way in found["ways"]] == ["notebook", "ours"]
    assert all(way["tokens_per_second"] > 0 and way["mfu"] is None for way in found["ways"])
