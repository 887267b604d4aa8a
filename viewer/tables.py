"""Tables of a report on the page."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dfar_toolkit._viewer.sinks import show_text
from dfar_toolkit.report.sections import Section


def show_tables(section: Section, *, captions: bool = True) -> None:
    """The tables of a report's section as data frames, cells as text."""
    for table in section.tables:
        if table.caption and captions:
            show_text(table.caption)
        # Empty or repeated headings get their position, as a frame needs different names.
        names = [c if c and table.columns.count(c) == 1 else f"{c} {i}".strip() for i, c in enumerate(table.columns)]
        frame = pl.DataFrame([list(r) for r in table.rows], schema=dict.fromkeys(names, pl.String), orient="row")
        aligned = {n: st.column_config.TextColumn(alignment="right") for i, n in enumerate(names) if i in table.numeric}
        st.dataframe(frame, hide_index=True, column_config=aligned, height="content" if len(frame) < 40 else 600)
