"""Areas under precision-recall and ROC curves of many short texts at once; equal scores are one threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.rationale.ragged_rows import Bools, Ints, row_numbers, row_order, row_sums, starts_of


class CurveAreas(NamedTuple):
    """Of each of R texts (R,): area under the precision-recall curve by trapezoids, average precision, ROC area."""

    auprc: Floats
    average_precision: Floats
    roc_auc: Floats


def curve_areas(positive: Bools, scores: Floats, sizes: Ints) -> CurveAreas:
    r"""The three areas of R texts laid end to end.

    At each threshold $s$ (a distinct score of the text, falling), with $t$ marked words of $m$ with a score of at
    least s, and $g$ marked of $n$ in all: precision $p = t / m$, recall $r = t / g$ (1 where g = 0), false positives
    $m - t$. Before the first threshold $p = 1$, $r = 0$.

    Args:
        positive: Whether the word is marked (V,).
        scores: Scores (V,).
        sizes: Words of each text (R,).

    Returns:
        The areas; average precision and ROC are ``nan`` where all words are marked or none, all three without words.

    Example:
        >>> found = curve_areas(np.array([True, False]), np.array([0.5, 0.5]), np.array([2]))
        >>> [float(area[0]) for area in found]
        [0.75, 0.5, 0.5]
    """
    n_rows, row = len(sizes), row_numbers(sizes)
    order = row_order(-scores, sizes)
    hit, score = positive[order], scores[order]
    starts = starts_of(sizes)
    cumulated = np.concatenate([[0], np.cumsum(hit)])
    last = np.ones(len(row), dtype=np.bool_)
    last[:-1] = (row[1:] != row[:-1]) | (score[1:] != score[:-1])
    at = np.flatnonzero(last)
    of = row[at]
    t = (cumulated[at + 1] - cumulated[starts[of]]).astype(np.float64)
    m = (at + 1 - starts[of]).astype(np.float64)
    g = row_sums(row, positive, n_rows)
    first = np.ones(len(at), dtype=np.bool_)
    first[1:] = of[1:] != of[:-1]
    precision = t / m
    recall = np.divide(t, g[of], out=np.ones(len(at)), where=g[of] > 0)
    p0, r0, t0, f0 = (_previous(x, first, start) for x, start in ((precision, 1), (recall, 0), (t, 0), (m - t, 0)))
    auprc = row_sums(of, (recall - r0) * (precision + p0) / 2, n_rows)
    average = row_sums(of, (recall - r0) * precision, n_rows)
    area = row_sums(of, (m - t - f0) * (t + t0) / 2, n_rows)
    both = (g > 0) & (g < sizes)
    auprc[sizes == 0] = np.nan
    average[~both] = np.nan
    roc = np.divide(area, g * (sizes - g), out=np.full(n_rows, np.nan), where=both)
    return CurveAreas(auprc, average, roc)


def _previous(x: Floats, first: Bools, start: float) -> Floats:
    """The value at the threshold before, or ``start``."""
    before = np.concatenate([[start], x[:-1]])[: len(x)]
    return np.where(first, start, before)
