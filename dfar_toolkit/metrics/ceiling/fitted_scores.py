r"""Expected scores under the fitted posterior, one number per distinct row of votes and a formula of the whole.

Given the votes $y_i$ of item i its true shares are $q_i \sim$ Dirichlet($a_i$), $a_{ik} = \alpha_k + y_{ik}$,
$A_i = \sum_k a_{ik}$. An oracle that predicts $q_i$ is scored against the observed shares $p_{ik} = y_{ik} / n_i$,
and by its top option against the top option of the votes. All expectations are exact:

* cross-entropy $\sum_k p_{ik} (\psi(A_i) - \psi(a_{ik}))$
* Brier score $\sum_k [m_{ik} (1 - m_{ik}) / (A_i + 1) + (m_{ik} - p_{ik})^2]$, $m_{ik} = a_{ik} / A_i$
* total variation $\frac{1}{2} \sum_k E|q_{ik} - p_{ik}|$,
  $E|q - p| = 2 [p I_p(a, A - a) - m I_p(a + 1, A - a)] + m - p$
* accuracy, balanced accuracy: the chances $\pi_{ik}$ that k leads, as in :mod:`top_option`
* macro-F1: $E \frac{2 h_k}{t_k + s_k}$ with $t_k$ items of class k, $s_k$ predictions of it and $h_k$ both. From
  $\frac{1}{c} = \int_0^\infty e^{-c u} du$ and items that are independent, with $z = e^{-u}$,
  $2 \int_0^\infty z^{t_k} \prod_i (1 - \pi_{ik} + \pi_{ik} z)
  \sum_i \frac{g_{ik} \pi_{ik} z}{1 - \pi_{ik} + \pi_{ik} z} du$, $g_{ik}$ the share of class k in the gold of item i.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Final, Literal, NamedTuple, get_args

import numpy as np

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.ceiling.top_option import top_probabilities
from dfar_toolkit.metrics.ceiling.vote_counts import distinct_rows

BestMetric = Literal["cross_entropy", "accuracy", "macro_f1", "balanced_accuracy", "brier", "total_variation"]
Ties = Literal["first", "split"]

BEST_METRICS: Final[tuple[BestMetric, ...]] = get_args(BestMetric)
HARD_METRICS: Final = ("accuracy", "macro_f1", "balanced_accuracy")

_NAMES: Final = {
    "cross_entropy": "cross-entropy",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "brier": "Brier score",
    "total_variation": "total variation",
}
_LAGUERRE: Final = 24  # nodes of Gauss and Laguerre for macro-F1
_MANY: Final = 500.0  # items of a class and predictions of it from which a quarter of the nodes does
_HELD: Final = 4_000_000  # factors held at once


RowsOf = Callable[[Floats, Floats], Floats]


class FittedScore(NamedTuple):
    """A score that needs the fitted alpha.

    ``rows``: alpha (K,), distinct rows of votes (P, K) -> numbers (P, R). ``value``: those numbers, the same rows of
    votes, how often each occurs (P,) -> the score. Of B resamples at once: alpha (B, 1, K) -> numbers (B, P, R); these
    or one set for all, how often each occurs (B, P) -> the scores (B,). Scores with the same ``rows`` share one
    evaluation. ``undefined`` is the note where alpha is known and the value is still ``nan``.
    """

    metric: str
    name: str
    rows: RowsOf
    value: Callable[[Floats, Floats, Floats], Floats]
    undefined: str = "the score has no value here"


def best_scores(metrics: Sequence[BestMetric], *, ties: Ties = "first") -> list[FittedScore]:
    """The scores of the oracle by name.

    Example:
        >>> score = best_scores(["cross_entropy"])[0]
        >>> score.rows(np.array([1.0, 1.0]), np.array([[1.0, 0.0]])).tolist()  # psi(3) - psi(2)
        [[0.5]]
    """
    soft = {"cross_entropy": _cross_entropy, "brier": _brier, "total_variation": _total_variation}
    hard = {"accuracy": agreement, "balanced_accuracy": _balanced_accuracy, "macro_f1": _macro_f1}
    found = []
    for metric in metrics:
        name = f"BEST {_NAMES[metric]}"
        if metric in soft:
            found.append(FittedScore(metric, name, soft[metric], weighted_mean))
        else:
            value = partial(hard[metric], ties=ties)
            found.append(FittedScore(metric, name, _leading, value, "an option leads the votes of no item"))
    return found


def gold_shares(patterns: Floats, ties: Ties) -> Floats:
    """The gold label of each row of votes as shares (P, K): the first of the options in the lead, or all of them alike.

    Example:
        >>> gold_shares(np.array([[2.0, 2.0, 1.0]]), "split").tolist()
        [[0.5, 0.5, 0.0]]
    """
    lead = patterns == patterns.max(axis=1, keepdims=True)
    if ties == "first":
        lead &= np.cumsum(lead, axis=1) == 1
    shares: Floats = lead / lead.sum(axis=1, keepdims=True)
    return shares


def tied_items(patterns: Floats, times: Floats) -> int:
    """Items on which several options share the lead."""
    return int(times[(patterns == patterns.max(axis=1, keepdims=True)).sum(axis=1) > 1].sum())


def weighted_mean(rows: Floats, patterns: Floats, times: Floats) -> Floats:
    """Mean over items of one number per row of votes (P, 1)."""
    return _mean(rows[..., 0], times)


def agreement(leading: Floats, patterns: Floats, times: Floats, *, ties: Ties) -> Floats:
    """Mean over items of the chance to give their gold label, from the chance of each option (P, K)."""
    return _mean(np.sum(gold_shares(patterns, ties) * leading, axis=-1), times)


def _mean(values: Floats, times: Floats) -> Floats:
    return np.asarray(np.sum(times * values, axis=-1) / times.sum(axis=-1))


def _shares(patterns: Floats) -> Floats:
    shares: Floats = patterns / patterns.sum(axis=1, keepdims=True)
    return shares


def _cross_entropy(alpha: Floats, patterns: Floats) -> Floats:
    from scipy.special import digamma

    shapes = alpha + patterns
    nats = digamma(shapes.sum(axis=-1, keepdims=True)) - digamma(shapes)
    return np.asarray(np.sum(_shares(patterns) * nats, axis=-1, keepdims=True))


def _brier(alpha: Floats, patterns: Floats) -> Floats:
    shapes = alpha + patterns
    total = shapes.sum(axis=-1, keepdims=True)
    mean = shapes / total
    squared = mean * (1 - mean) / (total + 1) + (mean - _shares(patterns)) ** 2
    return np.asarray(np.sum(squared, axis=-1, keepdims=True))


def _total_variation(alpha: Floats, patterns: Floats) -> Floats:
    from scipy.special import betainc

    width = patterns.shape[1]
    size = np.repeat(patterns.sum(axis=1), width)
    # Every option, number of its votes and of all votes that occur: once.
    cells, place = distinct_rows(np.column_stack([np.tile(np.arange(width), len(patterns)), patterns.ravel(), size]))
    option, votes, n = cells[:, 0].astype(np.int64), cells[:, 1], cells[:, 2]
    shapes, p = alpha[..., option] + votes, votes / n
    total = alpha.sum(axis=-1, keepdims=True) + n
    mean, rest = shapes / total, total - shapes
    apart = 2 * (p * betainc(shapes, rest, p) - mean * betainc(shapes + 1, rest, p)) + mean - p
    each = apart[..., place].reshape(*apart.shape[:-2], len(patterns), width)
    return np.asarray(0.5 * np.sum(each, axis=-1, keepdims=True))


def _leading(alpha: Floats, patterns: Floats) -> Floats:
    return top_probabilities(alpha + patterns)


def _balanced_accuracy(leading: Floats, patterns: Floats, times: Floats, *, ties: Ties) -> Floats:
    gold = gold_shares(patterns, ties)
    of_class = _totals(times, gold)
    shares = np.divide(_totals(times, gold * leading), of_class, out=np.full_like(of_class, np.nan), where=of_class > 0)
    return np.asarray(np.mean(shares, axis=-1))


def _totals(times: Floats, columns: Floats) -> Floats:
    # Not by matrix product: threads of a linear algebra library cost more than these sums where they find no free core.
    totals: Floats = np.einsum("...p,...pk->...k", times, columns)
    return totals


def _macro_f1(leading: Floats, patterns: Floats, times: Floats, *, ties: Ties) -> Floats:
    gold = gold_shares(patterns, ties)
    if times.ndim == 1:
        return np.asarray(_f1(gold, leading, times))
    each = leading if leading.ndim == 3 else [leading] * len(times)
    return np.array([_f1(gold, one, weights) for one, weights in zip(each, times, strict=True)])


@lru_cache(maxsize=4)
def _quadrature(n: int) -> tuple[Floats, Floats]:
    """Nodes and weights of Gauss and Laguerre, which cost more than their use."""
    nodes, weights = np.polynomial.laguerre.laggauss(n)
    return nodes, weights


def _f1(gold: Floats, leading: Floats, times: Floats) -> float:
    """The integral over v = c u, c the expected t + s: then exp(v) x integrand is nearly constant."""
    of_class = _totals(times, gold)
    if not (of_class > 0).all():
        return float("nan")
    counted = of_class + _totals(times, leading)
    found, many = np.empty(len(counted)), counted >= _MANY
    for classes, n in ((~many, _LAGUERRE), (many, _LAGUERRE // 4)):
        if not classes.any():
            continue
        nodes, weights = _quadrature(n)
        z = np.exp(-nodes[:, None] / counted[classes])
        log_product, hits = -nodes[:, None] * of_class[classes] / counted[classes], np.zeros_like(z)
        step = max(1, _HELD // z.size)
        for start in range(0, len(gold), step):
            here = slice(start, start + step)
            p, w = leading[here][:, classes], times[here]
            factors = (1 - p) + z[:, None] * p  # above 0 even where p is 1 and z all but 0
            log_product += np.einsum("zpk,p->zk", np.log(factors), w)
            hits += z * np.einsum("pk,zpk->zk", w[:, None] * gold[here][:, classes] * p, 1 / factors)
        found[classes] = (
            2 / counted[classes] * np.einsum("z,zk->k", weights, np.exp(nodes[:, None] + log_product) * hits)
        )
    return float(np.mean(found))
