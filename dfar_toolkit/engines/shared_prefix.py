"""Tokens that many prompts begin with: run once, their cache seen as that of every row.

Keys and values of a causal model depend on nothing that comes later, so those of a common beginning serve all rows.
After it rows have unequal lengths and are padded on the right, which leaves holes in the cache; a mask and explicit
positions make that exact for plain attention. It is not for windows shorter than the rows, nor for states that run
over all tokens. Which way a model allows is read off its cache and then tried out on a fixed sentence.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from dfar_toolkit.engines.forward_pass import ForwardPass, Held
from dfar_toolkit.engines.keys_alone import may_end_early
from dfar_toolkit.engines.loaded import LoadedModel

Tokens = tuple[int, ...]
MINIMUM: Final = 16  # tokens that are worth a pass of their own
_FAMILY: Final = 8  # prompts that are worth a prefix of their own
_FAMILIES: Final = 4  # prefixes that one prefix may part into
KEPT: Final = 8  # caches that a store holds
_SENTENCE: Final = "Is the statement ethical or unethical? Answer with one of these two labels, and give your reason."
_TRIED: Final = 24
_FAULTS: Final = (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError)


class Ways(NamedTuple):
    """What a model's cache allows.

    Attributes:
        holes: The cache may hold padding, so that prefixes are shared and rows of unequal lengths go on together.
        cache: The cache is right at least for rows of equal lengths.
        window: Slots up to which ``holes`` is true; None: any number.
        difference: Largest difference of a log-probability between the way taken and plain passes; nan where the
            plain way is the only one.
        early: A pass that is run for the keys and values alone may end at the last layer, and what is padded may go
            without a mask in it.
    """

    holes: bool
    cache: bool
    window: int | None
    difference: float
    early: bool = False

    def fits(self, slots: int) -> bool:
        """Whether rows of this many slots, padding included, may have holes."""
        return self.holes and (self.window is None or slots <= self.window)


def common_prefix(prompts: Sequence[Sequence[int]]) -> Tokens:
    """The tokens that all prompts begin with, less the last token of the shortest: something must be left to run.

    Example:
        >>> common_prefix([[1, 2, 3, 4], [1, 2, 5]]), common_prefix([[1, 2], [1, 2]])
        ((1, 2), (1,))
    """
    if not prompts:
        return ()
    low, high = min(map(tuple, prompts)), max(map(tuple, prompts))
    length = max(min(map(len, prompts)) - 1, 0)
    same = next((at for at in range(length) if low[at] != high[at]), length)
    return low[:same]


def shared_prefixes(prompts: Sequence[Sequence[int]]) -> list[Tokens]:
    """Prefixes worth running once: that of all prompts, or of a few large families of them.

    Args:
        prompts: Token ids of prompts, in any order.

    Returns:
        Prefixes of at least 16 tokens, none twice.

    Example:
        >>> system = list(range(20))
        >>> [len(prefix) for prefix in shared_prefixes([[*system, 1, 5], [*system, 2, 6]])]
        [20]
        >>> shared_prefixes([[1, 2, 3], [1, 2, 4]])
        []
    """
    return sorted(set(_families(sorted(map(tuple, prompts)))))


def prefix_of(prompt: Sequence[int], prefixes: Sequence[Tokens]) -> Tokens:
    """The longest of the prefixes that the prompt begins with and goes on after.

    Example:
        >>> prefix_of([1, 2, 3], [(1,), (1, 2), (1, 2, 3), (2,)])
        (1, 2)
    """
    fitting = [p for p in prefixes if len(p) < len(prompt) and tuple(prompt[: len(p)]) == p]
    return max(fitting, key=len, default=())


class PrefixStore:
    """The caches of the last few prefixes, and of prompts that others go the way of.

    A prefix is always run alone and whole, and a prompt always after its prefix, so that a reply does not depend on
    what was asked before.

    Args:
        run: The model's pass.
    """

    def __init__(self, run: ForwardPass) -> None:
        self._run = run
        self._kept: OrderedDict[tuple[Tokens, Tokens], Held] = OrderedDict()
        self._weights: list[tuple[int, int]] = []

    def renew(self) -> None:
        """Forgets all if weights have changed: others in their place, or a step of training."""
        now = [(id(weight), 0 if weight.is_inference() else weight._version) for weight in self._run.model.parameters()]
        if now != self._weights:
            self.clear()
            self._weights = now

    def rows(self, prefix: Tokens, rows: int, room: int) -> Held | None:
        """The prefix as that many rows with room for so many slots each; None for an empty prefix."""
        return self._of(prefix, ()).expand(rows, room) if prefix else None

    def alone(self, prefix: Tokens) -> Held:
        """One row of a prefix that is not empty; it must be left as it is."""
        return self._of(prefix, ())

    def trunk(self, prefix: Tokens, trunk: Tokens) -> Held:
        """One row of a prompt that begins with the prefix; it must be left as it is."""
        return self._of(prefix, trunk[len(prefix) :])

    def _of(self, prefix: Tokens, rest: Tokens) -> Held:
        if (prefix, rest) not in self._kept:
            before = self.rows(prefix, 1, len(prefix) + len(rest)) if rest else None
            while len(self._kept) >= KEPT:
                self._kept.popitem(last=False)
            self._kept[prefix, rest] = self._run.left([rest or prefix], held=before, early=False)
        self._kept.move_to_end((prefix, rest))
        return self._kept[prefix, rest]

    def clear(self) -> None:
        """Gives the memory back."""
        self._kept.clear()


def ways_of(run: ForwardPass, loaded: LoadedModel) -> Ways:
    """Tries out what the model's cache allows.

    Args:
        run: The model's pass, within ``run.quiet()``.
        loaded: The model.

    Returns:
        The ways; the tolerance is 1e-3 in float32 and 0.5 in narrower types, whose steps are that wide.
    """
    import torch

    tokens = _trial(loaded)
    tolerance = 1e-3 if next(iter(run.model.parameters())).dtype == torch.float32 else 0.5
    truth, _ = run([tokens], [(0, at) for at in range(15, 19)])
    _, held = run([tokens[:1]], [(0, 0)], keep=run.keeps) if run.keeps else (None, None)
    if held is None:
        return Ways(False, False, None, float("nan"))
    holed, window = _layers(held.cache, loaded)
    if holed and (window is None or window >= 2 * _TRIED):
        difference = _difference(truth, _with_holes(run, tokens))
        if difference <= tolerance:
            early = _ends_early(run, loaded, tokens, truth, tolerance)
            return Ways(True, True, window, difference, early)
    try:
        difference = _difference(truth, _step_by_step(run, tokens))
    except _FAULTS:
        difference = float("nan")  # a cache that cannot be picked from
    return Ways(False, difference <= tolerance, window, difference)


def _with_holes(run: ForwardPass, tokens: list[int]) -> Any:
    """Log-probabilities of a row beside a longer one, after a prefix of both."""
    import torch

    store = PrefixStore(run)
    rows = [tokens[8:16], tokens[8:20]]
    first, held = run(rows, [(0, 7)], held=store.rows(tuple(tokens[:8]), 2, _TRIED), keep=True)
    assert held is not None
    rest, _ = run([tokens[16:19], tokens[:3]], [(0, 0), (0, 1), (0, 2)], held=held.select([0, 1]))
    return torch.cat([first, rest])


def _ends_early(run: ForwardPass, loaded: LoadedModel, tokens: list[int], truth: Any, tolerance: float) -> bool:
    """Whether passes that end at the last layer leave what whole ones leave, beside padding without a mask too."""
    if not may_end_early(loaded):
        return False
    try:
        held = run.left([tokens[:8], tokens[:12]], early=True, unmasked=True).select([0])
        held = run.left([tokens[8:16]], held=held, early=True)
        found, _ = run([tokens[16:19]], [(0, 0), (0, 1), (0, 2)], held=held)
    except _FAULTS:
        return False
    return _difference(truth[1:], found) <= tolerance


def _step_by_step(run: ForwardPass, tokens: list[int]) -> Any:
    """Log-probabilities token by token, rows being repeated and dropped on the way."""
    import torch

    prompt = tokens[:16]
    logits, held = run([prompt, prompt[::-1]], [(0, 15)], keep=True)
    found = [logits]
    for at, chosen in ((16, [1, 0, 0]), (17, [1]), (18, [0])):
        assert held is not None
        held = held.select(chosen)
        row = 0 if len(chosen) == 1 else 1
        logits, held = run([[tokens[at]]] * len(chosen), [(row, 0)], held=held, keep=True)
        found.append(logits)
    return torch.cat(found)


def _difference(truth: Any, found: Any) -> float:
    """Largest difference of log-probabilities; nan where one is not finite."""
    return float((truth.log_softmax(-1) - found.log_softmax(-1)).abs().max())


def _layers(cache: Any, loaded: LoadedModel) -> tuple[bool, int | None]:
    """Whether every layer keeps keys and values of all tokens, and the shortest window."""
    from transformers import cache_utils

    known = {cache_utils.DynamicLayer, cache_utils.DynamicSlidingWindowLayer, cache_utils.DummyLayer}
    layers = getattr(cache, "layers", None)
    if not layers or any(type(layer) not in known for layer in layers):
        return False, None
    windows = [layer.sliding_window for layer in layers if getattr(layer, "is_sliding", False)]
    if getattr(loaded.model.config, "model_type", "") == "gpt_neo":  # its windows are not those of its cache
        windows.append(loaded.model.config.window_size)
    return True, min(windows, default=None)


def _trial(loaded: LoadedModel) -> list[int]:
    """A fixed row of tokens, the same whatever the run asks."""
    tokens = list(loaded.tokenizer(_SENTENCE)["input_ids"])
    return (tokens * (_TRIED // max(len(tokens), 1) + 1))[:_TRIED]


def _families(prompts: list[Tokens]) -> list[Tokens]:
    """Prefixes of sorted prompts: parts into families only where each is large and gains enough."""
    if len(prompts) < 2:
        return []
    prefix = common_prefix([prompts[0], min(prompts, key=len), prompts[-1]])
    families: dict[int, list[Tokens]] = {}
    for prompt in prompts:
        families.setdefault(prompt[len(prefix)], []).append(prompt)
    own = [prefix] if len(prefix) >= MINIMUM else []
    if not 1 < len(families) <= _FAMILIES or min(map(len, families.values())) < _FAMILY:
        return own
    if any(len(common_prefix(family)) < len(prefix) + MINIMUM for family in families.values()):
        return own
    return [found for family in families.values() for found in _families(family)]
