"""Tables of a report on the page."""

from __future__ import annotations

from dfar_toolkit._viewer.markup import show
from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.sections import glossary_section
from dfar_toolkit.report.table import Section


def show_section(section: Section, *, title: str | None = None, captions: bool = True, folded: str = "") -> None:
    """A section of a report: heading, paragraphs, tables; notes in full, those that a report folds are folded.

    Args:
        section: The section.
        title: Another heading; empty: none.
        captions: Whether tables have theirs.
        folded: Where not empty the whole section opens on demand, under these words.
    """
    values = {"section": section, "title": section.title if title is None else title, "captions": captions}
    show("report_section.jinja", {**values, "text": section.text, "folded": folded})


def show_tables(section: Section, *, captions: bool = True) -> None:
    """The tables of a report's section alone."""
    show("report_section.jinja", {"section": section, "title": "", "captions": captions, "text": (), "folded": ""})


def show_glossary(data: ReportData) -> None:
    """What the numbers shown mean, folded."""
    section = glossary_section(data)
    if section.tables:
        show_section(section)
