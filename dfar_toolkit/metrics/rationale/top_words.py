"""The words with the highest scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.rationale.ragged_rows import Bools, Ints, row_numbers, row_order, starts_of


def top_k_mask(scores: npt.ArrayLike, k: int, *, positive_only: bool = False) -> Bools:
    """The k words of a text with the highest scores; of equal scores those that stand first.

    Args:
        scores: One number per word (n,).
        k: Number of words; all where there are fewer.
        positive_only: Whether words with a score of 0 or below are never chosen, so that there may be fewer than k.

    Returns:
        Whether each word is chosen (n,).

    Raises:
        ValueError: k is below 0, or a score is no finite number.

    Example:
        >>> top_k_mask([0.1, 0.5, 0.1, -1.0], 2).tolist()
        [True, True, False, False]
        >>> top_k_mask([-0.1, 0.5, -0.1], 2, positive_only=True).tolist()
        [False, True, False]
    """
    x = np.asarray(scores, dtype=np.float64).ravel()
    if k < 0:
        raise ValueError(f"top_k_mask: k must be at least 0, found {k}")
    if not np.isfinite(x).all():
        raise ValueError(f"top_k_mask: scores must be finite; {int((~np.isfinite(x)).sum())} of {len(x)} are not")
    return top_words(x, np.array([len(x)]), np.array([k]), positive_only=positive_only)


def top_words(scores: Floats, sizes: Ints, k: Ints, *, positive_only: bool = False) -> Bools:
    """As :func:`top_k_mask`, for R texts laid end to end.

    Args:
        scores: One number per word (V,).
        sizes: Words of each text (R,).
        k: How many words of each text (R,).
        positive_only: As there.

    Returns:
        Whether each word is chosen (V,).
    """
    row = row_numbers(sizes)
    order = row_order(-scores, sizes)  # stable: of equal scores the first position wins
    rank = np.arange(len(row)) - starts_of(sizes)[row]
    chosen = np.zeros(len(row), dtype=np.bool_)
    chosen[order] = rank < k[row]
    return chosen & (scores > 0) if positive_only else chosen
