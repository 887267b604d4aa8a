"""Squared differences and Gwet's weights as tables; alpha at the circular and bipolar levels and by own distances."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import permutations
from typing import Any

import krippendorff
import numpy as np
import polars as pl
import pytest
from nltk.metrics.agreement import AnnotationTask

from dfar_toolkit.agreement import alpha as alpha_module
from dfar_toolkit.agreement import krippendorff_alpha
from dfar_toolkit.agreement.counting import Counts
from dfar_toolkit.agreement.distances import (
    disagreement_weights,
    distance_table,
    ends,
    expected,
    given_table,
    within,
)
from dfar_toolkit.errors import TableError

LEVELS = ("interval", "ratio", "circular", "bipolar")
Rows = list[tuple[Any, Any, Any]]


def apart(level: str, a: float, b: float, low: float, high: float) -> float:
    """Krippendorff (2011), section E, one pair at a time."""
    if a == b:
        return 0.0
    if level == "interval":
        return (a - b) ** 2
    if level == "ratio":
        return ((a - b) / (a + b)) ** 2
    if level == "circular":
        return math.sin(math.pi * (a - b) / (high - low + 1)) ** 2
    if level == "bipolar":
        return (a - b) ** 2 / ((a + b - 2 * low) * (2 * high - a - b))
    return 1.0


def naive_alpha(rows: Rows, difference: Any) -> float:
    """Alpha by every ordered pair of ratings, within items and among all that can be paired."""
    units: dict[Any, list[Any]] = {}
    for item, _, value in rows:
        units.setdefault(item, []).append(value)
    pairable = [unit for unit in units.values() if len(unit) > 1]
    values = [value for unit in pairable for value in unit]
    n = len(values)
    observed = sum(sum(difference(a, b) for a, b in permutations(u, 2)) / (len(u) - 1) for u in pairable) / n
    chance = sum(difference(a, b) for a, b in permutations(values, 2)) / (n * (n - 1))
    return float("nan") if chance == 0 else 1 - observed / chance


def awkward(seed: int, scale: list[float]) -> Rows:
    rng = np.random.default_rng(seed)
    n_items, n_raters = int(rng.integers(2, 9)), int(rng.integers(2, 6))
    cells = [(i, j) for i in range(n_items) for j in range(n_raters) if i == 0 or rng.random() < 0.5]
    return [(i, j, float(rng.choice(scale))) for i, j in cells]


def test_tables_by_hand() -> None:
    x = np.array([0.0, 1.0, 3.0])
    assert distance_table("interval", x).tolist() == [[0, 1, 9], [1, 0, 4], [9, 4, 0]]
    assert distance_table("ratio", x).tolist() == [[0, 1, 1], [1, 0, 0.25], [1, 0.25, 0]]
    # A circle of four: 0 and 3 are neighbours, as far apart as 0 and 1; 1 and 3 are opposite.
    assert distance_table("circular", x) == pytest.approx(np.array([[0, 0.5, 0.5], [0.5, 0, 1], [0.5, 1, 0]]))
    # Bipolar: 0 and 1: 1 / (1 * 5); 0 and 3: 9 / (3 * 3); 1 and 3: 4 / (4 * 2).
    assert distance_table("bipolar", x) == pytest.approx(np.array([[0, 0.2, 1], [0.2, 0, 0.5], [1, 0.5, 0]]))
    wide = distance_table(
        "bipolar", x, bounds=(-1, 4)
    )  # 0 and 1: 1 / (3 * 7); 0 and 3: 9 / (5 * 5); 1 and 3: 4 / (6 * 4)
    assert wide == pytest.approx(np.array([[0, 1 / 21, 9 / 25], [1 / 21, 0, 1 / 6], [9 / 25, 1 / 6, 0]]))
    assert distance_table("circular", x, bounds=(0, 5))[0, 2] == pytest.approx(1)


def test_gwets_weights_by_hand() -> None:
    x = np.array([1.0, 2.0, 5.0])
    wanted = {
        "linear": [1 / 4, 1, 3 / 4],
        "quadratic": [1 / 16, 1, 9 / 16],
        "radical": [0.5, 1, math.sqrt(3) / 2],
        "ordinal": [1 / 3, 1, 1 / 3],  # comb(2, 2) / comb(3, 2): ranks only
        "ratio": [(1 / 9) / (4 / 9), 1, (9 / 49) / (4 / 9)],
    }
    for name, (low, ends_apart, high) in wanted.items():
        table = disagreement_weights(name, x)  # type: ignore[arg-type]
        assert table == pytest.approx(np.array([[0, low, ends_apart], [low, 0, high], [ends_apart, high, 0]])), name


@pytest.mark.parametrize("name", ["linear", "quadratic", "ordinal", "radical", "ratio", "circular", "bipolar"])
def test_weights_of_none_one_and_two_categories(name: Any) -> None:
    assert disagreement_weights(name, np.array([])).shape == (0, 0)
    assert disagreement_weights(name, np.array([7.0])).tolist() == [[0.0]]
    assert disagreement_weights(name, np.array([0.0, 7.0])) == pytest.approx(np.array([[0, 1], [1, 0]]))


@pytest.mark.parametrize("level", ["nominal", *LEVELS])
@pytest.mark.parametrize("scale", [[0, 1], [0, 1, 2, 3], [0.5, 1, 40, 41.25], list(range(12))])
def test_alpha_equals_loops_over_pairs(level: Any, scale: list[float]) -> None:
    compared = 0
    for seed in range(12):
        rows = awkward(seed, scale)
        x = [v for _, _, v in rows]
        wanted = naive_alpha(rows, lambda a, b, x=x: apart(level, a, b, min(x), max(x)))
        assert krippendorff_alpha(rows, level=level, ci=None).value == pytest.approx(wanted, abs=1e-12, nan_ok=True)
        compared += not math.isnan(wanted)
    assert compared >= 6


@pytest.mark.parametrize("level", ["circular", "bipolar"])
@pytest.mark.parametrize("n_values", [4, 30, 100, 360])
@pytest.mark.parametrize("bounds", [None, (-3.0, 400.0)])
def test_circular_and_bipolar_equal_the_krippendorff_package(level: Any, n_values: int, bounds: Any) -> None:
    rng = np.random.default_rng(n_values)
    matrix = rng.integers(0, n_values, (4, 60)).astype(float)
    matrix[1] = (matrix[0] + rng.integers(0, 3, 60)) % n_values
    matrix[rng.random(matrix.shape) < 0.3] = np.nan
    rows = [(int(i), int(j), float(matrix[j, i])) for j, i in np.argwhere(~np.isnan(matrix))]
    low, high = bounds or (np.nanmin(matrix), np.nanmax(matrix))

    def metric(v1: Any, v2: Any, i1: Any, i2: Any, n_v: Any, dtype: Any = np.float64) -> Any:
        found = np.vectorize(lambda a, b: apart(level, a, b, low, high))(v1, v2)
        return found.astype(dtype)

    theirs = krippendorff.alpha(reliability_data=matrix, level_of_measurement=metric)
    assert krippendorff_alpha(rows, level=level, bounds=bounds, ci=None).value == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("level", ["interval", "circular"])
@pytest.mark.parametrize("grouped", [False, True])
def test_many_values_by_every_way_there_is(level: Any, grouped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums per item, moments of counts, and the table of all pairs: one value, and the same intervals."""
    rng = np.random.default_rng(4)
    cells = [(i, j) for i in range(50) for j in range(3) if rng.random() < 0.8]
    rows = [(i, j, round(float((40 + i + rng.normal(0, 9)) % 97), 1)) for i, j in cells]
    rows.append((99, 0, 120.5))  # a single rating, which says where the circle ends
    numbers = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    numbers = numbers.with_columns(context=pl.col("item_id") // (3 if grouped else 1))
    texts = numbers.cast({"value": pl.String})
    assert numbers["value"].n_unique() > 64
    x = numbers["value"].to_list()
    wanted = naive_alpha(rows, lambda a, b: apart(level, a, b, min(x), max(x)))
    found: dict[str, list[Any]] = {"jackknife": [], "analytic": [], "bootstrap": []}
    for data, most in ((numbers, 64), (texts, 64), (texts, 1000)):
        monkeypatch.setattr(alpha_module, "_TABLE", most)
        for ci, listed in found.items():
            listed.append(krippendorff_alpha(data, level=level, group="context", ci=ci, n_boot=300))  # type: ignore[arg-type]
    for ci, listed in found.items():
        for one in listed:
            assert one.value == pytest.approx(wanted, abs=1e-12)
            # The patterns of units stand in different orders, so the draws of the bootstrap differ.
            near = 0.05 if ci == "bootstrap" else 1e-11
            assert [one.low, one.high] == pytest.approx([listed[-1].low, listed[-1].high], abs=near)
            assert (one.method, one.note, one.n, one.n_units) == tuple(
                getattr(listed[-1], name) for name in ("method", "note", "n", "n_units")
            )


def test_a_single_rating_says_where_the_scale_ends() -> None:
    rows = [("x", "a", 1), ("x", "b", 2), ("y", "a", 2), ("y", "b", 2), ("z", "a", 3), ("z", "b", 1), ("u", "a", 8)]
    for level in ("circular", "bipolar"):
        wanted = naive_alpha(rows, lambda a, b, level=level: apart(level, a, b, 1, 8))
        assert krippendorff_alpha(rows, level=level, ci=None).value == pytest.approx(wanted, abs=1e-12)  # type: ignore[arg-type]
        stated = krippendorff_alpha(rows, level=level, bounds=(1, 8), ci=None)  # type: ignore[arg-type]
        assert stated.value == pytest.approx(wanted, abs=1e-12)


def test_bounds_must_hold_the_values_and_belong_to_a_level_with_ends() -> None:
    rows = [("x", "a", 1), ("x", "b", 6), ("y", "a", 2), ("y", "b", 2)]
    for bounds in ((2, 6), (1, 5), (6, 1)):
        with pytest.raises(TableError, match=r"bounds must hold every value; found 1 to 6 outside"):
            krippendorff_alpha(rows, level="circular", bounds=bounds)
    for level in ("nominal", "ordinal", "interval", "ratio"):
        with pytest.raises(
            ValueError, match=rf"^krippendorff_alpha: bounds is for level circular or bipolar.*'{level}'"
        ):
            krippendorff_alpha(rows, level=level, bounds=(1, 6))  # type: ignore[arg-type]
    assert ends(np.array([]), None) == (0.0, 0.0)


def test_own_distance_as_matrix_and_function() -> None:
    # Items (1,1), (1,2), (2,10); d(1,2) = 1, d(1,10) = 5, d(2,10) = 2. Observed: 2 * (1 + 2) / 6. Ordered pairs of
    # 1, 1, 1, 2, 2, 10: 2 * (6 * 1 + 3 * 5 + 2 * 2) / 30 = 50 / 30. alpha = 1 - 1 / (5/3) = 2/5.
    rows = [("x", "a", 1), ("x", "b", 1), ("y", "a", 1), ("y", "b", 2), ("z", "a", 2), ("z", "b", 10)]
    matrix = [[0, 1, 5], [1, 0, 2], [5, 2, 0]]
    place = {1.0: 0, 2.0: 1, 10.0: 2}
    pick = np.vectorize(lambda a, b: matrix[place[a]][place[b]])
    texts = [(i, j, str(v)) for i, j, v in rows]
    wanted = float(Fraction(2, 5))
    assert krippendorff_alpha(rows, distance=matrix, ci=None).value == pytest.approx(wanted, abs=1e-15)
    assert krippendorff_alpha(rows, distance=np.array(matrix), ci=None).value == pytest.approx(wanted, abs=1e-15)
    assert krippendorff_alpha(rows, distance=pick, ci=None).value == pytest.approx(wanted, abs=1e-15)
    # "10" sorts before "2" as a text, but a matrix for numbers has its rows by number.
    assert krippendorff_alpha(texts, distance=matrix, ci=None).value == pytest.approx(wanted, abs=1e-15)
    by_name = krippendorff_alpha(texts, distance=lambda a, b: matrix[place[float(a)]][place[float(b)]], ci=None)
    assert by_name.value == pytest.approx(wanted, abs=1e-15)
    assert by_name.name == "Krippendorff's alpha (own distance)"
    for order, rows_of in ((["10", "2", "7", "1"], [2, 1, None, 0]), ([1, 2, 10], [0, 1, 2])):
        own = [[0 if a == b else 9 if None in (a, b) else matrix[a][b] for b in rows_of] for a in rows_of]
        for data in (rows, texts):
            found = krippendorff_alpha(data, distance=own, order=order, ci=None)  # type: ignore[arg-type]
            assert found.value == pytest.approx(wanted, abs=1e-15)


def test_own_distance_equals_nltk_on_words_with_spaces_and_emoji() -> None:
    words = ["not at all 🙁", "so so", "a bit", "yes 🙂 yes"]
    rng = np.random.default_rng(2)
    rows = [(i, j, words[rng.integers(4)]) for i in range(15) for j in range(4) if rng.random() < 0.7]

    def far(a: str, b: str) -> float:
        return abs(len(a) - len(b)) / 5

    theirs = AnnotationTask([(j, i, v) for i, j, v in rows], distance=far)
    assert krippendorff_alpha(rows, distance=far, ci=None).value == pytest.approx(theirs.alpha(), abs=1e-12)


@pytest.mark.parametrize("level", ["nominal", *LEVELS])
def test_the_levels_as_own_distances(level: Any) -> None:
    rows = awkward(5, [0.5, 1, 2, 40])
    x = sorted({v for _, _, v in rows})
    table = 1 - np.eye(len(x)) if level == "nominal" else distance_table(level, np.array(x))
    for ci in ("jackknife", "analytic"):
        named = krippendorff_alpha(rows, level=level, ci=ci)  # type: ignore[arg-type]
        own = krippendorff_alpha(rows, distance=table, ci=ci)  # type: ignore[arg-type]
        assert [own.value, own.low] == pytest.approx([named.value, named.low], abs=1e-12, nan_ok=True)


def test_wrong_distances_are_refused_in_a_line() -> None:
    rows = [("x", "a", "b"), ("x", "b", "a"), ("y", "a", "c"), ("y", "b", "c")]
    with pytest.raises(ValueError, match=r"distance must be a 3 x 3 matrix.*\(\"a\", \"b\", \"c\"\).*shape \(2, 2\)"):
        krippendorff_alpha(rows, distance=[[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="0 between equal values"):
        krippendorff_alpha(rows, distance=np.ones((3, 3)))
    with pytest.raises(ValueError, match="finite and symmetric"):
        krippendorff_alpha(rows, distance=[[0, 1, 2], [1, 0, 2], [1, 2, 0]])
    with pytest.raises(ValueError, match="finite and symmetric"):
        krippendorff_alpha(rows, distance=[[0, math.nan, 1], [math.nan, 0, 1], [1, 1, 0]])
    with pytest.raises(ValueError, match="must not be negative"):
        krippendorff_alpha(rows, distance=[[0, -1, 1], [-1, 0, 1], [1, 1, 0]])
    with pytest.raises(ValueError, match="level or distance, not both"):
        krippendorff_alpha(rows, distance=1 - np.eye(3), level="ordinal")
    with pytest.raises(TableError, match="at most 2000 distinct values; found 2001"):
        given_table(lambda a, b: a != b, pl.Series(range(2001)), what="distance")
    with pytest.raises(TableError, match="at most 2000 distinct values; found 2001"):
        distance_table("bipolar", np.arange(2001.0))


def test_a_distance_of_zero_everywhere_is_undefined() -> None:
    found = krippendorff_alpha([("x", "a", 1), ("x", "b", 2)], distance=[[0, 0], [0, 0]])
    assert math.isnan(found.value)
    assert found.note


def test_sums_of_pairs() -> None:
    # Patterns (a, a, b) and (b, c, c, d) with distances 1 .. 6 between a to d.
    table = np.array([[0, 1, 2, 3], [1, 0, 4, 5], [2, 4, 0, 6], [3, 5, 6, 0]], dtype=float)
    pattern, code, count = np.array([(0, 0, 2), (0, 1, 1), (1, 1, 1), (1, 2, 2), (1, 3, 1)]).T
    counts = Counts(pl.Series("abcd"), pattern, code, count.astype(float), np.ones(2), None)
    assert within(counts, table).tolist() == [2 * 2 * 1, 2 * (2 * 4 + 5 + 2 * 6)]
    assert within(counts, None).tolist() == [9 - 5, 16 - 6]
    shares = np.array([[1.0, 2, 0, 3]])
    assert expected(shares, table).tolist() == [2 * (2 * 1 + 3 * 3 + 6 * 5)]
    assert expected(shares, None).tolist() == [36 - 14]


def test_a_function_of_two_numbers_will_do() -> None:
    rows = [(i, r, (i * r + r) % 3) for i in range(12) for r in range(3)]
    plain = krippendorff_alpha(rows, ci=None).value  # type: ignore[union-attr]
    scalar = krippendorff_alpha(rows, distance=lambda a, b: 0 if a == b else 1, ci=None).value  # type: ignore[union-attr]
    assert scalar == pytest.approx(plain, abs=1e-12)
    squares = krippendorff_alpha(rows, distance=lambda a, b: (float(a) - float(b)) ** 2, ci=None).value  # type: ignore[union-attr]
    assert squares == pytest.approx(krippendorff_alpha(rows, level="interval", ci=None).value, abs=1e-12)  # type: ignore[union-attr]
