"""Dawid-Skene and one-coin: worked by hand, against loops written from the formulas, published cases, and laws."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.agreement.labels.dawid_skene import DawidSkene, dawid_skene
from dfar_toolkit.agreement.labels.one_coin import OneCoin, one_coin
from dfar_toolkit.errors import TableError

Triples = list[tuple[Any, Any, Any]]
FEW = settings(max_examples=40)

ratings = st.dictionaries(
    st.tuples(st.integers(0, 6), st.integers(0, 3)), st.integers(0, 2), min_size=1, max_size=24
).map(lambda cells: [(f"i{i}", f"r{r}", f"v{v}") for (i, r), v in cells.items()])

# x says a, a; y says a, b.
HAND = [("i", "x", "a"), ("i", "y", "a"), ("j", "x", "a"), ("j", "y", "b")]


def table(found: DawidSkene | OneCoin) -> np.ndarray:
    return np.array(found.posterior["label_probs"].to_list())


def soft_start(rows: Triples, items: list[Any], values: list[Any]) -> list[list[float]]:
    shares = []
    for i in items:
        own = [v for item, _, v in rows if item == i]
        shares.append([own.count(v) / len(own) for v in values])
    return shares


def naive_dawid_skene(rows: Triples, iterations: int, smoothing: float = 0.0) -> tuple[list[list[float]], list[float]]:
    """EM in loops and products, as the paper writes it."""
    items, raters, values = (sorted({row[k] for row in rows}) for k in range(3))
    posterior, path = soft_start(rows, items, values), []
    for _ in range(iterations):
        prior = [sum(t[k] for t in posterior) / len(items) for k in range(len(values))]
        rates: dict[tuple[Any, int, Any], float] = {}
        for r in raters:
            for k in range(len(values)):
                cell = {
                    v: smoothing + sum(posterior[items.index(i)][k] for i, s, w in rows if s == r and w == v)
                    for v in values
                }
                total = sum(cell.values())
                rates |= {(r, k, v): cell[v] / total if total else 0.0 for v in values}
        likelihood, posterior = 0.0, []
        for i in items:
            joint = [
                prior[k] * math.prod(rates[r, k, v] for item, r, v in rows if item == i) for k in range(len(values))
            ]
            likelihood += math.log(sum(joint))
            posterior.append([x / sum(joint) for x in joint])
        path.append(likelihood + (smoothing * sum(math.log(x) for x in rates.values()) if smoothing else 0.0))
    return posterior, path


def naive_one_coin(rows: Triples, iterations: int, smoothing: float = 0.0) -> tuple[list[list[float]], list[float]]:
    items, raters, values = (sorted({row[k] for row in rows}) for k in range(3))
    posterior, path = soft_start(rows, items, values), []
    others = max(len(values) - 1, 1)
    for _ in range(iterations):
        prior = [sum(t[k] for t in posterior) / len(items) for k in range(len(values))]
        accuracy = {}
        for r in raters:
            own = [posterior[items.index(i)][values.index(v)] for i, s, v in rows if s == r]
            accuracy[r] = min((smoothing + sum(own)) / (2 * smoothing + len(own)), 1.0)
        likelihood, posterior = 0.0, []
        for i in items:
            joint = [
                prior[k]
                * math.prod(
                    accuracy[r] if v == values[k] else (1 - accuracy[r]) / others for item, r, v in rows if item == i
                )
                for k in range(len(values))
            ]
            likelihood += math.log(sum(joint))
            posterior.append([x / sum(joint) for x in joint])
        beyond = sum(math.log(a) + math.log(1 - a) for a in accuracy.values()) if smoothing else 0.0
        path.append(likelihood + smoothing * beyond)
    return posterior, path


def test_dawid_skene_by_hand() -> None:
    # Start: T_i = (1, 0), T_j = (1/2, 1/2), so p = (3/4, 1/4). x always says a. y: given truth a, 1 of 1 1/2 ratings is
    # a; given b, none. Item i: 3/4 * 2/3 = 1/2 and 0; item j: 3/4 * 1/3 = 1/4 and 1/4 * 1 = 1/4: where it began.
    found = dawid_skene(HAND)
    assert table(found) == pytest.approx(np.array([[1, 0], [0.5, 0.5]]), abs=1e-12)
    assert found.prior["prior"].to_list() == pytest.approx([0.75, 0.25], abs=1e-12)
    of_y = found.error_rates.filter(rater="y").select("true", "given", "rate", "expected").rows()
    assert [row[:2] for row in of_y] == [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]
    assert [row[2] for row in of_y] == pytest.approx([2 / 3, 1 / 3, 0, 1], abs=1e-12)
    assert [row[3] for row in of_y] == pytest.approx([1, 0.5, 0, 0.5], abs=1e-12)
    assert found.log_likelihood == pytest.approx([2 * math.log(1 / 2)] * 2, abs=1e-12)
    assert (found.iterations, found.converged) == (2, True)


def test_one_step_of_one_coin_by_hand() -> None:
    # Both accuracies begin at (1 + 1/2) / 2 = 3/4, p = (3/4, 1/4). Item i: 3/4 * 9/16 = 27/64 and 1/4 * 1/16 = 1/64;
    # item j: 3/4 * 3/16 = 9/64 and 1/4 * 3/16 = 3/64.
    found = one_coin(HAND, max_iterations=1)
    expected = [[Fraction(27, 28), Fraction(1, 28)], [Fraction(3, 4), Fraction(1, 4)]]
    assert table(found) == pytest.approx(np.array(expected, dtype=float), abs=1e-12)
    assert found.log_likelihood == pytest.approx([math.log(28 / 64) + math.log(12 / 64)], abs=1e-12)
    assert found.accuracy.rows() == [("x", pytest.approx(6 / 7, abs=1e-12), 2), ("y", pytest.approx(17 / 28), 2)]
    assert found.prior["prior"].to_list() == pytest.approx([6 / 7, 1 / 7], abs=1e-12)
    assert not found.converged


@FEW
@given(ratings, st.sampled_from([0.0, 0.5]))
def test_equal_to_loops(rows: Triples, smoothing: float) -> None:
    for model, naive in ((dawid_skene, naive_dawid_skene), (one_coin, naive_one_coin)):
        found = model(rows, smoothing=smoothing, max_iterations=12)
        posterior, path = naive(rows, found.iterations, smoothing)
        assert table(found) == pytest.approx(np.array(posterior), abs=1e-10)
        assert found.log_likelihood == pytest.approx(path, abs=1e-10)


@FEW
@given(ratings, st.sampled_from([0.0, 0.3]), st.sampled_from(["soft", "majority"]))
def test_em_never_falls_and_rows_are_distributions(rows: Triples, smoothing: float, initial: Any) -> None:
    for model in (dawid_skene, one_coin):
        found = model(rows, smoothing=smoothing, initial=initial, tolerance=0, max_iterations=60)
        assert (np.diff(found.log_likelihood) >= -1e-9).all()
        assert table(found).sum(axis=1) == pytest.approx(1, abs=1e-12)
        assert found.prior["prior"].sum() == pytest.approx(1, abs=1e-12)


@FEW
@given(ratings, st.randoms(use_true_random=False))
def test_row_order_changes_nothing_at_all(rows: Triples, random: Any) -> None:
    shuffled = random.sample(rows, len(rows))
    for model in (dawid_skene, one_coin):
        left, right = model(rows), model(shuffled)
        assert left.posterior.equals(right.posterior)
        assert left.log_likelihood.tobytes() == right.log_likelihood.tobytes()


@FEW
@given(ratings)
def test_new_names_move_rows_and_columns_alone(rows: Triples) -> None:
    back = {"v0": "😀 z", "v1": "m m", "v2": "a"}  # the other way round in the order of names
    renamed = [(i, {"r0": "q", "r1": "p", "r2": "o", "r3": "n"}[r], back[v]) for i, r, v in rows]
    for model in (dawid_skene, one_coin):
        left, right = model(rows, max_iterations=20), model(renamed, max_iterations=20)
        place = [right.values.to_list().index(back[v]) for v in left.values]
        assert table(left) == pytest.approx(table(right)[:, place], abs=1e-8)


def test_two_raters_who_always_agree_are_right() -> None:
    rows = [(i, r, v) for i, v in enumerate("abcabca") for r in ("x", "y")]
    for model in (dawid_skene, one_coin):
        found = model(rows)
        assert table(found).max(axis=1).tolist() == [1.0] * 7
        assert found.prior["prior"].to_list() == pytest.approx([3 / 7, 2 / 7, 2 / 7], abs=1e-12)
    rates = dawid_skene(rows).error_rates
    assert rates.filter(pl.col("true") == pl.col("given"))["rate"].to_list() == [1.0] * 6
    assert one_coin(rows).accuracy["accuracy"].to_list() == [1.0, 1.0]


def test_one_value_one_rater_one_item() -> None:
    for rows in ([(1, "x", "a")], [(1, "x", "a"), (1, "y", "a"), (2, "x", "a")], [(1, "x", 3.5), (2, "x", 3.5)]):
        for model in (dawid_skene, one_coin):
            found = model(rows)
            assert (table(found) == 1).all()
            assert found.log_likelihood[-1] == 0
            assert found.converged


def test_items_with_one_rating_keep_a_posterior_and_a_lone_rater_moves_nobody() -> None:
    rng = np.random.default_rng(0)
    shared = [(i, r, "ab"[int(rng.random() < 0.3) ^ (i % 2)]) for i in range(30) for r in "xyz"]
    alone = [(f"{i}", r, v) for i, r, v in shared] + [("z1", "lone", "a"), ("z2", "lone", "b"), ("z3", "x", "b")]
    for model in (dawid_skene, one_coin):
        found = model(alone)
        assert found.posterior.height == 33
        assert np.isfinite(table(found)).all()


def test_more_values_than_ratings_of_anybody() -> None:
    rows = [(i, r, 10 * i + k) for i in range(5) for k, r in enumerate("xy")]
    found = dawid_skene(rows)
    assert table(found).shape == (5, 10)
    assert np.isfinite(table(found)).all()
    assert table(found)[0, 2:].tolist() == [0.0] * 8
    # x never met an item whose true value might be 40 or 41 but its own fifth: the other rows stay undefined.
    lone = dawid_skene([*rows, (9, "z", 0)]).error_rates.filter(rater="z", true=41)["rate"]
    assert lone.is_nan().all()


def test_repeats_are_refused_or_data() -> None:
    rows = [("i", "x", "a"), ("i", "x", "a"), ("i", "y", "b"), ("j", "y", "b")]
    for model in (dawid_skene, one_coin):
        with pytest.raises(TableError, match="twice"):
            model(rows)
        kept = model(rows, repeats="keep", max_iterations=3)
        split = [("i", "x", "a"), ("i", "x2", "a"), ("i", "y", "b"), ("j", "y", "b")]
        # Two copies of one rater with one item each have the same error rates, so they count as one who came twice.
        assert table(kept) == pytest.approx(table(model(split, max_iterations=3)), abs=1e-12)
    with pytest.raises(ValueError, match=r"read_responses: repeats .* found 'first'"):
        dawid_skene(rows, repeats="first")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "how", [{"smoothing": -1}, {"initial": "random"}, {"tolerance": float("nan")}, {"max_iterations": 0}]
)
def test_options_out_of_range(how: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^dawid_skene: "):
        dawid_skene(HAND, **how)
    with pytest.raises(ValueError, match=r"^one_coin: "):
        one_coin(HAND, **how)


def test_no_ratings_and_too_many_values() -> None:
    with pytest.raises(TableError, match="there are no ratings"):
        dawid_skene(pl.DataFrame({"item_id": ["i"], "annotator_id": ["x"], "value": [None]}))
    n = 20_000
    wide = pl.DataFrame({"item_id": range(n), "annotator_id": ["x"] * n, "value": range(n)})
    with pytest.raises(TableError, match="more than 200,000,000"):
        dawid_skene(wide)


@pytest.mark.real
def test_the_anaesthetists(shared_cases: Path) -> None:
    held = json.loads((shared_cases / "agreement_cases.json").read_text(encoding="utf-8"))
    rows = [tuple(row) for row in held["datasets"]["dawid_skene1979"]["values"]]
    cases = {c["statistic"]: c for c in held["cases"] if c["dataset"] == "dawid_skene1979"}
    found = dawid_skene(rows, repeats="keep")
    prior, rates = cases["dawid_skene_class_prior"], cases["dawid_skene_error_rates"]
    assert found.prior["prior"].to_list() == pytest.approx(prior["expected"], abs=prior["tol"])
    first = found.error_rates.filter(rater=1)["rate"].to_numpy().reshape(4, 4)
    assert first == pytest.approx(np.array(rates["expected"]), abs=rates["tol"])
    # An EM written for the case file, ten digits, run until nothing moved.
    exact = dawid_skene(rows, repeats="keep", tolerance=1e-13)
    assert exact.prior["prior"].to_list() == pytest.approx(prior["verified_by"][1]["value"], abs=1e-9)
    first = exact.error_rates.filter(rater=1)["rate"].to_numpy().reshape(4, 4)
    assert first == pytest.approx(np.array(rates["verified_by"][1]["value"]), abs=1e-9)
