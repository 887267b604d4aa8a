r"""The texts behind marked spans: how long they are, where their words are, and spans as ranges of words.

A word is what the texts' own ``tokens`` say, else a longest run of characters without white space (``\S+``; Unicode
White_Space). A span covers the words it touches.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.ratings import RatingsLike, shown
from dfar_toolkit.agreement.rows import rows_of
from dfar_toolkit.agreement.spans.span_ratings import SpanRatings
from dfar_toolkit.agreement.spans.span_rows import pairs_as_structs
from dfar_toolkit.errors import TableError

_CONTENT: Final = ("text", "tokens", "length")
_MEND: Final = "give each text once, with the item's id as the ratings have it"


def read_texts(texts: RatingsLike, *, item: str) -> pl.DataFrame:
    """Check the texts that were marked.

    Args:
        texts: A frame with the column ``item``, ``field`` where an item has several texts, and ``text``; ``tokens``
            (lists of structs or pairs of start and end) where the words are given, ``length`` (characters) in place of
            a text that is not at hand. Rows that say the same twice are one, so the ratings themselves will do where
            they carry the text.
        item: Column of the item.

    Returns:
        One row per text, ``item`` (text), ``field`` (null where there is no such column), ``text``, ``tokens``,
        ``length`` as far as they are there, sorted.

    Raises:
        TableError: A column is missing or of the wrong type, or two rows disagree about a text.
    """
    rows = rows_of(texts, names=(item, "field", "text"), keep={item, "field", *_CONTENT})
    found = [name for name in _CONTENT if name in rows.columns]
    if item not in rows.columns or not found:
        raise TableError(
            f'texts needs the column "{item}" and one of {", ".join(_CONTENT)}; found '
            f"{', '.join(shown(name) for name in rows.columns) or 'neither'}; {_MEND}."
        )
    if "tokens" in found:
        rows = rows.with_columns(pairs_as_structs(rows["tokens"], ("start", "end")))
    field = pl.col("field").cast(pl.String).fill_null("") if "field" in rows.columns else pl.lit(None, dtype=pl.String)
    rows = rows.filter(pl.col(found[0]).is_not_null())
    rows = rows.select(pl.col(item).cast(pl.String).alias("item"), field.alias("field"), *found).unique()
    twice = rows.filter(pl.len().over("item", "field") > 1)["item"]
    if len(twice):
        raise TableError(f'the texts of item "{shown(twice.min())}" differ between rows; {_MEND}.')
    return rows.sort("item", "field")


def placed(ratings: SpanRatings, texts: pl.DataFrame) -> pl.DataFrame:
    """The spans with the number of their text, ``text_number`` (row of ``texts``), checked to lie inside it.

    Args:
        ratings: Marked spans.
        texts: From :func:`read_texts`.

    Returns:
        The spans, in order.

    Raises:
        TableError: An item has no text, a span no text of its own, or a span reaches beyond its text.
    """
    names = ratings.cells.items.cast(pl.String)
    numbered = _numbered(texts).filter(pl.col("item").is_in(names.implode()))
    absent = names.filter(~names.is_in(numbered["item"].unique().implode()))
    if len(absent):
        raise TableError(f'rated items without a text: {len(absent)} (e.g. "{shown(absent[0])}"); {_MEND}.')
    fields = ratings.spans["field"].unique().to_list()
    keys = ["item", "field"] if texts["field"].null_count() < len(texts) and fields not in ([], [""]) else ["item"]
    if keys == ["item"] and fields and (numbered["item"].is_duplicated().any() or len(fields) > 1):
        raise TableError("the texts and the spans must both name the field where an item has several texts.")
    items = names.gather(ratings.cells.item[ratings.spans["entry"].to_numpy()]).alias("item")
    spans = ratings.spans.with_columns(items).join(
        numbered.select(*keys, "text_number", "length"), on=keys, how="left", maintain_order="left"
    )
    _check_inside(spans, ratings)
    return spans.drop("item", "length")


def in_words(ratings: SpanRatings, texts: pl.DataFrame) -> SpanRatings:
    """The spans as ranges of the words they touch, half-open; spans that touch none are counted in the notes.

    Args:
        ratings: Marked spans, in characters.
        texts: From :func:`read_texts`.

    Returns:
        The same entries; ``start`` and ``end`` count the words of the text.

    Raises:
        TableError: As :func:`placed`, and where the texts have neither words nor characters.
    """
    words, spans = _words(texts), placed(ratings, texts)
    size = 1 + int(pl.concat([words["end"], spans["end"]]).to_numpy().max(initial=0))  # larger than any offset
    number, base = spans["text_number"].to_numpy().astype(np.int64), words["text_number"].to_numpy().astype(np.int64)
    before = np.searchsorted(base, number)
    first = np.searchsorted(base * size + words["end"].to_numpy(), number * size + spans["start"].to_numpy(), "right")
    stop = np.searchsorted(base * size + words["start"].to_numpy(), number * size + spans["end"].to_numpy(), "left")
    ranges = spans.drop("text_number").with_columns(
        pl.Series("start", first - before, dtype=pl.Int64), pl.Series("end", stop - before, dtype=pl.Int64)
    )
    touching = ranges.filter(pl.col("start") < pl.col("end"))
    lost = len(ranges) - len(touching)
    note = f"{lost} span{'s' if lost != 1 else ''} without a word left out"
    columns = ["entry", "field", "label", "start", "end"]
    return replace(ratings, spans=touching.unique().sort(columns), notes=(*ratings.notes, *([note] if lost else [])))


def text_lengths(ratings: SpanRatings, texts: pl.DataFrame, *, words: bool) -> Floats:
    """Length of all texts of each item together (N,), in words or in characters."""
    if words:
        counted = _words(texts).group_by("text_number").agg(pl.len().cast(pl.Int64).alias("size"))
    else:
        counted = _numbered(texts).select("text_number", size="length")
    sized = _numbered(texts).join(counted, on="text_number", how="left")
    if not words and sized["size"].null_count():
        raise TableError('the length of every text must be known; give the column "text" or "length" in texts.')
    totals = sized.group_by("item").agg(pl.col("size").fill_null(0).sum())
    names = pl.DataFrame([ratings.cells.items.cast(pl.String).alias("item")])
    return names.join(totals, on="item", how="left", maintain_order="left")["size"].to_numpy().astype(np.float64)


def _numbered(texts: pl.DataFrame) -> pl.DataFrame:
    """``text_number, item, field, length`` of each text; the length is null where only the words are known."""
    if "text" in texts.columns:
        length = pl.col("text").str.len_chars()
    else:
        length = pl.col("length") if "length" in texts.columns else pl.lit(None)
    return texts.with_row_index("text_number").select(
        "text_number", "item", "field", length.cast(pl.Int64).alias("length")
    )


def _check_inside(spans: pl.DataFrame, ratings: SpanRatings) -> None:
    beyond = spans.filter(pl.col("text_number").is_null() | (pl.col("end") > pl.col("length")))
    if len(beyond):
        row = beyond.row(0, named=True)
        who = ratings.cells.raters[int(ratings.cells.rater[row["entry"]])]
        size = "which has no text" if row["text_number"] is None else f"of {row['length']} characters"
        where = f'the field "{shown(row["field"])}"' if row["field"] else "a text"
        raise TableError(
            f"spans must lie inside their text; {len(beyond)} do not (e.g. {row['start']} to {row['end']} in {where} "
            f'{size}, by rater "{shown(who)}" on item "{shown(row["item"])}"); offsets must count Unicode code points.'
        )


def _words(texts: pl.DataFrame) -> pl.DataFrame:
    """``text_number, start, end`` of every word, sorted."""
    numbered = texts.with_row_index("text_number")
    if "tokens" in texts.columns:
        given = numbered.filter(pl.col("tokens").list.len() > 0).select("text_number", "tokens").explode("tokens")
        words = given.select("text_number", pl.col("tokens").struct.unnest()).select("text_number", "start", "end")
        return _checked(words.cast({"start": pl.Int64, "end": pl.Int64}))
    if "text" not in texts.columns:
        raise TableError('words need the column "text" or "tokens" in texts; found lengths only.')
    text, piece = pl.col("text"), pl.col("piece")
    lead = (text.str.len_chars() - text.str.strip_chars_start().str.len_chars()).alias("lead")
    # A word with the white space behind it: these pieces tile the text after its leading white space.
    pieces = numbered.select("text_number", lead, text.str.extract_all(r"\S+\s*").alias("piece"))
    pieces = pieces.filter(piece.list.len() > 0).explode("piece")
    start = pl.col("lead") + piece.str.len_chars().cum_sum().over("text_number") - piece.str.len_chars()
    words = pieces.with_columns(start.cast(pl.Int64).alias("start"))
    length = piece.str.strip_chars_end().str.len_chars().cast(pl.Int64)
    return words.select("text_number", "start", (pl.col("start") + length).alias("end"))


def _checked(words: pl.DataFrame) -> pl.DataFrame:
    reached = pl.col("end").shift().over("text_number").fill_null(0)
    fine = ((pl.col("start") >= reached) & (pl.col("start") < pl.col("end"))).fill_null(value=False)
    bad = words.filter(~fine)
    if len(bad):
        _, start, end = bad.row(0)
        raise TableError(
            f"tokens must follow one another without overlap; {len(bad)} do not (e.g. {start} to {end}); sort them."
        )
    return words
