"""Filters kept under a name: saving the present one, and the list of all with what runs make of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import streamlit as st

from dfar_toolkit._viewer.addresses import EVERYTHING, link, parameter, parameters
from dfar_toolkit._viewer.arguments import Arguments
from dfar_toolkit._viewer.markup import show
from dfar_toolkit._viewer.sinks import label, show_problem
from dfar_toolkit.browsing.error_table import error_rate
from dfar_toolkit.browsing.filter_fitting import fitted
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows
from dfar_toolkit.browsing.slow_results import filter_key, slow_results
from dfar_toolkit.errors import DfarError
from dfar_toolkit.estimate import Estimate
from dfar_toolkit.files.slices_log import LONGEST_NAME, SavedSlice, SlicesLog, saved_slices

_PERSON: Final = "marks person"  # of this browser's session; flags and comments ask for it too
_FIRST: Final = 20  # slices listed before all are asked for


def show_saving(given: Arguments, wanted: ItemFilter) -> None:
    """A field and a button that keep a filter under a name; a quiet line where nothing is written.

    Args:
        given: What the viewer was started with.
        wanted: The filter.
    """
    if given.marks is None or wanted == EVERYTHING:
        show("saved_off.jinja", {"writing": given.marks is not None})
        return
    with st.form("save slice", border=False, clear_on_submit=True):
        name_at, person_at, button_at = st.columns([5, 3, 2], vertical_alignment="bottom")
        name = name_at.text_input("Save this filter as", max_chars=LONGEST_NAME, placeholder="A name for the slice")
        known = str(st.session_state.get(_PERSON, ""))
        person = person_at.text_input("Your name", value=known, max_chars=LONGEST_NAME)
        sent = button_at.form_submit_button("Save slice", width="stretch")
    if sent:
        _save(given.marks, person, name, wanted)


def _save(folder: Path, person: str, name: str, wanted: ItemFilter) -> None:
    if not name.strip() or not person.strip():
        show_problem("A slice needs a name, and yours, so that others know whose it is.")
        return
    try:
        log = SlicesLog(folder, person)
        log.add(SavedSlice(name.strip(), wanted.to_query()))
    except (DfarError, OSError) as error:
        show_problem(error)
        return
    st.session_state[_PERSON] = log.person
    st.rerun()


def show_saved(index: ItemIndex, given: Arguments, run: str) -> None:
    """Every slice that stands, with the error rate of each run inside it; the reader's own can be taken away.

    Args:
        index: The items.
        given: What the viewer was started with.
        run: The run whose errors are looked at: slices open on this page with it.
    """
    if given.marks is None:
        return
    try:
        slices = saved_slices(given.marks)[::-1]
    except (DfarError, OSError) as error:
        show_problem(error)
        return
    every = parameter("saved") == "all"
    shown = slices if every else slices[:_FIRST]
    to_all = link("errors", ItemFilter.from_query(parameters())[0], more={"run": run, "saved": "all"})
    show("saved_list.jinja", {
        "rows": [_row(index, one, run) for one in shown], "runs": index.runs, "more": len(slices) - len(shown),
        "to_all": to_all,
    })  # fmt: skip
    person = str(st.session_state.get(_PERSON, ""))
    _removing(given.marks, [one for one in shown if person and one.person == person])


def _row(index: ItemIndex, one: SavedSlice, run: str) -> dict[str, Any]:
    wanted, problems = ItemFilter.from_query(one.query)
    wanted, more = fitted(wanted, index)
    return {
        "name": one.name, "person": one.person, "words": wanted.words(), "problems": [*problems, *more],
        "n": len(found_rows(index, wanted)), "rates": list(zip(index.runs, _rates(index, wanted), strict=True)),
        "href": link("items", wanted), "errors_href": link("errors", wanted, more={"run": run}),
    }  # fmt: skip


def _rates(index: ItemIndex, wanted: ItemFilter) -> Sequence[Estimate]:
    made = slow_results(index)
    return made.get(
        ("error rates", filter_key(index, wanted)),
        lambda: [error_rate(index, run, wanted=wanted) for run in index.runs],
    )


def _removing(folder: Path, mine: Sequence[SavedSlice]) -> None:
    if not mine:
        return
    with st.popover("Take a slice of mine away"):
        for one in mine:
            if st.button(label(one.name[:80]), key=f"withdraw {one.key}"):
                try:
                    SlicesLog(folder, one.person).withdraw(one.key)
                except (DfarError, OSError) as error:
                    show_problem(error)
                    return
                st.rerun()
