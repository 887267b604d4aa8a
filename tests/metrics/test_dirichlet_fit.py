"""One Dirichlet behind all votes: by hand, against scipy's likelihood and optimiser, and on the published counts."""

from __future__ import annotations

import json
from math import isnan, log
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import gammaln
from scipy.stats import dirichlet_multinomial

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.ceiling import dirichlet_fit
from dfar_toolkit.metrics.ceiling.dirichlet_fit import fit_dirichlet_multinomial, fit_patterns, posterior_mean
from dfar_toolkit.metrics.ceiling.posterior_check import posterior_check
from dfar_toolkit.metrics.ceiling.vote_counts import read_votes

PAIRS = [[2, 0]] * 3 + [[0, 2]] * 3 + [[1, 1]] * 2


def _drawn(n: int, votes: int, alpha: list[float], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.multinomial(rng.integers(1, votes + 1, n), rng.dirichlet(alpha, size=n))


def _nll(alpha: np.ndarray, counts: np.ndarray) -> float:
    """Negative log-likelihood of the sequence of votes per item, from scipy's of the counts."""
    n = counts.sum(axis=1)
    ways = gammaln(n + 1) - gammaln(counts + 1).sum(axis=1)
    return float(
        np.mean([w - dirichlet_multinomial.logpmf(y, alpha, m) for y, m, w in zip(counts, n, ways, strict=True)])
    )


def test_pairs_by_hand() -> None:
    # Two votes are alike with probability (a + 1) / (2 a + 1); 6 of 8 pairs are, so a = 1/2 by symmetry.
    # A pair (x, x) then has probability 1/2 x 3/4 = 3/8, a pair (x, y) in this order 1/8.
    fit = fit_dirichlet_multinomial(PAIRS)
    assert fit.alpha == pytest.approx([0.5, 0.5], abs=1e-9)
    assert fit.nll_per_item == pytest.approx(-(6 * log(3 / 8) + 2 * log(1 / 8)) / 8, abs=1e-12)
    assert (fit.converged, fit.n_items, fit.n_single, fit.note) == (True, 8, 0, "")
    assert posterior_mean(PAIRS, fit.alpha)[0] == pytest.approx([5 / 6, 1 / 6], abs=1e-9)


def test_likelihood_and_optimum_against_scipy() -> None:
    counts = _drawn(40, 9, [0.4, 1.5, 0.2])
    fit = fit_dirichlet_multinomial(counts)
    assert fit.nll_per_item == pytest.approx(_nll(fit.alpha, counts), abs=1e-12)
    naive = minimize(lambda t: _nll(np.exp(t), counts), np.zeros(3), method="BFGS", options={"gtol": 1e-7})
    assert fit.alpha == pytest.approx(np.exp(naive.x), rel=1e-4)
    assert fit.nll_per_item <= naive.fun + 1e-12


def test_votes_above_the_head_are_summed_by_gamma_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = _drawn(60, 30, [0.4, 1.5, 0.2])
    whole = fit_dirichlet_multinomial(counts)
    monkeypatch.setattr(dirichlet_fit, "_HEAD", 4)
    split = fit_dirichlet_multinomial(counts)
    assert split.alpha == pytest.approx(whole.alpha, rel=1e-8)
    assert split.nll_per_item == pytest.approx(whole.nll_per_item, abs=1e-12)


def test_weights_are_repetitions_and_warm_starts_arrive_at_the_same_place() -> None:
    counts = _drawn(30, 6, [0.5, 1.0, 2.0], seed=3)
    votes = read_votes("test", counts)
    times = np.arange(len(votes.times), dtype=float) % 3
    cold = fit_patterns(votes.patterns, times)
    warm = fit_patterns(votes.patterns, times, start=[5.0, 0.1, 30.0])
    repeated = fit_dirichlet_multinomial(np.repeat(votes.patterns, times.astype(int), axis=0))
    assert cold.alpha == pytest.approx(repeated.alpha, rel=1e-7)
    assert warm.alpha == pytest.approx(cold.alpha, rel=1e-7)
    assert cold.n_items == int(times.sum())


def test_ends_of_the_scale() -> None:
    alike = fit_dirichlet_multinomial([[1, 1]] * 5)
    assert alike.alpha.sum() > 1e4
    assert alike.note.startswith("items differ no more than chance votes would")
    unanimous = fit_dirichlet_multinomial([[3, 0], [0, 2]])
    assert unanimous.alpha.sum() < 1e-6
    assert unanimous.note == "people never differ on an item: alpha goes to 0"
    unused = fit_dirichlet_multinomial([[2, 0, 0], [1, 1, 0], [0, 4, 0]])
    assert unused.alpha[2] == pytest.approx(1e-10)
    assert unused.alpha[:2] == pytest.approx(fit_dirichlet_multinomial([[2, 0], [1, 1], [0, 4]]).alpha, rel=1e-6)


def test_single_votes_alone_say_nothing() -> None:
    fit = fit_dirichlet_multinomial([[1, 0], [0, 1]])
    assert np.isnan(fit.alpha).all()
    assert isnan(fit.nll_per_item)
    assert (fit.known, fit.n_items, fit.n_single) == (False, 2, 2)
    assert fit.note == "no item has two votes or more, so how people differ is not known"
    assert fit_dirichlet_multinomial(np.zeros((0, 3))).note == "no items"


def test_null_and_empty_rows_are_left_out_and_counted() -> None:
    frame = pl.DataFrame({"label_counts": [[2, 1], None, [0, 0], [1, 0]]})
    votes = read_votes("test", frame)
    assert (votes.n_items, votes.n_single, votes.kept.tolist()) == (2, 1, [True, False, False, True])
    assert votes.note == "2 of 4 items without votes left out"


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        ([[0.5, 0.5]], TableError, "whole numbers of votes; 1 rows are not, e.g. .*Soft labels alone do not say"),
        ([[1, -1]], TableError, "numbers of votes of at least 0; 1 rows"),
        ([[1, float("inf")]], TableError, "at least 0; 1 rows"),
        ([[1, float("nan")]], TableError, "at least 0; 1 rows"),
        ([[1], [2]], ValueError, "at least two options, found 1"),
        ([1, 2], ValueError, r"an array \(items, options\)"),
        ("votes", ValueError, "found str"),
    ],
)
def test_bad_counts_are_refused(counts: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fit_dirichlet_multinomial(counts)  # type: ignore[arg-type]


def test_bad_starts_are_refused() -> None:
    with pytest.raises(ValueError, match="start must be 2 numbers above 0"):
        fit_dirichlet_multinomial(PAIRS, start=[1.0, 0.0])


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.permutations([0, 1, 2]))
def test_order_of_items_and_of_options_and_copies_of_all_items(seed: int, order: list[int]) -> None:
    counts = _drawn(25, 5, [0.6, 0.9, 1.4], seed=seed)
    fit = fit_dirichlet_multinomial(counts)
    shuffled = np.random.default_rng(seed).permutation(counts)
    assert fit_dirichlet_multinomial(shuffled).alpha.tobytes() == fit.alpha.tobytes()
    if fit.alpha.sum() < 1e3:
        assert fit_dirichlet_multinomial(counts[:, order]).alpha == pytest.approx(fit.alpha[order], rel=1e-5)
        assert fit_dirichlet_multinomial(np.tile(counts, (3, 1))).alpha == pytest.approx(fit.alpha, rel=1e-5)


def test_posterior_check_accepts_its_own_model_and_sees_two_kinds_of_items() -> None:
    good = posterior_check(_drawn(300, 8, [0.5, 1.0, 1.5], seed=5), n_simulated=100)
    assert good["p_value"].min() > 0.05
    kinds = np.array([[8, 0]] * 60 + [[0, 8]] * 60 + [[4, 4]] * 60)
    found = posterior_check(kinds, n_simulated=100)
    assert found["statistic"].to_list() == ["unanimous_share", "mean_entropy", "entropy_spread"]
    assert found["observed"].to_list() == pytest.approx([2 / 3, log(2) / 3, log(2) * 2**0.5 / 3], abs=1e-12)
    assert found["p_value"][2] == pytest.approx(2 / 101, abs=1e-12)  # all or nothing: the entropy spreads too far
    assert found.equals(posterior_check(kinds[::-1], n_simulated=100))


def test_posterior_check_with_nothing_to_check() -> None:
    found = posterior_check([[1, 0], [0, 1]])
    assert found["observed"].is_nan().all()
    assert found["n"].to_list() == [0, 0, 0]
    assert "no item has two votes" in found["note"][0]


def test_posterior_check_of_unanimous_items_survives_tiny_alpha() -> None:
    found = posterior_check([[3, 0]] * 5 + [[0, 2]] * 5, n_simulated=20)
    assert found["simulated"][0] == 1.0
    assert found["p_value"].to_list() == [1.0, 1.0, 1.0]


@pytest.mark.real
def test_published_anecdotes(shared_data: Path) -> None:
    counts = np.array(json.loads((shared_data / "scruples/dev.scruples-anecdotes_label-counts.json").read_text()))
    fit = fit_dirichlet_multinomial(counts)
    assert fit.alpha == pytest.approx([0.502931, 1.547188, 0.193102, 0.317405, 0.165884], abs=5.1e-7)
    assert fit.nll_per_item == pytest.approx(16.329079, abs=5e-7)
    assert (fit.n_items, fit.n_single) == (2500, 63)
    p, q = counts / counts.sum(axis=1, keepdims=True), posterior_mean(counts, fit.alpha)
    # Published .664272: with the alpha at which SciPy's L-BFGS-B stops; at the maximum it is .664270.
    assert -np.sum(p * np.log(q), axis=1).mean() == pytest.approx(0.664270, abs=5e-7)
    assert np.mean(q.argmax(axis=1) == counts.argmax(axis=1)) == 0.9448
    # One Dirichlet does not describe these votes: more unanimous items than it allows.
    check = posterior_check(counts, n_simulated=40).row(0, named=True)
    assert check["observed"] > check["simulated_high"]
