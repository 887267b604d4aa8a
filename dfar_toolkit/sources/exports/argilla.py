r"""Argilla: records with their responses, as ``to_json``, ``to_list`` and ``to_dict`` write them.

Layout: a list of records, nested (an invented one first) or flat; ``to_dict`` gives the same as columns or by id; the
1.x feedback layout has a list of responses, one per person::

    {"id": "r1", "fields": {"text": "I kept the change."}, "metadata": {}, "suggestions": {},
     "responses": {"label": [{"value": "unethical", "user_id": "u1"}],
                   "why": [{"value": "Not theirs.", "user_id": "u1"}],
                   "marks": [{"value": [{"start": 7, "end": 17, "label": "act"}], "user_id": "u1"}]}}
    {"id": "r1", "text": "I kept the change.", "label.responses": ["unethical"],
     "label.responses.users": ["u1"], "label.responses.status": ["submitted"]}
    {"fields": {"text": "I kept the change."}, "external_id": "r1",
     "responses": [{"user_id": "u1", "status": "submitted", "values": {"label": {"value": "unethical"}}}]}

Warts: the nested 2.x export does not say whether a response was submitted, a draft or discarded (said); drafts and
discarded ones are dropped and counted where the status is there; suggestions are no answers (left out); a text answer
and a label look the same; marks do not say in which field they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports.answers import Answer, Collected, item_of, tables_of, text_of
from dfar_toolkit.sources.exports.export_files import Record, export_paths, json_records
from dfar_toolkit.sources.exports.marks import OUTSIDE, mark_texts, placed
from dfar_toolkit.sources.exports.settings import REASONS, STATEMENTS, ExportSettings, chosen
from dfar_toolkit.sources.layout import SourceInfo, SourceTables
from dfar_toolkit.tabular import quoted, read_json

INFO: Final = SourceInfo(
    name="argilla",
    title="Export of Argilla",
    licence="unknown",
    homepage="https://docs.argilla.io",
    citation="",
    layout="JSON or JSON lines of records with fields and responses (2.x nested or flat, 1.x feedback)",
)
_NO_DATA: Final = (
    "id",
    "external_id",
    "_server_id",
    "responses",
    "suggestions",
    "vectors",
    "status",
    "metadata",
    "fields",
)


class _Response(NamedTuple):
    question: str
    user: str
    value: object
    status: str  # "" where the export does not say


def read(raw: Path, *, set_name: str = "", settings: ExportSettings | None = None) -> SourceTables:
    """An export of Argilla as tables.

    Args:
        raw: The file, or a folder with one or more.
        set_name: Name of the data set; else that of the settings.
        settings: What the export does not say.

    Returns:
        One item per record, one annotation per chosen value.

    Raises:
        SourceError: Not such an export, or several fields or questions may be meant.
    """
    asked, found = settings or ExportSettings(), Collected()
    records: list[tuple[Path, Record, list[_Response]]] = []
    for path in export_paths(raw, (".json", ".jsonl", ".ndjson")):
        listed = _records(path)
        found.read(path, len(listed))
        records += [(path, record, _responses(record, path, n)) for n, record in enumerate(listed, start=1)]
    if not records:
        raise SourceError(f"{raw}: wanted records; found none.")
    question, reason, evidence = _questions([r for _, _, given in records for r in given], asked, str(raw))
    fields = dict.fromkeys(
        name for _, record, _ in records for name, value in _fields(record).items() if isinstance(value, str)
    )
    statement = chosen(
        [name for name in fields if name not in (*asked.context, asked.split_field, asked.id)],
        asked.statement,
        what="the statement",
        setting="statement",
        where=str(raw),
        usual=STATEMENTS,
    )
    if statement is None:
        raise SourceError(f"{raw}: wanted a field with the statement; found no text in any field.")
    for number, (path, record, given) in enumerate(records):
        data = {**_object(record.get("metadata")), **_fields(record)}
        own = data.get(asked.id) if asked.id else record.get("id") or record.get("external_id")
        key = text_of(own).strip() or f"{number:05d}"
        item = item_of(data, statement, asked, str(path), key)
        if key in found.items:
            raise SourceError(f"{path}: wanted one record per id; {quoted([key])} stands twice.")
        if not found.add(key, item, path):
            continue
        texts = mark_texts({statement: item.statement, **dict(item.context)}, asked, path, told=evidence is None)
        found.answers.extend(_answers(key, given, (question, reason, evidence), texts, path, found))
    if any(not r.status for _, _, given in records for r in given):
        found.said.append(
            "the export does not say whether responses were submitted, drafts or discarded: all of them count"
        )
    names = dict.fromkeys(r.question for _, _, given in records for r in given)
    unused = [name for name in names if name not in (question, reason, evidence)]
    if unused:
        found.said.append(f"questions that are not asked for are left out: {quoted(unused)}")
    shown = {"Statement": statement, "answers": question or evidence, "reasons": reason, "marks": evidence}
    notes = [f"{', '.join(f'{what}: {quoted([name])}' for what, name in shown.items() if name)}."]
    return tables_of(INFO, found, asked, question=question or evidence or "", set_name=set_name, notes=notes)


def _records(path: Path) -> list[Record]:
    """Records of a list, of columns, or by id."""
    if path.suffix.lower() != ".json":
        return json_records(path)
    document, _ = read_json(path, error=SourceError)
    if not isinstance(document, dict):
        return json_records(path)
    columns = list(document.values())
    if columns and all(isinstance(column, list) for column in columns):
        if len({len(column) for column in columns}) > 1:
            raise SourceError(f"{path}: wanted columns of the same length; the file is cut short or changed.")
        return [dict(zip(document, row, strict=True)) for row in zip(*columns, strict=True)]
    if columns and all(isinstance(record, dict) and "responses" in record for record in columns):
        return [{"id": key, **record} for key, record in document.items()]
    raise SourceError(f"{path}: wanted records as a list, as columns or by id; found an object of {quoted(document)}.")


def _object(value: object) -> Record:
    return value if isinstance(value, dict) else {}


def _fields(record: Record) -> Record:
    """The fields of a nested record, or what a flat one has beside its responses and suggestions."""
    if "fields" in record:
        return _object(record["fields"])
    marks = (".responses", ".suggestion")
    return {n: v for n, v in record.items() if n not in _NO_DATA and not any(mark in n for mark in marks)}


def _responses(record: Record, path: Path, number: int) -> list[_Response]:
    given = record.get("responses")
    if isinstance(given, list):  # 1.x: one entry per person
        return [
            _Response(
                question, text_of(entry.get("user_id")), _object(value).get("value"), text_of(entry.get("status"))
            )
            for entry in given
            if isinstance(entry, dict)
            for question, value in _object(entry.get("values")).items()
        ]
    if isinstance(given, dict):  # 2.x nested: one list per question
        return [
            _Response(question, text_of(entry.get("user_id")), entry.get("value"), text_of(entry.get("status")))
            for question, entries in given.items()
            for entry in (entries if isinstance(entries, list) else [])
            if isinstance(entry, dict)
        ]
    flat = {n.removesuffix(".responses"): v for n, v in record.items() if n.endswith(".responses")}
    if not flat and "responses" not in record:
        if not any(".responses" in name for name in record) and "fields" not in record and "text" not in record:
            raise SourceError(f"{path}: record {number}: wanted fields and responses; found {quoted(record)}.")
        return []
    found: list[_Response] = []
    for question, values in flat.items():
        users, states = record.get(f"{question}.responses.users"), record.get(f"{question}.responses.status")
        if not isinstance(values, list):
            continue
        if not isinstance(users, list) or len(users) != len(values):
            raise SourceError(
                f"{path}: record {number}: wanted one user per response to {quoted([question])} in "
                f"{quoted([f'{question}.responses.users'])}."
            )
        states = states if isinstance(states, list) and len(states) == len(values) else [None] * len(values)
        found += [
            _Response(question, text_of(user), value, text_of(state))
            for value, user, state in zip(values, users, states, strict=True)
        ]
    return found


def _is_marks(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(mark, dict) and "start" in mark for mark in value)


def _questions(given: list[_Response], asked: ExportSettings, where: str) -> tuple[str | None, str | None, str | None]:
    """The questions of answer, reason and marks."""
    names = list(dict.fromkeys(r.question for r in given))
    if not names:
        raise SourceError(f"{where}: wanted responses; found none in any record.")
    marked = [name for name in names if any(_is_marks(r.value) for r in given if r.question == name)]
    evidence = chosen(marked, asked.evidence, what="the question for marking text", setting="evidence", where=where)
    texts = [n for n in names if n not in marked and all(isinstance(r.value, str) for r in given if r.question == n)]
    usual = [name for name in texts if name.casefold() in REASONS]
    free = [name for name in texts if name != asked.question]
    reason = chosen(free if asked.reason else usual, asked.reason, what="the reason", setting="reason", where=where)
    rest = [name for name in names if name not in marked and name != reason]
    question = chosen(rest, asked.question, what="the answer's question", setting="question", where=where)
    return question, reason, evidence


def _answers(
    key: str,
    given: list[_Response],
    questions: tuple[str | None, str | None, str | None],
    texts: Mapping[str, str],
    path: Path,
    found: Collected,
) -> list[Answer]:
    """One answer per person; what was not submitted is counted."""
    question, reason, evidence = questions
    people: dict[str, dict[str, object]] = {}
    left: dict[str, str] = {}
    for response in given:
        if response.status not in ("", "submitted"):
            left[response.user] = response.status
        elif response.question in people.setdefault(response.user, {}):
            raise SourceError(
                f"{path}: item {quoted([key])}: {quoted([response.user])} answers {quoted([response.question])} twice."
            )
        else:
            people[response.user][response.question] = response.value
    for status in left.values():
        found.drop(path.name, f"the response was not submitted ({status})", key, unit="answers")
    answers = []
    for user, values in people.items():
        if not values:
            continue
        marks, names = [], []
        for mark in _list(values.get(evidence or "")):
            mark = _object(mark)
            names.append(text_of(mark.get("label")))
            place = placed(texts, mark.get("start"), mark.get("end"), mark.get("text"))
            if place is None:
                found.drop(path.name, OUTSIDE, key, unit="marks")
            else:
                marks.append(place[:3])
        value = names if question is None else [text_of(entry) for entry in _list(values.get(question))]
        why = text_of(values.get(reason)) if reason else ""
        answers.append(Answer(key, user, tuple(value), why or None, None if evidence is None else tuple(marks)))
    return answers


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]
