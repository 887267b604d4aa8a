"""The label after a reason that is given, whoever wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from dfar_toolkit.engines.requests import Failed, Generate, Generated, OptionScores, Reply, Request, ScoreOptions
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.runners.prompting import Manner, spelled
from dfar_toolkit.runners.units import Row, seed_of

_LABEL_TOKENS: Final = 24  # a label and what may stand beside it


def label_request(asked: Asked, reason: str, manner: Manner, name: str) -> Request:
    """What asks for the label after a reason, in a new conversation.

    Args:
        asked: The item.
        reason: The reason that the answer begins with; blank: none.
        manner: How the item is asked; its style gives the reason first.
        name: Of the item, for the seed, which is the same for all reasons.

    Returns:
        The options scored, or samples of what is written next.
    """
    chat = manner.chat and not manner.style.plain_only
    reasoned = replace(asked, earlier={**asked.earlier, "reason": reason})
    before = manner.style.conversation(reasoned, chat=chat, up_to_label=True)
    seed = seed_of(manner.seed, name)
    if manner.elicit == "forced":
        return ScoreOptions(before, spelled(asked.options, manner), seed)
    return Generate(
        before, max_new_tokens=_LABEL_TOKENS, temperature=manner.temperature, top_p=manner.top_p,
        samples=manner.samples, seed=seed, stops=() if chat else ("\n",),
    )  # fmt: skip


def label_rows(reply: Reply, request: Request, options: Sequence[str], manner: Manner) -> list[Row]:
    """The reply as columns of rows, one per sample.

    Args:
        reply: The reply.
        request: What it replies to.
        options: The options as they were shown.
        manner: How they were asked for.

    Returns:
        Rows without a key but ``sample``.
    """
    if isinstance(reply, Failed):
        return [{"sample": 0, "error": f"{reply.kind}: {reply.message}"}]
    assert isinstance(request, Generate | ScoreOptions)
    if isinstance(reply, Generated):
        return [
            {
                "sample": at, "raw": text, "finish": finish, "temperature": manner.temperature, "seed": request.seed,
                "tokens_in": reply.tokens_in,
            }
            for at, (text, finish) in enumerate(zip(reply.texts, reply.finish, strict=True))
        ]  # fmt: skip
    assert isinstance(reply, OptionScores)
    return [
        {
            "sample": 0, "shown": list(options), "option_logprobs": list(reply.logprobs),
            "option_tokens": list(reply.lengths), "probs_kind": reply.kind, "missing_mass": reply.missing_mass,
            "tokens_in": reply.tokens_in, "seed": request.seed,
        }
    ]  # fmt: skip
