"""The words that a model says matter to its answer, asked for in conversations of their own.

All requests for an item are asked at once; a second round asks for the label of the edited text. What was written is
kept (``raw``) beside how it was read (``how_read``), the words listed that do not stand in the text (``n_missed``) and
the changes that are no part of a rationale (``n_changed``).
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit.engines.requests import Failed, Generate, Generated, Reply, Request
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.edited_copies import COPIED, UNCOPIED, EditedCopy, edited_copy, redacted_copy
from dfar_toolkit.prompts.found_words import WordIndex, chosen_words, first_words, rank_scores
from dfar_toolkit.prompts.item_words import Word, item_fields, with_texts
from dfar_toolkit.prompts.rationale_styles import RationaleStyle, RationaleTask, rationale_styles, shown_texts
from dfar_toolkit.prompts.word_lists import LISTED, UNLISTED, listed_words
from dfar_toolkit.runners.rationales.asking import Asker
from dfar_toolkit.runners.rationales.explaining import PROMPTED, Explaining
from dfar_toolkit.runners.rationales.rationale import Rationale
from dfar_toolkit.runners.units import seed_of

PREFIX: Final = "prompted_"
NONE_FOUND: Final = "none_found"
NOT_ASKED: Final = {
    "nobody_asked": "no people marked words of the item, so that there is no number to ask for",
    "nothing_marked": "people marked no word of the item",
    "no_words": "an item without words",
    "one_label": "no other label to edit towards",
}
READ: Final = {**LISTED, **COPIED, NONE_FOUND: "a list of which no word stands in the text"}
UNREAD: Final = {**UNLISTED, **UNCOPIED, **NOT_ASKED}
_TAIL: Final = 20  # characters that tell whether a copy is what an answer ends with

PromptedSteps = Generator[list[Request], list[Reply], list[Rationale]]


class _Query(NamedTuple):
    """A method with what is asked, or why it is not."""

    method: str
    task: RationaleTask
    request: Generate | None
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class _Item:
    """What is known of an item while its rationales are asked for."""

    item_id: str
    asked: Asked
    words: tuple[Word, ...]
    label: str
    human_count: int | None
    how: Explaining
    asker: Asker
    styles: Mapping[str, RationaleStyle]
    wanted: str

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(word.field for word in self.words))


def prompted_rationales(
    item_id: str,
    asked: Asked,
    words: tuple[Word, ...],
    label: str,
    human_count: int | None,
    methods: Sequence[str],
    how: Explaining,
    asker: Asker,
    *,
    styles: Mapping[str, RationaleStyle] | None = None,
    wanted: str | None = None,
) -> PromptedSteps:
    """Ask a model which words of an item mattered to its answer.

    Args:
        item_id: The item.
        asked: What the model was asked.
        words: The item's words; all words of the fields that are asked about.
        label: The label that the model gave, or that is explained in its place.
        human_count: How many words people marked; None: nobody was asked.
        methods: Methods of which those of ``PROMPTED`` are asked.
        how: How the item is explained; ``manner`` says whether prompts are turns.
        asker: Asks for the label of the edited text.
        styles: From :func:`~dfar_toolkit.prompts.rationale_styles.rationale_styles`; None: ours.
        wanted: The label that an edit is to lead to; where it is none of the other labels, ``how.contrast``; where
            that is none either, one of them, drawn by the seed.

    Yields:
        Requests: one for each method, then one for the label of the edited text, if there is one.

    Returns:
        A rationale for each method. ``chosen`` is None where nothing could be read (``how_read`` in ``UNREAD``) or no
        answer came (``error``); it is empty where the model named no word of the text. ``facts`` hold ``how_read``,
        ``raw``, ``finish``, ``seed``, ``temperature``, ``tokens_in``, ``tokens_out``; of lists ``n_listed``,
        ``n_missed`` and, of a number of words, ``n_asked``; of redactions ``n_changed``; of edits ``asked_label``,
        ``counterfactual``, ``n_inserted``, ``changed_share``, ``counterfactual_label``, ``counterfactual_probs``,
        ``counterfactual_error``. Scores of ``top_k`` and ``top_var`` are ranks, the first that was listed highest.
    """
    chosen = [method for method in methods if method in PROMPTED]
    if not chosen:
        return []
    item = _Item(
        item_id, asked, words, label, human_count, how, asker, styles if styles is not None else rationale_styles(),
        _wanted(item_id, asked, label, (wanted, how.contrast), how.seed),
    )  # fmt: skip
    queries = [_query(item, method) for method in chosen]
    requests: list[Request] = [query.request for query in queries if query.request is not None]
    replies = iter((yield requests) if requests else [])
    found: list[Rationale] = []
    for query in queries:
        if query.request is None:
            found.append(Rationale(query.method, facts={"how_read": query.why_not}))
        else:
            found.append(_read(item, query, next(replies)))
    places = [at for at, one in enumerate(found) if one.facts.get("how_read") in COPIED and "asked_label" in one.facts]
    if places:
        edited = [_edited(item, found[at]) for at in places]
        labelled = yield [asker.request(one) for one in edited]
        for at, reply in zip(places, labelled, strict=True):
            found[at] = found[at]._replace(facts={**found[at].facts, **_label(asker, reply)})
    return [one._replace(facts={key: fact for key, fact in one.facts.items() if key != _TEXTS}) for one in found]


def prompted_note(how_read: pl.Series) -> str:
    """What became of prompted rationales, for a note: how many gave no words, and why.

    Args:
        how_read: The column of one method, or of several.

    Returns:
        The note; empty where all could be read and name words of the text.

    Example:
        >>> prompted_note(pl.Series("how_read", ["lines", "refusal", "none_found", "refusal"]))
        'no words from 3 of 4 prompted rationales: 2 a refusal, 1 a list of which no word stands in the text'
    """
    said = {**UNREAD, NONE_FOUND: READ[NONE_FOUND]}
    lost = how_read.filter(how_read.is_in(list(said)))
    if not len(lost):
        return ""
    counts = lost.rename("how").value_counts().sort(["count", "how"], descending=[True, False])
    parts = ", ".join(f"{count} {said[name]}" for name, count in counts.iter_rows())
    return f"no words from {len(lost)} of {len(how_read.drop_nulls())} prompted rationales: {parts}"


_TEXTS: Final = "texts"  # of a copy, until its label is asked for


def _wanted(item_id: str, asked: Asked, label: str, said: Sequence[str | None], seed: int) -> str:
    """The label that an edit is to lead to, the first of those said that is another one; "" where there is none."""
    others = [option for option in asked.options if option != label]
    for name in said:
        if name in others:
            return str(name)
    return random.Random(seed_of(seed, item_id, "wanted")).choice(others) if others else ""


def _query(item: _Item, method: str) -> _Query:
    kind = method.removeprefix(PREFIX)
    style = item.styles[kind]
    count = {"top_k": item.how.top_k, "top_var": item.human_count or 0}.get(kind, 0)
    count = min(count, len(item.words))
    task = RationaleTask(item.label, item.fields, item.wanted if style.answer == "edited" else "", count, item.how.mask)
    why_not = ""
    if not item.words:
        why_not = "no_words"
    elif kind == "top_var" and count == 0:
        why_not = "nobody_asked" if item.human_count is None else "nothing_marked"
    elif style.answer == "edited" and not task.wanted:
        why_not = "one_label"
    return _Query(method, task, None, why_not) if why_not else _Query(method, task, _request(item, method, style, task))


def _request(item: _Item, method: str, style: RationaleStyle, task: RationaleTask) -> Generate:
    """What is asked; a copy may take half a token for each byte of its texts besides what the style allows."""
    manner = item.how.manner
    chat = manner is not None and manner.chat and not manner.style.plain_only
    copied = [text for _, text in shown_texts(item.asked, item.fields).values()] if style.answer != "words" else []
    return Generate(
        style.conversation(item.asked, task, chat=chat),
        max_new_tokens=style.max_new_tokens + sum(len(text.encode(errors="replace")) // 2 for text in copied),
        seed=seed_of(item.how.seed, item.item_id, method),
        stops=() if chat else style.stops,
    )


def _read(item: _Item, query: _Query, reply: Reply) -> Rationale:
    """The rationale that a reply gives, or why it gives none."""
    if isinstance(reply, Failed):
        return Rationale(query.method, facts={"error": f"{reply.kind}: {reply.message}"})
    assert isinstance(reply, Generated)
    assert query.request is not None
    facts: dict[str, Any] = {
        "raw": reply.texts[0], "finish": reply.finish[0], "seed": query.request.seed, "temperature": 0.0,
        "tokens_in": reply.tokens_in, "tokens_out": reply.tokens_out,
    }  # fmt: skip
    answer = item.styles[query.method.removeprefix(PREFIX)].answer
    if reply.finish[0] == "refusal":
        return Rationale(query.method, facts={**facts, "how_read": "refusal"})
    if answer == "words":
        return _from_list(item, query, reply.texts[0], facts)
    return _from_copy(item, query, reply, facts)


def _from_list(item: _Item, query: _Query, text: str, facts: dict[str, Any]) -> Rationale:
    index = WordIndex(item_fields(item.asked), item.words)
    phrases, how_read = listed_words(text, index.has)
    facts = {**facts, "how_read": how_read}
    if how_read not in LISTED:
        return Rationale(query.method, facts=facts)
    found = [index.find(phrase) for phrase in phrases]
    missed = sum(not places for places in found)
    facts |= {"n_listed": len(phrases), "n_missed": missed}
    if phrases and missed == len(phrases):
        facts["how_read"] = NONE_FOUND
    if not query.task.count:
        return Rationale(query.method, chosen=chosen_words(found), facts=facts)
    facts["n_asked"] = query.task.count
    scores = rank_scores(found, len(item.words))
    return Rationale(query.method, scores=scores, chosen=first_words(found, query.task.count), facts=facts)


def _from_copy(item: _Item, query: _Query, reply: Generated, facts: dict[str, Any]) -> Rationale:
    texts = shown_texts(item.asked, item.fields)
    unit, text = item.how.unit, reply.texts[0]
    edits = bool(query.task.wanted)
    if edits:
        copy = edited_copy(text, texts, item.words, unit=unit)
    else:
        copy = redacted_copy(text, texts, item.words, mask=query.task.mask, unit=unit)
    if reply.finish[0] == "length" and copy.how in COPIED and _ends_with(text, copy):
        copy = EditedCopy("cut_off", {})
    facts = {**facts, "how_read": copy.how}
    if edits:
        facts["asked_label"] = query.task.wanted
    if copy.how not in COPIED:
        return Rationale(query.method, facts=facts)
    if edits:
        named = "\n".join(f"{texts[name][0]}: {part}" for name, part in copy.texts.items())
        facts |= {
            "counterfactual": named if len(copy.texts) > 1 else next(iter(copy.texts.values())), _TEXTS: copy.texts,
            "n_inserted": copy.n_inserted, "changed_share": len(copy.chosen) / len(item.words),
        }  # fmt: skip
    else:
        facts["n_changed"] = copy.n_changed
    return Rationale(query.method, chosen=copy.chosen, facts=facts)


def _ends_with(text: str, copy: EditedCopy) -> bool:
    """Whether an answer ends with the copy: where it was cut off, so was the copy."""
    return text.rstrip().endswith(list(copy.texts.values())[-1][-_TAIL:].rstrip())


def _edited(item: _Item, rationale: Rationale) -> Asked:
    return with_texts(item.asked, rationale.facts[_TEXTS])


def _label(asker: Asker, reply: Reply) -> dict[str, Any]:
    """What the model says to the edited text."""
    if isinstance(reply, Failed):
        return {"counterfactual_error": f"{reply.kind}: {reply.message}"}
    probs = asker.probs_of(reply)
    return {
        "counterfactual_label": asker.label_of(reply),
        "counterfactual_probs": None if probs is None else list(probs),
    }
