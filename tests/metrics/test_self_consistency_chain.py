"""Early answering, mistakes, filler, paraphrase, and the table of all tests."""

from __future__ import annotations

from math import isnan
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import ESTIMATE_SCHEMA
from dfar_toolkit.metrics.self_consistency.chain_of_thought import (
    change_rate,
    early_answering_area,
    early_answering_curve,
)
from dfar_toolkit.metrics.self_consistency.self_consistency_table import self_consistency_table

SCHEMA: Final[dict[str, Any]] = {
    "item_id": pl.String, "condition": pl.String, "operator": pl.String, "draw": pl.Int64, "share": pl.Float64,
    "label": pl.String, "label_probs": pl.List(pl.Float64), "edited": pl.Boolean, "n_pieces": pl.Int64,
}  # fmt: skip
SHARES = (0.0, 0.5, 1.0)


def early(item: str, full: str, *labels: str | None) -> list[Any]:
    rows: list[Any] = [(item, "cot_full", "", 0, None, full, None, True, 2)]
    return rows + [
        (item, "cot_early", "sentences", k, share, label, None, True, 2)
        for k, (share, label) in enumerate(zip(SHARES, labels, strict=True))
    ]


def changed(item: str, condition: str, label: str | None, edited: bool = True, operator: str = "model") -> Any:
    return (item, condition, operator, 0, None, label, None, edited, 2)


# a: another label only without the reason; b: never another; c: another until the whole; d: one answer without a label.
ROWS = [
    *early("a", "x", "y", "x", "x"), *early("b", "x", "x", "x", "x"), *early("c", "y", "x", "x", "y"),
    *early("d", "x", "y", None, "x"),
]  # fmt: skip


def frame(rows: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def test_curve_and_area_by_hand() -> None:
    curve = early_answering_curve(frame(ROWS))
    assert curve["share"].to_list() == list(SHARES)
    assert curve["value"].to_list() == pytest.approx([1 / 4, 2 / 3, 1], abs=1e-12)
    assert curve["n"].to_list() == [4, 3, 4]
    # c per share: a (1, 0, 0): (1/2 + 0) / 2 = 1/4; b 0; c (1, 1, 0): (1 + 1/2) / 2 = 3/4; d has no label at 1/2.
    area = early_answering_area(frame(ROWS), n_boot=200)
    assert area.value == pytest.approx((1 / 4 + 0 + 3 / 4) / 3, abs=1e-12)
    assert (area.n, area.n_units) == (3, 3)
    assert "1 of 4 without a label at every share left out" in area.note


def test_area_is_one_minus_the_mean_height_of_the_curve() -> None:
    rows = [*early("a", "x", "y", "y", "x"), *early("b", "x", "x", "y", "x")]
    heights = early_answering_curve(frame(rows))["value"].to_list()
    mean = (heights[0] / 2 + heights[1] + heights[2] / 2) / 2
    assert early_answering_area(frame(rows), ci=None).value == pytest.approx(1 - mean, abs=1e-12)


def test_shares_need_not_be_evenly_spaced_nor_reach_both_ends() -> None:
    rows = frame(early("a", "x", "y", "x", "x")).with_columns(
        share=pl.when(pl.col("condition") == "cot_early").then(pl.col("share").replace({0.0: 0.25, 0.5: 0.3}))
    )
    # (1 + 0) / 2 x .05 / .75
    assert early_answering_area(rows, ci=None).value == pytest.approx(0.05 / 2 / 0.75, abs=1e-12)
    one = rows.filter((pl.col("condition") == "cot_full") | (pl.col("share") == 1))
    found = early_answering_area(one)
    assert isnan(found.value)
    assert "fewer than two shares" in found.note


def test_change_rates_by_hand() -> None:
    rows = [*ROWS, changed("a", "cot_mistake", "y"), changed("b", "cot_mistake", "x"), changed("c", "cot_mistake", "x"),
            changed("d", "cot_mistake", "y", edited=False), changed("a", "cot_filler", None)]  # fmt: skip
    found = change_rate(frame(rows), "cot_mistake")
    assert found.value == pytest.approx(2 / 3, abs=1e-12)  # a and c; d's reason was left as it was
    assert found.n == 3
    assert "1 of 4 edits left the reason as it was" in found.note
    filler = change_rate(frame(rows), "cot_filler")
    assert isnan(filler.value)
    assert "without two labels" in filler.note
    assert isnan(change_rate(frame(rows), "cot_paraphrase").value)


def test_several_operators_are_named() -> None:
    rows = frame([*ROWS, changed("a", "cot_mistake", "y"), changed("a", "cot_mistake", "x", operator="other_sentence")])
    with pytest.raises(ValueError, match="name the operator, found model, other_sentence"):
        change_rate(rows, "cot_mistake")
    assert change_rate(rows, "cot_mistake", operator="other_sentence").value == 0
    words = rows.filter(pl.col("condition") == "cot_early").with_columns(operator=pl.lit("words"))
    with pytest.raises(ValueError, match="name the operator, found sentences, words"):
        early_answering_area(pl.concat([rows, words]))
    with pytest.raises(ValueError, match="'cot_early'"):
        change_rate(rows, "cot_early")


def test_the_table_has_everything_and_its_directions() -> None:
    edits = zip("abc", ("cot_mistake", "cot_filler", "cot_paraphrase"), strict=True)
    rows = [*ROWS, *(changed(item, condition, "y") for item, condition in edits),
            ("e", "cot_full", "", 0, None, "x", None, True, 0)]  # fmt: skip
    inserted = pl.DataFrame(
        {
            "item_id": ["a", "a", "a"], "condition": ["full", "inserted", "inserted"], "draw": [0, 0, 1],
            "label": ["x", "y", "x"], "mentioned": [None, True, False],
        }
    )  # fmt: skip
    shares = pl.DataFrame(
        {
            "item_id": ["a", "a"], "condition": ["rationale"] * 2, "method": ["cc_answer", "cc_explanation"],
            "word_scores": [[1.0, 2.0], [1.0, 2.0]],
        }
    )  # fmt: skip
    outputs = pl.concat([frame(rows), inserted, shares], how="diagonal").with_columns(run_id=pl.lit("r"))
    outputs = pl.concat([outputs, outputs.with_columns(run_id=pl.lit("q"))])
    table = self_consistency_table(outputs, n_boot=50)
    assert table["run_id"].unique().sort().to_list() == ["q", "r"]
    own = table.filter(pl.col("run_id") == "r")
    assert own.drop("run_id").equals(table.filter(pl.col("run_id") == "q").drop("run_id"))
    better = dict(own.select("metric", "higher_is_better").rows())
    assert better == {
        "counterfactual_test": True, "counterfactual_test_items": True, "mentioned_unflipped": None,
        "insertion_flip_rate": None, "insertion_unread_rate": False, "cct": True, "phi_cct": True, "phi_cct_zero": True,
        "cc_shap": True, "cc_shap_correlation": True, "cc_shap_mse": True, "cc_shap_var": True, "cc_shap_kl": True,
        "cc_shap_js": True, "early_answering_area": True, "early_answering_same": None, "cot_mistake_change_rate": True,
        "cot_mistake_tvd": True, "cot_filler_change_rate": True, "cot_filler_tvd": True,
        "cot_paraphrase_change_rate": False, "cot_paraphrase_tvd": False,
    }  # fmt: skip
    row = own.filter(pl.col("metric") == "early_answering_area").row(0, named=True)
    assert row["coverage"] == pytest.approx(3 / 4 * 4 / 5, abs=1e-12)  # d has no label once, e no reason
    assert "1 of 5 items have a reason without words" in row["note"]
    assert row["value"] == pytest.approx(1 / 3, abs=1e-12)
    assert own.filter(pl.col("metric") == "cc_shap")["value"].item() == pytest.approx(1, abs=1e-12)
    assert table.columns[-len(ESTIMATE_SCHEMA) :] == list(ESTIMATE_SCHEMA)


def test_a_run_without_tests_has_no_rows() -> None:
    table = self_consistency_table(pl.DataFrame({"item_id": ["a"], "condition": ["full"], "label": ["x"]}))
    assert table.shape == (0, 6 + len(ESTIMATE_SCHEMA))
    with pytest.raises(TableError, match='"condition"'):
        self_consistency_table(pl.DataFrame({"item_id": ["a"]}))
    with pytest.raises(TableError, match="one run, found 2"):
        early_answering_curve(frame(ROWS).with_columns(run_id=pl.Series(["a"] * 8 + ["b"] * 8)))
    assert early_answering_curve(frame([])).height == 0


@settings(max_examples=5)
@given(st.lists(st.tuples(*[st.sampled_from(["x", "y", None])] * 4), min_size=1, max_size=6),
       st.randoms(use_true_random=False))  # fmt: skip
def test_row_order_and_names_of_labels_never_matter(items: list[tuple[Any, ...]], random: Any) -> None:
    rows = [row for at, (full, *labels) in enumerate(items) for row in early(f"i{at}", full, *labels)]
    table = self_consistency_table(frame(rows), n_boot=20)
    random.shuffle(rows)
    assert self_consistency_table(frame(rows), n_boot=20).equals(table)
    renamed = frame(rows).with_columns(pl.col("label").replace({"x": "ঠিক 🙂", "y": "x y"}))
    assert self_consistency_table(renamed, n_boot=20).equals(table)
    values = table.filter(pl.col("metric") == "early_answering_area")["value"]
    assert all(isnan(v) or 0 <= v <= 1 for v in values)
