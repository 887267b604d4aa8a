"""Label-only answers beside with-reason answers of the same model."""

from __future__ import annotations

from math import isnan

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.contingency_tables import mcnemar

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.bias.reason_consistency import reason_changes, reason_consistency


def _value(table: pl.DataFrame, metric: str) -> float:
    return float(table.filter(pl.col("metric") == metric)["value"].item())


def test_by_hand_with_unanswered_items() -> None:
    plain = ["a", "a", "b", "b", None]
    reasoned = ["a", "b", "b", "a", "a"]
    table = reason_consistency(label_only=plain, with_reason=reasoned, gold=list("aabaa"), n_boot=50)
    assert _value(table, "agreement") == 0.5
    assert _value(table, "kappa") == 0.0  # p_e = 1/2
    assert _value(table, "accuracy_label_only") == pytest.approx(3 / 5)
    assert _value(table, "accuracy_with_reason") == pytest.approx(4 / 5)
    assert _value(table, "accuracy_difference") == pytest.approx(1 / 5, abs=1e-12)
    parts = ("both_right", "only_label_only_right", "only_with_reason_right", "neither_right")
    assert [_value(table, m) for m in parts] == [0.4, 0.2, 0.4, 0.0]
    assert _value(table, "accuracy_difference_p") == 1.0  # 1 against 2
    assert _value(table, "with_reason_right_where_they_differ") == pytest.approx(2 / 3)
    assert "1 of 5 items not answered both ways" in table["note"][0]


def test_kappa_and_mcnemar_equal_the_libraries() -> None:
    rng = np.random.default_rng(0)
    options = ["x", "y z", "🙂"]
    gold, a = rng.choice(options, size=120), rng.choice(options, size=120)
    b = np.where(rng.random(120) < 0.6, a, gold)
    table = reason_consistency(label_only=a.tolist(), with_reason=b.tolist(), gold=gold.tolist(), n_boot=50)
    assert _value(table, "kappa") == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)
    right = [[int(np.sum((a == gold) == i) - np.sum(((a == gold) == i) & ((b == gold) != j))) for j in (1, 0)]
             for i in (1, 0)]  # fmt: skip
    assert _value(table, "accuracy_difference_p") == pytest.approx(float(mcnemar(right, exact=True).pvalue), abs=1e-12)


def test_changes_have_every_cell() -> None:
    found = reason_changes(label_only=["a", "a", None], with_reason=["b", "b", "a"], gold=["b", None, "a"])
    assert found.height == 9
    rows = found.filter(pl.col("count") > 0).rows()
    assert rows == [("a", "b", 2, 2 / 3, 0, 1), (None, "a", 1, 1 / 3, 0, 1)]


def test_undefined_says_why() -> None:
    one = reason_consistency(label_only=["a", "a"], with_reason=["a", "a"], gold=["a", "a"])
    assert isnan(_value(one, "kappa"))
    assert isnan(_value(one, "with_reason_right_where_they_differ"))
    none = reason_consistency(label_only=["a", None], with_reason=[None, "a"])
    assert none["value"].is_nan().all()
    assert none["note"].str.contains("no item is answered both ways").all()


def test_groups_take_the_sign_flip() -> None:
    frame = pl.DataFrame({"label_only": list("aabb"), "with_reason": list("bbbb"), "gold": list("bbbb"),
                          "group": [0, 0, 1, 1]})  # fmt: skip
    table = reason_consistency(frame, gold="gold", n_boot=20)
    p = table.filter(pl.col("metric") == "accuracy_difference_p").row(0, named=True)
    assert p["method"].startswith("sign-flip by group")
    assert p["value"] == 1.0  # one group differs: both signs are as far


@settings(max_examples=8)
@given(st.lists(st.tuples(*[st.sampled_from(["a", "b", None])] * 3), min_size=1, max_size=10))
def test_row_order_never_matters(rows: list[tuple[str | None, str | None, str | None]]) -> None:
    frame = pl.DataFrame(rows, schema=dict.fromkeys(["label_only", "with_reason", "gold"], pl.String), orient="row")
    table = reason_consistency(frame, gold="gold", n_boot=20)
    assert table.equals(reason_consistency(frame.reverse(), gold="gold", n_boot=20))


def test_refusals() -> None:
    with pytest.raises(TableError, match="labels must be one of a; found 'b'"):
        reason_consistency(label_only=["a"], with_reason=["b"], options=["a"])
    with pytest.raises(ValueError, match="label_only has 1, with_reason has 2 labels"):
        reason_consistency(label_only=["a"], with_reason=["b", "a"])
    with pytest.raises(ValueError, match='no column "label_only"'):
        reason_changes(pl.DataFrame({"x": ["a"]}))
