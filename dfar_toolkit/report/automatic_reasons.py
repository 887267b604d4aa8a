"""What can be said of reasons without a judge: each measure between its floor and its ceiling, in columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from dfar_toolkit.report.beside import Beside, beside_table, by_place
from dfar_toolkit.report.shared_notes import Row, SharedNotes, shared_notes, with_over
from dfar_toolkit.report.table import Table

# Longest first: a name that ends in the first also ends in the second.
BETWEEN: Final = ("_run_minus_floor", "_floor", "_ceiling", "_position")
_PLACE: Final = ("run_id", "subset", "metric")
_OF_ROWS: Final = "reason_share"  # about all rows of a run: the others are about its reasons


def automatic_notes(rows: Sequence[Row]) -> SharedNotes:
    """What all measures of a run's reasons say, such as how many items are without one."""
    return shared_notes((r for r in _measures(rows) if r.get("metric") != _OF_ROWS), _PLACE[:2])


def automatic_table(rows: Sequence[Row], notes: SharedNotes) -> Table:
    """A line per measure, folded: the run's, the floor, the run above it, the ceiling, where the run stands between."""
    besides = [
        Beside("floor", _ending(rows, "_floor")),
        Beside("above floor", _ending(rows, "_run_minus_floor"), interval=True),
        Beside("ceiling", _ending(rows, "_ceiling")),
        Beside("position", _ending(rows, "_position"), interval=True),
    ]
    caption = "Reasons without a judge"
    return beside_table(_measures(rows), _PLACE, besides, notes, value="the run", caption=caption, folded=True)


def _measures(rows: Sequence[Row]) -> list[Row]:
    """The rows of the run itself, with what their intervals are over."""
    known = {str(r.get("metric")) for r in rows}
    return with_over((r for r in rows if _of(str(r.get("metric"))) not in known), _PLACE[:2])


def _of(metric: str) -> str:
    """The measure that a floor, ceiling or position belongs to; empty for a measure itself."""
    return next((metric.removesuffix(end) for end in BETWEEN if metric.endswith(end)), "")


def _ending(rows: Iterable[Row], end: str) -> dict[tuple[str, ...], Row]:
    """The floors, ceilings or positions under the name of their measure."""
    named = [{**r, "metric": _of(str(r["metric"]))} for r in rows if _end(str(r.get("metric"))) == end]
    return by_place(named, _PLACE)


def _end(metric: str) -> str:
    return next((end for end in BETWEEN if metric.endswith(end)), "")
