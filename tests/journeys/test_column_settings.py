"""KEY=VALUE settings to a mapping of columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfar_toolkit.errors import SourceError
from dfar_toolkit.journeys.column_settings import mapping_from_settings


def test_settings_replace_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("name: one\ncolumns: {label: says}\nquestion: {options: [a, b]}\n")
    found = mapping_from_settings({"name": "two", "labels": "0:a,1:b"}, mapping=path)
    assert (found.name, found.label, found.options, found.labels) == ("two", "says", ("a", "b"), {"0": "a", "1": "b"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lable": "x"}, 'Is it "label"'),
        ({"labels": "a,b"}, "pairs such as 0:ethical"),
        ({"layout": "round"}, "layout"),
    ],
)
def test_mistakes_are_named(settings: dict[str, str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        mapping_from_settings(settings)
