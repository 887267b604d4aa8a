r"""How an item's raters vote: the Dirichlet-multinomial model behind all that is said about panels not yet asked.

Item u has its own shares of values $p_u$ (V,), and its raters vote independently given them:

    $p_u \sim \mathrm{Dirichlet}(s \pi)$,   $n_u \mid p_u \sim \mathrm{Multinomial}(m_u, p_u)$

with $\pi$ (V,) the pooled shares and $s = (1 - \rho) / \rho$. Two raters of an item then agree with probability
$\sum_c \pi_c^2 + \rho (1 - \sum_c \pi_c^2)$, so $\rho$ is the population value of nominal alpha (and of Fleiss' kappa),
and alpha is its estimate by moments. After $n_u$ is seen, $p_u \sim \mathrm{Dirichlet}(s \pi + n_u)$. The plain shares
$n_u / m_u$ would say that an item with three of three votes has no dissenters; this posterior does not.

Everything is kept in $\rho$ and in means, so that $\rho = 0$ (all items alike) needs no infinite s.

Reference:
    Mosimann (1962), Biometrika 49:65-82 (the compound multinomial); Skellam (1948), J. R. Stat. Soc. B 10:257-261
    (two values: the beta-binomial).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from dfar_toolkit.agreement.cells import Cells
from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.errors import TableError

VALUES: Final = 200  # values up to which votes are laid out as items by values
NO_PAIRS: Final = "no item has two or more ratings, so nothing says how far people differ on an item"
ONE_VALUE: Final = "only one value is in use, so nothing says how far people differ on an item"
NO_DISSENT: Final = "no two ratings of an item differ, so nothing says how far a fresh panel would"
BELOW_CHANCE: Final = "agreement is not above chance: every item is taken to have the pooled shares"


class Prior(NamedTuple):
    """``mean`` (..., V): pooled shares; ``alpha`` (...): nominal alpha; ``rho`` (...): alpha cut to [0, 1]."""

    mean: Floats
    alpha: Floats
    rho: Floats


class Dirichlets(NamedTuple):
    """Dirichlet distributions: ``mean`` (P, V) of row sum 1; ``spread`` (P,) is 1 / (sum of parameters), 0 for none."""

    mean: Floats
    spread: Floats


def vote_table(cells: Cells) -> Floats:
    """How often each item got each value (N, V).

    Raises:
        TableError: More than 200 distinct values: labels by vote need few.
    """
    n_items, n_values = len(cells.items), len(cells.values)
    if n_values > VALUES:
        raise TableError(
            f"a vote among raters takes at most {VALUES} distinct values; found {n_values}; "
            f"cut the values into classes first."
        )
    flat = np.bincount(cells.item * n_values + cells.value, minlength=n_items * n_values)
    return flat.reshape(n_items, n_values).astype(np.float64)


def prior_rows(votes: Floats) -> Floats:
    r"""Rows (N, 1 + 2V) whose sums give the prior: $(m^2 - \sum n_c^2) / (m - 1)$, $n_c$ where $m \ge 2$, $n_c$."""
    m = votes.sum(axis=1, keepdims=True)
    pairable = m >= 2
    within = (m**2 - (votes**2).sum(axis=1, keepdims=True)) / np.where(pairable, m - 1, 1.0)
    return np.hstack([np.where(pairable, within, 0.0), np.where(pairable, votes, 0.0), votes])


def prior_of_sums(sums: Floats) -> Prior:
    r"""The prior by moments from column sums (B, 1 + 2V) of :func:`prior_rows`.

    $\pi_c$ is value c's share of all ratings, and $\rho$ is Krippendorff's nominal alpha of the items with two or more.
    """
    n_values = (sums.shape[1] - 1) // 2
    paired, every = sums[:, 1 : 1 + n_values], sums[:, 1 + n_values :]
    n = paired.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = 1 - (n - 1) * sums[:, 0] / (n**2 - (paired**2).sum(axis=1))
        mean = every / every.sum(axis=1, keepdims=True)
    return Prior(mean, alpha, np.clip(alpha, 0.0, 1.0))


def fit_prior(votes: Floats) -> tuple[Prior, str]:
    """The prior of a table of votes (N, V) with leading axis 1, and why it is undefined, or ""."""
    prior = prior_of_sums(prior_rows(votes).sum(axis=0, keepdims=True))
    if not (votes.sum(axis=1) >= 2).any():
        return prior, NO_PAIRS
    if np.isnan(prior.alpha[0]):
        return prior, ONE_VALUE
    return prior, NO_DISSENT if prior.alpha[0] == 1 else ""


def posterior(prior: Prior, votes: Floats) -> Dirichlets:
    r"""$\mathrm{Dirichlet}(s \pi + n)$ of items with votes n (P, V), each with its prior or all with the one."""
    rho = prior.rho[:, None]
    total = (1 - rho) + rho * votes.sum(axis=1, keepdims=True)
    mean = ((1 - rho) * prior.mean + rho * votes) / total
    spread: Floats = np.broadcast_to(rho / total, (len(mean), 1))[:, 0]
    return Dirichlets(mean, spread)


def vote_weights(items: Dirichlets, size: int) -> Floats:
    r"""$w_c(i) = \prod_{j < i} (\mu_c + j r) / (j + 1)$ for i up to ``size`` (P, V, size + 1).

    The chance of votes n from a panel of k is $\prod_c w_c(n_c)$ times :func:`vote_scale`: the Dirichlet-multinomial
    with mean $\mu$ and spread r, the multinomial at r = 0.
    """
    j = np.arange(size)
    steps = (items.mean[:, :, None] + j * items.spread[:, None, None]) / (j + 1)
    return np.concatenate([np.ones((*items.mean.shape, 1)), np.cumprod(steps, axis=2)], axis=2)


def vote_scale(items: Dirichlets, size: int) -> Floats:
    r"""$k! / \prod_{j < k} (1 + j r)$ (P,)."""
    j = np.arange(size)
    scale: Floats = np.prod((j + 1) / (1 + j * items.spread[:, None]), axis=1)
    return scale
