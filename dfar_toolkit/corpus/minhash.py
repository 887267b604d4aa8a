"""MinHash banding: which texts are worth comparing, and how many true pairs that loses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dfar_toolkit.corpus.shingles import mix64, shingle_hashes

Progress = Callable[[int, int], None]

N_PERM: Final = 128
RECALL: Final = 0.995
_TEXTS_AT_ONCE: Final = 10_000
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)


class Bands(NamedTuple):
    """``bands`` groups of ``rows`` MinHash values; texts that agree on one whole band become a candidate pair."""

    bands: int
    rows: int


def lsh_recall(similarity: float, *, bands: int, rows: int) -> float:
    """Probability that a pair of Jaccard similarity s becomes a candidate: ``1 - (1 - s^rows)^bands``.

    Example:
        >>> round(lsh_recall(0.8, bands=21, rows=6), 4)
        0.9983
    """
    return float(1.0 - (1.0 - similarity**rows) ** bands)


def lsh_bands(threshold: float) -> Bands:
    """The most selective banding of 128 MinHash values whose recall at ``threshold`` is at least .995.

    Below a threshold of about .05 no banding reaches that; 128 bands of one value are the best there is.

    Example:
        >>> lsh_bands(0.8)
        Bands(bands=21, rows=6)
    """
    for rows in range(16, 1, -1):
        bands = N_PERM // rows
        if lsh_recall(threshold, bands=bands, rows=rows) >= RECALL:
            return Bands(bands, rows)
    return Bands(N_PERM, 1)


def band_hashes(
    texts: pl.Series, *, shape: Bands, seed: int = 0, progress: Progress | None = None
) -> NDArray[np.uint64]:
    """One 64-bit hash per band and text, (bands, n): equal hashes mean equal bands (but for 2^-64).

    Example:
        >>> hashes = band_hashes(pl.Series(["one and the same", "one and the same", "another"]), shape=Bands(2, 3))
        >>> bool((hashes[:, 0] == hashes[:, 1]).all()), bool((hashes[:, 0] == hashes[:, 2]).any())
        (True, False)
    """
    from rensa import RMinHash

    out = np.empty((shape.bands, texts.len()), dtype=np.uint64)
    for lo in range(0, texts.len(), _TEXTS_AT_ONCE):
        hashes, offsets = shingle_hashes(texts.slice(lo, _TEXTS_AT_ONCE))
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, shape.bands * shape.rows, seed)
        digest = np.array(matrix.to_rows(), dtype=np.uint64).reshape(-1, shape.bands, shape.rows)
        mixed = np.zeros(digest.shape[:2], dtype=np.uint64)
        for k in range(shape.rows):
            mixed = mix64(mixed * _STEP + digest[:, :, k] + np.uint64(1))
        hi = lo + len(digest)
        out[:, lo:hi] = mixed.T
        if progress is not None:
            progress(hi, texts.len())
    return out
