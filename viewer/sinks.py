"""The only ways in which text from data reaches the page: none of them interprets it."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import streamlit as st

from dfar_toolkit.report.plots import themed
from dfar_toolkit.report.svg import chart_svg

if TYPE_CHECKING:
    import altair as alt

_LONG: Final = 80  # rows from which a table scrolls in a box of its own
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
    box = "white-space: pre-wrap; overflow-wrap: anywhere; background: #f0f2f6; border-radius: .5rem; padding: 1rem"
    st.html(f'<div style="{box}">{"".join(pieces)}</div>')


class MarkedWord(NamedTuple):
    """Characters ``start`` to ``end`` of a text, how much they weigh (-1 to 1), and whether they were chosen."""

    start: int
    end: int
    weight: float
    chosen: bool


def show_words(text: str, words: Sequence[MarkedWord]) -> None:
    """A text with its words shaded by weight: blue for, orange against; chosen ones are underlined."""
    pieces, at = [], 0
    for word in sorted(words):
        if word.start < at or word.end > len(text):
            continue  # overlapping or outside: the text itself is always shown whole
        pieces += [html.escape(text[at : word.start]), _shaded(text[word.start : word.end], word)]
        at = word.end
    whole = "".join([*pieces, html.escape(text[at:])])
    box = "white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.7"
    st.html(f'<div style="{box}" dir="auto">{whole}</div>')


def _shaded(text: str, word: MarkedWord) -> str:
    weight = word.weight if math.isfinite(word.weight) else 0.0
    colour = "68, 119, 170" if weight >= 0 else "238, 119, 51"
    line = "; border-bottom: 2px solid currentColor" if word.chosen else ""
    strength = min(abs(weight), 1.0) * 0.55  # so that the word stays easy to read
    shade = f"background: rgba({colour}, {strength:.2f}); color: inherit; border-radius: .2em{line}"
    return f'<mark style="{shade}">{html.escape(text)}</mark>'


def show_chip(text: object, *, colour: str = "#4477aa") -> None:
    """A short word such as a label in a rounded frame of one of our colours."""
    st.html(_chip(text, colour))


def show_legend(meanings: Sequence[tuple[str, str]]) -> None:
    """What the colours of chips mean, on one line; pairs of words and colour."""
    st.html(" ".join(_chip(word, colour) for word, colour in meanings))


def _chip(text: object, colour: str) -> str:
    shade = f"border: 1px solid {colour}; color: {colour}; border-radius: 1em; padding: .05em .7em; font-size: .85rem"
    return f'<span style="{shade}; overflow-wrap: anywhere">{html.escape(str(text))}</span>'


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: frozenset[int] = frozenset()) -> None:
    """A table whose cells wrap, so that every text in it can be read; ``numeric`` columns are aligned as numbers."""
    head = _row(columns, numeric, cell="th") if any(columns) else ""
    body = "".join(_row(row, numeric, cell="td") for row in rows)
    table = f'<table style="border-collapse: collapse; font-size: .875rem; line-height: 1.4">{head}{body}</table>'
    scrolled = "; max-height: 42rem" if len(rows) > _LONG else ""
    st.html(f'<div style="overflow-x: auto; margin-bottom: 1rem{scrolled}">{table}</div>')


def _row(cells: Sequence[str], numeric: frozenset[int], *, cell: Literal["td", "th"]) -> str:
    """Cells of up to a few words stay on one line."""
    line = "border-bottom: 1px solid #e3e6ea; padding: .3rem .9rem .3rem 0; vertical-align: top"
    texts = []
    for i, text in enumerate(cells):
        wrap = (
            "nowrap" if len(text) <= 32 and "\n" not in text else "pre-line; overflow-wrap: anywhere; min-width: 14rem"
        )
        side = "right" if i in numeric else "left"
        style = f"{line}; text-align: {side}; white-space: {wrap}; max-width: 40rem"
        texts.append(f'<{cell} style="{style}">{html.escape(text)}</{cell}>')
    return f"<tr>{''.join(texts)}</tr>"


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
