"""Planned widths: the simulation keeps the pilot's value, its errors are the jackknife's, and its widths come true."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.agreement import fleiss_kappa, gwet_ac1, krippendorff_alpha, percent_agreement
from dfar_toolkit.agreement.cells import read_cells
from dfar_toolkit.agreement.planning.drawn_agreement import (
    PlannedLevel,
    PlannedStatistic,
    population_value,
    simulated_values,
)
from dfar_toolkit.agreement.planning.interval_width import fit_pilot, plan_interval, simulate, smallest_design
from dfar_toolkit.agreement.planning.pilot_urn import Drawn, Pilot, draw_sets, expected_difference, expected_shares
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate

FEW = settings(max_examples=15)
KINDS: list[tuple[PlannedStatistic, PlannedLevel]] = [
    ("krippendorff_alpha", "nominal"),
    ("krippendorff_alpha", "ordinal"),
    ("krippendorff_alpha", "interval"),
    ("percent_agreement", "nominal"),
    ("gwet_ac1", "nominal"),
    ("fleiss_kappa", "nominal"),
]


def pilot(n_items: int = 50, n_values: int = 4, sizes: tuple[int, ...] = (2, 3, 5), seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n_items):
        shares = rng.dirichlet(np.full(n_values, 0.5))
        rows += [(i, r, int(rng.choice(n_values, p=shares)), i // 4) for r in range(int(rng.choice(sizes)))]
    return pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "stem"], orient="row")


def statistic(frame: pl.DataFrame, kind: PlannedStatistic, level: PlannedLevel, **how: Any) -> Estimate:
    if kind == "krippendorff_alpha":
        found = krippendorff_alpha(frame, level=level, **how)
    else:
        others = {"percent_agreement": percent_agreement, "gwet_ac1": gwet_ac1, "fleiss_kappa": fleiss_kappa}
        found = others[kind](frame, **how)
    assert isinstance(found, Estimate)
    return found


def as_frame(drawn: Drawn, which: int) -> pl.DataFrame:
    here = np.flatnonzero(drawn.of == which)
    rows = [(int(t), k, int(v)) for t in here for k, v in enumerate(drawn.value[t])]
    return pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")


@pytest.mark.parametrize(("kind", "level"), KINDS)
def test_simulated_statistics_are_the_packages_own(kind: PlannedStatistic, level: PlannedLevel) -> None:
    fitted = fit_pilot(read_cells(pilot()), kind, level, None)
    drawn = draw_sets(fitted.pilot, fitted.rho, n_sets=3, n_items=40, n_raters=4, rng=np.random.default_rng(1))
    found = simulated_values(drawn, fitted.pilot, kind, level)
    for which in range(3):
        own = statistic(as_frame(drawn, which), kind, level, ci="jackknife")
        assert found.value[which] == pytest.approx(own.value, abs=1e-12)
        # Influences are the jackknife's pseudo-values to first order.
        assert found.se[which] == pytest.approx((own.high - own.low) / 2 / 1.959963984540054, rel=0.05)


@pytest.mark.parametrize(("kind", "level"), KINDS)
def test_influences_are_derivatives(kind: PlannedStatistic, level: PlannedLevel) -> None:
    # Every item of a set 300 times over, one of them once more: the change is the derivative by its weight. The squared
    # influences of the units, each 300 times, give the standard error.
    fitted = fit_pilot(read_cells(pilot(12)), kind, level, None)
    base = draw_sets(fitted.pilot, fitted.rho, n_sets=1, n_items=8, n_raters=3, rng=np.random.default_rng(2))

    def value(times: np.ndarray) -> tuple[float, float]:
        item = np.repeat(np.arange(8), times)
        many = Drawn(base.value[item], np.zeros(len(item), dtype=np.int64), 1)
        found = simulated_values(many, fitted.pilot, kind, level)
        return float(found.value[0]), float(found.se[0])

    often = np.full(8, 300)
    one = np.eye(8, dtype=np.int64)
    slope = np.array([(value(often + e)[0] - value(often - e)[0]) / 2 for e in one])
    n = 2400
    se = math.sqrt(n / (n - 1) * 300 * float(np.square(slope - slope.mean()).sum()))
    assert value(often)[1] == pytest.approx(se, rel=1e-4)


@pytest.mark.parametrize(("kind", "level"), KINDS)
@pytest.mark.parametrize("sizes", [(3,), (2, 3, 5)])
def test_the_simulation_keeps_the_pilots_value(
    kind: PlannedStatistic, level: PlannedLevel, sizes: tuple[int, ...]
) -> None:
    frame = pilot(sizes=sizes)
    fitted = fit_pilot(read_cells(frame), kind, level, None)
    assert fitted.value == pytest.approx(statistic(frame, kind, level, ci=None).value, abs=1e-12)
    assert population_value(fitted.pilot, fitted.rho, kind, level) == pytest.approx(fitted.value, abs=1e-10)
    values, se = simulate(fitted, kind, level, items=1000, raters=3, n=400, seed=1)
    # Four standard errors of the mean, and 1 / items for the statistic's own bias.
    assert values.mean() == pytest.approx(fitted.value, abs=4 * values.std() / 20 + 1e-3)
    assert values.std() == pytest.approx(se.mean(), rel=0.15)
    # Redrawing an item's own shares, or none of it, would not do.
    plug_in, forgotten = (population_value(fitted.pilot, rho, kind, level) for rho in (1.0, 0.0))
    assert plug_in > fitted.value + 0.05
    assert forgotten < fitted.value - 0.05


def test_urn_by_hand() -> None:
    # Items aa, ab, bb: pool (1/2, 1/2). At rho = 1/3: A = 2/3 pi + 1/3 n, T = 4/3: for aa A = (1, 1/3), two new ratings
    # differ with 2 * (1 * 1/3) / (4/3 * 5/3) = 3/10; for ab A = (2/3, 2/3): 2 * 4/9 / (20/9) = 2/5.
    own = Pilot(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 2, 4]), np.array([2, 2, 2]), np.array([0.0, 1.0]))
    assert expected_difference(own, 1 / 3, None) == pytest.approx((0.3 + 0.4 + 0.3) / 3, abs=1e-12)
    assert expected_difference(own, 1 / 3, own.position) == pytest.approx((0.3 + 0.4 + 0.3) / 3, abs=1e-12)
    assert expected_shares(own, 1 / 3).tolist() == pytest.approx([0.5, 0.5], abs=1e-12)
    drawn = draw_sets(own, 1 / 3, n_sets=1, n_items=60_000, n_raters=3, rng=np.random.default_rng(0))
    for one, other in ((0, 1), (0, 2), (1, 2)):  # any two of the ratings, for they are exchangeable
        differ = np.mean(drawn.value[:, one] != drawn.value[:, other])
        assert differ == pytest.approx(1 / 3, abs=0.008)


def test_the_urn_by_loop_over_unequal_items() -> None:
    own = fit_pilot(read_cells(pilot(7)), "krippendorff_alpha", "interval", None).pilot
    rho, x = 0.3, own.position
    votes = np.zeros((len(own.size), len(x)))
    np.add.at(votes, (own.owner(), own.value), 1)
    pool = (votes / votes.sum(axis=1, keepdims=True)).mean(axis=0)
    shares, apart, far = np.zeros(len(x)), 0.0, 0.0
    for n in votes:
        a, t = (1 - rho) * pool + rho * n, (1 - rho) + rho * n.sum()
        shares += a / t / len(votes)
        for c in range(len(x)):
            for k in range(len(x)):
                if c != k:
                    chance = a[c] * a[k] / (t * (t + rho)) / len(votes)
                    apart += chance
                    far += chance * (x[c] - x[k]) ** 2
    assert expected_shares(own, rho) == pytest.approx(shares, abs=1e-12)
    assert expected_difference(own, rho, None) == pytest.approx(apart, abs=1e-12)
    assert expected_difference(own, rho, x) == pytest.approx(far, abs=1e-12)


def test_the_frame() -> None:
    plan = plan_interval(pilot(), items=(50, 200), raters=(2, 5), width=0.15)
    assert plan["ratings"].to_list() == [100, 250, 400, 1000]
    assert (plan["width_median"] <= plan["width_assured"]).all()
    width = plan["width_assured"].to_list()
    assert width[0] > width[2]  # more items
    assert width[0] > width[1]  # more raters
    assert width[0] / width[2] == pytest.approx(2, rel=0.15)  # one over the root of the items
    assert plan["enough"].to_list() == [w <= 0.15 for w in width]
    for n, w, needed in plan.select("items", "width_assured", "items_needed").iter_rows():
        assert needed == math.ceil(n * (w / 0.15) ** 2)
    assert (plan["coverage"] > 0.88).all()
    assert plan.equals(plan_interval(pilot(), items=(50, 200), raters=(2, 5), width=0.15))
    one = plan_interval(pilot(), items=(200,), raters=(5,), width=0.15)
    assert one.row(0) == plan.row(3)
    assert smallest_design(plan)["ratings"].to_list() == [1000]
    assert len(smallest_design(plan.with_columns(enough=False))) == 0
    without = plan_interval(pilot(), items=(50,), raters=(2,))
    assert without["enough"].to_list() == without["items_needed"].to_list() == [None]


def stems(n_stems: int, seed: int) -> pl.DataFrame:
    """Stems of six items that share their distribution, three raters each."""
    rng = np.random.default_rng(seed)
    p = np.repeat(rng.beta(0.5, 0.5, n_stems), 6)
    rows = [(i, r, int(rng.random() < p[i]), i // 6) for i in range(len(p)) for r in range(3)]
    return pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "stem"], orient="row")


def test_groups_widen_by_what_they_have_in_common() -> None:
    whole = krippendorff_alpha(stems(400, 1), group="stem", ci="jackknife")
    assert isinstance(whole, Estimate)
    together = plan_interval(stems(100, 0), items=(2400,), raters=(3,), group="stem")
    apart = plan_interval(stems(100, 0), items=(2400,), raters=(3,))
    assert together["n_units"].item() == 400
    assert together["unit"].item() == "groups"
    assert math.isnan(together["coverage"].item())
    assert together["width_median"].item() == pytest.approx(whole.high - whole.low, rel=0.2)
    assert apart["width_median"].item() < 0.75 * (whole.high - whole.low)


def test_one_group_only_says_nothing() -> None:
    plan = plan_interval(pilot(10).with_columns(stem=1), items=(50,), raters=(3,), group="stem")
    assert math.isnan(plan["width_median"].item())
    assert "the pilot's groups give no standard error" in plan["note"].item()


@FEW
@given(st.integers(0, 10**6))
def test_order_and_names_do_not_matter(seed: int) -> None:
    frame = pilot(10, seed=seed)
    plan = plan_interval(frame, items=(20,), raters=(3,), n_simulations=20)
    shuffled = frame.sample(fraction=1, shuffle=True, seed=seed)
    assert plan.equals(plan_interval(shuffled, items=(20,), raters=(3,), n_simulations=20), null_equal=True)
    renamed = frame.with_columns(annotator_id=100 - pl.col("annotator_id"))
    assert plan.equals(plan_interval(renamed, items=(20,), raters=(3,), n_simulations=20), null_equal=True)


def test_ordinal_text_and_values_of_one_item_only() -> None:
    rows = [
        (0, 0, "so so 😐"),
        (0, 1, "good"),
        (1, 0, "bad"),
        (1, 1, "bad"),
        (2, 0, "good"),
        (2, 1, "good"),
        (3, 0, "?"),
    ]
    with pytest.raises(TableError, match="order must name every value in use"):
        plan_interval(rows, level="ordinal", order=["bad", "good"])
    plan = plan_interval(rows, level="ordinal", order=["bad", "so so 😐", "good"], items=(50,), raters=(2,))
    assert "1 item with one rating left out" in plan["note"].item()
    assert 0 < plan["width_median"].item() < 2


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ([(0, 0, "a"), (1, 0, "b")], "no item has two or more ratings"),
        ([(0, 0, "a"), (0, 1, "a")], "only one value is in use"),
        ([(0, 0, "a"), (0, 1, "a"), (1, 0, "b"), (1, 1, "b")], "no two ratings of an item differ"),
    ],
)
def test_undefined(rows: list[tuple[int, int, str]], note: str) -> None:
    plan = plan_interval(rows, width=0.1)
    assert plan["width_assured"].is_nan().all()
    assert not plan["enough"].any()
    assert plan["items_needed"].null_count() == len(plan)
    assert all(note in text for text in plan["note"])


def test_below_chance_and_too_few_to_say() -> None:
    rows = [(k, who, "ab"[who]) for k in range(6) for who in range(2)]
    plan = plan_interval(rows, items=(2, 400), raters=(2,))
    assert "not above chance" in plan["note"][1]
    assert plan["expected"][1] == pytest.approx(0, abs=0.02)
    assert math.isnan(plan["width_median"][0])
    assert "simulated data sets have no interval" in plan["note"][0]


def test_refusals() -> None:
    frame = pilot(5)
    for wrong, words in (
        ({"statistic": "kappa"}, "statistic must be one of krippendorff_alpha"),
        ({"level": "ratio"}, "level must be one of nominal, ordinal, interval"),
        ({"statistic": "gwet_ac1", "level": "ordinal"}, "gwet_ac1 is nominal"),
        ({"items": (1,)}, "items must be whole numbers of 2 or more"),
        ({"raters": ()}, "raters must be whole numbers of 2 or more"),
        ({"n_simulations": 1}, "n_simulations must be at least 2"),
        ({"assurance": 1.0}, "assurance must lie between 0 and 1"),
        ({"width": 0.0}, "width must be above 0"),
    ):
        with pytest.raises(ValueError, match=f"plan_interval: {words}"):
            plan_interval(frame, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="smallest_design: wants a plan that says what is enough"):
        smallest_design(plan_interval(frame, items=(10,), raters=(2,), n_simulations=5))


@pytest.mark.real
def test_a_pilot_of_hs_brexit_foretells_the_whole(shared_data: Path) -> None:
    rows = []
    for split in ("train", "dev", "test"):
        read = json.loads((shared_data / "lewidi" / f"HS-Brexit_{split}.json").read_text(encoding="utf-8"))
        for key, record in read.items():
            who, what = record["annotators"].split(","), record["annotations"].split(",")
            rows += [(f"{split}:{key}", a, v) for a, v in zip(who, what, strict=True)]
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    # Three raters of each item by lot: the model's raters are alike.
    drawn = frame.with_columns(lot=np.random.default_rng(0).random(len(frame)))
    three = drawn.filter(pl.col("lot").rank().over("item_id") <= 3).drop("lot")
    items = frame["item_id"].unique().sort()
    widths = []
    for seed in range(6):
        part = three.filter(pl.col("item_id").is_in(items.sample(250, seed=seed).implode()))
        widths.append(plan_interval(part, items=(1120,), raters=(3,))["width_median"].item())
    whole = krippendorff_alpha(three)
    assert isinstance(whole, Estimate)
    assert np.mean(widths) == pytest.approx(whole.high - whole.low, rel=0.1)
