r"""Leakage-adjusted simulatability: do reasons help to predict the model's answer beyond giving it away?"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, estimates_frame
from dfar_toolkit.metrics.faithfulness.directions import higher_is_better
from dfar_toolkit.metrics.faithfulness.item_means import estimate_share, number_column, same_length
from dfar_toolkit.metrics.labels import Column, group_series
from dfar_toolkit.metrics.reasons.present_means import estimate_present, mean_present

_SHARES: Final = (
    ("leaked_share", "reason", "share of reasons that give the answer away"),
    ("simulator_right_input", "input", "simulator right from the input alone"),
    ("simulator_right_both", "both", "simulator right from input and reason"),
)  # fmt: skip


def leakage_adjusted_simulatability(
    frame: pl.DataFrame | None = None,
    *,
    with_both: Column = "correct_both",
    with_input: Column = "correct_input",
    with_reason: Column = "correct_reason",
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Gain of a simulator from the reason, at equal weight of items whose reason gives the answer away and others.

    A simulator (a person or a model) predicts the model's answer from input and reason, from the input alone, and from
    the reason alone; an item is leaked where the reason alone suffices. With $x_i$ right with both less right with the
    input, $LAS = \frac12 (\bar x_{leaked} + \bar x_{not leaked})$, between -1 and 1.

    Args:
        frame: One row per item, or None with values.
        with_both: Column or values (N,): whether the simulator is right (0, 1 or a boolean) given input and reason.
        with_input: Column or values (N,): given the input alone.
        with_reason: Column or values (N,): given the reason alone.
        group: Column or values (N,) of the resampling unit.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; higher is better. Rows with a null are left out and counted.

    Undefined:
        No reason, or every one, gives the answer away: one of the two means has no items.

    Raises:
        ValueError: A column is missing, lengths differ, or a value is neither 0 nor 1.

    Example:
        Leaked items gain 0 and 1, the others 1 and -1.

        >>> leakage_adjusted_simulatability(
        ...     with_both=[1, 1, 1, 0], with_input=[1, 0, 0, 1], with_reason=[1, 1, 0, 0], ci=None).value
        0.25

    Reference:
        Hase, Zhang, Xie and Bansal (2020), Findings of EMNLP, section 3.
    """
    found = _read(frame, with_both, with_input, with_reason, group)
    return estimate_together([found.score()], groups=found.groups, ci=ci, confidence=confidence, n_boot=n_boot,
                             seed=seed)[0]  # fmt: skip


def simulatability_table(
    frame: pl.DataFrame | None = None,
    *,
    with_both: Column = "correct_both",
    with_input: Column = "correct_input",
    with_reason: Column = "correct_reason",
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """LAS, the gain of leaked and of other items, the share of leaked ones, and how often the simulator is right.

    Args:
        frame: As for :func:`leakage_adjusted_simulatability`.
        with_both: As there.
        with_input: As there.
        with_reason: As there.
        group: As there.
        ci: As there.
        confidence: As there.
        n_boot: As there.
        seed: As there.

    Returns:
        Rows ``metric, higher_is_better`` and Estimate's fields. Shares (``leaked_share``, ``simulator_right_input``,
        ``..._both``) have Wilson's interval where items stand alone.

    Undefined:
        As :func:`leakage_adjusted_simulatability`.

    Raises:
        ValueError: As there.

    Example:
        >>> found = simulatability_table(with_both=[1, 0], with_input=[0, 0], with_reason=[1, 0], ci=None)
        >>> found.select("metric", "value").rows()[1:3]
        [('simulatability_leaked', 1.0), ('simulatability_not_leaked', 0.0)]
    """
    found = _read(frame, with_both, with_input, with_reason, group)
    nan = float("nan")
    parts = [
        mean_present("simulatability_leaked", "gain where the reason gives the answer away",
                     np.where(found.leaked == 1, found.gain, nan), without="not given away"),
        mean_present("simulatability_not_leaked", "gain where it does not",
                     np.where(found.leaked == 0, found.gain, nan), without="given away"),
    ]  # fmt: skip
    whole = estimate_together([found.score()], groups=found.groups, ci=ci, confidence=confidence, n_boot=n_boot,
                              seed=seed)  # fmt: skip
    rest = estimate_present(parts, groups=found.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    shares = [
        estimate_share(mean_present(metric, title, found.right[given], without="unknown"), found.groups, ci=ci,
                       confidence=confidence, n_boot=n_boot, seed=seed)
        for metric, given, title in _SHARES
    ]  # fmt: skip
    names = ["leakage_adjusted_simulatability", *(p.metric for p in parts), *(metric for metric, _, _ in _SHARES)]
    beside = [{"metric": name, "higher_is_better": higher_is_better(name)} for name in names]
    return estimates_frame([*whole, *rest, *shares], beside=beside)


class _Simulated(NamedTuple):
    """Whether the simulator is right (N,) by what it was given, for the items that have all three answers."""

    right: dict[str, Floats]
    groups: pl.Series | None
    note: str

    @property
    def gain(self) -> Floats:
        """What the reason adds to the input (N,)."""
        return self.right["both"] - self.right["input"]

    @property
    def leaked(self) -> Floats:
        """Whether the reason alone suffices (N,)."""
        return self.right["reason"]

    def score(self) -> Additive:
        """LAS as an additive statistic."""
        leaked = self.leaked
        rows = np.column_stack([self.gain * leaked, leaked, self.gain * (1 - leaked), 1 - leaked])
        n = int(leaked.sum())
        why = "every reason gives the answer away" if n else "no reason gives the answer away"
        return Additive("leakage_adjusted_simulatability", "leakage-adjusted simulatability", rows, _las,
                        why if len(leaked) else "no items", self.note)  # fmt: skip


def _read(frame: pl.DataFrame | None, both: Column, alone: Column, reason: Column, group: Column | None) -> _Simulated:
    name = "leakage_adjusted_simulatability"
    given = {"with_both": both, "with_input": alone, "with_reason": reason}
    columns = {role: number_column(name, frame, column, role) for role, column in given.items()}
    n = same_length(name, columns)
    for role, values in columns.items():
        strange = values[~np.isnan(values) & (values != 0) & (values != 1)]
        if len(strange):
            raise ValueError(f"{name}: {role} must be 0 or 1, found {strange[0]:g}")
    groups = group_series(name, frame, group, n)
    known = ~np.isnan(np.stack(list(columns.values()))).any(axis=0) if n else np.empty(0, dtype=bool)
    lost = n - int(known.sum())
    xe, x, e = (values[known] for values in columns.values())
    own = None if groups is None else groups.filter(pl.Series(known, dtype=pl.Boolean))
    note = f"{lost} of {n} items without all three answers left out" if lost else ""
    return _Simulated({"both": xe, "input": x, "reason": e}, own, note)


def _las(sums: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = (sums[:, 0] / sums[:, 1] + sums[:, 2] / sums[:, 3]) / 2
    return found
