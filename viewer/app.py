"""The viewer: ``streamlit run app.py -- ITEMS [OUTPUTS ...]``, or better ``dfar view``; see arguments.py."""

from __future__ import annotations

from dfar_toolkit._viewer.frame import open_frame

open_frame()
