"""Intervals over items: linearised against finite differences, groups, what is refused; Hayes and Krippendorff's."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from dfar_toolkit.agreement import (
    brennan_prediger,
    cohen_kappa,
    conger_kappa,
    fleiss_kappa,
    gwet_ac1,
    gwet_ac2,
    krippendorff_alpha,
    light_kappa,
    pairwise_kappa,
    percent_agreement,
    randolph_kappa,
    scott_pi,
)
from dfar_toolkit.agreement import units as units_module

Rows = list[tuple[Any, Any, Any]]
LEVELS = ("nominal", "ordinal", "interval", "ratio", "circular", "bipolar")
FAMILY = (percent_agreement, krippendorff_alpha, fleiss_kappa, gwet_ac1, gwet_ac2, brennan_prediger, randolph_kappa)
OF_TWO = (cohen_kappa, scott_pi)
WITH_ANALYTIC = (*FAMILY, *OF_TWO, conger_kappa)
ALL = (*WITH_ANALYTIC, light_kappa)


def made(seed: int, n_items: int, n_raters: int, n_values: int = 4, missing: float = 0.0) -> Rows:
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, n_values + 1, n_items)
    rows = []
    for i in range(n_items):
        for j in range(n_raters):
            value = truth[i] if rng.random() < 0.6 else rng.integers(1, n_values + 1)
            if j < 2 or rng.random() >= missing:
                rows.append((i, j, int(value)))
    return rows


def frame_of(rows: Rows, *, per_context: int = 3) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    return frame.with_columns(context=pl.col("item_id") // per_context)


def apart(name: str | None, x: list[float], c: int, k: int) -> float:
    """Squared difference or disagreement of the c-th and the k-th value, up to a factor that cancels in alpha."""
    low, high, a, b = x[0], x[-1], x[c], x[k]
    if c == k:
        return 0.0
    return {
        None: 1.0,
        "nominal": 1.0,
        "linear": abs(a - b) / (high - low),
        "interval": (a - b) ** 2,
        "quadratic": ((a - b) / (high - low)) ** 2,
        "ratio": ((a - b) / (a + b)) ** 2,
        "circular": math.sin(math.pi * (a - b) / (high - low + 1)) ** 2,
        "bipolar": (a - b) ** 2 / ((a + b - 2 * low) * (2 * high - a - b)),
    }[name]


class Weighted:
    """Every statistic as a function of the weights of the items, written with loops from the definitions."""

    def __init__(self, rows: Rows) -> None:
        self.x = sorted({float(v) for _, _, v in rows})
        self.items = sorted({i for i, _, _ in rows})
        self.raters = sorted({j for _, j, _ in rows})
        self.of: dict[Any, dict[Any, int]] = defaultdict(dict)
        for i, j, v in rows:
            self.of[i][j] = self.x.index(float(v))

    def alpha(self, weights: dict[Any, float], level: str) -> float:
        """Without the small-sample factor (n - 1) / n."""
        q = len(self.x)
        use = [i for i in self.items if len(self.of[i]) > 1]
        marginal = [sum(weights[i] for i in use for c in self.of[i].values() if c == k) for k in range(q)]
        rank = [sum(marginal[:k]) + marginal[k] / 2 for k in range(q)]

        def delta(c: int, k: int) -> float:
            return (rank[c] - rank[k]) ** 2 if level == "ordinal" else apart(level, self.x, c, k)

        observed = 0.0
        for i in use:
            codes = list(self.of[i].values())
            observed += weights[i] * sum(delta(c, k) for c, k in permutations(codes, 2)) / (len(codes) - 1)
        chance = sum(marginal[c] * marginal[k] * delta(c, k) for c in range(q) for k in range(q))
        return 1 - sum(marginal) * observed / chance

    def corrected(self, weights: dict[Any, float], kind: str, name: str | None) -> float:
        q = len(self.x)
        a = [[1 - apart(name, self.x, c, k) for k in range(q)] for c in range(q)]
        use = [i for i in self.items if len(self.of[i]) > 1]
        top = 0.0
        for i in use:
            codes = list(self.of[i].values())
            top += weights[i] * float(np.mean([a[c][k] for c, k in permutations(codes, 2)]))
        observed = top / sum(weights[i] for i in use)
        total = sum(weights[i] for i in self.items)
        share = [0.0] * q
        for i in self.items:
            for c in self.of[i].values():
                share[c] += weights[i] / len(self.of[i]) / total
        if kind == "observed":
            return observed
        if kind == "gwet":
            chance = sum(map(sum, a)) / (q * (q - 1)) * sum(p * (1 - p) for p in share)
        elif kind == "bp":
            chance = sum(map(sum, a)) / q**2
        elif kind == "fleiss":
            chance = sum(a[c][k] * share[c] * share[k] for c in range(q) for k in range(q))
        else:
            own = {}
            for j in self.raters:
                rated = [(weights[i], self.of[i][j]) for i in self.items if j in self.of[i]]
                n = sum(w for w, _ in rated)
                own[j] = [sum(w for w, code in rated if code == c) / n for c in range(q)]
            pairs = list(permutations(self.raters, 2))
            chance = sum(a[c][k] * own[g][c] * own[h][k] for g, h in pairs for c in range(q) for k in range(q))
            chance /= len(pairs)
        return (observed - chance) / (1 - chance)


def influence(statistic: Any, owner: dict[Any, Any], step: float = 1e-4) -> np.ndarray:
    """What each unit moves a function of item weights by: central differences, its items moved together."""
    found = []
    for unit in sorted(set(owner.values())):
        up, down = ({i: 1 + sign * step * (owner[i] == unit) for i in owner} for sign in (1, -1))
        found.append((statistic(up) - statistic(down)) / (2 * step))
    return np.array(found)


def wanted_error(spread: np.ndarray, *, normal: bool = False) -> float:
    """The standard error of a linear statistic over n units: n / (n - 1) unless it is the large-sample one."""
    n = len(spread)
    return float(np.sqrt(np.sum((spread - spread.mean()) ** 2) * (1 if normal else n / (n - 1))))


def check(found: Any, spread: np.ndarray, *, normal: bool = False, df: int | None = None) -> None:
    df = len(spread) - 1 if df is None else df
    error = wanted_error(spread, normal=normal)
    quantile = norm.ppf(0.975) if normal else student.ppf(0.975, df)
    assert found.method == ("linearised, normal" if normal else f"linearised, t({df})")
    assert found.low == pytest.approx(found.value - quantile * error, abs=1e-6)
    assert found.high == pytest.approx(min(1.0, found.value + quantile * error), abs=1e-6)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("grouped", [False, True])
def test_linearised_alpha_equals_finite_differences(level: Any, grouped: bool) -> None:
    rows = [*made(1, 24, 4, missing=0.4), *((100 + k, 0, 1 + k) for k in range(3))]  # and three single ratings
    by_hand = Weighted(rows)
    items = [i for i in by_hand.items if i < 100]
    owner = {i: i // 3 if grouped else i for i in items} | {100 + k: -1 - k for k in range(3)}
    spread = influence(lambda w: by_hand.alpha(w, level), owner)[3:]  # single ratings move nothing
    found = krippendorff_alpha(
        frame_of(rows).with_columns(own=pl.col("item_id").replace_strict(owner)),
        level=level,
        ci="analytic",
        group="own",
    )
    # Single ratings count in the degrees of freedom, as in Gwet's.
    check(found, spread, df=len(spread) + 3 - 1)
    assert found.n_units == len(spread)
    if not grouped:
        assert krippendorff_alpha(rows, level=level, ci="analytic").low == pytest.approx(found.low, abs=1e-12)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("name", [None, "linear", "quadratic"])
@pytest.mark.parametrize(
    ("kind", "statistic"),
    [
        ("observed", percent_agreement),
        ("fleiss", fleiss_kappa),
        ("gwet", gwet_ac2),
        ("bp", brennan_prediger),
        ("conger", conger_kappa),
    ],
)
def test_linearised_kappas_equal_finite_differences(kind: str, statistic: Any, name: Any, grouped: bool) -> None:
    rows = made(2, 21, 4, missing=0.4)
    if kind == "gwet" and name is None:
        statistic, how = gwet_ac1, {}
    else:
        how = {"weights": name}
    by_hand = Weighted(rows)
    owner = {i: i // 3 if grouped else i for i in by_hand.items}
    spread = influence(lambda w: by_hand.corrected(w, kind, name), owner)
    found = statistic(frame_of(rows), ci="analytic", group="context" if grouped else None, **how)
    check(found, spread)
    assert found.value == pytest.approx(by_hand.corrected(dict.fromkeys(owner, 1.0), kind, name), abs=1e-12)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("name", [None, "quadratic"])
@pytest.mark.parametrize(("kind", "statistic"), [("conger", cohen_kappa), ("fleiss", scott_pi)])
def test_linearised_kappas_of_two(kind: str, statistic: Any, name: Any, grouped: bool) -> None:
    rows = made(3, 30, 2)
    by_hand = Weighted(rows)
    owner = {i: i // 3 if grouped else i for i in by_hand.items}
    spread = influence(lambda w: by_hand.corrected(w, kind, name), owner)
    found = statistic(frame_of(rows), weights=name, ci="analytic", group="context" if grouped else None)
    check(found, spread, normal=statistic is cohen_kappa)


def test_gwets_error_takes_the_share_of_single_ratings_as_given() -> None:
    """The infinitesimal jackknife, less its part by that share: as irrCAC's, which test_weighted holds."""
    rows = [*made(4, 20, 3), *((50 + k, k % 3, 1) for k in range(6))]
    by_hand = Weighted(rows)
    for kind, statistic in (("fleiss", fleiss_kappa), ("gwet", gwet_ac1), ("observed", percent_agreement)):
        owner = {i: i for i in by_hand.items}
        spread = influence(lambda w, kind=kind: by_hand.corrected(w, kind, None), owner)
        value = by_hand.corrected(dict.fromkeys(owner, 1.0), kind, None)
        spread = spread + np.array([value / 20 * (i < 50) - value / 26 for i in by_hand.items])
        check(statistic(rows, ci="analytic"), spread)


@pytest.mark.parametrize("statistic", ALL)
@pytest.mark.parametrize("group", [None, "context"])
def test_intervals_of_all_kinds_are_close_where_there_is_much_data(statistic: Any, group: str | None) -> None:
    frame = frame_of(made(5, 400, 2 if statistic in OF_TWO else 3), per_context=2)
    width = {}
    for ci in ("jackknife", "bootstrap", *(() if statistic is light_kappa else ("analytic",))):
        found = statistic(frame, ci=ci, group=group, n_boot=1500)
        assert found.low < found.value < found.high
        assert (found.unit, found.n_units) == (("groups", 200) if group else ("items", 400))
        width[ci] = found.high - found.low
    if "analytic" in width:
        assert width["analytic"] == pytest.approx(width["jackknife"], rel=0.015)
    assert width["bootstrap"] == pytest.approx(width["jackknife"], rel=0.08)


@pytest.mark.parametrize("level", LEVELS)
def test_jackknife_leaves_out_one_unit_at_a_time(level: Any) -> None:
    frame = frame_of(made(6, 18, 3, missing=0.3)).with_columns(pl.col("value") * 2.5)
    ends = {"bounds": (2.5, 10.0)} if level in ("circular", "bipolar") else {}
    found = krippendorff_alpha(frame, level=level, ci="jackknife", group="context", **ends)
    left = np.array(
        [krippendorff_alpha(frame.filter(pl.col("context") != g), level=level, ci=None, **ends).value for g in range(6)]
    )
    half = norm.ppf(0.975) * np.sqrt(5 / 6 * np.sum((left - left.mean()) ** 2))
    assert found.low == pytest.approx(found.value - half, abs=1e-12)


@pytest.mark.parametrize("ci", ["bootstrap", "jackknife", "analytic"])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("level", ["nominal", "ordinal"])
def test_many_values_by_sparse_rows(ci: Any, grouped: bool, level: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = frame_of([(i, j, v * 10 + i % 9) for i, j, v in made(7, 60, 3, 30, missing=0.3)])
    statistics: list[Any] = [lambda **how: krippendorff_alpha(frame, level=level, **how)]
    if level == "nominal":
        statistics += [lambda **how: fleiss_kappa(frame, **how), lambda **how: gwet_ac1(frame, **how)]
        statistics += [lambda **how: fleiss_kappa(frame, weights="linear", **how)]
    how = {"ci": ci, "group": "context" if grouped else None, "n_boot": 50}
    for statistic in statistics:
        dense = statistic(**how)
        with monkeypatch.context() as patch:
            patch.setattr(units_module, "_DENSE", 0)
            thin = statistic(**how)
        wanted = [dense.value, dense.low, dense.high]
        # Dense rows are sorted, sparse ones are not, so the draws of the bootstrap differ.
        near = 0.15 if ci == "bootstrap" and level == "nominal" else 1e-11
        assert [thin.value, thin.low, thin.high] == pytest.approx(wanted, abs=near)
        assert not math.isnan(thin.low)


def test_groups_together_with_single_ratings() -> None:
    rows = [*made(8, 12, 3), *((20 + k, 0, 1) for k in range(4))]
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    alone = krippendorff_alpha(frame, ci="analytic")
    assert (alone.method, alone.n_units) == ("linearised, t(15)", 12)
    # Every item a group of its own: as without groups.
    named = krippendorff_alpha(frame.with_columns(own=pl.col("item_id").cast(pl.String)), group="own", ci="analytic")
    assert (named.low, named.method, named.unit) == (pytest.approx(alone.low, abs=1e-12), alone.method, "items")
    # Single ratings in the groups of other items are no units more.
    shared = krippendorff_alpha(frame.with_columns(own=pl.col("item_id") % 10), group="own", ci="analytic")
    assert (shared.method, shared.n_units, shared.unit) == ("linearised, t(9)", 10, "groups")
    apart_ = frame.with_columns(own=pl.when(pl.col("item_id") < 20).then(pl.col("item_id") // 2).otherwise(99))
    found = krippendorff_alpha(apart_, group="own", ci="analytic")
    assert (found.method, found.n_units) == ("linearised, t(6)", 6)
    sliced = krippendorff_alpha(frame.with_columns(part=pl.col("item_id") % 2), by="part", ci="analytic")
    assert sliced["method"].to_list() == ["linearised, t(7)"] * 2
    assert sliced["n_units"].to_list() == [6, 6]


@pytest.mark.parametrize("statistic", WITH_ANALYTIC)
@pytest.mark.parametrize("ci", ["bootstrap", "jackknife", "analytic"])
def test_what_has_no_interval_says_why(statistic: Any, ci: Any) -> None:
    nothing = statistic([("x", "a", 1), ("y", "b", 2)], ci=ci)
    assert math.isnan(nothing.value)
    assert "no item" in nothing.note
    one_unit = statistic([("x", "a", 1), ("x", "b", 2)], ci=ci)
    assert not math.isnan(one_unit.value)
    assert "no interval: one unit (items) only" in one_unit.note
    grouped = pl.DataFrame({"item_id": [1, 1, 2, 2], "annotator_id": [1, 2] * 2, "value": [1, 2, 2, 2], "g": [0] * 4})
    one_group = statistic(grouped, group="g", ci=ci)
    assert not math.isnan(one_group.value)
    assert "no interval: one unit (groups) only" in one_group.note
    alike = statistic([(i, j, v) for i in range(6) for j, v in enumerate((1, 2))], ci=ci)
    assert "no interval: " in alike.note
    for found in (nothing, one_unit, one_group, alike):
        assert math.isnan(found.low)
        assert math.isnan(found.high)
    if statistic is not percent_agreement:
        same = statistic([("x", "a", 1), ("x", "b", 1)], ci=ci)
        assert math.isnan(same.value)
        assert "value" in same.note


@pytest.mark.parametrize("statistic", WITH_ANALYTIC)
def test_the_upper_end_never_exceeds_one(statistic: Any) -> None:
    rows = [(i, j, 1 + i % 3) for i in range(12) for j in range(2)]
    rows[1] = (0, 1, 2)
    for ci in ("analytic", "jackknife"):
        found = statistic(rows, ci=ci, confidence=0.999)
        assert found.high == 1.0
        assert found.low < found.value < 1


@pytest.mark.parametrize("statistic", ALL)
def test_unknown_intervals_and_impossible_arguments_are_refused(statistic: Any) -> None:
    rows = made(9, 8, 2)
    with pytest.raises(ValueError, match=r"no interval 'wald'; use bootstrap, jackknife"):
        statistic(rows, ci="wald")
    if statistic is not krippendorff_alpha:
        with pytest.raises(ValueError, match=r"has no interval 'hayes-krippendorff'; use bootstrap, jackknife"):
            statistic(rows, ci="hayes-krippendorff")
    for ci in ("bootstrap", "jackknife", *(() if statistic is light_kappa else ("analytic",))):
        for confidence in (0, 1, -0.5, 95, math.nan):
            with pytest.raises(ValueError, match="confidence must lie between 0 and 1, found"):
                statistic(rows, ci=ci, confidence=confidence)
    for n_boot in (0, -3):
        with pytest.raises(ValueError, match=rf"n_boot must be at least 1, found {n_boot}"):
            statistic(rows, n_boot=n_boot)
    assert not math.isnan(statistic(rows, ci="jackknife", n_boot=1).low)


def test_pairwise_kappa_refuses_them_too() -> None:
    with pytest.raises(ValueError, match="Cohen's kappa has no interval 'hayes-krippendorff'"):
        pairwise_kappa(made(9, 8, 3), ci="hayes-krippendorff")  # type: ignore[arg-type]


@pytest.mark.parametrize("statistic", ALL)
@pytest.mark.parametrize("ci", ["bootstrap", "jackknife", "analytic"])
def test_same_seed_same_bytes_whatever_the_row_order(statistic: Any, ci: Any) -> None:
    if statistic is light_kappa and ci == "analytic":
        ci = "bootstrap"
    frame = frame_of(made(10, 40, 2 if statistic in OF_TWO else 4, missing=0.3))
    shuffled = frame.sample(fraction=1, shuffle=True, seed=1)
    for group in (None, "context"):
        how = {"ci": ci, "group": group, "n_boot": 60, "seed": 4}
        assert repr(statistic(frame, **how)) == repr(statistic(shuffled, **how))
    if ci == "bootstrap":
        assert repr(statistic(frame, n_boot=60, seed=4)) != repr(statistic(frame, n_boot=60, seed=5))
    assert repr(statistic(frame, ci=ci, n_boot=60)) != repr(statistic(frame, ci=ci, n_boot=60, group="context"))
