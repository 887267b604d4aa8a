"""All calibration measures of one run: against the human distribution first, then against the majority by its name."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, estimate_together, estimates_frame
from dfar_toolkit.metrics.calibration.corp_decomposition import (
    N_TERMS,
    corp_estimates,
    corp_rows,
    miscalibration_under_calibration,
)
from dfar_toolkit.metrics.calibration.debiased_calibration_error import debiased_error, linearised, with_enough_bins
from dfar_toolkit.metrics.calibration.expected_calibration_error import Binned, binned_calibration_error
from dfar_toolkit.metrics.calibration.human_distribution import (
    entropy_calibration_error_rows,
    human_error,
    rank_calibration_rows,
)
from dfar_toolkit.metrics.calibration.risk_coverage import aurc_rows, excess_aurc_rows
from dfar_toolkit.metrics.calibration.targets import Flags, against_labels, is_hard, placed
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions

_BINNED: Final = (
    Binned("ece_majority", "ECE against the majority"),
    Binned("adaptive_ece_majority", "adaptive ECE against the majority", binning="mass"),
    Binned("classwise_ece_majority", "classwise ECE against the majority", view="classwise"),
    Binned("mce_majority", "MCE against the majority", norm=float("inf")),
)
_HUMAN_BINNED: Final = Binned("classwise_ece_human", "classwise ECE against human shares", view="classwise")


class _Measure(NamedTuple):
    """Rows; the bins that they rest on, where they do; the items they are about, where not all; linearised or not."""

    rows: Additive
    n_bins: int | None = None
    n: int | None = None
    linear: bool = False


def calibration_table(
    pairs: PairedDistributions,
    labels: npt.ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Every calibration measure that gold and predictions allow; those with an interval from one set of draws.

    Against the human distribution (where some item has more than one option chosen): human_calibration_error,
    entropy_calibration_error, rank_calibration, classwise_ece_human. Against the labels: the squared error without the
    noise of the bins, CORP terms, AURC and excess AURC, and the ECE family by name, without intervals.

    Args:
        pairs: Human shares and predictions.
        labels: Place of the gold label among the options (N,), -1 where people tied. None takes the gold itself
            where it is labels, and leaves the measures against labels out where it is shares.
        confidence: Two-sided coverage.
        n_boot: Number of draws over groups.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` and the fields of an estimate; ``n`` counts the items that a row is about.

    Undefined:
        As each measure says.

    Raises:
        TableError: A label that is none of the options.
        ValueError: The number of labels is not that of the complete items.

    Example:
        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> pairs = pair_distributions("f", None, gold=[[0.5, 0.5], [0.7, 0.3]], pred=[[0.8, 0.2]] * 2)
        >>> calibration_table(pairs, [-1, 0], n_boot=20)["metric"][:2].to_list()
        ['human_calibration_error', 'entropy_calibration_error']
    """
    if labels is None and is_hard(pairs) and len(pairs.gold):
        labels = pairs.gold.argmax(axis=1)
    human = _human(pairs) if not is_hard(pairs) or not len(pairs.gold) else []
    part, keep = (None, None) if labels is None else against_labels("calibration_table", pairs, labels)
    majority = [] if part is None or keep is None else _majority(part, keep)
    rows = [measure.rows for measure in human + majority]
    found = estimate_together(rows, groups=pairs.groups, confidence=confidence, n_boot=n_boot, seed=seed)
    made = [_finished(m, e) for m, e in zip(human + majority, found, strict=True)]
    named = [(m.rows.metric, e) for m, e in zip(human + majority, made, strict=True)]
    if human:
        binned = binned_calibration_error(pairs, _HUMAN_BINNED, seed=seed)
        named.insert(len(human), (_HUMAN_BINNED.metric, binned))
    if part is not None:
        named = _with_majority(named, part, seed)
    return estimates_frame([e for _, e in named], beside=[{"metric": metric} for metric, _ in named])


def _human(pairs: PairedDistributions) -> list[_Measure]:
    error = human_error(pairs)
    return [
        _Measure(error.rows, error.n_bins),
        _Measure(entropy_calibration_error_rows(pairs)),
        _Measure(rank_calibration_rows(pairs)),
    ]


def _majority(part: PairedDistributions, keep: Flags) -> list[_Measure]:
    """The measures against labels; CORP of whether the most probable option is right."""
    top, each = debiased_error(part), debiased_error(part, view="classwise")
    measures = [_Measure(e.rows._replace(metric=f"{e.rows.metric}_majority"), e.n_bins) for e in (top, each)]
    terms = [row._replace(metric=f"corp_{row.metric}_majority") for row in corp_rows(part, view="confidence")]
    measures += [_Measure(row) for row in terms]
    measures += [_Measure(row, linear=True) for row in (aurc_rows(part), excess_aurc_rows(part))]
    return [m._replace(rows=placed(m.rows, keep), n=len(part.gold)) for m in measures]


def _finished(measure: _Measure, found: Estimate) -> Estimate:
    if measure.n is not None:
        found = replace(found, n=measure.n)
    if measure.n_bins is not None:
        return with_enough_bins(found, measure.n_bins)
    return linearised(found) if measure.linear else found


def _with_majority(
    named: list[tuple[str, Estimate]], part: PairedDistributions, seed: int
) -> list[tuple[str, Estimate]]:
    """CORP terms without the intervals that they cannot have, and the ECE family after all others."""
    first = next(i for i, (metric, _) in enumerate(named) if metric.startswith("corp_"))
    calibrated = miscalibration_under_calibration(part, view="confidence", seed=seed)
    terms = corp_estimates([e for _, e in named[first : first + N_TERMS]], calibrated)
    for place, term in enumerate(terms):
        named[first + place] = (named[first + place][0], term)
    return named + [(how.metric, binned_calibration_error(part, how, seed=seed)) for how in _BINNED]
