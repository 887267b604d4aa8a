"""The run as one more annotator: its agreement with each person beside people's own, and the alt-test."""

from __future__ import annotations

from typing import Final

import polars as pl

from dfar_toolkit.report.beside import Beside, beside_table, by_place
from dfar_toolkit.report.cells import confidence_text, estimates_table
from dfar_toolkit.report.score_parts import by_subset, rows_of
from dfar_toolkit.report.scored import score_cells
from dfar_toolkit.report.shared_notes import Row, gathered_notes, with_over
from dfar_toolkit.report.table import Section

PEOPLE_HEADLINES: Final = ("kappa_run", "alpha_with_run")
_TEST: Final = "alt_test_"
# What the run gets, and the rows of people alone and of the difference that stand beside it.
_PEOPLE: Final = {"kappa_people": "kappa_run", "pair_alpha_people": "pair_alpha_run", "alpha_people": "alpha_with_run"}
_DIFFERENCE: Final = {
    "kappa_difference": "kappa_run", "pair_alpha_difference": "pair_alpha_run", "alpha_difference": "alpha_with_run",
}  # fmt: skip
_PLACE: Final = ("run_id", "subset", "metric")
_TITLE: Final = "The run as one more annotator"
_TEXT: Final = (
    "How well the run agrees with each person, beside how well people agree with one another. The alt-test holds each "
    "person out in turn and asks whether the run is as close to the others as that person is."
)


def as_annotator_section(scores: pl.DataFrame) -> Section:
    """The run beside people; empty where no item has ratings of two known people."""
    found = rows_of(scores, "people")
    if not found:
        return Section("people", _TITLE, (), ())
    tests = [r for r in found if str(r.get("metric")).startswith(_TEST)]
    rows = with_over((r for r in found if r not in tests), _PLACE[:2])
    own = [r for r in rows if r.get("metric") not in (*_PEOPLE, *_DIFFERENCE)]
    besides = [Beside("people", _beside(rows, _PEOPLE), True), Beside("difference", _beside(rows, _DIFFERENCE), True)]
    first = [r for r in by_subset(own)[0] if r.get("metric") in PEOPLE_HEADLINES]
    further = [r for r in own if r not in first]
    tested, tested_further = by_subset(tests)
    notes = gathered_notes(first, _PLACE[:2])
    head, caption = ("run", "subset", "metric"), "Further agreement with people"
    tables = [
        beside_table(first, _PLACE, besides, notes, value="the run"),
        estimates_table(head, score_cells(tested, head), caption="Alternative annotator test"),
        beside_table(further, _PLACE, besides, notes, value="the run", caption=caption, folded=True),
        estimates_table(head, score_cells(tested_further, head), caption="The same test by subset", folded=True),
        *notes.tables(),
    ]
    text = (_TEXT, confidence_text(found), *notes.lines())
    return Section("people", _TITLE, text, tuple(t for t in tables if t.rows))


def _beside(rows: list[Row], names: dict[str, str]) -> dict[tuple[str, ...], Row]:
    named = ({**r, "metric": names[str(r.get("metric"))]} for r in rows if r.get("metric") in names)
    return by_place(named, _PLACE)
