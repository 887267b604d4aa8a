r"""The CORP decomposition of the Brier score: by isotonic regression, without a choice of bins.

The recalibrated prediction $\hat y$ is the isotonic regression of gold on the prediction (pool adjacent violators,
after equal predictions are pooled). Cost: a sort of N per option, then O(N).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, estimates_frame, mean_of
from dfar_toolkit.metrics.calibration.debiased_calibration_error import linearised
from dfar_toolkit.metrics.calibration.distinct_pairs import unit_sums
from dfar_toolkit.metrics.calibration.targets import (
    Facet,
    View,
    against_labels,
    all_placed,
    facets,
    is_hard,
    pair_targets,
    unit_codes,
)
from dfar_toolkit.metrics.calibration.under_calibration import labels_under_calibration
from dfar_toolkit.metrics.labels import Codes, Column
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions

_EQUAL: Final = 1e-12  # predictions that differ by less are tied
_SIMULATED_ITEMS: Final = 1_000_000  # items drawn in all to say what a calibrated model gets
_TERMS: Final = ("brier_score", "miscalibration", "discrimination", "uncertainty", "discrimination_debiased")
N_TERMS: Final = len(_TERMS)


class Isotonic(NamedTuple):
    """Recalibrated predictions (N,) and the block of equal ones that each item is in (N,), from 0."""

    fitted: Floats
    blocks: Codes


def corp_decomposition(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    options: Sequence[str] | None = None,
    view: View = "classwise",
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Brier score = miscalibration - discrimination + uncertainty, with the isotonic regression as reference.

    For one option with predictions $q$, gold $y$, isotonic regression $\hat y$ of $y$ on $q$, and $\bar y$:

        $MCB = \overline{(q - y)^2} - \overline{(\hat y - y)^2}$,
        $DSC = \overline{(\bar y - y)^2} - \overline{(\hat y - y)^2}$,   $UNC = \overline{(\bar y - y)^2}$

    MCB and DSC are too large, because $\hat y$ also follows the noise: for a calibrated model MCB lies above 0 in
    every sample and resample. They have no interval; the note says what MCB a calibrated model would get. The row
    ``discrimination_debiased`` takes the noise of each block of $\hat y$ off and has an interval over groups (in
    simulations the 95 % interval covers 91 to 95 %). For miscalibration with an interval take
    ``debiased_squared_calibration_error``.

    Args:
        frame: One row per item, or None with arrays.
        gold: Human shares (N, K), or labels (N,): names, or places of the options; null or -1 where people tied.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        counts: Column or array (N, K) of votes, with ``gold=None``.
        group: Column or values (N,) of the resampling unit.
        options: Names of the K options, where labels are names.
        view: ``classwise``, summed over the options, or ``confidence``: whether the most probable option is right.
        ci: ``bootstrap`` over groups with the regression held fixed, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` and the fields of an estimate: brier_score, miscalibration, discrimination, uncertainty, which
        add up, and discrimination_debiased.

    Undefined:
        No items.

    Raises:
        TableError: A distribution or label that is none.
        ValueError: A column is missing, shapes differ, or an argument is impossible.

    Example:
        Probability 0.8 four times, right twice, for each of two options: 2 x (0.09 - 0 + 0.25).

        >>> parts = corp_decomposition(gold=[0, 0, 1, 1], pred=[[0.8, 0.2]] * 4, ci=None)
        >>> [round(v, 3) for v in parts["value"][:4]]
        [0.68, 0.18, 0.0, 0.5]

    Reference:
        Dimitriadis, Gneiting and Jordan (2021), PNAS 118(8):e2016191118 (eq. 5).
    """
    name = "corp_decomposition"
    pairs = pair_targets(name, frame, gold=gold, pred=pred, counts=counts, group=group, options=options)
    rows = corp_rows(pairs, view=view)
    found = estimate_together(rows, groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    made = corp_estimates(found, miscalibration_under_calibration(pairs, view=view, seed=seed))
    return estimates_frame(made, beside=[{"metric": row.metric} for row in rows])


def corp_rows(
    pairs: PairedDistributions,
    labels: npt.ArrayLike | None = None,
    *,
    view: View = "classwise",
    sorted_facets: Sequence[tuple[Facet, Codes]] | None = None,
) -> list[Additive]:
    r"""The terms in the order of the decomposition, each the mean of one number per item.

    $\hat y$ minimises the squared error, so to first order a resample changes it only through the items' own terms:
    the mean of $(q_i - y_i)^2 - (\hat y_i - y_i)^2$ is MCB and its linearisation at once. No interval should be made of
    miscalibration and discrimination themselves: :func:`corp_estimates` takes them away.

    Args:
        pairs: Gold and predictions.
        labels: Places of the options (N,), -1 where people tied, in place of the gold shares.
        view: ``classwise`` or ``confidence``.
        sorted_facets: The facets of the view and the rising order of their predictions (N,), where they are at hand
            and no labels are given.

    Returns:
        brier_score, miscalibration, discrimination, uncertainty, discrimination_debiased.
    """
    name = "corp_decomposition"
    part, keep = (
        (pairs, np.ones(len(pairs.gold), dtype=bool)) if labels is None else against_labels(name, pairs, labels)
    )
    units, n = unit_codes(part.groups, len(part.gold)), len(part.gold)
    terms = {term: np.zeros(n) for term in _TERMS}
    for facet, order in (sorted_facets or _sorted_facets(part, view)) if n else []:
        isotonic = isotonic_fit(facet.predicted, facet.observed, order=order)
        squares = (facet.predicted - facet.observed) ** 2
        spread = (facet.observed - facet.observed.mean()) ** 2
        residual = facet.observed - isotonic.fitted
        terms["brier_score"] += squares
        terms["miscalibration"] += squares - residual**2
        terms["discrimination"] += spread - residual**2
        terms["uncertainty"] += spread
        terms["discrimination_debiased"] += spread - residual**2 - _noise(residual, isotonic.blocks, units)
    return all_placed([mean_of(t, f"CORP {t.replace('_', ' ')}", x, note=part.note) for t, x in terms.items()], keep)


def _sorted_facets(pairs: PairedDistributions, view: View) -> list[tuple[Facet, Codes]]:
    return [(facet, np.argsort(facet.predicted)) for facet in facets(pairs, view)]


def corp_estimates(found: Sequence[Estimate], calibrated: float) -> list[Estimate]:
    """The estimates without the intervals that miscalibration and discrimination cannot have.

    Args:
        found: Estimates of :func:`corp_rows`, in order.
        calibrated: MCB of a calibrated model, said in the note.

    Returns:
        The same, in order.
    """
    nan, made = float("nan"), [linearised(e) for e in found]
    for place, why in (
        (1, f"no interval: it would never reach 0; a calibrated model gets {calibrated:.2g} on average"),
        (2, "no interval: too large by the noise that the regression follows, see the debiased row"),
    ):
        if not np.isnan(made[place].value):
            note = "; ".join(x for x in (made[place].note, why) if x)
            made[place] = replace(made[place], low=nan, high=nan, method="none", note=note)
    return made


def miscalibration_under_calibration(
    pairs: PairedDistributions,
    *,
    view: View = "classwise",
    sorted_facets: Sequence[tuple[Facet, Codes]] | None = None,
    seed: int = 0,
) -> float:
    """Mean MCB of a perfectly calibrated model with the same predictions, by simulation; ``nan`` without items.

    Args:
        pairs: Gold and predictions.
        view: ``classwise`` or ``confidence``.
        sorted_facets: As in :func:`corp_rows`.
        seed: Seed of the draws.

    Returns:
        The mean over 100 samples, fewer (at least 3) above 10,000 items, where one sample says enough.
    """
    n, rng, total = len(pairs.gold), np.random.default_rng(seed), 0.0
    if not n:
        return float("nan")
    units, hard = unit_codes(pairs.groups, n), is_hard(pairs)
    n_simulated = int(np.clip(_SIMULATED_ITEMS // n, 3, 100))
    for facet, order in sorted_facets or _sorted_facets(pairs, view):
        if not hard or units is not None:  # what is drawn depends on what was seen too
            order = np.lexsort((facet.observed, facet.predicted))
        ordered = Facet(facet.option, facet.predicted[order], facet.observed[order])
        of_ordered = None if units is None else units[order]
        rising = np.arange(n)
        for _ in range(n_simulated):
            drawn = labels_under_calibration(ordered, of_ordered, hard=hard, rng=rng)
            fitted = isotonic_fit(ordered.predicted, drawn, order=rising).fitted
            total += float(np.mean((ordered.predicted - drawn) ** 2 - (fitted - drawn) ** 2))
    return total / n_simulated


def isotonic_fit(predicted: Floats, observed: Floats, *, order: Codes | None = None) -> Isotonic:
    """Non-decreasing function of the prediction that is nearest to the observations (N,), in squared error.

    ``order`` (N,) puts the predictions in rising order, where it is at hand.

    Example:
        >>> isotonic_fit(np.array([0.1, 0.2, 0.3]), np.array([0.0, 1.0, 0.0])).fitted.tolist()
        [0.0, 0.5, 0.5]
    """
    from scipy.optimize import isotonic_regression

    n = len(predicted)
    if not n:
        return Isotonic(np.empty(0), np.empty(0, dtype=np.int64))
    order = np.argsort(predicted) if order is None else order
    starts = np.flatnonzero(np.concatenate([[True], np.diff(predicted[order]) > _EQUAL]))
    sizes = np.diff(np.append(starts, n))
    means = np.add.reduceat(observed[order], starts) / sizes
    solved = isotonic_regression(means, weights=sizes)
    of_run = np.repeat(np.arange(len(solved.blocks) - 1), np.diff(solved.blocks))
    fitted, blocks = np.empty(n), np.empty(n, dtype=np.int64)
    fitted[order] = np.repeat(solved.x, sizes)
    blocks[order] = np.repeat(of_run, sizes)
    return Isotonic(fitted, blocks)


def _noise(residual: Floats, blocks: Codes, units: Codes | None) -> Floats:
    r"""What each item adds to the variance of the block means: $r_i R_{gb} \frac{G_b}{G_b - 1} / n_b$.

    $R_{gb}$ is the sum of the residuals of the item's unit in its block: for single items this makes each block's
    variance the unbiased one. A block of one unit has nothing to tell and adds nothing.
    """
    n_blocks = int(blocks.max()) + 1
    sizes = np.bincount(blocks, minlength=n_blocks).astype(np.float64)
    if units is None:
        own, n_units = residual, sizes
    else:
        cell, of_block, sums = unit_sums(residual, blocks, n_blocks, units)
        own, n_units = sums[cell], np.bincount(of_block, minlength=n_blocks).astype(np.float64)
    factor = np.where(n_units > 1, n_units / np.maximum(n_units - 1, 1) / sizes, 0.0)
    found: Floats = residual * own * factor[blocks]
    return found
