"""The same items under several prompt variants."""

from __future__ import annotations

from math import isnan

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from dfar_toolkit.agreement import krippendorff_alpha
from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.bias.prompt_stability import prompt_stability


def _frame(answers: dict[str, list[str | None]], gold: list[str | None] | None = None) -> pl.DataFrame:
    n = len(next(iter(answers.values())))
    frame = pl.DataFrame(
        {
            "item_id": [i for _ in answers for i in range(n)],
            "variant": [v for v in answers for _ in range(n)],
            "label_pred": [a for given in answers.values() for a in given],
        },
        schema_overrides={"label_pred": pl.String},
    )
    return frame if gold is None else frame.with_columns(gold=pl.Series(gold * len(answers), dtype=pl.String))


def _value(table: pl.DataFrame, metric: str) -> float:
    return float(table.filter(pl.col("metric") == metric)["value"].item())


def test_by_hand() -> None:
    frame = _frame({"p": ["a", "a", "b", "b"], "q": ["a", "b", "b", None], "r": ["a", "b", "a", "b"]}, list("aabb"))
    table = prompt_stability(frame, gold="gold", n_boot=50)
    # Under all three: items 0, 1, 2, of which only 0 is always the same.
    assert _value(table, "same_answer") == pytest.approx(1 / 3, abs=1e-12)
    # Pairs that agree: 3/3, 1/3, 1/3, 1/1.
    assert _value(table, "pairwise_agreement") == pytest.approx((1 + 1 / 3 + 1 / 3 + 1) / 4, abs=1e-12)
    each = table.filter(pl.col("metric") == "accuracy")
    assert each.select("variant", "value").rows() == [("p", 1.0), ("q", 0.5), ("r", 0.5)]
    assert _value(table, "mean_accuracy") == pytest.approx(2 / 3, abs=1e-12)
    assert _value(table, "accuracy_spread") == 0.5
    worst, best = (table.filter(pl.col("metric") == m)["variant"].item() for m in ("worst_accuracy", "best_accuracy"))
    assert (worst, best) == ("q", "p")


def test_alpha_is_that_of_the_variants_as_raters_and_the_spread_has_no_interval() -> None:
    rng = np.random.default_rng(0)
    frame = _frame({v: rng.choice(["a", "b c", "🙂"], size=30).tolist() for v in "pqr"})
    table = prompt_stability(frame, n_boot=50)
    alpha = krippendorff_alpha(frame, item="item_id", rater="variant", value="label_pred", ci=None)
    assert not isinstance(alpha, pl.DataFrame)
    assert _value(table, "alpha") == pytest.approx(alpha.value, abs=1e-12)
    with_gold = prompt_stability(frame.with_columns(gold=pl.lit("a")), gold="gold", n_boot=50)
    spread = with_gold.filter(pl.col("metric") == "accuracy_spread").row(0, named=True)
    assert isnan(spread["low"])
    assert "above 0 by chance" in spread["note"]


def test_two_variants_take_the_exact_mcnemar_test() -> None:
    frame = _frame({"p": list("aaaaaaabba"), "q": list("abbbbbbaaa")}, ["a"] * 10)
    table = prompt_stability(frame, gold="gold", ci=None)
    # Only p right on 6, only q on 2.
    assert _value(table, "equal_accuracy_p") == pytest.approx(float(mcnemar([[2, 6], [2, 0]]).pvalue), abs=1e-12)


def test_a_missing_row_is_no_answer() -> None:
    whole = _frame({"p": ["a", "a"], "q": ["a", None]}, ["a", "a"])
    short = whole.drop_nulls("label_pred")
    assert prompt_stability(short, gold="gold", n_boot=20).equals(prompt_stability(whole, gold="gold", n_boot=20))


def test_nothing_in_common_is_undefined() -> None:
    table = prompt_stability(_frame({"p": ["a", None], "q": [None, "a"]}))
    assert table["value"].is_nan().all()
    assert (table["note"] != "").all()


def test_rows_in_any_order_and_groups_as_units() -> None:
    rng = np.random.default_rng(3)
    frame = _frame({v: rng.choice(["a", "b"], size=24).tolist() for v in "pqr"}, rng.choice(["a", "b"], 24).tolist())
    frame = frame.with_columns(group=pl.col("item_id") // 4)
    table = prompt_stability(frame, gold="gold", n_boot=50)
    assert table.equals(prompt_stability(frame.reverse(), gold="gold", n_boot=50))
    assert set(table["n_units"]) == {6}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"variant": ["p", "p"], "item_id": [1, 1]}, "a second time under one variant"),
        ({"variant": ["p", None], "item_id": [1, 1]}, "no item or no variant"),
        ({"variant": ["p", "q"], "item_id": [1, 1], "group": ["x", "y"]}, "another group"),
    ],
)
def test_refusals(columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(TableError, match=message):
        prompt_stability(pl.DataFrame({**columns, "label_pred": ["a", "a"]}))


def test_one_variant_and_a_missing_column_are_refused() -> None:
    with pytest.raises(ValueError, match="two or more variants are wanted, found 1"):
        prompt_stability(_frame({"p": ["a"]}))
    with pytest.raises(ValueError, match='no column "truth"'):
        prompt_stability(_frame({"p": ["a"], "q": ["a"]}), gold="truth")
