"""Prompts that go the way of one prompt for a while: that one is run once, and each goes on where it parts from it.

An item with one word hidden or changed is the item up to that word. Of n prompts of L tokens that part from each other
at every place, as those of leave one out do, about n L / 2 tokens are run where n L would be.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from dfar_toolkit.engines.forward_pass import Held
from dfar_toolkit.engines.roomy_cache import roomy
from dfar_toolkit.engines.shared_prefix import KEPT, MINIMUM, Tokens

_FEWEST: Final = 4  # prompts that are worth a trunk of their own
_SAVED: Final = 0.2  # share of their tokens that a trunk must save


class Start(NamedTuple):
    """Prompts that are run together, and what is run once for them.

    Attributes:
        prefix: What they all begin with; may be empty.
        trunk: A prompt whose way they go for a while, which begins with the prefix; empty: they have the prefix only.
        parted: For each prompt (by number) how many first tokens are run once, less than it has.
    """

    prefix: Tokens
    trunk: Tokens
    parted: dict[int, int]

    def size(self, at: int, length: int, longest: int) -> int:
        """Tokens that a row of so many counts for: of the longest trunk keys and values alone, about half a token."""
        return length - self.parted[at] + longest // 2 if self.trunk else length


def starts_of(prompts: Sequence[Tokens], prefixes: Sequence[Tokens], *, fork: bool) -> list[Start]:
    """What is run once for which prompts.

    Args:
        prompts: Token ids of prompts, each up to the first token that others must not see as it is.
        prefixes: What each begins with and many others do too.
        fork: Whether prompts may part from each other within a trunk.

    Returns:
        Each prompt in one start.
    """
    found = []
    for prefix in sorted(set(prefixes)):
        own = [at for at, one in enumerate(prefixes) if one == prefix]
        for family in trunks([prompts[at] for at in own], prefix) if fork else []:
            found.append(family._replace(parted={own[at]: shared for at, shared in family.parted.items()}))
        taken = {at for start in found for at in start.parted}
        if rest := {at: len(prefix) for at in own if at not in taken}:
            found.append(Start(prefix, (), rest))
    return found


def trunks(prompts: Sequence[Tokens], prefix: Tokens) -> list[Start]:
    """Families of prompts that share more than the prefix of all.

    Args:
        prompts: Token ids of prompts, each up to the first token that others must not see as it is.
        prefix: What all begin with.

    Returns:
        Families, each prompt in one of them at most; those that save too little are left out.

    Example:
        >>> item = tuple(range(100, 132))
        >>> changed = [(*item[:at], 7, *item[at + 1 :]) for at in (20, 24, 28)]
        >>> trunks([item, *changed, (5, 6)], ())[0].parted
        {0: 28, 1: 20, 2: 24, 3: 31}
    """
    order = sorted(range(len(prompts)), key=prompts.__getitem__)
    rising = [prompts[at] for at in order]
    near = [shared_length(a, b, len(prefix)) for a, b in pairwise(rising)]
    found: list[Start] = []
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or near[end - 1] < len(prefix) + MINIMUM:
            family = _family(rising[start:end], near[start : end - 1], prefix)
            if family is not None:
                own = {order[start + at]: shared for at, shared in enumerate(family.parted.values())}
                found.append(family._replace(parted=dict(sorted(own.items()))))
            start = end
    return found


def _family(rising: Sequence[Tokens], near: Sequence[int], prefix: Tokens) -> Start | None:
    """Sorted prompts with one of the two that are most alike as the trunk; None where that saves too little."""
    if len(rising) < _FEWEST:
        return None
    left = max(range(len(near)), key=near.__getitem__)
    middle = max(left, left + 1, key=lambda at: len(rising[at]))
    shared = [len(rising[middle])] * len(rising)
    # In sorted order two prompts share what the least alike neighbours between them share.
    for at in range(middle - 1, -1, -1):
        shared[at] = min(shared[at + 1], near[at])
    for at in range(middle + 1, len(rising)):
        shared[at] = min(shared[at - 1], near[at - 1])
    parted = [min(own, len(prompt) - 1) for own, prompt in zip(shared, rising, strict=True)]
    done = len(prefix)
    saved = sum(parted) - len(parted) * done - (len(rising[middle]) - done)
    if saved < _SAVED * sum(len(prompt) - done for prompt in rising):
        return None
    return Start(prefix, rising[middle], dict(enumerate(parted)))


def shared_length(a: Tokens, b: Tokens, start: int) -> int:
    """How many first tokens two prompts share; they share the first ``start``.

    Example:
        >>> shared_length((1, 2, 3), (1, 2, 4, 5), 0)
        2
    """
    most = min(len(a), len(b))
    if a[:most] == b[:most]:
        return most
    return next(at for at in range(start, most) if a[at] != b[at])


def together(starts: Sequence[Start], most: int) -> list[list[Start]]:
    """Starts whose prompts may share batches: those with trunks, after one prefix.

    Args:
        starts: Starts, those of one prefix one after the other.
        most: Tokens of the trunks of a group at most, as all of them are held at once; one trunk may have more.

    Returns:
        Groups of starts, each start in one.
    """
    groups: list[list[Start]] = []
    held = 0
    for start in starts:
        held += len(start.trunk)
        last = groups[-1] if groups else []
        alike = last and start.trunk and last[0].trunk and last[0].prefix == start.prefix
        if alike and held <= most and len(last) < KEPT - 1:
            last.append(start)
        else:
            groups.append([start])
            held = len(start.trunk)
    return groups


def branched(trunks: Sequence[tuple[Held, int]], parted: Sequence[int], room: int) -> Held:
    """The caches of trunks as rows that each see the first tokens of one only.

    Args:
        trunks: What each trunk left, one row, which stays as it is; and how many rows it becomes.
        parted: For each row how many tokens it has in common with its trunk.
        room: Slots of each row at first.

    Returns:
        The rows' cache.
    """
    import torch

    most = max(parted)
    seen: Any = torch.tensor(parted)[:, None]
    mask = (torch.arange(most) < seen).long().to(trunks[0][0].mask.device)
    return Held(roomy([(held.cache, rows) for held, rows in trunks], room, used=most), mask, list(parted), even=False)
