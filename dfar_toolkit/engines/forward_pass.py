"""One pass of a model over rows of tokens: padded on the right, logits only where they are wanted."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from dfar_toolkit.engines.keys_alone import empty_cache, ended_early
from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.requests import Failed
from dfar_toolkit.engines.roomy_cache import roomy

NOT_FINITE: Final = Failed(
    "malformed", "the model's logits are not finite numbers; load it in fp32 or bf16 instead of fp16."
)


@dataclass(slots=True)
class Held:
    """What rows of tokens left in the model's cache.

    Attributes:
        cache: The model's own cache object.
        mask: Rows by slots, 1 where a slot holds a token and 0 where it is padding or hidden.
        lengths: Tokens of each row, which is the position of its next token.
        even: No slot is padding or hidden.
    """

    cache: Any
    mask: Any
    lengths: list[int]
    even: bool

    def select(self, rows: Sequence[int]) -> Held:
        """The same for some rows, also repeated ones; this one is used up."""
        import torch

        index = torch.tensor(list(rows), dtype=torch.long, device=self.mask.device)
        self.cache.reorder_cache(index)
        return Held(self.cache, self.mask[index], [self.lengths[row] for row in rows], self.even)

    def expand(self, rows: int, room: int) -> Held:
        """One row as many, or rows as they are, with room for so many slots each; this one stays as it is."""
        lengths = self.lengths * (rows // len(self.lengths))
        return Held(roomy([(self.cache, rows)], room), self.mask.expand(rows, -1), lengths, self.even)


class ForwardPass:
    """Runs a causal model; the model itself is never changed.

    Args:
        loaded: A causal model.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.model = loaded.model
        inner = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        takes = inspect.signature(inner.forward).parameters
        self._positions = "position_ids" in takes
        self._cache_name = next((name for name in ("past_key_values", "cache_params") if name in takes), "")
        self._head = self.model.get_output_embeddings()
        device = self.model.get_input_embeddings().weight.device
        self.device = self.model.device if device.type == "meta" else device
        tokenizer = loaded.tokenizer
        known = [tokenizer.pad_token_id, tokenizer.eos_token_id, 0]
        self._pad = next(token for token in known if token is not None)

    @property
    def takes_positions(self) -> bool:
        """Whether the model is told the positions of tokens, so that they do not depend on what is hidden."""
        return self._positions

    @property
    def keeps(self) -> bool:
        """Whether the model takes a cache at all."""
        return bool(self._cache_name)

    @property
    def layers(self) -> int:
        """The model's layers."""
        return int(self.model.config.get_text_config(decoder=True).num_hidden_layers)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Evaluation mode without gradients; each module's mode is as before afterwards."""
        import torch

        training = [module for module in self.model.modules() if module.training]
        try:
            for module in training:
                module.training = False
            # A model that is cut among processes keeps gathered weights for later, which may be a step of training.
            cut = any(hasattr(weight, "placements") for weight in self.model.parameters())
            with torch.no_grad() if cut else torch.inference_mode():
                yield
        finally:
            for module in training:
                module.training = True

    def __call__(
        self,
        rows: Sequence[Sequence[int]],
        wanted: Sequence[tuple[int, int]],
        *,
        held: Held | None = None,
        keep: bool = False,
        hidden: Sequence[Collection[int]] = (),
    ) -> tuple[Any, Held | None]:
        """Logits after the wanted tokens.

        Args:
            rows: New tokens of each row, at least one.
            wanted: Pairs of a row and a place within its new tokens.
            held: What the rows left before; used up.
            keep: Whether what the rows leave is wanted too.
            hidden: For each row places within its new tokens that no token attends to; none: all are seen.

        Returns:
            Logits in float32, one line per wanted pair, and what the rows left.
        """
        call, left = self._called(rows, held, hidden, keep=keep)
        logits, out = self._logits(call, wanted)
        cache = getattr(out, self._cache_name, None) if keep and self._cache_name else None
        return logits, None if cache is None else replace(left, cache=cache)

    def left(
        self,
        rows: Sequence[Sequence[int]],
        *,
        held: Held | None = None,
        early: bool,
        hidden: Sequence[Collection[int]] = (),
        unmasked: bool = False,
    ) -> Held:
        """What rows leave in the cache of a model that keeps one.

        Args:
            rows: New tokens of each row, at least one in one of them.
            held: What the rows left before; used up.
            early: Whether the pass may end when the last layer's keys and values are there.
            hidden: For each row places within its new tokens that no token attends to; none: all are seen.
            unmasked: Whether padding may go without a mask where nothing is held and the pass ends early, as
                :class:`~dfar_toolkit.engines.shared_prefix.Ways` says: it stands behind all tokens of its row, where a
                causal model does not look, and attention is faster without.

        Returns:
            What they left.
        """
        if not early:
            _, found = self(rows, [(0, 0)], held=held, keep=True, hidden=hidden)
            assert found is not None
            return found
        call, left = self._called(rows, held, hidden, keep=True)
        if unmasked and held is None and not any(hidden):
            call.pop("attention_mask", None)
        cache = call.setdefault(self._cache_name, left.cache or empty_cache(self.model))
        with ended_early(cache):
            self.model(**call)
        return replace(left, cache=cache)

    def _called(
        self, rows: Sequence[Sequence[int]], held: Held | None, hidden: Sequence[Collection[int]], *, keep: bool
    ) -> tuple[dict[str, Any], Held]:
        """What the model is called with, and what is known of what the rows leave; the cache is that of before."""
        import torch

        width = max(map(len, rows))
        before = [0] * len(rows) if held is None else held.lengths
        after = [start + len(row) for start, row in zip(before, rows, strict=True)]
        even = all(len(row) == width for row in rows) and (held is None or held.even) and not any(hidden)
        ids = [[*row, *[self._pad] * (width - len(row))] for row in rows]
        slots, starts, ends = torch.arange(width), torch.tensor(before)[:, None], torch.tensor(after)[:, None]
        new = (slots < ends - starts).long()
        for row, own in enumerate(hidden):
            new[row, list(own)] = 0
        new = new.to(self.device)
        mask = new if held is None else torch.cat([held.mask, new], dim=1)
        call: dict[str, Any] = {"input_ids": torch.tensor(ids, device=self.device), "use_cache": keep}
        if not even:
            call["attention_mask"] = mask
        if self._positions:
            # Padding repeats the last position: a table of positions may have no further one.
            call["position_ids"] = (starts + slots).minimum(ends - 1).to(self.device)
        if held is not None:
            call |= {self._cache_name: held.cache, "use_cache": True}
        return call, Held(None if held is None else held.cache, mask, after, even)

    def _logits(self, call: dict[str, Any], wanted: Sequence[tuple[int, int]]) -> tuple[Any, Any]:
        """Gathers before the head, so that what a model does to its logits afterwards stays the model's."""
        import torch

        row = torch.tensor([at for at, _ in wanted], dtype=torch.long)
        place = torch.tensor([at for _, at in wanted], dtype=torch.long)
        shape = call["input_ids"].shape
        gathered = []

        def gather(_module: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if not args or args[0].ndim != 3 or args[0].shape[0] != shape[0] or args[0].shape[1] < shape[1]:
                return None
            gathered.append(True)
            return (_picked(args[0], row, place, shape[1])[None], *args[1:])

        hook = None if self._head is None else self._head.register_forward_pre_hook(gather)
        try:
            out = self.model(**call)
        finally:
            if hook is not None:
                hook.remove()
        logits = out.logits
        if gathered:
            return logits.reshape(len(wanted), -1).float(), out
        return _picked(logits, row, place, shape[1]).float(), out


def last_places(rows: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """The last token of each row as a pair of row and place.

    Example:
        >>> last_places([[5, 6, 7], [8]])
        [(0, 2), (1, 0)]
    """
    return [(at, len(row) - 1) for at, row in enumerate(rows)]


def _picked(states: Any, row: Any, place: Any, width: int) -> Any:
    """The states at rows and places; an adapter may have put tokens of its own before the row's."""
    return states[row.to(states.device), place.to(states.device) + (states.shape[1] - width)]
