"""The table of all soft-label scores: what is in it, that each row is the score itself, and what stands beside."""

from __future__ import annotations

from math import isnan

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.estimate import ESTIMATE_SCHEMA
from dfar_toolkit.metrics.soft_labels.brier import brier_score_unbiased
from dfar_toolkit.metrics.soft_labels.cross_entropy import soft_cross_entropy
from dfar_toolkit.metrics.soft_labels.dirichlet_multinomial import dirichlet_multinomial_nll
from dfar_toolkit.metrics.soft_labels.entropy import entropy_correlation
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions
from dfar_toolkit.metrics.soft_labels.score_table import PREDICTORS, soft_label_scores, soft_label_table
from dfar_toolkit.metrics.soft_labels.transport import wasserstein_distance

ALWAYS = [
    "soft_cross_entropy", "brier_score_unbiased", "brier_score", "kl_divergence", "total_variation",
    "manhattan_distance", "jensen_shannon_divergence", "jensen_shannon_distance", "hellinger_distance",
    "entropy_correlation", "entropy_error", "top_label_agreement", "option_mass", "option_mass_below_half",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfar_toolkit.metrics.soft_labels.perfect_model.DRAWS", 4_000)


def _pairs(n: int = 40, seed: int = 0, *, groups: bool = False) -> PairedDistributions:
    rng = np.random.default_rng(seed)
    theta = rng.dirichlet([0.7] * 3, n)
    votes = rng.multinomial(rng.integers(2, 7, n), theta)
    pred = 0.8 * (0.7 * theta + 0.3 / 3)
    group = [f"g{i // 4}" for i in range(n)] if groups else None
    return pair_distributions("test", None, gold=None, counts=votes, pred=pred, group=group)


def test_the_list_has_what_applies() -> None:
    pairs = _pairs()
    assert [s.metric for s in soft_label_scores(pairs)] == ALWAYS
    every = [s.metric for s in soft_label_scores(pairs, ordered=True, concentration=2.0)]
    assert set(every) - set(ALWAYS) == {
        "wasserstein_distance", "dirichlet_multinomial_nll", "dirichlet_multinomial_nll_per_rating"
    }  # fmt: skip
    assert len(set(every)) == len(every)
    shares = pair_distributions("x", None, gold=[[0.5, 0.5]], pred=[[0.5, 0.5]])
    assert [s.metric for s in soft_label_scores(shares)] == ALWAYS
    with pytest.raises(ValueError, match="give counts"):
        soft_label_scores(shares, concentration=2.0)


def test_each_row_of_the_run_is_the_score_itself() -> None:
    pairs = _pairs(groups=True)
    table = soft_label_table(pairs, ordered=True, concentration=2.0, n_boot=200)
    assert table.columns == ["metric", "predictor", *ESTIMATE_SCHEMA]
    run = table.filter(predictor="run")
    pred, group, votes = pairs.pred, pairs.groups, pairs.counts
    found = {
        "soft_cross_entropy": soft_cross_entropy(gold=None, counts=votes, pred=pred, group=group, n_boot=200),
        "brier_score_unbiased": brier_score_unbiased(counts=votes, pred=pred, group=group, n_boot=200),
        "dirichlet_multinomial_nll": dirichlet_multinomial_nll(
            counts=votes, concentration=2.0, pred=pred, group=group, n_boot=200
        ),
        "wasserstein_distance": wasserstein_distance(gold=None, counts=votes, pred=pred, group=group, n_boot=200),
        "entropy_correlation": entropy_correlation(gold=None, counts=votes, pred=pred, group=group, n_boot=200),
    }
    for metric, expected in found.items():
        row = run.row(by_predicate=pl.col("metric") == metric, named=True)
        assert row["value"] == pytest.approx(expected.value, abs=1e-12)
        assert row["low"] < row["value"] < row["high"]
        assert (row["n"], row["n_units"], row["unit"]) == (40, 10, "groups")
        # The same units are resampled, in an order of their own: the interval is the same but for the draws.
        assert row["high"] - row["low"] == pytest.approx(expected.high - expected.low, rel=0.35)


def test_the_references_stand_beside_and_what_they_cannot_have_is_said() -> None:
    pairs = _pairs()
    table = soft_label_table(pairs, concentration=2.0, n_boot=200)
    by_metric = table.group_by("metric", maintain_order=True).agg("predictor")
    for metric, predictors in by_metric.rows():
        if metric.startswith("option_mass"):
            assert predictors == ["run"]
        elif metric.startswith("dirichlet"):
            assert predictors == list(PREDICTORS[:-1])
        else:
            assert predictors == list(PREDICTORS)
    hard = table.filter(metric="soft_cross_entropy", predictor="hard_majority").row(0, named=True)
    assert isnan(hard["value"])
    assert "give floor= to clip" in hard["note"]
    clipped = soft_label_table(pairs, floor=0.01, ci=None)
    hard = clipped.filter(metric="soft_cross_entropy", predictor="hard_majority").row(0, named=True)
    assert hard["value"] > 0
    assert "floor = 0.01" in hard["note"]
    value = {(m, p): v for m, p, v in table.select("metric", "predictor", "value").rows()}
    assert value["soft_cross_entropy", "uniform"] == pytest.approx(np.log(3), abs=1e-12)
    assert value["brier_score_unbiased", "perfect_model"] == 0.0
    for metric in ("soft_cross_entropy", "total_variation", "jensen_shannon_divergence"):
        assert value[metric, "perfect_model"] < value[metric, "corpus_mean"] <= value[metric, "uniform"]


def test_without_votes_the_headline_says_why_it_is_missing() -> None:
    shares = pair_distributions("x", None, gold=[[0.5, 0.5], [0.2, 0.8]], pred=[[0.4, 0.6]] * 2)
    table = soft_label_table(shares, n_boot=50)
    missing = table.filter(metric="brier_score_unbiased", predictor="run").row(0, named=True)
    assert isnan(missing["value"])
    assert "not known" in missing["note"]
    perfect = table.filter(predictor="perfect_model")
    assert perfect["value"].is_nan().all()
    assert perfect["note"].str.contains("not known").all()


def test_an_empty_file_has_a_table_of_nothing() -> None:
    empty = pair_distributions("x", None, gold=np.zeros((0, 2)), pred=np.zeros((0, 2)))
    table = soft_label_table(empty)
    assert table["value"].is_nan().all()
    assert table["note"].str.starts_with("no items").all()


def test_the_seed_fixes_the_table() -> None:
    pairs = _pairs()
    first, again, other = (soft_label_table(pairs, n_boot=100, seed=seed) for seed in (3, 3, 4))
    assert again.equals(first)
    assert not other.equals(first)


def test_the_order_of_the_items_does_not_matter() -> None:
    pairs = _pairs(12, 5)
    order = np.random.default_rng(5).permutation(12)
    assert pairs.counts is not None
    pred = pairs.pred * pairs.mass[:, None]
    moved = pair_distributions("test", None, gold=None, counts=pairs.counts[order], pred=pred[order])
    first, second = (soft_label_table(p, ordered=True, concentration=1.0, n_boot=100) for p in (pairs, moved))
    ends = ["value", "low", "high"]
    assert second.drop(ends).equals(first.drop(ends))
    assert second.select(ends).to_numpy() == pytest.approx(first.select(ends).to_numpy(), abs=1e-12, nan_ok=True)


def test_many_items_are_scored_from_the_normal_limit_and_their_references_from_distinct_votes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = _pairs(300)
    whole = soft_label_table(pairs, n_boot=400)
    monkeypatch.setattr("dfar_toolkit.estimate.additive.EXACT_UNITS", 100)
    monkeypatch.setattr("dfar_toolkit.metrics.soft_labels.score_table._WORTH_WHILE", 100)
    table = soft_label_table(pairs, n_boot=400)
    assert table.select("metric", "predictor", "n", "note").equals(whole.select("metric", "predictor", "n", "note"))
    assert table["value"].to_numpy() == pytest.approx(whole["value"].to_numpy(), abs=1e-12, nan_ok=True)
    assert "normal limit" in table.filter(predictor="run")["method"][0]
    widths = ((t["high"] - t["low"]).fill_nan(None) for t in (table, whole))
    ratio = (next(widths) / next(widths)).drop_nulls()
    assert ratio.is_between(0.75, 1.35).all()
    # Hard-majority cross-entropy is infinite; it must not spoil the intervals taken together with it.
    hard = table.filter(metric="total_variation", predictor="hard_majority").row(0, named=True)
    assert hard["low"] < hard["value"] < hard["high"]
