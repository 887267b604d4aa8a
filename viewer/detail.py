"""One item in full: the statement, every person's label and reason, every model's beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from dfar_toolkit._viewer.data import Runs
from dfar_toolkit._viewer.rationales import answers_only, show_rationales
from dfar_toolkit._viewer.sinks import show_block, show_chip, show_legend, show_marked, show_text
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.tables import HUMAN_RUN

_RIGHT, _WRONG, _NEITHER, _PEOPLE = "#23705f", "#b03040", "#5c6570", "#4477aa"
_LEGEND = (("people", _PEOPLE), ("model: right", _RIGHT), ("model: wrong", _WRONG), ("no gold, or unparsed", _NEITHER))


def show_item(
    item_id: str,
    folder: ItemsFolder,
    facts: Mapping[str, Any],
    runs: Runs,
    judgements: pl.DataFrame | None,
    *,
    searched: str = "",
) -> None:
    """Everything about one item; the text that was searched for is marked in the statement."""
    item = folder.items.row(by_predicate=pl.col("item_id") == item_id, named=True)
    if searched:
        show_marked(item["statement"], searched)
    else:
        show_block(item["statement"])
    for part in item["context"]:
        show_text(f"{part['role'] or part['field']}: {part['text']}")
    _facts(item, facts, folder.options)
    about = judgements.filter(pl.col("item_id") == item_id) if judgements is not None else None
    show_legend(_LEGEND)
    people, models = st.columns(2, gap="medium")
    with people:
        st.subheader("People")
        _people(folder.annotations.filter(pl.col("item_id") == item_id), about, bands(folder))
    with models:
        st.subheader("Models")
        _models(item_id, item, folder, runs, about)
    if runs.outputs.width:
        show_rationales(runs.outputs.filter(pl.col("item_id") == item_id), item)


def _facts(item: Mapping[str, Any], facts: Mapping[str, Any], options: list[str]) -> None:
    names = item["option_texts"] or options
    gold = item["label"] if item["label"] is not None else "none (people are tied)"
    lines = {"label": gold, "votes": _votes(names, item["label_counts"]), "split": item["split"]}
    if facts["disagreement"] is not None and facts["disagreement"] == facts["disagreement"]:
        lines["disagreement"] = f"{facts['disagreement']:.2f} over {facts['n_ratings']} ratings"
    if item["leak_kind"]:
        others = item["leak_of"] or []
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        lines["leak"] = f"{item['leak_kind']} of {', '.join(others[:3])}{more}"
    if item["group"] != item["item_id"]:
        lines["group"] = item["group"]
    show_text("\n".join(f"{name}: {value}" for name, value in lines.items() if value))


def _votes(names: list[str], counts: list[int] | None) -> str:
    return "" if counts is None else ", ".join(f"{n} {c}" for n, c in zip(names, counts, strict=False))


def bands(folder: ItemsFolder) -> dict[str, str]:
    """What is known of each annotator, such as age band and gender, as one line."""
    names = [c for c in folder.raters.columns if c not in ("annotator_id", "kind")]
    listed = {}
    for row in folder.raters.iter_rows(named=True):
        known = [f"{name} {row[name]}" for name in names if row[name] is not None and row[name] != ""]
        listed[str(row["annotator_id"])] = ", ".join(known)
    return listed


def _people(annotations: pl.DataFrame, judgements: pl.DataFrame | None, about: Mapping[str, str]) -> None:
    """One card per rating; the values of a set-valued rating stand together."""
    if annotations.is_empty():
        st.text("no annotations")
    several = annotations["question"].n_unique() > 1
    for _, rating in annotations.group_by("question", "annotator_id", "rating_id", maintain_order=True):
        first = rating.row(0, named=True)
        with st.container(border=True, gap="xxsmall"):
            asked = first["question"] if several else ""
            show_text(" · ".join(p for p in (first["annotator_id"], asked, about.get(first["annotator_id"])) if p))
            for row in rating.iter_rows(named=True):
                show_chip(row["value"], colour=_PEOPLE)
                show_text(row["reason"] if row["reason"] else "(no reason)")
            _verdicts(judgements, f"{HUMAN_RUN}/{first['rating_id']}")


def _models(
    item_id: str, item: Mapping[str, Any], folder: ItemsFolder, runs: Runs, judgements: pl.DataFrame | None
) -> None:
    """One card per output; whether it agrees with people is said for the primary question."""
    said = runs.outputs.filter(pl.col("item_id") == item_id) if runs.outputs.width else runs.outputs
    said = answers_only(said) if said.width else said
    if said.is_empty():
        st.text("no outputs about this item")
        return
    for row in said.iter_rows(named=True):
        with st.container(border=True, gap="xxsmall"):
            show_text(_heading(row, folder.question))
            if row["label"] is None:
                show_chip("failed" if row["error"] else "unparsed", colour=_NEITHER)
            else:
                judged = row["question"] == folder.question and item["label"] is not None
                colour = (_RIGHT if row["label"] == item["label"] else _WRONG) if judged else _NEITHER
                show_chip(row["label"], colour=colour)
            if row["label_probs"] is not None:
                names = row["options"] or (folder.options if row["question"] == folder.question else [])
                show_text(_probabilities(names, row["label_probs"]))
            unread = row["raw"] if row["label"] is None else None
            show_text(row["reason"] or row["error"] or unread or "(no reason)")
            _verdicts(judgements, row["output_id"])


def _heading(row: Mapping[str, Any], primary: str) -> str:
    """The run, and every part of the key that is not its default."""
    plain = {"question": primary, "sample": 0, "annotator_id": "", "method": "", "condition": "full", "operator": ""}
    parts = [f"{name} {row[name]}" for name, default in {**plain, "k": -1, "draw": 0}.items() if row[name] != default]
    return " · ".join([row["run_id"], *parts])


def _probabilities(names: list[str], probs: list[float]) -> str:
    shown = names if len(names) == len(probs) else [str(i) for i in range(len(probs))]
    return "  ".join(f"{n} {p:.2f}" for n, p in zip(shown, probs, strict=True))


def _verdicts(judgements: pl.DataFrame | None, output_id: str) -> None:
    """What judges said about the reason: the tally, then each judge."""
    if judgements is None:
        return
    about = judgements.filter(pl.col("output_id") == output_id)
    if about.is_empty():
        return
    values = about["value"].fill_null("no verdict")
    tally = values.value_counts().sort("value").rows()
    judges = []
    for row in about.iter_rows(named=True):
        said = row["value"] if row["value"] is not None else row["score"]
        judges.append(f"  {row['judge_id']}: {said}" + (f" – {row['note']}" if row["note"] else ""))
    show_text("\n".join(["judged " + ", ".join(f"{v} {n}" for v, n in tally), *judges]))
