"""Prediction-powered rates: ppi_py's numbers, the guard and its coverage, groups, unequal chances, refusals."""

from __future__ import annotations

import json
from math import isnan, nan
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, proportion
from dfar_toolkit.metrics import misalignment_rate
from dfar_toolkit.metrics.judging.misalignment_powered import misalignment_prediction_powered
from dfar_toolkit.metrics.judging.ppi_power import ppi_power
from dfar_toolkit.metrics.judging.prediction_powered import prediction_powered_rate
from small_tables import make_judgements

Y = [1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0]
F = [1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1]
F_ALONE = [1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1]


def both(y: list[float], f: list[float], alone: list[float]) -> pl.DataFrame:
    human = np.array([*y, *[nan] * len(alone)], dtype=float)
    return pl.DataFrame({"human": human, "judge": np.array([*f, *alone], dtype=float)})


def plain(frame: pl.DataFrame, lam: float | None, confidence: float = 0.95) -> Estimate:
    return prediction_powered_rate(frame, inclusion_prob=0.3, lam=lam, guard=False, confidence=confidence)


def random_rows(seed: int, n: int = 120, p: float = 0.4) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < p).astype(float)
    f = np.where(rng.random(n) < 0.85, y, 1 - y)
    group = pl.Series("group", [f"g{k}" for k in rng.integers(0, n // 3, n)])
    seen = rng.random(n) < 0.5
    return pl.DataFrame({"human": np.where(seen, y, nan), "judge": f, "inclusion_prob": 0.5, "group": group})


def test_like_ppi_py() -> None:
    # ppi-python 0.2.3, ppi_mean_pointestimate and ppi_mean_ci(alpha=.05)
    expected = {
        0: (0.3333333333333333, 0.06661601798026057, 0.6000506486864061),
        1: (0.21666666666666667, -0.10690332173691225, 0.5402366550702455),
        None: (0.2926587301587302, 0.04963095631075415, 0.5356865040067063),
    }
    for lam, numbers in expected.items():
        found = plain(both(Y, F, F_ALONE), lam)
        assert (found.value, found.low, found.high) == pytest.approx(numbers, abs=1e-12)
    assert plain(both(Y, F, F_ALONE), None).method == "PPI++ (lambda 0.349)"
    assert "12 rows judged by people, 30 by the judge alone" in plain(both(Y, F, F_ALONE), None).note


@pytest.mark.real
def test_every_published_case(shared_cases: Path) -> None:
    cases = json.loads((shared_cases / "judge_cases.json").read_text(encoding="utf-8"))["ppi_mean"]
    assert len(cases) == 5
    for case in cases:
        alone, want = case["Yhat_unlabeled"], case["expected"]
        if isinstance(alone, dict):
            alone = [1] * alone["ones"] + [0] * alone["zeros"]
        frame = both(case["Y"], case["Yhat"], alone)
        for key, lam in (("0", 0.0), ("0.5", 0.5), ("1", 1.0), ("auto", None)):
            for alpha in (0.05, 0.1):
                found = plain(frame, lam, 1 - alpha)
                ends = want[f"ppi_mean_ci alpha={alpha} lam={key}"]
                numbers = (want[f"ppi_mean_pointestimate lam={key}"], *ends)
                assert (found.value, found.low, found.high) == pytest.approx(numbers, abs=1e-12), case["name"]
            if lam is not None:  # there ppi_py's p-value and its interval belong together
                error = (found.high - found.low) / 2 / norm.ppf(0.95)
                p = 2 * norm.sf(abs(found.value - 0.5) / error)
                assert p == pytest.approx(want[f"ppi_mean_pval null=0.5 lam={key}"], rel=1e-9)
        assert plain(frame, 1.0, 0.9).low == pytest.approx(want["one_sided 'larger' alpha=0.05 lam=1"][0], abs=1e-12)
        assert f"(lambda {want['lambda_clipped']:.3f})" in plain(frame, None).method
        assert plain(frame, 0).value == pytest.approx(want["classical_mean"], abs=1e-12)


def test_the_guard_leaves_few_rejections_to_wilson() -> None:
    found = prediction_powered_rate(both(Y, F, F_ALONE), inclusion_prob=0.3)
    wilson = proportion("x", Y)
    assert (found.value, found.low, found.high) == pytest.approx((wilson.value, wilson.low, wilson.high), abs=1e-12)
    assert (found.method, found.n, found.n_units) == ("Wilson", 12, 12)
    assert "effective n x min(p, 1 - p) = 4.0 < 10: people's verdicts alone" in found.note
    none_bad = prediction_powered_rate(both([0] * 12, F, F_ALONE), inclusion_prob=0.3)
    assert (none_bad.low, none_bad.high) == pytest.approx((0.0, proportion("x", [0] * 12).high), abs=1e-12)
    all_bad = prediction_powered_rate(both([1] * 12, F, F_ALONE), inclusion_prob=0.3)
    assert (all_bad.value, all_bad.high) == (1.0, 1.0)
    everybody = prediction_powered_rate(both([1, 0] * 20, [1, 0] * 20, []), inclusion_prob=1.0)
    assert (everybody.method, everybody.value) == ("Wilson", 0.5)
    assert "people judged every row" in everybody.note


def test_wilson_by_groups_is_that_of_proportion() -> None:
    frame = random_rows(3, n=60, p=0.1)
    found = prediction_powered_rate(frame)
    seen = frame.filter(pl.col("human").is_not_nan())
    wilson = proportion("x", seen["human"].to_numpy(), groups=seen["group"])
    assert found.method == wilson.method == "Wilson (effective n)"
    assert (found.value, found.low, found.high) == pytest.approx((wilson.value, wilson.low, wilson.high), abs=1e-12)


def test_the_guard_restores_coverage() -> None:
    """20 human verdicts, 2,000 of a judge right nine times in ten, 5 % bad: ppi_py's interval covers some 61 %."""
    rng, reps, n, more, p = np.random.default_rng(5), 400, 20, 2000, 0.05
    y, others = rng.random((reps, n)) < p, rng.binomial(more, p, reps)
    f = np.where(rng.random((reps, n)) < 0.9, y, ~y).astype(float)
    y = y.astype(float)
    said = rng.binomial(others, 0.9) + rng.binomial(more - others, 0.1)
    total = said + f.sum(axis=1)
    variance = total / (n + more) * (1 - total / (n + more)) * (n + more) / (n + more - 1)
    lam = ((y * f).mean(axis=1) - y.mean(axis=1) * f.mean(axis=1)) / ((1 + n / more) * variance)
    lam = np.clip(lam, 0, 1)
    centre = lam * said / more + (y - lam[:, None] * f).mean(axis=1)
    u = said / more
    error = np.sqrt(lam**2 * u * (1 - u) / more + (y - lam[:, None] * f).var(axis=1) / n)
    powered = np.mean(np.abs(centre - p) <= norm.ppf(0.975) * error)
    rep = int(np.argmax(lam > 0))
    alone = [1.0] * int(said[rep]) + [0.0] * int(more - said[rep])
    own = plain(both(y[rep].tolist(), f[rep].tolist(), alone), None)
    assert (own.value, own.high) == pytest.approx((centre[rep], centre[rep] + norm.ppf(0.975) * error[rep]), abs=1e-12)
    ends = {}
    for bad in range(n + 1):  # guarded, the judge no longer matters
        row = both([1.0] * bad + [0.0] * (n - bad), f[0].tolist(), alone)
        guarded = prediction_powered_rate(row, inclusion_prob=0.01)
        ends[bad] = guarded.low <= p <= guarded.high
    held = np.mean([ends[int(bad)] for bad in y.sum(axis=1)])
    assert powered < 0.7
    assert held > 0.9


def test_groups_by_a_naive_loop() -> None:
    frame = random_rows(1)
    found = prediction_powered_rate(frame, lam=0.6, guard=False)
    seen = frame.filter(pl.col("human").is_not_nan())
    alone = frame.filter(pl.col("human").is_nan())
    y, f, u = (part.to_numpy() for part in (seen["human"], seen["judge"], alone["judge"]))
    value = y.mean() + 0.6 * (u.mean() - f.mean())
    adds: dict[str, float] = {}
    for g, e in zip(seen["group"], (y - 0.6 * f) - (y - 0.6 * f).mean(), strict=True):
        adds[g] = adds.get(g, 0.0) + e / len(y)
    for g, e in zip(alone["group"], 0.6 * (u - u.mean()), strict=True):
        adds[g] = adds.get(g, 0.0) + e / len(u)
    groups = seen["group"].n_unique()
    square = sum(a**2 for a in adds.values()) * groups / (groups - 1)
    from scipy.stats import t

    half = t.ppf(0.975, groups - 1) * square**0.5
    assert (found.value, found.low, found.high) == pytest.approx((value, value - half, value + half), abs=1e-12)
    assert found.method == f"PPI (lambda 0.600), cluster-robust, t({groups - 1})"
    assert found.n_units == frame["group"].n_unique()
    lams = np.linspace(0, 1, 21)
    widths = [e.high - e.low for e in (prediction_powered_rate(frame, lam=x, guard=False) for x in lams)]
    tuned = prediction_powered_rate(frame, guard=False)
    assert tuned.high - tuned.low <= min(widths) + 1e-12


def test_unequal_chances_are_weighted_out() -> None:
    # Two strata: bad ones seen with 1/2, others with 1/10; weights 2 and 10 give 1/6, not the 1/2 of those seen.
    human, chance = [1.0, 0.0], [0.5, 0.1]
    found = prediction_powered_rate(
        human=[*human, nan], judge=[1, 0, 0], inclusion_prob=[*chance, nan], lam=0, guard=False
    )
    assert found.value == pytest.approx(2 / 12, abs=1e-12)
    # lam = 1: 1/6 + (mean of the judge over all three rows - its weighted mean 1/6)
    found = prediction_powered_rate(
        human=[*human, nan], judge=[1, 0, 0], inclusion_prob=[*chance, nan], lam=1, guard=False
    )
    assert found.value == pytest.approx(1 / 3, abs=1e-12)
    rng = np.random.default_rng(0)
    y = rng.random(4000) < 0.2
    f = np.where(rng.random(4000) < 0.9, y, ~y)
    chances = np.where(f, 0.4, 0.05)
    seen = np.where(rng.random(4000) < chances, y, nan)
    weighted = prediction_powered_rate(human=seen, judge=f, inclusion_prob=chances)
    assert weighted.low < 0.2 < weighted.high
    assert prediction_powered_rate(human=seen, judge=f, inclusion_prob=0.1, lam=0).low > 0.2  # ignoring the chances


@settings(max_examples=20)
@given(seed=st.integers(0, 999))
def test_order_of_rows_does_not_matter_and_the_perfect_judge_is_believed(seed: int) -> None:
    frame = random_rows(seed)
    shuffled = frame.sample(fraction=1, shuffle=True, seed=seed)
    assert str(prediction_powered_rate(shuffled)) == str(prediction_powered_rate(frame))
    right = frame.with_columns(pl.when(pl.col("human").is_nan()).then("judge").otherwise("human").alias("judge"))
    alone = right.filter(pl.col("human").is_nan())["judge"].mean()
    assert prediction_powered_rate(right, lam=1, guard=False).value == pytest.approx(alone, abs=1e-12)


def test_refused_by_name() -> None:
    frame = both(Y, F, F_ALONE)
    with pytest.raises(TableError, match="prediction_powered_rate: inclusion_prob is wanted and not there"):
        prediction_powered_rate(frame)
    with pytest.raises(TableError, match="inclusion_prob is wanted"):
        prediction_powered_rate(frame, inclusion_prob=None)
    with pytest.raises(TableError, match="12 of 12 rows that people judged have no inclusion_prob"):
        prediction_powered_rate(frame.with_columns(inclusion_prob=pl.lit(None, pl.Float64)))
    named = frame.with_columns(item_id=pl.Series([f"i{k}" for k in range(len(frame))]))
    with pytest.raises(TableError, match="the judge was tuned on 2 of the 12 items that people judged"):
        prediction_powered_rate(named, inclusion_prob=0.3, judge_tuned_on=["i0", "i3", "i40"])
    assert prediction_powered_rate(named, inclusion_prob=0.3, judge_tuned_on=["i40"]).n == 12
    with pytest.raises(TableError, match=r"judge must be a verdict or a share in \[0, 1\], found 2"):
        prediction_powered_rate(both(Y, [2, *F[1:]], F_ALONE), inclusion_prob=0.3)
    with pytest.raises(TableError, match="inclusion_prob must lie above 0 and up to 1, found 0"):
        prediction_powered_rate(frame, inclusion_prob=0.0)
    with pytest.raises(ValueError, match=r"lam must lie in \[0, 1\] or be None, found 2"):
        prediction_powered_rate(frame, inclusion_prob=0.3, lam=2)
    with pytest.raises(ValueError, match="human has 1 values for 2 rows"):
        prediction_powered_rate(human=[1], judge=[1, 0], inclusion_prob=0.3)
    nobody = prediction_powered_rate(both([], [], F_ALONE), inclusion_prob=0.3)
    assert isnan(nobody.value)
    assert nobody.note.startswith("no row has both verdicts")
    assert isnan(prediction_powered_rate(human=[], judge=[], inclusion_prob=0.3).value)


def test_rows_without_a_judge_and_a_judge_that_always_says_the_same() -> None:
    lost = both(Y, F, F_ALONE).with_columns(judge=pl.when(pl.int_range(pl.len()) > 0).then("judge"))
    assert "1 rows without a verdict of the judge left out, 1 of them judged by people" in plain(lost, None).note
    same = plain(both(Y, [1] * 12, [1] * 30), None)
    assert (same.value, same.method) == (pytest.approx(1 / 3, abs=1e-12), "PPI++ (lambda 0.000)")


def _judged(
    people: dict[str, str], model: dict[str, str], *, run: str = "m", chance: float | None = 0.5
) -> pl.DataFrame:
    said = make_judgements(people, run=run).with_columns(inclusion_prob=pl.lit(chance, pl.Float64))
    own = make_judgements(model, run=run).with_columns(judge_id=pl.lit("gpt"))
    return pl.concat([said, own])


def test_misalignment_of_runs() -> None:
    model = {f"i{k}": "b" if k % 3 == 0 else "g" for k in range(60)}
    people = {f"i{k}": "bbg" if k % 3 == 0 else "ggg" for k in range(0, 60, 2)}
    judgements = pl.concat([_judged(people, model), _judged({"i0": "b"}, {"i0": "b", "i1": "g"}, run="n", chance=None)])
    found = misalignment_prediction_powered(judgements, judge_model="gpt", guard=False, lam=0)
    own = judgements.filter((pl.col("run_id") == "m") & (pl.col("judge_id") != "gpt"))
    assert found["run_id"].to_list() == ["m", "n"]
    assert found["value"][0] == pytest.approx(misalignment_rate(own).value, abs=1e-12)  # type: ignore[union-attr]
    assert isnan(found["value"][1])
    assert found["note"][1].startswith("refused: 1 of 1 rows that people judged have no inclusion_prob")
    powered = misalignment_prediction_powered(judgements, judge_model="gpt", guard=False, lam=1)
    # 1/3 x 2/3 of people; the judge says bad of 10 of the 30 seen and 10 of the 30 others
    assert powered["value"][0] == pytest.approx(2 / 9, abs=1e-12)
    tuned = misalignment_prediction_powered(judgements, judge_model="gpt", judge_tuned_on=["i2"])
    assert "refused: the judge was tuned on 1 of the 30 items" in tuned["note"][0]


def test_items_count_the_same_whatever_their_reasons() -> None:
    rows = [("i0", "i0/0", "b", "b"), ("i0", "i0/1", "g", "g"), ("i1", "i1/0", "b", "b"), ("i2", "i2/0", None, "g")]
    word = {"b": "bad", "g": "good", None: None}
    frame = pl.concat(
        [
            pl.DataFrame(
                {
                    "judge_id": judge, "item_id": [r[0] for r in rows], "output_id": [r[1] for r in rows],
                    "value": [word[r[at]] for r in rows],
                },
                schema_overrides={"value": pl.String},
            )
            for judge, at in (("ann", 2), ("gpt", 3))
        ]
    ).with_columns(run_id=pl.lit("m"), question=pl.lit("q"), inclusion_prob=pl.lit(0.75))  # fmt: skip
    found = misalignment_prediction_powered(frame, judge_model="gpt", lam=0, guard=False)
    assert found["value"][0] == pytest.approx((0.5 + 1) / 2, abs=1e-12)
    with pytest.raises(TableError, match="no judgement of the judge model 'judge-x'"):
        misalignment_prediction_powered(frame, judge_model="judge-x")
    with pytest.raises(ValueError, match="cannot be among human_judges"):
        misalignment_prediction_powered(frame, judge_model="gpt", human_judges=["gpt"])
    mixed = pl.concat(
        [frame, frame.filter(pl.col("judge_id") == "ann").with_columns(judge_id=pl.lit("bob"), inclusion_prob=0.1)]
    )
    with pytest.raises(TableError, match="'i0/0' has 2 inclusion probabilities"):
        misalignment_prediction_powered(mixed, judge_model="gpt")


def test_sizes_by_hand_and_like_ppi_py() -> None:
    # gamma .01, square .64: cost of one 1 - .64 + .0064 + 2 sqrt(.01 x .64 x .36) = .4624; n0 = 216.3, n = 88.2
    assert ppi_power(0.8, budget=100) == (88, 1088, 99.76, 216)
    # ppi-python 0.2.3, ppi_power(ppi_corr=.8, cost_X=0, cost_Y=1, cost_Yhat=.01, budget=100, n_max=...) and so on
    assert ppi_power(0.8, budget=100, n_max=500) == (95, 405, 100.0, 197)
    assert ppi_power(0.8, budget=100, n_max=60) == (60, 0, 60.0, 60)
    assert ppi_power(0.8, cost_row=0.1, effective_n=200, n_max=400) == (106, 294, 150.0, 200)
    assert ppi_power(0.7, effective_n=300) == (168, 1479, 184.47, 300)
    assert ppi_power(0.0, budget=100) == (100, 0, 100.0, 100)  # ppi_py: 101 of a budget of 100
    assert ppi_power(0.999999, effective_n=300).n == 1
    with pytest.raises(ValueError, match="give either budget or effective_n"):
        ppi_power(0.8)
    with pytest.raises(ValueError, match="correlation must be at least 0"):
        ppi_power(-0.2, budget=10)
    with pytest.raises(ValueError, match="100 rows can be worth at most 100 human verdicts"):
        ppi_power(0.8, effective_n=200, n_max=100)
    with pytest.raises(ValueError, match="costs must be above 0"):
        ppi_power(0.8, cost_human=0, budget=10)


@pytest.mark.real
def test_published_sizes(shared_cases: Path) -> None:
    cases = json.loads((shared_cases / "judge_cases.json").read_text(encoding="utf-8"))["ppi_power"]
    assert len(cases) == 3
    for case in cases:
        args, want = case["args"], case["expected"]
        found = ppi_power(
            args["ppi_corr"], cost_human=args["cost_Y"], cost_judge=args["cost_Yhat"], cost_row=args["cost_X"],
            budget=args.get("budget"), effective_n=args.get("effective_n"),
        )  # fmt: skip
        assert found == pytest.approx((want["n"], want["N"], want["cost"], want["effective_n"]), abs=1e-9)


def test_rows_left_unjudged_although_certain_to_be_judged_are_said() -> None:
    human = [*[1.0, 0.0] * 30, *[nan] * 20]
    found = prediction_powered_rate(human=human, judge=[1.0, 0.0] * 40, inclusion_prob=1.0)
    assert "inclusion_prob is 1, yet people left rows unjudged" in found.note
    assert "unjudged" not in prediction_powered_rate(human=human, judge=[1.0, 0.0] * 40, inclusion_prob=0.75).note


def test_people_alone_are_all_the_people() -> None:
    # 12 rows judged by people, 3 bad; the judge saw 4 of them and 20 more: too few bad ones to combine.
    human = [1, 1, 1, *[0] * 9, *[None] * 20]
    judge = [1, 0, 0, 0, *[None] * 8, *[0] * 20]
    frame = pl.DataFrame({"human": human, "judge": judge, "inclusion_prob": [0.4] * 32}, strict=False)
    found = prediction_powered_rate(frame)
    assert found.value == 3 / 12
    assert found.n == 12
    assert "people's verdicts alone" in found.note
    assert "8 of them judged by people" in found.note
