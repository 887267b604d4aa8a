"""The compute dict and the Trainer's function: by hand, against the functions themselves, where the input is wrong."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from math import inf, isnan, log, nan
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate
from dfar_toolkit.metrics import accuracy, coverage, macro_f1
from dfar_toolkit.metrics.adapters import compute_metrics, to_evaluate
from dfar_toolkit.metrics.soft_labels.brier import brier_score_unbiased
from dfar_toolkit.metrics.soft_labels.cross_entropy import soft_cross_entropy
from dfar_toolkit.metrics.soft_labels.top_label import top_label_agreement

OPTIONS = ["fair", "unfair"]
GOLD = ["fair", "fair", "unfair", "unfair"]
PRED = ["fair", "unfair", "unfair", None]
# fair: 1 of 2 found, predicted once: 2/(2 + 1); unfair: 1 of 2 found, predicted twice: 2/(2 + 2)
MACRO_F1 = float(Fraction(1, 2) * (Fraction(2, 3) + Fraction(1, 2)))
LOW = partial(macro_f1, n_boot=200)


# The compute dict


def test_by_hand_with_an_unanswered_item() -> None:
    metric = to_evaluate(accuracy, macro_f1, coverage, intervals=False)
    found = metric.compute(predictions=PRED, references=GOLD)
    assert found == pytest.approx({"accuracy": 1 / 2, "macro_f1": MACRO_F1, "coverage": 3 / 4}, abs=1e-12)


def test_intervals_are_those_of_the_functions() -> None:
    gold, pred = GOLD * 5, PRED * 5
    found = to_evaluate(accuracy, LOW).compute(predictions=pred, references=gold)
    assert list(found) == ["accuracy", "accuracy_low", "accuracy_high", "macro_f1", "macro_f1_low", "macro_f1_high"]
    for name, e in (("accuracy", accuracy(gold=gold, pred=pred)), ("macro_f1", LOW(gold=gold, pred=pred))):
        assert [found[name], found[f"{name}_low"], found[f"{name}_high"]] == [e.value, e.low, e.high]


def test_groups_are_the_unit_of_resampling() -> None:
    gold, pred = ["a", "a", "b", "b"] * 6, ["a", "b", "b", "b"] * 6
    groups = [f"g{i // 6}" for i in range(24)]
    metric = to_evaluate(LOW)
    alone = metric.compute(predictions=pred, references=gold)
    metric.add_batch(predictions=pred[:10], references=gold[:10], groups=groups[:10])
    metric.add(prediction=pred[10], reference=gold[10], group=groups[10])
    grouped = metric.compute(predictions=pred[11:], references=gold[11:], groups=groups[11:])
    expected = LOW(gold=gold, pred=pred, group=groups)
    assert grouped["macro_f1_low"] == expected.low
    assert grouped["macro_f1"] == alone["macro_f1"]
    assert grouped["macro_f1_low"] != alone["macro_f1_low"]


@settings(max_examples=20)
@given(st.lists(st.sampled_from([(g, p) for g in "abc" for p in ("a", "b", None)]), min_size=1), st.data())
def test_batches_and_row_order_change_nothing(rows: list[tuple[str, str | None]], data: st.DataObject) -> None:
    metric = to_evaluate(accuracy, coverage)
    whole = metric.compute(predictions=[p for _, p in rows], references=[g for g, _ in rows])
    cut = data.draw(st.integers(0, len(rows)))
    for part in (rows[cut:], rows[:cut]):
        metric.add_batch(predictions=[p for _, p in part], references=[g for g, _ in part])
    assert metric.compute() == pytest.approx(whole, abs=1e-12, nan_ok=True)


def test_each_computation_starts_anew() -> None:
    metric = to_evaluate(accuracy, soft_cross_entropy, intervals=False)
    empty = metric.compute()
    assert list(empty) == ["accuracy", "soft_cross_entropy"]
    assert all(map(isnan, empty.values()))
    labels = to_evaluate(accuracy, intervals=False)
    labels.add(prediction="a", reference="b")
    assert labels.compute() == {"accuracy": 0.0}
    assert labels.compute(predictions=["a"], references=["a"]) == {"accuracy": 1.0}
    with pytest.raises(TableError, match="every item needs a gold label"):
        labels.compute(predictions=["a"], references=[None])
    assert labels.compute(predictions=["a"], references=["a"]) == {"accuracy": 1.0}


@pytest.mark.parametrize("cast", [list, tuple, np.array, pl.Series, lambda v: np.array(v, dtype=np.int8)])
def test_lists_arrays_and_series_are_alike(cast: Callable[[list[int]], Any]) -> None:
    metric = to_evaluate(accuracy, intervals=False)
    assert metric.compute(predictions=cast([0, 1, 1]), references=cast([0, 0, 1])) == {"accuracy": 2 / 3}


def test_labels_may_be_any_text() -> None:
    words = ["un fair ✋", "fair 🙂", "", "fair 🙂"]
    found = to_evaluate(accuracy, intervals=False).compute(predictions=words, references=[*words[:3], "un fair ✋"])
    assert found == {"accuracy": 0.75}


def test_soft_metrics_of_arrays_lists_and_nulls() -> None:
    # -(3/4 log 1/2 + 1/4 log 1/2) = log 2 for every item
    people, half = np.array([[0.75, 0.25], [0.5, 0.5], [1.0, 0.0]]), np.full((3, 2), 0.5)
    metric = to_evaluate(soft_cross_entropy, intervals=False)
    assert metric.compute(predictions=half, references=people)["soft_cross_entropy"] == pytest.approx(log(2), abs=1e-12)
    metric.add_batch(predictions=half[:2], references=people[:2])
    metric.add_batch(predictions=[None, (0.2, 0.8)], references=[[0.5, 0.5], None])  # left out
    assert metric.compute()["soft_cross_entropy"] == pytest.approx(log(2), abs=1e-12)
    nothing = metric.compute(predictions=[None], references=[[0.5, 0.5]])
    assert isnan(nothing["soft_cross_entropy"])


def test_votes_by_hand() -> None:
    # (3/4 - 1/2)^2 + (1/4 - 1/2)^2 = 1/8, less 2 x 3/16 / (4 - 1) = 1/8; one vote has no unbiased value; none, nothing
    votes, half = [[3, 1], [1, 0], [0, 0], None], [[0.5, 0.5]] * 4
    metric = to_evaluate(brier_score_unbiased, soft_cross_entropy, intervals=False, counts=True)
    found = metric.compute(predictions=half, references=votes)
    assert found == pytest.approx({"brier_score_unbiased": 0.0, "soft_cross_entropy": log(2)}, abs=1e-12)
    rng = np.random.default_rng(0)
    many, probs = rng.integers(1, 5, (30, 3)), rng.dirichlet(np.ones(3), 30)
    found = to_evaluate(brier_score_unbiased, counts=True).compute(predictions=probs, references=many)
    expected = brier_score_unbiased(counts=many, pred=probs)
    assert found["brier_score_unbiased"] == pytest.approx(expected.value, abs=1e-12)
    assert found["brier_score_unbiased_high"] == pytest.approx(expected.high, abs=1e-12)


def test_a_metric_of_ones_own() -> None:
    def macro_f1_answered(frame: pl.DataFrame) -> Estimate:
        return macro_f1(frame, over="answered")

    found = to_evaluate(macro_f1, macro_f1_answered, intervals=False).compute(predictions=PRED, references=GOLD)
    assert found == {
        "macro_f1": macro_f1(gold=GOLD, pred=PRED).value,
        "macro_f1_answered": macro_f1(gold=GOLD, pred=PRED, over="answered").value,
    }


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ([], "to_evaluate: wanted one or more metrics, found none"),
        ([accuracy, accuracy], 'to_evaluate: two metrics are called "accuracy"'),
        ([macro_f1, LOW], 'to_evaluate: two metrics are called "macro_f1"'),
        ([lambda frame: accuracy(frame)], "to_evaluate: metrics must be functions with a name"),
        (["accuracy"], "to_evaluate: metrics must be functions with a name, found 'accuracy'"),
    ],
)
def test_wrong_metrics(metrics: list[Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        to_evaluate(*metrics)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"predictions": ["a"], "references": ["a", "b"]}, "add_batch: 1 predictions for 2 references"),
        ({"predictions": ["a"]}, "add_batch: 1 predictions for 0 references"),
        ({"predictions": ["a"], "references": ["a"], "groups": ["g", "h"]}, "add_batch: 2 groups for 1 items"),
        ({"predictions": ["a", 1], "references": ["a", "b"]}, "predictions must be of one type.*found int, str"),
        ({"predictions": ["a", nan], "references": ["a", "b"]}, "predictions must be of one type.*found float, str"),
        ({"predictions": [[0.5, 0.5], "a"], "references": ["a", "b"]}, "found 1 distributions among 2 items"),
        ({"predictions": [[0.5, 0.5], [1.0]], "references": [[1, 0]] * 2}, "predictions must be lists of numbers"),
        ({"predictions": [0, 1], "references": ["a", "b"]}, "labels on both sides must be alike"),
    ],
)
def test_wrong_items(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        to_evaluate(accuracy).compute(**given)


def test_groups_for_some_batches_only() -> None:
    metric = to_evaluate(accuracy)
    metric.add_batch(predictions=["a"], references=["a"])
    with pytest.raises(ValueError, match="add_batch: 1 groups for 1 items; give one per item in every batch, or none"):
        metric.add_batch(predictions=["a"], references=["a"], groups=["g"])


@pytest.mark.parametrize("votes", [[[-1, 1]], [[0.5, 0.5]]])
def test_wrong_votes(votes: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="compute: votes must be whole numbers of at least 0"):
        to_evaluate(soft_cross_entropy, counts=True).compute(predictions=[[0.5, 0.5]], references=votes)


# The Trainer's function

LOGITS = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0], [1.0, 1.0]])  # the last is a tie


def evaluated(predictions: Any, label_ids: Any) -> SimpleNamespace:
    return SimpleNamespace(predictions=predictions, label_ids=label_ids)


def test_codes_by_hand() -> None:
    score = compute_metrics(OPTIONS, labels=[accuracy, macro_f1, coverage])
    found = score(evaluated(LOGITS, np.array([0, 0, 1, 1])))
    expected = {"accuracy": 1 / 2, "macro_f1": MACRO_F1, "coverage": 3 / 4, "no_gold": 0, "no_prediction": 1}
    assert found == pytest.approx(expected, abs=1e-12)
    assert {type(v) for v in found.values()} == {float}  # what a log of the Trainer can hold
    assert score(evaluated((LOGITS, np.zeros((4, 7))), np.array([0, 0, 1, 1]))) == found  # hidden states beside


def test_rows_that_are_not_scored() -> None:
    score = compute_metrics(OPTIONS, labels=[accuracy])
    assert score(evaluated(LOGITS[:3], np.array([0, -100, 1]))) == {"accuracy": 1, "no_gold": 1, "no_prediction": 0}
    nothing = score(evaluated(LOGITS, np.full(4, -100)))
    assert isnan(nothing["accuracy"])
    assert nothing["no_gold"] == 4
    empty = score(evaluated(np.zeros((0, 2)), np.zeros(0, dtype=np.int64)))
    assert isnan(empty["accuracy"])


def test_shares_against_the_functions() -> None:
    rng = np.random.default_rng(1)
    logits, people = rng.normal(size=(40, 3)) * 3, rng.dirichlet(np.ones(3), 40)
    options = ["a", "b", "c"]
    score = compute_metrics(options, labels=[accuracy], soft=[soft_cross_entropy], intervals=True)
    found = score(evaluated(logits.astype(np.float32), people))
    gold, pred = ([options[k] for k in m.argmax(axis=1)] for m in (people, logits))
    soft = soft_cross_entropy(gold=people, pred=softmax(logits.astype(np.float32).astype(float), axis=1))
    assert found["accuracy"] == accuracy(gold=gold, pred=pred).value
    assert found["accuracy_high"] == accuracy(gold=gold, pred=pred).high
    assert found["soft_cross_entropy"] == pytest.approx(soft.value, abs=1e-12)
    assert found["soft_cross_entropy_low"] == pytest.approx(soft.low, abs=1e-12)


def test_people_who_tie_or_are_not_known() -> None:
    people = np.array([[0.5, 0.5], [1.0, 0.0], [-100, -100], [np.nan, np.nan]])
    score = compute_metrics(OPTIONS, labels=[accuracy], soft=[soft_cross_entropy])
    found = score(evaluated(np.tile([1.0, 0.0], (4, 1)), people))
    q = float(softmax([1.0, 0.0])[0])
    expected = (-0.5 * (log(q) + log(1 - q)) - log(q)) / 2
    assert found == pytest.approx(
        {"accuracy": 1.0, "soft_cross_entropy": expected, "no_gold": 3.0, "no_prediction": 0.0}, abs=1e-12
    )


def test_votes_as_label_ids() -> None:
    votes = np.array([[3, 1], [2, 2], [0, 4]])
    score = compute_metrics(OPTIONS, labels=[accuracy], soft=[brier_score_unbiased], counts=True)
    found = score(evaluated(LOGITS[:3], votes))
    probs = softmax(LOGITS[:3], axis=1)
    assert found["accuracy"] == 1.0
    assert found["no_gold"] == 1.0
    expected = brier_score_unbiased(counts=votes, pred=probs).value
    assert found["brier_score_unbiased"] == pytest.approx(expected, abs=1e-12)


def test_logits_that_are_no_numbers() -> None:
    logits = np.array([[nan, 1.0], [inf, 0.0], [-inf, 0.0], [-inf, -inf], [1.0, 0.0]])
    score = compute_metrics(OPTIONS, labels=[coverage], soft=[top_label_agreement])
    found = score(evaluated(logits, np.tile([0.0, 1.0], (5, 1))))
    # only the third and the fifth row have a distribution: (0, 1), which is right, and one that is wrong
    expected = {"coverage": 2 / 5, "top_label_agreement": 1 / 2, "no_gold": 0, "no_prediction": 3}
    assert found == pytest.approx(expected, abs=1e-12)


def test_groups_of_the_evaluation_set() -> None:
    logits, codes = np.tile(LOGITS[:3], (8, 1)), np.tile([0, 0, 1], 8)
    codes[5] = -100
    groups = np.arange(24) // 4
    score = compute_metrics(OPTIONS, labels=[accuracy], group=groups, intervals=True)
    found = score(evaluated(logits, codes))
    kept = codes >= 0
    gold, pred = ([OPTIONS[k] for k in v[kept]] for v in (codes, logits.argmax(axis=1)))
    assert found["accuracy_low"] == accuracy(gold=gold, pred=pred, group=groups[kept]).low
    with pytest.raises(ValueError, match="compute_metrics: 24 groups for 3 rows"):
        score(evaluated(logits[:3], codes[:3]))


@pytest.mark.parametrize(
    ("predictions", "label_ids", "said"),
    [
        (np.zeros((4, 3)), np.zeros(4), r"2 options need logits \(rows, 2\), found predictions \(4, 3\)"),
        (np.zeros((4, 7, 2)), np.zeros((4, 7)), r"found predictions \(4, 7, 2\)"),
        (np.zeros(4), np.zeros(4), r"found predictions \(4,\)"),
        (LOGITS, np.zeros(3), r"codes \(4,\) or shares \(4, 2\), found \(3,\)"),
        (LOGITS, np.zeros((4, 1)), r"found \(4, 1\)"),
        (LOGITS, (np.zeros(4), np.zeros(4)), "label_ids must be one array, found 2"),
        (LOGITS, np.array([0, 1, 2, 0]), "codes must be 0 to 1, or -100.*found 2 in 1 of 4 rows"),
        (LOGITS, np.array([0, 1, -1, 0]), "found -1 in 1 of 4 rows"),
        (LOGITS, np.array([0, 1, 0.5, 0]), "found 0.5 in 1 of 4 rows"),
    ],
)
def test_wrong_shapes_and_codes(predictions: Any, label_ids: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"compute_metrics: .*{said}"):
        compute_metrics(OPTIONS, labels=[accuracy])(evaluated(predictions, label_ids))


def test_metrics_that_do_not_fit_the_trainer() -> None:
    with pytest.raises(ValueError, match="compute_metrics: wanted one or more metrics"):
        compute_metrics(OPTIONS)
    with pytest.raises(ValueError, match="of different names"):
        compute_metrics(OPTIONS, labels=[accuracy], soft=[accuracy])
    with pytest.raises(ValueError, match="soft metrics need label_ids of people's shares"):
        compute_metrics(OPTIONS, soft=[soft_cross_entropy])(evaluated(LOGITS, np.zeros(4)))
