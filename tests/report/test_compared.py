"""The comparison of runs as a section: two runs and many, what stands first, what is said once."""

from __future__ import annotations

from itertools import combinations

import polars as pl
from report_example import HOSTILE, NAN, example, row

from dfar_toolkit.report.compared import comparison_section
from dfar_toolkit.report.document import Comparison, ReportData
from dfar_toolkit.report.sections import sections
from dfar_toolkit.report.table import Section, Table

RUNS = ("a", "b", "c")


def difference(metric: str, a: str, b: str, **beside: object) -> dict[str, object]:
    filled = {"run_a": a, "run_b": b, "p_value": 0.02, "test": "exact McNemar", "family": "exploratory",
              "p_holm": None, "low_simultaneous": None, "high_simultaneous": None,
              "note": f"{a} 0.500, {b} 0.550; 9 differ"}  # fmt: skip
    return row(metric, b, 0.05) | filled | beside


def declared(a: str, b: str, **beside: object) -> dict[str, object]:
    corrected = {"family": "primary", "p_holm": 0.06, "low_simultaneous": -0.01, "high_simultaneous": 0.11}
    return difference("accuracy", a, b, **{**corrected, **beside})


def three(**beside: object) -> Comparison:
    rows = [declared(a, b) for a, b in combinations(RUNS, 2)]
    rows += [difference("macro_f1", a, b, test="swap test") for a, b in combinations(RUNS, 2)]
    rows += [declared("a", "b", subset="clean"), difference("macro_f1", "a", "b", subset="clean", test="swap test")]
    ranks = [
        {"subset": "all", "run_id": run, "value": 0.6 - k / 10, "rank": k + 1.0, "rank_low": 1.0, "rank_high": 2.5,
         "share_best": 0.5, "kendall_tau": 0.8}
        for k, run in enumerate(RUNS)
    ]  # fmt: skip
    cells = [
        {"run_a": a, "run_b": b, "subset": "all", "a_right": x, "b_right": y, "count": 1000 + x + 2 * y}
        for a, b in combinations(RUNS, 2) for x in (True, False) for y in (True, False)
    ]  # fmt: skip
    found = Comparison(RUNS, "accuracy", pl.DataFrame(rows), pl.DataFrame(ranks), right_wrong=pl.DataFrame(cells))
    return Comparison(**{**{name: getattr(found, name) for name in Comparison.__slots__}, **beside})


def column(table: Table, name: str) -> list[str]:
    return [line[table.columns.index(name)] for line in table.rows]


def captioned(section: Section, start: str) -> Table:
    return next(t for t in section.tables if t.caption.startswith(start))


def test_many_runs_have_one_table_of_differences_with_the_correction() -> None:
    found = comparison_section(three())
    table = captioned(found, "Differences")
    head = ("subset", "metric", "runs", "difference", "interval", "n", "p", "p Holm", "all together")
    assert table.columns == head
    assert column(table, "metric") == ["accuracy"] * 3 + ["macro_f1"] * 3 + ["accuracy"]
    assert column(table, "runs")[:3] == ["b − a", "c − a", "c − b"]
    assert column(table, "p Holm") == ["0.06"] * 3 + [""] * 3 + ["0.06"]
    assert column(table, "all together")[2:4] == ["[-0.010, 0.110]", ""]
    further = captioned(found, "Further metrics")
    assert (further.folded, column(further, "subset"), column(further, "metric")) == (True, ["clean"], ["macro_f1"])
    assert "Intervals of 95 % over groups (bootstrap)." in found.text[0]
    assert "One metric was declared beforehand, accuracy" in found.text[1]
    assert "corrected by Holm" in found.text[1]


def test_tests_that_all_pairs_share_are_said_once_and_values_stand_with_the_scores() -> None:
    found = comparison_section(three())
    assert found.text[-3:] == ("9 differ.", "accuracy: exact McNemar.", "macro_f1: swap test.")
    assert "note" not in captioned(found, "Differences").columns


def test_many_runs_are_ranked() -> None:
    table = captioned(comparison_section(three()), "Ranks")
    assert table.rows[0] == ("all", "a", "0.600", "1", "[1, 2.5]", "0.500", "0.800")
    assert table.columns[2] == "accuracy"


def test_wins_ties_and_losses_are_of_the_second_run() -> None:
    table = captioned(comparison_section(three()), "Items on which the second run")
    assert table.columns == ("subset", "runs", "wins", "ties", "losses", "both right", "both wrong")
    assert table.rows[0] == ("all", "b − a", "1,002", "2,003", "1,001", "1,003", "1,000")
    assert len(table.rows) == 3


def test_two_runs_stay_compact() -> None:
    section = next(s for s in sections(example()) if s.key == "comparisons")
    differences, wins = section.tables
    assert differences.caption == "reasons − plain"
    assert differences.columns == ("metric", "difference", "interval", "n", "over", "p", "test")
    assert wins.caption == "Items on which reasons is right alone (wins), or wrong alone (losses)"
    assert wins.rows == (("all", "0", "0", "1,234", "0", "0"),)
    assert section.text[1] == "One metric was declared beforehand, accuracy; every other one is exploratory."


def test_what_subsets_are_is_said_once_and_undefined_differences_say_so() -> None:
    rows = [
        declared("a", "b", subset="leaked", note="18 differ"),
        difference("coverage", "a", "b", subset="leaked", value=NAN, p_value=None, note="no items"),
        declared("a", "b", subset="clean", note="2 differ"),
    ]
    notes = {"leaked": "leaked: 3 of 9; one set aside", "clean": "clean: 6 of 9; one set aside"}
    found = comparison_section(Comparison(("a", "b"), "accuracy", pl.DataFrame(rows), notes=notes))
    assert found.text[2:] == ("One set aside.", "leaked: 3 of 9.", "clean: 6 of 9.")
    assert [r[-1] for t in found.tables for r in t.rows] == ["18 differ", "2 differ", "undefined: no items"]


def test_without_runs_there_is_no_section() -> None:
    empty = Comparison(("a", "b"), "accuracy", pl.DataFrame())
    assert sections(ReportData("t", comparison=empty)) == []
    assert comparison_section(None).tables == ()


def test_names_of_runs_are_only_text() -> None:
    a, b = "a (x) [", "b+; *"
    rows = [declared(a, b, note=f"{a} 0.500, {b} -0.550; 9 differ"), declared(a, b, note=f"none; {a} 0.500, {b} 0.550")]
    found = comparison_section(Comparison((a, b, *HOSTILE), "accuracy", pl.DataFrame(rows)))
    assert column(captioned(found, "Differences"), "note") == ["9 differ", "none"]
