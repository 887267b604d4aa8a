"""HTML from templates that escape every value: with ``sinks``, the only ways in which text from data reaches the page.

A template never marks a value as safe and never puts one into a script, a style or an address that it did not build:
links come from ``addresses.link``. What Streamlit shows of it is cleaned by its own sanitiser once more.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
import streamlit as st
from markupsafe import Markup

from dfar_toolkit._viewer.addresses import link
from dfar_toolkit._viewer.run_colours import run_letter, run_number

_HERE: Final = Path(__file__).parent
_NOTHING: Final = "–"


def show(template: str, values: dict[str, Any]) -> None:
    """Put a template of ``templates/`` on the page; nothing where it has nothing to say, which Streamlit refuses."""
    body = rendered(template, values)
    if body.strip():
        st.html(body)


def rendered(template: str, values: dict[str, Any]) -> Markup:
    """A template of ``templates/`` with values, every one of them escaped."""
    return Markup(_templates().get_template(template).render(values))


@cache
def style() -> str:
    """The style sheet: every file of ``style/`` in the order of their names."""
    return "\n".join(part.read_text(encoding="utf-8") for part in sorted((_HERE / "style").glob("*.css")))


@cache
def page_script() -> str:
    """What makes links and keys quick in the browser; a constant, nothing of the data is in it."""
    return (_HERE / "page.js").read_text(encoding="utf-8")


@cache
def _templates() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": number, "count": count, "percent": percent, "clip": clip, "run_number": run_number}
    made.filters["chance"] = chance
    made.filters["run_letter"] = run_letter
    made.globals |= {"link": link}
    return made


def number(value: float | None, digits: int = 2) -> str:
    """A number with so many digits after the point; a dash where there is none.

    Example:
        >>> number(0.5), number(None), number(float("nan"))
        ('0.50', '–', '–')
    """
    return _NOTHING if value is None or math.isnan(value) else f"{value:.{digits}f}"


def chance(value: float | None, digits: int = 3, equals: str = "") -> str:
    """A p-value, never as nothing: below the last digit it says so.

    Args:
        value: The p-value.
        digits: After the point.
        equals: What stands before one that is not below the last digit.

    Example:
        >>> chance(0.04), chance(0.0001), chance(0.04, 3, "= "), chance(float("nan"))
        ('0.040', '< 0.001', '= 0.040', '–')
    """
    if value is None or math.isnan(value):
        return _NOTHING
    least = 10.0**-digits
    return f"< {least:.{digits}f}" if value < least / 2 else f"{equals}{value:.{digits}f}"


def count(value: int | None) -> str:
    """A count with its thousands apart.

    Example:
        >>> count(1234567)
        '1,234,567'
    """
    return _NOTHING if value is None else f"{value:,}"


def percent(value: float | None, digits: int = 0) -> str:
    """A share in percent.

    Example:
        >>> percent(0.256), percent(None)
        ('26 %', '–')
    """
    return _NOTHING if value is None or math.isnan(value) else f"{100 * value:.{digits}f} %"


def clip(text: object, longest: int = 280) -> str:
    """The beginning of a text on one line, for lists; the whole of it stands on the item's page.

    Example:
        >>> clip("one  two three", 9)
        'one two …'
    """
    begin = str(text)[: 4 * longest]
    line = " ".join(begin.split())
    return line if len(line) <= longest and len(begin) == len(str(text)) else f"{line[: longest - 1]}…"
