"""Scores of labels as a section."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl

from dfar_toolkit.report.cells import confidence_line, count_text, estimate_cells, estimates_table, finite
from dfar_toolkit.report.document import plain_text
from dfar_toolkit.report.score_parts import rows_of
from dfar_toolkit.report.shared_notes import Row
from dfar_toolkit.report.table import Section

_COLUMNS: Final = {"run": "run_id", "judge": "predictor", "error type": "label"}


def scores_section(scores: pl.DataFrame) -> Section:
    """Every metric about labels, and of ordered labels, with the label mix of each subset; per label folded."""
    rows, ordinal = rows_of(scores, "labels"), rows_of(scores, "ordinal")
    if not rows and not ordinal:
        return Section("scores", "Scores", (), ())
    whole = [r for r in rows if r.get("label") is None]
    by_label = [r for r in rows if r.get("label") is not None]
    head = ("run", "subset", "metric")
    named = (*head, "label")
    tables = [
        estimates_table(head, score_cells(whole, head)),
        estimates_table(head, score_cells(ordinal, head), caption="Ordered labels"),
        estimates_table(named, score_cells(by_label, named), caption="By label", folded=True),
    ]
    text = (confidence_line([*whole, *ordinal]), *_label_mixes(rows))
    return Section("scores", "Scores", text, tuple(t for t in tables if t.rows))


def score_cells(rows: Iterable[Row], head: Sequence[str]) -> list[list[str]]:
    """The cells of rows of scores for :func:`estimates_table`, under headings of a reader's."""
    return [[*(plain_text(r.get(_COLUMNS.get(c, c))) for c in head), *estimate_cells(r)] for r in rows]


def _label_mixes(rows: Iterable[Row]) -> list[str]:
    """One line per subset, or one per run where runs were asked about other items."""
    mixes: dict[str, dict[str, list[Row]]] = {}
    for row in (r for r in rows if r.get("metric") == "label_share" and finite(r.get("value"))):
        runs = mixes.setdefault(plain_text(row.get("subset")), {})
        runs.setdefault(plain_text(row.get("run_id")), []).append(row)
    lines = []
    for subset, runs in mixes.items():
        alike: dict[str, list[str]] = {}
        for run, shares in runs.items():
            alike.setdefault(_mix(shares), []).append(run)
        for mix, names in alike.items():
            of = f"{subset}, {', '.join(names)}" if len(alike) > 1 else subset
            lines.append(f"Label mix ({of}): {mix}.")
    return lines


def _mix(shares: Sequence[Row]) -> str:
    """Shares of labels with the number of items."""
    listed = ", ".join(f"{plain_text(r.get('label'))} {100 * float(str(r['value'])):.0f} %" for r in shares)
    return f"{listed} (n = {count_text(shares[0].get('n'))})"
