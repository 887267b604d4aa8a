r"""The chance of each option to be the most probable one under a Dirichlet distribution.

Shares $q \sim$ Dirichlet(a) are independent Gamma($a_k$, 1) variables divided by their sum, so option k leads with

    $\pi_k = \int_0^\infty f(t; a_k) \prod_{j \neq k} F(t; a_j) \, dt$

with f and F density and distribution function of Gamma(shape, 1). For K = 2 this is $P(B > 1/2)$, B ~ Beta($a_1, a_2$).
In $x = \log t$ the integrand is entire and dies out on both sides, so the plain trapezoidal rule converges
exponentially: the error here is below 1e-8. Cost: some 20 values of F per row and option.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from dfar_toolkit.estimate import Floats

_TAIL: Final = 1e-10  # mass left out on either side; a rival below it is no rival
_SPACING: Final = 0.7  # of the nodes, in units of the width of a log gamma variable
_NODES: Final = 400_000  # nodes held at once


def top_probabilities(shapes: Floats) -> Floats:
    """Chance of each option to have the largest share (P, K), from shapes (P, K) above 0 of Dirichlet distributions.

    Example:
        Beta(2, 1) has the distribution function b^2: 1 - 1/4 lies above one half.

        >>> top_probabilities(np.array([[2.0, 1.0]])).round(12).tolist()
        [[0.75, 0.25]]
        >>> top_probabilities(np.array([[3.0, 3.0, 3.0]])).round(9).tolist()
        [[0.333333333, 0.333333333, 0.333333333]]
    """
    from scipy.special import betainc

    if shapes.shape[1] == 2:
        a, b = shapes.T
        return np.column_stack([betainc(b, a, 0.5), betainc(a, b, 0.5)])
    top, leader = shapes.max(axis=1), shapes.argmax(axis=1)
    rivals = betainc(top[:, None], shapes, 0.5)
    rivals[np.arange(len(shapes)), leader] = 0.0
    found = np.zeros_like(shapes)
    found[np.arange(len(shapes)), leader] = 1.0
    open_rows = np.flatnonzero(rivals.sum(axis=1) > _TAIL)
    if len(open_rows):
        low, step, nodes = _grid(top[open_rows])
        ends = np.cumsum(nodes)
        for part in np.split(np.arange(len(nodes)), np.searchsorted(ends, np.arange(_NODES, ends[-1], _NODES))):
            found[open_rows[part]] = _integrals(shapes[open_rows[part]], low[part], step[part], nodes[part])
    return found


def _grid(top: Floats) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """First node, spacing and number of nodes in log t, by the largest shape of each row.

    The largest variable lies above the lower quantile of the one with the largest shape, and below the upper one.
    """
    from scipy.special import gammainccinv, gammaincinv

    low, high = np.log(gammaincinv(top, _TAIL)), np.log(gammainccinv(top, _TAIL))
    step = _SPACING / np.sqrt(top + 3)  # + 3: a small shape falls off as exp(-pi w / 2) times a power of w
    return low, step, np.ceil((high - low) / step).astype(np.int64) + 1


def _integrals(shapes: Floats, low: Floats, step: Floats, nodes: npt.NDArray[np.int64]) -> Floats:
    from scipy.special import gammainc, gammaln

    if not len(shapes):
        return np.empty_like(shapes)
    starts = np.cumsum(nodes) - nodes
    row = np.repeat(np.arange(len(shapes)), nodes)
    x = low[row] + step[row] * (np.arange(len(row)) - starts[row])
    at, t = shapes[row], np.exp(x)[:, None]
    below = gammainc(at, t)
    density = np.exp(at * x[:, None] - t - gammaln(shapes)[row])
    ahead = np.ones_like(below)  # product of the others, from both sides: no division by a small F
    ahead[:, 1:] *= np.cumprod(below[:, :-1], axis=1)
    ahead[:, :-1] *= np.cumprod(below[:, :0:-1], axis=1)[:, ::-1]
    totals = np.add.reduceat(density * ahead, starts, axis=0)
    chances: Floats = totals / totals.sum(axis=1, keepdims=True)
    return chances
