"""Scorers, process_results and aggregations of task harnesses: by hand, and where the input is wrong."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from math import inf, isnan, log, nan
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from scipy.special import softmax

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics import accuracy, coverage, macro_f1
from dfar_toolkit.metrics.adapters import aggregation, inspect_metric, label_scorer, process_answers, process_choices
from dfar_toolkit.metrics.soft_labels.brier import brier_score_unbiased
from dfar_toolkit.metrics.soft_labels.cross_entropy import soft_cross_entropy

OPTIONS = ["fair", "unfair"]
GOLD = ["fair", "fair", "unfair", "unfair"]
PRED = ["fair", "unfair", "unfair", None]
LOW = partial(macro_f1, n_boot=200)

# The task of lm-evaluation-harness

DOCS = [
    ({"label": 0, "people": [0.75, 0.25]}, [(-1.0, False), (-2.0, False)]),
    ({"label": 1, "people": [0.0, 1.0]}, [(-2.0, False), (-2.0, True)]),  # a tie
    ({"label": 1, "people": [0.25, 0.75]}, [(-3.0, False), (-1.0, True)]),
    ({"label": 0, "people": None}, [(-1.0, True), (-inf, False)]),
]


def test_choices_by_hand() -> None:
    process = process_choices(gold="label", shares="people", labels=[macro_f1, coverage], soft=[soft_cross_entropy])
    pairs = [process(doc, results) for doc, results in DOCS]
    assert [p["macro_f1"] for p in pairs] == [(0, 0), (1, None), (1, 1), (0, 0)]
    assert pairs[3]["soft_cross_entropy"] == (None, [1.0, 0.0])
    # F1 of 0: 2 x 2 / (2 + 2); of 1: 2 x 1 / (2 + 1)
    assert aggregation(macro_f1)([p["macro_f1"] for p in pairs]) == pytest.approx(5 / 6, abs=1e-12)
    assert aggregation(coverage)([p["coverage"] for p in pairs]) == 0.75
    near, far = (float(softmax([0.0, -d])[1]) for d in (1.0, 2.0))
    losses = [-0.75 * log(1 - near) - 0.25 * log(near), log(2), -0.25 * log(far) - 0.75 * log(1 - far)]
    found = aggregation(partial(soft_cross_entropy, ci=None))([p["soft_cross_entropy"] for p in pairs])
    assert found == pytest.approx(sum(losses) / 3, abs=1e-12)


def test_choices_without_a_likelihood_are_unanswered() -> None:
    process = process_choices(gold="label", shares="people", labels=[accuracy], soft=[soft_cross_entropy])
    for results in ([(-inf, False), (-inf, False)], [(nan, False), (-1.0, False)], [-1.0, nan]):
        found = process(DOCS[0][0], results)
        assert found == {"accuracy": (0, None), "soft_cross_entropy": ([0.75, 0.25], None)}
    assert process(DOCS[0][0], [-1.0, -3.0])["accuracy"] == (0, 0)


def test_votes_of_choices() -> None:
    process = process_choices(gold="label", shares="votes", soft=[brier_score_unbiased])
    pair = process({"votes": [3, 1]}, [(-1.0, False), (-1.0, False)])["brier_score_unbiased"]
    assert aggregation(brier_score_unbiased, counts=True)([pair]) == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(TableError, match="Votes go in as counts"):
        aggregation(soft_cross_entropy)([pair])


def test_generated_answers() -> None:
    process = process_answers(
        ["fair", "unfair"], gold="label", labels=[accuracy, coverage], label_map={"wrong": "unfair"}
    )
    docs = [(0, "Fair. They agreed."), ("unfair", "wrong"), (1, "not fair"), ("fair", "")]
    pairs = [process({"label": label}, [text])["accuracy"] for label, text in docs]
    assert pairs == [("fair", "fair"), ("unfair", "unfair"), ("unfair", None), ("fair", None)]
    assert aggregation(accuracy)(pairs) == aggregation(coverage)(pairs) == 0.5
    lettered = process_answers(["fair", "unfair"], gold="label", labels=[accuracy], letters=True)
    assert lettered({"label": 1}, ["(B)"]) == {"accuracy": ("unfair", "unfair")}


def test_no_documents() -> None:
    assert isnan(aggregation(accuracy)([]))
    assert isnan(aggregation(soft_cross_entropy)([]))


@pytest.mark.parametrize(
    ("doc", "said"),
    [
        ({"gold": 1}, 'process_choices: the document has no field "label"; found "gold"'),
        ({"label": 2}, '"label" must hold the index of the gold choice, 0 to 1, found 2'),
        ({"label": -1}, "found -1"),
        ({"label": "A"}, "found 'A'"),
        ({"label": True}, "found True"),
        ({"label": None}, "found None; documents without a gold label are left out"),
    ],
)
def test_documents_without_a_gold_choice(doc: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        process_choices(gold="label", labels=[accuracy])(doc, [(-1.0, False), (-2.0, False)])


def test_wrong_tasks() -> None:
    with pytest.raises(ValueError, match="process_choices: soft metrics need shares="):
        process_choices(gold="label", soft=[soft_cross_entropy])
    with pytest.raises(ValueError, match="process_choices: wanted one or more metrics of different names, found"):
        process_choices(gold="label")
    with pytest.raises(ValueError, match="process_answers: wanted one or more metrics"):
        process_answers(["a", "b"], gold="label", labels=[])
    with pytest.raises(ValueError, match="aggregation: metrics must be functions with a name"):
        aggregation(lambda frame: accuracy(frame))
    process = process_answers(["a", "b"], gold="label", labels=[accuracy])
    with pytest.raises(ValueError, match="one text per document, found 1 of type list; keep one with the filter"):
        process({"label": 0}, [["a", "b"]])
    with pytest.raises(ValueError, match="\"label\" must hold the index of the gold choice, 0 to 1, found 'c'"):
        process({"label": "c"}, ["a"])


# The scorer and metrics of inspect_ai, in a stand-in with the few names that are used of it; the tool itself is run in
# test_adapters_in_harnesses.py


@pytest.fixture
def inspect_ai(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def metric(name: str, scores: str = "auto") -> Callable[[Any], Any]:
        seen[name] = scores
        return lambda factory: factory

    def scorer(metrics: list[Any], name: str) -> Callable[[Any], Any]:
        seen["metrics"], seen["scorer"] = metrics, name
        return lambda factory: factory

    stand_in = ModuleType("inspect_ai.scorer")
    stand_in.__dict__.update(
        metric=metric, scorer=scorer, Score=SimpleNamespace, SampleScore=SimpleNamespace,
        CORRECT="C", INCORRECT="I", NOANSWER="N",
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "inspect_ai", ModuleType("inspect_ai"))
    monkeypatch.setitem(sys.modules, "inspect_ai.scorer", stand_in)
    return seen


def scored(score: Any, text: str, target: list[str]) -> Any:
    return asyncio.run(score(SimpleNamespace(output=SimpleNamespace(completion=text)), target))


@pytest.mark.usefixtures("inspect_ai")
def test_scores_of_completions() -> None:
    score = label_scorer(OPTIONS, metrics=[accuracy], label_map={"wrong": "unfair"}, letters=True)
    right = scored(score, "Fair. They agreed.", ["fair"])
    assert (right.value, right.answer, right.explanation) == ("C", "fair", "They agreed.")
    assert right.metadata == {"gold": "fair", "pred": "fair", "how": "label_first"}
    assert scored(score, "wrong", ["fair"]).value == "I"
    assert scored(score, "B", ["b"]).value == "C"
    none = scored(score, "not fair", ["fair"])
    assert (none.value, none.answer, none.explanation) == ("N", None, "a negated label")
    assert none.metadata == {"gold": "fair", "pred": None, "how": "negated"}
    for target in (["un"], ["fair", "unfair"], []):
        with pytest.raises(ValueError, match="label_scorer: a sample's target must be one of fair, unfair, found"):
            scored(score, "fair", target)


def sample(gold: Any, pred: Any, name: str | None, group: str | None = None) -> SimpleNamespace:
    score = SimpleNamespace(metadata={"gold": gold, "pred": pred})
    return SimpleNamespace(score=score, sample_id=name, sample_metadata={"group": group} if group else None)


def test_metrics_over_all_epochs_with_the_sample_as_unit(inspect_ai: dict[str, Any]) -> None:
    label_scorer(OPTIONS, metrics=[accuracy, LOW])
    assert inspect_ai["scorer"] == "dfar_label"
    assert inspect_ai["accuracy"] == inspect_ai["macro_f1"] == "unreduced"
    of_accuracy, of_f1 = inspect_ai["metrics"]
    gold, pred = GOLD * 6, PRED * 6
    names = [f"s{i // 3}" for i in range(24)]
    rows = [sample(*row) for row in zip(gold, pred, names, strict=True)]
    expected = accuracy(gold=gold, pred=pred, group=names)
    ends = {"accuracy_low": expected.low, "accuracy_high": expected.high}
    assert of_accuracy(rows) == {"accuracy": expected.value} | ends
    grouped = [sample(g, p, n, f"g{n[1:]}"[:2]) for g, p, n in zip(gold, pred, names, strict=True)]
    assert of_f1(grouped)["macro_f1_low"] == LOW(gold=gold, pred=pred, group=[f"g{n[1:]}"[:2] for n in names]).low
    assert isnan(of_accuracy([])["accuracy"])
    alone = of_accuracy([sample(g, p, None) for g, p in zip(gold, pred, strict=True)])
    assert alone["accuracy_low"] == accuracy(gold=gold, pred=pred).low


@pytest.mark.usefixtures("inspect_ai")
def test_soft_metrics_over_scores() -> None:
    metric = inspect_metric(brier_score_unbiased, intervals=False, counts=True)
    assert metric([sample([3, 1], [0.5, 0.5], "s")]) == pytest.approx({"brier_score_unbiased": 0.0}, abs=1e-12)


@pytest.mark.usefixtures("inspect_ai")
def test_scores_that_are_not_ours() -> None:
    metric = inspect_metric(accuracy)
    without = SimpleNamespace(score=SimpleNamespace(metadata=None), sample_id="s", sample_metadata={})
    with pytest.raises(ValueError, match='accuracy needs scores with "gold" and "pred" in their metadata; 1 of 2'):
        metric([sample("a", "a", "s"), without])
    with pytest.raises(ValueError, match='1 of 2 scores have a sample with a "group"; all must'):
        metric([sample("a", "a", "s"), sample("a", "a", "t", "g")])


def test_without_inspect_ai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    monkeypatch.setitem(sys.modules, "inspect_ai.scorer", None)
    for make in (lambda: label_scorer(OPTIONS, metrics=[accuracy]), lambda: inspect_metric(accuracy)):
        with pytest.raises(ImportError, match=r"pip install 'inspect-ai>=0\.3\.245'"):
            make()


@pytest.mark.usefixtures("inspect_ai")
def test_an_inspect_ai_that_only_hands_over_reduced_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["inspect_ai.scorer"], "metric", lambda name: lambda factory: factory)
    with pytest.raises(ImportError, match=r"inspect_ai 0\.3\.245 or newer"):
        inspect_metric(accuracy)
