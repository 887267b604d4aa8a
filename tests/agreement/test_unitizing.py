"""Unitizing alpha: by hand, against the published equations a segment at a time, and against alpha of characters."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import krippendorff
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.agreement.spans.unitizing import unitizing_alpha
from dfar_toolkit.errors import TableError

FEW = settings(max_examples=25)
COLUMNS = ["item_id", "annotator_id", "label", "start", "end"]
Unit = tuple[str, int, int]
Continuum = dict[str, list[Unit]]  # rater -> units without overlap


@st.composite
def continua(draw: Any, label: str = "uv") -> tuple[list[Continuum], list[int]]:
    """Items with a length each; every rater cuts what he was shown into units and gaps."""
    items, lengths = [], []
    for _ in range(draw(st.integers(1, 3))):
        length = draw(st.integers(1, 14))
        raters = {}
        for rater in draw(st.lists(st.sampled_from("abcd"), max_size=4, unique=True)):
            cuts = sorted(draw(st.sets(st.integers(0, length), max_size=6)))
            pieces = [(draw(st.sampled_from([*label, None])), s, e) for s, e in pairwise(cuts)]
            raters[rater] = [(v, s, e) for v, s, e in pieces if v is not None]
        items.append(raters)
        lengths.append(length)
    return items, lengths


def frames(items: list[Continuum], lengths: list[int]) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows: list[Any] = [
        (f"i{k}", rater, *unit)
        for k, raters in enumerate(items)
        for rater, units in raters.items()
        for unit in (units or [("", None, None)])
    ]
    schema = dict.fromkeys(COLUMNS[:3], pl.String) | dict.fromkeys(COLUMNS[3:], pl.Int64)
    texts = pl.DataFrame({"item_id": [f"i{k}" for k in range(len(items))], "length": lengths})
    return pl.DataFrame(rows, schema=schema, orient="row"), texts


def naive(items: list[Continuum], lengths: list[int], *, labelled: bool) -> float:
    """Equations 1 and 4 to 6, a segment at a time: units and gaps, intersections of two, expected coincidences."""
    observed: dict[tuple[str, str], Fraction] = {}
    own: dict[str, int] = {}
    for raters, length in zip(items, lengths, strict=True):
        if len(raters) < 2:
            continue
        cut = {rater: segments(units, length) for rater, units in raters.items()}
        for i, first in cut.items():
            for c, start, end in first:
                own[c] = own.get(c, 0) + (end - start) ** (1 if c == "gap" else 2)
                for j, second in cut.items():
                    for k, s, e in second if i != j else []:
                        common = max(0, min(end, e) - max(start, s))
                        observed[c, k] = observed.get((c, k), Fraction(0)) + Fraction(common, len(raters) - 1)
    total = sum(observed.values())
    margin = {c: sum(n for (a, _), n in observed.items() if a == c) for c in own}
    if not total:
        return math.nan
    scale = total - Fraction(sum(own.values())) / total
    expected = {(c, k): (margin[c] * margin[k] - (own[c] if c == k else 0)) / scale for c in own for k in own}
    apart = [
        pair for pair in expected if (pair[0] != pair[1] if labelled else (pair[0] == "gap") != (pair[1] == "gap"))
    ]
    chance = sum(expected[pair] for pair in apart)
    return float(1 - sum(observed.get(pair, Fraction(0)) for pair in apart) / chance) if chance else math.nan


def segments(units: list[Unit], length: int) -> list[Unit]:
    found, at = [], 0
    for value, start, end in sorted(units, key=lambda unit: unit[1]):
        found += ([("gap", at, start)] if start > at else []) + [(value, start, end)]
        at = end
    return found + ([("gap", at, length)] if at < length else [])


@FEW
@given(continua())
def test_the_equations(cut: tuple[list[Continuum], list[int]]) -> None:
    ratings, texts = frames(*cut)
    for label in (None, "label"):
        found = unitizing_alpha(ratings, texts=texts, label=label, ci=None)
        expected = naive(*cut, labelled=label is not None)
        assert found.value == pytest.approx(expected, abs=1e-12, nan_ok=True)


@FEW
@given(continua())
def test_units_of_one_character_are_alpha_of_characters(cut: tuple[list[Continuum], list[int]]) -> None:
    """Then a unit has no part to be paired with, and the krippendorff package gives the number."""
    items = [
        {r: [(v, p, p + 1) for v, s, e in units for p in range(s, e)] for r, units in one.items()} for one in cut[0]
    ]
    ratings, texts = frames(items, cut[1])
    columns = []
    for raters, length in zip(items, cut[1], strict=True):
        at = {r: {s: v for v, s, _ in units} for r, units in raters.items()}
        columns += [[{"u": 1.0, "v": 2.0}.get(at[r].get(p, ""), 0.0) if r in at else np.nan for r in "abcd"]
                    for p in range(length)]  # fmt: skip
    cells = np.array(columns).T
    for label, codes in (("label", cells), (None, np.where(np.isnan(cells), np.nan, cells > 0))):
        found = unitizing_alpha(ratings, texts=texts, label=label, ci=None)
        pairable = codes[:, (~np.isnan(codes)).sum(axis=0) > 1]
        if len(np.unique(pairable[~np.isnan(pairable)])) < 2:
            assert math.isnan(found.value)
        else:
            theirs = krippendorff.alpha(reliability_data=codes, level_of_measurement="nominal")
            assert found.value == pytest.approx(theirs, abs=1e-12)


def test_by_hand() -> None:
    """Ten characters; ann 0-4, bob 2-6.

    Twice 4 differing characters over m - 1 = 1: D_o = 8. l = 20, marked 8, gap 12; Q = 16 + 16 + 12 = 44, so
    D_e = (400 - 64 - 144) / (20 - 44 / 20) = 192 / (89 / 5) and alpha = 1 - 8 x 89 / (5 x 192) = 31 / 120.
    """
    rows = [("x", "ann", [(0, 4)]), ("x", "bob", [(2, 6)])]
    texts = pl.DataFrame({"item_id": ["x"], "text": ["0123456789"]})
    assert unitizing_alpha(rows, texts=texts, ci=None).value == pytest.approx(float(Fraction(31, 120)), abs=1e-12)
    # a third rater who marked nothing: pairs differ by 4, 4, 4 (twice, over m - 1 = 2): D_o = 12; l = 30, 8 and 22;
    # Q = 16 + 16 + 22 = 54; 1 - (30 - 54 / 30) 12 / (900 - 64 - 484)
    rows.append(("x", "cy", []))
    expected = 1 - (30 - Fraction(54, 30)) * 12 / 352
    assert unitizing_alpha(rows, texts=texts, ci=None).value == pytest.approx(float(expected), abs=1e-12)


def test_three_raters_and_two_labels() -> None:
    """Other programs give .474 and .433 here.

    l = 60: 11 of "1", 21 of "2", 28 gap; Q = 9 + 4 + 64 + 9 + 64 + 9 + 25 + 28 = 212. Alex and Paul differ on 10
    characters (8 without the labels), Alex and Susan on 8 (7), Paul and Susan on 3 (3); twice, over m - 1 = 2.
    Nominal: 1 - 21 (60 - 212 / 60) / (3600 - 121 - 441 - 784); binary: 1 - 18 (60 - 212 / 60) / (3600 - 784 - 1024).
    """
    rows = [
        ("x", "alex", "1", 2, 5), ("x", "alex", "1", 9, 11), ("x", "alex", "2", 12, 20), ("x", "paul", "1", 2, 5),
        ("x", "paul", "2", 7, 15), ("x", "susan", "1", 2, 5), ("x", "susan", "2", 10, 15),
    ]  # fmt: skip
    ratings = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    texts = pl.DataFrame({"item_id": ["x"], "length": [20]})
    nominal = unitizing_alpha(ratings, texts=texts, label="label", ci=None)
    assert nominal.value == pytest.approx(float(Fraction(109, 230)), abs=1e-12)
    assert nominal.name == "unitizing alpha (nominal)"
    binary = unitizing_alpha(ratings, texts=texts, ci=None)
    assert binary.value == pytest.approx(float(Fraction(277, 640)), abs=1e-12)
    assert binary.name == "unitizing alpha (binary)"


def test_code_points_and_words() -> None:
    """Emoji are one character each; as words the same marks are 2 of 5 and 2 of 5, one of them common."""
    texts = pl.DataFrame({"item_id": ["x"], "text": ["😀 no 🚗 way  oh"]})
    rows = [("x", "ann", [(0, 4)]), ("x", "bob", [(2, 6)])]
    found = unitizing_alpha(rows, texts=texts, ci=None)
    assert len(texts["text"][0]) == 14
    expected = 1 - (28 - Fraction(16 + 16 + 20, 28)) * 8 / (28**2 - 64 - 400)
    assert found.value == pytest.approx(float(expected), abs=1e-12)
    words = unitizing_alpha(rows, texts=texts, measure="token", ci=None)
    # ann: words 0, 1; bob: 1, 2; l = 10, marked 4, Q = 4 + 4 + 6
    assert words.value == pytest.approx(float(1 - (10 - Fraction(14, 10)) * 4 / (100 - 16 - 36)), abs=1e-12)
    given_words = pl.DataFrame({"item_id": ["x"], "tokens": [[(0, 1), (2, 4), (5, 6), (7, 10), (12, 14)]]})
    assert unitizing_alpha(rows, texts=given_words, measure="token", ci=None).value == words.value


def test_overlapping_spans_are_one_unit_and_touching_ones_two() -> None:
    texts = pl.DataFrame({"item_id": ["x"], "length": [10]})

    def alpha(spans: list[tuple[int, int]]) -> float:
        return unitizing_alpha([("x", "a", spans), ("x", "b", [(1, 3)])], texts=texts, ci=None).value

    assert alpha([(0, 3), (2, 4)]) == alpha([(0, 4)])
    # Q falls from 16 + 4 + 14 to 4 + 4 + 4 + 14, which the expectation feels
    assert alpha([(0, 2), (2, 4)]) == pytest.approx(1 - (20 - 26 / 20) * 4 / (400 - 36 - 196), abs=1e-12)
    assert alpha([(0, 4)]) == pytest.approx(1 - (20 - 34 / 20) * 4 / (400 - 36 - 196), abs=1e-12)


def test_fields_are_parts_of_the_continuum() -> None:
    ratings = pl.DataFrame(
        [("x", "a", "s", 0, 2), ("x", "b", "t", 0, 2)],
        schema=["item_id", "annotator_id", "field", "start", "end"],
        orient="row",
    )
    texts = pl.DataFrame({"item_id": ["x", "x", "w"], "field": ["s", "t", "t"], "text": ["abc", "defgh", "not rated"]})
    found = unitizing_alpha(ratings, texts=texts, ci=None)
    assert found.value == pytest.approx(1 - (16 - 20 / 16) * 8 / (256 - 16 - 144), abs=1e-12)


def test_perfect_and_undefined() -> None:
    texts = pl.DataFrame({"item_id": ["x", "y"], "text": ["abc def", "ghi"]})
    same = [("x", r, [(0, 3)]) for r in "ab"] + [("y", r, []) for r in "ab"]
    assert unitizing_alpha(same, texts=texts, ci=None).value == pytest.approx(1, abs=1e-12)
    one_value = "all text is marked, or none, so agreement beyond chance has no meaning"
    cases: dict[str, list[Any]] = {
        one_value: [("x", "a", []), ("x", "b", [])],
        f"{one_value}; 1 item with one rater left out": [("x", "a", [(0, 7)]), ("x", "b", [(0, 7)]), ("y", "b", [])],
        "no item has two or more raters; 2 items with one rater left out": [("x", "a", [(0, 1)]), ("y", "b", [])],
        "no item has two or more raters": [],
    }
    for note, rows in cases.items():
        found = unitizing_alpha(rows, texts=texts)
        assert math.isnan(found.value)
        assert found.note == note


def test_refused() -> None:
    texts = pl.DataFrame({"item_id": ["x"], "text": ["abc def"]})
    rows = [("x", "a", [(0, 3)]), ("x", "b", [(2, 8)])]
    with pytest.raises(TableError, match=r'inside their text; 1 do not \(e.g. 2 to 8 .* by rater "b" on item "x"'):
        unitizing_alpha(rows, texts=texts)
    with pytest.raises(TableError, match="items without a text: 1"):
        unitizing_alpha([("y", "a", [])], texts=texts)
    with pytest.raises(TableError, match="length of every text must be known"):
        unitizing_alpha([("x", "a", [(0, 1)])], texts=pl.DataFrame({"item_id": ["x"], "tokens": [[(0, 1)]]}))
    with pytest.raises(ValueError, match=r"^unitizing_alpha: measure must be one of character, token"):
        unitizing_alpha(rows, texts=texts, measure="word")  # type: ignore[arg-type]
    torn = pl.DataFrame(
        [("x", "a", "u", 0, 3), ("x", "a", "v", 2, 5), ("x", "b", "u", 0, 1)], schema=COLUMNS, orient="row"
    )
    with pytest.raises(TableError, match=r'one label per piece .* at 2, by rater "a" on item "x"'):
        unitizing_alpha(torn, texts=texts, label="label")
    assert unitizing_alpha(torn, texts=texts, ci=None).n == 1
    for bad in ((3, 3), (4, 2), (-1, 2)):
        with pytest.raises(TableError, match="a span must start at 0 or later and end after its start"):
            unitizing_alpha([("x", "a", [bad])], texts=texts)


def many() -> tuple[pl.DataFrame, pl.DataFrame]:
    rng = np.random.default_rng(2)
    rows = []
    for i in range(30):
        at = int(rng.integers(0, 40))
        rows += [(f"i{i:02}", r, f"g{i // 3}", i % 2, at + int(rng.integers(0, 4)), at + 9) for r in "pqr"]
    ratings = pl.DataFrame(rows, schema=["item_id", "annotator_id", "group", "half", "start", "end"], orient="row")
    return ratings, pl.DataFrame({"item_id": [f"i{i:02}" for i in range(30)], "length": [60] * 30})


def test_intervals_and_slices() -> None:
    ratings, texts = many()
    found = unitizing_alpha(ratings, texts=texts, n_boot=300)
    assert found.low < found.value < found.high <= 1
    assert found == unitizing_alpha(ratings.sample(fraction=1, shuffle=True, seed=4), texts=texts, n_boot=300)
    grouped = unitizing_alpha(ratings, texts=texts, group="group", n_boot=300)
    assert (grouped.value, grouped.unit, grouped.n_units) == (pytest.approx(found.value, abs=1e-12), "groups", 10)
    assert grouped.low != found.low
    jackknife = unitizing_alpha(ratings, texts=texts, ci="jackknife")
    assert jackknife.high - jackknife.low == pytest.approx(found.high - found.low, rel=0.3)
    sliced = unitizing_alpha(ratings, texts=texts, by="half", n_boot=50)
    for row in sliced.iter_rows(named=True):
        alone = unitizing_alpha(ratings.filter(half=row["half"]), texts=texts, n_boot=50)
        assert [row[k] for k in ("half", "value", "low", "high")] == [row["half"], alone.value, alone.low, alone.high]
    one = unitizing_alpha(ratings.filter(item_id="i00"), texts=texts)
    assert one.note == "no interval: one unit (items) only"


def test_where_the_texts_come_from_does_not_matter() -> None:
    ratings, texts = many()
    expected = repr(unitizing_alpha(ratings, texts=texts, n_boot=20))
    beside = ratings.with_columns(text=pl.lit("x" * 60))
    for own in (texts.to_pandas(), texts.lazy(), texts.with_columns(text=pl.lit("y" * 60)), beside):
        assert repr(unitizing_alpha(ratings, texts=own, n_boot=20)) == expected
