"""Many additive statistics from one set of draws: points, groups, order, and the normal limit beside the bootstrap."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.estimate import additive, collapse, estimate
from dfar_toolkit.estimate.additive import Additive, draw_together, estimate_together, mean_of, unit_rows


def ratio(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


def test_a_ratio_of_sums_by_hand() -> None:
    # (1 + 2 + 4) / (2 + 0 + 3) = 7/5; the mean of the first column is 7/3
    rows = np.array([[1.0, 2.0], [2.0, 0.0], [4.0, 3.0]])
    of_sums = Additive("r", "ratio", rows, ratio)
    found = estimate_together([of_sums, mean_of("m", "mean", rows[:, 0])], ci=None)
    assert found[0].value == float(Fraction(7, 5))
    assert found[1].value == float(Fraction(7, 3))
    assert found[0].method == "none"


def test_it_is_the_bootstrap_of_the_general_door() -> None:
    x = np.random.default_rng(3).normal(size=400)
    many = estimate_together([mean_of("m", "m", x)], n_boot=4000, seed=1)[0]
    one = estimate("m", collapse(np.column_stack([x, np.ones(400)])), ratio, n_boot=4000, seed=2)
    assert many.value == pytest.approx(one.value, abs=1e-15)
    assert (many.low, many.high) == pytest.approx((one.low, one.high), abs=0.006)


def test_groups_are_resampled_whole_and_widen_the_interval() -> None:
    x = np.repeat(np.random.default_rng(0).normal(size=50), 8)
    groups = np.repeat(np.arange(50), 8)
    alone = estimate_together([mean_of("m", "m", x)], n_boot=500)[0]
    grouped = estimate_together([mean_of("m", "m", x)], groups=groups, n_boot=500)[0]
    assert (grouped.n, grouped.n_units, grouped.unit) == (400, 50, "groups")
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_added_rows_of_groups_equal_a_loop() -> None:
    rng = np.random.default_rng(5)
    rows, groups = rng.integers(0, 9, size=(60, 3)).astype(float), rng.integers(0, 11, size=60)
    added, unit = unit_rows(rows, groups=[f"g{g}" for g in groups])
    by_hand = sorted(rows[groups == g].sum(axis=0).tolist() for g in np.unique(groups))
    assert sorted(added.tolist()) == by_hand
    assert unit == "groups"


@settings(max_examples=20)
@given(st.permutations(range(12)), st.booleans())
def test_the_order_of_the_items_never_matters(order: list[int], grouped: bool) -> None:
    x = np.random.default_rng(7).normal(size=12)
    groups = np.array(list("aabbccddeeff")) if grouped else None
    first = estimate_together([mean_of("m", "m", x)], groups=groups, n_boot=50, seed=4)
    again = None if groups is None else groups[order]
    assert estimate_together([mean_of("m", "m", x[order])], groups=again, n_boot=50, seed=4) == first


def test_differences_are_paired() -> None:
    x = np.random.default_rng(1).normal(size=200)
    draws = draw_together([mean_of("a", "a", x), mean_of("b", "b", x + 1)], n_boot=100).draws
    np.testing.assert_allclose(draws[:, 1] - draws[:, 0], 1.0, atol=1e-12)


def test_the_normal_limit_agrees_with_the_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    x = rng.exponential(size=30_000)
    scores = [mean_of("m", "m", x), Additive("v", "v", np.column_stack([x**2, x]), ratio), mean_of("one", "1", x > -1)]
    monkeypatch.setattr(additive, "EXACT_UNITS", 50_000)
    exact = estimate_together(scores, n_boot=4000)
    monkeypatch.setattr(additive, "EXACT_UNITS", 1000)
    normal = estimate_together(scores, n_boot=4000)
    assert normal[0].method == additive.NORMAL_SUMS
    assert exact[0].method == "bootstrap"
    for one, two in zip(exact[:2], normal[:2], strict=True):
        width = one.high - one.low
        assert (two.low, two.high) == pytest.approx((one.low, one.high), abs=0.06 * width)
    assert np.isnan(normal[2].low)  # every item is 1: no interval rather than [1, 1]
    beside = estimate_together([mean_of("bad", "bad", np.where(x > 5, np.inf, x)), scores[0]], n_boot=4000)
    assert np.isnan(beside[0].value)
    assert beside[1].high == pytest.approx(exact[0].high, abs=0.06 * (exact[0].high - exact[0].low))


def test_equal_items_may_stand_in_one_row() -> None:
    x = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 4.0])
    whole = estimate_together([mean_of("m", "m", x)], n_boot=3000)[0]
    folded = estimate_together([mean_of("m", "m", [0.0, 1.0, 4.0])], times=[2, 3, 1], n_boot=3000)[0]
    assert (folded.value, folded.n, folded.n_units) == (whole.value, 6, 6)
    assert (folded.low, folded.high) == pytest.approx((whole.low, whole.high), abs=0.17)  # one step of the draws


def test_undefined_is_nan_with_the_reason() -> None:
    nothing = estimate_together([mean_of("m", "m", [])])[0]
    assert np.isnan(nothing.value)
    assert nothing.note == "no items"
    single = estimate_together([mean_of("m", "m", [2.0])])[0]
    assert single.value == 2.0
    assert "one unit" in single.note
    split = Additive("r", "r", np.zeros((3, 2)), ratio, undefined="0/0 here")
    assert estimate_together([split])[0].note == "0/0 here"
    infinite = estimate_together([mean_of("m", "m", [1.0, np.inf])])[0]
    assert np.isnan(infinite.value)


def test_same_seed_same_bytes_other_seed_other_draws() -> None:
    x = np.random.default_rng(9).normal(size=100)
    a, b, c = (draw_together([mean_of("m", "m", x)], n_boot=20, seed=s).draws for s in (1, 1, 2))
    assert a.tobytes() == b.tobytes()
    assert a.tobytes() != c.tobytes()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: estimate_together([mean_of("a", "a", [1]), mean_of("b", "b", [1, 2])]), "same items"),
        (lambda: estimate_together([mean_of("a", "a", [1, 2])], groups=pl.Series(["x", None])), "no group"),
        (lambda: estimate_together([mean_of("a", "a", [1, 2])], groups=["x"]), "one per item"),
        (lambda: estimate_together([mean_of("a", "a", [1, 2])], ci="jackknife"), "ci must be"),
        (lambda: estimate_together([mean_of("a", "a", [1, 2])], confidence=1.0), "between 0 and 1"),
        (lambda: estimate_together([mean_of("a", "a", [1, 2])], seed=-1), "seed"),
        (lambda: estimate_together([mean_of("a", "a", [1, 2])], n_boot=True), "n_boot"),
    ],
)
def test_impossible_arguments_are_named(call: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()  # type: ignore[operator]


def test_a_share_that_hangs_on_a_few_of_many_items_is_drawn_and_not_taken_as_normal() -> None:
    """Hits of a label that 6 of 30,000 items have: 4 of 6, so binomial; a normal draw leaves [0, 1]."""
    rows = np.zeros((30_000, 2))
    rows[:6, 1], rows[:4, 0] = 1, 1
    many = np.random.default_rng(0).normal(size=30_000)
    scores = [Additive("recall", "recall", rows, ratio), mean_of("m", "m", many)]
    drawn = draw_together(scores, n_boot=4000).draws
    known = drawn[np.isfinite(drawn[:, 0]), 0]
    assert 0.99 < len(known) / 4000 < 1.0  # exp(-6) of the resamples have none of the six
    assert known.min() >= 0.0
    assert known.max() <= 1.0 + 1e-12
    exact = np.random.default_rng(1).poisson([4.0, 2.0], size=(4000, 2))
    exact = (exact[:, 0] / np.maximum(exact.sum(axis=1), 1))[exact.sum(axis=1) > 0]
    assert np.quantile(known, [0.05, 0.25, 0.75]) == pytest.approx(np.quantile(exact, [0.05, 0.25, 0.75]), abs=0.06)
    assert drawn[:, 1].std() == pytest.approx(many.std() / np.sqrt(30_000), rel=0.05)
    order = np.random.default_rng(2).permutation(30_000)
    moved = [Additive("recall", "recall", rows[order], ratio), mean_of("m", "m", many[order])]
    again = draw_together(scores, n_boot=50).draws
    assert draw_together(moved, n_boot=50).draws == pytest.approx(again, abs=1e-9, nan_ok=True)
