r"""Label Studio: the full JSON export (and JSON-MIN where it names the annotator).

Layout: one list of tasks; a task has ``data``, and ``annotations`` with one ``result`` per control that was used. An
invented task::

    [{"id": 7, "data": {"text": "I kept the change.", "source": "forum"},
      "annotations": [{"id": 31, "completed_by": 4, "was_cancelled": false, "lead_time": 12.5,
        "created_at": "2024-05-01T09:00:00Z",
        "result": [
          {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["unethical"]}},
          {"from_name": "why", "to_name": "text", "type": "textarea", "value": {"text": ["It is not theirs."]}},
          {"from_name": "marks", "to_name": "text", "type": "labels",
           "value": {"start": 7, "end": 17, "text": "the change", "labels": ["act"]}}]}],
      "predictions": []}]

Warts: ``completed_by`` is a number or an object; skipped tasks stand there with ``was_cancelled`` (dropped and
counted); drafts and predictions are no answers (left out, said); an export has no control's whole list of options;
``to_name`` is the name of a tag, not of a data field, so a mark's field is where its words stand; offsets may be
counted in UTF-16. JSON-MIN has one row per annotation, controls beside data fields, and often no annotator: then it is
refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports.answers import Answer, Collected, Item, item_of, tables_of, text_of
from dfar_toolkit.sources.exports.export_files import Record, export_paths, json_records
from dfar_toolkit.sources.exports.marks import OUTSIDE, UTF16, mark_texts, placed
from dfar_toolkit.sources.exports.settings import REASONS, STATEMENTS, ExportSettings, chosen
from dfar_toolkit.sources.layout import SourceInfo, SourceTables
from dfar_toolkit.tabular import quoted

INFO: Final = SourceInfo(
    name="label_studio",
    title="Export of Label Studio",
    licence="unknown",
    homepage="https://labelstud.io",
    citation="",
    layout="JSON (not JSON-MIN without annotators): a list of tasks with data and annotations",
)
_ANSWERS: Final = ("choices", "rating", "number")
_MARKS: Final = ("labels", "hypertextlabels")
_ABOUT_MIN: Final = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time")
_Results = dict[str, list[Record]]  # control -> its results


def read(raw: Path, *, set_name: str = "", settings: ExportSettings | None = None) -> SourceTables:
    """An export of Label Studio as tables.

    Args:
        raw: The JSON file, or a folder with one or more.
        set_name: Name of the data set; else that of the settings.
        settings: What the export does not say.

    Returns:
        One item per task, one annotation per chosen value; ``seconds`` is the published lead time.

    Raises:
        SourceError: Not such an export, or several fields or controls may be meant.
    """
    asked, found = settings or ExportSettings(), Collected()
    tasks: list[tuple[Path, Record]] = []
    for path in export_paths(raw, (".json",)):
        records = json_records(path)
        found.read(path, len(records))
        if records and not any("annotations" in record for record in records):
            records = [_from_min(record, asked, path) for record in records]
        tasks += [(path, record) for record in records]
    if not tasks:
        raise SourceError(f"{raw}: wanted a list of tasks; found none.")
    _check_tasks(tasks)
    kinds = _controls(record for _, record in tasks)
    where = str(raw)
    question = chosen(
        [name for name, kind in kinds.items() if kind in _ANSWERS],
        asked.question,
        what="the answers' control",
        setting="question",
        where=where,
    )
    reason = chosen(
        [name for name, kind in kinds.items() if kind == "textarea"],
        asked.reason,
        what="the reason's control",
        setting="reason",
        where=where,
        usual=REASONS,
    )
    evidence = chosen(
        [name for name, kind in kinds.items() if kind in _MARKS],
        asked.evidence,
        what="the control for marking text",
        setting="evidence",
        where=where,
    )
    if question is None and evidence is None:
        raise SourceError(f"{raw}: wanted a control with choices, ratings or marks; found {quoted(kinds)}.")
    fields = dict.fromkeys(name for _, task in tasks for name, value in _data(task).items() if isinstance(value, str))
    statement = chosen(
        [name for name in fields if name not in (*asked.context, asked.split_field, asked.id)],
        asked.statement,
        what="the statement",
        setting="statement",
        where=where,
        usual=STATEMENTS,
    )
    if statement is None:
        raise SourceError(f"{raw}: wanted a data field with the statement; found no text in any field.")
    for path, task in tasks:
        data = _data(task)
        key = text_of(data.get(asked.id) if asked.id else task.get("id")).strip()
        if not key:
            raise SourceError(f"{path}: wanted {quoted([asked.id or 'id'])} in every task; one has none.")
        item = item_of(data, statement, asked, str(path), key)
        if found.add(key, item, path):
            for annotation in _listed(task, "annotations"):
                _answer(annotation, key, item, statement, (question, reason, evidence), asked, path, found)
    unused = [name for name in kinds if name not in (question, reason, evidence)]
    if unused:
        found.said.append(f"controls that are not asked for are left out: {quoted(unused)}")
    for what in ("predictions", "drafts"):
        n = sum(len(_listed(task, what)) for _, task in tasks)
        if n:
            found.said.append(f"{n} {what} are no answers of people: left out")
    given = {"Statement": statement, "answers": question or evidence, "reasons": reason, "marks": evidence}
    notes = [f"{', '.join(f'{what}: {quoted([name])}' for what, name in given.items() if name)}."]
    return tables_of(INFO, found, asked, question=question or evidence or "", set_name=set_name, notes=notes)


def _data(task: Record) -> Record:
    data = task.get("data")
    return data if isinstance(data, dict) else {}


def _listed(task: Record, name: str) -> list[Record]:
    value = task.get(name)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _check_tasks(tasks: list[tuple[Path, Record]]) -> None:
    for number, (path, task) in enumerate(tasks, start=1):
        if not isinstance(task.get("data"), dict) or not isinstance(task.get("annotations"), list):
            raise SourceError(
                f"{path}: task {number}: wanted an object under data and a list under annotations; found the fields "
                f"{quoted(task)}. Export the project as JSON."
            )


def _controls(tasks: Iterable[Record]) -> dict[str, str]:
    """Control -> its type, in the order of the file."""
    kinds: dict[str, str] = {}
    for task in tasks:
        for annotation in _listed(task, "annotations"):
            for result in _listed(annotation, "result"):
                kinds.setdefault(text_of(result.get("from_name")), text_of(result.get("type")))
    kinds.pop("", None)  # relations between marks have no control
    return kinds


def _answer(
    annotation: Record,
    key: str,
    item: Item,
    statement: str,
    controls: tuple[str | None, str | None, str | None],
    asked: ExportSettings,
    path: Path,
    found: Collected,
) -> None:
    if annotation.get("was_cancelled"):
        found.drop(path.name, "skipped by the annotator (was_cancelled)", key, unit="answers")
        return
    results: _Results = {}
    for result in _listed(annotation, "result"):
        results.setdefault(text_of(result.get("from_name")), []).append(result)
    question, reason, evidence = controls
    texts = mark_texts({statement: item.statement, **dict(item.context)}, asked, path, told=True)
    marks, names = [], []
    for result in results.get(evidence or "", []):
        value = result.get("value")
        value = value if isinstance(value, dict) else {}
        place = placed(texts, value.get("start"), value.get("end"), value.get("text"))
        names += [text_of(name) for name in _list_of(value.get(text_of(result.get("type"))))]
        if place is None:
            found.drop(path.name, OUTSIDE, key, unit="marks")
            continue
        marks.append(place[:3])
        if place[3] and f"{path.name}: {UTF16}" not in found.said:
            found.said.append(f"{path.name}: {UTF16}")
    given = names if question is None else _values(results.get(question, []))
    written = _values(results.get(reason, [])) if reason else []
    seconds, at = annotation.get("lead_time"), text_of(annotation.get("created_at"))
    found.answers.append(
        Answer(
            key,
            _person(annotation.get("completed_by")),
            tuple(given),
            "\n".join(written) or None,
            None if evidence is None else tuple(marks),
            at,
            float(seconds) if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) else None,
            at,
        )
    )


def _list_of(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _values(results: list[Record]) -> list[str]:
    """What a control's results hold: choices, a rating, a number or lines of text."""
    found: list[str] = []
    for result in results:
        value, kind = result.get("value"), text_of(result.get("type"))
        inner = value.get("text" if kind == "textarea" else kind) if isinstance(value, dict) else value
        found += [text_of(entry) for entry in _list_of(inner)]
    return found


def _person(who: object) -> str:
    """The annotator's id, of an object its ``id`` (which exports with plain numbers have too), else the e-mail."""
    if isinstance(who, dict):
        return text_of(who.get("id")) or text_of(who.get("email"))
    return text_of(who)


def _from_min(record: Record, asked: ExportSettings, path: Path) -> Record:
    """A row of JSON-MIN in the form of the full export; one that does not name its annotator is refused."""
    if "fields" in record and "responses" in record:
        raise SourceError(
            f"{path}: wanted annotations in every task; this is of Argilla (fields, responses): build argilla."
        )
    if "annotator" not in record:
        raise SourceError(
            f"{path}: wanted annotations in every task; found {quoted(record)}. This looks like JSON-MIN, which does "
            "not say who answered: export the project as JSON."
        )
    if asked.question is None:
        rest = [name for name in record if name not in _ABOUT_MIN]
        raise SourceError(
            f"{path}: JSON-MIN does not tell answers from data: any of {quoted(rest)} may hold the answer; name it "
            "with the setting question, or export the project as JSON."
        )
    named = {asked.question: "choices", asked.reason: "textarea", asked.evidence: "labels"}
    results: list[Record] = []
    for name, kind in named.items():
        value = record.get(name) if name else None
        if name is None or value is None:
            continue
        if kind == "labels":
            results += [{"from_name": name, "type": kind, "value": mark} for mark in _list_of(value)]
        else:
            inner = value.get("choices", value.get("text")) if isinstance(value, dict) else value
            slot = "text" if kind == "textarea" else kind
            results.append({"from_name": name, "type": kind, "value": {slot: inner}})
    return {
        "id": record.get("id"),
        "data": {name: value for name, value in record.items() if name not in (*_ABOUT_MIN, *named)},
        "annotations": [
            {"completed_by": record["annotator"], "result": results}
            | {name: record.get(name) for name in ("created_at", "lead_time")}
        ],
    }
