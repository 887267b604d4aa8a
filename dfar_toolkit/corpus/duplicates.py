"""Near-duplicate texts: character 5-gram Jaccard, candidates by prefix or MinHash, every reported pair verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dfar_toolkit.corpus.minhash import Progress, band_hashes, lsh_bands
from dfar_toolkit.corpus.shingles import comparison_text, set_jaccard, shingle_sets
from dfar_toolkit.errors import TableError

if TYPE_CHECKING:
    from dfar_toolkit.corpus.shingles import SetMatrix

Search = Literal["auto", "exact", "lsh"]
EXACT_TEXTS: Final = 10_000
EXACT_CHARACTERS: Final = 1_000_000
_PAIRS_AT_ONCE: Final = 5_000_000
_TEXTS_AT_ONCE: Final = 120_000
_REPEATED: Final = 5  # a pair may share several labels, so what is listed may be this much more than distinct pairs


class CrowdedError(TableError):
    """So many texts are alike that comparing all their pairs is out of reach."""


_Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def search_used(texts: pl.Series, *, search: Search = "auto") -> Literal["exact", "lsh"]:
    """Which search :func:`near_duplicate_pairs` runs on these texts: exact where both limits are kept.

    Example:
        >>> search_used(pl.Series(["I lied.", "I told the truth."]))
        'exact'
    """
    if search != "auto":
        return search
    n_characters = int(texts.str.len_chars().sum())
    return "exact" if texts.n_unique() < EXACT_TEXTS and n_characters < EXACT_CHARACTERS else "lsh"


def near_duplicate_pairs(
    texts: pl.DataFrame,
    *,
    key: str = "item_id",
    text: str = "statement",
    threshold: float = 0.8,
    seed: int = 0,
    search: Search = "auto",
    max_pairs: int = 10_000_000,
    window: int | None = None,
    across: str | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Pairs of texts whose character 5-gram Jaccard similarity is at least ``threshold``.

    J(A, B) = |A & B| / |A | B| of the sets of 5-grams of the normalised texts (``tables.normalised_text``; a text of
    which nothing would be left stays as it is). A text shorter than 5 characters is compared as a whole. Texts that
    are equal after normalisation are exact, not near: they are collapsed to the smallest key before the search, so
    that n identical texts cost one, and no pair among them is listed.

    Every reported pair is verified exactly; only recall differs. Below 10,000 distinct texts and a million characters
    (``search="auto"``) candidates come from a prefix filter, which loses nothing: recall 1. From there on they come
    from MinHash banding of 128 values, with recall ``1 - (1 - s^rows)^bands`` for a pair of similarity s: at the
    default threshold 21 bands of 6, hence .9983 at s = .8 and above .999999 at s = .9; for other thresholds the
    banding is the most selective one with recall at least .995 at the threshold. The result does not depend on the
    order of the rows.

    Args:
        texts: One row per text, (n,).
        key: Column that identifies a row.
        text: Column with the text; null counts as empty.
        threshold: Smallest similarity reported, above 0 and at most 1.
        seed: Of the MinHash permutations.
        search: ``exact``, ``lsh``, or ``auto`` for exact on small sets (:func:`search_used`).
        max_pairs: Stop with an error when there are more candidates.
        window: Compare a text only with so many that follow it (by key) among those that look alike. For sets of
            thousands of variations of one template, where all pairs are out of reach: the pairs are then a sample.
        across: Boolean column of two sides: only pairs of one text of each are sought, ``a`` false and ``b`` true, and
            equal texts on both sides are a pair of similarity 1. Cost then hangs on what the sides share.
        progress: Called with (texts done, texts in all).

    Returns:
        Frame ``a, b, similarity``, a < b, sorted, (n pairs, 3).

    Raises:
        ValueError: The threshold is out of range.
        TableError: A column is missing.
        CrowdedError: The texts are so alike that candidates exceed ``max_pairs``; a TableError.

    Example:
        >>> frame = pl.DataFrame({"item_id": ["p", "q", "r"], "statement": [
        ...     "I returned the lost wallet to the old man next door.",
        ...     "I returned the lost wallet to the old man next door!!",
        ...     "I returned the lost wallets to the old man next door."]})
        >>> near_duplicate_pairs(frame).with_columns(pl.col("similarity").round(4)).rows()
        [('p', 'r', 0.8235)]

    Reference:
        Broder 1997, On the resemblance and containment of documents; Leskovec, Rajaraman, Ullman, Mining of
        Massive Datasets, section 3.4 (banding); Bayardo, Ma, Srikant 2007 (prefix filter).
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"near_duplicate_pairs: threshold must be above 0 and at most 1, not {threshold}.")
    lost = [c for c in (key, text, across) if c is not None and c not in texts.columns]
    if lost:
        raise TableError(f'near duplicates need the column "{lost[0]}"; found {", ".join(texts.columns)}.')
    distinct = _distinct(texts, key, text, across)
    limits = _Limits(max_pairs, window, None if across is None else distinct["side"].to_numpy())
    if search_used(distinct["text"], search=search) == "exact":
        a, b, similarity = _exact(distinct["text"], threshold, limits, progress)
    else:
        a, b, similarity = _by_lsh(distinct["text"], threshold, seed, limits, progress)
    names = distinct["key"]
    return pl.DataFrame({"a": names.gather(a), "b": names.gather(b), "similarity": similarity}).sort("a", "b")


def _distinct(texts: pl.DataFrame, key: str, text: str, across: str | None) -> pl.DataFrame:
    """Smallest key of each distinct comparison text (of a side), sorted by (side and) key: a < b by position too."""
    side = pl.lit(False) if across is None else pl.col(across)
    plain = texts.select(
        pl.col(key).alias("key"), comparison_text(pl.col(text).fill_null("")).alias("text"), side.alias("side")
    )
    return plain.group_by("text", "side").agg(pl.col("key").min()).sort("side", "key")


class _Limits(NamedTuple):
    max_pairs: int
    window: int | None
    side: NDArray[np.bool_] | None


def _exact(texts: pl.Series, threshold: float, limits: _Limits, progress: Progress | None) -> _Found:
    """Prefix filter: sets with J >= t share one of the ``|A| - ceil(t |A|) + 1`` rarest shingles of each."""
    sets = shingle_sets(texts)
    size = np.diff(sets.indptr).astype(np.int64)
    rarity = np.argsort(np.argsort(np.bincount(sets.indices, minlength=sets.shape[1]), kind="stable"))
    row = np.repeat(np.arange(len(size), dtype=np.int64), size)
    order = np.lexsort((rarity[sets.indices], row))
    place = np.arange(len(row)) - np.repeat(sets.indptr[:-1], size)
    keep = place < (size - np.ceil(threshold * size - 1e-9).astype(np.int64) + 1)[row]
    row, token = row[keep], sets.indices[order][keep]
    by_token = np.argsort(token, kind="stable")
    pairs = _pairs_in_groups(token[by_token], row[by_token], len(size), limits)
    a, b = np.divmod(pairs, max(len(size), 1))
    similar_size = np.minimum(size[a], size[b]) >= threshold * np.maximum(size[a], size[b]) - 1e-9
    found = _verified(sets, a[similar_size], b[similar_size], threshold)
    if progress is not None:
        progress(len(size), len(size))
    return found


def _by_lsh(texts: pl.Series, threshold: float, seed: int, limits: _Limits, progress: Progress | None) -> _Found:
    """MinHash banding, then exact verification on the texts that occur in a candidate pair."""
    n = texts.len()
    pairs = np.empty(0, dtype=np.int64)
    for band in band_hashes(texts, shape=lsh_bands(threshold), seed=seed, progress=progress):
        order = np.argsort(band, kind="stable")
        pairs = _union(pairs, _pairs_in_groups(band[order], order, n, limits))
        _check_crowd(len(pairs), n, limits)
    a, b = np.divmod(pairs, max(n, 1))
    step = len(pairs) if len(_union(a, b)) <= _TEXTS_AT_ONCE else _TEXTS_AT_ONCE // 2
    found = [_verified_in_texts(texts, a[lo : lo + step], b[lo : lo + step], threshold) for lo in _starts(a, step)]
    a, b, similarity = (np.concatenate(column) for column in zip(*found, strict=True))
    return a, b, similarity


def _starts(rows: NDArray[np.int64], step: int) -> range:
    """Where each part begins; one empty part where there is nothing."""
    return range(0, max(len(rows), 1), max(step, 1))


def _verified_in_texts(texts: pl.Series, a: NDArray[np.int64], b: NDArray[np.int64], threshold: float) -> _Found:
    involved = _union(a, b)
    sets = shingle_sets(texts.gather(involved))
    i, j, similarity = _verified(sets, np.searchsorted(involved, a), np.searchsorted(involved, b), threshold)
    return involved[i], involved[j], similarity


def _verified(sets: SetMatrix, a: NDArray[np.int64], b: NDArray[np.int64], threshold: float) -> _Found:
    similarity = set_jaccard(sets, a, b)
    keep = similarity >= threshold
    return a[keep], b[keep], similarity[keep]


def _pairs_in_groups(
    label: NDArray[np.generic], member: NDArray[np.int64], n: int, limits: _Limits
) -> NDArray[np.int64]:
    """All pairs of members with the same label (labels sorted), as sorted distinct ``smaller * n + larger``."""
    if limits.side is not None:
        order = np.lexsort((limits.side[member], label))
        label, member = label[order], member[order]
    begins = np.flatnonzero(np.concatenate(([True], label[1:] != label[:-1]))) if len(label) else np.empty(0, np.int64)
    size = np.diff(np.concatenate((begins, [len(label)])))
    ends, place = np.repeat(begins + size, size), np.arange(len(label))
    first = place + 1  # the first partner of each member; the others follow it in the same group
    if limits.side is not None:
        second = limits.side[member]
        n_second = np.add.reduceat(second.astype(np.int64), begins) if len(label) else size
        first = np.where(second, ends, ends - np.repeat(n_second, size))
    partners = ends - first
    if limits.window is not None:
        partners = np.minimum(partners, limits.window)
    total = int(partners.sum())
    _check_crowd(total // _REPEATED, n, limits)
    out = np.empty(0, dtype=np.int64)
    done = np.concatenate(([0], np.cumsum(partners)))
    for lo in range(0, total, _PAIRS_AT_ONCE):
        pair = np.arange(lo, min(lo + _PAIRS_AT_ONCE, total))
        i = np.searchsorted(done, pair, side="right") - 1
        j = first[i] + (pair - done[i])
        x, y = member[i], member[j]
        out = _union(out, np.minimum(x, y) * n + np.maximum(x, y))
        _check_crowd(len(out), n, limits)
    return out


def _union(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sorted distinct values of both; by sorting, because NumPy's hashing slows down on numbers such as these."""
    both = np.concatenate((a, b))
    both.sort()
    return both[np.concatenate(([True], both[1:] != both[:-1]))] if len(both) else both


def _check_crowd(n_candidates: int, n: int, limits: _Limits) -> None:
    if n_candidates > limits.max_pairs:
        raise CrowdedError(
            f"the search for near duplicates wants texts that differ; found more than {limits.max_pairs} candidate "
            f"pairs among {n} texts: raise the near threshold, or give a window to compare a sample of the pairs."
        )
