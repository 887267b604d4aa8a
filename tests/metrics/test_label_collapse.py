"""Predicted shares against gold shares, and collapse onto one label."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import exp, isnan, log

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import SquareTable

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import estimate_together
from dfar_toolkit.metrics.bias.bias_table import bias_table
from dfar_toolkit.metrics.bias.collapse import collapse_rows, collapse_table, collapse_test, effective_number
from dfar_toolkit.metrics.bias.label_shares_test import (
    homogeneity_test,
    label_share_table,
    share_difference_rows,
    symmetry_test,
)
from dfar_toolkit.metrics.bias.quadratic_sign_flip import zero_mean_test
from dfar_toolkit.metrics.labels import pair_labels

LABELS = ["plain", "with space", "😀"]


def _labels(n: int, seed: int) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    gold = rng.choice(3, size=n, p=[0.5, 0.3, 0.2])
    pred = np.where(rng.random(n) < 0.5, gold, rng.choice(3, size=n, p=[0.7, 0.2, 0.1]))
    return [LABELS[c] for c in gold], [LABELS[c] for c in pred]


def _square(gold: list[str], pred: list[str]) -> SquareTable:
    table = np.zeros((3, 3))
    for g, p in zip(gold, pred, strict=True):
        table[LABELS.index(g), LABELS.index(p)] += 1
    return SquareTable(table, shift_zeros=False)


@pytest.mark.parametrize("seed", range(3))
def test_stuart_maxwell_and_bowker_equal_statsmodels(seed: int) -> None:
    gold, pred = _labels(200, seed)
    square = _square(gold, pred)
    stuart, bowker = homogeneity_test(gold=gold, pred=pred), symmetry_test(gold=gold, pred=pred)
    assert stuart.value == pytest.approx(float(square.homogeneity(method="stuart_maxwell").pvalue), rel=1e-10)
    assert bowker.value == pytest.approx(float(square.symmetry().pvalue), rel=1e-10)
    assert stuart.method == "Stuart-Maxwell, chi-squared"


def test_grouped_test_is_the_share_of_all_exchanges_of_whole_groups() -> None:
    gold, pred = _labels(30, 4)
    group = [i // 5 for i in range(30)]
    onehot = np.eye(3)
    d = np.zeros((6, 3))
    for g, p, k in zip(gold, pred, group, strict=True):
        d[k] += onehot[LABELS.index(p)] - onehot[LABELS.index(g)]
    inverse = np.linalg.pinv(sum(np.outer(x, x) for x in d))
    forms = []
    for signs in product((1, -1), repeat=6):
        t = sum(s * x for s, x in zip(signs, d, strict=True))
        forms.append(t @ inverse @ t)
    expected = Fraction(sum(f >= forms[0] - 1e-9 for f in forms), 64)
    found = homogeneity_test(gold=gold, pred=pred, group=group)
    assert found.value == float(expected)
    assert (found.unit, found.n_units, found.n) == ("groups", 6, 30)


def test_shares_by_hand_leave_out_the_unanswered() -> None:
    # Answered: 4 of 5; "a" said 3 times of 4, gold twice of these 4.
    found = label_share_table(gold=list("aabba"), pred=["a", "a", "a", "b", None], n_boot=50)
    rows = {(m, label): (v, n) for m, label, v, n in found.select("metric", "label", "value", "n").rows()}
    assert rows["predicted_share", "a"] == (float(Fraction(3, 4)), 4)
    assert rows["gold_share", "a"] == (0.5, 4)
    assert rows["share_difference", "b"] == (-0.25, 4)
    assert "1 of 5 items without an answer left out" in found["note"][0]


def test_differences_add_up_to_zero_and_are_the_additive_rows() -> None:
    gold, pred = _labels(60, 1)
    table = label_share_table(gold=gold, pred=pred, n_boot=50).filter(pl.col("metric") == "share_difference")
    assert table["value"].sum() == pytest.approx(0, abs=1e-12)
    rows = share_difference_rows(pair_labels("t", None, gold=gold, pred=pred, group=None, options=None))
    assert [e.value for e in estimate_together(rows, ci=None)] == table["value"].to_list()


def test_nothing_differs_or_nothing_is_there() -> None:
    assert homogeneity_test(gold=["a", "b"], pred=["a", "b"]).value == 1.0
    empty = homogeneity_test(gold=["a"], pred=[None])
    assert isnan(empty.value)
    assert "no item has an answer" in empty.note
    assert isnan(zero_mean_test(np.empty((0, 1)), name="t").value)
    none = bias_table(gold=[], pred=[], options=["a"])
    assert none["value"].is_nan().all()
    assert (none["note"] != "").all()
    assert label_share_table(gold=[], pred=[]).height == 0


def test_random_signs_come_near_all_signs() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.integers(-2, 3, size=(16, 2)).astype(float)
    whole = zero_mean_test(vectors, name="t", groups=pl.Series(range(16)))
    doubled = np.concatenate([vectors, np.zeros((4, 2)), [[1e-3, 0.0]]])  # one more that differs: 17, so random
    drawn = zero_mean_test(doubled, name="t", n_perm=4000)
    assert "exact" in whole.method
    assert "4000 draws" in drawn.method
    assert drawn.value == pytest.approx(whole.value, abs=0.04)


def test_collapse_is_the_one_sided_exact_binomial() -> None:
    # Always "a", gold 8 a and 12 b: d is 1 where gold is not "b", its most frequent label: 8 of 8, (1/2)^8.
    gold, pred = ["a"] * 8 + ["b"] * 12, ["a"] * 20
    assert collapse_test(gold=gold, pred=pred).value == float(Fraction(1, 256))
    found = collapse_table(gold=gold, pred=pred, n_boot=50)
    assert found["metric"].to_list() == [
        "top_answer_share", "gold_top_share", "top_share_difference", "effective_labels", "gold_effective_labels",
        "effective_labels_ratio", "collapse_p",
    ]  # fmt: skip
    entropy = -(0.4 * log(0.4) + 0.6 * log(0.6))
    expected = [1.0, 0.6, 0.4, 1.0, exp(entropy), 1 / exp(entropy), 1 / 256]
    assert found["value"].to_list() == pytest.approx(expected, abs=1e-12)
    assert found["label"].to_list()[:2] == ["a", "b"]
    assert found["note"][0] == 'collapse: always "a"; the gold is "b" on 60.0 % (p = 0.0039)'
    assert found["low"].is_nan()[3]
    assert "percentile interval of an entropy" in found["note"][3]


def test_verdicts() -> None:
    same = collapse_table(gold=["a"] * 20, pred=["a"] * 20, ci=None)["note"][0]
    assert same.startswith('always "a", which is not shown to be more concentrated than the gold')
    more = collapse_table(gold=["a"] * 20 + ["b"] * 20, pred=["a"] * 32 + ["b"] * 8, ci=None)["note"][0]
    assert more.startswith('more concentrated than the gold: on 80.0 % "a"')
    less = collapse_table(gold=["a"] * 4 + ["b"], pred=["a"] * 3 + ["b"] * 2, ci=None)["note"][0]
    assert less.startswith("not shown to be more concentrated")


def test_collapse_by_group_counts_groups() -> None:
    gold, pred = ["a", "b"] * 12, ["a"] * 24
    alone, grouped = collapse_test(gold=gold, pred=pred), collapse_test(gold=gold, pred=pred, group=[0, 1] * 12)
    # Gold ties: "a" is its most frequent label as the first; the 12 items of group 1 differ, one group: p 1/2.
    assert alone.value == float(Fraction(1, 2**12))
    assert grouped.value == 0.5
    many = collapse_test(gold=gold * 2, pred=pred * 2, group=[i // 2 for i in range(48)], n_perm=99)
    assert many.value == 0.01  # all 24 groups differ one way: only the real one among 1 + 99


def test_effective_number_lies_between_one_and_k() -> None:
    assert effective_number(np.array([[3.0, 3.0, 3.0]]))[0] == pytest.approx(3, abs=1e-12)
    assert isnan(effective_number(np.zeros((1, 3)))[0])


@settings(max_examples=6)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", None])), min_size=1, max_size=12))
def test_order_and_doubling(rows: list[tuple[str, str | None]]) -> None:
    def table(some: list[tuple[str, str | None]]) -> pl.DataFrame:
        group = [str(r) for r in some]
        frame = pl.DataFrame({"label": [g for g, _ in some], "label_pred": [p for _, p in some], "group": group},
                             schema_overrides={"label_pred": pl.String})  # fmt: skip
        return bias_table(frame, options=["a", "b", "c"], n_boot=20, n_perm=20)

    once = table(rows)
    assert once.equals(table(rows[::-1]))
    doubled = table(rows + rows)
    points = ~pl.col("metric").str.ends_with("_p")
    assert doubled.filter(points)["value"].to_list() == pytest.approx(
        once.filter(points)["value"].to_list(), nan_ok=True, abs=1e-12
    )


def test_additive_rows_give_the_points_of_the_table() -> None:
    gold, pred = _labels(50, 2)
    pairs = pair_labels("t", None, gold=gold, pred=pred, group=None, options=None)
    found = {e.name: e.value for e in estimate_together(collapse_rows(pairs), ci=None)}
    table = collapse_table(gold=gold, pred=pred, ci=None)
    assert list(found.values()) == [table["value"][k] for k in (0, 2, 5)]


def test_refusals() -> None:
    with pytest.raises(TableError, match=r"homogeneity_test: labels must be one of a; found 'b'"):
        homogeneity_test(gold=["a"], pred=["b"], options=["a"])
    with pytest.raises(ValueError, match="collapse_table: almost must lie above 0"):
        collapse_table(gold=["a"], pred=["a"], almost=0)
    with pytest.raises(ValueError, match="zero_mean_test: n_perm must be at least 1"):
        homogeneity_test(gold=["a"], pred=["a"], n_perm=0)
