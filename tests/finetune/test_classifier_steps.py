"""Steps of training classifiers: gradients by items, processes, where it ends, and going on after a kill."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_heads import bert, items_of, probabilities, train

from dfar_toolkit.errors import EngineError, TableError
from dfar_toolkit.finetune import classifiers, head_trainer
from dfar_toolkit.finetune.classifier_data import paired_texts
from dfar_toolkit.finetune.training_log import read_log
from tiny_models import tiny_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),  # peft's own
]


def test_a_step_is_the_mean_over_its_items_however_it_is_cut_into_passes(tmp_path: Path) -> None:
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    items, model = items_of(7), bert(**still)
    texts = [tiny_tokenizer()(*[t for t in pair if t], return_tensors="pt") for pair in paired_texts(items)]
    logits = torch.cat([model(**text).logits for text in texts])
    shares = torch.tensor(items["label_probs"].to_list())
    loss = torch.nn.functional.cross_entropy(logits, shares)
    loss.backward()
    norm = math.sqrt(sum(float((w.grad**2).sum()) for w in model.parameters() if w.grad is not None))
    # 3 + 3 + 1 items: the mean of the means of passes would be another number.
    train(tmp_path / "run", items, model=bert(**still), dev=0, epochs=1, batch_size=3, accumulation=3, objective="soft")
    line = next(line for line in read_log(tmp_path / "run" / "log.jsonl") if line["kind"] == "train")
    assert line["step"] == 1
    assert line["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert line["grad_norm"] == pytest.approx(norm, rel=1e-4)


def test_a_training_of_one_step_is_not_spent_on_warming_up(tmp_path: Path) -> None:
    model = bert()
    before = model.classifier.weight.detach().clone()
    train(tmp_path / "run", items_of(8), model=model, dev=0, epochs=1, batch_size=8, lora_rank=0)
    trained = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "run")
    assert (trained.classifier.weight - before).abs().max() > 0


_PROCESS = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path[:0] = sys.argv[4:]
from tiny_heads import bert, items_of, train
still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
train(
    Path(sys.argv[1]), items_of(24), model=bert(**still), batch_size=int(sys.argv[2]), accumulation=int(sys.argv[3]),
    objective="dirichlet_multinomial", concentration_rate=0.1, schedule="constant",
)
"""


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    (tmp_path / "process.py").write_text(_PROCESS)
    here = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    reports = {}
    for name, launch, cut in (
        ("one", [], ("24", "1")),
        ("two", ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"], ("6", "2")),
    ):
        command = [sys.executable, *launch, str(tmp_path / "process.py"), str(tmp_path / name), *cut, *here]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        reports[name] = json.loads((tmp_path / name / "run.json").read_text())
    assert reports["two"]["measured"]["processes"] == 2
    assert reports["two"]["concentration"] == pytest.approx(reports["one"]["concentration"], rel=1e-5)
    for line, other in zip(reports["one"]["epochs"], reports["two"]["epochs"], strict=True):
        assert other["soft_cross_entropy"] == pytest.approx(line["soft_cross_entropy"], rel=1e-5)


def test_too_little_memory_is_a_sentence_that_says_what_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(head_trainer, "head_losses", full)
    with pytest.raises(EngineError, match="set batch_size to 4 with accumulation 2"):
        train(tmp_path / "run")


def test_killed_and_gone_on_with_equals_uninterrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = {"objective": "dirichlet_multinomial", "epochs": 2, "lora_rank": 2}
    whole = train(tmp_path / "whole", **how)
    inner, calls = classifiers.class_probabilities, []

    def killed(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return inner(*given)

    monkeypatch.setattr(classifiers, "class_probabilities", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", **how)
    monkeypatch.undo()
    assert not (tmp_path / "run" / "run.json").exists()
    with pytest.raises(TableError, match="holds a training run with other settings"):
        train(tmp_path / "run", **{**how, "seed": 3})
    resumed = train(tmp_path / "run", **how)
    assert np.array_equal(probabilities(resumed.loaded), probabilities(whole.loaded))
    assert resumed.report["measured"]["resumed_at_step"] == 3
    for key in ("concentration", "chosen", "epochs"):
        assert resumed.report[key] == whole.report[key]
    ended = train(tmp_path / "run", **how)  # nothing is left to do
    assert ended.report == resumed.report
    assert probabilities(ended.loaded) == pytest.approx(probabilities(whole.loaded), abs=1e-5)
    with pytest.raises(TableError, match=r"other settings \(settings, weights\)"):  # the seed draws other adapters
        train(tmp_path / "run", **{**how, "seed": 3})


def test_training_ends_where_nothing_gets_better_and_the_best_epoch_stays(tmp_path: Path) -> None:
    trained = train(tmp_path / "run", epochs=9, learning_rate=1e-9, patience=1, best_by="accuracy")
    assert [line["epoch"] for line in trained.report["epochs"]] == [1.0, 2.0]
    assert trained.report["chosen"]["step"] == 3


@pytest.mark.parametrize("when", ["evaluating the third epoch", "the third checkpoint is there"])
def test_patience_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    how = {"epochs": 9, "learning_rate": 1e-9, "patience": 2, "best_by": "accuracy", "lora_rank": 2}
    if when.startswith("evaluating"):
        _kill_at_call(monkeypatch, classifiers, "class_probabilities", 3)
    else:
        _kill_at_call(monkeypatch, transformers.Trainer, "_save_checkpoint", 3, before=False)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", **how)
    monkeypatch.undo()
    resumed = train(tmp_path / "run", **how)
    assert [line["epoch"] for line in resumed.report["epochs"]] == [1.0, 2.0, 3.0]
    assert resumed.report["chosen"]["step"] == 3
    assert resumed.report["measured"]["steps"] == 9


def test_a_whole_checkpoint_has_its_concentration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = {"objective": "dirichlet_multinomial", "epochs": 2, "lora_rank": 2, "concentration_rate": 0.5}
    whole = train(tmp_path / "whole", dev=0, **how)
    _kill_at_call(monkeypatch, transformers.Trainer, "_save_checkpoint", 1, before=False)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", dev=0, **how)
    monkeypatch.undo()
    assert train(tmp_path / "run", dev=0, **how).report["concentration"] == whole.report["concentration"] != 2


def _kill_at_call(patch: pytest.MonkeyPatch, owner: Any, name: str, number: int, *, before: bool = True) -> None:
    """Ends the training at, or just after, a call of a function."""
    inner, calls = getattr(owner, name), iter(range(1, 99))

    def killed(*given: Any, **more: Any) -> Any:
        last = next(calls) == number
        if last and before:
            raise KeyboardInterrupt
        found = inner(*given, **more)
        if last:
            raise KeyboardInterrupt
        return found

    patch.setattr(owner, name, killed)
