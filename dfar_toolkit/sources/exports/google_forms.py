r"""Google Forms: the sheet of responses as CSV, one row per person and time, one column per question.

Layout, an invented sheet with two statements, each followed by its reason::

    Timestamp,Email Address,Age,I kept the change.,Why?,I lied to a friend.,Why?
    5/1/2024 9:00:00,a@example.org,31,unethical,Not mine.,ethical,It spared him.

The rule: the answers' options must be given (``options`` or ``labels``). A column whose filled cells are all options is
a statement, its header the text; the next column is its reason if its header begins with the reason's word ("Why",
"Reason", ... or the setting ``reason``). ``Timestamp`` and the person's column (e-mail, name, ... or ``annotator``) are
known by their names; columns about the person are named with ``raters``; anything else is refused with the candidates.
Two forms of header hold the statement in a part only: ``STATEMENT [label]`` (also ``[rating]``, ``[answer]``,
``[judgement]`` or the setting ``question``), and the rows of a grid, ``QUESTION [STATEMENT]``, where several
columns have the same text before the bracket.

Warts: headers repeat; checkboxes give several options in one cell, with ", " or ";" between them (kind set); the time
is in the order of the form's locale, so it is kept as text and rows count as being in order of time; a column that
nobody filled in is left out and counted.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from pathlib import Path
from typing import Final

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports.answers import Answer, Collected, Item, readable, tables_of
from dfar_toolkit.sources.exports.export_files import export_paths
from dfar_toolkit.sources.exports.settings import ExportSettings, chosen
from dfar_toolkit.sources.layout import SourceInfo, SourceTables
from dfar_toolkit.tabular import quoted
from dfar_toolkit.tabular.delimited import delimited_rows
from dfar_toolkit.tabular.whole_file import whole_file
from dfar_toolkit.tabular.wording import ContentError

INFO: Final = SourceInfo(
    name="google_forms",
    title="Responses of a Google Form",
    licence="unknown",
    homepage="https://www.google.com/forms/about",
    citation="",
    layout="CSV: Timestamp, a column with the person, one column per statement, each with a column of reasons or none",
)
_TIMES: Final = ("timestamp",)
_PEOPLE: Final = ("email address", "email", "username", "name", "annotator", "your name", "participant id")
_WHY: Final = ("why", "reason", "explain", "explanation", "because", "please explain", "justif")
_LABELS: Final = ("label", "rating", "answer", "judgement", "judgment")
_BRACKET: Final = re.compile(r"(.*\S)\s*\[([^\[\]]+)\]\s*", re.DOTALL)


def read(raw: Path, *, set_name: str = "", settings: ExportSettings | None = None) -> SourceTables:
    """The responses of a form as tables.

    Args:
        raw: The CSV file, or a folder with one.
        set_name: Name of the data set; else that of the settings.
        settings: At least ``options`` or ``labels``.

    Returns:
        One item per statement, numbered in the order of the columns; one annotation per filled cell.

    Raises:
        SourceError: Not such a sheet, or a column may be anything.
    """
    asked, found = settings or ExportSettings(), Collected()
    paths = export_paths(raw, (".csv", ".tsv"))
    if len(paths) > 1:
        raise SourceError(f"{raw}: wanted one sheet; found {quoted(path.name for path in paths)}.")
    path = paths[0]
    headers, columns = _sheet(path)
    n_rows = len(columns[0]) if columns else 0
    found.read(path, n_rows)
    if not (asked.options or asked.labels):
        raise SourceError(f"{path}: wanted the options of the answers (setting options), which tell statements apart.")
    time = chosen(
        [name for name in headers if name.casefold() in _TIMES], None, what="the time", setting="at", where=str(path)
    )
    person = chosen(
        list(dict.fromkeys(n for n in headers if n.casefold().strip() in _PEOPLE or n == asked.annotator)),
        asked.annotator,
        what="the person",
        setting="annotator",
        where=str(path),
        usual=_PEOPLE,
    )
    lost = [name for name in asked.raters if name not in headers]
    if lost:
        raise SourceError(f"{path}: wanted the columns {quoted(lost)} about the person; found {quoted(headers)}.")
    known = {time, person, *asked.raters}
    for header, column in zip(headers, columns, strict=True):
        if header not in known and not any(cell.strip() for cell in column):
            found.drop(path.name, "nobody filled in the column", header, unit="columns")
    pairs = _pairs(headers, columns, known, asked, path)
    texts = _statements([headers[k] for k, _ in pairs], asked)
    when = columns[headers.index(time)] if time else [""] * n_rows
    who = [cell.strip() for cell in columns[headers.index(person)]] if person else [""] * n_rows
    for number, ((k, why), text) in enumerate(zip(pairs, texts, strict=True)):
        key = f"{number:05d}"
        if not found.add(key, Item(asked.split, readable(text, str(path)), (), {}), path):
            continue
        for row in range(n_rows):
            reason = columns[why][row] if why is not None else ""
            if columns[k][row].strip() or reason.strip():
                values = tuple(_parts(columns[k][row], asked))
                found.answers.append(Answer(key, who[row], values, reason or None, None, when[row] or None, order=row))
    for name in asked.raters:
        _facts(name, columns[headers.index(name)], who, found)
    words = ("Statements: the headers of the columns", *(f"the person: {quoted([name])}" for name in (person,) if name))
    return tables_of(
        INFO, found, asked, question=asked.question or "label", set_name=set_name, notes=[f"{'; '.join(words)}."]
    )


def _sheet(path: Path) -> tuple[list[str], list[list[str]]]:
    """Headers, which may repeat, and the columns' cells."""
    try:
        data = whole_file(path, folder="this is a folder; wanted the CSV file of responses.")
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        lines = io.StringIO(data.decode("utf-8"), newline="")
        reader = csv.reader(lines, delimiter=separator)
        headers = next(reader)
        if len(headers) < 2:
            raise ContentError(f"wanted several columns separated by commas; found the header {quoted(headers)}.")
        made = io.StringIO()
        csv.writer(made, delimiter=separator, lineterminator="\n").writerow(map(str, range(len(headers))))
        table = delimited_rows((made.getvalue() + lines.read()).encode(), separator, ())
    except UnicodeDecodeError as fault:
        raise SourceError(
            f"{path}: invalid UTF-8 at offset {fault.start}; if the file was saved on Windows, convert it: iconv -f "
            "WINDOWS-1252 -t UTF-8 OLD > NEW."
        ) from None
    except csv.Error as fault:
        raise SourceError(f"{path}: the header cannot be read ({fault}).") from None
    except ContentError as bad:
        raise SourceError(f"{path}: {bad}") from bad.__cause__
    return headers, [["" if cell is None else str(cell) for cell in column] for column in table.get_columns()]


def _parts(cell: str, asked: ExportSettings) -> list[str]:
    """The options in a cell: one, or several of a question of kind set."""
    known = {*asked.options, *asked.labels}
    if asked.kind != "set" or cell.strip() in known:
        return [cell.strip()]
    return [part.strip() for part in re.split(r";|, ", cell)]


def _pairs(
    headers: list[str], columns: list[list[str]], known: set[str | None], asked: ExportSettings, path: Path
) -> list[tuple[int, int | None]]:
    """The column of each statement with the column of its reason, if it has one."""
    options = {*asked.options, *asked.labels}
    empty = [not any(cell.strip() for cell in column) for column in columns]
    words = (asked.reason.casefold(),) if asked.reason else _WHY
    pairs: list[tuple[int, int | None]] = []
    for k, header in enumerate(headers):
        if header in known:
            continue
        if header.strip().casefold().startswith(words) and pairs and pairs[-1] == (k - 1, None):
            pairs[-1] = (k - 1, k)
            continue
        if empty[k]:
            continue
        filled = [part for cell in columns[k] if cell.strip() for part in _parts(cell, asked)]
        strange = [part for part in filled if part not in options]
        if strange and len(strange) < len(filled):
            raise SourceError(
                f"{path}: the column {quoted([header])} holds options ({quoted(options)}) and other cells "
                f"({quoted(dict.fromkeys(strange), most=3)}): complete the options."
            )
        if strange:
            raise SourceError(
                f"{path}: the column {quoted([header])} holds none of the options {quoted(options)}: is it about the "
                "person (setting raters), the person's name (annotator), or a reason (setting reason: how its header "
                "begins, right after its statement)?"
            )
        pairs.append((k, None))
    if not pairs:
        raise SourceError(f"{path}: wanted a column per statement; found {quoted(headers)}.")
    return pairs


def _statements(headers: list[str], asked: ExportSettings) -> list[str]:
    """The statement in each header."""
    labels = {*_LABELS, (asked.question or "label").casefold()}
    split = [_BRACKET.fullmatch(header) for header in headers]
    before = Counter(match[1] for match in split if match is not None)
    texts = []
    for header, match in zip(headers, split, strict=True):
        if match is not None and match[2].strip().casefold() in labels:
            texts.append(match[1])
        elif match is not None and before[match[1]] > 1:
            texts.append(match[2].strip())
        else:
            texts.append(header)
    return texts


def _facts(name: str, cells: list[str], who: list[str], found: Collected) -> None:
    """A column about the person; a person with several values has none, and it is said."""
    given: dict[str, set[str]] = {}
    for person, cell in zip(who, cells, strict=True):
        if person and cell.strip():
            given.setdefault(person, set()).add(cell.strip())
    title = re.sub(r"\W+", "_", name).strip("_").lower() or "column"
    title = f"published_{title}" if title in ("kind", "annotator_id") else title
    torn = sorted(person for person, values in given.items() if len(values) > 1)
    if torn:
        found.said.append(f"{len(torn)} people gave several answers to {quoted([name])}: theirs is left empty")
    for person in dict.fromkeys(who):
        values = given.get(person, set())
        if person:
            found.raters.setdefault(person, {})[title] = next(iter(values)) if len(values) == 1 else ""
