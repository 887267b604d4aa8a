"""Texts as sets of character 5-grams, and the exact Jaccard similarity of pairs of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dfar_toolkit.tables import normalised_text

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    SetMatrix = csr_array[np.int32, tuple[int, int]]

SHINGLE: Final = 5  # characters
_MAX_CODE: Final = 0x110000
_PAIRS_AT_ONCE: Final = 200_000


def comparison_text(text: pl.Expr) -> pl.Expr:
    """The normalised text; where nothing is left of it (only emoji, only punctuation), the text as it is.

    Example:
        >>> pl.DataFrame({"t": ["I lied!", "😀"]}).select(comparison_text(pl.col("t"))).to_series().to_list()
        ['i lied', '😀']
    """
    normal = normalised_text(text)
    return pl.when(normal == "").then(text).otherwise(normal)


def jaccard(left: pl.Series, right: pl.Series) -> NDArray[np.float64]:
    """Jaccard similarity of the character 5-gram sets of texts in the same row: ``|A & B| / |A | B|``.

    A text shorter than 5 characters is one shingle, the whole text. Nothing is normalised here.

    Args:
        left: Texts, (n,).
        right: Texts, (n,).

    Returns:
        Similarities between 0 and 1, (n,).

    Example:
        >>> jaccard(pl.Series(["abcdef"]), pl.Series(["abcdeg"])).round(4).tolist()
        [0.3333]
    """
    n = left.len()
    sets = shingle_sets(pl.concat([left.rename("t"), right.rename("t")]))
    return set_jaccard(sets, np.arange(n), np.arange(n, 2 * n))


def shingle_sets(texts: pl.Series) -> SetMatrix:
    """Membership matrix (n texts, n distinct shingles) of zeros and ones; ids are exact, not hashes."""
    from scipy.sparse import csr_array

    codes, offsets, positions = _positions(texts)
    if len(positions) == 0:
        return cast("SetMatrix", csr_array((texts.len(), 0), dtype=np.int32))
    ids = _dense_ids(codes, positions)
    n_ids = int(ids.max()) + 1
    key = np.repeat(np.arange(texts.len(), dtype=np.int64), np.diff(offsets)) * n_ids + ids
    key.sort()
    key = key[np.concatenate(([True], key[1:] != key[:-1]))]
    row, column = np.divmod(key, n_ids)
    indptr = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=texts.len()))))
    ones = np.ones(len(key), dtype=np.int32)
    return cast("SetMatrix", csr_array((ones, column, indptr), shape=(texts.len(), n_ids)))


def set_jaccard(sets: SetMatrix, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    """Jaccard similarity of rows ``a`` and ``b`` of a membership matrix, (n pairs,)."""
    size = np.diff(sets.indptr)
    out = np.empty(len(a))
    for lo in range(0, len(a), _PAIRS_AT_ONCE):
        i, j = a[lo : lo + _PAIRS_AT_ONCE], b[lo : lo + _PAIRS_AT_ONCE]
        both = np.asarray(sets[i].multiply(sets[j]).sum(axis=1), dtype=np.float64).ravel()
        out[lo : lo + len(i)] = both / (size[i] + size[j] - both)
    return out


def shingle_hashes(texts: pl.Series) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """64-bit hashes of all shingles, one text after the other, and where each text begins, (n + 1,)."""
    codes, offsets, positions = _positions(texts)
    wide = codes.astype(np.uint64)
    first = wide[:-4] | (wide[1:-3] << np.uint64(21)) | (wide[2:-2] << np.uint64(42))
    mixed = mix64(first) + (wide[3:-1] | (wide[4:] << np.uint64(21)))
    return mix64(mixed)[positions], offsets.astype(np.uint64)


def mix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection of 64-bit words that spreads every input bit over all output bits (splitmix64's finaliser)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _positions(texts: pl.Series) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    """Code points of all texts (each followed by a NUL), shingles per text as offsets, start of each shingle."""
    padded = texts.str.pad_end(SHINGLE, "\0")
    length = padded.str.len_chars().to_numpy().astype(np.int64)
    joined = "\0".join(padded.to_list()) + "\0" * SHINGLE
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    count = length - (SHINGLE - 1)
    offsets = np.concatenate(([0], np.cumsum(count))).astype(np.int64)
    starts = np.concatenate(([0], np.cumsum(length + 1)))[:-1].astype(np.int64)
    positions = np.arange(offsets[-1], dtype=np.int64) + np.repeat(starts - offsets[:-1], count)
    return codes, offsets, positions


def _dense_ids(codes: NDArray[np.uint32], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Equal integers for equal shingles: base-A numbers where they fit 63 bits, else through ranks of bigrams."""
    present = np.zeros(_MAX_CODE, dtype=np.int64)
    present[codes] = 1
    rank = np.cumsum(present) - 1
    base = int(rank[-1]) + 1
    c = rank[codes]
    if base**SHINGLE < 2**63:
        gram = c[:-4].copy()
        for k in range(1, SHINGLE):
            gram *= base
            gram += c[k : len(c) - 4 + k]
        gram = gram[positions]
    else:
        values, bigram = np.unique(c[:-1] * base + c[1:], return_inverse=True)
        four = np.unique(bigram[:-2] * len(values) + bigram[2:], return_inverse=True)[1]
        gram = (four[: len(c) - 4] * base + c[4:])[positions]
    return np.unique(gram, return_inverse=True)[1].astype(np.int64)
