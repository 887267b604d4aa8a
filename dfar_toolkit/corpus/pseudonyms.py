"""Seeded pseudonyms for annotators, so that an items folder does not carry the ids of an annotation platform."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from dfar_toolkit.tables import UNKNOWN_ANNOTATOR


def pseudonyms(annotator_ids: pl.Series, *, seed: int = 0) -> dict[str, str]:
    """A pseudonym ``source:a01`` for each id, numbered in a seeded random order; unknown annotators stay unknown.

    Args:
        annotator_ids: Ids with their source prefix, ``source:id``; repeats do not matter.
        seed: Seed of the order. Whoever has the original ids and the seed can redo the numbering.

    Returns:
        From id to pseudonym.

    Example:
        >>> sorted(pseudonyms(pl.Series(["s:mary", "s:john", "s:unknown"])).values())
        ['s:a1', 's:a2', 's:unknown']
    """
    ids = sorted(set(annotator_ids.drop_nulls().to_list()))
    known = [i for i in ids if i.rpartition(":")[2] != UNKNOWN_ANNOTATOR]
    width = len(str(len(known)))
    order = np.random.default_rng(seed).permutation(len(known)) + 1
    named = {i: f"{i.partition(':')[0]}:a{number:0{width}d}" for i, number in zip(known, order, strict=True)}
    return {i: named.get(i, i) for i in ids}


def replace_ids(frame: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """The frame with ``annotator_id`` replaced."""
    return frame.with_columns(pl.col("annotator_id").replace_strict(dict(names), return_dtype=pl.String))
