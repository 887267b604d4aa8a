"""What more raters buy: Spearman-Brown, two panels in closed form and by simulation, and the coefficient that stays."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom

from dfar_toolkit.agreement import krippendorff_alpha
from dfar_toolkit.agreement.planning.panel_size import agreement_by_panel_size, spearman_brown
from dfar_toolkit.estimate import ESTIMATE_SCHEMA, Estimate

FEW = settings(max_examples=10)


def long(votes: list[str]) -> list[tuple[str, str, str]]:
    return [(f"i{i:03}", f"r{who}", v) for i, given_votes in enumerate(votes) for who, v in enumerate(given_votes)]


def simulated(n_items: int, n_raters: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join("ab"[int(x)] for x in rng.random(n_raters) < rng.beta(0.6, 0.9)) for _ in range(n_items)]


def values(frame: pl.DataFrame, quantity: str) -> list[float]:
    return frame.filter(quantity=quantity)["value"].to_list()


def test_by_hand() -> None:
    # Items aa, ab, bb: alpha = 4/9, pi = (1/2, 1/2). Two single raters agree with 1/2 + 4/9 * 1/2 = 13/18, so do panels
    # of two with ties by lot; a panel of two ties with 5/18. Observed at k = 1: (1 + 0 + 1) / 3.
    found = agreement_by_panel_size(long(["aa", "ab", "bb"]), sizes=(1, 2), ci=None)
    assert values(found, "coefficient") == pytest.approx([4 / 9] * 2, abs=1e-12)
    assert values(found, "reliability") == pytest.approx([4 / 9, float(Fraction(8, 13))], abs=1e-12)
    assert values(found, "same label (model)") == pytest.approx([13 / 18] * 2, abs=1e-12)
    assert values(found, "tie (model)") == pytest.approx([0, 5 / 18], abs=1e-12)
    observed = values(found, "same label (observed)")
    assert observed[0] == pytest.approx(2 / 3, abs=1e-12)
    assert math.isnan(observed[1])
    assert found.columns == ["size", "quantity", *ESTIMATE_SCHEMA]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_two_panels_of_two_values_are_beta_binomial_sums(size: int) -> None:
    rows = long(simulated(40, 4, 0))
    alpha = krippendorff_alpha(rows, ci=None)
    assert isinstance(alpha, Estimate)
    s = (1 - alpha.value) / alpha.value
    share = float(np.mean([v == "a" for _, _, v in rows]))
    same = tied = 0.0
    for i in range(size + 1):
        first = betabinom.pmf(i, size, s * share, s * (1 - share))
        lead = (2 * i > size) + 0.5 * (2 * i == size)
        tied += first * (2 * i == size)
        for j in range(size + 1):
            second = betabinom.pmf(j, size, s * share + i, s * (1 - share) + size - i)
            other = (2 * j > size) + 0.5 * (2 * j == size)
            same += first * second * (lead * other + (1 - lead) * (1 - other))
    found = agreement_by_panel_size(rows, sizes=(size,), ci=None)
    assert values(found, "same label (model)") == pytest.approx([same], abs=1e-12)
    assert values(found, "tie (model)") == pytest.approx([tied], abs=1e-12)


def test_the_model_is_what_the_raters_show() -> None:
    # The items come from a Beta and raters are alike, so both ways estimate the same: 1,500 items of ten.
    found = agreement_by_panel_size(long(simulated(1500, 10, 1)), sizes=(1, 2, 3, 5), n_boot=200)
    for size in (1, 2, 3, 5):
        model, observed = (
            found.filter(size=size, quantity=f"same label ({way})").row(0, named=True) for way in ("model", "observed")
        )
        assert model["value"] == pytest.approx(observed["value"], abs=0.015)
        assert observed["low"] < model["value"] < observed["high"]
        assert observed["n"] == 1500
    assert values(found, "same label (model)")[0] == pytest.approx(values(found, "same label (model)")[1], abs=1e-12)
    assert values(found, "same label (model)")[1:] == sorted(values(found, "same label (model)")[1:])


def test_spearman_brown_is_the_reliability_of_means() -> None:
    # ICC of means of k raters in a one-way layout: correlation of the means of two disjoint halves.
    rng = np.random.default_rng(0)
    truth = rng.normal(size=1000)
    ratings = np.round(3 * (truth[:, None] + rng.normal(size=(1000, 6)))).astype(int)
    halves = float(np.corrcoef(ratings[:, :3].mean(axis=1), ratings[:, 3:].mean(axis=1))[0, 1])
    rows = [(i, r, int(ratings[i, r])) for i in range(1000) for r in range(6)]
    found = agreement_by_panel_size(rows, sizes=(3,), level="interval", ci=None, n_simulations=2)
    assert values(found, "reliability") == pytest.approx([halves], abs=0.03)


def test_spearman_brown_at_its_edges() -> None:
    assert spearman_brown(0.0, 7) == 0
    assert spearman_brown(1.0, 7) == 1
    assert spearman_brown(0.5, 1) == 0.5
    assert math.isnan(spearman_brown(-0.5, 3))
    assert math.isnan(spearman_brown(float("nan"), 3))
    assert spearman_brown(spearman_brown(0.3, 2), 3) == pytest.approx(spearman_brown(0.3, 6), abs=1e-15)


def test_the_coefficient_stays_and_its_interval_narrows() -> None:
    found = agreement_by_panel_size(long(simulated(100, 3, 2)), sizes=(1, 2, 3, 7), n_boot=100)
    rows = found.filter(quantity="coefficient")
    assert rows["value"].n_unique() == 1
    width = (rows["high"] - rows["low"]).to_list()
    assert math.isnan(width[0])
    assert "no pairs" in rows["note"][0]
    assert width[1] > width[2] > width[3]
    assert rows["method"].unique().to_list() == ["projected"]
    alpha = krippendorff_alpha(long(simulated(100, 3, 2)))
    assert isinstance(alpha, Estimate)
    assert width[2] == pytest.approx(alpha.high - alpha.low, rel=0.15)  # three raters are what there is


def test_reliability_carries_alphas_interval() -> None:
    rows = long(simulated(50, 3, 3))
    alpha = krippendorff_alpha(rows, n_boot=300)
    assert isinstance(alpha, Estimate)
    own = agreement_by_panel_size(rows, sizes=(5,), n_boot=300).filter(quantity="reliability").row(0, named=True)
    ends = [spearman_brown(x, 5) for x in (alpha.value, alpha.low, alpha.high)]
    assert [own["value"], own["low"], own["high"]] == pytest.approx(ends, abs=1e-12)


def test_groups_widen_and_draws_repeat() -> None:
    votes = [v for v in simulated(30, 6, 4) for _ in range(4)]
    frame = pl.DataFrame(long(votes), schema=["item_id", "annotator_id", "value"], orient="row").with_columns(
        stem=pl.col("item_id").str.slice(1).cast(pl.Int64) // 4
    )
    alone = agreement_by_panel_size(frame, sizes=(3,), n_boot=300)
    together = agreement_by_panel_size(frame, sizes=(3,), n_boot=300, group="stem")
    assert alone.equals(agreement_by_panel_size(frame, sizes=(3,), n_boot=300), null_equal=True)
    for quantity in ("coefficient", "reliability", "same label (model)", "same label (observed)"):
        narrow, wide = (f.filter(quantity=quantity).row(0, named=True) for f in (alone, together))
        assert wide["value"] == pytest.approx(narrow["value"], abs=1e-12)
        assert wide["high"] - wide["low"] > 1.4 * (narrow["high"] - narrow["low"])


@FEW
@given(st.integers(0, 10**6))
def test_laws(seed: int) -> None:
    rng = np.random.default_rng(seed)
    votes = ["".join(rng.choice(list("abc"), rng.integers(1, 6))) for _ in range(6)]
    rows = long(votes)
    found = agreement_by_panel_size(rows, sizes=(1, 2, 3), n_boot=20, n_simulations=5)
    shuffled = [rows[k] for k in rng.permutation(len(rows))]
    again = agreement_by_panel_size(shuffled, sizes=(1, 2, 3), n_boot=20, n_simulations=5)
    assert found.equals(again, null_equal=True)
    named = [(i, r, {"a": "x", "b": "y", "c": "z"}[v]) for i, r, v in rows]
    assert found.equals(agreement_by_panel_size(named, sizes=(1, 2, 3), n_boot=20, n_simulations=5), null_equal=True)
    chances = found.filter(pl.col("quantity").str.contains("label|tie"))["value"].drop_nans()
    assert ((chances >= 0) & (chances <= 1 + 1e-12)).all()
    assert (found.filter(pl.col("value").is_nan())["note"] != "").all()


@pytest.mark.parametrize(
    ("votes", "note"),
    [
        (["aaa", "bbb"], "no two ratings of an item differ"),
        (["aa", "aa"], "only one value is in use"),
        (["a", "b"], "no item has two or more ratings"),
    ],
)
def test_undefined(votes: list[str], note: str) -> None:
    found = agreement_by_panel_size(long(votes), sizes=(2,), n_boot=10)
    rows = found.filter(pl.col("quantity").str.ends_with("(model)"))
    assert rows["value"].is_nan().all()
    assert all(note in text for text in rows["note"])
    assert "no item has 4 ratings" in found.filter(quantity="same label (observed)")["note"][0]


def test_more_values_than_a_vote_can_be_about() -> None:
    rng = np.random.default_rng(0)
    rows = [(i, r, int(1000 * x) + r) for i, x in enumerate(rng.random(150)) for r in range(3)]
    found = agreement_by_panel_size(rows, sizes=(3,), level="interval", n_boot=20, n_simulations=5)
    assert found.filter(quantity="reliability")["value"].item() > 0.99
    assert "at most 200 distinct values" in found.filter(quantity="same label (model)")["note"].item()


def test_refusals() -> None:
    with pytest.raises(ValueError, match="agreement_by_panel_size: a panel has 1 to 100 raters, found 101"):
        agreement_by_panel_size(long(["ab"]), sizes=(101,))
    with pytest.raises(ValueError, match="agreement_by_panel_size: level must be one of nominal"):
        agreement_by_panel_size(long(["ab"]), level="ratio")  # type: ignore[arg-type]
