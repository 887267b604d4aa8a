"""Many resamples at once: the same numbers as one by one, and short ways that are no other ways."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.estimate import Additive, mean_of
from dfar_toolkit.metrics.ceiling import dirichlet_fit, joint_draws, posterior_check, vote_counts
from dfar_toolkit.metrics.ceiling.ceiling_share import Measured, shares_of_ceiling
from dfar_toolkit.metrics.ceiling.dirichlet_fit import fit_patterns, fit_resamples
from dfar_toolkit.metrics.ceiling.fitted_scores import BEST_METRICS, Ties, best_scores
from dfar_toolkit.metrics.ceiling.fresh_raters import fresh_raters_score
from dfar_toolkit.metrics.ceiling.refitted import fitted_draws, score_values
from dfar_toolkit.metrics.ceiling.top_option import top_probabilities
from dfar_toolkit.metrics.ceiling.vote_counts import VoteCounts, distinct_rows, read_votes, with_votes


def _votes(n: int, most: int, alpha: list[float], seed: int = 0) -> tuple[VoteCounts, np.ndarray]:
    """Votes, and 12 resamples of their rows."""
    rng = np.random.default_rng(seed)
    votes = read_votes("test", rng.multinomial(rng.integers(1, most + 1, n), rng.dirichlet(alpha, size=n)))
    return votes, rng.multinomial(n, votes.times / n, size=12).astype(float)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([[0.5, 1.0, 0.3], [0.9, 0.02, 0.7, 0.01], [0.4, 0.8]]))
def test_fits_of_resamples_are_those_of_one_by_one(seed: int, alpha: list[float]) -> None:
    votes, times = _votes(25, 5, alpha, seed)
    start = fit_patterns(votes.patterns, votes.times).alpha
    single = np.array([fit_patterns(votes.patterns, weights, start=start).alpha for weights in times])
    together = fit_resamples(votes.patterns, times, start)
    usual = single.sum(axis=1) < 1e3  # where items differ by chance alone the maximum is flat
    assert together[usual] == pytest.approx(single[usual], rel=1e-9)
    assert (together[~usual].sum(axis=1) >= 1e3).all()


def test_fits_without_a_value_and_above_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = np.array([[1.0, 0.0], [2.0, 1.0], [0.0, 3.0]])
    times = np.array([[9.0, 0.0, 0.0], [2.0, 4.0, 3.0]])
    found = fit_resamples(patterns, times, np.ones(2))
    assert np.isnan(found[0]).all()
    monkeypatch.setattr(dirichlet_fit, "_HEAD", 2)
    assert fit_resamples(patterns, times, np.ones(2))[1] == pytest.approx(found[1], rel=1e-8)


@pytest.mark.parametrize("ties", ["first", "split"])
def test_scores_of_resamples_are_those_of_one_by_one(ties: Ties) -> None:
    votes, times = _votes(80, 6, [0.5, 1.0, 0.3])
    times[3, votes.patterns.argmax(axis=1) == 0] = 0  # an option leads nowhere: two scores without a value
    scores = [*best_scores(BEST_METRICS, ties=ties), fresh_raters_score(3, m=2, ties=ties)]
    fit = fit_patterns(votes.patterns, votes.times)
    together = fitted_draws(scores, fit, votes, iter(times))
    alphas = [fit_patterns(votes.patterns, weights, start=fit.alpha).alpha for weights in times]
    single = [score_values(scores, a, votes.patterns, weights) for a, weights in zip(alphas, times, strict=True)]
    assert together == pytest.approx(np.array(single), abs=3e-9, nan_ok=True)
    assert np.isnan(together).sum() == (np.isnan(single)).sum() == 2


def test_rows_that_share_nodes_have_the_chances_of_rows_alone() -> None:
    rng = np.random.default_rng(1)
    shapes = rng.gamma(1, 2, size=(6, 40, 4)) + rng.integers(0, 12, size=(6, 40, 4)) ** 2 + 1e-3
    alone = np.array([[top_probabilities(row[None])[0] for row in rows] for rows in shapes])
    assert top_probabilities(shapes) == pytest.approx(alone, abs=1e-9)
    assert top_probabilities(np.empty((0, 3))).shape == (0, 3)


def test_ways_to_vote_drawn_at_once_are_votes_drawn_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    votes, _ = _votes(400, 4, [0.6, 1.0, 0.3])
    short = posterior_check.check_votes(votes, n_simulated=600)
    monkeypatch.setattr(posterior_check, "comb", lambda n, k: 10**9)
    long = posterior_check.check_votes(votes, n_simulated=600)
    assert short["observed"].to_list() == long["observed"].to_list()
    spread = (long["simulated_high"] - long["simulated_low"]).to_numpy()
    for column, slack in (("simulated", 0.08), ("simulated_low", 0.15), ("simulated_high", 0.15)):
        assert (np.abs(short[column].to_numpy() - long[column].to_numpy()) < slack * spread).all()


def test_distinct_rows_by_table_and_by_sorting(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = np.random.default_rng(2).integers(0, 5, size=(300, 3)).astype(float)
    patterns, place = distinct_rows(matrix)
    assert patterns[place].tolist() == matrix.tolist()
    monkeypatch.setattr(vote_counts, "_FEW", 0)
    sparse = np.concatenate([matrix, [[900.0, 900.0, 900.0]]])
    wanted, of_row = np.unique(sparse, axis=0, return_inverse=True)
    found = distinct_rows(sparse)
    assert (found[0].tolist(), found[1].tolist()) == (wanted.tolist(), of_row.ravel().tolist())
    assert patterns.tolist() == wanted[:-1].tolist()


def test_items_with_votes_enough_are_those_of_a_new_reading() -> None:
    counts = np.random.default_rng(3).integers(0, 3, size=(60, 2))
    groups = np.arange(60) // 3
    found = with_votes(read_votes("test", counts, group=groups), 2)
    keep = counts.sum(axis=1) >= 2
    wanted = read_votes("test", counts[keep], group=groups[keep])
    for own, other in zip(found[:3], wanted[:3], strict=True):
        assert own.tolist() == other.tolist()
    assert found.kept.tolist() == keep.tolist()
    assert found.groups is not None
    assert wanted.groups is not None
    assert found.groups.tolist() == wanted.groups.tolist()


def test_what_is_the_same_on_all_items_gets_no_noise_in_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A count of infinite losses that is 0 on every item must be 0 in every draw, or the draw has no value."""
    monkeypatch.setattr(joint_draws, "EXACT_UNITS", 100)
    rng = np.random.default_rng(4)
    counts = rng.multinomial(5, rng.dirichlet([0.5, 1.0, 0.4], size=400))
    values = rng.gamma(2, 0.4, size=(3, 400))

    def unless_infinite(sums: np.ndarray) -> np.ndarray:
        return np.where(sums[:, 2] == 0, sums[:, 0] / sums[:, 1], np.nan)

    measured = [
        Measured(
            "cross_entropy",
            Additive("m", "m", np.column_stack([own, np.ones(400), np.zeros(400)]), unless_infinite),
            mean_of("other", "other", own**2 + 1),
        )
        for own in values
    ]
    for found in shares_of_ceiling(measured, counts, n_boot=40):
        assert found.low < found.value < found.high
        assert "undefined" not in found.note
