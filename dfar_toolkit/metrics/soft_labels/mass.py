"""How much probability a model put on the options at all, before it was renormalised. Cost: one pass."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, estimate_together, mean_of
from dfar_toolkit.metrics.intervals import mean_share
from dfar_toolkit.metrics.labels import Column, group_series
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, distributions, pair_distributions

_HALF: Final = 0.5
_ROUNDING: Final = 1e-6  # a sum of probabilities above 1 by less is rounding


def option_mass(
    frame: pl.DataFrame | None = None,
    *,
    pred: Column | npt.ArrayLike = "label_probs_pred",
    group: Column | None = None,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean probability that lies on the options: what is left out went to other words.

    With $m_{ik}$ the probabilities as given: $\frac{1}{N} \sum_i \sum_k m_{ik}$. All soft scores renormalise; a small
    mass says that they rest on what a model would hardly say. Where files hold weights, sums may be above 1.

    Args:
        frame: One row per item, or None with arrays.
        pred: Column or array (N, K) of probabilities as read off.
        group: Column or values (N,) of the resampling unit.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate over the items with a prediction; the note counts the others.

    Undefined:
        No items.

    Raises:
        TableError: A negative number, or a prediction without any mass.
        ValueError: A column is missing.

    Example:
        >>> option_mass(pred=[[0.2, 0.2], [0.5, 0.5]]).value
        0.7

    Reference:
        Holtzman et al. (2021), Surface form competition, EMNLP (probability mass on the answer options).
    """
    pairs = _predictions("option_mass", frame, pred, group)
    score = option_mass_rows(pairs)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def option_mass_below_half(
    frame: pl.DataFrame | None = None,
    *,
    pred: Column | npt.ArrayLike = "label_probs_pred",
    group: Column | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Share of items on which the options together have less than half of the probability.

    Args:
        frame: One row per item, or None with arrays.
        pred: Column or array (N, K) of probabilities as read off.
        group: Column or values (N,) of the resampling unit.
        confidence: Two-sided coverage of the interval (Wilson).
        n_boot: Number of draws, where the interval is a bootstrap.
        seed: Seed of the draws.

    Returns:
        The estimate over the items with a prediction; the note counts the others.

    Undefined:
        No items.

    Raises:
        TableError: A negative number, or a prediction without any mass.
        ValueError: A column is missing.

    Example:
        >>> option_mass_below_half(pred=[[0.2, 0.2], [0.5, 0.5]]).value
        0.5

    Reference:
        Holtzman et al. (2021), Surface form competition, EMNLP (probability mass on the answer options).
    """
    pairs = _predictions("option_mass_below_half", frame, pred, group)
    score = option_mass_below_half_rows(pairs)
    return mean_share(
        score.name, score.rows[:, 0], groups=pairs.groups, confidence=confidence, n_boot=n_boot, seed=seed
    )


def option_mass_rows(pairs: PairedDistributions) -> Additive:
    """The mean option mass as an additive statistic."""
    above = int((pairs.mass > 1 + _ROUNDING).sum())
    weights = f"{above} of {len(pairs.mass)} items sum to more than 1: weights, not probabilities" if above else ""
    note = "; ".join(filter(None, [pairs.note, weights]))
    return mean_of("option_mass", "option mass", pairs.mass, note=note)


def option_mass_below_half_rows(pairs: PairedDistributions) -> Additive:
    """The share of items with an option mass below one half as an additive statistic."""
    return mean_of("option_mass_below_half", "option mass below .5", pairs.mass < _HALF, note=pairs.note)


def _predictions(
    name: str, frame: pl.DataFrame | None, pred: Column | npt.ArrayLike, group: Column | None
) -> PairedDistributions:
    """Predictions alone: paired with themselves, since no human side is asked for."""
    given = distributions(name, frame, pred, "pred")
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.abs(given) / np.abs(given).sum(axis=1, keepdims=True)
    known = np.isfinite(shares).all(axis=1)
    groups = group_series(name, frame, group, len(given))
    human = np.where(known[:, None], shares, 1.0 / max(given.shape[1], 1))
    return pair_distributions(name, None, gold=human, pred=given, group=groups)
