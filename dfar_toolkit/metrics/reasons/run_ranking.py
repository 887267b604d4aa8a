r"""Do a reason metric and people's verdicts rank runs alike: Kendall's tau-b of the run means.

With $x_r$ the mean score of run r and $y_r$ its mean share of accepting judges, over the same judged reasons, and
$C, D$ concordant and discordant pairs of runs, $T_x, T_y$ pairs not tied in x, in y:
$\tau_b = (C - D) / \sqrt{T_x T_y}$. Few runs give few possible values: 3 runs give 4. Cost: N R numbers once and R^2
per draw.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together
from dfar_toolkit.metrics.labels import Column, group_series
from dfar_toolkit.metrics.reasons.paired_reasons import column_values

_TIED = 1e-12  # means that differ by less differ by rounding


def run_rank_agreement(
    frame: pl.DataFrame | None = None,
    *,
    score: Column,
    share_bad: Column = "share_bad",
    run: Column = "run_id",
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Kendall's tau-b between the runs' mean scores and the mean shares of judges who accept their reasons.

    Args:
        frame: One row per judged reason, or None with values.
        score: Column or numbers (N,), higher for better; rows without a score or verdict are left out and counted.
        share_bad: Column or shares (N,) of the judges who reject the reason.
        run: Column or run names (N,).
        group: Column or values (N,) of the resampling unit: shared by the runs' reasons of an item.
        ci: ``bootstrap`` over groups (these runs fixed), or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate in [-1, 1]; ``n`` counts reasons, the note the runs.

    Undefined:
        Fewer than two runs, or all means tied on one side.

    Raises:
        ValueError: A missing column, lengths differ.

    Example:
        >>> run_rank_agreement(score=[1, 2, 3, 4], share_bad=[0.9, 0.5, 0.6, 0.1], run=list("abcd"), ci=None).value
        0.6666666666666666

    Reference:
        Kendall (1945), Biometrika 33 (tau-b).
    """
    name = "run_rank_agreement"
    columns = {"score": column_values(name, frame, score, "score").cast(pl.Float64).fill_nan(None)}
    columns["bad"] = column_values(name, frame, share_bad, "share_bad").cast(pl.Float64)
    columns["run"] = column_values(name, frame, run, "run").cast(pl.String)
    lengths = {len(c) for c in columns.values()}
    if len(lengths) > 1:
        raise ValueError(f"{name}: score, share_bad and run must have one value per reason, found {sorted(lengths)}")
    groups = group_series(name, frame, group, len(columns["score"]))
    table = pl.DataFrame(columns)
    whole = table.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
    kept = table.filter(whole)
    row = run_rank_rows(kept["score"].to_numpy(), kept["bad"].to_numpy(), kept["run"])
    lost = len(table) - len(kept)
    aside = f"{lost} of {len(table)} without a score or verdict left out" if lost else ""
    held = None if groups is None else groups.filter(whole)
    found = estimate_together([row], groups=held, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]
    return replace(found, note="; ".join(n for n in (found.note, aside) if n))


def run_rank_rows(scores: npt.ArrayLike, share_bad: npt.ArrayLike, runs: pl.Series) -> Additive:
    """The rows and formula of :func:`run_rank_agreement`.

    Args:
        scores: Numbers (N,).
        share_bad: Shares (N,).
        runs: Run of each reason (N,).

    Returns:
        The additive statistic of R runs, rows (N, 3 R).
    """
    names = runs.unique().sort()
    own = np.equal.outer(runs.to_numpy(), names.to_numpy()) if len(runs) else np.zeros((0, len(names)))
    own = own.astype(np.float64)
    x, y = np.asarray(scores, dtype=np.float64)[:, None], 1 - np.asarray(share_bad, dtype=np.float64)[:, None]
    why = "fewer than two runs" if len(names) < 2 else "all run means are tied on one side"
    return Additive("kendall_tau_runs", "Kendall's tau-b over runs", np.concatenate([own * x, own * y, own], axis=1),
                    _tau, why, f"{len(names)} runs")  # fmt: skip


def _tau(sums: Floats) -> Floats:
    n_runs = sums.shape[1] // 3
    counts = sums[:, 2 * n_runs :]
    blank = np.full((len(sums), n_runs), np.nan)
    means = [
        np.divide(sums[:, part * n_runs : (part + 1) * n_runs], counts, out=blank.copy(), where=counts > 0)
        for part in (0, 1)
    ]
    one, two = np.triu_indices(n_runs, k=1)
    x, y = (_signs(m[:, one] - m[:, two]) for m in means)
    untied = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    out: Floats = np.divide((x * y).sum(axis=1), untied, out=np.full(len(sums), np.nan), where=untied > 0)
    return out


def _signs(differences: Floats) -> Floats:
    signs: Floats = np.where(np.abs(differences) < _TIED, 0.0, np.sign(differences))
    return signs
