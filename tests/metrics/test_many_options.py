"""Many options: what is computed for all of them at once is what one after the other gives, and is computed once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from scipy.special import gammaln

from dfar_toolkit.estimate import collapse, estimate, estimates_frame
from dfar_toolkit.metrics import option_estimates
from dfar_toolkit.metrics.calibration import human_distribution, under_calibration
from dfar_toolkit.metrics.calibration.human_distribution import rank_calibration_rows
from dfar_toolkit.metrics.ceiling import dirichlet_fit
from dfar_toolkit.metrics.confusion import precision_recall_f1
from dfar_toolkit.metrics.option_estimates import estimate_options
from dfar_toolkit.metrics.soft_labels import perfect_model
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions
from dfar_toolkit.metrics.soft_labels.score_table import soft_label_table
from dfar_toolkit.scoring import score
from small_tables import make_items, make_outputs

Floats = npt.NDArray[np.float64]


def pairs_of(n: int, k: int, *, votes: int = 5, seed: int = 0) -> PairedDistributions:
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(np.full(k, 0.3), size=n)
    return pair_distributions("pairs", None, gold=None, counts=rng.multinomial(votes, truth), pred=truth)


def naive_ranks(gold: Floats, pred: Floats) -> tuple[list[float], list[float]]:
    alike, ordered = [], []
    for people, model in zip(gold, pred, strict=True):
        told = [(a, b) for a in range(len(people)) for b in range(len(people)) if people[a] - people[b] > 1e-12]
        ordered.append(float(bool(told)))
        alike.append(float(bool(told) and all(model[a] - model[b] > 1e-12 for a, b in told)))
    return alike, ordered


@pytest.mark.parametrize("step", [1e-13, 0.6e-12, 3e-12, 0.2])
def test_ranks_of_many_options_are_those_of_every_two(step: float) -> None:
    """Levels that lie a few roundings apart too, so that options are tied one by one and not from end to end."""
    rng = np.random.default_rng(1)
    for k in (13, 14, 30):
        level = rng.integers(0, 4, size=(200, k)) * (rng.random((200, 1)) < 0.8)
        gold = 0.25 * rng.integers(0, 2, size=(200, 1)) * (np.arange(k) < 2) + step * level
        pred = np.where(rng.random((200, 1)) < 0.6, gold + step * (rng.random((200, k)) < 0.05), gold[:, ::-1])
        for order in (np.ascontiguousarray, np.asfortranarray):
            found = human_distribution._ranks(order(gold), order(pred))
            assert [part.tolist() for part in found] == [*naive_ranks(gold, pred)]
    assert human_distribution._ranks(np.empty((0, 20)), np.empty((0, 20)))[0].shape == (0,)


def test_ranks_of_many_options_are_not_taken_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    def pairs(*_: object) -> None:
        raise AssertionError("1,596 pairs in Python for each of a hundred simulations")

    monkeypatch.setattr(human_distribution, "_ranks_by_pairs", pairs)
    rows = rank_calibration_rows(pairs_of(20, 57))
    assert "a perfect model gets" in rows.note


@pytest.mark.parametrize("groups", [None, [f"g{i // 3}" for i in range(60)]])
def test_options_together_are_each_by_itself_and_drawn_once(
    groups: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.random((60, 5)) < 0.4, np.zeros(60), np.ones(60)]).astype(float)
    patterns = collapse(rows, groups=groups)
    names, why = [f"o{k}" for k in range(6)], [f"nothing of {k}" for k in range(6)]

    def formula(sums: Floats) -> Floats:  # the last one has no value; the first now and then has none in a draw
        return np.where(np.arange(6) == 5, np.nan, sums[:, :6] / np.where(sums[:, [0]] < 12, np.nan, sums[:, [6]]))

    alone = [
        estimate(name, patterns, lambda s, k=k: formula(s)[:, k], n_boot=200, seed=3, undefined=w)
        for k, (name, w) in enumerate(zip(names, why, strict=True))
    ]
    calls: list[int] = []
    draw = option_estimates.bootstrap_weights

    def counted(times: Any, size: int, generator: Any) -> Any:
        calls.append(size)
        return draw(times, size, generator)

    monkeypatch.setattr(option_estimates, "bootstrap_weights", counted)
    together = estimate_options(names, patterns, formula, n_boot=200, seed=3, undefined=why)
    assert estimates_frame(together).equals(estimates_frame(alone))
    assert "bootstrap draws undefined" in together[0].note
    assert together[0].low < together[0].value < together[0].high
    assert together[5].note == "nothing of 5"
    assert calls == [200]


def test_options_without_draws_say_why() -> None:
    def shares(sums: Floats) -> Floats:
        return sums / sums.sum(axis=1, keepdims=True)

    how: dict[str, Any] = {"undefined": ["", ""], "n_boot": 50}
    one = estimate_options(["a", "b"], collapse([[1, 0]]), shares, **how)
    assert [(e.value, e.note) for e in one] == [(v, "no interval: one unit (items) only") for v in (1.0, 0.0)]
    none = estimate_options(["a", "b"], collapse(np.empty((0, 2))), shares, **how)
    assert [e.note for e in none] == ["no items"] * 2
    with pytest.raises(ValueError, match="n_boot must be at least 1"):
        estimate_options(["a"], collapse([[1], [0]]), shares, n_boot=0, undefined=[""])
    with pytest.raises(ValueError, match="confidence"):
        estimate_options(["a"], collapse([[1], [0]]), shares, confidence=1, undefined=[""])
    assert estimate_options([], collapse([[1], [0]]), shares, undefined=[]) == []


def test_the_f1_of_every_option_comes_from_one_set_of_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    draw = option_estimates.bootstrap_weights

    def counted(times: Any, size: int, generator: Any) -> Any:
        calls.append(size)
        return draw(times, size, generator)

    monkeypatch.setattr(option_estimates, "bootstrap_weights", counted)
    options = [f"o{k:02d}" for k in range(40)]
    gold = [options[i % 40] for i in range(120)]
    table = precision_recall_f1(gold=gold, pred=[options[(i * 7) % 40] for i in range(120)], options=options, n_boot=20)
    assert table.height == 3 * 40
    assert calls == [20]


def test_a_newton_step_needs_no_matrix_and_is_that_of_the_matrix() -> None:
    rng = np.random.default_rng(0)
    alpha, diagonal = rng.random((6, 9)) + 0.1, rng.random((6, 9)) + 0.2
    diagonal[1, 4] = -0.1  # not positive definite
    outer = -np.array([0.01, 0.01, 5.0, 0.02, 0.0, 0.05])  # the third is not either
    held = rng.random((6, 9)) < 0.3
    held[1, 4] = held[2] = False
    slopes = dirichlet_fit._Slopes(rng.normal(size=(6, 9)), diagonal, outer, alpha)
    step, downhill = dirichlet_fit._steps(slopes, held)
    for b in range(6):
        free = ~held[b]
        matrix = np.diag(diagonal[b]) + outer[b] * np.outer(alpha[b], alpha[b])
        assert dirichlet_fit._Slopes(*(part[b] for part in slopes)).hessian() == pytest.approx(matrix, rel=1e-14)
        part = matrix[np.ix_(free, free)]
        assert downhill[b] == (np.linalg.eigvalsh(part)[0] > 0)
        if downhill[b]:
            assert step[b, free] == pytest.approx(np.linalg.solve(part, -slopes.gradient[b, free]), rel=1e-9)
            assert (step[b, held[b]] == 0).all()
    assert downhill.tolist() == [True, False, False, True, True, True]


def test_resamples_of_many_options_are_fitted_as_alone_and_at_the_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    def dense(*_: object) -> None:
        raise AssertionError("a matrix of K x K for each resample")

    counts = pairs_of(60, 25).counts
    assert counts is not None
    times = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60), size=8).astype(float)
    start = dirichlet_fit.fit_patterns(counts, np.ones(60)).alpha
    alone = np.array([dirichlet_fit.fit_patterns(counts, row, start=start).alpha for row in times])
    monkeypatch.setattr(dirichlet_fit._Slopes, "hessian", dense)
    together = dirichlet_fit.fit_resamples(counts, times, start)
    assert together == pytest.approx(alone, rel=1e-7)

    def loss(theta: Floats) -> float:
        a = np.exp(theta)
        each = gammaln(a.sum()) - gammaln(a.sum() + 5) + (gammaln(a + counts) - gammaln(a)).sum(axis=1)
        return -float(times[0] @ each)

    best, rng = np.log(together[0]), np.random.default_rng(1)
    chosen = times[0] @ counts > 0
    assert all(loss(best + 1e-3 * chosen * rng.normal(size=25)) > loss(best) for _ in range(50))


def test_a_perfect_model_is_drawn_in_parts_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = pairs_of(25, 17)
    monkeypatch.setattr(perfect_model, "DRAWS", 2_000)
    sizes: list[int] = []
    draw = perfect_model._drawn

    def counted(*given: Any) -> PairedDistributions:
        found = draw(*given)
        sizes.append(found.pred.size)
        return found

    monkeypatch.setattr(perfect_model, "_drawn", counted)
    whole = soft_label_table(pairs, n_boot=50)
    assert len(sizes) == 1
    monkeypatch.setattr(perfect_model, "_CELLS", 4_000)
    parts = soft_label_table(pairs, n_boot=50)
    assert len(sizes) > 5
    assert max(sizes[1:]) <= 4_000
    assert whole.equals(parts, null_equal=True)


def test_runs_on_the_same_votes_share_the_draws_of_a_perfect_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perfect_model, "DRAWS", 2_000)
    calls: list[int] = []
    means = perfect_model._means

    def counted(*given: Any) -> Any:
        calls.append(1)
        return means(*given)

    monkeypatch.setattr(perfect_model, "_means", counted)
    pairs = pairs_of(30, 14)
    assert pairs.counts is not None
    options = [f"o{k:02d}" for k in range(14)]
    labels = [options[int(row.argmax())] for row in pairs.counts]
    lists = {"label_probs": pl.List(pl.Float64), "label_counts": pl.List(pl.Int64)}
    items = make_items(labels).with_columns(
        pl.Series("label_probs", pairs.gold.tolist(), dtype=lists["label_probs"]),
        pl.Series("label_counts", pairs.counts.astype(int).tolist(), dtype=lists["label_counts"]),
    )
    rng = np.random.default_rng(4)
    runs = [
        make_outputs({f"i{k}": None for k in range(n)}, run=run, options=[options] * n,
                     label_probs=rng.dirichlet(np.ones(14), size=n).tolist())
        for run, n in (("a", 30), ("b", 30), ("fewer", 20))
    ]  # fmt: skip
    how: dict[str, Any] = {"options": options, "parts": ["soft"], "n_boot": 20}
    together = score(pl.concat(runs), items, **how)
    assert len(calls) == 2  # once for both runs on all items, once for the run on 20 of them
    alone = pl.concat([score(run, items, **how) for run in runs])
    assert len(calls) == 5
    assert together.equals(alone, null_equal=True)


def test_labels_under_calibration_are_drawn_together_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    predicted, codes = rng.random(40), rng.integers(0, 6, size=40)
    naive = np.zeros((under_calibration.N_SIMULATIONS, 6))
    order, draws = np.lexsort((predicted, codes)), np.random.default_rng(5)
    for row in naive:
        gap = (draws.random(40) < predicted[order]) - predicted[order]
        for b in range(6):
            row[b] = abs(gap[codes[order] == b].sum()) / max((codes == b).sum(), 1)
    for cells in (1, 100, 100_000):
        monkeypatch.setattr(under_calibration, "_CELLS", cells)
        found = under_calibration._drawn_labels(predicted, codes, 6, np.random.default_rng(5))
        assert found == pytest.approx(naive, abs=1e-14)
    none = under_calibration._drawn_labels(np.empty(0), np.empty(0, dtype=np.int64), 3, rng)
    assert none.tolist() == [[0.0] * 3] * 200
