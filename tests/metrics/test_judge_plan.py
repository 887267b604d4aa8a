"""Assignment plans: balance, overlap, blinding, known chances, and that seed and rows decide alone."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.judging.judge_plan import assignment_plan, human_reasons_in, plan_summary

JUDGES = ["ann", "bob", "cyd", "dan"]


def reasons(n: int = 40, runs: tuple[str, ...] = ("m 1", "ü/2", "human")) -> pl.DataFrame:
    rows = [(f"{run}/i{k}", f"i{k}", run) for run in runs for k in range(n)]
    return pl.DataFrame(rows, schema=["output_id", "item_id", "run_id"], orient="row")


def test_balance_overlap_and_chances() -> None:
    plan = assignment_plan(reasons(), judges=JUDGES, per_item=2, overlap=0.1, share=0.5, seed=1)
    assert plan["item_id"].n_unique() == 20
    assert set(plan["inclusion_prob"]) == {0.5}
    per_reason = plan.group_by("output_id").agg(pl.col("judge_id").n_unique(), pl.len(), pl.col("overlap").first())
    assert (per_reason["judge_id"] == per_reason["len"]).all()
    assert per_reason.filter("overlap")["len"].to_list() == [4] * 6  # 2 of 20 items, three reasons each
    assert set(per_reason.filter(~pl.col("overlap"))["len"]) == {2}
    loads = plan.group_by("judge_id").len()["len"]
    assert max(loads) - min(loads) <= 1
    assert sum(loads) == 6 * 4 + 54 * 2
    by_run = plan.group_by("judge_id", "run_id").len()["len"]
    assert max(by_run) - min(by_run) <= 3
    pairs = {
        pair
        for _, own in plan.filter(~pl.col("overlap")).group_by("output_id")
        for pair in combinations(sorted(own["judge_id"]), 2)
    }
    assert len(pairs) == 6  # everybody meets everybody: their agreement can be told
    # the same items for every run, so runs are compared on what all were judged on
    assert plan.group_by("run_id").agg(pl.col("item_id").unique().sort())["item_id"].n_unique() == 1


def test_judges_see_neither_run_nor_item() -> None:
    plan = assignment_plan(reasons(), judges=JUDGES, seed=2)
    assert all(re.fullmatch(r"r\d{3}", b) for b in plan["blind_id"])
    assert (
        plan.select("output_id", "blind_id").n_unique() == plan["output_id"].n_unique() == plan["blind_id"].n_unique()
    )
    for (judge,), own in plan.group_by("judge_id"):
        assert own["order"].to_list() == list(range(1, len(own) + 1)), judge
        rank = own["run_id"].rank("dense").cast(pl.Float64).to_numpy()
        assert abs(np.corrcoef(own["order"].to_numpy(), rank)[0, 1]) < 0.5
    assert human_reasons_in(plan)
    assert not human_reasons_in(assignment_plan(reasons(runs=("m",)), judges=JUDGES))


@settings(max_examples=20)
@given(
    seed=st.integers(0, 99),
    per_item=st.integers(1, 4),
    overlap=st.sampled_from([0, 0.1, 0.34, 1]),
    share=st.sampled_from([0.01, 0.25, 0.5, 1]),
)
def test_laws(seed: int, per_item: int, overlap: float, share: float) -> None:
    rows = reasons(12)
    plan = assignment_plan(rows, judges=JUDGES, per_item=per_item, overlap=overlap, share=share, seed=seed)
    mixed = rows.sample(fraction=1, shuffle=True, seed=seed)
    assert assignment_plan(mixed, judges=JUDGES, per_item=per_item, overlap=overlap, share=share, seed=seed).equals(
        plan
    )
    loads = plan.group_by("judge_id").len()["len"]
    assert len(loads) == 4 or plan["output_id"].n_unique() * per_item < 4
    assert max(loads) - min(loads) <= 1
    assert plan["inclusion_prob"][0] == pytest.approx(plan["item_id"].n_unique() / 12)
    assert plan["inclusion_prob"][0] >= share - 1e-9


def test_another_seed_is_another_plan() -> None:
    assert not assignment_plan(reasons(), judges=JUDGES, seed=1).equals(
        assignment_plan(reasons(), judges=JUDGES, seed=2)
    )
    seen = pl.concat([assignment_plan(reasons(10, ("m",)), judges=["a"], share=0.3, seed=s) for s in range(80)])
    often = seen.group_by("item_id").len()["len"]
    assert len(often) == 10
    assert min(often) > 12  # 24 expected; sd 4.1


def test_summary() -> None:
    plan = assignment_plan(reasons(4, ("m", "human")), judges=["b", "a"], overlap=0.25, seed=0)
    found = plan_summary(plan)
    assert found["judge_id"].to_list() == ["a"] * 3 + ["b"] * 3
    assert found["run_id"].to_list() == ["human", "m", "(all)"] * 2
    assert found.filter(pl.col("run_id") == "(all)").select("reasons", "overlap").rows() == [(5, 2), (5, 2)]


def test_refused() -> None:
    rows = reasons(3)
    with pytest.raises(ValueError, match="judges must be different ids"):
        assignment_plan(rows, judges=["a", "a"])
    with pytest.raises(ValueError, match="judges must be different ids"):
        assignment_plan(rows, judges="ann")
    with pytest.raises(ValueError, match=r"per_item must lie in 1 to 4 \(judges\), found 5"):
        assignment_plan(rows, judges=JUDGES, per_item=5)
    with pytest.raises(ValueError, match=r"share in \(0, 1\], found 0.1 and 0"):
        assignment_plan(rows, judges=JUDGES, share=0)
    with pytest.raises(TableError, match="occurs 2 times"):
        assignment_plan(pl.concat([rows, rows]), judges=JUDGES)
    with pytest.raises(TableError, match='need the column "run_id"'):
        assignment_plan(rows.drop("run_id"), judges=JUDGES)
    with pytest.raises(TableError, match="some are null"):
        assignment_plan(rows.with_columns(item_id=pl.lit(None, pl.String)), judges=JUDGES)
    empty = assignment_plan(rows.clear(), judges=JUDGES)
    assert empty.schema == assignment_plan(rows, judges=JUDGES).schema
    assert len(plan_summary(empty)) == 0
