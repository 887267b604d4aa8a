"""MACE and GLAD through crowd-kit: the same numbers as the package's own, whatever the order of names."""

from __future__ import annotations

import sys
import warnings
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.agreement.labels import votes as doors
from dfar_toolkit.agreement.labels.crowd import fit_glad, fit_mace, glad, mace
from dfar_toolkit.agreement.labels.dawid_skene import dawid_skene
from dfar_toolkit.agreement.labels.one_coin import one_coin
from dfar_toolkit.errors import TableError

FAST: list[Any] = [partial(glad, max_iterations=2), partial(mace, n_restarts=1, iterations=5)]
VALUES = ["yes 😀", "a b", "no"]


def simulated(seed: int, *, items: int = 20, raters: int = 5, values: int = 3) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    truth, accuracy = rng.integers(0, values, items), np.linspace(0.55, 0.95, raters)
    wrong = (truth[:, None] + rng.integers(1, max(values, 2), (items, raters))) % values
    value = np.where(rng.random((items, raters)) < accuracy, truth[:, None], wrong)
    long = [(f"i{i}", f"r{raters - r}", VALUES[value[i, r]]) for i in range(items) for r in range(raters)]
    frame = pl.DataFrame(long, schema=["item_id", "annotator_id", "value"], orient="row")
    return frame.filter(pl.Series(rng.random(len(frame)) < 0.8))


def table(posterior: pl.DataFrame) -> np.ndarray:
    return np.array(posterior["label_probs"].to_list())


def theirs(model: Any, frame: pl.DataFrame, order: list[str]) -> np.ndarray:
    """crowd-kit's own posterior, items sorted, values in this order."""
    named = {"item_id": "task", "annotator_id": "worker", "value": "label"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"crowdkit\.")
        found = model.fit_predict_proba(frame.rename(named).to_pandas())
    return np.asarray(found.sort_index()[order])


def test_glad_is_crowd_kits() -> None:
    from crowdkit.aggregation import GLAD

    frame = simulated(0)
    found = glad(frame, max_iterations=2)
    assert found.values.to_list() == sorted(VALUES)
    # Its conjugate gradients stop early, and sums in another order end elsewhere in the last digits shown here.
    assert table(found.posterior) == pytest.approx(theirs(GLAD(n_iter=2), frame, sorted(VALUES)), abs=1e-3)
    assert found.ability.filter(rater="r1")["ability"][0] > found.ability.filter(rater="r5")["ability"][0]


def test_mace_is_crowd_kits_where_names_come_in_order() -> None:
    from crowdkit.aggregation import MACE

    # Named in the order in which they occur, once sorted by item and rater, crowd-kit mixes nothing up.
    frame = simulated(1).sort("item_id", "annotator_id")
    codes = {v: f"{k}" for k, v in enumerate(frame["value"].unique(maintain_order=True))}
    people = {r: f"{k}" for k, r in enumerate(frame["annotator_id"].unique(maintain_order=True))}
    renamed = frame.with_columns(pl.col("value").replace(codes), pl.col("annotator_id").replace(people))
    renamed = renamed.sort("item_id", maintain_order=True)
    own = theirs(MACE(n_restarts=1, n_iter=8, random_state=7), renamed, sorted(codes.values()))
    found = mace(frame, n_restarts=1, iterations=8, seed=7)
    place = [list(codes).index(v) for v in sorted(VALUES)]
    assert table(found.posterior) == pytest.approx(own[:, place], abs=1e-9)


def test_mace_does_not_depend_on_the_order_of_names() -> None:
    frame = simulated(2)
    found = mace(frame, n_restarts=2, iterations=8)
    shuffled = mace(frame.sample(fraction=1, shuffle=True, seed=3), n_restarts=2, iterations=8)
    assert found.posterior.equals(shuffled.posterior)
    assert found.competence.equals(shuffled.competence)
    back = {v: f"z{9 - k}" for k, v in enumerate(sorted(VALUES))}
    renamed = mace(frame.with_columns(pl.col("value").replace(back)), n_restarts=2, iterations=8)
    assert table(renamed.posterior)[:, ::-1] == pytest.approx(table(found.posterior), abs=1e-9)
    assert renamed.log_likelihood == pytest.approx(found.log_likelihood, abs=1e-9)


def test_mace_restarts_differ_and_the_likeliest_counts() -> None:
    frame = simulated(3, items=12)
    alone = [mace(frame, n_restarts=1, iterations=3, seed=seed).log_likelihood for seed in range(4)]
    assert len(set(alone)) == 4
    assert mace(frame, n_restarts=4, iterations=3).log_likelihood == max(alone)
    found = mace(frame, n_restarts=2, iterations=8)
    assert found.competence["rater"].to_list() == ["r1", "r2", "r3", "r4", "r5"]
    assert found.competence["competence"].is_between(0, 1).all()
    assert found.competence["guesses"].list.sum().to_list() == pytest.approx([1.0] * 5)


def test_one_value_and_one_rater() -> None:
    rows = [("i", "x", "a"), ("i", "y", "a"), ("j", "x", "a")]
    for model in FAST:
        assert table(model(rows).posterior).tolist() == [[1.0], [1.0]]
    assert glad(rows).ability["ability"].is_nan().all()
    lone = [("i", "x", "a"), ("j", "x", "b")]
    for model in FAST:
        assert table(model(lone).posterior).argmax(axis=1).tolist() == [0, 1]


def test_votes_opens_the_door_to_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "fit_glad", partial(fit_glad, max_iterations=2))
    monkeypatch.setattr(doors, "fit_mace", partial(fit_mace, n_restarts=1, iterations=5))
    frame = simulated(4)
    for method, posterior in (
        ("mace", mace(frame, n_restarts=1, iterations=5, seed=5).posterior),
        ("glad", glad(frame, max_iterations=2).posterior),
    ):
        found = doors.votes(frame, method=method, seed=5, options=[*VALUES, "never"])  # type: ignore[arg-type]
        place = [sorted(VALUES).index(v) for v in VALUES]
        assert table(found.select("label_probs"))[:, :3] == pytest.approx(table(posterior)[:, place], abs=1e-12)
        assert table(found.select("label_probs"))[:, 3].tolist() == [0.0] * 20
        assert set(found["method"]) == {method}


def test_repeats() -> None:
    rows = [("i", "x", "a"), ("i", "x", "a"), ("i", "y", "b"), ("j", "y", "b"), ("j", "x", "b")]
    for model in FAST:
        with pytest.raises(TableError, match="twice"):
            model(rows)
        assert model(rows, repeats="keep").posterior.height == 2


def test_so_many_ratings_that_products_vanish() -> None:
    rng = np.random.default_rng(0)
    rows = [(i, r, int(rng.integers(0, 3))) for i in range(2) for r in range(1200)]
    with pytest.raises(
        TableError, match="up to 1200 ratings, and crowd-kit's products of so many probabilities vanish"
    ):
        mace(rows, n_restarts=1)


def test_out_of_range() -> None:
    rows = [("i", "x", "a")]
    with pytest.raises(ValueError, match="mace: n_restarts and iterations must be at least 1, found 0 and 50"):
        mace(rows, n_restarts=0)
    with pytest.raises(ValueError, match="glad: tolerance must be 0 or more"):
        glad(rows, tolerance=-1)


def test_without_crowd_kit_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "crowdkit", None)
    rows = [("i", "x", "a"), ("i", "y", "b")]
    for call in (mace, glad):
        with pytest.raises(ImportError, match=r"install it with: pip install 'dfar-toolkit\[crowd\]'"):
            call(rows)


def test_our_em_is_crowd_kits() -> None:
    from crowdkit.aggregation import DawidSkene, OneCoinDawidSkene

    frame = simulated(6, items=80)
    for model, peer in ((dawid_skene, DawidSkene), (one_coin, OneCoinDawidSkene)):
        ours = model(frame, tolerance=0, max_iterations=10)
        assert ours.iterations == 10
        # crowd-kit keeps every probability above 1e-10.
        own = theirs(peer(n_iter=10, tol=-np.inf), frame, sorted(VALUES))
        assert table(ours.posterior) == pytest.approx(own, abs=1e-7)
