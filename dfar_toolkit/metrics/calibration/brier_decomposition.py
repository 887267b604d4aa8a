r"""Murphy's decomposition of the Brier score by bins, with the terms that make it exact; O(N log N) per option."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Floats, estimate_together, estimates_frame, mean_of
from dfar_toolkit.metrics.calibration.bins import Binning, bin_means, bin_values
from dfar_toolkit.metrics.calibration.debiased_calibration_error import with_enough_bins
from dfar_toolkit.metrics.calibration.distinct_pairs import squared_means
from dfar_toolkit.metrics.calibration.targets import Facet, View, facets, pair_targets, unit_codes
from dfar_toolkit.metrics.labels import Codes, Column
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions

_PLUG_IN: Final = "no interval: too large by the noise of the bins, see the debiased row"


class _Parts(NamedTuple):
    """Terms per item (N,) summed over the options, and the values of the plug-in ones."""

    items: dict[str, Floats]
    reliability: float
    resolution: float
    n_bins: int


def brier_decomposition(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    options: Sequence[str] | None = None,
    view: View = "classwise",
    n_bins: int = 15,
    binning: Binning = "mass",
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Brier score = reliability - resolution + uncertainty + spread within bins - 2 x covariance within bins, exactly.

    For one option with predictions $q_i$ and gold $y_i$ (0, 1 or a share), bins b of $n_b$ items, means with a bar:

        $\frac{1}{N} \sum (q_i - y_i)^2 = \sum_b \frac{n_b}{N} (\bar q_b - \bar y_b)^2
        - \sum_b \frac{n_b}{N} (\bar y_b - \bar y)^2 + \frac{1}{N} \sum (y_i - \bar y)^2
        + \frac{1}{N} \sum (q_i - \bar q_b)^2 - \frac{2}{N} \sum (q_i - \bar q_b)(y_i - \bar y_b)$

    Args:
        frame: One row per item, or None with arrays.
        gold: Human shares (N, K), or labels (N,): names, or places of the options; null or -1 where people tied.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        counts: Column or array (N, K) of votes, with ``gold=None``.
        group: Column or values (N,) of the resampling unit.
        options: Names of the K options, where labels are names.
        view: ``classwise``, summed over the options (for two options twice the score of one of them), or
            ``confidence``: whether the most probable option is right.
        n_bins: Number of bins.
        binning: ``mass`` (equal) or ``width`` (equal).
        ci: ``bootstrap`` over groups with the bins held fixed, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` and the fields of an estimate: brier_score, reliability, resolution, uncertainty,
        within_bin_variance, within_bin_covariance (with its factor 2), which add up; then reliability_debiased and
        resolution_debiased, without the noise of the bins, and with intervals that the two plug-in terms cannot have.

    Undefined:
        No items; debiased terms where no bin holds two groups, their intervals for fewer than five bins.

    Raises:
        TableError: A distribution or label that is none.
        ValueError: A column is missing, shapes differ, or an argument is impossible.

    Example:
        Probability 0.8 four times, right twice: 0.34 = 0.09 - 0 + 0.25 for each of two options.

        >>> parts = brier_decomposition(gold=[0, 0, 1, 1], pred=[[0.8, 0.2]] * 4, ci=None)
        >>> [round(v, 3) for v in parts["value"][:4]]
        [0.68, 0.18, 0.0, 0.5]

    Reference:
        Murphy (1973), J. Appl. Meteorol. 12:595-600; Stephenson, Coelho and Jolliffe (2008), Weather and Forecasting
        23:752-757 (terms within bins); Broecker (2012), Clim. Dyn. 39:655-667 (debiased terms).
    """
    name = "brier_decomposition"
    pairs = pair_targets(name, frame, gold=gold, pred=pred, counts=counts, group=group, options=options)
    parts = _parts(pairs, view, n_bins, binning)
    rows = [mean_of(metric, metric.replace("_", " "), x, note=pairs.note) for metric, x in parts.items.items()]
    rows = [
        _without_value(r) if r.metric.endswith("debiased") and not parts.n_bins and len(r.rows) else r for r in rows
    ]
    found = estimate_together(rows, groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    made = {row.metric: e for row, e in zip(rows, found, strict=True)}
    nan = float("nan")
    for metric, value in (("reliability", parts.reliability), ("resolution", parts.resolution)):
        made[f"{metric}_debiased"] = with_enough_bins(made[f"{metric}_debiased"], parts.n_bins)
        note = "; ".join(n for n in (pairs.note, _PLUG_IN) if n) if len(pairs.gold) else "no items"
        made[metric] = replace(
            made["brier_score"], name=metric, value=value, low=nan, high=nan, method="none", note=note
        )
    order = [
        "brier_score", "reliability", "resolution", "uncertainty", "within_bin_variance", "within_bin_covariance",
        "reliability_debiased", "resolution_debiased",
    ]  # fmt: skip
    return estimates_frame([made[m] for m in order], beside=[{"metric": m} for m in order])


def _parts(pairs: PairedDistributions, view: View, n_bins: int, binning: Binning) -> _Parts:
    """The terms of all options together; each is the mean of one number per item, or its linearisation."""
    n, units = len(pairs.gold), unit_codes(pairs.groups, len(pairs.gold))
    names = ("brier_score", "uncertainty", "within_bin_variance", "within_bin_covariance",
             "reliability_debiased", "resolution_debiased")  # fmt: skip
    items = {metric: np.zeros(n) for metric in names}
    reliability, resolution, used = (0.0, 0.0, []) if n else (float("nan"), float("nan"), [0])
    for facet in facets(pairs, view) if n else []:
        codes = bin_values(facet.predicted, n_bins=n_bins, binning=binning).codes
        count, mean_q = bin_means(codes, n_bins, facet.predicted)
        _, mean_y = bin_means(codes, n_bins, facet.observed)
        centre = facet.observed.mean()
        reliability += float(np.nansum(count * (mean_q - mean_y) ** 2)) / n
        resolution += float(np.nansum(count * (mean_y - centre) ** 2)) / n
        apart_q, apart_y = facet.predicted - mean_q[codes], facet.observed - mean_y[codes]
        items["brier_score"] += (facet.predicted - facet.observed) ** 2
        items["uncertainty"] += (facet.observed - centre) ** 2
        items["within_bin_variance"] += apart_q**2
        items["within_bin_covariance"] += 2 * apart_q * apart_y
        used.append(_debiased(items, facet, codes, n_bins, units))
    return _Parts(items, reliability, resolution, min(used))


def _debiased(items: dict[str, Floats], facet: Facet, codes: Codes, n_bins: int, units: Codes | None) -> int:
    """Add the two debiased terms; the resolution is the squared bin means minus the squared mean of all."""
    error = squared_means(facet.observed - facet.predicted, codes, n_bins, units)
    # Around the mean of all, so that the two squares that are subtracted are small.
    centred = facet.observed - facet.observed.mean()
    by_bin = squared_means(centred, codes, n_bins, units)
    of_all = squared_means(centred, np.zeros_like(codes), 1, units)
    items["reliability_debiased"] += error.psi
    items["resolution_debiased"] += by_bin.psi - of_all.psi
    return error.n_bins


def _without_value(row: Additive) -> Additive:
    return row._replace(
        rows=np.zeros((len(row.rows), 2)),
        formula=lambda sums: np.full(len(sums), np.nan),
        undefined="no bin holds two independent units",
    )
