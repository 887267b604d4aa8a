"""Parts of notes that many rows of a table share, said once above it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from dfar_toolkit.report.cells import over_text
from dfar_toolkit.report.document import plain_text
from dfar_toolkit.report.table import Table

_PARTS: Final = "; "  # between the parts of a note
_MOST_LINES: Final = 6  # above a table; more of them are a folded table themselves

Row = Mapping[str, object]
Place = tuple[str, ...]


class SharedNotes(NamedTuple):
    """What is said once of rows alike in the columns ``by``: by the texts in them, and the parts of notes behind it."""

    by: tuple[str, ...]
    parts: Mapping[Place, Sequence[str]]
    said: Mapping[Place, frozenset[str]]

    def own(self, row: Row) -> str:
        """What is left of a row's note."""
        said = self.said.get(place_of(row, self.by), frozenset())
        return _PARTS.join(p for p in note_parts(row) if p not in said)

    def lines(self) -> list[str]:
        """Sentences: first what is said of all rows, then of those of each place."""
        first = [f"{part[:1].upper()}{part[1:]}." for part in self._of_all()]
        return [*first, *self._named()] if len(self._named()) <= _MOST_LINES else first

    def tables(self) -> list[Table]:
        """What is said of each place as a folded table, where the places are too many for lines."""
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
        """A sentence of each place; those of which the same is said together."""
        of_all = self._of_all()
        together: dict[str, list[Place]] = {}
        for place, parts in self.parts.items():
            own = [p for p in parts if p not in of_all]
            # A part may begin with the name of its subset.
            text = _PARTS.join(p.removeprefix(f"{place[-1]}: ") for p in own)
            if text:
                together.setdefault(text, []).append(place)
        return [f"{self._names(places)}: {text}." for text, places in together.items()]

    def _names(self, places: Iterable[Place]) -> str:
        """The places in words, without the columns that are the same in all of them."""
        varying = [i for i in range(len(self.by)) if len({place[i] for place in self.parts}) > 1]
        told = ([place[i] for i in varying] for place in places)
        return ", ".join(dict.fromkeys(first + (f" ({', '.join(rest)})" if rest else "") for first, *rest in told))


def note_parts(row: Row) -> list[str]:
    """The parts of a row's note."""
    return [p for p in plain_text(row.get("note")).split(_PARTS) if p]


def place_of(row: Row, by: Sequence[str]) -> Place:
    """The row's texts in the columns ``by``."""
    return tuple(plain_text(row.get(column)) for column in by)


def shared_notes(rows: Iterable[Row], by: Sequence[str]) -> SharedNotes:
    """The parts of notes that stand in every row alike in ``by``; one row alone shares nothing.

    Example:
        >>> rows = [{"run_id": "a", "note": "x; y"}, {"run_id": "a", "note": "y"}, {"run_id": "b", "note": "y"}]
        >>> shared_notes(rows, ["run_id"]).parts
        {('a',): ['y'], ('b',): []}
    """
    shared = {
        place: [p for p in note_parts(here[0]) if all(p in note_parts(r) for r in here)] if len(here) > 1 else []
        for place, here in _by_place(rows, by).items()
    }
    return SharedNotes(tuple(by), shared, {place: frozenset(parts) for place, parts in shared.items()})


def gathered_notes(rows: Iterable[Row], by: Sequence[str]) -> SharedNotes:
    """Every part of every note, those that not all rows alike in ``by`` share with the metrics that they are about.

    Example:
        >>> rows = [{"metric": "f1", "note": "x; y"}, {"metric": "mcc", "note": "y"}]
        >>> gathered_notes(rows, []).parts
        {(): ['x (f1)', 'y']}
    """
    parts: dict[Place, list[str]] = {}
    said: dict[Place, frozenset[str]] = {}
    for place, here in _by_place(rows, by).items():
        holders: dict[str, list[str]] = {}
        for row in here:
            for part in note_parts(row):
                holders.setdefault(part, []).append(plain_text(row.get("metric")))
        parts[place] = [p if len(of) == len(here) else f"{p} ({', '.join(of)})" for p, of in holders.items()]
        said[place] = frozenset(holders)
    return SharedNotes(tuple(by), parts, said)


def with_over(rows: Iterable[Row], by: Sequence[str], besides: Mapping[str, Sequence[Row]] | None = None) -> list[Row]:
    """The rows with what their intervals are over as a part of the note, to be shared like any other.

    Where all intervals of a place are over the same, rows without an interval say so too: nothing sets them apart.

    Args:
        rows: Rows with Estimate's fields.
        by: Columns that make a place.
        besides: Further rows by what they are called, whose intervals are over something else.

    Returns:
        The rows in their order.

    Example:
        >>> whole = {"low": 0.1, "high": 0.2, "n_units": 9, "unit": "items", "method": "bootstrap"}
        >>> [row["note"] for row in with_over([whole, {"note": "a"}], [])]
        ['intervals over 9 items, bootstrap', 'a; intervals over 9 items, bootstrap']
    """
    made: list[Row] = []
    others = {what: _by_place(of, by) for what, of in (besides or {}).items()}
    for place, here in _by_place(rows, by).items():
        over = _only_over(here)
        further = [f"{what} over {text}" for what, of in others.items() if (text := _only_over(of.get(place, [])))]
        for row in here:
            text = over or over_text(row)
            said = [*note_parts(row), *([f"intervals over {text}"] if text else []), *further]
            made.append({**row, "note": _PARTS.join(said)})
    return made


def _by_place(rows: Iterable[Row], by: Sequence[str]) -> dict[Place, list[Row]]:
    found: dict[Place, list[Row]] = {}
    for row in rows:
        found.setdefault(place_of(row, by), []).append(row)
    return found


def _only_over(rows: Iterable[Row]) -> str:
    """What all intervals are over, empty where there is none or they differ."""
    known = {over_text(row) for row in rows} - {""}
    return known.pop() if len(known) == 1 else ""
