r"""The last norm and the head: sums of logits, or logarithms of tokens' probabilities; forth and back.

A sum of logits is the product of the normed state with a sum of the head's rows. Back from \(\bar y_k\) by logarithms
\(y_k\) of the probabilities of tokens \(k\), the gradient by the logits is
\(\sum_k \bar y_k e_k - (\sum_k \bar y_k)\,p\).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dfar_toolkit.engines.llama.rms_norm import Normed, norm_back, normed
from dfar_toolkit.engines.llama.weights import LlamaWeights


class Summed(NamedTuple):
    """What the way back from sums needs.

    Attributes:
        norm: The normed states.
        along: What they were multiplied with, (states, hidden) or (hidden,).
    """

    norm: Normed
    along: Any


class Said(NamedTuple):
    """What the way back from logarithms needs.

    Attributes:
        norm: The normed states.
        tokens: The wanted tokens, (states, wanted).
        all: Logarithms of all tokens' probabilities, (states, vocabulary).
    """

    norm: Normed
    tokens: Any
    all: Any


class Head:
    """What a model says after states.

    Args:
        weights: The model's; its head and last norm are used as they are, without a copy.
    """

    def __init__(self, weights: LlamaWeights) -> None:
        self._matrix = weights.model.lm_head.weight
        self._scale, self._tiny = weights.model.model.norm.weight, weights.tiny

    def along(self, tokens: Any, signs: Any) -> Any:
        """What normed states are multiplied with for a weighed sum of logits, (hidden,).

        Args:
            tokens: Whose logits, (tokens,).
            signs: Their weights, (tokens,).
        """
        return signs @ self._matrix[tokens] * self._scale

    def logits(self, states: Any, along: Any) -> tuple[Any, Summed]:
        """Sums of logits, (states,), and what the way back needs.

        Args:
            states: (states, hidden).
            along: Of each state, (states, hidden), or of all, (hidden,).
        """
        import torch

        norm = normed(states, self._tiny)
        return torch.linalg.vecdot(norm.states, along), Summed(norm, along)

    def logits_back(self, past: Summed) -> Any:
        """Gradients of the sums by the states, (states, hidden)."""
        return norm_back(past.along.expand_as(past.norm.states).clone(), past.norm)

    def all_logits(self, states: Any) -> Any:
        """Logits of all tokens, (states, vocabulary).

        Args:
            states: (states, hidden).
        """
        return self._of(normed(states, self._tiny))

    def log_probs(self, states: Any, tokens: Any) -> tuple[Any, Said]:
        """Logarithms of probabilities of tokens, (states, wanted), and what the way back needs.

        Args:
            states: (states, hidden).
            tokens: Wanted ones of each, (states, wanted).
        """
        norm = normed(states, self._tiny)
        said = self._of(norm).log_softmax(-1)
        return said.gather(1, tokens), Said(norm, tokens, said)

    def log_probs_back(self, slopes: Any, past: Said) -> Any:
        """From gradients by values, (states, wanted), to those by states, (states, hidden)."""
        by_logits = past.all.exp().mul_(-slopes.sum(-1, keepdim=True)).scatter_add_(1, past.tokens, slopes)
        return norm_back((by_logits @ self._matrix) * self._scale, past.norm)

    def _of(self, norm: Normed) -> Any:
        return (norm.states * self._scale) @ self._matrix.T
