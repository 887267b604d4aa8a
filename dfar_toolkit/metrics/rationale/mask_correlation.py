r"""Rank correlation of a method's scores with the share of people that marked each word, mean over items.

It uses all that people said: a word that two of three marked lies between one that all marked and one that nobody did.
Cost: sorting the words of each item, once more per number of people that marked a word.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.rationale.count_scores import estimate_words
from dfar_toolkit.metrics.rationale.gold_words import GoldWords, against_people
from dfar_toolkit.metrics.rationale.marked_words import MarkedWords
from dfar_toolkit.metrics.rationale.ragged_rows import Ints, row_numbers, row_order, row_sums, starts_of
from dfar_toolkit.metrics.reasons.present_means import mean_present

Coefficient = Literal["spearman", "kendall"]
_NAMES = {"spearman": "Spearman's correlation with people's marks", "kendall": "Kendall's tau-b with people's marks"}


def mask_correlation(
    marked: MarkedWords,
    *,
    method: str | None = None,
    coefficient: Coefficient = "spearman",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Spearman's correlation, or Kendall's tau-b, of scores and mean mask within items, mean over items.

    In an item of n words with scores $s$ and shares of people $m$: Spearman's is Pearson's correlation of the midranks;
    $\tau_b = (C - D) / \sqrt{(n_0 - n_s)(n_0 - n_m)}$ with $C$ concordant and $D$ discordant pairs of words,
    $n_0 = n (n - 1) / 2$ pairs, $n_s$ and $n_m$ tied ones. Higher is better.

    Args:
        marked: Words that people marked and methods scored.
        method: The method; None where there is only one.
        coefficient: ``spearman`` or ``kendall``.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; n counts the items with a correlation.

    Undefined:
        In an item where all scores or all shares are equal; such items are left out and counted.

    Raises:
        ValueError: An unknown method or coefficient.

    Example:
        >>> from dfar_toolkit.metrics.rationale.marked_words import marked_words
        >>> marked = marked_words([[[1, 0, 0], [1, 1, 0]]], scores=[[0.9, 0.5, 0.1]])
        >>> mask_correlation(marked, ci=None).value
        1.0

    Reference:
        Spearman (1904), Am. J. Psychol. 15:72-101; Kendall (1945), Biometrika 33(3):239-251 (tau-b).
    """
    words = against_people(marked, method=method)
    row = mask_correlation_rows(words, coefficient=coefficient)
    return estimate_words(row, words, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def mask_correlation_rows(words: GoldWords, *, coefficient: Coefficient = "spearman") -> Additive:
    """The rows and formula of :func:`mask_correlation`.

    Args:
        words: A method's scores beside people's marks.
        coefficient: As there.

    Returns:
        The additive statistic.
    """
    if coefficient not in get_args(Coefficient):
        raise ValueError(f'mask_correlation: coefficient must be "spearman" or "kendall", found {coefficient!r}')
    correlate = spearman_by_row if coefficient == "spearman" else kendall_by_row
    values = np.where(words.has_scores, correlate(words.scores, words.share, words.sizes), np.nan)
    without = "without scores, or with all scores or all marks equal,"
    name = f"{coefficient}_with_mean_mask"
    return mean_present(name, _NAMES[coefficient], words.per_item(values), without=without, note=words.note)


def spearman_by_row(x: Floats, y: Floats, sizes: Ints) -> Floats:
    """Spearman's correlation of x and y (V,) within each of R rows (R,); ``nan`` where one side is constant.

    Example:
        >>> spearman_by_row(np.array([1.0, 2.0, 3.0, 5.0, 5.0]), np.array([1.0, 3.0, 2.0, 0.0, 1.0]), np.array([3, 2]))
        array([0.5, nan])
    """
    row, n = row_numbers(sizes), len(sizes)
    a, b = (_centred_ranks(z, sizes) for z in (x, y))
    spread = row_sums(row, a * a, n) * row_sums(row, b * b, n)
    found = np.divide(row_sums(row, a * b, n), np.sqrt(spread), out=np.full(n, np.nan), where=spread > 0)
    return np.asarray(np.clip(found, -1.0, 1.0), dtype=np.float64)


def kendall_by_row(x: Floats, y: Floats, sizes: Ints) -> Floats:
    """Kendall's tau-b of x and y (V,) within each of R rows (R,); ``nan`` where one side is constant.

    Words are counted level by level of y, so the cost grows with words times distinct values of y in a row.

    Example:
        >>> kendall_by_row(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]), np.array([3])).round(6).tolist()
        [0.333333]
    """
    row, n, starts = row_numbers(sizes), len(sizes), starts_of(sizes)
    order, below, through = _blocks(x, sizes)
    level = _levels(y, sizes)[order]
    total = np.zeros(len(row))
    for one in range(int(level.max(initial=0))):
        counted = np.concatenate([[0], np.cumsum(level == one)])
        before = counted[below] - counted[starts[row]]
        after = counted[starts[row + 1]] - counted[through]
        total += np.where(level > one, before - after, 0)
    pairs = sizes * (sizes - 1) / 2
    free = [pairs - _tied_pairs(z, sizes) for z in (x, y)]
    bottom = np.sqrt(free[0] * free[1])
    found = np.divide(row_sums(row, total, n), bottom, out=np.full(n, np.nan), where=bottom > 0)
    return np.asarray(np.clip(found, -1.0, 1.0), dtype=np.float64)


def _blocks(x: Floats, sizes: Ints) -> tuple[Ints, Ints, Ints]:
    """The order of x within rows; per place in it, where its block of equal values begins and ends (V,) each."""
    row = row_numbers(sizes)
    order = row_order(x, sizes)
    sorted_x = x[order]
    new = np.ones(len(x), dtype=np.bool_)
    new[1:] = (row[1:] != row[:-1]) | (sorted_x[1:] != sorted_x[:-1])
    starts = np.flatnonzero(new)
    block = np.cumsum(new) - 1
    ends = np.concatenate([starts[1:], [len(x)]]).astype(np.int64)
    return order, starts[block], ends[block]


def _centred_ranks(x: Floats, sizes: Ints) -> Floats:
    """Midranks within rows less their mean, exact halves (V,)."""
    row = row_numbers(sizes)
    order, begin, end = _blocks(x, sizes)
    ranks = np.empty(len(x))
    ranks[order] = (begin + end - 1) / 2 - starts_of(sizes)[row] - (sizes[row] - 1) / 2
    return ranks


def _levels(x: Floats, sizes: Ints) -> Ints:
    """Number of the distinct value within the row, rising from 0 (V,)."""
    row = row_numbers(sizes)
    order, begin, _ = _blocks(x, sizes)
    place = np.arange(len(x))
    new = np.cumsum(begin == place)
    levels = np.empty(len(x), dtype=np.int64)
    levels[order] = new - new[starts_of(sizes)[row]] if len(x) else new
    return levels


def _tied_pairs(x: Floats, sizes: Ints) -> Floats:
    """Pairs of equal values of each row (R,)."""
    row = row_numbers(sizes)
    _, begin, end = _blocks(x, sizes)
    return row_sums(row, (end - begin - 1) / 2, len(sizes))
