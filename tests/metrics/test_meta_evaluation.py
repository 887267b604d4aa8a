"""Automatic metrics of reasons against human verdicts."""

from __future__ import annotations

from math import isnan

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, norm, ttest_rel
from sklearn.metrics import roc_auc_score

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.reasons.good_bad_auroc import good_bad_auroc
from dfar_toolkit.metrics.reasons.judge_reliability import split_half_reliability, split_half_rows
from dfar_toolkit.metrics.reasons.meta_evaluation import meta_evaluation
from dfar_toolkit.metrics.reasons.run_ranking import run_rank_agreement
from dfar_toolkit.metrics.reasons.told_apart import runs_told_apart
from small_tables import make_judgements

scored = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.0, 1 / 3, 1.0]), st.sampled_from("xy")), max_size=12)


@given(scored)
@settings(max_examples=20)
def test_auroc_against_scikit_learn_and_loops(rows: list[tuple[int, float, str]]) -> None:
    scores, bad, runs = ([r[k] for r in rows] for k in range(3))
    found = good_bad_auroc(score=scores, share_bad=bad, ci=None)
    good = [b < 0.5 for b in bad]
    if len(set(good)) < 2:
        assert isnan(found.value)
        assert found.note in ("no items", "no good reason", "no bad reason")
        return
    assert found.value == pytest.approx(roc_auc_score(good, scores), abs=1e-12)
    pairs = [
        (i, j) for i in range(len(rows)) for j in range(len(rows)) if good[i] and not good[j] and runs[i] == runs[j]
    ]
    won = [(scores[i] > scores[j]) + (scores[i] == scores[j]) / 2 for i, j in pairs]
    within = good_bad_auroc(score=scores, share_bad=bad, within=runs, ci=None)
    assert within.value == pytest.approx(np.mean(won) if won else np.nan, abs=1e-12, nan_ok=True)


def some(n: int) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(0)
    bad = (rng.random(n) < 0.4).astype(float)
    return (np.round(rng.standard_normal(n) - bad, 1)).tolist(), bad.tolist()


def test_delong_by_its_definition() -> None:
    scores, bad = some(60)
    x = np.array([s for s, b in zip(scores, bad, strict=True) if b == 0])
    y = np.array([s for s, b in zip(scores, bad, strict=True) if b == 1])
    win = (x[:, None] > y) + (x[:, None] == y) / 2
    area = win.mean()
    one, two = win.mean(axis=1) - area, win.mean(axis=0) - area
    variance = 60 / 59 * ((one**2).sum() / len(x) ** 2 + (two**2).sum() / len(y) ** 2)
    half = norm.ppf(0.975) * np.sqrt(variance) / (area * (1 - area))
    ends = 1 / (1 + np.exp(-(np.log(area / (1 - area)) + np.array([-half, half]))))
    found = good_bad_auroc(score=scores, share_bad=bad, ci="delong")
    assert (found.value, found.low, found.high) == pytest.approx((area, *ends), abs=1e-12)
    assert found.method == "DeLong, logit"


def test_intervals_agree_and_groups_count() -> None:
    scores, bad = some(150)
    boot = good_bad_auroc(score=scores, share_bad=bad, n_boot=400)
    delong = good_bad_auroc(score=scores, share_bad=bad, ci="delong")
    assert (boot.low, boot.high) == pytest.approx((delong.low, delong.high), abs=0.03)
    # Each reason three times in one group: the interval of single items is too narrow, that of groups is not.
    frame = pl.DataFrame({"score": scores, "share_bad": bad, "group": list(range(150))})
    thrice = pl.concat([frame] * 3)
    for ci in ("bootstrap", "delong"):
        grouped = good_bad_auroc(thrice, score="score", ci=ci, n_boot=400)
        assert (grouped.n, grouped.n_units, grouped.unit) == (450, 150, "groups")
        assert grouped.high - grouped.low == pytest.approx(delong.high - delong.low, rel=0.15)
        back = good_bad_auroc(thrice.reverse(), score="score", ci=ci, n_boot=400)
        assert back == grouped


def test_even_splits_and_missing_scores_are_left_out() -> None:
    found = good_bad_auroc(score=[1.0, None, float("nan"), 2.0, 0.0], share_bad=[0, 0, 1, 0.5, 1], ci=None)
    assert (found.value, found.n) == (1.0, 2)
    assert found.note == "1 of 5 without a majority verdict left out; 2 without a score left out"


def test_auroc_refusals_and_ends() -> None:
    assert "no interval" in good_bad_auroc(score=[1, 0], share_bad=[0, 1], ci="delong").note
    assert (
        good_bad_auroc(score=[1, 1], share_bad=[0, 1], within=["a", "b"]).note
        == "no stratum has a good and a bad reason"
    )
    with pytest.raises(ValueError, match="ci must be"):
        good_bad_auroc(score=[1], share_bad=[0], ci="jackknife")  # type: ignore[arg-type]
    with pytest.raises(TableError, match=r"found 1.5"):
        good_bad_auroc(score=[1], share_bad=[1.5])
    with pytest.raises(ValueError, match="1 scores, 2 shares"):
        good_bad_auroc(score=[1], share_bad=[0, 1])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6))
@settings(max_examples=20)
def test_rank_agreement_against_scipy(means: list[tuple[int, int]]) -> None:
    # Two reasons per run that lie around its mean.
    runs = [f"r{k}" for k in range(len(means)) for _ in range(2)]
    scores = [x + d for x, _ in means for d in (-0.5, 0.5)]
    bad = [1 - (y + d) / 4 for _, y in means for d in (0.1, -0.1)]
    found = run_rank_agreement(score=scores, share_bad=bad, run=runs, ci=None)
    expected = kendalltau([x for x, _ in means], [y for _, y in means]).statistic if len(means) > 1 else np.nan
    assert found.value == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_rank_agreement_says_what_it_counts() -> None:
    found = run_rank_agreement(
        score=[1, 2, None], share_bad=[0.9, 0.1, 0.5], run=list("aba"), group=list("xyx"), n_boot=50
    )
    assert (found.value, found.n) == (1.0, 2)
    assert found.note.startswith("2 runs")
    assert found.note.endswith("1 of 3 without a score or verdict left out")
    lone = run_rank_agreement(score=[1], share_bad=[0], run=["a"])
    assert isnan(lone.value)
    assert lone.note.startswith("fewer than two runs")


def test_reliability_of_two_judges_is_the_stepped_up_correlation() -> None:
    # Two judges: each split has the same halves, in one order or the other, so r depends on the split.
    rng = np.random.default_rng(3)
    one = (rng.random(40) < 0.5).astype(float)
    two = np.where(rng.random(40) < 0.8, one, 1 - one)
    row = split_half_rows(np.column_stack([one, two]).ravel(), np.full(40, 2), splits=5, seed=1)
    found = float(row.formula(row.rows.sum(axis=0)[None, :])[0])
    values, draw = [], np.random.default_rng(1)
    for _ in range(5):
        key = draw.random(80).reshape(40, 2)
        first = np.where(key[:, 0] < key[:, 1], one, two)
        r = np.corrcoef(first, one + two - first)[0, 1]
        values.append(2 * r / (1 + r))
    assert found == pytest.approx(np.mean(values), abs=1e-12)


def test_reliability_with_more_judges() -> None:
    agreed = make_judgements({f"i{k}": "gggg" if k % 2 else "bbbb" for k in range(6)})
    found = split_half_reliability(agreed, n_boot=50)
    assert found.value == pytest.approx(1, abs=1e-12)
    assert found.note.startswith("mean of 20 splits; 4 judges per reason")
    # Three judges: halves of one, stepped up from 1 to 3.
    rng = np.random.default_rng(0)
    theta = rng.random(4000)
    votes = (rng.random((4000, 3)) < theta[:, None]).astype(float)
    row = split_half_rows(votes.ravel(), np.full(4000, 3), splits=5)
    r = (1 / 12) / (1 / 4)  # var of theta over var of a vote
    assert float(row.formula(row.rows.sum(axis=0)[None, :])[0]) == pytest.approx(3 * r / (1 + 2 * r), abs=0.03)


def test_reliability_undefined_and_refused() -> None:
    lone = split_half_reliability(make_judgements({"i0": "g", "i1": "b-"}))
    assert isnan(lone.value)
    assert lone.note == "no items; 2 reasons with one judge left out"
    same = split_half_reliability(make_judgements({"i0": "gg", "i1": "gg"}))
    assert isnan(same.value)
    assert same.note.startswith("the verdicts of a half do not vary")
    with pytest.raises(ValueError, match="splits"):
        split_half_reliability(make_judgements({"i0": "gg"}), splits=0)
    wrong = make_judgements({"i0": "gg"}).with_columns(value=pl.lit("ok"))
    with pytest.raises(TableError, match="found 'ok'"):
        split_half_reliability(wrong)
    with pytest.raises(TableError, match="not among the items"):
        split_half_reliability(make_judgements({"i0": "gg"}), items=pl.DataFrame({"item_id": ["z"], "group": ["z"]}))


def runs_frame() -> pl.DataFrame:
    rng = np.random.default_rng(7)
    parts = []
    for run, mean in (("a", 0.0), ("b", 0.1), ("c", 1.5)):
        scores = mean + rng.standard_normal(40)
        bad = (rng.random(40) < 1 / (1 + np.exp(scores))).astype(float)
        parts.append(
            pl.DataFrame({"run_id": run, "item_id": [f"i{k:02}" for k in range(40)], "s": scores, "share_bad": bad})
        )
    return pl.concat(parts)


def test_pairs_told_apart_against_paired_t_tests() -> None:
    frame = runs_frame()
    of = {r: frame.filter(run_id=r)["s"].to_numpy() for r in "abc"}
    tests = [ttest_rel(of[x], of[y]).pvalue < 0.05 for x, y in (("a", "b"), ("a", "c"), ("b", "c"))]
    found = runs_told_apart(frame, score="s", at=[5, 20, 40, 500])
    assert found["at"].to_list() == [5, 20, None]
    assert found["value"][-1] == pytest.approx(np.mean(tests), abs=1e-12)
    assert found["value"].is_sorted()
    assert found["n"].to_list() == [3, 3, 3]
    assert found.equals(runs_told_apart(frame.reverse(), score="s", at=[5, 20, 40, 500]))
    # Groups of four that repeat an item: one value each, so no more can be told apart.
    repeated = pl.concat([frame.with_columns(item_id=pl.col("item_id") + f"-{k}", group="item_id") for k in range(4)])
    assert runs_told_apart(repeated, score="s", at=[])["value"].to_list() == [found["value"][-1]]


def test_told_apart_undefined() -> None:
    lone = runs_told_apart(pl.DataFrame({"run_id": ["a"], "item_id": ["i"], "s": [1.0]}), score="s")
    assert isnan(lone["value"].item())
    assert lone["note"].item() == "fewer than two runs; 1 runs; all items"
    apart = runs_told_apart(pl.DataFrame({"run_id": ["a", "b"], "item_id": ["i", "j"], "s": [1.0, 2.0]}), score="s")
    assert apart["note"].item().startswith("no pair of runs shares two groups")
    with pytest.raises(TableError, match='needs the column "t"'):
        runs_told_apart(runs_frame(), score="t")


def test_the_whole_table() -> None:
    frame = runs_frame().with_columns((-pl.col("s")).alias("turned"))
    table = meta_evaluation(frame, metrics=["s", "turned"], lower_is_better=["turned"], at=[10], n_boot=50)
    assert table.select("metric", "statistic", "at").rows() == [
        *[(m, s, a) for m in ("s", "turned") for s, a in (
            ("auroc", None), ("auroc_within_run", None), ("kendall_tau_runs", None),
            ("runs_told_apart", 10), ("runs_told_apart", None))],
        ("human_verdict", "runs_told_apart", 10), ("human_verdict", "runs_told_apart", None),
    ]  # fmt: skip
    drop = ["metric", "name"]
    assert table.filter(metric="s").drop(drop).equals(table.filter(metric="turned").drop(drop))
    first = table.row(0, named=True)
    direct = roc_auc_score(frame["share_bad"] == 0, frame["s"])
    assert (first["value"], first["n"], first["n_units"]) == (pytest.approx(direct, abs=1e-12), 120, 40)


def test_judgements_give_the_verdicts() -> None:
    judgements = make_judgements({"i0": "gg", "i1": "gb", "i2": "bb", "i3": "bb", "i4": "gg"})
    frame = pl.DataFrame(
        {"run_id": ["m"] * 5, "item_id": [f"i{k}" for k in range(5)], "overlap": [0.9, 0.5, 0.1, 0.2, 0.3]}
    )
    ids = judgements.select("item_id", "output_id").unique()
    joined = frame.join(ids, on="item_id", maintain_order="left")
    table = meta_evaluation(joined, metrics=["overlap"], judgements=judgements, n_boot=50)
    assert table.select("metric", "statistic", "value").rows()[0] == ("overlap", "auroc", 1.0)
    assert table["statistic"].to_list() == ["auroc", "split_half_reliability"]
    assert table["n"].to_list() == [4, 5]
    with pytest.raises(TableError, match='needs the column "share_bad"'):
        meta_evaluation(frame, metrics=["overlap"])
    with pytest.raises(TableError, match="occurs twice"):
        meta_evaluation(pl.concat([joined, joined]), metrics=["overlap"], judgements=judgements)
    with pytest.raises(TableError, match='needs the column "rouge"'):
        meta_evaluation(joined, metrics=["rouge"], judgements=judgements)
    with pytest.raises(ValueError, match="'words' is not"):
        meta_evaluation(joined, metrics=["overlap"], judgements=judgements, lower_is_better=["words"])
