r"""A weight and a bias per option, fitted on another split: for a model that likes some options too much.

Cost: one pass over (N, K) per step of L-BFGS, some tens of steps.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.calibration.temperature import log_probabilities, softmax
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions

_BOUND: Final = 100.0
_STEPS: Final = 1000


class VectorScaling(NamedTuple):
    """Fitted scaling: ``weights`` (K,), ``biases`` (K,) with mean 0, ``cross_entropy`` reached, ``n`` items, ``note``.

    ``note`` says when a parameter stands at its bound (the data can be told apart without error) or the search ended
    before it converged.
    """

    weights: Floats
    biases: Floats
    cross_entropy: float
    n: int
    note: str


def fit_vector_scaling(pairs_dev: PairedDistributions) -> VectorScaling:
    r"""Weights and biases that fit the gold of a development split best, by soft cross-entropy.

    $q'_{ik} = softmax_k(w_k \log q_{ik} + b_k)$; $w, b$ (K,) minimise $-\frac{1}{N} \sum_i \sum_k p_{ik} \log q'_{ik}$,
    a convex function, by L-BFGS with the analytic gradient, within [-100, 100]. With w = 1/T and b = 0 it is
    temperature scaling. 2 K parameters can follow the noise of a small split.

    Args:
        pairs_dev: Gold and predictions of a split other than the one that will be scored.

    Returns:
        The scaling, for :func:`apply_vector_scaling`.

    Undefined:
        No items: parameters are ``nan``.

    Raises:
        TableError: A predicted probability is 0, which has no logarithm.

    Example:
        The model says 0.5, 0.5 where people say 0.8, 0.2: only the biases can help.

        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> pairs = pair_distributions("f", None, gold=[[0.8, 0.2]], pred=[[0.5, 0.5]])
        >>> apply_vector_scaling([[0.5, 0.5]], fit_vector_scaling(pairs)).round(3).tolist()
        [[0.8, 0.2]]

    Reference:
        Guo et al. (2017), On calibration of modern neural networks, ICML (section 4.2, vector scaling).
    """
    from scipy.optimize import minimize

    n, width = pairs_dev.gold.shape
    if not n:
        return VectorScaling(np.full(width, np.nan), np.full(width, np.nan), float("nan"), 0, "no items")
    logs = log_probabilities("fit_vector_scaling", pairs_dev)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        return _loss(parameters, pairs_dev.gold, logs)

    start = np.concatenate([np.ones(width), np.zeros(width)])
    solved = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=[(-_BOUND, _BOUND)] * (2 * width),
        options={"maxiter": _STEPS, "ftol": 1e-15, "gtol": 1e-9},
    )  # fmt: skip
    weights, biases = solved.x[:width], solved.x[width:]
    notes = [pairs_dev.note]
    if (np.abs(solved.x) >= _BOUND * (1 - 1e-9)).any():
        notes.append(f"a parameter stands at its bound of {_BOUND:g}")
    if solved.nit >= _STEPS:
        notes.append(f"not converged after {_STEPS} steps")
    return VectorScaling(weights, biases - biases.mean(), float(solved.fun), n, "; ".join(x for x in notes if x))


def apply_vector_scaling(probs: npt.ArrayLike, scaling: VectorScaling) -> Floats:
    r"""Probabilities after the scaling: $softmax_k(w_k \log q_k + b_k)$.

    Args:
        probs: Probabilities (N, K) above 0.
        scaling: From :func:`fit_vector_scaling`.

    Returns:
        Probabilities (N, K), rows sum to 1; a row of ``nan`` stays.

    Raises:
        ValueError: The number of options differs, or a probability is not above 0.

    Example:
        >>> same = VectorScaling(np.ones(2), np.zeros(2), 0.0, 1, "")
        >>> apply_vector_scaling([[0.8, 0.2]], same).round(3).tolist()
        [[0.8, 0.2]]
    """
    q = np.asarray(probs, dtype=np.float64)
    if q.ndim != 2 or q.shape[1] != len(scaling.weights):
        raise ValueError(
            f"apply_vector_scaling: probs must be an array (items, {len(scaling.weights)}), found shape {q.shape}"
        )
    if (q <= 0).any():
        raise ValueError("apply_vector_scaling: probabilities must be above 0; a 0 has no logarithm")
    return softmax(np.log(q) * scaling.weights + scaling.biases)


def _loss(parameters: Floats, gold: Floats, logs: Floats) -> tuple[float, Floats]:
    """Mean cross-entropy and its gradient (2 K,)."""
    width = gold.shape[1]
    scores = logs * parameters[:width] + parameters[width:]
    highest = scores.max(axis=1, keepdims=True)
    raised = np.exp(scores - highest)
    total = raised.sum(axis=1, keepdims=True)
    value = float(np.mean((np.log(total) + highest)[:, 0] - (gold * scores).sum(axis=1)))
    error = (raised / total - gold) / len(gold)
    return value, np.concatenate([(error * logs).sum(axis=0), error.sum(axis=0)])
