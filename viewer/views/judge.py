"""Judge: one reason after the other, blind; an answer is acknowledged once it is on the disk."""

from __future__ import annotations

import streamlit as st

from dfar_toolkit._viewer.addresses import parameter, set_parameters
from dfar_toolkit._viewer.arguments import arguments
from dfar_toolkit._viewer.judge_form import (
    error_type_links,
    error_types_of,
    here,
    keys_of,
    problem_said,
    show_buttons,
    show_note,
    show_undo,
)
from dfar_toolkit._viewer.judging_round import OpenRound, open_round, said_to_judges
from dfar_toolkit._viewer.markup import show
from dfar_toolkit._viewer.sinks import show_problem
from dfar_toolkit.errors import DfarError, TableError
from dfar_toolkit.journeys.judge_session import Given, JudgeSession, Shown

_SKIPPED_SHOWN = 100


def main() -> None:
    """The page."""
    given = arguments()
    if given.judge is None:
        show("judge_begin.jinja", {})
        return
    try:
        opened = open_round(given, given.judge)
    except (DfarError, OSError) as error:
        show("judge_closed.jinja", {"message": said_to_judges(error, given.judge)})
        return
    session = _session(opened)
    if session is not None:
        _judge(session)


def _session(opened: OpenRound) -> JudgeSession | None:
    """Of the judge in the address; else who it is is asked."""
    name = parameter("judge")
    if name:
        try:
            return opened.session(name)
        except TableError as error:
            show_problem(error)
    judging = opened.judging
    people = [(judge, here(judge)) for judge in judging.pool.assigned]
    show("judge_name.jinja", {"protocol": judging.protocol, "people": sorted(people)})
    if not people:
        typed = st.text_input(
            "Your name", max_chars=200, key="judge-name", placeholder="Your name, always written alike"
        )
        if typed.strip():
            set_parameters({"judge": typed.strip()})
            st.rerun()
    return None


def _judge(session: JudgeSession) -> None:
    given = session.given()
    shown, problem = _wanted(session)
    message = problem_said() or problem
    progress = session.progress()
    last = given[-1].blind_id if given else ""
    values = {
        "judge": session.judge,
        "progress": progress,
        "last": last,
        "away": "?",
        "protocol": session.round.protocol,
    }
    show("judge_progress.jinja", values | {"began": bool(given)})
    if message:
        show_problem(message)
    if shown is None:
        skipped = [(g.blind_id, here(session.judge, reason=g.blind_id)) for g in given if g.value is None]
        show(
            "judge_end.jinja",
            {"progress": progress, "skipped": skipped[:_SKIPPED_SHOWN], "rest": len(skipped[_SKIPPED_SHOWN:])},
        )
    else:
        _show_reason(session, shown, given)
    with st.container(horizontal=True, key="judge-back"):
        show("judge_steps.jinja", _steps(session, shown, given))
        if progress.answered:
            show_undo(session, progress.answered)


def _wanted(session: JudgeSession) -> tuple[Shown | None, str]:
    """The reason in the address, else the first without an answer; and what is wrong with the address."""
    name = parameter("reason")
    if name:
        try:
            return session.show(name), ""
        except TableError as error:
            return session.next(), str(error)
    return session.next(), ""


def _show_reason(session: JudgeSession, shown: Shown, given: list[Given]) -> None:
    protocol = session.round.protocol
    keys = keys_of(protocol.scale)
    values = {"shown": shown, "protocol": protocol, "go_on": here(session.judge)}
    if shown.feedback is not None:
        show("judge_reason.jinja", values)
        show("judge_feedback.jinja", values)
        return
    show("judge_reason.jinja", values)
    if protocol.error_types:
        types = error_type_links(session, shown, error_types_of(shown, protocol.error_types))
        show("judge_types.jinja", {"types": types, "rejects": protocol.scale[1], "key": keys.reject})
    show_note(shown)
    show_buttons(session, shown)


def _steps(session: JudgeSession, shown: Shown | None, given: list[Given]) -> dict[str, str | bool]:
    """Where the arrows lead: back through the answers given, and on again."""
    names = [g.blind_id for g in given]
    at = names.index(shown.blind_id) if shown is not None and shown.blind_id in names else len(names)
    before = here(session.judge, reason=names[at - 1]) if at else ""
    after = here(session.judge, reason=names[at + 1] if at + 1 < len(names) else "") if at < len(names) else ""
    practised = shown is not None and shown.feedback is not None  # its own link leads on
    return {"before": before, "after": "" if practised else after}


main()
