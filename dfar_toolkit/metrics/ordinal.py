r"""Scores of numbers and of ordered labels against people: errors, quadratic kappa, accuracy within a step.

Gold is the human mean (a number), the votes on an ordered scale (a list), or a label of it; the prediction likewise,
its distribution taken at its mean. Labels need ``options`` from lowest to highest, which stand at 0, 1, ..., K - 1
unless ``values`` gives other numbers. Items without a number on either side are left out and counted. Accuracy within
a step, where no answer is a miss, is in :mod:`~dfar_toolkit.metrics.ordinal_accuracy`, correlations are in
:mod:`~dfar_toolkit.metrics.correlation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, estimates_frame, mean_of
from dfar_toolkit.metrics.correlation import pearson_rows, spearman_of
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.number_pairs import PairedNumbers, pair_numbers
from dfar_toolkit.metrics.ordinal_accuracy import accuracy_within

_NONE: Final = "no item has a number on both sides"
_RELATIVE: Final = 1e-12  # of a sum of squares: what is below is rounding


def mean_absolute_error(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    values: Sequence[float] | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean distance of prediction and gold: $\frac{1}{N} \sum_i |\hat x_i - x_i|$.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or values (N,): numbers, labels, or lists of K votes or shares.
        pred: Column or values (N,), likewise; null is no answer.
        group: Column or values (N,) of the resampling unit.
        options: The K labels from lowest to highest.
        values: The K numbers of the options; None means 0, 1, ..., K - 1.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate, in units of the scale; ``n`` counts items known on both sides.

    Undefined:
        No such item.

    Raises:
        TableError: As :func:`~dfar_toolkit.metrics.number_pairs.pair_numbers`.

    Example:
        >>> mean_absolute_error(gold=[1.0, 2.0], pred=[2.0, 4.0], ci=None).value
        1.5
    """
    pairs = pair_numbers(
        "mean_absolute_error", frame, gold=gold, pred=pred, group=group, options=options, values=values
    )
    return _one(mae_rows(pairs), pairs, ci, confidence, n_boot, seed)


def root_mean_squared_error(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    values: Sequence[float] | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Root of the mean squared distance of prediction and gold: $\sqrt{\frac{1}{N} \sum_i (\hat x_i - x_i)^2}$.

    Args:
        frame: One row per item, or None with arrays.
        gold: As for :func:`mean_absolute_error`.
        pred: As for :func:`mean_absolute_error`.
        group: Column or values (N,) of the resampling unit.
        options: The K labels from lowest to highest.
        values: The K numbers of the options; None means 0, 1, ..., K - 1.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate, in units of the scale.

    Undefined:
        No item has a number on both sides.

    Raises:
        TableError: As :func:`~dfar_toolkit.metrics.number_pairs.pair_numbers`.

    Example:
        >>> root_mean_squared_error(gold=[0.0, 0.0], pred=[1.0, 7.0], ci=None).value
        5.0
    """
    pairs = pair_numbers(
        "root_mean_squared_error", frame, gold=gold, pred=pred, group=group, options=options, values=values
    )
    return _one(rmse_rows(pairs), pairs, ci, confidence, n_boot, seed)


def mean_signed_error(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    values: Sequence[float] | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Bias: how far predictions lie above the gold on average, $\frac{1}{N} \sum_i (\hat x_i - x_i)$.

    Args:
        frame: One row per item, or None with arrays.
        gold: As for :func:`mean_absolute_error`.
        pred: As for :func:`mean_absolute_error`.
        group: Column or values (N,) of the resampling unit.
        options: The K labels from lowest to highest.
        values: The K numbers of the options; None means 0, 1, ..., K - 1.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate, in units of the scale; below 0 where predictions are too low.

    Undefined:
        No item has a number on both sides.

    Raises:
        TableError: As :func:`~dfar_toolkit.metrics.number_pairs.pair_numbers`.

    Example:
        >>> mean_signed_error(gold=["lo", "hi"], pred=["hi", "hi"], options=["lo", "mid", "hi"], ci=None).value
        1.0
    """
    pairs = pair_numbers("mean_signed_error", frame, gold=gold, pred=pred, group=group, options=options, values=values)
    return _one(signed_error_rows(pairs), pairs, ci, confidence, n_boot, seed)


def quadratic_kappa(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    values: Sequence[float] | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Cohen's kappa with quadratic weights: squared distance beside that expected from both distributions.

    With gold $x_i$ and prediction $\hat x_i$ (N,):

        $\kappa = 1 - \frac{\sum_i (\hat x_i - x_i)^2}{\frac{1}{N} \sum_i \sum_j (\hat x_i - x_j)^2}$

    It lies below a correlation where the predictions are shifted or too wide. Of numbers rather than labels it is
    Lin's concordance correlation (with population moments).

    Args:
        frame: One row per item, or None with arrays.
        gold: As for :func:`mean_absolute_error`.
        pred: As for :func:`mean_absolute_error`.
        group: Column or values (N,) of the resampling unit.
        options: The K labels from lowest to highest.
        values: The K numbers of the options; None means 0, 1, ..., K - 1.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate.

    Undefined:
        No item, or one and the same number throughout on both sides (0/0).

    Raises:
        TableError: As :func:`~dfar_toolkit.metrics.number_pairs.pair_numbers`.

    Example:
        The squared distances add up to 1; of the 16 pairs of a prediction and a gold 8 differ, so 8/4 by chance.

        >>> quadratic_kappa(gold=[0, 0, 1, 1], pred=[0, 1, 1, 1], ci=None).value
        0.5

    Reference:
        Cohen (1968), Psychol. Bull. 70:213-220; Lin (1989), Biometrics 45:255-268.
    """
    pairs = pair_numbers("quadratic_kappa", frame, gold=gold, pred=pred, group=group, options=options, values=values)
    return _one(quadratic_kappa_rows(pairs), pairs, ci, confidence, n_boot, seed)


def mae_rows(pairs: PairedNumbers) -> Additive:
    """The mean absolute error as an additive statistic."""
    return mean_of(
        "mean_absolute_error", "mean absolute error", np.abs(pairs.pred - pairs.gold), undefined=_NONE, note=pairs.note
    )


def rmse_rows(pairs: PairedNumbers) -> Additive:
    """The root mean squared error as an additive statistic."""
    d = pairs.pred - pairs.gold
    rows = np.column_stack([d**2, np.ones_like(d)])
    return Additive("root_mean_squared_error", "root mean squared error", rows, _root, _NONE, pairs.note)


def _root(sums: Floats) -> Floats:
    return np.asarray(np.sqrt(sums[:, 0] / sums[:, 1]), dtype=np.float64)


def signed_error_rows(pairs: PairedNumbers) -> Additive:
    """The mean signed error as an additive statistic."""
    d = pairs.pred - pairs.gold
    return mean_of("mean_signed_error", "mean signed error", d, undefined=_NONE, note=pairs.note)


def quadratic_kappa_rows(pairs: PairedNumbers) -> Additive:
    """Quadratic kappa as an additive statistic: 1, both numbers, their squares, the squared distance."""
    centre = np.sort(pairs.gold)[len(pairs.gold) // 2] if len(pairs.gold) else 0.0  # small numbers lose no digits
    x, y = pairs.gold - centre, pairs.pred - centre
    rows = np.column_stack([np.ones_like(x), x, y, x**2, y**2, (y - x) ** 2])
    why = "one and the same number throughout on both sides" if len(x) else _NONE
    return Additive("quadratic_kappa", "quadratic kappa", rows, _kappa, why, pairs.note)


def _kappa(sums: Floats) -> Floats:
    n, x, y, xx, yy, apart = sums.T
    chance = n * (xx + yy) - 2 * x * y
    chance = np.where(chance > _RELATIVE * n * (xx + yy), chance, np.nan)
    return np.asarray(1 - n * apart / chance, dtype=np.float64)


def ordinal_rows(pairs: PairedNumbers) -> list[Additive]:
    """All additive scores of paired numbers: errors, quadratic kappa, Pearson's correlation."""
    return [
        mae_rows(pairs), rmse_rows(pairs), signed_error_rows(pairs), quadratic_kappa_rows(pairs), pearson_rows(pairs)
    ]  # fmt: skip


def ordinal_table(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    values: Sequence[float] | None = None,
    step: float = 1.0,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Every score of this module and both correlations of the same items, from one set of draws.

    Args:
        frame: One row per item, or None with arrays.
        gold: As for :func:`mean_absolute_error`.
        pred: As for :func:`mean_absolute_error`.
        group: Column or values (N,) of the resampling unit.
        options: The K labels from lowest to highest.
        values: The K numbers of the options; None means 0, 1, ..., K - 1.
        step: Distance that still counts for accuracy_within.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` (mean_absolute_error, root_mean_squared_error, mean_signed_error, quadratic_kappa,
        pearson_correlation, spearman_correlation, accuracy_within) and Estimate's fields.

    Raises:
        TableError: As :func:`~dfar_toolkit.metrics.number_pairs.pair_numbers`.

    Example:
        >>> ordinal_table(gold=[1, 2, 3, 4], pred=[1, 2, 4, 3], ci=None).select("metric", "value").row(0)
        ('mean_absolute_error', 0.5)
    """
    pairs = pair_numbers("ordinal_table", frame, gold=gold, pred=pred, group=group, options=options, values=values)
    scores = ordinal_rows(pairs)
    found = estimate_together(scores, groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    found.append(spearman_of(pairs, ci="linearised" if ci else None, confidence=confidence))
    found.append(
        accuracy_within(
            frame, step=step, gold=gold, pred=pred, group=group, options=options, values=values, confidence=confidence
        )
    )
    metrics = [*(s.metric for s in scores), "spearman_correlation", "accuracy_within"]
    return estimates_frame(found, beside=[{"metric": m} for m in metrics])


def _one(score: Additive, pairs: PairedNumbers, ci: str | None, confidence: float, n_boot: int, seed: int) -> Estimate:
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]
