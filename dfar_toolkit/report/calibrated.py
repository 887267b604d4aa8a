"""Calibration: against people's distribution first, then against the majority's label by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from dfar_toolkit.report.beside import beside_table
from dfar_toolkit.report.cells import (
    confidence_text,
    estimate_cells,
    estimates_table,
    interval_text,
    value_text,
)
from dfar_toolkit.report.document import plain_text
from dfar_toolkit.report.score_parts import rows_of
from dfar_toolkit.report.shared_notes import Row, shared_notes, with_over
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


def calibration_section(scores: pl.DataFrame, curves: pl.DataFrame) -> Section:
    """Calibration measures and, folded, the bins of the reliability curves; empty where no run gave probabilities."""
    rows = with_over(rows_of(scores, "calibration"), _PLACE[:2])
    notes = shared_notes(rows, _PLACE[:2])
    first = [r for r in rows if r.get("metric") in CALIBRATION_HEADLINES]
    further = [r for r in rows if r.get("metric") not in CALIBRATION_HEADLINES]
    tables = [
        beside_table(first, _PLACE, [], notes),
        beside_table(further, _PLACE, [], notes, caption="Further measures of calibration", folded=True),
        _bins(curves.to_dicts()),
        *notes.tables(),
    ]
    text = (_TEXT, confidence_text(rows), *notes.lines()) if rows else ()
    return Section("calibration", _TITLE, text, tuple(t for t in tables if t.rows))


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
