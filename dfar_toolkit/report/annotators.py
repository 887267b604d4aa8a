"""Who disagrees and where: each annotator against the rest, every pair, and how many items people part over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from dfar_toolkit.report.cells import confidence_line, count_text, estimate_cells, estimates_table, finite, value_text
from dfar_toolkit.report.document import ReportData, plain_text
from dfar_toolkit.report.table import Section, Table

MOST_ANNOTATORS: Final = 40  # annotators that are drawn; the table has all of them
_TITLE: Final = "Who disagrees, and where"
_FURTHER: Final = {
    "values": (("category", "n_ratings", "share"), "About each value: this value or another (Krippendorff's alpha)"),
    "groups": (
        ("comparison", "group_a", "group_b", "p", "smallest_p"),
        "Groups of annotators: within, between, difference (B - A); p permutes annotators",
    ),
    "drift": (("window", "start", "end"), "Over time: share of other annotators of the item who said the same"),
}
_TEXT: Final = (
    "For each annotator, the chance that another annotator of the same item said the same. This is agreement with the "
    "others, not being right: a voice that stands alone may be the one worth hearing."
)


def annotators_section(data: ReportData) -> Section:
    """The section, empty where no annotator is known."""
    if not data.annotators:
        why = (data.annotators_note,) if data.annotators_note else ()
        return Section("annotators", _TITLE, why, ())
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
    caption = "Annotators" if len(rows) > 12 else ""
    tables = [
        estimates_table(head, rows, caption=caption, folded=len(rows) > 12),
        *(_further(name, rows) for name, rows in data.further.items()),
        _items(data.disagreement),
    ]
    question = plain_text(data.annotators[0].get("question"))
    text = (f"{f'About {question}. ' if question else ''}{_TEXT}", *filter(None, [_drawn(data.annotators)]),
            confidence_line(data.annotators))  # fmt: skip
    return Section("annotators", _TITLE, text, tuple(t for t in tables if t.rows))


def _further(name: str, rows: Sequence[Mapping[str, object]]) -> Table:
    """A further table: what tells its rows apart, then the numbers."""
    columns, caption = _FURTHER[name]
    present = [c for c in columns if any(row.get(c) is not None for row in rows)]
    cells = [[*(_cell(row.get(c)) for c in present), *estimate_cells(row)] for row in rows]
    return estimates_table([c.replace("_", " ") for c in present], cells, caption=caption)


def _cell(value: object) -> str:
    return value_text(value) if isinstance(value, float) else plain_text(value)


def enough(rows: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """The annotators of whom something can be said: those with enough items shared with others."""
    return [row for row in rows if finite(row.get("value")) and "too little overlap" not in plain_text(row.get("note"))]


def _drawn(rows: Sequence[Mapping[str, object]]) -> str:
    """How many annotators the picture shows, where it is not all of them."""
    able = len(enough(rows))
    shown = min(able, MOST_ANNOTATORS)
    if shown == len(rows):
        return ""
    if not able:
        return "No annotator is drawn: all of them share too few items with others; the table has them."
    few = f"; {len(rows) - able:,} share too few items with others" if able < len(rows) else ""
    return f"The picture shows the {shown:,} of {len(rows):,} annotators who agree least{few}; the table has all."


def _items(bins: Sequence[Mapping[str, object]]) -> Table:
    """How many items lie in each tenth of disagreement."""
    rows = tuple((plain_text(row.get("disagreement")), count_text(row.get("items"))) for row in bins)
    return Table("Items by disagreement", ("disagreement of two people", "items"), rows, frozenset({1}), folded=True)
