"""From requests to the tokens that are explained, and to what the number is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from dfar_toolkit.engines.attribution.class_scalar import ClassInput
from dfar_toolkit.engines.attribution.option_scalar import OptionInput
from dfar_toolkit.engines.classifying import class_names
from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.option_scoring import OptionJob
from dfar_toolkit.engines.requests import Attribute, Classify, Failed, ScoreOptions
from dfar_toolkit.engines.token_ids import OptionTokens, option_ids_many
from dfar_toolkit.engines.token_places import Shares, place_class_tokens, place_tokens
from dfar_toolkit.errors import EngineError

UNPLACED: Final = Failed("unplaced", "no token stands at the places that are to be explained")


class Explained(NamedTuple):
    """One request, ready to be run.

    Attributes:
        tokens: What the model reads before it answers.
        types: Of a classifier the type of each token, where it has types.
        shares: Triples of explained token (its place among the explained ones), unit and share.
        own: The input with its target.
    """

    tokens: tuple[int, ...]
    types: tuple[int, ...] | None
    shares: tuple[tuple[int, int, float], ...]
    own: OptionInput | ClassInput


def explained_inputs(requests: Sequence[Attribute], loaded: LoadedModel) -> list[Explained | Failed]:
    """The inputs of requests, each as alone.

    Args:
        requests: All of options before a causal model, all of classes before a classifier.
        loaded: The model.

    Returns:
        One per request, in order; :class:`Failed` (``too_long``, ``unplaced``, ``malformed``).

    Raises:
        EngineError: A target that there is not, or words that cannot be found in the tokens.
    """
    if loaded.kind == "classifier":
        return _of_classes(requests, loaded)
    return _of_options(requests, loaded)


def _of_options(requests: Sequence[Attribute], loaded: LoadedModel) -> list[Explained | Failed]:
    asked = [request.asked for request in requests if isinstance(request.asked, ScoreOptions)]
    for request, own in zip(requests, asked, strict=True):
        _check_target(request, len(own.spellings))
    wanted = [at for at, request in enumerate(requests) if request.places is not None]
    conversations = [one.conversation for one in asked]
    placed = place_tokens([conversations[at] for at in wanted], [requests[at].places or () for at in wanted], loaded)
    known = {conversations[at]: own.ids for at, own in zip(wanted, placed, strict=True)}
    tokens = option_ids_many(conversations, [one.spellings for one in asked], loaded, known=known)
    shares = {at: own.shares for at, own in zip(wanted, placed, strict=True)}
    return [
        _of_option(request, own, shares.get(at), loaded.max_length)
        for at, (request, own) in enumerate(zip(requests, tokens, strict=True))
    ]


def _of_option(request: Attribute, tokens: OptionTokens, shares: Shares | None, most: int) -> Explained | Failed:
    prompt = tuple(tokens.common)
    numbers = [request.target] if request.contrast is None else [request.target, request.contrast]
    if request.kind == "option_log_prob":
        numbers = list(range(len(tokens.tails)))
    job = OptionJob(prompt, tuple((tokens.tails[number][0],) for number in numbers), tokens.prompt_tokens)
    if job.needed > most:
        return Failed(
            "too_long",
            f"the prompt with the longest explained option has {job.needed} tokens, the model takes {most}; shorten "
            "it or show fewer examples.",
        )
    # The end of a prompt may be one token with the beginning of an option: that one is no token of the prompt.
    places, own_shares = _explained(shares, len(prompt))
    if not places:
        return UNPLACED
    contrast = None if request.contrast is None else numbers.index(request.contrast)
    return Explained(prompt, None, own_shares, OptionInput(job, places, numbers.index(request.target), contrast))


def _of_classes(requests: Sequence[Attribute], loaded: LoadedModel) -> list[Explained | Failed]:
    asked = [request.asked for request in requests if isinstance(request.asked, Classify)]
    names = class_names(loaded)
    for request in requests:
        _check_target(request, len(names))
    given = {at: request.places for at, request in enumerate(requests) if request.places is not None}
    placed = place_class_tokens([asked[at] for at in given], list(given.values()), loaded)
    shares = {at: own.shares for at, own in zip(given, placed, strict=True)}
    found: list[Explained | Failed] = []
    for at, (request, own) in enumerate(zip(requests, asked, strict=True)):
        said = loaded.tokenizer(own.text, own.second, truncation=False, padding=False, verbose=False)
        encoded = {key: list(values) for key, values in said.items()}
        ids = tuple(encoded["input_ids"])
        places, own_shares = _explained(shares.get(at), len(ids))
        if not ids:
            found.append(Failed("malformed", "the text has no token that the model could read"))
        elif len(ids) > loaded.max_length:
            found.append(Failed("too_long", f"the text has {len(ids)} tokens, the model reads {loaded.max_length}"))
        elif not places:
            found.append(UNPLACED)
        else:
            types = tuple(encoded["token_type_ids"]) if "token_type_ids" in encoded else None
            target = ClassInput(encoded, places, request.target, request.contrast)
            found.append(Explained(ids, types, own_shares, target))
    return found


def _explained(shares: Shares | None, length: int) -> tuple[tuple[int, ...], tuple[tuple[int, int, float], ...]]:
    """Places of the explained tokens, and their shares by number among them; all tokens where nothing was placed."""
    if shares is None:
        return tuple(range(length)), ()
    own = shares if not shares or shares[-1][0] < length else [share for share in shares if share[0] < length]
    number = {place: at for at, place in enumerate(dict.fromkeys([token for token, _, _ in own]))}  # shares are rising
    return tuple(number), tuple([(number[token], unit, share) for token, unit, share in own])


def _check_target(request: Attribute, count: int) -> None:
    for what, number in (("target", request.target), ("contrast", request.contrast)):
        if number is not None and not 0 <= number < count:
            raise EngineError(f"wanted the {what} of an attribution among 0 to {count - 1}, found {number}.")
    if request.target == request.contrast:
        raise EngineError(f"wanted two options to contrast, found {request.target} twice; give another contrast.")
