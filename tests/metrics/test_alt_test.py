"""The alternative annotator test: the notebook's numbers, a naive loop, ties, gaps, zero variance."""

from __future__ import annotations

import json
from itertools import product
from math import inf, isnan, nan
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.judging.alt_test import AltTest, alt_test


def frames(answers: dict[str, object], people: dict[str, dict[str, object]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    run = pl.DataFrame({"item_id": list(answers), "label": list(answers.values())}, strict=False)
    rows = [(i, h, v) for h, said in people.items() for i, v in said.items()]
    return run, pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row", strict=False)


def made(seed: int, n: int = 34, options: int = 3) -> tuple[pl.DataFrame, pl.DataFrame]:
    rng = np.random.default_rng(seed)
    items = [f"i{k}" for k in range(n)]
    people = {
        h: {i: int(rng.integers(1, options + 1)) for i in items if rng.random() < 0.9}
        for h in ("ann", "bob", "cyd", "dan")
    }
    return frames({i: int(rng.integers(1, options + 1)) for i in items}, people)


def naive(
    run: pl.DataFrame, ratings: pl.DataFrame, epsilon: float, *, distance: bool
) -> dict[str, tuple[float, float, float]]:
    """Per annotator the advantage, that of the person, and p; from the definition."""
    answers = dict(run.rows())
    people: dict[str, dict[str, float]] = {}
    for item, rater, value in ratings.rows():
        people.setdefault(rater, {})[item] = value
    found = {}
    for h, own in people.items():
        model, person = [], []
        for item, said in own.items():
            others = [v[item] for o, v in people.items() if o != h and item in v]
            if not others or answers.get(item) is None:
                continue
            if distance:
                s = [-np.sqrt(np.mean([(x - a) ** 2 for x in others])) for a in (answers[item], said)]
            else:
                s = [float(np.mean([x == a for x in others])) for a in (answers[item], said)]
            model.append(float(s[0] >= s[1] - 1e-12))
            person.append(float(s[1] >= s[0] - 1e-12))
        d = np.array(person) - np.array(model)
        found[h] = (np.mean(model), np.mean(person), ttest_1samp(d, epsilon, alternative="less").pvalue)
    return found


@pytest.mark.parametrize("distance", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_is_the_naive_loop(seed: int, distance: bool) -> None:
    run, ratings = made(seed, options=2 + 3 * distance)
    run = run.with_columns(label=pl.when(pl.int_range(pl.len()) % 9 > 0).then("label"))
    similarity = "negative_rmse" if distance else "agreement"
    found = alt_test(run, ratings, similarity=similarity, min_items=5, ci=None)
    expected = naive(run, ratings, 0.2, distance=distance)
    assert found.annotators["annotator_id"].to_list() == sorted(expected)
    for row in found.annotators.iter_rows(named=True):
        numbers = (row["value"], row["rho_human"], row["p"])
        assert numbers == pytest.approx(expected[row["annotator_id"]], abs=1e-12)
    assert found.advantage.value == pytest.approx(np.mean([v[0] for v in expected.values()]), abs=1e-12)
    assert "4 items without an answer left out" in found.advantage.note


def test_by_hand() -> None:
    # Against two others on one item: the model agrees with both, ann with neither, so bob and cyd tie with the model.
    found = alt_test(
        *frames({"x": "a", "y": "b"}, {h: {"x": v, "y": "b"} for h, v in zip("hij", "caa", strict=True)}), min_items=2
    )
    assert found.annotators["value"].to_list() == [1, 1, 1]
    assert found.annotators["rho_human"].to_list() == [0.5, 1, 1]
    # h: d = -1, 0; t = (-.5 - .2) / .5; i and j: d = 0, 0, no variance, below epsilon
    assert found.annotators["t"].to_list() == pytest.approx([-1.4, -inf, -inf])
    assert found.annotators["p"].to_list()[1:] == [0, 0]
    assert found.winning_rate.value == pytest.approx(2 / 3)
    assert found.passed
    assert found.winning_rate.note.startswith("3 annotators give 4 possible values; no interval")
    assert isnan(found.winning_rate.low)


def test_zero_variance() -> None:
    same = {f"i{k}": 1 for k in range(30)}
    run, ratings = frames(same, dict.fromkeys("abc", same))
    sure = alt_test(run, ratings, n_boot=20)
    assert (sure.winning_rate.value, sure.advantage.value, set(sure.annotators["p"])) == (1.0, 1.0, {0.0})
    none = alt_test(run, ratings, epsilon=0, n_boot=20)
    assert (none.winning_rate.value, none.advantage.value, none.passed) == (0.0, 1.0, False)
    assert all(isnan(p) for p in none.annotators["p"])
    worse = alt_test(run.with_columns(label=pl.lit(0)), ratings, n_boot=20)
    assert (worse.winning_rate.value, worse.advantage.value, set(worse.annotators["p"])) == (0.0, 0.0, {1.0})


def test_groups_are_the_unit_of_test_and_interval() -> None:
    run, ratings = made(4, n=20)
    alone = alt_test(run, ratings, min_items=5, n_boot=200)
    copies = [f"c{k}" for k in range(3)]
    longer = pl.concat([run.with_columns(pl.col("item_id") + c, group="item_id") for c in copies])
    many = pl.concat([ratings.with_columns(pl.col("item_id") + c) for c in copies])
    grouped = alt_test(longer, many, min_items=5, n_boot=200)
    for column in ("t", "p", "value", "mean_difference"):
        assert grouped.annotators[column].to_list() == pytest.approx(alone.annotators[column].to_list(), abs=1e-12)
    assert (grouped.advantage.low, grouped.advantage.high) == pytest.approx(
        (alone.advantage.low, alone.advantage.high), abs=0.02
    )
    assert (grouped.advantage.unit, grouped.advantage.n_units) == ("groups", 20)


@settings(max_examples=15)
@given(seed=st.integers(0, 999))
def test_laws(seed: int) -> None:
    run, ratings = made(seed, n=14)
    found = alt_test(run, ratings, min_items=5, n_boot=20)
    mixed = alt_test(
        run.sample(fraction=1, shuffle=True, seed=1),
        ratings.sample(fraction=1, shuffle=True, seed=2),
        min_items=5,
        n_boot=20,
    )
    assert mixed.annotators.equals(found.annotators, null_equal=True)
    assert str(mixed.advantage) == str(found.advantage)
    assert (found.annotators["value"] + found.annotators["rho_human"] >= 1 - 1e-12).all()  # a tie counts for both
    words = {1: "no way", 2: "🙂", 3: "yes"}
    renamed = alt_test(
        run.with_columns(pl.col("label").replace_strict(words)),
        ratings.with_columns(pl.col("value").replace_strict(words)), min_items=5, n_boot=20,
    )  # fmt: skip
    assert renamed.annotators.equals(found.annotators, null_equal=True)


def test_few_items_few_annotators() -> None:
    run, ratings = made(1, n=40)
    kept = ratings.filter((pl.col("annotator_id") != "dan") | (pl.col("item_id") < "i2"))
    three = alt_test(run, kept, ci=None)
    assert three.annotators["annotator_id"].to_list() == ["ann", "bob", "cyd"]
    assert "1 annotators with fewer than 30 items not tested" in three.advantage.note
    assert set(three.annotators["n"]) <= set(range(30, 41))
    few = alt_test(run, kept, min_annotators=4, ci=None)
    assert (isnan(few.winning_rate.value), few.winning_rate.note[:29], few.passed) == (
        True,
        "3 annotators tested, 4 wanted",
        False,
    )
    none = alt_test(run, kept, min_items=100)
    assert isnan(none.advantage.value)
    assert none.annotators.columns == three.annotators.columns
    assert none.annotators.schema == three.annotators.schema


def test_refused() -> None:
    run, ratings = made(1)
    with pytest.raises(TableError, match="an item has two answers in the run"):
        alt_test(pl.concat([run, run]), ratings)
    with pytest.raises(TableError, match="'ann' rates item 'i0' twice"):
        alt_test(run, pl.concat([ratings, ratings]))
    with pytest.raises(TableError, match="are these the same items"):
        alt_test(run.with_columns(pl.col("item_id") + "?"), ratings)
    with pytest.raises(ValueError, match="they must be alike"):
        alt_test(run.with_columns(pl.col("label").cast(pl.String)), ratings)
    with pytest.raises(TableError, match="negative_rmse takes numbers, found String"):
        alt_test(run.with_columns(pl.col("label").cast(pl.String)), ratings, similarity="negative_rmse")
    with pytest.raises(ValueError, match=r"epsilon must lie in \[0, 1\]"):
        alt_test(run, ratings, epsilon=nan)
    with pytest.raises(ValueError, match='ratings has no column "value"'):
        alt_test(run, ratings.drop("value"))
    with pytest.raises(ValueError, match="similarity must be one of"):
        alt_test(run, ratings, similarity="cosine")  # type: ignore[arg-type]


def _of_case(case: dict[str, object], first: dict[str, object], epsilon: float) -> AltTest:
    llm = first["llm"] if isinstance(case.get("llm", ""), str) else case["llm"]
    people = first["humans"] if isinstance(case.get("humans", ""), str) else case["humans"]
    run, ratings = frames(llm, people)  # type: ignore[arg-type]
    return alt_test(run, ratings, epsilon=epsilon, ci=None)


@pytest.mark.real
def test_published_cases(shared_cases: Path) -> None:
    cases = json.loads((shared_cases / "judge_cases.json").read_text(encoding="utf-8"))["alt_test"]
    checked = [case for case in cases if "epsilon" in case]
    assert len(checked) == 3
    for case in checked:
        found, want = _of_case(case, cases[0], case["epsilon"]), case["expected"]
        assert found.winning_rate.value == want["winning_rate"]
        assert found.advantage.value == pytest.approx(want["advantage_prob"], abs=1e-12)
        for row, (name, numbers) in product(found.annotators.iter_rows(named=True), want["per_annotator"].items()):
            if row["annotator_id"] == name:
                columns = ("n", "value", "rho_human", "mean_difference", "t", "p")
                wanted = [numbers[k] for k in ("n", "rho_llm", "rho_human", "mean_d", "t", "p")]
                assert [row[c] for c in columns] == pytest.approx(wanted, abs=1e-12)
