"""The mode in which a model answers: no gradients, and nothing kept that a later step of training may not use."""

from __future__ import annotations

from typing import Any


def without_gradients(model: Any) -> Any:
    """The context in which a model is run without gradients.

    A model that is cut among processes keeps gathered weights for later, which may be a step of training: what torch
    makes in its inference mode could not be used there.

    Args:
        model: The model.

    Returns:
        ``torch.no_grad()`` for such a model, ``torch.inference_mode()`` else.
    """
    import torch

    cut = any(hasattr(weight, "placements") for weight in model.parameters())
    return torch.no_grad() if cut else torch.inference_mode()
