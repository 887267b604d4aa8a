"""All numbers on free-text reasons of the runs in one frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import ESTIMATE_SCHEMA, Additive, Estimate, estimates_frame
from dfar_toolkit.metrics.reasons.present_means import estimate_present
from dfar_toolkit.metrics.self_consistency.chain_of_thought import (
    CHANGED,
    EARLY,
    change_distance_rows,
    change_rate_rows,
    early_answering_area_rows,
    early_answering_curve,
    items_without_reason,
    reason_changes_of,
)
from dfar_toolkit.metrics.self_consistency.contribution_consistency import (
    ANSWER,
    DISTANCES,
    EXPLANATION,
    cc_shap_rows,
    cc_shap_scores,
)
from dfar_toolkit.metrics.self_consistency.correlational_test import cct_rows, phi_cct_rows
from dfar_toolkit.metrics.self_consistency.counterfactual_test import (
    all_flips_mentioned_rows,
    counterfactual_test_rows,
    flip_rate_rows,
    mentioned_unflipped_rows,
    share_estimate,
    unread_rows,
)
from dfar_toolkit.metrics.self_consistency.insertions import INSERTED, Insertions, insertions_of
from dfar_toolkit.metrics.self_consistency.simulation import simulated_numbers

_BESIDE: Final = pl.Schema({
    "run_id": pl.String(), "metric": pl.String(), "operator": pl.String(), "share": pl.Float64(),
    "higher_is_better": pl.Boolean(), "coverage": pl.Float64(),
})  # fmt: skip
# Shares of ones have Wilson's interval where a bootstrap has none; the other numbers are resampled together.
_SHARES: Final[tuple[tuple[Callable[[Insertions], Additive], bool | None], ...]] = (
    (counterfactual_test_rows, True), (all_flips_mentioned_rows, True), (mentioned_unflipped_rows, None),
    (flip_rate_rows, None), (unread_rows, False),
)  # fmt: skip


class _Line(NamedTuple):
    metric: str
    operator: str
    share: float | None
    higher_is_better: bool | None
    coverage: float
    estimate: Estimate


class _Draws(NamedTuple):
    confidence: float
    n_boot: int
    seed: int


def self_consistency_table(
    outputs: pl.DataFrame,
    *,
    options: Sequence[str] | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Counterfactual and correlational tests, CC-SHAP, tests of the chain of thought and simulatability, run by run.

    What a run has no rows for is absent. These are tests of self-consistency: none of them looks inside the model, and
    raw values of different models do not compare.

    Args:
        outputs: Rows of the table outputs of any number of runs; ``group`` (else the item) is the resampling unit.
        options: Names of the labels, to find them in simulated reasons; None: those of the column ``options``.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``run_id, metric, operator`` (how the reason was changed), ``share`` (of it that was kept),
        ``higher_is_better`` (null: neither), ``coverage`` (share of the insertions, edits or items whose answers and
        reasons could be read), and Estimate's fields.

    Raises:
        TableError: A column is missing.

    Example:
        >>> rows = pl.DataFrame({"run_id": ["r"] * 3, "item_id": ["a"] * 3, "draw": [0, 0, 1],
        ...     "condition": ["full", "inserted", "inserted"], "label": ["good", "bad", "bad"],
        ...     "mentioned": [None, True, False]})
        >>> self_consistency_table(rows).select("metric", "value").row(0)
        ('counterfactual_test', 0.5)
    """
    lost = [name for name in ("item_id", "condition") if name not in outputs.columns]
    if lost:
        raise TableError(f'self_consistency_table: wanted the column "{lost[0]}", found {", ".join(outputs.columns)}.')
    rows = outputs if "run_id" in outputs.columns else outputs.with_columns(run_id=pl.lit(""))
    draws = _Draws(confidence, n_boot, seed)
    named: list[tuple[str, _Line]] = []
    for run in rows["run_id"].unique().sort().to_list():
        own = rows.filter(pl.col("run_id") == run)
        named += [(run, line) for line in (*_of_insertions(own, draws), *_of_contributions(own, draws),
                                           *_of_chains(own, draws), *_of_simulator(own, options, draws))]  # fmt: skip
    beside = [{"run_id": run, **dict(zip(list(_BESIDE)[1:], line[:-1], strict=True))} for run, line in named]
    if not named:
        return pl.DataFrame(schema={**_BESIDE, **ESTIMATE_SCHEMA})
    return pl.DataFrame(beside, schema=_BESIDE).hstack(estimates_frame(line.estimate for _, line in named))


def _of_insertions(outputs: pl.DataFrame, draws: _Draws) -> list[_Line]:
    if not (outputs["condition"] == INSERTED).any():
        return []
    found = insertions_of("self_consistency_table", outputs)
    read = float(np.mean(~np.isnan(found.changed) & ~np.isnan(found.mention)))
    coverage = {
        "insertion_flip_rate": float(np.mean(~np.isnan(found.changed))), "insertion_unread_rate": 1.0,
        "cct": float(np.mean(~np.isnan(found.impact) & ~np.isnan(found.mentioned))),
    }  # fmt: skip
    lines = []
    for rows_of, better in _SHARES:
        row = rows_of(found)
        estimate = share_estimate(row, found.groups, **draws._asdict())
        lines.append(_Line(row.metric, "", None, better, coverage.get(row.metric, read), estimate))
    rows = [cct_rows(found), phi_cct_rows(found), phi_cct_rows(found, zero=True)]
    several = estimate_present(rows, groups=found.groups, **draws._asdict())
    return lines + [
        _Line(row.metric, "", None, True, coverage.get(row.metric, read), estimate)
        for row, estimate in zip(rows, several, strict=True)
    ]


def _of_contributions(outputs: pl.DataFrame, draws: _Draws) -> list[_Line]:
    if "method" not in outputs.columns or "word_scores" not in outputs.columns:
        return []
    own = outputs.filter(pl.col("method").is_in([ANSWER, EXPLANATION]))
    if not len(own):
        return []
    scores = cc_shap_scores(own)
    rows = [cc_shap_rows(scores, distance=distance) for distance in DISTANCES]
    several = estimate_present(rows, groups=scores["group"], **draws._asdict())
    return [
        _Line(row.metric, "", None, True, float(np.mean(row.rows[:, -1])), estimate)
        for row, estimate in zip(rows, several, strict=True)
    ]


def _of_chains(outputs: pl.DataFrame, draws: _Draws) -> list[_Line]:
    if not outputs["condition"].is_in([EARLY, *CHANGED]).any():
        return []
    changes = reason_changes_of("self_consistency_table", outputs)
    lines: list[_Line] = []
    for (condition, operator), own in changes.group_by("condition", "operator", maintain_order=True):
        if condition == EARLY:
            row, groups = early_answering_area_rows(own)
            better: bool | None = True
            area = estimate_present([row], groups=groups, **draws._asdict())[0]
            lines.append(_Line(row.metric, str(operator), None, better, float(np.mean(row.rows[:, -1])), area))
            continue
        better = CHANGED[str(condition)][1]
        rate, distance = change_rate_rows(own, str(condition)), change_distance_rows(own, str(condition))
        found = share_estimate(rate, own["group"], **draws._asdict())
        lines.append(_Line(rate.metric, str(operator), None, better, float(np.mean(rate.rows[:, -1])), found))
        moved = estimate_present([distance], groups=own["group"], **draws._asdict())[0]
        lines.append(_Line(distance.metric, str(operator), None, better, float(np.mean(distance.rows[:, -1])), moved))
    without, items = items_without_reason(outputs)
    if not without:
        return lines + _of_curve(outputs, changes, draws)
    note, kept = f"{without} of {items} items have a reason without words", 1 - without / items
    return [
        line._replace(coverage=line.coverage * kept, estimate=_noted(line.estimate, note))
        for line in (*lines, *_of_curve(outputs, changes, draws))
    ]


def _of_simulator(outputs: pl.DataFrame, options: Sequence[str] | None, draws: _Draws) -> list[_Line]:
    found = simulated_numbers("self_consistency_table", outputs, options=options, **draws._asdict())
    return [_Line(one.metric, "", None, one.higher_is_better, one.coverage, one.estimate) for one in found]


def _noted(estimate: Estimate, note: str) -> Estimate:
    return replace(estimate, note="; ".join(n for n in (estimate.note, note) if n))


def _of_curve(outputs: pl.DataFrame, changes: pl.DataFrame, draws: _Draws) -> list[_Line]:
    asked = {
        (operator, share): n
        for operator, share, n in changes.filter(pl.col("condition") == EARLY).group_by("operator", "share")
        .agg(pl.len()).rows()
    }  # fmt: skip
    lines = []
    for point in early_answering_curve(outputs, **draws._asdict()).rows(named=True):
        estimate = Estimate(**{name: point[name] for name in ESTIMATE_SCHEMA})
        coverage = estimate.n / asked[point["operator"], point["share"]]
        lines.append(_Line("early_answering_same", point["operator"], point["share"], None, coverage, estimate))
    return lines
