"""Statistics of very many items: columns that are never laid side by side give what a table of them gives."""

import numpy as np

from dfar_toolkit.estimate import Additive
from dfar_toolkit.estimate.additive import EXACT_UNITS, draw_together, in_columns, mean_of, resampled_sums
from dfar_toolkit.estimate.normal_limit import limit_sums


def test_columns_apart_are_a_table() -> None:
    rng = np.random.default_rng(0)
    n = EXACT_UNITS + 5_000
    rare = np.zeros(n)
    rare[:7] = 1
    columns = [rng.normal(size=n), rare, rng.random(n)]
    found = draw_together([mean_of(str(k), str(k), x) for k, x in enumerate(columns)], n_boot=50, seed=3)
    table = np.column_stack([columns[0], np.ones(n), *columns[1:]])  # as they come, a column of ones once
    sums = resampled_sums(table, 50, 3)
    np.testing.assert_allclose(found.draws, sums[:, [0, 2, 3]] / sums[:, [1]], rtol=1e-9)
    np.testing.assert_allclose(found.points, [x.mean() for x in columns], rtol=1e-12)
    assert (found.n, found.n_units, found.unit) == (n, n, "items")


def test_a_column_without_a_sum_leaves_the_others() -> None:
    n = EXACT_UNITS + 1
    x = np.full(n, 0.5)
    x[0] = np.nan
    found = draw_together([mean_of("a", "a", x), mean_of("b", "b", np.arange(n))], n_boot=20)
    assert np.isnan(found.points[0])
    assert np.isfinite(found.draws[:, 1]).all()
    none = [Additive("c", "c", np.full((n, 1), np.nan), lambda s: s[:, 0])]
    assert np.isnan(draw_together(none, n_boot=5).draws).all()
    assert limit_sums(np.empty((n, 0)), 4, np.random.default_rng(0)).shape == (4, 0)


def test_columns_lie_in_one_piece() -> None:
    rows = in_columns(np.array([1, 2, 3]), np.ones(1), np.array([True, False, True]))
    assert rows.tolist() == [[1, 1, 1], [2, 1, 0], [3, 1, 1]]
    assert rows.flags.f_contiguous
