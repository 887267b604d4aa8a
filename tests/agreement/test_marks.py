"""Notes where intervals are known to run short: on every path to an interval, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.agreement import (
    agreement_difference,
    cohen_kappa,
    fleiss_kappa,
    group_agreement,
    gwet_ac1,
    krippendorff_alpha,
    percent_agreement,
    rater_agreement,
)
from dfar_toolkit.agreement.cells import read_cells
from dfar_toolkit.agreement.marks import telling_units
from dfar_toolkit.estimate import Estimate

SHORT = "hold another value than the most frequent: the interval may be too short"


def crowd(n_items: int, n_other: int, n_raters: int = 4) -> pl.DataFrame:
    """Everybody says 0, but on the first ``n_other`` items some say 1."""
    rows = [(i, f"r{r}", int(i < n_other and r <= i % n_raters)) for i in range(n_items) for r in range(n_raters)]
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    return frame.with_columns(group=pl.col("item_id") // 5, side=pl.col("annotator_id").is_in(["r0", "r1"]))


@pytest.mark.parametrize("ci", ["bootstrap", "jackknife", "analytic"])
@pytest.mark.parametrize("statistic", [percent_agreement, krippendorff_alpha, fleiss_kappa, gwet_ac1])
def test_nearly_everybody_the_same(statistic: Any, ci: str) -> None:
    assert f"only 12 items {SHORT}" in statistic(crowd(200, 12), ci=ci, n_boot=200).note
    assert statistic(crowd(200, 30), ci=ci, n_boot=200).note == ""
    assert SHORT not in statistic(crowd(200, 12), ci=None).note


def test_groups_are_what_is_counted() -> None:
    assert f"only 3 groups {SHORT}" in krippendorff_alpha(crowd(400, 12), group="group", n_boot=200).note  # type: ignore[union-attr]


def test_few_units() -> None:
    found = krippendorff_alpha(crowd(40, 40), n_boot=200)
    assert isinstance(found, Estimate)
    assert found.note == "bootstrap over fewer than 50 items runs a little short"
    assert krippendorff_alpha(crowd(40, 40), ci="analytic").note == ""  # type: ignore[union-attr]
    twenty = krippendorff_alpha(crowd(100, 100), group="group", ci="jackknife")
    assert "jackknife over at most 20 groups" in twenty.note  # type: ignore[union-attr]


def test_single_ratings_are_no_units_that_tell() -> None:
    lone = pl.DataFrame({"item_id": range(1000, 1200), "annotator_id": "r0", "value": 1})
    rows = pl.concat([crowd(40, 40).select("item_id", "annotator_id", "value"), lone], how="vertical_relaxed")
    assert "fewer than 50" in percent_agreement(rows, n_boot=200).note  # type: ignore[union-attr]
    # The most frequent value is 1 now; the ten items of which all four said 1 hold no other.
    assert telling_units(read_cells(rows).counts()) == (40, 30.0)


def test_every_other_way_to_an_interval_says_so_too() -> None:
    few = crowd(200, 12, n_raters=12)
    note = f"only 12 items {SHORT}"
    assert note in krippendorff_alpha(few, scope="items+raters", n_boot=100).note  # type: ignore[union-attr]
    difference = agreement_difference(crowd(200, 100), crowd(200, 12), n_boot=100)
    assert f"B: {note}" in difference.note
    assert "A: only" not in difference.note
    groups = group_agreement(few.with_columns(pl.col("side").cast(pl.String)), by_rater="side", n_boot=100)
    # Of the first three raters alone ten items hold another value; what is compared rests on all of them.
    assert groups["note"].str.contains(SHORT, literal=True).all()
    assert groups.filter(comparison="difference")["note"].item().startswith(note)
    kappas = rater_agreement(few, statistic="kappa", n_boot=100)
    assert kappas["note"].str.contains(note, literal=True).all()
    two = few.filter(pl.col("annotator_id").is_in(["r0", "r1"]))
    assert note in cohen_kappa(two, n_boot=100).note  # type: ignore[union-attr]


def test_zero_on_a_slider_is_the_most_frequent_number() -> None:
    rng = np.random.default_rng(0)
    rows = [(i, r, float(rng.uniform(1, 100)) if i < 25 else 0.0) for i in range(300) for r in "abc"]
    for level in ("interval", "ordinal"):
        assert f"only 25 items {SHORT}" in krippendorff_alpha(rows, level=level, ci="analytic").note  # type: ignore[union-attr, arg-type]
    spread = [(i, r, float(rng.uniform(1, 100))) for i in range(300) for r in "abc"]
    assert krippendorff_alpha(spread, level="interval", ci="analytic").note == ""  # type: ignore[union-attr]


def test_an_ordinal_difference_with_nothing_to_compare_is_undefined() -> None:
    a = [("x", "ann", 1), ("x", "bob", 2), ("y", "ann", 1), ("y", "bob", 1)]
    b = [("x", "ann", 1), ("y", "bob", 2)]
    found = agreement_difference(a, b, level="ordinal")
    assert np.isnan(found.value)
    assert "B: no item has two or more ratings" in found.note
