"""Models that are loaded from folders, and adapters written beside them, for tests of loading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dfar_toolkit.engines.loaded import LoadedModel, ModelSettings
from dfar_toolkit.engines.model_loading import load_model
from tiny_models import tiny_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")


def load(folder: Path | str, **settings: Any) -> LoadedModel:
    return load_model(str(folder), ModelSettings(**settings))


def logits(model: Any) -> Any:
    with torch.inference_mode():
        return model(input_ids=torch.tensor([[1, 70, 80, 90]])).logits.float()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def lora(model: Any, folder: Path, base: Path | str, **more: Any) -> Path:
    torch.manual_seed(5)
    config = peft.LoraConfig(**{"target_modules": "all-linear", "init_lora_weights": False, **more})
    adapted = peft.get_peft_model(model, config)
    adapted.save_pretrained(folder)
    edit(folder / "adapter_config.json", base_model_name_or_path=str(base))
    return folder


def tiny_bert(labels: int = 3, *, base: bool = False, seed: int = 0) -> Any:
    config = transformers.BertConfig(
        vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, num_labels=labels,
    )  # fmt: skip
    torch.manual_seed(seed)
    kind = transformers.BertModel if base else transformers.BertForSequenceClassification
    return kind(config).eval()


def save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
