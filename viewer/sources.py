"""The items and runs that are looked at: one index for all browsers, made again when a file changes."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl
import streamlit as st

from dfar_toolkit._viewer.arguments import Arguments, arguments, on_hub
from dfar_toolkit._viewer.run_reading import read_run
from dfar_toolkit._viewer.sinks import show_problem
from dfar_toolkit.browsing.group_codes import group_codes
from dfar_toolkit.browsing.item_columns import item_files
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.errors import DfarError
from dfar_toolkit.files.flags_log import flags_of
from dfar_toolkit.files.items import read_items
from dfar_toolkit.hub.addresses import address
from dfar_toolkit.hub.connection import Patience
from dfar_toolkit.hub.load import Snapshot, fetch_snapshot
from dfar_toolkit.hub.publish import TRAIL
from dfar_toolkit.journeys.how_read import HowRead

Stamp = tuple[tuple[str, int, int], ...]
_LISTED: Final = 200  # files of a folder whose change is noticed
_HUB: Final = Patience(connect=5, read=30, tries=3)  # somebody waits before an empty page


def opened() -> ItemIndex:
    """The index of what the viewer was started with; where that cannot be read the page says why and ends here."""
    try:
        given = resolved()
        index = _opened(given)
    except (DfarError, OSError) as error:
        show_problem(error)
        st.stop()
    if given.marks is not None:
        try:
            _flag(index, given.marks)
        except (DfarError, OSError) as error:
            show_problem(error)  # the items can be looked at all the same
    return index


def resolved() -> Arguments:
    """What the viewer was started with, all of it on this machine.

    A set that is named by an address of the Hub is in the Hub's cache then, with the outputs and judgements that were
    published beside it where no others were given.
    """
    given = arguments()
    if not on_hub(given.items):
        return given
    found = _snapshot(given.items)
    outputs, judgements = (tuple(sorted((found.folder / name).glob("*.parquet"))) for name in TRAIL)
    judged = given.judgements or (judgements[0] if len(judgements) == 1 and not given.outputs else None)
    return replace(given, items=str(found.folder), outputs=given.outputs or outputs, judgements=judged)


def items_folder(given: Arguments) -> Path:
    """The folder of the items on this machine; a set on the Hub is fetched when it is first asked for.

    Raises:
        HubError: It cannot be fetched.
    """
    return _snapshot(given.items).folder if on_hub(given.items) else Path(given.items)


def said_source(given: Arguments) -> str:
    """Where the items come from, in words: the folder, or the set on the Hub and its commit; data, not HTML."""
    if not on_hub(given.items):
        return given.items
    found = _snapshot(given.items)
    named = f"{found.at.revision}, " if found.at.revision not in (None, found.commit) else ""
    return f"{found.at.repo_id} on the Hub, {named}commit {found.commit}"


def source_notes(given: Arguments) -> tuple[str, ...]:
    """What must be known about how a set came from the Hub, such as a card that was edited there since."""
    return _snapshot(given.items).notes if on_hub(given.items) else ()


@st.cache_resource(max_entries=2, show_spinner="Fetching the set from the Hub …")
def _snapshot(items: str) -> Snapshot:
    """One commit for all browsers, until the viewer is started again; what fails is tried again."""
    return fetch_snapshot(address(items), patience=_HUB)


def _opened(given: Arguments) -> ItemIndex:
    judged = given.judgements or given.judge
    paths = [Path(given.items), *given.outputs, *([judged] if judged else [])]
    return _index(
        given.items,
        tuple(str(p) for p in given.outputs),
        str(judged) if judged else None,
        given.how,
        tuple(part for path in paths for part in stamp(path)),
    )


@st.cache_resource(max_entries=2, show_spinner=False)
def _index(items: str, outputs: tuple[str, ...], judged: str | None, how: HowRead, stamps: Stamp) -> ItemIndex:
    read = lambda path: read_run(  # noqa: E731
        path, lambda: item_files(Path(items)), lambda: read_items(Path(items), verify=False), how
    )
    index = ItemIndex(items, runs=outputs, judgements=judged, read_run=read, separator=how.separator)
    # The first page is shown meanwhile; whoever needs a column sooner waits for that one alone.
    threading.Thread(target=_read_all, args=(index,), daemon=True).start()
    return index


def _read_all(index: ItemIndex) -> None:
    try:
        index.read_all()
        group_codes(index)  # the errors and comparison pages count by group
    except (DfarError, OSError, ValueError, pl.exceptions.PolarsError):
        return  # whoever asks for the column that cannot be read is told


def stamp(path: Path) -> Stamp:
    """Name, size and time of change of a file, or of the files of a folder: another stamp, another content."""
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file())[:_LISTED]
        return tuple(part for p in inside for part in stamp(p))
    try:
        found = path.stat()
    except OSError:
        return ((str(path), -1, 0),)
    return ((str(path), found.st_size, found.st_mtime_ns),)


def _flag(index: ItemIndex, marks: Path) -> None:
    """Tell the index what is flagged, where that has changed."""
    seen = stamp(marks)
    noted: dict[str, Stamp] = index.remembered("seen marks", dict)
    if noted.get("stamp") != seen:
        found = flags_of(marks)
        index.flag(found.filter(pl.col("flag") != "")["item_id"].to_list())
        noted["stamp"] = seen
