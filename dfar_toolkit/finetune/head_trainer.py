"""The training loop of classifiers and rankers: their losses, gradients by items, evaluation by an engine."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from dfar_toolkit.errors import EngineError
from dfar_toolkit.finetune.early_stopping import is_over, patience
from dfar_toolkit.finetune.head_batches import EncodedExamples, HeadCollator, LengthGroupedOrder
from dfar_toolkit.finetune.head_settings import HeadSettings
from dfar_toolkit.finetune.training_log import LogFile

CONCENTRATION: Final = "concentration.json"


def head_losses(logits: Any, target: Any, objective: str, log_concentration: Any = None) -> Any:
    """The loss of each item under an objective, in nats.

    Args:
        logits: (N, K).
        target: Codes (N,) for ``hard``, shares (N, K) for ``soft`` and ``kl``, counts (N, K) otherwise.
        objective: Which.
        log_concentration: Logarithm of the learned concentration, for ``dirichlet_multinomial``.

    Returns:
        The losses (N,).

    Example:
        >>> import torch
        >>> round(float(head_losses(torch.zeros(1, 2), torch.tensor([1]), "hard")), 6)
        0.693147
    """
    import torch

    from dfar_toolkit import losses

    wide = logits.float()
    if objective == "hard":
        return torch.nn.functional.cross_entropy(wide, target, reduction="none")
    if objective == "soft":
        return losses.soft_cross_entropy(wide, target)
    if objective == "kl":
        return losses.kl_divergence(wide, target)
    if objective == "dirichlet":
        return losses.scruples_dirichlet_nll(wide, target)
    return losses.dirichlet_multinomial_nll(wide, target, log_concentration)


def make_trainer(
    model: Any,
    examples: EncodedExamples,
    settings: HeadSettings,
    arguments: Any,
    *,
    options: int,
    development: Callable[[Any], dict[str, float]] | None,
    log: LogFile,
    callbacks: Sequence[Any] = (),
) -> Any:
    """A trainer of transformers that trains a head on the people's answers.

    Args:
        model: The model.
        examples: What it learns from.
        settings: How.
        arguments: TrainingArguments.
        options: The number of options K; the logits of a pass are (N, K) whether the model has K outputs or one.
        development: From the model to measures on the development items; None: there are none.
        callbacks: Further callbacks.
        log: Where each line that is logged is added.

    Returns:
        The trainer.
    """
    import torch
    from transformers import PrinterCallback, Trainer, TrainerCallback

    class HeadTrainer(Trainer):  # type: ignore[misc, unused-ignore]
        """Mean loss over the items of a step, over all passes and processes."""

        loss_is_scaled_for_ga = True

        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self.learned = settings.objective == "dirichlet_multinomial"
            self.log_concentration = torch.nn.Parameter(torch.tensor(math.log(options), device=self.args.device))
            self.pad, self.seen_tokens = 0, torch.tensor(0, device=self.args.device)

        def set_log_concentration(self, value: float) -> None:
            with torch.no_grad():
                self.log_concentration.fill_(value)

        def get_train_dataloader(self) -> Any:
            order = LengthGroupedOrder(examples.lengths, self._train_batch_size, settings.seed)
            loader = torch.utils.data.DataLoader(
                cast("Any", self.train_dataset),
                batch_size=self._train_batch_size,
                sampler=order,
                collate_fn=HeadCollator(self.pad),
            )
            return self.accelerator.prepare(loader)

        def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Any]:
            batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
            items = torch.tensor(sum(len(batch["target"]) for batch in batches), device=device)
            return batches, self.accelerator.gather(items).sum() if self.args.world_size > 1 else items

        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            target = inputs.pop("target")
            self.seen_tokens += inputs["attention_mask"].sum()
            # Decoders read at the last token that is not padding; models that know none are told, for this call.
            config = self.accelerator.unwrap_model(self.model).config.get_text_config()
            known, config.pad_token_id = config.pad_token_id, self.pad
            try:
                found = model(**inputs)
            finally:
                config.pad_token_id = known
            logits = found.logits.reshape(len(target), options)
            each = head_losses(logits, target, settings.objective, self.log_concentration)
            # Gradients of several processes are averaged, so that a sum over all items needs their number again.
            count = len(each) if num_items_in_batch is None else num_items_in_batch / self.accelerator.num_processes
            loss = each.sum() / count
            return (loss, found) if return_outputs else loss

        def _run_epoch(self, *given: Any, **more: Any) -> None:
            if not is_over(self):
                super()._run_epoch(*given, **more)  # type: ignore[no-untyped-call, unused-ignore]

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            # Before the trainer's own state, whose presence says that the checkpoint is whole.
            if self.learned and self.args.should_save:
                place = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}" / CONCENTRATION
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(json.dumps({"log_concentration": self.log_concentration.item()}), encoding="utf-8")
            super()._save_checkpoint(model, trial)

        def create_optimizer(self, model: Any = None) -> Any:
            made = super().create_optimizer(model)
            if self.learned:
                own = {"params": [self.log_concentration], "lr": settings.concentration_rate, "weight_decay": 0.0}
                made.add_param_group(own)
            return made

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            # The rate rises from 0: a warmup over all steps, as over a single one, would teach nothing.
            if self.args.get_warmup_steps(num_training_steps) >= num_training_steps:
                self.args.warmup_steps = 0
            return super().create_scheduler(num_training_steps, optimizer)

        def evaluate(
            self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
        ) -> dict[str, float]:
            assert development is not None
            with self.autocast_smart_context_manager():
                found = development(self.accelerator.unwrap_model(self.model))
            measures = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
            self.log(dict(measures))
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, measures)
            return measures

    class Watcher(TrainerCallback):  # type: ignore[misc, unused-ignore]
        """Keeps the learned concentration alike in all processes; adds lines to the log."""

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if trainer.learned and args.world_size > 1:
                torch.distributed.all_reduce(trainer.log_concentration.grad)
                trainer.log_concentration.grad /= args.world_size

        def on_optimizer_step(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            trainer.log_concentration.grad = None  # the trainer clears the model's gradients only

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
            if not math.isfinite((logs or {}).get("loss", 0.0)):
                raise EngineError(f"the loss is not a finite number at step {state.global_step}; lower learning_rate.")
            if not state.is_world_process_zero:
                return
            said = {name.removeprefix("eval_"): value for name, value in (logs or {}).items() if name != "epoch"}
            kind = "end" if "train_runtime" in said else "train" if "loss" in said else "development"
            if kind == "train" and trainer.learned:
                said["concentration"] = math.exp(trainer.log_concentration.item())
            log.add({"kind": kind, "step": state.global_step, "epoch": state.epoch, **said})

    watching: list[Any] = [Watcher(), *callbacks]
    if settings.patience is not None and development is not None:
        watching.append(patience(settings.patience))
    features = examples.features()
    trainer = HeadTrainer(
        model=model, args=arguments, train_dataset=features, callbacks=watching,
        eval_dataset=features[:1] if development is not None else None,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer


def training_arguments(settings: HeadSettings, checkpoints: Path, *, watched: bool) -> Any:
    """The settings as transformers takes them.

    Args:
        settings: How.
        checkpoints: Where checkpoints go.
        watched: Whether there are development items.

    Returns:
        TrainingArguments.
    """
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(checkpoints), num_train_epochs=settings.epochs, seed=settings.seed,
        per_device_train_batch_size=settings.batch_size, gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.rate, lr_scheduler_type=settings.schedule, warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay, max_grad_norm=settings.max_grad_norm,
        eval_strategy="epoch" if watched else "no", save_strategy="epoch", save_total_limit=1,
        load_best_model_at_end=watched, metric_for_best_model=settings.measure if watched else None,
        greater_is_better=settings.measure == "accuracy" if watched else None, logging_strategy="epoch",
        logging_nan_inf_filter=False, report_to="none", disable_tqdm=True, remove_unused_columns=False, label_names=[],
        use_cpu=settings.device == "cpu", bf16=settings.precision == "bf16",
        dataloader_pin_memory=settings.device != "cpu", restore_callback_states_from_checkpoint=True,
        ddp_find_unused_parameters=False,
    )  # fmt: skip
