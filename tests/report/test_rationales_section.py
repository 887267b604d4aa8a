"""Rationales in reports: guard rails first, notes once, what may be compared drawn, hostile names as text."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest
from report_example import HOSTILE, IMAGE, LINK, SCRIPT

from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.html import html
from dfar_toolkit.report.json_document import json_document
from dfar_toolkit.report.markdown import markdown
from dfar_toolkit.report.rationales import compared_rows, flip_curves, rationales_section
from dfar_toolkit.scoring.rationale_differences import rationale_differences
from dfar_toolkit.scoring.rationale_scores import rationale_scores
from made_rationales import annotations, items, outputs

Tables = tuple[pl.DataFrame, pl.DataFrame]


@pytest.fixture(scope="module")
def scored() -> Tables:
    said = outputs()
    how = {"n_boot": 100, "confidence": 0.9}
    return (
        rationale_scores(said, items(), annotations(), **how),  # type: ignore[arg-type]
        rationale_differences(said, items(), annotations(), **how),  # type: ignore[arg-type]
    )


def test_the_tables_begin_with_what_decides_whether_they_mean_anything(scored: Tables) -> None:
    section = rationales_section(*scored)
    captions = [table.caption for table in section.tables]
    assert captions[0] == "r: before any rationale is believed"
    assert captions[1].startswith("r: words that people marked too (majority")
    assert captions[2].startswith("r: without the words of the rationale (mask)")
    assert captions[3] == "Notes"
    assert all(table.folded for table in section.tables[4:])
    rails = {row[0] for row in section.tables[0].rows}
    assert rails >= {"coverage", "accuracy", "top_label_share", "p_empty", "flippable_share", "noise_margin"}
    assert section.tables[0].columns[2] == "value, 90 % interval"


def test_numbers_are_those_of_the_scores(scored: Tables) -> None:
    table, _ = scored
    faithful = rationales_section(*scored).tables[2]
    attention = next(dict(zip(faithful.columns, row, strict=True)) for row in faithful.rows if row[0] == "attention")
    [flips] = table.filter(metric="flip_rate", rationale_method="attention", k=-1).to_dicts()
    assert (flips["value"], attention["flips"]) == (1.0, "1.000")  # two items, and no interval
    [share] = table.filter(metric="dffot", rationale_method="attention").to_dicts()
    assert attention["share to flip"] == f"{share['value']:.3f}\n[{share['low']:.3f}, {share['high']:.3f}]"
    assert attention["n"] == "2 to 3"
    assert faithful.numeric >= {faithful.columns.index("flips"), faithful.columns.index("n")}


def test_every_mark_has_its_note_and_every_note_a_mark(scored: Tables) -> None:
    tables = rationales_section(*scored).tables
    notes = next(table for table in tables if table.caption == "Notes")
    marks = {
        mark
        for table in tables[: tables.index(notes)]
        if "notes" in table.columns
        for row in table.rows
        for mark in row[table.columns.index("notes")].split()
    }
    assert marks == {row[0] for row in notes.rows}
    said = {part for note in scored[0]["note"] for part in (note or "").split("; ")}
    assert {row[1] for row in notes.rows} <= said


def test_only_what_may_be_compared_is_drawn_together(scored: Tables) -> None:
    rows = compared_rows(scored[0])
    assert {row["metric"] for row in rows} == {"token_f1_above_chance", "flip_rate_over_random"}
    assert {row["k"] for row in rows if row["metric"] == "flip_rate_over_random"} == {-1}
    [(run, operator, curve)] = flip_curves(scored[0])
    assert (run, operator) == ("r", "mask")
    assert sorted({row["share"] for row in curve}) == [0.1, 0.25, 0.5]


def test_a_collapsed_model_is_said_first() -> None:
    table = rationale_scores(outputs(constant=True), items(), annotations(), n_boot=100)
    section = rationales_section(table, pl.DataFrame())
    assert [line.split(" for ")[0] for line in section.text[1:]] == ['r: the model says "a"']


def test_without_rationales_there_is_no_section() -> None:
    assert not rationales_section(pl.DataFrame(), pl.DataFrame()).tables
    assert compared_rows(pl.DataFrame()) == []
    assert list(flip_curves(pl.DataFrame())) == []


@pytest.mark.parametrize("name", [*HOSTILE, IMAGE, LINK])
def test_hostile_names_stay_text(scored: Tables, name: str) -> None:
    table, differences = (
        frame.with_columns(run_id=pl.lit(name), note=pl.lit(name)).with_columns(
            pl.col(column).replace("attention", name)
        )
        for frame, column in zip(scored, ("rationale_method", "method_a"), strict=True)
    )
    data = ReportData(SCRIPT, rationales=table, rationale_differences=differences)
    page = html(data)
    assert not re.search(r"<(script|img|iframe)\b", page)
    assert len(re.findall("<svg", page)) == 2
    assert "<script" not in markdown(data)
    found = json.loads(json_document(data))
    assert len(found["rationales"]) == len(table)
    assert len(found["rationale_differences"]) == len(differences)
