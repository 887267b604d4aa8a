"""Candidates for error slices: conditions of one filter each, made from one half of the items and met by both."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.browsing.filter_conditions import Mask
from dfar_toolkit.browsing.item_filter import NO_LEAK, ItemFilter

_BANDS: Final = ((None, 0.2), (0.2, 0.5), (0.5, None))  # of disagreement
_WORDS: Final = 20  # words that are tried
_READ: Final = 20_000  # items whose words are counted
_NAMES: Final = 12  # of a facet with many values only the commonest are tried


class Candidate(NamedTuple):
    """A condition: what it is about, the filter that opens it, and which items (n,) meet it."""

    about: str
    wanted: ItemFilter
    mask: Mask


def candidates(frame: pl.DataFrame, first: Mask, *, seed: int = 0) -> list[Candidate]:
    """Single conditions on label, source, leak, length, disagreement and words of the statement.

    Where bands end and which words are tried is decided on the first half alone.

    Args:
        frame: ``label, source, leak_kind, length, disagreement, statement, wrong`` of every item looked at.
        first: Which of them are the half on which slices are found (n,).
        seed: Seed of the sample whose words are counted.
    """
    found = []
    for column, field, nothing in (("label", "gold", None), ("source", "source", None), ("leak_kind", "leak", NO_LEAK)):
        values = frame[column].cast(pl.String)
        values = values if nothing is None else values.fill_null(nothing)
        common = (
            values.filter(pl.Series(first)).drop_nulls().value_counts().sort("count", column, descending=[True, False])
        )
        for name in common[column].head(_NAMES):
            wanted, _ = ItemFilter.from_query({field: [name]})
            found.append(Candidate(field, wanted, _mask(values == name)))
    return [*found, *_bands(frame, first), *_words(frame, first, seed)]


def _mask(values: pl.Series) -> Mask:
    return values.fill_null(False).to_numpy().astype(bool, copy=False)


def _bands(frame: pl.DataFrame, first: Mask) -> list[Candidate]:
    """Quarters of length, and bands of disagreement."""
    found = []
    lengths = frame["length"].to_numpy()
    edges = sorted({int(np.quantile(lengths[first], q)) for q in (0.25, 0.5, 0.75)}) if first.any() else []
    for low, high in zip([None, *(e + 1 for e in edges)], [*edges, None], strict=True):
        if low is not None or high is not None:
            met = (lengths >= (low or 0)) & (lengths <= (high if high is not None else np.inf))
            found.append(Candidate("length", ItemFilter(length=(low, high)), met))
    known = frame["disagreement"]
    for below, above in _BANDS:
        within = known.is_between(0.0 if below is None else below, 1.0 if above is None else above)
        found.append(Candidate("disagreement", ItemFilter(disagreement=(below, above)), _mask(within)))
    return found


def _words(frame: pl.DataFrame, first: Mask, seed: int) -> list[Candidate]:
    """Words that wrong items of the first half hold more often than right ones."""
    half = frame.select("statement", "wrong").filter(pl.Series(first))
    sample = half.sample(min(len(half), _READ), seed=seed)
    listed = sample.select(
        pl.col("statement").str.to_lowercase().str.extract_all(r"[\p{L}\p{N}]{3,40}").list.unique().alias("word"),
        "wrong",
    ).explode("word").drop_nulls("word")  # fmt: skip
    n_wrong = max(1, int(sample["wrong"].sum()))
    n_right = max(1, len(sample) - n_wrong)
    share = pl.col("wrong").sum() / n_wrong - (~pl.col("wrong")).sum() / n_right
    counted = listed.group_by("word").agg(share.alias("more"), pl.len().alias("n"))
    common = counted.filter(pl.col("n") >= max(5, len(sample) // 100)).sort("more", "word", descending=[True, False])
    found = []
    for word in common.filter(pl.col("more") > 0)["word"].head(_WORDS):
        pattern = rf"(?i)\b{re.escape(word)}\b"
        found.append(Candidate("word", ItemFilter(regex=pattern), _mask(frame["statement"].str.contains(pattern))))
    return found
