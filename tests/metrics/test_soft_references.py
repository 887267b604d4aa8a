"""What stands beside a soft score: constant and hard predictors, a perfect model, and votes from single ratings."""

from __future__ import annotations

import json
from math import isnan, pi
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.stats
from scipy.special import betainc

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Estimate, estimate_together
from dfar_toolkit.metrics.soft_labels.brier import brier_score_rows, brier_score_unbiased_rows
from dfar_toolkit.metrics.soft_labels.cross_entropy import kl_divergence_rows, soft_cross_entropy_rows
from dfar_toolkit.metrics.soft_labels.divergences import jensen_shannon_divergence_rows
from dfar_toolkit.metrics.soft_labels.entropy import entropy_correlation_rows, entropy_error_rows
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions
from dfar_toolkit.metrics.soft_labels.perfect_model import perfect_model_scores
from dfar_toolkit.metrics.soft_labels.references import (
    corpus_mean_predictor,
    hard_majority_predictor,
    reference_predictors,
    uniform_predictor,
)
from dfar_toolkit.metrics.soft_labels.top_label import top_label_agreement_rows
from dfar_toolkit.metrics.soft_labels.total_variation import manhattan_distance_rows, total_variation_rows
from dfar_toolkit.metrics.soft_labels.transport import wasserstein_distance_rows
from dfar_toolkit.metrics.soft_labels.votes import votes_of_ratings


@pytest.fixture(autouse=True)
def _fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfar_toolkit.metrics.soft_labels.perfect_model.DRAWS", 40_000)


def _pairs(votes: np.typing.ArrayLike, pred: np.typing.ArrayLike | None = None) -> PairedDistributions:
    counts = np.asarray(votes, dtype=np.float64)
    predicted = np.ones_like(counts) if pred is None else pred
    return pair_distributions("test", None, gold=None, counts=counts, pred=predicted)


def _scores(of: PairedDistributions) -> list[Additive]:
    return [
        soft_cross_entropy_rows(of), kl_divergence_rows(of), brier_score_rows(of), brier_score_unbiased_rows(of),
        total_variation_rows(of), manhattan_distance_rows(of), jensen_shannon_divergence_rows(of),
        wasserstein_distance_rows(of), entropy_correlation_rows(of), entropy_error_rows(of),
        top_label_agreement_rows(of),
    ]  # fmt: skip


def _perfect(pairs: PairedDistributions, seed: int = 0) -> dict[str, Estimate]:
    scores = perfect_model_scores(pairs, _scores, seed=seed)
    return {s.metric: e for s, e in zip(scores, estimate_together(scores, ci=None), strict=True)}


def test_reference_predictors_by_hand() -> None:
    pairs = _pairs([[2, 1, 1], [1, 1, 0], [0, 0, 4]], [[0.2, 0.2, 0.2]] * 3)
    assert uniform_predictor(pairs).pred == pytest.approx(np.full((3, 3), 1 / 3), abs=1e-12)
    assert hard_majority_predictor(pairs).pred.tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]]
    # Each item weighs the same, whatever its votes: (1/2 + 1/2 + 0, 1/4 + 1/2 + 0, 1/4 + 0 + 1) / 3.
    assert corpus_mean_predictor(pairs).pred[1] == pytest.approx([1 / 3, 1 / 4, 5 / 12], abs=1e-12)
    for of in reference_predictors(pairs).values():
        assert of.gold is pairs.gold
        assert of.mass.tolist() == [1, 1, 1]
    empty = _pairs(np.zeros((0, 2)))
    assert [of.pred.shape for of in reference_predictors(empty).values()] == [(0, 2)] * 3


def test_the_corpus_mean_is_the_best_constant() -> None:
    rng = np.random.default_rng(0)
    pairs = _pairs(rng.multinomial(5, rng.dirichlet([1.0] * 3, 60)))
    best = corpus_mean_predictor(pairs)
    for rows in (soft_cross_entropy_rows, brier_score_rows):
        least = rows(best).rows[:, 0].sum()
        for q in rng.dirichlet(30 * best.pred[0], 10):
            assert rows(pairs._replace(pred=np.tile(q, (60, 1)))).rows[:, 0].sum() >= least


@pytest.mark.parametrize(("n", "value"), [(4, 0.159505208), (5, 0.142186667)])
def test_a_perfect_model_of_two_options_with_uniform_shares(n: int, value: float) -> None:
    # theta uniform: all numbers of yes votes are equally likely, and alpha = (1, 1) fits them exactly. Oracle:
    # E |x/n - theta| by numerical integration over theta and all x.
    theta = (np.arange(20_000) + 0.5) / 20_000
    oracle = sum(float((scipy.stats.binom.pmf(x, n, theta) * np.abs(x / n - theta)).mean()) for x in range(n + 1))
    found = _perfect(_pairs([[x, n - x] for x in range(n + 1)] * 3))
    assert found["total_variation"].value == pytest.approx(oracle, abs=1e-7)
    assert found["total_variation"].value == pytest.approx(value, abs=1e-7)
    assert found["manhattan_distance"].value == pytest.approx(2 * value, abs=1e-7)
    # Brier: 2 E theta (1 - theta) / n = 2 / (6 n); the fitted Dirichlet is right, so it says 0 for the unbiased score.
    assert found["brier_score"].value == pytest.approx(2 / (6 * n), abs=1e-7)
    assert found["brier_score_unbiased"].value == 0.0
    assert "the fitted Dirichlet says" in found["brier_score_unbiased"].note
    assert "0.0000" in found["brier_score_unbiased"].note.replace("-0.0000", "0.0000")
    # Top of an even number of votes may be tied; else P(Beta(a, b) > 1/2) of the leader.
    leads = [float(betainc(min(x, n - x) + 1, max(x, n - x) + 1, 0.5)) for x in range(n + 1)]
    assert found["top_label_agreement"].value == pytest.approx(np.mean(leads), abs=1e-7)


def test_a_perfect_model_equals_the_model_that_knows_the_truth() -> None:
    # The population is drawn, so the true shares are known and can be scored themselves.
    rng = np.random.default_rng(3)
    theta = rng.dirichlet([0.6, 1.2, 0.4], 6000)
    votes = rng.multinomial(rng.integers(2, 8, 6000), theta)
    pairs = _pairs(votes, theta)
    truth = estimate_together(_scores(pairs), n_boot=200, confidence=0.999)
    for known, found in zip(truth, _perfect(pairs).values(), strict=True):
        assert known.low < found.value < known.high, known.name


def test_drawn_and_exact_expectations_agree_and_the_seed_fixes_the_draws() -> None:
    pairs = _pairs([[3, 0, 0], [1, 1, 1], [0, 0, 2], [5, 0, 0], [1, 0, 0]] * 4)
    found, again, other = _perfect(pairs), _perfect(pairs), _perfect(pairs, seed=1)
    assert {k: (e.value, e.note) for k, e in found.items()} == {k: (e.value, e.note) for k, e in again.items()}
    assert found["total_variation"].value == other["total_variation"].value
    assert found["jensen_shannon_divergence"].value != other["jensen_shannon_divergence"].value
    assert found["jensen_shannon_divergence"].value == pytest.approx(
        other["jensen_shannon_divergence"].value, abs=0.005
    )
    assert "Monte-Carlo error" in found["entropy_correlation"].note
    shuffled = pairs.counts[np.random.default_rng(0).permutation(20)] if pairs.counts is not None else None
    assert shuffled is not None
    moved = _perfect(_pairs(shuffled))
    assert {k: e.value for k, e in moved.items()} == {k: e.value for k, e in found.items()}
    # Exact total variation against plain draws of the same posterior: K > 2, by its own code.
    scores = perfect_model_scores(pairs, lambda of: [wasserstein_distance_rows(of), total_variation_rows(of)])
    renamed = perfect_model_scores(pairs, lambda of: [total_variation_rows(of)._replace(metric="drawn")])
    assert renamed[0].rows[:, 0].mean() == pytest.approx(scores[1].rows[:, 0].mean(), abs=0.005)


def test_a_perfect_model_needs_votes_and_someone_who_could_differ() -> None:
    shares = pair_distributions("x", None, gold=[[0.5, 0.5]], pred=[[0.5, 0.5]])
    assert all(isnan(e.value) and "not known" in e.note for e in _perfect(shares).values())
    single = _perfect(_pairs([[1, 0], [0, 1]]))
    assert all(isnan(e.value) and "two votes or more" in e.note for e in single.values())
    empty = _perfect(_pairs(np.zeros((0, 2))))
    assert {e.note for e in empty.values()} == {"no items"}
    unanimous = _perfect(_pairs([[3, 0], [0, 3]] * 5))
    assert unanimous["total_variation"].value == pytest.approx(0, abs=1e-6)
    assert "never differ" in unanimous["total_variation"].note


def test_half_and_half_by_hand() -> None:
    # alpha = (1/2, 1/2): E|1 - theta| = 1/6 for Beta(5/2, 1/2), E|1/2 - theta| = 2 / (3 pi) for Beta(3/2, 3/2).
    votes = [[2, 0], [1, 1], [0, 2], [2, 0], [0, 2], [0, 2], [2, 0], [1, 1]]
    value = _perfect(_pairs(votes))["total_variation"].value
    assert value == pytest.approx(3 / 4 / 6 + 1 / 4 * 2 / (3 * pi), abs=1e-7)


@pytest.mark.real
def test_a_perfect_model_of_the_anecdotes_is_best(shared_data: Path) -> None:
    path = shared_data / "scruples" / "dev.scruples-anecdotes_label-counts.json"
    found = _perfect(_pairs(json.loads(path.read_text(encoding="utf-8"))))
    assert found["soft_cross_entropy"].value == pytest.approx(0.734532, abs=5e-6)
    assert found["top_label_agreement"].value == pytest.approx(0.880936, abs=5e-4)  # there ties go to the first


RATINGS = pl.DataFrame(
    {
        "item_id": ["b 🙂", "a", "a", "a", "a", "b 🙂"],
        "annotator_id": ["x", "x", "y", "y", "z", "y"],
        "rating_id": ["r1", "r2", "r3", "r3", "r4", "r5"],
        "value": ["no", "yes", "yes", "not sure", None, "no"],
        "group": ["g2", "g1", "g1", "g1", "g1", "g2"],
    }
)
OPTIONS = ["yes", "no", "not sure"]


def test_votes_of_set_valued_ratings_by_hand() -> None:
    # Item a: x says yes, y says yes and not sure at once: (1 + 1/2, 0, 1/2) / 2; the null is no rating.
    found = votes_of_ratings(RATINGS, options=OPTIONS, rating="rating_id")
    assert found.rows() == [
        ("a", None, [0.75, 0.0, 0.25], 2, "g1"),
        ("b 🙂", [0, 2, 0], [0.0, 1.0, 0.0], 2, "g2"),
    ]
    assert found.columns == ["item_id", "label_counts", "label_probs", "n_ratings", "group"]
    assert votes_of_ratings(RATINGS.reverse(), options=OPTIONS, rating="rating_id").equals(found)


def test_votes_feed_the_scores() -> None:
    plain = RATINGS.filter(pl.col("rating_id") != "r3")
    frame = votes_of_ratings(plain, options=OPTIONS).with_columns(pred=pl.Series([[0.5, 0.25, 0.25]] * 2))
    pairs = pair_distributions("x", frame, gold="label_probs", counts="label_counts", pred="pred", options=OPTIONS)
    assert pairs.votes().tolist() == [1, 2]
    assert pairs.groups is not None


def test_votes_refuse_what_would_be_counted_wrongly() -> None:
    with pytest.raises(TableError, match="'y' stands twice on item 'a'"):
        votes_of_ratings(RATINGS, options=OPTIONS)
    with pytest.raises(TableError, match="found 'not sure'"):
        votes_of_ratings(RATINGS, options=OPTIONS[:2], rating="rating_id")
    doubled = pl.concat([RATINGS, RATINGS[[2]]])
    with pytest.raises(TableError, match="names one twice"):
        votes_of_ratings(doubled, options=OPTIONS, rating="rating_id")
    split = RATINGS.with_columns(group=pl.Series(list("abcdef")))
    with pytest.raises(TableError, match="has several"):
        votes_of_ratings(split, options=OPTIONS, rating="rating_id")
    with pytest.raises(ValueError, match="rater=None"):
        votes_of_ratings(RATINGS.drop("annotator_id"), options=OPTIONS)
    with pytest.raises(ValueError, match="distinct names"):
        votes_of_ratings(RATINGS, options=["yes", "yes"])
    assert votes_of_ratings(RATINGS.drop("annotator_id"), options=OPTIONS, rater=None)["n_ratings"].to_list() == [3, 2]


def test_no_ratings_are_no_items() -> None:
    assert votes_of_ratings(RATINGS.clear(), options=OPTIONS, rating="rating_id").height == 0
