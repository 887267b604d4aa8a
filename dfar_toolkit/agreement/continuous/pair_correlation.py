"""Correlation of two raters' numbers under weights of the items: Pearson's, Spearman's and Kendall's."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from dfar_toolkit.agreement.continuous.rater_pairs import RaterPair
from dfar_toolkit.agreement.continuous.weighted_ranks import Draws, concordance, midranks, untied
from dfar_toolkit.agreement.counting import Floats

Method = Literal["pearson", "spearman", "kendall"]

NAMES: Final = {"pearson": "Pearson's r", "spearman": "Spearman's rho", "kendall": "Kendall's tau-b"}
LEAST: Final = 3  # items both rated: two points always lie on a line

_ROUNDING: Final = 1e-12  # of a sum of squares: what is left below it is rounding


def correlation_of_pair(pair: RaterPair, method: Method) -> Draws:
    """The correlation of a pair of raters: weights (B, n) of the items both rated -> values (B,), ``nan`` if none."""
    if method == "kendall":
        difference, left, right = concordance(pair.x, pair.y), untied(pair.x), untied(pair.y)

        def tau(weights: Floats) -> Floats:
            value: Floats = difference(weights) / np.sqrt(left(weights) * right(weights))
            return value

        return _of_enough(tau)
    if method == "spearman":
        first, second = midranks(pair.x), midranks(pair.y)

        def rho(weights: Floats) -> Floats:
            a, b = first(weights), second(weights)
            shared, own, other = ((weights * p).sum(axis=1) for p in (a * b, a**2, b**2))
            value: Floats = shared / np.sqrt(own * other)
            return value

        return _of_enough(rho)
    return _of_enough(_pearson(pair))


def mean_spearman(table: Floats) -> Draws:
    r"""Mean Spearman correlation of the pairs of raters on complete data (n, R): weights (B, n) -> (B,).

    With each rater's centred ranks scaled to length 1, $z_{ij}$, and d raters whose numbers vary, it is
    $(\sum_i w_i (\sum_j z_{ij})^2 - d) / (d (d - 1))$.
    """
    ranked = [midranks(column) for column in table.T]

    def mean(weights: Floats) -> Floats:
        total, varied = np.zeros_like(weights), np.zeros(len(weights))
        for ranks in ranked:
            r = ranks(weights)
            length = np.sqrt((weights * r**2).sum(axis=1))
            total += r / np.where(length > 0, length, np.inf)[:, None]
            varied += length > 0
        value: Floats = ((weights * total**2).sum(axis=1) - varied) / (varied * (varied - 1))
        return value

    return _of_enough(mean)


def _pearson(pair: RaterPair) -> Draws:
    x, y = (column - np.median(column) if len(column) else column for column in (pair.x, pair.y))
    rows = np.column_stack([np.ones_like(x), x, y, x * x, y * y, x * y])

    def r(weights: Floats) -> Floats:
        n, sx, sy, xx, yy, xy = (weights @ rows).T
        own, other = (np.where(q - s**2 / n > _ROUNDING * q, q - s**2 / n, np.nan) for s, q in ((sx, xx), (sy, yy)))
        value: Floats = (xy - sx * sy / n) / np.sqrt(own * other)
        return value

    return r


def _of_enough(statistic: Draws) -> Draws:
    """The correlation, ``nan`` for fewer than three items; rounding does not take it past 1."""

    def enough(weights: Floats) -> Floats:
        value = np.where(weights.sum(axis=1) >= LEAST, statistic(weights), np.nan)
        return np.clip(value, -1.0, 1.0)

    return enough
