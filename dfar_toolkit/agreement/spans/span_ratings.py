"""Spans of text that raters marked, in one checked shape: an entry per rater and item, its spans beside it.

Spans are half-open and count Unicode code points. A rater who marked nothing on an item has an entry without spans; a
rater who was not asked has none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.cells import Cells, cell_slices
from dfar_toolkit.agreement.counting import Ints
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.agreement.spans.span_rows import RATING, SPAN, SpanColumns, SpanRows, span_rows

_NUMBER: Final = "dfar number"  # a name that no caller's column has


@dataclass(frozen=True, slots=True, eq=False)
class SpanRatings:
    """Who marked what: ``cells`` has one entry per rater and item, ``spans`` one row per span.

    ``spans`` holds ``entry`` (index into the cells), ``field`` and ``label`` (names, "" where there are none),
    ``start`` and ``end``, sorted, no row twice. ``notes`` say what was left out.
    """

    cells: Cells
    spans: pl.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def lengths(self) -> Ints:
        """Total length of the spans of each entry (E,)."""
        length = (self.spans["end"] - self.spans["start"]).to_numpy()
        return np.bincount(self.spans["entry"], weights=length, minlength=len(self.cells.item)).astype(np.int64)

    @property
    def numbers(self) -> Ints:
        """Number of spans of each entry (E,)."""
        return np.bincount(self.spans["entry"], minlength=len(self.cells.item)).astype(np.int64)

    def pairs(self) -> tuple[Ints, Ints]:
        """Every two entries on the same item, as two arrays of entries (P,), sorted."""
        item = self.cells.item
        left: Ints = np.arange(len(item))
        first, second = [left[:0]], [left[:0]]
        shift = 1
        while len(left):
            left = left[left + shift < len(item)]
            left = left[item[left] == item[left + shift]]
            first.append(left)
            second.append(left + shift)
            shift += 1
        a, b = np.concatenate(first), np.concatenate(second)
        order = np.lexsort((b, a))
        return a[order], b[order]

    def merged(self) -> SpanRatings:
        """The same characters as spans without overlap: those of one rater, field and label that overlap are one."""
        apart = ["entry", "field", "label"]
        reached = pl.col("end").cum_max().shift().over(apart)
        piece = (pl.col("start") >= reached).fill_null(value=True).cum_sum().alias("piece")
        grouped = self.spans.sort(*apart, "start", "end").with_columns(piece).group_by(*apart, "piece")
        spans = grouped.agg(pl.col("start").min(), pl.col("end").max()).drop("piece")
        return replace(self, spans=spans.sort(*apart, "start"))


class SpanSlice(NamedTuple):
    """The spans of one combination of the ``by`` columns, and that combination as a frame of one row."""

    key: pl.DataFrame
    ratings: SpanRatings


def read_spans(ratings: RatingsLike, columns: SpanColumns, *, by: By = None) -> list[SpanSlice]:
    """Check marked spans and hold them as entries.

    Args:
        ratings: Rows with a list of spans per rating (structs with ``start`` and ``end``, or pairs), null where nobody
            was asked and empty where nothing was marked; or long rows, one per span, with both ends null where
            nothing was marked; or (item, rater, list of spans) triples.
        columns: Names of the columns.
        by: Column or columns whose values tell the slices apart.

    Returns:
        One slice without ``by``, else one per combination, sorted by it.

    Raises:
        TableError: A column is missing, a span is empty, turned round or before the text, a rater stands twice on an
            item, several questions are mixed, or nobody knows who the raters are.
    """
    rated, spans = _numbered(span_rows(ratings, columns, by))
    slices = cell_slices(
        _with_value(rated, spans, columns, by),
        item=columns.item,
        rater=columns.rater,
        value=_NUMBER,
        group=columns.group,
        by=by,
    )
    return [SpanSlice(part.key, _entries(part.cells, spans)) for part in slices]


def _numbered(rows: SpanRows) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row per rating with its number, and the distinct spans of each number."""
    keys = [*rows.keys, RATING]
    rated = rows.frame.select(keys).unique().with_row_index(_NUMBER)
    marked = rows.frame.filter(pl.col(SPAN).is_not_null()).join(rated, on=keys, nulls_equal=True)
    return rated.drop(RATING), marked.select(_NUMBER, pl.col(SPAN).struct.unnest()).unique()


def _with_value(rated: pl.DataFrame, spans: pl.DataFrame, columns: SpanColumns, by: By) -> pl.DataFrame:
    """The number of each rating as its value, or its spans where a rater stands twice on an item and is refused."""
    slicing = [by] if isinstance(by, str) else list(by or ())
    who = [columns.item, columns.rater, *slicing]
    if not rated.select(pl.struct(who).is_duplicated().any()).item():
        return rated
    text = spans.sort("start", "end").group_by(_NUMBER).agg(pl.format("{} to {}", "start", "end").alias("text"))
    shown = rated.join(text.with_columns(pl.col("text").list.join(" and ")), on=_NUMBER, how="left")
    return shown.with_columns(pl.col("text").fill_null("nothing").alias(_NUMBER)).drop("text")


def _entries(cells: Cells, spans: pl.DataFrame) -> SpanRatings:
    number = cells.values.gather(cells.value).alias(_NUMBER)
    entries = pl.DataFrame(
        [pl.Series("entry", np.arange(len(number)), dtype=pl.Int64), number.cast(spans.schema[_NUMBER])]
    )
    columns = ["entry", "field", "label", "start", "end"]
    own = entries.join(spans, on=_NUMBER).select(columns).sort(columns)
    single = int((cells.n_per_item == 1).sum())
    note = f"{single} item{'s' if single != 1 else ''} with one rater left out"
    return SpanRatings(cells, own, (*cells.notes, *([note] if single else [])))
