"""Tables of a report on the page."""

from __future__ import annotations

import streamlit as st

from dfar_toolkit._viewer.sinks import label, show_table, show_text
from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.sections import glossary_section
from dfar_toolkit.report.table import Section


def show_tables(section: Section, *, captions: bool = True) -> None:
    """The tables of a report's section, notes in full; those that a report folds are folded."""
    for table in section.tables:
        if table.folded:
            with st.expander(label(f"{table.caption} ({len(table.rows)})")):
                show_table(table.columns, table.rows, numeric=table.numeric)
            continue
        if table.caption and captions:
            show_text(table.caption)
        show_table(table.columns, table.rows, numeric=table.numeric)


def show_glossary(data: ReportData) -> None:
    """What the numbers shown mean, folded."""
    section = glossary_section(data)
    if section.tables:
        st.subheader(section.title)
        show_tables(section)
