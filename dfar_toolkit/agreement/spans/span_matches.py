"""What two raters' spans have in common: equal spans, spans that overlap enough, or shared length.

All are joins of the pairs of raters with their spans, so memory grows with pairs of raters times pairs of their spans
in a text.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.spans.span_ratings import SpanRatings


def equal_spans(ratings: SpanRatings, first: Ints, second: Ints) -> Floats:
    """Number of spans that both entries of each pair have, label and all (P,)."""
    left, right = _left(ratings, first, second), ratings.spans
    on = ["field", "label", "start", "end"]
    found = left.join(right, left_on=["other", *on], right_on=["entry", *on], how="semi")
    return np.bincount(found["pair"], minlength=len(first)).astype(np.float64)


def matched_spans(ratings: SpanRatings, first: Ints, second: Ints, *, overlap: float) -> Floats:
    r"""Largest number of spans of each pair (P,) that can be matched one to one.

    Two spans a and b of the same field and label may be matched where $|a \cap b| / |a \cup b|$ is at least
    ``overlap``.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    met = _meetings(ratings, first, second, ["field", "label"])
    union = pl.max_horizontal("end", "end_right") - pl.min_horizontal("start", "start_right")
    edges = met.filter(pl.col("common") / union >= overlap)
    if not len(edges):
        return np.zeros(len(first))
    left, right = (edges.select(pl.struct("pair", side).rank("dense") - 1).to_series() for side in ("row", "row_right"))
    shape = (int(left.max()) + 1, int(right.max()) + 1)  # type: ignore[arg-type]
    graph = csr_array((np.ones(len(edges), dtype=np.int8), (left.to_numpy(), right.to_numpy())), shape=shape)
    partner = maximum_bipartite_matching(graph, perm_type="column")
    pair_of = np.zeros(shape[0], dtype=np.int64)
    pair_of[left.to_numpy()] = edges["pair"].to_numpy()
    return np.bincount(pair_of[partner >= 0], minlength=len(first)).astype(np.float64)


def shared_length(ratings: SpanRatings, first: Ints, second: Ints, *, same_label: bool = True) -> Floats:
    """Length that both entries of each pair marked (P,); of spans without overlap within an entry and label."""
    met = _meetings(ratings, first, second, ["field", "label"] if same_label else ["field"])
    return np.bincount(met["pair"], weights=met["common"], minlength=len(first)).astype(np.float64)


def _left(ratings: SpanRatings, first: Ints, second: Ints) -> pl.DataFrame:
    """The spans of the first entry of each pair, with the number of the pair and its other entry."""
    pairs = pl.DataFrame({"pair": np.arange(len(first)), "entry": first, "other": second})
    return pairs.join(ratings.spans.with_row_index("row"), on="entry")


def _meetings(ratings: SpanRatings, first: Ints, second: Ints, on: list[str]) -> pl.DataFrame:
    """Every two spans of a pair that share at least one character: the spans and the length in ``common``."""
    left, right = _left(ratings, first, second), ratings.spans.with_row_index("row")
    met = left.join(right, left_on=["other", *on], right_on=["entry", *on])
    common = pl.min_horizontal("end", "end_right") - pl.max_horizontal("start", "start_right")
    return met.with_columns(common.alias("common")).filter(pl.col("common") > 0)
