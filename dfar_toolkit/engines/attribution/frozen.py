"""The mode in which a model is explained: gradients of its embeddings, none of its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def frozen(model: Any) -> Iterator[None]:
    """Evaluation mode, weights that want no gradient, and gradients switched on; all as before afterwards.

    Args:
        model: A torch module.

    Example:
        >>> from torch import nn
        >>> layer = nn.Linear(2, 1)
        >>> with frozen(layer):
        ...     print(layer.training, layer.weight.requires_grad)
        False False
        >>> layer.training, layer.weight.requires_grad
        (True, True)
    """
    import torch

    training = [module for module in model.modules() if module.training]
    wanting = [weight for weight in model.parameters() if weight.requires_grad]
    try:
        for module in training:
            module.training = False
        for weight in wanting:
            weight.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for weight in wanting:
            weight.requires_grad_(True)
        for module in training:
            module.training = True
