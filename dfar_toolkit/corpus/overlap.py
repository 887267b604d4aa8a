"""Overlap with other data sets: items whose text stands, word for word or nearly, in a set they may be tested against.

Two records overlap if their statements do and, where both have a context, their contexts do as well. ``exact`` means
equal after normalisation, ``near`` a character 5-gram Jaccard similarity of at least the threshold, verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.corpus.duplicates import near_duplicate_pairs
from dfar_toolkit.corpus.findings import N_EXAMPLES, ON_DEMAND, Finding, excerpt
from dfar_toolkit.corpus.leaks import ordered_splits
from dfar_toolkit.corpus.minhash import Progress
from dfar_toolkit.corpus.records import context_text
from dfar_toolkit.corpus.shingles import comparison_text, jaccard
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import estimates_frame, proportion

OVERLAP_KINDS: Final = ("exact", "near")
_PAIRS: Final = pl.Schema(
    {
        "item_id": pl.String,
        "split": pl.String,
        "against": pl.String,
        "other_id": pl.String,
        "n_others": pl.Int64,
        "kind": pl.String,
        "similarity": pl.Float64,
    }
)
_MOST_PAIRS: Final = 10_000_000


def overlap_with(
    items: pl.DataFrame,
    others: pl.DataFrame | Mapping[str, pl.DataFrame],
    *,
    threshold: float = 0.8,
    seed: int = 0,
    window: int | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Items whose text stands in another set: the pairs of item and other text.

    J(A, B) = |A & B| / |A | B| of the 5-gram sets of the normalised statements; where both records have a context, of
    the contexts as well, and ``similarity`` is the smaller. Candidates are found as in ``near_duplicate_pairs`` (from
    10,000 texts on with its recall of .9983 at .8; equal texts are always found) and every pair is verified.

    Args:
        items: ``item_id, statement`` and, where present, ``split, context``, (n,).
        others: The other set, or several by name, with the same columns (``item_id`` may be absent: the row then).
        threshold: Smallest similarity of a near pair, above 0 and at most 1.
        seed: Of the MinHash permutations.
        window: Compare a text only with so many of those that look alike, where all pairs are out of reach; the near
            pairs are then a sample, the exact ones complete.
        progress: Called with (texts done, texts in all) for each set.

    Returns:
        Frame ``item_id, split, against, other_id, n_others, kind, similarity``: one row per item and distinct text of
        the other set; ``other_id`` is the first record there and ``n_others`` counts the records with that text.

    Raises:
        TableError: A column is missing, or the sets share too many alike texts to list the pairs (as CrowdedError
            where a window helps).
        ValueError: The threshold is out of range.

    Example:
        >>> items = pl.DataFrame({"item_id": ["p", "q"], "split": ["train", "test"],
        ...                       "statement": ["I lied to my boss.", "I paid."]})
        >>> overlap_with(items, pl.DataFrame({"statement": ["i lied, to my boss"]})).rows()
        [('p', 'train', 'other', '0', 1, 'exact', 1.0)]

    Reference:
        Broder 1997, On the resemblance and containment of documents.
    """
    named = {"other": others} if isinstance(others, pl.DataFrame) else others
    own = _texts(items, "the items")
    how = _Search(threshold, seed, window, progress)
    found = [_with_one(own, _texts(frame, name), name, how) for name, frame in sorted(named.items())]
    return pl.concat([_PAIRS.to_frame(), *found])


def _texts(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Id, split, normalised statement and context of each record, and the number of its distinct text."""
    if "statement" not in frame.columns:
        raise TableError(f'{name}: overlap needs the column "statement"; found {", ".join(frame.columns)}.')
    row = pl.int_range(pl.len()).cast(pl.String)
    rows = frame.select(
        (pl.col("item_id").cast(pl.String) if "item_id" in frame.columns else row).alias("item_id"),
        (pl.col("split").cast(pl.String) if "split" in frame.columns else pl.lit("")).alias("split"),
        comparison_text(pl.col("statement").cast(pl.String).fill_null("")).alias("text"),
        comparison_text(context_text(frame)).alias("context"),
    )
    return rows.filter(pl.col("text").str.strip_chars() != "")  # nothing cannot stand anywhere


class _Search(NamedTuple):
    threshold: float
    seed: int
    window: int | None
    progress: Progress | None


def _with_one(own: pl.DataFrame, other: pl.DataFrame, name: str, how: _Search) -> pl.DataFrame:
    mine = own.group_by("text", "context", maintain_order=True).agg().with_row_index("mine")
    theirs = other.group_by("text", "context", maintain_order=True).agg(
        pl.col("item_id").first().alias("other_id"), pl.len().cast(pl.Int64).alias("n_others")
    )
    texts = _similar_texts(mine["text"].unique(), theirs["text"].unique(), how)
    n_pairs = (
        texts.join(mine.group_by("text").len("m"), on="text")
        .join(theirs.group_by("text").len("t"), left_on="other", right_on="text")
        .select((pl.col("m").cast(pl.Int64) * pl.col("t")).sum())
        .item()
    )
    if (n_pairs or 0) > _MOST_PAIRS:
        raise TableError(
            f"{name}: overlap wants sets whose records differ; found {n_pairs} pairs of records with alike statements "
            f"and different contexts, at most {_MOST_PAIRS} can be compared. Compare with a part of the set."
        )
    pairs = texts.join(mine, on="text").join(
        theirs.rename({"text": "other", "context": "other_context"}), on="other", maintain_order="left"
    )
    both = (pl.col("context") != "") & (pl.col("other_context") != "")
    same = ~both | (pl.col("context") == pl.col("other_context"))
    apart = pairs.filter(~same)
    alike = apart.with_columns(
        pl.min_horizontal("similarity", pl.Series("c", jaccard(apart["context"], apart["other_context"])))
    ).filter(pl.col("similarity") >= how.threshold)
    kept = pl.concat([pairs.filter(same).with_columns(same=pl.lit(True)), alike.with_columns(same=pl.lit(False))])
    exact = pl.col("same") & (pl.col("text") == pl.col("other"))
    kept = kept.with_columns(pl.when(exact).then(pl.lit("exact")).otherwise(pl.lit("near")).alias("kind"))
    rows = own.with_row_index("row").join(kept.drop("mine", "same"), on=["text", "context"])
    rows = rows.with_columns(pl.lit(name).alias("against"))
    return rows.sort("row", "kind", "similarity", "other_id", descending=[False, False, True, False]).select(
        pl.col(c).cast(t) for c, t in _PAIRS.items()
    )


def _similar_texts(mine: pl.Series, theirs: pl.Series, how: _Search) -> pl.DataFrame:
    """Distinct texts of both sides that are alike: ``text, other, similarity``, equal ones among them."""
    sides = pl.concat([mine.to_frame("text").with_columns(side=False), theirs.to_frame("text").with_columns(side=True)])
    equal = mine.to_frame("text").join(theirs.to_frame("text"), on="text", how="semi")
    near = near_duplicate_pairs(
        sides, key="text", text="text", threshold=how.threshold, seed=how.seed, window=how.window, across="side",
        progress=how.progress,
    )  # fmt: skip
    near = near.rename({"a": "text", "b": "other"}).filter(pl.col("text") != pl.col("other"))
    return pl.concat([equal.with_columns(other=pl.col("text"), similarity=pl.lit(1.0)), near])


def overlap_shares(
    items: pl.DataFrame, pairs: pl.DataFrame, *, against: list[str] | None = None, confidence: float = 0.95
) -> pl.DataFrame:
    """Share of the items of each split that stand in another set, by the strongest kind, with Wilson's interval.

    Args:
        items: ``item_id, split`` and, where present, ``group`` (the effective n then counts groups), (n,).
        pairs: As :func:`overlap_with` returns them.
        against: Names of the sets, so that one without overlap is listed too; by default those in ``pairs``.
        confidence: Two-sided coverage.

    Returns:
        Rows ``against, split, kind, count`` and Estimate's fields; ``near`` leaves out items that are ``exact``.

    Example:
        >>> items = pl.DataFrame({"item_id": ["p", "q"], "split": ["test", "test"],
        ...                       "statement": ["I lied.", "I paid."]})
        >>> pairs = overlap_with(items, items.head(1))
        >>> overlap_shares(items, pairs).select("kind", "count", "value").rows()
        [('exact', 1, 0.5), ('near', 0, 0.0)]
    """
    beside, estimates = [], []
    for name in against if against is not None else pairs["against"].unique().sort().to_list():
        strongest = pairs.filter(pl.col("against") == name).group_by("item_id").agg(pl.col("kind").min())
        marked = items.join(strongest, on="item_id", how="left", maintain_order="left")
        for split in ordered_splits(items["split"].unique()):
            part = marked.filter(pl.col("split") == split)
            groups = part["group"] if "group" in part.columns else None
            for kind in OVERLAP_KINDS:
                hits = (part["kind"] == kind).fill_null(False)
                beside.append({"against": name, "split": split, "kind": kind, "count": int(hits.sum())})
                estimates.append(
                    proportion(f"share of {split} in {name}, {kind}", hits, groups=groups, confidence=confidence)
                )
    schema = {"against": pl.String, "split": pl.String, "kind": pl.String, "count": pl.Int64}
    return pl.concat([pl.DataFrame(beside, schema=schema), estimates_frame(estimates)], how="horizontal")


def overlap_findings(items: pl.DataFrame, pairs: pl.DataFrame, shares: pl.DataFrame) -> list[Finding]:
    """``overlap.exact`` and ``overlap.near``: items that stand in any of the other sets, by the strongest kind."""
    strongest = pairs.group_by("item_id").agg(pl.col("kind").min())
    found = []
    for kind in OVERLAP_KINDS:
        ids = strongest.filter(pl.col("kind") == kind)
        rows = items.join(ids, on="item_id", how="semi", maintain_order="left")
        shown = rows.head(N_EXAMPLES).select("item_id", "statement").iter_rows()
        said = [
            f"{excerpt(r['against'], length=30)}, {r['split']}: {r['count']} of {r['n']}"
            f" ({r['value']:.3f} [{r['low']:.3f}, {r['high']:.3f}])"
            for r in shares.filter((pl.col("kind") == kind) & (pl.col("count") > 0)).iter_rows(named=True)
        ]
        texts = tuple(f"{excerpt(i)}: {excerpt(t or '')}" for i, t in shown)
        note = "; ".join(said) or "none stands in the other sets"
        found.append(Finding(f"overlap.{kind}", ON_DEMAND[f"overlap.{kind}"], rows.height, items.height, texts, note))
    return found
