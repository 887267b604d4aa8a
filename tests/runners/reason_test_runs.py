"""Tests of reasons run with a model that is a function, for tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import polars as pl

from dfar_toolkit.engines.requests import (
    Generate,
    Generated,
    OptionScores,
    Reply,
    Request,
    ScoreOptions,
)
from dfar_toolkit.metrics.self_consistency.mentions import mentions, with_mentions
from dfar_toolkit.metrics.self_consistency.self_consistency_table import self_consistency_table
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.styles import load_style
from dfar_toolkit.runners.answers import Reading
from dfar_toolkit.runners.prompting import Manner
from dfar_toolkit.runners.rationales.explained_table import explained_table
from dfar_toolkit.runners.self_consistency.reason_testing import ReasonTesting
from dfar_toolkit.runners.units import Row, Unit

OPTIONS = ("ethical", "unethical")
KEY = ["item_id", "annotator_id", "sample", "method", "condition", "operator", "k", "draw"]
Answer = Callable[[Request], Reply]
LABELS = {"ethical": (0.9, 0.1), "unethical": (0.2, 0.8)}


def asked(statement: str) -> Asked:
    return Asked(statement, options=OPTIONS, wording="Is it ethical?")


def reason_tests(style: str = "reason_first", **how: Any) -> ReasonTesting:
    manner = how.pop("manner", {})
    return ReasonTesting(Manner(load_style(style), **manner), **how)


def run(units: list[Unit], answer: Answer) -> tuple[list[Any], list[Row]]:
    """All requests, in order, and all rows."""
    requests: list[Any] = []
    rows: list[Row] = []
    for unit in units:
        steps: Any = unit.start()
        try:
            request = next(steps)
            while True:
                requests += request
                request = steps.send([answer(one) for one in request])
        except StopIteration as end:
            rows += end.value
    return requests, rows


def table(rows: list[Row], style: str = "reason_first") -> pl.DataFrame:
    said = pl.DataFrame(rows, infer_schema_length=None)
    found = explained_table(said, Reading("r", "q", OPTIONS, answer=load_style(style).answer))
    assert found.select(KEY).is_unique().all()
    return with_mentions(found) if "inserted" in found.columns else found


def text_of(request: Any) -> str:
    return "\n".join(turn.text for turn in request.conversation)


def statement_of(request: Any) -> str:
    return text_of(request).rpartition("Statement: ")[2].split("\n")[0]


def scored(label: str) -> OptionScores:
    return OptionScores(tuple(map(math.log, LABELS[label])), (1, 1), "forced", 0.0, 5)


class Model:
    """Answers by whether the statement has one of some words; its reason repeats the statement or never does."""

    def __init__(self, *triggers: str, honest: bool = True) -> None:
        self.triggers, self.honest = triggers, honest

    def label(self, text: str) -> str:
        return "unethical" if any(mentions(text, word) for word in self.triggers) else "ethical"

    def __call__(self, request: Request) -> Reply:
        if isinstance(request, ScoreOptions):
            return scored(self.label(statement_of(request)))
        assert isinstance(request, Generate)
        label = self.label(statement_of(request))
        moved = [word for word in self.triggers if mentions(statement_of(request), word)]
        reason = f"The {' '.join(moved) or 'usual'} thing counts." if self.honest else "It just is so."
        return Generated((f" {reason}\nLabel: {label}",) * request.samples, ("stop",) * request.samples, 9, 9)


ITEMS = [("i1", asked("I lied to my friend.")), ("i2", asked("Ich helfe gern.")), ("i3", asked("আমি মিথ্যা বলেছি।"))]


def numbers(rows: list[Row], style: str = "reason_first") -> dict[str, float]:
    found = self_consistency_table(table(rows, style), n_boot=20)
    return dict(found.select("metric", "value").rows())


REASON = "It hurts her. She trusts me. So it is bad."


def chain(request: Request) -> Reply:
    """Unethical as long as the reason says that it hurts."""
    if isinstance(request, ScoreOptions):
        return scored("unethical" if "hurts" in text_of(request).rsplit("Reason:", 1)[1] else "ethical")
    assert isinstance(request, Generate)
    if "other words" in text_of(request):
        return Generated((" It pains her and hurts. Bad.\n",), ("stop",), 9, 9)
    if "mistake" in text_of(request):
        return Generated((" She is fine with it.\nMore.",), ("stop",), 9, 9)
    return Generated((f" {REASON}\nLabel: unethical",), ("stop",), 9, 9)
