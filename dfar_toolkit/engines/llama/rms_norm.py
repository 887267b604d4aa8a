r"""The root mean square norm without its scale, forth and back.

\(n = r x\) with \(r = (\mathrm{mean}(x^2) + \epsilon)^{-1/2}\). Back, with \(g\) the gradient by \(n\), the one by
\(x\) is \(r\,(g - n\,\mathrm{mean}(g n))\): \(\partial r/\partial x = -r^3 x / d\).

Reference: Zhang and Sennrich (2019), NeurIPS, equation 4.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Normed(NamedTuple):
    """What was normed.

    Attributes:
        states: (tokens, hidden).
        inverse: Of each token one over its root mean square, (tokens, 1).
    """

    states: Any
    inverse: Any


def normed(states: Any, tiny: float) -> Normed:
    """States (tokens, hidden), each of length one per number.

    Example:
        >>> import torch
        >>> normed(torch.tensor([[3.0, 3.0]]), 0.0).states.round(decimals=4).tolist()
        [[1.0, 1.0]]
    """
    import torch

    length = torch.linalg.vector_norm(states, dim=-1, keepdim=True)
    inverse = length.square_().div_(states.shape[-1]).add_(tiny).rsqrt_()
    return Normed(states * inverse, inverse)


def norm_back(gradient: Any, past: Normed) -> Any:
    """From the gradient by the normed states to the one by the states, (tokens, hidden), in place."""
    return _along(gradient, past).mul_(past.inverse)


def add_back(gradient: Any, past: Normed, to: Any) -> Any:
    """The same added to ``to``, (tokens, hidden), in place, which is given back; ``gradient`` is used up."""
    return to.addcmul_(_along(gradient, past), past.inverse)


def _along(gradient: Any, past: Normed) -> Any:
    """What of a gradient does not change the length, in place."""
    import torch

    mean = torch.linalg.vecdot(gradient, past.states).div_(-gradient.shape[-1])
    return gradient.addcmul_(past.states, mean.unsqueeze(-1))
