"""One step of a training in one process: which documents, in which passes, forward and backward.

A step's documents follow from its number alone (:mod:`dfar_toolkit.finetune.packing`), so that a training that goes on
from a checkpoint sees what it would have seen, and each process finds its own share without asking the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.finetune.concentration import Concentration
from dfar_toolkit.finetune.documents import Document
from dfar_toolkit.finetune.objectives import WantedLogits, pass_loss, step_weights
from dfar_toolkit.finetune.packing import Pass, epoch_steps, laid, layout_of, step_passes, steps_per_epoch
from dfar_toolkit.finetune.packing_check import check_packing, most_pieces
from dfar_toolkit.finetune.settings import TrainSettings
from dfar_toolkit.finetune.watching import Meter


class StepRunner:
    """Forward and backward of one step, in one process.

    Args:
        loaded: The model, not wrapped for several processes.
        documents: All of the training.
        settings: Of the training.
        meter: What is counted into.
        place: The number of this process, and how many there are.

    Attributes:
        per_epoch: Steps of an epoch.
        concentration: log s; None where the loss has none.
        facts: For ``run.json``: the layout, and what the check of packed rows found.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        documents: Sequence[Document],
        settings: TrainSettings,
        meter: Meter,
        *,
        place: tuple[int, int] = (0, 1),
    ) -> None:
        self._model, self._documents, self._settings, self._meter = loaded.model, documents, settings, meter
        self._rank, self.processes = place
        self._lengths = [document.length for document in documents]
        self.per_epoch = steps_per_epoch(self._lengths, settings)
        attention = str(getattr(loaded.model.config, "_attn_implementation", None) or "eager")
        self._layout = layout_of(settings, attention)
        self._run = WantedLogits(loaded.model)
        known = [loaded.tokenizer.pad_token_id, loaded.tokenizer.eos_token_id, 0]
        self._pad = next(token for token in known if token is not None)
        self._half = bool(loaded.facts.get("half", False))
        dirichlet = settings.soft and settings.soft_loss == "dirichlet"
        self.concentration = Concentration(rate=settings.concentration_rate) if dirichlet else None
        self._plan: tuple[int, list[list[int]]] = (-1, [])
        self._checked = not self._layout.packed
        self.facts: dict[str, Any] = {"attention": attention, "packed": self._layout.packed}

    def documents_at(self, step: int) -> list[Document]:
        """The documents of a step, counted from 0 over the whole training."""
        epoch, within = divmod(step, self.per_epoch)
        if self._plan[0] != epoch:
            self._plan = (epoch, epoch_steps(self._lengths, self._settings, epoch))
        return [self._documents[at] for at in self._plan[1][within]]

    def passes_at(self, step: int) -> tuple[list[Document], list[Pass]]:
        """The documents of a step, and this process's passes."""
        documents = self.documents_at(step)
        own = step_passes(documents, self._layout, processes=self.processes)[self._rank]
        return documents, [laid(documents, rows, self._layout, self._pad) for rows in own]

    def __call__(
        self,
        model: Any,
        step: int,
        backward: Callable[[Any], None],
        apart: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> Any:
        """Runs a step: gradients are added to those that are there, and log s goes on by one.

        Args:
            model: The model, wrapped or not.
            step: Its number, from 0.
            backward: What is called with each loss.
            apart: Context of all passes but the last, in which processes do not add up their gradients.

        Returns:
            The loss, times the number of processes: its mean over them is the step's.
        """
        import torch

        device = next(iter(self._model.parameters())).device
        if not self._checked:
            self._check(step, device)
        documents, passes = self.passes_at(step)
        weights = step_weights(documents, self._settings)
        losses = []
        for at, own in enumerate(passes):
            with apart() if at < len(passes) - 1 else nullcontext():
                with torch.autocast(device.type, torch.bfloat16, enabled=self._half):
                    logits = self._run(model, own, device)
                log_s = 0.0 if self.concentration is None else self.concentration.log.to(device)
                found = pass_loss(logits, own, documents, weights, self._settings, log_s)
                # Several processes take the mean of their gradients, and the weights count the whole step.
                backward(found.loss * self.processes)
            losses.append(found.loss.detach() * self.processes)
            self._meter.add(
                real=own.tokens,
                padded=own.input_ids.size,
                targets=len(own.rows),
                documents=0 if own.filler else len(own.documents),
                parts=found.parts,
            )
            del logits, found
        if self.concentration is not None:
            self.concentration.step(self.processes, device)
        return torch.stack(losses).sum()

    def _check(self, step: int, device: Any) -> None:
        """Falls back to a row for each document where the model does not keep them apart."""
        import torch

        documents = self.documents_at(step)
        passes = step_passes(documents, self._layout)[0]
        rows = max(passes, key=lambda rows: most_pieces(documents, rows))
        if most_pieces(documents, rows) < 2:  # nothing is packed in this step: a later one will show it
            return
        some = sorted(rows, key=lambda row: -most_pieces(documents, [row]))[:2]
        found = check_packing(self._model, documents, some, self._layout, device=device, pad=self._pad)
        apart = torch.tensor(float(found.apart), device=device)
        if self.processes > 1:
            torch.distributed.all_reduce(apart, torch.distributed.ReduceOp.MIN)
        said = {"neighbour": found.neighbour, "alone": found.alone, "why": found.why}
        self.facts["packing_check"] = {name: value for name, value in said.items() if value == value}
        if not bool(apart):
            self._layout = self._layout._replace(packed=False)
            self.facts["packed"] = False
        self._checked = True
