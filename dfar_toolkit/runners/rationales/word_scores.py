"""From scores of tokens to scores of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from dfar_toolkit.estimate import Floats
from dfar_toolkit.runners.rationales.explaining import Reduction

# Methods whose scores have a sign, and so can be added up: a token for the label and one against it balance.
SIGNED: Final = ("input_x_gradient", "integrated_gradients")


class WordScores(NamedTuple):
    """One number per word, and the number of words that no token touches, which have 0."""

    scores: tuple[float, ...]
    n_untouched: int


def reduction_of(method: str, asked: Reduction | None) -> Reduction:
    """How tokens of a method become words: as asked, else ``sum`` for scores with a sign and ``max`` for others.

    Example:
        >>> reduction_of("integrated_gradients", None), reduction_of("attention", None)
        ('sum', 'max')
    """
    if asked is not None:
        return asked
    return "sum" if method in SIGNED else "max"


def word_scores(
    tokens: Sequence[float], shares: Sequence[tuple[int, int, float]], n_words: int, reduction: Reduction
) -> WordScores:
    r"""One score per word from the scores of tokens.

    With $a_t$ the score of token t and $s_{tw}$ the share of its characters that lies in word w: ``sum`` is
    $\sum_t s_{tw} a_t$, so that nothing is counted twice; ``mean`` is $\sum_t s_{tw} a_t / \sum_t s_{tw}$; ``max`` is
    the largest $a_t$ of the tokens that touch the word; ``max_abs`` that of the largest size, with its sign (of
    several that of the first token).

    Args:
        tokens: $a$, one number per token, (T,).
        shares: Triples of token, word and share, as :func:`~dfar_toolkit.spans.unit_shares` gives them.
        n_words: Number of words, W.
        reduction: Which of these.

    Returns:
        The scores, (W,), and how many words no token touches: their score is 0.

    Example:
        The second token lies half in each word: (4 + 2/2, 2/2 - 3).

        >>> shares = [(0, 0, 1.0), (1, 0, 0.5), (1, 1, 0.5), (2, 1, 1.0)]
        >>> word_scores([4.0, 2.0, -3.0], shares, 3, "sum")
        WordScores(scores=(5.0, -2.0, 0.0), n_untouched=1)
        >>> word_scores([4.0, 2.0, -3.0], shares, 3, "max_abs").scores
        (4.0, -3.0, 0.0)
    """
    if not shares:
        return WordScores((0.0,) * n_words, n_words)
    at, word, share = (np.asarray(column) for column in zip(*shares, strict=True))
    score = np.asarray(tokens, dtype=np.float64)[at]
    weight = np.bincount(word, share, n_words)
    touched = np.bincount(word, minlength=n_words) > 0
    found: Floats = np.zeros(n_words)
    if reduction in ("sum", "mean"):
        found = np.asarray(np.bincount(word, share * score, n_words), dtype=np.float64)
        found = np.divide(found, weight, out=found, where=touched) if reduction == "mean" else found
    else:
        size = np.abs(score) if reduction == "max_abs" else score
        order = np.lexsort((at, -size, word))  # of each word the largest first, of equals the first token
        words, first = np.unique(word[order], return_index=True)
        found[words] = score[order][first]
    return WordScores(tuple(found.tolist()), int((~touched).sum()))
