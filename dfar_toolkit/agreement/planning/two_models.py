r"""How many items, and how many raters behind each gold label, to tell two models apart.

The gold label of an item is the majority label of K raters; an item whose votes tie has no label and tells nothing. Few
raters mislabel items, which shrinks the difference between two models but hardly the share of items they differ on:
that is what more raters buy. The power is that of the paired test (``paired_power``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.agreement.cells import read_cells
from dfar_toolkit.agreement.planning.dirichlet_multinomial import BELOW_CHANCE, fit_prior, vote_table
from dfar_toolkit.agreement.planning.paired_power import (
    Discordance,
    PairedTest,
    PanelNoise,
    Wanted,
    check_plan,
    mcnemar_power,
    plan_frame,
    plan_row,
    units_needed,
)
from dfar_toolkit.agreement.planning.panel_error import panel_error
from dfar_toolkit.agreement.ratings import RatingsLike

_EQUAL: Final = 1e-12
_INDEPENDENT: Final = "the models' errors are taken as independent; models that err on the same items need fewer"


class Rates(NamedTuple):
    """Shares of items that only A, only B, and neither has right."""

    only_a: float
    only_b: float
    neither: float


def plan_two_models(
    pilot: RatingsLike | None = None,
    *,
    accuracy_a: float,
    accuracy_b: float,
    discordant: float | None = None,
    agreement: float | None = None,
    shares: Sequence[float] | None = None,
    items: Sequence[int] = (200, 500, 1000, 2000, 5000),
    raters: Sequence[int] = (1, 3, 5),
    power: float | None = None,
    significance: float = 0.05,
    test: PairedTest = "normal",
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    seed: int = 0,
) -> pl.DataFrame:
    r"""Power to tell two models of given accuracy apart, for each number of items and of raters per item.

    The accuracies are those against an *unlimited* panel: against few raters both look worse and more alike. With the
    shares $p_{10}$ (only A right) and $p_{01}$ of items, $p_{10} - p_{01}$ = accuracy_a - accuracy_b and
    $p_{10} + p_{01}$ = ``discordant``, $p_{00}$ both wrong, the panel's chances of a tie t and a wrong label e
    (:func:`~dfar_toolkit.agreement.panel_error.panel_error`), and the chance h = 1 / (V - 1) that a wrong model's
    answer is the wrong label,

        P(D = +1) = (1 - t - e) $p_{10}$ + e h $p_{01}$ + e h (1 - h) $p_{00}$,   P(D = -1) likewise

    where label errors fall on items regardless of who is right on them, and wrong answers are spread evenly over the
    wrong values. Models that err on items that people disagree on are told apart less easily than this says: with two
    runs at hand use :func:`~dfar_toolkit.agreement.two_runs.plan_two_runs`, which needs neither assumption.

    Args:
        pilot: Ratings from which agreement and shares are taken, or None.
        accuracy_a: Share of items A has right, 0 to 1.
        accuracy_b: Share of items B has right.
        discordant: Share of items on which exactly one is right; None: as for independent errors, which is cautious.
        agreement: Nominal alpha of single raters; without it and without a pilot labels are free of error.
        shares: Pooled shares of the values; with ``agreement``.
        items: Numbers of items N.
        raters: Numbers of raters per item K.
        power: The wanted power, or None.
        significance: Two-sided level of the test.
        test: ``normal`` (Connor's formula) or ``exact`` (the exact McNemar test, which is a little more cautious).
        item: Column of the item, in the pilot.
        rater: Column of the rater.
        value: Column of the value.
        seed: Seed, used for more than two values.

    Returns:
        One row per design: ``items``, ``raters``, ``ratings``, ``tie``, ``label_error`` (share of the labels there are
        that are wrong), ``difference`` and ``discordant`` as they are seen on labelled items, ``power``, ``enough`` and
        ``items_needed`` (null without ``power``, the latter by the formula), ``note``.

    Undefined:
        Powers are ``nan`` where the pilot says nothing about agreement. ``items_needed`` is null without a difference.

    Raises:
        ValueError: A number is out of its range, or the shares are impossible together.
        TableError: The pilot cannot be used.

    Example:
        Connor's formula by hand: delta = .05, psi = .2: (1.96 sqrt(.2) + .8416 sqrt(.1975))^2 / .0025 = 625.2.

        >>> rates = {"accuracy_a": 0.80, "accuracy_b": 0.75, "discordant": 0.2}
        >>> plan = plan_two_models(**rates, items=(600,), raters=(1,), power=0.8)
        >>> plan["items_needed"].item(), plan["enough"].item()
        (626, False)

    Reference:
        Connor (1987), Biometrics 43:207-211; McNemar (1947), Psychometrika 12:153-157.
    """
    wanted = Wanted(power, significance)
    check_plan("plan_two_models", items=items, raters=raters, wanted=wanted, test=test)
    rates = _rates(accuracy_a, accuracy_b, discordant)
    if pilot is not None and (agreement is not None or shares is not None):
        raise ValueError("plan_two_models: give a pilot, or agreement= and shares=, not both")
    why = ""
    if pilot is not None:
        agreement, shares, why = _of_pilot(pilot, item, rater, value)
    noise, n_values = _noise(agreement, shares, raters, seed)
    rows = []
    for k, own in zip(raters, noise, strict=True):
        seen = _seen(rates, own, n_values)
        needed = units_needed(seen, wanted)
        for n in items:
            reached = mcnemar_power(seen, n, significance=significance, test=test)
            rows.append(plan_row(n, k, own, seen, reached, needed, wanted))
    return plan_frame(rows, "; ".join(filter(None, [_INDEPENDENT if discordant is None else "", why])))


def _seen(rates: Rates, noise: PanelNoise, n_values: int) -> Discordance:
    """Mean of D and its square where labels are noisy."""
    right, hit = 1 - noise.tie - noise.error, noise.error / (n_values - 1)
    both = hit * (1 - 1 / (n_values - 1)) * rates.neither
    plus = right * rates.only_a + hit * rates.only_b + both
    minus = right * rates.only_b + hit * rates.only_a + both
    return Discordance(plus - minus, plus + minus)


def _of_pilot(pilot: RatingsLike, item: str, rater: str, value: str) -> tuple[float, list[float], str]:
    """Agreement (``nan`` where the pilot says nothing), shares of the values, and what to know about them."""
    votes = vote_table(read_cells(pilot, item=item, rater=rater, value=value))
    prior, why = fit_prior(votes)
    if why:
        return float("nan"), prior.mean[0].tolist(), why
    return float(prior.rho[0]), prior.mean[0].tolist(), "" if prior.alpha[0] > 0 else BELOW_CHANCE


def _noise(
    agreement: float | None, shares: Sequence[float] | None, raters: Sequence[int], seed: int
) -> tuple[list[PanelNoise], int]:
    """The noise of each panel size, and the number of values."""
    if agreement is None:
        if shares is not None:
            raise ValueError("plan_two_models: shares= says nothing without agreement=; give both, or a pilot")
        return [PanelNoise(0.0, 0.0) for _ in raters], 2
    if shares is None:
        raise ValueError("plan_two_models: agreement= needs shares= (of the values, e.g. (0.5, 0.5)), or give a pilot")
    if math.isnan(agreement):
        return [PanelNoise(agreement, agreement) for _ in raters], max(2, len(shares))
    found = panel_error(agreement=agreement, shares=shares, sizes=raters, seed=seed)
    return [PanelNoise(error, tie) for error, tie in found.select("error", "tie").iter_rows()], len(shares)


def _rates(a: float, b: float, discordant: float | None) -> Rates:
    """Shares of items only A, only B and neither has right."""
    for name, x in (("accuracy_a", a), ("accuracy_b", b)):
        if not 0 <= x <= 1:
            raise ValueError(f"plan_two_models: {name} must lie between 0 and 1, found {x}")
    d = a * (1 - b) + b * (1 - a) if discordant is None else discordant
    low, high = abs(a - b), min(a + b, 2 - a - b)
    if not low - _EQUAL <= d <= high + _EQUAL:
        raise ValueError(
            f"plan_two_models: with these accuracies discordant lies between {low:.4g} and {high:.4g}, found {d:.4g}"
        )
    return Rates(max(0.0, (d + a - b) / 2), max(0.0, (d - a + b) / 2), max(0.0, 1 - (a + b + d) / 2))
