"""The words that matter to a run, by method, and what it says without them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
import streamlit as st

from dfar_toolkit._viewer.sinks import MarkedWord, show_table, show_text, show_words
from dfar_toolkit.browsing.word_rationales import RatedWord, WordRationale, field_texts, word_rationales

_TRIED: Final = ("without_evidence", "only_evidence", "without_top", "only_top", "empty")
_TESTS: Final = ("inserted", "cot_full", "cot_early", "cot_mistake", "cot_filler", "cot_paraphrase")
_OWN: Final = ("without_evidence", "only_evidence")
_MOST: Final = 60  # rows of the table that are shown


def answers_only(outputs: pl.DataFrame) -> pl.DataFrame:
    """The rows that answer: neither rationales, nor answers about changed items or changed reasons."""
    aside = pl.col("condition").is_in(["rationale", *_TRIED, *_TESTS])
    return outputs.filter(~aside)


def show_rationales(said: pl.DataFrame, item: Mapping[str, Any]) -> None:
    """For each run of an item: its rationales word by word, and its answers without their words.

    Args:
        said: All outputs about the item.
        item: The item.
    """
    for (run,), rows in said.group_by("run_id", maintain_order=True):
        rationales = word_rationales(rows.filter(pl.col("condition") == "rationale", pl.col("draw") == 0), item)
        if not rationales:
            continue
        st.subheader("Words that matter")
        show_text(f"{run}: blue speaks for the label, orange against it; underlined words were chosen")
        for one in rationales:
            with st.container(border=True, gap="xxsmall"):
                show_text(" · ".join(part for part in (one.method.replace("_", " "), _target(one)) if part))
                _show_words(one, item)
        _show_steps(rows)


def _target(one: WordRationale) -> str:
    return f"of {one.target}" if one.target else ""


def _show_words(one: WordRationale, item: Mapping[str, Any]) -> None:
    if not one.words:
        show_text("(no words)")
        return
    largest = max((abs(word.score) for word in one.words if word.score is not None), default=0.0)
    texts = field_texts(item)
    for field in dict.fromkeys(word.field for word in one.words):
        if field not in texts:
            continue
        own = [word for word in one.words if word.field == field and word.text is not None]
        show_words(texts[field], [_marked(word, largest) for word in own])


def _marked(word: RatedWord, largest: float) -> MarkedWord:
    weight = word.score / largest if word.score is not None and largest > 0 else float(word.chosen)
    return MarkedWord(word.start, word.end, weight, word.chosen)


def _show_steps(rows: pl.DataFrame) -> None:
    """What the run says to the item without the rationales' own words, and with these alone."""
    tried = rows.filter(pl.col("condition").is_in([*_OWN, "empty"]), pl.col("draw") == 0)
    if tried.is_empty():
        return
    lines = []
    for (method, operator), own in tried.group_by("method", "operator", maintain_order=True):
        by = {row["condition"]: row for row in own.iter_rows(named=True)}
        if method:
            lines.append([str(method), str(operator), *(_answer(by.get(name)) for name in _OWN)])
        else:
            lines.append(["(no word at all)", str(operator), _answer(by.get("empty")), ""])
    show_table(["method", "operator", "without the words", "the words alone"], lines[:_MOST])
    if len(lines) > _MOST:
        show_text(f"and {len(lines) - _MOST} more")


def _answer(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    if row["label"] is None:
        return "failed" if row["error"] else "unparsed"
    probs = row["label_probs"]
    return f"{row['label']} ({max(probs):.2f})" if probs else str(row["label"])
