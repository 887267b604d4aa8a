"""How surprised a prediction is by the people: soft cross-entropy and the Kullback-Leibler divergence, in nats.

Cost: one logarithm per item and option.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.soft_labels.infinite_losses import floored, mean_loss
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions

_MEND: Final = "give floor= to clip, which is then said"


def soft_cross_entropy(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    floor: float | None = None,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean cross-entropy of the human shares under the predicted probabilities, in nats.

    With human shares $p_i$ and renormalised predictions $q_i$ (K,): $\frac{1}{N} \sum_i -\sum_k p_{ik} \log q_{ik}$,
    $0 \log 0 = 0$. A proper score: its expectation is smallest at the true distribution of votes. Its least value on
    these items is the mean entropy of the human shares, not 0. Predictions are probabilities, never logits.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or array (N, K) of human shares; None where ``counts`` are given.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        counts: Column or array (N, K) of votes.
        group: Column or values (N,) of the resampling unit.
        floor: Least probability: smaller ones are raised to it, the row is renormalised, and the note says so. None
            clips nothing.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts items with both distributions, the note those left out.

    Undefined:
        No items; or an item with probability 0 on an option that people chose, where the score would be infinite: the
        note says on how many.

    Raises:
        TableError: A distribution that is none.
        ValueError: A column is missing, shapes differ, or ``floor`` is not in (0, 1/K).

    Example:
        -(0.3 log 0.5 + 0.7 log 0.5) = log 2.

        >>> round(soft_cross_entropy(gold=[[0.3, 0.7]], pred=[[0.5, 0.5]]).value, 6)
        0.693147

    Reference:
        Peterson et al. (2019), Human uncertainty makes classification more robust, ICCV; ``xentropy`` of Lourie et al.
        (2021), Scruples, arXiv 2008.09094.
    """
    pairs = pair_distributions("soft_cross_entropy", frame, gold=gold, pred=pred, counts=counts, group=group)
    score = soft_cross_entropy_rows(pairs, floor=floor)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def kl_divergence(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    floor: float | None = None,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean Kullback-Leibler divergence of the prediction from the human shares, KL(human || model), in nats.

    $\frac{1}{N} \sum_i \sum_k p_{ik} \log (p_{ik} / q_{ik})$: soft cross-entropy minus the entropy of the human shares.
    It ranks predictions as soft cross-entropy does. Few votes make the shares' entropy too small, so even a perfect
    prediction is above 0: see ``soft_label_table``.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or array (N, K) of human shares; None where ``counts`` are given.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        counts: Column or array (N, K) of votes.
        group: Column or values (N,) of the resampling unit.
        floor: As in :func:`soft_cross_entropy`.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate; at least 0.

    Undefined:
        As :func:`soft_cross_entropy`.

    Raises:
        TableError: A distribution that is none.
        ValueError: A column is missing, shapes differ, or ``floor`` is not in (0, 1/K).

    Example:
        log 1 / 0.5 = log 2.

        >>> round(kl_divergence(gold=[[1, 0]], pred=[[0.5, 0.5]]).value, 6)
        0.693147

    Reference:
        Kullback and Leibler (1951), Ann. Math. Stat. 22:79-86.
    """
    pairs = pair_distributions("kl_divergence", frame, gold=gold, pred=pred, counts=counts, group=group)
    score = kl_divergence_rows(pairs, floor=floor)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def soft_cross_entropy_rows(pairs: PairedDistributions, *, floor: float | None = None) -> Additive:
    """Soft cross-entropy as an additive statistic."""
    pred, clipped = floored("soft_cross_entropy", pairs, floor)
    note = "; ".join(filter(None, [pairs.note, clipped]))
    return mean_loss(
        "soft_cross_entropy", "soft cross-entropy (nats)", _cross_entropies(pairs.gold, pred), note=note, mend=_MEND,
        times=pairs.times,
    )  # fmt: skip


def kl_divergence_rows(pairs: PairedDistributions, *, floor: float | None = None) -> Additive:
    """KL(human || model) as an additive statistic."""
    from scipy.special import rel_entr

    pred, clipped = floored("kl_divergence", pairs, floor)
    note = "; ".join(filter(None, [pairs.note, clipped]))
    losses = rel_entr(pairs.gold, pred).sum(axis=1)
    return mean_loss(
        "kl_divergence", "KL divergence (human || model, nats)", np.maximum(losses, 0.0), note=note, mend=_MEND,
        times=pairs.times,
    )  # fmt: skip


def _cross_entropies(gold: Floats, pred: Floats) -> Floats:
    from scipy.special import xlogy

    losses: Floats = 0.0 - xlogy(gold, pred).sum(axis=1)
    return losses
