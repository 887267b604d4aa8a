"""From conversations and options to token ids: prompt and option are cut into tokens together, as one text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from dfar_toolkit.engines.chat_text import ModelText, answer_end, answer_gap, model_text
from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.text_ids import text_ids
from dfar_toolkit.errors import EngineError
from dfar_toolkit.prompts.conversation import Conversation, is_plain

Ids = list[int]
Spellings = Sequence[Sequence[str]]
_AT_ONCE: Final = 2048  # texts per call of the tokenizer


@dataclass(frozen=True, slots=True)
class OptionTokens:
    """Where the options of a prompt part, and how each goes on from there.

    Attributes:
        common: The tokens that the prompt and the prompt with any of the options begin with; at least one. Shorter
            than the prompt where its last characters become one token with an option's first.
        tails: For each option, for each of its spellings, the tokens after ``common``. None is empty, none begins with
            another one. Of the spellings of one option that come to the same tokens one stands, and one that begins
            with another is left out, as the other's probability holds its own.
        terminated: Whether each tail ends with the token that ends an answer, because an option began with another.
        prompt_tokens: Tokens of the prompt alone.
    """

    common: Ids
    tails: tuple[tuple[tuple[int, ...], ...], ...]
    terminated: bool
    prompt_tokens: int


def prompt_ids(conversation: Conversation, loaded: LoadedModel) -> Ids:
    """The tokens of a prompt, the special ones before it included; nothing is put after it.

    Args:
        conversation: What is gone on with.
        loaded: The model.

    Returns:
        The ids.

    Raises:
        EngineError: The chat template does not take the turns.
    """
    return prompt_ids_many([conversation], loaded)[0]


def prompt_ids_many(conversations: Sequence[Conversation], loaded: LoadedModel) -> list[Ids]:
    """The tokens of many prompts, each the same as alone.

    Args:
        conversations: What is gone on with.
        loaded: The model.

    Returns:
        The ids of each, in the order given.

    Raises:
        EngineError: The chat template does not take the turns.
    """
    return _encoded([model_text(conversation, loaded) for conversation in conversations], loaded.tokenizer)


def option_ids(prompt: Conversation, spellings: Spellings, loaded: LoadedModel) -> OptionTokens:
    """The tokens of each option after a prompt.

    Args:
        prompt: What stands before the options.
        spellings: For each option the texts that say it, exactly as they follow the prompt.
        loaded: The model.

    Returns:
        What they share and how they go on.

    Raises:
        EngineError: Two options come to the same tokens, one is empty, or nothing stands before them.

    Example:
        >>> option_ids(plain("Answer:"), ((" right",), (" wrong",)), loaded)  # doctest: +SKIP
        OptionTokens(common=[1, 309, 30], tails=(((276,),), ((291, 71),)), terminated=False, prompt_tokens=3)
    """
    return option_ids_many([prompt], [spellings], loaded)[0]


def option_ids_many(
    prompts: Sequence[Conversation],
    spellings: Sequence[Spellings],
    loaded: LoadedModel,
    *,
    known: Mapping[Conversation, Ids] | None = None,
) -> list[OptionTokens]:
    r"""The tokens of the options after each of many prompts.

    With \(t\) the tokenizer, \(p\) the prompt and \(o\) a spelling, ``common`` is the longest beginning that
    \(t(p)\) and all \(t(p + o)\) share, and the tail of \(o\) is the rest of \(t(p + o)\): the tokens are those that
    the model saw when the whole text was in its training. Where a chat template has a blank between the opening of a
    turn and its text, that blank stands before the options, unless one of their spellings has a blank of its own.

    Args:
        prompts: What stands before the options.
        spellings: For each prompt, for each option, the texts that say it.
        loaded: The model.
        known: Tokens of prompts as :func:`prompt_ids_many` gives them; those are not cut again.

    Returns:
        What they share and how they go on, prompt by prompt, each the same as alone.

    Raises:
        EngineError: Two options come to the same tokens, one is empty, or nothing stands before them.
        ValueError: Not as many lists of spellings as prompts.
    """
    if len(prompts) != len(spellings):
        raise ValueError(f"as many lists of spellings as prompts: found {len(spellings)} for {len(prompts)}.")
    asked = [(prompt, tuple(map(tuple, options))) for prompt, options in zip(prompts, spellings, strict=True)]
    distinct = list(dict.fromkeys(asked))
    starts = {prompt: model_text(prompt, loaded) for prompt in dict.fromkeys(prompts)}
    alone = known or {}
    texts: list[ModelText] = []
    gap = answer_gap(loaded) if loaded.chat and not all(map(is_plain, starts)) else ""
    for prompt, options in distinct:
        _check_spellings(options)
        start = starts[prompt]
        texts += [] if prompt in alone else [start]
        opened = "" if is_plain(prompt) or prompt[-1].role == "assistant" else gap
        for option in options:
            blank = "" if any(spelling[:1].isspace() for spelling in option) else opened
            texts += [ModelText(f"{start.text}{blank}{spelling}", start.own_start) for spelling in option]
    ids = iter(_encoded(texts, loaded.tokenizer))
    ends: dict[bool, int | None] = {}
    found = {}
    for prompt, options in distinct:
        own = alone[prompt] if prompt in alone else next(ids)
        found[prompt, options] = _option_tokens(own, options, ids, loaded, ends, plain=is_plain(prompt))
    return [found[one] for one in asked]


def _option_tokens(
    alone: Ids,
    options: tuple[tuple[str, ...], ...],
    joint: Iterator[Ids],
    loaded: LoadedModel,
    ends: dict[bool, int | None],
    *,
    plain: bool,
) -> OptionTokens:
    """The options of one prompt from its tokens and those of it with each spelling, which come one after the other."""
    whole = [[next(joint) for _ in option] for option in options]
    shared = _shared(alone, whole, options)
    tails = tuple(tuple(dict.fromkeys(tuple(ids[shared:]) for ids in option)) for option in whole)
    _check_apart(tails, options)
    apart = tuple(_disjoint(option) for option in tails)
    terminated = _one_begins_with_another(apart)
    if terminated:
        if plain not in ends:
            ends[plain] = answer_end(loaded, plain=plain)
        apart = _terminated(tails, ends[plain])
    return OptionTokens(alone[:shared], apart, terminated, len(alone))


def special_texts(texts: Iterable[str | None], tokenizer: Any) -> int:
    """How many texts hold the text of a special token, which the model would read as that token.

    Args:
        texts: Texts of items.
        tokenizer: The tokenizer.

    Returns:
        Their number.

    Example:
        >>> from types import SimpleNamespace
        >>> special_texts(["I lied.", "I left.</s>"], SimpleNamespace(all_special_tokens=["</s>"]))
        1
    """
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    names = {*tokenizer.all_special_tokens, *(str(token) for token in added if token.special)} - {""}
    if not names:
        return 0
    pattern = re.compile("|".join(map(re.escape, sorted(names))))
    return sum(text is not None and pattern.search(text) is not None for text in texts)


def own_start(tokenizer: Any) -> Ids:
    """The special tokens that the tokenizer itself puts before a text; what it puts after one is no part of a prompt.

    Args:
        tokenizer: The tokenizer.

    Returns:
        The ids, often one or none.
    """
    inner, whole = text_ids(["a"], tokenizer)[0], tokenizer("a", verbose=False)["input_ids"]
    places = range(len(whole) - len(inner) + 1)
    at = next((at for at in places if inner and whole[at : at + len(inner)] == inner), 0)
    return list(whole[:at])


def _encoded(texts: Sequence[ModelText], tokenizer: Any) -> list[Ids]:
    """Ids of each text; equal texts are looked at once."""
    start = own_start(tokenizer) if any(text.own_start for text in texts) else []
    distinct = list(dict.fromkeys(text.text for text in texts))
    ids: dict[str, Ids] = {}
    for at in range(0, len(distinct), _AT_ONCE):
        part = distinct[at : at + _AT_ONCE]
        ids.update(zip(part, text_ids(part, tokenizer), strict=True))
    return [[*start, *ids[text.text]] if text.own_start else list(ids[text.text]) for text in texts]


def _check_spellings(options: Spellings) -> None:
    if not options or not all(options):
        raise EngineError("wanted options with at least one spelling each, found one without.")
    if not all(spelling for option in options for spelling in option):
        raise EngineError("wanted options with a text, found an empty one.")


def _shared(alone: Ids, whole: list[list[Ids]], options: Spellings) -> int:
    """How many first tokens the prompt and the prompt with each option share, one left over for each option."""
    shared = len(alone)
    for joint in (ids for option in whole for ids in option):
        upto = max(min(shared, len(joint) - 1), 0)
        if joint[:upto] != alone[:upto]:
            upto = next(at for at in range(upto) if joint[at] != alone[at])
        shared = upto
    if shared < 1:
        raise EngineError(
            f"nothing stands before the option {options[0][0]!r}, so that it has no probability; wanted a prompt of at "
            "least one token that the options do not change."
        )
    return shared


def _check_apart(tails: Sequence[Sequence[tuple[int, ...]]], options: Spellings) -> None:
    first: dict[tuple[int, ...], int] = {}
    for place, option in enumerate(tails):
        for tail in option:
            other = first.setdefault(tail, place)
            if other != place:
                raise EngineError(
                    f"the options {options[other][0]!r} and {options[place][0]!r} come to the same tokens in this "
                    "tokenizer, so that the model cannot tell them apart; give them other names."
                )


def _disjoint(option: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """The spellings of one option less those that begin with another one: that one's probability holds theirs."""
    return tuple(tail for tail in option if not any(tail != other and tail[: len(other)] == other for other in option))


def _one_begins_with_another(tails: Sequence[Sequence[tuple[int, ...]]]) -> bool:
    # In sorted order what begins with a tail follows it at once.
    ordered = sorted(tail for option in tails for tail in option)
    return any(longer[: len(shorter)] == shorter for shorter, longer in pairwise(ordered))


def _terminated(
    tails: tuple[tuple[tuple[int, ...], ...], ...], end: int | None
) -> tuple[tuple[tuple[int, ...], ...], ...]:
    if end is None:
        raise EngineError(
            "one option begins with another, and the tokenizer has no token that ends an answer; give the options "
            "names of which none begins with another."
        )
    return tuple(tuple((*tail, end) for tail in option) for option in tails)
