r"""Prodigy: JSON lines of ``db-out``.

Layout, in invented lines: a choice, a yes or no about one label, marks only::

    {"text": "I kept the change.", "_input_hash": 11, "_task_hash": 21, "options": [{"id": "ok", "text": "Fine"},
     {"id": "bad", "text": "Not fine"}], "config": {"choice_style": "single"}, "accept": ["bad"], "answer": "accept",
     "spans": [{"start": 7, "end": 17, "token_start": 2, "token_end": 3, "label": "act"}], "why": "Not theirs.",
     "_annotator_id": "set-anna", "_session_id": "set-anna", "_timestamp": 1714550400}
    {"text": "I kept the change.", "_input_hash": 11, "_task_hash": 31, "label": "THEFT", "answer": "reject"}

Key: ``_input_hash``, the same wherever the same text was asked about. Warts: a choice that was rejected or ignored is
no answer (dropped and counted), a rejected yes or no is one ("reject"); an ignored one is dropped; several labels asked
about one by one are several questions, of which one is read at a time; ``token_end`` is the last token, not the one
after it; the annotator is ``_annotator_id``, in older files ``_session_id``, which may be a time only.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports.answers import Answer, Collected, item_of, tables_of, text_of
from dfar_toolkit.sources.exports.export_files import Record, export_paths, json_records
from dfar_toolkit.sources.exports.marks import OUTSIDE, mark_texts, placed
from dfar_toolkit.sources.exports.settings import REASONS, STATEMENTS, ExportSettings, chosen
from dfar_toolkit.sources.layout import SourceInfo, SourceTables
from dfar_toolkit.tabular import quoted

INFO: Final = SourceInfo(
    name="prodigy",
    title="Export of Prodigy",
    licence="unknown",
    homepage="https://prodi.gy",
    citation="",
    layout="JSON lines of db-out: text, answer, accept or label, spans, _input_hash, _annotator_id, _timestamp",
)
_TOOLS_OWN: Final = ("answer", "accept", "label", "options", "config", "spans", "tokens", "html", "relations")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[_T ]\d\d-?:?\d\d-?:?\d\d")  # a session that nobody gave a name


def read(raw: Path, *, set_name: str = "", settings: ExportSettings | None = None) -> SourceTables:
    """An export of Prodigy as tables.

    Args:
        raw: The JSON-lines file, or a folder with one or more.
        set_name: Name of the data set; else that of the settings.
        settings: What the export does not say; ``question`` names the label where several were asked about.

    Returns:
        One item per input; ``at`` is the published time stamp.

    Raises:
        SourceError: Not such an export, or several fields or labels may be meant.
    """
    asked, found = settings or ExportSettings(), Collected()
    lines: list[tuple[Path, Record]] = []
    for path in export_paths(raw, (".jsonl", ".ndjson")):
        records = json_records(path)
        found.read(path, len(records))
        lines += [(path, record) for record in records]
    if not any("answer" in record for _, record in lines):
        first = lines[0][1] if lines else {}
        raise SourceError(f'{raw}: wanted lines with "answer"; found the fields {quoted(first)}.')
    rows, where = [record for _, record in lines], str(raw)
    how = "accept" if any(isinstance(r.get("accept"), list) or r.get("options") for r in rows) else "label"
    labels = dict.fromkeys(text_of(record["label"]) for record in rows if how == "label" and record.get("label"))
    label = chosen(list(labels), asked.question, what="the label", setting="question", where=where) if labels else None
    how = how if how == "accept" or labels else "spans"
    if how == "spans" and not any(record.get("spans") for record in rows):
        raise SourceError(f"{raw}: wanted choices (accept), a label or marks (spans); found none in any line.")
    texts = dict.fromkeys(
        name
        for record in rows
        for name, value in record.items()
        if isinstance(value, str) and not name.startswith("_") and name not in _TOOLS_OWN
    )
    reason = _reason(list(texts), asked, where)
    free = [name for name in texts if name not in (*asked.context, asked.split_field, asked.id, reason)]
    statement = chosen(free, asked.statement, what="the statement", setting="statement", where=where, usual=STATEMENTS)
    if statement is None:
        raise SourceError(f"{raw}: wanted a field with the statement; found no text in any field.")
    marked = any("spans" in record for record in rows)
    for path, record in lines:
        key = text_of(record.get(asked.id or "_input_hash")).strip()
        if not key:
            raise SourceError(f"{path}: wanted {quoted([asked.id or '_input_hash'])} in every line; one has none.")
        data = {n: v for n, v in record.items() if not n.startswith("_") and n not in (*_TOOLS_OWN, reason)}
        item = item_of(data, statement, asked, str(path), key)
        if not found.add(key, item, path) or not _counts(record, how, label, key, path, found):
            continue
        places = mark_texts({statement: item.statement, **dict(item.context)}, asked, path, told=not marked)
        marks, names = _marks(record, places, key, path, found)
        if how == "accept":
            accept = record.get("accept")
            values = [text_of(value) for value in accept] if isinstance(accept, list) else []
        else:
            values = names if how == "spans" else [text_of(record["answer"])]
        why = text_of(record.get(reason)) if reason else ""
        stamp = record.get("_timestamp")
        time = stamp if isinstance(stamp, (int, float)) else 0
        given = tuple(marks) if marked else None
        found.answers.append(
            Answer(key, _person(record), tuple(values), why or None, given, text_of(stamp), order=time)
        )
    question = {"accept": asked.question or "choice", "label": label, "spans": asked.question or "spans"}[how]
    several = how == "spans" or any(_style(record) == "multiple" for record in rows)
    shown = {"Statement": statement, "reasons": reason}
    notes = [f"{', '.join(f'{what}: {quoted([name])}' for what, name in shown.items() if name)}."]
    options = ["reject", "accept"] if how == "label" else _options(rows)
    return tables_of(
        INFO,
        found,
        asked,
        question=question or "",
        set_name=set_name,
        options=options if how != "spans" else (),
        several=several,
        notes=notes,
    )


def _reason(texts: list[str], asked: ExportSettings, where: str) -> str | None:
    usual = texts if asked.reason else [n for n in texts if n.casefold() in (*REASONS, "user_input")]
    return chosen(usual, asked.reason, what="the reason", setting="reason", where=where, usual=REASONS)


def _counts(record: Record, how: str, label: str | None, key: str, path: Path, found: Collected) -> bool:
    """Whether a line is an answer to the question; if not, it is counted."""
    answer = text_of(record.get("answer"))
    if answer not in ("accept", "reject", "ignore"):
        raise SourceError(
            f'{path}: item {quoted([key])}: wanted "accept", "reject" or "ignore" as the answer; found '
            f"{quoted([answer])}."
        )
    if how == "label" and text_of(record.get("label")) != label:
        found.drop(path.name, "asked about another label", key)
    elif answer == "ignore" or (answer == "reject" and how != "label"):
        found.drop(path.name, f"the task was not answered ({answer})", key)
    else:
        return True
    return False


def _marks(
    record: Record, texts: dict[str, str], key: str, path: Path, found: Collected
) -> tuple[list[tuple[str, int, int]], list[str]]:
    """Where the marks stand, by characters or else by tokens, and their labels."""
    tokens, spans = record.get("tokens"), record.get("spans")
    by_id = {text_of(t.get("id", k)): t for k, t in enumerate(tokens if isinstance(tokens, list) else [])}
    marks, names = [], []
    for span in spans if isinstance(spans, list) else []:
        span = span if isinstance(span, dict) else {}
        start, end = span.get("start"), span.get("end")
        if start is None or end is None:
            first, last = (by_id.get(text_of(span.get(name)), {}) for name in ("token_start", "token_end"))
            start, end = first.get("start"), last.get("end")
        place = placed(texts, start, end, span.get("text"))
        names.append(text_of(span.get("label")))
        if place is None:
            found.drop(path.name, OUTSIDE, key, unit="marks")
        else:
            marks.append(place[:3])
    return marks, names


def _style(record: Record) -> str:
    config = record.get("config")
    return text_of(config.get("choice_style")) if isinstance(config, dict) else ""


def _options(rows: list[Record]) -> list[str]:
    """The ids of the options in the order of the file."""
    found: dict[str, None] = {}
    for record in rows:
        options = record.get("options")
        for option in options if isinstance(options, list) else []:
            found.setdefault(text_of(option.get("id") if isinstance(option, dict) else option))
    return [option for option in found if option]


def _person(record: Record) -> str:
    """The annotator; a session that is a time only names nobody."""
    for name in ("_annotator_id", "_session_id"):
        who = text_of(record.get(name)).strip()
        if who and not _TIME.fullmatch(who):
            return who
    return ""
