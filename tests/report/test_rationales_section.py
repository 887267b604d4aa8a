"""Rationales in reports: guard rails first, notes once, what may be compared drawn, hostile names as text."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest
from report_example import HOSTILE, IMAGE, LINK, SCRIPT

from dfar_toolkit.metrics.self_consistency.contribution_consistency import DISTANCES
from dfar_toolkit.metrics.self_consistency.self_consistency_table import self_consistency_table
from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.glossary import MEANINGS
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


def test_the_same_said_of_several_runs_is_said_once() -> None:
    said = pl.concat([outputs("r", constant=True), outputs("s", constant=True)])
    table = rationale_scores(said, items(), annotations(), n_boot=100)
    assert [line.split(" for ")[0] for line in rationales_section(table, pl.DataFrame()).text[1:]] == [
        'r, s: the model says "a"'
    ]


def test_the_text_is_of_the_parts_that_are_there(scored: Tables) -> None:
    texts = {
        part: rationales_section(scored[0].filter(part=part), pl.DataFrame()).text[0]
        for part in ("plausibility", "faithfulness")
    }
    assert "Raw faithfulness" in texts["faithfulness"]
    assert "Raw faithfulness" not in texts["plausibility"]
    tests = scored[0].head(1).with_columns(part=pl.lit("self_consistency"), metric=pl.lit("cct"))
    assert "tests of self-consistency" in rationales_section(tests, pl.DataFrame()).text[0]


def test_without_any_interval_no_title_speaks_of_them(scored: Tables) -> None:
    bare = [frame.with_columns(pl.lit(None, pl.Float64).alias("low")) for frame in scored]
    tables = rationales_section(*bare).tables
    assert not [table.caption for table in tables if "interval" in table.caption]
    assert tables[0].columns[2] == "value, interval"


def test_the_margin_of_noise_is_of_no_number_of_items(scored: Tables) -> None:
    rails = rationales_section(*scored).tables[0]
    [row] = [dict(zip(rails.columns, row, strict=True)) for row in rails.rows if row[0] == "noise_margin"]
    assert (row["value, 90 % interval"], row["n"]) == ("1e-05", "")


def test_every_number_of_reasons_under_test_has_a_sentence(scored: Tables) -> None:
    said = pl.DataFrame({
        "run_id": ["r"] * 9, "item_id": ["a"] * 9, "draw": [0, 0, 1, 0, 0, 0, 0, 0, 0],
        "condition": ["full", "inserted", "inserted", "cot_full", "cot_early", "cot_mistake", "cot_filler",
                      "cot_paraphrase", "rationale"],
        "operator": [""] * 3 + [""] + ["sentences"] * 5, "share": [None] * 4 + [0.0] + [None] * 4,
        "method": [""] * 9, "label": ["good", "bad", "bad", "good", "bad", "bad", "bad", "good", None],
        "mentioned": [None, True, False] + [None] * 6, "word_scores": [None] * 9,
    }, schema_overrides={"share": pl.Float64, "word_scores": pl.List(pl.Float64)})  # fmt: skip
    names = set(self_consistency_table(said, n_boot=100)["metric"])
    assert len(names) > 13
    assert names | {f"cc_shap_{distance}" for distance in DISTANCES if distance != "cosine"} <= set(MEANINGS)
    shown = [table for table in rationales_section(*scored).tables if table.columns[0] == "what"]
    assert {row[0] for table in shown for row in table.rows} <= set(MEANINGS)


def test_flips_are_not_bounded_by_the_flippable_share() -> None:
    """Without one word the label may change where without any it does not: the sentence must not say otherwise."""
    said = outputs().with_columns(
        label=pl.when(pl.col("condition") == "empty").then(pl.lit(None)).otherwise("label"),
    )
    full = dict(said.filter(condition="full").select("item_id", "label").iter_rows())
    said = said.with_columns(label=pl.coalesce("label", pl.col("item_id").replace_strict(full, default=None)))
    table = rationale_scores(said, items(), annotations(), n_boot=100)
    [empty] = table.filter(metric="flippable_share")["value"]
    [flips] = table.filter(metric="flip_rate", rationale_method="attention", k=-1)["value"]
    assert (empty, flips) == (0.0, 1.0)
    assert "cannot" not in MEANINGS["flippable_share"]


def test_tables_of_many_columns_are_set_tighter(scored: Tables) -> None:
    """At the usual size they would not fit the page, and the marks of the notes, on the right, would not be seen."""
    wide = [len(table.columns) > 8 for table in rationales_section(*scored).tables if not table.folded]
    page = html(ReportData("t", rationales=scored[0]))
    assert True in wide
    assert page.count('<table class="tight">') == sum(wide)


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
