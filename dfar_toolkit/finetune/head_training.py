"""From examples to a folder with a trained head: one way for classifiers and rankers, read from top to bottom."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.engines.device_memory import out_of_memory
from dfar_toolkit.engines.loaded import LoadedModel, ModelSettings
from dfar_toolkit.engines.model_facts import model_facts
from dfar_toolkit.engines.model_loading import load_model, loaded_model
from dfar_toolkit.engines.quiet_loading import quiet_loading
from dfar_toolkit.errors import EngineError
from dfar_toolkit.finetune.classifier_data import Floats, HeadExamples, Text, Votes
from dfar_toolkit.finetune.cut_models import check_cut
from dfar_toolkit.finetune.finite_weights import check_finite
from dfar_toolkit.finetune.head_batches import encode_examples
from dfar_toolkit.finetune.head_models import HeadModel, all_weights_used, head_model, save_head
from dfar_toolkit.finetune.head_runs import CHECKPOINTS, begin_training, finish_training, last_checkpoint
from dfar_toolkit.finetune.head_settings import HeadSettings
from dfar_toolkit.finetune.head_trainer import CONCENTRATION, make_trainer, training_arguments
from dfar_toolkit.finetune.training_log import LOG, LogFile, read_log

Task = Literal["classifier", "ranker"]
Predict = Callable[[LoadedModel, Sequence[tuple[Text, ...]]], Floats]
_SPOTS: Final = 64


class Development(NamedTuple):
    """Items on which an epoch is chosen.

    Attributes:
        items: The items.
        texts: Their texts.
        votes: What people said of them.
    """

    items: pl.DataFrame
    texts: list[tuple[Text, ...]]
    votes: Votes


@dataclass(frozen=True, slots=True)
class TrainedHead:
    """A trained classifier or ranker.

    Attributes:
        folder: The folder of the run.
        model: The model in memory.
        tokenizer: Its tokenizer.
        max_length: Tokens that it reads.
        report: What ``run.json`` says.
        notes: What must be known.
    """

    folder: Path
    model: Any
    tokenizer: Any
    max_length: int
    report: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def loaded(self) -> LoadedModel:
        """The model as engines take it."""
        return loaded_model(self.model, self.tokenizer, max_length=self.max_length)


def train_head(
    task: Task,
    examples: HeadExamples,
    development: Development | None,
    model: Any,
    out: Path,
    settings: HeadSettings,
    *,
    options: Sequence[str],
    tokenizer: Any = None,
    predict: Predict,
    callbacks: Sequence[Any] = (),
    facts: Mapping[str, Any] | None = None,
) -> TrainedHead:
    """Train a head, or go on where the same call was stopped.

    Args:
        task: ``classifier`` (an output per option) or ``ranker`` (one output, a text per option).
        examples: What is learned.
        development: Items on which each epoch is measured and the best one chosen; None: the last one stays.
        model: As :func:`head_model` takes it.
        out: The folder of the run.
        settings: How.
        options: Names of the options.
        tokenizer: As :func:`head_model` takes it.
        predict: From a model and texts to probabilities (N, K), ``nan`` where it gives none.
        callbacks: Further callbacks of the trainer.
        facts: Further facts for ``run.json`` that decide the run: the digest of the items, the question, ...

    Returns:
        The model.

    Raises:
        EngineError: The model cannot be had, or carries no such head.
        TableError: The items teach nothing, or the folder holds something else.
    """
    # 1. The model, and the examples as it reads them.
    check_cut(task)
    names = list(options) if task == "classifier" else ["score"]
    found = head_model(model, tokenizer, names, settings)
    encoded = encode_examples(found.tokenizer, examples, found.limit)
    left_out = {**examples.left_out, **({"too long": encoded.too_long} if encoded.too_long else {})}
    notes = (*found.notes, *(f"{n} items teach nothing and were left out ({why})" for why, n in left_out.items()))

    # 2. The folder: begun, gone on with, or whole already.
    how = {name: value for name, value in settings.as_json().items() if name != "device"}
    decides = {
        "task": task, "options": list(options), "settings": how, "train_sha256": examples.digest(),
        "development_sha256": _digest_of(development), "model": found.facts, "weights": _weights_digest(found.model),
        **(facts or {}),
    }  # fmt: skip
    arguments = training_arguments(settings, out / CHECKPOINTS, watched=development is not None)
    with arguments.main_process_first(local=False):
        ended = begin_training(out, decides)
    if arguments.world_size > 1:
        shortest = min((text for row in encoded.rows for text in row), key=lambda text: len(text["input_ids"]))
        arguments.ddp_find_unused_parameters = not all_weights_used(found.model, shortest)
    if ended is not None:
        loaded = load_model(str(out), loading_of(settings))
        return TrainedHead(out, loaded.model, found.tokenizer, found.limit, ended, notes)

    # 3. The loop.
    log, measures = LogFile(out / LOG), _measures(development, options, predict, found)
    trainer = make_trainer(
        found.model,
        encoded,
        settings,
        arguments,
        options=len(options),
        development=measures,
        log=log,
        callbacks=callbacks,
    )
    checkpoint = last_checkpoint(out)
    step = _step_of(checkpoint)
    if arguments.should_save:
        log.cut(step)
    if checkpoint is not None:
        trainer.set_log_concentration(_concentration_in(checkpoint, trainer))
    begun = time.monotonic()
    trainer.pad = _padding_token(found.model, encoded.rows)
    import transformers

    try:
        with quiet_loading(transformers):
            ran = trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise EngineError(_less_memory(settings)) from None
    best = trainer.state.best_model_checkpoint
    if best is not None:
        trainer.set_log_concentration(_concentration_in(Path(best), trainer))

    # 4. What stays.
    trained = HeadModel(
        trainer.accelerator.unwrap_model(trainer.model), found.tokenizer, found.limit, found.base, found.revision
    )
    trained.model.eval()
    check_finite(trained.model, step=trainer.state.global_step)
    report = {
        "task": task, "toolkit": version("dfar-toolkit"), "model": found.facts, "options": list(options),
        "settings": how,
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
        "objective": settings.objective, "max_length": found.limit, "with_statement": settings.with_statement,
        "items": {"train": len(encoded.rows), "left_out": left_out, "development": _count(development)},
        "concentration": math.exp(trainer.log_concentration.item()) if trainer.learned else None,
        "epochs": [line for line in read_log(log.path) if line["kind"] == "development"],
        "chosen": {"by": settings.measure, "step": trainer.state.best_global_step, "value": trainer.state.best_metric}
        if best is not None else {"by": "last", "step": trainer.state.global_step, "value": None},
        "trainable_parameters": sum(p.numel() for p in found.model.parameters() if p.requires_grad),
        "versions": model_facts(trained.model, found.tokenizer, chat=False).get("versions", {}),
        "measured": _measured(trainer, time.monotonic() - begun, ran.training_loss, step),
    }  # fmt: skip
    if arguments.should_save:
        with quiet_loading(transformers):
            save_head(trained, out)
        report = finish_training(out, decides, report)
    trainer.accelerator.wait_for_everyone()
    return TrainedHead(out, trained.model, found.tokenizer, found.limit, report, notes)


def loading_of(settings: HeadSettings) -> ModelSettings:
    """How the trained model is loaded again to be what it was in memory."""
    half = settings.precision == "bf16" and settings.lora_rank > 0
    return ModelSettings(
        device=settings.device, dtype="auto" if half else "fp32", max_length=settings.max_length, chat=None
    )


def development_measures(development: Development, options: Sequence[str], probs: Floats) -> dict[str, float]:
    """Accuracy over the items with a majority, and soft cross-entropy over those with shares, as scores have them.

    Args:
        development: The items.
        options: Names of the options.
        probs: Probabilities (N, K), ``nan`` where the model gave none: no answer, so a miss.

    Returns:
        ``accuracy``, ``soft_cross_entropy``; ``nan`` where no item has what they need.
    """
    from dfar_toolkit.metrics.classification import accuracy
    from dfar_toolkit.metrics.soft_labels.cross_entropy import soft_cross_entropy

    answered = ~np.isnan(probs).any(axis=1)
    known = development.votes.code >= 0
    said = np.where(answered, np.nan_to_num(probs).argmax(axis=1), -1)
    gold = [options[code] for code in development.votes.code[known]]
    pred = [options[code] if code >= 0 else None for code in said[known]]
    shared = answered & ~np.isnan(development.votes.shares).any(axis=1)
    hits = accuracy(gold=gold, pred=pred, options=list(options)).value if known.any() else math.nan
    soft = math.nan
    if shared.any():
        soft = soft_cross_entropy(gold=development.votes.shares[shared], pred=probs[shared], ci=None).value
    return {"accuracy": float(hits), "soft_cross_entropy": float(soft)}


def _less_memory(settings: HeadSettings) -> str:
    """What to change where the device is too small, what leaves the result as it is first."""
    ways = []
    if settings.batch_size > 1:
        half, twice = settings.batch_size // 2, settings.accumulation * 2
        ways.append(f"batch_size to {half} with accumulation {twice} (about the same result)")
    if not settings.activation_checkpointing:
        ways.append("activation_checkpointing to true (slower)")
    ways += [] if settings.precision == "bf16" else ["precision to bf16 (coarser numbers)"]
    ways += [] if settings.lora_rank else ["lora_rank to 16 (an adapter instead of all weights)"]
    ways.append("max_length lower (longer texts are then left out)")
    return f"the memory is too small for this training: set {', or '.join(ways)}."


def _measures(
    development: Development | None, options: Sequence[str], predict: Predict, found: HeadModel
) -> Callable[[Any], dict[str, float]] | None:
    if development is None:
        return None

    def measure(model: Any) -> dict[str, float]:
        loaded = loaded_model(model, found.tokenizer, max_length=found.limit)
        return development_measures(development, options, predict(loaded, development.texts))

    return measure


def _padding_token(model: Any, rows: Sequence[Sequence[Mapping[str, list[int]]]]) -> int:
    """The model's padding token; where it has none, the least that no text holds: decoders read at the last other."""
    own = model.config.get_text_config().pad_token_id
    if own is not None:
        return int(own)
    held = {token for row in rows for text in row for token in text["input_ids"]}
    return next(token for token in range(len(held) + 1) if token not in held)


def _concentration_in(checkpoint: Path, trainer: Any) -> float:
    place = checkpoint / CONCENTRATION
    if not place.is_file():
        return float(trainer.log_concentration.item())
    return float(json.loads(place.read_text(encoding="utf-8"))["log_concentration"])


def _step_of(checkpoint: Path | None) -> int | None:
    return None if checkpoint is None else int(checkpoint.name.rpartition("-")[2])


def _count(development: Development | None) -> int:
    return 0 if development is None else len(development.items)


def _digest_of(development: Development | None) -> str | None:
    if development is None:
        return None
    found = hashlib.sha256(repr(development.texts).encode("utf-8", "backslashreplace"))
    for numbers in (development.votes.code, development.votes.shares, development.votes.counts):
        found.update(np.ascontiguousarray(numbers).tobytes())
    return found.hexdigest()


def _weights_digest(model: Any) -> str:
    """A sha256 that tells models in memory apart: of each weight its name, shape and evenly spaced numbers."""
    import torch

    found = hashlib.sha256()
    for name, weight in model.named_parameters():
        flat = weight.detach().reshape(-1)
        at = torch.linspace(0, max(flat.numel() - 1, 0), min(_SPOTS, flat.numel()), dtype=torch.float64).long()
        values = flat[at.to(flat.device)].float().cpu().numpy()
        found.update(f"{name}{tuple(weight.shape)}".encode() + values.tobytes())
    return found.hexdigest()


def _measured(trainer: Any, seconds: float, loss: float, resumed_at: int | None) -> dict[str, Any]:
    """What depends on the machine."""
    import torch

    tokens = int(trainer.seen_tokens)
    card = trainer.args.device.type == "cuda"
    return {
        "seconds": round(seconds, 3), "steps": trainer.state.global_step, "resumed_at_step": resumed_at,
        "tokens": tokens, "tokens_per_second": round(tokens / seconds, 1) if seconds else None,
        "processes": trainer.args.world_size, "device": trainer.args.device.type, "training_loss": float(loss),
        "peak_memory_bytes": int(torch.cuda.max_memory_allocated()) if card else None,
    }  # fmt: skip
