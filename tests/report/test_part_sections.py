from __future__ import annotations

import re
from typing import Any

import polars as pl
import pytest
from parts_example import LEFT, curve, parts_example, score
from report_example import HOSTILE, IMAGE, LINK, NAN, SCRIPT, example

from dfar_toolkit.metrics.bias.bias_table import bias_table
from dfar_toolkit.report.beside import Beside, beside_table, by_place
from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.html import html
from dfar_toolkit.report.markdown import markdown
from dfar_toolkit.report.reliability_plot import predicted_ends, reliability_plot
from dfar_toolkit.report.sections import sections
from dfar_toolkit.report.shared_notes import gathered_notes, shared_notes, with_over
from dfar_toolkit.report.table import Section, Table

NEW = ("distributions", "calibration", "people", "bias")


def section(key: str, scores: pl.DataFrame | None = None, curves: pl.DataFrame | None = None) -> Section:
    scores = parts_example() if scores is None else scores
    data = ReportData("", scores=scores, reliability=pl.DataFrame() if curves is None else curves)
    return next(s for s in sections(data) if s.key == key)


def cells(table: Table, *place: str) -> dict[str, str]:
    """A row as a dictionary; of columns of one name the last."""
    found = next(r for r in table.rows if r[: len(place)] == place)
    return dict(zip(table.columns, found, strict=True))


def test_sections_in_reading_order() -> None:
    keys = [s.key for s in sections(ReportData("", scores=parts_example(), confusions=example().confusions))]
    assert keys == ["scores", *NEW, "confusions", "reasons", "glossary"]
    # A table without parts has none of the new sections.
    assert not {s.key for s in sections(example())} & set(NEW)


def test_scores_are_about_labels_alone() -> None:
    whole, ordered, by_label = section("scores").tables
    assert {r[2] for r in whole.rows} == {"accuracy"}
    assert ordered.caption == "Ordered labels"
    assert {r[2:4] for r in by_label.rows} == {("f1", "ethical")}
    assert by_label.folded


def test_distributions_stand_beside_their_references() -> None:
    found = section("distributions")
    first, ceilings, further, shares = found.tables
    assert first.columns == ("run", "subset", "metric", "value", "interval", "uniform", "corpus mean", "hard majority",
                             "perfect model", "BEST", "share of ceiling", "n")  # fmt: skip
    tv = cells(first, "plain", "all", "total_variation")
    assert (tv["uniform"], tv["corpus mean"], tv["perfect model"], tv["BEST"]) == ("0.500", "0.450", "0.100", "")
    entropy = cells(first, "reasons", "all", "soft_cross_entropy")
    assert (entropy["value"], entropy["BEST"], entropy["share of ceiling"]) == ("0.400", "0.300", "0.660")
    assert entropy["hard majority"] == "–"
    assert [r[2] for r in further.rows] == ["kl_divergence", "option_mass"] * 2
    assert further.folded
    assert shares.folded
    # Ceilings rest on the votes alone: once for both runs.
    assert [r[:4] for r in ceilings.rows] == [
        ("all", "ceiling_soft_cross_entropy", "BEST", "0.300"),
        ("all", "ceiling_accuracy", "BEST", "0.900"),
        ("all", "ceiling_accuracy", "held out rater", "0.850"),
    ]
    assert f"{LEFT}." in found.text
    assert "Intervals over 480 groups, bootstrap." in found.text
    assert any(line.startswith("A dash stands") for line in found.text)
    assert any(line.endswith("sum to 1: 0.960 for every run.") for line in found.text)
    assert "BEST: not a bound." in found.text


def test_a_headline_that_is_undefined_for_all_is_said_and_folded() -> None:
    own = (pl.col("metric") == "total_variation") & pl.col("predictor").is_null()
    undefined = parts_example().with_columns(pl.when(own).then(NAN).otherwise("value").alias("value"))
    first, _, further, _ = section("distributions", undefined).tables
    assert {r[2] for r in first.rows} == {"soft_cross_entropy"}
    assert cells(further, "plain", "all", "total_variation")["note"] == "undefined"


def test_ceilings_of_runs_on_other_items_are_named() -> None:
    scores = parts_example()
    other = pl.when(run_id="plain", metric="ceiling_accuracy").then(0.7).otherwise("value").alias("value")
    ceilings = section("distributions", scores.with_columns(other)).tables[1]
    assert [r[0] for r in ceilings.rows] == ["plain, reasons", "plain", "plain", "reasons", "reasons"]


def test_subsets_are_folded() -> None:
    scores = pl.concat([parts_example(), parts_example().with_columns(subset=pl.lit("clean"))])
    found: dict[str, Section] = {s.key: s for s in sections(ReportData("", scores=scores))}
    shown = {
        key: {cell for t in found[key].tables if not t.folded for r in t.rows for cell in r[:3]} & {"all", "clean"}
        for key in NEW
    }
    assert shown == {key: {"all"} for key in NEW}
    assert sum("collapsed" in line for line in found["bias"].text) == 1
    for key in NEW:
        folded = [t for t in found[key].tables if t.folded]
        assert any("clean" in r[:3] for t in folded for r in t.rows)


def test_ceilings_without_a_distribution() -> None:
    found = section("distributions", parts_example().filter(part="ceiling"))
    assert found.text[0].startswith("What can be reached on these votes")
    assert found.tables[0].caption == "Ceilings on these votes"


def test_calibration_puts_people_first_and_ece_has_no_interval() -> None:
    found = section("calibration", curves=curve())
    first, further, bins = found.tables
    assert [r[2] for r in first.rows] == ["human_calibration_error", "ece_majority"] * 2
    ece = cells(first, "plain", "all", "ece_majority")
    assert (ece["interval"], ece["note"]) == ("–", "no interval: never 0")
    assert further.folded
    assert bins.columns[:4] == ("run", "bin", "mean predicted", "band")
    assert bins.rows[2][:6] == ("plain", "[0.800, 1.000]", "0.950", "–", "1.000", "[0.950, 1.050]")


def test_the_run_stands_beside_people() -> None:
    table, test = section("people").tables
    assert table.columns == (
        "run", "subset", "metric", "the run", "interval", "people", "interval", "difference", "interval", "n",
    )  # fmt: skip
    assert table.rows[0][:9] == ("plain", "all", "kappa_run", "0.500", "[0.450, 0.550]", "0.600", "[0.550, 0.650]",
                                 "-0.100", "[-0.150, -0.050]")  # fmt: skip
    assert table.rows[1][5:9] == ("", "", "", "")  # no row of people alone
    assert cells(test, "reasons")["note"] == "undefined: 1 annotators tested, 3 wanted"


def test_shares_of_labels_and_a_collapse() -> None:
    found = section("bias")
    verdicts, by_label, further = found.tables
    assert found.text[1] == (
        'reasons has collapsed onto one label (all): always "ethical"; the gold is "other" on 60.0 % (p = 0.0039); '
        "1 without an answer left out."
    )
    row = cells(verdicts, "plain", "all")
    assert (row["top answer"], row["top label of people"], row["collapse p"]) == ("0.500", "0.500", "0.0042")
    assert by_label.rows[0][2:9] == ("ethical", "0.500", "[0.450, 0.550]", "0.500", "[0.450, 0.550]", "0.100",
                                     "[0.050, 0.150]")  # fmt: skip
    assert not by_label.folded
    assert [r[2] for r in further.rows] == ["effective_labels"] * 2
    assert "Differences over 480 groups, sign-flip." in found.text


def test_the_verdict_of_the_metric_is_read() -> None:
    """The sentence of a collapse rests on how the note of the real table begins."""
    table = bias_table(gold=["a"] * 8 + ["b"] * 12, pred=["a"] * 20, ci=None)
    named = table.with_columns(run_id=pl.lit("m"), subset=pl.lit("all"), part=pl.lit("bias"), predictor=pl.lit(None))
    assert section("bias", named).text[1].startswith('m has collapsed onto one label (all): always "a"; the gold')
    honest = bias_table(gold=["a", "b"] * 9, pred=["b", "a"] * 9, ci=None)
    named = honest.with_columns(run_id=pl.lit("m"), subset=pl.lit("all"), part=pl.lit("bias"), predictor=pl.lit(None))
    assert not any("collapsed" in line for line in section("bias", named).text)


def test_reasons_are_judged_by_people_beside_models_and_measured() -> None:
    found = section("reasons")
    judged, types, models, further, automatic = found.tables
    assert [r[:3] for r in judged.rows] == [("reasons", "all", "mar_mean"), ("human", "all", "mar_mean")]
    assert [r[:4] for r in types.rows] == [("reasons", "all", "ethical", "0.300")]
    assert models.rows[0][:4] == ("gpt", "(all runs)", "all", "judge_kappa")
    assert models.rows[-1][:4] == ("gpt", "reasons", "all", "mar_prediction_powered")
    assert models.rows[-1][-1] == "undefined: refused: no inclusion_prob"
    assert further.folded
    assert further.rows[0][4] == "ethical"  # the type of error
    assert "3 reasons left out." in found.text
    assert automatic.folded
    rouge = cells(automatic, "reasons", "all", "rouge_l_mean")
    assert (rouge["the run"], rouge["floor"], rouge["above floor"], rouge["ceiling"]) == (
        "0.110", "0.080", "0.030", "0.120",
    )  # fmt: skip
    assert rouge["position"] == "–"
    assert [r[2] for r in automatic.rows] == ["reason_share", "reason_words", "rouge_l_mean"]
    assert found.text[-2:] == ("4 without a reason left out.", "Intervals over 480 groups, bootstrap.")


def test_every_row_has_a_cell_per_column() -> None:
    for found in sections(ReportData("", scores=parts_example(), reliability=curve())):
        for table in found.tables:
            assert {len(r) for r in table.rows} == {len(table.columns)}
            assert all(isinstance(c, str) for r in table.rows for c in r)


def test_hostile_names_stay_text_in_every_part() -> None:
    scores = parts_example(runs=(IMAGE, LINK), label=SCRIPT, judge=HOSTILE[2])
    data = ReportData("", scores=scores, reliability=curve(runs=(IMAGE, LINK)))
    page = html(data)
    assert not re.search(r"<(script|img)", page)
    assert "&lt;script&gt;" in page
    assert page == html(data)
    text = markdown(data)
    assert "<script" not in text
    assert not re.search(r"(?<!\\)!\[", text)


def test_a_reliability_curve_as_a_picture() -> None:
    chart: Any = reliability_plot(curve(("plain",)))
    spec = chart.to_dict()
    points = next(d for d in spec["datasets"].values() if "band" in d[0])
    assert [p["band"] for p in points] == [True, True, False]
    assert points[0]["low"] == pytest.approx(0.35)
    assert predicted_ends(curve()) == [0.5, 1.0]
    assert predicted_ends(curve().head(0)) == [0.0, 1.0]
    assert reliability_plot(curve(("plain",)).with_columns(value=NAN)) is None
    page = html(ReportData("", scores=parts_example(), reliability=curve()))
    assert page.count("Shade: if calibrated.</figcaption>") == 2


def test_many_places_are_a_folded_table_of_notes() -> None:
    rows = [score("soft", m, f"run {i}", 0.4, note=f"{i} left out") for i in range(9)
            for m in ("total_variation", "soft_cross_entropy")]  # fmt: skip
    notes = shared_notes(rows, ("run_id", "subset"))
    assert notes.lines() == []
    table = notes.tables()[0]
    assert table.columns == ("run", "subset", "note")
    assert table.rows[3] == ("run 3", "all", "3 left out")
    assert notes.own(rows[0]) == ""


def test_notes_name_what_they_are_about() -> None:
    rows = [score("soft", "a", "r", 1.0, note="x"), score("soft", "b", "r", 1.0, note="x; y"),
            score("soft", "a", "s", 1.0, note="z"), score("soft", "b", "s", 1.0, note="z")]  # fmt: skip
    notes = gathered_notes(rows, ("run_id", "subset"))
    assert notes.lines() == ["r: x; y (b).", "s: z."]
    assert [notes.own(r) for r in rows] == [""] * 4


def test_intervals_over_different_units_are_said_row_by_row() -> None:
    rows = with_over(
        [score("x", "a", "r", 1.0), score("x", "b", "r", 1.0, unit="items"), score("x", "c", "r", NAN)], []
    )
    assert [r["note"] for r in rows] == [
        "intervals over 480 groups, bootstrap",
        "intervals over 480 items, bootstrap",
        "",
    ]


def test_columns_that_would_be_empty_are_left_out() -> None:
    rows = [score("x", "a", "r", 0.5, note="n"), score("x", "b", "r", NAN)]
    besides = [Beside("other", by_place([score("x", "a", "r", 0.25)], ("metric",)), True), Beside("none", {})]
    table = beside_table(rows, ("metric",), besides, shared_notes([], ("metric",)))
    assert table.columns == ("metric", "value", "interval", "other", "interval", "n", "note")
    assert table.rows == (
        ("a", "0.500", "[0.450, 0.550]", "0.250", "[0.200, 0.300]", "500", "n"),
        ("b", "–", "–", "", "", "500", "undefined"),
    )
    assert table.numeric == frozenset({1, 2, 3, 4, 5})
