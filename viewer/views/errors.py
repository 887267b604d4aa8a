"""Errors of one run under the filter: its confusion table, where it errs more, which errors to read first."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any, Final

import polars as pl
import streamlit as st

from dfar_toolkit._viewer.addresses import EVERYTHING, link, parameter, place
from dfar_toolkit._viewer.arguments import arguments
from dfar_toolkit._viewer.markup import show
from dfar_toolkit._viewer.saved_slices import show_saved, show_saving
from dfar_toolkit._viewer.sources import opened
from dfar_toolkit.browsing.error_table import NO_LABEL, ErrorTable, error_table, errors_of
from dfar_toolkit.browsing.filter_joining import joined
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.one_question import chosen_config, within_config
from dfar_toolkit.browsing.paging import found_rows, page
from dfar_toolkit.browsing.rated_question import rated_configs
from dfar_toolkit.browsing.slices import error_slices
from dfar_toolkit.browsing.slow_results import filter_key, slow_results

_LISTED: Final = 6
_AGREE, _SPLIT = ItemFilter(disagreement=(None, 0.2)), ItemFilter(disagreement=(0.4, None))


def main() -> None:
    """The page."""
    index = opened()
    if not index.runs:
        show("errors_none.jinja", {})
        return
    here = place(index)
    wished = parameter("run")
    run = wished if wished in index.runs else index.runs[0]
    problems = [*here.problems, *([f'There is no run "{wished}".'] if wished not in ("", run) else [])]
    config = chosen_config(index, [run], (here.wanted.config or ("",))[0])
    here = replace(here, wanted=replace(here.wanted, config=within_config(config).config or here.wanted.config))
    show("errors_head.jinja", _head(index, run, here.wanted, problems))
    show("configs.jinja", {"configs": [
        (name, link("errors", replace(here.wanted, config=(name,)), more={"run": run}), name == config)
        for name in (rated_configs(index) if config else ())
    ]})  # fmt: skip
    results, name = slow_results(index), ("error table", run, filter_key(index, here.wanted))
    table = results.get(name, lambda: error_table(index, run, wanted=here.wanted))
    show("errors_confusion.jinja", _confusion(index, run, here.wanted, table))
    slices = st.container()
    if table.error_rate.n:
        show("errors_lists.jinja", {"run": run, "runs": index.runs, "lists": _lists(index, run, here.wanted)})
    show_saved(index, arguments(), run)
    show_saving(arguments(), here.wanted)
    if table.error_rate.n:
        with slices:
            show("errors_slices.jinja", _slices(index, run, here.wanted))


def _head(index: ItemIndex, run: str, wanted: ItemFilter, problems: list[str]) -> dict[str, Any]:
    return {
        "run": run, "runs": index.runs, "problems": problems, "n": len(found_rows(index, wanted)), "size": len(index),
        "others": [(name, link("errors", wanted, more={"run": name})) for name in index.runs if name != run],
        "chips": [(chip.words, link("errors", chip.rest, more={"run": run})) for chip in wanted.chips()],
        "reset": link("errors", EVERYTHING, more={"run": run}), "items": link("items", wanted),
    }  # fmt: skip


def _confusion(index: ItemIndex, run: str, wanted: ItemFilter, table: ErrorTable) -> dict[str, Any]:
    """Rows by label and columns by answer, of those that occur."""
    cells = {(gold, answer, state): n for gold, answer, state, n in table.cells.iter_rows()}
    golds = [name for name in (*index.names("label"), "") if any(gold == name for gold, *_ in cells)]
    answers = [name for name in index.names(f"answer {run}") if name in golds or any(a == name for _, a, _ in cells)]
    states = [name for name in NO_LABEL if any(state == name for *_, state in cells)]
    columns = [(name, "") for name in answers] + [(None, name) for name in states]
    rows = []
    for gold in golds:
        whole = sum(n for (g, _, state), n in cells.items() if g == gold and state != "missing")
        rows.append({
            "gold": gold, "total": whole, "recall": table.recall.get(gold),
            "href": link("items", replace(wanted, gold=(gold,))),
            "cells": [_cell(run, wanted, gold, one, cells.get((gold, *one), 0), whole) for one in columns],
        })  # fmt: skip
    return {
        "run": run, "runs": index.runs, "answers": answers, "states": states, "rows": rows, "rate": table.error_rate,
        "shares": len(columns) <= 8, "heads": [link("items", _of_run(wanted, run, *one)) for one in columns],
        "items": link("items", errors_of(index, run, wanted)),
        "recalls": [(gold, table.recall[gold]) for gold in golds if gold in table.recall],
    }  # fmt: skip


def _cell(run: str, wanted: ItemFilter, gold: str, one: tuple[str | None, str], n: int, whole: int) -> dict[str, Any]:
    answer, state = one
    share = n / whole if whole and state != "missing" else math.nan
    kind = "plain" if gold == "" or state == "missing" else "right" if answer == gold else "wrong"
    return {
        "n": n,
        "share": share,
        "kind": kind,
        "href": link("items", replace(_of_run(wanted, run, *one), gold=(gold,))),
    }


def _of_run(wanted: ItemFilter, run: str, answer: str | None, state: str) -> ItemFilter:
    """The filter with this answer, or state without one, of the run in place of others."""
    if answer is not None:
        return replace(wanted, prediction=(*(pair for pair in wanted.prediction if pair[0] != run), (run, answer)))
    return replace(wanted, state=(*(pair for pair in wanted.state if pair[0] != run), (run, state)))


def _lists(index: ItemIndex, run: str, wanted: ItemFilter) -> list[dict[str, Any]]:
    """Short lists of errors, each with where all of it stands."""
    wrong = errors_of(index, run, wanted)
    listed = (
        ("Most confident", "the run gave its wrong answer the highest probability",
         "it gives no probabilities", wrong, f"-probability {run}"),
        ("Surely wrong", "people agree on another label", "people disagree wherever it errs", joined(wrong, _AGREE),
         "disagreement"),
        ("Maybe no error", "people themselves are split", "it errs nowhere that people are split",
         joined(wrong, _SPLIT), "-disagreement"),
    )  # fmt: skip
    found = []
    for title, said, none, one, order in listed:
        rows = _listed(index, run, one, order)
        href = link("items", one, order=order) if one else ""
        n = len(found_rows(index, one)) if one else 0
        found.append({"title": title, "said": said, "none": none, "rows": rows, "href": href, "n": n})
    return found


def _listed(index: ItemIndex, run: str, wanted: ItemFilter | None, order: str) -> list[dict[str, Any]]:
    if wanted is None:
        return []
    columns = ["item_id", "statement", "label", f"answer {run}", f"state {run}", f"probability {run}", "disagreement"]
    shown = page(index, found_rows(index, wanted, order=order), 0, columns, size=_LISTED)
    shown = shown.filter(pl.col(order.removeprefix("-")).is_not_null())
    names = ("row", "item_id", "statement", "label", "answer", "state", "probability", "disagreement")
    rows = [dict(zip(names, row, strict=True)) for row in shown.iter_rows()]
    return [row | {"href": link("item", wanted, order=order, more={"id": row["item_id"]})} for row in rows]


def _slices(index: ItemIndex, run: str, wanted: ItemFilter) -> dict[str, Any]:
    results, name = slow_results(index), ("error slices", run, filter_key(index, wanted))
    if results.knows(name):
        found = results.get(name, pl.DataFrame)
    else:
        with st.spinner("Looking for slices with more errors on one half of the groups, and testing them on the other"):
            found = results.get(name, lambda: error_slices(index, run, wanted=wanted))
    rows = [row | _opened(index, run, wanted, row["filter"]) for row in found.to_dicts()]
    return {"run": run, "runs": index.runs, "rows": rows}


def _opened(index: ItemIndex, run: str, wanted: ItemFilter, query: str) -> dict[str, str]:
    """Where a slice within the filter opens; nowhere if no one filter says both."""
    both = joined(wanted, ItemFilter.from_query(json.loads(query))[0])
    if both is None:
        return {"href": "", "errors_href": ""}
    return {"href": link("items", both), "errors_href": link("items", errors_of(index, run, both))}


main()
