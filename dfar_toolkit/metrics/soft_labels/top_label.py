"""Does the prediction name the option that most people chose. Cost: one pass."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, mean_of
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions

_EQUAL: Final = 1e-9  # shares that differ by less share the lead


def top_label_agreement(
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
    r"""Share of items whose most probable option is the one that most people chose, ties broken at random on average.

    With $G_i$ the options of most votes and $Q_i$ those of the highest probability:
    $\frac{1}{N} \sum_i |G_i \cap Q_i| / (|G_i| |Q_i|)$, the expected agreement when ties on either side are broken
    evenly at random. No order of the options is favoured; options within 1e-9 of the highest share the lead.

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
        The estimate; the note counts the ties on either side.

    Undefined:
        No items.

    Raises:
        TableError: A distribution that is none.
        ValueError: A column is missing or shapes differ.

    Example:
        The people are tied, so the answer is right half of the time.

        >>> top_label_agreement(gold=[[0.5, 0.5]], pred=[[0.9, 0.1]]).value
        0.5

    Reference:
        Nie, Zhou and Bansal (2020), What can we learn from collective human opinions, EMNLP (accuracy).
    """
    pairs = pair_distributions("top_label_agreement", frame, gold=gold, pred=pred, counts=counts, group=group)
    score = top_label_agreement_rows(pairs)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def top_label_agreement_rows(pairs: PairedDistributions) -> Additive:
    """Top-label agreement as an additive statistic."""
    gold, pred = _leaders(pairs.gold), _leaders(pairs.pred)
    n_gold, n_pred = gold.sum(axis=1), pred.sum(axis=1)
    agreed = (gold & pred).sum(axis=1) / np.maximum(n_gold * n_pred, 1)
    sides = ((n_gold, "people"), (n_pred, "predictions"))
    ties = [f"{pairs.items_in(n > 1)} items tied among {who}" for n, who in sides]
    note = ", ".join(t for t, n in zip(ties, (n_gold, n_pred), strict=True) if (n > 1).any())
    return mean_of(
        "top_label_agreement", "top-label agreement", agreed,
        note="; ".join(filter(None, [pairs.note, f"{note}: expected agreement" if note else ""])),
    )  # fmt: skip


def _leaders(shares: Floats) -> npt.NDArray[np.bool_]:
    """Which options share the highest value (N, K)."""
    lead: npt.NDArray[np.bool_] = shares >= shares.max(axis=1, keepdims=True, initial=0.0) - _EQUAL
    return lead
