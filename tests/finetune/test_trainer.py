"""The loop: killed and resumed is uninterrupted, several processes are one, and what goes wrong is said."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")

from tiny_training import OPTIONS, WORDING, tiny_items, tiny_loaded  # noqa: E402

from dfar_toolkit.errors import EngineError  # noqa: E402
from dfar_toolkit.finetune.head_runs import last_checkpoint, torn_checkpoints  # noqa: E402
from dfar_toolkit.finetune.recipe import TrainedRun, train  # noqa: E402
from dfar_toolkit.finetune.settings import TrainSettings  # noqa: E402
from dfar_toolkit.finetune.training_log import read_log  # noqa: E402
from tiny_models import tiny_causal  # noqa: E402

TESTS = Path(__file__).resolve().parent.parent
SMALL = TrainSettings(batch=4, epochs=3, learning_rate=1e-2, dropout=0.1, save_every=2, log_every=1, best_by="last")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _train(
    out: Path, settings: TrainSettings, *, model: Any = None, callbacks: Any = (), dev: Any = None
) -> TrainedRun:
    return train(
        tiny_items(), dev, options=OPTIONS, wording=WORDING, model=tiny_loaded(model or tiny_causal()), out=out,
        settings=settings, callbacks=callbacks,
    )  # fmt: skip


class _KilledError(Exception):
    """Stands for a kill."""


def _killed_at(step: int) -> Any:
    class Killer(transformers.TrainerCallback):  # type: ignore[misc, name-defined]
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == step:
                raise _KilledError

    return Killer()


@pytest.mark.parametrize(
    "change",
    [{"objective": "L+R"}, {"objective": "soft", "soft_loss": "dirichlet", "save_every": 3, "schedule": "linear"}],
    ids=str,
)
def test_killed_and_resumed_is_uninterrupted(tmp_path: Path, change: dict[str, Any]) -> None:
    settings = SMALL.replace(**change)
    whole = _train(tmp_path / "whole", settings)
    out = tmp_path / "killed"
    with pytest.raises(_KilledError):
        _train(out, settings, callbacks=[_killed_at(5)])
    assert not (out / "run.json").exists()
    # A checkpoint that the kill left half-written.
    torn = out / "checkpoints" / "checkpoint-5"
    torn.mkdir()
    (torn / "trainer_state.json").write_text('{"global_step": 5, "epo')
    found = last_checkpoint(out)
    assert found is not None
    assert torn_checkpoints(out) == [torn]
    assert found.name == ("checkpoint-4" if settings.save_every == 2 else "checkpoint-3")
    again = _train(out, settings)
    weights = [(run.folder / "adapter_model.safetensors").read_bytes() for run in (whole, again)]
    assert weights[0] == weights[1]
    assert whole.report["log_s"] == again.report["log_s"]
    if settings.soft_loss == "dirichlet":
        assert whole.report["log_s"] != pytest.approx(2.302585)
    lines = [
        [(line["step"], line["loss"]) for line in read_log(run.folder / "log.jsonl") if line["kind"] == "train"]
        for run in (whole, again)
    ]
    assert lines[0] == lines[1]
    assert [step for step, _ in lines[0]] == [1, 2, 3, 4, 5, 6]


def _killed_when_saved(step: int) -> Any:
    class Killer(transformers.TrainerCallback):  # type: ignore[misc, name-defined]
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == step:
                raise _KilledError

    return Killer()


def _lines(out: Path, kind: str) -> list[int]:
    return [line["step"] for line in read_log(out / "log.jsonl") if line["kind"] == kind]


@pytest.mark.parametrize("kill", [_killed_at(3), _killed_when_saved(4)], ids=["on the way", "before its end"])
def test_patience_goes_on_where_it_was(tmp_path: Path, kill: Any) -> None:
    """Nothing gets better after the first evaluation: a patience of three ends the training after the fourth."""
    settings = SMALL.replace(
        objective="L", learning_rate=0.0, dropout=0.0, epochs=9, evaluate_every=1, save_every=None, patience=3,
        best_by="accuracy",
    )  # fmt: skip
    dev, out = tiny_items(2).with_columns(split=pl.lit("development")), tmp_path / "run"
    with pytest.raises(_KilledError):
        _train(out, settings, dev=dev, callbacks=[kill])
    again = _train(out, settings, dev=dev)
    assert _lines(out, "development") == _lines(out, "train") == [1, 2, 3, 4]
    assert again.report["chosen"]["step"] == 1


def test_a_run_that_was_killed_after_its_last_step_takes_no_further_one(tmp_path: Path) -> None:
    settings = SMALL.replace(objective="L", max_steps=3)  # in the midst of the second epoch
    whole, out = _train(tmp_path / "whole", settings), tmp_path / "run"
    with pytest.raises(_KilledError):
        _train(out, settings, callbacks=[_killed_when_saved(3)])
    again = _train(out, settings)
    assert _lines(out, "train") == [1, 2, 3]
    weights = [(run.folder / "adapter_model.safetensors").read_bytes() for run in (whole, again)]
    assert weights[0] == weights[1]


_PROCESS = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
import torch
torch.set_num_threads(1)
from test_trainer import SMALL, _train
_train(Path({out!r}), SMALL.replace(**{change!r}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"objective": "L+R"}, {"objective": "soft", "soft_loss": "dirichlet"}], ids=str)
def test_two_processes_are_one(tmp_path: Path, change: dict[str, Any]) -> None:
    from safetensors.torch import load_file

    # Adam divides gradients by their own size: the rounding of small ones is seen in the weights.
    change = {"dropout": 0.0, "learning_rate": 1e-3, **change}
    one = _train(tmp_path / "one", SMALL.replace(**change))
    out = tmp_path / "two"
    code = _PROCESS.format(paths=[str(TESTS), str(TESTS / "finetune")], out=str(out), change=change)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE, text=True, cwd=TESTS.parent,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    weights = [load_file(folder / "adapter_model.safetensors") for folder in (one.folder, out)]
    assert weights[0].keys() == weights[1].keys()
    worst = max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0])
    logs = [
        [line for line in read_log(folder / "log.jsonl") if line["kind"] == "train"] for folder in (one.folder, out)
    ]
    for name in ("loss", "gradient_norm", "loss_label"):
        values = [[line[name] for line in log] for log in logs]
        assert values[0] == pytest.approx(values[1], rel=1e-6), name
    assert worst < 1e-5
    report = json.loads((out / "run.json").read_text())
    assert report["processes"] == 2
    assert report["measured"]["tokens"] == one.report["measured"]["tokens"]
    if report["log_s"] is not None:
        assert report["log_s"] == pytest.approx(one.report["log_s"], abs=1e-5)


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    model = tiny_causal()
    with torch.no_grad():
        model.lm_head.weight[5] = float("nan")
    with pytest.raises(EngineError, match="the loss is not a finite number at step 1; lower learning_rate"):
        _train(tmp_path / "run", SMALL, model=model)


def test_too_little_memory_is_said_with_what_to_change(tmp_path: Path) -> None:
    model = tiny_causal()
    forward = model.model.layers[1].mlp.forward

    def full(states: Any) -> Any:
        if states.requires_grad:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")
        return forward(states)

    model.model.layers[1].mlp.forward = full
    with pytest.raises(EngineError, match=r"memory is too small.* set checkpointing to true .*pass_tokens to 4096"):
        _train(tmp_path / "run", SMALL, model=model)


def test_computing_activations_again_changes_nothing(tmp_path: Path) -> None:
    plain = SMALL.replace(dropout=0.0, max_steps=2)
    runs = [_train(tmp_path / str(again), plain.replace(checkpointing=again)) for again in (False, True)]
    losses = [[line["loss"] for line in read_log(run.folder / "log.jsonl") if line["kind"] == "train"] for run in runs]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert runs[1].loaded is not None
    assert runs[1].loaded.model.get_base_model().is_activation_checkpointing
