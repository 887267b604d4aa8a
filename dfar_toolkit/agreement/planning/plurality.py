r"""The chance that one value alone gets most votes of a panel, exactly, by products of small polynomials.

The votes of a Dirichlet-multinomial (or multinomial) panel have probability $C \prod_c w_c(n_c)$, so the chance that
value c has j votes and every other value fewer is the coefficient of $x^k$ in

    $C \, w_c(j) x^j \prod_{d \ne c} \sum_{i < j} w_d(i) x^i$

and that c alone leads is its sum over j. A panel of several groups of raters has one variable per group, and j counts
votes of all groups together. Cost: items x values x $k \prod_g (k_g + 1)^2$ multiplications.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Final

import numpy as np
import numpy.typing as npt

from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.planning.dirichlet_multinomial import Dirichlets, vote_scale, vote_weights

PANEL: Final = 100  # raters of a panel: beyond, factorials leave the range of floats
_CELLS: Final = 4_000_000  # numbers held in one table of weights: 32 MB

_Index = tuple[int, ...]


def lone_winners(groups: Sequence[Dirichlets], sizes: Sequence[int]) -> Floats:
    """The chance that each value alone gets most votes (P, V); what is missing to 1 is the chance of a tie.

    Args:
        groups: For each group of raters the items' distributions (P, V).
        sizes: How many raters of each group sit on the panel.

    Returns:
        Chances (P, V).

    Example:
        Two values, each with share 1/2, three raters: each leads in half of all panels.

        >>> half = Dirichlets(np.array([[0.5, 0.5]]), np.zeros(1))
        >>> lone_winners([half], [3]).tolist(), lone_winners([half], [2]).tolist()
        ([[0.5, 0.5]], [[0.25, 0.25]])
    """
    n_items, n_values = groups[0].mean.shape
    step = max(1, _CELLS // (n_values * int(np.prod([size + 1 for size in sizes]))))
    parts = [
        _winners([Dirichlets(g.mean[at : at + step], g.spread[at : at + step]) for g in groups], sizes)
        for at in range(0, n_items, step)
    ]
    return np.concatenate(parts) if parts else np.empty((0, n_values))


def _winners(groups: Sequence[Dirichlets], sizes: Sequence[int]) -> Floats:
    weights = reduce(_outer, (vote_weights(g, size) for g, size in zip(groups, sizes, strict=True)))
    scale = np.prod([vote_scale(g, size) for g, size in zip(groups, sizes, strict=True)], axis=0)
    n_values, panel = weights.shape[1], sum(sizes)
    votes: npt.NDArray[np.int64] = np.indices([size + 1 for size in sizes]).sum(axis=0)
    chance = np.zeros(weights.shape[:2])
    for j in range(1, panel + 1):
        if (n_values - 1) * (j - 1) >= panel - j:  # else somebody else must reach j too
            chance += _leads_with(weights, votes, j)
    chance *= scale[:, None]
    return chance


def _outer(left: Floats, right: Floats) -> Floats:
    """Weights of two groups of raters together: (P, V, ...) and (P, V, k + 1) -> (P, V, ..., k + 1)."""
    wide: Floats = left[..., None] * right.reshape(*right.shape[:2], *[1] * (left.ndim - 2), right.shape[2])
    return wide


def _leads_with(weights: Floats, votes: npt.NDArray[np.int64], j: int) -> Floats:
    """Unscaled chance that a value leads alone with j votes (P, V)."""
    n_values = weights.shape[1]
    fewer = [tuple(index) for index in np.argwhere(votes < j).tolist()]
    exactly = [tuple(index) for index in np.argwhere(votes == j).tolist()]
    one = np.zeros((len(weights), *votes.shape))
    one.reshape(len(weights), -1)[:, 0] = 1.0
    after = [one]
    for value in range(n_values - 1, 0, -1):
        after.append(_times(after[-1], weights[:, value], fewer))
    before, chance = one, np.empty(weights.shape[:2])
    axes = tuple(range(1, votes.ndim + 1))
    for value in range(n_values):
        own = _times(before, weights[:, value], exactly)
        chance[:, value] = (own * np.flip(after[n_values - 1 - value], axes)).sum(axis=axes)
        before = _times(before, weights[:, value], fewer)
    return chance


def _times(left: Floats, right: Floats, terms: Sequence[_Index]) -> Floats:
    """Product of polynomials, of the second only the given terms, up to the panel's degrees."""
    out = np.zeros_like(left)
    flat = right.reshape(len(right), -1)
    for term in terms:
        place = int(np.ravel_multi_index(term, right.shape[1:]))
        shifted = (slice(None), *(slice(i, None) for i in term))
        kept = (slice(None), *(slice(None, size - i) for size, i in zip(left.shape[1:], term, strict=True)))
        out[shifted] += left[kept] * flat[:, place].reshape(-1, *[1] * (left.ndim - 1))
    return out


def vote_leader(votes: Floats) -> npt.NDArray[np.int64]:
    """Index of the value that alone has most votes (N,), -1 where several share the lead or nobody voted."""
    most = votes.max(axis=1, keepdims=True, initial=0.0)
    found: npt.NDArray[np.int64] = np.where((votes == most).sum(axis=1) == 1, votes.argmax(axis=1), -1)
    return found


def check_panel(function: str, size: object) -> int:
    """A panel's size, or a refusal."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or not 1 <= size <= PANEL:
        raise ValueError(f"{function}: a panel has 1 to {PANEL} raters, found {size!r}")
    return int(size)
