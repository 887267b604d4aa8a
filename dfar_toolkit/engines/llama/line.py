r"""The first layer's queries, keys and values on the line between two inputs, and what tokens' shares of it are.

The embeddings are \(x(\alpha) = (1 - \alpha) b + \alpha x\), and the first thing done with them is a norm and a product
with a matrix \(W\): with \(r(\alpha)\) one over the root mean square, \(W n(\alpha) = r(\alpha)\,((1 - \alpha) W b +
\alpha W x)\). So the products are made once for all points, turned by the tokens' places once, and the way back needs
none: with \(d = x - b\) and \(g\) the gradient by \(q = W n\),

\[\langle d, \partial f/\partial x(\alpha)\rangle = r \langle g, W d\rangle
- r^2\,\mathrm{mean}(x(\alpha)\,d)\,\langle g, q\rangle,\]

token by token, as \(r' = -r^3\,\mathrm{mean}(x(\alpha)\,d)\); what reaches the embeddings past the layer is added. Both
ends and the difference are kept, as a small one cannot be had back from the sum of large ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dfar_toolkit.engines.llama.heads import Heads
from dfar_toolkit.engines.llama.rotation import Rotation, Rotations, turned


class Line(NamedTuple):
    """What is the same at all points; of threes the first is of the baseline, then of the input and the difference.

    Attributes:
        tokens: Tokens of the input.
        rotation: Of its tokens.
        ends: (3, tokens times hidden).
        queries: (3, kept, tokens times shared, head).
        keys: (3, kept, tokens, head).
        values: The same.
        products: Means over hidden units of products of any two of the three, (3, 3, tokens).
    """

    tokens: int
    rotation: Rotation
    ends: Any
    queries: Any
    keys: Any
    values: Any
    products: Any


class AtPoints(NamedTuple):
    """Points of a line; queries, keys and values as attention takes them.

    Attributes:
        alphas: (points,).
        states: The embeddings, (points times tokens, hidden), until the layers are run, which change them.
        inverse: One over the root mean square, (points, tokens).
        queries: (points times kept, tokens times shared, head).
        keys: (points times kept, tokens, head).
        values: The same.
    """

    alphas: Any
    states: Any
    inverse: Any
    queries: Any
    keys: Any
    values: Any


def lines_between(
    baselines: Any, inputs: Any, sizes: Sequence[int], reads: Any, heads: Heads, rotations: Rotations
) -> list[Line]:
    """Lines of several inputs, behind one another.

    Args:
        baselines: (tokens of all, hidden).
        inputs: The same.
        sizes: Tokens of each input.
        reads: The first layer's matrix, (numbers of queries, keys and values, hidden).
        heads: How these are parted.
        rotations: Of rows of such sizes.
    """
    import torch

    ends = torch.stack([baselines, inputs, inputs - baselines])
    turns = [rotations.of(size) for size in sizes]
    numbers = turned(ends @ reads.T, torch.cat([own.forth.all for own in turns]))
    products = (ends[:, None] * ends).mean(-1)
    found, start = [], 0
    for size, rotation in zip(sizes, turns, strict=True):
        here = slice(start, start + size)
        queries, keys, values = (own.unflatten(0, (3, -1)) for own in heads.parted(numbers[:, here]))
        found.append(Line(size, rotation, ends[:, here].flatten(1), queries, keys, values, products[:, :, here]))
        start += size
    return found


def at_points(line: Line, alphas: Any, tiny: float) -> AtPoints:
    """Points of the line.

    Args:
        line: The line.
        alphas: How far they are on the way, (points,).
        tiny: What the norm adds to the mean square.
    """
    import torch

    far = alphas[:, None]
    near = 1 - far
    (start, mixed, _), (_, end, _), _ = line.products
    square = near * near * start + 2 * far * near * mixed + far * far * end
    # A mean of squares is never negative; where both ends nearly cancel, the rounded one could be.
    inverse = square.clamp_(min=0).add_(tiny).rsqrt_()
    shared = line.queries.shape[2] // line.tokens
    spread = inverse if shared == 1 else inverse.repeat_interleave(shared, 1)

    def mixed_in(ends: Any, scale: Any) -> Any:
        found = torch.lerp(ends[0], ends[1], alphas[:, None, None, None])
        return found.mul_(scale[:, None, :, None]).flatten(0, 1)

    return AtPoints(
        alphas,
        torch.lerp(line.ends[0], line.ends[1], far).view(len(alphas) * line.tokens, -1),
        inverse,
        mixed_in(line.queries, spread),
        mixed_in(line.keys, inverse),
        mixed_in(line.values, inverse),
    )


def shares_of(line: Line, points: AtPoints, past: Any, by_queries: Any, by_keys: Any, by_values: Any) -> Any:
    """Of each token the product of its difference with the gradient by its embedding.

    Args:
        line: The line.
        points: The points.
        past: The gradient by the embeddings past the first attention, (points times tokens, hidden).
        by_queries: The gradient by the first layer's queries, shaped as these.
        by_keys: By its keys.
        by_values: By its values.

    Returns:
        (points, tokens).
    """
    import torch

    count, far = len(points.alphas), points.alphas[:, None]
    bent = points.inverse * ((1 - far) * line.products[0, 2] + far * line.products[1, 2])

    def along(gradient: Any, own: Any, ends: Any) -> Any:
        """Products of gradients with how the numbers change, but for the factor r; (points, tokens)."""
        slope = bent if ends.shape[2] == line.tokens else bent.repeat_interleave(ends.shape[2] // line.tokens, 1)
        change = torch.addcmul(ends[2], own.view(count, *ends.shape[1:]), slope[:, None, :, None], value=-1)
        products = change.mul_(gradient.view_as(change)).view(count, len(ends[2]), line.tokens, -1)
        return products.sum(-1).sum(1)

    found = along(by_queries, points.queries, line.queries)
    found += along(by_keys, points.keys, line.keys)
    found += along(by_values, points.values, line.values)
    difference = line.ends[2].view(line.tokens, -1)
    return found.mul_(points.inverse).add_(torch.linalg.vecdot(past.view(count, line.tokens, -1), difference))
