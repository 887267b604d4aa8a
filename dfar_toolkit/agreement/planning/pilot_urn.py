r"""Data sets a pilot leads one to expect: its items drawn again, their new ratings from an urn that knows the old ones.

A drawn item u has pilot ratings $n_u$ ($m_u$ of them). Its K new ratings come from a Polya urn: rating k + 1 is, with
chances in proportion,

    a value of the pool (weight $1 - \rho$), a pilot rating of the item (weight $\rho$ each, $m_u$ of them),
    or a copy of one of the k ratings drawn before (weight $\rho$ each)

which is the Dirichlet-multinomial with the item's posterior $\mathrm{Dirichlet}(s \pi + n_u)$, $s = (1 - \rho) / \rho$;
the pool is a random rating of a random item. $\rho = 1$ would redraw the item's own shares, which overstates agreement
(a pair "a, a" would never part again); $\rho = 0$ forgets the item. Under the model two new ratings of item u are c and
another value k with chance

    $A_c A_k / (T (T + \rho))$,   $A = (1 - \rho) \pi + \rho n_u$,   $T = (1 - \rho) + \rho m_u$

so the statistic's population value is a function of $\rho$ alone, and $\rho$ is chosen such that it equals the pilot's
value: the simulated statistic is unbiased for the pilot's, up to the statistic's own bias of order 1 / items.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dfar_toolkit.agreement.counting import Floats, Ints


class Pilot(NamedTuple):
    """Pairable items of a pilot.

    ``value`` (E,) are the ratings, those of item u from ``start[u]`` on, ``size[u]`` of them; ``position`` (V,) the
    places of the values on their scale, in order.
    """

    value: Ints
    start: Ints
    size: Ints
    position: Floats

    def owner(self) -> Ints:
        """The item of each rating (E,)."""
        return np.repeat(np.arange(len(self.size)), self.size)

    def pool(self) -> Floats:
        """Shares of the values, every item counting once (V,)."""
        weight = 1 / (self.size[self.owner()] * len(self.size))
        return np.bincount(self.value, weight, len(self.position)).astype(np.float64)


class Drawn(NamedTuple):
    """Simulated data sets: ``value`` (T, K) ratings of T items, the data set ``of`` (T,) each belongs to, of S."""

    value: Ints
    of: Ints
    n_sets: int


def draw_sets(pilot: Pilot, rho: float, *, n_sets: int, n_items: int, n_raters: int, rng: np.random.Generator) -> Drawn:
    """Draw data sets of ``n_items`` items of the pilot, with replacement, and ``n_raters`` new ratings of each.

    Args:
        pilot: The pilot.
        rho: Weight of a rating in the urn against the pool, 0 to 1.
        n_sets: Data sets to draw.
        n_items: Items of each.
        n_raters: Ratings of each item.
        rng: Source of chance.

    Returns:
        The data sets.
    """
    item = rng.integers(0, len(pilot.size), n_sets * n_items)
    of = np.repeat(np.arange(n_sets), n_items)
    return Drawn(_urn(pilot, item, rho, n_raters, rng), of, n_sets)


def _urn(pilot: Pilot, item: Ints, rho: float, n_raters: int, rng: np.random.Generator) -> Ints:
    """New ratings of items (T,): (T, K)."""
    size = pilot.size[item]
    drawn = np.empty((len(item), n_raters), dtype=np.int64)
    for k in range(n_raters):
        ball = rng.random(len(item)) * ((1 - rho) + rho * (size + k)) - (1 - rho)
        new = _from_pool(pilot, rng, len(item))
        place = np.minimum((ball / rho).astype(np.int64) if rho else -1, size + k - 1)
        own = pilot.value[pilot.start[item] + np.clip(place, 0, size - 1)]
        copied = np.take_along_axis(drawn, np.maximum(place - size, 0)[:, None], 1)[:, 0] if k else own
        drawn[:, k] = np.where(ball < 0, new, np.where(place < size, own, copied))
    return drawn


def _from_pool(pilot: Pilot, rng: np.random.Generator, n: int) -> Ints:
    item = rng.integers(0, len(pilot.size), n)
    pooled: Ints = pilot.value[pilot.start[item] + (rng.random(n) * pilot.size[item]).astype(np.int64)]
    return pooled


def expected_shares(pilot: Pilot, rho: float) -> Floats:
    """Shares of the values among new ratings (V,)."""
    total = (1 - rho) + rho * pilot.size
    entries = np.bincount(pilot.value, (rho / total)[pilot.owner()], len(pilot.position))
    shares: Floats = (pilot.pool() * ((1 - rho) / total).sum() + entries) / len(pilot.size)
    return shares


def expected_difference(pilot: Pilot, rho: float, position: Floats | None) -> float:
    r"""Mean squared difference of two new ratings of an item: $(x_c - x_k)^2$, or whether they differ without x."""
    total = (1 - rho) + rho * pilot.size
    pool = pilot.pool()
    if position is None:
        n_values, owner = len(pilot.position), pilot.owner()
        cell, votes = np.unique(owner * n_values + pilot.value, return_counts=True)
        square = np.bincount(cell // n_values, votes.astype(np.float64) ** 2, len(pilot.size))
        shared = np.bincount(owner, pool[pilot.value], len(pilot.size))
        apart = total**2 - (1 - rho) ** 2 * (pool**2).sum() - 2 * rho * (1 - rho) * shared - rho**2 * square
    else:
        owner = pilot.owner()
        x = position - pool @ position
        line = rho * np.bincount(owner, x[pilot.value], len(pilot.size))
        square = (1 - rho) * (pool @ x**2) + rho * np.bincount(owner, x[pilot.value] ** 2, len(pilot.size))
        apart = 2 * (total * square - line**2)
    return float(np.mean(apart / (total * (total + rho))))
