"""Who disagrees and where, in the report: only what was computed, hostile names as text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from report_example import HOSTILE, NAN

from dfar_toolkit.files.items import read_items
from dfar_toolkit.journeys.annotator_view import annotator_view
from dfar_toolkit.report.annotator_plots import annotators_plot, disagreement_plot, pairs_plot
from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.html import html
from dfar_toolkit.report.sections import sections


def person(name: str, value: float, **more: object) -> dict[str, object]:
    return {
        "question": "ethical", "rater": name, "value": value, "low": value - 0.1, "high": value + 0.1, "n": 9,
        "n_units": 9, "unit": "items", "scope": "items", "method": "bootstrap", "confidence": 0.95, "note": "",
        "kappa": 0.25, "alpha_without": NAN, **more,
    }  # fmt: skip


def rows_of(chart: Any) -> list[dict[str, Any]]:
    spec = chart.to_dict()
    found: list[dict[str, Any]] = spec["datasets"][spec["data"]["name"]]
    return found


def test_least_agreement_first_and_at_most_forty() -> None:
    many = [person(f"a{i}", 1 - i / 100) for i in range(50)] + [person("nobody", NAN)]
    drawn = rows_of(annotators_plot(many))
    assert [p["name"] for p in drawn[:2]] == ["a49", "a48"]
    assert len(drawn) == 40
    assert annotators_plot([person("x", NAN)]) is None


def test_a_square_needs_three_annotators_and_shows_each_pair_on_both_sides() -> None:
    pairs = [{"rater_a": a, "rater_b": b, "value": 0.5} for a, b in (("x", "y"), ("x", "z"), ("y", "z"))]
    assert len(rows_of(pairs_plot(pairs))) == 6
    assert pairs_plot(pairs[:1]) is None
    assert pairs_plot([{**p, "value": NAN} for p in pairs]) is None


def test_where_nobody_can_be_drawn_no_picture_is_promised() -> None:
    few = [person(name, 0.5, note="too little overlap: 3 items shared with others, 10 wanted") for name in "ab"]
    (section,) = [s for s in sections(ReportData(title="t", annotators=few)) if s.key == "annotators"]
    assert any(text.startswith("No annotator is drawn") for text in section.text)
    assert not any("The picture shows" in text for text in section.text)


def test_section_names_the_question_and_leaves_out_empty_columns() -> None:
    data = ReportData("", annotators=[person("a1", 0.5)], disagreement=[{"disagreement": "none", "items": 3}])
    section = next(s for s in sections(data) if s.key == "annotators")
    assert section.text[0].startswith("About ethical. For each annotator")
    assert section.tables[0].columns[:3] == ("annotator", "kappa", "value")  # no alpha without: undefined everywhere
    assert section.tables[0].rows[0][:4] == ("a1", "0.250", "0.500", "[0.400, 0.600]")
    assert section.tables[1].rows == (("none", "3"),)
    assert disagreement_plot(data.disagreement) is not None
    assert disagreement_plot([{"disagreement": "none", "items": 0}]) is None
    assert not [s for s in sections(ReportData("")) if s.key == "annotators"]


def test_names_of_annotators_are_text() -> None:
    page = html(ReportData("", annotators=[person(HOSTILE, 0.5)], pairs=[]))
    assert "<script" not in page
    assert "<img" not in page


def test_view_of_the_demo(demo: Path) -> None:
    view = annotator_view(read_items(demo / "items"), n_boot=50)
    assert len(view.annotators) == 8
    values = [row["value"] for row in view.annotators]
    assert values == sorted(values, key=lambda v: float(str(v)))
    assert len(view.pairs) == 28
    assert sum(int(str(b["items"])) for b in view.disagreement) == 80
    assert view.disagreement[0]["disagreement"] == "none"


def test_nobody_known_gives_an_empty_view(demo: Path) -> None:
    folder = read_items(demo / "items")
    unknown = folder.annotations.with_columns(annotator_id=pl.lit("everyday:unknown"))
    view = annotator_view(replace(folder, annotations=unknown))
    assert view[:3] == ([], [], [])
    assert view.note == "Annotators are not compared about ethical: nobody is known by name."
    section = next(s for s in sections(ReportData("", annotators_note=view.note)) if s.key == "annotators")
    assert section.text == (view.note,)


def test_annotators_with_too_little_overlap_are_not_singled_out() -> None:
    lone = person("new", 0.1, note="too little overlap: 2 items shared with others, 10 wanted")
    rows = [lone, *(person(f"a{i}", 0.5) for i in range(50))]
    assert "new" not in {p["name"] for p in rows_of(annotators_plot(rows))}
    section = next(s for s in sections(ReportData("", annotators=rows)) if s.key == "annotators")
    assert "the 40 of 51 annotators who agree least; 1 share too few items with others" in section.text[1]
    assert section.tables[0].caption == "Annotators"


@pytest.mark.parametrize("kappa", [NAN, 0.25])
def test_kappa_column_only_where_defined(kappa: float) -> None:
    section = next(
        s for s in sections(ReportData("", annotators=[person("a", 0.5, kappa=kappa)])) if s.key == "annotators"
    )
    assert ("kappa" in section.tables[0].columns) == (kappa == kappa)


def test_further_tables_stand_beside(demo: Path) -> None:
    view = annotator_view(read_items(demo / "items"), n_boot=50)
    assert {"values", "groups"} <= set(view.further)
    data = ReportData("", annotators=view.annotators, further=view.further)
    section = next(s for s in sections(data) if s.key == "annotators")
    values, groups = section.tables[1:3]
    assert values.columns[:4] == ("category", "n ratings", "share", "value")
    assert [row[0] for row in values.rows] == ["ethical", "unethical"]
    assert {row[0] for row in groups.rows} == {"within", "between", "difference", "within - between"}
