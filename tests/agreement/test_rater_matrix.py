"""Rater by rater: scikit-learn and statsmodels pair by pair, naive overlaps, squares and refusals."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.contingency_tables import SquareTable

from dfar_toolkit.agreement.raters.rater_confusion import marginal_homogeneity, rater_confusion
from dfar_toolkit.agreement.raters.rater_matrix import low_overlap, rater_matrix, rater_square
from dfar_toolkit.errors import TableError

Rows = list[tuple[Any, Any, Any]]

cells = st.dictionaries(
    st.tuples(st.integers(0, 7), st.integers(0, 4)), st.integers(0, 3), min_size=1, max_size=30
).map(lambda found: [(f"i{i}", f"r{r}", f"v {v}") for (i, r), v in found.items()])


def both(rows: Rows, a: Any, b: Any) -> list[tuple[Any, Any]]:
    given = {(item, rater): value for item, rater, value in rows}
    items = sorted({item for item, _, _ in rows})
    return [(given[i, a], given[i, b]) for i in items if (i, a) in given and (i, b) in given]


@settings(max_examples=40)
@given(cells)
def test_every_pair_against_scikit_learn(rows: Rows) -> None:
    found = {name: rater_matrix(rows, statistic=name) for name in ("kappa", "percent", "overlap")}  # type: ignore[arg-type]
    raters = sorted({rater for _, rater, _ in rows})
    for frame in found.values():
        assert frame.columns == ["rater_a", "rater_b", "value", "n", "note"]
        assert frame.select("rater_a", "rater_b").rows() == list(combinations(raters, 2))
    for k, (a, b) in enumerate(combinations(raters, 2)):
        pairs = both(rows, a, b)
        n = len(pairs)
        share = sum(x == y for x, y in pairs) / n if n else math.nan
        one = len({value for pair in pairs for value in pair}) == 1
        kappa = math.nan if one or not n else cohen_kappa_score(*zip(*pairs, strict=True))
        assert found["overlap"].row(k)[2:4] == (n, n)
        assert found["percent"]["value"][k] == pytest.approx(share, abs=1e-12, nan_ok=True)
        assert found["kappa"]["value"][k] == pytest.approx(kappa, abs=1e-12, nan_ok=True)
        note = found["kappa"]["note"][k]
        assert note.startswith("no item was rated by both") == (n == 0)
        assert ("one and the same value" in note) == one
        assert f"too little overlap: {n} common items, 10 wanted" in note


def test_values_given_once_change_nothing() -> None:
    # 6 items, every value different but for one agreement: p_o = 1/6, p_e = 1/36: kappa = (1/6 - 1/36) / (35/36) = 1/7.
    rows = [(i, who, 10.0 * i + (0 if who == "a" or i == 0 else 1)) for i in range(6) for who in "ab"]
    assert rater_matrix(rows)["value"][0] == pytest.approx(1 / 7, abs=1e-12)


def test_row_order_slices_and_names() -> None:
    rng = np.random.default_rng(0)
    rows = [(i, r, int(rng.integers(3)), i % 2) for i in range(40) for r in range(5) if rng.random() < 0.7]
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "half"], orient="row")
    assert rater_matrix(frame).equals(rater_matrix(frame.reverse()))
    sliced = rater_matrix(frame, by="half")
    for half in (0, 1):
        assert sliced.filter(half=half).drop("half").equals(rater_matrix(frame.filter(half=half)))
    assert sliced["rater_a"].dtype == pl.Int64
    assert rater_matrix(frame)["note"].to_list() == [""] * 10


def test_square() -> None:
    rows = [("x", "ann", 1), ("x", "bob", 1), ("y", "ann", 1), ("y", "bob", 2), ("z", "cat 🐈", 1)]
    table = rater_square(rater_matrix(rows, statistic="percent"))
    assert table.columns == ["rater_a", "ann", "bob", "cat 🐈"]
    assert table["rater_a"].to_list() == ["ann", "bob", "cat 🐈"]
    numbers = table.drop("rater_a").to_numpy()
    assert np.array_equal(numbers, numbers.T, equal_nan=True)
    assert numbers[0, 1] == 0.5
    assert np.isnan(numbers).sum() == 7
    twice = pl.concat([rater_matrix(rows)] * 2)
    with pytest.raises(ValueError, match=r"^rater_square: wanted each pair of raters once"):
        rater_square(twice)
    with pytest.raises(ValueError, match='a rater is called "rater_a"'):
        rater_square(rater_matrix([("x", "rater_a", 1), ("x", "b", 1)]))
    assert rater_square(rater_matrix([("x", "ann", 1)])).height == 0


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"^rater_matrix: statistic must be kappa, percent or overlap, found 'pi'$"):
        rater_matrix([("x", "a", 1)], statistic="pi")  # type: ignore[arg-type]
    with pytest.raises(TableError, match=r"takes at most 2000 of them; found 2001"):
        rater_matrix([("x", r, 1) for r in range(2001)])
    with pytest.raises(TableError, match="twice"):
        rater_matrix([("x", "a", 1), ("x", "a", 2), ("x", "b", 2)])
    assert rater_matrix([]).height == 0


def test_low_overlap_names_hermits_and_strangers() -> None:
    pair = [(f"i{i}", who, 1) for i in range(20) for who in ("ann", "bob")]
    # Eve shares 12 items, each with another person; hal shares none; guy shares 3.
    eve = [row for k in range(12) for row in ((f"e{k}", "eve", 1), (f"e{k}", f"crowd{k:02}", 1))]
    rows = [*pair, *eve, ("h", "hal", 1), *[(f"i{i}", "guy", 1) for i in range(3)]]
    found = low_overlap(rows).filter(~pl.col("rater").str.starts_with("crowd"))
    assert found.columns == ["rater", "n_items", "n", "n_closest", "note"]
    assert found.drop("note").rows() == [("hal", 1, 0, 0), ("guy", 3, 3, 3), ("eve", 12, 12, 1)]
    assert found["note"].to_list() == [
        "nobody else rated an item of this rater",
        "too little overlap: 3 items shared with others, 10 wanted",
        "too little overlap with any one rater: at most 1, 10 items wanted",
    ]
    assert low_overlap(pair).height == 0
    assert low_overlap(pair, min_overlap=21)["rater"].to_list() == ["ann", "bob"]
    assert low_overlap([]).height == 0


def test_confusion_by_hand() -> None:
    rows = [("x", "a", "y"), ("x", "b", "n"), ("y", "a", "y"), ("y", "b", "n"), ("z", "a", "n"), ("z", "b", "n")]
    rows += [("only a", "a", "?"), ("x", "c", "m")]
    found = rater_confusion(rows, rater_a="a", rater_b="b")
    assert found.rows() == [("n", "n", 1), ("n", "y", 0), ("y", "n", 2), ("y", "y", 0)]
    turned = rater_confusion(rows, rater_a="b", rater_b="a").select(value_a="value_b", value_b="value_a", n="n")
    assert turned.sort("value_a", "value_b").equals(found)
    assert rater_confusion([*rows, ("q", "d", "n")], rater_a="a", rater_b="d").height == 0
    with pytest.raises(ValueError, match=r'^rater_confusion: no rater "zoe"; found 3 raters \(a, b, c\)$'):
        rater_confusion(rows, rater_a="zoe", rater_b="b")
    with pytest.raises(ValueError, match=r'^rater_confusion: wanted two raters, found "a" twice$'):
        rater_confusion(rows, rater_a="a", rater_b="a")


def from_table(table: Any) -> Rows:
    pairs = [(a, b) for a, row in enumerate(table) for b, n in enumerate(row) for _ in range(n)]
    return [(i, who, v) for i, pair in enumerate(pairs) for who, v in zip("ab", pair, strict=True)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("method", ["stuart_maxwell", "bhapkar"])
def test_homogeneity_equals_statsmodels(seed: int, method: Any) -> None:
    table = np.random.default_rng(seed).integers(1, 9, (4, 4))
    theirs = SquareTable(table, shift_zeros=False).homogeneity(method=method)
    found = marginal_homogeneity(from_table(table), rater_a="a", rater_b="b", method=method)
    assert found.statistic == pytest.approx(theirs.statistic, rel=1e-9)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (found.df, found.n) == (3, table.sum())


def test_homogeneity_of_two_values_is_mcnemar() -> None:
    # 9 one way, 1 the other: (9 - 1)^2 / 10 = 6.4.
    found = marginal_homogeneity(from_table([[5, 9], [1, 7]]), rater_a="a", rater_b="b")
    assert found.statistic == pytest.approx(6.4, abs=1e-12)
    assert found.df == 1


def test_homogeneity_where_the_table_falls_apart() -> None:
    # Values 0 and 1 are mixed up, and 2 and 3, never across: two tests of one degree of freedom each, added up.
    table = [[9, 4, 0, 0], [1, 9, 0, 0], [0, 0, 9, 2], [0, 0, 6, 9]]
    found = marginal_homogeneity(from_table(table), rater_a="a", rater_b="b")
    assert found.statistic == pytest.approx(3**2 / 5 + 4**2 / 8, abs=1e-12)
    assert found.df == 2
    # A value on which the two always agree takes no part.
    assert marginal_homogeneity(from_table([[5, 9, 0], [1, 7, 0], [0, 0, 4]]), rater_a="a", rater_b="b").df == 1


def test_homogeneity_undefined() -> None:
    same = marginal_homogeneity(from_table([[5, 0], [0, 7]]), rater_a="a", rater_b="b")
    assert math.isnan(same.p)
    assert same.note == "the two raters never differ"
    apart = marginal_homogeneity([("x", "a", 1), ("y", "b", 1)], rater_a="a", rater_b="b")
    assert (apart.n, apart.note) == (0, "no item was rated by both")
    lean = marginal_homogeneity(from_table([[0, 6], [0, 0]]), rater_a="a", rater_b="b", method="bhapkar")
    assert math.isnan(lean.statistic)
    assert "infinite" in lean.note
    with pytest.raises(ValueError, match=r"^marginal_homogeneity: method must be stuart_maxwell or bhapkar"):
        marginal_homogeneity(from_table([[1]]), rater_a="a", rater_b="b", method="x")  # type: ignore[arg-type]
