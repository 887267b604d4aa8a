r"""Amazon Mechanical Turk: the CSV of a batch's results, one row per assignment.

Layout, an invented row (columns shortened)::

    HITId,AssignmentId,WorkerId,AssignmentStatus,SubmitTime,WorkTimeInSeconds,Input.text,Answer.label,Answer.why
    3A,3B,A1,Approved,Wed May 01 09:00:00 PDT 2024,41,I kept the change.,unethical,Not theirs.

Answers stand in columns ``Answer.NAME``, or all in ``Answer.taskAnswers`` as JSON (the form element), or flattened
(``Answer.label.unethical`` true or false). A radio button gives ``{"label": {"unethical": true, "ethical": false}}``, a
classifier ``{"label": {"label": "unethical"}}`` or ``{"labels": [..]}``, a slider a number, a text field a text.
Classic checkboxes are joined by "|" (kind set).

Key: ``HITId`` (or ``id``, a column ``Input.*``). Warts: rejected assignments stand there (dropped and counted); a
worker may answer a HIT again after it was rejected or republished; the time names its zone by letters.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Final

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports.answers import Answer, Collected, item_of, tables_of, text_of
from dfar_toolkit.sources.exports.export_files import cell_records, export_paths
from dfar_toolkit.sources.exports.settings import REASONS, STATEMENTS, ExportSettings, chosen
from dfar_toolkit.sources.layout import SourceInfo, SourceTables
from dfar_toolkit.tabular import quoted
from dfar_toolkit.tabular.json_rows import parsed_json
from dfar_toolkit.tabular.wording import ContentError

INFO: Final = SourceInfo(
    name="mturk",
    title="Batch results of Amazon Mechanical Turk",
    licence="unknown",
    homepage="https://www.mturk.com",
    citation="",
    layout="CSV: HITId, WorkerId, AssignmentStatus, WorkTimeInSeconds, SubmitTime, Input.*, Answer.*",
)
_INPUT: Final = "Input."
_ANSWER: Final = "Answer."
_FORM: Final = "Answer.taskAnswers"
_TIME: Final = re.compile(r"\w{3} (\w{3}) (\d{1,2}) (\d\d):(\d\d):(\d\d) (\S+) (\d{4})")
_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"


def read(raw: Path, *, set_name: str = "", settings: ExportSettings | None = None) -> SourceTables:
    """The results of one or more batches as tables.

    Args:
        raw: The CSV file, or a folder with several.
        set_name: Name of the data set; else that of the settings.
        settings: What the files do not say; fields are named without ``Input.`` and ``Answer.``.

    Returns:
        One item per HIT, one annotation per chosen value; ``seconds`` is the work time.

    Raises:
        SourceError: Not such a file, or several columns may be meant.
    """
    asked, found = settings or ExportSettings(), Collected()
    rows: list[tuple[Path, dict[str, str], dict[str, object]]] = []
    for path in export_paths(raw, (".csv",)):
        records = cell_records(path, ("HITId", "WorkerId", "AssignmentStatus"))
        found.read(path, len(records))
        rows += [(path, record, _answers(record, path, n)) for n, record in enumerate(records, start=1)]
    if not rows:
        raise SourceError(f"{raw}: wanted assignments; found none.")
    names = list(dict.fromkeys(name for _, _, given in rows for name in given))
    if not names:
        raise SourceError(f"{raw}: wanted columns {_ANSWER}*; found {quoted(rows[0][1])}.")
    usual = names if asked.reason else [name for name in names if name.casefold() in REASONS]
    reason = chosen(usual, asked.reason, what="the reason", setting="reason", where=str(raw), usual=REASONS)
    rest = [name for name in names if name != reason]
    question = chosen(rest, asked.question, what="the answers", setting="question", where=str(raw))
    inputs = list(
        dict.fromkeys(n.removeprefix(_INPUT) for _, record, _ in rows for n in record if n.startswith(_INPUT))
    )
    beside = (*asked.context, asked.split_field, asked.id)
    statement = chosen(
        [name for name in inputs if name not in beside],
        asked.statement,
        what="the statement",
        setting="statement",
        where=str(raw),
        usual=STATEMENTS,
    )
    if question is None or statement is None:
        raise SourceError(f"{raw}: wanted columns {_INPUT}* and {_ANSWER}*; found {quoted(rows[0][1])}.")
    moments = _moments([record.get("SubmitTime", "") for _, record, _ in rows])
    for number, (path, record, given) in enumerate(rows):
        data = {n.removeprefix(_INPUT): cell for n, cell in record.items() if n.startswith(_INPUT)}
        key = text_of(data.get(asked.id) if asked.id else record["HITId"]).strip()
        if not key:
            raise SourceError(f"{path}: wanted {quoted([asked.id or 'HITId'])} in every row; one has none.")
        if not found.add(key, item_of(data, statement, asked, str(path), key), path):
            continue
        if record["AssignmentStatus"].strip().casefold() == "rejected":
            found.drop(path.name, "the assignment was rejected", key)
            continue
        at = record.get("SubmitTime", "")
        why = "\n".join(_values(given.get(reason))) if reason else ""
        values = _values(given.get(question))
        if asked.kind == "set":
            values = [part for value in values for part in value.split("|")]
        seconds = record.get("WorkTimeInSeconds", "").strip()
        found.answers.append(
            Answer(
                key,
                record["WorkerId"].strip(),
                tuple(values),
                why or None,
                None,
                at or None,
                float(seconds) if re.fullmatch(r"\d+(\.\d+)?", seconds) else None,
                moments[number],
            )
        )
    unused = [name for name in names if name not in (question, reason)]
    if unused:
        found.said.append(f"answers that are not asked for are left out: {quoted(unused)}")
    given_names = {"Statement": statement, "answers": question, "reasons": reason}
    notes = [f"{', '.join(f'{what}: {quoted([name])}' for what, name in given_names.items() if name)}."]
    return tables_of(INFO, found, asked, question=question, set_name=set_name, notes=notes)


def _answers(record: dict[str, str], path: Path, number: int) -> dict[str, object]:
    """Name -> what was answered, from the form's JSON or the columns; a flattened answer is put together again."""
    text = record.get(_FORM, "")
    if text.strip():
        try:
            form = parsed_json(text)
        except ContentError as bad:
            raise SourceError(f"{path}: row {number}: {_FORM}: {bad}") from bad.__cause__
        entries = form if isinstance(form, list) else [form]
        if not all(isinstance(entry, dict) for entry in entries):
            raise SourceError(f"{path}: row {number}: wanted a list of objects in {_FORM}.")
        return {name: value for entry in entries if isinstance(entry, dict) for name, value in entry.items()}
    found: dict[str, object] = {}
    parts: dict[str, dict[str, object]] = {}
    for column, cell in record.items():
        if not column.startswith(_ANSWER) or column == _FORM:
            continue
        name, _, option = column.removeprefix(_ANSWER).partition(".")
        if option:
            truth = {"true": True, "false": False}.get(cell.strip().casefold())
            parts.setdefault(name, {})[option] = cell if truth is None else truth
        else:
            found[name] = cell
    return {**found, **parts}


def _values(value: object) -> list[str]:
    """What an element of the form holds: a text, a number, the names that are true, or a classifier's labels."""
    if isinstance(value, list):
        return [text for entry in value for text in _values(entry)]
    if not isinstance(value, dict):
        return [text_of(value)] if value not in (None, "") else []
    for name in ("label", "labels"):
        if isinstance(value.get(name), (str, list)):
            return _values(value[name])
    return [name for name, on in value.items() if on is True or (isinstance(on, dict) and on.get("on") is True)]


def _moments(texts: list[str]) -> list[float]:
    """Seconds of times such as "Wed May 01 09:00:00 PDT 2024", if all are and are of one zone; else row numbers."""
    found, zones = [], set()
    for text in texts:
        match = _TIME.fullmatch(text.strip())
        if match is None or match[1] not in _MONTHS:
            break
        month = _MONTHS.index(match[1]) // 3 + 1
        zones.add(match[6])
        try:
            hour, minute, second = (int(match[k]) for k in (3, 4, 5))
            when = datetime.datetime(int(match[7]), month, int(match[2]), hour, minute, second, tzinfo=datetime.UTC)
        except ValueError:
            break
        found.append(when.timestamp())
    return found if len(found) == len(texts) and len(zones) == 1 else [float(k) for k in range(len(texts))]
