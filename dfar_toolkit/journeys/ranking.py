"""A ranker asked as other models are: unit by unit, into a run folder; its run is resumed and read like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from dfar_toolkit.engines.loaded import ModelSettings
from dfar_toolkit.engines.requests import ClassProbs, Failed, Reply
from dfar_toolkit.finetune.classifier_data import Text, texts_per_option
from dfar_toolkit.finetune.head_runs import RUN, read_training
from dfar_toolkit.finetune.rankers import Ranker, load_ranker, ranked_probabilities
from dfar_toolkit.journeys.what_is_asked import Question
from dfar_toolkit.runners.prompting import classified
from dfar_toolkit.runners.units import Steps, Unit

_BUDGET: Final = 8192


@dataclass(frozen=True, slots=True)
class Rank:
    """Which of several texts?

    Attributes:
        names: A name for each text.
        texts: The texts, or pairs.
    """

    names: tuple[str, ...]
    texts: tuple[Text, ...]


class RankerEngine:
    """Answers :class:`Rank` by the softmax over the scores of its texts.

    Args:
        ranker: The ranker.
        budget: Tokens of a batch at most; None: 8192.

    Attributes:
        facts: For ``run.json``.
        with_statement: Whether the statement stands before each text.
    """

    def __init__(self, ranker: Ranker, *, budget: int | None = None) -> None:
        self._ranker, self._budget = ranker, budget or _BUDGET
        self.with_statement = ranker.with_statement
        self.facts: dict[str, Any] = {
            "budget": self._budget, "kind": "ranker", "with_statement": ranker.with_statement,
            "trained_on_options": list(ranker.options),
        }  # fmt: skip

    def ask(self, requests: Sequence[Rank]) -> list[Reply]:
        """The probability of each text; one that is too long leaves its request without an answer.

        Args:
            requests: The texts, as many in each.

        Returns:
            A reply per request.
        """
        if not requests:
            return []
        loaded = self._ranker.loaded
        probs = ranked_probabilities(loaded, [request.texts for request in requests], budget=self._budget)
        long = Failed("too_long", f"a text has no token, or more than the {loaded.max_length} that the model reads")
        return [
            long if np.isnan(row).any() else ClassProbs(request.names, tuple(row.tolist()), 0)
            for request, row in zip(requests, probs, strict=True)
        ]


def ranker_engine(folder: str, settings: ModelSettings, *, budget: int | None = None) -> tuple[RankerEngine, Ranker]:
    """The ranker of a training run, ready to answer.

    Args:
        folder: The run.
        settings: How it is loaded.
        budget: Tokens of a batch.

    Raises:
        EngineError: It cannot be loaded.
    """
    said = read_training(Path(folder) / RUN) or {}
    ranker = load_ranker(folder, settings._replace(max_length=settings.max_length or said.get("max_length")))
    return RankerEngine(ranker, budget=budget), ranker


def ranked_units(question: Question, *, with_statement: bool) -> list[Unit]:
    """A unit per item: the texts of its options, under the names of the options.

    Args:
        question: The items, and what they are asked.
        with_statement: Whether the statement stands before each text.

    Raises:
        TableError: Items without a text per option.
    """
    texts = texts_per_option(question.items, question.options, with_statement=with_statement)
    return [_ranked(item, question.shown, own) for item, own in zip(question.items["item_id"], texts, strict=True)]


def _ranked(item_id: str, names: tuple[str, ...], texts: tuple[Text, ...]) -> Unit:
    """As a classifier's unit, whose rows these are; but what is asked for is the texts."""
    wanted: Any = Rank(names, texts)  # no request of the engines, so only :class:`RankerEngine` is asked

    def start() -> Steps:
        rows: Any = classified(item_id, "", None).start()
        next(rows)
        reply = yield wanted
        try:
            rows.send(reply)
        except StopIteration as end:
            found: list[dict[str, Any]] = end.value
            return found
        raise AssertionError("a classifier answers once")

    return Unit(item_id, sum(len(first) + len(second or "") for first, second in texts), start)
