"""A model that is a few lines of Python: words that are planted in a text decide its label. No weights, no tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dfar_toolkit.engines.requests import (
    Attribute,
    Attributed,
    Classify,
    ClassProbs,
    Failed,
    Generate,
    Generated,
    OptionScores,
    Reply,
    Request,
    ScoreOptions,
)
from dfar_toolkit.prompts.placing import Place
from dfar_toolkit.runners.units import Row

HIDDEN = "\N{FULL BLOCK}"


class PlantedModel:
    """The second option's logit over the others' is ``bias`` and the weight of each planted text that can be seen.

    Args:
        weights: Planted texts and their weights.
        bias: What no text decides.
        classes: Names of a classifier's classes.
        longest: Characters that it reads.
        served: Whether it is behind a server, which knows neither tokens nor attributions.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        *,
        bias: float = -1.0,
        classes: tuple[str, ...] = ("good", "bad"),
        longest: int = 10_000,
        served: bool = False,
    ) -> None:
        self.weights, self.bias, self.classes, self.longest, self.served = weights, bias, classes, longest, served
        self.steps: list[list[Request]] = []

    @property
    def asked(self) -> list[Any]:
        return [request for step in self.steps for request in step]

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        self.steps.append(list(requests))
        return [self.reply(request) for request in requests]

    def reply(self, request: Request) -> Reply:
        if self.served and (isinstance(request, Attribute) or getattr(request, "hidden", ())):
            return Failed("needs_model", "a server has no tokens")
        inner = request.asked if isinstance(request, Attribute) else request
        turns = texts_of(inner)
        if sum(map(len, turns)) > self.longest:
            return Failed("too_long", "the text is too long")
        if isinstance(request, Attribute):
            return self._attributed(request, turns)
        probs = self.probs(" ".join(turns), len(getattr(request, "spellings", self.classes)))
        if isinstance(request, Classify):
            return ClassProbs(self.classes, tuple(probs), 9)
        if isinstance(request, Generate):
            return Generated((self.classes[probs.index(max(probs))],), ("stop",), 9, 1)
        assert isinstance(request, ScoreOptions)
        return OptionScores(tuple(math.log(p / 2) for p in probs), (1,) * len(probs), "forced", 0.0, 9)

    def probs(self, text: str, count: int = 2) -> list[float]:
        logit = self.bias + sum(weight for planted, weight in self.weights.items() if planted in text)
        odds = [1.0, math.exp(logit), *(0.01 * (place + 1) for place in range(count - 2))]
        return [one / sum(odds) for one in odds]

    def _attributed(self, request: Attribute, turns: list[str]) -> Attributed:
        """Each place is a token; its score is the weight of what stands there, for the target that is asked about."""
        sign = 1.0 if request.target == 1 else -1.0
        said = [turns[place.turn][place.start : place.end] for place in request.places or ()]
        scores = tuple(sign * sum(w for planted, w in self.weights.items() if planted in text) for text in said)
        shares = tuple((token, place.unit, 1.0) for token, place in enumerate(request.places or ()))
        return Attributed(1.0, tuple(range(len(said))), dict.fromkeys(request.methods, scores), shares,
                          {"integrated_gradients": 0.01}, "<unk>", "float32")  # fmt: skip


def texts_of(request: Any) -> list[str]:
    """What a request shows of each turn, hidden places blacked out."""
    if isinstance(request, Classify):
        turns = [request.text, *([request.second] if request.second is not None else [])]
    else:
        turns = [turn.text for turn in request.conversation]
    hidden: tuple[Place, ...] = getattr(request, "hidden", ())
    for place in hidden:
        text = turns[place.turn]
        turns[place.turn] = text[: place.start] + HIDDEN * (place.end - place.start) + text[place.end :]
    return turns


class KeptRows(dict[str, list[Row]]):
    """Rows of units, by their names."""

    done: tuple[str, ...] = ()

    def add(self, unit: str, rows: list[Row]) -> None:
        self[unit] = rows
