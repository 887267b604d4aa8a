"""Which interval a mean share gets, and that it covers."""

from __future__ import annotations

from math import isnan

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.estimate import proportion
from dfar_toolkit.metrics.intervals import mean_share


def test_zeros_and_ones_get_wilson_as_do_few_rejections() -> None:
    assert mean_share("x", [0, 1] * 30).method == "Wilson"
    few = [1 / 3] * 5 + [0] * 95
    assert str(mean_share("x", few)) == str(proportion("x", few))
    assert mean_share("x", [1 / 3, 2 / 3] * 30).method == "bootstrap"


def test_no_items() -> None:
    found = mean_share("x", [])
    assert (isnan(found.value), found.note) == (True, "no items")


@pytest.mark.parametrize("chance", [0.02, 0.3])
def test_covers_the_true_rate_of_clustered_fractional_shares(chance: float) -> None:
    """60 groups of two items, three judges each; the interval should hold the rate in about 95 % of studies."""
    rng = np.random.default_rng(11)
    groups = pl.Series(np.repeat(np.arange(60), 2))
    held = 0
    for _ in range(200):
        rate = np.repeat(rng.beta(5 * chance, 5 * (1 - chance), size=60), 2)
        found = mean_share("x", rng.binomial(3, rate) / 3, groups=groups, n_boot=300)
        held += found.low <= chance <= found.high
    assert held / 200 >= 0.9
