"""The predictors that every soft score stands beside, as predictions for the same items. Cost: one pass."""

from __future__ import annotations

from typing import Final

import numpy as np

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions

REFERENCES: Final = ("uniform", "corpus_mean", "hard_majority")

_EQUAL: Final = 1e-9  # shares that differ by less share the lead


def uniform_predictor(pairs: PairedDistributions) -> PairedDistributions:
    """The items with 1/K predicted for every option: knowing nothing.

    Example:
        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> uniform_predictor(pair_distributions("x", None, gold=[[1, 0]], pred=[[1, 0]])).pred.tolist()
        [[0.5, 0.5]]
    """
    return _with(pairs, np.full_like(pairs.gold, 1.0 / max(pairs.gold.shape[1], 1)))


def corpus_mean_predictor(pairs: PairedDistributions) -> PairedDistributions:
    r"""The items with the mean human shares of all of them predicted for each: knowing the corpus, not the item.

    $q_k = \frac{1}{N} \sum_i p_{ik}$ over the scored items themselves, each with equal weight. It is not left out one
    item at a time: that would give infinite cross-entropy wherever a single item has an option, and the mean as it is
    is the best constant for cross-entropy and the Brier score, so the bar it sets is, if anything, too high. Intervals
    hold it fixed.

    Example:
        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> pairs = pair_distributions("x", None, gold=[[1, 0], [0.5, 0.5]], pred=[[1, 0]] * 2)
        >>> corpus_mean_predictor(pairs).pred.tolist()
        [[0.75, 0.25], [0.75, 0.25]]
    """
    return _everywhere(pairs, mean_shares(pairs))


def mean_shares(pairs: PairedDistributions) -> Floats:
    """Mean human shares (K,) of all items; 0 without any.

    Example:
        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> mean_shares(pair_distributions("x", None, gold=[[1, 0], [0.5, 0.5]], pred=[[1, 0]] * 2)).tolist()
        [0.75, 0.25]
    """
    # Sorted first: the mean then does not depend on the order of the items.
    return np.array([np.sort(column).mean() if len(column) else 0.0 for column in pairs.gold.T])


def hard_majority_predictor(pairs: PairedDistributions) -> PairedDistributions:
    """The items with probability 1 predicted for what most people chose, shared evenly on ties: hard gold labels.

    What a perfect classifier of majority labels would say. Where anybody disagreed its cross-entropy is infinite.

    Example:
        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> pairs = pair_distributions("x", None, gold=[[0.4, 0.6], [0.5, 0.5]], pred=[[1, 0]] * 2)
        >>> hard_majority_predictor(pairs).pred.tolist()
        [[0.0, 1.0], [0.5, 0.5]]
    """
    lead = pairs.gold >= pairs.gold.max(axis=1, keepdims=True, initial=0.0) - _EQUAL
    return _with(pairs, lead / np.maximum(lead.sum(axis=1, keepdims=True), 1))


def reference_predictors(pairs: PairedDistributions, *, mean: Floats | None = None) -> dict[str, PairedDistributions]:
    """The reference predictions by name: uniform, corpus_mean (of ``mean`` where given), hard_majority.

    Example:
        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> list(reference_predictors(pair_distributions("x", None, gold=[[1, 0]], pred=[[1, 0]])))
        ['uniform', 'corpus_mean', 'hard_majority']
    """
    corpus = corpus_mean_predictor(pairs) if mean is None else _everywhere(pairs, mean)
    made = (uniform_predictor(pairs), corpus, hard_majority_predictor(pairs))
    return dict(zip(REFERENCES, made, strict=True))


def _everywhere(pairs: PairedDistributions, shares: Floats) -> PairedDistributions:
    return _with(pairs, np.repeat(shares[:, None], len(pairs.gold), axis=1).T)


def _with(pairs: PairedDistributions, pred: Floats) -> PairedDistributions:
    return pairs._replace(pred=pred, mass=np.ones(len(pred)))
