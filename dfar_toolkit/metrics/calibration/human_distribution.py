r"""Calibration against people: do votes follow the predicted probabilities, does the model hesitate as they do?

Where people differ, the distribution of their votes is what a probability should mean. The distance of the two
distributions themselves (total variation, cross-entropy) and the mean absolute difference of entropies are in
``soft_labels``. Cost: O(N K log N); rank calibration O(N K log K), or O(N K^2) up to 12
options, and as much again for each of up to 100 simulations of it, which are of 20,000 items in all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, mean_of
from dfar_toolkit.estimate.additive import in_columns
from dfar_toolkit.metrics.calibration.bins import Binning
from dfar_toolkit.metrics.calibration.debiased_calibration_error import DebiasedError, debiased_error, with_enough_bins
from dfar_toolkit.metrics.calibration.targets import Flags, is_hard, pair_targets
from dfar_toolkit.metrics.labels import Codes, Column
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions

_EQUAL: Final = 1e-12  # shares and probabilities that differ by less are tied
_LABELS: Final = "gold holds labels, not shares of votes"
_SIMULATED: Final = 20_000  # items whose votes are drawn anew to say what a perfect model gets
_FEW: Final = 12  # options that are compared pair by pair
_CELLS: Final = 1_000_000  # numbers put in order at once


def human_calibration_error(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column | npt.ArrayLike | None = "label_probs",
    pred: Column | npt.ArrayLike = "label_probs_pred",
    counts: Column | npt.ArrayLike | None = None,
    group: Column | None = None,
    n_bins: int = 15,
    binning: Binning = "mass",
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Where the model gives an option probability q, is q the share of people who choose it? Squared, without noise.

    For each option k the items are binned by $q_{ik}$; with $d_{ik} = p_{ik} - q_{ik}$ and $U_{kb}$ the mean of
    $d_{ik} d_{jk}$ over pairs of different groups in bin b: $\frac{1}{K} \sum_k \sum_b \frac{n_{kb}}{N} U_{kb}$. Its
    expectation is 0 if $E[p_k | q_k \in b]$ is the mean $q_k$ of every bin, whatever the number of votes; it may be
    below 0 in a sample. Its root is a distance in probability.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or array (N, K) of human shares; None where ``counts`` are given.
        pred: Column or array (N, K) of predicted probabilities, renormalised over the options.
        counts: Column or array (N, K) of votes.
        group: Column or values (N,) of the resampling unit.
        n_bins: Number of bins.
        binning: ``mass`` (equal) or ``width`` (equal).
        ci: ``bootstrap`` over groups of the linearised statistic with the bins held fixed, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate. The curve behind it is ``reliability_curve(..., view="classwise")``.

    Undefined:
        No bin holds two groups; no interval for fewer than five bins.

    Raises:
        TableError: A distribution that is none.
        ValueError: A column is missing, shapes differ, or an argument is impossible.

    Example:
        Two items at 0.8, shares 0.5 and 0.7: (0.5 - 0.8) (0.7 - 0.8) for either option.

        >>> gold = [[0.5, 0.5], [0.7, 0.3]]
        >>> round(human_calibration_error(gold=gold, pred=[[0.8, 0.2]] * 2, ci=None).value, 6)
        0.03

    Reference:
        Baan et al. (2022), Stop measuring calibration when humans disagree, EMNLP (the target); Kumar, Liang and Ma
        (2019), NeurIPS (the debiased square, per class).
    """
    pairs = pair_targets("human_calibration_error", frame, gold=gold, pred=pred, counts=counts, group=group)
    found = human_error(pairs, n_bins=n_bins, binning=binning)
    made = estimate_together([found.rows], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[
        0
    ]
    return with_enough_bins(made, found.n_bins)


def entropy_calibration_error(
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
    r"""How much less sure the model is than people are, on average, in nats; below 0 it is surer.

    $\frac{1}{N} \sum_i H(q_i) - H(p_i)$. Errors of both signs cancel; ``soft_labels.entropy_error`` takes them
    absolutely. The entropy of few votes is too small, so a perfect model is above 0: the note says by how much.

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
        People are even, the model is certain: 0 - log 2.

        >>> round(entropy_calibration_error(gold=[[0.5, 0.5]], pred=[[1, 0]]).value, 6)
        -0.693147

    Reference:
        Baan et al. (2022), EMNLP (human entropy calibration error, section 4).
    """
    pairs = pair_targets("entropy_calibration_error", frame, gold=gold, pred=pred, counts=counts, group=group)
    row = entropy_calibration_error_rows(pairs)
    return estimate_together([row], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def rank_calibration(
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
    r"""Share of items on which the model orders the options as people do.

    An item counts if $q_{ik} > q_{il}$ for every two options with $p_{ik} > p_{il}$; options that people chose equally
    often may stand in any order. Few votes order by chance: the note says what a perfect model would get.

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
        The estimate; items on which people chose all options equally often have no order, are left out and counted.

    Undefined:
        No item on which people order the options.

    Raises:
        TableError: A distribution that is none.
        ValueError: A column is missing or shapes differ.

    Example:
        >>> gold = [[0.6, 0.4, 0.0], [0.5, 0.25, 0.25]]
        >>> rank_calibration(gold=gold, pred=[[0.5, 0.1, 0.4], [0.6, 0.1, 0.3]], ci=None).value
        0.5

    Reference:
        Baan et al. (2022), EMNLP (human ranking calibration score, section 4; there ties are not told apart).
    """
    pairs = pair_targets("rank_calibration", frame, gold=gold, pred=pred, counts=counts, group=group)
    row = rank_calibration_rows(pairs)
    return estimate_together([row], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def human_calibration_error_rows(
    pairs: PairedDistributions, *, n_bins: int = 15, binning: Binning = "mass"
) -> Additive:
    """The human calibration error linearised, one number per item."""
    return human_error(pairs, n_bins=n_bins, binning=binning).rows


def human_error(pairs: PairedDistributions, *, n_bins: int = 15, binning: Binning = "mass") -> DebiasedError:
    """The rows and the number of bins that they rest on."""
    found = debiased_error(pairs, view="classwise", n_bins=n_bins, binning=binning)
    note = "; ".join(x for x in (found.rows.note, _LABELS if is_hard(pairs) and len(pairs.gold) else "") if x)
    rows = found.rows._replace(
        metric="human_calibration_error", name="human calibration error (squared, debiased)", note=note
    )
    return found._replace(rows=rows)


def human_rows(pairs: PairedDistributions) -> tuple[Additive, Additive]:
    """The entropy calibration error and rank calibration, for the price of one order of the items."""
    order = _simulated_items(pairs)
    return entropy_calibration_error_rows(pairs, order), rank_calibration_rows(pairs, order)


def entropy_calibration_error_rows(pairs: PairedDistributions, order: Codes | None = None) -> Additive:
    """The mean difference of the entropies as an additive statistic."""
    names = ("entropy_calibration_error", "entropy calibration error (nats)")
    return mean_of(*names, _entropy_gap(pairs.gold, pairs.pred), note=_noted(pairs, _mean_entropy_gap, order))


def rank_calibration_rows(pairs: PairedDistributions, order: Codes | None = None) -> Additive:
    """The share of items ordered alike as an additive statistic."""
    alike, ordered = _ranks(pairs.gold, pairs.pred)
    tied = int(len(ordered) - ordered.sum())
    note = f"{tied} items left out: people chose all options equally often" if tied else ""
    return Additive(
        "rank_calibration", "rank calibration", in_columns(alike, ordered), lambda s: s[:, 0] / s[:, 1],
        "people order the options of no item", "; ".join(x for x in (_noted(pairs, _mean_rank, order), note) if x),
    )  # fmt: skip


def _entropy_gap(gold: Floats, pred: Floats) -> Floats:
    from scipy.special import entr

    found: Floats = entr(pred).sum(axis=1) - entr(gold).sum(axis=1)
    return found


def _mean_entropy_gap(gold: Floats, pred: Floats) -> float:
    return float(_entropy_gap(gold, pred).mean())


def _ranks(gold: Floats, pred: Floats) -> tuple[Floats, Floats]:
    """Whether all options that people order are ordered alike (N,), and whether people order any (N,).

    Pair by pair up to 12 options, which is several times faster for very many items; with more by sorting.
    """
    if gold.shape[1] <= _FEW:
        alike, ordered = _ranks_by_pairs(gold, pred)
    else:
        step = max(1, _CELLS // gold.shape[1])
        parts = [_ranks_by_sorting(gold[i : i + step], pred[i : i + step]) for i in range(0, max(len(gold), 1), step)]
        alike, ordered = (np.concatenate(flags) for flags in zip(*parts, strict=True))
    return (alike & ordered).astype(np.float64), ordered.astype(np.float64)


def _ranks_by_pairs(gold: Floats, pred: Floats) -> tuple[Flags, Flags]:
    alike, ordered = np.ones(len(gold), dtype=bool), np.zeros(len(gold), dtype=bool)
    width = gold.shape[1]
    for k in range(width):
        for other in range(k + 1, width):
            people, model = gold[:, k] - gold[:, other], pred[:, k] - pred[:, other]
            more, less = people > _EQUAL, people < -_EQUAL
            ordered |= more | less
            alike &= (~more | (model > _EQUAL)) & (~less | (model < -_EQUAL))
    return alike, ordered


def _ranks_by_sorting(gold: Floats, pred: Floats) -> tuple[Flags, Flags]:
    """With the options as people order them, each must be predicted above the highest of those that stand below it."""
    order = np.argsort(gold, axis=1)
    people, model = np.take_along_axis(gold, order, axis=1), np.take_along_axis(pred, order, axis=1)
    above = people[:, 1:] - people[:, :-1] > _EQUAL  # where people have all options from here on above all before
    highest = np.maximum.accumulate(model, axis=1)[:, :-1]
    rival = np.maximum.accumulate(np.where(above, highest, -np.inf), axis=1)
    alike: Flags = np.all(model[:, 1:] - rival > _EQUAL, axis=1)
    # A chain of options that are level one by one may have ends that are not, by a few roundings: pair by pair then.
    first = np.maximum.accumulate(np.where(above, np.arange(1, people.shape[1]), 0), axis=1)
    chained = (people[:, 1:] - np.take_along_axis(people, first, axis=1) > _EQUAL).any(axis=1)
    if chained.any():
        alike[chained] = _ranks_by_pairs(gold[chained], pred[chained])[0]
    return alike, people[:, -1] - people[:, 0] > _EQUAL


def _mean_rank(gold: Floats, pred: Floats) -> float:
    alike, ordered = _ranks(gold, pred)
    return float(alike.sum() / ordered.sum()) if ordered.any() else float("nan")


def _simulated_items(pairs: PairedDistributions) -> Codes | None:
    """The items whose votes are drawn anew, in an order that does not depend on that of the items; None without any."""
    if pairs.counts is None or not len(pairs.gold):
        return None
    marks = np.sin(1.0 + np.arange(pairs.pred.shape[1]))
    # Every so manieth of very many.
    return np.argsort(pairs.pred @ marks + np.pi * (pairs.counts @ marks))[:: -(-len(pairs.gold) // _SIMULATED)]


def _noted(
    pairs: PairedDistributions,
    statistic: Callable[[Floats, Floats], float],
    order: Codes | None = None,
    seed: int = 0,
) -> str:
    """The pairs' note and what a perfect model gets: votes drawn anew from the predictions, as many as there were."""
    if pairs.counts is None or not len(pairs.gold):
        return pairs.note
    order = _simulated_items(pairs) if order is None else order
    assert order is not None
    pred, votes = pairs.pred[order], pairs.counts[order].sum(axis=1).astype(np.int64)
    rng = np.random.default_rng(seed)
    n_simulated = max(1, min(100, _SIMULATED // len(order)))
    drawn = [rng.multinomial(votes, _exact(pred)) / votes[:, None] for _ in range(n_simulated)]
    pred = np.asfortranarray(pred)
    values = np.array([statistic(shares, pred) for shares in drawn])
    if np.isnan(values).all():  # nothing is ordered in any draw
        return pairs.note
    found = float(np.nanmean(values))
    return "; ".join(x for x in (pairs.note, f"a perfect model gets {found:.3f} at these numbers of votes") if x)


def _exact(pred: Floats) -> Floats:
    """Probabilities whose sum numpy does not find above 1."""
    found: Floats = pred / np.maximum(pred.sum(axis=1, keepdims=True), 1.0)
    return found
