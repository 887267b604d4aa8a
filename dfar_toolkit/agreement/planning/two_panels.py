r"""Two panels of k raters on one item: how often their majority labels are the same, and how often a panel is tied.

Given that the 2k votes of both panels together are t (V,), every split into two halves is equally likely, so the
chances are sums over the splits a of t with $|a| = k$, each of weight $\prod_c \binom{t_c}{a_c} / \binom{2k}{k}$. They
depend on t only; what t is comes from the item's own ratings without replacement, or from the Dirichlet-multinomial.
A tie is broken by lot, so panels with $L_1$ and $L_2$ values in the lead agree with chance
$|L_1 \cap L_2| / (|L_1| |L_2|)$.
"""

from __future__ import annotations

from functools import reduce
from math import comb
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.planning.dirichlet_multinomial import Dirichlets, Prior, vote_scale, vote_weights

_VOTES: Final = 10_000  # vectors of votes listed; where there are more, as many are drawn
_CELLS: Final = 4_000_000  # chances held at once


class PairedVotes(NamedTuple):
    """Votes ``votes`` (T, V) of 2k raters and, for each, the chances (T, 2): same label, first panel tied.

    ``proposal`` (T,) is the chance with which each was drawn, where they are a sample, else None: all there are.
    """

    votes: Ints
    chances: Floats
    proposal: Floats | None


def split_chances(votes: Ints) -> Floats:
    """Same majority label (ties by lot), first half tied: chances over the splits of votes (T, V): (T, 2)."""
    ordered = -np.sort(-votes, axis=1)  # the names of the values do not matter
    distinct, place = np.unique(ordered, axis=0, return_inverse=True)
    return np.array([_split(row[row > 0]) for row in distinct]).reshape(-1, 2)[place.ravel()]


def _split(total: Ints) -> Floats:
    from scipy.special import comb as combinations

    size = int(total.sum()) // 2
    first = sub_votes(total, size)
    weight = np.prod(combinations(total, first), axis=1) / comb(2 * size, size)
    one, other = (half == half.max(axis=1, keepdims=True) for half in (first, total - first))
    leaders = one.sum(axis=1)
    same = (one & other).sum(axis=1) / (leaders * other.sum(axis=1))
    return np.array([weight @ same, weight[leaders > 1].sum()])


def sub_votes(total: Ints, size: int) -> Ints:
    """Every way to take ``size`` of the votes ``total`` (V,), as votes (A, V)."""
    rows = np.zeros((1, 0), dtype=np.int64)
    rest = int(total.sum())
    for most in total.tolist():
        rest -= most
        left = size - rows.sum(axis=1)
        low, high = np.maximum(0, left - rest), np.minimum(most, left)
        many = np.maximum(high - low + 1, 0)
        own = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many) + np.repeat(low, many)
        rows = np.column_stack([np.repeat(rows, many, axis=0), own])
    return rows


def list_votes(prior: Prior, size: int, seed: int) -> PairedVotes:
    """The votes two panels of ``size`` can give: all of them, or a sample where they are too many.

    Args:
        prior: One prior (leading axis 1), from which a sample is drawn.
        size: Raters of a panel.
        seed: Seed of the sample.

    Returns:
        The votes with their chances.
    """
    n_values, n = prior.mean.shape[1], 2 * size
    if comb(n + n_values - 1, n) <= _VOTES:
        votes = sub_votes(np.full(n_values, n, dtype=np.int64), n)
        return PairedVotes(votes, split_chances(votes), None)
    rng = np.random.default_rng(seed)
    share = _shares(prior, rng)
    votes = rng.multinomial(n, share).astype(np.int64)
    return PairedVotes(votes, split_chances(votes), _vote_chances(prior, votes)[0])


def _shares(prior: Prior, rng: np.random.Generator) -> Floats:
    """Items' shares drawn from the prior."""
    mean, rho = prior.mean[0], float(prior.rho[0])
    if rho == 0:
        return np.broadcast_to(mean, (_VOTES, len(mean)))
    return rng.dirichlet(mean * (1 - rho) / rho, _VOTES)


def _vote_chances(prior: Prior, votes: Ints) -> Floats:
    """Chance of votes (T, V) under each prior (B,): (B, T)."""
    n = int(votes[0].sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        items = Dirichlets(prior.mean, prior.rho / (1 - prior.rho))
        weights = vote_weights(items, n)
        most = np.argsort(-votes, axis=1, kind="stable")[:, :n]  # at most n values have a vote
        given = np.take_along_axis(votes, most, axis=1)
        by_value = (weights[:, value, many] for value, many in zip(most.T, given.T, strict=True))
        chances: Floats = reduce(np.multiply, by_value) * vote_scale(items, n)[:, None]
    return chances


def expected_chances(prior: Prior, listed: PairedVotes) -> Floats:
    """The two chances for a random item under each prior (B, 2); certain agreement where rho is 1."""
    n_priors = len(prior.rho)
    found = np.empty((n_priors, 2))
    step = max(1, _CELLS // len(listed.votes))
    for at in range(0, n_priors, step):
        here = slice(at, at + step)
        weight = _vote_chances(Prior(prior.mean[here], prior.alpha[here], prior.rho[here]), listed.votes)
        if listed.proposal is not None:
            weight = weight / listed.proposal
            weight = weight / weight.sum(axis=1, keepdims=True)
        found[here] = weight @ listed.chances
    found[prior.rho == 1] = [1.0, 0.0]
    return found


def observed_chances(votes: Floats, size: int, *, seed: int) -> tuple[Floats, bool]:
    """The two chances for two panels drawn from each item's own raters (N, 2), and whether some were sampled.

    Args:
        votes: Votes of items with at least twice ``size`` ratings (N, V).
        size: Raters of a panel.
        seed: Seed of the samples, for items whose panels are too many to list.

    Returns:
        The chances; exact (hypergeometric) but for items with more than 10,000 different pairs of panels.
    """
    from scipy.special import comb as combinations

    ordered = -np.sort(-votes.astype(np.int64), axis=1)
    distinct, place = np.unique(ordered, axis=0, return_inverse=True)
    rng = np.random.default_rng(seed)
    found, sampled = np.empty((len(distinct), 2)), False
    for k, row in enumerate(distinct):
        total = row[row > 0]
        if np.prod(np.minimum(total, 2 * size).astype(np.float64) + 1) > _VOTES:
            sampled = True
            drawn = rng.multivariate_hypergeometric(total, 2 * size, size=_VOTES // 5).astype(np.int64)
            found[k] = split_chances(drawn).mean(axis=0)
        else:
            taken = sub_votes(total, 2 * size)
            weight: npt.NDArray[np.float64] = np.prod(combinations(total, taken), axis=1)
            found[k] = weight @ split_chances(taken) / weight.sum()
    return found[place.ravel()], sampled
