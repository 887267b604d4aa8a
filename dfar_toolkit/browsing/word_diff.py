"""Two texts side by side: which of their words are the same, in the same order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dfar_toolkit.spans import word_spans

LONGEST: Final = 2000  # words of each text that are compared
_EDGES: Final = re.compile(r"^\W+|\W+$")


class DiffPiece(NamedTuple):
    """A stretch of a text, blanks after its words included, and whether the other text has these words too."""

    text: str
    same: bool


class WordDiff(NamedTuple):
    """Both texts in pieces, which put together give the text as far as it was compared.

    ``n_first`` and ``n_second`` count the words compared, ``n_same`` those that both have; ``cut`` says whether a text
    is longer than what was compared.
    """

    first: tuple[DiffPiece, ...]
    second: tuple[DiffPiece, ...]
    n_same: int
    n_first: int
    n_second: int
    cut: bool


def word_diff(first: str, second: str, *, longest: int = LONGEST) -> WordDiff:
    """The longest sequence of words that two texts share, and what is left of each.

    Words are equal where they are so without letter case and punctuation around them; in scripts without blanks each
    character is a word. Time and memory grow with the product of both lengths: 2,000 words each take some hundredths
    of a second.

    Args:
        first: A text.
        second: Another.
        longest: Words of each that are compared; what follows them is left out.

    Returns:
        Pieces of both, in order.

    Example:
        >>> found = word_diff("He lied to her.", "He never lied.")
        >>> [piece.text for piece in found.first if not piece.same], [p.text for p in found.second if not p.same]
        (['to her.'], ['never '])
        >>> found.n_same, found.n_first, found.n_second
        (2, 4, 3)
    """
    words = [_words(text, longest) for text in (first, second)]
    keys = [[_key(word) for word in own] for own, _ in words]
    common = _common(*keys)
    pieces = [
        _pieces(own, {pair[side] for pair in common}) for side, (own, _) in enumerate(words)
    ]  # fmt: skip
    (a, cut_a), (b, cut_b) = words
    return WordDiff(pieces[0], pieces[1], len(common), len(a), len(b), cut_a or cut_b)


def _words(text: str, longest: int) -> tuple[list[str], bool]:
    """Words with the blanks after them, those at the beginning with the first one; and whether there are more."""
    spans = word_spans(text, unit="characters")
    begins = [0, *(start for start, _ in spans[1 : longest + 1])]
    ends = [*begins[1:], len(text)]
    cut = len(spans) > longest
    parts = [text[start:end] for start, end in zip(begins, ends, strict=True)]
    return (parts[:longest] if spans else []), cut


def _key(word: str) -> str:
    plain = word.strip().casefold()
    return _EDGES.sub("", plain) or plain


def _common(first: Sequence[str], second: Sequence[str]) -> list[tuple[int, int]]:
    """Places of a longest common subsequence."""
    codes: dict[str, int] = {}
    a, b = (np.array([codes.setdefault(key, len(codes)) for key in keys], np.int64) for keys in (first, second))
    begin = _equal_run(a, b)
    end = _equal_run(a[begin:][::-1], b[begin:][::-1])
    inner_a, inner_b = a[begin : len(a) - end], b[begin : len(b) - end]
    pairs = [(at, at) for at in range(begin)]
    pairs += [(i + begin, j + begin) for i, j in _aligned(inner_a, inner_b)]
    return pairs + [(len(a) - at, len(b) - at) for at in range(end, 0, -1)]


def _equal_run(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> int:
    """How many places from the beginning are equal."""
    n = min(len(a), len(b))
    different = np.flatnonzero(a[:n] != b[:n])
    return int(different[0]) if len(different) else n


def _aligned(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    # lengths[i, j] of the first i and j words; within a row the running maximum stands for the step to the left.
    lengths: npt.NDArray[np.int32] = np.zeros((len(a) + 1, len(b) + 1), np.int32)
    for i, code in enumerate(a):
        reached: npt.NDArray[Any] = np.maximum(lengths[i, 1:], lengths[i, :-1] + (b == code))
        lengths[i + 1, 1:] = np.maximum.accumulate(reached)
    pairs = []
    i, j = len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif lengths[i - 1, j] >= lengths[i, j - 1]:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]


def _pieces(words: Sequence[str], shared: set[int]) -> tuple[DiffPiece, ...]:
    found: list[DiffPiece] = []
    for at, word in enumerate(words):
        same = at in shared
        if found and found[-1].same == same:
            found[-1] = DiffPiece(found[-1].text + word, same)
        else:
            found.append(DiffPiece(word, same))
    return tuple(found)
