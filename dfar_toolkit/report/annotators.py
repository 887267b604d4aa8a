"""Who disagrees and where: each annotator against the rest, every pair, and how many items people part over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from dfar_toolkit.report.cells import confidence_line, count_text, estimate_cells, estimates_table, finite, value_text
from dfar_toolkit.report.document import ReportData, plain_text
from dfar_toolkit.report.table import Section, Table

MOST_ANNOTATORS: Final = 40  # annotators that are drawn; the table has all of them
_TITLE: Final = "Who disagrees, and where"
_TEXT: Final = (
    "For each annotator, the chance that another annotator of the same item said the same. This is agreement with the "
    "others, not being right: a voice that stands alone may be the one worth hearing."
)


def annotators_section(data: ReportData) -> Section:
    """The section, empty where no annotator is known."""
    if not data.annotators:
        return Section("annotators", _TITLE, (), ())
    kappa = any(finite(row.get("kappa")) for row in data.annotators)
    without = any(finite(row.get("alpha_without")) for row in data.annotators)
    head = ["annotator", *(["kappa"] if kappa else []), *(["alpha without"] if without else [])]
    rows = [
        [
            plain_text(row.get("rater")),
            *([value_text(row.get("kappa"))] if kappa else []),
            *([value_text(row.get("alpha_without"))] if without else []),
            *estimate_cells(row),
        ]
        for row in data.annotators
    ]
    tables = [estimates_table(head, rows, folded=len(rows) > 12), _items(data.disagreement)]
    question = plain_text(data.annotators[0].get("question"))
    text = (f"{f'About {question}. ' if question else ''}{_TEXT}", confidence_line(data.annotators))
    return Section("annotators", _TITLE, text, tuple(t for t in tables if t.rows))


def _items(bins: Sequence[Mapping[str, object]]) -> Table:
    """How many items lie in each tenth of disagreement."""
    rows = tuple((plain_text(row.get("disagreement")), count_text(row.get("items"))) for row in bins)
    return Table("Items by disagreement", ("disagreement of two people", "items"), rows, frozenset({1}), folded=True)
