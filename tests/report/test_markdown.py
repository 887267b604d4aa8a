from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_example import HOSTILE, IMAGE, LINK, SCRIPT, example

from dfar_toolkit.report.markdown import escaped, markdown


def test_tables_are_whole_with_hostile_text() -> None:
    text = markdown(example(options=HOSTILE, runs=(IMAGE, LINK), title=SCRIPT))
    for block in text.split("\n\n"):
        if block.startswith("|"):
            widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(widths) == 1
    assert "<script" not in text
    assert "<img" not in text
    assert not re.search(r"(?<!\\)!\[", text)
    assert "http://" not in text


def test_same_sections_as_the_page() -> None:
    heads = re.findall(r"^## (.*)$", markdown(example()), flags=re.MULTILINE)
    assert heads == ["Data set", "Audit", "Agreement among annotators", "Scores", "Confusion matrices",
                     "Comparison of runs", "Reasons", "Notes", "What the numbers mean"]  # fmt: skip


def test_numbers_with_intervals() -> None:
    text = markdown(example())
    assert r"| krippendorff\_alpha | nominal | 0.347 | \[0.311, 0.383\] | 5,000 | 1,120 groups, bootstrap |" in text
    assert "undefined: three raters" in text
    assert markdown(example()) == text


def test_lines_of_a_cell_are_parted_and_counts_have_no_decimals() -> None:
    text = markdown(replace(example(), footer=["made | by"]))
    assert "| ethical; ethical; ethical; … and 2 more |" in text
    assert r"| missing\_outputs | 3 | – |" in text
    assert text.endswith("\n\n---\n\nmade \\| by\n")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a_b", r"a\_b"),
        ("1. x", r"1\. x"),
        ("- x", r"\- x"),
        ("a\n\n# b", r"a \# b"),
        ("www.a.example", r"www\.a.example"),
        ("&amp;", "&amp;amp;"),
        ("0.5", "0.5"),
        ("with-reasons", "with-reasons"),
    ],
)
def test_escaped(text: str, wanted: str) -> None:
    assert escaped(text) == wanted


@given(st.text())
def test_no_special_character_is_left_bare(text: str) -> None:
    line = escaped(text)
    assert "\n" not in line
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]!|~$^@]", re.sub(r"\\.", "", line))
    assert not re.search("[<>]", line)
