"""Agreement value by value: by hand, against the coefficients of recoded ratings, published cases, and edges."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import fleiss_kappa as their_fleiss

from dfar_toolkit.agreement import fleiss_kappa, gwet_ac1, krippendorff_alpha, percent_agreement
from dfar_toolkit.agreement.per_value import value_agreement
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import ESTIMATE_SCHEMA
from dfar_toolkit.metrics.judges import specific_agreement

PUBLIC: dict[str, Callable[..., Any]] = {
    "krippendorff_alpha": krippendorff_alpha,
    "fleiss_kappa": fleiss_kappa,
    "gwet_ac1": gwet_ac1,
    "percent_agreement": percent_agreement,
}
NAMES = ["no", "rather not", "yes 🙂"]


def some(seed: int, items: int = 30, missing: float = 0.25) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, items)
    rows = [
        (i, r, NAMES[truth[i] if rng.random() < 0.6 else rng.integers(0, 3)], i // 3, "ab"[i % 2])
        for i in range(items)
        for r in range(4)
        if rng.random() >= missing
    ]
    return pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "stem", "part"], orient="row")


def test_by_hand() -> None:
    # Items: a a b, b b, a (one rating, no pair). "a": 2 * 1 of 2 * 2 + 0 = 1/2; "b": 0 + 2 of 1 * 2 + 2 * 1 = 1/2.
    rows = [(i, r, v) for i, item in enumerate(["aab", "bb", "a"]) for r, v in enumerate(item)]
    found = value_agreement(rows, statistic="specific_agreement", ci=None)
    assert found.columns == ["category", "n_ratings", "share", *ESTIMATE_SCHEMA]
    shown = found.select("category", "n_ratings", "share", "value", "n").rows()
    assert shown == [("a", 3, 0.5, 0.5, 2), ("b", 3, 0.5, 0.5, 2)]
    assert found["name"].to_list() == ['specific agreement on "a"', 'specific agreement on "b"']
    assert found["note"].to_list() == ["1 item with one rating left out"] * 2
    # Two values: each against the other is the same question twice. Shares of the rated items: 2/3, 0, 1 -> 5/9;
    # p_a = (1/3 + 1) / 2 = 2/3, p_e = (25 + 16) / 81, kappa = (54 - 41) / (81 - 41) = 13/40.
    kappa = value_agreement(rows, statistic="fleiss_kappa", ci=None)["value"].to_list()
    assert kappa == pytest.approx([float(Fraction(13, 40))] * 2, abs=1e-15)


def test_two_raters_both_over_both_and_either() -> None:
    # 7 times both "bad", 5 times one of them, 88 times none: 2 * 7 / (2 * 7 + 5).
    pairs = [("bad", "bad")] * 7 + [("bad", "good")] * 2 + [("good", "bad")] * 3 + [("good", "good")] * 88
    rows = [(i, r, v) for i, pair in enumerate(pairs) for r, v in enumerate(pair)]
    found = value_agreement(rows, statistic="specific_agreement", ci="analytic")
    assert found["value"].to_list() == pytest.approx([14 / 19, 176 / 181], abs=1e-15)
    assert (found["low"] < found["value"]).all()
    assert found["method"].to_list() == ["linearised, t(99)"] * 2


@pytest.mark.parametrize("statistic", list(PUBLIC))
@pytest.mark.parametrize("ci", ["jackknife", "analytic", "bootstrap"])
@pytest.mark.parametrize("group", [None, "stem"])
def test_each_value_against_the_rest_recoded(statistic: Any, ci: Any, group: str | None) -> None:
    frame = some(1)
    found = value_agreement(frame, statistic=statistic, ci=ci, group=group, n_boot=100)
    for row in found.iter_rows(named=True):
        recoded = frame.with_columns((pl.col("value") == row["category"]).cast(pl.Int64))
        own = PUBLIC[statistic](recoded, ci=ci, group=group, n_boot=100)
        assert (row["value"], row["low"], row["high"]) == pytest.approx((own.value, own.low, own.high), abs=1e-12)
        assert (row["n"], row["n_units"], row["unit"], row["note"]) == (own.n, own.n_units, own.unit, own.note)


@pytest.mark.parametrize("seed", range(3))
def test_specific_agreement_equals_that_of_judges(seed: int) -> None:
    frame = some(seed)
    found = value_agreement(frame, statistic="specific_agreement", group="stem")
    for row in found.iter_rows(named=True):
        own = specific_agreement(frame, category=row["category"], group="stem")
        assert (row["value"], row["n"], row["n_units"]) == (pytest.approx(own.value, abs=1e-12), own.n, own.n_units)
        assert (row["low"], row["high"]) == pytest.approx((own.low, own.high), abs=0.02)


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_laws(seed: int) -> None:
    frame = some(seed, items=12, missing=0.0)
    specific = value_agreement(frame, statistic="specific_agreement", n_boot=40)
    # With equally many ratings an item, percent agreement is the mean of specific agreement over ratings.
    mean = (specific["value"] * specific["share"]).sum()
    assert mean == pytest.approx(percent_agreement(frame, ci=None).value, abs=1e-12)  # type: ignore[union-attr]
    assert specific["share"].sum() == pytest.approx(1, abs=1e-12)
    shuffled = value_agreement(
        frame.sample(fraction=1, shuffle=True, seed=seed), statistic="specific_agreement", n_boot=40
    )
    assert shuffled.equals(specific, null_equal=True)
    twice = pl.concat([frame, frame.with_columns(pl.col("item_id") + 100)])
    doubled = value_agreement(twice, statistic="fleiss_kappa", ci=None)["value"].to_list()
    assert doubled == pytest.approx(value_agreement(frame, statistic="fleiss_kappa", ci=None)["value"].to_list())


def test_slices() -> None:
    frame = some(2)
    both = value_agreement(frame, by="part", ci="jackknife")
    assert both.columns == ["part", "category", "n_ratings", "share", *ESTIMATE_SCHEMA]
    for part in "ab":
        alone = value_agreement(frame.filter(part=part), ci="jackknife")
        assert both.filter(part=part).drop("part").equals(alone, null_equal=True)
    rare = pl.concat([frame.filter(part="a"), frame.filter((pl.col("part") == "b") & (pl.col("value") == "no"))])
    assert value_agreement(rare, by="part", ci=None)["category"].to_list() == [*NAMES, "no"]


def test_undefined() -> None:
    one = value_agreement([(i, r, "a") for i in range(3) for r in range(2)])
    assert one.select("category", "n_ratings", "share").row(0) == ("a", 6, 1.0)
    assert np.isnan(one["value"].item())
    assert one["note"].item().startswith("only one value is in use")
    all_alike = value_agreement([(i, r, "a") for i in range(3) for r in range(2)], statistic="specific_agreement")
    assert all_alike["value"].item() == 1.0
    assert np.isnan(all_alike["low"].item())
    singles = [("x", 1, "a"), ("x", 2, "a"), ("y", 1, "b")]
    lonely = value_agreement(singles, statistic="specific_agreement", ci=None).row(1, named=True)
    assert np.isnan(lonely["value"])
    assert lonely["note"] == 'nobody gives "b" on an item with two ratings; 1 item with one rating left out'
    alone = value_agreement([("x", 1, "a"), ("y", 1, "b")], statistic="specific_agreement")
    assert alone["note"].to_list()[0].startswith("no item has two or more ratings")
    nothing = value_agreement([])
    assert (len(nothing), nothing.columns) == (0, ["category", "n_ratings", "share", *ESTIMATE_SCHEMA])
    none = value_agreement(some(0).head(0), by="part")
    assert (len(none), none.columns[:2]) == (0, ["part", "category"])


def test_refusals() -> None:
    with pytest.raises(ValueError, match="statistic must be one of krippendorff_alpha"):
        value_agreement(some(3), statistic="cohen_kappa")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='by cannot be "share"'):
        value_agreement(some(3).rename({"part": "share"}), by="share")
    with pytest.raises(TableError, match="takes at most 500; found 501"):
        value_agreement([(i, r, i) for i in range(501) for r in range(2)])


def test_numbers_stay_numbers() -> None:
    found = value_agreement([(i, r, i % 3) for i in range(6) for r in range(2)], ci=None)
    assert found["category"].to_list() == [0, 1, 2]


@pytest.mark.real
def test_published_categories(shared_cases: Path) -> None:
    read = json.loads((shared_cases / "agreement_cases.json").read_text(encoding="utf-8"))
    values = np.array(read["datasets"]["fleiss1971"]["values"])
    rows = [(i, r, int(v)) for r, row in enumerate(values) for i, v in enumerate(row)]
    found = value_agreement(rows, statistic="fleiss_kappa", ci=None)
    cases = [case for case in read["cases"] if case["statistic"] == "fleiss_kappa_category"]
    assert len(cases) == 5
    for case in cases:
        category = case["params"]["category"]
        own = found.filter(category=category)["value"].item()
        assert own == pytest.approx(case["expected"], abs=case["tol"])
        table = np.stack([(values == category).sum(axis=0), (values != category).sum(axis=0)], axis=1)
        assert own == pytest.approx(their_fleiss(table), abs=1e-12)
