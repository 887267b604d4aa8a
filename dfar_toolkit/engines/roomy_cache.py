"""A cache with room for the tokens to come: written in place, where growing by one token would copy it whole."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from typing import Any


def roomy(kept: Sequence[tuple[Any, int]], room: int, *, used: int | None = None) -> Any:
    """Models' caches as one with room for so many slots; those given stay as they are.

    Args:
        kept: Caches whose layers keep keys and values of all tokens (or none), each with the rows that it becomes: one
            row is repeated, and several stay as they are.
        room: Slots of each row at first.
        used: Slots that are taken over; of a cache with fewer the others hold zeros. None: as many as the first has.

    Returns:
        A cache of the same class.
    """
    first, _ = kept[0]
    new = copy.copy(first)
    rows = [own for _, own in kept]
    new.layers = [
        copy.copy(layers[0]) if layers[0].keys is None else _roomy_layer()(layers, rows, room, used)
        for layers in zip(*(cache.layers for cache, _ in kept), strict=True)
    ]
    return new


@cache
def _roomy_layer() -> Any:
    """The class, made when transformers is there."""
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
        """Keys and values are views of the filled part of longer tensors."""

        keys: Any
        values: Any

        def __init__(self, layers: Sequence[Any], rows: Sequence[int], room: int, used: int | None) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            first = layers[0]
            # A window that is wider than the rows hides nothing, but the model chooses its mask by it.
            self.is_sliding = getattr(first, "is_sliding", False)
            self.dtype, self.device, self.is_initialized = first.dtype, first.device, True
            used = first.keys.shape[2] if used is None else used
            self._keys, self.keys = _filled([layer.keys for layer in layers], rows, used, room)
            self._values, self.values = _filled([layer.values for layer in layers], rows, used, room)

        def update(self, key_states: Any, value_states: Any, *_args: Any, **_more: Any) -> tuple[Any, Any]:
            start = self.keys.shape[2]
            end = start + key_states.shape[2]
            if end > self._keys.shape[2]:
                self._keys, self.keys = _filled([self.keys], [len(self.keys)], start, 2 * end)
                self._values, self.values = _filled([self.values], [len(self.values)], start, 2 * end)
            self._keys[:, :, start:end].copy_(key_states)
            self._values[:, :, start:end].copy_(value_states)
            self.keys, self.values = self._keys[:, :, :end], self._values[:, :, :end]
            return self.keys, self.values

        def reorder_cache(self, beam_idx: Any) -> None:
            index, used = beam_idx.to(self.keys.device), self.keys.shape[2]
            self._keys, self._values = self._keys.index_select(0, index), self._values.index_select(0, index)
            self.keys, self.values = self._keys[:, :, :used], self._values[:, :, :used]

    return RoomyLayer


def _filled(kept: Sequence[Any], rows: Sequence[int], used: int, room: int) -> tuple[Any, Any]:
    """Longer tensors with so many rows of each of those kept, and their filled part."""
    _, heads, _, width = kept[0].shape
    whole = kept[0].new_empty((sum(rows), heads, max(room, used), width))
    filled = whole[:, :, :used]
    for place, own in zip(filled.split(list(rows)), kept, strict=True):
        held = min(own.shape[2], used)
        place[:, :, :held].copy_(own[:, :, :held])
        place[:, :, held:].zero_()  # nothing attends to these, but they must be numbers
    return whole, filled
