r"""Words that are marked by stars around them, ``*word*``, as places in the sentence without the stars.

The sentence decides what a star means: a word of the marked text is the sentence's own word, or that word between two
stars, and nothing else. So a star that belongs to the text needs no guess, and white space may differ.
"""

from __future__ import annotations

from typing import Final

import polars as pl

NO_SPANS: Final = pl.List(pl.Struct({"field": pl.String, "start": pl.Int64, "end": pl.Int64, "set": pl.Int64}))


def starred_words(sentences: pl.Series, marked: pl.Series, *, field: str) -> pl.Series:
    """Where the starred words stand in each sentence, neighbours as one span.

    Args:
        sentences: Plain texts, (n,).
        marked: The same texts with stars around some words, (n,); null or blank where there is none.
        field: Name of the text, repeated in every span.

    Returns:
        Lists of ``{field, start, end, set}``, (n,); null where the marked text is absent or is not the sentence.

    Example:
        >>> found = starred_words(pl.Series(["A b c"]), pl.Series(["*A* *b* c"]), field="statement")
        >>> found.to_list()
        [[{'field': 'statement', 'start': 0, 'end': 3, 'set': 0}]]
    """
    rows = pl.DataFrame({"text": sentences, "marked": marked}).with_row_index("at")
    same = pl.col("marked") == pl.col("text")
    words = _words(rows.filter(~same))
    good = words.group_by("at").agg((pl.col("starred") | (pl.col("mark") == pl.col("word"))).all().alias("good"))
    spans = _runs(words.filter("starred"), field)
    known = rows.join(good, on="at", how="left", maintain_order="left")
    known = known.join(spans, on="at", how="left", maintain_order="left")
    whole = (same | pl.col("good")).fill_null(False) & (pl.col("marked").str.strip_chars() != "")
    none = pl.lit([], dtype=NO_SPANS)
    # A sentence may have starred words of its own: only the words that differ from it are marked.
    found = pl.when(whole).then(pl.when(same).then(none).otherwise(pl.col("spans").fill_null(none)))
    return known.select(found.cast(NO_SPANS).alias("spans")).to_series()


def _words(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per word of each sentence that has as many words as its marked text."""
    split = rows.select(
        "at",
        pl.col("text").str.extract_all(r"\s*\S+").alias("piece"),
        pl.col("marked").str.extract_all(r"\S+").alias("mark"),
    ).filter((pl.col("piece").list.len() == pl.col("mark").list.len()) & (pl.col("mark").list.len() > 0))
    each = split.explode("piece", "mark").with_columns(
        pl.col("piece").str.strip_chars_start().alias("word"),
        pl.col("piece").str.len_chars().cast(pl.Int64).cum_sum().over("at").alias("end"),
        pl.int_range(pl.len()).over("at").alias("place"),
    )
    starred = pl.col("mark") == pl.concat_str(pl.lit("*"), "word", pl.lit("*"))
    return each.with_columns(starred.alias("starred"))


def _runs(starred: pl.DataFrame, field: str) -> pl.DataFrame:
    """One list of spans per sentence from its starred words."""
    run = (pl.col("place") - pl.int_range(pl.len()).over("at")).alias("run")
    begin = pl.col("end") - pl.col("word").str.len_chars().cast(pl.Int64)
    joined = (
        starred.with_columns(run, begin.alias("start"))
        .group_by("at", "run")
        .agg(pl.col("start").min(), pl.col("end").max())
    )
    span = pl.struct(pl.lit(field).alias("field"), "start", "end", pl.lit(0, dtype=pl.Int64).alias("set"))
    return joined.sort("at", "start").group_by("at", maintain_order=True).agg(span.alias("spans"))
