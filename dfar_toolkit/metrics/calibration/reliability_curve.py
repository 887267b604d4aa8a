"""The curve behind a calibration error: predicted against observed, with the band in which calibration would stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Estimate, Floats, estimates_frame, proportion
from dfar_toolkit.metrics.calibration.bins import Binning, bin_means, bin_values
from dfar_toolkit.metrics.calibration.targets import Facet, View, facets, is_hard, pair_targets, unit_codes
from dfar_toolkit.metrics.calibration.under_calibration import gap_variances
from dfar_toolkit.metrics.labels import Column


def reliability_curve(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    options: Sequence[str] | None = None,
    view: View = "confidence",
    n_bins: int = 15,
    binning: Binning = "width",
    confidence: float = 0.95,
) -> pl.DataFrame:
    r"""Mean prediction and observed share in each bin, with an interval of the share and a consistency band.

    ``low`` and ``high`` are Wilson's interval of the observed share on the effective n of the bin (conservative for
    shares of votes). ``band_low`` and ``band_high`` hold the observed share of a *calibrated* model in that bin with
    probability ``confidence``, bin by bin: quantiles of the binomial with the bin's mean prediction for labels of
    single items; else normal, from the residuals of the bin's groups. A point outside the band speaks against
    calibration; of 20 bins one is expected outside.

    Args:
        frame: One row per item, or None with arrays.
        gold: Human shares (N, K), or labels (N,): names, or places of the options; null or -1 where people tied.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        counts: Column or array (N, K) of votes, with ``gold=None``.
        group: Column or values (N,) of the unit of dependence.
        options: Names of the K options.
        view: ``confidence`` (the most probable option) or ``classwise`` (a curve for each option).
        n_bins: Number of bins.
        binning: ``width`` (equal) or ``mass`` (equal).
        confidence: Two-sided coverage of interval and band.

    Returns:
        One row per bin that has items: ``option`` (empty for confidence), ``bin``, ``bin_low``, ``bin_high``,
        ``mean_predicted``, ``band_low``, ``band_high``, then the observed share with the fields of an estimate.

    Undefined:
        The band where gold is not a label of single items and a bin holds one unit, or people of one mind; intervals
        as ``proportion`` says.

    Raises:
        TableError: A distribution or label that is none.
        ValueError: A column is missing, shapes differ, or an argument is impossible.

    Example:
        >>> curve = reliability_curve(gold=[0, 1, 0], pred=[[0.8, 0.2], [0.8, 0.2], [1, 0]], n_bins=5)
        >>> curve.select("bin", "mean_predicted", "value", "n").rows()
        [(3, 0.8, 0.5, 2), (4, 1.0, 1.0, 1)]

    Reference:
        Broecker and Smith (2007), Weather and Forecasting 22:651-661 (consistency band).
    """
    pairs = pair_targets("reliability_curve", frame, gold=gold, pred=pred, counts=counts, group=group, options=options)
    if not 0 < confidence < 1:
        raise ValueError(f"reliability_curve: confidence must lie between 0 and 1, found {confidence}")
    rows: list[dict[str, object]] = []
    found: list[Estimate] = []
    hard = is_hard(pairs)
    for facet in facets(pairs, view):
        bins = bin_values(facet.predicted, n_bins=n_bins, binning=binning)
        count, mean = bin_means(bins.codes, n_bins, facet.predicted)
        lows, highs = _band(facet, bins.codes, n_bins, pairs.groups, hard, confidence)
        for place in np.flatnonzero(count):
            here = bins.codes == place
            groups = None if pairs.groups is None else pairs.groups.filter(pl.Series(here))
            found.append(proportion("observed share", facet.observed[here], groups=groups, confidence=confidence))
            rows.append(
                {"option": facet.option, "bin": int(place), "bin_low": bins.lows[place], "bin_high": bins.highs[place],
                 "mean_predicted": mean[place], "band_low": lows[place], "band_high": highs[place]}
            )  # fmt: skip
    frame_of_bins = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    return pl.concat([frame_of_bins, estimates_frame(found)], how="horizontal")


_SCHEMA = pl.Schema(
    {
        "option": pl.String,
        "bin": pl.Int64,
        "bin_low": pl.Float64,
        "bin_high": pl.Float64,
        "mean_predicted": pl.Float64,
        "band_low": pl.Float64,
        "band_high": pl.Float64,
    }
)


def _band(
    facet: Facet, codes: npt.NDArray[np.int64], n_bins: int, groups: pl.Series | None, hard: bool, confidence: float
) -> tuple[Floats, Floats]:
    """Ends (B,) between which the observed share of a calibrated model lies, ``nan`` where nothing is known."""
    from scipy.special import ndtri

    units, tail = unit_codes(groups, len(codes)), (1 - confidence) / 2
    count, mean = bin_means(codes, n_bins, facet.predicted)
    if hard and units is None:
        from scipy.stats import binom  # slow to import, and only of use here

        n, p = np.maximum(count, 1), np.clip(np.nan_to_num(mean), 0, 1)
        return np.asarray(binom.ppf(tail, n, p) / n), np.asarray(binom.ppf(1 - tail, n, p) / n)
    half = ndtri(1 - tail) * np.sqrt(gap_variances(facet, codes, n_bins, units, hard=hard))
    alone = np.array([_units_in(codes, units, place) < 2 for place in range(n_bins)])
    observed = bin_means(codes, n_bins, facet.observed)[1]
    of_one_mind = (observed == 0) | (observed == 1)  # residuals then say nothing of how votes scatter
    half = np.where(alone | of_one_mind, np.nan, half)
    return np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)


def _units_in(codes: npt.NDArray[np.int64], units: npt.NDArray[np.int64] | None, place: int) -> int:
    here = codes == place
    return int(here.sum()) if units is None else len(np.unique(units[here]))
