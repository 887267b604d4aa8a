"""The end of a pass that is run for the keys and values alone: nothing after its last layer has stored its own.

What a causal model makes of a token after the last layer's keys and values reaches no other token. A pass whose logits
nobody reads can end there; that saves the attention and the feed-forward part of the last layer, which is much of a
model with few layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dfar_toolkit.engines.loaded import LoadedModel


class _StoredError(Exception):
    """The last layer has stored its keys and values."""


@contextmanager
def ended_early(cache: Any) -> Iterator[None]:
    """Within this a pass with the cache ends when the last layer that stores has stored.

    Args:
        cache: A cache with all of its layers; it holds all that the pass leaves afterwards. A model that does not come
            to that layer runs to its end.
    """
    from transformers.cache_utils import DynamicLayer

    last: Any = next(layer for layer in reversed(cache.layers) if isinstance(layer, DynamicLayer))
    store = last.update

    def stored(*args: Any, **more: Any) -> Any:
        store(*args, **more)
        raise _StoredError

    last.update = stored
    try:
        yield
    except _StoredError:
        pass
    finally:
        del last.update


def empty_cache(model: Any) -> Any:
    """A cache with a layer for each of the model's, such as the model itself begins with."""
    from transformers.cache_utils import DynamicCache

    return DynamicCache(config=model.config.get_text_config(decoder=True))


def may_end_early(loaded: LoadedModel) -> bool:
    """Whether nothing waits for the end of a pass: hooks give memory back then, or put weights away again."""
    return not any(module._forward_hooks or "_hf_hook" in vars(module) for module in loaded.model.modules())
