r"""Potato: the folder of annotations, one sub-folder per annotator, or the table of all of them.

Layouts, the first that is there is read; invented examples::

    annotation_output/anna/annotated_instances.jsonl
        {"id": "7", "displayed_text": "I kept the change.", "label_annotations": {"label": {"unethical": "true"},
         "why": {"text_box": "Not theirs."}}, "span_annotations": [{"schema": "marks", "annotation": "act",
         "start": 7, "end": 17, "span": "the change"}], "behavioral_data": {"time_string": "Time spent: 0d 0h 0m 5s "}}
    annotation_output/anna/user_state.json
        {"user_id": "anna",
         "instance_id_to_label_to_value": {"7": [[{"schema": "label", "name": "unethical"}, "unethical"]]},
         "instance_id_to_span_to_value": {"7": [[{"schema": "marks", "name": "act", "start": 7, "end": 17}, "true"]]},
         "instance_id_to_behavioral_data": {"7": {"total_time_ms": 5000}}}
    annotated_instances.tsv (or .csv)
        user  instance_id  displayed_text      label:::unethical  why:::text_box
        anna  7            I kept the change.  unethical          Not theirs.

Warts: ``user_state.json`` has no texts, so the data file of the project is needed (setting ``items_file``, by its path
in the folder; its ``id`` and text columns); a chosen option is a name with "true", with its own name or its number;
``scale_4`` is the fourth step of a scale; displayed texts may hold HTML, which stays as it is; columns of consent and
survey pages are schemas like others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports.answers import Answer, Collected, item_of, tables_of, text_of
from dfar_toolkit.sources.exports.export_files import Record, cell_records, json_records
from dfar_toolkit.sources.exports.marks import OUTSIDE, mark_texts, placed
from dfar_toolkit.sources.exports.settings import REASONS, STATEMENTS, ExportSettings, chosen
from dfar_toolkit.sources.layout import SourceInfo, SourceTables
from dfar_toolkit.sources.mapping import source_path
from dfar_toolkit.tabular import quoted, read_json

INFO: Final = SourceInfo(
    name="potato",
    title="Annotations of Potato",
    licence="unknown",
    homepage="https://www.potatoannotator.com",
    citation="",
    layout="annotation_output/USER/annotated_instances.jsonl or user_state.json, or a table of annotated instances",
)
_LINES, _STATE, _TABLES = "annotated_instances.jsonl", "user_state.json", (".tsv", ".csv")
_TEXT: Final = "text_box"
_SPENT: Final = re.compile(r"(\d+)d\s*(\d+)h\s*(\d+)m\s*(\d+)s")
_Labels = dict[str, dict[str, object]]  # schema -> name -> value


class _Row(NamedTuple):
    path: Path
    user: str
    key: str
    data: Record
    labels: _Labels
    marks: list[Record]
    seconds: float | None


def read(raw: Path, *, set_name: str = "", settings: ExportSettings | None = None) -> SourceTables:
    """Annotations of a Potato project as tables.

    Args:
        raw: The project's folder, its folder of annotations, or the table.
        set_name: Name of the data set; else that of the settings.
        settings: What the files do not say; ``question``, ``reason`` and ``evidence`` are names of schemas.

    Returns:
        One item per instance, one annotation per chosen option; ``seconds`` is the time spent.

    Raises:
        SourceError: Not such a folder, no texts, or several schemas may be meant.
    """
    asked, found = settings or ExportSettings(), Collected()
    rows = _rows(raw, asked, found)
    if not rows:
        raise SourceError(f"{raw}: wanted annotated instances; found none.")
    where = str(raw)
    schemas = dict.fromkeys(name for row in rows for name in row.labels)
    written = [n for n in schemas if all(_is_text(row.labels[n]) for row in rows if n in row.labels)]
    reason = chosen(written, asked.reason, what="the reason", setting="reason", where=where, usual=REASONS)
    question = chosen(
        [name for name in schemas if name not in written],
        asked.question,
        what="the answers' schema",
        setting="question",
        where=where,
    )
    marked = list(dict.fromkeys(text_of(mark.get("schema")) for row in rows for mark in row.marks))
    evidence = chosen(marked, asked.evidence, what="the marks' schema", setting="evidence", where=where)
    if question is None and evidence is None:
        raise SourceError(f"{raw}: wanted a schema with options or marks; found {quoted(schemas)}.")
    texts = dict.fromkeys(n for row in rows for n, v in row.data.items() if isinstance(v, str))
    statement = chosen(
        [name for name in texts if name not in (*asked.context, asked.split_field)],
        asked.statement,
        what="the statement",
        setting="statement",
        where=where,
        usual=(*STATEMENTS, "displayed_text"),
    )
    if statement is None:
        raise SourceError(f"{raw}: wanted the texts of the instances; found none.")
    for number, row in enumerate(rows):
        item = item_of(row.data, statement, asked, str(row.path), row.key)
        if not found.add(row.key, item, row.path):
            continue
        places = mark_texts({statement: item.statement, **dict(item.context)}, asked, row.path, told=evidence is None)
        marks, names = [], []
        for mark in row.marks:
            if text_of(mark.get("schema")) == evidence:
                names.append(text_of(mark.get("annotation", mark.get("name", mark.get("label")))))
                place = placed(places, mark.get("start"), mark.get("end"), mark.get("span", mark.get("text")))
                if place is None:
                    found.drop(row.path.name, OUTSIDE, row.key, unit="marks")
                else:
                    marks.append(place[:3])
        values = names if question is None else _options(row.labels.get(question, {}))
        why = "\n".join(text_of(text) for text in row.labels.get(reason, {}).values()) if reason else ""
        given = None if evidence is None else tuple(marks)
        found.answers.append(Answer(row.key, row.user, tuple(values), why or None, given, None, row.seconds, number))
    unused = [name for name in (*schemas, *marked) if name not in (question, reason, evidence)]
    if unused:
        found.said.append(f"schemas that are not asked for are left out: {quoted(unused)}")
    shown = {"Statement": statement, "answers": question or evidence, "reasons": reason, "marks": evidence}
    notes = [f"{', '.join(f'{what}: {quoted([name])}' for what, name in shown.items() if name)}."]
    return tables_of(INFO, found, asked, question=question or evidence or "", set_name=set_name, notes=notes)


def _rows(raw: Path, asked: ExportSettings, found: Collected) -> list[_Row]:
    if raw.is_file():
        return list(_table(raw, found))
    if not raw.is_dir():
        raise SourceError(f"{raw}: wanted a folder of annotations or a table; there is no such file or folder.")
    folder = raw / "annotation_output" if (raw / "annotation_output").is_dir() else raw
    people = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if any((person / _LINES).is_file() for person in people):
        return [row for person in people if (person / _LINES).is_file() for row in _lines(person, found)]
    if any((person / _STATE).is_file() for person in people):
        data = _data(raw, asked, found)
        return [row for person in people if (person / _STATE).is_file() for row in _state(person, data, found)]
    tables = sorted(path for path in folder.iterdir() if path.name.lower().startswith("annotated_instances."))
    tables = [path for path in tables if path.suffix.lower() in _TABLES]
    if len(tables) == 1:
        return list(_table(tables[0], found))
    names = quoted(sorted(path.name for path in folder.iterdir()))
    raise SourceError(
        f"{folder}: wanted sub-folders of annotators with {_LINES} or {_STATE}, or one table "
        f"annotated_instances.tsv; found {names}."
    )


def _lines(person: Path, found: Collected) -> Iterator[_Row]:
    """Potato 1: a line per instance."""
    path = person / _LINES
    records = json_records(path)
    found.read(path, len(records))
    for number, record in enumerate(records, start=1):
        key = text_of(record.get("id", record.get("instance_id"))).strip()
        if not key or "displayed_text" not in record or "label_annotations" not in record:
            raise SourceError(
                f"{path}: line {number}: wanted id, displayed_text and label_annotations; found {quoted(record)}."
            )
        data: Record = {"displayed_text": record["displayed_text"]}
        marks = _marks(record.get("span_annotations"))
        labels, spent = _labels(record["label_annotations"]), _seconds(record.get("behavioral_data"))
        yield _Row(path, text_of(record.get("user_id")) or person.name, key, data, labels, marks, spent)


def _state(person: Path, data: dict[str, Record], found: Collected) -> Iterator[_Row]:
    """Potato 2: one document per person, without texts."""
    path = person / _STATE
    document, _ = read_json(path, error=SourceError)
    state = document if isinstance(document, dict) else {}
    labels, spans, behaviour = (
        state.get(f"instance_id_to_{name}") or {} for name in ("label_to_value", "span_to_value", "behavioral_data")
    )
    if not isinstance(labels, dict) or not isinstance(spans, dict) or "instance_id_to_label_to_value" not in state:
        raise SourceError(f"{path}: wanted instance_id_to_label_to_value; found {quoted(state)}.")
    keys = list(dict.fromkeys((*labels, *spans)))
    found.read(path, len(keys))
    for key in keys:
        if key not in data:
            raise SourceError(f"{path}: the instance {quoted([key])} is not in the project's data file.")
        spent = _seconds(behaviour.get(key)) if isinstance(behaviour, dict) else None
        user = text_of(state.get("user_id")) or person.name
        yield _Row(path, user, key, data[key], _labels(labels.get(key)), _marks(spans.get(key)), spent)


def _table(path: Path, found: Collected) -> Iterator[_Row]:
    """The table of all people: a column ``schema:::name`` per option."""
    records = cell_records(path, ("user", "instance_id", "displayed_text"))
    found.read(path, len(records))
    for number, record in enumerate(records, start=1):
        if not record["instance_id"].strip():
            raise SourceError(f"{path}: row {number}: wanted an instance_id; found none.")
        labels: _Labels = {}
        for column, cell in record.items():
            schema, mark, name = column.partition(":::")
            if mark and cell.strip():
                labels.setdefault(schema, {})[name] = cell.removeprefix(f"{schema}:::") if name != _TEXT else cell
        data: Record = {"displayed_text": record["displayed_text"]}
        yield _Row(path, record["user"].strip(), record["instance_id"].strip(), data, labels, [], None)


def _data(raw: Path, asked: ExportSettings, found: Collected) -> dict[str, Record]:
    """Instance -> its data, from the file that the settings name."""
    if asked.items_file is None:
        raise SourceError(
            f"{raw}: {_STATE} holds no texts; name the project's data file, by its path in this folder, with the "
            "setting items_file."
        )
    path = source_path(raw, asked.items_file)
    lines = path.suffix.lower() in (".json", ".jsonl", ".ndjson")
    records: list[Record] = list(json_records(path)) if lines else [dict(row) for row in cell_records(path)]
    found.read(path, len(records))
    name = asked.id or "id"
    made = {text_of(record.get(name)): {k: v for k, v in record.items() if k != name} for record in records}
    if "" in made or len(made) != len(records):
        raise SourceError(f"{path}: wanted its own {quoted([name])} in every row; some have none or one that repeats.")
    return made


def _labels(raw: object) -> _Labels:
    """Schema -> name -> value, of an object or of pairs of a label and its value."""
    found: _Labels = {}
    if isinstance(raw, dict):
        for schema, names in raw.items():
            names = names.get("labels", names) if isinstance(names, dict) else {text_of(names): True}
            found[schema] = dict(names) if isinstance(names, dict) else {}
        return found
    for entry in raw if isinstance(raw, list) else []:
        if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], dict):
            found.setdefault(text_of(entry[0].get("schema")), {})[text_of(entry[0].get("name"))] = entry[1]
    return found


def _marks(raw: object) -> list[Record]:
    """Marks with their schema, of a list of them (or of pairs with a value) or of an object by schema."""
    if isinstance(raw, dict):
        lists = [(schema, marks) for schema, marks in raw.items() if isinstance(marks, list)]
        return [{"schema": schema, **mark} for schema, marks in lists for mark in marks if isinstance(mark, dict)]
    entries = (
        [entry[0] if isinstance(entry, list) and entry else entry for entry in raw] if isinstance(raw, list) else []
    )
    return [entry for entry in entries if isinstance(entry, dict)]


def _is_text(names: dict[str, object]) -> bool:
    return bool(names) and all(name.startswith(_TEXT) for name in names)


def _options(names: dict[str, object]) -> list[str]:
    """The chosen options: names whose value is not false; the step of a scale by its number."""
    chosen_names = [name for name, value in names.items() if value not in (False, None, "", "false", "False")]
    found = []
    for name in chosen_names:
        step = re.fullmatch(r"scale_(\d+)", name)
        found.append(step[1] if step else text_of(names[name]) if name == "select-one" else name)
    return found


def _seconds(behaviour: object) -> float | None:
    """The time spent, as words or in milliseconds."""
    if not isinstance(behaviour, dict):
        return None
    match = _SPENT.search(text_of(behaviour.get("time_string")))
    if match is not None:
        days, hours, minutes, seconds = (int(part) for part in match.groups())
        return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    total = behaviour.get("total_time_ms")
    return total / 1000 if isinstance(total, (int, float)) and not isinstance(total, bool) else None
