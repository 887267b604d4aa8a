"""The numbers that last tokens of written-out layers stand for, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dfar_toolkit.engines.attribution.option_scalar import OptionInput
from dfar_toolkit.engines.attribution.target_values import sloped
from dfar_toolkit.engines.llama.head import Head
from dfar_toolkit.engines.llama.weights import LlamaWeights
from dfar_toolkit.engines.requests import TargetKind


class LastNumbers:
    """Numbers of inputs whose options have one token each.

    Args:
        weights: The model's.
        kind: Which number.
    """

    def __init__(self, weights: LlamaWeights, kind: TargetKind) -> None:
        self._head, self._kind = Head(weights), kind
        self._known: dict[tuple[int, int], Any] = {}

    def of(self, states: Any, inputs: Sequence[OptionInput]) -> tuple[Any, Any, Any]:
        """Numbers, (states,), their factors, (states, 1), both in float64, and gradients of their parts by the states.

        Args:
            states: Of last tokens, (states, hidden).
            inputs: Of each its input; one: it is the input of all.
        """
        return self._logits(states, inputs) if self._kind == "logit" else self._log_probs(states, inputs)

    def _logits(self, states: Any, inputs: Sequence[OptionInput]) -> tuple[Any, Any, Any]:
        """What is the same at all states of an input, a product with one vector, is made once."""
        import torch

        along = [self._along(one) for one in inputs]
        values, past = self._head.logits(states, along[0] if len(along) == 1 else torch.stack(along))
        return values.double(), torch.ones(len(states), 1, dtype=torch.float64), self._head.logits_back(past)

    def _log_probs(self, states: Any, inputs: Sequence[OptionInput]) -> tuple[Any, Any, Any]:
        import torch

        each = list(inputs) * (len(states) // len(inputs))
        own = [[token for ((token,),) in one.job.options] for one in each]
        most = max(map(len, own))
        table, past = self._head.log_probs(states, torch.tensor([row + row[:1] * (most - len(row)) for row in own]))
        if any(len(row) < most for row in own):
            missing = torch.arange(most) >= torch.tensor([len(row) for row in own])[:, None]
            table = table.masked_fill(missing, -torch.inf)
        said = sloped(table, each, self._kind)
        return said.values, said.factors[:, None], self._head.log_probs_back(said.slopes, past)

    def _along(self, one: OptionInput) -> Any:
        """What gives an input's logit, less its contrast's; the same for all inputs with these options."""
        import torch

        ((target,),) = one.job.options[one.target]
        ((contrast,),) = one.job.options[one.target if one.contrast is None else one.contrast]
        if (target, contrast) not in self._known:
            signs = torch.tensor([1.0, 0.0 if one.contrast is None else -1.0], dtype=torch.float32)
            self._known[target, contrast] = self._head.along(torch.tensor([target, contrast]), signs)
        return self._known[target, contrast]
