"""How much a model's last token attends to each token, in the last layer or by rollout over all layers.

The functions by which the library computes attention are looked up in one table. For the time of a pass the entry that
the model uses is a function that computes, beside what it always does, the weights of one query: heads times length
numbers, where the library's own way needs layers times heads times length squared, and another implementation. The
weights are those of the architecture's own plain function, with its rotary positions, grouped heads, windows, soft
caps and sinks. Architectures outside the table are asked for all weights.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from dfar_toolkit.engines.forward_pass import ForwardPass, last_places
from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.without_gradients import without_gradients
from dfar_toolkit.errors import EngineError

_PLAIN: Final = "eager_attention_forward"  # what every file of the library calls its plain function
_TABLED: Final = ("sdpa", "eager")
_AT_ONCE: Final = 1 << 22  # weights of a layer of one batch, all rows, of one head, in rollout


def attention_scores(
    loaded: LoadedModel,
    rows: Sequence[Sequence[int]],
    *,
    rollout: bool,
    query: int | None = None,
    token_types: Sequence[Sequence[int]] | None = None,
) -> list[list[float]]:
    r"""Attention weights of one query, mean over heads.

    Last layer: \(s_j = \frac1H\sum_h a^{(h)}_{qj}\). Rollout: row \(q\) of \(\hat A_n \cdots \hat A_1\), where
    \(\hat A_l\) is \(\tfrac12 \bar A_l + \tfrac12 I\) with its rows divided by their sums, \(\bar A_l\) the mean over
    the heads of layer \(l\). The time of rollout grows with the cube of the length.

    Args:
        loaded: The model; it is as it was afterwards.
        rows: Token ids of each input, no padding.
        rollout: All layers instead of the last one.
        query: Place in its row of the token that attends, negative from the end. None: the last token; of an encoder,
            whose tokens see what comes after them, the first.
        token_types: For a classifier of pairs, the type of each token.

    Returns:
        For each row one number per token; of a model without sinks they sum to 1.

    Raises:
        EngineError: The model has no attention weights, or does not show them.

    Example:
        >>> attention_scores(loaded, [[1, 5, 9]], rollout=False)  # doctest: +SKIP
        [[0.62, 0.21, 0.17]]

    Reference:
        Abnar, Zuidema 2020, "Quantifying Attention Flow in Transformers", ACL, section 3.
    """
    found: list[list[float]] = []
    at = 0
    while at < len(rows):
        count = _fitting(rows[at:], rollout=rollout) if _fills(loaded) else 1
        types = None if token_types is None else token_types[at : at + count]
        found += _scores(loaded, rows[at : at + count], types, rollout=rollout, query=query)
        at += count
    return found


def _fitting(rows: Sequence[Sequence[int]], *, rollout: bool) -> int:
    """How many of the first rows go into one batch."""
    if not rollout:
        return len(rows)
    width = 0
    for count, row in enumerate(rows):
        width = max(width, len(row))
        if count and (count + 1) * width * width > _AT_ONCE:
            return count
    return len(rows)


def _fills(loaded: LoadedModel) -> bool:
    """Whether the model takes rows of several lengths: classifiers without a padding token do not."""
    return loaded.kind == "causal" or loaded.model.config.get_text_config().pad_token_id is not None


def _scores(
    loaded: LoadedModel,
    rows: Sequence[Sequence[int]],
    types: Sequence[Sequence[int]] | None,
    *,
    rollout: bool,
    query: int | None,
) -> list[list[float]]:
    watch = _Watch(loaded.model, [len(row) for row in rows], rollout=rollout, query=query)
    with _answering(loaded.model):
        _watched(loaded, watch, lambda: _pass(loaded, rows, types))
        if watch.found is None:
            for weights in _shown(loaded, lambda: _pass(loaded, rows, types)):
                watch.see_all(weights)
    if watch.found is None:
        raise EngineError(
            "wanted attention weights, found a model that has none or does not show them; ask for others."
        )
    return [own[: len(row)] for own, row in zip(watch.scores(), rows, strict=True)]


class _Watch:
    """Takes in one layer's weights after another."""

    def __init__(self, model: Any, lengths: Sequence[int], *, rollout: bool, query: int | None) -> None:
        self.modules = set(map(id, model.modules()))
        self.lengths, self.width = lengths, max(lengths)
        self.rollout, self.query = rollout, query
        self.found: Any = None
        self.places: list[int] = []

    def wants(self, module: Any, query: Any, key: Any) -> bool:
        """Whether this is a layer in which the rows attend to themselves."""
        same = query.shape[2] == key.shape[2] and query.shape[2] >= self.width
        return id(module) in self.modules and same and query.shape[0] == len(self.lengths)

    def see(self, weigh: Callable[[Any, Any], Any], query: Any, mask: Any, *, causal: bool) -> None:
        """A layer: ``weigh`` gives the weights of queries (batch, heads, queries, size) under a mask added to them."""
        import torch

        if self.rollout:
            self._roll(weigh(query, mask), causal=causal)
            return
        self._place(causal=causal)
        shift = query.shape[2] - self.width  # an adapter may have put tokens of its own before the row's
        rows = torch.arange(len(self.places), device=query.device)
        places = torch.tensor(self.places, device=query.device) + shift
        if mask is not None:
            mask = mask.expand(len(self.places), -1, -1, -1)[rows, :, places][:, :, None]
        weights = weigh(query[rows, :, places][:, :, None], mask)
        self.found = weights[:, :, 0].float().mean(1)[:, -self.width :]

    def see_all(self, weights: Any) -> None:
        """All weights of a layer, (batch, heads, length, length)."""
        causal = self.width > 1 and not bool(weights[0, :, 0, -self.width + 1 :].any())
        if self.rollout:
            self._roll(weights, causal=causal)
            return
        self._place(causal=causal)
        mean = weights.float().mean(1)[:, -self.width :, -self.width :]
        self.found = mean[list(range(len(self.places))), self.places]

    def scores(self) -> list[list[float]]:
        """One number per token, padding included."""
        found = self.found
        if self.rollout:
            found = found[list(range(len(self.places))), self.places]
        return [list(map(float, row)) for row in found.tolist()]

    def _place(self, *, causal: bool) -> None:
        query = self.query if self.query is not None else -1 if causal else 0
        self.places = [query if query >= 0 else length + query for length in self.lengths]

    def _roll(self, weights: Any, *, causal: bool) -> None:
        import torch

        self._place(causal=causal)
        mean = weights.float().mean(1)[:, -self.width :, -self.width :]
        layer = (mean + torch.eye(self.width, device=mean.device)) / 2
        layer = layer / layer.sum(-1, keepdim=True)
        self.found = layer if self.found is None else layer @ self.found.to(layer.device)


@contextmanager
def _answering(model: Any) -> Iterator[None]:
    """Evaluation mode without gradients; each module's mode is as before afterwards."""
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False
        with without_gradients(model):
            yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _plainly(model: Any) -> Iterator[None]:
    """The plain implementation of attention; the configuration is as before afterwards."""
    before = [(config, config._attn_implementation) for config in _configs(model)]
    try:
        for config, _ in before:
            config._attn_implementation = "eager"
        yield
    finally:
        for config, name in before:
            config._attn_implementation = name


def _configs(model: Any) -> list[Any]:
    """All configurations within a model, each before its parts: a name given to one is given to its parts too."""
    found: dict[int, Any] = {}
    todo = [module.config for module in model.modules() if hasattr(module, "config")]
    while todo:
        config = todo.pop(0)
        if id(config) not in found and hasattr(config, "_attn_implementation"):
            found[id(config)] = config
            todo += [part for name in config.sub_configs if (part := getattr(config, name, None)) is not None]
    return list(found.values())


def _watched(loaded: LoadedModel, watch: _Watch, run: Callable[[], None]) -> None:
    """Runs the model with the entry of the table that it uses replaced by one that lets the watch see."""
    name = getattr(loaded.model.config.get_text_config(), "_attn_implementation", None)
    if name not in _TABLED:
        with _plainly(loaded.model):
            _with_entry("eager", watch, run)
        return
    _with_entry(name, watch, run)


def _with_entry(name: str, watch: _Watch, run: Callable[[], None]) -> None:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS as TABLE

    before = TABLE.get(name)

    def attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *args: Any, **more: Any) -> Any:
        plain = vars(sys.modules[type(module).__module__]).get(_PLAIN)
        inner = before or plain
        if inner is None:
            raise _NoPlainFunction
        if plain is not None and watch.wants(module, query, key):
            causal = more.get("is_causal")
            causal = bool(getattr(module, "is_causal", True) if causal is None else causal)
            mask = _added(attention_mask, query, causal=causal and before is not None)

            def weigh(some: Any, their_mask: Any) -> Any:
                return plain(module, some, key, value, their_mask, *args, **more)[1]

            watch.see(weigh, query, mask, causal=causal)
        return inner(module, query, key, value, attention_mask, *args, **more)

    TABLE[name] = attend
    try:
        run()
    except _NoPlainFunction:
        watch.found = None
    finally:
        TABLE.pop(name)  # uncovers the library's own entry
        if TABLE.get(name) is not before:
            TABLE[name] = before


class _NoPlainFunction(Exception):  # noqa: N818 - no fault of anyone's
    """The architecture's own plain function has another name."""


def _added(mask: Any, query: Any, *, causal: bool) -> Any:
    """The mask as numbers that are added to the weights; None where all is seen."""
    import torch

    size, device, least = query.shape[2], query.device, torch.finfo(query.dtype).min
    if mask is None and causal:
        mask = torch.ones(size, size, dtype=torch.bool, device=device).tril()[None, None]
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=query.dtype, device=device).masked_fill(~mask, least)


def _shown(loaded: LoadedModel, run: Callable[[], None]) -> list[Any]:
    """All weights, layer by layer, as the model itself shows them."""
    outputs: list[Any] = []

    def ask(_module: Any, args: tuple[Any, ...], call: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, call | {"output_attentions": True}

    hooks = [
        loaded.model.register_forward_pre_hook(ask, with_kwargs=True),
        loaded.model.register_forward_hook(lambda _module, _args, out: outputs.append(out)),
    ]
    try:
        with _plainly(loaded.model):
            run()
    except TypeError:  # takes no such argument
        return []
    finally:
        for hook in hooks:
            hook.remove()
    layers = getattr(outputs[0], "attentions", None) or () if outputs else ()
    return [layer for layer in layers if layer is not None and layer.ndim == 4 and layer.shape[2] == layer.shape[3]]


def _pass(loaded: LoadedModel, rows: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None) -> None:
    """One pass over rows padded on the right."""
    if loaded.kind == "causal":
        ForwardPass(loaded)(rows, last_places(rows))
        return
    import torch

    model, width = loaded.model, max(map(len, rows))
    pad = model.config.get_text_config().pad_token_id or 0
    kept = [("input_ids", rows, pad), ("attention_mask", [[1] * len(row) for row in rows], 0)]
    if types is not None:
        kept.append(("token_type_ids", types, 0))
    call = {
        name: torch.tensor([[*row, *[filling] * (width - len(row))] for row in values], device=model.device)
        for name, values, filling in kept
    }
    model(**call)
