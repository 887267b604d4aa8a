"""Two scores of the code published beside arXiv 2410.07826, for comparison with its values. Do not report them alone.

Both defects are in the definitions, not in this code; ``soft_cross_entropy`` and ``dirichlet_multinomial_nll`` are the
scores that were meant.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, estimate_together, mean_of
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.soft_labels.dirichlet_multinomial import sequence_losses
from dfar_toolkit.metrics.soft_labels.infinite_losses import mean_loss
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions


def double_softmax_cross_entropy(
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
    r"""DEFECTIVE: cross-entropy with probabilities taken for logits, so that a softmax is applied to them once more.

    With probabilities $m_i$ as given, not renormalised:

        $-\frac{1}{N} \sum_i \sum_k p_{ik} \log \mathrm{softmax}(m_i)_k$

    Defects: for two options that sum to 1 all values lie in [log(1 + 1/e), log(1 + e)] = [0.313, 1.313]; with little
    mass on the options it is near log K whatever the model thinks; and it is no proper score: on the Scruples anecdotes
    (dev, right or wrong) always naming the majority with .99 scores 0.4466, better than the exact human shares
    (0.4550), though the proper score is twice as bad (0.5918 against 0.2842).

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or array (N, K) of human shares; None where ``counts`` are given.
        pred: Column or array (N, K) of probabilities as read off.
        counts: Column or array (N, K) of votes.
        group: Column or values (N,) of the resampling unit.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate; its note says what it is.

    Undefined:
        No items.

    Raises:
        TableError: A distribution that is none.
        ValueError: A column is missing or shapes differ.

    Example:
        A prediction that is exactly right: log(1 + 1/e), not 0.

        >>> round(double_softmax_cross_entropy(gold=[[1, 0]], pred=[[1, 0]]).value, 5)
        0.31326

    Reference:
        Public code of Senthilkumar et al. (2024), Fine-tuning language models for ethical ambiguity, arXiv 2410.07826.
    """
    pairs = pair_distributions("double_softmax_cross_entropy", frame, gold=gold, pred=pred, counts=counts, group=group)
    score = double_softmax_cross_entropy_rows(pairs)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def unnormalised_dirichlet_loss(
    frame: pl.DataFrame | None = None,
    *,
    counts: Column | npt.ArrayLike | None = "label_counts",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    group: Column | None = None,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""DEFECTIVE: Dirichlet-multinomial loss whose concentration is the probability mass left on the options.

    With probabilities $m_i$ as given, not renormalised, and votes $y_i$: the loss of ``dirichlet_multinomial_nll`` at
    $a_{ik} = m_{ik}$, natural logarithms. Defect: the concentration $\sum_k m_{ik} \le 1$ says how well the model keeps
    to the answer format, not how sure it is, so that learning the format looks like calibration: uniform predictions
    score 7.9955 with mass 1, 8.6461 with mass .1 and 12.1437 with mass .0002 (Scruples anecdotes, dev, two options).

    Args:
        frame: One row per item, or None with arrays.
        counts: Column or array (N, K) of votes.
        pred: Column or array (N, K) of probabilities as read off.
        group: Column or values (N,) of the resampling unit.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate; its note says what it is.

    Undefined:
        No items; or an item with probability 0 on an option that people chose: it would be infinite.

    Raises:
        TableError: A distribution that is none, or counts that are not whole.
        ValueError: A column is missing, shapes differ, or there are no counts.

    Example:
        One vote for an option of probability .5 of 1: log 2.

        >>> round(unnormalised_dirichlet_loss(counts=[[1, 0]], pred=[[0.5, 0.5]]).value, 6)
        0.693147

    Reference:
        Public code of Senthilkumar et al. (2024), Fine-tuning language models for ethical ambiguity, arXiv 2410.07826.
    """
    pairs = pair_distributions("unnormalised_dirichlet_loss", frame, gold=None, pred=pred, counts=counts, group=group)
    score = unnormalised_dirichlet_loss_rows(pairs)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def double_softmax_cross_entropy_rows(pairs: PairedDistributions) -> Additive:
    """The double-softmax cross-entropy as an additive statistic."""
    given = pairs.pred * pairs.mass[:, None]
    largest = given.max(axis=1, keepdims=True, initial=0.0)
    log_sum = largest + np.log(np.exp(given - largest).sum(axis=1, keepdims=True))
    losses = (pairs.gold * (log_sum - given)).sum(axis=1)
    note = "; ".join(filter(None, [pairs.note, "defective: probabilities taken for logits"]))
    return mean_of("double_softmax_cross_entropy", "double-softmax cross-entropy (legacy)", losses, note=note)


def unnormalised_dirichlet_loss_rows(pairs: PairedDistributions) -> Additive:
    """The unnormalised Dirichlet loss as an additive statistic.

    Raises:
        ValueError: The pairs have no vote counts.
    """
    if pairs.counts is None:
        raise ValueError("unnormalised_dirichlet_loss: the votes themselves are needed; give counts")
    losses = sequence_losses(pairs.counts, pairs.pred * pairs.mass[:, None], pairs.mass)
    note = "; ".join(filter(None, [pairs.note, "defective: the concentration is the option mass"]))
    return mean_loss("unnormalised_dirichlet_loss", "unnormalised Dirichlet loss (legacy)", losses, note=note)
