"""Bins of equal mass by cells against a sort of all values; bins of equal width against a search."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.metrics.calibration import equal_mass_edges as edges
from dfar_toolkit.metrics.calibration.bins import bin_values

KINDS = {
    "real": lambda rng, n: rng.random(n),
    "two_decimals": lambda rng, n: np.round(rng.random(n), 2),
    "few": lambda rng, n: rng.integers(0, 3, n) / 2,
    "near_the_ends": lambda rng, n: rng.beta(0.05, 0.05, n),
    # Values of one run on either side of a cell's edge.
    "across_cells": lambda rng, n: np.clip(rng.integers(0, 40, n) / 65_536 + rng.integers(-2, 3, n) * 4e-13, 0, 1),
}


@given(kind=st.sampled_from(sorted(KINDS)), n=st.integers(1, 3000), bins=st.integers(1, 25), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_cells_find_what_a_sort_finds(kind: str, n: int, bins: int, seed: int) -> None:
    values = KINDS[kind](np.random.default_rng(seed), n)
    for sorted_, by_cells in zip(
        edges._from_all(values, bins, 1e-12), edges._from_cells(values, bins, 1e-12), strict=True
    ):
        np.testing.assert_array_equal(by_cells, sorted_)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_many_values_go_by_cells(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = KINDS[kind](np.random.default_rng(0), 60_000)
    found = bin_values(values, binning="mass")
    monkeypatch.setattr(edges, "_MANY", 10**9)
    wanted = bin_values(values, binning="mass")
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@given(n_bins=st.integers(1, 40), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_equal_width_counts_the_edges_below(n_bins: int, seed: int) -> None:
    inner = np.arange(1, n_bins) / n_bins
    values = np.concatenate([np.random.default_rng(seed).random(200), [0.0, 1.0], inner, inner + 5e-13, inner + 2e-12])
    wanted = [(inner + 1e-12 < v).sum() for v in values]
    assert bin_values(values, n_bins=n_bins).codes.tolist() == wanted
