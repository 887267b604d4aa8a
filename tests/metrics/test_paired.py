"""Exact McNemar against statsmodels; the sign-flip test against brute force."""

from __future__ import annotations

from itertools import product
from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar

from dfar_toolkit.metrics import mcnemar_test, sign_flip_test


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (5, 5), (3, 11), (40, 12)])
def test_mcnemar_equals_statsmodels(b: int, c: int) -> None:
    a_right = [1] * 7 + [1] * b + [0] * c + [0] * 2
    b_right = [1] * 7 + [0] * b + [1] * c + [0] * 2
    oracle = min(1.0, mcnemar([[7, b], [c, 2]], exact=True).pvalue)
    assert mcnemar_test(a_right, b_right).value == pytest.approx(oracle, abs=1e-12)


def test_mcnemar_by_hand_and_without_items() -> None:
    # 4 against 0: 2 * (1/2)^4
    assert mcnemar_test([1] * 4, [0] * 4).value == 1 / 8
    assert isnan(mcnemar_test([], []).value)
    with pytest.raises(ValueError, match="mcnemar_test: a_right has 1 items"):
        mcnemar_test([1], [1, 0])


def _brute(d: list[float]) -> float:
    found = abs(sum(d))
    flips = [abs(sum(s * x for s, x in zip(signs, d, strict=True))) for signs in product((1, -1), repeat=len(d))]
    return sum(f >= found - 1e-9 for f in flips) / len(flips)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_sign_flip_equals_brute_force(d: list[int]) -> None:
    assert sign_flip_test(d).value == pytest.approx(_brute([float(x) for x in d]), abs=1e-12)


def test_sign_flip_flips_whole_groups() -> None:
    # Group sums 3, 1, -1: |T| = 3; of 8 patterns the sums are +-3 (x4), +-1 with 3-1-1 = 1, +-5 with 3+1+1: 6 of 8.
    found = sign_flip_test([1, 1, 1, 1, -1], groups=["x", "x", "x", "y", "z"])
    assert found.value == pytest.approx(_brute([3.0, 1.0, -1.0]), abs=1e-12) == 6 / 8
    assert (found.method, found.n, found.n_units) == ("sign-flip by group, exact", 5, 3)


def test_on_independent_items_the_exact_sign_flip_is_mcnemar() -> None:
    a, b = np.array([1] * 9 + [0] * 3), np.array([0] * 9 + [1] * 3)
    assert sign_flip_test(b - a).value == pytest.approx(mcnemar_test(a, b).value, abs=1e-12)


def test_many_groups_are_drawn_with_a_seed_and_come_near_the_exact_value() -> None:
    a, b = np.array([1] * 40 + [0] * 22), np.array([0] * 40 + [1] * 22)
    found = sign_flip_test(b - a, n_perm=20_000, seed=3)
    exact = mcnemar_test(a, b).value
    assert found.value == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))
    assert found.value == sign_flip_test(b - a, n_perm=20_000, seed=3).value
    assert found.method == "sign-flip by item, 20000 draws"


def test_sizes_drawn_together_and_one_by_one_come_near_the_normal_limit() -> None:
    rng = np.random.default_rng(0)
    d = np.concatenate([rng.normal(0.1, 1, 300), np.repeat(0.5, 40)])  # 40 of one size, all others differ
    expected = 2 * norm.sf(abs(d.sum()) / np.sqrt((d**2).sum()))
    found = sign_flip_test(d, n_perm=20_000).value
    assert found == pytest.approx(expected, abs=0.02)
    assert found == sign_flip_test(d[::-1], n_perm=20_000).value


def test_smallest_p_of_draws_counts_the_one_found() -> None:
    assert sign_flip_test(np.ones(60), n_perm=99).value == 1 / 100


def test_nothing_differs_and_no_items() -> None:
    assert sign_flip_test([0, 0]).value == 1
    assert isnan(sign_flip_test([]).value)
    with pytest.raises(ValueError, match="sign_flip_test: n_perm"):
        sign_flip_test([1], n_perm=0)
