"""Conger's and Light's kappa: by hand, against loops over pairs of raters, scikit-learn and nltk, and odd shapes."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations, permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from nltk.metrics.agreement import AnnotationTask
from sklearn.metrics import cohen_kappa_score

from dfar_toolkit.agreement import cohen_kappa, conger_kappa, light_kappa, pairwise_kappa
from dfar_toolkit.agreement import conger as conger_module
from dfar_toolkit.errors import TableError

Rows = list[tuple[Any, Any, Any]]
BOTH = [conger_kappa, light_kappa]


def frame_of(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")


def complete(seed: int, n_items: int = 25, n_raters: int = 4, n_values: int = 3) -> Rows:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_values, n_items)
    return [
        (i, j, int(truth[i] if rng.random() < 0.5 else rng.integers(0, n_values)))
        for i in range(n_items)
        for j in range(n_raters)
    ]


def incomplete(seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    rows = [row for row in complete(seed, int(rng.integers(3, 20)), int(rng.integers(2, 6))) if rng.random() < 0.6]
    return rows or [(0, 0, 0), (0, 1, 1)]


def naive_light(rows: Rows) -> float:
    """Mean of scikit-learn's kappas over the items that both rated; a kappa of one value is no number."""
    given = {(i, j): v for i, j, v in rows}
    items, raters = sorted({i for i, _, _ in rows}), sorted({j for _, j, _ in rows})
    kappas = []
    for g, h in combinations(raters, 2):
        both = [(given[i, g], given[i, h]) for i in items if (i, g) in given and (i, h) in given]
        if both and len({v for pair in both for v in pair}) > 1:
            kappas.append(cohen_kappa_score(*zip(*both, strict=True)))
    return float(np.mean(kappas)) if kappas else math.nan


def naive_conger(rows: Rows) -> float:
    given = {(i, j): v for i, j, v in rows}
    items, raters = sorted({i for i, _, _ in rows}), sorted({j for _, j, _ in rows})
    per_item = [[given[i, j] for j in raters if (i, j) in given] for i in items]
    shares = [np.mean([a == b for a, b in permutations(own, 2)]) for own in per_item if len(own) > 1]
    if not shares:
        return math.nan
    own = {j: [given[i, j] for i in items if (i, j) in given] for j in raters}
    alike = [np.mean([a == b for a in own[g] for b in own[h]]) for g, h in permutations(raters, 2)]
    observed, chance = float(np.mean(shares)), float(np.mean(alike))
    return math.nan if chance == 1 else (observed - chance) / (1 - chance)


def test_conger_by_hand_as_fractions() -> None:
    # Three raters: a n n y, b n y y, c n n - . Observed: (1 + 1/3 + 1) / 3 = 7/9. Shares of n: 2/3, 1/3, 1. Alike by
    # chance: ab 2/9 + 2/9 = 4/9, ac 2/3, bc 1/3; mean 13/27.
    rows = [(i, who, v) for who, given in (("a", "nny"), ("b", "nyy"), ("c", "nn")) for i, v in enumerate(given)]
    observed, chance = Fraction(7, 9), (Fraction(4, 9) + Fraction(2, 3) + Fraction(1, 3)) / 3
    wanted = float((observed - chance) / (1 - chance))
    assert conger_kappa(rows, ci=None).value == pytest.approx(wanted, abs=1e-15)
    # Light: ab 2/5 (p_o 2/3, p_e 4/9); ac: n n against n n, one value, undefined; bc: p_o = p_e = 1/2, 0.
    light = light_kappa(rows, ci=None)
    assert light.value == pytest.approx(0.2, abs=1e-15)
    assert light.note == "1 of 3 pairs of raters left out: no common item, or one value only"


@pytest.mark.parametrize("seed", range(25))
def test_equal_loops_over_pairs_of_raters(seed: int) -> None:
    rows = incomplete(seed)
    assert conger_kappa(rows, ci=None).value == pytest.approx(naive_conger(rows), abs=1e-12, nan_ok=True)
    assert light_kappa(rows, ci=None).value == pytest.approx(naive_light(rows), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("seed", range(4))
def test_light_equals_nltk_and_the_mean_of_pairwise_kappa(seed: int) -> None:
    rows = [(f"item {i}", f"rater {j} 🙂", f"value {v}") for i, j, v in complete(seed)]
    theirs = AnnotationTask([(j, i, v) for i, j, v in rows]).kappa()
    assert light_kappa(rows, ci=None).value == pytest.approx(theirs, abs=1e-12)
    assert light_kappa(rows, ci=None).value == pytest.approx(pairwise_kappa(rows, ci=None)["value"].mean(), abs=1e-12)


@pytest.mark.parametrize("weights", [None, "linear", "quadratic", "ordinal"])
def test_of_two_raters_both_are_cohen(weights: Any) -> None:
    rows = complete(3, 30, 2, 5)
    wanted = cohen_kappa(rows, weights=weights, ci="jackknife")
    for statistic in BOTH:
        found = statistic(rows, weights=weights, ci="jackknife")  # type: ignore[operator]
        assert [found.value, found.low] == pytest.approx([wanted.value, wanted.low], abs=1e-12)


@pytest.mark.parametrize("weights", [None, "quadratic"])
def test_weighted_light_is_the_mean_of_weighted_kappas(weights: Any) -> None:
    rows = complete(5, 40, 4, 5)
    wanted = pairwise_kappa(rows, weights=weights, ci=None)["value"].mean()
    assert light_kappa(rows, weights=weights, ci=None).value == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("statistic", BOTH)
@pytest.mark.parametrize("group", [None, "context"])
def test_slices_in_which_raters_are_missing(statistic: Any, group: str | None) -> None:
    frame = frame_of(complete(1, 30, 5)).with_columns(part=pl.col("item_id") % 3, context=pl.col("item_id") // 2)
    frame = frame.with_columns(part=pl.when(pl.col("part") == 2).then(None).otherwise(pl.col("part")))
    gone = pl.col("part").eq_missing(0) & (pl.col("annotator_id") > 2) | pl.col("part").is_null() & (
        pl.col("annotator_id") != 4
    )
    frame = frame.filter(~gone)
    found = statistic(frame, by="part", group=group, n_boot=60)
    assert found["part"].to_list() == [None, 0, 1]
    for row in found.iter_rows(named=True):
        own = frame.filter(pl.col("part").eq_missing(row["part"])).drop("part")
        alone = statistic(own, group=group, n_boot=60).as_row()
        assert [str(v) for v in alone.values()] == [str(v) for k, v in row.items() if k != "part"]
    assert math.isnan(found["value"][0])
    assert "no item has two or more ratings" in found["note"][0]


@pytest.mark.parametrize("statistic", BOTH)
def test_what_cannot_be_said(statistic: Any) -> None:
    for rows in ([], [("x", "a", 1), ("y", "a", 2)], [("x", "a", 1), ("y", "b", 2)]):
        for ci in ("bootstrap", "jackknife", None):
            found = statistic(rows, ci=ci)
            assert math.isnan(found.value)
            assert "no item has two or more ratings" in found.note
            assert found.n == 0
    for ci in ("bootstrap", "jackknife"):
        found = statistic([("x", "a", 1), ("x", "b", 1), ("y", "a", 1), ("y", "c", 1)], ci=ci)
        assert math.isnan(found.value)
        assert "value" in found.note
        found = statistic([("x", "a", 1), ("x", "b", 2), ("x", "c", 1)], ci=ci)
        assert not math.isnan(found.value)
        assert "one unit (items) only" in found.note


def test_light_says_that_no_pair_is_defined() -> None:
    found = light_kappa([("x", "a", 1), ("x", "b", 1), ("y", "a", 1), ("y", "b", 1)])
    assert "no two raters share items and differ in their values" in found.note
    with pytest.raises(ValueError, match="Light's kappa has no analytic interval; use bootstrap or jackknife"):
        light_kappa(complete(0), ci="analytic")  # type: ignore[arg-type]


def test_all_missing_but_two() -> None:
    rows: Rows = [(i, j, None) for i in range(6) for j in range(4)]
    rows[3], rows[2] = (0, 3, "yes"), (0, 2, "no")
    for statistic in BOTH:
        found = statistic(rows)  # type: ignore[operator]
        assert (found.value, found.n) == (0.0, 1)
        assert "one unit" in found.note


def test_crowds_are_refused_with_advice() -> None:
    crowd = [(i, j, (i * j) % 7) for i in range(3) for j in range(3000)]
    with pytest.raises(
        TableError, match=r"conger_kappa counts .* at most 20000 .* 3000 raters and 7 values; use fleiss"
    ):
        conger_kappa(crowd)
    with pytest.raises(TableError, match=r"light_kappa compares .* found 4498500 pairs and 7 values; use fleiss"):
        light_kappa(crowd)


@pytest.mark.parametrize("statistic", BOTH)
@pytest.mark.parametrize("ci", ["bootstrap", "jackknife"])
def test_intervals_equal_computing_from_scratch(statistic: Any, ci: Any) -> None:
    """Every draw, and every item left out, by the loops above on the items drawn."""
    rows = [row for row in complete(8, 12, 4) if (row[0] + row[1]) % 5]
    naive = naive_light if statistic is light_kappa else naive_conger
    found = statistic(rows, ci=ci, n_boot=100, seed=3)
    items = sorted({i for i, _, _ in rows})

    def again(times: Any) -> float:
        return naive([((i, k), j, v) for i, j, v in rows for k in range(int(times[items.index(i)]))])

    if ci == "jackknife":
        left = np.array([again(1 - np.eye(12)[i]) for i in range(12)])
        half = 1.959963984540054 * np.sqrt(11 / 12 * np.sum((left - left.mean()) ** 2))
        assert found.low == pytest.approx(found.value - half, abs=1e-12)
        return
    rng = np.random.default_rng(3)
    times = [np.bincount(drawn, minlength=12) for drawn in rng.integers(0, 12, (100, 12))]
    draws = np.array([again(t) for t in times])
    assert [found.low, found.high] == pytest.approx(np.nanquantile(draws, [0.025, 0.975]), abs=1e-12)


def test_conger_dense_and_sparse_rows_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = complete(2, 30, 4, 3), complete(2, 30, 4, 20)  # 12 and 80 columns
    for rows in (few, many):
        texts = [(i, f"r{j}", f"v{v}") for i, j, v in rows]
        assert conger_kappa(rows, ci=None).value == pytest.approx(naive_conger(rows), abs=1e-12)
        for ci in ("jackknife", "analytic", "bootstrap"):
            one, two = (conger_kappa(data, ci=ci, n_boot=40) for data in (rows, texts))  # type: ignore[arg-type]
            assert [one.low, one.high] == pytest.approx([two.low, two.high], abs=1e-12)
    monkeypatch.setattr(conger_module, "_COLUMNS", 79)
    with pytest.raises(TableError, match="at most 79"):
        conger_kappa(many)


@pytest.mark.parametrize("statistic", BOTH)
def test_row_order_changes_nothing_and_groups_change_the_interval(statistic: Any) -> None:
    frame = frame_of(complete(4, 40, 4)).with_columns(context=pl.col("item_id") // 4)
    shuffled = frame.sample(fraction=1, shuffle=True, seed=5)
    for how in ({"n_boot": 80}, {"n_boot": 80, "group": "context"}, {"ci": "jackknife", "group": "context"}):
        assert repr(statistic(frame, **how)) == repr(statistic(shuffled, **how))
    alone, grouped = statistic(frame, n_boot=80), statistic(frame, n_boot=80, group="context")
    assert (alone.unit, alone.n_units, grouped.unit, grouped.n_units) == ("items", 40, "groups", 10)
    assert alone.value == pytest.approx(grouped.value, abs=1e-12)
    assert (alone.low, alone.high) != (grouped.low, grouped.high)
