"""Options after prompts that go the way of one prompt for a while, by a small Llama's layers written out.

Small models spend most of their time between the products. Layers written out take fewer steps, and prompts that part
from their trunk early too go with it (:mod:`dfar_toolkit.engines.llama.branches`). What they say of two prompts is
compared with what the model itself says; where that differs, all prompts are left to the model.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from dfar_toolkit.engines.batches import token_batches
from dfar_toolkit.engines.device_memory import out_of_memory
from dfar_toolkit.engines.llama.branches import BranchPass
from dfar_toolkit.engines.llama.head import Head
from dfar_toolkit.engines.llama.layers import before_of
from dfar_toolkit.engines.llama.weights import LlamaWeights, llama_weights
from dfar_toolkit.engines.option_scoring import OptionJob, option_replies
from dfar_toolkit.engines.requests import Failed, OptionScores
from dfar_toolkit.engines.shared_prefix import PrefixStore
from dfar_toolkit.engines.trunks import Start, shared_length

_FEWEST: Final = 8  # prompts
_TOKENS: Final = 1024  # of them together, from which on copies of weights are made good by what is saved
_HELD: Final = 4  # tokens that a row attends to take as much memory as one that is run
_SPARE: Final = 16  # one of so many of what is run at once may be padding
_APART: Final = 1e-3  # of a log-probability, or of its size where that is more: rounding makes 1e-5 of it

_Found = OptionScores | Failed
_Asked = Callable[[Sequence[int]], Sequence[_Found]]


def score_branches(
    model: Any, store: PrefixStore, jobs: Sequence[OptionJob], starts: Sequence[Start], budget: int, asked: _Asked
) -> dict[int, OptionScores]:
    """Log-probabilities of options of one token, as :func:`~dfar_toolkit.engines.option_scoring.score_options` finds.

    Args:
        model: The model, in evaluation mode, without gradients.
        store: Caches of prefixes.
        jobs: Prompts with their options.
        starts: What is run once for which prompts.
        budget: Tokens that are run at once at most.
        asked: Asks the model itself for jobs of these numbers.

    Returns:
        Replies by the number of the job; the others, or all, are left to the model itself.
    """
    families = list(_families(jobs, starts))
    own = [at for family in families for at in family.parted]
    run = sum(len(jobs[at].prompt) - shared for family in families for at, shared in family.parted.items())
    if len(own) < _FEWEST or run < _TOKENS:
        return {}
    try:
        weights = llama_weights(model)
        found = {} if weights is None else _scored(weights, store, jobs, families, budget)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return {}
    if not found:
        return {}
    looked = [most(found, key=lambda at: len(jobs[at].prompt)) for most in (max, min)]
    said = asked(looked)
    return found if all(_near(found[at], reply) for at, reply in zip(looked, said, strict=True)) else {}


def _families(jobs: Sequence[OptionJob], starts: Sequence[Start]) -> Iterator[Start]:
    """Prompts with trunks; of others that have the same prefix each goes with the trunk that it shares most with."""
    for prefix in dict.fromkeys(start.prefix for start in starts):
        own = [start for start in starts if start.prefix == prefix]
        trunks = sorted((start.trunk, dict(start.parted)) for start in own if start.trunk)
        if not trunks:
            continue
        rising = [trunk for trunk, _ in trunks]
        for at in (at for start in own if not start.trunk for at in start.parted):
            prompt = jobs[at].prompt
            place = bisect_left(rising, prompt)
            near = [
                (shared_length(prompt, trunk, len(prefix)), parted)
                for trunk, parted in trunks[max(place - 1, 0) : place + 1]
            ]
            shared, parted = max(near, key=lambda one: one[0])
            parted[at] = min(shared, len(prompt) - 1)
        for trunk, parted in trunks:
            if fitting := {at: shared for at, shared in parted.items() if _fits(jobs[at])}:
                yield Start(prefix, trunk, fitting)


def _fits(job: OptionJob) -> bool:
    """Whether its options have one token, and all of its prompt is seen."""
    return not job.stems and not job.hidden


def _scored(
    weights: LlamaWeights, store: PrefixStore, jobs: Sequence[OptionJob], families: Sequence[Start], budget: int
) -> dict[int, OptionScores]:
    head = Head(weights)
    found: dict[int, OptionScores] = {}
    for prefix in dict.fromkeys(family.prefix for family in families):
        done = len(prefix)
        own = [family for family in families if family.prefix == prefix]
        most = max(len(jobs[at].prompt) for family in own for at in family.parted) - done
        branches = BranchPass(weights, before_of(store.alone(prefix).cache, weights) if prefix else [], most)
        for family in own:
            for part in _parts(jobs, family, budget):
                asked = [jobs[at] for at in part]
                rows = [job.prompt[done:] for job in asked]
                trunk = family.trunk[done:][: max(map(len, rows))]
                states = branches.states([trunk, *rows], [0, *(family.parted[at] - done for at in part)])
                replies = option_replies(head.said(states[1:]), asked, {(at, ()): at for at in range(len(part))})
                found |= {at: own for at, own in zip(part, replies, strict=True) if isinstance(own, OptionScores)}
    return found


def _parts(jobs: Sequence[OptionJob], family: Start, budget: int) -> list[list[int]]:
    """A family's prompts that are run at once: of about equal lengths, those that part early first."""
    order = sorted(family.parted, key=family.parted.__getitem__)
    done = len(family.prefix)
    costs = [(len(jobs[at].prompt) - done + 1) // 2 + len(jobs[at].prompt) // _HELD for at in order]
    batches = token_batches(costs, budget, padding=budget // _SPARE)
    return [[order[place] for place in sorted(batch)] for batch in batches]


def _near(found: OptionScores, wanted: _Found) -> bool:
    """Whether all options are as the model itself says."""
    return isinstance(wanted, OptionScores) and all(
        abs(own - real) <= _APART * max(abs(real), 1) for own, real in zip(found.logprobs, wanted.logprobs, strict=True)
    )
