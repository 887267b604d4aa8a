"""What judges press and type: keys by the words of the scale, error types in the address, one token per answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import streamlit as st

from dfar_toolkit._viewer.addresses import link, parameter, set_parameters
from dfar_toolkit._viewer.sinks import label
from dfar_toolkit.errors import TableError
from dfar_toolkit.journeys.judge_session import JudgeSession, Shown

NOTE_LENGTH: Final = 20_000
_SKIP, _UNDO = "s", "u"
_TAKEN: Final = {"c", "r", _SKIP, _UNDO}  # c and r are Streamlit's own
_SHORTEST: Final = 0.4  # seconds in which nobody reads a reason: the second half of a double click
_PROBLEM, _SEEN = "judge problem", "judge seen"


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of the value that accepts and of the one that rejects; upper case, as they are shown."""

    accept: str
    reject: str


def keys_of(scale: Sequence[str]) -> Keys:
    """The first letter of each value that is free: of good and bad G and B.

    Example:
        >>> keys_of(("good", "bad")), keys_of(("correct", "corrupt")), keys_of(("\u062c\u064a\u062f", "1"))
        (Keys(accept='G', reject='B'), Keys(accept='O', reject='P'), Keys(accept='J', reject='K'))
    """
    taken, found = set(_TAKEN), []
    for value, unsaid in zip(scale, "jk", strict=True):
        letters = [c for c in value.lower() if c.isascii() and c.isalpha() and c not in taken]
        found.append(letters[0] if letters else next(c for c in (unsaid, *"klm") if c not in taken))
        taken.add(found[-1])
    return Keys(found[0].upper(), found[1].upper())


def here(judge: str, *, reason: str = "", wrong: str = "") -> str:
    """The address of this page, whatever it is called, with other parameters."""
    return link("", more={"judge": judge, "reason": reason, "wrong": wrong}).removeprefix("./")


def error_types_of(shown: Shown, known: Sequence[str]) -> tuple[str, ...]:
    """The error types that are on: those in the address, where it speaks of this reason, else of the answer."""
    name, *numbers = parameter("wrong").split(".")
    if name == shown.blind_id:
        return tuple(
            known[k] for k in sorted({int(n) for n in numbers if n.isdecimal() and len(n) < 4}) if k < len(known)
        )
    return tuple(t for t in shown.given.error_types if t in known) if shown.given else ()


def error_type_links(session: JudgeSession, shown: Shown, chosen: Sequence[str]) -> list[tuple[str, str, str, bool]]:
    """Of each error type its words, the address that turns it over, its key and whether it is on."""
    known = session.round.protocol.error_types
    rows = []
    for k, name in enumerate(known):
        after = [str(j) for j, other in enumerate(known) if (other in chosen) != (other == name)]
        href = here(session.judge, reason=parameter("reason"), wrong=".".join([shown.blind_id, *after]))
        rows.append((name, href, str(k + 1) if k < 9 else "", name in chosen))
    return rows


def note_key(shown_id: str) -> str:
    """Of the widget of the note on a reason."""
    return f"note-{shown_id}"


def show_note(shown: Shown) -> None:
    """The field for a note, with what was written before."""
    key = note_key(shown.blind_id)
    if key not in st.session_state:
        st.session_state[key] = shown.given.note if shown.given else ""
    st.text_area(
        "Note",
        key=key,
        height=72,
        max_chars=NOTE_LENGTH,
        placeholder="A note, where you wish",
        label_visibility="collapsed",
    )


def show_buttons(session: JudgeSession, shown: Shown) -> None:
    """The big buttons; each speaks of this very reason, so that a late click never falls on another."""
    scale = session.round.protocol.scale
    keys = keys_of(scale)
    _note_seen(shown)
    chosen = error_types_of(shown, session.round.protocol.error_types)
    given = shown.given.value if shown.given else ""
    token = st.session_state.setdefault(_token_key(shown.blind_id), shown.token)
    buttons = (("accept", scale[0], keys.accept), ("reject", scale[1], keys.reject), ("skip", None, _SKIP.upper()))
    with st.container(horizontal=True, key="judge-answers"):
        for kind, value, key in buttons:
            st.button(
                label("Skip" if value is None else value), key=f"{kind}-{shown.blind_id}", shortcut=key,
                type="primary" if shown.given and value == given else "secondary", width="stretch", on_click=_answer,
                args=(session, shown.blind_id, value, chosen if kind == "reject" else (), token, shown.training),
            )  # fmt: skip


def show_undo(session: JudgeSession, answered: int) -> None:
    """The button that takes the last answer back."""
    st.button(
        "Undo", key=f"undo-{answered}", shortcut=_UNDO.upper(), type="tertiary", on_click=_undo, args=(session,),
        help="Takes your last answer back",
    )  # fmt: skip


def problem_said() -> str:
    """Why the last answer was not kept; empty where it was."""
    return str(st.session_state.pop(_PROBLEM, ""))


def _answer(
    session: JudgeSession, blind_id: str, value: str | None, types: tuple[str, ...], token: str, training: bool
) -> None:
    if _too_soon(blind_id):
        return
    note = str(st.session_state.get(note_key(blind_id)) or "").strip()
    try:
        session.record(blind_id, value, error_types=types, note=note, token=token)
    except (TableError, ValueError) as error:
        st.session_state[_PROBLEM] = f"This answer was not kept; give it again. {error}"
        return
    _forget(blind_id)
    set_parameters({"reason": blind_id if training else None, "wrong": None})


def _undo(session: JudgeSession) -> None:
    given = session.given()
    try:
        back = session.undo()
    except TableError as error:
        st.session_state[_PROBLEM] = f"The answer still stands. {error}"
        return
    if back is None:
        return
    _forget(back.blind_id)
    taken = next((g for g in reversed(given) if g.blind_id == back.blind_id), None)
    known = session.round.protocol.error_types
    wrong = [str(known.index(t)) for t in (taken.error_types if taken else ()) if t in known]
    if taken is not None:
        st.session_state[note_key(back.blind_id)] = taken.note
    set_parameters({"reason": back.blind_id, "wrong": ".".join([back.blind_id, *wrong]) if wrong else None})


def _forget(blind_id: str) -> None:
    """What this browser keeps of a reason until it is answered."""
    for key in (_token_key(blind_id), note_key(blind_id), _SEEN):
        st.session_state.pop(key, None)


def _token_key(blind_id: str) -> str:
    return f"judge token {blind_id}"


def _note_seen(shown: Shown) -> None:
    what = (shown.blind_id, shown.given.at if shown.given else "")
    seen = st.session_state.get(_SEEN)
    if seen is None or seen[0] != what:
        st.session_state[_SEEN] = (what, time.monotonic())


def _too_soon(blind_id: str) -> bool:
    seen = st.session_state.get(_SEEN)
    return seen is not None and seen[0][0] == blind_id and time.monotonic() - seen[1] < _SHORTEST
