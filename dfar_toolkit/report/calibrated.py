"""Calibration: against people's distribution first, then against the majority's label by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from dfar_toolkit.report.cells import (
    confidence_line,
    estimate_cells,
    estimates_table,
    interval_text,
    value_text,
)
from dfar_toolkit.report.document import plain_text
from dfar_toolkit.report.score_parts import by_subset, rows_of
from dfar_toolkit.report.scored import score_cells
from dfar_toolkit.report.shared_notes import Row, shared_notes
from dfar_toolkit.report.table import Section, Table

CALIBRATION_HEADLINES: Final = (
    "human_calibration_error", "entropy_calibration_error", "rank_calibration", "ece_majority", "aurc",
)  # fmt: skip
_PLACE: Final = ("run_id", "subset", "metric")
_TITLE: Final = "Calibration"
_TEXT: Final = (
    "Does a probability mean the share of people who say so? Where people differ, their votes are the target; the "
    "error against the majority's label stands below by its name, without an interval, beside what a calibrated model "
    "would get."
)
_CURVE: Final = (
    "Each dot is a bin of items: the mean probability of the run's most probable answer against the share of people "
    "who gave that answer, with its interval. On the dashed line both are the same. A calibrated run stays in the "
    "shade, in each bin apart with the chance of an interval; there is none where people were of one mind on all items."
)


def calibration_section(scores: pl.DataFrame, curves: pl.DataFrame) -> Section:
    """Calibration measures and, folded, the bins of the reliability curves; empty where no run gave probabilities."""
    rows = rows_of(scores, "calibration")
    notes = shared_notes(rows, _PLACE[:2])
    own = [{**r, "note": notes.own(r)} for r in rows]
    first = [r for r in by_subset(own)[0] if r.get("metric") in CALIBRATION_HEADLINES]
    further = [r for r in own if r not in first]
    head = ("run", "subset", "metric")
    caption = "Further measures of calibration"
    tables = [
        estimates_table(head, score_cells(first, head)),
        estimates_table(head, score_cells(further, head), caption=caption, folded=True),
        _bins(curves.to_dicts()),
        *notes.tables(),
    ]
    text = [_TEXT, confidence_line(rows), *notes.lines()] if rows else []
    text += [_CURVE] if curves.width else []
    return Section("calibration", _TITLE, tuple(text), tuple(t for t in tables if t.rows))


def _bins(rows: Sequence[Row]) -> Table:
    """The points of the curves in numbers."""
    head = ("run", "bin", "mean predicted", "band")
    cells = [
        [
            plain_text(r.get("run_id")),
            interval_text(r.get("bin_low"), r.get("bin_high")),
            value_text(r.get("mean_predicted")),
            interval_text(r.get("band_low"), r.get("band_high")),
            *estimate_cells(r),
        ]
        for r in rows
    ]
    return estimates_table(head, cells, caption="Bins of the reliability curves", folded=True)
