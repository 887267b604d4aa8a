"""Contributions of an item's words to the label and to the reason, for CC-SHAP.

The reason is explained as one text: the value is its log-probability after what the answer says before it. (The
original divides the contributions of each token of the reason by their sum before it averages them, and has them from
SHAP.) Only a local model has these values.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit.engines.requests import Attribute, Attributed, Failed, OptionScores, Reply, Request, ScoreOptions
from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.self_consistency.contribution_consistency import ANSWER, EXPLANATION
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.conversation import Conversation, Turn, plain
from dfar_toolkit.prompts.item_words import Word, item_words, without_words
from dfar_toolkit.prompts.parsing import parse_answers
from dfar_toolkit.prompts.placing import placed
from dfar_toolkit.prompts.written_reasons import reason_in
from dfar_toolkit.runners.prompting import Manner, spelled
from dfar_toolkit.runners.rationales.rationale import RATIONALE
from dfar_toolkit.runners.rationales.word_scores import reduction_of, word_scores
from dfar_toolkit.runners.self_consistency.reason_pieces import said
from dfar_toolkit.runners.self_consistency.reason_testing import LEAVE_ONE_OUT, ReasonTesting
from dfar_toolkit.runners.units import Row

_KIND: Final = "log_prob"
_SENTINEL: Final = "no_probability: the label or the reason has no log-probability without one of the words"


class _Side(NamedTuple):
    """What is explained: the label after its prompt, or the reason after what the answer says before it."""

    method: str
    asked: Asked
    begun: str | None  # of the answer, before the reason; None: up to the label
    options: tuple[tuple[str, ...], ...]
    target: int
    name: str


def contribution_rows(
    asked: Asked, answer: Row, how: ReasonTesting
) -> Generator[list[Request], list[Reply], list[Row]]:
    """Ask for the contributions of the words to the label that was given and to its reason.

    Args:
        asked: The item.
        answer: The row of the answer, with ``raw``, and ``option_logprobs`` where there are some.
        how: The attribution and the words.

    Returns:
        Two rows of condition ``rationale``, methods ``cc_answer`` and ``cc_explanation``, with ``word_scores``; with an
        ``error`` in their place where there are none.
    """
    words = item_words(asked, unit=how.unit)
    sides = _sides(asked, answer, how.manner) if words else "no_words: the item has no words"
    if isinstance(sides, str):
        return [_row(method, words, how, {"error": sides}) for method in (ANSWER, EXPLANATION)]
    loo = how.attribution == LEAVE_ONE_OUT
    try:
        asking = [_left_out(side, words, how) if loo else [_attribute(side, words, how)] for side in sides]
    except TableError as error:
        return [_row(side.method, words, how, {"error": f"unplaced: {error}"}) for side in sides]
    replies = yield [request for own in asking for request in own]
    rows, at = [], 0
    for side, own in zip(sides, asking, strict=True):
        given, at = replies[at : at + len(own)], at + len(own)
        facts = _of_left_out(given, side) if loo else _of_tokens(given[0], len(words), how)
        rows.append(_row(side.method, words, how, {"target": side.name, **facts}))
    return rows


def _sides(asked: Asked, answer: Row, manner: Manner) -> tuple[_Side, _Side] | str:
    """Both sides, or why there are none."""
    raw, style = str(answer.get("raw") or ""), manner.style
    names = list(style.spellings(asked.options))
    parsed = parse_answers(pl.Series([raw]), list(asked.options), letters=style.letters)
    label = parsed["label"][0] or _likeliest(answer, asked.options)
    first = style.answer == "reason_and_label"
    reason = reason_in(raw, style, names) if first else str(parsed["reason"][0] or "").strip()
    at = raw.find(reason)
    if label is None:
        return "no_label: no label could be read from the answer"
    if not said(reason) or at < 0:
        return "no_reason: the answer has no reason, or not as it was read from it"
    begun = raw[:at].rstrip()
    # A new turn begins with its first letter.
    gap = raw[len(begun) : at] if begun or not _chat(manner) else ""
    before = replace(asked, earlier={**asked.earlier, "reason": reason}) if first else asked
    number = asked.options.index(label)
    return (
        _Side(ANSWER, before, None, spelled(asked.options, manner), number, label),
        _Side(EXPLANATION, asked, begun, ((gap + reason,),), 0, label),
    )


def _likeliest(answer: Mapping[str, Any], options: Sequence[str]) -> str | None:
    logs = answer.get("option_logprobs")
    if not logs or sorted(logs)[-2:].count(max(logs)) > 1 or max(logs) == -math.inf:
        return None
    return options[list(logs).index(max(logs))]


def _chat(manner: Manner) -> bool:
    return manner.chat and not manner.style.plain_only


def _conversation(asked: Asked, side: _Side, manner: Manner) -> Conversation:
    """What stands before the label, or before the reason."""
    chat = _chat(manner)
    if side.begun is None:
        return manner.style.conversation(asked, chat=chat, up_to_label=True)
    before = manner.style.conversation(asked, chat=chat)
    if not side.begun:
        return before
    return (*before, Turn("assistant", side.begun.lstrip())) if chat else plain(before[0].text + side.begun)


def _attribute(side: _Side, words: Sequence[Word], how: ReasonTesting) -> Request:
    conversation, places = placed(side.asked, words, lambda asked: _conversation(asked, side, how.manner))
    method: Any = how.attribution
    return Attribute(ScoreOptions(conversation, side.options), side.target, places, (method,), kind=_KIND)


def _left_out(side: _Side, words: Sequence[Word], how: ReasonTesting) -> list[Request]:
    """The whole item, then the item without each word."""
    forms = [side.asked, *(without_words(side.asked, words, {number}) for number in range(len(words)))]
    return [ScoreOptions(_conversation(form, side, how.manner), side.options) for form in forms]


def _of_tokens(reply: Reply, n_words: int, how: ReasonTesting) -> Row:
    if isinstance(reply, Failed):
        return {"error": f"{reply.kind}: {reply.message}"}
    assert isinstance(reply, Attributed)
    tokens = reply.scores.get(how.attribution, ())
    if not tokens or not all(map(math.isfinite, tokens)):
        return {"error": f"malformed: the model gave no scores that are finite numbers in {reply.dtype}"}
    found = word_scores(tokens, reply.shares, n_words, reduction_of(how.attribution, None))
    return {
        "word_scores": list(found.scores), "value": reply.value, "dtype": reply.dtype,
        "reduction": reduction_of(how.attribution, None),
    }  # fmt: skip


def _of_left_out(replies: Sequence[Reply], side: _Side) -> Row:
    values: list[float] = []
    for reply in replies:
        if isinstance(reply, Failed):
            return {"error": f"{reply.kind}: {reply.message}"}
        assert isinstance(reply, OptionScores)
        if reply.kind != "forced":
            return {"error": "needs_model: a server that lists first tokens only cannot say how likely a reason is"}
        values.append(reply.logprobs[side.target])
    if not all(map(math.isfinite, values)):
        return {"error": _SENTINEL}
    return {"word_scores": [values[0] - value for value in values[1:]], "value": values[0], "baseline": "remove"}


def _row(method: str, words: Sequence[Word], how: ReasonTesting, facts: Row) -> Row:
    spans = [word._asdict() for word in words]
    return {
        "condition": RATIONALE, "method": method, "operator": "", "k": -1, "draw": 0, "sample": 0, "words": spans,
        "n_words": len(words), "word_unit": how.unit, "attribution": how.attribution, "target_kind": _KIND, **facts,
    }  # fmt: skip
