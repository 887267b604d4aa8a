"""Intervals over items and raters: against a naive loop with the same weights, and what happens with few raters."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.agreement import (
    brennan_prediger,
    fleiss_kappa,
    gwet_ac1,
    gwet_ac2,
    krippendorff_alpha,
    percent_agreement,
    randolph_kappa,
    two_way,
)

Rows = list[tuple[Any, Any, Any]]
LEVELS = ("nominal", "ordinal", "interval", "ratio", "circular", "bipolar")
FAMILY = (percent_agreement, krippendorff_alpha, fleiss_kappa, gwet_ac1, gwet_ac2, brennan_prediger, randolph_kappa)
BOTH: dict[str, Any] = {"scope": "items+raters"}


def made(seed: int, n_items: int, n_raters: int, n_values: int = 4, missing: float = 0.3) -> Rows:
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, n_values + 1, n_items)
    skill = rng.uniform(0.4, 0.9, n_raters)
    rows = []
    for i in range(n_items):
        for j in range(n_raters):
            value = truth[i] if rng.random() < skill[j] else rng.integers(1, n_values + 1)
            if rng.random() >= missing:
                rows.append((i, j, int(value)))
    return rows


def frame_of(rows: Rows, *, per_context: int = 2) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    return frame.with_columns(context=pl.col("item_id") // per_context)


def apart(level: str, x: list[float], c: int, k: int) -> float:
    low, high, a, b = x[0], x[-1], x[c], x[k]
    if c == k:
        return 0.0
    return {
        "nominal": 1.0,
        "interval": (a - b) ** 2,
        "quadratic": ((a - b) / (high - low)) ** 2,
        "ratio": ((a - b) / (a + b)) ** 2,
        "circular": math.sin(math.pi * (a - b) / (high - low + 1)) ** 2,
        "bipolar": (a - b) ** 2 / ((a + b - 2 * low) * (2 * high - a - b)),
    }[level]


class Drawn:
    """Statistics under weights of items and raters: a pair counts w_item w_r w_s, for two different people only."""

    def __init__(self, rows: Rows) -> None:
        self.x = sorted({float(v) for _, _, v in rows})
        self.of: dict[Any, dict[Any, int]] = defaultdict(dict)
        for i, j, v in rows:
            self.of[i][j] = self.x.index(float(v))

    def pairs(self, item: Any, people: dict[Any, float]) -> list[tuple[int, int, float]]:
        given = self.of[item]
        return [(given[r], given[s], people[r] * people[s]) for r, s in permutations(given, 2)]

    def alpha(self, items: dict[Any, float], people: dict[Any, float], level: str) -> float:
        q = len(self.x)
        use = [i for i in self.of if items[i] > 0 and sum(w for _, _, w in self.pairs(i, people)) > 0]
        marginal = np.zeros(q)
        for i in use:
            for r, c in self.of[i].items():
                marginal[c] += items[i] * people[r]
        rank = np.cumsum(marginal) - marginal / 2

        def delta(c: int, k: int) -> float:
            return float((rank[c] - rank[k]) ** 2) if level == "ordinal" else apart(level, self.x, c, k)

        observed = 0.0
        for i in use:
            pairs = self.pairs(i, people)
            m = sum(people[r] for r in self.of[i])
            observed += items[i] * m * sum(w * delta(c, k) for c, k, w in pairs) / sum(w for _, _, w in pairs)
        chance = sum(marginal[c] * marginal[k] * delta(c, k) for c in range(q) for k in range(q))
        return 1 - (marginal.sum() - 1) * observed / chance if chance > 0 else math.nan

    def corrected(self, items: dict[Any, float], people: dict[Any, float], kind: str, name: str) -> float:
        q = len(self.x)
        a = [[1 - apart(name, self.x, c, k) for k in range(q)] for c in range(q)]
        top = bottom = rated = 0.0
        share = np.zeros(q)
        for i in self.of:
            mass = sum(w for _, _, w in self.pairs(i, people))
            if mass > 0:
                top += items[i] * sum(w * a[c][k] for c, k, w in self.pairs(i, people)) / mass
                bottom += items[i]
            m = sum(people[r] for r in self.of[i])
            if m > 0:
                rated += items[i]
                for r, c in self.of[i].items():
                    share[c] += items[i] * people[r] / m
        observed = top / bottom if bottom else math.nan
        share = share / rated
        chance = {
            "observed": 0.0,
            "fleiss": sum(a[c][k] * share[c] * share[k] for c in range(q) for k in range(q)),
            "gwet": sum(map(sum, a)) / (q * (q - 1)) * sum(p * (1 - p) for p in share),
            "bp": sum(map(sum, a)) / q**2,
        }[kind]
        return float((observed - chance) / (1 - chance)) if chance != 1 else math.nan


def draws_of_groups(rows: Rows, seed: int, n_boot: int, *, per_context: int = 2) -> Any:
    """The weights of the draws: contexts as often as drawn, then raters as often as drawn, both in sorted order."""
    items = sorted({i for i, _, _ in rows})
    contexts = sorted({i // per_context for i in items})
    raters = sorted({j for _, j, _ in rows})
    rng = np.random.default_rng(seed)
    for _ in range(n_boot):
        times = np.bincount(rng.integers(0, len(contexts), (1, len(contexts)))[0], minlength=len(contexts))
        people = rng.multinomial(len(raters), np.full(len(raters), 1 / len(raters)))
        by_item = {i: float(times[contexts.index(i // per_context)]) for i in items}
        yield by_item, dict(zip(raters, people.astype(float), strict=True))


def percentile(draws: list[float]) -> list[float]:
    found = np.array(draws)
    return [float(end) for end in np.quantile(found[np.isfinite(found)], [0.025, 0.975])]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("ends", [False, True])
def test_alpha_equals_a_naive_loop_with_the_same_weights(level: Any, ends: bool) -> None:
    rows = made(1, 16, 6)
    if ends:
        rows.append((99, 0, 9))  # the highest value stands in a single rating: the ends of the scale, and no pair
    by_hand = Drawn(rows)
    draws = [by_hand.alpha(items, people, level) for items, people in draws_of_groups(rows, 3, 80)]
    found = krippendorff_alpha(frame_of(rows), level=level, group="context", n_boot=80, seed=3, **BOTH)
    assert [found.low, found.high] == pytest.approx(percentile(draws), abs=1e-11)
    ones = dict.fromkeys(by_hand.of, 1.0), dict.fromkeys(range(6), 1.0)
    assert found.value == pytest.approx(by_hand.alpha(*ones, level), abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "name", "statistic"),
    [
        ("observed", "nominal", percent_agreement),
        ("fleiss", "nominal", fleiss_kappa),
        ("gwet", "nominal", gwet_ac1),
        ("bp", "nominal", randolph_kappa),
        ("observed", "quadratic", percent_agreement),
        ("fleiss", "quadratic", fleiss_kappa),
        ("gwet", "quadratic", gwet_ac2),
        ("bp", "quadratic", brennan_prediger),
    ],
)
def test_kappas_equal_a_naive_loop_and_keep_the_categories(kind: str, name: str, statistic: Any) -> None:
    # The value 9 is given once: most draws are without it, but it stays on offer.
    rows = [*made(2, 14, 5, missing=0.4), (20, 0, 9), (20, 1, 1)]
    by_hand = Drawn(rows)
    draws = [by_hand.corrected(items, people, kind, name) for items, people in draws_of_groups(rows, 4, 80)]
    how = {} if name == "nominal" else {"weights": name}
    found = statistic(frame_of(rows), group="context", n_boot=80, seed=4, **how, **BOTH)
    assert [found.low, found.high] == pytest.approx(percentile(draws), abs=1e-11)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("group", [None, "context"])
def test_the_value_is_the_plain_one(level: Any, group: str | None) -> None:
    for n_values, missing in ((4, 0.3), (4, 0.7), (150, 0.5)):
        rows = [*made(5, 40, 5, n_values, missing), (77, 2, n_values + 30)]
        for data in (frame_of(rows), frame_of(rows).cast({"value": pl.String})):
            plain = krippendorff_alpha(data, level=level, group=group, ci=None)
            both = krippendorff_alpha(data, level=level, group=group, n_boot=5, **BOTH)
            bare = krippendorff_alpha(data, level=level, group=group, ci=None, **BOTH)
            assert both.value == pytest.approx(plain.value, abs=1e-12)
            assert (both.n, both.scope, bare.scope) == (plain.n, "items+raters", "items+raters")
            assert (bare.value, bare.method) == (both.value, "none")


@pytest.mark.parametrize("statistic", FAMILY)
def test_the_value_of_every_statistic_is_the_plain_one(statistic: Any) -> None:
    frame = frame_of(made(6, 30, 5)).with_columns(part=pl.col("item_id") % 2)
    for group in (None, "context"):
        plain = statistic(frame, group=group, by="part", ci=None)
        both = statistic(frame, group=group, by="part", n_boot=5, **BOTH)
        assert both["value"].to_list() == pytest.approx(plain["value"].to_list(), abs=1e-12)
        assert both["n"].to_list() == plain["n"].to_list()
        alone = statistic(frame.filter(part=1), group=group, n_boot=5, **BOTH)
        assert repr(list(alone.as_row().values())) == repr(list(both.drop("part").row(1)))


def test_items_alone_are_drawn_as_groups_of_one() -> None:
    """Without groups equal items are one pattern; the draws are of the same kind as with a group for every item."""
    rows = made(7, 80, 6, 3, missing=0.2)
    alone = krippendorff_alpha(rows, n_boot=3000, **BOTH)
    own = frame_of([*rows, *((1000, j, v) for _, j, v in rows[:2])], per_context=1)
    one_pair = own.with_columns(context=pl.when(pl.col("item_id") == 1000).then(0).otherwise(pl.col("item_id")))
    grouped = krippendorff_alpha(one_pair, group="context", n_boot=3000, **BOTH)
    assert grouped.unit == "groups and 6 raters"
    assert [alone.low, alone.high] == pytest.approx([grouped.low, grouped.high], abs=0.03)


def four_raters() -> Rows:
    rng = np.random.default_rng(8)
    truth = rng.random(400) < 0.5
    return [(i, j, int(truth[i] ^ (rng.random() < 0.25))) for i in range(400) for j in range(4)]


def test_a_rater_drawn_twice_does_not_agree_with_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting the two as two people shifts every draw upwards, by about a fifth for four raters."""
    seen: list[Any] = []

    def spy(point: Any, draws: Any) -> Any:
        seen.append(draws)
        return point

    monkeypatch.setattr(two_way, "interval_of_draws", spy)
    rows = four_raters()
    found = krippendorff_alpha(rows, n_boot=400, **BOTH)
    draws = seen[0][np.isfinite(seen[0])]
    assert len(draws) >= 385  # one draw in 64 is four times one person
    assert float(np.mean(draws)) == pytest.approx(found.value, abs=0.02)
    rng = np.random.default_rng(1)
    values = np.array([v for _, _, v in rows]).reshape(400, 4)
    naive = []
    for _ in range(200):
        drawn = values[rng.integers(0, 400, 400)][:, rng.integers(0, 4, 4)]
        naive.append(krippendorff_alpha([(i, j, int(v)) for (i, j), v in np.ndenumerate(drawn)], ci=None).value)
    assert np.nanmean(naive) - found.value > 0.15


def test_fewer_than_four_raters_are_refused_and_fewer_than_twelve_noted() -> None:
    for n, note in ((2, "no interval over raters: 2 of them, 4 needed"), (3, "no interval over raters: 3 of them")):
        found = krippendorff_alpha(made(9, 40, n, missing=0), **BOTH)
        assert math.isnan(found.low)
        assert not math.isnan(found.value)
        assert found.note.startswith(note)
    for n in (4, 7, 11):
        found = krippendorff_alpha(made(9, 40, n, missing=0), n_boot=100, **BOTH)
        assert not math.isnan(found.low)
        assert found.note.startswith(f"{n} raters: the interval over raters may run short")
    found = krippendorff_alpha(made(9, 40, 12, missing=0), n_boot=100, **BOTH)
    assert found.note == ""
    assert not math.isnan(found.low)


@pytest.mark.parametrize("statistic", FAMILY)
@pytest.mark.parametrize("group", [None, "context"])
def test_row_order_and_names_change_nothing(statistic: Any, group: str | None) -> None:
    frame = frame_of(made(10, 30, 5))
    how = {"group": group, "n_boot": 40, "seed": 2, **BOTH}
    found = statistic(frame, **how)
    assert repr(statistic(frame.sample(fraction=1, shuffle=True, seed=3), **how)) == repr(found)
    # Names in another order would be drawn in another order: these sort as the old ones do.
    renamed = frame.with_columns(
        pl.format("item {} 🙂", pl.col("item_id").cast(pl.String).str.zfill(3)).alias("item_id"),
        pl.format("rater {}", "annotator_id").alias("annotator_id"),
    )
    again = statistic(renamed, **how)
    assert [again.value, again.low, again.high] == pytest.approx([found.value, found.low, found.high], abs=1e-12)
    assert repr(statistic(frame, **{**how, "seed": 3})) != repr(found)


def test_items_may_have_any_name_where_they_are_units() -> None:
    frame = frame_of(made(11, 30, 5))
    other = frame.with_columns(pl.col("item_id").hash(7).cast(pl.String))
    assert repr(krippendorff_alpha(frame, n_boot=40, **BOTH)) == repr(krippendorff_alpha(other, n_boot=40, **BOTH))


def test_the_text_of_the_estimate() -> None:
    found = krippendorff_alpha(made(12, 300, 12, missing=0.5), n_boot=60, **BOTH)
    assert str(found).endswith("(95 % two-way bootstrap over 300 items and 12 raters)")
    assert (found.unit, found.n_units, found.scope) == ("items and 12 raters", 300, "items+raters")
    grouped = krippendorff_alpha(frame_of(made(12, 300, 12, missing=0.5)), group="context", n_boot=60, **BOTH)
    assert "two-way bootstrap over 150 groups and 12 raters" in str(grouped)


@pytest.mark.parametrize("statistic", FAMILY)
def test_what_has_no_interval_over_raters(statistic: Any) -> None:
    nothing = statistic([("x", "a", 1), ("y", "b", 2)], **BOTH)
    assert math.isnan(nothing.value)
    assert "no item has two or more ratings" in nothing.note
    assert nothing.method == "two-way bootstrap"
    assert math.isnan(statistic([], **BOTH).value)
    one = statistic([("x", j, j % 2) for j in range(6)], **BOTH)
    assert not math.isnan(one.value)
    assert math.isnan(one.low)
    assert one.note == "no interval: one unit (items) only"
    if statistic is not percent_agreement:
        same = statistic([(i, j, 1) for i in range(5) for j in range(5)], **BOTH)
        assert math.isnan(same.value)
        assert "only one value" in same.note


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("n_values", [3, 80])
def test_draws_without_any_pair_are_counted(level: Any, n_values: int) -> None:
    # Two items with two ratings each, among many with one: many draws have no pair.
    rows = [(i, 0, 1 + i % n_values) for i in range(80)]
    rows += [(0, 1, 2), (1, 2, 1), (1, 3, 3)]
    found = krippendorff_alpha(rows, level=level, n_boot=100, **BOTH)
    assert "of 100 bootstrap draws undefined" in found.note
    assert math.isnan(found.low)


def test_other_scopes_and_intervals_are_refused() -> None:
    rows = made(13, 10, 5)
    with pytest.raises(ValueError, match='scope must be "items" or "items\\+raters", found \'raters\''):
        krippendorff_alpha(rows, scope="raters")  # type: ignore[arg-type]
    for ci in ("jackknife", "analytic", "hayes-krippendorff", "wald"):
        with pytest.raises(ValueError, match=rf"has a bootstrap interval only, found ci='{ci}'"):
            krippendorff_alpha(rows, ci=ci, **BOTH)
    for confidence in (0, 1, 95):
        with pytest.raises(ValueError, match="confidence must lie between 0 and 1"):
            krippendorff_alpha(rows, confidence=confidence, **BOTH)
    for n_boot in (0, -2):
        with pytest.raises(ValueError, match="n_boot must be at least 1"):
            krippendorff_alpha(rows, n_boot=n_boot, **BOTH)
