"""Annotators against the rest, the model and gold; the variance against refitting with other weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.agreement.labels.annotators import annotator_accuracy, annotator_reliability
from dfar_toolkit.agreement.labels.hit_rates import CONSENSUS, UNDETERMINED, Sets, hit_rates
from dfar_toolkit.agreement.labels.one_coin import Fit, fit_one_coin, one_coin
from dfar_toolkit.agreement.labels.one_coin_variance import accuracy_variances, information_at_bounds
from dfar_toolkit.agreement.labels.responses import Responses, read_responses
from dfar_toolkit.agreement.labels.votes import votes
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import ESTIMATE_SCHEMA, proportion

FEW = settings(max_examples=12)
Triples = list[tuple[Any, Any, Any]]

ratings = st.dictionaries(
    st.tuples(st.integers(0, 6), st.integers(0, 4)), st.integers(0, 2), min_size=1, max_size=30
).map(lambda cells: [(f"i{i}", f"r{r}", f"v{v}") for (i, r), v in cells.items()])


def simulated(seed: int, *, items: int, raters: int, each: int, values: int) -> tuple[np.ndarray, pl.DataFrame]:
    """Raters with accuracies from .55 to .95, wrong values equally likely."""
    rng = np.random.default_rng(seed)
    accuracy, truth = rng.uniform(0.55, 0.95, raters), rng.integers(0, values, items)
    who = np.argsort(rng.random((items, raters)), axis=1)[:, :each]
    wrong = (truth[:, None] + rng.integers(1, values, (items, each))) % values
    value = np.where(rng.random((items, each)) < accuracy[who], truth[:, None], wrong)
    frame = pl.DataFrame({"item_id": np.repeat(np.arange(items), each), "annotator_id": who.ravel()})
    return accuracy, frame.with_columns(value=value.ravel())


def one(frame: pl.DataFrame, statistic: str) -> pl.DataFrame:
    return frame.filter(statistic=statistic)


def test_agreement_with_rest_by_hand() -> None:
    # i: x and y say a, z b: for z the others agree on a (a miss), for x and y they tie. j: all say a: three hits.
    # k: x alone. l: x and y differ: a miss each.
    rows = [
        *(("i", r, v) for r, v in zip("xyz", "aab", strict=True)), *(("j", r, "a") for r in "xyz"), ("k", "x", "a"),
        ("l", "x", "a"), ("l", "y", "b"),
    ]  # fmt: skip
    found = one(annotator_reliability(rows), "agreement_with_rest")
    assert found.select("annotator_id", "value", "n", "overlap").rows() == [
        ("x", 0.5, 2, 3),
        ("y", 0.5, 2, 3),
        ("z", 0.5, 2, 2),
    ]
    assert [note.split(";")[0] for note in found["note"]] == ["1 rating left out: the others tie"] * 2 + [CONSENSUS]
    assert found.columns[:3] == ["annotator_id", "statistic", "overlap"]
    assert found.columns[3:] == list(ESTIMATE_SCHEMA)


def naive_rest(rows: Triples, rater: str) -> tuple[list[float], int]:
    hits, ties = [], 0
    for item, who, value in rows:
        others = [v for i, r, v in rows if i == item and r != rater]
        if who != rater or not others:
            continue
        top = max(others.count(v) for v in others)
        leaders = {v for v in others if others.count(v) == top}
        if len(leaders) > 1:
            ties += 1
        else:
            hits.append(float(value in leaders))
    return hits, ties


@FEW
@given(ratings, st.randoms(use_true_random=False))
def test_agreement_with_rest_equals_loops_and_row_order_changes_nothing(rows: Triples, random: Any) -> None:
    whole = annotator_reliability(rows)
    assert whole.equals(annotator_reliability(random.sample(rows, len(rows))))
    for row in one(whole, "agreement_with_rest").iter_rows(named=True):
        hits, ties = naive_rest(rows, row["annotator_id"])
        theirs = proportion("agreement with the rest", hits)
        assert [row["value"], row["low"], row["high"]] == pytest.approx(
            [theirs.value, theirs.low, theirs.high], abs=1e-12, nan_ok=True
        )
        assert row["n"] == len(hits)
        assert (f"{ties} rating" in row["note"]) == (ties > 0)


@FEW
@given(ratings)
def test_the_models_accuracy_is_one_coins(rows: Triples) -> None:
    found = one(annotator_reliability(rows), "one_coin_accuracy")
    model = one_coin(rows, tolerance=1e-11, max_iterations=2000).accuracy
    shared = found["overlap"].to_numpy() > 0
    assert found["value"].to_numpy()[shared] == pytest.approx(model["accuracy"].to_numpy()[shared], abs=1e-6)
    assert found.filter(overlap=0)["value"].is_nan().all()
    assert found["n"].to_list() == model["n"].to_list()
    inside = found.filter(pl.col("low").is_not_nan())
    assert ((inside["low"] <= inside["value"]) & (inside["value"] <= inside["high"])).all()


def refitted(responses: Responses, weights: np.ndarray, at: Fit) -> tuple[np.ndarray, np.ndarray]:
    """EM with weighted items from a fixed point, until it has come to rest: posterior (N, V), accuracies (R,)."""
    n_items, n_values = len(responses.items), len(responses.values)
    accuracy, prior = at.accuracy, at.prior
    for _ in range(600):
        joint = np.tile(np.log(prior), (n_items, 1))
        for i, r, v in zip(responses.item, responses.rater, responses.value, strict=True):
            hit = np.arange(n_values) == v
            joint[i] += np.where(hit, np.log(accuracy[r]), np.log((1 - accuracy[r]) / (n_values - 1)))
        posterior = np.exp(joint - joint.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
        hits = weights[responses.item] * posterior[responses.item, responses.value]
        old = accuracy
        accuracy = np.bincount(responses.rater, hits) / np.bincount(responses.rater, weights[responses.item])
        prior = weights @ posterior / weights.sum()
        if np.abs(accuracy - old).max() < 1e-13:
            break
    return posterior, accuracy


@pytest.mark.parametrize("by", ["rater", "pool"])
def test_the_variance_is_that_of_refitting_with_other_weights(by: str) -> None:
    _, frame = simulated(4, items=40, raters=5, each=4, values=3)
    responses = read_responses(frame)
    fit = fit_one_coin(responses, tolerance=1e-15, max_iterations=5000)
    assert 0.02 < fit.accuracy.min() < fit.accuracy.max() < 0.98
    of = responses.rater if by == "rater" else (responses.rater + responses.value) % 2
    units = responses.item // 2
    sets = Sets(of, int(of.max()) + 1, units[np.arange(len(units))], "groups")
    step, moves = 1e-4, []
    for unit in range(20):
        ends = []
        for sign in (1, -1):
            weights = 1 + sign * step * (np.arange(40) // 2 == unit)
            posterior, _ = refitted(responses, weights, fit)
            w = weights[responses.item]
            ends.append(np.bincount(of, w * posterior[responses.item, responses.value]) / np.bincount(of, w))
        moves.append((ends[0] - ends[1]) / (2 * step))
    expected = 20 / 19 * np.sum(np.square(moves), axis=0)
    assert accuracy_variances(responses, fit, sets) == pytest.approx(expected, rel=1e-4)


def test_at_its_bound_a_rater_counts_for_what_the_others_know() -> None:
    # x says what the sure y and z say: ten known labels, but for what y and z together leave open.
    rows = [(i, r, "ab"[i % 2]) for i in range(10) for r in "xyz"]
    responses = read_responses(rows)
    fit = fit_one_coin(responses)
    sets = Sets(responses.rater, 3, responses.item, "items")
    assert information_at_bounds(responses, fit, sets) == pytest.approx([10, 10, 10], abs=1e-6)
    found = one(annotator_reliability(rows), "one_coin_accuracy")
    theirs = proportion("accuracy", [1] * 10)
    assert found.select("value", "low", "high").row(0) == pytest.approx((1, theirs.low, theirs.high), abs=1e-6)
    assert "unstable: 3 annotators in all" in found["note"][0]


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    hits = []
    for seed in range(40):
        truth, frame = simulated(seed, items=150, raters=8, each=4, values=3)
        found = one(annotator_reliability(frame), "one_coin_accuracy")
        assert found["low"].is_not_nan().sum() >= 7
        hits += [a <= t <= b for a, t, b in zip(found["low"], truth, found["high"], strict=True)]
    assert 0.92 <= np.mean(hits) <= 0.99  # 320 intervals that are not independent; Wilson as if labels were known: .83


def test_two_annotators_alone_do_not_determine_the_model() -> None:
    # Only the rate of agreement is seen, which any two accuracies on a curve explain.
    rows = [(i, r, "ab"[(i + (r == "y" and i % 3 == 0)) % 2]) for i in range(60) for r in "xy"]
    found = one(annotator_reliability(rows), "one_coin_accuracy")
    assert found["low"].is_nan().all()
    assert all(UNDETERMINED in note for note in found["note"])
    rest = one(annotator_reliability(rows), "agreement_with_rest")
    assert rest["value"].to_list() == pytest.approx([2 / 3, 2 / 3], abs=1e-12)
    assert rest["low"].is_not_nan().all()


def test_groups_of_items_widen_and_confidence_widens() -> None:
    _, frame = simulated(1, items=120, raters=6, each=4, values=3)
    copies = pl.concat([frame.with_columns(pl.col("item_id") + 1000 * k, g=pl.col("item_id")) for k in range(4)])
    alone, grouped = annotator_reliability(copies), annotator_reliability(copies, group="g")
    assert alone["value"].to_list() == grouped["value"].to_list()
    assert set(grouped["unit"]) == {"groups"}
    assert alone["low"].is_not_nan().all()
    narrow, wide = (f["high"] - f["low"] for f in (alone, grouped))
    assert (wide > 1.5 * narrow).all()
    # Four copies of an item in a group say what one says.
    single = annotator_reliability(frame)
    assert grouped["value"].to_list() == pytest.approx(single["value"].to_list(), abs=1e-6)
    model = [one(f, "one_coin_accuracy") for f in (grouped, single)]
    assert model[0]["low"].to_list() == pytest.approx(model[1]["low"].to_list(), abs=1e-4)
    more = annotator_reliability(frame, confidence=0.99)
    assert (more["low"] < single["low"]).all()


def test_without_interval() -> None:
    _, frame = simulated(1, items=30, raters=5, each=3, values=2)
    found = annotator_reliability(frame, ci=None)
    assert found["value"].to_list() == annotator_reliability(frame)["value"].to_list()
    assert found["low"].is_nan().all()
    assert set(found["method"]) == {"none"}


def test_somebody_alone_is_undefined_and_says_why() -> None:
    rows = [(i, r, "ab"[i % 2]) for i in range(6) for r in "xyz"] + [("solo", "w", "a")]
    rows = [(str(i), r, v) for i, r, v in rows]
    found = annotator_reliability(rows).filter(annotator_id="w")
    assert found["value"].is_nan().all()
    assert found["overlap"].to_list() == [0, 0]
    assert "nobody else rated these items" in found["note"][0]
    assert "no item has a majority among the other ratings" in found["note"][1]


def test_one_value_one_rater() -> None:
    assert annotator_reliability([(1, "x", "a")])["value"].is_nan().all()
    found = annotator_reliability([(i, r, "a") for i in range(5) for r in "xy"])
    assert found["value"].to_list() == [1.0] * 4


def test_by_a_column_of_the_annotators() -> None:
    _, frame = simulated(2, items=60, raters=6, each=4, values=3)
    frame = frame.with_columns(side=pl.when(pl.col("annotator_id") < 2).then(pl.lit("left")))
    found = annotator_reliability(frame, by="side")
    assert found.columns[:4] == ["side", "n_annotators", "statistic", "overlap"]
    assert found.select("side", "n_annotators").unique(maintain_order=True).rows() == [(None, 4), ("left", 2)]
    each = annotator_reliability(frame)
    for statistic in ("one_coin_accuracy", "agreement_with_rest"):
        singles, (rest, left) = one(each, statistic), one(found, statistic)["value"]
        n = singles["n"].to_numpy()
        pooled = [np.average(singles["value"].to_numpy()[s], weights=n[s]) for s in (slice(2, None), slice(0, 2))]
        assert [rest, left] == pytest.approx(pooled, abs=1e-12)
    assert set(found["unit"]) == {"items"}


def test_accuracy_by_hand_and_by_group() -> None:
    gold = pl.DataFrame({"item_id": ["i", "j", "k"], "label": ["a", None, "never said"]})
    rows = pl.DataFrame(
        [("i", "x", "a", "p"), ("i", "y", "b", "q"), ("j", "x", "a", "p"), ("k", "x", "b", "p"), ("j", "z", "a", "q")],
        schema=["item_id", "annotator_id", "value", "g"], orient="row",
    )  # fmt: skip
    found = annotator_accuracy(rows, gold)
    assert found.select("annotator_id", "n").rows() == [("x", 2), ("y", 1), ("z", 0)]
    assert found["value"].to_list() == pytest.approx([0.5, 0.0, float("nan")], nan_ok=True)
    assert found["note"][2] == "no rated item has a label"
    grouped = annotator_accuracy(rows, gold, by="g")
    assert grouped.select("g", "n_annotators", "value", "n").rows() == [("p", 1, 0.5, 2), ("q", 2, 0.0, 1)]


def test_accuracy_takes_the_labels_of_votes() -> None:
    _, frame = simulated(3, items=50, raters=5, each=3, values=2)
    found = annotator_accuracy(frame, votes(frame))
    joined = frame.join(votes(frame), on="item_id").filter(pl.col("label").is_not_null())
    expected = joined.group_by("annotator_id").agg((pl.col("value") == pl.col("label")).mean()).sort("annotator_id")
    assert found["value"].to_list() == pytest.approx(expected["value"].to_list(), abs=1e-12)


def test_hit_rates_equal_proportion_of_each_set() -> None:
    rng = np.random.default_rng(5)
    of, unit, hits = rng.integers(0, 4, 90), rng.integers(0, 12, 90), (rng.random(90) < 0.7).astype(float)
    found = hit_rates("x", hits, Sets(of, 5, unit, "groups"), confidence=0.9, undefined="nothing there")
    for k in range(4):
        theirs = proportion("x", hits[of == k], groups=unit[of == k], confidence=0.9)
        assert (found[k].value, found[k].low, found[k].high) == pytest.approx(
            (theirs.value, theirs.low, theirs.high), abs=1e-12
        )
        assert (found[k].n, found[k].n_units) == (theirs.n, theirs.n_units)
    assert (np.isnan(found[4].value), found[4].note) == (True, "nothing there")


def test_refusals() -> None:
    rows = [("i", "x", "a"), ("i", "y", "b")]
    with pytest.raises(ValueError, match="annotator_reliability: ci must be \"analytic\" or None, found 'bootstrap'"):
        annotator_reliability(rows, ci="bootstrap")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1, found 2"):
        annotator_reliability(rows, confidence=2)
    with pytest.raises(TableError, match="twice"):
        annotator_reliability([*rows, ("i", "x", "b")])
    frame = pl.DataFrame(rows, schema=["item_id", "name", "value"], orient="row")
    with pytest.raises(ValueError, match='"name" names a column of the result'):
        annotator_reliability(frame, rater="name")
    with pytest.raises(TableError, match="there are no ratings"):
        annotator_reliability(frame.clear().rename({"name": "annotator_id"}))
    gold = pl.DataFrame({"item_id": ["i", "i"], "label": ["a", "b"]})
    with pytest.raises(TableError, match='labels must have one row per item; "i" has more'):
        annotator_accuracy(rows, gold)
    with pytest.raises(TableError, match='needs the column "gold" in labels; found item_id, label'):
        annotator_accuracy(rows, gold, label="gold")
    with pytest.raises(TableError, match="same types as in the ratings"):
        annotator_accuracy(rows, gold.head(1).with_columns(item_id=pl.lit(1)))


@pytest.mark.real
def test_hs_brexit_shows_whose_view_the_majority_is(shared_data: Path) -> None:
    rows = []
    for split in ("train", "dev", "test"):
        read = json.loads((shared_data / "lewidi" / f"HS-Brexit_{split}.json").read_text(encoding="utf-8"))
        for key, record in read.items():
            people = zip(record["annotators"].split(","), record["annotations"].split(","), strict=True)
            rows += [(f"{split}:{key}", who, value) for who, value in people]
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    frame = frame.with_columns(
        people=pl.when(pl.col("annotator_id").is_in(["Ann1", "Ann2", "Ann3"])).then(pl.lit("one"))
    )
    found = annotator_reliability(frame)
    assert found.height == 12
    assert found["low"].is_not_nan().all()
    labels = votes(frame)
    assert (labels["label"].null_count(), labels.height) == (int((labels["tied"].list.len() > 0).sum()), 1120)
    sides = annotator_accuracy(frame, labels, by="people")
    assert sides["n_annotators"].to_list() == [3, 3]
    assert sides["value"].is_between(0.8, 1).all()
