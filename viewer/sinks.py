"""The only ways in which text from data reaches the page: none of them interprets it."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

import streamlit as st

from dfar_toolkit.report.plots import themed
from dfar_toolkit.report.svg import chart_svg

if TYPE_CHECKING:
    import altair as alt

_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&@])")


def show_text(text: object) -> None:
    """Text as it is, line breaks kept."""
    st.text(str(text))


def show_block(text: object) -> None:
    """A longer text in a box with a button that copies it."""
    st.code(str(text), language=None, wrap_lines=True)


def show_marked(text: str, needle: str) -> None:
    """A text with every occurrence of ``needle`` marked, letter case aside."""
    parts = re.split(f"({re.escape(needle)})", text, flags=re.IGNORECASE) if needle else [text]
    pieces = [f"<mark>{html.escape(p)}</mark>" if i % 2 else html.escape(p) for i, p in enumerate(parts)]
    st.html(f'<div style="white-space: pre-wrap; overflow-wrap: anywhere">{"".join(pieces)}</div>')


def show_chip(text: object, *, colour: str = "#4477aa") -> None:
    """A short word such as a label in a rounded frame of one of our colours."""
    shade = f"border: 1px solid {colour}; color: {colour}; border-radius: 1em; padding: .05em .7em; font-size: .85rem"
    st.html(f'<span style="{shade}; overflow-wrap: anywhere">{html.escape(str(text))}</span>')


def label(text: object) -> str:
    r"""Text for a label of a widget, which Streamlit reads as Markdown: every special character escaped.

    Example:
        >>> print(label("![x](http://a.example)"))
        \!\[x\]\(http\:\/\/a\.example\)
    """
    line = " ".join(str(text).split())
    return _MARKDOWN.sub(r"\\\1", line).replace("/", "\\/")


def show_chart(chart: alt.LayerChart | alt.FacetChart | None, *, name: str) -> None:
    """A chart as a picture: drawn here, reduced to shapes and text, nothing evaluated in the browser."""
    if chart is not None:
        st.image(chart_svg(themed(chart), name=name, label=name), width="content")


def show_problem(message: object) -> None:
    """An error in a file of the reader's, on the page instead of a traceback."""
    st.error(label(message))
