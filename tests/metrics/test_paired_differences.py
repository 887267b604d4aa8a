"""Runs on the same items: differences, swaps, families of tests, equivalence, ranks, seeds."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.estimate import Additive, estimate_together, mean_of
from dfar_toolkit.metrics.comparing.detectable import minimum_detectable_difference
from dfar_toolkit.metrics.comparing.differences import paired_differences
from dfar_toolkit.metrics.comparing.equivalence import equivalence_p
from dfar_toolkit.metrics.comparing.rank_stability import rank_stability
from dfar_toolkit.metrics.comparing.seeds import seed_difference
from dfar_toolkit.metrics.comparing.swap_test import swap_test
from dfar_toolkit.metrics.comparing.win_tie_loss import win_tie_loss
from dfar_toolkit.metrics.label_scores import label_scores
from dfar_toolkit.metrics.labels import pair_labels
from dfar_toolkit.metrics.paired import mcnemar_test, sign_flip_test


def hits(*values: float, metric: str = "accuracy") -> list[Additive]:
    return [mean_of(metric, metric, values)]


def ratio(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


def test_the_swap_test_of_right_and_wrong_is_exact_mcnemar() -> None:
    rng = np.random.default_rng(0)
    for n in (5, 12):
        a, b = rng.integers(0, 2, size=(2, n)).astype(float)
        found = swap_test(np.column_stack([a, np.ones(n)]), np.column_stack([b, np.ones(n)]), ratio)
        assert found.p == pytest.approx(mcnemar_test(a, b).value, abs=1e-12)


def test_the_swap_test_of_a_curved_statistic_against_every_swap() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.uniform(0.1, 1, size=(2, 7, 2))
    seen = ratio(b.sum(axis=0)[None])[0] - ratio(a.sum(axis=0)[None])[0]
    extreme = 0
    for swaps in product([False, True], repeat=7):
        keep = ~np.array(swaps)[:, None]
        one, two = np.where(keep, a, b).sum(axis=0), np.where(keep, b, a).sum(axis=0)
        extreme += abs(two[0] / two[1] - one[0] / one[1]) >= abs(seen) - 1e-12
    found = swap_test(a, b, ratio)
    assert found.p == float(Fraction(extreme, 2**7))
    assert found.method == "swap test, all 128 patterns"


def test_random_swaps_agree_with_the_sign_flip_test_and_the_normal_limit_with_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    d = np.random.default_rng(1).normal(0.12, 1, size=300)
    rows_a, rows_b = np.column_stack([np.zeros(300), np.ones(300)]), np.column_stack([d, np.ones(300)])
    drawn = swap_test(rows_a, rows_b, ratio)
    assert drawn.p == pytest.approx(sign_flip_test(d).value, abs=0.02)
    from dfar_toolkit.metrics.comparing import swap_test as module

    monkeypatch.setattr(module, "_DRAWN", 100)
    assert swap_test(rows_a, rows_b, ratio).p == pytest.approx(drawn.p, abs=0.02)


def test_equal_runs_cannot_be_told_apart_and_undefined_ones_have_no_test() -> None:
    same = np.ones((6, 2))
    assert swap_test(same, same, ratio) == (1.0, "swap test, no unit differs", 0)
    undefined = swap_test(np.zeros((3, 2)), np.ones((3, 2)), ratio)
    assert np.isnan(undefined.p)


def test_differences_of_three_runs_by_hand() -> None:
    runs = {"a": hits(1, 0, 0, 0), "b": hits(1, 1, 1, 0), "c": hits(1, 1, 1, 1)}
    found = paired_differences(runs, n_boot=200)
    assert found.select("run_a", "run_b", "value").rows() == [("a", "b", 0.5), ("a", "c", 0.75), ("b", "c", 0.25)]
    # discordant: 2, 3 and 1 items on one side: p = 2/4, 2/8, 1; Holm: min(1, 3/4), ...
    assert found["p_value"].to_list() == [0.5, 0.25, 1.0]
    assert found["p_holm"].to_list() == [1.0, 0.75, 1.0]
    assert set(found["family"]) == {"primary"}
    assert found["note"][0].startswith("a 0.250, b 0.750")


def test_only_the_declared_metric_is_the_family_and_its_simultaneous_intervals_are_wider() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4, 300))
    runs = {f"r{k}": [mean_of("accuracy", "", row), mean_of("other", "", row**2)] for k, row in enumerate(x)}
    found = paired_differences(runs, n_boot=400, n_perm=200, margin=1.0)
    primary, rest = found.filter(family="primary"), found.filter(family="exploratory")
    assert set(rest["metric"]) == {"other"}
    assert rest["p_holm"].null_count() == rest.height == 6
    assert (primary["p_holm"] >= primary["p_value"]).all()
    wider = (primary["high_simultaneous"] - primary["low_simultaneous"]) > (primary["high"] - primary["low"])
    assert wider.all()
    assert primary["p_equivalent"].max() < 0.05


def test_max_t_of_one_pair_is_a_plain_interval() -> None:
    x = np.random.default_rng(3).normal(size=(2, 400))
    runs = {"a": [mean_of("accuracy", "", x[0])], "b": [mean_of("accuracy", "", x[1])]}
    row = paired_differences(runs, n_boot=4000, n_perm=100).row(0, named=True)
    width = row["high"] - row["low"]
    assert row["low_simultaneous"] == pytest.approx(row["low"], abs=0.08 * width)
    assert row["high_simultaneous"] == pytest.approx(row["high"], abs=0.08 * width)


def test_groups_are_swapped_and_resampled_whole() -> None:
    a, b = np.zeros(24), np.ones(24)
    alone = paired_differences({"a": hits(*a), "b": hits(*b)}, n_perm=999, n_boot=50)
    grouped = paired_differences({"a": hits(*a), "b": hits(*b)}, groups=np.arange(24) // 8, n_perm=999, n_boot=50)
    assert alone["p_value"][0] < 0.01
    assert grouped["p_value"][0] == 0.25  # 3 groups: 2 of 8 patterns are as extreme
    assert grouped["n_units"][0] == 3


@settings(max_examples=15)
@given(st.permutations(range(10)))
def test_the_order_of_items_never_matters(order: list[int]) -> None:
    x = np.random.default_rng(6).normal(size=(2, 10))
    one = paired_differences({"a": hits(*x[0]), "b": hits(*x[1])}, n_boot=30, n_perm=50)
    two = paired_differences({"a": hits(*x[0, order]), "b": hits(*x[1, order])}, n_boot=30, n_perm=50)
    assert one.equals(two)


def test_undefined_differences_say_which_run() -> None:
    bad = [Additive("accuracy", "accuracy", np.zeros((4, 2)), ratio, "no answer")]
    row = paired_differences({"a": hits(1, 0, 1, 0), "b": bad}, n_boot=20).row(0, named=True)
    assert np.isnan(row["value"])
    assert row["note"] == "undefined for b: no answer"
    assert row["p_value"] is None


@pytest.mark.parametrize(
    ("runs", "primary", "said"),
    [
        ({"a": hits(1, 0)}, "accuracy", "at least two runs"),
        ({"a": hits(1, 0), "b": hits(1, 0, metric="f1")}, "accuracy", "same metrics"),
        ({"a": hits(1, 0), "b": hits(1, 0)}, "f1", "primary must be one of accuracy"),
        ({"a": hits(1, 0), "b": hits(1, 0, 1)}, "accuracy", "same items"),
    ],
)
def test_impossible_comparisons_are_named(runs: dict[str, list[Additive]], primary: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        paired_differences(runs, primary=primary)


def test_label_scores_are_the_public_metrics() -> None:
    from dfar_toolkit import metrics

    rng = np.random.default_rng(8)
    gold = rng.choice(["a", "b", "c"], size=60).tolist()
    pred = [None if rng.random() < 0.1 else g if rng.random() < 0.6 else "b" for g in gold]
    pairs = pair_labels("x", None, gold=gold, pred=pred, group=None, options=None)
    found = {
        s.metric: e.value
        for s, e in zip(label_scores(pairs), estimate_together(label_scores(pairs), ci=None), strict=True)
    }
    for name in ("accuracy", "accuracy_answered", "balanced_accuracy", "macro_f1", "matthews_correlation"):
        assert found[name] == pytest.approx(getattr(metrics, name)(gold=gold, pred=pred).value, abs=1e-12), name
    assert found["coverage"] == pytest.approx(metrics.coverage(pred=pred).value, abs=1e-12)


def test_equivalence_by_hand_and_against_the_t_test() -> None:
    from statsmodels.stats.weightstats import ttost_paired

    assert equivalence_p(np.array([-0.03, 0.0, 0.0, 0.0]), 0.02) == 2 / 5
    x = np.random.default_rng(5).normal(0, 1, size=(2, 400))
    theirs = ttost_paired(x[1], x[0], -0.15, 0.15)[0]
    runs = {"a": [mean_of("accuracy", "", x[0])], "b": [mean_of("accuracy", "", x[1])]}
    ours = paired_differences(runs, margin=0.15, n_boot=4000, n_perm=50)["p_equivalent"][0]
    assert ours == pytest.approx(theirs, abs=0.02)
    with pytest.raises(ValueError, match="above 0"):
        equivalence_p(np.zeros(3), 0.0)
    assert np.isnan(equivalence_p(np.array([np.nan]), 0.1))


def test_the_detectable_difference_is_found_with_its_power() -> None:
    d = estimate_together([mean_of("d", "d", np.random.default_rng(0).normal(size=200))])[0]
    found = minimum_detectable_difference(d, standard_error=0.05)
    from statsmodels.stats.power import NormalIndPower

    theirs = NormalIndPower(ddof=0).power(found.value / 0.05, nobs1=1, alpha=0.05, ratio=0)
    assert theirs == pytest.approx(0.8, abs=1e-3)
    assert np.isnan(minimum_detectable_difference(d, standard_error=0.0).value)
    with pytest.raises(ValueError, match="power"):
        minimum_detectable_difference(d, standard_error=1.0, power=1.0)


def test_wins_ties_and_losses() -> None:
    values = {"a": [0.2, 0.5, np.nan, 1.0], "b": [0.3, 0.5, 1.0, 0.0]}
    found = win_tie_loss(values)
    assert found.select("outcome", "count", "n").rows() == [("win", 1, 3), ("tie", 1, 3), ("loss", 1, 3)]
    lower = win_tie_loss(values, better="lower")
    assert lower["count"].to_list() == [1, 1, 1]
    assert lower["value"].sum() == pytest.approx(1)
    assert np.isnan(win_tie_loss({"a": [np.nan], "b": [1.0]})["value"][0])
    with pytest.raises(ValueError, match="two or more runs"):
        win_tie_loss({"a": [1.0]})


def test_ranks_that_never_change_and_ranks_that_do() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=200)
    clear = {name: [mean_of("m", "", noise + shift)] for name, shift in (("low", 0), ("mid", 5), ("high", 9))}
    found = rank_stability(clear, metric="m", n_boot=100)
    assert found["run_id"].to_list() == ["high", "mid", "low"]
    assert found["kendall_tau"].to_list() == [1.0] * 3
    assert found["share_best"].to_list() == [1.0, 0.0, 0.0]
    assert rank_stability(clear, metric="m", better="lower", n_boot=20)["run_id"][0] == "low"
    alike = {name: [mean_of("m", "", rng.normal(size=50))] for name in "xyz"}
    loose = rank_stability(alike, metric="m", n_boot=400)
    assert loose["kendall_tau"][0] < 0.9
    assert loose["share_best"].sum() == pytest.approx(1)
    assert (loose["rank_high"] >= loose["rank_low"]).all()
    tied = rank_stability({"a": hits(1, 0), "b": hits(1, 0)}, n_boot=20)
    assert tied["rank"].to_list() == [1.5, 1.5]
    assert tied["share_best"].to_list() == [0.5, 0.5]
    with pytest.raises(ValueError, match="metric"):
        rank_stability({"a": hits(1), "b": hits(1)}, metric="f1")


def test_seeds_are_students_paired_t() -> None:
    from scipy.stats import ttest_rel

    a, b = [0.70, 0.72, 0.71, 0.69], [0.75, 0.74, 0.76, 0.70]
    found = seed_difference(a, b)
    theirs = ttest_rel(b, a).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert found.scope == "items+seeds"
    assert "not ways of training" in seed_difference([0.7], [0.8]).note
    assert np.isnan(seed_difference([0.7, 0.7], [0.8, 0.8]).low)
    with pytest.raises(ValueError, match="same seeds"):
        seed_difference([0.7], [0.8, 0.9])


def test_a_frame_of_groups_is_taken() -> None:
    groups = pl.Series(["x", "x", "y", "y"])
    assert (
        paired_differences({"a": hits(1, 0, 0, 0), "b": hits(1, 1, 1, 0)}, groups=groups, n_boot=20)["unit"][0]
        == "groups"
    )


def test_swaps_of_very_many_units_are_not_normal_in_what_few_of_them_change() -> None:
    """Four units alone change the first sum, all four for b: of 16 patterns 2 are as extreme, p = 1/8."""
    n = 20_050
    noise = np.random.default_rng(0).normal(size=n)
    a, b = np.column_stack([np.zeros(n), noise]), np.column_stack([np.zeros(n), -noise])
    b[:4, 0] = 1.0
    found = swap_test(a, b, lambda sums: sums[:, 0], n_perm=4000)
    assert found.n_differ == n
    assert found.p == pytest.approx(1 / 8, abs=0.02)


def test_a_run_without_a_value_takes_no_other_pairs_simultaneous_interval() -> None:
    values = np.random.default_rng(2).random((2, 40))
    runs = {"a": hits(*values[0]), "b": hits(*values[1])}
    nothing = [hits(*values[0])[0]._replace(formula=lambda sums: np.full(len(sums), np.nan))]
    columns = ["low_simultaneous", "high_simultaneous"]
    two, three = (paired_differences(r, n_boot=200).select(columns).rows() for r in (runs, runs | {"c": nothing}))
    assert three[0] == pytest.approx(two[0])
    assert three[1:] == [(None, None)] * 2
