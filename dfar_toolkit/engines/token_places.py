"""Which tokens of a prompt the words of an item became, by overlap of characters."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

from dfar_toolkit.engines.chat_text import ModelText, model_text
from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.requests import Classify
from dfar_toolkit.engines.text_ids import text_spans
from dfar_toolkit.engines.token_ids import own_start
from dfar_toolkit.errors import EngineError
from dfar_toolkit.prompts.conversation import Conversation
from dfar_toolkit.prompts.placing import Place, unmarked, unused_marks
from dfar_toolkit.spans import Span, unit_shares

Shares = list[tuple[int, int, float]]
_AT_ONCE: Final = 2048  # texts per call of the tokenizer


class PlacedTokens(NamedTuple):
    """The tokens that a model reads, and which of them lie in which places.

    Attributes:
        ids: All tokens, special ones included.
        shares: Triples of token (place in ``ids``), unit and share, rising: of the characters of the token that lie in
            places, the share that lies in those of this unit. A token may belong to several units, and tokens that
            together make one character all belong to its unit.
    """

    ids: list[int]
    shares: Shares


class _Cut:
    """A text cut into tokens.

    Args:
        ids: The tokens.
        spans: The characters of each.

    Attributes:
        ids: The tokens.
    """

    def __init__(self, ids: list[int], spans: list[Span]) -> None:
        self.ids = ids
        self._rising = sorted(spans)
        self._order: Sequence[int] = range(len(spans))
        if self._rising != spans:
            self._order = sorted(self._order, key=spans.__getitem__)
        ends = [end for _, end in self._rising]
        self._ends = ends if ends == sorted(ends) else list(accumulate(ends, max))

    def shares(self, places: Sequence[tuple[int, Span]], before: int) -> Shares:
        """Shares of tokens in units; only the tokens from the first place to the last are looked at."""
        rising = sorted((span, unit) for unit, span in places if span[0] < span[1])
        if not rising:
            return []
        spans = [span for span, _ in rising]
        low = bisect_right(self._ends, spans[0][0])
        high = bisect_left(self._rising, (max(end for _, end in spans), 0), low)
        shares = unit_shares(spans, self._rising[low:high])
        units, first = [unit for _, unit in rising], low + before
        if isinstance(self._order, range) and len(set(units)) == len(units):
            return sorted([(token + first, units[which], share) for token, which, share in shares])
        found: dict[tuple[int, int], float] = {}
        for token, which, share in shares:
            key = (self._order[low + token] + before, units[which])
            found[key] = found.get(key, 0.0) + share
        return sorted((token, unit, share) for (token, unit), share in found.items())


def place_tokens(
    conversations: Sequence[Conversation], places: Sequence[tuple[Place, ...]], loaded: LoadedModel
) -> list[PlacedTokens]:
    """Where places of conversations are in the tokens of their prompts.

    Blanks around the text of a turn are in no place: templates cut them off. Time grows with the characters of the
    different conversations, and with the number of places.

    Args:
        conversations: What is gone on with.
        places: Places in the turns of each.
        loaded: The model; its tokenizer must be a fast one, which says where tokens come from.

    Returns:
        For each conversation the ids that :func:`~dfar_toolkit.engines.token_ids.prompt_ids_many` gives, and the
        shares; none where no places are given, or no token touches one.

    Raises:
        EngineError: A slow tokenizer, a place outside the conversation, or a chat template that changes the text of a
            turn with places, or leaves it out.
        ValueError: Not as many lists of places as conversations.

    Example:
        >>> place_tokens([plain("I lied.")], [(Place(0, 0, 2, 7),)], loaded)  # doctest: +SKIP
        [PlacedTokens(ids=[1, 44, 301, 17], shares=[(2, 0, 1.0), (3, 0, 1.0)])]
    """
    if len(conversations) != len(places):
        raise ValueError(
            f"place_tokens: as many lists of places as prompts: found {len(places)} for {len(conversations)}."
        )
    _check_fast(loaded)
    for conversation, own in zip(conversations, places, strict=True):
        _check_places(own, [turn.text for turn in conversation])
    keys = [(one, frozenset(place.turn for place in own)) for one, own in zip(conversations, places, strict=True)]
    texts = {one: model_text(one, loaded) for one in dict.fromkeys(conversations)}
    starts = {key: _turn_starts(key[0], sorted(key[1]), texts[key[0]], loaded) for key in dict.fromkeys(keys)}
    cuts = _cut([text.text for text in texts.values()], loaded.tokenizer)
    before = own_start(loaded.tokenizer) if any(text.own_start for text in texts.values()) else []
    found = []
    for key, own in zip(keys, places, strict=True):
        text, cut = texts[key[0]], cuts[texts[key[0]].text]
        special = before if text.own_start else []
        spans = [(place.unit, span) for place in own for span in _in_text(place, key[0], starts[key])]
        ids = [*special, *cut.ids]
        found.append(PlacedTokens(ids, cut.shares(spans, len(special))))
    return found


def place_class_tokens(
    requests: Sequence[Classify], places: Sequence[tuple[Place, ...]], loaded: LoadedModel
) -> list[PlacedTokens]:
    """Where places of texts, or of pairs of texts, are in the tokens that a classifier reads.

    Args:
        requests: The texts.
        places: Places of each; turn 0 is the text, turn 1 the second of a pair.
        loaded: The classifier; its tokenizer must be a fast one.

    Returns:
        For each request the ids, with the special tokens around the texts, and the shares.

    Raises:
        EngineError: A slow tokenizer, or a place outside the texts.
        ValueError: Not as many lists of places as requests.
    """
    if len(requests) != len(places):
        raise ValueError(
            f"place_class_tokens: as many lists of places as texts: found {len(places)} for {len(requests)}."
        )
    _check_fast(loaded)
    cuts: dict[tuple[str, str | None], tuple[_Cut, ...]] = {}
    for request, own in zip(requests, places, strict=True):
        key = (request.text, request.second)
        _check_places(own, [text for text in key if text is not None])
        if key not in cuts:
            cuts[key] = _cut_pair(*key, loaded.tokenizer)
    found = []
    for request, own in zip(requests, places, strict=True):
        sides = cuts[request.text, request.second]
        shares: Shares = []
        for turn, cut in enumerate(sides):
            shares += cut.shares([(place.unit, (place.start, place.end)) for place in own if place.turn == turn], 0)
        found.append(PlacedTokens(list(sides[0].ids), sorted(shares)))
    return found


def _check_fast(loaded: LoadedModel) -> None:
    if not loaded.tokenizer.is_fast:
        raise EngineError(
            "wanted a fast tokenizer, which says what characters each token stands for, found a slow one "
            f"({type(loaded.tokenizer).__name__}); use a model with a tokenizer.json."
        )


def _check_places(places: Sequence[Place], texts: Sequence[str]) -> None:
    for place in places:
        if not 0 <= place.turn < len(texts):
            raise EngineError(f"wanted places in turns 0 to {len(texts) - 1}, found one in turn {place.turn}.")
        if not 0 <= place.start <= place.end <= len(texts[place.turn]):
            raise EngineError(
                f"wanted places within the {len(texts[place.turn])} characters of turn {place.turn}, "
                f"found {place.start} to {place.end}."
            )


def _extent(text: str) -> Span:
    """The text without blanks around it."""
    return len(text) - len(text.lstrip()), len(text.rstrip())


def _turn_starts(
    conversation: Conversation, turns: Sequence[int], whole: ModelText, loaded: LoadedModel
) -> dict[int, list[int]]:
    """Where the texts of turns begin in the text that the model reads; a template may show one more than once."""
    turns = [turn for turn in turns if conversation[turn].text.strip()]
    marks = unused_marks([whole.text, *(turn.text for turn in conversation)], 2 * len(turns))
    pairs = dict(zip(turns, zip(marks[::2], marks[1::2], strict=True), strict=True))
    marked = list(conversation)
    for turn, (opening, closing) in pairs.items():
        text, (start, end) = conversation[turn].text, _extent(conversation[turn].text)
        marked[turn] = conversation[turn]._replace(text=text[:start] + opening + text[start:end] + closing + text[end:])
    text, found = unmarked(model_text(tuple(marked), loaded).text, set(marks))
    if text != whole.text:
        raise EngineError(
            "the chat template changes the texts of its turns, so that no word can be found in them (no chat)."
        )
    starts: dict[int, list[int]] = {}
    for turn, (opening, closing) in pairs.items():
        start, end = _extent(conversation[turn].text)
        starts[turn] = [at for mark, at in found if mark == opening]
        ends = [at for mark, at in found if mark == closing]
        said = conversation[turn].text[start:end]
        if not starts[turn] or ends != [at + len(said) for at in starts[turn]]:
            raise EngineError(
                f"the chat template does not show turn {turn} as it is, so that no word can be found in it."
            )
    return starts


def _in_text(place: Place, conversation: Conversation, starts: dict[int, list[int]]) -> list[Span]:
    """The place in the text that the model reads, once for each time that its turn is shown."""
    first, end = _extent(conversation[place.turn].text)
    start, end = max(place.start, first), min(place.end, end)
    return [(at + start - first, at + end - first) for at in starts.get(place.turn, [])] if start < end else []


def _cut(texts: Sequence[str], tokenizer: Any) -> dict[str, _Cut]:
    """Each different text in tokens, without the tokenizer's own special ones."""
    distinct = list(dict.fromkeys(texts))
    found: dict[str, _Cut] = {}
    for at in range(0, len(distinct), _AT_ONCE):
        part = distinct[at : at + _AT_ONCE]
        cuts = text_spans(part, tokenizer)
        found.update(zip(part, (_Cut(ids, spans) for ids, spans in cuts), strict=True))
    return found


def _cut_pair(text: str, second: str | None, tokenizer: Any) -> tuple[_Cut, ...]:
    """All tokens, once for each side: tokens of the other side and special ones stand for no characters of it."""
    encoded = tokenizer(text, second, truncation=False, return_offsets_mapping=True, verbose=False)
    ids, spans, sides = encoded["input_ids"], encoded["offset_mapping"], encoded.sequence_ids()
    # A side's other tokens are left at the last character before them, so that spans do not fall.
    found = []
    for side in range(1 if second is None else 2):
        last, own = 0, []
        for (start, end), which in zip(spans, sides, strict=True):
            own.append((start, end) if which == side else (last, last))
            last = own[-1][1]
        found.append(_Cut(list(ids), own))
    return tuple(found)
