r"""The chance of each option to be the most probable one under a Dirichlet distribution.

Shares $q \sim$ Dirichlet(a) are independent Gamma($a_k$, 1) variables divided by their sum, so option k leads with

    $\pi_k = \int_0^\infty f(t; a_k) \prod_{j \neq k} F(t; a_j) \, dt$

with f and F density and distribution function of Gamma(shape, 1). For K = 2 this is $P(B > 1/2)$, B ~ Beta($a_1, a_2$).
In $x = \log t$ the integrand is entire and dies out on both sides, so the plain trapezoidal rule converges
exponentially: the error here is below 1e-9. Rows whose largest shapes are alike share their nodes, so F costs what the
distinct shapes cost: votes up to n on K options have K (n + 1) of them, however many rows. The products over options
are linear in K for each row: where alpha is fitted again to each of B resamples, B times the distinct rows of votes
times K times some 50 to 100 nodes, which is most of what the ceilings of very many options cost.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dfar_toolkit.estimate import Floats

_TAIL: Final = 1e-10  # mass left out on either side
_SPACING: Final = 0.6  # of the nodes, in units of the width of a log gamma variable
_BANDS: Final = 2.0  # of the largest shapes that share nodes, per unit of their square root
_NODES: Final = 400_000  # nodes held at once


def top_probabilities(shapes: Floats) -> Floats:
    """Chance of each option to have the largest share, from shapes (..., K) above 0 of Dirichlet distributions.

    Example:
        Beta(2, 1) has the distribution function b^2: 1 - 1/4 lies above one half.

        >>> top_probabilities(np.array([[2.0, 1.0]])).round(12).tolist()
        [[0.75, 0.25]]
        >>> top_probabilities(np.array([[3.0, 3.0, 3.0]])).round(9).tolist()
        [[0.333333333, 0.333333333, 0.333333333]]
    """
    width = shapes.shape[-1]
    rows = shapes.reshape(-1, width)
    if width == 2:
        return _two(rows).reshape(shapes.shape)
    top = rows.max(axis=1)
    band = np.floor(_BANDS * np.sqrt(top))  # rows of one band share their nodes
    order = np.argsort(band, kind="stable")
    found = np.empty_like(rows, dtype=np.float64)
    for part in np.split(order, np.flatnonzero(np.diff(band[order])) + 1) if len(order) else []:
        x = _nodes(float(top[part].min()), float(top[part].max()))
        step = max(1, _NODES // len(x))
        for start in range(0, len(part), step):
            here = part[start : start + step]
            found[here] = _integrals(rows[here], x)
    return found.reshape(shapes.shape)


def _two(shapes: Floats) -> Floats:
    from scipy.special import betainc

    a, b = shapes.T
    return np.column_stack([betainc(b, a, 0.5), betainc(a, b, 0.5)])


def _nodes(least: float, most: float) -> Floats:
    """Nodes in log t for rows whose largest shapes lie between these.

    The largest variable lies above the lower quantile of the one with the largest shape, and below the upper one.
    """
    from scipy.special import gammainccinv, gammaincinv

    low, high = np.log(gammaincinv(least, _TAIL)), np.log(gammainccinv(most, _TAIL))
    step = _SPACING / np.sqrt(most + 3)  # + 3: a small shape falls off as exp(-pi w / 2) times a power of w
    return np.asarray(low + step * np.arange(np.ceil((high - low) / step) + 1))


def _integrals(shapes: Floats, x: Floats) -> Floats:
    """Chances (P, K) from nodes (G,); f and F once for every shape that occurs."""
    from scipy.special import gammainc, gammaln

    different = np.unique(shapes)
    place, at, t = np.searchsorted(different, shapes.T), different[:, None], np.exp(x)
    below = gammainc(at, t)
    density = np.exp(at * x - t - gammaln(at))
    # f / F stays below the shape, so the product of all F serves every option; where F is 0 there is no mass.
    ratio = np.divide(density, below, out=np.zeros_like(below), where=below > 0)
    product, totals = below[place[0]], np.empty(shapes.shape)
    taken = np.empty_like(product)
    for own in place[1:]:
        product *= np.take(below, own, axis=0, out=taken, mode="clip")
    for own, total in zip(place, totals.T, strict=True):
        np.einsum("pg,pg->p", product, np.take(ratio, own, axis=0, out=taken, mode="clip"), out=total)
    chances: Floats = totals / totals.sum(axis=1, keepdims=True)
    return chances
