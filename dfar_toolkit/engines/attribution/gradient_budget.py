"""How many tokens a batch with gradients holds."""

from __future__ import annotations

from typing import Final

from dfar_toolkit.engines.loaded import LoadedModel

_CPU_BYTES: Final = 1 << 25  # of what is kept for the way back; more does not stay in a processor's caches
_CPU_LEAST: Final = 512


def gradient_budget(loaded: LoadedModel, budget: int) -> int:
    """Tokens of a batch whose activations are kept for the way back.

    Args:
        loaded: The model.
        budget: Tokens of a batch without gradients.

    Returns:
        At most ``budget``: on a GPU the share that its memory holds, elsewhere what is fastest.
    """
    weight = loaded.model.get_input_embeddings().weight
    config, hidden = loaded.model.config.get_text_config(), int(weight.shape[1])
    inner = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    layers = int(config.num_hidden_layers)
    # Weights are frozen, so that what stays is what norms, activations and attention need.
    backwards = layers * (14 * hidden + 4 * inner)
    if weight.device.type == "cpu":
        return max(min(budget, max(_CPU_BYTES // (4 * backwards), _CPU_LEAST)), 1)
    heads = int(getattr(config, "num_attention_heads", None) or 1)
    kept = int(getattr(config, "num_key_value_heads", None) or heads)
    head = int(getattr(config, "head_dim", None) or hidden // heads)
    forwards = 4 * layers * kept * head + 8 * (inner + hidden)  # what the budget was made for
    return max(min(budget, budget * forwards // backwards), 1)
