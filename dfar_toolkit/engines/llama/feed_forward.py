r"""The gated feed-forward part of a layer with its norm, added to what it reads; forth and back.

\(y = x + D\,(s(G n) \odot U n)\), \(n\) the normed \(x\), \(s(z) = z / (1 + e^{-z})\).

Reference: Shazeer (2020), arXiv 2002.05202, section 2 (SwiGLU).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dfar_toolkit.engines.llama.rms_norm import Normed, add_back, normed
from dfar_toolkit.engines.llama.weights import Layer


class Fed(NamedTuple):
    """What the way back needs.

    Attributes:
        norm: The normed states.
        gate: What opens, (tokens, inner).
        up: What is let through, (tokens, inner).
        opened: The gate after its activation.
    """

    norm: Normed
    gate: Any
    up: Any
    opened: Any


def fed(states: Any, layer: Layer, tiny: float) -> tuple[Any, Fed]:
    """The layer's states after it, in place, and what the way back needs.

    Args:
        states: (tokens, hidden); changed.
        layer: The layer.
        tiny: What the norm adds to the mean square.
    """
    import torch

    norm = normed(states, tiny)
    gate, up = norm.states @ layer.gate.T, norm.states @ layer.up.T
    opened = torch.nn.functional.silu(gate)
    return states.addmm_(opened * up, layer.down.T), Fed(norm, gate, up, opened)


def feed(states: Any, layer: Layer, tiny: float) -> Any:
    """As :func:`fed`, where there is no way back: nothing is kept."""
    import torch

    norm = normed(states, tiny).states
    opened = torch.nn.functional.silu(norm @ layer.gate.T, inplace=True)
    return states.addmm_(opened.mul_(norm @ layer.up.T), layer.down.T)


def fed_back(gradient: Any, layer: Layer, past: Fed) -> Any:
    """From the gradient by the states after it to the one by those before, in place.

    Args:
        gradient: (tokens, hidden); changed.
        layer: The layer.
        past: What it did; used up.
    """
    import torch

    inner = gradient @ layer.down
    gate = past.up.mul_(inner)
    torch.ops.aten.silu_backward.grad_input(gate, past.gate, grad_input=gate)
    back = (gate @ layer.gate).addmm_(inner.mul_(past.opened), layer.up)
    return add_back(back, past.norm, gradient)
