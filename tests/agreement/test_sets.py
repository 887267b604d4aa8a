"""Set-valued ratings: distances and alpha against nltk, hand-worked fractions, and what counts as one rating."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.metrics.agreement import AnnotationTask
from nltk.metrics.distance import jaccard_distance as nltk_jaccard
from nltk.metrics.distance import masi_distance as nltk_masi

from dfar_toolkit.agreement.set_distances import jaccard_distance, masi_distance, set_distance_table
from dfar_toolkit.agreement.sets import set_alpha
from dfar_toolkit.errors import TableError

FEW = settings(max_examples=40)
some = st.frozensets(st.sampled_from(["a", "b", "c", 'q"x', "d e", "😀"]), max_size=4)
full = st.frozensets(st.sampled_from(["a", "b", "c", "d e", "😀"]), min_size=1, max_size=4)
cells = st.dictionaries(st.tuples(st.integers(0, 6), st.integers(0, 4)), full, min_size=1, max_size=24)


def rows_of(rated: dict[tuple[int, int], frozenset[str]]) -> list[tuple[str, str, list[str]]]:
    return [(f"i{i}", f"r{r}", sorted(values)) for (i, r), values in rated.items()]


def nltk_alpha(rated: dict[tuple[Any, Any], frozenset[str]], distance: Any) -> float:
    data = [(rater, item, values) for (item, rater), values in rated.items()]
    return float(AnnotationTask(data=data, distance=distance).alpha())


def naive_alpha(rated: dict[tuple[int, int], frozenset[str]], distance: Any) -> float:
    """From the definition, a rating at a time."""
    items: dict[int, list[frozenset[str]]] = {}
    for (item, _), values in rated.items():
        items.setdefault(item, []).append(values)
    units = [u for u in items.values() if len(u) > 1]
    n = sum(map(len, units))
    observed = sum(sum(distance(a, b) for a in u for b in u) / (len(u) - 1) for u in units)
    everything = [v for u in units for v in u]
    expected = sum(distance(a, b) for a in everything for b in everything)
    return 1 - (n - 1) * observed / expected if expected else math.nan


@pytest.mark.real
def test_the_published_distances(shared_cases: Path) -> None:
    cases = json.loads((shared_cases / "agreement_cases.json").read_text(encoding="utf-8"))["set_distances"]
    ours = {"masi_distance": masi_distance, "jaccard_distance": jaccard_distance}
    assert {case["name"] for case in cases} == set(ours)
    for case in cases:
        a, b = frozenset(case["a"]), frozenset(case["b"])
        assert ours[case["name"]](a, b) == pytest.approx(case["expected"], abs=1e-12)


@FEW
@given(st.lists(some, min_size=1, max_size=8, unique=True))
def test_distances_of_all_pairs_are_those_of_two_sets_and_nltk_s(sets: list[frozenset[str]]) -> None:
    for name, one, theirs in (("jaccard", jaccard_distance, nltk_jaccard), ("masi", masi_distance, nltk_masi)):
        table = set_distance_table(sets, name)  # type: ignore[arg-type]
        assert table.shape == (len(sets), len(sets))
        for i, a in enumerate(sets):
            for j, b in enumerate(sets):
                assert table[i, j] == pytest.approx(one(a, b), abs=1e-12)
                if a or b:  # nltk divides by zero for two empty sets
                    assert one(a, b) == pytest.approx(theirs(a, b), abs=1e-12)


def test_empty_sets_are_equal_and_far_from_all_others() -> None:
    nothing: frozenset[str] = frozenset()
    for distance in (jaccard_distance, masi_distance):
        assert distance(nothing, nothing) == 0.0
        assert distance(nothing, {"a"}) == 1.0
    assert set_distance_table([nothing], "masi").tolist() == [[0.0]]


def test_masi_by_hand() -> None:
    # nested 1 - 1/2 x 2/3; overlapping 1 - 1/3 x 1/3; disjoint 1
    assert masi_distance({1, 2}, {1, 2, 3, 4}) == pytest.approx(2 / 3, abs=1e-12)
    assert masi_distance({1, 2}, {2, 3}) == pytest.approx(8 / 9, abs=1e-12)
    assert masi_distance({1}, {2}) == 1.0


def test_alpha_by_hand() -> None:
    """Items: {a} {a,b}; {b} {b}; {a,b} {b,c}; Jaccard distances 1/2, 0, 2/3.

    Observed: sum of 2 d / (m - 1) = 1 + 0 + 4/3 = 7/3; n = 6. Expected, over {a}, {a,b} twice, {b} twice, {b,c}:
    a-ab 1/2 (2 pairs), a-b 1 (2), a-bc 1 (1), ab-b 1/2 (4), ab-bc 2/3 (2), b-bc 1/2 (2), together
    1 + 2 + 1 + 2 + 4/3 + 1 = 25/3, twice for the order. MASI: a-ab 2/3, a-b 1, a-bc 1, ab-b 2/3, ab-bc 8/9, b-bc 2/3.
    """
    rows = [
        ("x", "ann", ["a"]), ("x", "bob", ["a", "b"]), ("y", "ann", ["b"]), ("y", "bob", ["b"]),
        ("z", "ann", ["a", "b"]), ("z", "bob", ["b", "c"]),
    ]  # fmt: skip
    jaccard = 1 - Fraction(5) * Fraction(7, 3) / (2 * Fraction(25, 3))
    assert set_alpha(rows, ci=None).value == pytest.approx(float(jaccard), abs=1e-12)
    pairs = Fraction(2, 3) * 2 + 2 + 1 + Fraction(2, 3) * 4 + Fraction(8, 9) * 2 + Fraction(2, 3) * 2
    masi = 1 - Fraction(5) * 2 * (Fraction(2, 3) + Fraction(8, 9)) / (2 * pairs)
    assert set_alpha(rows, distance="masi", ci=None).value == pytest.approx(float(masi), abs=1e-12)


@FEW
@given(cells)
def test_alpha_is_the_definition_and_nltk_s(rated: dict[tuple[int, int], frozenset[str]]) -> None:
    for name, ours, theirs in (("jaccard", jaccard_distance, nltk_jaccard), ("masi", masi_distance, nltk_masi)):
        found = set_alpha(rows_of(rated), distance=name, ci=None)  # type: ignore[arg-type]
        expected = naive_alpha(rated, ours)
        assert found.value == pytest.approx(expected, abs=1e-12, nan_ok=True)
        if not math.isnan(expected):
            assert found.value == pytest.approx(nltk_alpha(rated, theirs), abs=1e-12)


@FEW
@given(st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 3)), some, min_size=1, max_size=15))
def test_empty_sets_and_a_distance_of_one_s_own(rated: dict[tuple[int, int], frozenset[str]]) -> None:
    def size_gap(a: frozenset[str], b: frozenset[str]) -> float:
        return abs(len(a) - len(b)) ** 2

    for distance in (masi_distance, size_gap):
        found = set_alpha(rows_of(rated), distance=distance, ci=None)
        assert found.value == pytest.approx(naive_alpha(rated, distance), abs=1e-12, nan_ok=True)


@FEW
@given(cells, st.randoms(use_true_random=False))
def test_order_and_layout_change_nothing(rated: dict[tuple[int, int], frozenset[str]], random: Any) -> None:
    lists = rows_of(rated)
    long = [(i, r, v, f"{i}/{r}") for i, r, values in lists for v in values]
    random.shuffle(long)
    schema = ["item_id", "annotator_id", "value", "rating_id"]
    frame = pl.DataFrame(long, schema=schema, orient="row")
    of_lists = pl.DataFrame(lists, schema=schema[:3], orient="row")
    of_sets = [(i, r, frozenset(v)) for i, r, v in lists]
    expected = repr(set_alpha(lists, n_boot=20))
    for other in (frame, frame.drop("rating_id"), frame.lazy(), frame.to_pandas(), of_lists, of_lists.to_pandas(),
                  of_lists.to_arrow(), of_sets):  # fmt: skip
        assert repr(set_alpha(other, n_boot=20)) == expected


def test_numbers_are_values_too() -> None:
    rows = [("x", "a", [1, 2]), ("x", "b", [2, 3]), ("y", "a", [1]), ("y", "b", [1, 2, 3])]
    as_text = [(i, r, [str(v) for v in values]) for i, r, values in rows]
    as_floats = [(i, r, [float(v) for v in values]) for i, r, values in rows]
    assert repr(set_alpha(rows)) == repr(set_alpha(as_text)) == repr(set_alpha(as_floats))
    seen: list[Any] = []
    set_alpha(rows, distance=lambda a, b: (seen.extend(a), jaccard_distance(a, b))[1], ci=None)
    assert {type(v) for v in seen} == {int}


def test_values_that_look_like_the_text_of_a_set() -> None:
    """A value with quotes and commas is not two values."""
    rows = [("x", "a", ['a", "b']), ("x", "b", ["a", "b"]), ("y", "a", ["c\\"]), ("y", "b", ["c", "\\"])]
    rated = {(i, r): frozenset(v) for i, r, v in rows}
    assert set_alpha(rows, ci=None).value == pytest.approx(naive_alpha(rated, jaccard_distance), abs=1e-12)  # type: ignore[arg-type]


def test_singletons_are_nominal_alpha() -> None:
    from dfar_toolkit.agreement.alpha import krippendorff_alpha

    rows = [(i, r, "abcab"[(i * r + i) % 5]) for i in range(9) for r in range(3) if (i + r) % 4]
    for distance in ("jaccard", "masi"):
        ours = set_alpha([(i, r, [v]) for i, r, v in rows], distance=distance, n_boot=200)  # type: ignore[arg-type]
        plain = krippendorff_alpha(rows, n_boot=200)
        assert (ours.value, ours.low, ours.high) == pytest.approx((plain.value, plain.low, plain.high), abs=1e-12)
        assert (ours.n, ours.note) == (plain.n, plain.note)


def test_what_is_missing_and_what_is_empty() -> None:
    lists = [("x", "a", []), ("x", "b", ["u"]), ("x", "c", None), ("y", "a", ["u"]), ("y", "b", ["u"])]
    found = set_alpha(lists, ci=None)
    assert found.n == 2
    assert found.value == pytest.approx(1 - 3 * 2 / 6, abs=1e-12)  # {} and {u} once apart; 3 of 4 ratings are {u}
    long = pl.DataFrame(
        {"item_id": list("xxyyz"), "annotator_id": list("ababa"), "value": [None, "u", "u", "v", "u"]},
        schema={"item_id": pl.String, "annotator_id": pl.String, "value": pl.String},
    )
    found = set_alpha(long, ci=None)
    assert found.n == 1  # the null of a on x is no rating
    assert found.note == "2 items with one rating left out"
    nan = [("x", "a", 1.0), ("x", "a", math.nan), ("x", "b", 2.0), ("y", "a", 1.0), ("y", "b", 1.0)]
    assert set_alpha(nan, ci=None).note == "1 NaN value taken as missing"


def test_undefined_and_why() -> None:
    one = set_alpha([("x", "a", ["u"]), ("x", "b", ["u"]), ("y", "a", ["u"]), ("y", "b", ["u"])])
    assert math.isnan(one.value)
    assert one.note == "no two sets in use differ, so agreement beyond chance has no meaning"
    for nobody in ([("x", "a", ["u"]), ("y", "b", ["v"])], [("x", "a", None)], []):
        found = set_alpha(nobody)
        assert math.isnan(found.value)
        assert found.note.startswith("no item has two or more ratings")


def test_one_rating_may_have_several_rows_but_not_two_ids() -> None:
    frame = pl.DataFrame(
        {"item_id": ["x"] * 3, "annotator_id": list("aab"), "value": list("uvu"), "rating_id": ["1", "2", "3"]}
    )
    with pytest.raises(TableError, match="rated an item twice"):
        set_alpha(frame)
    lists = [("x", "a", ["u"]), ("x", "a", ["v"]), ("x", "b", ["u"])]
    with pytest.raises(TableError, match=r'rated an item twice, 1 time .*\{"u"\}, \{"v"\}'):
        set_alpha(lists)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("x", "unknown", ["a"])], "nobody knows|needs to know who"),
        ([("x", "a", ["a", None])], "must hold values only"),
        ([("x", "a", [math.nan])], "must hold values only"),
        ([("x", "a", [["a"]])], "texts or numbers"),
        ([(None, "a", ["a"])], "must name one on every row"),
        ([("x", ["a"])], "must be a triple"),
        (pl.DataFrame({"item_id": ["x"], "value": [["a"]]}), 'needs the column "annotator_id"'),
    ],
)
def test_refused(rows: Any, message: str) -> None:
    with pytest.raises(TableError, match=message):
        set_alpha(rows)


def test_questions_are_not_mixed() -> None:
    frame = pl.DataFrame(
        {"item_id": ["x"] * 4, "annotator_id": list("abab"), "value": list("uvuv"), "question": list("ppqq")}
    )
    with pytest.raises(TableError, match="one question"):
        set_alpha(frame)
    assert set_alpha(frame, by="question", ci=None)["question"].to_list() == ["p", "q"]


def test_wrong_distances_are_refused() -> None:
    rows = [("x", "a", ["u"]), ("x", "b", ["v"])]
    for distance in (
        "dice",
        lambda a, b: float("nan"),
        lambda a, b: -1.0,
        lambda a, b: float(min(a) < min(b)),
        lambda a, b: 1.0,
    ):
        with pytest.raises(ValueError, match=r"^set_alpha: distance must be"):
            set_alpha(rows, distance=distance)  # type: ignore[arg-type]


def test_too_many_distinct_sets() -> None:
    rows = [(i, r, [str(i), str(r)]) for i in range(1001) for r in ("a", "b")]
    with pytest.raises(TableError, match="at most 2000 of them; found 2002"):
        set_alpha(rows)


def test_intervals() -> None:
    rng = np.random.default_rng(5)
    truth = [frozenset(np.array(list("abc"))[rng.random(3) < 0.5].tolist()) for _ in range(40)]
    rows = [
        (f"i{i:02}", r, sorted(t ^ ({"a"} if rng.random() < 0.2 else set())), f"g{i // 4}")
        for i, t in enumerate(truth)
        for r in "pqr"
    ]
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "group"], orient="row")
    found = set_alpha(frame, n_boot=300)
    assert found.low < found.value < found.high < 1
    assert found == set_alpha(frame.sample(fraction=1, shuffle=True, seed=3), n_boot=300)
    assert found.low != set_alpha(frame, n_boot=300, seed=1).low
    grouped = set_alpha(frame, group="group", n_boot=300)
    assert (grouped.value, grouped.unit, grouped.n_units) == (pytest.approx(found.value, abs=1e-12), "groups", 10)
    assert grouped.low != found.low
    for ci in ("jackknife", "analytic"):
        other = set_alpha(frame, ci=ci)  # type: ignore[arg-type]
        assert other.high - other.low == pytest.approx(found.high - found.low, rel=0.5)
    raters = set_alpha(frame, scope="items+raters", n_boot=20)
    assert raters.value == pytest.approx(found.value, abs=1e-12)
    assert raters.note == "no interval over raters: 3 of them, 4 needed"
    one = set_alpha([("x", "a", ["u"]), ("x", "b", ["v"])])
    assert one.value == 0.0
    assert math.isnan(one.low)
    assert one.note == "no interval: one unit (items) only"


@pytest.mark.real
def test_varierr_against_nltk(shared_data: Path) -> None:
    rows = [
        (f"{split}:{key}", who, value, f"{split}:{key}/{who}")
        for split in ("train", "dev", "test")
        for key, record in json.loads((shared_data / "lewidi" / f"VariErrNLI_{split}.json").read_text("utf-8")).items()
        for who, values in record["annotations"].items()
        for value in values.split(",")
    ]
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "rating_id"], orient="row")
    rated: dict[tuple[str, str], frozenset[str]] = {}
    for item, who, value, _ in rows:
        rated[item, who] = rated.get((item, who), frozenset()) | {value}
    assert len(rated) < len(rows)
    for name, theirs in (("jaccard", nltk_jaccard), ("masi", nltk_masi)):
        found = set_alpha(frame, distance=name, n_boot=200)  # type: ignore[arg-type]
        assert found.value == pytest.approx(nltk_alpha(rated, theirs), abs=1e-12)
        assert found.low < found.value < found.high
        assert (found.n, found.note) == (485, "3 items with one rating left out")
