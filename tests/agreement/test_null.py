"""Tests against no agreement: published standard errors, every arrangement of small data, groups, and refusals."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import chain, permutations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm, t
from statsmodels.stats.inter_rater import cohens_kappa

from dfar_toolkit.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha, light_kappa
from dfar_toolkit.agreement.cells import read_cells
from dfar_toolkit.agreement.null_test import agreement_test
from dfar_toolkit.agreement.permuted_ratings import ShuffledRatings
from dfar_toolkit.errors import TableError

Triples = list[tuple[Any, Any, Any]]


def two(first: str, second: str) -> Triples:
    return [(i, who, v) for i, pair in enumerate(zip(first, second, strict=True)) for who, v in enumerate(pair)]


def of_table(table: np.ndarray) -> Triples:
    pairs = [(a, b) for a, row in enumerate(table) for b, n in enumerate(row) for _ in range(n)]
    return [(i, who, v) for i, pair in enumerate(pairs) for who, v in zip(("ann", "bob"), pair, strict=True)]


def panel(seed: int, items: int = 40, raters: int = 4, missing: float = 0.2, follow: float = 0.5) -> Triples:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, items)
    return [
        (i, r, int(truth[i] if rng.random() < follow else rng.integers(0, 3)))
        for i in range(items)
        for r in range(raters)
        if rng.random() >= missing
    ]


def test_fleiss_by_hand() -> None:
    # Two values, each half of 4 * 3 ratings: sum p q = 1/2, sum p q (q - p) = 0, so s0^2 = 2 / (4 * 3 * 2) = 1/12.
    # Items aaa, bbb, aab, abb: p_a = (1 + 1 + 1/3 + 1/3) / 4 = 2/3, kappa = (2/3 - 1/2) / (1/2) = 1/3, z = sqrt(12)/3.
    rows = [(i, r, v) for i, item in enumerate(["aaa", "bbb", "aab", "abb"]) for r, v in enumerate(item)]
    found = agreement_test(rows, statistic="fleiss_kappa", test="analytic", ci=None).row(0, named=True)
    assert found["value"] == pytest.approx(float(Fraction(1, 3)), abs=1e-15)
    assert found["se_null"] == pytest.approx(12**-0.5, abs=1e-15)
    assert found["z"] == pytest.approx(12**0.5 / 3, abs=1e-14)
    assert found["p"] == pytest.approx(2 * norm.sf(12**0.5 / 3), abs=1e-15)
    assert (found["null"], found["test"]) == (0.0, "Fleiss, Nee and Landis, normal")
    assert np.isnan(found["smallest_p"])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("weights", "theirs"), [(None, None), ("linear", "linear"), ("quadratic", "quadratic")])
def test_cohen_equals_statsmodels(seed: int, weights: Any, theirs: Any) -> None:
    table = np.random.default_rng(seed).integers(0, 9, (4, 4)) + np.diag([3, 0, 2, 5])
    expected = cohens_kappa(table, wt=theirs)
    found = agreement_test(of_table(table), statistic="cohen_kappa", weights=weights, test="analytic", ci=None)
    row = found.row(0, named=True)
    assert row["se_null"] == pytest.approx(expected.std_kappa0, abs=1e-12)
    assert row["z"] == pytest.approx(expected.z_value, abs=1e-10)
    assert row["p"] == pytest.approx(expected.pvalue_two_sided, abs=1e-12)
    greater = agreement_test(
        of_table(table), statistic="cohen_kappa", weights=weights, test="analytic", alternative="greater", ci=None
    )
    assert greater["p"].item() == pytest.approx(expected.pvalue_one_sided, abs=1e-12)


@pytest.mark.parametrize("statistic", ["krippendorff_alpha", "gwet_ac1", "fleiss_kappa", "conger_kappa"])
def test_elsewhere_the_linearised_error_of_the_interval(statistic: Any) -> None:
    rows = panel(1)
    found = agreement_test(rows, statistic=statistic, test="analytic", ci=None).row(0, named=True)
    df = int(found["test"].removeprefix("linearised, t(").removesuffix(")"))
    if statistic == "krippendorff_alpha":
        given = krippendorff_alpha(rows, ci="analytic")
        assert given.method == found["test"]
        assert found["se_null"] == pytest.approx((given.value - given.low) / t.ppf(0.975, df), abs=1e-12)
    assert found["p"] == pytest.approx(2 * t.sf(abs(found["value"] / found["se_null"]), df), abs=1e-15)
    assert ("unequal numbers of ratings" in found["test_note"]) == (statistic == "fleiss_kappa")


def test_groups_leave_no_published_error() -> None:
    frame = pl.DataFrame(panel(2, missing=0), schema=["item_id", "annotator_id", "value"], orient="row")
    frame = frame.with_columns((pl.col("item_id") // 4).alias("stem"))
    found = agreement_test(frame, statistic="fleiss_kappa", test="analytic", group="stem", ci=None)
    assert found["test"].item() == "linearised, t(9)"


@pytest.mark.parametrize(("alternative", "sides"), [("greater", 1), ("two-sided", 2)])
def test_every_arrangement_of_small_data(alternative: Any, sides: int) -> None:
    first, second = "aabbc", "abbbc"
    values = [cohen_kappa(two(first, "".join(s)), ci=None).value for s in permutations(second)]  # first may stay
    real = cohen_kappa(two(first, second), ci=None).value
    above = np.mean([v >= real - 1e-12 for v in values])
    below = np.mean([v <= real + 1e-12 for v in values])
    exact = above if sides == 1 else min(1, 2 * min(above, below))
    found = agreement_test(two(first, second), statistic="cohen_kappa", alternative=alternative, ci=None)
    assert found["p"].item() == pytest.approx(exact, abs=sides * 4 * np.sqrt(above / 2000))
    assert found["null"].item() == pytest.approx(np.mean(values), abs=0.04)
    assert found["se_null"].item() == pytest.approx(np.std(values), rel=0.1)
    # 20 arrangements of "abbbc" to 30 of "aabbc"; as shuffling both alike changes nothing, 30 of 600 tie at least.
    assert found["smallest_p"].item() == pytest.approx(sides / 20, abs=1e-12)
    assert found["z"].item() == pytest.approx((real - found["null"].item()) / found["se_null"].item(), abs=1e-12)


def test_p_counts_the_real_ratings_and_has_a_least_value() -> None:
    found = agreement_test(panel(3, follow=0.95), n_permutations=99, ci=None)
    assert found.select("p", "smallest_p", "alternative").row(0) == (0.02, 0.02, "two-sided")
    one = agreement_test(panel(3, follow=0.95), n_permutations=99, alternative="greater", ci=None)
    assert one.select("p", "smallest_p").row(0) == (0.01, 0.01)


def test_a_shuffle_keeps_who_rated_what_and_each_raters_values() -> None:
    cells = read_cells(panel(4))
    shuffle = ShuffledRatings(cells)
    drawn = shuffle.draw(np.random.default_rng(0))
    assert drawn.item is cells.item
    assert drawn.rater is cells.rater
    assert (drawn.value != cells.value).any()
    for rater in range(4):
        own = cells.rater == rater
        assert sorted(drawn.value[own]) == sorted(cells.value[own])


def test_a_shuffle_moves_whole_groups_of_equal_size() -> None:
    rng = np.random.default_rng(5)
    rows = [
        (f"g{g:02}", f"i{g:02}{k}", r, int(rng.integers(0, 9)))
        for g in range(30)
        for k in range(1 + g % 3)
        for r in range(2)
        if (g + r) % 7
    ]
    frame = pl.DataFrame(rows, schema=["group", "item_id", "annotator_id", "value"], orient="row")
    cells = read_cells(frame.sample(fraction=1, shuffle=True, seed=0), group="group")
    drawn = ShuffledRatings(cells).draw(np.random.default_rng(1))
    assert cells.group is not None

    def blocks(own: Any) -> list[tuple[int, ...]]:
        found: dict[tuple[int, int], list[int]] = {}
        for item, rater, value in zip(own.item, own.rater, own.value, strict=True):
            found.setdefault((rater, cells.group[item]), []).append(int(value))
        return sorted((key[0], *values) for key, values in found.items())

    assert blocks(drawn) == blocks(cells)
    assert (drawn.value != cells.value).mean() > 0.5


def test_groups_that_share_values_are_no_agreement() -> None:
    # Each rater gives all four items of a stem one value of their own: 40 items look like agreement by chance.
    small, right = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        value = rng.integers(0, 2, (12, 2))
        rows = [(4 * g + k, r, int(value[g, r]), g) for g in range(12) for k in range(4) for r in range(2)]
        frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "stem"], orient="row")
        for group, kept in ((None, small), ("stem", right)):
            found = agreement_test(frame, group=group, n_permutations=99, ci=None)
            kept.append(found["p"].item())
    assert np.mean(np.array(right) <= 0.05) <= 0.1
    assert np.mean(np.array(small) <= 0.05) >= 0.25


def test_what_cannot_be_tested_says_why() -> None:
    for second in ("bbbb", "abab"):  # the first rater always says a: all arrangements of the second are alike
        fixed = agreement_test(two("aaaa", second), ci=None).row(0, named=True)
        assert np.isnan(fixed["p"])
        assert fixed["test_note"] == "no test: shuffling the ratings within raters changes nothing"
    one = agreement_test(two("aaaa", "aaaa"), ci=None).row(0, named=True)
    assert np.isnan(one["p"])
    assert "only one value is in use" in one["test_note"]
    alone = agreement_test([("x", "ann", 1), ("y", "bob", 2)], test="analytic", ci=None).row(0, named=True)
    assert alone["test_note"] == "no test: no item has two or more ratings"
    perfect = agreement_test(two("ab", "ab"), test="analytic", statistic="gwet_ac1", ci=None).row(0, named=True)
    assert perfect["test_note"] == "no test: the standard error is 0"
    pair = agreement_test(two("a", "b"), test="analytic", ci=None).row(0, named=True)
    assert pair["test_note"] == "no test: one unit (items) only"
    nothing = agreement_test([], ci=None).row(0, named=True)
    assert (nothing["n"], nothing["test_note"]) == (0, "no test: no item has two or more ratings")


def test_percent_agreement_has_a_null_of_its_own() -> None:
    rows = panel(6, missing=0, follow=0.0)
    found = agreement_test(rows, statistic="percent_agreement", ci=None).row(0, named=True)
    assert found["null"] == pytest.approx(1 / 3, abs=0.03)
    assert found["p"] > 0.05


def test_light_and_undefined_shufflings() -> None:
    rows = panel(7, items=12, raters=3)
    found = agreement_test(rows, statistic="light_kappa", n_permutations=50).row(0, named=True)
    assert found["value"] == light_kappa(rows, ci=None).value
    assert found["low"] < found["value"] < found["high"]


def test_slices_rows_and_names() -> None:
    rows = panel(8)
    frame = pl.DataFrame(rows, schema=["who is 🙂", "annotator_id", "value"], orient="row")
    frame = frame.with_columns((pl.col("who is 🙂") % 2).alias("half"))
    both = agreement_test(frame, item="who is 🙂", by="half", n_permutations=60, ci=None)
    assert both["half"].to_list() == [0, 1]
    alone = agreement_test(frame.filter(half=1), item="who is 🙂", n_permutations=60, ci=None)
    assert both.filter(half=1).drop("half").equals(alone, null_equal=True)
    shuffled = agreement_test(frame.sample(fraction=1, shuffle=True, seed=1), item="who is 🙂", by="half",
                              n_permutations=60, ci=None)  # fmt: skip
    assert shuffled.equals(both, null_equal=True)
    other = agreement_test(frame, item="who is 🙂", by="half", n_permutations=60, ci=None, seed=1)
    assert other["null"].to_list() != both["null"].to_list()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"test": "t"}, "test must be"),
        ({"alternative": "less"}, "alternative must be"),
        ({"n_permutations": 0}, "n_permutations must be at least 1"),
        ({"statistic": "percent_agreement", "test": "analytic"}, "percent_agreement is not 0 by chance"),
        ({"statistic": "light_kappa", "test": "analytic"}, "light_kappa has no standard error of its own"),
        ({"statistic": "icc"}, "statistic must be one of"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        agreement_test(panel(9), **arguments)


def test_wrong_data() -> None:
    with pytest.raises(TableError, match="exactly two raters; found 4"):
        agreement_test(panel(9), statistic="cohen_kappa")
    frame = pl.DataFrame(panel(9), schema=["item_id", "annotator_id", "value"], orient="row")
    with pytest.raises(ValueError, match='by cannot be "p"'):
        agreement_test(frame.with_columns(pl.lit(1).alias("p")), by="p", n_permutations=2)


@pytest.mark.real
def test_published_cases(shared_cases: Path) -> None:
    read = json.loads((shared_cases / "agreement_cases.json").read_text(encoding="utf-8"))
    of = {"fleiss_kappa_z": ("fleiss_kappa", "z"), "cohen_kappa_z": ("cohen_kappa", "z"),
          "cohen_kappa_ase0": ("cohen_kappa", "se_null")}  # fmt: skip
    checked = 0
    for case in read["cases"]:
        if case["statistic"] not in of:
            continue
        statistic, column = of[case["statistic"]]
        data = read["datasets"][case["dataset"]]
        if data["format"] == "contingency":
            rows: Any = of_table(np.array(data["values"]))
        else:
            rows = list(
                chain.from_iterable(((i, r, v) for i, v in enumerate(row)) for r, row in enumerate(data["values"]))
            )
        found = agreement_test(rows, statistic=statistic, test="analytic", ci=None, **case["params"])  # type: ignore[arg-type]
        assert found[column].item() == pytest.approx(case["expected"], abs=case["tol"]), case["id"]
        checked += 1
    assert checked == 5


def test_value_is_that_of_the_coefficient() -> None:
    rows = panel(10)
    found = agreement_test(rows, statistic="fleiss_kappa", n_permutations=5, n_boot=200).row(0, named=True)
    own = fleiss_kappa(rows, n_boot=200)
    assert (found["value"], found["low"], found["high"], found["n"]) == (own.value, own.low, own.high, own.n)  # type: ignore[union-attr]
