"""The run as one more annotator."""

from __future__ import annotations

import json
from itertools import combinations
from math import isnan
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import cohen_kappa_score

from dfar_toolkit.agreement import krippendorff_alpha, light_kappa
from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.one_more_annotator import as_annotator

WORDS = ["no", "maybe so", "🙂"]


def _made(n_items: int, n_raters: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ratings with holes, and a run without an answer on the first item."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, size=n_items)
    rows = [
        (f"i{i:03}", f"r{r}", WORDS[truth[i] if rng.random() < 0.6 else rng.integers(0, 3)])
        for i in range(n_items)
        for r in range(n_raters)
        if rng.random() < 0.8
    ]
    ratings = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    run = [WORDS[t if rng.random() < 0.7 else 0] for t in truth]
    answers = pl.DataFrame({"item_id": [f"i{i:03}" for i in range(n_items)], "label": [None, *run[1:]]})
    return answers, ratings


def _value(table: pl.DataFrame, metric: str, annotator: str | None = None) -> float:
    own = pl.col("annotator").eq_missing(pl.lit(annotator, dtype=pl.String))
    return float(table.filter(pl.col("metric") == metric, own)["value"].item())


def _point(ratings: pl.DataFrame, **how: str) -> float:
    found = krippendorff_alpha(ratings, ci=None, **how)
    assert not isinstance(found, pl.DataFrame)
    return found.value


@pytest.mark.parametrize("level", ["nominal", "interval"])
def test_equals_agreement_and_scikit_learn(level: str) -> None:
    answers, ratings = _made(60, 4, 0)
    if level == "interval":
        places = {w: str(k) for k, w in enumerate(WORDS)}
        answers, ratings = (
            f.with_columns(pl.col(c).replace(places)) for f, c in ((answers, "label"), (ratings, "value"))
        )
    table = as_annotator(answers, ratings, level=level, ci=None)
    run = answers.drop_nulls().rename({"label": "value"}).with_columns(annotator_id=pl.lit("run"))
    own = ratings.join(run, on="item_id", how="semi")
    if level == "interval":
        own, run = (f.with_columns(pl.col("value").cast(pl.Float64)) for f in (own, run))
    both = pl.concat([own, run.select(own.columns)])
    weights = None if level == "nominal" else "quadratic"
    kappas, alphas = {}, {}
    for a, b in combinations(["run", "r0", "r1", "r2", "r3"], 2):
        pair = both.filter(pl.col("annotator_id").is_in([a, b]))
        wide = pair.pivot("annotator_id", index="item_id", values="value").drop_nulls()
        kappas[a, b] = cohen_kappa_score(wide[a], wide[b], weights=weights)
        alphas[a, b] = _point(pair, level=level)
    with_run = [kappas["run", r] for r in ("r0", "r1", "r2", "r3")]
    assert _value(table, "kappa_run") == pytest.approx(np.mean(with_run), abs=1e-12)
    people = [v for (a, _), v in kappas.items() if a != "run"]
    assert _value(table, "kappa_people") == pytest.approx(np.mean(people), abs=1e-12)
    assert _value(table, "kappa_difference") == pytest.approx(np.mean(with_run) - np.mean(people), abs=1e-12)
    assert _value(table, "kappa_with_run", "r2") == pytest.approx(kappas["run", "r2"], abs=1e-12)
    assert _value(table, "kappa_with_people", "r2") == pytest.approx(
        np.mean([kappas["r0", "r2"], kappas["r1", "r2"], kappas["r2", "r3"]]), abs=1e-12
    )
    assert _value(table, "pair_alpha_run") == pytest.approx(
        np.mean([v for (a, _), v in alphas.items() if a == "run"]), abs=1e-12
    )
    assert _value(table, "alpha_with_run", "r0") == pytest.approx(alphas["run", "r0"], abs=1e-12)
    shared = own.filter(pl.len().over("item_id") >= 2)
    assert _value(table, "alpha_people") == pytest.approx(_point(shared, level=level), abs=1e-12)
    joined = both.join(shared, on="item_id", how="semi")
    assert _value(table, "alpha_with_run") == pytest.approx(_point(joined, level=level), abs=1e-12)
    light = light_kappa(own, weights=weights, order=None, ci=None)
    assert not isinstance(light, pl.DataFrame)
    assert _value(table, "kappa_people") == pytest.approx(light.value, abs=1e-12)


def test_words_by_order_are_their_positions() -> None:
    answers, ratings = _made(40, 3, 1)
    places = {w: str(k) for k, w in enumerate(WORDS)}
    numbers = as_annotator(
        answers.with_columns(pl.col("label").replace(places)), ratings.with_columns(pl.col("value").replace(places)),
        level="interval", n_boot=30,
    )  # fmt: skip
    assert as_annotator(answers, ratings, level="interval", order=WORDS, n_boot=30).equals(numbers)


def test_a_copy_of_an_annotator_agrees_with_her_perfectly() -> None:
    _, ratings = _made(40, 3, 2)
    copy = ratings.filter(pl.col("annotator_id") == "r1").select("item_id", label="value")
    table = as_annotator(copy, ratings, n_boot=50)
    row = table.filter(pl.col("metric") == "kappa_with_run", pl.col("annotator") == "r1").row(0, named=True)
    assert (row["value"], row["n"]) == (1.0, len(copy))
    assert "every bootstrap draw gives the same value" in row["note"]
    assert _value(table, "alpha_difference") > 0


def test_intervals_are_paired_by_group_and_repeatable() -> None:
    answers, ratings = _made(60, 4, 3)
    table = as_annotator(answers, ratings, n_boot=100)
    row = table.filter(pl.col("metric") == "kappa_difference").row(0, named=True)
    assert row["low"] < row["value"] < row["high"]
    assert table.equals(as_annotator(answers.reverse(), ratings.reverse(), n_boot=100))
    grouped = as_annotator(
        answers,
        ratings.with_columns(group=pl.col("item_id").str.slice(1).cast(pl.Int64) // 5),
        group="group",
        n_boot=100,
    )
    assert grouped["value"].to_list() == pytest.approx(table["value"].to_list(), abs=1e-12)
    assert set(grouped["unit"]) == {"groups"}
    assert grouped["low"].to_list() != table["low"].to_list()


def test_pairs_with_few_items_are_left_out_and_counted() -> None:
    answers, ratings = _made(30, 3, 4)
    rare = pl.DataFrame({"item_id": ["i001", "i002"], "annotator_id": ["rare"] * 2, "value": ["no", "no"]})
    table = as_annotator(answers, pl.concat([ratings, rare]), ci=None)
    assert _value(table, "kappa_run") == _value(as_annotator(answers, ratings, ci=None), "kappa_run")
    assert isnan(_value(table, "kappa_with_run", "rare"))
    with_rare = ratings.filter(pl.col("item_id").is_in(rare["item_id"]))["annotator_id"].n_unique() + 1  # and the run
    assert f"{with_rare} pairs with fewer than 10 common items left out" in table["note"][0]
    assert "1 of 30 rated items without an answer of the run left out" in table["note"][0]


def test_undefined_says_why() -> None:
    ratings = pl.DataFrame({"item_id": ["a", "b"], "annotator_id": ["x", "x"], "value": ["no", "yes"]})
    table = as_annotator(pl.DataFrame({"item_id": ["a", "b"], "label": ["no", "yes"]}), ratings, min_items=1)
    assert _value(table, "kappa_run") == 1.0
    for metric in ("kappa_people", "kappa_difference", "alpha_people", "alpha_with_run"):
        assert isnan(_value(table, metric))
    assert "no item that two people rated" in table.filter(pl.col("metric") == "alpha_people")["note"].item()
    apart = as_annotator(pl.DataFrame({"item_id": ["c"], "label": ["no"]}), ratings)
    assert apart["value"].is_nan().all()


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"level": "ordinal"}, ValueError, "level must be nominal or interval"),
        ({"order": WORDS}, ValueError, "order is for level interval"),
        ({"min_items": 0}, ValueError, "min_items must be at least 1"),
        ({"level": "interval"}, TableError, "level interval needs numbers, found"),
        ({"level": "interval", "order": WORDS[:2]}, TableError, "give order all labels"),
        ({"pred": "answer"}, ValueError, 'no column "answer"'),
    ],
)
def test_refusals(how: dict[str, object], error: type[Exception], message: str) -> None:
    answers, ratings = _made(15, 3, 5)
    with pytest.raises(error, match=message):
        as_annotator(answers, ratings, **how)


def test_refusals_of_data() -> None:
    answers, ratings = _made(15, 3, 6)
    with pytest.raises(TableError, match="one answer per item is wanted; item 'i000' has several"):
        as_annotator(pl.concat([answers, answers]), ratings)
    with pytest.raises(TableError, match="must be the same labels"):
        as_annotator(answers.with_columns(label=pl.lit("NO")), ratings)
    with pytest.raises(TableError, match="twice"):
        as_annotator(answers, pl.concat([ratings, ratings.tail(1)]))


@pytest.mark.real
def test_real_annotators(shared_data: Path) -> None:
    records = json.loads((shared_data / "lewidi" / "HS-Brexit_dev.json").read_text())
    rows = [
        (key, who.strip(), vote.strip())
        for key, r in records.items()
        for who, vote in zip(r["annotators"].split(","), r["annotations"].split(","), strict=True)
    ]
    ratings = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    leader = ratings["annotator_id"].unique().sort()[0]
    one = ratings.filter(pl.col("annotator_id") == leader).select("item_id", label="value")
    others = ratings.filter(pl.col("annotator_id") != leader)
    table = as_annotator(one, others, n_boot=50)
    # One of the six taken for the run: with the run in, alpha is that of all six.
    assert _value(table, "alpha_with_run") == pytest.approx(_point(ratings), abs=1e-12)
    light = light_kappa(others, ci=None)
    assert not isinstance(light, pl.DataFrame)
    assert _value(table, "kappa_people") == pytest.approx(light.value, abs=1e-12)
