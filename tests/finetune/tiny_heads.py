"""Tiny classifiers to train: items that can be learned, settings, and what the folder of a trained one must do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.engines.loaded import ModelSettings
from dfar_toolkit.engines.model_loading import load_model
from dfar_toolkit.finetune.classifier_data import paired_texts
from dfar_toolkit.finetune.classifiers import class_probabilities, train_classifier
from dfar_toolkit.finetune.head_settings import HeadSettings
from dfar_toolkit.finetune.head_training import TrainedHead
from small_tables import make_items
from tiny_models import tiny_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

OPTIONS = ["good", "bad"]
SMALL = {
    "vocab_size": 400,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
CPU = ModelSettings(device="cpu", dtype="fp32")
CONTEXT = pl.List(pl.Struct({"field": pl.String, "role": pl.String, "text": pl.String}))


def bert(**more: Any) -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(**SMALL, max_position_embeddings=64, initializer_range=0.3, **more)
    return transformers.BertForSequenceClassification(config)


def items_of(n: int = 24) -> pl.DataFrame:
    """Two kinds of statements of several lengths, every third with contexts."""
    bad = [k % 2 == 1 for k in range(n)]
    words = [("I lied to my friend " if b else "I paid my neighbour ") * (1 + k % 3) for k, b in enumerate(bad)]
    context = [
        [{"field": "c", "role": "user", "text": t} for t in ("before", "it")] if k % 3 == 0 else [] for k in range(n)
    ]
    counts = [[1, 4] if b else [5, 0] for b in bad]
    return make_items(["bad" if b else "good" for b in bad]).with_columns(
        statement=pl.Series(words),
        context=pl.Series(context, dtype=CONTEXT),
        label_counts=pl.Series(counts),
        label_probs=pl.Series([[c / 5 for c in row] for row in counts]),
    )


def settings(**more: Any) -> HeadSettings:
    given = {"epochs": 2, "batch_size": 8, "learning_rate": 5e-3, "device": "cpu", **more}
    return HeadSettings(**given)


def train(out: Path, items: pl.DataFrame | None = None, *, model: Any = None, dev: int = 8, **more: Any) -> TrainedHead:
    items = items_of() if items is None else items
    given = {"tokenizer": tiny_tokenizer()} if not isinstance(model, Path) else {}
    return train_classifier(
        items, options=OPTIONS, model=bert() if model is None else model, out=out,
        dev_items=items.head(dev) if dev else None, settings=settings(**more), **given,
    )  # fmt: skip


def probabilities(loaded: Any) -> np.ndarray:
    return class_probabilities(loaded, [(text,) for text in paired_texts(items_of())])


def same_as_loaded(trained: TrainedHead) -> None:
    """The folder predicts as the model in memory, and that is not what an untrained one says."""
    found = load_model(str(trained.folder), CPU)
    assert found.facts["classes"] == OPTIONS
    assert found.max_length == trained.max_length
    inside = probabilities(trained.loaded)
    assert probabilities(found) == pytest.approx(inside, abs=1e-5)
    assert len(np.unique(inside.round(4))) > 5
