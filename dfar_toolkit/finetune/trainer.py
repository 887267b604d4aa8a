"""The training loop: transformers' own, but for what a step is (:mod:`dfar_toolkit.finetune.step_runner`).

All passes of a step are run in one call; the gradients of several processes are added up at the last of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.errors import EngineError
from dfar_toolkit.finetune.early_stopping import is_over, patience
from dfar_toolkit.finetune.settings import TrainSettings
from dfar_toolkit.finetune.step_runner import StepRunner


def make_trainer(
    loaded: LoadedModel,
    runner: StepRunner,
    settings: TrainSettings,
    checkpoints: Path,
    *,
    scores: Callable[[Any, Any], Mapping[str, float]] | None = None,
    callbacks: Sequence[Any] = (),
) -> Any:
    """A transformers trainer that runs our steps.

    Args:
        loaded: The model with its adapter.
        runner: What runs a step.
        settings: Of the training.
        checkpoints: Folder of the checkpoints.
        scores: Gives the development scores of a model and its tokenizer, under names that begin with ``eval_``; None:
            there are none, and no checkpoint is chosen.
        callbacks: Further callbacks.

    Returns:
        The trainer.
    """
    import torch
    import transformers

    class StepTrainer(transformers.Trainer):
        def get_train_dataloader(self) -> Any:
            # What a step is follows from its number: the loader only says how many there are.
            steps: Any = range(runner.per_epoch)
            return torch.utils.data.DataLoader(steps, batch_size=1, collate_fn=lambda _: {})

        def floating_point_ops(self, inputs: Any) -> int:
            return 0

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            model.train()
            accelerator = self.accelerator
            return runner(model, self.state.global_step, accelerator.backward, lambda: accelerator.no_sync(model=model))

        def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
            assert scores is not None
            found = dict(scores(self.model, loaded.tokenizer))
            self.log(dict(found))
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
            return found

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            if not math.isfinite(logs.get("loss", 0.0)):
                raise EngineError(
                    f"the loss is not a finite number at step {self.state.global_step}; lower learning_rate, or take "
                    "the dtype fp32 or bf16."
                )
            if runner.concentration is not None and "loss" in logs:
                logs["log_s"] = float(runner.concentration.log.detach())
            super().log(logs, start_time)

        def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
            if not is_over(self):
                super()._run_epoch(*args, **kwargs)  # type: ignore[no-untyped-call, unused-ignore]

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            if runner.concentration is not None and self.args.should_save:
                runner.concentration.save(checkpoints / f"checkpoint-{self.state.global_step}")
            super()._save_checkpoint(model, trial)

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            if runner.concentration is not None:
                runner.concentration.load(Path(resume_from_checkpoint))

        def _load_best_model(self) -> None:
            super()._load_best_model()
            if runner.concentration is not None and self.state.best_model_checkpoint is not None:
                runner.concentration.load(Path(self.state.best_model_checkpoint))

    arguments = _arguments(transformers, loaded, runner, settings, checkpoints, scores is not None)
    own = []
    if settings.patience is not None and scores is not None and settings.best_by != "last":
        own.append(patience(settings.patience))
    trainer = StepTrainer(
        model=loaded.model, args=arguments, train_dataset=[0], eval_dataset=None if scores is None else [0],
        callbacks=[*callbacks, *own],
    )  # fmt: skip
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def _arguments(
    transformers: Any, loaded: LoadedModel, runner: StepRunner, settings: TrainSettings, folder: Path, scored: bool
) -> Any:
    """The trainer's arguments; all that they leave to the environment is the processes."""
    device = next(iter(loaded.model.parameters())).device
    steps = math.ceil(settings.epochs * runner.per_epoch)
    steps = steps if settings.max_steps is None else min(steps, settings.max_steps)
    warmup = round(settings.warmup * steps)
    schedule = settings.schedule if settings.schedule != "constant" or not warmup else "constant_with_warmup"
    chosen = scored and settings.best_by != "last"
    every = settings.evaluate_every if chosen else settings.save_every
    more: dict[str, Any] = {}
    if scored:
        more |= {
            "eval_strategy": "steps" if settings.evaluate_every else "epoch",
            "eval_steps": settings.evaluate_every,
        }
    if chosen:
        more |= {
            "load_best_model_at_end": True, "metric_for_best_model": f"eval_{settings.best_by}",
            "greater_is_better": settings.best_by == "accuracy",
        }  # fmt: skip
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch_fused" if device.type == "cuda" else "adamw_torch",
        seed=settings.seed,
        logging_strategy="steps",
        logging_steps=settings.log_every,
        logging_nan_inf_filter=False,
        save_strategy="steps" if every else "epoch",
        save_steps=every or 500,
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        restore_callback_states_from_checkpoint=True,
        **more,
    )
    if not loaded.facts.get("half"):
        arguments.mixed_precision = "no"  # whatever a launcher's file says
    # A model spread over the GPUs of one process is nobody's wish: several GPUs take several processes.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
