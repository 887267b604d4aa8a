"""Which tokens of an input matter for a number that a local model makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from dfar_toolkit.engines.attribution.attention import attention_scores
from dfar_toolkit.engines.attribution.baselines import nothing
from dfar_toolkit.engines.attribution.class_scalar import ClassScalar
from dfar_toolkit.engines.attribution.explained_inputs import Explained, explained_inputs
from dfar_toolkit.engines.attribution.frozen import frozen
from dfar_toolkit.engines.attribution.gradient_batches import NO_MEMORY, Scalar
from dfar_toolkit.engines.attribution.gradient_budget import gradient_budget
from dfar_toolkit.engines.attribution.gradient_methods import INTEGRATED, Scored, scored_by_gradients
from dfar_toolkit.engines.attribution.option_scalar import OptionScalar
from dfar_toolkit.engines.batches import token_batches
from dfar_toolkit.engines.device_memory import free_cached, out_of_memory
from dfar_toolkit.engines.forward_pass import ForwardPass
from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.requests import Attribute, Attributed, Failed
from dfar_toolkit.engines.shared_prefix import Ways, ways_of
from dfar_toolkit.errors import EngineError

_ATTENTION: Final = {"attention": False, "attention_rollout": True}


def attribute(
    loaded: LoadedModel,
    requests: Sequence[Attribute],
    *,
    budget: int,
    ways: Callable[[], Ways] | None = None,
) -> list[Attributed | Failed]:
    """Attributions of tokens, in batches; the model is as it was afterwards.

    Gradients are taken of the embeddings that the model looks up, never of weights. The time grows with the number of
    requests times their tokens, and for integrated gradients times their points; tokens that all prompts begin with and
    that are not explained are run once.

    Args:
        loaded: The model.
        requests: What is asked; a reply does not depend on what is asked beside it, but for rounding.
        budget: Tokens of a batch at most; fewer where gradients need more memory.
        ways: What a causal model's cache allows; None: it is tried out.

    Returns:
        One per request, in order.

    Raises:
        EngineError: A request that makes no sense for this model.

    Example:
        >>> asked = ScoreOptions(plain("It was awful. Good?"), ((" yes",), (" no",)))  # doctest: +SKIP
        >>> attribute(loaded, [Attribute(asked, 1, None, ("input_x_gradient",))], budget=8192)  # doctest: +SKIP
        [Attributed(value=-0.41, tokens=(1, 52, 88, 301, 17, 62, 30), scores={'input_x_gradient': (0.01, ...)}, ...)]
    """
    for request in requests:
        _check(request)
    inputs = explained_inputs(requests, loaded)
    found: dict[int, Attributed | Failed] = {at: own for at, own in enumerate(inputs) if isinstance(own, Failed)}
    groups: dict[Any, dict[int, Explained]] = {}
    for at, (request, own) in enumerate(zip(requests, inputs, strict=True)):
        if not isinstance(own, Failed):
            key = (frozenset(request.methods), request.kind, request.baseline, request.steps)
            groups.setdefault(key, {})[at] = own
    if not groups:
        return [found[at] for at in range(len(requests))]
    run = ForwardPass(loaded) if loaded.kind == "causal" else None
    known = None if run is None else _ways(run, loaded) if ways is None else ways()
    for group in groups.values():
        first = requests[next(iter(group))]
        scalar: Scalar = ClassScalar(loaded, first.kind)
        if run is not None and known is not None:
            scalar = OptionScalar(run, known, first.kind)
        found |= zip(group, _attributed(loaded, scalar, first, list(group.values()), budget), strict=True)
    return [found[at] for at in range(len(requests))]


def _attributed(
    loaded: LoadedModel, scalar: Scalar, how: Attribute, inputs: Sequence[Explained], budget: int
) -> list[Attributed | Failed]:
    """Replies to requests of equal methods, kind, baseline and steps."""
    with frozen(loaded.model):
        stands = nothing(loaded, how.baseline if INTEGRATED in how.methods else "zero")
        own = [one.own for one in inputs]
        limit = gradient_budget(loaded, budget)
        scored = scored_by_gradients(scalar, own, how.methods, stands.embedding, how.steps, limit)
    seen = {
        name: _attention(loaded, inputs, budget, rollout=all_layers)
        for name, all_layers in _ATTENTION.items()
        if name in how.methods
    }
    baseline = stands.text if INTEGRATED in how.methods else ""
    dtype = str(loaded.model.dtype).removeprefix("torch.")
    return [
        _reply(one, found, {name: each[at] for name, each in seen.items()}, how, baseline, dtype)
        for at, (one, found) in enumerate(zip(inputs, scored, strict=True))
    ]


def _reply(
    one: Explained,
    found: Scored | Failed,
    seen: dict[str, list[float] | Failed],
    how: Attribute,
    baseline: str,
    dtype: str,
) -> Attributed | Failed:
    if isinstance(found, Failed):
        return found
    scores = dict(found.scores)
    for name, own in seen.items():
        if isinstance(own, Failed):
            return own
        scores[name] = tuple(own[place] for place in one.own.explained)
    tokens = tuple(one.tokens[place] for place in one.own.explained)
    in_order: dict[str, tuple[float, ...]] = {method: scores[method] for method in how.methods}
    return Attributed(
        found.value, tokens, in_order, one.shares, found.gaps, baseline, dtype, found.points, found.settled
    )


def _attention(
    loaded: LoadedModel, inputs: Sequence[Explained], budget: int, *, rollout: bool
) -> list[list[float] | Failed]:
    """Attention to each token of each input; batches too large for the memory are halved."""
    found: dict[int, list[float] | Failed] = {}
    todo = list(range(len(inputs)))
    while todo:
        for batch in token_batches([len(inputs[at].tokens) for at in todo], budget):
            places = [todo[at] for at in batch]
            replies = _attended(loaded, [inputs[at] for at in places], rollout=rollout)
            if replies is None and len(places) > 1:
                budget = max(len(places) * max(len(inputs[at].tokens) for at in places) // 2, 1)
                break
            found |= zip(places, [NO_MEMORY] if replies is None else replies, strict=True)
        todo = [at for at in todo if at not in found]
    return [found[at] for at in range(len(inputs))]


def _attended(loaded: LoadedModel, inputs: Sequence[Explained], *, rollout: bool) -> Sequence[list[float]] | None:
    """None where the memory was too small."""
    types = [one.types for one in inputs if one.types is not None] or None
    try:
        return attention_scores(loaded, [one.tokens for one in inputs], rollout=rollout, token_types=types)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    free_cached(loaded.model.device)
    return None


def _ways(run: ForwardPass, loaded: LoadedModel) -> Ways:
    with run.quiet():
        return ways_of(run, loaded)


def _check(request: Attribute) -> None:
    if request.steps != "auto" and request.steps < 1:
        raise EngineError(f'wanted 1 step or more of integrated gradients, or "auto", found {request.steps}.')
    if not request.methods:
        raise EngineError("wanted at least one attribution method, found none.")
    if request.asked.hidden:
        raise EngineError("wanted an input that the model sees whole, found hidden places in one to be explained.")
