"""The run as one more annotator: its agreement with each person beside people's own, and the alt-test."""

from __future__ import annotations

from typing import Final

import polars as pl

from dfar_toolkit.report.beside import Beside, beside_table, by_place
from dfar_toolkit.report.cells import confidence_text
from dfar_toolkit.report.score_parts import rows_of
from dfar_toolkit.report.shared_notes import Row, shared_notes, with_over
from dfar_toolkit.report.table import Section

PEOPLE_HEADLINES: Final = ("kappa_run", "alpha_with_run", "alt_test_winning_rate", "alt_test_advantage")
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
    rows = with_over(rows_of(scores, "people"), _PLACE[:2])
    own = [r for r in rows if r.get("metric") not in (*_PEOPLE, *_DIFFERENCE)]
    if not own:
        return Section("people", _TITLE, (), ())
    besides = [Beside("people", _beside(rows, _PEOPLE), True), Beside("difference", _beside(rows, _DIFFERENCE), True)]
    notes = shared_notes(own, _PLACE[:2])
    first = [r for r in own if r.get("metric") in PEOPLE_HEADLINES]
    further = [r for r in own if r.get("metric") not in PEOPLE_HEADLINES]
    tables = [
        beside_table(first, _PLACE, besides, notes, value="run"),
        beside_table(
            further, _PLACE, besides, notes, value="run", caption="Further agreement with people", folded=True
        ),
        *notes.tables(),
    ]
    text = (_TEXT, confidence_text(rows), *notes.lines())
    return Section("people", _TITLE, text, tuple(t for t in tables if t.rows))


def _beside(rows: list[Row], names: dict[str, str]) -> dict[tuple[str, ...], Row]:
    named = ({**r, "metric": names[str(r.get("metric"))]} for r in rows if r.get("metric") in names)
    return by_place(named, _PLACE)
