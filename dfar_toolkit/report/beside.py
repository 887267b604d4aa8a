"""Tables in which each number has beside it, in columns, what it must be read against."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from dfar_toolkit.report.cells import count_text, finite, interval_text, value_text
from dfar_toolkit.report.shared_notes import Row, SharedNotes, place_of
from dfar_toolkit.report.table import Table


class Beside(NamedTuple):
    """A column beside the numbers: its heading, and the rows that stand in it by the place of the number.

    ``interval`` adds a column with their intervals; ``shown`` writes a value.
    """

    heading: str
    rows: Mapping[tuple[str, ...], Row]
    interval: bool = False
    shown: Callable[[object], str] = value_text


def by_place(rows: Iterable[Row], by: Sequence[str]) -> dict[tuple[str, ...], Row]:
    """The rows by their texts in the columns ``by``; the first where several are alike.

    Example:
        >>> by_place([{"run_id": "a", "value": 1}], ["run_id"])
        {('a',): {'run_id': 'a', 'value': 1}}
    """
    found: dict[tuple[str, ...], Row] = {}
    for row in rows:
        found.setdefault(place_of(row, by), row)
    return found


def beside_table(
    rows: Iterable[Row],
    by: Sequence[str],
    besides: Sequence[Beside],
    notes: SharedNotes,
    *,
    value: str = "value",
    caption: str = "",
    folded: bool = False,
) -> Table:
    """A line per row: what tells it apart, value and interval, the others beside it, n, and what is left of the note.

    Args:
        rows: Rows with Estimate's fields.
        by: Columns that tell them apart.
        besides: What stands beside; columns that would be empty everywhere are left out.
        notes: Notes said above the table.
        value: Heading of the rows' own values.
        caption: Title of the table.
        folded: Whether it opens on demand only.

    Returns:
        The table.
    """
    columns = ["run" if c == "run_id" else c for c in by]
    columns += [value, "interval"]
    for beside in besides:
        columns += [beside.heading, *(["interval"] if beside.interval else [])]
    columns += ["n", "note"]
    lines = [_line(row, by, besides, notes) for row in rows]
    needed = {*range(len(by) + 2), len(columns) - 2}  # what tells rows apart, value, interval, n
    kept = [i for i, name in enumerate(columns) if i in needed or any(line[i] not in _blank(name) for line in lines)]
    numeric = frozenset(k for k, i in enumerate(kept) if len(by) <= i < len(columns) - 1)
    cells = tuple(tuple(line[i] for i in kept) for line in lines)
    return Table(caption, tuple(columns[i] for i in kept), cells, numeric, folded)


def _blank(column: str) -> tuple[str, ...]:
    """What an empty cell of a column looks like."""
    return ("", interval_text(None, None)) if column == "interval" else ("",)


def _line(row: Row, by: Sequence[str], besides: Sequence[Beside], notes: SharedNotes) -> list[str]:
    place = place_of(row, by)
    line = [*place, value_text(row.get("value")), interval_text(row.get("low"), row.get("high"))]
    for beside in besides:
        other = beside.rows.get(place)
        line.append("" if other is None else beside.shown(other.get("value")))
        if beside.interval:
            line.append("" if other is None else interval_text(other.get("low"), other.get("high")))
    note = notes.own(row)
    if not finite(row.get("value")):
        note = f"undefined: {note}" if note else "undefined"
    return [*line, count_text(row.get("n")), note]
