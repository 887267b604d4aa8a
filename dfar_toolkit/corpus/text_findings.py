"""Findings about texts: reasons, damage, lengths."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.corpus import text_damage
from dfar_toolkit.corpus.findings import SEVERITIES, AuditThresholds, Finding, examples
from dfar_toolkit.corpus.records import exact_key
from dfar_toolkit.metrics.reasons.named_labels import named_labels, readable_labels


def given_reasons(items: pl.DataFrame, annotations: pl.DataFrame) -> pl.DataFrame:
    """Every reason with its item, its question and the value it was given for; null reasons were not asked for.

    Reasons come from the annotations; where none stands there, from the items' column ``reasons`` (question null).

    Returns:
        Frame ``item_id, question, value, text``.
    """
    columns = ["item_id", "question", pl.col("value").cast(pl.String), pl.col("reason").alias("text")]
    rows = pl.DataFrame(schema=dict.fromkeys(("item_id", "question", "value", "text"), pl.String))
    if "reason" in annotations.columns:
        rows = annotations.select(columns).drop_nulls("text")
    dtype = items.schema.get("reasons")
    if rows.height or not (isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct)):
        return (
            rows
            if rows.width
            else pl.DataFrame(schema=dict.fromkeys(("item_id", "question", "value", "text"), pl.String))
        )
    listed = items.select("item_id", "reasons").filter(pl.col("reasons").list.len() > 0).explode("reasons")
    reason = pl.col("reasons").struct
    return listed.select(
        "item_id", pl.lit(None, dtype=pl.String).alias("question"), reason.field("value"), reason.field("text")
    ).drop_nulls("text")


def reason_findings(items: pl.DataFrame, reasons: pl.DataFrame, questions: pl.DataFrame) -> list[Finding]:
    """``reason.empty``, ``reason.repeated``, ``reason.contradicts_label``, ``reason.names_both``.

    Args:
        items: The items.
        reasons: As :func:`given_reasons` returns them.
        questions: The questions; only nominal ones whose options are readable words are tested for contradiction.

    Returns:
        Four findings.
    """
    trimmed = reasons.with_columns(pl.col("text").str.strip_chars())
    empty = trimmed.filter(pl.col("text") == "")
    key = items.select("item_id", exact_key(items).alias("key")).unique("item_id", keep="first", maintain_order=True)
    texts = trimmed.filter(pl.col("text") != "").join(key, on="item_id", how="left", maintain_order="left")
    repeated = texts.unique(["text", "key"], keep="first", maintain_order=True)
    repeated = repeated.filter(~pl.col("text").is_first_distinct())
    return [
        _finding("reason.empty", empty, reasons.height, ""),
        _finding("reason.repeated", repeated, texts.height, "one reason for several statements, beyond the first"),
        *_contradictions(texts, questions),
    ]


def _contradictions(texts: pl.DataFrame, questions: pl.DataFrame) -> list[Finding]:
    """Reasons that state another option than their own value, and those that name several."""
    other, both, n_read = [texts.clear()], [texts.clear()], 0
    for place, (question, kind, options) in enumerate(questions.select("question", "kind", "options").iter_rows()):
        asked = pl.col("question") == question
        rows = texts.filter(asked | pl.col("question").is_null() if place == 0 else asked)
        if str(kind) != "nominal" or not readable_labels(options or []) or rows.is_empty():
            continue
        n_read += rows.height
        stated = named_labels(rows["text"], options)
        n_stated = stated.select(pl.sum_horizontal(pl.all().cast(pl.Int64))).to_series()
        own = pl.any_horizontal(pl.Series(stated[str(k)] & (rows["value"] == o)) for k, o in enumerate(options))
        other.append(rows.filter((n_stated == 1) & ~own))
        both.append(rows.filter(n_stated > 1))
    note = "a test of words: negation is read, reported speech and conditions are not"
    unread = "" if n_read else "not looked for: no nominal question with reasons and options that are words"
    return [
        _finding("reason.contradicts_label", pl.concat(other), n_read, unread or note),
        _finding("reason.names_both", pl.concat(both), n_read, unread or "states several options, so it decides none"),
    ]


def damage_findings(items: pl.DataFrame, texts: pl.DataFrame) -> list[Finding]:
    """``text.mojibake``, ``text.bom``, ``text.control``, ``text.quotes``, ``text.whitespace``; counts are items."""
    text = pl.col("text")
    straight = texts.select(text_damage.has_straight_quotes(text).any()).item()
    curly = texts.filter(text_damage.has_typographic_quotes(text))
    found = {
        "text.mojibake": (texts.filter(text_damage.mojibake(texts["text"])), "decoded with the wrong encoding"),
        "text.bom": (texts.filter(text_damage.has_bom(text)), "byte-order mark inside a text"),
        "text.control": (texts.filter(text_damage.has_control(text)), "control or invisible formatting characters"),
        "text.quotes": (
            curly if straight else curly.clear(),
            "typographic quotes in a set that has straight ones too; no damage, but mixed",
        ),
        "text.whitespace": (texts.filter(text_damage.has_outer_space(text)), "white space at the beginning or end"),
    }
    return [
        _finding(name, rows.unique("item_id", keep="first", maintain_order=True), items.height, note)
        for name, (rows, note) in found.items()
    ]


def all_texts(items: pl.DataFrame, reasons: pl.DataFrame) -> pl.DataFrame:
    """Statements, context texts, option texts and reasons, ``item_id, text``.

    Example:
        >>> items = pl.DataFrame({"item_id": ["p"], "statement": ["I lied."]})
        >>> all_texts(items, pl.DataFrame({"item_id": ["p"], "text": ["Lies hurt."]}))["text"].to_list()
        ['I lied.', 'Lies hurt.']
    """
    parts = [items.select("item_id", pl.col("statement").alias("text"))]
    for column in ("context", "option_texts"):
        dtype = items.schema.get(column)
        if isinstance(dtype, pl.List) and (isinstance(dtype.inner, pl.Struct) or dtype.inner == pl.String):
            rows = items.select("item_id", column).filter(pl.col(column).list.len() > 0).explode(column)
            text = pl.col(column).struct.field("text") if isinstance(dtype.inner, pl.Struct) else pl.col(column)
            parts.append(rows.select("item_id", text.alias("text")))
    return pl.concat([*parts, reasons.select("item_id", "text")]).drop_nulls("text")


def length_findings(items: pl.DataFrame, reasons: pl.DataFrame, thresholds: AuditThresholds) -> list[Finding]:
    """``length.statement`` and ``length.reason``: characters of the trimmed text outside the thresholds."""
    statements = items.select("item_id", pl.col("statement").alias("text")).drop_nulls("text")
    return [
        _length("length.statement", statements, thresholds.statement_min, thresholds.statement_max),
        _length("length.reason", reasons.select("item_id", "text"), thresholds.reason_min, thresholds.reason_max),
    ]


def _length(name: str, texts: pl.DataFrame, low: int, high: int) -> Finding:
    sized = texts.with_columns(pl.col("text").str.strip_chars().str.len_chars().alias("n"))
    outside = sized.filter((pl.col("n") < low) | (pl.col("n") > high))
    note = f"shorter than {low} or longer than {high} characters"
    if sized.height:
        five = [sized["n"].quantile(q, "nearest") for q in (0, 0.05, 0.5, 0.95, 1)]
        note += "; minimum, 5 %, median, 95 %, maximum: " + ", ".join(f"{v or 0:.0f}" for v in five)
    return _finding(name, outside, sized.height, note)


def _finding(name: str, rows: pl.DataFrame, total: int, note: str) -> Finding:
    return Finding(name, SEVERITIES[name], rows.height, total, examples(rows), note, items=rows["item_id"])
