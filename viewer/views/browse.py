"""Browse: the list of items with filters, and one item with everything that people and models said about it."""

from __future__ import annotations

from functools import partial

import polars as pl
import streamlit as st

from dfar_toolkit._viewer.data import (
    arguments,
    item_list,
    key,
    load_folder,
    load_judgements,
    load_runs,
    source,
)
from dfar_toolkit._viewer.detail import show_item
from dfar_toolkit._viewer.filters import NO_LEAK, Filters, filtered
from dfar_toolkit._viewer.sinks import show_problem, show_text
from dfar_toolkit.errors import DfarError
from dfar_toolkit.files.items import ItemsFolder

PAGE = 50
ROW = 66  # pixels; cells wrap in rows of more than 64


def ask(folder: ItemsFolder, runs: list[str]) -> Filters:
    """The filters; their values stand in the address, so a view can be shared by its link."""
    items = folder.items
    first = st.columns([2, 1, 1])
    text = first[0].text_input("Text contains", key="q", bind="query-params")
    labels = first[1].multiselect("Label", folder.options, key="label", bind="query-params")
    known = items["split"].unique(maintain_order=True).to_list()
    splits = first[2].multiselect("Split", known, key="split", bind="query-params")
    leaks = [NO_LEAK, *items["leak_kind"].drop_nulls().unique().sort().to_list()]
    second = st.columns([2, 1, 1])
    if runs:
        pair = second[0].columns(2)
        wrong = pair[0].multiselect("Gold differs from prediction in", runs, key="wrong", bind="query-params")
        right = pair[1].multiselect("Gold equals prediction in", runs, key="right", bind="query-params")
    else:
        wrong, right = [], []
    least = second[1].slider("Disagreement at least", 0.0, 1.0, 0.0, 0.05, key="disagreement", bind="query-params")
    kinds: list[str] = []
    if len(leaks) > 1:
        kinds = second[2].multiselect("Leak", leaks, key="leak", bind="query-params")
    return Filters(text, tuple(labels), tuple(splits), tuple(kinds), least, tuple(wrong), tuple(right))


def show_list(listed: pl.DataFrame, runs: list[str]) -> None:
    """One page of rows; a click on a row opens the item below."""
    pages = max(1, -(-len(listed) // PAGE))
    line = st.columns([3, 2], vertical_alignment="center")
    with line[1]:
        page = st.pagination(pages, key="page", bind="query-params")
    start = (page - 1) * PAGE
    rows = listed.slice(start, PAGE)
    line[0].text(
        f"{len(listed):,} item{'' if len(listed) == 1 else 's'}"
        + (f", {start + 1:,} to {start + len(rows):,} shown" if len(rows) else "")
    )
    here = pl.when(pl.col("item_id") == open_item()).then(pl.lit("▶")).otherwise(pl.lit("")).alias(" ")
    shown = rows.select(here, *_COLUMNS, *map(_answer, runs))
    shown = shown.with_columns(
        pl.col("leak_kind", "label").fill_null(""), pl.col("statement").str.replace_all(r"\s+", " ")
    )
    ids = rows["item_id"].to_list()
    table = f"table{hash(tuple(ids))}"  # other rows, another widget: a selection means a position in its own rows
    st.dataframe(
        shown,
        key=table,
        height=min(38 + ROW * max(1, len(rows)), 38 + 7 * ROW),
        row_height=ROW,
        hide_index=True,
        on_select=partial(_open_clicked, table, ids),
        selection_mode="single-row",
        column_config={
            " ": st.column_config.TextColumn(width=30),
            "item_id": st.column_config.TextColumn(width=150),
            "statement": st.column_config.TextColumn(width=560),
            "disagreement": st.column_config.NumberColumn(format="%.2f"),
        },
    )


def open_item() -> str:
    """The id of the open item; before its widget is drawn for the first time it stands in the address only."""
    return str(st.session_state.get("item", st.query_params.get("item", "")) or "").strip()


_COLUMNS = ("item_id", "statement", "label", "split", "n_ratings", "disagreement", "leak_kind")


def _answer(run: str) -> pl.Expr:
    """A run's label as a column of its name; empty where it was not asked."""
    said = pl.when(pl.col(f"has {run}")).then(pl.col(f"answer {run}").fill_null("(unparsed)")).otherwise(pl.lit(""))
    return said.alias(f"run {run}" if run in _COLUMNS else run)


def _open_clicked(table: str, ids: list[str]) -> None:
    rows = st.session_state[table]["selection"]["rows"]
    if rows and rows[0] < len(ids):
        st.session_state["item"] = ids[rows[0]]


def _step(ids: list[str], by: int) -> None:
    """Open the item before or after the open one, in the order of the list."""
    here = ids.index(st.session_state["item"]) if st.session_state["item"] in ids else -1
    st.session_state["item"] = ids[max(0, min(len(ids) - 1, here + by))]


def ask_item(listed: pl.DataFrame) -> str:
    """The open item: typed, clicked, or stepped to."""
    line = st.columns([4, 1, 1], vertical_alignment="bottom")
    ids = listed["item_id"].to_list()
    chosen = line[0].text_input("Item", key="item", placeholder="click a row, or type an item_id", bind="query-params")
    disabled = not ids
    line[1].button("Previous", shortcut="P", on_click=_step, args=(ids, -1), disabled=disabled, width="stretch")
    line[2].button("Next", shortcut="N", on_click=_step, args=(ids, 1), disabled=disabled, width="stretch")
    return chosen.strip()


def say_place(chosen: str, listed: pl.DataFrame) -> None:
    """Where in the list the open item stands, or that the filters leave it out."""
    places = (listed["item_id"] == chosen).arg_true()
    if len(places):
        page = places[0] // PAGE + 1
        show_text(f"{chosen}: number {places[0] + 1:,} of {len(listed):,} in this list, marked ▶ on page {page}")
    else:
        show_text(f"{chosen}: not in this list (the filters leave it out)")


def main() -> None:
    """The page."""
    try:
        given = arguments()
        folder, items = load_folder(given.items), key(source(given.items))
    except (DfarError, OSError) as error:
        show_problem(error)
        return
    runs = load_runs(given)
    judgements, problem = load_judgements(given)
    for message in [*runs.problems, *([problem] if problem else [])]:
        show_problem(message)
    names = list(runs.files)
    whole = item_list(items, tuple(dict.fromkeys(key(s) for s in runs.files.values())))
    wanted = ask(folder, names)
    listed = filtered(whole, wanted)
    show_list(listed, names)
    chosen = ask_item(listed)
    if not chosen:
        return
    if chosen not in whole["item_id"]:
        show_problem(f'no item has the id "{chosen}"; copy one from the list')
        return
    say_place(chosen, listed)
    facts = whole.row(by_predicate=pl.col("item_id") == chosen, named=True)
    show_item(chosen, folder, facts, runs, judgements, searched=wanted.text)


main()
