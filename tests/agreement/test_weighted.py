"""Weighted coefficients: against irrCAC, scikit-learn, statsmodels and nltk, and loops written from the definitions."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import t as student

from dfar_toolkit.agreement import (
    brennan_prediger,
    cohen_kappa,
    conger_kappa,
    fleiss_kappa,
    gwet_ac1,
    gwet_ac2,
    pairwise_kappa,
    percent_agreement,
    randolph_kappa,
    scott_pi,
)
from dfar_toolkit.errors import TableError

NAMES = ("linear", "quadratic", "ordinal", "radical", "ratio", "circular", "bipolar")
Rows = list[tuple[Any, Any, Any]]

_ = None
# Items by raters. The eighth item has one rating, of a value that few others have.
TABLE_A = [
    *([2, 2, _, 2], [1, 2, 1, _], [5, 4, 4, 5], [_, _, 3, 1], [1, 1, 1, 1], [4, _, 5, 2], [2, 3, 2, 2]),
    *([_, 7, _, _], [5, 5, _, 4], [1, _, 2, 1], [_, 3, 3, 4], [7, 5, 7, _], [2, 2, 4, _]),
]
# Values 1, 2 and 10, whose texts sort otherwise than their numbers.
TABLE_B = [
    *([1, 10, 2], [2, 2, _], [10, 10, 10], [1, _, 1], [_, 2, 10], [2, 1, 2], [1, 1, 1]),
    *([10, 2, _], [_, _, 2], [1, 2, 1]),
]
# irrCAC 0.4.4: value and standard error of AC2, Conger, Fleiss, Brennan-Prediger.
IRRCAC: dict[str, dict[str, tuple[tuple[float, float], ...]]] = {
    "A": {
        "identity": (
            (0.28641567980518, 0.11296049746512), (0.26403468735737, 0.10114618139416),
            (0.26751335550852, 0.1017626384078), (0.28333333333333, 0.11076334465209),
        ),
        "linear": (
            (0.6201949145287, 0.10905129885017), (0.55841121495327, 0.10241001061279),
            (0.59577053039219, 0.0917430459399), (0.60625, 0.09963039334349),
        ),
        "quadratic": (
            (0.82281435435953, 0.09781098156277), (0.76963486048915, 0.08983047395658),
            (0.80623211855598, 0.07082764110883), (0.80892857142857, 0.08956899505567),
        ),
        "ordinal": (
            (0.74098328025478, 0.1086560884739), (0.70363337780971, 0.11321287126647),
            (0.72940882909484, 0.0984672417773), (0.725, 0.10133043542222),
        ),
        "radical": (
            (0.4674070975988, 0.11100449859036), (0.41684479533688, 0.10122446055749),
            (0.44252117630239, 0.0968169838463), (0.45736369303149, 0.10377426748142),
        ),
        "ratio": (
            (0.66600949250372, 0.14627477806644), (0.65428181980272, 0.14789599321797),
            (0.66840258534116, 0.13615755103177), (0.64645904213401, 0.14574763562648),
        ),
        "circular": (
            (0.54125017072233, 0.13921686129363), (0.50149833650427, 0.13934877311342),
            (0.50609053595416, 0.13645561742852), (0.53178531953375, 0.13514671949451),
        ),
        "bipolar": (
            (0.76310429558639, 0.10539369809136), (0.70237502886098, 0.09339448178112),
            (0.74401323006587, 0.07591516407638), (0.74756832553562, 0.09713505261972),
        ),
    },
    "B": {
        "identity": (
            (0.28845101258894, 0.23260440870202), (0.27777777777778, 0.23571072985202),
            (0.25544100801833, 0.25412802133817), (0.27777777777778, 0.23787467738269),
        ),
        "quadratic": (
            (0.4166038477926, 0.29968241977609), (0.28026282537276, 0.37276735625377),
            (0.23434273916036, 0.37639286693959), (0.39041095890411, 0.3059975933359),
        ),
        "ordinal": (
            (0.52426260704091, 0.17716632254236), (0.46666666666667, 0.22690546607559),
            (0.4199535962877, 0.25483669512615), (0.5, 0.18757714462371),
        ),
        "circular": (
            (0.12073032166136, 0.39589316017539), (-0.00231782567236, 0.39597294084214),
            (0.01348558854708, 0.3783839599868), (0.07066428149124, 0.40315636299163),
        ),
    },
}  # fmt: skip


def rows_of(table: list[list[Any]]) -> Rows:
    return [(i, j, v) for i, row in enumerate(table) for j, v in enumerate(row) if v is not None]


def standard_error(found: Any) -> float:
    df = int(found.method.removeprefix("linearised, t(").removesuffix(")"))
    return float((found.value - found.low) / student.ppf(0.975, df))


@pytest.mark.parametrize(("table", "weights"), [(t, w) for t, listed in IRRCAC.items() for w in listed])
@pytest.mark.parametrize("as_text", [False, True])
def test_equals_irrcac_with_missing_ratings(table: str, weights: str, as_text: bool) -> None:
    rows = rows_of(TABLE_A if table == "A" else TABLE_B)
    if as_text:
        rows = [(i, j, str(v)) for i, j, v in rows]
    how: dict[str, Any] = {"weights": None if weights == "identity" else weights, "ci": "analytic"}
    ac = gwet_ac1(rows, ci="analytic") if weights == "identity" else gwet_ac2(rows, **how)
    family = (ac, conger_kappa(rows, **how), fleiss_kappa(rows, **how), brennan_prediger(rows, **how))
    for found, (value, error) in zip(family, IRRCAC[table][weights], strict=True):
        assert found.value == pytest.approx(value, abs=2e-14), found.name
        assert standard_error(found) == pytest.approx(error, abs=2e-14), found.name


def credit(name: str | None, x: list[float], c: int, k: int) -> float:
    """The agreement weight of the c-th and the k-th of the sorted numbers x, from the definitions of Gwet (2014)."""

    def apart(i: int, j: int) -> float:
        gap, low, high = abs(x[i] - x[j]), x[0], x[-1]
        if name is None or gap == 0:
            return float(gap > 0)
        if name == "ordinal":
            return math.comb(abs(i - j) + 1, 2)
        if name == "ratio":
            return (gap / (x[i] + x[j])) ** 2
        if name == "circular":
            return math.sin(math.pi * gap / (high - low + 1)) ** 2
        if name == "bipolar":
            return gap**2 / ((x[i] + x[j] - 2 * low) * (2 * high - x[i] - x[j]))
        return gap ** {"linear": 1, "quadratic": 2, "radical": 0.5}[name]

    return 1 - apart(c, k) / max(apart(i, j) for i in range(len(x)) for j in range(len(x)))


def naive(rows: Rows, name: str | None, x: list[float], statistic: str) -> float:
    """The statistic by loops over pairs of ratings, and over pairs of raters for Conger's chance."""
    items = sorted({i for i, _, _ in rows})
    raters = sorted({j for _, j, _ in rows})
    q = len(x)
    a = [[credit(name, x, c, k) for k in range(q)] for c in range(q)]
    given = {(i, j): x.index(float(v)) for i, j, v in rows}
    per_item = [[given[i, j] for j in raters if (i, j) in given] for i in items]
    pairable = [codes for codes in per_item if len(codes) > 1]
    observed = sum(
        sum(a[c][k] for c, k in permutations(codes, 2)) / (len(codes) * (len(codes) - 1)) for codes in pairable
    ) / len(pairable)
    pi = [sum(codes.count(c) / len(codes) for codes in per_item) / len(per_item) for c in range(q)]
    if statistic == "observed":
        return observed
    if statistic == "gwet":
        chance = sum(map(sum, a)) / (q * (q - 1)) * sum(p * (1 - p) for p in pi)
    elif statistic == "bp":
        chance = sum(map(sum, a)) / q**2
    elif statistic == "fleiss":
        chance = sum(a[c][k] * pi[c] * pi[k] for c in range(q) for k in range(q))
    else:
        own = {j: [given[i, j] for i in items if (i, j) in given] for j in raters}
        share = {j: [codes.count(c) / len(codes) for c in range(q)] for j, codes in own.items()}
        pairs = list(permutations(raters, 2))
        chance = sum(a[c][k] * share[g][c] * share[h][k] for g, h in pairs for c in range(q) for k in range(q))
        chance /= len(pairs)
    return (observed - chance) / (1 - chance)


def awkward(seed: int) -> tuple[Rows, list[float]]:
    """Few items, many gaps, values with gaps between them; the numbers in use."""
    rng = np.random.default_rng(seed)
    scale = [np.array([1, 2, 3]), np.array([0.5, 1, 7, 20]), np.array([1, 2, 10, 100])][seed % 3]
    n_items, n_raters = int(rng.integers(2, 12)), int(rng.integers(2, 7))
    cells = [(i, j) for i in range(n_items) for j in range(n_raters) if rng.random() < rng.uniform(0.3, 1)]
    rows = [(i, j, float(rng.choice(scale))) for i, j in [*cells, *((0, j) for j in range(2) if (0, j) not in cells)]]
    return rows, sorted({v for _, _, v in rows})


@pytest.mark.parametrize("name", [None, *NAMES])
def test_equals_loops_over_pairs(name: Any) -> None:
    compared = 0
    for seed in range(18):
        rows, x = awkward(seed)
        if len(x) < 2:
            continue
        ac = gwet_ac1(rows, ci=None) if name is None else gwet_ac2(rows, weights=name, ci=None)
        how: dict[str, Any] = {"weights": name, "ci": None}
        assert percent_agreement(rows, **how).value == pytest.approx(naive(rows, name, x, "observed"), abs=1e-12)
        assert ac.value == pytest.approx(naive(rows, name, x, "gwet"), abs=1e-12)
        assert brennan_prediger(rows, **how).value == pytest.approx(naive(rows, name, x, "bp"), abs=1e-12)
        assert fleiss_kappa(rows, **how).value == pytest.approx(naive(rows, name, x, "fleiss"), abs=1e-12)
        assert conger_kappa(rows, **how).value == pytest.approx(naive(rows, name, x, "conger"), abs=1e-12)
        compared += 1
    assert compared >= 14


@pytest.mark.parametrize("name", [None, *NAMES])
def test_categories_on_offer_that_nobody_used(name: Any) -> None:
    rows = rows_of(TABLE_B)
    x = [0.5, 1.0, 2.0, 6.0, 10.0, 12.0]
    offered = [12, 6, 0.5, 10, 2, 1]  # in any order
    ac = gwet_ac1(rows, categories=offered, ci=None) if name is None else None
    ac = ac or gwet_ac2(rows, weights=name, categories=offered, ci=None)
    assert ac.value == pytest.approx(naive(rows, name, x, "gwet"), abs=1e-12)
    bp = brennan_prediger(rows, weights=name, categories=offered, ci=None)
    assert bp.value == pytest.approx(naive(rows, name, x, "bp"), abs=1e-12)
    if name is None:
        assert randolph_kappa(rows, categories=offered, ci=None).value == bp.value


@pytest.mark.parametrize("name", [None, *NAMES])
def test_order_gives_words_their_ranks_also_where_some_are_unused(name: Any) -> None:
    words = ["not at all 🙁", "a bit", "so so", "very 🙂", "wholly"]
    rows = [(i, j, {1: "a bit", 2: "so so", 10: "wholly"}[v]) for i, j, v in rows_of(TABLE_B)]
    ranks = [(i, j, float(words.index(v) + 1)) for i, j, v in rows]
    x = [1.0, 2.0, 3.0, 4.0, 5.0]
    how: dict[str, Any] = {"weights": name, "order": words, "ci": None}
    assert fleiss_kappa(rows, **how).value == pytest.approx(naive(ranks, name, x, "fleiss"), abs=1e-12)
    assert conger_kappa(rows, **how).value == pytest.approx(naive(ranks, name, x, "conger"), abs=1e-12)
    assert brennan_prediger(rows, **how).value == pytest.approx(naive(ranks, name, x, "bp"), abs=1e-12)
    assert percent_agreement(rows, **how).value == pytest.approx(naive(ranks, name, x, "observed"), abs=1e-12)
    if name is not None:
        assert gwet_ac2(rows, **how).value == pytest.approx(naive(ranks, name, x, "gwet"), abs=1e-12)


def test_ac2_by_hand_as_fractions() -> None:
    # Items 1-1, 1-3, (2) with values on offer 1, 2, 3 and linear credit 1, 1/2, 0: p_a = 1/2. Shares over all three
    # items: 1: (1 + 1/2) / 3 = 1/2, 2: 1/3, 3: 1/6. Sum of the weights 3 + 4/2 + 0 = 5, of 3 * 2.
    rows = [("x", "a", 1), ("x", "b", 1), ("y", "a", 1), ("y", "b", 3), ("z", "a", 2)]
    observed, share = Fraction(1, 2), (Fraction(1, 2), Fraction(1, 3), Fraction(1, 6))
    chance = Fraction(5, 6) * sum(p * (1 - p) for p in share)
    wanted = (observed - chance) / (1 - chance)
    assert gwet_ac2(rows, weights="linear", ci=None).value == pytest.approx(float(wanted), abs=1e-15)
    # Fleiss: 1/4 + 1/9 + 1/36 for equal ones, and 2 * 1/2 * (1/2 * 1/3 + 1/3 * 1/6) for neighbours.
    chance = Fraction(7, 18) + Fraction(1, 6) + Fraction(1, 18)
    wanted = (observed - chance) / (1 - chance)
    assert fleiss_kappa(rows, weights="linear", ci=None).value == pytest.approx(float(wanted), abs=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_weights_as_a_name_a_matrix_and_a_function_are_one(name: Any) -> None:
    rows = rows_of(TABLE_A)
    x = sorted({float(v) for _, _, v in rows})
    matrix = [[credit(name, x, c, k) for k in range(len(x))] for c in range(len(x))]

    def function(a: Any, b: Any) -> Any:
        return np.vectorize(lambda u, v: matrix[x.index(u)][x.index(v)])(a, b)

    for statistic in (percent_agreement, fleiss_kappa, gwet_ac2, brennan_prediger, conger_kappa):
        wanted = statistic(rows, weights=name, ci="jackknife")  # type: ignore[operator]
        for weights in (matrix, np.array(matrix), function):
            found = statistic(rows, weights=weights, ci="jackknife")  # type: ignore[operator]
            assert [found.value, found.low] == pytest.approx([wanted.value, wanted.low], abs=1e-12)


def test_the_rows_of_a_matrix_for_numbers_as_text_go_by_number() -> None:
    rows = rows_of(TABLE_B)
    texts = [(i, j, str(v)) for i, j, v in rows]
    matrix = [[1, 0.9, 0], [0.9, 1, 0.1], [0, 0.1, 1]]  # 1, 2, 10
    for statistic in (percent_agreement, fleiss_kappa, gwet_ac2, brennan_prediger, conger_kappa):
        wanted = statistic(rows, weights=matrix, ci=None).value  # type: ignore[operator]
        assert statistic(texts, weights=matrix, ci=None).value == pytest.approx(wanted, abs=1e-15)  # type: ignore[operator]
    two = [row for row in rows if row[1] < 2]
    as_text = [row for row in texts if row[1] < 2]
    for cohens in (cohen_kappa, scott_pi):
        assert cohens(two, weights=matrix, ci=None).value == cohens(as_text, weights=matrix, ci=None).value


def test_one_number_written_in_two_ways_is_refused_where_weights_go_by_numbers() -> None:
    rows = [("x", "a", "1"), ("x", "b", "1.0"), ("y", "a", "2"), ("y", "b", "2"), ("z", "a", "3"), ("z", "b", "1")]
    with pytest.raises(TableError, match=r'several values are one number \("1", "1.0"\); write them alike'):
        gwet_ac2(rows, ci=None)
    with pytest.raises(TableError, match="one number"):
        cohen_kappa(rows, weights="ordinal", ci=None)
    assert percent_agreement(rows, ci=None).value == pytest.approx(1 / 3)  # as names they are two values


def test_numbers_and_truth_values_may_be_named_as_they_are_written() -> None:
    whole = rows_of(TABLE_B)
    floats = [(i, j, float(v)) for i, j, v in whole]
    for rows in (whole, floats, [(i, j, str(v)) for i, j, v in whole]):
        for named in ([1, 2, 10, 11], ["1", "2", "10", "11"]):
            wanted = gwet_ac1(whole, categories=["1", "2", "10", "11"], ci=None).value
            assert gwet_ac1(rows, categories=named, ci=None).value == wanted
            by_rank = fleiss_kappa(rows, weights="quadratic", order=named, ci=None).value
            assert by_rank == fleiss_kappa(whole, weights="quadratic", order=["1", "2", "10", "11"], ci=None).value
    yes_no = [(i, j, v > 1) for i, j, v in whole]
    for named in ([True, False], [1, 0], ["0", "1"]):
        assert gwet_ac1(yes_no, categories=named, ci=None).value == gwet_ac1(yes_no, ci=None).value
    with pytest.raises(TableError, match=r"2 are missing \(e\.g\. \"2\.0\"\)"):
        gwet_ac1(floats, categories=[1, 2.5], ci=None)
    with pytest.raises(ValueError, match="order names a value twice"):
        fleiss_kappa(floats, weights="linear", order=[1, 1.0, 2, 10], ci=None)


@pytest.mark.parametrize("statistic", [percent_agreement, fleiss_kappa, gwet_ac2, brennan_prediger, conger_kappa])
def test_wrong_weights_are_refused_in_a_line(statistic: Any) -> None:
    rows = rows_of(TABLE_B)
    with pytest.raises(ValueError, match=r"weights must be one of linear, .*found 'square'"):
        statistic(rows, weights="square")
    with pytest.raises(ValueError, match=r"must be a 3 x 3 matrix.*\(\"1\", \"2\", \"10\"\), found shape \(2, 2\)"):
        statistic(rows, weights=np.eye(2))
    with pytest.raises(ValueError, match="finite and symmetric"):
        statistic(rows, weights=[[1, 0.5, 0], [0, 1, 0], [0, 0, 1]])
    with pytest.raises(ValueError, match="1 on the diagonal"):
        statistic(rows, weights=[[0, 1, 4], [1, 0, 1], [4, 1, 0]])
    with pytest.raises(ValueError, match="must not be negative"):
        statistic(rows, weights=[[1, -1, 0], [-1, 1, 0], [0, 0, 1]])
    with pytest.raises(TableError, match=r"weights 'linear' reads every value as a number; .*give order="):
        statistic([("x", "a", "low"), ("x", "b", "high")], weights="linear")
    with pytest.raises(TableError, match="order must name every value in use; 1 are missing"):
        statistic(rows, weights="linear", order=["1", "2"])


@pytest.mark.parametrize("name", [None, *NAMES])
def test_a_slice_goes_by_its_own_values(name: Any) -> None:
    """Ordinal, circular and bipolar weights depend on the values in use: those of the slice, as filtering gives."""
    rng = np.random.default_rng(1)
    rows = [(i, j, int(rng.choice([1, 2, 3] if i < 20 else [1, 3, 9, 27]))) for i in range(40) for j in range(2)]
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    for values in (frame, frame.cast({"value": pl.String})):
        sliced = values.with_columns(part=pl.col("item_id") // 20)
        for statistic in (cohen_kappa, scott_pi, fleiss_kappa, conger_kappa, pairwise_kappa, gwet_ac2):
            if name is None and statistic is gwet_ac2:
                continue
            found = statistic(sliced, weights=name, by="part", ci=None)  # type: ignore[operator]
            for part in (0, 1):
                alone = statistic(sliced.filter(part=part), weights=name, ci=None)  # type: ignore[operator]
                wanted = alone["value"].item() if isinstance(alone, pl.DataFrame) else alone.value
                assert found.filter(part=part)["value"].item() == pytest.approx(wanted, abs=1e-12)


def test_too_many_values_for_a_table_are_refused() -> None:
    rows = [(i, j, i + 0.25 * j) for i in range(1001) for j in range(2)]
    with pytest.raises(TableError, match="at most 2000; found 2002"):
        fleiss_kappa(rows, weights="linear")
    assert fleiss_kappa(rows, ci=None).value < 0


@pytest.mark.parametrize("statistic", [fleiss_kappa, gwet_ac2, brennan_prediger, conger_kappa])
def test_one_value_only_is_undefined_with_weights_too(statistic: Any) -> None:
    for rows in ([("x", "a", 3), ("x", "b", 3)], [("x", "a", "3"), ("x", "b", "3"), ("y", "a", "3"), ("y", "b", "3")]):
        found = statistic(rows, weights="quadratic", ci="analytic")
        assert math.isnan(found.value)
        assert "only one value is in use" in found.note


def test_ratio_weights_need_a_true_zero_and_order_stands_alone() -> None:
    rows = [("x", "a", -1), ("x", "b", 1), ("y", "a", 2), ("y", "b", 2)]
    with pytest.raises(TableError, match=r"weights 'ratio' need values of at least 0; found -1"):
        fleiss_kappa(rows, weights="ratio")
    with pytest.raises(ValueError, match="give order or categories, not both"):
        gwet_ac2(rows, order=["-1", "1", "2"], categories=["-1", "1", "2", "3"])
