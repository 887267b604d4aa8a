"""Each rater against the rest, and alpha without each: by hand, by naive loops, scikit-learn and full recomputation."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from dfar_toolkit.agreement.alpha import krippendorff_alpha
from dfar_toolkit.agreement.raters.leave_one_out import leave_one_rater_out
from dfar_toolkit.agreement.raters.rater_fit import rater_agreement
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import ESTIMATE_SCHEMA

Rows = list[tuple[Any, Any, Any]]

FEW = settings(max_examples=30)
cells = st.dictionaries(
    st.tuples(st.integers(0, 6), st.integers(0, 4)), st.integers(0, 3), min_size=1, max_size=26
).map(lambda found: [(f"i{i}", f"r{r}", v) for (i, r), v in found.items()])


def random_rows(seed: int, n: int = 60, raters: int = 6, values: int = 4) -> Rows:
    rng = np.random.default_rng(seed)
    return [
        (f"i{i}", f"r{r}", int(rng.integers(values))) for i in range(n) for r in range(raters) if rng.random() < 0.6
    ]


def naive(rows: Rows, statistic: str) -> dict[str, tuple[float, int]]:
    """From the definition, one rating at a time, in fractions."""
    items: dict[Any, dict[Any, Any]] = {}
    for item, rater, value in rows:
        items.setdefault(item, {})[rater] = value
    found = {}
    for who in sorted({rater for _, rater, _ in rows}):
        mine = [votes for votes in items.values() if who in votes and len(votes) > 1]
        n = len(mine)
        if not n:
            found[who] = (math.nan, 0)
            continue
        agreed, own, rest = Fraction(0), {}, {}
        for votes in mine:
            others = [value for rater, value in votes.items() if rater != who]
            agreed += Fraction(sum(value == votes[who] for value in others), len(others))
            own[votes[who]] = own.get(votes[who], 0) + Fraction(1, n)
            for value in others:
                rest[value] = rest.get(value, 0) + Fraction(1, n * len(others))
        p = agreed / n
        chance = sum((share * rest.get(value, 0) for value, share in own.items()), Fraction(0))
        kappa = float((p - chance) / (1 - chance)) if chance != 1 else math.nan
        found[who] = (float(p) if statistic == "percent" else kappa, n)
    return found


def test_by_hand() -> None:
    # x: a a b, y: a b b (ann, bob, cat). ann: x 1/2, y 0 -> 1/4. bob: 1/2, 1/2 -> 1/2. cat: 0, 1/2 -> 1/4.
    # kappa of bob: own a 1/2, b 1/2; the rest of x is a 1/2, b 1/2, of y the same: e = 1/2, so kappa = 0.
    # kappa of ann: own a 1; rest of x: a 1/2, b 1/2; of y: b 1: a 1/4, so e = 1/4 and kappa = 0.
    given = {"ann": "aa", "bob": "ab", "cat": "bb"}
    rows = [(item, who, values[k]) for who, values in given.items() for k, item in enumerate("xy")]
    assert rater_agreement(rows, ci=None)["value"].to_list() == pytest.approx([0.25, 0.5, 0.25], abs=1e-15)
    assert rater_agreement(rows, ci=None, statistic="kappa")["value"].to_list() == pytest.approx([0, 0, 0], abs=1e-15)


@FEW
@given(cells, st.sampled_from(["percent", "kappa"]))
def test_equal_to_a_naive_loop(rows: Rows, statistic: Any) -> None:
    found = rater_agreement(rows, statistic=statistic, ci=None)
    wanted = naive(rows, statistic)
    assert found["rater"].to_list() == list(wanted)
    assert found["value"].to_list() == pytest.approx([v for v, _ in wanted.values()], abs=1e-12, nan_ok=True)
    assert found["n"].to_list() == [n for _, n in wanted.values()]


def test_two_raters_is_cohens_kappa() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 4, (2, 80))
    rows = [(i, who, f"v {v[i]} 🙂") for i in range(80) for who, v in (("ann", a), ("bob", b))]
    found = rater_agreement(rows, statistic="kappa", ci=None)["value"].to_list()
    assert found == pytest.approx([cohen_kappa_score(a, b)] * 2, abs=1e-12)


def test_complete_data_is_schoutens_kappa() -> None:
    matrix = np.random.default_rng(4).integers(0, 3, (5, 40))
    rows = [(i, r, int(matrix[r, i])) for i in range(40) for r in range(5)]
    wanted = []
    for r in range(5):
        observed = [np.mean(matrix[r] == matrix[s]) for s in range(5) if s != r]
        shares = [np.bincount(matrix[s], minlength=3) / 40 for s in range(5)]
        chance = [float(shares[r] @ shares[s]) for s in range(5) if s != r]
        wanted.append((sum(observed) - sum(chance)) / (4 - sum(chance)))
    assert rater_agreement(rows, statistic="kappa", ci=None)["value"].to_list() == pytest.approx(wanted, abs=1e-12)


def test_too_little_overlap_is_named() -> None:
    rows = [*random_rows(0), ("alone", "hermit", 1), ("i0", "guest", 1)]
    found = {row["rater"]: row for row in rater_agreement(rows, n_boot=50).iter_rows(named=True)}
    assert found["r0"]["note"] == ""
    hermit = "nobody else rated an item of this rater; too little overlap: 0 items shared with others, 10 wanted"
    assert found["hermit"]["note"] == hermit
    assert math.isnan(found["hermit"]["value"])
    assert found["guest"]["n"] == 1
    wanted = "no interval: one unit (items) only; too little overlap: 1 item shared with others, 10 wanted"
    assert found["guest"]["note"] == wanted
    assert rater_agreement(rows, min_overlap=1, ci=None).filter(rater="guest")["note"].to_list() == [""]


def test_one_value_only() -> None:
    rows = [(i, who, "same") for i in range(12) for who in "ab"]
    assert rater_agreement(rows, ci=None)["value"].to_list() == [1.0, 1.0]
    found = rater_agreement(rows, statistic="kappa")
    assert all(map(math.isnan, found["value"]))
    assert "one and the same value" in found["note"][0]
    collapsed = rater_agreement(rows)
    assert collapsed["note"][0] == "no interval: every bootstrap draw gives the same value"


@pytest.mark.parametrize("statistic", ["percent", "kappa"])
def test_intervals(statistic: Any) -> None:
    rows = pl.DataFrame(random_rows(1, 120), schema=["item_id", "annotator_id", "value"], orient="row")
    rows = rows.with_columns(pair=pl.col("item_id").str.slice(1).cast(pl.Int64) // 6)
    found = rater_agreement(rows, statistic=statistic, n_boot=400)
    assert found.columns == ["rater", *ESTIMATE_SCHEMA]
    assert found.equals(rater_agreement(rows.sample(fraction=1, shuffle=True, seed=2), statistic=statistic, n_boot=400))
    assert (found["low"] < found["value"]).all()
    assert (found["value"] < found["high"]).all()
    assert found["unit"].unique().to_list() == ["items"]
    grouped = rater_agreement(rows, statistic=statistic, n_boot=400, group="pair")
    assert grouped["value"].to_list() == pytest.approx(found["value"].to_list(), abs=1e-12)
    assert grouped["n_units"].to_list() == [20] * 6
    assert grouped["n"].equals(found["n"])
    assert not grouped["low"].equals(found["low"])
    alone = rater_agreement(rows, statistic=statistic, n_boot=400, group="item_id")
    assert alone["unit"].unique().to_list() == ["items"]
    assert alone.select("low", "high").equals(found.select("low", "high"))
    jackknife = rater_agreement(rows, statistic=statistic, ci="jackknife")
    assert ((jackknife["high"] - jackknife["low"]) / (found["high"] - found["low"])).is_between(0.8, 1.25).all()


def test_slices_and_refusals() -> None:
    rows = pl.DataFrame(random_rows(2), schema=["item_id", "annotator_id", "value"], orient="row")
    rows = rows.with_columns(half=pl.col("item_id") < "i3")
    sliced = rater_agreement(rows, by="half", ci=None)
    for half in (False, True):
        alone = rater_agreement(rows.filter(half=half), ci=None)
        assert sliced.filter(half=half).drop("half").equals(alone)
    with pytest.raises(ValueError, match=r"^rater_agreement: statistic must be percent or kappa, found 'pi'$"):
        rater_agreement(rows, statistic="pi")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='by cannot be "rater"'):
        rater_agreement(rows.rename({"half": "rater"}), by="rater", ci=None)
    with pytest.raises(TableError, match="twice"):
        rater_agreement(pl.concat([rows, rows]))
    assert rater_agreement([], ci=None).height == 0
    assert rater_agreement([("x", "ann", 1)], ci=None)["n"].to_list() == [0]


def without(rows: Rows, who: str, level: Any, order: Any = None) -> Any:
    return krippendorff_alpha([row for row in rows if row[1] != who], level=level, order=order, ci=None)


@FEW
@given(cells, st.sampled_from(["nominal", "interval", "ordinal", "ratio"]))
def test_leaving_out_equals_full_recomputation(rows: Rows, level: Any) -> None:
    found = leave_one_rater_out(rows, level=level)
    whole = krippendorff_alpha(rows, level=level, ci=None)
    assert isinstance(whole.value, float)  # type: ignore[union-attr]
    for row in found.iter_rows(named=True):
        again = without(rows, row["rater"], level)
        got, wanted = [row["alpha"], row["alpha_without"]], [whole.value, again.value]  # type: ignore[union-attr]
        assert got == pytest.approx(wanted, abs=1e-12, nan_ok=True)
        assert row["value"] == pytest.approx(row["alpha_without"] - row["alpha"], abs=1e-12, nan_ok=True)
        assert row["n"] == again.n
        assert math.isnan(row["value"]) == ("only one value" in row["note"])


@pytest.mark.parametrize("level", ["nominal", "interval", "ordinal"])
def test_leaving_out_with_many_values_and_large_numbers(level: Any) -> None:
    rng = np.random.default_rng(5)
    truth = rng.normal(size=50)
    rows = [
        (i, f"r{r}", round(1e6 + truth[i] + rng.normal(), 1))
        for i in range(50)
        for r in range(30)
        if rng.random() < 0.3
    ]
    found = leave_one_rater_out(rows, level=level)
    for who in ("r0", "r17"):
        again = without(rows, who, level)
        assert found.filter(rater=who)["alpha_without"][0] == pytest.approx(again.value, abs=1e-12)


def test_leaving_out_by_hand() -> None:
    # ann AAB, bob AAB, cat ABA. Without cat all agree: 1. Without ann: bob AAB, cat ABA: 2 of 3 items differ, 4 + 2
    # values: alpha = 1 - 5 * 4 / (36 - 20) = -1/4. All three: each differing item adds (9 - 5) / 2 = 2; 6 A, 3 B:
    # alpha = 1 - 8 * 4 / (81 - 45) = 1/9.
    given = {"ann": "AAB", "bob": "AAB", "cat": "ABA"}
    rows = [(item, who, values[item]) for who, values in given.items() for item in range(3)]
    found = leave_one_rater_out(rows)
    assert found["alpha"].to_list() == pytest.approx([1 / 9] * 3, abs=1e-15)
    assert found["value"].to_list() == pytest.approx([-1 / 4 - 1 / 9, -1 / 4 - 1 / 9, 8 / 9], abs=1e-15)


def test_ordinal_names_need_an_order() -> None:
    names = ["low", "mid", "high"]
    rows = [(i, r, names[v]) for i, r, v in random_rows(6, values=3)]
    found = leave_one_rater_out(rows, level="ordinal", order=names)
    wanted = [without(rows, f"r{r}", "ordinal", names).value for r in range(6)]
    assert found["alpha_without"].to_list() == pytest.approx(wanted, abs=1e-12)
    with pytest.raises(TableError, match="give order="):
        leave_one_rater_out(rows, level="ordinal")


@pytest.mark.parametrize("level", ["nominal", "interval"])
def test_paired_intervals_of_the_change(level: Any) -> None:
    rng = np.random.default_rng(7)
    rows = []
    for i in range(150):
        truth = int(rng.integers(3))
        said = [truth if rng.random() < 0.8 else int(rng.integers(3)) for _ in range(4)]
        rows += [(i, f"r{r}", v, i // 3) for r, v in enumerate([*said, int(rng.integers(3))])]
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "stem"], orient="row")
    found = leave_one_rater_out(frame, level=level, ci="bootstrap", n_boot=500)
    assert found["value"].to_list() == pytest.approx(leave_one_rater_out(frame, level=level)["value"].to_list())
    assert found.filter(rater="r4")["low"][0] > 0  # the others agree better without somebody who guesses
    assert (found["low"] < found["value"]).all()
    assert (found["value"] < found["high"]).all()
    assert found.equals(leave_one_rater_out(frame.reverse(), level=level, ci="bootstrap", n_boot=500))
    # Against the naive way: alpha with and without the rater of the same resampled items.
    draws = []
    for _ in range(120):
        chosen = pl.DataFrame({"item_id": rng.integers(0, 150, 150)}).with_row_index("draw")
        drawn = chosen.join(frame, on="item_id").select(item_id="draw", annotator_id="annotator_id", value="value")
        part = drawn.filter(pl.col("annotator_id") != "r4")
        both = [krippendorff_alpha(each, level=level, ci=None).value for each in (drawn, part)]  # type: ignore[union-attr]
        draws.append(both[1] - both[0])
    width = float(np.quantile(draws, 0.975) - np.quantile(draws, 0.025))
    row = found.filter(rater="r4")
    assert (row["high"] - row["low"])[0] == pytest.approx(width, rel=0.3)
    grouped = leave_one_rater_out(frame, level=level, ci="bootstrap", n_boot=500, group="stem")
    assert grouped["unit"].unique().to_list() == ["groups"]
    assert grouped["n_units"].unique().to_list() == [50]
    assert grouped["value"].to_list() == pytest.approx(found["value"].to_list(), abs=1e-12)
    assert not grouped["low"].equals(found["low"])


def test_awkward_leaving_out() -> None:
    two = leave_one_rater_out([("x", "a", 1), ("x", "b", 2), ("y", "a", 1), ("y", "b", 1), ("z", "c", 1)])
    assert all(map(math.isnan, two["alpha_without"][:2]))
    assert two["n"].to_list() == [0, 0, 2]
    # c shares no item: alpha is the same without, and says so.
    assert two["value"][2] == 0
    assert two["note"][2] == "nobody else rated an item of this rater"
    assert leave_one_rater_out([], ci=None).height == 0
    assert math.isnan(leave_one_rater_out([("x", "a", 0.1)], level="interval")["alpha"][0])
    # One value is left without b: rounding must not give it a number.
    rows = [(i, who, 0.1 if who != "b" else i / 7) for i in range(9) for who in "abc"]
    assert math.isnan(leave_one_rater_out(rows, level="interval").filter(rater="b")["alpha_without"][0])
    with pytest.raises(ValueError, match=r"^leave_one_rater_out: ci is for level nominal and interval"):
        leave_one_rater_out(rows, level="ordinal", ci="bootstrap")
    with pytest.raises(ValueError, match=r"^leave_one_rater_out: level must be one of nominal"):
        leave_one_rater_out(rows, level="cardinal")  # type: ignore[arg-type]


def test_too_many_kinds_of_items_for_an_interval() -> None:
    rng = np.random.default_rng(8)
    rows = [(i, who, float(rng.random())) for i in range(1700) for who in "abc"]
    found = leave_one_rater_out(rows, ci="bootstrap", n_boot=10)
    assert found["note"][0].startswith("no interval: 1700 kinds of items by 5100 values")
    assert found["low"].is_nan().all()
    assert not found["value"].is_nan().any()
