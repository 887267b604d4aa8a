"""A model in memory that answers requests in batches."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from dfar_toolkit.engines.batches import token_batches
from dfar_toolkit.engines.branch_scoring import score_branches
from dfar_toolkit.engines.decoding import Drawing, Written, decode, end_tokens
from dfar_toolkit.engines.device_memory import default_budget, free_cached, out_of_memory
from dfar_toolkit.engines.forward_pass import ForwardPass
from dfar_toolkit.engines.hidden_tokens import option_jobs
from dfar_toolkit.engines.hiding_trial import hides
from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.option_scoring import OptionJob, score_options
from dfar_toolkit.engines.requests import (
    Attribute,
    Classify,
    Failed,
    Generate,
    Generated,
    OptionScores,
    Reply,
    Request,
    ScoreOptions,
)
from dfar_toolkit.engines.shared_prefix import PrefixStore, Tokens, Ways, prefix_of, shared_prefixes, ways_of
from dfar_toolkit.engines.token_ids import prompt_ids_many
from dfar_toolkit.engines.trunks import Start, starts_of, together
from dfar_toolkit.errors import EngineError
from dfar_toolkit.prompts.conversation import Conversation

_MEMORY: Final = Failed(
    "memory",
    "one prompt alone does not fit the memory; write fewer new tokens, load the model in 4bit, or use a smaller model.",
)
_SEEN: Final = 2048
_PADDING: Final = 16  # share of a batch that costs less as padding than a pass of its own does
_ASKED: Final = {Classify: "classify", Generate: "write", ScoreOptions: "score options"}
_Job = TypeVar("_Job", Drawing, OptionJob)
_Found = TypeVar("_Found")
_Work = Callable[[Sequence[_Job], Sequence[Start], Sequence[int]], Sequence[_Found | Failed]]


class LocalEngine:
    """Answers requests by a model in memory; the model is as it was afterwards.

    Args:
        loaded: The model.
        budget: Tokens of a batch at most, padding, options and samples included; None: 8192 on a CPU, on a GPU as
            many as its free memory holds.

    Attributes:
        facts: For ``run.json``: the budget, whether beginnings of prompts are shared (``prefix_shared``; with a
            ``window`` only by prompts that fit it), the largest difference of a log-probability that this makes on a
            fixed sentence (``prefix_check``), tokens of the prefixes, and how often a batch had to be ``halved``.
    """

    def __init__(self, loaded: LoadedModel, *, budget: int | None = None) -> None:
        if budget is not None and budget < 1:
            raise EngineError(f"the budget of tokens per batch must be 1 or more, found {budget}.")
        self._loaded = loaded
        self._budget = budget or default_budget(loaded)
        self.facts: dict[str, Any] = {"budget": self._budget}
        self._plan: list[Tokens] = []
        self._ways: Ways | None = None
        self._hiding: bool | None = None
        self._written_out = True  # until that is found not to do
        if loaded.kind == "causal":
            self._run = ForwardPass(loaded)
            self._store = PrefixStore(self._run)
            self._ends = end_tokens(loaded)

    def share(self, conversations: Sequence[Conversation]) -> None:
        """Finds what the conversations of a whole plan begin with, so that every batch shares the same.

        Args:
            conversations: All first prompts of the plan; of very many some, at even steps, are looked at.
        """
        if self._loaded.kind == "causal":
            seen = conversations[:: max(len(conversations) // _SEEN, 1)]
            prompts = prompt_ids_many(seen, self._loaded)
            self._plan = shared_prefixes(prompts)
            self.facts["prefix_tokens"] = [len(prefix) for prefix in self._plan]

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """Answers requests, kinds mixed as they come.

        Args:
            requests: What is asked; a reply does not depend on what is asked beside it, but for rounding.

        Returns:
            One reply per request, in order.

        Raises:
            EngineError: A request that this kind of model cannot answer, or one that makes no sense.

        Example:
            >>> LocalEngine(loaded).ask([ScoreOptions(plain("Answer:"), ((" yes",), (" no",)))])  # doctest: +SKIP
            [OptionScores(logprobs=(-1.2, -0.9), lengths=(1, 1), kind='forced', missing_mass=0.0, tokens_in=3)]
        """
        for request in requests:
            self._check(request)
        replies = self._attribute({at: one for at, one in enumerate(requests) if isinstance(one, Attribute)})
        if self._loaded.kind == "classifier":
            from dfar_toolkit.engines.classifying import classify

            classified = {at: request for at, request in enumerate(requests) if isinstance(request, Classify)}
            asked = list(classified.values())
            replies |= zip(classified, classify(self._loaded, asked, budget=self._budget), strict=True)
            return [replies[at] for at in range(len(requests))]
        scored = {at: request for at, request in enumerate(requests) if isinstance(request, ScoreOptions)}
        written = {at: request for at, request in enumerate(requests) if isinstance(request, Generate)}
        self._store.renew()
        with self._run.quiet():
            if scored:
                replies |= zip(scored, self._score(list(scored.values())), strict=True)
            if written:
                replies |= zip(written, self._write(list(written.values())), strict=True)
        return [replies[at] for at in range(len(requests))]

    def _attribute(self, requests: dict[int, Attribute]) -> dict[int, Reply]:
        if not requests:
            return {}
        from dfar_toolkit.engines.attribution.attributing import attribute

        asked = list(requests.values())
        return dict(
            zip(requests, attribute(self._loaded, asked, budget=self._budget, ways=self._ways_alone), strict=True)
        )

    def _ways_alone(self) -> Ways:
        with self._run.quiet():
            return self._known_ways()

    def _score(self, requests: Sequence[ScoreOptions]) -> list[Reply]:
        jobs = dict(enumerate(option_jobs(requests, self._loaded, self._hides)))
        sound = {at: job for at, job in jobs.items() if isinstance(job, OptionJob)}
        fitting = [at for at, job in sound.items() if job.needed <= self._loaded.max_length]

        # Other requests stay in batches of their own: files of predictions hold their numbers to the last digit.
        hiding = any(request.hidden for request in requests)

        def work(
            batch: Sequence[OptionJob], starts: Sequence[Start], parted: Sequence[int]
        ) -> Sequence[OptionScores | Failed]:
            ways, trunks = self._known_ways(), [start.trunk for start in starts if start.trunk]
            return score_options(
                self._run, self._store, ways, batch, starts[0].prefix, trunks=trunks, parted=parted, last_apart=hiding
            )

        fit = [sound[at] for at in fitting]
        starts = self._starts([job.beginning for job in fit], fork=True)
        groups = together(starts, self._budget) if hiding else [[start] for start in starts]
        known: dict[int, OptionScores] | None = {}
        if hiding and self._written_out and any(start.trunk for start in starts):

            def itself(numbers: Sequence[int]) -> Sequence[OptionScores | Failed]:
                asked = [fit[at] for at in numbers]
                return self._batched(asked, work, [[Start((), (), dict.fromkeys(range(len(asked)), 0))]])

            known = score_branches(self._run.model, self._store, fit, starts, self._budget, itself)
            self._written_out = known is not None
        found = dict(zip(fitting, self._batched(fit, work, groups, known), strict=True))
        return [
            job
            if isinstance(job, Failed)
            else found[at]
            if at in found
            else self._too_long("the prompt with its longest option", job.needed)
            for at, job in jobs.items()
        ]

    def _write(self, requests: Sequence[Generate]) -> list[Reply]:
        prompts = prompt_ids_many([request.conversation for request in requests], self._loaded)
        limits = [
            min(request.max_new_tokens, self._loaded.max_length - len(prompt))
            for request, prompt in zip(requests, prompts, strict=True)
        ]
        drawings = {
            (at, sample): Drawing(tuple(prompt), request, sample, limit)
            for at, (request, prompt, limit) in enumerate(zip(requests, prompts, limits, strict=True))
            for sample in range(_distinct_samples(request) if limit > 0 else 0)
        }

        def work(batch: Sequence[Drawing], starts: Sequence[Start], _: Sequence[int]) -> Sequence[Written | Failed]:
            ways, tokenizer = self._known_ways(), self._loaded.tokenizer
            return decode(self._run, self._store, ways, batch, starts[0].prefix, tokenizer=tokenizer, ends=self._ends)

        samples: list[list[Written | Failed]] = [[] for _ in requests]
        groups = [[start] for start in self._starts([drawing.prompt for drawing in drawings.values()], fork=False)]
        for (at, _), written in zip(drawings, self._batched(list(drawings.values()), work, groups), strict=True):
            samples[at].append(written)
        return [
            _generated(request, len(prompt), own)
            if own
            else self._too_long("the prompt with one more token", len(prompt) + 1)
            for request, prompt, own in zip(requests, prompts, samples, strict=True)
        ]

    def _batched(
        self,
        jobs: Sequence[_Job],
        work: _Work[_Job, _Found],
        groups: Sequence[Sequence[Start]],
        known: Mapping[int, _Found] | None = None,
    ) -> list[_Found | Failed]:
        """One result per job: jobs of a group go together, and batches too large for the memory are halved."""
        found: dict[int, _Found | Failed] = dict(known or {})
        for group in groups:
            own = {at: start for start in group for at in start.parted if at not in found}
            longest = max((len(start.trunk) for start in own.values()), default=0)
            todo = list(own)
            while todo:
                lengths = [own[at].size(at, jobs[at].length, longest) for at in todo]
                rows = [jobs[at].rows for at in todo]
                padding = self._budget // _PADDING if longest else None
                for batch in token_batches(lengths, self._budget, rows=rows, padding=padding):
                    # The rows of a trunk stand together.
                    places = [todo[at] for at in (sorted(batch) if len(group) > 1 else batch)]
                    replies = self._tried(work, places, jobs, own)
                    if replies is None and len(places) > 1:
                        self._halve(sum(rows[at] for at in batch) * max(lengths[at] for at in batch))
                        break
                    found |= zip(places, [_MEMORY] if replies is None else replies, strict=True)
                todo = [at for at in todo if at not in found]
        return [found[at] for at in range(len(jobs))]

    def _tried(
        self, work: _Work[_Job, _Found], places: Sequence[int], jobs: Sequence[_Job], starts: Mapping[int, Start]
    ) -> Sequence[_Found | Failed] | None:
        """None where the memory was too small."""
        own = [starts[at] for at in places]
        parted = [start.parted[at] for start, at in zip(own, places, strict=True)]
        try:
            return work([jobs[at] for at in places], own, parted)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        # Here, not above: the error's traceback holds the tensors.
        self._store.clear()
        gc.collect()
        free_cached(self._run.device)
        return None

    def _halve(self, size: int) -> None:
        """From now on batches have half the tokens of the one that did not fit."""
        self._budget = max(size // 2, 1)
        self.facts["budget"] = self._budget
        self.facts["halved"] = self.facts.get("halved", 0) + 1

    def _starts(self, prompts: Sequence[Tokens], *, fork: bool) -> list[Start]:
        """What is run once: prefixes, one of the plan's or else one of this call's, and trunks where prompts fork."""
        if not prompts or not self._known_ways().holes:
            return starts_of(prompts, [() for _ in prompts], fork=False)
        found = [prefix_of(prompt, self._plan) for prompt in prompts]
        own = shared_prefixes([prompt for prompt, prefix in zip(prompts, found, strict=True) if not prefix])
        prefixes = [prefix or prefix_of(prompt, own) for prompt, prefix in zip(prompts, found, strict=True)]
        return starts_of(prompts, prefixes, fork=fork)

    def _hides(self) -> bool:
        if self._hiding is None:
            self._hiding = hides(self._run, self._loaded)
        return self._hiding

    def _known_ways(self) -> Ways:
        if self._ways is None:
            self._ways = ways_of(self._run, self._loaded)
            shared, difference = self._ways.holes, self._ways.difference
            self.facts |= {"prefix_shared": shared, "prefix_check": None if math.isnan(difference) else difference}
            if self._ways.window is not None:
                self.facts["window"] = self._ways.window
        return self._ways

    def _check(self, request: Request) -> None:
        kind = self._loaded.kind
        asked = request.asked if isinstance(request, Attribute) else request
        if isinstance(asked, Classify) != (kind == "classifier"):
            can = "names classes" if kind == "classifier" else "writes text and scores options"
            raise EngineError(
                f"the model is a {kind} model, which {can}; found a request to {_ASKED[type(asked)]}. "
                f"Use a {'causal' if kind == 'classifier' else 'classifier'} model."
            )
        if isinstance(request, Generate):
            sound = request.temperature >= 0 and 0 < request.top_p <= 1
            if not sound or request.max_new_tokens < 1 or request.samples < 1:
                raise EngineError(
                    "to write text the temperature must be 0 or more, top_p above 0 and at most 1, new tokens and "
                    f"samples 1 or more; found {request.temperature}, {request.top_p}, {request.max_new_tokens} and "
                    f"{request.samples}."
                )

    def _too_long(self, what: str, found: int) -> Failed:
        most = self._loaded.max_length
        return Failed(
            "too_long", f"{what} has {found} tokens, the model takes {most}; shorten it or show fewer examples."
        )


def _distinct_samples(request: Generate) -> int:
    """Greedy samples are all the same."""
    return request.samples if request.temperature > 0 else 1


def _generated(request: Generate, tokens_in: int, samples: Sequence[Written | Failed]) -> Reply:
    failed = next((sample for sample in samples if isinstance(sample, Failed)), None)
    if failed is not None:
        return failed
    written = [sample for sample in samples if isinstance(sample, Written)]
    written *= request.samples // len(written)
    texts, finish, tokens = zip(*written, strict=True)
    return Generated(texts, finish, tokens_in, sum(tokens))
