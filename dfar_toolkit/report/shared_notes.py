"""Parts of notes that many rows of a table share, said once above it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from dfar_toolkit.report.cells import over_text
from dfar_toolkit.report.document import plain_text
from dfar_toolkit.report.table import Table

_PARTS: Final = "; "  # between the parts of a note
_MOST_LINES: Final = 6  # lines above a table; more of them are a folded table themselves

Row = Mapping[str, object]


class SharedNotes(NamedTuple):
    """Parts of notes that all rows alike in the columns ``by`` share, by the texts in those columns."""

    by: tuple[str, ...]
    parts: Mapping[tuple[str, ...], Sequence[str]]

    def own(self, row: Row) -> str:
        """What is left of a row's note."""
        shared = self.parts.get(_place(row, self.by), ())
        return _PARTS.join(p for p in note_parts(row) if p not in shared)

    def lines(self) -> list[str]:
        """Sentences: first what all rows share, then what those of a place do, named unless there is one place."""
        of_all = self._of_all()
        lines = [_sentence(part) for part in of_all]
        return [*lines, *self._named()] if len(self._named()) <= _MOST_LINES else lines

    def tables(self) -> list[Table]:
        """The same as a folded table, where the places are too many for lines."""
        if len(self._named()) <= _MOST_LINES:
            return []
        of_all = self._of_all()
        rows = [(*place, _PARTS.join(p for p in parts if p not in of_all)) for place, parts in self.parts.items()]
        head = tuple("run" if column == "run_id" else column for column in self.by)
        return [Table("Notes", (*head, "note"), tuple(r for r in rows if r[-1]), folded=True)]

    def _of_all(self) -> list[str]:
        first = next(iter(self.parts.values()), ())
        return [p for p in first if all(p in parts for parts in self.parts.values())]

    def _named(self) -> list[str]:
        """A sentence for each part and the places that share it."""
        of_all = self._of_all()
        lines = []
        for part in dict.fromkeys(p for parts in self.parts.values() for p in parts if p not in of_all):
            places = [place for place, parts in self.parts.items() if part in parts]
            # A part may begin with the name of its subset already.
            named = all(part.startswith(f"{place[-1]}:") for place in places)
            lines.append(_sentence(part if named else f"{self._names(places)}: {part}"))
        return lines

    def _names(self, places: Iterable[tuple[str, ...]]) -> str:
        """The places in words; columns that are the same in all of them are not repeated."""
        varying = [i for i in range(len(self.by)) if len({place[i] for place in self.parts}) > 1]
        told = ([place[i] for i in varying] for place in places)
        return ", ".join(dict.fromkeys(first + (f" ({', '.join(rest)})" if rest else "") for first, *rest in told))


def note_parts(row: Row) -> list[str]:
    """The parts of a row's note."""
    return [p for p in plain_text(row.get("note")).split(_PARTS) if p]


def shared_notes(rows: Iterable[Row], by: Sequence[str]) -> SharedNotes:
    """The parts of notes that stand in every row alike in ``by``; one row alone shares nothing.

    Example:
        >>> rows = [{"run_id": "a", "note": "x; y"}, {"run_id": "a", "note": "y"}, {"run_id": "b", "note": "y"}]
        >>> shared_notes(rows, ["run_id"]).parts
        {('a',): ['y'], ('b',): []}
    """
    notes: dict[tuple[str, ...], list[list[str]]] = {}
    for row in rows:
        notes.setdefault(_place(row, by), []).append(note_parts(row))
    shared = {
        place: [p for p in found[0] if all(p in other for other in found)] if len(found) > 1 else []
        for place, found in notes.items()
    }
    return SharedNotes(tuple(by), shared)


def with_over(rows: Iterable[Row], by: Sequence[str], *, what: str = "intervals") -> list[Row]:
    """The rows with what their intervals are over as a part of the note, to be shared like any other.

    Where all intervals of a place are over the same, rows without an interval say so too: nothing sets them apart.

    Example:
        >>> whole = {"low": 0.1, "high": 0.2, "n_units": 9, "unit": "items", "method": "bootstrap"}
        >>> [row["note"] for row in with_over([whole, {"note": "a"}], [])]
        ['intervals over 9 items, bootstrap', 'a; intervals over 9 items, bootstrap']
    """
    listed = list(rows)
    found: dict[tuple[str, ...], set[str]] = {}
    for row in listed:
        found.setdefault(_place(row, by), set()).add(over_text(row))
    made: list[Row] = []
    for row in listed:
        known = found[_place(row, by)] - {""}
        over = next(iter(known)) if len(known) == 1 else over_text(row)
        said = [*note_parts(row), *([f"{what} over {over}"] if over else [])]
        made.append({**row, "note": _PARTS.join(said)})
    return made


def _place(row: Row, by: Sequence[str]) -> tuple[str, ...]:
    return tuple(plain_text(row.get(column)) for column in by)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
