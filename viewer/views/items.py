"""Items: search, facets, sorting, and the list itself; every state of it is an address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import streamlit as st

from dfar_toolkit._viewer.addresses import EVERYTHING, Place, bound, link, place, remember_step, set_parameters
from dfar_toolkit._viewer.arguments import arguments
from dfar_toolkit._viewer.facet_panel import facet_panel
from dfar_toolkit._viewer.markup import show
from dfar_toolkit._viewer.reason_reading import wait_for_reasons
from dfar_toolkit._viewer.saved_slices import show_saving
from dfar_toolkit._viewer.sinks import label
from dfar_toolkit._viewer.sources import opened
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows, n_pages, page
from dfar_toolkit.browsing.text_marks import TextPiece, marked_pieces, search_spans, snippet
from dfar_toolkit.tables import HUMAN_RUN

_LONGEST: Final = 280  # characters of a statement in the list
_SHOWN_RUNS: Final = 8  # whose answers stand in the list
_SLIDERS: Final = 4  # runs with a slider for the probability of the answer
_COLUMNS: Final = (
    "item_id", "statement", "label", "source", "split", "leak_kind", "n_ratings", "disagreement", "flagged"
)  # fmt: skip
_FIRST_COLUMNS: Final = ("item_id", "statement", "label", "source", "split", "leak_kind")  # read in a moment


def main() -> None:
    """The page."""
    index = opened()
    here = place(index)
    with st.sidebar:
        _ask_text()
    wait_for_reasons(index, here.wanted)
    shown = index.runs[:_SHOWN_RUNS]
    by_run = [f"{what} {run}" for run in shown for what in ("answer", "state", "probability")]
    undo = remember_step("items")
    # A large set is still being read: what is there already can be looked at. Later the list is changed in place.
    slot = None if index.holds([*_COLUMNS, *by_run]) else st.empty()
    if slot is not None:
        with slot:
            _show_list(index, here, _FIRST_COLUMNS, (), undo, orders=[])
    with slot or st.container():
        _show_list(index, here, _COLUMNS, shown, undo, orders=_orders(here, index))
    with st.sidebar:
        _ask_ranges(index, here.wanted)
        show("facets.jinja", {"panel": facet_panel(index, here.wanted, here.order), "runs": index.runs})
    given = arguments()
    if given.marks is not None and here.wanted != EVERYTHING:
        show_saving(given, here.wanted)


def _show_list(
    index: ItemIndex, here: Place, columns: Sequence[str], runs: tuple[str, ...], undo: str,
    orders: list[tuple[str, str, bool]],
) -> None:  # fmt: skip
    rows = found_rows(index, here.wanted, order=here.order)
    last = n_pages(rows)
    number = min(max(1, here.number), last)
    by_run = [f"{what} {run}" for run in runs for what in ("answer", "state", "probability")]
    listed = page(index, rows, number - 1, [*columns, *by_run])
    texts = [_one_line(text) for text in listed["statement"]]
    values = {
        "n": len(rows),
        "whole": len(index),
        "chips": [(chip.words, link("items", chip.rest, order=here.order)) for chip in here.wanted.chips()],
        "undo": undo,
        "reset": link("items"),
        "problems": [*here.problems, *index.problems],
        "orders": orders,
        "rows": [
            _row(row, snippet(marked_pieces(text, search_spans(text, here.wanted)), _LONGEST), here, runs)
            for row, text in zip(listed.iter_rows(named=True), texts, strict=True)
        ],
        "runs": index.runs,
        "more_runs": len(index.runs) - len(runs) if runs else 0,
        "number": number,
        "last": last,
        "turns": _turns(here, number, last),
    }
    show("items.jinja", values)


def _ask_text() -> None:
    """What to search for, in statements and in reasons; it is taken when Enter is pressed."""
    st.text_input("In statements", key="text", placeholder="Search statements", on_change=bound("text", "text"))
    st.text_input("Pattern", key="regex", placeholder="Regular expression", on_change=bound("regex", "regex"),
                  label_visibility="collapsed")  # fmt: skip
    st.text_input("In reasons", key="reason", placeholder="Search reasons", on_change=bound("reason", "reason"))
    st.text_input("Pattern in reasons", key="reason_regex", placeholder="Pattern in reasons",
                  on_change=bound("reason_regex", "reason_regex"), label_visibility="collapsed")  # fmt: skip


def _ask_ranges(index: ItemIndex, wanted: ItemFilter) -> None:
    with st.expander("Length, disagreement, probability"):
        longest = int(index.remembered("longest statement", lambda: index.column("length").max() or 0))  # type: ignore[arg-type]
        if longest > 0:
            _slider("Characters", "length", (0, longest), wanted.length, 1)
        if index.column("disagreement").null_count() < len(index):
            _slider("Disagreement of people", "disagreement", (0.0, 1.0), wanted.disagreement, 0.05)
        held = {run: ends for run, *ends in wanted.probability}
        for run in index.runs[:_SLIDERS]:
            if index.column(f"probability {run}").null_count() < len(index):
                others = [v for v in wanted.to_query().get("probability", []) if not v.startswith(f"{run}:")]
                _slider(f"Probability of the answer of {label(run)}", f"probability {run}", (0.0, 1.0), held.get(run),
                        0.05, run=run, others=others)  # fmt: skip


def _slider(
    words: str, key: str, ends: tuple[Any, Any], held: Any, step: Any, *, run: str = "", others: Any = ()
) -> None:
    """A range that stands in the address as ``from..to``; the whole of it filters nothing."""
    low, high = held or (None, None)
    st.session_state[key] = (
        min(max(ends[0] if low is None else low, ends[0]), ends[1]),
        min(max(ends[1] if high is None else high, ends[0]), ends[1]),
    )

    def write() -> None:
        begin, end = st.session_state[key]
        kept = (None if begin <= ends[0] else begin, None if end >= ends[1] else end)
        change: dict[str, Any] = {"probability": ()} if run else {key: None}
        if kept != (None, None):
            change = {"probability": ((run, *kept),)} if run else {key: kept}
        query = ItemFilter(**change).to_query()
        name = "probability" if run else key
        said = query.get(name, [])
        set_parameters({name: [*others, *said] if run else said})

    st.slider(words, ends[0], ends[1], key=key, step=step, on_change=write)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _row(row: dict[str, Any], pieces: list[TextPiece], here: Place, runs: tuple[str, ...]) -> dict[str, Any]:
    more = {"id": row["item_id"]}
    answers = [
        {
            "run": run,
            "answer": row[f"answer {run}"],
            "state": row[f"state {run}"],
            "probability": row[f"probability {run}"],
        }
        for run in runs
    ]
    return {
        **{name: row.get(name) for name in _COLUMNS if name != "statement"},
        "pieces": pieces,
        "empty": not any(piece.text for piece in pieces),
        "answers": answers,
        "href": link("item", here.wanted, order=here.order, more=more),
    }


def _orders(here: Place, index: ItemIndex) -> list[tuple[str, str, bool]]:
    """Words, address and whether it is the present one, for every way to sort."""
    named = {"": "as in the files", "-disagreement": "most disputed", "disagreement": "least disputed",
             "-n_ratings": "most ratings", "-length": "longest", "length": "shortest"}  # fmt: skip
    for run in index.runs[:_SLIDERS]:
        if index.column(f"probability {run}").null_count() < len(index):
            named[f"-probability {run}"] = f"surest by {run}"
            named[f"probability {run}"] = f"least sure by {run}"
    if len(index.judgements()):
        judged = [f"judged bad {run}" for run in (*index.runs, HUMAN_RUN)]
        named |= {f"-{name}": name.replace("judged bad", "judged worst:") for name in judged if _any(index, name)}
    if here.order not in named:
        named[here.order] = here.order
    return [(words, link("items", here.wanted, order=order), order == here.order) for order, words in named.items()]


def _any(index: ItemIndex, name: str) -> bool:
    return index.column(name).null_count() < len(index)


def _turns(here: Place, number: int, last: int) -> list[tuple[str, str, str]]:
    """Previous and next page: words, address (empty where there is none), key."""
    to = [("Previous", number - 1, "p"), ("Next", number + 1, "n")]
    turn = replace(here, number=1)
    return [
        (words, link("items", turn.wanted, order=turn.order, number=n) if 1 <= n <= last else "", key)
        for words, n, key in to
    ]


main()
