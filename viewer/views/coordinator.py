"""Coordinator: how a round stands, who answered what, how far judges agree, and how to go on to the scores."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
import streamlit as st

from dfar_toolkit._viewer.access import role
from dfar_toolkit._viewer.addresses import link, parameter
from dfar_toolkit._viewer.arguments import Arguments, arguments
from dfar_toolkit._viewer.judging_round import OpenRound, open_round
from dfar_toolkit._viewer.markup import show
from dfar_toolkit._viewer.sinks import show_problem
from dfar_toolkit._viewer.sources import Stamp, stamp
from dfar_toolkit._viewer.sources import opened as index_opened
from dfar_toolkit.errors import DfarError
from dfar_toolkit.files.judge_log import ANSWERS, judgements_of
from dfar_toolkit.journeys.judge_session_coordinator import ALL_RUNS, Standing, Validity, standing_of, validity_of
from dfar_toolkit.journeys.judge_session_verdicts import JudgedReason, disputed_of, remarked_of, verdicts_of
from dfar_toolkit.journeys.judge_sheets import PLAN

_PAGE: Final = 20  # reasons at a time
_COMMANDS: Final = 6  # of scoring that are written out, one for an outputs file
_METRICS: Final = {
    "judge_percent_agreement": "percent agreement",
    "judge_specific_agreement": "agreement on the rejections",
    "judge_gwet_ac1": "Gwet's AC1",
    "judge_alpha": "Krippendorff's alpha",
}


class Found(NamedTuple):
    """All that the page shows of the answers so far."""

    standing: Standing
    verdicts: pl.DataFrame
    validity: Validity | None
    disputed: list[JudgedReason]
    remarked: list[JudgedReason]


def main() -> None:
    """The page."""
    given = arguments()
    if given.judge is None or role(given) != "coordinator":  # also where somebody gets past the navigation
        show("coordinator_closed.jinja", {})
        return
    try:
        opened = open_round(given, given.judge)
        found = _found(opened, opened.stamps + stamp(given.judge / ANSWERS))
    except (DfarError, OSError) as error:
        show_problem(error)
        return
    _show(opened, found, given)


@st.cache_resource(max_entries=1, show_spinner="Counting the answers…")
def _found(_opened: OpenRound, stamps: Stamp) -> Found:
    judging = _opened.judging
    validity = validity_of(judging) if judging.protocol.round == "validity" else None
    return Found(standing_of(judging), verdicts_of(judging), validity, disputed_of(judging), remarked_of(judging))


def _show(opened: OpenRound, found: Found, given: Arguments) -> None:
    judging = opened.judging
    judges = found.standing.judges.to_dicts()
    values: dict[str, Any] = {
        "protocol": judging.protocol,
        "folder": str(given.judge),
        "reasons": len(judging.pool.tasks),
        "checks": len(judging.pool.attention),
        "training": len(judging.pool.training),
        "notes": found.standing.notes,
        "unfollowed": not judging.protocol.judges and given.judge is not None and (given.judge / PLAN).is_file(),
        "runs": index_opened().runs,  # so that a run has its colour and letter of the other pages
        "judges": judges,
        "answered": sum(judge["answered"] for judge in judges),
    }
    show("coordinator.jinja", values)
    if values["answered"]:
        _show_numbers(found, values)
    if found.validity is not None:
        _show_pairs(found.validity, opened)
    _show_reasons(found, values)
    _show_export(values, opened, given)


def _show_numbers(found: Found, values: dict[str, Any]) -> None:
    """Rejections by run, or errors by label; and agreement."""
    called = pl.col("metric").replace(_METRICS).alias("called")
    numbers = {
        "agreement": found.standing.agreement.with_columns(called).to_dicts(),
        "everything": ALL_RUNS,
        "verdicts": found.verdicts.to_dicts(),
        "shares": [] if found.validity is None else found.validity.shares.to_dicts(),
    }
    show("coordinator_numbers.jinja", {**values, **numbers})


def _show_pairs(validity: Validity, opened: OpenRound) -> None:
    """Pairs that most judges call an error."""
    errors = validity.pairs.filter(pl.col("verdict") == opened.judging.protocol.scale[1])
    tasks = opened.judging.pool.tasks
    rows = [
        {**row, "reason": tasks[row["output_id"]].reason, "href": link("item", more={"id": row["item_id"]})}
        for row in errors.head(_PAGE).iter_rows(named=True)
    ]
    counts = dict(validity.pairs["verdict"].value_counts().iter_rows())
    show(
        "coordinator_pairs.jinja",
        {"rows": rows, "counts": counts, "n": len(errors), "scale": opened.judging.protocol.scale},
    )


def _show_reasons(found: Found, values: dict[str, Any]) -> None:
    wanted = parameter("list") if parameter("list") == "notes" else "disputed"
    reasons = found.remarked if wanted == "notes" else found.disputed
    last = max(1, -(-len(reasons) // _PAGE))
    typed = parameter("page")
    number = min(int(typed), last) if typed.isdecimal() and len(typed) < 7 and int(typed) else 1

    def at(k: int) -> str:
        return link("coordinator", number=k, more={"list": wanted if wanted == "notes" else ""})

    tabs = [
        ("Judged differently", len(found.disputed), link("coordinator"), wanted == "disputed"),
        ("With a note", len(found.remarked), link("coordinator", more={"list": "notes"}), wanted == "notes"),
    ]
    pages = [
        ("previous", at(number - 1) if number > 1 else "", "p"),
        ("next", at(number + 1) if number < last else "", "n"),
    ]
    shown = reasons[(number - 1) * _PAGE : number * _PAGE]
    show(
        "coordinator_reasons.jinja",
        {**values, "rows": shown, "tabs": tabs, "pages": pages, "number": number, "last": last},
    )


def _show_export(values: dict[str, Any], opened: OpenRound, given: Arguments) -> None:
    quoted = [shlex.quote(str(path)) for path in given.outputs]
    held = shlex.quote(str(values["folder"]))
    read = "".join(f" {shlex.quote(word)}" for word in given.how.words())
    commands = [
        f"dfar score {run} --items {shlex.quote(given.items)} --judgements {held} --protocol {held}{read}"
        for run in quoted[:_COMMANDS] or ["RUN"]
    ]
    validity = opened.judging.protocol.round == "validity"
    show(
        "coordinator_export.jinja",
        {**values, "commands": commands, "more": max(0, len(quoted) - _COMMANDS), "validity": validity},
    )
    folder, question = given.judge, opened.judging.protocol.question_id
    if folder is None or not values["answered"]:
        return
    with st.container(horizontal=True):
        st.download_button(
            "Judgements, JSON lines",
            lambda: _table(folder, question).write_ndjson(),
            "judgements.jsonl",
            on_click="ignore",
        )
        st.download_button(
            "Judgements, Parquet", lambda: _parquet(folder, question), "judgements.parquet", on_click="ignore"
        )


def _table(folder: Path, question: str) -> pl.DataFrame:
    return judgements_of(folder, question=question)


def _parquet(folder: Path, question: str) -> bytes:
    from io import BytesIO

    out = BytesIO()
    _table(folder, question).write_parquet(out)
    return out.getvalue()


main()
