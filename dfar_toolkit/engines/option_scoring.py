"""The probability that a prompt goes on with each option, the whole of it: forced token by token."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise
from typing import Any

from dfar_toolkit.engines.forward_pass import NOT_FINITE, ForwardPass, Held, last_places
from dfar_toolkit.engines.requests import Failed, OptionScores
from dfar_toolkit.engines.shared_prefix import PrefixStore, Tokens, Ways
from dfar_toolkit.engines.trunks import branched


@dataclass(frozen=True)
class OptionJob:
    """One prompt and what may follow it.

    Attributes:
        prompt: Tokens before the options, those that all options share among them.
        options: For each option the tokens of each of its spellings after that.
        tokens_in: Tokens of the prompt alone.
        hidden: Places in the prompt that no token attends to; never its last.
    """

    prompt: tuple[int, ...]
    options: tuple[tuple[tuple[int, ...], ...], ...]
    tokens_in: int
    hidden: frozenset[int] = frozenset()

    @property
    def beginning(self) -> Tokens:
        """The prompt up to its first hidden token: only what stands before that one is the same in other prompts."""
        return self.prompt[: min(self.hidden) + 1] if self.hidden else self.prompt

    @cached_property
    def stems(self) -> list[Tokens]:
        """What must be run after the prompt: options without their last token, none that begins another."""
        stems = sorted({tokens[:-1] for spellings in self.options for tokens in spellings if len(tokens) > 1})
        return [a for a, b in pairwise([*stems, ()]) if b[: len(a)] != a]

    @property
    def rows(self) -> int:
        """Rows that it takes at most."""
        return max(len(self.stems), 1)

    @property
    def length(self) -> int:
        """Tokens of its longest row."""
        return len(self.prompt) + max((len(stem) for stem in self.stems), default=0)

    @property
    def needed(self) -> int:
        """Tokens of the prompt and its longest option."""
        return len(self.prompt) + max(len(tokens) for spellings in self.options for tokens in spellings)


class _Places:
    """Where the logits of each token stand: lines of one table, looked up all at once."""

    def __init__(self) -> None:
        self.lines: dict[tuple[int, Tokens], int] = {}

    def add(self, job: int, before: Tokens) -> None:
        self.lines[job, before] = len(self.lines)


def score_options(
    run: ForwardPass,
    store: PrefixStore,
    ways: Ways,
    jobs: Sequence[OptionJob],
    prefix: Tokens = (),
    *,
    trunks: Sequence[Tokens] = (),
    parted: Sequence[int] = (),
    last_apart: bool = False,
) -> list[OptionScores | Failed]:
    r"""Log-probabilities of whole options, $\log\sum_s\prod_t p(s_t \mid x, s_{<t})$ over the spellings $s$.

    Args:
        run: The model's pass, within ``run.quiet()``.
        store: Caches of prefixes.
        ways: What the model's cache allows.
        jobs: Prompts with their options, one batch.
        prefix: What all prompts begin with.
        trunks: For each job a prompt that it goes the way of for a while, equal ones one after the other; or none.
        parted: Where there are trunks, for each job how many first tokens it shares with its own.
        last_apart: Whether prompts but for their last token may be run for the keys and values alone.

    Returns:
        One reply per job, in order.
    """
    places = _Places()
    done = list(parted) if trunks else [len(prefix)] * len(jobs)
    new = [len(job.prompt) - own for job, own in zip(jobs, done, strict=True)]
    slots = max(done) + max(new) + max(job.length - len(job.prompt) for job in jobs)
    if not ways.fits(max(slots, *map(len, trunks), 0)):
        return option_replies(_whole(run, jobs, places), jobs, places.lines)
    if trunks:
        rows = [(store.trunk(prefix, trunk), len(list(own))) for trunk, own in groupby(trunks)]
        held: Held | None = branched(rows, done, slots)
    else:
        held = store.rows(prefix, len(jobs), slots)
    apart = (
        last_apart
        and ways.early
        and sum(new) > _worth(run, jobs) * len(jobs)
        and min(len(job.prompt) for job in jobs) > 1
    )
    logits = (_last_apart if apart else _forked)(run, held, jobs, done, places)
    return option_replies(logits, jobs, places.lines)


def _worth(run: ForwardPass, jobs: Sequence[OptionJob]) -> int:
    """New tokens of a row from which on their last layer costs more than a pass of one token does."""
    return 1 if any(job.stems for job in jobs) else 2 * run.layers


def _forked(
    run: ForwardPass, held: Held | None, jobs: Sequence[OptionJob], done: Sequence[int], places: _Places
) -> Any:
    """Prompts first, each once; then the stems, on copies of what their prompts left."""
    import torch

    branches = [(at, stem) for at, job in enumerate(jobs) for stem in job.stems]
    rows = [job.prompt[own:] for job, own in zip(jobs, done, strict=True)]
    for at in range(len(jobs)):
        places.add(at, ())
    hidden = [{place - own for place in job.hidden} for job, own in zip(jobs, done, strict=True)]
    logits, held = run(rows, last_places(rows), held=held, keep=bool(branches), hidden=hidden)
    if held is None:
        return logits
    wanted = []
    for row, (at, stem) in enumerate(branches):
        for end in range(1, len(stem) + 1):
            if (at, stem[:end]) not in places.lines:
                places.add(at, stem[:end])
                wanted.append((row, end - 1))
    rest, _ = run([stem for _, stem in branches], wanted, held=held.select([at for at, _ in branches]))
    return torch.cat([logits, rest])


def _last_apart(
    run: ForwardPass, held: Held | None, jobs: Sequence[OptionJob], done: Sequence[int], places: _Places
) -> Any:
    """Prompts but for their last token, for keys and values alone; then that token and the stems."""
    bodies = [job.prompt[own:-1] for job, own in zip(jobs, done, strict=True)]
    hidden = [{place - own for place in job.hidden} for job, own in zip(jobs, done, strict=True)]
    left = run.left(bodies, held=held, early=True, hidden=hidden)
    branches = [(at, stem) for at, job in enumerate(jobs) for stem in job.stems or [()]]
    wanted = []
    for row, (at, stem) in enumerate(branches):
        for end in range(len(stem) + 1):
            if (at, stem[:end]) not in places.lines:
                places.add(at, stem[:end])
                wanted.append((row, end))
    if len(branches) > len(jobs):
        left = left.select([at for at, _ in branches])
    return run([(jobs[at].prompt[-1], *stem) for at, stem in branches], wanted, held=left)[0]


def _whole(run: ForwardPass, jobs: Sequence[OptionJob], places: _Places) -> Any:
    """Every prompt with every stem as a row of its own, nothing kept."""
    rows: list[Tokens] = []
    hidden: list[frozenset[int]] = []
    wanted = []
    for at, job in enumerate(jobs):
        for stem in job.stems or [()]:
            for end in range(len(stem) + 1):
                if (at, stem[:end]) not in places.lines:
                    places.add(at, stem[:end])
                    wanted.append((len(rows), len(job.prompt) + end - 1))
            rows.append((*job.prompt, *stem))
            hidden.append(job.hidden)
    return run(rows, wanted, hidden=hidden)[0]


def option_replies(
    logits: Any, jobs: Sequence[OptionJob], lines: Mapping[tuple[int, Tokens], int]
) -> list[OptionScores | Failed]:
    """Looks the tokens of all options up and adds them up.

    Args:
        logits: (lines, vocabulary).
        jobs: Prompts with their options.
        lines: For each job, and tokens of an option after it, where the logits after these stand.

    Returns:
        One reply per job.
    """
    import torch

    asked = [
        (lines[at, tokens[:end]], tokens[end])
        for at, job in enumerate(jobs)
        for spellings in job.options
        for tokens in spellings
        for end in range(len(tokens))
    ]
    line, token = torch.tensor(asked, dtype=torch.long, device=logits.device).reshape(-1, 2).T
    total = logits.logsumexp(-1)
    total = total.where(total.isfinite(), torch.nan)
    found = iter((logits[line, token] - total[line]).double().tolist())
    replies: list[OptionScores | Failed] = []
    for job in jobs:
        scores = [[sum(next(found) for _ in tokens) for tokens in spellings] for spellings in job.options]
        totals = tuple(map(_log_sum, scores))
        if any(map(math.isnan, totals)):
            replies.append(NOT_FINITE)
            continue
        lengths = tuple(len(spellings[0]) for spellings in job.options)
        replies.append(OptionScores(totals, lengths, "forced", 0.0, job.tokens_in))
    return replies


def _log_sum(logs: Sequence[float]) -> float:
    """Logarithm of the sum of the exponentials."""
    if len(logs) == 1:
        return logs[0]
    top = math.nan if any(map(math.isnan, logs)) else max(logs)
    return top if not math.isfinite(top) else top + math.log(sum(math.exp(value - top) for value in logs))
