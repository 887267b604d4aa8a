"""BEST: exact fractions, simulation and enumeration as oracles, the published numbers, and what its interval does."""

from __future__ import annotations

import json
from itertools import product
from math import isnan, log, nan, pi
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, gamma

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.ceiling import refitted
from dfar_toolkit.metrics.ceiling.best import best, best_together
from dfar_toolkit.metrics.ceiling.ceiling_table import ceiling_table
from dfar_toolkit.metrics.ceiling.fitted_scores import BEST_METRICS, best_scores
from dfar_toolkit.metrics.ceiling.top_option import top_probabilities
from dfar_toolkit.metrics.ceiling.vote_counts import read_votes

PAIRS = [[2, 0]] * 3 + [[0, 2]] * 3 + [[1, 1]] * 2  # alpha = (1/2, 1/2), see test_dirichlet_fit


def _drawn(n: int, votes: int, alpha: list[float], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.multinomial(rng.integers(1, votes + 1, n), rng.dirichlet(alpha, size=n))


def test_pairs_by_hand() -> None:
    # Posteriors are Beta(5/2, 1/2) for the six alike pairs and Beta(3/2, 3/2) for the two others.
    # Cross-entropy: psi(3) - psi(5/2) = 2 log 2 - 7/6 and psi(3) - psi(3/2) = 2 log 2 - 1/2; 6/8 and 2/8 of them.
    # Brier: alike 2 (5/36 / 4) + 2 (1/6)^2 = 1/8, others 2 (1/4 / 4) = 1/8.
    # Total variation: alike E(1 - q) = 1/6, others E|q - 1/2| = 2 / (3 pi), the mean distance of a half circle.
    # Accuracy: P(Beta(5/2, 1/2) > 1/2), and 1/2 by symmetry.
    alike = beta.sf(0.5, 2.5, 0.5)
    wanted = {
        "cross_entropy": 2 * log(2) - 1,
        "brier": 1 / 8,
        "total_variation": 6 / 8 / 6 + 2 / 8 * 2 / (3 * pi),
        "accuracy": 6 / 8 * alike + 2 / 8 / 2,
    }
    found = {metric: best(PAIRS, metric=metric, ci=None).value for metric in wanted}
    assert found == pytest.approx(wanted, abs=1e-9)


def test_chance_to_lead_by_hand() -> None:
    # Dirichlet(2, 1, 1): X1 ~ Gamma(2), two exponentials. P(X1 largest) is the integral of t e^-t (1 - e^-t)^2
    # = 1 - 2/4 + 1/9 = 11/18, and the rest is shared.
    assert top_probabilities(np.array([[2.0, 1.0, 1.0]]))[0] == pytest.approx([11 / 18, 7 / 36, 7 / 36], abs=1e-8)


def test_two_options_are_the_beta_form_of_the_integral() -> None:
    rng = np.random.default_rng(0)
    shapes = rng.gamma(1, 3, size=(50, 2)) + rng.integers(0, 30, size=(50, 2)) + 0.01
    shapes[np.arange(50), shapes.argmax(axis=1)] += 1
    two = top_probabilities(shapes)
    assert two[:, 0] == pytest.approx(beta.sf(0.5, *shapes.T), abs=1e-12)
    third = np.column_stack([shapes, np.full(50, 1e-10)])  # an option that nobody chooses
    assert top_probabilities(third)[:, :2] == pytest.approx(two, abs=1e-8)


@pytest.mark.parametrize("a", [[1.2, 0.2, 0.3], [3.5, 3.4, 0.1, 2.2], [900.0, 870.0, 4.0], [1.0, 1e-10, 1e-10]])
def test_chance_to_lead_against_adaptive_integration(a: list[float]) -> None:
    def leads(k: int) -> float:
        def density(x: float) -> float:  # in log t, where it has no end point to trip over
            others = np.prod([gamma.cdf(np.exp(x), b) for j, b in enumerate(a) if j != k])
            return float(gamma.pdf(np.exp(x), a[k]) * np.exp(x) * others)

        middle = np.log(max(a))
        value: float = quad(density, middle - 40, middle + 4, points=[middle - 1, middle], epsabs=1e-11, limit=400)[0]
        return value

    assert top_probabilities(np.array([a]))[0] == pytest.approx([leads(k) for k in range(len(a))], abs=1e-8)


def _every_outcome(metric: str, gold: np.ndarray, chances: np.ndarray) -> float:
    """Expected score over all predictions that the items can get, listed one by one."""
    total = 0.0
    width = chances.shape[1]
    for said in product(range(width), repeat=len(gold)):
        pred = np.array(said)
        hits = [np.sum(gold[pred == k, k]) for k in range(width)]
        sizes, named = gold.sum(axis=0), np.bincount(pred, minlength=width)
        score = hits / sizes if metric == "balanced_accuracy" else 2 * np.array(hits) / (sizes + named)
        total += float(np.prod(chances[np.arange(len(gold)), pred])) * float(np.mean(score))
    return total


@pytest.mark.parametrize("metric", ["macro_f1", "balanced_accuracy"])
@pytest.mark.parametrize("ties", ["first", "split"])
def test_scores_of_the_top_option_against_every_outcome(metric: str, ties: str) -> None:
    counts = np.array([[3, 0, 1], [0, 2, 1], [1, 0, 1], [0, 0, 4], [2, 2, 1], [1, 0, 2]])
    lead = counts == counts.max(axis=1, keepdims=True)
    gold = lead / lead.sum(axis=1, keepdims=True)
    if ties == "first":
        gold = np.eye(3)[counts.argmax(axis=1)]
    alpha = np.array([0.4, 0.7, 0.5])
    score = best_scores([metric], ties=ties)[0]
    rows = score.rows(alpha, counts.astype(float))
    assert rows.sum(axis=1) == pytest.approx(np.ones(6), abs=1e-12)
    found = score.value(rows, counts.astype(float), np.ones(6))
    assert found == pytest.approx(_every_outcome(metric, gold, rows), abs=1e-11)


@pytest.mark.parametrize("metric", BEST_METRICS)
@pytest.mark.parametrize("ties", ["first", "split"])
def test_closed_forms_against_sampling(metric: str, ties: str) -> None:
    counts = _drawn(40, 4, [0.5, 1.0, 0.4], seed=2)
    exact = best(counts, metric=metric, ties=ties, ci=None)
    drawn = best(counts, metric=metric, ties=ties, ci=None, method="sampling", n_draws=4000, seed=1)
    error = float(drawn.note.rsplit(" ", 1)[1])
    assert "4000 oracles drawn, Monte-Carlo standard error" in drawn.note
    assert 0 < error < 0.005
    assert abs(drawn.value - exact.value) < 4 * error


def test_what_the_note_says() -> None:
    frame = pl.DataFrame({"label_counts": [[2, 1], [1, 1], [0, 3], [1, 0], None, [0, 0]]})
    note = best(frame, metric="accuracy", ci=None).note
    assert "expected score of an oracle, not a bound" in note
    assert "1 of 4 items have one vote" in note
    assert "1 of 4 items tied: the first option in the lead is gold" in note
    assert "2 of 6 items without votes left out" in note


def test_undefined_and_why() -> None:
    single = best([[1, 0], [0, 1]])
    assert isnan(single.value)
    assert single.note.startswith("no item has two votes or more")
    assert best(np.zeros((0, 2))).note.startswith("no items")
    never = best([[2, 1, 0], [1, 2, 0], [0, 1, 1]], metric="macro_f1")
    assert isnan(never.value)
    assert "an option leads the votes of no item" in never.note
    one = best([[2, 1]])
    assert isnan(one.low)
    assert "no interval: one unit (items) only" in one.note
    certain = best([[3, 0], [0, 2], [2, 0]], metric="accuracy")
    assert (certain.value, isnan(certain.low)) == (pytest.approx(1.0, abs=1e-9), True)
    assert "every bootstrap draw gives the same value" in certain.note


def test_soft_labels_and_odd_arguments_are_refused() -> None:
    with pytest.raises(TableError, match="best: counts must be whole numbers of votes; 1 rows"):
        best([[0.25, 0.75]])
    with pytest.raises(ValueError, match="best: metric must be one of cross_entropy, accuracy"):
        best(PAIRS, metric="f2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="best: ties must be one of first, split"):
        best(PAIRS, ties="last")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="best: n_draws must be a whole number"):
        best(PAIRS, n_draws=0)
    with pytest.raises(ValueError, match="best: n_boot must be a whole number of at least 1"):
        best(PAIRS, n_boot=0)
    with pytest.raises(ValueError, match='best: ci must be "bootstrap" or None'):
        best(PAIRS, ci="jackknife")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="best: confidence must lie between 0 and 1"):
        best(PAIRS, confidence=95)


@settings(max_examples=8)
@given(st.integers(0, 10_000), st.permutations([0, 1, 2]))
def test_order_of_items_and_of_options_and_copies(seed: int, order: list[int]) -> None:
    counts = _drawn(20, 4, [0.6, 0.9, 1.4], seed=seed)
    votes = read_votes("test", counts)
    points = [e.value for e in best_together(votes, ties="split", ci=None)]
    turned = best_together(read_votes("test", counts[:, order]), ties="split", ci=None)
    tripled = best_together(read_votes("test", np.tile(counts, (3, 1))), ties="split", ci=None)
    wanted = np.array(points)
    assert np.array([e.value for e in turned]) == pytest.approx(wanted, abs=2e-5, nan_ok=True)
    linear = [place for place, metric in enumerate(BEST_METRICS) if metric != "macro_f1"]  # its mean is not linear
    assert np.array([e.value for e in tripled])[linear] == pytest.approx(wanted[linear], abs=2e-5, nan_ok=True)


def test_same_seed_same_bytes_whatever_the_order_and_groups_widen() -> None:
    counts = _drawn(120, 5, [0.5, 1.0, 0.3], seed=4)
    groups = [f"stem {place // 4}" for place in range(120)]
    order = np.random.default_rng(1).permutation(120)
    one = best(counts, group=groups, n_boot=40)
    two = best(counts[order], group=[groups[place] for place in order], n_boot=40)
    assert one == two
    assert (one.n, one.n_units, one.unit, one.scope) == (120, 30, "groups", "items")
    assert one.method == "bootstrap (alpha refitted)"
    alone = best(counts, n_boot=40)
    assert best(counts[order], n_boot=40) == alone
    assert best(counts, n_boot=40, seed=1).low != alone.low
    assert best(counts, group=list(range(120)), n_boot=40) == alone
    copies, of_copy = np.repeat(counts[:30], 4, axis=0), np.repeat(np.arange(30), 4)
    together, apart = best(copies, group=of_copy, n_boot=60), best(copies, n_boot=60)
    assert together.high - together.low > 1.4 * (apart.high - apart.low)


def test_a_frame_brings_its_groups() -> None:
    counts = _drawn(40, 5, [0.5, 1.0], seed=4)
    frame = pl.DataFrame({"votes 🙂": counts.tolist(), "group": [f"g{place % 7}" for place in range(40)]})
    found = best(frame, column="votes 🙂", n_boot=20)
    assert found == best(counts, group=frame["group"], n_boot=20)
    assert found.n_units == 7


def test_many_rows_take_the_score_as_linear_in_log_alpha(monkeypatch: pytest.MonkeyPatch) -> None:
    votes = read_votes("test", _drawn(2000, 6, [0.5, 1.0, 0.4], seed=6))
    exact = best_together(votes, n_boot=30)
    monkeypatch.setattr(refitted, "_EXACT_ROWS", 10)
    for one, other in zip(exact, best_together(votes, n_boot=30), strict=True):
        width = one.high - one.low
        assert other.value == one.value
        assert other.method == "bootstrap (alpha refitted, score linear in log alpha)"
        assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=0.04 * width)


def test_intervals_of_the_points_hold_the_truth_about_as_often_as_they_say() -> None:
    # The expected score of the oracle over fresh items and votes, alpha known, from one large sample.
    truth = best(_drawn(20_000, 6, [0.5, 1.0], seed=99), ci=None).value
    held = 0
    for seed in range(15):
        found = best(_drawn(150, 6, [0.5, 1.0], seed=seed), n_boot=40, confidence=0.9, seed=seed)
        held += found.low <= truth <= found.high
    assert 10 <= held <= 15  # 13.5 expected


@pytest.mark.real
def test_published_anecdotes(shared_data: Path) -> None:
    counts = np.array(json.loads((shared_data / "scruples/dev.scruples-anecdotes_label-counts.json").read_text()))
    table = ceiling_table(counts, n_boot=20)
    rows = {(r["ceiling"], r["metric"]): r for r in table.iter_rows(named=True)}
    value = {key: row["value"] for key, row in rows.items()}
    assert value["best", "cross_entropy"] == pytest.approx(0.734532, abs=5e-7)
    assert value["best", "accuracy"] == pytest.approx(0.880936, abs=5e-7)
    assert value["entropy_floor", "cross_entropy"] == pytest.approx(0.552008, abs=5e-7)
    # Published from 10,000 draws: macro-F1 .681798 +- .000205, accuracy .881040 +- .000055, cross-entropy .734442
    # +- .000037, balanced accuracy .703917 without its error. Here without any.
    assert abs(value["best", "macro_f1"] - 0.681798) < 2 * 0.000205
    assert abs(value["best", "accuracy"] - 0.881040) < 2 * 0.000055
    assert abs(value["best", "cross_entropy"] - 0.734442) < 3 * 0.000037
    assert value["best", "balanced_accuracy"] == pytest.approx(0.703917, abs=2e-4)
    oracle = rows["best", "accuracy"]
    assert oracle["low"] < 0.880936 < oracle["high"]
    assert "63 of 2500 items have one vote; 4 of 2500 items tied" in oracle["note"]
    assert "unanimous items: 22.9% observed, 15." in oracle["note"]
    # Fleiss' kappa .3690 from the agreement of two raters and the shares of all votes on items with two or more.
    several = counts[counts.sum(axis=1) > 1]
    shares = several.sum(axis=0) / several.sum()
    chance = float(shares @ shares)
    assert (value["two_raters", "agreement"] - chance) / (1 - chance) == pytest.approx(0.3690, abs=5e-5)
    drawn = best(counts, metric="accuracy", ci=None, method="sampling", n_draws=60)
    assert abs(drawn.value - 0.880936) < 4 * float(drawn.note.rsplit(" ", 1)[1])
    # Baselines to read it against: mean distribution 1.137026, shares of the majorities 1.194313, uniform log 5.
    p = counts / counts.sum(axis=1, keepdims=True)
    assert -np.sum(p * np.log(p.mean(axis=0)), axis=1).mean() == pytest.approx(1.137026, abs=5e-7)
    majorities = np.bincount(counts.argmax(axis=1), minlength=5)
    assert majorities.tolist() == [434, 1732, 99, 227, 8]
    assert -np.sum(p * np.log(majorities / 2500), axis=1).mean() == pytest.approx(1.194313, abs=5e-7)


def test_table_without_an_interval_and_without_votes() -> None:
    table = ceiling_table(PAIRS, ci=None)
    assert table["low"].is_nan().all()
    assert table["ceiling"].unique(maintain_order=True).to_list() == [
        "best", "entropy_floor", "held_out_rater", "two_raters",
    ]  # fmt: skip
    empty = ceiling_table(pl.DataFrame({"label_counts": [None]}, schema={"label_counts": pl.List(pl.Int64)}))
    assert empty["value"].fill_nan(None).null_count() == len(empty)
    assert nan not in empty["n"].to_list()


def test_macro_f1_of_items_beyond_doubt_is_1() -> None:
    """Thousands of votes for one option and few items: 1 - p + p z of the integral is z, which must not round to 0."""
    for votes in ([[3000, 1], [1, 3000]], [[200, 0, 0], [0, 200, 0], [0, 0, 200]], [[10**7, 3], [5, 10**9]]):
        assert best(votes, metric="macro_f1", ci=None).value == pytest.approx(1.0, abs=1e-9)
