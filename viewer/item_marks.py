"""Flags and comments on an item and its reasons: shown to everybody, written and withdrawn by whoever made them."""

from __future__ import annotations

import hashlib
import uuid
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl
import streamlit as st

from dfar_toolkit._viewer.addresses import parameter, set_parameters
from dfar_toolkit._viewer.arguments import Arguments
from dfar_toolkit._viewer.item_place import ItemPlace
from dfar_toolkit._viewer.markup import show
from dfar_toolkit._viewer.sinks import label, show_problem
from dfar_toolkit._viewer.sources import stamp
from dfar_toolkit.browsing.item_record import ItemRecord
from dfar_toolkit.errors import DfarError
from dfar_toolkit.files.flags_log import FlagsLog, Mark, flags_of

ITEM: Final = "item"  # what the address says where the mark is about the item itself
WORDS: Final = ("wrong label", "bad reason", "unclear", "offensive", "other")
_NO_FLAG: Final = "only a comment"
_SHOWN: Final = 50
_NAME: Final = "marks person"  # of this browser's session


def show_marks(place: ItemPlace, record: ItemRecord, given: Arguments, names: dict[str, str]) -> None:
    """Everybody's marks on the item, and a form where the address asks for one.

    Args:
        place: The item.
        record: What is known about it.
        given: What the viewer was started with: where marks are kept, or why none are.
        names: What may be marked besides the item: the words for each output, by key.
    """
    folder = given.marks
    if folder is None:
        show("item_marks.jinja", {"off": True, "marks": [], "more": 0, "refused": given.refused})
        return
    try:
        found = place.index.remembered(("marks", stamp(folder)), partial(flags_of, folder))
    except (DfarError, OSError) as error:
        show_problem(error)
        return
    own = found.filter(pl.col("item_id") == place.item_id)
    rows = [_mark(row, names) for row in own.head(_SHOWN).iter_rows(named=True)]
    if rows:
        show("item_marks.jinja", {"off": False, "marks": rows, "more": len(own) - len(rows)})
    if parameter("flag"):
        _form(place, folder, record, names)
    _withdrawals(folder, rows)


def _mark(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    about = names.get(row["output_id"], row["output_id"]) if row["output_id"] else ""
    return {**row, "about": about, "when": row["at"][:16].replace("T", " ")}


def _form(place: ItemPlace, folder: Path, record: ItemRecord, names: dict[str, str]) -> None:
    asked = parameter("flag")
    output_id = asked if asked in names else ""
    about = f"the reason of {names[output_id]}" if output_id else "this item"
    with st.form(f"mark {place.item_id} {output_id}", width=620):
        show("item_marks_form.jinja", {"about": about, "cancel": place.here(flag="")})
        flag = st.radio("What is wrong", [*WORDS, _NO_FLAG], horizontal=True, key=f"flag {place.item_id} {output_id}")
        comment = st.text_area("Comment", key=f"comment {place.item_id} {output_id}", height=90)
        person = st.text_input("Your name", value=st.session_state.get(_NAME, ""), key=f"name {place.item_id}")
        if st.form_submit_button("Save", type="primary"):
            _save(folder, person, _new(place, record, output_id, "" if flag == _NO_FLAG else str(flag), comment))


def _new(place: ItemPlace, record: ItemRecord, output_id: str, flag: str, comment: str) -> Mark:
    """The mark with a key of its own: a second click, or the same again after a broken connection, counts once."""
    session = st.session_state.setdefault("marks session", uuid.uuid4().hex)
    told = (session, st.session_state.get("marks withdrawn", 0), place.item_id, output_id, flag, comment)
    key = hashlib.sha256(repr(told).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return Mark(place.item_id, output_id, flag=flag, comment=comment.strip(), data=_digest(place, record), key=key)


def _digest(place: ItemPlace, record: ItemRecord) -> str:
    digests = place.index.files.manifest.get("content_digest")
    found = digests.get(str(record.item.get("config"))) if isinstance(digests, dict) else None
    return found if isinstance(found, str) else ""


def _save(folder: Path, person: str, mark: Mark) -> None:
    if not (mark.flag or mark.comment):
        st.info("Choose a flag, or write a comment.")
        return
    try:
        log = FlagsLog(folder, person)
        log.add(mark)
    except (DfarError, OSError) as error:
        show_problem(error if person.strip() else "Your name is needed, so that others know whose mark it is.")
        return
    st.session_state[_NAME] = log.person
    set_parameters({"flag": None}, drop=())
    st.rerun()


def _withdrawals(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Buttons for one's own marks: a link would change something by being looked at."""
    person = st.session_state.get(_NAME, "")
    mine = [row for row in rows if person and row["person"] == person]
    if not mine:
        return
    with st.container(horizontal=True, gap="small"):
        for row in mine:
            words = row["flag"] or "comment"
            button = st.button(f"Withdraw: {label(words)}", key=f"withdraw {row['key']}", type="tertiary")
            if button:
                _withdraw(folder, person, row["key"])


def _withdraw(folder: Path, person: str, key: str) -> None:
    try:
        FlagsLog(folder, person).withdraw(key)
    except (DfarError, OSError) as error:
        show_problem(error)
        return
    st.session_state["marks withdrawn"] = st.session_state.get("marks withdrawn", 0) + 1
    st.rerun()
