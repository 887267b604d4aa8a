"""Rationales from the attributions of a local model's tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dfar_toolkit.engines.requests import Attribute, Attributed, Failed, Reply
from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.item_words import Word
from dfar_toolkit.runners.rationales.asking import Asker
from dfar_toolkit.runners.rationales.explaining import ATTRIBUTIONS, Explaining
from dfar_toolkit.runners.rationales.rationale import Rationale
from dfar_toolkit.runners.rationales.word_scores import reduction_of, word_scores

INTEGRATED: str = "integrated_gradients"


def attribute_request(
    asker: Asker, asked: Asked, words: Sequence[Word], full: Reply, how: Explaining, target: str, contrast: str | None
) -> Attribute | Failed | None:
    """What asks for the attributions of all methods that have any.

    Args:
        asker: How the item is asked.
        asked: The item.
        words: Its words.
        full: The reply to it, which knows the order of a classifier's classes.
        how: Methods and settings.
        target: The label that is explained.
        contrast: The label that it is set against.

    Returns:
        One request for all; None where no method attributes, :class:`Failed` where the words cannot be found in what
        the model reads.
    """
    methods = tuple(method for method in how.methods if method in ATTRIBUTIONS)
    if not methods:
        return None
    try:
        places = asker.places(asked, words)
        against = None if contrast is None else asker.number_of(contrast, full)
        number = asker.number_of(target, full)
    except TableError as error:
        return Failed("unplaced", str(error))
    return Attribute(
        asker.scored(asked), number, places, methods,  # type: ignore[arg-type]  # those of ATTRIBUTIONS
        contrast=against, kind=how.kind, baseline=how.baseline, steps=how.steps,
    )  # fmt: skip


def attributed_rationales(reply: Reply, n_words: int, how: Explaining) -> list[Rationale]:
    """The rationales of all attribution methods.

    Args:
        reply: To :func:`attribute_request`.
        n_words: Words of the item.
        how: Methods and reduction.

    Returns:
        One per method, in their order; without scores and with an error where there are none.
    """
    return [_rationale(method, reply, n_words, how) for method in how.methods if method in ATTRIBUTIONS]


def _rationale(method: str, reply: Reply, n_words: int, how: Explaining) -> Rationale:
    reduction = reduction_of(method, how.reduction)
    facts: dict[str, Any] = {"target_kind": how.kind, "reduction": reduction}
    if isinstance(reply, Failed):
        return Rationale(method, facts={**facts, "error": f"{reply.kind}: {reply.message}"})
    assert isinstance(reply, Attributed)
    facts |= {"value": reply.value, "dtype": reply.dtype, "gap": _known(reply.gaps.get(method))}
    if method == INTEGRATED:
        facts |= {"baseline": reply.baseline, "steps": reply.points}
        facts |= {} if reply.settled is None else {"settled": reply.settled}
    tokens = reply.scores.get(method)
    if tokens is None or not all(map(math.isfinite, tokens)):
        found = "no scores" if tokens is None else f"scores that are no finite numbers in {reply.dtype}"
        return Rationale(method, facts={**facts, "error": f"malformed: the model gave {found}"})
    words = word_scores(tokens, reply.shares, n_words, reduction)
    return Rationale(method, 0, words.scores, None, {**facts, "n_untouched": words.n_untouched})


def _known(number: float | None) -> float | None:
    return None if number is None or math.isnan(number) else number
