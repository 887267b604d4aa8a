"""Would a fresh panel keep the labels: by hand, by beta-binomial sums, by simulation, and the refusals."""

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
from scipy.stats import betabinom

from dfar_toolkit.agreement import krippendorff_alpha
from dfar_toolkit.agreement.planning.dirichlet_multinomial import prior_of_sums, prior_rows
from dfar_toolkit.agreement.planning.fresh_panel import panel_winners, read_panels
from dfar_toolkit.agreement.planning.label_stability import label_stability, labels_kept
from dfar_toolkit.errors import TableError

ratings = st.dictionaries(
    st.tuples(st.integers(0, 7), st.integers(0, 4)), st.integers(0, 2), min_size=1, max_size=30
).map(lambda cells: [(f"i{i}", f"r{r}", str(v)) for (i, r), v in cells.items()])
FEW = settings(max_examples=25)


def long(votes: list[str]) -> list[tuple[str, str, str]]:
    return [(f"i{i:03}", f"r{who}", v) for i, given_votes in enumerate(votes) for who, v in enumerate(given_votes)]


def simulated(n_items: int, n_raters: int, seed: int, shape: float = 0.6) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join("ab"[int(x)] for x in rng.random(n_raters) < rng.beta(shape, shape)) for _ in range(n_items)]


def test_by_hand() -> None:
    # Items aa, ab, bb. n = 6, n_a = n_b = 3, within: 0 + 2 + 0: alpha = 1 - 5 * 2 / (36 - 18) = 4/9,
    # s = (1 - 4/9) / (4/9) = 5/4. After aa: Beta(5/8 + 2, 5/8), S = 13/4. Two more raters: both a:
    # (21/26) * (29/8) / (17/4) = (21/26)(29/34); both b: (5/26) * (13/8) / (17/4) = (5/26)(13/34).
    found = label_stability(long(["aa", "ab", "bb"]))
    same, other = Fraction(21, 26) * Fraction(29, 34), Fraction(5, 26) * Fraction(13, 34)
    assert found["label"].to_list() == ["a", None, "b"]
    assert found["n_ratings"].to_list() == [2, 2, 2]
    for row in (0, 2):
        assert found["p_same"][row] == pytest.approx(float(same), abs=1e-12)
        assert found["p_other"][row] == pytest.approx(float(other), abs=1e-12)
        assert found["p_tie"][row] == pytest.approx(float(1 - same - other), abs=1e-12)
    assert math.isnan(found["p_same"][1])
    assert math.isnan(found["p_other"][1])
    assert "no label to keep" in found["note"][1]
    # The tied item: Beta(13/8, 13/8): one a and one b with 2 * (1/2) * (13/8) / (17/4) = 13/34.
    assert found["p_tie"][1] == pytest.approx(13 / 34, abs=1e-12)


@pytest.mark.parametrize("panel", [1, 3, 4, 9])
def test_two_values_are_beta_binomial_sums(panel: int) -> None:
    votes = ["aaa", "aab", "abb", "bbb", "aaaa", "aabb", "b", "aaaab"]
    rows = long(votes)
    alpha = krippendorff_alpha(rows, ci=None)
    s = (1 - alpha.value) / alpha.value  # type: ignore[union-attr]
    share = sum(v.count("a") for v in votes) / sum(map(len, votes))
    found = label_stability(rows, panel=panel)
    for k, v in enumerate(votes):
        a, b = s * share + v.count("a"), s * (1 - share) + v.count("b")
        more = float(betabinom.sf(panel // 2, panel, a, b))
        less = float(betabinom.cdf((panel - 1) // 2, panel, a, b))
        if v.count("a") == v.count("b"):
            assert found["label"][k] is None
            continue
        same, other = (more, less) if v.count("a") > v.count("b") else (less, more)
        assert found["p_same"][k] == pytest.approx(same, abs=1e-12)
        assert found["p_other"][k] == pytest.approx(other, abs=1e-12)


def test_unanimous_is_not_certain_and_larger_panels_are_steadier() -> None:
    found = [label_stability(long(simulated(200, 3, 0)), panel=k) for k in (1, 3, 9)]
    unanimous = pl.Series([len(set(v)) == 1 for v in simulated(200, 3, 0)])
    chances = [frame.filter(unanimous)["p_same"] for frame in found]
    assert all((x < 1).all() for x in chances)
    assert (chances[0] < chances[1]).all()
    assert (chances[1] < chances[2]).all()


def test_the_mean_is_what_a_second_panel_shows() -> None:
    # Items from a Beta, so the model is true: 20,000 items, two panels of three; s.e. about .003.
    rng = np.random.default_rng(5)
    p = rng.beta(0.8, 1.2, 20_000)
    first, second = ((rng.random((20_000, 3)) < p[:, None]).sum(axis=1) for _ in range(2))
    rows = long(["a" * k + "b" * (3 - k) for k in first])
    kept = labels_kept(rows, ci=None)["value"][0]
    assert kept == pytest.approx(float(np.mean((first > 1) == (second > 1))), abs=0.012)
    plug_in = np.mean([1.0 if k in (0, 3) else 20 / 27 for k in first])  # 3 p^2 q + p^3 at p = 2/3
    assert abs(plug_in - kept) > 0.03


def test_strings_with_spaces_and_emoji() -> None:
    rows = [(i, w, {"a": "very bad 😡", "b": " "}[v]) for i, w, v in long(["aab", "abb", "aaa"])]
    assert label_stability(rows)["label"].to_list() == ["very bad 😡", " ", "very bad 😡"]


@FEW
@given(ratings, st.integers(1, 5), st.integers(0, 99))
def test_laws(rows: list[tuple[Any, Any, Any]], panel: int, seed: int) -> None:
    found = label_stability(rows, panel=panel)
    shuffled = [rows[k] for k in np.random.default_rng(seed).permutation(len(rows))]
    assert found.equals(label_stability(shuffled, panel=panel), null_equal=True)
    renamed = [(i, "x" + r[::-1], v) for i, r, v in rows]
    assert found.equals(label_stability(renamed, panel=panel), null_equal=True)
    chances = found.filter(pl.col("label").is_not_null()).select("p_same", "p_tie", "p_other")
    if not found["p_tie"].is_nan().any():
        assert chances.sum_horizontal().to_numpy() == pytest.approx(np.ones(len(chances)), abs=1e-12)
        assert (chances.to_numpy() >= 0).all()
        if panel == 1:
            assert (found["p_tie"] == 0).all()
    else:
        assert (found["note"] != "").all()


def groups(votes: list[tuple[str, str]]) -> pl.DataFrame:
    rows = [
        (f"i{i:03}", f"{name}{k}", v, name)
        for i, both in enumerate(votes)
        for name, given_votes in zip(("x", "y"), both, strict=True)
        for k, v in enumerate(given_votes)
    ]
    return pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "side"], orient="row")


VOTES = [("aaa", "abb"), ("aab", "bbb"), ("abb", "bbb"), ("aaa", "aab"), ("bbb", "bba"), ("aab", "")]


def test_another_mix_uses_each_groups_own_ratings() -> None:
    frame = groups(VOTES)
    only = frame.filter(side="x")
    alone = label_stability(only, panel=5)
    mixed = label_stability(frame, rater_group="side", mix={"x": 5, "y": 0})
    both = label_stability(frame)["label"]
    for k in range(len(VOTES)):
        if both[k] is not None and alone["label"][k] == both[k]:
            assert mixed["p_same"][k] == pytest.approx(alone["p_same"][k], abs=1e-12)
        assert mixed["p_tie"][k] == pytest.approx(alone["p_tie"][k], abs=1e-12)
    # An item that group y never rated is given y's pooled shares.
    s, share = strength([v for _, v in VOTES if v])
    assert label_stability(frame, rater_group="side", mix={"y": 1})["p_same"][5] == pytest.approx(share, abs=1e-12)
    assert s > 0


def strength(votes: list[str]) -> tuple[float, float]:
    alpha = krippendorff_alpha(long(votes), ci=None).value  # type: ignore[union-attr]
    return (1 - alpha) / alpha, sum(v.count("a") for v in votes) / sum(map(len, votes))


def test_two_groups_by_beta_binomial_sums() -> None:
    frame = groups(VOTES)
    found = label_stability(frame, rater_group="side", mix={"x": 2, "y": 3})
    (s, share), (t, part) = strength([v for v, _ in VOTES]), strength([v for _, v in VOTES if v])
    for k, (x, y) in enumerate(VOTES):
        chance = 0.0
        for i in range(3):
            for j in range(4):
                if 2 * (i + j) > 5:
                    one = betabinom.pmf(i, 2, s * share + x.count("a"), s * (1 - share) + x.count("b"))
                    chance += one * betabinom.pmf(j, 3, t * part + y.count("a"), t * (1 - part) + y.count("b"))
        a, b = (x + y).count("a"), (x + y).count("b")
        if a != b:
            assert found["p_same"][k] == pytest.approx(float(chance if a > b else 1 - chance), abs=1e-12)


def test_the_same_composition_where_only_the_groups_are_named() -> None:
    found = label_stability(groups(VOTES), rater_group="side")
    assert found["p_same"][0] == pytest.approx(
        label_stability(groups(VOTES), rater_group="side", mix={"x": 3, "y": 3})["p_same"][0], abs=1e-12
    )
    assert found["p_same"][5] == pytest.approx(
        label_stability(groups(VOTES), rater_group="side", mix={"x": 3})["p_same"][5], abs=1e-12
    )


@pytest.mark.parametrize(
    ("votes", "note"),
    [
        (["aaa", "bbb", "aa"], "no two ratings of an item differ"),
        (["aaa", "aaa"], "only one value is in use"),
        (["a", "b"], "no item has two or more ratings"),
    ],
)
def test_undefined(votes: list[str], note: str) -> None:
    found = label_stability(long(votes))
    assert found["p_same"].is_nan().all()
    assert found["p_tie"].is_nan().all()
    assert all(note in text for text in found["note"])
    kept = labels_kept(long(votes))
    assert kept["value"].is_nan().all()
    assert all(note in text for text in kept["note"])


def test_below_chance_every_item_is_alike() -> None:
    found = label_stability(long(["aab", "abb", "aab", "abb"]), panel=1)
    assert found["p_same"].to_list() == pytest.approx([0.5] * 4, abs=1e-12)
    assert "not above chance" in found["note"][0]


def test_only_ties_have_nothing_to_keep() -> None:
    kept = labels_kept(long(["ab", "ba", "abab"]))
    assert kept["value"].is_nan().all()
    assert kept["n"].to_list() == [0, 0, 0]
    assert "no item has a label" in kept["note"][0]


def test_summary_is_the_mean_of_items_with_labels() -> None:
    rows = long(simulated(60, 4, 2))
    items = label_stability(rows).filter(pl.col("label").is_not_null())
    kept = labels_kept(rows, n_boot=200)
    means = items.select("p_same", "p_tie", "p_other").mean().row(0)
    assert kept["value"].to_list() == pytest.approx(list(means), abs=1e-12)
    assert kept["n"].to_list() == [len(items)] * 3
    assert (kept["low"] < kept["value"]).all()
    assert (kept["value"] < kept["high"]).all()
    assert kept.equals(labels_kept(rows, n_boot=200))
    assert "tied" in kept["note"][0]


def test_the_interval_follows_a_full_refit() -> None:
    rows = long(simulated(80, 3, 3))
    kept = labels_kept(rows, n_boot=400)
    found = read_panels(
        rows, function="test", panel=None, mix=None, rater_group=None, item="item_id", rater="annotator_id",
        value="value",
    )  # fmt: skip
    rng, draws = np.random.default_rng(9), []
    sums = prior_rows(found.panels.votes[0])
    for _ in range(400):
        drawn = rng.integers(0, 80, 80)
        prior = prior_of_sums(sums[drawn].sum(axis=0, keepdims=True))
        winners = panel_winners(found.panels, (prior,))[drawn]
        draws.append(winners[np.arange(80), found.label[drawn]].mean())
    width = float(np.diff(np.quantile(draws, [0.025, 0.975]))[0])
    assert kept["high"][0] - kept["low"][0] == pytest.approx(width, rel=0.2)


def test_groups_widen_the_interval() -> None:
    votes = [v for v in simulated(40, 3, 4) for _ in range(4)]
    frame = pl.DataFrame(long(votes), schema=["item_id", "annotator_id", "value"], orient="row").with_columns(
        stem=pl.col("item_id").str.slice(1).cast(pl.Int64) // 4
    )
    alone, together = labels_kept(frame, n_boot=400), labels_kept(frame, group="stem", n_boot=400)
    assert together["value"].to_list() == pytest.approx(alone["value"].to_list(), abs=1e-12)
    assert together["unit"].to_list() == ["groups"] * 3
    assert (together["high"] - together["low"])[0] > 1.5 * (alone["high"] - alone["low"])[0]


def test_refusals() -> None:
    rows = groups(VOTES)
    with pytest.raises(ValueError, match="label_stability: a panel has 1 to 100 raters, found 0"):
        label_stability(rows, panel=0)
    with pytest.raises(ValueError, match="label_stability: mix= needs rater_group="):
        label_stability(rows, mix={"x": 1})
    with pytest.raises(ValueError, match="label_stability: with rater_group= say who sits"):
        label_stability(rows, panel=3, rater_group="side")
    with pytest.raises(ValueError, match="labels_kept: a panel has 1 to 100 raters, found 0"):
        labels_kept(rows, mix={"x": 0}, rater_group="side")
    with pytest.raises(TableError, match='mix names the group "z", which has no ratings; found "x", "y"'):
        label_stability(rows, mix={"z": 1}, rater_group="side")
    with pytest.raises(TableError, match="at most 200 distinct values; found 300"):
        label_stability([(i, 0, i) for i in range(300)])
    with pytest.raises(TableError, match='the column "side" must name the group'):
        label_stability(rows.with_columns(side=pl.lit(None, dtype=pl.String)), rater_group="side")


@pytest.mark.real
def test_hs_brexit_another_panel_and_another_mix(shared_data: Path) -> None:
    rows = []
    for split in ("train", "dev", "test"):
        read = json.loads((shared_data / "lewidi" / f"HS-Brexit_{split}.json").read_text(encoding="utf-8"))
        for key, record in read.items():
            who, what = record["annotators"].split(","), record["annotations"].split(",")
            rows += [(f"{split}:{key}", a, v) for a, v in zip(who, what, strict=True)]
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    kept = labels_kept(frame, n_boot=200)
    assert kept["value"].sum() == pytest.approx(1, abs=1e-12)
    # Three of each item's raters against the other three. Halves by lot: .876 agree where the model says .903 (its
    # raters are alike; here three are of the target group, and a half with many of them leaves few to the other).
    # The target group against the control group: .822, which no panel of the same kind would show.
    drawn = frame.with_columns(lot=np.random.default_rng(0).random(len(frame)))
    lot = drawn.with_columns(side=pl.col("lot").rank().over("item_id") <= 3)
    kind = frame.with_columns(side=pl.col("annotator_id").is_in(["Ann1", "Ann2", "Ann3"]))
    by_lot, by_kind = seen_and_said(lot), seen_and_said(kind)
    assert by_lot[0] == pytest.approx(by_lot[1], abs=0.04)
    assert by_kind[0] < by_lot[0] - 0.03
    other = labels_kept(
        kind.with_columns(pl.col("side").cast(pl.String)), rater_group="side", mix={"false": 3}, ci=None
    )
    assert other["value"][0] < kept["value"][0]


def seen_and_said(halves: pl.DataFrame) -> tuple[float, float]:
    """Share of items on which both halves give the same label, and what one half leads one to expect."""
    label = halves.group_by("item_id", "side").agg(hate=(pl.col("value") == "1").sum() >= 2)
    seen = label.group_by("item_id").agg(pl.col("hate").n_unique() == 1)["hate"].cast(pl.Float64).mean()
    said = labels_kept(halves.filter(~pl.col("side")).drop("side"), panel=3, ci=None)["value"][0]
    assert isinstance(seen, float)
    return seen, said
