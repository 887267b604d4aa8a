"""From items to a trained language model: the whole way, read from top to bottom."""

from __future__ import annotations

import dataclasses
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import polars as pl

from dfar_toolkit.engines.loaded import LoadedModel, ModelSettings
from dfar_toolkit.engines.model_device import cuda_devices
from dfar_toolkit.engines.model_files import find_model
from dfar_toolkit.engines.model_loading import load_model
from dfar_toolkit.engines.quiet_loading import quiet_loading
from dfar_toolkit.engines.token_ids import special_texts
from dfar_toolkit.errors import EngineError
from dfar_toolkit.files.digest import content_digest
from dfar_toolkit.finetune.adapters import compile_layers, recompute_activations, with_adapter
from dfar_toolkit.finetune.cut_models import check_checkpoint, check_cut, cut_notes
from dfar_toolkit.finetune.development_scores import DevelopmentScores
from dfar_toolkit.finetune.documents import documents_of
from dfar_toolkit.finetune.examples import examples_of
from dfar_toolkit.finetune.finite_weights import check_finite
from dfar_toolkit.finetune.head_runs import CHECKPOINTS, begin_training, finish_training, last_checkpoint
from dfar_toolkit.finetune.memory_advice import memory_advice
from dfar_toolkit.finetune.settings import TrainSettings
from dfar_toolkit.finetune.step_runner import StepRunner
from dfar_toolkit.finetune.throughput import work_of
from dfar_toolkit.finetune.trainer import make_trainer
from dfar_toolkit.finetune.training_log import LOG, read_log
from dfar_toolkit.finetune.watching import Meter, training_log
from dfar_toolkit.prompts.styles import load_style

_LEARNED: Final = (
    "item_id", "statement", "context", "option_texts", "label", "label_counts", "label_probs", "reasons",
)  # fmt: skip
# What may be changed in a run that is gone on with, where the memory was too small: nothing but rounding and the draws
# of dropout come of it.
_BESIDE: Final = ("pass_tokens", "row_tokens", "checkpointing", "log_every")
_FILES: Final = ("_fingerprint", "_commit")
_NOT_KEPT: Final = ("training_args.bin", "README.md")  # of what libraries write beside the weights


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A finished training.

    Attributes:
        folder: Its folder, which :func:`~dfar_toolkit.engines.model_loading.load_model` loads.
        loaded: The model in memory; None where the folder was finished before.
        report: What ``run.json`` says.
        notes: What must be known.
    """

    folder: Path
    loaded: LoadedModel | None
    report: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def train(
    train_items: pl.DataFrame,
    dev_items: pl.DataFrame | None,
    *,
    options: Sequence[str],
    model: str | LoadedModel,
    out: Path,
    settings: TrainSettings,
    wording: str = "",
    loading: ModelSettings = ModelSettings(),  # noqa: B008 - it is frozen
    callbacks: Sequence[Any] = (),
    facts: Mapping[str, Any] | None = None,
) -> TrainedRun:
    """Train a causal language model on items, or go on where the same call was stopped.

    Args:
        train_items: What is learned, as :func:`~dfar_toolkit.finetune.examples.examples_of` takes it.
        dev_items: Items on which the model is scored while it is trained and a checkpoint is chosen; None: the last.
        options: Names of the options, in the order of the items' shares and votes.
        model: A folder, a name on the Hub, or a model in memory.
        out: The folder of the run: absent, empty, or of a run that the same call began.
        settings: How.
        wording: The question.
        loading: How the model is loaded; its type, length and template are the settings' business.
        callbacks: Further callbacks of the trainer, such as :func:`~dfar_toolkit.finetune.watching.progress`.
        facts: What else decides the run, for ``run.json``: the digest of the items' folder, the splits, ...

    Returns:
        The run.

    Raises:
        EngineError: The model cannot be had or is no causal one, an example is too long, or the memory too small.
        TableError: The items teach nothing, or the folder holds something else.
    """
    # 1. The folder: begun, gone on with, or whole already.
    check_cut("causal", settings.dtype)
    deciding = {name: value for name, value in settings.as_json().items() if name not in _BESIDE}
    decides = {
        "settings": deciding, "options": list(options), "wording": wording,
        "train_sha256": _digest(train_items), "development_sha256": None if dev_items is None else _digest(dev_items),
        **(facts or {}),
    }  # fmt: skip
    rank, processes = _place()
    with _first_process_first(loading, processes):
        decides["model"] = _named(model, loading)
        ended = begin_training(out, decides)
    if ended is not None:
        return TrainedRun(out, None, ended)

    # 2. The model, and the items as it reads them.
    transformers = _libraries()
    loaded = _loaded(model, settings, loading)
    examples, left_out = examples_of(train_items, options, settings, wording=wording, chat=loaded.chat)
    documents, counted = documents_of(examples, loaded, settings)
    scores = None
    if dev_items is not None:
        style = load_style(settings.style_name)
        scores = DevelopmentScores(
            dev_items, options=options, style=style, wording=wording, chat=settings.chat, max_length=settings.max_length
        )
    data = {
        **counted, "items": train_items.height, "left_out": left_out, "special_texts": _special(train_items, loaded),
        "development": 0 if dev_items is None else dev_items.height,
    }  # fmt: skip

    # 3. What of it is trained.
    transformers.set_seed(settings.seed)
    loaded = with_adapter(loaded, settings, base=model if isinstance(model, str) else None)
    if settings.checkpointing:
        recompute_activations(loaded.model)
    if settings.compile:
        compile_layers(loaded.model)

    # 4. The loop.
    meter = Meter()
    runner = StepRunner(loaded, documents, settings, meter, place=(rank, processes))
    trainer = make_trainer(
        loaded, runner, settings, out / CHECKPOINTS, scores=scores, callbacks=[training_log(out, meter), *callbacks]
    )
    checkpoint = last_checkpoint(out)
    check_checkpoint(checkpoint, cut=trainer.is_fsdp_enabled)
    try:
        with quiet_loading(transformers):
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except (RuntimeError, MemoryError) as error:
        trainable = int(loaded.facts["trainable"])
        advice = memory_advice(error, settings.as_json(), work=work_of(loaded.model), trainable=trainable)
        if not advice:
            raise
        raise EngineError(advice) from None

    if not trainer.is_fsdp_enabled:  # where each process holds a part, one alone must not stop
        check_finite(loaded.model, step=trainer.state.global_step)

    # 5. What stays: the weights, the tokenizer, and last of all run.json.
    loaded = dataclasses.replace(loaded, model=trainer.accelerator.unwrap_model(trainer.model).eval())
    report = {
        "task": "causal", "toolkit": version("dfar-toolkit"), "settings": settings.as_json(),
        "model": loaded.facts, "options": list(options), "items": data, "packing": runner.facts,
        "asked": {"style": settings.style_name, "chat": loaded.chat},
        "log_s": None if runner.concentration is None else float(runner.concentration.log.detach()),
        "chosen": _chosen(trainer, settings, scores), "scores": _last_scores(out), "measured": _measured(out),
        "processes": processes, "cut": trainer.is_fsdp_enabled,
    }  # fmt: skip
    with quiet_loading(transformers):
        if settings.adapter == "none" and loaded.facts["half"] and not trainer.is_fsdp_enabled:
            loaded.model.bfloat16()
        trainer.save_model(str(out))
    if rank == 0:
        loaded.tokenizer.save_pretrained(str(out))
        for name in _NOT_KEPT:
            (out / name).unlink(missing_ok=True)
        report = finish_training(out, decides, report)
    trainer.accelerator.wait_for_everyone()
    return TrainedRun(out, loaded, report, (*_unheeded(settings, scores is not None), *_notes(report, runner)))


def _named(model: str | LoadedModel, loading: ModelSettings) -> dict[str, Any]:
    """The model as it was asked for, and what tells its files from others of the same name."""
    if isinstance(model, LoadedModel):
        told = {name: value for name, value in model.facts.items() if name.endswith(_FILES)}
        return {"model": model.facts.get("model", "in memory"), **told}
    files = find_model(model, revision=loading.revision, code=loading.trust_remote_code)
    told = {name: value for name, value in files.facts("model").items() if name.endswith(_FILES)}
    return {"model": model, "revision": loading.revision, "attention": loading.attention, **told}


def _digest(items: pl.DataFrame) -> str:
    """Of what is learned from items, in their order."""
    return content_digest(items.select(name for name in _LEARNED if name in items.columns).iter_rows(named=True))


def _place() -> tuple[int, int]:
    """The number of this process, and how many there are, as torchrun and accelerate say it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def _first_process_first(loading: ModelSettings, processes: int) -> Any:
    """The first process begins the folder before the others look at it."""
    if processes == 1:
        return nullcontext()
    import accelerate  # type: ignore[import-untyped]

    return accelerate.PartialState(cpu=loading.device == "cpu" or not cuda_devices()).main_process_first()


def _libraries() -> Any:
    try:
        import accelerate  # type: ignore[import-untyped, unused-ignore]
        import peft
        import transformers
    except ImportError as error:
        raise EngineError(
            f"training needs torch, transformers, peft and accelerate ({error}); pip install 'dfar-toolkit[models]'"
        ) from error
    del accelerate, peft
    return transformers


def _loaded(model: str | LoadedModel, settings: TrainSettings, loading: ModelSettings) -> LoadedModel:
    """The model in the type that it is trained in, each process on a device of its own."""
    if isinstance(model, LoadedModel):
        wanted = model.chat if settings.chat is None else settings.chat
        if wanted and getattr(model.tokenizer, "chat_template", None) is None:
            raise EngineError("wanted the chat template, the tokenizer has none; go without (no chat).")
        found = dataclasses.replace(model, chat=wanted)
    else:
        device, local = loading.device, os.environ.get("LOCAL_RANK")
        if device in ("auto", "cuda") and local is not None and cuda_devices():
            device = f"cuda:{local}"
        # Weights that are all trained are held in 32 bits, also where they are computed in 16.
        dtype = _dtype(settings, device)
        stored = "fp32" if settings.adapter == "none" else dtype
        found = load_model(model, loading._replace(device=device, dtype=stored, chat=settings.chat))
        found = dataclasses.replace(found, facts={**found.facts, "half": dtype != "fp32"})
    if found.kind != "causal":
        raise EngineError(f"wanted a causal language model, found a {found.kind}; train it as a classifier.")
    return found


def _dtype(settings: TrainSettings, device: str) -> str:
    if settings.dtype != "auto":
        return settings.dtype
    import torch

    on_gpu = device != "cpu" and cuda_devices() > 0
    return "bf16" if on_gpu and torch.cuda.is_bf16_supported() else "fp32"


def _special(items: pl.DataFrame, loaded: LoadedModel) -> int:
    """Items whose texts hold the text of a special token."""
    texts = items["statement"].to_list()
    reasons = items["reasons"].to_list() if "reasons" in items.columns else []
    texts += [each.get("text") for given in reasons for each in given or []]
    return special_texts(texts, loaded.tokenizer)


def _chosen(trainer: Any, settings: TrainSettings, scores: DevelopmentScores | None) -> dict[str, Any]:
    """Which step's weights stay, and why."""
    state = trainer.state
    if scores is None or settings.best_by == "last" or state.best_model_checkpoint is None:
        return {"by": "last", "step": state.global_step, "value": None}
    return {"by": settings.best_by, "step": state.best_global_step, "value": state.best_metric}


def _last_scores(out: Path) -> list[dict[str, Any]]:
    """The development scores of the whole training."""
    return [line for line in read_log(out / LOG) if line["kind"] == "development"] if (out / LOG).is_file() else []


def _measured(out: Path) -> dict[str, Any]:
    """Speed and memory from the log: the median of its lines, and the most."""
    lines = read_log(out / LOG) if (out / LOG).is_file() else []
    trained = [line for line in lines if line["kind"] == "train"]
    found: dict[str, Any] = {}
    for name in ("tokens_per_second", "mfu"):
        values = [line[name] for line in trained if isinstance(line.get(name), int | float)]
        found[name] = statistics.median(values) if values else None
    peaks = [line["peak_memory_gib"] for line in trained if line.get("peak_memory_gib") is not None]
    found["peak_memory_gib"] = max(peaks, default=None)
    for name in ("seconds", "tokens", "tokens_padded"):
        found[name] = lines[-1].get(name) if lines else None
    losses = [line["loss"] for line in trained if isinstance(line.get("loss"), int | float)]
    found["last_loss"] = losses[-1] if losses and math.isfinite(losses[-1]) else None
    return found


def _unheeded(settings: TrainSettings, scored: bool) -> list[str]:
    """Settings that were given and change nothing."""
    chosen = scored and settings.best_by != "last"
    found = []
    if settings.patience is not None and not chosen:
        why = "best_by is last" if scored else "there are no development items"
        found.append(f"patience changes nothing: {why}")
    if settings.evaluate_every is not None and not scored:
        found.append("evaluate_every changes nothing: there are no development items")
    if settings.save_every is not None and chosen and settings.save_every != settings.evaluate_every:
        found.append("save_every changes nothing: a checkpoint is made where the model is scored (evaluate_every)")
    return found


def _notes(report: Mapping[str, Any], runner: StepRunner) -> tuple[str, ...]:
    data, scored = report["items"], report["scores"]
    notes = [f"{count} items were left out: {why}" for why, count in data["left_out"].items()]
    notes += cut_notes(cut=report["cut"])
    if data["too_long"]:
        notes.append(f"{data['too_long']} examples were too long and left out")
    if data["special_texts"]:
        notes.append(f"{data['special_texts']} texts hold the text of a special token, which the model reads as such")
    if data["end"] is None:
        notes.append("the tokenizer has no token that ends an answer, so that no end was learned")
    if scored and scored[-1].get("failed", 0) >= scored[-1].get("items", math.inf):
        notes.append(
            "THE MODEL GAVE NO PROBABILITIES for any development item: it diverged (lower learning_rate), or "
            "the items are too long"
        )
    check = runner.facts.get("packing_check", {})
    if check.get("why"):
        notes.append(f"documents were not packed: {check['why']}")
    return tuple(notes)
