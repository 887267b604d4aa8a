"""Does the model hesitate where people differ: entropies of both sides, in nats.

Cost: one logarithm per item and option; a sort for the rank correlation.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, mean_of
from dfar_toolkit.estimate.additive import in_columns
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions

_FLAT: Final = 1e-12  # share of a sum of squares below which its spread is rounding


def entropy_correlation(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Pearson correlation of the entropy of the human shares with that of the prediction.

    With $h_i = H(p_i)$, $g_i = H(q_i)$: $r = (N S_{hg} - S_h S_g) / \sqrt{(N S_{hh} - S_h^2)(N S_{gg} - S_g^2)}$, a
    function of five sums and N. Entropies of few votes are too small and noisy, so a perfect model is far from 1: read
    it beside the row ``perfect_model`` of ``soft_label_table``.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or array (N, K) of human shares; None where ``counts`` are given.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        counts: Column or array (N, K) of votes.
        group: Column or values (N,) of the resampling unit.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate.

    Undefined:
        Fewer than two items, or all entropies on one side equal.

    Raises:
        TableError: A distribution that is none.
        ValueError: A column is missing or shapes differ.

    Example:
        Both sides are unsure of the first item and sure of the second.

        >>> found = entropy_correlation(gold=[[0.5, 0.5], [1, 0]], pred=[[0.6, 0.4], [0, 1]])
        >>> round(found.value, 12)
        1.0

    Reference:
        Baan et al. (2022), Stop measuring calibration when humans disagree, EMNLP (entropies of both sides).
    """
    pairs = pair_distributions("entropy_correlation", frame, gold=gold, pred=pred, counts=counts, group=group)
    score = entropy_correlation_rows(pairs)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def entropy_error(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean absolute difference of the two entropies: how much too sure or too unsure, item by item, in nats.

    $\frac{1}{N} \sum_i |H(p_i) - H(q_i)|$. It does not ask whether the right options are uncertain. A perfect model is
    above 0 at few votes: see :func:`entropy_correlation`.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or array (N, K) of human shares; None where ``counts`` are given.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        counts: Column or array (N, K) of votes.
        group: Column or values (N,) of the resampling unit.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate.

    Undefined:
        No items.

    Raises:
        TableError: A distribution that is none.
        ValueError: A column is missing or shapes differ.

    Example:
        log 2 against 0.

        >>> round(entropy_error(gold=[[0.5, 0.5]], pred=[[1, 0]]).value, 6)
        0.693147

    Reference:
        Baan et al. (2022), Stop measuring calibration when humans disagree, EMNLP (section 4).
    """
    pairs = pair_distributions("entropy_error", frame, gold=gold, pred=pred, counts=counts, group=group)
    score = entropy_error_rows(pairs)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def entropy_correlation_rows(pairs: PairedDistributions) -> Additive:
    """The entropy correlation as an additive statistic."""
    return entropy_rows(pairs)[0]


def entropy_error_rows(pairs: PairedDistributions) -> Additive:
    """The entropy error as an additive statistic."""
    return entropy_rows(pairs)[1]


def entropy_rows(pairs: PairedDistributions) -> tuple[Additive, Additive]:
    """The entropy correlation and the entropy error as additive statistics, for the price of one."""
    h, g = _entropies(pairs)
    error = mean_of("entropy_error", "entropy error (nats)", np.abs(h - g), note=pairs.note)
    # A fixed shift: sums of squares about a value amid the entropies lose fewer digits, in whatever order they come.
    middle = np.log(max(pairs.gold.shape[1], 1)) / 2
    h, g = h - middle, g - middle
    rows = in_columns(np.ones_like(h), h, g, h * g, h * h, g * g)
    why = "fewer than two items, or all entropies on one side are equal"
    return Additive("entropy_correlation", "entropy correlation (Pearson)", rows, _pearson, why, pairs.note), error


def _entropies(pairs: PairedDistributions) -> tuple[Floats, Floats]:
    """Entropies of the human shares and of the predictions (N,), in nats."""
    from scipy.special import entr

    return entr(pairs.gold).sum(axis=1), entr(pairs.pred).sum(axis=1)


def _pearson(sums: Floats) -> Floats:
    n, h, g, hg, hh, gg = sums.T
    spread_h, spread_g = n * hh - h * h, n * gg - g * g
    # Rounding of the sums leaves about 1e-16 of n * hh where all entropies are equal: that is no spread.
    flat = (spread_h <= _FLAT * n * hh) | (spread_g <= _FLAT * n * gg)
    product = np.where(flat, np.nan, spread_h * spread_g)
    found: Floats = np.clip((n * hg - h * g) / np.sqrt(product), -1.0, 1.0)
    return found
