"""``dfar train`` under the FSDP2 configuration of the package: two processes that each hold half of every weight."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")
pytest.importorskip("accelerate")

from tiny_training import OPTIONS, tiny_items, tiny_loaded  # noqa: E402

from dfar_toolkit.engines.loaded import ModelSettings  # noqa: E402
from dfar_toolkit.engines.model_loading import load_model  # noqa: E402
from dfar_toolkit.errors import EngineError  # noqa: E402
from dfar_toolkit.finetune.accelerate_configs import launch_command  # noqa: E402
from dfar_toolkit.finetune.classifiers import train_classifier  # noqa: E402
from dfar_toolkit.finetune.cut_models import check_checkpoint, cut_notes  # noqa: E402
from dfar_toolkit.finetune.head_settings import HeadSettings  # noqa: E402
from dfar_toolkit.finetune.recipe import train  # noqa: E402
from dfar_toolkit.finetune.settings import TrainSettings  # noqa: E402
from dfar_toolkit.finetune.training_log import read_log  # noqa: E402
from tiny_models import save_tiny_causal, tiny_causal  # noqa: E402

# Without a GPU accelerate gives each process the whole model, whatever the file says. This, which Python runs before
# the command, makes it cut models on processors too, writes down what it cut, and kills the run at a step.
SITE = """
import os, signal
if os.environ.get("ACCELERATE_USE_FSDP") == "true" and "LOCAL_RANK" in os.environ:
    import dfar_toolkit.finetune.step_runner as steps
    from accelerate.state import AcceleratorState, DistributedType, PartialState
    whole, step_of = AcceleratorState.__init__, steps.StepRunner.__call__

    def cut(self, *given, fsdp_plugin=None, **named):
        whole(self, *given, fsdp_plugin=fsdp_plugin, **named)
        if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
            self.fsdp_plugin = fsdp_plugin
            self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    def step(self, model, at, *rest):
        if at == int(os.environ.get("KILLED_AT", "-1")):
            os.kill(os.getpid(), signal.SIGKILL)
        if at == 0:
            own = sum(weight.to_local().numel() for weight in model.parameters())
            print("CUT", own, sum(weight.numel() for weight in model.parameters()), type(model).__mro__[1].__name__)
        return step_of(self, model, at, *rest)

    AcceleratorState.__init__, steps.StepRunner.__call__ = cut, step
"""
# A checkpoint is chosen on development items at step 3 or 6; rounding is all that may differ.
SETTINGS = ("epochs=2", "batch=8", "log_every=1", "learning_rate=1e-2", "dropout=0")
NEAR = 1e-5


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_causal(tmp_path_factory.mktemp("tiny") / "model")


def words(tiny: Path, items: Path, out: Path, *more: str) -> list[str]:
    settings = [word for each in (*SETTINGS, *more) for word in ("--set", each)]
    return list(map(str, ("train", "--model", tiny, "--items", items, "--device", "cpu", "--out", out, *settings)))


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        env.pop(name, None)
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


def cut(site: Path, arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """The command that the package names, on two processors."""
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(SITE)
    own = shlex.split(launch_command("fsdp2", 2, shlex.join(arguments)))
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--main_process_port", "0"]
    return run([*launch, *own[2:]], ACCELERATE_USE_CPU="true", PYTHONPATH=str(site), **environment)


def whole(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "dfar_toolkit.cli", *arguments])


def values(folder: Path, kind: str, *names: str) -> list[Any]:
    return [[line[name] for name in names] for line in read_log(folder / "log.jsonl") if line["kind"] == kind]


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    (file,) = folder.glob("*model.safetensors")
    return dict(load_file(file))


def furthest(one: Path, other: Path) -> float:
    a, b = weights(one), weights(other)
    assert {name: weight.shape for name, weight in a.items()} == {name: weight.shape for name, weight in b.items()}
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["lora", "none"])
def test_a_model_cut_among_two_processes_learns_what_one_does(
    tiny: Path, demo: Path, tmp_path: Path, adapter: str
) -> None:
    items, two, one = demo / "items", tmp_path / "two", tmp_path / "one"
    done = cut(tmp_path / "site", words(tiny, items, two, f"adapter={adapter}"))
    assert done.returncode == 0, done.stderr[-3000:]
    told = [line.split() for line in done.stdout.splitlines() if line.startswith("CUT")]
    assert [(int(own) * 2, name) for _, own, _, name in told] == [(int(told[0][2]), "FSDPModule")] * 2
    alone = whole(words(tiny, items, one, f"adapter={adapter}"))
    assert alone.returncode == 0, alone.stderr[-3000:]

    said = json.loads((two / "run.json").read_text())
    assert (said["processes"], said["cut"]) == (2, True)
    assert (two / "tokenizer.json").is_file()
    assert not (two / "checkpoints").exists()
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    for kind, names in (
        ("train", ("loss", "loss_label", "loss_reason", "gradient_norm", "tokens")),
        ("development", ("accuracy", "soft_cross_entropy", "label_mass", "items")),
    ):
        assert len(values(two, kind, *names)) == (6 if kind == "train" else 2)
        for name in names:
            found, wanted = ([value for (value,) in values(folder, kind, name)] for folder in (two, one))
            assert found == pytest.approx(wanted, rel=NEAR), name
    losses = values(two, "train", "loss")
    assert losses[-1][0] < losses[0][0] - 1
    assert said["chosen"]["step"] == json.loads((one / "run.json").read_text())["chosen"]["step"]
    assert furthest(two, one) < 1e-3  # Adam divides small gradients by their own size

    answers = tmp_path / "answers"
    asked = whole(
        ["predict", "--model", str(two), "--items", str(items), "--device", "cpu", "--limit", "4", "--max-new-tokens",
         "2", "--out", str(answers)]
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr[-3000:]
    assert (answers / "outputs.parquet").is_file()
    same = [load_model(str(folder), ModelSettings(device="cpu", dtype="fp32")).model for folder in (two, one)]
    ids = torch.tensor([[1, 20, 30, 40]])
    with torch.no_grad():
        logits = [model(ids).logits for model in (*same, tiny_causal())]
    assert float((logits[0] - logits[1]).abs().max()) < 1e-2
    assert float((logits[0] - logits[2]).abs().max()) > 0.1  # what was learned is in the files


@pytest.mark.slow
def test_a_cut_run_that_was_killed_ends_as_one_that_was_not(tiny: Path, demo: Path, tmp_path: Path) -> None:
    items, out, other = demo / "items", tmp_path / "killed", tmp_path / "whole"
    more = ("best_by=last", "save_every=3", "batch=4", "dropout=0.1", "objective=soft", "soft_loss=dirichlet")
    killed = cut(tmp_path / "site", words(tiny, items, out, *more), KILLED_AT="5")
    assert killed.returncode != 0
    assert not (out / "run.json").exists()
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["checkpoint-3"]

    refused = whole(words(tiny, items, out, *more))  # in one process
    assert refused.returncode == 1
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("dfar: ")]
    assert "was cut among processes (FSDP) when this was written, and is whole now; go on with the launcher" in line
    assert "Traceback" not in refused.stderr

    again = cut(tmp_path / "site", words(tiny, items, out, *more))
    assert again.returncode == 0, again.stderr[-3000:]
    assert "the run goes on after checkpoint 3" in again.stderr
    assert cut(tmp_path / "site", words(tiny, items, other, *more)).returncode == 0
    assert values(out, "train", "step", "loss") == values(other, "train", "step", "loss")
    assert len(values(out, "train", "step")) == 10
    assert furthest(out, other) == 0
    concentrations = [json.loads((folder / "run.json").read_text())["log_s"] for folder in (out, other)]
    assert concentrations[0] == concentrations[1]


def test_a_checkpoint_of_the_other_kind_is_refused_in_a_line(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint-3"
    checkpoint.mkdir()
    check_checkpoint(None, cut=True)
    check_checkpoint(checkpoint, cut=False)
    with pytest.raises(EngineError, match=r"was whole when this was written, and is cut .* \(--fresh\)\.$"):
        check_checkpoint(checkpoint, cut=True)
    (checkpoint / "pytorch_model_fsdp.bin").touch()
    check_checkpoint(checkpoint, cut=True)
    with pytest.raises(EngineError, match=r"was cut .* and is whole now; .*fsdp2\.yaml.* \(--fresh\)\.$"):
        check_checkpoint(checkpoint, cut=False)


def test_what_cannot_be_cut_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(EngineError, match=r"4 bits cannot be cut among processes \(FSDP\); launch it with ddp\.yaml"):
        train(
            tiny_items(), None, options=OPTIONS, model=tiny_loaded(), out=tmp_path / "run",
            settings=TrainSettings(dtype="4bit"),
        )  # fmt: skip
    with pytest.raises(EngineError, match=r"a classifier is not cut .* \(FSDP\); launch it with ddp\.yaml"):
        train_classifier(
            tiny_items(), options=OPTIONS, model="absent", out=tmp_path / "run", dev_items=None, settings=HeadSettings()
        )
    assert not (tmp_path / "run").exists()


def test_a_cut_that_was_asked_for_and_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cut_notes(cut=False) == []
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert cut_notes(cut=True) == []
    assert "each process held it whole" in cut_notes(cut=False)[0]
