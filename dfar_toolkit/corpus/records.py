"""What makes two records the same: statement with context and option texts, byte for byte or normalised."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.corpus.duplicates import CrowdedError, Search, near_duplicate_pairs
from dfar_toolkit.corpus.minhash import Progress
from dfar_toolkit.corpus.shingles import comparison_text, jaccard

_BETWEEN = "\x1f"
_WINDOW = 20
_CANDIDATES = 0.9  # of the threshold, on statement and context together; both are then compared alone


def context_text(items: pl.DataFrame) -> pl.Expr:
    """All context texts of a record joined by a line break; empty where there is no context.

    Example:
        >>> items = pl.DataFrame({"context": [[{"field": "premise", "role": "", "text": "It rains."}]]})
        >>> items.select(context_text(items)).item()
        'It rains.'
    """
    dtype = items.schema.get("context")
    if not (isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct)):
        return pl.lit("")
    texts = pl.col("context").list.eval(pl.element().struct.field("text").fill_null(""))
    return texts.list.join("\n").fill_null("")


def exact_key(items: pl.DataFrame) -> pl.Expr:
    r"""Equal for records with the same normalised statement, context and option texts.

    Example:
        >>> items = pl.DataFrame({"statement": ["I lied.", "i  lied!"]})
        >>> items.select(exact_key(items)).n_unique()
        1
    """
    return pl.concat_str(
        comparison_text(pl.col("statement").fill_null("")),
        comparison_text(context_text(items)),
        comparison_text(_option_texts(items)),
        separator=_BETWEEN,
    )


def identical_key(items: pl.DataFrame) -> pl.Expr:
    """Equal for records with the same statement, context, option texts, label and reasons, byte for byte."""
    parts = [pl.col("statement").fill_null(""), context_text(items), _option_texts(items)]
    if "label" in items.columns:
        parts.append(pl.col("label").cast(pl.String).fill_null("\x00"))
    dtype = items.schema.get("reasons")
    if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct):
        texts = pl.col("reasons").list.eval(pl.element().struct.field("text").fill_null("\x00").sort())
        parts.append(texts.list.join("\x1e").fill_null(""))
    return pl.concat_str(parts, separator=_BETWEEN)


def context_key(items: pl.DataFrame) -> pl.Expr:
    """The column ``context_key`` where there is one, else the normalised context; null where there is no context."""
    if "context_key" in items.columns:
        return pl.col("context_key")
    text = comparison_text(context_text(items))
    return pl.when(text == "").then(None).otherwise(text)


def near_record_pairs(
    items: pl.DataFrame,
    *,
    threshold: float = 0.8,
    seed: int = 0,
    search: Search = "auto",
    window: int | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Pairs of items whose statements are near and whose contexts are near as well; exact ones are collapsed.

    Without contexts this is :func:`~dfar_toolkit.corpus.duplicates.near_duplicate_pairs` of the statements. With
    contexts, candidates are near at .9 of the threshold in statement and context (and option texts) taken together;
    then the statements alone and the contexts alone must reach the threshold. ``similarity`` is the smaller of the two.

    Args:
        items: ``item_id``, ``statement``, optionally ``context`` and ``option_texts``, (n,).
        threshold: Smallest character 5-gram Jaccard similarity of a pair.
        seed: Of the MinHash permutations.
        search: As in ``near_duplicate_pairs``.
        window: As in ``near_duplicate_pairs``.
        progress: Called with (texts done, texts in all).

    Returns:
        Frame ``a, b, similarity`` of item ids, a < b, sorted.

    Example:
        >>> near_record_pairs(pl.DataFrame({"item_id": ["p", "q"], "statement": ["I lied.", "i lied"]})).height
        0
    """
    beside = pl.concat_str(context_text(items), _option_texts(items), separator="\n")
    plain = items.select("item_id", pl.col("statement").fill_null(""), beside.str.strip_chars("\n").alias("beside"))
    if plain.filter(pl.col("beside") != "").is_empty():
        column, lowest = "statement", threshold
    else:
        column, lowest = "text", _CANDIDATES * threshold
    found = near_duplicate_pairs(
        plain.with_columns(pl.concat_str("statement", "beside", separator="\n").alias("text")),
        text=column,
        threshold=lowest,
        seed=seed,
        search=search,
        window=window,
        progress=progress,
    )
    return found if column == "statement" else _near_in_both(found, plain, threshold)


def near_or_sampled(
    items: pl.DataFrame, *, threshold: float = 0.8, seed: int = 0, progress: Progress | None = None
) -> tuple[pl.DataFrame, str]:
    """The near pairs and an empty note; where too many texts are alike, a sample of the pairs and a note that says so.

    Example:
        >>> near_or_sampled(pl.DataFrame({"item_id": ["p", "q"], "statement": ["I lied.", "I paid."]}))[1]
        ''
    """
    try:
        return near_record_pairs(items, threshold=threshold, seed=seed, progress=progress), ""
    except CrowdedError:
        pairs = near_record_pairs(items, threshold=threshold, seed=seed, window=_WINDOW, progress=progress)
    return pairs, f"too many texts are alike to compare all pairs: each with {_WINDOW} that follow it, counts are low"


def _near_in_both(found: pl.DataFrame, plain: pl.DataFrame, threshold: float) -> pl.DataFrame:
    """Of candidate pairs those whose statements and whose contexts each reach the threshold."""
    compared = plain.select("item_id", comparison_text(pl.col("statement", "beside")))
    left = found.select(pl.col("a").alias("item_id")).join(compared, on="item_id", how="left", maintain_order="left")
    right = found.select(pl.col("b").alias("item_id")).join(compared, on="item_id", how="left", maintain_order="left")
    parts = [pl.Series(n, jaccard(left[n], right[n])) for n in ("statement", "beside")]
    alone = pl.DataFrame(parts).select(pl.min_horizontal("statement", "beside")).to_series()
    return found.with_columns(alone.alias("similarity")).filter(pl.col("similarity") >= threshold)


def _option_texts(items: pl.DataFrame) -> pl.Expr:
    dtype = items.schema.get("option_texts")
    if not (isinstance(dtype, pl.List) and dtype.inner == pl.String):
        return pl.lit("")
    return pl.col("option_texts").list.join("\x1e", ignore_nulls=True).fill_null("")
