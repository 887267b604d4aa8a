"""Options after prompts that go the way of one prompt for a while, by a small Llama's layers written out.

Small models spend most of their time between the products. Layers written out take fewer steps, and prompts that part
from their trunk early too go with it (:mod:`dfar_toolkit.engines.llama.branches`). What they say of up to three prompts
is compared with what the model itself says; where that differs, all prompts are left to the model.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from dfar_toolkit.engines.device_memory import out_of_memory
from dfar_toolkit.engines.llama.blocks import blocks_of
from dfar_toolkit.engines.llama.branches import BranchPass
from dfar_toolkit.engines.llama.causal_attention import STEP
from dfar_toolkit.engines.llama.head import Head
from dfar_toolkit.engines.llama.layers import before_of
from dfar_toolkit.engines.llama.weights import llama_weights
from dfar_toolkit.engines.option_scoring import OptionJob, option_replies
from dfar_toolkit.engines.requests import Failed, OptionScores
from dfar_toolkit.engines.shared_prefix import PrefixStore, Tokens
from dfar_toolkit.engines.trunks import Start, shared_length

_FEWEST: Final = 8  # prompts
_TOKENS: Final = 1024  # of them together, from which on copies of weights are made good by what is saved
_MORE: Final = 1.5  # times the tokens that the model itself would run; more of them take longer than what is saved
_HELD: Final = 4  # tokens that a row attends to take as much memory as one that is run
_SPARE: Final = 8  # one of so many tokens of a row may be padding
_APART: Final = 1e-3  # of a log-probability, or of its size where that is more: rounding makes 1e-5 of it

_Found = OptionScores | Failed
_Asked = Callable[[Sequence[int]], Sequence[_Found]]


class _Family(NamedTuple):
    """Prompts that go a trunk's way.

    Attributes:
        prefix: What is run before.
        trunk: The trunk, which begins with it.
        parted: For each prompt, by number, how many first tokens it shares with the trunk.
        parts: Prompts that are run at once.
    """

    prefix: Tokens
    trunk: Tokens
    parted: dict[int, int]
    parts: list[list[int]]

    def rows(self, jobs: Sequence[OptionJob], part: Sequence[int]) -> tuple[list[Tokens], list[int]]:
        """What is run of the trunk and the prompts, and where they part."""
        done = len(self.prefix)
        rows = [jobs[at].prompt[done:] for at in part]
        trunk = self.trunk[done:][: max(map(len, rows))]
        return [trunk, *rows], [0, *(self.parted[at] - done for at in part)]


def score_branches(
    model: Any, store: PrefixStore, jobs: Sequence[OptionJob], starts: Sequence[Start], budget: int, asked: _Asked
) -> dict[int, OptionScores] | None:
    """Log-probabilities of options of one token, as :func:`~dfar_toolkit.engines.option_scoring.score_options` finds.

    Args:
        model: The model, in evaluation mode, without gradients.
        store: Caches of prefixes.
        jobs: Prompts with their options.
        starts: What is run once for which prompts.
        budget: Tokens that are run at once, about; a trunk is run whole.
        asked: Asks the model itself for jobs of these numbers.

    Returns:
        Replies by the number of the job; the others are left to the model itself. None: all are, and would be another
        time, as the model is none of these, memory was too small, or the model itself says something else.
    """
    families = list(_families(jobs, starts, budget))
    parted = {at: shared for family in families for at, shared in family.parted.items()}
    if len(parted) < _FEWEST or sum(len(jobs[at].prompt) - shared for at, shared in parted.items()) < _TOKENS:
        return {}
    try:
        found = _scored(model, store, jobs, families)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return None
    if not found:
        return found
    length, late = {at: len(jobs[at].prompt) for at in found}, parted.__getitem__
    looked = list({max(found, key=late), max(found, key=length.__getitem__), min(found, key=length.__getitem__)})
    said = asked(looked)
    return found if all(_near(found[at], reply) for at, reply in zip(looked, said, strict=True)) else None


def _families(jobs: Sequence[OptionJob], starts: Sequence[Start], budget: int) -> Iterator[_Family]:
    """Prompts with trunks, where that is not much more to run than the model itself would have to.

    Of prompts without one that have the same prefix each goes with the trunk that it shares most with, if that is about
    as long.
    """
    for prefix in dict.fromkeys(start.prefix for start in starts):
        own = [start for start in starts if start.prefix == prefix]
        trunks = sorted((start.trunk, dict(start.parted)) for start in own if start.trunk)
        if not trunks:
            continue
        rising = [trunk for trunk, _ in trunks]
        alone = {at for start in own if not start.trunk for at in start.parted}
        for at in alone:
            prompt = jobs[at].prompt
            place = bisect_left(rising, prompt)
            near = [
                (shared_length(prompt, trunk, len(prefix)), parted)
                for trunk, parted in trunks[max(place - 1, 0) : place + 1]
                if abs(len(prompt) - len(trunk)) <= len(trunk) // _SPARE
            ]
            if near:
                shared, parted = max(near, key=lambda one: one[0])
                parted[at] = min(shared, len(prompt) - 1)
        for trunk, parted in trunks:
            fitting = {at: shared for at, shared in parted.items() if _fits(jobs[at])}
            if fitting:
                family = _Family(prefix, trunk, fitting, _parts(jobs, len(prefix), fitting, budget))
                usual = len(trunk) - len(prefix)
                for at, shared in fitting.items():
                    usual += len(jobs[at].prompt) - (len(prefix) if at in alone else shared)
                if _cells(jobs, family) <= _MORE * usual:
                    yield family


def _fits(job: OptionJob) -> bool:
    """Whether its options have one token, and all of its prompt is seen."""
    return not job.hidden and all(len(tokens) == 1 for spellings in job.options for tokens in spellings)


def _cells(jobs: Sequence[OptionJob], family: _Family) -> int:
    """Tokens that are run."""
    done, cells = len(family.prefix), 0
    for part in family.parts:
        parted = [0, *(family.parted[at] - done for at in part)]
        cells += blocks_of(parted, max(len(jobs[at].prompt) for at in part) - done, done)[-1].cells.stop
    return cells


def _parts(jobs: Sequence[OptionJob], done: int, parted: dict[int, int], budget: int) -> list[list[int]]:
    """Prompts that are run at once: of about equal lengths, those that part early first."""
    lengths = {at: len(jobs[at].prompt) - done for at in parted}
    parts: list[list[int]] = []
    longest = 0
    for at in sorted(parted, key=lambda at: -lengths[at]):
        if not parts or longest - lengths[at] > longest // _SPARE:
            parts.append([])
            longest = lengths[at]
        parts[-1].append(at)
    return [part for alike in parts for part in _cut(jobs, sorted(alike, key=parted.__getitem__), parted, budget)]


def _cut(jobs: Sequence[OptionJob], order: Sequence[int], parted: dict[int, int], budget: int) -> Iterator[list[int]]:
    """As many prompts at a time as the budget holds, one at least."""
    part: list[int] = []
    held = 0
    for at in order:
        length = len(jobs[at].prompt)
        own = length - parted[at] + STEP + length // _HELD
        if part and held + own > budget:
            yield part
            part, held = [], 0
        part.append(at)
        held += own
    yield part


def _scored(
    model: Any, store: PrefixStore, jobs: Sequence[OptionJob], families: Sequence[_Family]
) -> dict[int, OptionScores] | None:
    """None where the layers cannot be written out."""
    weights = llama_weights(model)
    if weights is None:
        return None
    head = Head(weights)
    found: dict[int, OptionScores] = {}
    for prefix in dict.fromkeys(family.prefix for family in families):
        own = [family for family in families if family.prefix == prefix]
        most = max(len(jobs[at].prompt) for family in own for at in family.parted) - len(prefix)
        branches = BranchPass(weights, before_of(store.alone(prefix).cache, weights) if prefix else [], most)
        for family in own:
            for part in family.parts:
                logits = head.all_logits(branches.states(*family.rows(jobs, part))[1:])
                lines: dict[tuple[int, Tokens], int] = {(at, ()): at for at in range(len(part))}
                replies = option_replies(logits, [jobs[at] for at in part], lines)
                found |= {at: reply for at, reply in zip(part, replies, strict=True) if isinstance(reply, OptionScores)}
    return found


def _near(found: OptionScores, wanted: _Found) -> bool:
    """Whether all options are as the model itself says."""
    return isinstance(wanted, OptionScores) and all(
        abs(own - real) <= _APART * max(abs(real), 1) for own, real in zip(found.logprobs, wanted.logprobs, strict=True)
    )
