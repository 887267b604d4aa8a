"""A word to the reader while reasons are read, which is done when one is first searched for."""

from __future__ import annotations

import streamlit as st

from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.reason_search import read_reasons, reasons_are_read


def wait_for_reasons(index: ItemIndex, wanted: ItemFilter) -> None:
    """Read the reasons, where the filter searches in them and nobody did before."""
    if (wanted.reason or wanted.reason_regex) and not reasons_are_read(index):
        with st.spinner("Reading the reasons, once …"):
            read_reasons(index)
