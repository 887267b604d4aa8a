"""Would a fresh panel keep the order of runs: in closed form, against scipy, and the refusals."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from scipy.stats import betabinom, kendalltau

from dfar_toolkit.agreement.planning.ranking_stability import compare_pairs, ranking_stability
from dfar_toolkit.errors import TableError

FEW = settings(max_examples=20)


def long(votes: list[str]) -> list[tuple[str, str, str]]:
    return [(f"i{i:03}", f"r{who}", v) for i, given_votes in enumerate(votes) for who, v in enumerate(given_votes)]


def answers(**runs: str) -> pl.DataFrame:
    rows = [(run, f"i{k:03}", v) for run, given_answers in runs.items() for k, v in enumerate(given_answers)]
    return pl.DataFrame(rows, schema=["run_id", "item_id", "label"], orient="row")


VOTES = ["aaa", "aab", "abb", "bbb", "aab"]


def elected(votes: list[str], runs: list[str]) -> np.ndarray:
    """Chance that a fresh panel of three says "a" on each item, from the definition, for items of three ratings."""
    n = np.array([v.count("a") for v in votes])
    answers = np.array([[x == "a" for x in own] for own in runs], dtype=float)
    pi = n.mean() / 3
    weights, _ = nnls(answers.T - pi, n / 3 - pi)
    mean = pi + (weights / max(1.0, weights.sum())) @ (answers - pi)
    rho = max(0.0, 1 - np.sum((9 - n**2 - (3 - n) ** 2) / 2) / np.sum(3 * (1 - mean**2 - (1 - mean) ** 2)))
    s = (1 - rho) / rho
    found: np.ndarray = betabinom.sf(1, 3, s * mean + n, s * (1 - mean) + 3 - n)
    return found


def test_two_runs_that_differ_on_one_item_in_closed_form() -> None:
    # Right in the same places but for item 1 (label a): p says a, q says b. The order is kept where the fresh label of
    # item 1 is a, turned where it is b.
    votes, runs = [*VOTES, "aaa", "bbb", "bbb", "abb", "aab"], ["aabbaaabba", "abbbaabbba"]
    runs[1] = runs[0][0] + "b" + runs[0][2:]
    found = ranking_stability(long(votes), answers(p=runs[0], q=runs[1]), n_panels=4000)
    keeps = elected(votes, runs)[1]
    pair = found.pairs.row(0, named=True)
    assert (pair["run_a"], pair["run_b"]) == ("p", "q")
    assert pair["p_same"] == pytest.approx(keeps, abs=4 * math.sqrt(keeps * (1 - keeps) / 4000))
    assert pair["p_same"] + pair["p_reversed"] == pytest.approx(1, abs=1e-12)
    assert pair["p_tied"] == 0
    assert found.runs["p_best"].to_list() == pytest.approx([pair["p_same"], pair["p_reversed"]], abs=1e-12)
    assert found.kendall_tau.value == pytest.approx(pair["p_same"] - pair["p_reversed"], abs=1e-12)
    assert found.kendall_tau.scope == "monte-carlo"
    assert "10 items are few for 2 runs" in found.kendall_tau.note


def test_expected_accuracy_is_what_fresh_panels_show() -> None:
    # Shares from a Beta, two runs that see them through noise and one that guesses: 3,000 items, three raters.
    rng = np.random.default_rng(0)
    p = rng.beta(0.5, 0.5, 3000)
    runs = [p + noise * rng.normal(size=3000) > 0.5 for noise in (0.2, 0.5, 100)]
    votes = ["a" * k + "b" * (3 - k) for k in rng.binomial(3, p)]
    texts = ["".join("ba"[int(x)] for x in own) for own in runs]
    found = ranking_stability(long(votes), answers(p=texts[0], q=texts[1], r=texts[2]), n_panels=200)
    label = rng.random((200, 3000, 3)) < p[:, None]
    seen = [float(np.mean((label.sum(axis=2) > 1) == own)) for own in runs]
    assert found.runs["run_id"].to_list() == ["p", "q", "r"]
    assert found.runs["expected"].to_list() == pytest.approx(seen, abs=0.02)
    chances = elected(votes, texts)
    exact = [np.mean(np.where(own, chances, 1 - chances)) for own in runs]
    assert found.runs["expected"].to_list() == pytest.approx(exact, abs=0.003)


def test_tau_is_scipys() -> None:
    rng = np.random.default_rng(0)
    today, fresh = rng.integers(0, 5, 6) / 5, rng.integers(0, 5, (6, 30)) / 5
    order = np.argsort(-today)
    _, taus = compare_pairs([str(k) for k in range(6)], today[order], fresh[order])
    assert taus == pytest.approx([kendalltau(today[order], x).statistic for x in fresh[order].T], abs=1e-12)


def test_equal_runs_have_no_order_to_keep() -> None:
    found = ranking_stability(long(VOTES), answers(p="aabba", q="aabba"))
    assert math.isnan(found.pairs["p_same"][0])
    assert found.pairs["p_tied"][0] == 1
    assert found.runs["p_best"].to_list() == [0.5, 0.5]
    assert math.isnan(found.kendall_tau.value)
    assert "fewer than two different accuracies" in found.kendall_tau.note


def test_missing_answers_and_unknown_values_are_wrong_and_unrated_items_do_not_count() -> None:
    runs = answers(p="aabba", q="aabbz").filter((pl.col("run_id") != "p") | (pl.col("item_id") != "i000"))
    more = pl.DataFrame({"run_id": ["p"], "item_id": ["not rated"], "label": ["a"]})
    found = ranking_stability(long(VOTES), pl.concat([runs, more]))
    assert found.runs.select("run_id", "accuracy").rows() == [("p", 0.8), ("q", 0.8)]
    assert "1 missing answers count as wrong" in found.kendall_tau.note


def test_fresh_ties_take_items_out() -> None:
    # Two raters: every fresh panel of two is unanimous or tied; p is right wherever a label is a, so its accuracy is
    # the share of a among the fresh labels.
    votes = ["aa", "aa", "aa", "ab", "bb"]
    found = ranking_stability(long(votes), answers(p="aaaaa", q="bbbbb"), n_panels=500)
    assert found.runs["accuracy"].to_list() == [0.75, 0.25]
    assert found.runs["expected"].sum() == pytest.approx(1, abs=1e-12)


def test_one_run_alone_and_undefined_stability() -> None:
    alone = ranking_stability(long(VOTES), answers(p="aabba"))
    assert len(alone.pairs) == 0
    assert alone.runs["p_best"].to_list() == [1.0]
    assert math.isnan(alone.kendall_tau.value)
    same = ranking_stability(long(["aaa", "bbb"]), answers(p="ab", q="aa"))
    assert same.runs["p_best"].is_nan().all()
    assert same.pairs["p_same"].is_nan().all()
    assert "no two ratings of an item differ" in same.kendall_tau.note


def test_another_mix() -> None:
    # The second group says the opposite of the first: asked alone, it turns the ranking round.
    rng = np.random.default_rng(1)
    p = rng.beta(0.3, 0.3, 60)
    rows = [
        (f"i{k:03}", f"{side}{r}", "a" if (rng.random() < p[k]) == (side == "x") else "b", side)
        for k in range(60)
        for side in "xy"
        for r in range(3 if side == "x" else 2)
    ]
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "side"], orient="row")
    runs = answers(p="".join("a" if x > 0.5 else "b" for x in p), q="".join("b" if x > 0.5 else "a" for x in p))
    same = ranking_stability(frame, runs, rater_group="side", mix={"x": 3})
    other = ranking_stability(frame, runs, rater_group="side", mix={"y": 3})
    assert same.pairs["p_same"][0] > 0.99
    assert other.pairs["p_reversed"][0] > 0.99


@FEW
@given(st.integers(0, 10**6))
def test_laws(seed: int) -> None:
    rng = np.random.default_rng(seed)
    votes = ["".join(rng.choice(list("abc"), rng.integers(1, 5))) for _ in range(8)]
    runs = answers(**{name: "".join(rng.choice(list("abc"), 8)) for name in "pqr"})
    found = ranking_stability(long(votes), runs, n_panels=50, seed=seed)
    rows = long(votes)
    shuffled = [rows[k] for k in rng.permutation(len(rows))]
    again = ranking_stability(shuffled, runs.sample(fraction=1, shuffle=True, seed=seed), n_panels=50, seed=seed)
    assert found.pairs.equals(again.pairs, null_equal=True)
    assert found.runs.equals(again.runs, null_equal=True)
    assert len(found.pairs) == 3
    if not found.runs["p_best"].is_nan().any():
        assert found.runs["p_best"].sum() == pytest.approx(1, abs=1e-12)
        assert (found.runs["accuracy"].is_sorted(descending=True)) or found.runs["accuracy"].is_nan().any()


def test_refusals() -> None:
    with pytest.raises(TableError, match='run "p" stands twice on item "i000"'):
        ranking_stability(long(VOTES), pl.concat([answers(p="aab"), answers(p="a")]))
    with pytest.raises(TableError, match='need the column "label"; found run_id, item_id'):
        ranking_stability(long(VOTES), answers(p="a").drop("label"))
    with pytest.raises(TableError, match="no item of the runs was rated"):
        ranking_stability(long(VOTES), answers(p="a").with_columns(item_id=pl.lit("x")))
    with pytest.raises(ValueError, match="ranking_stability: n_panels must be at least 1"):
        ranking_stability(long(VOTES), answers(p="a"), n_panels=0)
    with pytest.raises(ValueError, match="ranking_stability: confidence must lie between 0 and 1"):
        ranking_stability(long(VOTES), answers(p="a"), confidence=1.0)
