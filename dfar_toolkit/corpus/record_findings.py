"""Findings about records: leaks, duplicates, labels, ids, splits, ratings."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.corpus.findings import SEVERITIES, Finding, examples, excerpt
from dfar_toolkit.corpus.leaks import mark_leaks, ordered_splits
from dfar_toolkit.corpus.records import exact_key
from dfar_toolkit.corpus.split import SPLIT_NAME
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR, of_config, primary_questions

_NAMED_VALUES = ("nominal", "ordinal", "set", "pair")  # kinds whose values are names of options


def leak_findings(items: pl.DataFrame, near: pl.DataFrame) -> list[Finding]:
    """``leak.identical_row``, ``leak.exact`` (with identical rows), ``leak.near``, ``leak.stem``.

    Args:
        items: The items, ids distinct; the column ``stem`` or an earlier mark ``stem`` in ``leak_kind``.
        near: Pairs of item ids.

    Returns:
        Four findings; ``total`` counts the items of splits that have an earlier split.
    """
    kinds = mark_leaks(items, near).select("item_id", "leak_kind", "leak_of", "leak_against")
    frame = items.select("split", pl.col("statement").alias("text")).hstack(kinds)
    if "stem" not in items.columns and "leak_kind" in items.columns:
        stored = pl.when(items["leak_kind"] == "stem").then(pl.lit("stem"))
        frame = frame.with_columns(pl.coalesce("leak_kind", stored))
    first = next(iter(ordered_splits(items["split"].unique())), "")
    total = frame.filter(pl.col("split") != first).height
    notes = {
        "leak.identical_row": "same statement, context, label and reasons, byte for byte",
        "leak.exact": "same normalised statement and context, identical rows included",
        "leak.near": "nearly the same statement and context, none of the above",
        "leak.stem": "same stem or context, none of the above",
    }
    counted = {
        "leak.identical_row": ["identical_row"],
        "leak.exact": ["identical_row", "exact"],
        "leak.near": ["near"],
        "leak.stem": ["stem"],
    }
    rows = {name: frame.filter(pl.col("leak_kind").is_in(kinds)) for name, kinds in counted.items()}
    return [_finding(name, rows[name], total, notes[name]) for name in counted]


def duplicate_findings(items: pl.DataFrame, near: pl.DataFrame) -> list[Finding]:
    """``duplicate.exact`` (rows beyond the first of a text in a split), ``duplicate.near`` (rows near another)."""
    frame = items.select("item_id", "split", pl.col("statement").alias("text"), exact_key(items).alias("key"))
    exact = frame.filter(~pl.struct("split", "key").is_first_distinct())
    key = frame.select("item_id", "key")
    sides = near.select("a", "b").join(key.rename({"item_id": "a"}), on="a")
    sides = sides.join(key.rename({"item_id": "b", "key": "other"}), on="b").select("key", "other")
    both = pl.concat([sides, sides.select(pl.col("other").alias("key"), pl.col("key").alias("other"))])
    held = frame.select(pl.col("key").alias("other"), "split").unique()
    beside = both.join(held, on="other").select("key", "split").unique()
    found = frame.join(beside, on=["key", "split"], how="semi", maintain_order="left")
    return [
        _finding("duplicate.exact", exact, items.height, "same normalised statement and context in the same split"),
        _finding("duplicate.near", found, items.height, "with a nearly identical statement in the same split"),
    ]


def _top_shared(items: pl.DataFrame) -> pl.Expr:
    """Whether several options lead, by the shares that decide the label, else by the votes."""
    for column in ("label_probs", "label_counts"):
        if isinstance(items.schema.get(column), pl.List):
            votes = pl.col(column).list
            at_top = votes.eval(pl.element() > pl.element().max() - 1e-9).list.sum()
            return ((at_top > 1) & (votes.max() > 0)).fill_null(False)
    return pl.lit(False)


def label_findings(items: pl.DataFrame, annotations: pl.DataFrame, questions: pl.DataFrame) -> list[Finding]:
    """``label.conflict``, ``label.range``, ``label.missing``, ``label.tie``."""
    config = "config" if "config" in items.columns else pl.lit("default").alias("config")
    label = pl.col("label").cast(pl.String)
    text = pl.col("statement").alias("text")
    frame = items.select("item_id", text, label, exact_key(items).alias("key"), config)
    labelled = frame.drop_nulls("label")
    several = pl.col("label").n_unique().over("key", "config") > 1
    conflict = labelled.filter(several).sort("key", maintain_order=True)
    kinds = ("nominal", "ordinal", "set")
    named = questions.is_empty() or questions["kind"].cast(pl.String)[0] in kinds
    ties = items.select("item_id", text, label, _top_shared(items).alias("tie"))
    missing = ties.filter(pl.col("label").is_null() & ~pl.col("tie") & named)
    note = "" if named else "the primary question has no label"
    return [
        _finding("label.conflict", conflict, labelled.height, "records with the same text and different labels"),
        _range(frame, annotations, questions),
        _finding("label.missing", missing, items.height, note),
        _finding("label.tie", ties.filter(pl.col("tie") & named), items.height, note or "most votes shared"),
    ]


def _range(frame: pl.DataFrame, annotations: pl.DataFrame, questions: pl.DataFrame) -> Finding:
    """Labels that are no option of the primary question, and values that are no option of theirs."""
    asked = questions.select("question", pl.col("kind").cast(pl.String), "options")
    asked = asked.filter(pl.col("kind").is_in(_NAMED_VALUES) & (pl.col("options").list.len() > 0))
    labels = frame.select("item_id", of_config(questions).alias("question"), pl.col("label").alias("value"))
    values = annotations.select("item_id", "question", pl.col("value").cast(pl.String))
    rows = pl.concat([labels, values]).drop_nulls("value").join(asked, on="question", maintain_order="left")
    out = rows.filter(~pl.col("value").is_in(pl.col("options"))).rename({"value": "text"})
    found = ", ".join(f'"{excerpt(v, length=30)}"' for v in out["text"].unique().sort().head(5))
    return _finding("label.range", out, rows.height, f"not among the options: {found}" if found else "")


def name_findings(items: pl.DataFrame) -> list[Finding]:
    """``id.duplicate`` (rows beyond the first of an id), ``split.name`` (names that the Hub refuses)."""
    rows = items.select("item_id", pl.col("statement").alias("text"))
    twice = rows.filter(~pl.col("item_id").is_first_distinct())
    names = items["split"].unique().sort().to_list()
    bad = tuple(n for n in names if not SPLIT_NAME.fullmatch(n) or n == "all")
    note = 'names are words joined by dots, and not "all"'
    return [
        _finding("id.duplicate", twice, items.height, ""),
        Finding("split.name", SEVERITIES["split.name"], len(bad), len(names), tuple(excerpt(n) for n in bad), note),
    ]


def rating_findings(annotations: pl.DataFrame, questions: pl.DataFrame) -> list[Finding]:
    """``rating.twice`` (one person, one question, one occasion, several ratings), ``annotations.single``."""
    key = ["item_id", "annotator_id", "question", *(c for c in ("occasion",) if c in annotations.columns)]
    known = annotations.filter(~pl.col("annotator_id").str.ends_with(f":{UNKNOWN_ANNOTATOR}"))
    given = known.group_by(key, maintain_order=True).agg(pl.col("rating_id").n_unique().alias("n"))
    twice = given.filter(pl.col("n") > 1).with_columns(
        pl.concat_str("annotator_id", pl.lit(" on "), "question", pl.lit(", "), "n", pl.lit(" ratings")).alias("text")
    )
    asked = list(primary_questions(questions).values())
    primary = annotations.filter(pl.col("question").is_in(asked)) if asked else annotations
    rated = primary.group_by("item_id", maintain_order=True).agg(pl.col("rating_id").n_unique().alias("n"))
    single = rated.filter(pl.col("n") == 1).with_columns(pl.lit("one rating").alias("text"))
    note = "items with a single rating give no agreement"
    return [
        _finding("rating.twice", twice, given.height, "values that share a rating_id are one rating"),
        _finding("annotations.single", single, rated.height, note),
    ]


def _finding(name: str, rows: pl.DataFrame, total: int, note: str) -> Finding:
    return Finding(name, SEVERITIES[name], rows.height, total, examples(rows), note, items=rows["item_id"])
