"""Any OpenAI-compatible server as an engine: answers, probabilities of options, retries, tokens and cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Self, TypeVar

from dfar_toolkit.engines.requests import (
    Attribute,
    Classify,
    Elicited,
    Failed,
    Generate,
    Generated,
    OptionScores,
    Reply,
    Request,
    ScoreOptions,
)
from dfar_toolkit.engines.server_connection import Body, Fields, ServerConnection
from dfar_toolkit.engines.server_faults import NoAnswerError
from dfar_toolkit.engines.server_habits import ServerHabits
from dfar_toolkit.engines.server_logprobs import (
    PromptToken,
    first_token_scores,
    forced_scores,
    listed_tokens,
    option_start,
    prompt_tokens,
)
from dfar_toolkit.engines.server_replies import Written, choices_of, tokens_of, without_logprobs, written
from dfar_toolkit.engines.server_retries import wait_before
from dfar_toolkit.engines.server_usage import ServerUsage
from dfar_toolkit.errors import EngineError
from dfar_toolkit.prompts.conversation import Conversation, Turn, is_plain

_T = TypeVar("_T")
_REWORDED: Final = 5  # times that one request is worded anew
_BETWEEN: Final = "\n\n"
_OURS: Final = {
    *(
        "model",
        "messages",
        "prompt",
        "n",
        "seed",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "stop",
    ),
    *("stream", "logprobs", "top_logprobs", "prompt_logprobs", "echo"),
    *("add_generation_prompt", "continue_final_message"),
}


class ServerEngine:
    """Asks a model server, as many requests at a time as the caller starts.

    Args:
        base_url: Address of the server, with or without ``/v1``.
        model: Name of the model there.
        api_key: The server's key; None sends none, also where a token of the Hub is stored.
        timeout: Seconds that one answer may take.
        attempts: Tries for one answer.
        top_logprobs: Likeliest first tokens asked for; fewer where the server allows fewer.
        chat: Whether chat completions are asked for; False: completions of plain texts, turns joined by blank lines.
        prices: Currency units per million tokens read and written.
        forced: True: options are scored as a whole, which needs the ``prompt_logprobs`` of vLLM; False: by the
            likeliest first tokens; None: as a whole if the server turns out to tell them.
        seeds: Whether seeds are sent (31 bits of them); also off once the server refuses them.
        extra_body: Further fields of each request, such as ``{"chat_template_kwargs": {...}}``.
        sleep: Waits a number of seconds.

    Attributes:
        usage: What has been asked so far (:class:`~dfar_toolkit.engines.server_usage.ServerUsage`).

    Raises:
        EngineError: The address or the key cannot be one, or offline mode forbids it.
        ValueError: An argument out of range, or a field in ``extra_body`` that the requests decide on.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout: float = 120.0,
        attempts: int = 6,
        top_logprobs: int = 20,
        chat: bool = True,
        prices: tuple[float, float] | None = None,
        forced: bool | None = None,
        seeds: bool = True,
        extra_body: Mapping[str, Any] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if not timeout > 0 or attempts < 1 or top_logprobs < 1:
            raise ValueError(
                f"wanted timeout > 0, attempts >= 1, top_logprobs >= 1, found {timeout}, {attempts}, {top_logprobs}."
            )
        if taken := sorted(_OURS.intersection(extra_body or {})):
            raise ValueError(f"extra_body may not hold {', '.join(taken)}: the requests themselves decide on it.")
        if not model.strip():
            raise EngineError("wanted the name of a model on the server, found an empty one.")
        self._connection = ServerConnection(base_url, model, api_key=api_key, timeout=timeout)
        self._model, self._attempts, self._chat, self._sleep = model, attempts, chat, sleep
        self._forced_wanted, self._forced = forced, forced
        self._extra = dict(extra_body or {})
        self._habits = ServerHabits(top_logprobs=top_logprobs, seeds=seeds)
        self._probing = asyncio.Lock()
        self._reached = self._plain_texts = self._begun_answers = False
        self._names: set[str] = set()
        self.usage = ServerUsage(prices=prices)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the engine may be asked again, also in another event loop."""
        self._probing = asyncio.Lock()  # a lock belongs to the loop in which somebody waited for it
        await self._connection.close()

    @property
    def facts(self) -> dict[str, Any]:
        """What decides the answers, for ``run.json``: never the key, nor what else is secret in the address."""
        way: Elicited | None = None if self._forced is None else "forced" if self._forced else "first_token"
        told: dict[str, Any] = {
            "engine": "server",
            "base_url": self._connection.shown,
            "model": self._model,
            "answered_as": sorted(self._names),
            "chat": self._chat,
            "option_probabilities": way,
            "option_probabilities_asked_for": self._forced_wanted,
            "top_logprobs": self._habits.top_logprobs,
            "seeds_sent": self._habits.seeds,
            "samples_at_once": self._habits.many,
            "limit_field": self._habits.limit,
            "extra_body": json.loads(self._connection.without_secrets(json.dumps(self._extra, default=str))),
        }
        notes = []
        if self._plain_texts:
            notes.append("plain texts were sent as one turn of the user")
        if self._begun_answers:
            notes.append("begun answers were sent with continue_final_message; a server may not go on with them")
        if self.usage.ambiguous_mass:
            notes.append("first tokens that begin several options count as missing mass")
        return {**told, "notes": notes}

    async def ask(self, request: Request) -> Reply:
        """Answer one request; safe to cancel, and to call many times at once.

        Args:
            request: :class:`Generate` or :class:`ScoreOptions`.

        Returns:
            The answer, or :class:`Failed` where none came for this request.

        Raises:
            EngineError: Nothing else would be answered either: the server is not there, does not know the key or the
                model, or the request is one for classifiers.
        """
        if isinstance(request, Classify):
            raise EngineError(
                "a model server has no classes to tell the probabilities of; load the classifier itself, or ask for "
                "labels by a prompt."
            )
        if isinstance(request, Attribute) or (isinstance(request, ScoreOptions) and request.hidden):
            what = "attributions" if isinstance(request, Attribute) else "hidden tokens"
            return Failed("needs_model", f"{what} need the model itself, which a server does not hand out")
        if not request.conversation:
            raise EngineError("wanted a prompt, found a conversation without turns.")
        self._plain_texts = self._plain_texts or (self._chat and is_plain(request.conversation))
        self._begun_answers = self._begun_answers or (self._chat and request.conversation[-1].role == "assistant")
        try:
            for turn in request.conversation:
                turn.text.encode()
            if isinstance(request, Generate):
                return await self._generated(request)
            return await self._scored(request)
        except UnicodeEncodeError:
            fault = NoAnswerError(
                "refused", "the prompt holds half a character (a lone surrogate), which cannot be sent"
            )
        except NoAnswerError as found:
            fault = found
        self.usage.failed[fault.kind] += 1
        return Failed(fault.kind, fault.message)

    async def _generated(self, request: Generate) -> Generated:
        """All samples; those that a server leaves out are asked for again."""
        # at temperature 0 each sample is the same answer
        wanted = 1 if request.temperature == 0 else max(request.samples, 1)
        found: list[Written] = []
        read = wrote = 0
        while len(found) < wanted:
            at = len(found)

            def fields(at: int = at) -> Fields:
                return self._habits.drawing(request, at, wanted - at)

            try:
                body, sent, texts = await self._answered(
                    request.conversation, fields, lambda b: [written(c, request.stops) for c in choices_of(b)]
                )
            except NoAnswerError as fault:
                if found:
                    fault.message += f"; {len(found)} of {wanted} samples had come"
                raise
            asked = sent.get("n", 1)
            if len(texts) < asked:
                self.usage.asked_again += 1
                self._habits.many = self._habits.many and len(texts) > 1
            found += texts[: wanted - at]
            counted = tokens_of(body) or (0, 0)
            read, wrote = max(read, counted[0]), wrote + counted[1]
        self.usage.refusals += sum(x.finish == "refusal" for x in found)
        self.usage.reasoned += sum(x.reasoned for x in found)
        found *= max(request.samples, 1) // wanted
        return Generated(tuple(x.text for x in found), tuple(x.finish for x in found), read, wrote)

    async def _scored(self, request: ScoreOptions) -> OptionScores:
        """Probabilities of options, as a whole where the server tells them."""
        if not request.spellings or not all(texts and all(texts) for texts in request.spellings):
            raise EngineError("wanted options with at least one spelling each, found an empty one.")
        if self._forced is None:
            async with self._probing:  # the others wait for what the first one finds
                if self._forced is None:
                    return await self._scored_at_first(request)
        return await (self._whole(request) if self._forced else self._first_token(request))

    async def _scored_at_first(self, request: ScoreOptions) -> OptionScores:
        """Find out whether the server tells whole options; what it answers is used."""
        try:
            begun = await self._prompt_of(request, request.spellings[0][0])
        except NoAnswerError as fault:
            if fault.kind not in ("refused", "no_logprobs", "malformed", "server"):
                raise
            try:
                reply = await self._first_token(request)
            except NoAnswerError as second:
                # a server that is out of order says nothing of what it can do; one that sends none at all does
                told = second.kind == "refused" and second.status is None  # tokens came, and do not tell options apart
                self._forced = False if second.kind == "no_logprobs" or told else None
                raise
            self._forced = False
            return reply
        self._forced = True
        return await self._whole(request, begun)

    async def _prompt_of(self, request: ScoreOptions, spelling: str) -> tuple[Body, list[PromptToken]]:
        """The prompt's tokens with one spelling at its end."""
        *turns, last = request.conversation
        joined: Conversation
        if last.role == "assistant" or not self._chat:
            joined = (*turns, Turn(last.role, last.text + spelling))
        else:
            joined = (*turns, last, Turn("assistant", spelling))

        def fields() -> Fields:
            return {self._habits.limit: 1, "temperature": 0.0, "prompt_logprobs": 0}

        def read(body: Body) -> list[PromptToken]:
            tokens = prompt_tokens(body)
            if option_start(tokens, spelling) < 0:
                fault = without_logprobs("continue_final_message")
                fault.message = "the server does not go on with an answer that was begun: " + fault.message
                raise fault
            return tokens

        body, _, tokens = await self._answered(joined, fields, read)
        return body, tokens

    async def _whole(self, request: ScoreOptions, begun: tuple[Body, list[PromptToken]] | None = None) -> OptionScores:
        """Probabilities of whole options, one request for each spelling."""
        said: list[list[list[PromptToken]]] = []
        read = 0
        for texts in request.spellings:
            said.append([])
            for text in texts:
                body, tokens = begun or await self._prompt_of(request, text)
                begun = None
                said[-1].append(tokens)
                read = max(read, (tokens_of(body) or (0, 0))[0])
        logprobs, lengths = forced_scores(said, request.spellings)
        return OptionScores(logprobs, lengths, "forced", 0.0, read)

    async def _first_token(self, request: ScoreOptions) -> OptionScores:
        """Probabilities of options from the likeliest first tokens, in one request."""

        def fields() -> Fields:
            k = self._habits.top_logprobs
            listed: Fields = {"logprobs": True, "top_logprobs": k} if self._chat else {"logprobs": k}
            # at temperature 1 also servers that tell the probabilities they draw with tell the model's own
            return {self._habits.limit: 1, "temperature": 1.0, **listed, **self._habits.seed(request.seed)}

        body, _, listed = await self._answered(request.conversation, fields, listed_tokens)
        found = first_token_scores(listed, request.spellings)
        self.usage.ambiguous_mass += found.ambiguous
        if found.undecided:
            raise NoAnswerError(
                "refused",
                f"likely first tokens (probability {found.ambiguous:.3g}) begin several options, so that the likeliest "
                "option is unknown; name them by letters (--style label-letters), or draw samples",
            )
        ones = (1,) * len(found.logprobs)
        return OptionScores(found.logprobs, ones, "first_token", found.missing, (tokens_of(body) or (0, 0))[0])

    async def _answered(
        self, conversation: Conversation, fields: Callable[[], Fields], read: Callable[[Body], _T]
    ) -> tuple[Body, Fields, _T]:
        """Ask until there is an answer that can be read, or no hope."""
        tried = reworded = 0
        while True:
            sent = fields()
            self.usage.requests += 1
            try:
                body = await self._sent(conversation, sent)
                self.usage.add_tokens(tokens_of(body))
                found = read(body)
            except NoAnswerError as fault:
                if fault.status in (400, 422) and fault.kind == "refused" and reworded < _REWORDED:
                    self._habits.learn(fault.message, sent)
                    if fields() != sent:
                        reworded += 1
                        self.usage.reworded += 1
                        continue
                tried += 1
                await self._wait_after(fault, tried, sent, conversation)
                continue
            self._reached = True
            self.usage.answered += 1
            if isinstance(name := body.get("model"), str) and len(self._names) < _REWORDED:
                self._names.add(name)
            return body, sent, found

    async def _wait_after(self, fault: NoAnswerError, tried: int, sent: Fields, conversation: Conversation) -> None:
        """Wait before the next try; raises where there is none."""
        hopeful = self._reached if fault.kind == "connection" else self.usage.answered
        if fault.stops == "always" or (fault.stops == "at_first" and not hopeful):
            raise EngineError(f"{self._connection.shown}, model {self._model!r}: {fault.message}.") from None
        self._reached = self._reached or fault.status is not None
        if fault.status in (400, 422) and fault.kind == "refused" and "logprobs" in fault.message:
            fault = NoAnswerError("no_logprobs", fault.message, status=fault.status)
        if not fault.passing or tried >= self._attempts:
            if tried > 1:
                fault.message += f" (tried {tried} times)"
            raise fault
        self.usage.retries[fault.kind] += 1
        key = json.dumps([sent, conversation], ensure_ascii=True, sort_keys=True, default=str)
        await self._sleep(wait_before(tried, fault, key))

    async def _sent(self, conversation: Conversation, fields: Fields) -> Body:
        """One request, in the words of a chat or of a plain text."""
        fields = {**self._extra, **fields}
        if not self._chat:
            return await self._connection.complete(_BETWEEN.join(turn.text for turn in conversation), fields)
        if conversation[-1].role == "assistant":
            fields |= {"add_generation_prompt": False, "continue_final_message": True}
        roles = {"text": "user"}
        messages = [{"role": roles.get(turn.role, turn.role), "content": turn.text} for turn in conversation]
        return await self._connection.chat(messages, fields)
