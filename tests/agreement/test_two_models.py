"""Power to tell two models apart: Connor's formula, the exact test by enumeration, panels by quadrature, simulation."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import nnls
from scipy.stats import beta, betabinom, binom, multinomial, norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import normal_power

from dfar_toolkit.agreement.planning.interval_width import smallest_design
from dfar_toolkit.agreement.planning.paired_power import Discordance, mcnemar_power
from dfar_toolkit.agreement.planning.panel_error import panel_error
from dfar_toolkit.agreement.planning.two_models import plan_two_models
from dfar_toolkit.agreement.planning.two_runs import plan_two_runs
from dfar_toolkit.errors import TableError

FEW = settings(max_examples=20)
FREE = {"accuracy_a": 0.80, "accuracy_b": 0.75, "discordant": 0.2}


def long(votes: list[str]) -> list[tuple[str, str, str]]:
    return [(f"i{i:03}", f"r{who}", v) for i, given_votes in enumerate(votes) for who, v in enumerate(given_votes)]


def test_connor_by_hand() -> None:
    # delta = .05, psi = .2: n = ((1.959964 * .447214 + .841621 * .444410) / .05)^2 = 625.2.
    plan = plan_two_models(**FREE, items=(626,), raters=(1, 5), power=0.8)
    assert plan["items_needed"].to_list() == [626, 626]
    assert plan["enough"].to_list() == [True, True]
    assert plan["power"][0] == pytest.approx(0.8, abs=1e-3)
    assert plan["label_error"].to_list() == plan["tie"].to_list() == [0.0, 0.0]
    assert plan["difference"][0] == pytest.approx(0.05, abs=1e-12)
    assert plan["discordant"][0] == pytest.approx(0.2, abs=1e-12)
    assert smallest_design(plan)["ratings"].to_list() == [626]


@FEW
@given(st.floats(-0.2, 0.2), st.floats(0.2, 0.6), st.integers(20, 2000))
def test_power_is_statsmodels_with_two_deviations(delta: float, psi: float, n: int) -> None:
    spread = math.sqrt(psi - delta**2)
    # Theirs takes one deviation for the alternative and scales the edge: z sigma_0 / sigma_1.
    edge = norm.ppf(0.975) * math.sqrt(psi) / spread
    theirs = normal_power(delta / spread, n, 2 * norm.sf(edge), alternative="two-sided")
    assert mcnemar_power(Discordance(delta, psi), n) == pytest.approx(float(theirs), abs=1e-10)


def test_without_a_difference_power_is_the_level() -> None:
    assert mcnemar_power(Discordance(0.0, 0.3), 500) == pytest.approx(0.05, abs=1e-12)
    assert mcnemar_power(Discordance(0.0, 0.3), 500, test="exact") < 0.05
    assert mcnemar_power(Discordance(0.0, 0.0), 500) == 0
    assert mcnemar_power(Discordance(1.0, 1.0), 3) == 0
    assert mcnemar_power(Discordance(1.0, 1.0), 5) == 1
    assert math.isnan(mcnemar_power(Discordance(math.nan, math.nan), 5))


@pytest.mark.parametrize("n", [1, 6, 13])
def test_exact_power_by_enumeration_with_statsmodels(n: int) -> None:
    plus, minus = 0.5, 0.1
    power = 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b):
            if mcnemar([[0, b], [c, 0]], exact=True).pvalue <= 0.05:
                power += float(multinomial.pmf([b, c, n - b - c], n, [plus, minus, 1 - plus - minus]))
    assert mcnemar_power(Discordance(0.4, 0.6), n, test="exact") == pytest.approx(power, abs=1e-12)


def test_exact_is_near_the_formula_and_below_it() -> None:
    for n in (200, 1000):
        normal, exact = (mcnemar_power(Discordance(0.05, 0.2), n, test=t) for t in ("normal", "exact"))
        assert 0 < normal - exact < 0.06


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10])
@pytest.mark.parametrize(("agreement", "share"), [(0.3, 0.5), (0.6, 0.8), (0.05, 0.3)])
def test_panel_error_of_two_values_by_quadrature(size: int, agreement: float, share: float) -> None:
    s = (1 - agreement) / agreement
    law = beta(s * share, s * (1 - share))

    def wrong(p: float) -> float:
        q = p if p < 0.5 else 1 - p  # the share of the value that is not elected
        return float(binom.sf(size // 2, size, q))

    # Where the density has poles the error vanishes only as p does: integrate over quantiles.
    expected = quad(lambda u: wrong(float(law.ppf(u))), 0, 1, limit=400, points=[float(law.cdf(0.5))])[0]
    found = panel_error(agreement=agreement, shares=(share, 1 - share), sizes=(size,))
    assert found["error"].item() == pytest.approx(expected, abs=1e-6)


def test_panel_error_of_more_values_and_at_the_ends() -> None:
    even = panel_error(agreement=0.4, shares=(0.5, 0.5), sizes=(1, 3, 9))["error"].to_list()
    third = panel_error(agreement=0.4, shares=(0.5, 0.5, 0.0), sizes=(1, 3, 9))["error"].to_list()
    assert third == pytest.approx(even, abs=0.01)  # drawn items against the closed form
    assert even == sorted(even, reverse=True)
    assert panel_error(agreement=1.0, shares=(0.2, 0.8), sizes=(1, 4)).rows() == [(1, 0.0, 0.0), (4, 0.0, 0.0)]
    # No agreement: every item has the pooled shares, one rater errs with the share of the others.
    assert panel_error(agreement=0.0, shares=(0.5, 0.3, 0.2), sizes=(1,))["error"].item() == pytest.approx(
        0.5, abs=1e-12
    )
    assert panel_error(agreement=0.0, shares=(0.3, 0.7), sizes=(3,))["error"].item() == pytest.approx(0.216, abs=1e-12)
    assert panel_error(agreement=0.5, shares=(0.0, 1.0), sizes=(2,)).rows() == [(2, 0.0, 0.0)]


def test_few_raters_shrink_the_difference() -> None:
    # Two values: with a wrong label every discordant item turns round, so the difference shrinks by 1 - 2 e.
    plan = plan_two_models(**FREE, agreement=0.4, shares=(0.5, 0.5), items=(1000,), raters=(1, 3, 5, 25), power=0.8)
    for k, e, difference, discordant in plan.select("raters", "label_error", "difference", "discordant").iter_rows():
        assert e == pytest.approx(panel_error(agreement=0.4, shares=(0.5, 0.5), sizes=(k,))["error"].item(), abs=1e-12)
        assert difference == pytest.approx(0.05 * (1 - 2 * e), abs=1e-12)
        assert discordant == pytest.approx(0.2, abs=1e-12)
    assert plan["power"].is_sorted()
    assert plan["items_needed"].is_sorted(descending=True)
    endless = plan_two_models(**FREE, items=(1000,), raters=(1,))["power"].item()
    assert plan["power"][3] < endless
    assert plan["power"][0] < 0.6 * endless


@pytest.mark.parametrize("n_values", [2, 3])
def test_noisy_labels_by_simulation(n_values: int) -> None:
    # Truth, two models' answers and panels of two, all simulated as the docstring says.
    rng = np.random.default_rng(0)
    shares, n = np.full(n_values, 1 / n_values), 400_000
    p = rng.dirichlet(shares * 0.6 / 0.4, n)
    truth = p.argmax(axis=1)
    votes = rng.multinomial(2, p)
    tied = votes.max(axis=1) == 1
    label = votes.argmax(axis=1)
    right = rng.choice(4, n, p=[0.675, 0.125, 0.075, 0.125])  # both, only A, only B, neither
    # Label errors fall on items regardless of who is right on them: they are as drawn, the answers are independent.
    answers = [
        np.where(np.isin(right, own), truth, (truth + rng.integers(1, n_values, n)) % n_values)
        for own in ((0, 1), (0, 2))
    ]
    d = np.where(tied, 0, (answers[0] == label).astype(int) - (answers[1] == label).astype(int))
    plan = plan_two_models(
        accuracy_a=0.8,
        accuracy_b=0.75,
        discordant=0.2,
        agreement=0.4,
        shares=shares.tolist(),
        items=(100,),
        raters=(2,),
    )
    assert plan["tie"].item() == pytest.approx(tied.mean(), abs=0.006)
    assert plan["difference"].item() * (1 - plan["tie"].item()) == pytest.approx(d.mean(), abs=0.004)
    assert plan["discordant"].item() * (1 - plan["tie"].item()) == pytest.approx((d**2).mean(), abs=0.004)


def test_a_pilot_gives_agreement_and_shares() -> None:
    # Items aa, ab, bb: alpha = 4/9, even shares.
    rows = long(["aa", "ab", "bb"])
    own = plan_two_models(rows, **FREE, items=(500,), raters=(1, 3))
    given_numbers = plan_two_models(**FREE, agreement=4 / 9, shares=(0.5, 0.5), items=(500,), raters=(1, 3))
    assert own["power"].to_list() == pytest.approx(given_numbers["power"].to_list(), abs=1e-12)
    silent = plan_two_models(long(["aa", "bb"]), **FREE, power=0.8)
    assert silent["power"].is_nan().all()
    assert silent["enough"].to_list() == [False] * len(silent)
    assert "no two ratings of an item differ" in silent["note"][0]


def test_independent_errors_are_said_to_be_assumed() -> None:
    plan = plan_two_models(accuracy_a=0.8, accuracy_b=0.75, items=(500,), raters=(1,))
    assert plan["discordant"].item() == pytest.approx(0.8 * 0.25 + 0.2 * 0.75, abs=1e-12)
    assert "independent" in plan["note"].item()
    assert plan["enough"].to_list() == plan["items_needed"].to_list() == [None]
    same = plan_two_models(accuracy_a=0.8, accuracy_b=0.8, items=(500,), raters=(1,), power=0.8)
    assert same["items_needed"].to_list() == [None]
    assert same["power"].item() == pytest.approx(0.05, abs=1e-12)


def rated(n_items: int, seed: int, copies: int = 1) -> tuple[pl.DataFrame, pl.DataFrame, np.ndarray]:
    """Ratings by three, two runs that see the item's share through noise, and the shares."""
    rng = np.random.default_rng(seed)
    p = np.repeat(rng.beta(0.5, 0.5, n_items // copies), copies)
    rows = [(i, r, "ab"[int(rng.random() < p[i])], i // copies) for i in range(n_items) for r in range(3)]
    seen = {run: np.repeat(p[::copies] + rng.normal(size=n_items // copies) * noise, copies) > 0.5
            for run, noise in (("p", 0.3), ("q", 0.6))}  # fmt: skip
    answers = [(run, i, "ab"[int(x)]) for run, own in seen.items() for i, x in enumerate(own)]
    return (
        pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "stem"], orient="row"),
        pl.DataFrame(answers, schema=["run_id", "item_id", "label"], orient="row"),
        p,
    )


def test_two_runs_by_loop() -> None:
    # Two values: p_u(b) = pi + l_p (p's answer - pi) + l_q (q's answer - pi), then beta-binomial sums.
    frame, runs, _ = rated(60, 0)
    plan = plan_two_runs(frame, runs, run_a="p", run_b="q", items=(60,), raters=(3,))
    n = frame.group_by("item_id", maintain_order=True).agg(b=(pl.col("value") == "b").sum())["b"].to_numpy()
    wide = runs.pivot("run_id", index="item_id", values="label").sort("item_id")
    answers = np.stack([(wide[name] == "b").to_numpy().astype(float) for name in "pq"])
    pi = n.sum() / 180
    weights, _ = nnls(answers.T - pi, n / 3 - pi)
    mean = pi + weights @ (answers - pi)
    apart = np.sum(3 * (9 - n**2 - (3 - n) ** 2) / 6)
    rho = 1 - apart / np.sum(3 * (1 - mean**2 - (1 - mean) ** 2))
    s = (1 - rho) / rho
    elected = betabinom.sf(1, 3, s * mean + n, s * (1 - mean) + 3 - n)
    right = np.where(answers == 1, elected, 1 - elected)
    d = np.where(answers[0] != answers[1], right[0] - right[1], 0.0)
    rates = Discordance(float(d.mean()), float(np.mean(answers[0] != answers[1])))
    assert plan["difference"].item() == pytest.approx(rates.mean, abs=1e-12)
    assert plan["discordant"].item() == pytest.approx(rates.square, abs=1e-12)
    assert plan["power"].item() == pytest.approx(mcnemar_power(rates, 60), abs=1e-12)
    label = n > 1.5
    assert plan["label_error"].item() == pytest.approx(float(np.mean(np.where(label, 1 - elected, elected))), abs=1e-12)
    assert "few" not in plan["note"].item()


def test_two_runs_foretell_what_new_panels_show() -> None:
    # A pilot of 3,000 items against 2,000 repetitions of 300 new items with five raters each, from the true shares.
    frame, runs, p = rated(3000, 1)
    plan = plan_two_runs(frame, runs, run_a="p", run_b="q", items=(300,), raters=(5,))
    wide = runs.pivot("run_id", index="item_id", values="label").sort("item_id")
    a, b = ((wide[name] == "b").to_numpy() for name in "pq")
    rng = np.random.default_rng(2)
    item = rng.integers(0, 3000, (2000, 300))
    label = rng.binomial(5, p[item]) > 2
    d = (a[item] == label).astype(int) - (b[item] == label).astype(int)
    z = d.sum(axis=1) / np.sqrt((d**2).sum(axis=1))
    assert plan["power"].item() == pytest.approx(float(np.mean(np.abs(z) > norm.ppf(0.975))), abs=0.05)


def test_groups_need_more_items() -> None:
    frame, runs, _ = rated(400, 3, copies=4)
    alone = plan_two_runs(frame, runs, run_a="p", run_b="q", items=(400,), raters=(3,), power=0.8)
    together = plan_two_runs(frame, runs, run_a="p", run_b="q", items=(400,), raters=(3,), power=0.8, group="stem")
    assert together["difference"].item() == pytest.approx(alone["difference"].item(), abs=1e-12)
    assert together["power"].item() < alone["power"].item()
    assert together["items_needed"].item() > 1.5 * alone["items_needed"].item()
    more = plan_two_runs(
        frame,
        runs,
        run_a="p",
        run_b="q",
        items=(together["items_needed"].item(),),
        raters=(3,),
        power=0.8,
        group="stem",
    )
    assert more["power"].item() == pytest.approx(0.8, abs=0.005)


def test_two_runs_order_signs_and_missing_answers() -> None:
    frame, runs, _ = rated(40, 4)
    one = plan_two_runs(frame, runs, run_a="p", run_b="q", items=(100,), raters=(3, 1))
    other = plan_two_runs(
        frame.sample(fraction=1, shuffle=True, seed=0),
        runs.reverse(),
        run_a="q",
        run_b="p",
        items=(100,),
        raters=(1, 3),
    )
    assert one["raters"].to_list() == [1, 3]
    assert one["difference"].to_list() == pytest.approx([-x for x in other["difference"]], abs=1e-12)
    assert one["power"].to_list() == pytest.approx(other["power"].to_list(), abs=1e-12)
    missing = plan_two_runs(frame, runs.filter(pl.col("item_id") > 0), run_a="p", run_b="q")
    assert "2 missing answers count as wrong" in missing["note"][0]
    silent = plan_two_runs(
        long(["aa", "bb"]), runs.with_columns(item_id=pl.format("i00{}", "item_id")), run_a="p", run_b="q"
    )
    assert silent["power"].is_nan().all()
    assert "no two ratings" in silent["note"][0]


def test_refusals() -> None:
    for wrong, words in (
        ({"accuracy_a": 1.2}, "accuracy_a must lie between 0 and 1"),
        ({"discordant": 0.01}, "with these accuracies discordant lies between 0.05 and 0.45, found 0.01"),
        ({"items": ()}, "items must be whole numbers of 1 or more"),
        ({"raters": ()}, "raters must name one number or more"),
        ({"power": 1.0}, "power must lie between 0 and 1"),
        ({"significance": 0.0}, "significance must lie between 0 and 1"),
        ({"test": "wald"}, "test must be one of normal, exact"),
        ({"agreement": 0.4}, "agreement= needs shares="),
        ({"shares": (0.5, 0.5)}, "shares= says nothing without agreement="),
        ({"raters": (0,)}, "a panel has 1 to 100 raters"),
    ):
        with pytest.raises(ValueError, match=f"plan_two_models: {words}"):
            plan_two_models(**(FREE | wrong))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give a pilot, or agreement= and shares=, not both"):
        plan_two_models(long(["ab"]), **FREE, agreement=0.4)
    with pytest.raises(ValueError, match="panel_error: agreement must lie between 0 and 1"):
        panel_error(agreement=-0.1, shares=(0.5, 0.5), sizes=(1,))
    with pytest.raises(ValueError, match="panel_error: shares must be two or more numbers of sum 1"):
        panel_error(agreement=0.1, shares=(0.5, 0.6), sizes=(1,))
    frame, runs, _ = rated(8, 0)
    with pytest.raises(ValueError, match='plan_two_runs: no run "z"; found p, q'):
        plan_two_runs(frame, runs, run_a="p", run_b="z")
    with pytest.raises(TableError, match='need the column "run_id"'):
        plan_two_runs(frame, runs.drop("run_id"), run_a="p", run_b="q")
