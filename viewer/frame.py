"""What stands around every page: style, navigation that keeps the filter, and what could not be read."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl
import streamlit as st
from streamlit.navigation.page import StreamlitPage

from dfar_toolkit._viewer.access import Role, role
from dfar_toolkit._viewer.addresses import EVERYTHING, link, parameter, parameters
from dfar_toolkit._viewer.arguments import arguments
from dfar_toolkit._viewer.doors import SERVED
from dfar_toolkit._viewer.markup import clip, page_script, show, style
from dfar_toolkit._viewer.sinks import show_problem
from dfar_toolkit.browsing.item_columns import reason
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.errors import DfarError

_LOG: Final = logging.getLogger(__name__)
_VIEWS: Final = Path(__file__).with_name("views")  # whole, as a Space starts from a script of its own


class Entry(NamedTuple):
    """A page: its file, title, address, who sees it, whether it takes the filter, and whether it is listed."""

    file: str
    title: str
    path: str
    roles: tuple[Role, ...]
    filtered: bool
    listed: bool = True


_READERS: Final[tuple[Role, ...]] = ("reader", "coordinator")
ENTRIES: Final = (
    Entry("overview", "Overview", "", _READERS, filtered=False),
    Entry("items", "Items", "items", _READERS, filtered=True),
    Entry("item", "Item", "item", _READERS, filtered=True, listed=False),
    Entry("agreement", "Agreement", "agreement", _READERS, filtered=False),
    Entry("runs", "Runs", "runs", _READERS, filtered=False),
    Entry("compare", "Compare", "compare", _READERS, filtered=False),
    Entry("errors", "Errors", "errors", _READERS, filtered=True),
    Entry("faithfulness", "Faithfulness", "faithfulness", _READERS, filtered=False),
    Entry("judge", "Judge", "judge", ("reader", "judge", "coordinator"), filtered=False),
    Entry("coordinator", "Coordinator", "coordinator", ("coordinator",), filtered=False),
    Entry("export", "Export", "export", _READERS, filtered=True),
)


def open_frame() -> None:
    """Draw the page that the address names, with everything around it."""
    st.set_page_config(page_title="DFAR viewer", layout="wide", initial_sidebar_state="auto")
    st.html(f"<style>{_colours()}{style()}</style>")
    if SERVED not in os.environ:
        st.html(f"<script>{page_script()}</script>", unsafe_allow_javascript=True)
    try:
        given = arguments()
    except DfarError as error:
        show_problem(error)
        return
    mine = role(given)
    entries = [entry for entry in ENTRIES if mine in entry.roles]
    pages = {
        entry.path: st.Page(
            _VIEWS / f"{entry.file}.py", title=entry.title, url_path=entry.path or "overview", default=not entry.path
        )
        for entry in entries
    }
    if "" not in pages:  # a judge's first page has its own address too
        pages[""] = st.Page(_VIEWS / f"{entries[0].file}.py", title=entries[0].title, url_path="start", default=True)
    chosen = st.navigation(list(pages.values()), position="hidden")
    current = next(path for path, page in pages.items() if page == chosen)
    st.set_page_config(page_title=_title(current, entries))
    _navigation([entry for entry in entries if entry.listed], current)
    if given.refused:
        st.html(f'<div class="d-note">{given.refused}</div>')
    _run(chosen)


def _run(page: StreamlitPage) -> None:
    """Draw a page; what it cannot be made of is said in a line, and whatever else goes wrong stands in the terminal."""
    try:
        page.run()
    except DfarError as error:
        show_problem(error)
    except (OSError, pl.exceptions.PolarsError) as error:
        show_problem(f"A file of the set cannot be read: {reason(error)}")
    except Exception:
        _LOG.exception("a page could not be made")
        show_problem("This page could not be made; the terminal in which the viewer runs says why.")


def _title(current: str, entries: list[Entry]) -> str:
    """What the tab, the history and a bookmark are called: the page, of an item its id."""
    named = next((entry.title for entry in entries if entry.path == current), entries[0].title)
    shown = clip(parameter("id"), 80) if current == "item" else ""
    return f"{shown or named} · DFAR"


def _navigation(entries: list[Entry], current: str) -> None:
    if len(entries) < 2:
        return
    wanted, _ = ItemFilter.from_query(parameters())
    shown = "items" if current == "item" else current
    links = [
        (entry.title, link(entry.path, wanted if entry.filtered else EVERYTHING), entry.path == shown)
        for entry in entries
    ]
    show("navigation.jinja", {"links": links})


def _colours() -> str:
    """The colours of the reader's scheme."""
    return _DARK if st.context.theme.type == "dark" else _LIGHT


# Eight run colours after Okabe and Ito (2008), told apart by colour-blind readers; lighter ones on a dark page.
_LIGHT: Final = """:root {
  --ink: #1b1f24; --quiet: #59636e; --rule: #e1e5ea; --card: #ffffff; --raised: #f5f7f9; --accent: #2f5f95;
  --page: #ffffff;
  --good: #1d7a5f; --bad: #b3362d; --odd: #8a6100; --for: 68, 119, 170; --against: 213, 94, 0; --mark: #ffe08a;
  --run-0: #0b6fb0; --run-1: #c25700; --run-2: #00805d; --run-3: #a84a80; --run-4: #7a6a00; --run-5: #2b7fa8;
  --run-6: #6a51a3; --run-7: #5b5f66; --people: #2f5f95; }
"""
_DARK: Final = """:root {
  --ink: #e6e9ed; --quiet: #9aa4af; --rule: #2c333c; --card: #191d23; --raised: #20252c; --accent: #86b6e8;
  --page: #13161b;
  --good: #5cc8a4; --bad: #ff8a7d; --odd: #e6b84c; --for: 110, 170, 230; --against: 240, 140, 60; --mark: #6b5510;
  --run-0: #6cb8f0; --run-1: #ff9d4d; --run-2: #3fcf9f; --run-3: #e792c0; --run-4: #e5d352; --run-5: #7fd0f5;
  --run-6: #b9a3ee; --run-7: #b3b9c2; --people: #86b6e8; }
"""
