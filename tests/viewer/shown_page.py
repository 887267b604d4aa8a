"""One page of the viewer run without a browser: its HTML, its links, its texts."""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

# Streamlit's and its dependencies' own.
STREAMLIT_WARNINGS = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def show_page(
    patch: pytest.MonkeyPatch, page: str, argv: Sequence[str | Path], query: dict[str, str | list[str]] | None = None
) -> AppTest:
    """Run ``views/<page>.py`` (or ``app.py``) as the viewer started with ``argv`` would at an address."""
    from streamlit.testing.v1 import AppTest

    patch.setattr(sys, "argv", ["app.py", *map(str, argv)])
    patch.setenv("DFAR_VIEWER_SERVED", "8501")  # by our own server: what streamlit run starts is never written to
    # Streamlit looks through every installed package for components each time it starts; there are none of ours.
    patch.setattr("streamlit.components.v2.manifest_scanner.scan_component_manifests", list)
    script = "app.py" if page == "app" else f"views/{page}.py"
    test = AppTest.from_file(str(files("dfar_toolkit._viewer") / script), default_timeout=60)
    for name, value in (query or {}).items():
        test.query_params[name] = value
    test.run()
    assert not test.exception, [e.value for e in test.exception]
    return test


def html_of(test: AppTest) -> str:
    """All HTML of the page, style sheets aside."""
    return "\n".join(h.value for h in test.get("html") if not h.value.startswith("<style>"))


def words_of(test: AppTest) -> str:
    """The text of that HTML as it is read: no tags, references resolved, one space for any blank."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", html_of(test))).split())


def links_of(test: AppTest) -> dict[str, str]:
    """The addresses of all links by their words."""
    found = re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>', html_of(test), re.DOTALL)
    plain = [(html.unescape(re.sub(r"<[^>]*>", "", words)), html.unescape(href)) for href, words in found]
    return {" ".join(words.split()): href for words, href in plain}


def query_of(href: str) -> dict[str, list[str]]:
    """The parameters of an address."""
    return parse_qs(urlsplit(href).query, keep_blank_values=True)
