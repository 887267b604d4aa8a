"""Classification metrics: by hand, against scikit-learn, by laws, and where they have no value."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import isnan, sqrt

import numpy as np
import polars as pl
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from dfar_toolkit import metrics
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate

Metric = Callable[..., Estimate]

# Six items; e: 2 right, 1 taken for u, 1 unanswered; u: 1 right, 1 unanswered.
GOLD = ["e", "e", "e", "e", "u", "u"]
PRED = ["e", "e", "u", None, "u", None]
BY_HAND: list[tuple[Metric, dict[str, str], float]] = [
    (metrics.accuracy, {}, 3 / 6),
    (metrics.accuracy_answered, {}, 3 / 4),
    (metrics.balanced_accuracy, {}, float(Fraction(1, 2) * (Fraction(2, 4) + Fraction(1, 2)))),
    (metrics.balanced_accuracy, {"over": "answered"}, float(Fraction(1, 2) * (Fraction(2, 3) + 1))),
    # F1(e) = 2*2 / (4 + 2), F1(u) = 2*1 / (2 + 2)
    (metrics.macro_f1, {}, float(Fraction(1, 2) * (Fraction(4, 6) + Fraction(2, 4)))),
    (metrics.macro_f1, {"over": "answered"}, float(Fraction(1, 2) * (Fraction(4, 5) + Fraction(2, 3)))),
    # c = 3, N = 6, t = (4, 2, 0), p = (2, 2, 2): (18 - 12) / sqrt((36 - 12) (36 - 20))
    (metrics.matthews_correlation, {}, 6 / sqrt(24 * 16)),
]


@pytest.mark.parametrize(("metric", "how", "value"), BY_HAND)
def test_by_hand_with_unanswered_items(metric: Metric, how: dict[str, str], value: float) -> None:
    alone = metric(gold=GOLD, pred=PRED, **how)
    assert alone.value == pytest.approx(value, abs=1e-12)
    assert alone.n == (4 if how or metric is metrics.accuracy_answered else 6)
    # Of so few items many draws lack a class and there is no interval; three times as many have the same value.
    found = metric(gold=GOLD * 3, pred=PRED * 3, **how)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.low <= found.value <= found.high


def test_coverage_and_unparsed_share_by_hand() -> None:
    assert metrics.coverage(pred=PRED).value == pytest.approx(4 / 6, abs=1e-12)
    assert metrics.unparsed_share(pred=PRED).value == pytest.approx(2 / 6, abs=1e-12)


def test_per_class_rows_by_hand() -> None:
    rows = metrics.precision_recall_f1(gold=GOLD, pred=PRED).select("metric", "label", "value", "n").rows()
    expected = [
        ("precision", "e", 1.0, 2), ("recall", "e", 0.5, 4), ("f1", "e", 2 / 3, 6),
        ("precision", "u", 0.5, 2), ("recall", "u", 0.5, 2), ("f1", "u", 0.5, 6),
    ]  # fmt: skip
    for found, want in zip(rows, expected, strict=True):
        assert (found[0], found[1], found[3]) == (want[0], want[1], want[3])
        assert found[2] == pytest.approx(want[2], abs=1e-12)


def test_confusion_matrix_has_every_cell_and_an_unanswered_column() -> None:
    found = metrics.confusion_matrix(gold=GOLD, pred=PRED, options=["u", "e"])
    assert found.rows() == [("u", "u", 1), ("u", "e", 0), ("u", None, 1), ("e", "u", 1), ("e", "e", 2), ("e", None, 1)]


def _labels(k: int, n: int, seed: int) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    names = np.array([f"c{i}" for i in range(k)])
    gold = names[np.concatenate([np.arange(k), rng.integers(0, k, n)])]
    pred = np.where(rng.random(len(gold)) < 0.6, gold, names[rng.integers(0, k, len(gold))])
    return gold.tolist(), pred.tolist()


@pytest.mark.parametrize(("k", "n", "seed"), [(2, 5, 0), (3, 40, 1), (6, 60, 2)])
def test_equals_scikit_learn_where_all_is_answered(k: int, n: int, seed: int) -> None:
    gold, pred = _labels(k, n, seed)
    oracles: list[tuple[Metric, float]] = [
        (metrics.accuracy, sklearn.metrics.accuracy_score(gold, pred)),
        (metrics.balanced_accuracy, sklearn.metrics.balanced_accuracy_score(gold, pred)),
        (metrics.macro_f1, sklearn.metrics.f1_score(gold, pred, average="macro")),
        (metrics.matthews_correlation, sklearn.metrics.matthews_corrcoef(gold, pred)),
    ]
    for metric, oracle in oracles:
        assert metric(gold=gold, pred=pred).value == pytest.approx(oracle, abs=1e-12)
    options = sorted(set(gold) | set(pred))
    table = sklearn.metrics.precision_recall_fscore_support(gold, pred, labels=options, zero_division=np.nan)
    found = metrics.precision_recall_f1(gold=gold, pred=pred)
    for position, name in enumerate(("precision", "recall", "f1")):
        ours = found.filter(metric=name)["value"].to_numpy()
        np.testing.assert_allclose(ours, table[position], atol=1e-12)


def test_unanswered_as_a_label_of_its_own_is_what_scikit_learn_calls_the_same_correlation() -> None:
    gold, pred = _labels(3, 50, 5)
    holes = [None if i % 4 == 0 else p for i, p in enumerate(pred)]
    oracle = sklearn.metrics.matthews_corrcoef(gold, ["none" if p is None else p for p in holes])
    assert metrics.matthews_correlation(gold=gold, pred=holes).value == pytest.approx(oracle, abs=1e-12)


def test_wilson_interval_equals_statsmodels() -> None:
    found = metrics.accuracy(gold=["a"] * 20, pred=["a"] * 13 + ["b"] * 7)
    low, high = proportion_confint(13, 20, alpha=0.05, method="wilson")
    assert (found.low, found.high, found.method) == (
        pytest.approx(low, abs=1e-12),
        pytest.approx(high, abs=1e-12),
        "Wilson",
    )


def test_the_column_group_is_the_unit_unless_another_is_named() -> None:
    frame = pl.DataFrame({"item_id": range(6), "group": [1, 1, 2, 2, 3, 3], "label": GOLD, "label_pred": PRED})
    assert (metrics.accuracy(frame).unit, metrics.accuracy(frame).n_units) == ("groups", 3)
    assert metrics.macro_f1(frame).unit == "groups"
    assert metrics.accuracy(frame, group="item_id").unit == "items"


def test_never_predicted_class_has_no_precision_but_f1_zero() -> None:
    found = metrics.precision_recall_f1(gold=["a", "b"], pred=["a", "a"]).filter(label="b")
    values = dict(found.select("metric", "value").rows())
    assert isnan(values["precision"])
    assert (values["recall"], values["f1"]) == (0.0, 0.0)
    assert found.filter(metric="precision")["note"].item() == '"b" is never predicted'


@pytest.mark.parametrize(
    ("metric", "gold", "pred", "options", "why"),
    [
        (metrics.balanced_accuracy, ["a", "a"], ["a", "b"], None, '"b" is no item\'s gold label'),
        (metrics.macro_f1, ["a", "a"], ["a", "a"], ["a", "b"], '"b" is neither gold nor predicted'),
        (
            metrics.matthews_correlation,
            ["a", "a"],
            ["a", "b"],
            None,
            "only one gold label or only one prediction occurs",
        ),
        (metrics.accuracy_answered, ["a", "b"], [None, None], None, "no item has an answer"),
        (metrics.accuracy, [], [], None, "no items"),
        (metrics.macro_f1, [], [], None, "no items"),
        (metrics.matthews_correlation, [], [], ["a", "b"], "no items"),
    ],
)
def test_undefined_is_nan_with_a_reason(
    metric: Metric, gold: list[str], pred: list[str | None], options: list[str] | None, why: str
) -> None:
    found = metric(gold=gold, pred=pred, options=options)
    assert isnan(found.value)
    assert isnan(found.low)
    assert found.note == why


def test_one_item_has_a_point_and_says_why_there_is_no_bootstrap_interval() -> None:
    assert metrics.accuracy(gold=["a"], pred=["a"]).value == 1
    found = metrics.macro_f1(gold=["a"], pred=["a"])
    assert (found.value, found.note) == (1.0, "no interval: one unit (items) only")


def test_a_collapsed_bootstrap_interval_is_not_given() -> None:
    found = metrics.macro_f1(gold=["a"] * 9, pred=["a"] * 9)
    assert isnan(found.low)
    assert found.note == "no interval: every bootstrap draw gives the same value"


def test_undefined_draws_are_counted() -> None:
    found = metrics.balanced_accuracy(gold=["a", "a", "b"], pred=["a", "b", "b"])
    assert "of 2000 bootstrap draws undefined" in found.note


@pytest.mark.parametrize(
    ("gold", "pred", "options", "error", "message"),
    [
        ([None, "a"], ["a", "a"], None, TableError, "accuracy: every item needs a gold label; 1 of 2 are null"),
        (["a"], ["x"], ["a", "b"], TableError, "accuracy: labels must be one of a, b; found 'x'"),
        (["a"], ["a", "b"], None, ValueError, "accuracy: gold has 1 labels, pred has 2"),
        (["1"], [1], None, ValueError, "accuracy: gold is String, pred is Int64"),
        ([0.5], [0.5], None, ValueError, "accuracy: labels must be names, integers or booleans"),
        (["a"], ["a"], ["a", "a"], ValueError, "accuracy: options must differ"),
        ("label", ["a"], None, ValueError, 'accuracy: gold="label" names a column, but no frame is given'),
    ],
)
def test_refusals(gold: object, pred: object, options: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        metrics.accuracy(gold=gold, pred=pred, options=options)  # type: ignore[arg-type]


def test_missing_column_and_group_are_named() -> None:
    frame = pl.DataFrame({"label": ["a"], "guess": ["a"], "group": [None]})
    with pytest.raises(ValueError, match='no column "label_pred" for pred; found "label", "guess"'):
        metrics.accuracy(frame)
    with pytest.raises(TableError, match="1 of 1 have none"):
        metrics.accuracy(frame, pred="guess")
    with pytest.raises(ValueError, match='over must be "all" or "answered"'):
        metrics.macro_f1(gold=["a"], pred=["a"], over="some")  # type: ignore[arg-type]


PAIRS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", None]), st.integers(0, 3)),
    min_size=2,
    max_size=20,
)
ALL: list[Metric] = [
    metrics.accuracy,
    metrics.accuracy_answered,
    metrics.balanced_accuracy,
    metrics.macro_f1,
    metrics.matthews_correlation,
]


def _frame(rows: list[tuple[str, str | None, int]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["label", "label_pred", "group"], orient="row", infer_schema_length=None)


def _same(a: Estimate, b: Estimate) -> bool:
    return str(a) == str(b) and np.array_equal([a.value, a.low, a.high], [b.value, b.low, b.high], equal_nan=True)


@given(rows=PAIRS, data=st.data())
def test_row_order_never_matters(rows: list[tuple[str, str | None, int]], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(rows))
    for metric in ALL:
        assert _same(metric(_frame(rows)), metric(_frame(shuffled)))


@given(rows=PAIRS)
def test_renaming_labels_and_doubling_the_items_keep_the_point(rows: list[tuple[str, str | None, int]]) -> None:
    names = {"a": "z", "b": "x", "c": "y", None: None}
    renamed = [(names[g] or "", names[p], k) for g, p, k in rows]
    for metric in ALL:
        point = metric(_frame(rows)).value
        assert metric(_frame(renamed)).value == pytest.approx(point, abs=1e-12, nan_ok=True)
        assert metric(_frame(rows + rows)).value == pytest.approx(point, abs=1e-12, nan_ok=True)


@given(rows=PAIRS)
def test_accuracy_is_coverage_times_accuracy_of_the_answered(rows: list[tuple[str, str | None, int]]) -> None:
    frame = _frame(rows)
    answered, coverage = metrics.accuracy_answered(frame).value, metrics.coverage(frame).value
    whole = metrics.accuracy(frame).value
    assert whole == pytest.approx(0.0 if coverage == 0 else answered * coverage, abs=1e-12)
    assert metrics.unparsed_share(frame).value == pytest.approx(1 - coverage, abs=1e-12)
    assert metrics.confusion_matrix(frame)["count"].sum() == len(rows)
