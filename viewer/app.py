"""The viewer: ``streamlit run app.py -- ITEMS [OUTPUTS ...] [--judgements FILE]``; see launch.py for the flags."""

from __future__ import annotations

import streamlit as st

st.set_page_config(page_title="DFAR viewer", layout="wide")
st.navigation(
    [
        st.Page("views/browse.py", title="Browse", url_path="items", default=True),
        st.Page("views/metrics.py", title="Metrics", url_path="scores"),
        st.Page("views/dataset.py", title="Data set", url_path="data"),
    ],
    position="top",
).run()
