"""Any number of runs from joined answers: which items, which metrics, which family."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.answers import join_outputs
from dfar_toolkit.metrics.comparing.many_runs import compare_many
from dfar_toolkit.metrics.soft_labels.score_table import soft_label_scores
from small_tables import make_items, make_outputs

GOLD = ["e", "e", "u", "u", "e", "u"]
ITEMS = make_items(GOLD).with_columns(
    label_probs=pl.Series([[0.8, 0.2] if g == "e" else [0.2, 0.8] for g in GOLD]),
    label_counts=pl.Series([[4, 1] if g == "e" else [1, 4] for g in GOLD]),
    source=pl.Series(["x", "x", "x", "y", "y", "y"]),
)


def run(name: str, said: str, probs: list[list[float] | None] | None = None) -> pl.DataFrame:
    labels = {f"i{k}": None if letter == "-" else letter for k, letter in enumerate(said)}
    columns = {} if probs is None else {"label_probs": probs}
    return make_outputs(labels, run=name, **columns)


def joined(*runs: pl.DataFrame) -> object:
    return join_outputs(pl.concat(runs, how="diagonal_relaxed"), ITEMS, options=["e", "u"])


def test_three_runs_on_labels() -> None:
    found = compare_many(joined(run("a", "eeuueu"), run("b", "eeeeee"), run("c", "ee--eu")), n_boot=100)  # type: ignore[arg-type]
    accuracy = found.differences.filter(metric="accuracy")
    assert accuracy.select("run_a", "run_b", "value").rows() == [
        ("a", "b", -0.5), ("a", "c", pytest.approx(-2 / 6)), ("b", "c", pytest.approx(1 / 6)),
    ]  # fmt: skip
    assert accuracy["test"].to_list() == ["exact McNemar"] * 3
    assert accuracy["p_value"].to_list() == [0.25, 0.5, 1.0]
    assert accuracy["p_holm"].to_list() == [0.75, 1.0, 1.0]
    assert set(found.differences.filter(pl.col("metric") != "accuracy")["family"]) == {"exploratory"}
    assert found.ranks["run_id"].to_list() == ["a", "c", "b"]
    wins = found.outcomes.filter(run_a="a", run_b="b")
    assert dict(wins.select("outcome", "count").rows()) == {"win": 0, "tie": 3, "loss": 3}
    assert "soft_cross_entropy" not in found.differences["metric"]


def test_soft_metrics_are_over_the_items_that_all_runs_have() -> None:
    sure, flat = [0.7, 0.3], [0.5, 0.5]
    a = run("a", "eeuueu", [sure, sure, [0.3, 0.7], None, sure, [0.3, 0.7]])
    b = run("b", "eeuueu", [flat] * 6)
    found = compare_many(
        joined(a, b),  # type: ignore[arg-type]
        primary="soft_cross_entropy", soft_scores=soft_label_scores, margin=0.5, n_boot=100,
    )  # fmt: skip
    row = found.differences.row(by_predicate=pl.col("metric") == "soft_cross_entropy", named=True)
    own = -(0.8 * np.log(0.7) + 0.2 * np.log(0.3))
    assert row["value"] == pytest.approx(np.log(2) - own, abs=1e-12)
    assert (row["n"], row["family"]) == (5, "primary")
    assert found.ranks["run_id"].to_list() == ["a", "b"]  # less is better
    assert found.differences.filter(metric="accuracy")["family"].item() == "exploratory"
    assert found.differences.filter(metric="accuracy")["p_equivalent"].item() is None


def test_by_a_column_every_value_is_compared() -> None:
    found = compare_many(joined(run("a", "eeuueu"), run("b", "eeeeee")), by="source", items=ITEMS, n_boot=50)  # type: ignore[arg-type]
    accuracy = found.differences.filter(metric="accuracy")
    assert dict(accuracy.select("subset", "value").rows()) == {
        "all": -0.5, "source=x": pytest.approx(-1 / 3), "source=y": pytest.approx(-2 / 3),
    }  # fmt: skip


def test_a_column_of_answers_is_none_of_the_items_but_one_of_that_name_is() -> None:
    two = joined(run("a", "eeuueu"), run("b", "eeee-e"))
    with pytest.raises(TableError, match="the items have no column 'state'"):
        compare_many(two, by="state", items=ITEMS)  # type: ignore[arg-type]
    named = ITEMS.with_columns(state=pl.col("source"))
    found = [compare_many(two, by=by, items=named, n_boot=20).differences for by in ("state", "source")]  # type: ignore[arg-type]
    assert found[0].drop("subset", "note").equals(found[1].drop("subset", "note"))


def test_what_cannot_be_compared_is_named() -> None:
    with pytest.raises(TableError, match="at least two runs"):
        compare_many(joined(run("a", "eeuueu")))  # type: ignore[arg-type]
    two = joined(run("a", "eeuueu"), run("b", "eeeeee"))
    with pytest.raises(TableError, match="primary metric must be one of"):
        compare_many(two, primary="acuracy", n_boot=20)  # type: ignore[arg-type]
    with pytest.raises(TableError, match="no column 'sourse'"):
        compare_many(two, by="sourse", items=ITEMS)  # type: ignore[arg-type]


def test_runs_are_ranked_the_right_way_round_by_every_metric() -> None:
    near, far = [0.7, 0.3], [0.1, 0.9]
    good = run("good", "eeuueu", [near if g == "e" else near[::-1] for g in GOLD])
    poor = run("poor", "eeueee", [far if g == "e" else far[::-1] for g in GOLD])
    lower = ["soft_cross_entropy", "brier_score", "brier_score_unbiased", "kl_divergence", "total_variation",
             "jensen_shannon_distance", "hellinger_distance", "entropy_error"]  # fmt: skip
    for metric in [*lower, "accuracy", "macro_f1", "top_label_agreement"]:
        found = compare_many(joined(good, poor), primary=metric, soft_scores=soft_label_scores, n_boot=20, n_perm=20)  # type: ignore[arg-type]
        assert found.ranks["run_id"].to_list() == ["good", "poor"], metric


def test_a_part_of_the_items_may_lack_the_primary_metric() -> None:
    known = [[0.7, 0.3]] * 3 + [None] * 3
    both = joined(run("a", "eeuueu", known), run("b", "eeeeee", known))
    found = compare_many(both, primary="soft_cross_entropy", by="source", items=ITEMS, n_boot=20, n_perm=20)  # type: ignore[arg-type]
    assert found.detectable["subset"].to_list() == ["all", "source=x"]
    assert found.ranks["subset"].unique().sort().to_list() == ["all", "source=x"]
    nobody = both._replace(frame=both.frame.with_columns(label=pl.lit(None, dtype=pl.String)))  # type: ignore[attr-defined]
    soft = compare_many(nobody, primary="soft_cross_entropy", n_boot=20, n_perm=20)
    assert soft.outcomes.is_empty()
    nothing = nobody._replace(frame=nobody.frame.with_columns(label_probs=pl.lit(None, dtype=pl.List(pl.Float64))))
    with pytest.raises(TableError, match="no item has a gold label"):
        compare_many(nothing)
