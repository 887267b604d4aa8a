"""Attributions the plain way: one input, one point, one option at a time, embeddings given to the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Value = Callable[[Any], Any]


def option_value(
    model: Any, prompt: Sequence[int], tails: Sequence[Sequence[int]], target: int, contrast: int | None, kind: str
) -> Value:
    """The explained number of options as a function of the prompt's embeddings, (length, hidden)."""
    import torch

    table = model.get_input_embeddings()

    def whole(embedded: Any, tail: Sequence[int]) -> Any:
        after = table(torch.tensor([list(tail)]))[:, :-1]
        logits = model(inputs_embeds=torch.cat([embedded[None], after], dim=1), use_cache=False).logits[0]
        steps = logits[len(prompt) - 1 :]
        if kind != "logit":
            steps = steps.log_softmax(-1)
        return sum(steps[at, token] for at, token in enumerate(tail))

    def value(embedded: Any) -> Any:
        totals = torch.stack([whole(embedded, tail) for tail in tails])
        if kind == "option_log_prob":
            totals = totals.log_softmax(-1)
        if kind == "prob":
            totals = totals.exp()
        return totals[target] - (0 if contrast is None else totals[contrast])

    return value


def class_value(model: Any, inputs: dict[str, Any], target: int, contrast: int | None, kind: str) -> Value:
    """The same for a classifier that takes embeddings; not for decoders with padding."""

    def value(embedded: Any) -> Any:
        others = {key: each for key, each in inputs.items() if key != "input_ids"}
        found = model(inputs_embeds=embedded[None], **others).logits[0]
        if kind != "logit":
            found = found.log_softmax(-1)
        if kind == "prob":
            found = found.exp()
        return found[target] - (0 if contrast is None else found[contrast])

    return value


def naive_scores(value: Value, real: Any, empty: Any, places: Sequence[int], steps: int) -> dict[str, np.ndarray]:
    """All gradient methods at the explained places, and the numbers themselves."""
    import torch

    def gradient(point: Any) -> tuple[Any, float]:
        leaf = point.detach().clone().requires_grad_()
        number = value(leaf)
        return torch.autograd.grad(number, leaf)[0].double(), float(number.detach())

    real, empty = real.detach(), empty.detach()
    start = real.clone()
    start[list(places)] = empty.to(real)
    slope, number = gradient(real)
    product = slope * real.double()
    found = {
        "gradient_l1": slope.abs().sum(-1), "gradient_l2": slope.pow(2).sum(-1).sqrt(),
        "input_x_gradient": product.sum(-1), "input_x_gradient_l1": product.abs().sum(-1),
        "input_x_gradient_l2": product.pow(2).sum(-1).sqrt(),
    }  # fmt: skip
    points, weights = np.polynomial.legendre.leggauss(steps)
    total = 0
    for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
        total = total + weight * gradient(start + float(point) * (real - start))[0]
    found["integrated_gradients"] = ((real - start).double() * total).sum(-1)
    return {name: each[list(places)].detach().numpy() for name, each in found.items()} | {
        "value": np.array(number), "empty": np.array(gradient(start)[1]),
    }  # fmt: skip


def near(found: Sequence[float], wanted: Sequence[float], share: float = 2e-4) -> bool:
    """Whether two vectors are the same but for a share of the largest number."""
    a, b = np.asarray(found), np.asarray(wanted)
    return a.shape == b.shape and bool(np.abs(a - b).max() <= share * np.abs(b).max() + 1e-30)
