"""Text that a widget would read as Markdown is escaped; templates escape what they are given."""

from __future__ import annotations

import pytest

from dfar_toolkit._viewer.markup import rendered
from dfar_toolkit._viewer.run_colours import run_letter
from dfar_toolkit._viewer.sinks import label


def test_labels_of_widgets_are_escaped() -> None:
    assert label("![x](http://a.b/c)\n:red[*y*]") == "\\!\\[x\\]\\(http\u2060\\:\\/\\/a\\.b\\/c\\) \\:red\\[\\*y\\*\\]"


@pytest.mark.parametrize("text", ['<img src=x onerror="a()">', "\" onmouseover='a()'", "{{ 7 * 7 }}"])
def test_templates_escape(text: str) -> None:
    shown = rendered("navigation.jinja", {"links": [(text, f"items?{text}", False)]})
    assert "<img" not in shown
    assert '" onmouseover' not in shown
    assert "49" not in shown


def test_letters_of_runs_are_all_different() -> None:
    assert len({run_letter(place) for place in range(800)}) == 800
