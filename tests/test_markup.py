"""Texts within Markdown: nothing of them is markup, code ends where it should."""

from __future__ import annotations

import pytest

from dfar_toolkit.markup import md_code, md_escape, md_fence


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain text, 18-29 (a.b)", "plain text, 18-29 (a.b)"),
        ("- item", "\\- item"),
        ("12. item", "12\\. item"),
        ("# head", "\\# head"),
        ("a_b|c", "a\\_b\\|c"),
        ("see https://e.org", "see https\\://e.org"),
        ("www.e.org", "www\\.e.org"),
        ("&lt;<", "&amp;lt;&lt;"),
        ("a\u202eb\r\nc", "a b c"),
        (3, "3"),
    ],
)
def test_md_escape(text: object, escaped: str) -> None:
    assert md_escape(text) == escaped


def test_md_code_and_fence() -> None:
    assert md_code("a|b") == "a\\|b"
    assert md_code("") == ""
    assert md_fence("a\n````\nb").startswith("`````\n")
    assert "<!--" not in md_fence("<!-- dfar:begin summary -->")
