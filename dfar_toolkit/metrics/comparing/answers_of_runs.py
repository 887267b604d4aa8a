"""What runs' labels and probabilities can be compared by: tables of additive scores on the same items."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, mean_of
from dfar_toolkit.metrics.calibration.debiased_calibration_error import DebiasedError, debiased_error
from dfar_toolkit.metrics.calibration.distinct_pairs import FEWEST_BINS
from dfar_toolkit.metrics.calibration.human_distribution import (
    entropy_calibration_error_rows,
    human_error,
    rank_calibration_rows,
)
from dfar_toolkit.metrics.calibration.risk_coverage import aurc_rows, excess_aurc_rows
from dfar_toolkit.metrics.calibration.targets import is_hard
from dfar_toolkit.metrics.comparing.runs_table import Caveat, RunsTable, rows_of_all, without_note
from dfar_toolkit.metrics.label_scores import label_scores
from dfar_toolkit.metrics.labels import Codes, pair_labels
from dfar_toolkit.metrics.number_pairs import numbers_of, pair_numbers
from dfar_toolkit.metrics.ordinal import ordinal_rows
from dfar_toolkit.metrics.soft_labels.cross_entropy import soft_cross_entropy_rows
from dfar_toolkit.metrics.soft_labels.joined_pairs import joined_pairs
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions

SoftScores = Callable[[PairedDistributions], Sequence[Additive]]
_STEP = 1 + 1e-9  # options apart that still count for accuracy_within


def label_runs(part: pl.DataFrame, runs: Sequence[str], options: Sequence[str], *, ordered: bool) -> RunsTable | None:
    """Label metrics over the items with a gold label, an unanswered one being wrong.

    Args:
        part: Rows of joined answers, all runs.
        runs: The runs in order.
        options: Names of the labels in order.
        ordered: Whether that order means something; then with accuracy within a step.

    Returns:
        The table, accuracy first; None where no item has gold.
    """
    gold = part.drop_nulls("label").sort("run_id", "item_id")
    if not len(gold):
        return None
    found, groups = {}, None
    for run in runs:
        rows = gold.filter(run_id=run)
        pairs = pair_labels("compare", rows, gold="label", pred="label_pred", group=None, options=options)
        # Of the answered, runs are compared on the items that both answered: that depends on the pair.
        found[run] = [score for score in label_scores(pairs) if score.metric != "accuracy_answered"]
        found[run] += [_within(rows, options)] if ordered else []
        groups = pairs.groups
    return RunsTable(found, groups)


def _within(rows: pl.DataFrame, options: Sequence[str]) -> Additive:
    """Accuracy within a step of the scale; no answer is a miss."""
    x, y = (numbers_of("compare", rows, column, column, options) for column in ("label", "label_pred"))
    with np.errstate(invalid="ignore"):
        hits = np.abs(y - x) <= _STEP
    return mean_of("accuracy_within", "accuracy within 1", hits)


def ordinal_runs(part: pl.DataFrame, runs: Sequence[str], options: Sequence[str]) -> RunsTable | None:
    """Errors, quadratic kappa and correlation on an ordered scale, over the items that all runs answered.

    Args:
        part: Rows of joined answers, all runs.
        runs: The runs in order.
        options: Names of the labels from lowest to highest.

    Returns:
        The table of the runs that answered any; None where fewer than two did, or no item has all answers and gold.
    """
    having, answered = rows_of_all(part.drop_nulls(["label", "label_pred"]), runs)
    if not len(answered):
        return None
    pairs = {run: pair_numbers("compare", answered.filter(run_id=run), gold="label", pred="label_pred",
                               options=options) for run in having}  # fmt: skip
    n, of = len(answered) // len(having), part["item_id"].n_unique()
    note = f"{of - n} of {of} items not answered by all left out" if n < of else ""
    note = "; ".join(filter(None, [note, without_note(runs, having, "labels")]))
    return RunsTable({run: ordinal_rows(p) for run, p in pairs.items()}, pairs[having[0]].groups, note)


def soft_runs(
    part: pl.DataFrame, runs: Sequence[str], options: Sequence[str], soft_scores: SoftScores | None
) -> RunsTable | None:
    """Soft scores over the items for which all runs with probabilities and the people have a distribution.

    Args:
        part: Rows of joined answers, all runs.
        runs: The runs in order.
        options: Names of the labels in order.
        soft_scores: What is computed; None means cross-entropy.

    Returns:
        The table; None where fewer than two runs have probabilities, or no item has all distributions.
    """
    compute = soft_scores or (lambda pairs: [soft_cross_entropy_rows(pairs)])
    having, shared = _distributions(part, runs)
    if not len(shared):
        return None
    pairs = {run: joined_pairs("compare", shared.filter(run_id=run), options) for run in having}
    rows = {run: list(compute(p)) for run, p in pairs.items()}
    return RunsTable(rows, pairs[having[0]].groups, without_note(runs, having, "probabilities"))


def calibration_runs(part: pl.DataFrame, runs: Sequence[str], options: Sequence[str]) -> RunsTable | None:
    """Calibration measures that can be resampled in pairs, over the same items as the soft scores.

    Against people's distribution (where anybody differs): the squared error without the noise of the bins, the mean
    difference of the entropies, the share of items ordered alike. Against the labels: the squared error of the top
    option's probability, AURC and excess AURC. Binned errors with their noise have no interval and are left out.

    Args:
        part: Rows of joined answers, all runs.
        runs: The runs in order.
        options: Names of the labels in order.

    Returns:
        The table; None as for :func:`soft_runs`.
    """
    having, shared = _distributions(part, runs)
    if not len(shared):
        return None
    rows: dict[str, list[Additive]] = {}
    few: dict[str, dict[str, str]] = {}
    groups = None
    for run in having:
        own = shared.filter(run_id=run)
        pairs, codes = joined_pairs("compare", own, options), _codes(own, options)
        errors = _binned(pairs, codes)
        hard = is_hard(pairs)
        plain = [] if hard else [entropy_calibration_error_rows(pairs), rank_calibration_rows(pairs)]
        ranked = [f(pairs, codes) for f in (aurc_rows, excess_aurc_rows)] if (codes >= 0).any() else []
        rows[run], groups = [*(e.rows for e in errors), *plain, *ranked], pairs.groups
        for error in errors:
            if error.n_bins < FEWEST_BINS:
                few.setdefault(error.rows.metric, {})[run] = f"{error.n_bins} bins, at least {FEWEST_BINS} are needed"
    exact = ("entropy_calibration_error", "rank_calibration")
    metrics = [score.metric for score in rows[having[0]]]
    caveats = {m: Caveat(linearised=True, uncertain=few.get(m, {})) for m in metrics if m not in exact}
    found = RunsTable(rows, groups, without_note(runs, having, "probabilities"), caveats)
    return found if metrics else None


def _binned(pairs: PairedDistributions, codes: Codes) -> list[DebiasedError]:
    """The squared errors without the noise of the bins, against people and against labels."""
    human = [] if is_hard(pairs) else [human_error(pairs)]
    if not (codes >= 0).any():
        return human
    top = debiased_error(pairs, codes)
    return [*human, top._replace(rows=top.rows._replace(metric=f"{top.rows.metric}_majority"))]


def _codes(rows: pl.DataFrame, options: Sequence[str]) -> Codes:
    """Place of the gold label among the options (N,), -1 where people tied."""
    places = rows["label"].cast(pl.Enum(list(options))).to_physical().cast(pl.Int64)
    return places.fill_null(-1).to_numpy()


def _distributions(part: pl.DataFrame, runs: Sequence[str]) -> tuple[list[str], pl.DataFrame]:
    known = part.filter(pl.col("label_probs_pred").is_not_null(), pl.col("label_probs").is_not_null())
    return rows_of_all(known, runs)
