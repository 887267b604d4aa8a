"""How many items and raters to tell two runs apart, from their answers on items that people rated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.planning.fresh_panel import Panels, read_panels
from dfar_toolkit.agreement.planning.informed_prior import few_items, informed_winners
from dfar_toolkit.agreement.planning.paired_power import (
    Discordance,
    PanelNoise,
    Wanted,
    check_plan,
    mcnemar_power,
    plan_frame,
    plan_row,
    units_needed,
)
from dfar_toolkit.agreement.planning.run_answers import read_answers
from dfar_toolkit.agreement.ratings import RatingsLike


def plan_two_runs(
    ratings: RatingsLike,
    runs: pl.DataFrame,
    *,
    run_a: str,
    run_b: str,
    items: Sequence[int] = (200, 500, 1000, 2000, 5000),
    raters: Sequence[int] = (1, 3, 5),
    power: float | None = None,
    significance: float = 0.05,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    run: str = "run_id",
    label: str = "label",
) -> pl.DataFrame:
    r"""Power to tell two runs apart on N more items like those they answered, labelled by fresh panels of K raters.

    On item u a fresh panel elects A's answer with chance $w_{ua}$ and B's with $w_{ub}$, exactly, given the item's
    votes and a prior that both runs' answers inform (``informed_prior``); so items people
    disagree on are those that models get wrong as often as they do here. Where the answers differ
    $E D_u = w_{ua} - w_{ub}$ and $E D_u^2 = w_{ua} + w_{ub}$, else 0. Groups are drawn whole: $D_g$ is the sum over the
    group, $E D_g^2 = (\sum_u E D_u)^2 + \sum_u (E D_u^2 - (E D_u)^2)$, and n counts groups in the formula of
    ``paired_power``.

    The difference is the pilot's own. Planned from the pair that looked best among many, it is too large.

    Args:
        ratings: Long ratings, one row per item and rater.
        runs: One row per run and item, with the columns ``run``, ``item`` and ``label``.
        run_a: Name of run A.
        run_b: Name of run B.
        items: Numbers of items N; with ``group`` the nearest whole number of groups of today's mean size.
        raters: Numbers of raters per item K.
        power: The wanted power, or None.
        significance: Two-sided level of the test.
        item: Column of the item, in ratings and runs.
        rater: Column of the rater.
        value: Column of the value.
        group: Column with the resampling unit of the item; None: the item itself.
        run: Column of the run.
        label: Column of the predicted value.

    Returns:
        The frame of :func:`~dfar_toolkit.agreement.two_models.plan_two_models`; ``label_error`` is the share of fresh
        labels that differ from today's majority label.

    Undefined:
        As :func:`~dfar_toolkit.agreement.label_stability.label_stability`.

    Raises:
        ValueError: A number is out of its range, or a run is not there.
        TableError: Ratings or runs cannot be used.

    Example:
        >>> votes = {"x": "aaa", "y": "aab", "z": "bbb", "w": "abb"}
        >>> rows = [(i, who, v) for i, given in votes.items() for who, v in enumerate(given)]
        >>> runs = pl.DataFrame({"run_id": list("ppppqqqq"), "item_id": list("xyzwxyzw"), "label": list("aabbaaba")})
        >>> plan = plan_two_runs(rows, runs, run_a="p", run_b="q", items=(40, 400), raters=(3,))
        >>> (plan["power"] > 0.5).to_list()
        [False, True]

    Reference:
        Connor (1987), Biometrics 43:207-211.
    """
    wanted = Wanted(power, significance)
    check_plan("plan_two_runs", items=items, raters=raters, wanted=wanted)
    found = read_panels(
        ratings, function="plan_two_runs", panel=raters[0], mix=None, rater_group=None, item=item, rater=rater,
        value=value, group=group,
    )  # fmt: skip
    answered = read_answers(runs, found.cells.items, found.cells.values, run=run, item=item, label=label)
    for name in (run_a, run_b):
        if name not in answered.runs:
            raise ValueError(f'plan_two_runs: no run "{name}"; found {", ".join(answered.runs[:8])}')
    a, b = (answered.answers[answered.runs.index(name)] for name in (run_a, run_b))
    units = np.arange(len(a)) if found.cells.group is None else found.cells.group
    n_units = int(units.max()) + 1
    rows = []
    for k in raters:
        panels = Panels(found.panels.votes, np.full((1, len(a)), k))
        winners = informed_winners(replace(found, panels=panels), np.stack([a, b]))
        decided = float(winners.sum(axis=1).mean())
        noise = PanelNoise(_changed(winners, found.label) * decided, 1 - decided)
        per_item, per_unit = _differences(winners, a, b, units, n_units)
        needed = units_needed(per_unit, wanted)
        needed = None if needed is None else needed * len(a) / n_units
        for n in items:
            reached = mcnemar_power(per_unit, max(1, round(n * n_units / len(a))), significance=significance)
            rows.append(plan_row(n, k, noise, per_item, reached, needed, wanted))
    return plan_frame(rows, "; ".join(filter(None, [found.note or found.remark, answered.note, few_items(len(a), 2)])))


def _differences(
    winners: Floats, a: Ints, b: Ints, units: Ints,
    n_units: int,
) -> tuple[Discordance, Discordance]:  # fmt: skip
    """Mean of D and of its square per item, and per unit."""
    own = np.arange(len(winners))
    for_a, for_b = (winners[own, x] * ((a != b) & (x >= 0)) for x in (a, b))
    mean, square = for_a - for_b, for_a + for_b
    line = np.bincount(units, mean, n_units)
    rest = np.bincount(units, square - mean**2, n_units)
    per_unit = Discordance(float(line.mean()), float((line**2 + rest).mean()))
    return Discordance(float(mean.mean()), float(square.mean())), per_unit


def _changed(winners: Floats, label: Ints) -> float:
    """Share of the fresh labels that differ from today's, over the items that have one today."""
    own, place = winners[label >= 0], label[label >= 0]
    if not len(own):
        return float("nan")
    return float(1 - own[np.arange(len(own)), place].sum() / own.sum())
