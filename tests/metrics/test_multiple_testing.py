"""Holm and Benjamini-Yekutieli by hand, against statsmodels and against the published cases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from dfar_toolkit.metrics.judging.multiple_testing import benjamini_yekutieli, benjamini_yekutieli_adjusted, holm

SEEDS = st.integers(0, 999)


def some(seed: int) -> np.ndarray:
    """P-values with ties, zeros and ones, most of them small."""
    rng = np.random.default_rng(seed)
    p = rng.random(int(rng.integers(1, 13))) ** 4
    return np.where(rng.random(len(p)) < 0.2, rng.choice([0, 0.01, 1], len(p)), p)


def test_by_hand() -> None:
    # M = 3: 3 * .01 = .03; 2 * .02 = .04; 1 * .03 raised to .04
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04], abs=1e-15)
    # M = 4, c = 25/12: bounds .05 i / (4 * 25/12) = .006 i
    assert benjamini_yekutieli([0.001, 0.02, 0.03, 0.2]).tolist() == [True, False, False, False]
    assert benjamini_yekutieli([0.018, 0.9, 0.001, 0.017]).tolist() == [True, False, True, True]


@settings(max_examples=40)
@given(seed=SEEDS)
def test_like_statsmodels(seed: int) -> None:
    p = some(seed)
    rejected, by, _, _ = multipletests(p, alpha=0.05, method="fdr_by")
    assert benjamini_yekutieli(p).tolist() == rejected.tolist()
    assert benjamini_yekutieli_adjusted(p) == pytest.approx(by, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))  # statsmodels collects garbage on every call of this one
def test_holm_like_statsmodels(seed: int) -> None:
    p = some(seed)
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)


@settings(max_examples=20)
@given(seed=SEEDS)
def test_order_does_not_matter_and_nothing_gets_smaller(seed: int) -> None:
    values = some(seed)
    order = np.random.default_rng(seed).permutation(len(values))
    assert holm(values[order]).tolist() == holm(values)[order].tolist()
    assert benjamini_yekutieli_adjusted(values[order]).tolist() == benjamini_yekutieli_adjusted(values)[order].tolist()
    assert (holm(values) >= values).all()


def test_an_undefined_test_counts_but_is_not_rejected() -> None:
    nan = float("nan")
    assert holm([0.01, nan]) == pytest.approx([0.02, nan], nan_ok=True)
    assert benjamini_yekutieli([nan, 0.001]).tolist() == [False, True]
    assert benjamini_yekutieli_adjusted([nan, 0.01]) == pytest.approx([nan, 0.03], nan_ok=True)
    assert (len(holm([])), len(benjamini_yekutieli([])), len(benjamini_yekutieli_adjusted([]))) == (0, 0, 0)


def test_refused() -> None:
    with pytest.raises(ValueError, match=r"holm: p-values must lie in \[0, 1\], found 1.5"):
        holm([0.1, 1.5])
    with pytest.raises(ValueError, match="benjamini_yekutieli: q must lie between 0 and 1, found 0"):
        benjamini_yekutieli([0.1], q=0)


@pytest.mark.real
def test_published_cases(shared_cases: Path) -> None:
    cases = json.loads((shared_cases / "judge_cases.json").read_text(encoding="utf-8"))["by_procedure"]
    assert len(cases) == 5
    for case in cases:
        assert np.flatnonzero(benjamini_yekutieli(case["p"], case["q"])).tolist() == case["rejected"]
