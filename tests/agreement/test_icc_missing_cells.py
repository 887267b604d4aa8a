"""Intraclass correlations where cells are missing: expected sums of squares, resampled items, many raters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.agreement.alpha import krippendorff_alpha
from dfar_toolkit.agreement.cells import read_cells
from dfar_toolkit.agreement.continuous.icc import Form, icc, icc_of_squares
from dfar_toolkit.agreement.continuous.numbers import panel_of
from dfar_toolkit.agreement.continuous.variance_components import item_rows, sums_of_squares, two_way

FORMS = get_args(Form)
# Shrout and Fleiss (1979), table 2: 6 targets by 4 judges.
SHROUT = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)


def long(table: np.ndarray) -> pl.DataFrame:
    """Items by raters, nan where missing, as long ratings."""
    cells = [(int(i), f"r{j}", float(table[i, j])) for i, j in np.argwhere(~np.isnan(table))]
    return pl.DataFrame(cells, schema=["item_id", "annotator_id", "value"], orient="row")


def holes(seed: int, n: int = 15, k: int = 5, share: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(1, k)) + rng.normal(size=(n, k)) + 100
    table[rng.random(table.shape) < share] = np.nan
    table[0] = np.arange(k)  # every rater in use
    return table


def henderson(table: np.ndarray) -> tuple[float, float, float]:
    """Components by expected sums of squares, each coefficient as a trace of dense matrices."""
    i, j = np.nonzero(~np.isnan(table))
    x = table[i, j]
    of_item, of_rater = np.eye(table.shape[0])[i], np.eye(table.shape[1])[j]
    of_item, of_rater = of_item[:, of_item.any(axis=0)], of_rater[:, of_rater.any(axis=0)]
    one = np.ones((len(x), 1))

    def onto(z: np.ndarray) -> np.ndarray:
        return z @ np.linalg.inv(z.T @ z) @ z.T

    forms = [onto(of_item) - onto(one), onto(of_rater) - onto(one), np.eye(len(x)) - onto(of_item)]
    designs = [of_item @ of_item.T, of_rater @ of_rater.T, np.eye(len(x))]
    expected = np.array([[np.trace(form @ design) for design in designs] for form in forms])
    a, b, e = np.linalg.solve(expected, [x @ form @ x for form in forms])
    return float(a), float(b), float(e)


@pytest.mark.parametrize("seed", range(5))
def test_missing_cells_equal_expected_sums_of_squares(seed: int) -> None:
    table = holes(seed)
    a, b, e = henderson(table)
    k = 1 / np.mean(1 / (~np.isnan(table)).sum(axis=1))
    for form, expected in {
        "A,1": a / (a + b + e), "A,k": a / (a + (b + e) / k), "C,1": a / (a + e), "C,k": a / (a + e / k),
    }.items():  # fmt: skip
        found = icc(long(table), form=form, n_boot=100, ci="bootstrap")
        assert found.value == pytest.approx(expected, abs=1e-10)
        assert found.low < found.high
        assert "Henderson's method 1: " in found.note


@pytest.mark.parametrize("seed", range(5))
def test_one_way_with_unequal_numbers_equals_the_definition(seed: int) -> None:
    table = holes(seed)
    lists = [row[~np.isnan(row)] for row in table]
    lists = [x for x in lists if len(x)]
    m = np.array([len(x) for x in lists])
    every = np.concatenate(lists)
    between = sum(len(x) * (x.mean() - every.mean()) ** 2 for x in lists) / (len(m) - 1)
    within = sum(((x - x.mean()) ** 2).sum() for x in lists) / (m.sum() - len(m))
    k0 = (m.sum() - (m**2).sum() / m.sum()) / (len(m) - 1)
    items = (between - within) / k0
    assert icc(long(table), form="1", ci=None).value == pytest.approx(items / (items + within), abs=1e-11)
    k = 1 / np.mean(1 / m)
    assert icc(long(table), form="1,k", ci=None).value == pytest.approx(items / (items + within / k), abs=1e-11)


def test_one_way_limits_for_unequal_numbers_meet_the_quantiles_of_f() -> None:
    from scipy.stats import f

    table = holes(3)
    lists = [x for x in (row[~np.isnan(row)] for row in table) if len(x)]
    m, mean = np.array([len(x) for x in lists]), np.array([x.mean() for x in lists])
    within = sum(((x - x.mean()) ** 2).sum() for x in lists) / (m.sum() - len(m))
    found = icc(long(table), form="1", confidence=0.9)
    for rho, p in ((found.low, 0.95), (found.high, 0.05)):
        w = 1 / (rho + (1 - rho) / m)  # 1 over the variance of an item's mean
        centre = (w * mean).sum() / w.sum()
        ratio = (1 - rho) * (w * (mean - centre) ** 2).sum() / (len(m) - 1) / within
        assert f.sf(ratio, len(m) - 1, m.sum() - len(m)) == pytest.approx(1 - p, abs=1e-8)


def test_equal_numbers_by_many_raters_have_the_usual_limits() -> None:
    rows = long(SHROUT).with_row_index().with_columns(annotator_id=pl.col("index").cast(pl.String))
    found = icc(rows, form="1")
    assert (found.value, found.low, found.high) == pytest.approx(
        (0.1657417684054755, -0.13293232487475096, 0.722560062328121), abs=1e-10
    )


def test_two_way_needs_raters_who_share_items() -> None:
    rows = long(SHROUT).with_row_index().with_columns(annotator_id=pl.col("index").cast(pl.String))
    found = icc(rows, form="A,1")
    assert np.isnan(found.value)
    assert "cannot be told apart" in found.note


def test_weights_are_repeated_items() -> None:
    table = holes(2, n=8, k=3, share=0.1)
    rows = item_rows(panel_of(read_cells(long(table)), "icc"), two_way=True)
    for pick in ([0, 0, 1, 2, 3, 4, 5, 6], [7, 7, 7, 3, 3, 1, 0, 2]):
        weights = np.bincount(pick, minlength=8).astype(float)[None, :]
        squares = sums_of_squares(weights.sum(axis=1), weights @ rows)
        for form in FORMS:
            repeated = icc(long(table[pick]), form=form, ci=None).value
            assert icc_of_squares(squares, form)[0] == pytest.approx(repeated, abs=1e-10)


def test_weighted_sums_of_squares_know_that_a_repeated_item_is_one() -> None:
    # Components by traces, where the copies of an item share its effect and its errors.
    table = holes(6, n=7, k=4)
    pick = np.array([0, 0, 0, 2, 3, 3, 5, 6])
    copies = table[pick]
    i, j = np.nonzero(~np.isnan(copies))
    x, copy, of_item, of_rater = copies[i, j], np.eye(8)[i], np.eye(7)[pick[i]], np.eye(4)[j]
    of_cell = np.eye(28)[pick[i] * 4 + j]

    def onto(z: np.ndarray) -> np.ndarray:
        z = z[:, z.any(axis=0)]
        return np.asarray(z @ np.linalg.inv(z.T @ z) @ z.T)

    one = np.full((len(x), len(x)), 1 / len(x))
    forms = [onto(copy) - one, onto(of_rater) - one, np.eye(len(x)) - onto(copy)]
    expected = [[np.trace(form @ z @ z.T) for z in (of_item, of_rater, of_cell)] for form in forms]
    parts = np.linalg.solve(expected, [x @ form @ x for form in forms])
    rows = item_rows(panel_of(read_cells(long(table)), "icc"), two_way=True)
    weights = np.bincount(pick, minlength=7).astype(float)[None, :]
    found = two_way(sums_of_squares(weights.sum(axis=1), weights @ rows, weights**2 @ rows))
    assert np.concatenate(found) == pytest.approx(parts, abs=1e-10)


def test_raters_of_few_items_leave_the_estimate_inside_its_interval() -> None:
    # 150 items, 5 of 120 raters each: about 6 items a rater.
    rng = np.random.default_rng(8)
    table = rng.normal(size=(150, 1)) + rng.normal(size=(1, 120)) * 0.5 + rng.normal(size=(150, 120))
    table[np.argsort(np.argsort(rng.random(table.shape), axis=1), axis=1) >= 5] = np.nan
    rows = long(table)
    drawn, left = icc(rows, form="C,1", ci="bootstrap"), icc(rows, form="C,1", ci="jackknife")
    assert (drawn.low, drawn.high) == pytest.approx((left.low, left.high), abs=0.03)
    assert drawn.low < drawn.value < drawn.high


def test_sparse_rows_give_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = long(holes(4, n=30, k=8)).with_columns(context=pl.col("item_id") // 4)
    for group in (None, "context"):
        dense = icc(rows, ci="bootstrap", n_boot=50, group=group)
        with monkeypatch.context() as patch:
            patch.setattr("dfar_toolkit.agreement.continuous.variance_components._DENSE", 0)
            sparse = icc(rows, ci="bootstrap", n_boot=50, group=group)
        ends = (dense.value, dense.low, dense.high)
        assert (sparse.value, sparse.low, sparse.high) == pytest.approx(ends, abs=1e-10)
        assert sparse.note == dense.note


@pytest.mark.real
def test_csc_with_872_raters(shared_data: Path) -> None:
    # Each of 1,408 items has ratings by a few of 872 raters; alpha at the interval level is nearly ICC(1).
    rows = []
    for split in ("dev", "test"):
        read = json.loads((shared_data / "lewidi" / f"CSC_{split}.json").read_text(encoding="utf-8"))
        rows += [(f"{split}:{k}", who, v) for k, record in read.items() for who, v in record["annotations"].items()]
    one, agree, consistent = (icc(rows, form=form, ci="bootstrap", n_boot=400) for form in ("1", "A,1", "C,1"))
    alpha = krippendorff_alpha(rows, level="interval", ci=None).value
    assert one.value == pytest.approx(alpha, abs=2e-3)
    assert agree.value == pytest.approx(alpha, abs=2e-3)
    assert consistent.value > agree.value  # raters differ in level
    for found in (one, agree, consistent):
        assert found.n == 1408
        assert found.low < found.value < found.high
    limits = icc(rows, form="1")
    assert limits.low < one.value < limits.high
