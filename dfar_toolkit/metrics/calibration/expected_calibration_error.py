r"""Binned calibration errors by their usual names: ECE, adaptive ECE, classwise ECE, MCE.

They are positive even for a perfect model (about .05 for 311 items in 15 bins), by an amount that depends on the number
of items and bins, and a resample adds to it: a percentile interval of a perfectly calibrated model does not reach 0 in
any sample. So they have no interval here. The note says what a calibrated model with the same predictions would get;
``debiased_squared_calibration_error`` has an interval. Cost: O(N) per option, for equal mass O(N log N).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Estimate, Floats
from dfar_toolkit.metrics.calibration.bins import Binning, bin_means, bin_values
from dfar_toolkit.metrics.calibration.targets import Facet, View, facets, is_hard, pair_targets, unit_codes
from dfar_toolkit.metrics.calibration.under_calibration import N_SIMULATIONS, gaps_under_calibration
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions

NO_INTERVAL: Final = "no interval: a percentile interval of this error never reaches 0"


class Binned(NamedTuple):
    """A binned error to be taken: its names, of which probabilities, in which bins, under which norm."""

    metric: str
    name: str
    view: View = "confidence"
    n_bins: int = 15
    binning: Binning = "width"
    norm: float = 1.0


def expected_calibration_error(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    options: Sequence[str] | None = None,
    n_bins: int = 15,
    binning: Binning = "width",
    norm: float = 1.0,
    seed: int = 0,
) -> Estimate:
    r"""How far the confidence in the most probable option is from the share of gold on it, by bins of confidence.

    With confidence $c_i$, $o_i$ the gold on that option (1 or 0 for a label, a share for votes), and bins b of $n_b$:

        $ECE = (\sum_b \frac{n_b}{N} |\bar o_b - \bar c_b|^r)^{1/r}$,   $r$ = ``norm``

    Args:
        frame: One row per item, or None with arrays.
        gold: Human shares (N, K), or labels (N,): names, or places of the options; null or -1 where people tied.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        counts: Column or array (N, K) of votes, with ``gold=None``.
        group: Column or values (N,) of the unit of dependence; used for the value under calibration.
        options: Names of the K options, where labels are names.
        n_bins: Number of bins B.
        binning: ``width`` (equal) or ``mass`` (equal).
        norm: r of at least 1; ``inf`` takes the largest distance.
        seed: Seed of the simulated value under calibration.

    Returns:
        The value without an interval; the note has the mean and the 95th percentile of a calibrated model's.

    Undefined:
        No items.

    Raises:
        TableError: A distribution or label that is none.
        ValueError: A column is missing, shapes differ, or an argument is impossible.

    Example:
        Confidence 0.8 twice, right once: |0.5 - 0.8|.

        >>> round(expected_calibration_error(gold=[0, 1], pred=[[0.8, 0.2], [0.8, 0.2]]).value, 3)
        0.3

    Reference:
        Naeini, Cooper and Hauskrecht (2015), AAAI; Guo et al. (2017), ICML (eq. 3).
    """
    pairs = pair_targets(
        "expected_calibration_error", frame, gold=gold, pred=pred, counts=counts, group=group, options=options
    )
    how = Binned("ece", "expected calibration error", "confidence", n_bins, binning, norm)
    return binned_calibration_error(pairs, how, seed=seed)


def adaptive_calibration_error(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    options: Sequence[str] | None = None,
    n_bins: int = 15,
    seed: int = 0,
) -> Estimate:
    """As :func:`expected_calibration_error` with bins of equal mass, equal confidences kept together.

    Args:
        frame: As there.
        gold: As there.
        pred: As there.
        counts: As there.
        group: As there.
        options: As there.
        n_bins: As there.
        seed: As there.

    Returns:
        The value without an interval.

    Undefined:
        No items.

    Raises:
        TableError: A distribution or label that is none.
        ValueError: A column is missing, shapes differ, or an argument is impossible.

    Example:
        >>> round(adaptive_calibration_error(gold=[0, 1], pred=[[0.8, 0.2], [0.8, 0.2]]).value, 3)
        0.3

    Reference:
        Nguyen and O'Connor (2015), Posterior calibration and exploratory analysis for NLP models, EMNLP.
    """
    pairs = pair_targets(
        "adaptive_calibration_error", frame, gold=gold, pred=pred, counts=counts, group=group, options=options
    )
    how = Binned("adaptive_ece", "adaptive calibration error (equal mass)", "confidence", n_bins, "mass")
    return binned_calibration_error(pairs, how, seed=seed)


def classwise_calibration_error(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    options: Sequence[str] | None = None,
    n_bins: int = 15,
    binning: Binning = "width",
    norm: float = 1.0,
    seed: int = 0,
) -> Estimate:
    r"""Mean over the options of the ECE of their own probabilities: $\frac{1}{K} \sum_k ECE(q_{\cdot k}, p_{\cdot k})$.

    Args:
        frame: As in :func:`expected_calibration_error`.
        gold: As there.
        pred: As there.
        counts: As there.
        group: As there.
        options: As there.
        n_bins: As there.
        binning: As there.
        norm: As there.
        seed: As there.

    Returns:
        The value without an interval.

    Undefined:
        No items.

    Raises:
        TableError: A distribution or label that is none.
        ValueError: A column is missing, shapes differ, or an argument is impossible.

    Example:
        >>> round(classwise_calibration_error(gold=[[0.5, 0.5]], pred=[[0.8, 0.2]]).value, 3)
        0.3

    Reference:
        Kull et al. (2019), Beyond temperature scaling, NeurIPS (classwise-ECE).
    """
    pairs = pair_targets(
        "classwise_calibration_error", frame, gold=gold, pred=pred, counts=counts, group=group, options=options
    )
    how = Binned("classwise_ece", "classwise calibration error", "classwise", n_bins, binning, norm)
    return binned_calibration_error(pairs, how, seed=seed)


def maximum_calibration_error(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    options: Sequence[str] | None = None,
    n_bins: int = 15,
    binning: Binning = "width",
    seed: int = 0,
) -> Estimate:
    r"""The largest distance of any bin, $\max_b |\bar o_b - \bar c_b|$: often that of the bin with the fewest items.

    Args:
        frame: As in :func:`expected_calibration_error`.
        gold: As there.
        pred: As there.
        counts: As there.
        group: As there.
        options: As there.
        n_bins: As there.
        binning: As there.
        seed: As there.

    Returns:
        The value without an interval.

    Undefined:
        No items.

    Raises:
        TableError: A distribution or label that is none.
        ValueError: A column is missing, shapes differ, or an argument is impossible.

    Example:
        >>> round(maximum_calibration_error(gold=[0, 0, 1], pred=[[1, 0], [0.8, 0.2], [0.8, 0.2]]).value, 3)
        0.3

    Reference:
        Naeini, Cooper and Hauskrecht (2015), AAAI.
    """
    pairs = pair_targets(
        "maximum_calibration_error", frame, gold=gold, pred=pred, counts=counts, group=group, options=options
    )
    how = Binned("mce", "maximum calibration error", "confidence", n_bins, binning, float("inf"))
    return binned_calibration_error(pairs, how, seed=seed)


def binned_calibration_error(
    pairs: PairedDistributions, how: Binned, *, of_facets: Sequence[Facet] | None = None, seed: int = 0
) -> Estimate:
    """Any of the errors above, of distributions that are already paired.

    Args:
        pairs: Gold and predictions.
        how: Which error.
        of_facets: The facets of its view, where they are at hand.
        seed: Seed of the simulated value under calibration.

    Returns:
        The value without an interval.

    Raises:
        ValueError: An impossible norm, number of bins or binning.

    Example:
        >>> pairs = pair_targets("f", None, gold=[[0.5, 0.5]], pred=[[0.8, 0.2]])
        >>> round(binned_calibration_error(pairs, Binned("ece", "ECE")).value, 3)
        0.3
    """
    if not how.norm >= 1:
        raise ValueError(f"calibration: norm must be at least 1 (inf for the largest), found {how.norm}")
    units, n = unit_codes(pairs.groups, len(pairs.gold)), len(pairs.gold)
    errors, calibrated, hard = [], [], is_hard(pairs)
    for facet in facets(pairs, how.view) if of_facets is None else of_facets:
        codes = bin_values(facet.predicted, n_bins=how.n_bins, binning=how.binning).codes
        count, gap = bin_means(codes, how.n_bins, facet.observed - facet.predicted)
        errors.append(_norm(np.abs(np.nan_to_num(gap))[None, :], count, how.norm)[0])
        gaps = gaps_under_calibration(facet, codes, how.n_bins, units, hard=hard, seed=seed)
        calibrated.append(_norm(gaps, count, how.norm))
    nan = float("nan")
    n_units = n if units is None else int(units.max(initial=-1)) + 1
    note = "; ".join(filter(None, [pairs.note, NO_INTERVAL, _under_calibration(calibrated)])) if n else "no items"
    return Estimate(
        how.name, float(np.mean(errors)) if n else nan, nan, nan, n, n_units,
        "items" if units is None else "groups", "items", f"{how.n_bins} bins of equal {how.binning}", nan, note,
    )  # fmt: skip


def _norm(gaps: Floats, count: Floats, norm: float) -> Floats:
    """Norm over the bins (R, B) -> (R,) with the shares of the items as weights."""
    if np.isinf(norm):
        return np.asarray(gaps.max(axis=1))
    share = count / max(float(count.sum()), 1.0)
    return np.asarray((gaps**norm @ share) ** (1 / norm))


def _under_calibration(calibrated: list[Floats]) -> str:
    mean = float(np.mean([c.mean() for c in calibrated]))
    said = f"a calibrated model with these predictions gets {mean:.2g} on average"
    if len(calibrated) > 1:
        return said
    return f"{said}, above {np.quantile(calibrated[0], 0.95):.2g} in 5 % of {N_SIMULATIONS} simulations"
