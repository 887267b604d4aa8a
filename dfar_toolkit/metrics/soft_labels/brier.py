"""Squared distance from the human shares, as it stands and without the noise of few votes. Cost: one pass."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, mean_of
from dfar_toolkit.estimate.additive import in_columns
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions


def brier_score_unbiased(
    frame: pl.DataFrame | None = None,
    *,
    counts: Column | npt.ArrayLike | None = "label_counts",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    gold: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean squared distance of the prediction from the distribution that people's votes are drawn from.

    With shares $p_i$ of $n_i$ votes and predictions $q_i$ (K,), over the items with $n_i \ge 2$:

        $\frac{1}{N'} \sum_i \sum_k [ (p_{ik} - q_{ik})^2 - p_{ik} (1 - p_{ik}) / (n_i - 1) ]$

    The second term is an unbiased estimate of the variance of $p_{ik}$, so the whole is one of
    $\sum_k (\theta_{ik} - q_{ik})^2$ with $\theta_i$ the distribution behind the votes: a perfect model has expectation
    0 whatever the number of votes, and items with few and many votes can be compared. Single items, and a good model
    on few items, may be below 0.

    Args:
        frame: One row per item, or None with arrays.
        counts: Column or array (N, K) of votes.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        gold: Column or array (N, K) of shares; needed only where there are no counts, and then there is no value.
        group: Column or values (N,) of the resampling unit.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate; the note counts items with one vote, which have no unbiased value and are left out.

    Undefined:
        No vote counts, or no item with two votes.

    Raises:
        TableError: A distribution that is none.
        ValueError: A column is missing or shapes differ.

    Example:
        Two votes, one each way, prediction (0.5, 0.5): 0 - 2 x 0.25 / 1.

        >>> brier_score_unbiased(counts=[[1, 1]], pred=[[0.5, 0.5]]).value
        -0.5

    Reference:
        Brier (1950), Mon. Weather Rev. 78:1-3; the correction is the unbiased variance of a share, as in
        Ferro (2014), Q. J. R. Meteorol. Soc. 140:1917-1923 (fair scores).
    """
    pairs = pair_distributions("brier_score_unbiased", frame, gold=gold, pred=pred, counts=counts, group=group)
    score = brier_score_unbiased_rows(pairs)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def brier_score(
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
    r"""Mean squared distance of the prediction from the observed shares (plug-in), summed over the options.

    $\frac{1}{N} \sum_i \sum_k (p_{ik} - q_{ik})^2$, in [0, 2]. It carries the noise of the votes: even a perfect model
    has expectation $\sum_k \theta_k (1 - \theta_k) / n$, so use it to compare runs on the same items and
    :func:`brier_score_unbiased` as the number itself.

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
        (1 - 0.5)^2 + (0 - 0.5)^2.

        >>> brier_score(gold=[[1, 0]], pred=[[0.5, 0.5]]).value
        0.5

    Reference:
        Brier (1950), Mon. Weather Rev. 78:1-3 (the sum over classes).
    """
    pairs = pair_distributions("brier_score", frame, gold=gold, pred=pred, counts=counts, group=group)
    score = brier_score_rows(pairs)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def brier_score_rows(pairs: PairedDistributions) -> Additive:
    """The plug-in Brier score as an additive statistic."""
    return mean_of("brier_score", "Brier score (plug-in)", _squares(pairs), note=pairs.note)


def brier_score_unbiased_rows(pairs: PairedDistributions) -> Additive:
    """The unbiased Brier score as an additive statistic."""
    votes = pairs.votes()
    usable = votes >= 2
    single, n = pairs.items_in(votes < 2), pairs.items_in(np.ones(len(votes), dtype=bool))
    why = f"{single} of {n} items with one vote have no unbiased value: left out" if single else ""
    noise = (pairs.gold * (1 - pairs.gold)).sum(axis=1) / np.where(usable, votes - 1, 1.0)
    rows = in_columns(np.where(usable, _squares(pairs) - noise, 0.0), usable)
    return Additive(
        "brier_score_unbiased", "Brier score (unbiased)", rows, _ratio,
        "the number of votes is not known" if pairs.counts is None else "no item has two or more votes",
        "; ".join(filter(None, [pairs.note, why])),
    )  # fmt: skip


def _squares(pairs: PairedDistributions) -> Floats:
    found: Floats = np.square(pairs.gold - pairs.pred).sum(axis=1)
    return found


def _ratio(sums: Floats) -> Floats:
    found: Floats = sums[:, 0] / sums[:, 1]
    return found
