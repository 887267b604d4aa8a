"""What people score: held-out raters, pairs, halves and fresh raters, by hand and by listing every case."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import combinations, product
from math import comb, isnan
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom

from dfar_toolkit import agreement
from dfar_toolkit.metrics.ceiling.dirichlet_fit import fit_dirichlet_multinomial, posterior_mean
from dfar_toolkit.metrics.ceiling.fresh_raters import fresh_raters_score, held_out_raters
from dfar_toolkit.metrics.ceiling.inter_rater import inter_rater_agreement, split_half_distance
from dfar_toolkit.metrics.ceiling.people import HUMAN_METRICS, human_performance, human_performance_by_rater

PAIRS = [[2, 0]] * 3 + [[0, 2]] * 3 + [[1, 1]] * 2  # alpha = (1/2, 1/2), see test_dirichlet_fit
COUNTS = [[3, 1, 0], [2, 2, 1], [0, 5, 0], [1, 1, 1], [1, 0, 0], [0, 0, 0], [2, 0, 4]]


def _voters(row: list[int]) -> list[int]:
    return [option for option, many in enumerate(row) for _ in range(many)]


def _held_out(counts: list[list[int]]) -> tuple[np.ndarray, int]:
    """Expected table of gold and held-out vote, voter by voter."""
    table, n = np.zeros((len(counts[0]), len(counts[0]))), 0
    for row in counts:
        voters = _voters(row)
        if len(voters) < 2:
            continue
        n += 1
        for place, vote in enumerate(voters):
            rest = np.bincount(voters[:place] + voters[place + 1 :], minlength=len(row))
            lead = np.flatnonzero(rest == rest.max())
            for gold in lead:
                table[gold, vote] += 1 / len(lead) / len(voters)
    return table, n


def test_held_out_rater_by_hand() -> None:
    # (3, 1): an a leaves (2, 1) and hits, three times in four; the b leaves (3, 0) and misses: 3/4.
    # (2, 2): leaves (1, 2), misses: 0. (1, 1): leaves the other: 0. (1, 0): nobody is left, so it is no case.
    found = human_performance([[3, 1], [2, 2], [1, 1], [1, 0]], ci=None)
    assert found.value == pytest.approx(float(Fraction(3, 4) / 3), abs=1e-12)
    assert (found.n, found.note) == (3, "1 of 4 items with fewer than 2 votes left out")


def test_held_out_rater_against_a_loop_over_voters() -> None:
    table, n = _held_out(COUNTS)
    hits, gold, held = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    wanted = {
        "accuracy": hits.sum() / n,
        "macro_f1": np.mean(2 * hits / (gold + held)),
        "balanced_accuracy": np.mean(hits / gold),
    }
    found = {metric: human_performance(COUNTS, metric=metric, ci=None).value for metric in HUMAN_METRICS}
    assert found == pytest.approx(wanted, abs=1e-12)


def test_ratings_are_counted_and_raters_listed() -> None:
    # Item 1: x a, y a, z b. Item 2: x b, z b. Item 3: y alone, null for z.
    ratings = pl.DataFrame(
        {
            "item_id": [1, 1, 1, 2, 2, 3, 3],
            "annotator_id": ["x", "y", "z", "x", "z", "y", "z"],
            "value": ["a 🙂", "a 🙂", "b", "b", "b", "a 🙂", None],
        }
    )
    # x: item 1 meets a tie (1/2), item 2 hits. y: item 1 meets a tie. z: item 1 misses, item 2 hits.
    by_rater = human_performance_by_rater(ratings, n_boot=50)
    assert by_rater["annotator_id"].to_list() == ["x", "y", "z"]
    assert by_rater["value"].to_list() == pytest.approx([3 / 4, 1 / 2, 1 / 2], abs=1e-12)
    assert by_rater["n"].to_list() == [2, 1, 2]
    assert "1 items that nobody else rated left out" in by_rater["note"][1]
    # By item: 1/3 of (1/2 + 1/2 + 0) and 1.
    found = human_performance(ratings, ci=None)
    assert (found.value, found.n) == (pytest.approx(2 / 3, abs=1e-12), 2)
    assert by_rater.equals(human_performance_by_rater(ratings.reverse(), n_boot=50))


def test_ratings_bring_their_groups() -> None:
    rng = np.random.default_rng(0)
    ratings = pl.DataFrame(
        {
            "item_id": np.repeat(np.arange(40), 3),
            "annotator_id": np.tile(["x", "y", "z"], 40),
            "value": rng.integers(0, 2, 120),
            "group": np.repeat(np.arange(8), 15),
        }
    )
    found = human_performance(ratings, n_boot=50)
    assert (found.n, found.n_units, found.unit) == (40, 8, "groups")
    assert found == human_performance(ratings, group="group", n_boot=50)
    assert found == human_performance(ratings.sample(fraction=1, shuffle=True, seed=1), n_boot=50)


def test_two_raters_by_hand_and_as_observed_agreement() -> None:
    # (3, 1): 6 of 12 ordered pairs. (2, 2, 1): 4 of 20. (0, 5): all. (1, 1, 1): none. (2, 0, 4): 14 of 30.
    found = inter_rater_agreement(COUNTS, n_boot=50)
    assert found.value == pytest.approx((1 / 2 + 1 / 5 + 1 + 0 + 7 / 15) / 5, abs=1e-12)
    assert found.note == "1 of 7 items without votes left out; 1 of 6 items with fewer than 2 votes left out"
    triples = [(i, r, v) for i, row in enumerate(COUNTS) for r, v in enumerate(_voters(row))]
    assert agreement.percent_agreement(triples, ci=None).value == pytest.approx(found.value, abs=1e-12)


@pytest.mark.parametrize("metric", ["total_variation", "brier"])
def test_halves_against_every_way_to_halve(metric: str) -> None:
    rows = [[3, 1, 0], [2, 2, 1], [0, 5, 0], [2, 1, 4]]
    expected = []
    for row in rows:
        voters, apart = _voters(row), []
        half = len(voters) // 2
        for chosen in combinations(range(len(voters)), half):
            one = np.bincount([voters[i] for i in chosen], minlength=3)
            d = one / half - (np.array(row) - one) / (len(voters) - half)
            apart.append(np.abs(d).sum() / 2 if metric == "total_variation" else np.sum(d**2))
        assert len(apart) == comb(len(voters), half)
        expected.append(np.mean(apart))
    found = split_half_distance([*rows, [1, 2, 0]], metric=metric, ci=None)
    assert found.value == pytest.approx(np.mean(expected), abs=1e-12)
    assert (found.n, found.note) == (4, "1 of 5 items with fewer than 4 votes left out")


def test_fresh_raters_by_hand() -> None:
    # Alike pairs: Beta(5/2, 1/2), others Beta(3/2, 3/2). One fresh rater: 5/6 and 1/2. Two, ties split: the same.
    # Three: 3 of 3 with 2.5 x 3.5 x 4.5 / 60 = 21/32, 2 of 3 with 3 x 2.5 x 3.5 x 0.5 / 60 = 7/32: 7/8 and 1/2.
    wanted = {1: Fraction(6, 8) * Fraction(5, 6) + Fraction(1, 8), 3: Fraction(6, 8) * Fraction(7, 8) + Fraction(1, 8)}
    assert held_out_raters(PAIRS, ci=None).value == pytest.approx(float(wanted[1]), abs=1e-9)
    assert held_out_raters(PAIRS, m=2, ci=None).value == pytest.approx(float(wanted[1]), abs=1e-9)
    assert held_out_raters(PAIRS, m=3, ci=None).value == pytest.approx(float(wanted[3]), abs=1e-9)


def test_fresh_majority_of_two_options_is_a_beta_binomial_tail() -> None:
    counts = np.random.default_rng(3).multinomial(6, [0.7, 0.3], size=30)
    counts[:5] = [6, 0]
    alpha = fit_dirichlet_multinomial(counts).alpha
    shapes = alpha + counts
    top = counts.argmax(axis=1)
    lead, other = shapes[np.arange(30), top], shapes[np.arange(30), 1 - top]
    wanted = betabinom.sf(2, 5, lead, other).mean()
    assert held_out_raters(counts, m=5, ci=None).value == pytest.approx(wanted, abs=1e-9)
    mean = posterior_mean(counts, alpha)[np.arange(30), top].mean()
    assert held_out_raters(counts, ci=None).value == pytest.approx(mean, abs=1e-12)


def test_fresh_majority_of_three_options_against_every_sequence() -> None:
    alpha, row, m = np.array([0.5, 0.8, 0.3]), np.array([[2.0, 1.0, 0.0]]), 4
    chance = np.zeros(3)
    for votes in product(range(3), repeat=m):
        p, shapes = 1.0, (alpha + row[0]).copy()
        for vote in votes:
            p *= shapes[vote] / shapes.sum()
            shapes[vote] += 1
        fresh = np.bincount(votes, minlength=3)
        chance[fresh == fresh.max()] += p / (fresh == fresh.max()).sum()
    assert fresh_raters_score(3, m=m).rows(alpha, row)[0] == pytest.approx(chance, abs=1e-12)


def test_undefined_and_refused() -> None:
    for found in (
        human_performance([[1, 0], [0, 1]]),
        inter_rater_agreement([[1, 0]]),
        split_half_distance([[2, 1]]),
        held_out_raters([[1, 0]]),
        human_performance(np.zeros((0, 2))),
    ):
        assert isnan(found.value)
        assert found.note
    never = human_performance([[2, 1, 0], [1, 2, 0]], metric="balanced_accuracy")
    assert (isnan(never.value), never.note) == (True, "an option is gold nowhere")
    with pytest.raises(ValueError, match="human_performance: metric must be one of accuracy"):
        human_performance(PAIRS, metric="brier")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="split_half_distance: metric must be"):
        split_half_distance(PAIRS, metric="kl")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="held_out_raters: m must be a whole number of at least 1, found 0"):
        held_out_raters(PAIRS, m=0)
    with pytest.raises(ValueError, match="50 votes on 5 options fall in 316251 ways"):
        held_out_raters([[1, 1, 0, 0, 0]], m=50)
    with pytest.raises(ValueError, match='has no column "label_counts" for counts'):
        human_performance(pl.DataFrame({"x": [1]}))


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.permutations([0, 1, 2]))
def test_order_of_items_options_and_copies(seed: int, order: list[int]) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(rng.integers(1, 7, 15), [0.5, 0.3, 0.2])
    shuffled = rng.permutation(counts)
    for measure in (human_performance, inter_rater_agreement, split_half_distance):
        found = measure(counts, n_boot=20)
        assert measure(shuffled, n_boot=20) == found
        assert measure(counts[:, order], ci=None).value == pytest.approx(found.value, abs=1e-12, nan_ok=True)
        assert measure(np.tile(counts, (2, 1)), ci=None).value == pytest.approx(found.value, abs=1e-12, nan_ok=True)


def test_grouped_and_single_items_agree_on_the_point_and_differ_in_the_interval() -> None:
    counts = np.random.default_rng(5).multinomial(4, [0.6, 0.4], size=60)
    copies, of_copy = np.repeat(counts[:15], 4, axis=0), np.repeat(np.arange(15), 4)
    together, apart = human_performance(copies, group=of_copy, n_boot=200), human_performance(copies, n_boot=200)
    assert together.value == pytest.approx(apart.value, abs=1e-12)
    assert (together.n_units, apart.n_units) == (15, 60)
    assert together.high - together.low > 1.4 * (apart.high - apart.low)
    fresh = held_out_raters(counts, m=3, n_boot=20)
    assert fresh.low < fresh.value < fresh.high
    assert fresh.note.startswith("expected agreement under the fitted posterior, not a bound")


@pytest.mark.real
def test_published_anecdotes(shared_data: Path) -> None:
    counts = np.array(json.loads((shared_data / "scruples/dev.scruples-anecdotes_label-counts.json").read_text()))
    # The closed form against raters drawn from the counts: two draws of one comment per post.
    found = human_performance(counts, ci=None)
    rng, several = np.random.default_rng(0), counts[counts.sum(axis=1) > 1]
    scores = []
    for _ in range(40):
        held = (several.cumsum(axis=1) > (rng.random(len(several)) * several.sum(axis=1))[:, None]).argmax(axis=1)
        rest = several - np.eye(5, dtype=int)[held]
        gold = (rest + 0.5 * rng.random(rest.shape)).argmax(axis=1)
        scores.append(np.mean(gold == held))
    assert found.n == 2437
    assert abs(found.value - np.mean(scores)) < 4 * np.std(scores) / np.sqrt(len(scores))
    assert held_out_raters(counts, ci=None).value < held_out_raters(counts, m=5, ci=None).value < 0.880936
