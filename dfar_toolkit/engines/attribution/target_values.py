"""From values of options or classes to the one number that is explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from dfar_toolkit.engines.requests import TargetKind


class Chosen(Protocol):
    """What of an input is explained."""

    @property
    def target(self) -> int:
        """Column of the option or class."""

    @property
    def contrast(self) -> int | None:
        """Column of what is taken off."""


class Weighed(NamedTuple):
    """Numbers of a batch; each is a part times its factor.

    Attributes:
        parts: (inputs,), in float32; what gradients are taken of.
        factors: (inputs,), in float64, constants. Probabilities of long options are smaller than float32 can hold, and
            their gradients smaller than float16 can.
    """

    parts: Any
    factors: Any


def option_table(logits: Any, asked: Sequence[tuple[int, int, int, int]], kind: TargetKind) -> Any:
    """Values of options, each the sum over its tokens.

    Args:
        logits: (lines, vocabulary).
        asked: Quadruples of input, option, line and token.
        kind: ``logit`` sums logits, all others logarithms of probabilities.

    Returns:
        (inputs, options); ``-inf`` where an input has fewer options.
    """
    import torch

    at, option, line, token = torch.tensor(asked, dtype=torch.long, device=logits.device).T
    steps = logits[line, token]
    if kind != "logit":
        steps = steps - logits.logsumexp(-1)[line]
    inputs, options = int(at.max()) + 1, int(option.max()) + 1
    cells = at * options + option
    table = steps.new_zeros(inputs * options).index_add(0, cells, steps)
    held = torch.zeros_like(table, dtype=torch.bool)
    held[cells] = True
    return table.masked_fill(~held, -torch.inf).reshape(inputs, options)


def weighed(table: Any, chosen: Sequence[Chosen], kind: TargetKind) -> Weighed:
    """The target's value less the contrast's.

    Args:
        table: (inputs, options): logits or logarithms of probabilities.
        chosen: For each input its target and contrast.
        kind: ``option_log_prob`` makes the options' probabilities sum to 1, ``prob`` takes exponentials.

    Returns:
        The numbers.
    """
    import torch

    if kind == "option_log_prob":
        table = table.log_softmax(-1)
    rows = torch.arange(len(chosen), device=table.device)
    first = table[rows, torch.tensor([one.target for one in chosen], device=table.device)]
    without = torch.tensor([one.contrast is None for one in chosen], device=table.device)
    second = table[rows, torch.tensor([one.contrast or 0 for one in chosen], device=table.device)]
    if kind != "prob":
        parts = first - second.masked_fill(without, 0)
        return Weighed(parts, torch.ones_like(parts, dtype=torch.float64))
    second = second.masked_fill(without, -torch.inf)
    top = torch.maximum(first, second).detach()
    return Weighed((first - top).exp() - (second - top).exp(), top.double().exp())


class Sloped(NamedTuple):
    """Numbers with how their parts change with the table.

    Attributes:
        values: (inputs,), in float64: parts times factors.
        factors: (inputs,), in float64.
        slopes: Gradients of parts by the table, (inputs, options).
    """

    values: Any
    factors: Any
    slopes: Any


def sloped(table: Any, chosen: Sequence[Chosen], kind: TargetKind) -> Sloped:
    """As :func:`weighed`, with the gradients, for models whose way back is written out.

    The slope is 1 at the target and -1 at the contrast. For ``option_log_prob`` the options' probabilities times the
    sum of these are taken off, for ``prob`` they are the exponentials that parts are made of.

    Args:
        table: (inputs, options): logits or logarithms of probabilities.
        chosen: For each input its target and contrast.
        kind: As there.
    """
    import torch

    parts, factors = weighed(table, chosen, kind)
    signs = torch.zeros_like(table)
    signs[torch.arange(len(chosen)), torch.tensor([one.target for one in chosen])] = 1
    against = [(row, one.contrast) for row, one in enumerate(chosen) if one.contrast is not None]
    if against:
        own, contrast = torch.tensor(against).T
        signs[own, contrast] -= 1
    if kind == "prob":
        named = table.masked_fill(signs == 0, -torch.inf)
        signs *= (named - named.amax(-1, keepdim=True)).exp()
    elif kind == "option_log_prob":
        signs -= signs.sum(-1, keepdim=True) * table.softmax(-1)
    return Sloped(parts.double() * factors, factors, signs)
