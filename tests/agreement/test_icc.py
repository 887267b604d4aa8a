"""Intraclass correlations and Cronbach's alpha: published values, pingouin, definitions, missing cells, refusals."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfar_toolkit.agreement.continuous.cronbach import cronbach_alpha
from dfar_toolkit.agreement.continuous.icc import Form, icc
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import ESTIMATE_SCHEMA

FORMS = get_args(Form)
# Shrout and Fleiss (1979), table 2: 6 targets by 4 judges.
SHROUT = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)
# Twelve items rated 1 to 5 by three raters, with many ties.
LIKERT = np.array(
    [[3, 2, 3], [4, 2, 3], [1, 1, 1], [2, 1, 2], [3, 2, 1], [1, 2, 2], [2, 3, 2], [4, 5, 4], [2, 3, 2], [2, 2, 2],
     [2, 4, 5], [2, 4, 4]], dtype=float,
)  # fmt: skip
# pingouin 0.7.0, intraclass_corr without rounding: value, low, high.
PINGOUIN = {
    "shrout": {
        "1": (0.1657417684054755, -0.13293232487475096, 0.722560062328121),
        "A,1": (0.28976377952755916, 0.018786513374712058, 0.7610843696489527),
        "C,1": (0.7148407148407154, 0.34246476503392614, 0.9458582599553597),
        "1,k": (0.44279713367926876, -0.8844421552381196, 0.9124154203407755),
        "A,k": (0.6200505475989893, 0.07113681530250353, 0.9272320401677219),
        "C,k": (0.9093155423770697, 0.6756747138163055, 0.9858916781690623),
    },
    "likert": {
        "1": (0.5177890724269377, 0.17402538330177392, 0.8050972610904734),
        "A,1": (0.5134615384615384, 0.15683787857106007, 0.8050527398780909),
        "C,1": (0.5, 0.1455983335920299, 0.7971353581684626),
        "1,k": (0.7631086142322098, 0.387282261795457, 0.9253301862166672),
        "A,k": (0.7599620493358634, 0.35816572937052205, 0.9253105816474053),
        "C,k": (0.75, 0.3382869642381323, 0.9218028247576338),
    },
}
TABLES = {"shrout": SHROUT, "likert": LIKERT}


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


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("form", FORMS)
def test_values_and_limits_equal_pingouin(name: str, form: Form) -> None:
    found = icc(long(TABLES[name]), form=form)
    value, low, high = PINGOUIN[name][form]
    assert found.value == pytest.approx(value, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-10)
    assert found.n == found.n_units == len(TABLES[name])
    assert found.scope == ("items+raters" if form[0] == "A" else "items")
    n_raters = TABLES[name].shape[1]
    assert found.note == (f"limits over {n_raters} raters may run short" if form[0] == "A" else "")


@pytest.mark.real
def test_every_published_case(shared_cases: Path) -> None:
    read = json.loads((shared_cases / "agreement_cases.json").read_text(encoding="utf-8"))
    rows = long(np.array(read["datasets"]["shrout_fleiss1979"]["values"], dtype=float).T)
    names = {"1": "icc_1_1", "A,1": "icc_2_1", "C,1": "icc_3_1", "1,k": "icc_1_k", "A,k": "icc_2_k", "C,k": "icc_3_k"}
    estimates = {names[form]: icc(rows, form=form) for form in FORMS} | {"cronbach_alpha": cronbach_alpha(rows)}
    ends = {"": "value", "_ci_low": "low", "_ci_high": "high"}
    found = {name + end: e.as_row()[part] for name, e in estimates.items() for end, part in ends.items()}
    cases = [case for case in read["cases"] if case["statistic"] in found]
    assert len(cases) == 13
    assert {case["dataset"] for case in cases} == {"shrout_fleiss1979"}
    for case in cases:
        assert found[case["statistic"]] == pytest.approx(case["expected"], abs=case["tol"]), case["id"]


def test_by_hand() -> None:
    # Items (1, 2), (3, 4), (5, 9): grand mean 4, item means 3/2, 7/2, 7, rater means 3, 5.
    # Items: 2 ((5/2)^2 + (1/2)^2 + 3^2) = 31, MS 31/2. Raters: 3 (1 + 1) = 6. Within: 1/2 + 1/2 + 8 = 9, MS 3.
    # Error: 9 - 6 = 3 on 2 degrees of freedom, MS 3/2.
    items, raters, within, error = Fraction(31, 2), Fraction(6), Fraction(3), Fraction(3, 2)
    expected = {
        "1": (items - within) / (items + within),
        "1,k": (items - within) / items,
        "A,1": (items - error) / (items + error + Fraction(2, 3) * (raters - error)),
        "A,k": (items - error) / (items + (raters - error) / 3),
        "C,1": (items - error) / (items + error),
        "C,k": (items - error) / items,
    }
    rows = long(np.array([[1, 2], [3, 4], [5, 9.0]]))
    for form in FORMS:
        assert icc(rows, form=form, ci=None).value == pytest.approx(float(expected[form]), abs=1e-14)
    assert cronbach_alpha(rows, ci=None).value == pytest.approx(float(expected["C,k"]), abs=1e-14)


def test_missing_cells_refused_dropped_or_without_f() -> None:
    table = SHROUT.copy()
    table[2, 1] = np.nan
    with pytest.raises(TableError, match=r'icc needs a rating of every item .*; 1 of 6 items lack .*incomplete="drop"'):
        icc(long(table), incomplete="refuse")
    dropped = icc(long(table), incomplete="drop")
    whole = icc(long(np.delete(SHROUT, 2, axis=0)))
    assert (dropped.value, dropped.low, dropped.high) == (whole.value, whole.low, whole.high)
    assert "1 item without a rating by every rater left out" in dropped.note
    plain = icc(long(table))
    assert np.isnan(plain.low)
    assert "no analytic interval: cells are missing" in plain.note
    with pytest.raises(TableError, match="cronbach_alpha needs a rating of every item"):
        cronbach_alpha(long(table))
    assert cronbach_alpha(long(table), incomplete="drop").n == 5


def test_cronbach_is_its_definition_and_has_feldts_limits() -> None:
    from scipy.stats import f

    found = cronbach_alpha(long(LIKERT))
    k, spread = 3, LIKERT.var(axis=0, ddof=1).sum() / LIKERT.sum(axis=1).var(ddof=1)
    alpha = k / (k - 1) * (1 - spread)
    assert found.value == pytest.approx(alpha, abs=1e-12)
    low, high = (1 - (1 - alpha) * f.ppf(p, 11, 22) for p in (0.975, 0.025))
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found.name == "Cronbach's alpha"


def test_groups_have_no_analytic_interval_but_a_bootstrap() -> None:
    rows = long(holes(1, share=0)).with_columns(context=pl.col("item_id") // 3)
    found = icc(rows, group="context")
    assert np.isnan(found.low)
    assert found.note == 'no analytic interval: items come in groups; ask for ci="bootstrap"'
    drawn = icc(rows, group="context", ci="bootstrap", n_boot=300)
    alone = icc(rows, ci="bootstrap", n_boot=300)
    assert drawn.value == pytest.approx(alone.value, abs=1e-14)
    assert (drawn.unit, drawn.n_units, alone.n_units) == ("groups", 5, 15)
    assert (drawn.low, drawn.high) != (alone.low, alone.high)
    assert "too short below 100 groups" in drawn.note


def test_jackknife_leaves_out_one_item() -> None:
    found = icc(long(SHROUT), ci="jackknife")
    left = np.array([icc(long(np.delete(SHROUT, i, axis=0)), ci=None).value for i in range(6)])
    half = 1.959963984540054 * np.sqrt(5 / 6 * ((left - left.mean()) ** 2).sum())
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_undefined(form: Form) -> None:
    one_item = icc([("x", "a", 1), ("x", "b", 2)], form=form)
    one_rater = icc([("x", "a", 1), ("y", "a", 2)], form=form)
    equal = icc(long(np.full((5, 3), 0.1)), form=form)
    empty = icc([], form=form)
    for found, why in ((one_item, "fewer than two items"), (one_rater, "no item has two"), (equal, "same number")):
        assert np.isnan([found.value, found.low, found.high]).all()
        assert why in found.note
    assert np.isnan(empty.value)
    assert empty.n == 0


def test_perfect_agreement_has_no_interval() -> None:
    table = np.repeat([[1.0], [2.0], [4.0]], 3, axis=1)
    for form in FORMS:
        found = icc(long(table), form=form)
        assert found.value == pytest.approx(1.0, abs=1e-14)
        assert np.isnan(found.low)
        assert "claim certainty" in found.note
        assert np.isnan(icc(long(table), form=form, ci="bootstrap", n_boot=200).low)
    shifted = icc(long(table + np.array([0.0, 0.1, 0.3])), form="C,1")
    assert shifted.value == pytest.approx(1.0, abs=1e-12)
    assert "claim certainty" in shifted.note


def test_two_items_and_a_rater_without_variation() -> None:
    assert icc(long(np.array([[1, 1], [2, 1.0]])), form="C,1", ci=None).value == pytest.approx(0.0, abs=1e-14)
    found = icc(long(np.array([[1, 3], [3, 1.0]])), form="1", ci=None)  # item means equal: MS 0 and 2
    assert found.value == pytest.approx(-1.0, abs=1e-14)
    means = icc(long(np.array([[1, 3], [3, 1.0]])), form="1,k", ci=None)
    assert np.isnan(means.value)
    assert "means do not differ" in means.note


@given(st.integers(0, 10_000), st.sampled_from(FORMS))
def test_row_order_names_and_units_of_measurement_do_not_matter(seed: int, form: Form) -> None:
    rows = long(holes(seed, n=6, k=3, share=0.2))
    usual = icc(rows, form=form, ci=None).value
    shuffled = rows.sample(fraction=1, shuffle=True, seed=seed)
    assert icc(shuffled, form=form, ci="bootstrap", n_boot=20) == icc(rows, form=form, ci="bootstrap", n_boot=20)
    renamed = rows.with_columns(
        item_id=pl.format("an item 🙂 {}", 50 - pl.col("item_id")),
        annotator_id="annotator_id",
        value=3 * pl.col("value") - 7,
    )
    assert icc(renamed, form=form, ci=None).value == pytest.approx(usual, abs=1e-8, nan_ok=True)


def test_a_large_offset_costs_no_digits() -> None:
    for form in FORMS:
        far = icc(long(LIKERT + 2.0**40), form=form)
        near = icc(long(LIKERT), form=form)
        assert (far.value, far.low, far.high) == pytest.approx((near.value, near.low, near.high), abs=1e-12)


def test_by_words_and_text() -> None:
    rows = long(LIKERT).with_columns(part=pl.col("item_id") % 2)
    found = icc(rows, by="part")
    assert found.columns == ["part", *ESTIMATE_SCHEMA]
    assert found["value"].to_list() == [icc(rows.filter(part=p)).value for p in (0, 1)]
    text = rows.with_columns(pl.col("value").cast(pl.Int64).cast(pl.String))
    assert icc(text) == icc(rows)
    words = ["very bad", "bad", "so so", "good 🙂", "very good"]
    named = rows.with_columns(value=pl.col("value").cast(pl.Int64).map_elements(lambda v: words[v - 1], pl.String))
    assert icc(named, order=words).value == pytest.approx(icc(rows).value, abs=1e-14)
    with pytest.raises(TableError, match='icc reads every value as a number; 5 of 5 distinct values are not: "bad"'):
        icc(named)
    with pytest.raises(ValueError, match="icc: order names a value twice: bad, bad"):
        icc(named, order=["bad", "bad"])
    with pytest.raises(TableError, match='not: "inf"'):
        icc(rows.with_columns(value=pl.when(pl.col("item_id") == 0).then(float("inf")).otherwise("value")))


def test_nan_is_missing_and_counted() -> None:
    table = SHROUT.copy()
    rows = pl.concat([long(table), pl.DataFrame({"item_id": [7], "annotator_id": ["r0"], "value": [float("nan")]})])
    found = icc(rows)
    assert found.value == icc(long(table)).value
    assert "1 NaN value taken as missing" in found.note


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"form": "2,1"}, 'icc: form must be one of "1", "1,k", "A,1"'),
        ({"ci": "normal"}, "icc: ci must be one of"),
        ({"incomplete": "guess"}, "icc: incomplete must be one of"),
        ({"confidence": 1.0}, "confidence must lie between 0 and 1"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        icc(long(SHROUT), **arguments)
    with pytest.raises(ValueError, match="cronbach_alpha: incomplete must be one of"):
        cronbach_alpha(long(SHROUT), incomplete="components")  # type: ignore[arg-type]
