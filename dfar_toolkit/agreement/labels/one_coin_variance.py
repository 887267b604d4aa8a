r"""How far the accuracies of the one-coin model would move with other items: the delta method through EM.

At its fixed point EM is a map $\theta = M(\theta)$ of $\theta = (a, p)$, accuracies and class shares. Giving unit i a
little more weight moves M by $u_i$, so the fixed point moves by $(I - J)^{-1} u_i$ with $J = \partial M / \partial
\theta$: what the ratings say of the unknown labels is in J, and counting expected hits as if the labels were known
would leave it out. The variance is the sum over units of the squares of these moves (the infinitesimal jackknife).

With $T_{ik}$ the posterior, $T_e$ that of the value rating e gave, $q = 1 - a$ and $n_r$ the ratings of rater r,

    $\partial T_{ik} / \partial a_s = T_{ik} \frac{1}{a_s q_s} \sum_{f \in (i, s)} (1[v_f = k] - T_f)$
    $\partial T_{ik} / \partial p_c = T_{ik} (1[k = c] - T_{ic}) / p_c$

so J is made of products of sparse tables. Time grows with items x (ratings of an item) squared, plus raters cubed.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import scipy.sparse as sparse

from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.labels.hit_rates import Sets
from dfar_toolkit.agreement.labels.one_coin import Fit, log_joint
from dfar_toolkit.agreement.labels.responses import Responses

RATERS: Final = 3000  # raters up to which the variance is computed: a dense matrix of raters by raters
_EDGE: Final = 1e-9  # an accuracy this near to 0 or 1 stays there
_LOOSE: Final = 1e3  # an answer this many times the push means that nothing holds the number
_NONE: Final = 0.05  # expected hits, or misses, below which a set is at its bound


class Tables(NamedTuple):
    """Expected hits of sets: root of the posterior by (item and value, set), and posterior by (item, set)."""

    roots: Any
    hits: Any


def expected_hits(responses: Responses, fit: Fit) -> Floats:
    """The posterior of the value that each rating gave (E,)."""
    found: Floats = fit.posterior[responses.item, responses.value]
    return found


def accuracy_variances(responses: Responses, fit: Fit, sets: Sets) -> Floats:
    """Variance of each set's share of expected hits (S,), its labels being inferred from the same ratings.

    Args:
        responses: The ratings, without repeats.
        fit: The one-coin model at its fixed point.
        sets: The set of each rating, and the unit it lies in; ratings of one item lie in one unit.

    Returns:
        The variances; ``nan`` where they cannot be had: the model does not determine its numbers.
    """
    n_raters, n_items = len(responses.raters), len(responses.items)
    raters = Sets(responses.rater, n_raters, sets.unit_of, sets.unit)
    of_raters, of_sets = _tables(responses, fit, raters), _tables(responses, fit, sets)
    by_rater, by_class = _derivatives(responses, fit, of_raters, of_raters, raters)
    pull = np.hstack([by_rater, by_class])
    shares = _by_value(responses, fit, raters)
    posterior, prior = fit.posterior, _inverse(fit.prior)
    among = (np.diag(posterior.sum(axis=0)) - posterior.T @ posterior) * prior / n_items
    of_prior = np.hstack([(shares * _pull_of_rater(fit)[:, None]).T / n_items, among])
    jacobian = np.vstack([pull, of_prior])
    direct = np.hstack(_derivatives(responses, fit, of_sets, of_raters, sets))
    try:
        indirect = np.linalg.solve((np.eye(len(jacobian)) - jacobian).T, direct.T).T
    except np.linalg.LinAlgError:
        return np.full(sets.n_sets, np.nan)
    # Where a whole curve of accuracies fits alike the ratings may not pull along it, and the variance would look small.
    scale = np.sqrt(np.concatenate([fit.accuracy * (1 - fit.accuracy), fit.prior]))
    loose = np.linalg.norm(indirect * scale, axis=1) > _LOOSE
    moves = np.hstack([np.eye(sets.n_sets), indirect])
    covariance, n_units = _scatter(responses, fit, sets, raters)
    variance: Floats = np.einsum("st,tu,su->s", moves, covariance, moves, optimize=True)
    return np.where(loose | (n_units < 2), np.nan, variance * n_units / max(n_units - 1, 1))


def information_at_bounds(responses: Responses, fit: Fit, sets: Sets) -> Floats:
    r"""Of sets with no expected miss, or no expected hit: how many ratings with known labels would say as much (S,).

    At its bound the variance is 0 and says nothing. With $t_e$ the chance that rating e is right in the eyes of the
    other ratings of its item, the log-likelihood $\sum_e \log(a t_e + (1 - a)(1 - t_e) / (V - 1))$ leaves $a = 1$ with
    the slope $\sum_e (1 - \frac{1 - t_e}{(V - 1) t_e})$, which is n where all labels are known; at $a = 0$ likewise.

    Returns:
        The slope, at most n, times units / n: ratings of one unit count once. ``nan`` for sets that are not at a bound.
    """
    ratings = sets.sums(np.ones(len(sets.of)))
    hits = sets.sums(expected_hits(responses, fit))
    above, below = ratings - hits < _NONE, hits < _NONE
    seen = _seen_by_others(responses, fit)
    others = max(len(responses.values) - 1, 1)
    with np.errstate(divide="ignore"):
        from_one = sets.sums(1 - (1 - seen) / (others * seen))
        from_zero = sets.sums(1 - others * seen / (1 - seen))
    slope = np.where(above, from_one, np.where(below, from_zero, np.nan))
    found: Floats = np.minimum(slope, ratings) * sets.n_units() * _inverse(ratings)
    return found


def _seen_by_others(responses: Responses, fit: Fit) -> Floats:
    """The posterior of the value that each rating gave, without that rating (E,)."""
    accuracy = np.clip(fit.accuracy, _EDGE, 1 - _EDGE)  # finite, so that a rating can be taken off again
    right, wrong = np.log(accuracy), np.log1p(-accuracy)
    with np.errstate(divide="ignore"):
        joint = log_joint(responses, right, wrong) + np.log(fit.prior)
    logs = joint[responses.item]
    share = wrong - np.log(max(len(responses.values) - 1, 1))
    logs -= share[responses.rater][:, None]
    logs[np.arange(len(logs)), responses.value] -= (right - share)[responses.rater]
    logs -= logs.max(axis=1, keepdims=True)
    odds = np.exp(logs)
    found: Floats = odds[np.arange(len(odds)), responses.value] / odds.sum(axis=1)
    return found


def _inverse(numbers: Floats) -> Floats:
    """1 / x, and 0 where x is 0: what stays at its bound does not move."""
    return np.divide(1.0, numbers, out=np.zeros_like(numbers), where=numbers > 0)


def _pull_of_rater(fit: Fit) -> Floats:
    inside = (fit.accuracy > _EDGE) & (fit.accuracy < 1 - _EDGE)
    return _inverse(np.where(inside, fit.accuracy * (1 - fit.accuracy), 0.0))


def _tables(responses: Responses, fit: Fit, sets: Sets) -> Tables:
    n_items, n_values = len(responses.items), len(responses.values)
    hits = expected_hits(responses, fit)
    cell = responses.item * n_values + responses.value
    return Tables(
        sparse.csr_array((np.sqrt(hits), (cell, sets.of)), shape=(n_items * n_values, sets.n_sets)),
        sparse.csr_array((hits, (responses.item, sets.of)), shape=(n_items, sets.n_sets)),
    )


def _by_value(responses: Responses, fit: Fit, sets: Sets) -> Floats:
    """Sum of T_e (1[v_e = k] - T_ik) over the ratings of each set (S, V)."""
    n_values, hits = len(responses.values), expected_hits(responses, fit)
    own = np.bincount(sets.of * n_values + responses.value, weights=hits, minlength=sets.n_sets * n_values)
    all_of_it = np.column_stack([sets.sums(hits * fit.posterior[responses.item, k]) for k in range(n_values)])
    found: Floats = own.reshape(-1, n_values) - all_of_it
    return found


def _derivatives(responses: Responses, fit: Fit, left: Tables, raters: Tables, sets: Sets) -> tuple[Floats, Floats]:
    """How each set's share of expected hits answers to the accuracies (S, R) and to the class shares (S, V)."""
    per_rating = _inverse(sets.sums(np.ones(len(sets.of))))[:, None]
    gram = (left.roots.T @ raters.roots - left.hits.T @ raters.hits).toarray()
    by_rater: Floats = gram * per_rating * _pull_of_rater(fit)
    by_class: Floats = _by_value(responses, fit, sets) * per_rating * _inverse(fit.prior)
    return by_rater, by_class


def _scatter(responses: Responses, fit: Fit, sets: Sets, raters: Sets) -> tuple[Floats, int]:
    """Sum over units of the products of what each unit does directly to sets, raters and class shares; units."""
    hits = expected_hits(responses, fit)
    unit_of_item: Ints = np.zeros(len(responses.items), dtype=np.int64)
    unit_of_item[responses.item] = sets.unit_of
    n_units = int(unit_of_item.max()) + 1
    parts = []
    for those in (sets, raters):
        per_rating = _inverse(those.sums(np.ones(len(hits))))
        rate = those.sums(hits) * per_rating
        weights = (hits - rate[those.of]) * per_rating[those.of]
        parts.append(sparse.csr_array((weights, (those.unit_of, those.of)), shape=(n_units, those.n_sets)))
    classes = (fit.posterior - fit.prior) / len(responses.items)
    belongs = sparse.csr_array(
        (np.ones(len(unit_of_item)), (unit_of_item, np.arange(len(unit_of_item)))),
        shape=(n_units, len(unit_of_item)),
    )
    work = sparse.hstack([*parts, sparse.csr_array(belongs @ classes)], format="csr")
    return (work.T @ work).toarray(), n_units
