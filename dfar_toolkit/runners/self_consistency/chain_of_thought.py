"""The label after the reason was cut short, spoilt, emptied or put otherwise.

The reason is the model's own, of its first sample. What stands after a change stays as it was: the model does not go on
from the changed place, as in some studies, it only gives its label after the whole of the changed reason.
"""

from __future__ import annotations

import random
import re
from collections.abc import Generator, Mapping, Sequence
from typing import Final, NamedTuple

from dfar_toolkit.engines.requests import Failed, Generate, Generated, Reply, Request
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.conversation import Conversation, Turn, plain
from dfar_toolkit.runners.self_consistency.label_after import label_request, label_rows
from dfar_toolkit.runners.self_consistency.reason_pieces import (
    filler_characters,
    filler_words,
    first_pieces,
    replaced,
    said,
    same_words,
    sentence_spans,
)
from dfar_toolkit.runners.self_consistency.reason_testing import CHAIN_TESTS, ReasonTesting
from dfar_toolkit.runners.units import Row, seed_of
from dfar_toolkit.spans import Span, word_spans

METHOD: Final = "cot"
FULL: Final = "cot_full"
Pool = Sequence[tuple[str, str]]  # item and sentence
_TRIES: Final = 64


class _Changed(NamedTuple):
    """A changed reason with the columns that say how; None where there is none, and why."""

    facts: Row
    reason: str | None
    error: str | None = None


def sentence_pool(reasons: Mapping[str, Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """The sentences of the reasons of all items, from which ``other_sentence`` draws.

    Args:
        reasons: By item its reasons, people's or a model's.

    Returns:
        Item and sentence, sorted, each once.

    Example:
        >>> sentence_pool({"b": ["It helps."], "a": ["It hurts. Badly."]})
        (('a', 'Badly.'), ('a', 'It hurts.'), ('b', 'It helps.'))
    """
    return tuple(
        sorted({
            (item, text[start:end]) for item, own in reasons.items() for text in own
            for start, end in sentence_spans(text)
        })
    )  # fmt: skip


def chain_rows(
    item_id: str, asked: Asked, reason: str, how: ReasonTesting, pool: Pool = ()
) -> Generator[list[Request], list[Reply], list[Row]]:
    """Ask for the label after the whole reason and after each change of it.

    Args:
        item_id: The item.
        asked: What is asked about it.
        reason: The model's reason.
        how: Which changes.
        pool: Sentences for ``other_sentence``.

    Returns:
        Rows of ``cot_full`` and of the changes, each with ``shown_reason``, ``n_pieces`` and ``edited``; only
        ``cot_full`` where the reason says nothing.
    """
    cut = sentence_spans(reason) if how.cut == "sentences" else word_spans(reason, unit=how.unit)
    whole = _Changed({"condition": FULL, "operator": "", "n_pieces": len(cut) if said(reason) else 0}, reason)
    changed = [whole]
    if said(reason):
        changed += _early(reason, cut, how) + _fillers(reason, how)
        changed += yield from _edited(item_id, asked, reason, how, pool)
    requests = {one.reason: label_request(asked, one.reason, how.manner, item_id) for one in changed if one.reason}
    replies = yield list(requests.values())
    answers = {
        text: label_rows(reply, request, asked.options, how.manner)
        for (text, request), reply in zip(requests.items(), replies, strict=True)
    }
    rows: list[Row] = []
    for one in changed:
        facts = {"method": METHOD, "k": -1, "draw": 0, "edited": True, **one.facts, "shown_reason": one.reason}
        lost: Row = {"sample": 0} if one.error is None else {"sample": 0, "error": one.error}
        rows += [{**facts, **row} for row in (answers[one.reason] if one.reason else [lost])]
    return rows


def needs_pool(how: ReasonTesting) -> bool:
    """Whether sentences of other items' reasons are needed."""
    return "cot_mistake" in how.tests and how.mistake == "other_sentence"


def _early(reason: str, cut: Sequence[Span], how: ReasonTesting) -> list[_Changed]:
    if "cot_early" not in how.tests:
        return []
    found = []
    for draw, share in enumerate(how.shares):
        kept, text = first_pieces(reason, cut, share)
        facts = {"operator": how.cut, "k": kept, "draw": draw, "share": share, "n_pieces": len(cut)}
        # Asked as the whole reason is, where all of it is kept.
        found.append(_Changed({"condition": "cot_early", **facts}, reason if kept == len(cut) else text))
    return found


def _fillers(reason: str, how: ReasonTesting) -> list[_Changed]:
    if "cot_filler" not in how.tests:
        return []
    text = filler_words(reason, how.unit) if how.filler == "words" else filler_characters(reason)
    return [_Changed({"condition": "cot_filler", "operator": how.filler}, text)]


def _edited(
    item_id: str, asked: Asked, reason: str, how: ReasonTesting, pool: Pool
) -> Generator[list[Request], list[Reply], list[_Changed]]:
    """Mistakes and paraphrases; those that the model writes are asked for first, all at once."""
    sentences = sentence_spans(reason)
    drawn = random.Random(seed_of(how.seed, item_id, "mistake"))
    places = sorted(drawn.sample(range(len(sentences)), min(how.mistakes, len(sentences))))
    spoilt = places if "cot_mistake" in how.tests else []
    written: list[Request] = []
    texts = {"statement": asked.statement, "reason": reason}
    if how.mistake == "model":
        for at in spoilt:
            prompt = filled(how.mistake_prompt, {**texts, "sentence": reason[slice(*sentences[at])]})
            written.append(_edit(prompt, "Sentence:", ("\n",), how, item_id, at))
    if "cot_paraphrase" in how.tests:
        prompt = filled(how.paraphrase_prompt, {**texts, "sentence": reason})
        written.append(_edit(prompt, "In other words:", ("\n\n",), how, item_id, "paraphrase"))
    replies = iter((yield written) if written else ())
    found: list[_Changed] = []
    for number, at in enumerate(spoilt):
        facts = {
            "condition": "cot_mistake", "operator": how.mistake, "draw": number, "k": at,
            "share": at / len(sentences), "n_pieces": len(sentences),
        }  # fmt: skip
        other = _first_line(next(replies)) if how.mistake == "model" else _other(pool, item_id, drawn)
        found.append(_change(facts, other, reason, sentences[at]))
    if "cot_paraphrase" in how.tests:
        facts = {"condition": "cot_paraphrase", "operator": "model"}
        found.append(_change(facts, _whole(next(replies)), reason, (0, len(reason))))
    return found


def _change(facts: Row, other: str | Failed, reason: str, piece: Span) -> _Changed:
    """The reason with a piece put otherwise; not edited where nothing came of it."""
    if isinstance(other, Failed):
        return _Changed(facts, None, f"{other.kind}: {other.message}")
    if not said(other) or same_words(other, reason[slice(*piece)]):
        return _Changed({**facts, "edited": False}, None)
    return _Changed(facts, replaced(reason, piece, other))


def _edit(prompt: str, start: str, stops: tuple[str, ...], how: ReasonTesting, item_id: str, step: object) -> Generate:
    chat = how.manner.chat and not how.manner.style.plain_only
    conversation: Conversation = (Turn("user", prompt),) if chat else plain(f"{prompt}\n\n{start}")
    seed = seed_of(how.seed, item_id, "edit", step)
    return Generate(conversation, max_new_tokens=how.edit_tokens, seed=seed, stops=() if chat else stops)


def filled(prompt: str, texts: Mapping[str, str]) -> str:
    """A prompt with texts put in; braces in the texts mean nothing.

    Example:
        >>> filled("Say {reason}.", {"reason": "{statement}", "statement": "x"})
        'Say {statement}.'
    """
    names = "|".join(map(re.escape, texts))
    return re.sub(rf"\{{({names})\}}", lambda found: texts[found[1]], prompt)


def _first_line(reply: Reply) -> str | Failed:
    text = _whole(reply)
    return text if isinstance(text, Failed) else text.split("\n", 1)[0].strip()


def _whole(reply: Reply) -> str | Failed:
    if isinstance(reply, Failed):
        return reply
    assert isinstance(reply, Generated)
    return reply.texts[0].strip()


def _other(pool: Pool, item_id: str, drawn: random.Random) -> str | Failed:
    """A sentence of another item's reason."""
    for _ in range(_TRIES if pool else 0):
        item, sentence = pool[drawn.randrange(len(pool))]
        if item != item_id:
            return sentence
    return Failed("no_donor", "no other item has a reason that a sentence could be taken from")


def wants_chain(how: ReasonTesting) -> bool:
    """Whether any test changes the reason."""
    return any(test in CHAIN_TESTS for test in how.tests)
