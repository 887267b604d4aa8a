"""Labels, runs and pairs in the frames of other libraries."""

from __future__ import annotations

import polars as pl
import pytest

from dfar_toolkit.agreement import (
    annotator_accuracy,
    compare_with_gold,
    plan_two_runs,
    ranking_stability,
    rater_matrix,
    rater_square,
    votes,
)

RATINGS = pl.DataFrame(
    [(i, r, "ab"[(i + (r == i % 3)) % 2]) for i in range(12) for r in range(3)],
    schema=["item_id", "annotator_id", "value"],
    orient="row",
)
RUNS = pl.DataFrame([(run, i, "ab"[(i * k) % 2]) for k, run in ((1, "x"), (2, "y")) for i in range(12)],
                    schema=["run_id", "item_id", "label"], orient="row")  # fmt: skip


def test_pandas_gives_what_polars_gives() -> None:
    labels = votes(RATINGS)
    gold = labels.select("item_id", "label")
    ours, theirs = compare_with_gold(labels, gold), compare_with_gold(labels.to_pandas(), gold.to_pandas())
    assert ours.equals(theirs, null_equal=True) or ours["value"].to_list() == theirs["value"].to_list()
    assert annotator_accuracy(RATINGS, gold.to_pandas())["value"].to_list() == (
        annotator_accuracy(RATINGS, gold)["value"].to_list()
    )
    one, other = (ranking_stability(RATINGS, runs, n_panels=50) for runs in (RUNS, RUNS.to_pandas()))
    assert one.pairs.equals(other.pairs, null_equal=True)
    plans = [
        plan_two_runs(RATINGS, runs, run_a="x", run_b="y", items=(50,), raters=(3,))
        for runs in (RUNS, RUNS.to_pandas())
    ]
    assert plans[0].equals(plans[1], null_equal=True)
    pairs = rater_matrix(RATINGS)
    assert rater_square(pairs.to_pandas()).columns == rater_square(pairs).columns


def test_no_frame_at_all() -> None:
    with pytest.raises(TypeError, match=r"^compare_with_gold: wanted a frame with named columns, found list"):
        compare_with_gold([1], [2])
