"""Data set: facts of the items folder, its audit and the agreement of its annotators."""

from __future__ import annotations

import streamlit as st

from dfar_toolkit._viewer.data import arguments, load_folder
from dfar_toolkit._viewer.sinks import show_chart, show_problem, show_text
from dfar_toolkit._viewer.tables import show_glossary, show_tables
from dfar_toolkit.errors import DfarError
from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.facts import data_facts
from dfar_toolkit.report.plots import agreement_plot, findings_plot
from dfar_toolkit.report.sections import sections


def main() -> None:
    """The page."""
    try:
        folder = load_folder(arguments().items)
        facts = data_facts(folder.manifest)
    except (DfarError, OSError) as error:
        show_problem(error)
        return
    data = ReportData("", facts=facts, findings=folder.audit, agreement=folder.agreement)
    plots = {"findings": findings_plot, "agreement": agreement_plot}
    rows = {"findings": folder.audit, "agreement": folder.agreement}
    for section in (s for s in sections(data) if s.key != "glossary"):
        st.subheader(section.title)
        for line in section.text:
            show_text(line)
        if section.key in plots:
            show_chart(plots[section.key](rows[section.key]), name=section.key)
        show_tables(section)
    show_glossary(data)


main()
