"""Any number of runs on the same items: every pair on every metric, ranks, and wins by item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Estimate, estimates_frame
from dfar_toolkit.metrics.answers import Answers
from dfar_toolkit.metrics.comparing.detectable import minimum_detectable_difference
from dfar_toolkit.metrics.comparing.differences import paired_differences
from dfar_toolkit.metrics.comparing.rank_stability import rank_stability
from dfar_toolkit.metrics.comparing.win_tie_loss import win_tie_loss
from dfar_toolkit.metrics.label_scores import label_scores
from dfar_toolkit.metrics.labels import pair_labels
from dfar_toolkit.metrics.soft_labels.cross_entropy import soft_cross_entropy_rows
from dfar_toolkit.metrics.soft_labels.joined_pairs import joined_pairs
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions
from dfar_toolkit.metrics.subsets import Subset, leak_subsets

SoftScores = Callable[[PairedDistributions], Sequence[Additive]]
# Words that the names of metrics hold of which less is better.
LOWER_IS_BETTER = ("cross_entropy", "brier", "divergence", "distance", "variation", "wasserstein", "manhattan", "error",
                   "likelihood", "nll", "loss", "aurc", "below_half")  # fmt: skip


class ManyRuns(NamedTuple):
    """Comparisons of all pairs of runs.

    ``differences``: rows ``subset, metric, run_a, run_b``, Estimate's fields (second minus first) and those of
    ``paired_differences``. ``detectable``: the smallest difference each pair could have shown on the primary metric.
    ``ranks``: rows ``subset, run_id, value, rank, ...`` on the primary metric. ``outcomes``: rows ``subset, run_a,
    run_b, outcome, count`` and a share with its interval, right beside wrong by item.
    """

    differences: pl.DataFrame
    detectable: pl.DataFrame
    ranks: pl.DataFrame
    outcomes: pl.DataFrame


def compare_many(
    answers: Answers,
    *,
    primary: str = "accuracy",
    margin: float | None = None,
    by: str | None = None,
    items: pl.DataFrame | None = None,
    soft_scores: SoftScores | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_perm: int = 10_000,
    seed: int = 0,
) -> ManyRuns:
    """Compare all runs of a joined table of answers, for all, leaked and clean items.

    Label metrics are over the items with a gold label, an unanswered one being wrong; soft metrics over the items for
    which every run and the people have a distribution. The family of tests is all pairs on ``primary``.

    Args:
        answers: Runs by evaluated items, from ``join_outputs``.
        primary: The metric declared beforehand.
        margin: Half width of differences that do not matter, for the test of equivalence.
        by: A column of ``items`` (such as ``source``); each value is compared as a subset of its own.
        items: The table items, for ``by``.
        soft_scores: What is computed where probabilities are known; None means cross-entropy.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        n_perm: Random swaps of the permutation tests.
        seed: Seed of draws and swaps.

    Returns:
        The comparisons.

    Raises:
        TableError: Fewer than two runs, or a column that the items do not have.
    """
    runs = answers.frame["run_id"].unique().sort().to_list()
    if len(runs) < 2:
        raise TableError(f"compare: at least two runs are wanted, found {', '.join(runs) or 'none'}.")
    differences, detectable, ranks, outcomes = [], [], [], []
    frame = answers.frame if by is None else _with_column(answers, items, by)
    for subset in [*leak_subsets(answers.items), *_subgroups(frame, by)]:
        part = frame.filter(subset.keep)
        scores, groups = _label_rows(part, runs, answers.options)
        soft, soft_groups = _soft_rows(part, runs, answers.options, soft_scores)
        if not scores and not soft:
            continue
        named = pl.lit(subset.name).alias("subset")
        tables = []
        for rows, unit in ((scores, groups), (soft, soft_groups)):
            if rows:
                metrics = [s.metric for s in rows[runs[0]]]
                declared = primary if primary in metrics else metrics[0]
                table = paired_differences(
                    rows, groups=unit, primary=declared, margin=margin,
                    confidence=confidence, n_boot=n_boot, n_perm=n_perm, seed=seed,
                )  # fmt: skip
                tables.append(table if declared == primary else _exploratory(table))
                if declared == primary:
                    better = "lower" if any(word in primary for word in LOWER_IS_BETTER) else "higher"
                    ranked = rank_stability(
                        rows, metric=primary, better=better, groups=unit,  # type: ignore[arg-type]
                        confidence=confidence, n_boot=n_boot, seed=seed,
                    )  # fmt: skip
                    ranks.append(ranked.select(named, pl.all()))
        table = pl.concat(tables).select(named, pl.all())
        note = "; ".join(n for n in (subset.note, answers.note) if n)
        said = pl.when(metric=primary).then(pl.concat_str("note", pl.lit(f"; {note}" if note else "")))
        differences.append(table.with_columns(said.otherwise("note").alias("note")))
        tested = table.filter(metric=primary)
        if len(tested):
            detectable.append(_detectable(tested, confidence).select(named, pl.all()))
        if scores:
            right = {run: s[0].rows[:, 0] for run, s in scores.items()}
            outcomes.append(win_tie_loss(right, groups=groups, confidence=confidence).select(named, pl.all()))
    if not differences:
        raise TableError("compare: no item has a gold label, or people's shares and probabilities of every run.")
    if primary not in pl.concat(differences)["metric"].unique():
        known = ", ".join(pl.concat(differences)["metric"].unique().sort())
        raise TableError(f"compare: the primary metric must be one of {known}, found {primary!r}.")
    without = win_tie_loss({run: [] for run in runs}).clear().select(pl.lit("").alias("subset"), pl.all())
    return ManyRuns(pl.concat(differences), pl.concat(detectable), pl.concat(ranks), pl.concat([without, *outcomes]))


def _with_column(answers: Answers, items: pl.DataFrame | None, by: str) -> pl.DataFrame:
    if by in answers.frame.columns:
        return answers.frame
    if items is None or by not in items.columns:
        known = ", ".join((answers.items if items is None else items).columns)
        raise TableError(f"compare: the items have no column {by!r}; found {known}.")
    return answers.frame.join(items.select("item_id", by), on="item_id", how="left", maintain_order="left")


def _subgroups(frame: pl.DataFrame, by: str | None) -> list[Subset]:
    """One subset per value of a column; null is a value too."""
    if by is None:
        return []
    values = frame[by].cast(pl.String).unique().sort()
    return [
        Subset(f"{by}={value}", pl.col(by).cast(pl.String).eq_missing(pl.lit(value, dtype=pl.String)), "")
        for value in values
    ]


def _label_rows(
    part: pl.DataFrame, runs: Sequence[str], options: Sequence[str]
) -> tuple[dict[str, list[Additive]], pl.Series | None]:
    gold = part.drop_nulls("label").sort("run_id", "item_id")
    if not len(gold):
        return {}, None
    found, groups = {}, None
    for run in runs:
        rows = gold.filter(run_id=run)
        pairs = pair_labels("compare", rows, gold="label", pred="label_pred", group=None, options=options)
        # Of the answered, runs are compared on the items that both answered: that depends on the pair.
        found[run] = [score for score in label_scores(pairs) if score.metric != "accuracy_answered"]
        groups = pairs.groups
    return found, groups


def _soft_rows(
    part: pl.DataFrame, runs: Sequence[str], options: Sequence[str], soft_scores: SoftScores | None
) -> tuple[dict[str, list[Additive]], pl.Series | None]:
    """Soft scores of every run on the items for which all runs and the people have a distribution."""
    known = part.filter(pl.col("label_probs_pred").is_not_null(), pl.col("label_probs").is_not_null())
    shared = known.filter(pl.len().over("item_id") == len(runs)).sort("run_id", "item_id")
    if not len(shared):
        return {}, None
    compute = soft_scores or (lambda pairs: [soft_cross_entropy_rows(pairs)])
    found, groups = {}, None
    for run in runs:
        rows = shared.filter(run_id=run)
        pairs = joined_pairs("compare", rows, options)
        found[run], groups = list(compute(pairs)), pairs.groups
    return found, groups


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
