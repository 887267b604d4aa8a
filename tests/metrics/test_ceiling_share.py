"""The way from a baseline to BEST: by hand, against draws made by a loop, and where there is no way."""

from __future__ import annotations

from math import isnan, log

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.estimate import Additive, mean_of
from dfar_toolkit.metrics.ceiling import joint_draws
from dfar_toolkit.metrics.ceiling.best import best
from dfar_toolkit.metrics.ceiling.ceiling_share import Measured, ceiling_share, share_of_ceiling, shares_of_ceiling

PAIRS = [[2, 0]] * 3 + [[0, 2]] * 3 + [[1, 1]] * 2  # BEST cross-entropy 2 log 2 - 1, see test_best


def _mean(values: object) -> Additive:
    return mean_of("m", "m", values)  # type: ignore[arg-type]


def _items(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Votes, the cross-entropies of a sharp predictor, those of a flat one."""
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet([0.5, 1.0, 0.4], size=n)
    counts = rng.multinomial(5, truth)
    p, q = counts / 5, 0.7 * truth + 0.1
    return counts, -np.sum(p * np.log(q), axis=1), np.full(n, log(3))


def test_by_hand() -> None:
    uniform, ceiling = log(2), 2 * log(2) - 1
    found = share_of_ceiling(_mean([0.5] * 8), _mean([uniform] * 8), PAIRS, ci=None)
    assert found.value == pytest.approx((uniform - 0.5) / (uniform - ceiling), abs=1e-8)
    assert found.note.startswith("score 0.5, baseline 0.6931, BEST 0.3863; expected score of an oracle, not a bound")
    assert (found.method, found.n) == ("none", 8)


def test_reads_the_same_for_losses_and_accuracies_and_may_leave_the_unit_interval() -> None:
    assert ceiling_share(0.8, 0.5, 0.9) == pytest.approx(0.75, abs=1e-12)  # accuracy: 0.3 of 0.4
    assert ceiling_share(0.7, 1.0, 0.6) == pytest.approx(0.75, abs=1e-12)  # loss: 0.3 of 0.4
    assert ceiling_share([0.5, 1.1], 1.0, 0.6) == pytest.approx([1.25, -0.25], abs=1e-12)
    assert np.isnan(ceiling_share(0.5, 0.6, 0.6))


def test_baseline_at_the_ceiling_is_undefined() -> None:
    ceiling = best(PAIRS, ci=None).value
    found = share_of_ceiling(_mean([0.5] * 8), _mean([ceiling] * 8), PAIRS)
    assert isnan(found.value)
    assert found.note.startswith("baseline and BEST are equal")
    assert np.isnan(ceiling_share(0.7, 0.6, 0.6 + 1e-9))  # what is left where alpha grows without limit


def test_draws_without_a_way_to_go_do_not_make_the_interval_endless() -> None:
    votes = [[2, 0], [0, 2], [2, 0], [1, 1], [1, 1], [1, 1], [0, 2], [2, 0]]
    run, baseline = [1, 0, 1, 1, 1, 0, 1, 1], [1, 0] * 4
    found = share_of_ceiling(_mean(run), _mean(baseline), votes, metric="accuracy")
    assert "of 200 bootstrap draws undefined" in found.note
    assert -10 < found.low < found.value < found.high < 10  # 83 and more with draws that are 1e-9 from the baseline


def test_undefined_parts_are_named() -> None:
    single = share_of_ceiling(_mean([0.5] * 2), _mean([0.7] * 2), [[1, 0], [0, 1]])
    assert isnan(single.value)
    assert "no item has two votes or more" in single.note
    assert "BEST without a finite value" in single.note
    infinite = share_of_ceiling(_mean([np.inf] * 8), _mean([0.7] * 8), PAIRS, n_boot=10)
    assert isnan(infinite.value)
    assert infinite.note.startswith("score without a finite value")
    one = share_of_ceiling(_mean([0.5]), _mean([0.7]), [[3, 1]])
    assert "no interval: one unit (items) only" in one.note


def test_interval_is_that_of_a_loop_over_resamples() -> None:
    counts, score, baseline = _items(60)
    # The same resamples as drawn inside: of items sorted by their rows of votes, then by the rows of the scores.
    place = np.unique(counts, axis=0, return_inverse=True)[1].ravel()
    order = np.lexsort((score, np.ones(60), baseline, np.ones(60), place))
    counts, score, baseline = counts[order], score[order], baseline[order]
    rng, draws = np.random.default_rng(4), []
    for _ in range(30):
        drawn = rng.integers(0, 60, 60)
        ceiling = best(counts[drawn], ci=None).value
        draws.append((baseline[drawn].mean() - score[drawn].mean()) / (baseline[drawn].mean() - ceiling))
    found = share_of_ceiling(_mean(score), _mean(baseline), counts, n_boot=30, seed=4)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=1e-7)
    assert found.method == "bootstrap (alpha refitted)"


def test_same_bytes_in_any_order_and_groups_widen() -> None:
    counts, score, baseline = _items(80)
    groups = np.repeat(np.arange(20), 4)
    order = np.random.default_rng(1).permutation(80)
    one = share_of_ceiling(_mean(score), _mean(baseline), counts, group=groups, n_boot=20)
    two = share_of_ceiling(_mean(score[order]), _mean(baseline[order]), counts[order], group=groups[order], n_boot=20)
    assert one == two
    assert (one.n_units, one.unit) == (20, "groups")
    alone = share_of_ceiling(_mean(score), _mean(baseline), counts, n_boot=20)
    assert share_of_ceiling(_mean(score[order]), _mean(baseline[order]), counts[order], n_boot=20) == alone
    copy = np.repeat(np.arange(20), 4)
    parts = (_mean(score[copy]), _mean(baseline[copy]), counts[copy])
    together = share_of_ceiling(*parts, group=groups, n_boot=60)
    apart = share_of_ceiling(*parts, n_boot=60)
    assert together.high - together.low > 1.4 * (apart.high - apart.low)


def test_items_without_votes_leave_all_three() -> None:
    counts, score, baseline = _items(30)
    frame = pl.DataFrame({"label_counts": [*counts.tolist(), None, [0, 0, 0]]})
    found = share_of_ceiling(_mean([*score, 99.0, 99.0]), _mean([*baseline, 0.0, 0.0]), frame, n_boot=10)
    alone = share_of_ceiling(_mean(score), _mean(baseline), counts, n_boot=10)
    assert (found.value, found.low, found.high) == (alone.value, alone.low, alone.high)
    assert "2 of 32 items without votes left out" in found.note


def test_several_metrics_share_their_draws() -> None:
    counts, score, baseline = _items(40)
    hits = (counts.argmax(axis=1) == 1).astype(float)
    always = np.full(40, hits.mean() / 2)
    both = [Measured("cross_entropy", _mean(score), _mean(baseline)), Measured("accuracy", _mean(hits), _mean(always))]
    together = shares_of_ceiling(both, counts, n_boot=15)
    assert together[0] == share_of_ceiling(_mean(score), _mean(baseline), counts, n_boot=15)
    assert together[1] == share_of_ceiling(_mean(hits), _mean(always), counts, metric="accuracy", n_boot=15)
    assert shares_of_ceiling([], counts) == []


def test_many_items_take_the_normal_limit_of_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, score, baseline = _items(600)
    exact = share_of_ceiling(_mean(score), _mean(baseline), counts, n_boot=150)
    monkeypatch.setattr(joint_draws, "EXACT_UNITS", 100)
    limit = share_of_ceiling(_mean(score), _mean(baseline), counts, n_boot=150)
    assert limit.value == pytest.approx(exact.value, abs=1e-12)
    assert limit.method == "bootstrap (normal limit of the sums, alpha refitted)"
    assert limit.high - limit.low == pytest.approx(exact.high - exact.low, rel=0.25)
    assert (limit.low + limit.high) / 2 == pytest.approx((exact.low + exact.high) / 2, abs=0.01)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="over the same items, found 2, 8 and 8 rows"):
        share_of_ceiling(_mean([0.5] * 2), _mean([0.5] * 8), PAIRS)
    with pytest.raises(ValueError, match="share_of_ceiling: metric must be one of cross_entropy"):
        share_of_ceiling(_mean([0.5] * 8), _mean([0.5] * 8), PAIRS, metric="kl")  # type: ignore[arg-type]
