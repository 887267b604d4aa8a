"""Maximum likelihood of the Bradley-Terry model, many data sets at once, and for which runs it exists."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from dfar_toolkit.estimate import Floats

_STEPS: Final = 100
_LARGEST: Final = 2.0  # longest Newton step: keeps far starts from overshooting
_TOLERANCE: Final = 1e-10


def fit_strengths(wins: Floats) -> Floats:
    """Log strengths with mean 0 by Newton's method.

    Args:
        wins: Wins of each player over each (B, K, K); a tie is half a win of both.

    Returns:
        Strengths (B, K); ``nan`` where they do not exist: some players only win or only lose against the rest.
    """
    n, k = wins.shape[0], wins.shape[1]
    strengths = np.full((n, k), np.nan)
    if k < 2:
        return np.zeros((n, k))
    left = np.flatnonzero(_connected(wins))
    strengths[left] = 0.0
    for _ in range(_STEPS):
        if not len(left):
            return strengths
        here, now = wins[left], strengths[left]
        games = here + here.transpose(0, 2, 1)
        chance = 1.0 / (1.0 + np.exp(now[:, None, :] - now[:, :, None]))
        gradient = (here - games * chance).sum(axis=2)
        # The information is singular along equal shifts; adding a constant there leaves the step's mean at 0.
        square = information(here, now) + 1.0 / k
        step = np.linalg.solve(square, gradient[:, :, None])[:, :, 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        strengths[left] = now + step * np.minimum(1.0, _LARGEST / np.maximum(longest, _LARGEST / 2))
        left = left[longest[:, 0] > _TOLERANCE]
    strengths[left] = np.nan
    return strengths


def information(wins: Floats, strengths: Floats) -> Floats:
    """The information (B, K, K) of games under strengths (B, K): a Laplacian."""
    games = wins + wins.transpose(0, 2, 1)
    chance = 1.0 / (1.0 + np.exp(strengths[:, None, :] - strengths[:, :, None]))
    found = -games * chance * (1 - chance)
    place = np.arange(wins.shape[1])
    found[:, place, place] = 0.0
    found[:, place, place] = -found.sum(axis=2)
    return found


def largest_connected(wins: Floats) -> npt.NDArray[np.int64]:
    """The players (sorted) of the largest set in which a chain of wins leads from each to each.

    Args:
        wins: Wins of each player over each (K, K).

    Returns:
        Their numbers; of several such sets the one that was in more games, then the one with the first player. A
        single player is no such set: empty.
    """
    if not len(wins):
        return np.empty(0, dtype=np.int64)
    reach = _reach(wins[None])[0]
    both = reach & reach.T
    games = wins.sum(axis=0) + wins.sum(axis=1)
    sets = {tuple(np.flatnonzero(row)) for row in both}
    best = max(sets, key=lambda s: (len(s), games[list(s)].sum(), -s[0]))
    return np.array(best if len(best) > 1 else [], dtype=np.int64)


def _connected(wins: Floats) -> npt.NDArray[np.bool_]:
    """Whether a chain of wins leads from each player to each (B,)."""
    return np.asarray(_reach(wins).all(axis=(1, 2)))


def _reach(wins: Floats) -> npt.NDArray[np.bool_]:
    """Whether a chain of wins leads from one player to another (B, K, K), by squaring."""
    k = wins.shape[1]
    reach = ((wins > 0) | np.eye(k, dtype=bool)).astype(np.float32)
    for _ in range(max(1, int(np.ceil(np.log2(k))))):
        reach = (reach @ reach > 0).astype(np.float32)
    return reach > 0
