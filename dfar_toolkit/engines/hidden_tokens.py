"""Words that a model is not to see: their tokens replaced by one that stands for nothing, or hidden from attention."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Final

from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.mask_token import mask_token_of
from dfar_toolkit.engines.option_scoring import OptionJob
from dfar_toolkit.engines.requests import Failed, ScoreOptions
from dfar_toolkit.engines.token_ids import OptionTokens, option_ids_many
from dfar_toolkit.engines.token_places import PlacedTokens, place_tokens

CANNOT_HIDE: Final = Failed(
    "needs_model",
    "tokens cannot be hidden from the attention of this model, which has none, counts positions itself, or takes no "
    "mask; hide words behind its mask token, or use another model.",
)
_MERGED: Final = Failed(
    "unplaced",
    "a word that is to be hidden ends in the token in which an option begins; let the prompt end with other words.",
)


def touched(placed: PlacedTokens) -> frozenset[int]:
    """The tokens that lie in a place, if with one character only.

    Example:
        >>> sorted(touched(PlacedTokens([1, 44, 301], [(1, 0, 0.5), (1, 1, 0.5), (2, 1, 1.0)])))
        [1, 2]
    """
    return frozenset(token for token, _, _ in placed.shares)


def replaced(ids: Sequence[int], places: Collection[int], token: int) -> tuple[int, ...]:
    """The tokens, another one at some places.

    Example:
        >>> replaced([5, 6, 7], {1}, 0)
        (5, 0, 7)
    """
    found = list(ids)
    for at in places:
        found[at] = token
    return tuple(found)


def option_jobs(
    requests: Sequence[ScoreOptions], loaded: LoadedModel, hides: Callable[[], bool]
) -> list[OptionJob | Failed]:
    """Prompts with their options as tokens, hidden words taken into account.

    A token that shares a character with a hidden place is hidden whole. The last token of the prompt is the one at
    which the answer is read: hidden, it is replaced by the mask token even where others are hidden from attention, as
    it would show itself.

    Args:
        requests: What is asked.
        loaded: A causal model.
        hides: Whether tokens can be hidden from its attention.

    Returns:
        One job per request, or why there is none.

    Raises:
        EngineError: Options or places that make no sense, or a slow tokenizer where places are hidden.
    """
    conversations = [request.conversation for request in requests]
    hiding = [at for at, request in enumerate(requests) if request.hidden]
    placed = place_tokens([conversations[at] for at in hiding], [requests[at].hidden for at in hiding], loaded)
    known = {conversations[at]: own.ids for at, own in zip(hiding, placed, strict=True)}
    tokens = option_ids_many(conversations, [request.spellings for request in requests], loaded, known=known)
    unseen = dict(zip(hiding, map(touched, placed), strict=True))

    @cache
    def mask() -> int:
        return mask_token_of(loaded.tokenizer, rows=loaded.model.get_input_embeddings().weight.shape[0])[0]

    return [
        _job(own, request, unseen.get(at, frozenset()), mask, hides)
        for at, (own, request) in enumerate(zip(tokens, requests, strict=True))
    ]


def _job(
    own: OptionTokens,
    request: ScoreOptions,
    unseen: frozenset[int],
    mask: Callable[[], int],
    hides: Callable[[], bool],
) -> OptionJob | Failed:
    prompt = tuple(own.common)
    if not unseen:
        return OptionJob(prompt, own.tails, own.prompt_tokens)
    last = len(prompt) - 1
    if max(unseen) > last:
        return _MERGED
    if request.hiding == "token":
        return OptionJob(replaced(prompt, unseen, mask()), own.tails, own.prompt_tokens)
    if not hides():
        return CANNOT_HIDE
    return OptionJob(replaced(prompt, unseen & {last}, mask()), own.tails, own.prompt_tokens, unseen - {last})
