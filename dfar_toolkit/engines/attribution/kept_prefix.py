"""What rows begin with and what is not explained: run once without gradients, seen by every row.

Keys and values of a causal model do not depend on later tokens, so that no gradient of a later token goes through
those of a prefix: leaving its gradients out changes nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from dfar_toolkit.engines.forward_pass import ForwardPass, Held
from dfar_toolkit.engines.shared_prefix import MINIMUM, Tokens, prefix_of, shared_prefixes


def kept(run: ForwardPass, prefix: Tokens, *, early: bool) -> Held | None:
    """The prefix's cache, which later passes with gradients may use; None for an empty prefix."""
    import torch

    if not prefix:
        return None
    with torch.no_grad():
        return run.left([prefix], early=early)


def repeated(held: Held | None, rows: int) -> Held | None:
    """One row as many; this one stays as it is."""
    if held is None:
        return None
    cache = copy.copy(held.cache)
    cache.layers = [copy.copy(layer) for layer in held.cache.layers]
    for layer in cache.layers:
        if layer.keys is not None:
            # New tokens are put behind these in tensors of their own, which leaves these as they are.
            layer.keys = layer.keys.expand(rows, -1, -1, -1)
            layer.values = layer.values.expand(rows, -1, -1, -1)
    return Held(cache, held.mask.expand(rows, -1), held.lengths * rows, held.even)


def prefixes_of(prompts: Sequence[Tokens], firsts: Sequence[int], *, own: bool) -> list[Tokens]:
    """What each prompt's rows begin with before the first explained token.

    Args:
        prompts: Token ids.
        firsts: For each the place of the first token that is explained.
        own: Whether each prompt has so many rows that a prefix of its own is worth a pass.

    Returns:
        Prefixes; empty where nothing is worth it.

    Example:
        >>> system = tuple(range(20))
        >>> found = prefixes_of([(*system, 30, 31, 32), (*system, 33, 34)], [21, 20], own=False)
        >>> [len(prefix) for prefix in found]
        [20, 20]
        >>> [len(prefix) for prefix in prefixes_of([(*system, *system)], [25], own=True)]
        [25]
    """
    before = [prompt[: first + 1] for prompt, first in zip(prompts, firsts, strict=True)]
    shared = shared_prefixes(before)
    found = [prefix_of(prompt, shared) for prompt in before]
    if own:
        return [
            prompt[:-1] if len(prompt) > len(prefix) + MINIMUM else prefix
            for prompt, prefix in zip(before, found, strict=True)
        ]
    return found
