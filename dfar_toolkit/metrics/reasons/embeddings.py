r"""Cosine of sentence embeddings, with whatever model the user has: arrays or a callable in, no model here.

For embeddings $u, v$ (D,): $\cos = u \cdot v / (|u| |v|)$, in [-1, 1]. Two sentences of one topic are close whatever
they claim ("ethical" and "unethical" too), so the value means little without floor and ceiling. Different texts are
embedded once, in batches; a matrix costs N M D multiplications.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.reasons.text_overlap import Overlap

Embed = Callable[[Sequence[str]], npt.ArrayLike]  # T texts -> (T, D)


def cosine_matrix(left: npt.ArrayLike, right: npt.ArrayLike) -> Floats:
    """Cosine of every row of one array with every row of another.

    Args:
        left: Embeddings (N, D).
        right: Embeddings (M, D).

    Returns:
        (N, M) in [-1, 1].

    Undefined:
        A vector of zeros has no direction: ``nan``.

    Raises:
        ValueError: The arrays are not two-dimensional or their widths differ.
        TableError: A number is not finite.

    Example:
        >>> cosine_matrix([[3.0, 4.0]], [[1.0, 0.0], [0.0, 2.0]]).round(12).tolist()
        [[0.6, 0.8]]
    """
    a, b = _unit("cosine_matrix", left), _unit("cosine_matrix", right)
    _check_widths("cosine_matrix", a, b)
    cosines: Floats = np.clip(a @ b.T, -1.0, 1.0)
    return cosines


def cosine_pairs(left: npt.ArrayLike, right: npt.ArrayLike) -> Floats:
    """Cosine of the rows of two arrays, row by row.

    Args:
        left: Embeddings (P, D).
        right: Embeddings (P, D).

    Returns:
        (P,) in [-1, 1].

    Undefined:
        A vector of zeros: ``nan``.

    Raises:
        ValueError: The shapes differ.
        TableError: A number is not finite.

    Example:
        >>> cosine_pairs([[1.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]]).round(3).tolist()
        [0.707, nan]
    """
    a, b = _unit("cosine_pairs", left), _unit("cosine_pairs", right)
    _check_widths("cosine_pairs", a, b)
    if len(a) != len(b):
        raise ValueError(f"cosine_pairs: {len(a)} and {len(b)} embeddings; give pairs, or take cosine_matrix")
    cosines: Floats = np.clip(np.einsum("pd,pd->p", a, b), -1.0, 1.0)
    return cosines


def embedding_overlap(embed: Embed, *, batch_size: int = 256, name: str = "embedding_cosine") -> Overlap:
    """A pairwise score from a user's embedding model, for every function that takes an overlap metric.

    Args:
        embed: T texts -> embeddings (T, D); the ``encode`` of a sentence-transformers model will do.
        batch_size: Most texts handed to ``embed`` at once. Shorter texts come first, so that batches pad little.
        name: Name of the metric in tables.

    Returns:
        A function of P candidates and P references that gives (P,) cosines; different texts are embedded once.

    Raises:
        ValueError: ``batch_size`` is below 1; when called, ``embed`` does not give one row per text.
        TableError: When called, an embedding has a number that is not finite.

    Example:
        >>> lengths = embedding_overlap(lambda texts: [[len(t), 1.0] for t in texts])
        >>> lengths(["ab", "abc"], ["xy", "x"]).round(3).tolist()
        [1.0, 0.894]
    """
    if batch_size < 1:
        raise ValueError(f"embedding_overlap: batch_size must be at least 1, found {batch_size}")

    def scores(candidates: Sequence[str], references: Sequence[str]) -> Floats:
        texts = sorted({*candidates, *references}, key=lambda t: (len(t), t))
        place = {text: row for row, text in enumerate(texts)}
        vectors = _embedded(embed, texts, batch_size)
        left, right = ([place[t] for t in side] for side in (candidates, references))
        return cosine_pairs(vectors[left], vectors[right]) if texts else np.empty(0)

    scores.__name__ = name
    return scores


def stored_overlap(texts: Sequence[str], vectors: npt.ArrayLike, *, name: str = "embedding_cosine") -> Overlap:
    """A pairwise score from embeddings computed elsewhere.

    Args:
        texts: T texts, every one that will be compared.
        vectors: Their embeddings (T, D).
        name: Name of the metric in tables.

    Returns:
        A function of P candidates and P references that gives (P,) cosines.

    Raises:
        ValueError: Not one embedding per text; when called, a text has none.

    Example:
        >>> stored_overlap(["a", "b"], [[1.0, 0.0], [0.0, 1.0]])(["a", "a"], ["a", "b"]).tolist()
        [1.0, 0.0]
    """
    matrix = np.asarray(vectors, dtype=np.float64)
    if len(matrix) != len(texts):
        raise ValueError(f"stored_overlap: {len(texts)} texts, {len(matrix)} embeddings; give one per text")
    place = {text: row for row, text in enumerate(texts)}

    def scores(candidates: Sequence[str], references: Sequence[str]) -> Floats:
        unknown = next((t for t in (*candidates, *references) if t not in place), None)
        if unknown is not None:
            raise ValueError(f"stored_overlap: every text needs an embedding; there is none for {unknown[:60]!r}")
        return cosine_pairs(matrix[[place[c] for c in candidates]], matrix[[place[r] for r in references]])

    scores.__name__ = name
    return scores


def _embedded(embed: Embed, texts: list[str], batch_size: int) -> Floats:
    parts = []
    for start in range(0, len(texts), batch_size):
        batch = texts[start : start + batch_size]
        part = np.asarray(embed(batch), dtype=np.float64)
        if part.ndim != 2 or len(part) != len(batch):
            raise ValueError(f"embedding_overlap: embed must give one row per text ({len(batch)}), found {part.shape}")
        parts.append(part)
    return np.concatenate(parts) if parts else np.empty((0, 1))


def _unit(name: str, vectors: npt.ArrayLike) -> Floats:
    """Rows of length 1; ``nan`` for a row of zeros."""
    matrix = np.asarray(vectors, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"{name}: embeddings must be an array (texts, width), found shape {matrix.shape}")
    bad = ~np.isfinite(matrix).all(axis=1)
    if bad.any():
        raise TableError(f"{name}: embeddings must be finite; {int(bad.sum())} rows are not, first row {bad.argmax()}.")
    largest = np.abs(matrix).max(axis=1, keepdims=True) if matrix.shape[1] else np.zeros((len(matrix), 1))
    # Scaled by the largest number first, so that squares neither overflow nor vanish.
    scaled = np.divide(matrix, largest, out=np.full_like(matrix, np.nan), where=largest > 0)
    unit: Floats = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return unit


def _check_widths(name: str, a: Floats, b: Floats) -> None:
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"{name}: embeddings of widths {a.shape[1]} and {b.shape[1]}; one model makes both")
