"""Any number of runs on the same items: every pair on every metric, ranks, and wins by item."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimates_frame
from dfar_toolkit.metrics.answers import Answers
from dfar_toolkit.metrics.comparing.answers_of_runs import (
    SoftScores,
    calibration_runs,
    label_runs,
    ordinal_runs,
    soft_runs,
)
from dfar_toolkit.metrics.comparing.detectable import minimum_detectable_difference
from dfar_toolkit.metrics.comparing.differences import paired_differences
from dfar_toolkit.metrics.comparing.one_family import as_one_family
from dfar_toolkit.metrics.comparing.rank_stability import rank_stability
from dfar_toolkit.metrics.comparing.reasons_of_runs import REASON_METRICS, reason_runs
from dfar_toolkit.metrics.comparing.runs_table import RunsTable, with_caveats
from dfar_toolkit.metrics.comparing.win_tie_loss import win_tie_loss
from dfar_toolkit.metrics.subsets import Subset, leak_subsets

# Words that the names of metrics hold of which less is better.
LOWER_IS_BETTER = ("cross_entropy", "brier", "divergence", "distance", "variation", "wasserstein", "manhattan", "error",
                   "likelihood", "nll", "loss", "aurc", "below_half")  # fmt: skip
_BY: Final = "_by"
_SIGNED: Final = ("mean_signed_error", "entropy_calibration_error")  # best at 0: no order of runs


class ManyRuns(NamedTuple):
    """Comparisons of all pairs of runs.

    ``differences``: rows ``subset, metric, run_a, run_b``, Estimate's fields (second minus first) and those of
    ``paired_differences``. ``detectable``: the smallest difference each pair could have shown on the primary metric.
    ``ranks``: rows ``subset, run_id, value, rank, ...`` on the primary metric, none where it is best at 0.
    ``outcomes``: rows ``subset, run_a, run_b, outcome, count`` and a share with its interval, right beside wrong by
    item. ``notes``: what each subset is and what was set aside, by subset.
    """

    differences: pl.DataFrame
    detectable: pl.DataFrame
    ranks: pl.DataFrame
    outcomes: pl.DataFrame
    notes: Mapping[str, str] = {}


class _Plan(NamedTuple):
    """What is compared, and how: the same for all subsets."""

    answers: Answers
    items: pl.DataFrame | None
    runs: list[str]
    primary: str
    metrics: Collection[str] | None
    margin: float | None
    ordered: bool
    soft_scores: SoftScores | None
    confidence: float
    n_boot: int
    n_perm: int
    seed: int


def compare_many(
    answers: Answers,
    *,
    runs: Sequence[str] | None = None,
    primary: str = "accuracy",
    metrics: Collection[str] | None = None,
    margin: float | None = None,
    by: str | None = None,
    items: pl.DataFrame | None = None,
    ordered: bool = False,
    soft_scores: SoftScores | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_perm: int = 10_000,
    seed: int = 0,
) -> ManyRuns:
    """Compare all runs of a joined table of answers, for all, leaked and clean items.

    Label metrics are over the items with a gold label, an unanswered one being wrong; ordinal ones over those that all
    answered; soft ones and calibration over the items for which the people and all runs that have any have a
    distribution; those of reasons (no judge, no model) over the items on which all runs that give reasons gave one.
    The squared calibration errors and AURC are linearised: a paired bootstrap, no swap test, as the note says.

    The family of tests is all pairs on ``primary``, of each leak subset by itself; of all values of ``by`` together:
    Holm over pairs x values, and simultaneous intervals that share the error evenly among the values. Every other
    metric is exploratory.

    Args:
        answers: Runs by evaluated items, from ``join_outputs``.
        runs: The runs in the order in which they are paired, second minus first; None sorts all by name.
        primary: The metric declared beforehand.
        metrics: What is compared beside the primary metric; None means all that apply.
        margin: Half width of differences that do not matter, for the test of equivalence.
        by: A column of ``items`` (such as ``source``); each value is compared as a subset of its own.
        items: The table items, for ``by`` and for people's reasons.
        ordered: Whether the order of the options means something (an ordinal question).
        soft_scores: What is computed where probabilities are known; None means cross-entropy.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        n_perm: Random swaps of the permutation tests.
        seed: Seed of draws and swaps.

    Returns:
        The comparisons.

    Raises:
        TableError: Fewer than two runs, a run without answers, or a column that the items do not have.
    """
    plan = _Plan(
        answers, items, _checked_runs(answers, runs), primary, None if metrics is None else {*metrics, primary},
        margin, ordered, soft_scores, confidence, n_boot, n_perm, seed,
    )  # fmt: skip
    frame = answers.frame if by is None else _with_column(answers, items, by)
    values = _subgroups(frame, by)
    found = [_one_subset(plan, subset, frame, together=1) for subset in leak_subsets(answers.items)]
    found += [_one_subset(plan, subset, frame, together=len(values)) for subset in values]
    many = _together(plan, [one for one in found if one is not None])
    if by is None:
        return many
    return many._replace(differences=as_one_family(many.differences, [s.name for s in values], by=by))


def _checked_runs(answers: Answers, runs: Sequence[str] | None) -> list[str]:
    known = answers.frame["run_id"].unique().sort().to_list()
    chosen = known if runs is None else list(dict.fromkeys(runs))
    if len(chosen) < 2:
        raise TableError(f"compare: at least two runs are wanted, found {', '.join(chosen) or 'none'}.")
    lost = [run for run in chosen if run not in known]
    if lost:
        raise TableError(
            f"compare: the answers hold no run {lost[0]!r}; found {', '.join(known)}. Compared are outputs of the "
            'condition "full" that predict no one annotator.'
        )
    return chosen


def _with_column(answers: Answers, items: pl.DataFrame | None, by: str) -> pl.DataFrame:
    """The answers with a column of the items beside them, under a name of its own: answers have columns as well."""
    tables = [answers.items] if items is None else [items, answers.items]
    table = next((t for t in tables if by in t.columns), None)
    if table is None:
        raise TableError(f"compare: the items have no column {by!r}; found {', '.join(tables[0].columns)}.")
    values = table.select("item_id", pl.col(by).cast(pl.String).alias(_BY))
    return answers.frame.join(values, on="item_id", how="left", maintain_order="left")


def _subgroups(frame: pl.DataFrame, by: str | None) -> list[Subset]:
    """One subset per value of a column; null is a value too."""
    if by is None:
        return []
    return [
        Subset(f"{by}={value}", pl.col(_BY).eq_missing(pl.lit(value, dtype=pl.String)), "")
        for value in frame[_BY].unique().sort()
    ]


def _one_subset(plan: _Plan, subset: Subset, frame: pl.DataFrame, *, together: int) -> ManyRuns | None:
    """Everything about one subset; None where nothing can be compared."""
    part = frame.filter(subset.keep, pl.col("run_id").is_in(plan.runs))
    labels = label_runs(part, plan.runs, plan.answers.options, ordered=plan.ordered)
    tables = [t for t in _tables(plan, part, labels) if t is not None]
    if not tables:
        return None
    named = pl.lit(subset.name).alias("subset")
    differences = pl.concat([_differences(plan, table, together) for table in tables]).select(named, pl.all())
    note = "; ".join(n for n in (subset.note, plan.answers.note) if n)
    said = pl.when(metric=plan.primary).then(pl.concat_str("note", pl.lit(f"; {note}" if note else "")))
    tested = differences.filter(metric=plan.primary)
    return ManyRuns(
        differences=differences.with_columns(said.otherwise("note").alias("note")),
        detectable=_detectable(tested, plan.confidence).select(named, pl.all()) if len(tested) else pl.DataFrame(),
        ranks=_ranks(plan, tables).select(named, pl.all()),
        outcomes=_outcomes(plan, labels).select(named, pl.all()),
        notes={subset.name: note},
    )


def _tables(plan: _Plan, part: pl.DataFrame, labels: RunsTable | None) -> list[RunsTable | None]:
    """The tables of additive scores that the items of a subset allow, without metrics that nobody asked for."""
    options, runs = plan.answers.options, plan.runs
    found = [labels]
    if plan.ordered:
        found.append(ordinal_runs(part, runs, options))
    found += [soft_runs(part, runs, options, plan.soft_scores), calibration_runs(part, runs, options)]
    if plan.metrics is None or set(REASON_METRICS) & set(plan.metrics):
        found.append(reason_runs(part, runs, plan.answers, plan.items, plan.metrics))
    return [table.only(plan.metrics) for table in found if table is not None]


def _differences(plan: _Plan, table: RunsTable, together: int) -> pl.DataFrame:
    """All pairs on the metrics of one table."""
    here = plan.primary in table.metrics
    found = paired_differences(
        table.rows, groups=table.groups, primary=plan.primary if here else table.metrics[0],
        margin=plan.margin if here else None, untested=table.linearised(), together=together,
        confidence=plan.confidence, n_boot=plan.n_boot, n_perm=plan.n_perm, seed=plan.seed,
    )  # fmt: skip
    return with_caveats(found if here else _exploratory(found), table)


def _exploratory(table: pl.DataFrame) -> pl.DataFrame:
    """Metrics of another table than the primary one's belong to no family."""
    nothing = [
        pl.lit(None, dtype=pl.Float64).alias(c)
        for c in ("p_holm", "low_simultaneous", "high_simultaneous", "p_equivalent")
    ]
    return table.with_columns(pl.lit("exploratory").alias("family"), *nothing)


def _detectable(table: pl.DataFrame, confidence: float) -> pl.DataFrame:
    """From the width of each difference's interval, as a normal one."""
    from scipy.special import ndtri

    z = 2 * float(ndtri(0.5 + confidence / 2))
    found, beside = [], []
    for row in table.iter_rows(named=True):
        fields = {f: row[f] for f in Estimate.__slots__}
        error = (row["high"] - row["low"]) / z
        found.append(minimum_detectable_difference(Estimate(**fields), standard_error=error))
        beside.append({"metric": row["metric"], "run_a": row["run_a"], "run_b": row["run_b"]})
    return estimates_frame(found, beside=beside)


def _ranks(plan: _Plan, tables: Sequence[RunsTable]) -> pl.DataFrame:
    """Ranks on the primary metric; no rows where the subset does not have it, or it is best at 0."""
    table = next((t for t in tables if plan.primary in t.metrics), None)
    if table is None or plan.primary in _SIGNED:
        return _NO_RANKS.clone()
    return rank_stability(
        table.rows, metric=plan.primary, groups=table.groups,
        better="lower" if any(word in plan.primary for word in LOWER_IS_BETTER) else "higher",
        confidence=plan.confidence, n_boot=plan.n_boot, seed=plan.seed,
    )  # fmt: skip


_NO_RANKS: Final = pl.DataFrame(
    schema={
        "run_id": pl.String, "value": pl.Float64, "rank": pl.Float64, "rank_low": pl.Float64, "rank_high": pl.Float64,
        "share_best": pl.Float64, "kendall_tau": pl.Float64, "n_draws": pl.Int64,
    }
)  # fmt: skip


def _outcomes(plan: _Plan, labels: RunsTable | None) -> pl.DataFrame:
    """Right beside wrong by item; no rows where no item has a gold label."""
    if labels is None:
        return win_tie_loss({run: [] for run in plan.runs}).clear()
    right = {run: scores[0].rows[:, 0] for run, scores in labels.rows.items()}
    return win_tie_loss(right, groups=labels.groups, confidence=plan.confidence)


def _together(plan: _Plan, found: Sequence[ManyRuns]) -> ManyRuns:
    """The tables of all subsets below one another."""
    if not found:
        raise TableError("compare: no item has a gold label, or people's shares and probabilities of every run.")
    differences = pl.concat([one.differences for one in found])
    if plan.primary not in differences["metric"].unique():
        known = ", ".join(differences["metric"].unique().sort())
        raise TableError(f"compare: the primary metric must be one of {known}, found {plan.primary!r}.")
    notes: dict[str, str] = {}
    for one in found:
        notes |= one.notes
    return ManyRuns(
        differences=differences,
        detectable=pl.concat([one.detectable for one in found if one.detectable.width]),
        ranks=pl.concat([one.ranks for one in found], how="vertical_relaxed"),
        outcomes=pl.concat([one.outcomes for one in found]),
        notes=notes,
    )
