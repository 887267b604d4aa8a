r"""The rate of bad verdicts corrected for a judge model's known errors (Rogan and Gladen).

The judge's own rate is too high by its false alarms and too low by what it misses; knowing both, the rate of people's
verdicts follows. The correction divides by sensitivity + specificity - 1: a judge near 0 there says nothing, and the
estimate is refused. :func:`~dfar_toolkit.metrics.judging.prediction_powered.prediction_powered_rate` is never wider
than the human verdicts alone; this one can be much wider.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together
from dfar_toolkit.metrics.judging.two_phase import TwoPhase, two_phase
from dfar_toolkit.metrics.labels import Column

_FEW: Final = (
    10  # human verdicts of one kind; with fewer the bootstrap covered 91 % instead of 95 % (5 to 10 of 100 bad)
)
WEAKEST: Final = 0.1  # sensitivity + specificity - 1 below which nothing is divided by it


def rogan_gladen_rate(apparent: float, sensitivity: float, specificity: float) -> float:
    r"""The rate behind an apparent one: $(p + spec - 1) / (sens + spec - 1)$, cut to [0, 1].

    Args:
        apparent: p, the judge's share of bad verdicts.
        sensitivity: Share of bad reasons that the judge calls bad.
        specificity: Share of good reasons that it calls good.

    Returns:
        The rate; ``nan`` where sensitivity + specificity - 1 is below .1.

    Example:
        (.3 + .75 - 1) / (.75 + .75 - 1) = .05 / .5

        >>> round(rogan_gladen_rate(0.3, 0.75, 0.75), 3)
        0.1

    Reference:
        Rogan and Gladen (1978), Am. J. Epidemiol. 107(1):71-76.
    """
    return float(_corrected(np.array([apparent]), np.array([sensitivity]), np.array([specificity]))[0])


def rogan_gladen(
    frame: pl.DataFrame | None = None,
    *,
    human: Column | npt.ArrayLike = "human",
    judge: Column | npt.ArrayLike = "judge",
    inclusion_prob: Column | float | None = None,
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Rate of bad verdicts by people, from the judge's rate over all rows and its errors on rows that people judged.

    With $Y_i$ the human verdict on rows that have one, each weighted $1 / \pi_i$, and $f_i$ the judge's on all M:

        $sens = \frac{\sum Y_i f_i}{\sum Y_i}$,   $spec = \frac{\sum (1 - Y_i)(1 - f_i)}{\sum (1 - Y_i)}$,
        $\theta = \frac{\bar f + spec - 1}{sens + spec - 1}$, cut to [0, 1]

    $\bar f$ is over all rows, so that with people on every row $\theta$ is their rate.

    Args:
        frame: One row per judged reason; None where the values themselves are given.
        human: Column or values (M,): 1 (True) is bad; null where nobody judged.
        judge: Column or values (M,).
        inclusion_prob: Probability with which people were to judge a row, where it differs; None: all alike.
        group: Column or values; None means the column ``group`` where the frame has one, else single rows.
        ci: ``bootstrap`` over groups of rows, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate; n counts rows.

    Undefined:
        Nobody judged a row, or people call every row alike; sensitivity + specificity - 1 below .1.

    Raises:
        TableError: A verdict or a probability out of its range.
        ValueError: A column is missing.

    Example:
        sens 1/2, spec 1, the judge's rate 1/4: (1/4 + 1 - 1) / (1/2).

        >>> found = rogan_gladen(human=[1, 1, 0, 0], judge=[1, 0, 0, 0], ci=None)
        >>> found.value
        0.5

    Reference:
        Rogan and Gladen (1978), Am. J. Epidemiol. 107(1):71-76; Lang and Reiczigel (2014), Prev. Vet. Med.
        113(1):13-22 (its interval where sensitivity and specificity are estimated).
    """
    rows = two_phase(
        "rogan_gladen", frame, human=human, judge=judge, inclusion_prob=inclusion_prob, group=group
    )  # fmt: skip
    score = rogan_gladen_rows(rows)
    found = estimate_together([score], groups=rows.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]
    bad = float(rows.human[rows.judged].sum())
    rarer = min(bad, float(rows.judged.sum()) - bad)
    if not np.isfinite(found.low) or rarer >= _FEW:
        return found
    return replace(found, note=f"{found.note}; fewer than {_FEW} {'bad' if rarer == bad else 'good'} human verdicts: "
                               "the interval is too short")  # fmt: skip


def rogan_gladen_rows(rows: TwoPhase) -> Additive:
    """Rows (M, 6) of :func:`rogan_gladen` and its formula."""
    judged = rows.judged
    weight = np.where(judged, 1.0 / np.where(judged, rows.inclusion, 1.0), 0.0)
    bad = np.where(judged, rows.human, 0.0) * weight
    good = weight - bad
    f = rows.judge
    table = np.column_stack([f, np.ones_like(f), bad * f, bad, good * (1 - f), good])
    n, sums = int(judged.sum()), table.sum(axis=0)
    note = "; ".join(s for s in (f"{n} of {len(f)} rows judged by people", rows.note) if s)
    return Additive("rogan_gladen_rate", "Rogan-Gladen rate", table, _formula, _undefined(sums), note)


def _undefined(sums: Floats) -> str:
    if sums[3] + sums[5] == 0:
        return "people judged no row"
    if sums[3] == 0 or sums[5] == 0:
        return f"people call every row {'bad' if sums[3] else 'good'}: sensitivity and specificity are not both known"
    sens, spec = sums[2] / sums[3], sums[4] / sums[5]
    return f"sensitivity {sens:.2f} + specificity {spec:.2f} - 1 is below {WEAKEST:g}: the judge says too little"


def _formula(sums: Floats) -> Floats:
    return _corrected(sums[:, 0] / sums[:, 1], sums[:, 2] / sums[:, 3], sums[:, 4] / sums[:, 5])


def _corrected(apparent: Floats, sensitivity: Floats, specificity: Floats) -> Floats:
    informed = sensitivity + specificity - 1
    usable = informed >= WEAKEST
    rate = (apparent + specificity - 1) / np.where(usable, informed, 1.0)
    return np.where(usable, np.clip(rate, 0.0, 1.0), np.nan)
