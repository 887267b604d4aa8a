"""The only ways in which text from data reaches the page: none of them interprets it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import streamlit as st

from dfar_toolkit.report.plots import ACCENT, DEEP, INK, RULE, themed
from dfar_toolkit.report.svg import chart_svg

if TYPE_CHECKING:
    import altair as alt

# Our colours of charts, and lighter ones for a dark page.
_DARK: Final = {INK: "#e6e9ed", RULE: "#2c333c", ACCENT: "#86b6e8", DEEP: "#5b93cf"}
_COLOUR: Final = re.compile(rf'((?:fill|stroke)=)"({"|".join(_DARK)})"', re.IGNORECASE)
_TAG: Final = re.compile(r"<[^<>]*>")  # written by ElementTree: brackets in texts and attributes are escaped
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&@])")
# What becomes a link, picture or arrow after Markdown has been read, where no backslash helps: an unseen joiner does.
_MADE_LATER: Final = re.compile(r"https?(?=://)|www(?=\.)|@|:(?=streamlit:)|-(?=[->])|[<>~](?=[-=])", re.IGNORECASE)
_JOINER: Final = "\u2060"


def label(text: object) -> str:
    r"""Text for a label of a widget, which Streamlit reads as Markdown: every special character escaped.

    Example:
        >>> print(label("![x](a.png)"))
        \!\[x\]\(a\.png\)
        >>> label("http://a.example") == "http\u2060\\:\\/\\/a\\.example"
        True
    """
    line = _MADE_LATER.sub(rf"\g<0>{_JOINER}", " ".join(str(text).split()))
    return _MARKDOWN.sub(r"\\\1", line).replace("/", "\\/")


def show_chart(chart: alt.LayerChart | alt.FacetChart | None, *, name: str) -> None:
    """A chart as a picture: drawn here, reduced to shapes and text, nothing evaluated in the browser."""
    if chart is not None:
        drawn = chart_svg(themed(chart), name=name, label=name)
        st.image(_on_dark(drawn) if st.context.theme.type == "dark" else drawn, width="content")


def _on_dark(drawn: str) -> str:
    """The drawing with the lighter of our colours, within its tags only: a text that names a colour stays as it is."""
    return _TAG.sub(lambda tag: _COLOUR.sub(lambda found: f'{found[1]}"{_DARK[found[2].lower()]}"', tag[0]), drawn)


def show_problem(message: object) -> None:
    """An error in a file of the reader's, on the page instead of a traceback."""
    st.error(label(message))
