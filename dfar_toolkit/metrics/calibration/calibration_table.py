"""All calibration measures of one run: against the human distribution first, then against the majority by its name."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
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
from dfar_toolkit.metrics.calibration.human_distribution import human_error, human_rows
from dfar_toolkit.metrics.calibration.risk_coverage import both_area_rows
from dfar_toolkit.metrics.calibration.targets import Facet, Flags, against_labels, all_placed, facets, is_hard
from dfar_toolkit.metrics.labels import Codes
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
    top = None if part is None else _top(part)
    majority = [] if part is None or keep is None or top is None else _majority(part, keep, top)
    rows = [measure.rows for measure in human + majority]
    found = estimate_together(rows, groups=pairs.groups, confidence=confidence, n_boot=n_boot, seed=seed)
    made = [_finished(m, e) for m, e in zip(human + majority, found, strict=True)]
    named = [(m.rows.metric, e) for m, e in zip(human + majority, made, strict=True)]
    if human:
        binned = binned_calibration_error(pairs, _HUMAN_BINNED, seed=seed)
        named.insert(len(human), (_HUMAN_BINNED.metric, binned))
    if part is not None:
        assert top is not None
        named = _with_majority(named, part, top, seed)
    return estimates_frame([e for _, e in named], beside=[{"metric": metric} for metric, _ in named])


def _human(pairs: PairedDistributions) -> list[_Measure]:
    error = human_error(pairs)
    return [_Measure(error.rows, error.n_bins), *map(_Measure, human_rows(pairs))]


class _Top(NamedTuple):
    """What was seen of the most probable options, and their rising order (N,): for all measures of them."""

    facet: Facet
    rising: Codes


def _top(part: PairedDistributions) -> _Top:
    facet = facets(part, "confidence")[0]
    return _Top(facet, np.argsort(facet.predicted))


def _majority(part: PairedDistributions, keep: Flags, top: _Top) -> list[_Measure]:
    """The measures against labels; CORP of whether the most probable option is right."""
    errors = debiased_error(part, of_facets=[top.facet]), debiased_error(part, view="classwise")
    measures = [_Measure(e.rows._replace(metric=f"{e.rows.metric}_majority"), e.n_bins) for e in errors]
    terms = corp_rows(part, view="confidence", sorted_facets=[top])
    measures += [_Measure(row._replace(metric=f"corp_{row.metric}_majority")) for row in terms]
    measures += [_Measure(row, linear=True) for row in both_area_rows(*top, part.note)]
    among_all = all_placed([m.rows for m in measures], keep)
    return [m._replace(rows=rows, n=len(part.gold)) for m, rows in zip(measures, among_all, strict=True)]


def _finished(measure: _Measure, found: Estimate) -> Estimate:
    if measure.n is not None:
        found = replace(found, n=measure.n)
    if measure.n_bins is not None:
        return with_enough_bins(found, measure.n_bins)
    return linearised(found) if measure.linear else found


def _with_majority(
    named: list[tuple[str, Estimate]], part: PairedDistributions, top: _Top, seed: int
) -> list[tuple[str, Estimate]]:
    """CORP terms without the intervals that they cannot have, and the ECE family after all others."""
    first = next(i for i, (metric, _) in enumerate(named) if metric.startswith("corp_"))
    calibrated = miscalibration_under_calibration(part, view="confidence", sorted_facets=[top], seed=seed)
    terms = corp_estimates([e for _, e in named[first : first + N_TERMS]], calibrated)
    for place, term in enumerate(terms):
        named[first + place] = (named[first + place][0], term)
    views: dict[str, list[Facet]] = {"confidence": [top.facet], "classwise": facets(part, "classwise")}
    binned = [binned_calibration_error(part, how, of_facets=views[how.view], seed=seed) for how in _BINNED]
    return named + [(how.metric, error) for how, error in zip(_BINNED, binned, strict=True)]
