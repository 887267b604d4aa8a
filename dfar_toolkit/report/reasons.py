"""Reasons as a section: judged by people, by judge models beside them, and measured without a judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import polars as pl

from dfar_toolkit.report.automatic_reasons import automatic_notes, automatic_table
from dfar_toolkit.report.cells import confidence_line, confidence_text, estimates_table, finite
from dfar_toolkit.report.document import plain_text
from dfar_toolkit.report.score_parts import by_subset, rows_of
from dfar_toolkit.report.scored import score_cells
from dfar_toolkit.report.shared_notes import Row, SharedNotes, shared_notes
from dfar_toolkit.report.table import Section, Table

JUDGE_HEADLINES: Final = (
    "judge_accuracy", "judge_kappa", "judge_sensitivity", "judge_specificity", "judge_excess_bad", "mar_judge_model",
    "mar_prediction_powered",
)  # fmt: skip
_ERROR_TYPE: Final = "error_type_share"
_TITLE: Final = "Reasons"
_JUDGED: Final = "The share of reasons that judges reject. Human reasons judged alike are the floor."
_MODELS: Final = "Judge models stand apart: their verdicts never count as people's."
_AUTOMATIC: Final = (
    "Without a judge: overlap counts words in common with people's reasons, not quality. Its floor is the overlap of "
    "another item's reason of the same label, its ceiling that of a person's reason held out."
)


def runs_without_verdicts(rows: Iterable[Row]) -> list[str]:
    """Runs whose misalignment rate is undefined in every subset: nothing of theirs was judged."""
    defined: dict[str, bool] = {}
    for row in rows:
        if row.get("metric") == "mar_mean":
            run = str(row.get("run_id", ""))
            defined[run] = defined.get(run, False) or finite(row.get("value"))
    return [run for run, found in defined.items() if not found]


def reasons_section(scores: pl.DataFrame, protocol: Mapping[str, object]) -> Section:
    """Misalignment rates and the judges' agreement, judge models, automatic measures, the protocol of the judging."""
    rows = rows_of(scores, "judging")
    types = [r for r in rows if r.get("metric") == _ERROR_TYPE]
    by_people = [r for r in rows if not _judge(r) and r.get("metric") != _ERROR_TYPE]
    by_models = [r for r in rows if _judge(r)]
    automatic = rows_of(scores, "reasons")
    notes = automatic_notes(automatic)
    text, tables = _judged(by_people)
    tables += _error_types(types)
    if by_models:
        about = _judge_notes(by_models)
        text += [*([] if by_people else [confidence_line(by_models)]), _MODELS, *about.lines()]
        tables += [*_judge_models(by_models, about), *about.tables()]
    if protocol:
        lines = tuple((k, plain_text(v)) for k, v in protocol.items())
        tables.append(Table("How reasons were judged", ("", ""), lines))
    if automatic:
        text += [_AUTOMATIC, *([] if rows else [confidence_text(automatic)]), *notes.lines()]
        tables += [automatic_table(automatic, notes), *notes.tables()]
    return Section("reasons", _TITLE, tuple(text), tuple(tables))


def _judge(row: Row) -> str:
    """The judge model that a row is about, empty for people."""
    return plain_text(row.get("predictor"))


def _judged(rows: Sequence[Row]) -> tuple[list[str], list[Table]]:
    """By people's verdicts; runs without a judged reason in one line and folded."""
    silent = runs_without_verdicts(rows)
    judged = [r for r in rows if str(r.get("run_id", "")) not in silent]
    unjudged = [r for r in rows if str(r.get("run_id", "")) in silent]
    head = ("run", "subset", "metric") + (("label",) if any(r.get("label") is not None for r in rows) else ())
    text: list[str] = []
    tables: list[Table] = []
    if judged:
        text += [_JUDGED, confidence_line(judged)]
        tables.append(estimates_table(head, score_cells(judged, head)))
    if unjudged:
        text += [_why_silent(run, unjudged) for run in silent]
        caption = "Runs without a judged reason"
        tables.append(estimates_table(head, score_cells(unjudged, head), caption=caption, folded=True))
    return text, tables


def _why_silent(run: str, rows: Iterable[Row]) -> str:
    shares = [r.get("value") for r in rows if r.get("run_id") == run and r.get("metric") == "reason_missing_share"]
    if shares and all(s == 1 for s in shares):
        return f"{run} gave no reasons."
    return f"No reason of {run} was judged."


def _error_types(rows: Sequence[Row]) -> list[Table]:
    """What is wrong with the reasons that people reject, over all items, and by subset folded."""
    head = ("run", "subset", "error type")
    first, further = by_subset(rows)
    caption = "Types of error among bad verdicts; n counts these, and the intervals of a run hold together"
    tables = [
        estimates_table(head, score_cells(first, head), caption=caption),
        estimates_table(head, score_cells(further, head), caption="Types of error by subset", folded=True),
    ]
    return [t for t in tables if t.rows]


def _judge_notes(rows: Sequence[Row]) -> SharedNotes:
    """What all rows about the quality of a judge model say."""
    quality = [{**r, "judge": _judge(r)} for r in rows if str(r.get("metric")).startswith("judge_")]
    return shared_notes(quality, ("judge", "subset"))


def _judge_models(rows: Sequence[Row], about: SharedNotes) -> list[Table]:
    """Each judge model against people; by error type, by length and by position folded."""
    named = [
        {
            **r,
            "run_id": plain_text(r.get("run_id")) or "(all runs)",
            "note": about.own({**r, "judge": _judge(r)}),
        }
        for r in rows
    ]
    first = [r for r in named if r.get("metric") in JUDGE_HEADLINES and r.get("label") is None]
    further = [r for r in named if r not in first]
    head = ("judge", "run", "subset", "metric")
    typed = (*head, "error type") if any(r.get("label") is not None for r in further) else head
    tables = [
        estimates_table(head, score_cells(first, head), caption="Judge models"),
        estimates_table(typed, score_cells(further, typed), caption="Further on judge models", folded=True),
    ]
    return [t for t in tables if t.rows]
