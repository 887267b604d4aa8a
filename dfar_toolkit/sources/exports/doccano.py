r"""doccano: JSON lines, one file per annotator, or one file for all.

Layout, in invented lines (labels of a text, marks in it, both of it, marks with offsets by name)::

    {"id": 3, "text": "I kept the change.", "label": ["unethical"], "Comments": ["Not theirs."]}
    {"id": 3, "text": "I kept the change.", "label": [[7, 17, "act"]]}
    {"id": 3, "text": "I kept the change.", "cats": ["unethical"], "entities": [[7, 17, "act"]]}
    {"id": 3, "text": "I kept the change.", "relations": [],
     "entities": [{"id": 1, "label": "act", "start_offset": 7, "end_offset": 17}]}

Warts: nothing in a line names the person, a project whose members work apart has a file per user name (taken, and
said; such a file is listed by a number, since its name is a person's), a shared project one ``all.jsonl`` (then nobody
is named); older exports have no id, so texts that are equal in several files are one item; offsets are taken as
characters. A field ``username``, ``user`` or ``annotator`` is used if there is one.
"""

from __future__ import annotations

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
    name="doccano",
    title="Export of doccano",
    licence="unknown",
    homepage="https://doccano.github.io/doccano",
    citation="",
    layout="JSON lines, a file per annotator: id, text, label (names, or [start, end, name])",
)
_PEOPLE: Final = ("annotator", "username", "user")
_SHARED: Final = "all"  # the stem of the file in which nobody is told apart
_Mark = tuple[object, object, str]


def read(raw: Path, *, set_name: str = "", settings: ExportSettings | None = None) -> SourceTables:
    """An export of doccano as tables.

    Args:
        raw: The file, or the folder with a file per annotator.
        set_name: Name of the data set; else that of the settings.
        settings: What the export does not say.

    Returns:
        One item per text; labels of the text are the values, marks are evidence (where there are marks only, their
        names are the values).

    Raises:
        SourceError: Not such an export, several fields may be meant, or two items cannot be told apart.
    """
    asked, found = settings or ExportSettings(), Collected()
    lines: list[tuple[Path, Record]] = []
    paths = export_paths(raw, (".jsonl", ".ndjson", ".json"))
    for path in paths:
        lines += [(path, record) for record in json_records(path)]
    if not lines:
        raise SourceError(f"{raw}: wanted lines with a text and labels; found none.")
    where, rows = str(raw), [record for _, record in lines]
    if any("answer" in record and "_input_hash" in record for record in rows):
        raise SourceError(f"{raw}: wanted lines of doccano; these are of Prodigy (answer, _input_hash): build prodigy.")
    names = list(dict.fromkeys(name for record in rows for name in record))
    marked = [name for name in names if any(_marks(record.get(name)) for record in rows)]
    listed = [name for name in names if any(isinstance(r.get(name), list) and _names(r[name]) for r in rows)]
    named = [name for name in listed if name not in marked]
    reason = asked.reason or next((name for name in names if name.casefold() in REASONS), None)
    named = [name for name in named if name not in ("Comments", "relations", reason)]
    texts = [name for name in names if any(isinstance(record.get(name), str) for record in rows)]
    person = chosen(
        [name for name in names if name in _PEOPLE or name == asked.annotator],
        asked.annotator,
        what="the person",
        setting="annotator",
        where=where,
    )
    beside = (*asked.context, asked.split_field, asked.id, person, reason)
    alone = asked.question or "label"  # a label that is one text, not a list
    free = [name for name in texts if name not in (*beside, alone)]
    statement = chosen(
        free, asked.statement, what="the statement", setting="statement", where=where, usual=(*STATEMENTS, "data")
    )
    if alone in texts and alone not in named:
        named.append(alone)
    question = chosen(named, asked.question, what="the labels", setting="question", where=where)
    evidence = chosen(marked, asked.evidence, what="the marks", setting="evidence", where=where)
    if statement is None or (question is None and evidence is None):
        raise SourceError(f"{raw}: wanted a text and its labels; found the fields {quoted(names)}.")
    if reason is not None and reason not in names:
        raise SourceError(f"{raw}: wanted the reason in {quoted([reason])}; found {quoted(names)}.")
    keys = _keys(lines, statement, asked)
    people = [path for path in paths if person is None and path.stem != _SHARED]
    shown = {path: f"annotator_{k:02d}{path.suffix}" for k, path in enumerate(people, start=1)}
    for path in paths:
        found.read(path, sum(place == path for place, _ in lines), name=shown.get(path, ""))
    taken = (person, question, evidence, reason, "id", "relations")
    for (path, record), key in zip(lines, keys, strict=True):
        data = {name: value for name, value in record.items() if name not in taken}
        item = item_of(data, statement, asked, str(path), key)
        if not found.add(key, item, path, name=shown.get(path, "")):
            continue
        places = mark_texts({statement: item.statement, **dict(item.context)}, asked, path, told=evidence is None)
        marks, labels = [], []
        for start, end, name in _marks(record.get(evidence)) if evidence else []:
            labels.append(name)
            place = placed(places, start, end)
            if place is None:
                found.drop(shown.get(path, path.name), OUTSIDE, key, unit="marks")
            else:
                marks.append(place[:3])
        values = labels if question is None else _names(record.get(question))
        why = "\n".join(_names(record.get(reason))) if reason else ""
        who = text_of(record.get(person)) if person else "" if path.stem == _SHARED else path.stem
        found.answers.append(Answer(key, who, tuple(values), why or None, None if evidence is None else tuple(marks)))
    remarks = sum(bool(_names(record.get("Comments"))) for record in rows)
    if remarks and reason != "Comments":
        found.said.append(f"{remarks} lines hold Comments, which are not read; where they are reasons: reason=Comments")
    if people:
        n = f"{len(people)} file{'s' if len(people) > 1 else ''}"
        found.said.append(f"no line names the annotator: the names of {n} do, which are listed by number")
    given = {"Statement": statement, "answers": question or evidence, "reasons": reason, "marks": evidence}
    notes = [f"{', '.join(f'{what}: {quoted([name])}' for what, name in given.items() if name)}."]
    return tables_of(INFO, found, asked, question=question or evidence or "", set_name=set_name, notes=notes)


def _keys(lines: list[tuple[Path, Record]], statement: str, asked: ExportSettings) -> list[str]:
    """The own key of each line: its id, else the number of its text in order of first appearance."""
    name = asked.id or "id"
    given = [text_of(record.get(name)).strip() for _, record in lines]
    if all(given):
        return given
    if any(given) or asked.id:
        path = next(path for (path, _), key in zip(lines, given, strict=True) if not key)
        raise SourceError(f"{path}: wanted {quoted([name])} in every line; one has none.")
    if len({path for path, _ in lines}) == 1:
        return [f"{number:05d}" for number in range(len(lines))]
    numbers: dict[str, int] = {}
    seen: set[tuple[Path, str]] = set()
    for path, record in lines:
        text = text_of(record.get(statement))
        if (path, text) in seen:
            raise SourceError(
                f"{path}: without ids, equal texts of several files are one item, but {quoted([text[:60]])} stands "
                "twice in this one: export with ids."
            )
        seen.add((path, text))
        numbers.setdefault(text, len(numbers))
    return [f"{numbers[text_of(record.get(statement))]:05d}" for _, record in lines]


def _marks(value: object) -> list[_Mark]:
    """Marks as [start, end, name] or as objects; an empty list of anything else."""
    found: list[_Mark] = []
    for mark in value if isinstance(value, list) else []:
        if isinstance(mark, list) and len(mark) == 3 and isinstance(mark[0], int) and isinstance(mark[1], int):
            found.append((mark[0], mark[1], text_of(mark[2])))
        elif isinstance(mark, dict) and "start_offset" in mark and "end_offset" in mark:
            found.append((mark["start_offset"], mark["end_offset"], text_of(mark.get("label"))))
    return found


def _names(value: object) -> list[str]:
    """Names of labels: a list of texts or numbers, or one of them."""
    if isinstance(value, list):
        return [text_of(entry) for entry in value if isinstance(entry, (str, int, float))]
    return [text_of(value)] if isinstance(value, (str, int, float)) and not isinstance(value, bool) else []
