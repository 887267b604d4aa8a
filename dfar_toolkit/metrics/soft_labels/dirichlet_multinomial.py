r"""Likelihood of the votes when the prediction is a Dirichlet distribution around the predicted probabilities.

The parameters are $a_{ik} = s q_{ik}$: the prediction $q_i$ sets the mean, one number s, the concentration, says how
far an item's true shares may be from it. s has no default: it is learned in training, or fitted on a development split
(``fit_concentration``), and reported. Softmax outputs have none of their own: exp(z) depends on an arbitrary shift of
the logits and breaks in 32-bit numbers. Cost: one logarithm per vote.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.soft_labels.infinite_losses import mean_loss
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions
from dfar_toolkit.metrics.soft_labels.vote_sums import sum_over_votes, sum_to_votes

Per = Literal["item", "rating"]


def dirichlet_multinomial_nll(
    frame: pl.DataFrame | None = None,
    *,
    concentration: float,
    counts: Column | npt.ArrayLike | None = "label_counts",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    group: Column | None = None,
    per: Per = "item",
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean negative log-likelihood of the sequence of votes under a Dirichlet-multinomial, in nats.

    With votes $y_i$ (K,), $n_i = \sum_k y_{ik}$, predictions $q_i$ and $a_{ik} = s q_{ik}$:

        $\ell_i = \sum_{j < n_i} \log (s + j) - \sum_k \sum_{j < y_{ik}} \log (a_{ik} + j)$

    the mean over items, or $\sum_i \ell_i / \sum_i n_i$ per rating. This is the likelihood of the votes in the order in
    which they came, as Scruples defines it: the multinomial coefficient is not included (it is the same for every
    prediction). Per item, items with many votes weigh most.

    Args:
        frame: One row per item, or None with arrays.
        concentration: s, above 0.
        counts: Column or array (N, K) of votes.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        group: Column or values (N,) of the resampling unit.
        per: ``item`` or ``rating``.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate; its note says s.

    Undefined:
        No items; or an item with probability 0 on an option that people chose: it would be infinite.

    Raises:
        TableError: A distribution that is none, or counts that are not whole.
        ValueError: A column is missing, shapes differ, there are no counts, or s is not above 0.

    Example:
        a = (1, 1), votes (3, 2): log(2 x 3 x 4 x 5 x 6) - log(1 x 2 x 3) - log(1 x 2) = log 60.

        >>> found = dirichlet_multinomial_nll(counts=[[3, 2]], pred=[[0.5, 0.5]], concentration=2)
        >>> round(float(np.exp(found.value)), 9)
        60.0

    Reference:
        Lourie, Le Bras and Choi (2021), Scruples, AAAI, arXiv 2008.09094; Mosimann (1962), Biometrika 49:65-82.
    """
    name = "dirichlet_multinomial_nll"
    pairs = pair_distributions(name, frame, gold=None, pred=pred, counts=counts, group=group)
    score = dirichlet_multinomial_nll_rows(pairs, concentration=concentration, per=per)
    return estimate_together([score], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def dirichlet_multinomial_nll_rows(pairs: PairedDistributions, *, concentration: float, per: Per = "item") -> Additive:
    """The Dirichlet-multinomial loss as an additive statistic, per item or per rating."""
    if per not in get_args(Per):
        raise ValueError(f'dirichlet_multinomial_nll: per must be "item" or "rating", found {per!r}')
    return dirichlet_multinomial_rows(pairs, concentration=concentration)[get_args(Per).index(per)]


def dirichlet_multinomial_rows(pairs: PairedDistributions, *, concentration: float) -> tuple[Additive, Additive]:
    """The Dirichlet-multinomial losses per item and per rating as additive statistics, for the price of one.

    Raises:
        ValueError: The pairs have no vote counts, or the concentration is not above 0.
    """
    name = "dirichlet_multinomial_nll"
    if pairs.counts is None:
        raise ValueError(f"{name}: the votes themselves are needed, shares are not enough; give counts")
    if not (math.isfinite(concentration) and concentration > 0):
        raise ValueError(f"{name}: concentration must be a number above 0, found {concentration}")
    losses = sequence_losses(pairs.counts, concentration * pairs.pred, float(concentration))
    note = "; ".join(filter(None, [pairs.note, f"concentration s = {concentration:.6g}"]))
    printed = "Dirichlet-multinomial loss per {} (nats)"
    return (
        mean_loss(name, printed.format("item"), losses, note=note, times=pairs.times),
        mean_loss(
            f"{name}_per_rating", printed.format("rating"), losses, per=pairs.votes(), note=note, times=pairs.times
        ),
    )


def sequence_losses(counts: Floats, a: Floats, total: Floats | float) -> Floats:
    r"""$\sum_{j < n_i} \log(A_i + j) - \sum_k \sum_{j < y_{ik}} \log(a_{ik} + j)$ of each item (N,).

    Args:
        counts: Votes (N, K), whole.
        a: Parameters (N, K), at least 0.
        total: Their sums $A_i$ (N,), or the one number where all are equal.

    Returns:
        The losses; ``inf`` where a is 0 on an option with votes.

    Example:
        >>> sequence_losses(np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]]), 2.0).tolist()
        [inf]
    """
    n = counts.sum(axis=1)
    with np.errstate(divide="ignore"):
        chosen = sum_over_votes(a.ravel(), counts.ravel(), _log_step).reshape(counts.shape).sum(axis=1)
        every = sum_to_votes(total, n, _log_step) if isinstance(total, float | int) else sum_over_votes(
            total, n, _log_step
        )  # fmt: skip
    losses: Floats = every - chosen
    return losses


def _log_step(a: Floats, j: Floats) -> Floats:
    found: Floats = np.log(a + j)
    return found
