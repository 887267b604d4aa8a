"""Gaps between parts of the items, and between groups of annotators."""

from __future__ import annotations

import json
from itertools import combinations
from math import isnan
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.multitest import multipletests

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import estimate_together, mean_of
from dfar_toolkit.metrics.bias.annotator_group_gaps import annotator_group_gaps
from dfar_toolkit.metrics.bias.reason_consistency import kappa_rows
from dfar_toolkit.metrics.bias.subgroup_gaps import gaps_of, subgroup_gaps
from dfar_toolkit.metrics.labels import pair_labels


def _made(n: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    genre = rng.choice(["news", "chat 🙂", "law"], size=n)
    right = rng.random(n) < np.where(genre == "law", 0.5, 0.85)
    return pl.DataFrame({"label": ["a"] * n, "label_pred": np.where(right, "a", "b"), "genre": genre})


def test_by_hand_and_by_the_parts_alone() -> None:
    frame = _made(90, 0).with_columns(pl.when(pl.int_range(90) < 3).then(None).otherwise("genre").alias("genre"))
    table = subgroup_gaps(frame, by="genre", n_boot=200)
    known = frame.drop_nulls("genre")
    for row in table.iter_rows(named=True):
        inside = known.filter(pl.col("genre") == row["value_of"])
        outside = known.filter(pl.col("genre") != row["value_of"])
        shares = [(part["label"] == part["label_pred"]).mean() for part in (inside, outside)]
        assert [row["inside"], row["outside"]] == pytest.approx(shares, abs=1e-12)
        assert row["value"] == pytest.approx(shares[0] - shares[1], abs=1e-12)
        assert (row["n"], row["n_units"]) == (len(inside), len(inside))
    assert table["value_of"].to_list() == ["chat 🙂", "law", "news"]
    assert table["note"].str.contains("3 of 90 items without a value left out").all()


def test_holm_and_simultaneous_intervals() -> None:
    frame = _made(300, 1)
    table = subgroup_gaps(frame, by="genre", n_boot=300)
    assert table["p_holm"].to_list() == pytest.approx(
        list(multipletests(table["p_value"].to_numpy(), method="holm")[1]), abs=1e-12
    )
    law = table.filter(pl.col("value_of") == "law").row(0, named=True)
    assert law["high"] < 0
    # One of the three alone would get a narrower interval.
    law_or_not = pl.when(pl.col("genre") == "law").then(pl.lit("law")).otherwise(pl.lit("rest"))
    single = subgroup_gaps(frame.with_columns(two=law_or_not), by="two", n_boot=300)
    one = single.filter(pl.col("value_of") == "law").row(0, named=True)
    assert one["high"] - one["low"] < law["high"] - law["low"]
    assert one["p_value"] == one["p_holm"]  # the other is its mirror image


def test_any_additive_score_can_be_compared() -> None:
    rng = np.random.default_rng(2)
    gold, pred = rng.choice(["a", "b"], size=60).tolist(), rng.choice(["a", "b"], size=60).tolist()
    by = ["x", "y"] * 30
    score = kappa_rows(pair_labels("t", None, gold=gold, pred=pred, group=None, options=None))
    table = gaps_of(score, by=by, n_boot=100)
    parts = [
        estimate_together([score._replace(rows=score.rows[np.array(by) == v])], ci=None)[0].value for v in ("x", "y")
    ]
    assert table["value"].to_list() == pytest.approx([parts[0] - parts[1], parts[1] - parts[0]], abs=1e-12)
    assert table["metric"].to_list() == ["kappa", "kappa"]


def test_what_cannot_be_tested_is_described() -> None:
    rare = _made(100, 3).with_columns(genre=pl.when(pl.int_range(100) < 4).then(pl.lit("rare")).otherwise("genre"))
    row = subgroup_gaps(rare, by="genre", n_boot=50).filter(pl.col("value_of") == "rare").row(0, named=True)
    assert "described, not tested: fewer than 10 items" in row["note"]
    assert row["p_value"] is None
    assert isnan(row["low"])
    perfect = gaps_of(mean_of("accuracy", "accuracy", [1] * 20 + [0, 1] * 10), by=["x"] * 20 + ["y"] * 20, n_boot=50)
    assert perfect["note"].str.contains("every draw gives one side the same score").all()
    only = gaps_of(mean_of("accuracy", "accuracy", [1, 0] * 10), by=["x"] * 20)
    assert only["value"].is_nan().all()
    assert only["note"].to_list() == ["no items outside the value"]
    assert gaps_of(mean_of("accuracy", "accuracy", [1.0]), by=pl.Series([None], dtype=pl.String)).height == 0


def test_groups_and_order() -> None:
    frame = _made(120, 4).with_columns(group=pl.int_range(120) // 3)
    table = subgroup_gaps(frame, by="genre", n_boot=100)
    assert set(table["unit"]) == {"groups"}
    assert table.equals(subgroup_gaps(frame.reverse(), by="genre", n_boot=100))


def test_refusals_of_gaps() -> None:
    with pytest.raises(ValueError, match='no column "tone" for by'):
        subgroup_gaps(_made(5, 0), by="tone")
    with pytest.raises(ValueError, match="by has 1 values for 2 items"):
        gaps_of(mean_of("m", "m", [1, 0]), by=["x"])
    with pytest.raises(TableError, match="at most 500 values can be compared, found 501"):
        gaps_of(mean_of("m", "m", np.ones(501)), by=list(range(501)))


def _panel(n_raters: int, n_items: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Half of the annotators follow the run, half toss a coin; the run answers every item but the last."""
    rng = np.random.default_rng(seed)
    answer = rng.choice(["yes", "no"], size=n_items)
    rows = []
    for r in range(n_raters):
        for i in range(n_items):
            if rng.random() < 0.7:
                follows = r < n_raters // 2 and rng.random() < 0.9
                rows.append((i, f"r{r:02}", answer[i] if follows else rng.choice(["yes", "no"]),
                             "close" if r < n_raters // 2 else "far"))  # fmt: skip
    ratings = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "side"], orient="row")
    labels = [*answer[:-1].tolist(), None]
    return pl.DataFrame({"item_id": list(range(n_items)), "label": labels}), ratings


def _share(ratings: pl.DataFrame, run: dict[int, str], raters: set[str], against: str) -> float:
    own = [(i, v) for i, r, v in ratings.select("item_id", "annotator_id", "value").rows() if r in raters and i in run]
    if against == "raters":
        return sum(run[i] == v for i, v in own) / len(own)
    hits = []
    for item in {i for i, _ in own}:
        votes = [v for i, v in own if i == item]
        counts = {v: votes.count(v) for v in set(votes)}
        top = [v for v, c in counts.items() if c == max(counts.values())]
        if len(top) == 1:
            hits.append(top[0] == run[item])
    return sum(hits) / len(hits)


@pytest.mark.parametrize("against", ["raters", "majority"])
def test_annotator_groups_are_permuted_over_all_splits(against: str) -> None:
    predictions, ratings = _panel(8, 12, 0)
    run = {i: v for i, v in predictions.rows() if v is not None}
    table = annotator_group_gaps(predictions, ratings, by_rater="side", min_raters=4, n_boot=50)
    row = table.filter(
        pl.col("against") == against, pl.col("comparison") == "gap", pl.col("annotator_group") == "close"
    ).row(0, named=True)
    everybody = {f"r{r:02}" for r in range(8)}
    gaps = []
    for chosen in combinations(sorted(everybody), 4):
        sides = [_share(ratings, run, part, against) for part in (set(chosen), everybody - set(chosen))]
        gaps.append(sides[0] - sides[1])
    assert row["value"] == pytest.approx(gaps[0], abs=1e-12)  # the first four are "close"
    reached = np.abs(gaps) >= abs(gaps[0]) - 1e-9
    assert row["p_value"] == pytest.approx(reached.mean(), abs=1e-12)
    assert row["smallest_p"] == pytest.approx(2 / 70, abs=1e-12)
    assert row["n_raters"] == 4


def test_few_annotators_are_described_with_the_smallest_p() -> None:
    predictions, ratings = _panel(6, 10, 1)
    table = annotator_group_gaps(predictions, ratings, by_rater="side", ci=None)
    gaps = table.filter(pl.col("comparison") == "gap")
    assert gaps["p_value"].null_count() == 4
    assert gaps["smallest_p"].to_list() == pytest.approx([0.1] * 4)
    assert gaps["note"].str.contains("described, not tested: the group has 3, the rest 3 annotators, 5 needed").all()


def test_annotator_rows_in_any_order_and_without_a_group() -> None:
    predictions, ratings = _panel(6, 10, 2)
    more = pl.concat([ratings, ratings.head(1).with_columns(annotator_id=pl.lit("z"), side=pl.lit(None, pl.String))])
    a = annotator_group_gaps(predictions, more, by_rater="side", n_boot=30)
    b = annotator_group_gaps(predictions.reverse(), more.reverse(), by_rater="side", n_boot=30)
    assert a.equals(b)
    assert a["note"].str.contains("1 annotator without a group left out").all()


def test_refusals_of_annotator_groups() -> None:
    predictions, ratings = _panel(6, 10, 3)
    with pytest.raises(ValueError, match="wanted two or more groups of annotators, found 1"):
        annotator_group_gaps(predictions, ratings.with_columns(side=pl.lit("one")), by_rater="side")
    torn = ratings.with_columns(side=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("far")).otherwise("side"))
    with pytest.raises(TableError, match="'r00' does not"):
        annotator_group_gaps(predictions, torn, by_rater="side")
    with pytest.raises(TableError, match="item '0' has several"):
        annotator_group_gaps(pl.concat([predictions, predictions.head(1)]), ratings, by_rater="side")
    with pytest.raises(TableError, match="must be the same labels"):
        annotator_group_gaps(predictions.with_columns(label=pl.lit("Yes")), ratings, by_rater="side")
    with pytest.raises(ValueError, match='no column "age" for by_rater'):
        annotator_group_gaps(predictions, ratings, by_rater="age")


@pytest.mark.real
def test_three_and_three_real_annotators_are_too_few(shared_data: Path) -> None:
    records = json.loads((shared_data / "lewidi" / "HS-Brexit_dev.json").read_text())
    rows = [
        (key, *(part.strip() for part in parts))
        for key, r in records.items()
        for parts in zip(
            r["annotators"].split(","), r["annotations"].split(","), r["other_info"]["annotators group"].split(","),
            strict=True,
        )
    ]  # fmt: skip
    ratings = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "side"], orient="row")
    run = ratings.select("item_id", label=pl.lit("0")).unique()
    table = annotator_group_gaps(run, ratings, by_rater="side", n_boot=50)
    gap = table.filter(pl.col("comparison") == "gap").row(0, named=True)
    zeros = ratings.group_by("side").agg((pl.col("value") == "0").mean()).sort("side")["value"]
    assert gap["value"] == pytest.approx(zeros[0] - zeros[1], abs=1e-12)
    assert (gap["p_value"], gap["smallest_p"]) == (None, 0.1)
